"""Count lines of code, without blanks, comments and docstrings, by folder."""

import ast
import sys
import tokenize
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src" / "twofold"
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef
QUIET = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def docstring_lines(tree: ast.Module) -> set[int]:
    """The line numbers that docstrings cover."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            lines.update(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return lines


def code_lines(path: Path) -> int:
    """The number of lines that hold code."""
    lines: set[int] = set()
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type not in QUIET:
                lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstring_lines(ast.parse(path.read_text(encoding="utf-8"))))


def main() -> int:
    totals: dict[str, list[int]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).parts
        folder = totals.setdefault(parts[0] if len(parts) > 1 else ".", [0, 0])
        folder[0] += 1
        folder[1] += code_lines(path)
    print(f"{'folder':14}{'files':>7}{'lines':>8}")
    for name, (files, lines) in totals.items():
        print(f"{name:14}{files:7}{lines:8}")
    print(f"{'all':14}{sum(t[0] for t in totals.values()):7}{sum(t[1] for t in totals.values()):8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
