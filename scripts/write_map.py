"""Bring docs/map.md up to date: new files get their docstring's first line, gone ones leave."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "docs" / "map.md"
FOLDERS = ("src/twofold", "examples", "bench", "scripts")
LINE = re.compile(r"^- `([^`]+)` - (.+)$")

HEADER = """# The map

One line per source file. `make map` adds what is missing; edit a line to say it better.
"""


def source_files() -> list[str]:
    """The paths that the map must list, sorted; empty files are not worth a line."""
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return sorted(str(path.relative_to(ROOT)) for path in found if path.stat().st_size)


def read_map(text: str) -> dict[str, str]:
    """Path -> idea, for each line of a map."""
    matches = (LINE.match(line) for line in text.splitlines())
    return {match[1]: match[2] for match in matches if match}


def idea_of(path: str) -> str:
    """The first sentence of a file's docstring."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"), path))
    if not docstring:
        raise SyntaxError(f"{path} has no docstring: write one that says its idea and its floor")
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return re.split(r"(?<=[a-z0-9)`])\.\s", paragraph)[0].rstrip(".")


def render(ideas: dict[str, str]) -> Iterator[str]:
    """The map's text, a heading per folder."""
    yield HEADER
    folder = None
    for path, idea in sorted(ideas.items(), key=lambda item: (str(Path(item[0]).parent), item)):
        if folder != Path(path).parent:
            folder = Path(path).parent
            yield f"\n## {folder}\n\n"
        yield f"- `{path}` - {idea}\n"


def main() -> int:
    known = read_map(MAP.read_text(encoding="utf-8")) if MAP.exists() else {}
    ideas, failures = {}, []
    for path in source_files():
        try:
            ideas[path] = known.get(path) or idea_of(path)
        except SyntaxError as error:
            failures.append(f"left out {path}: {error}")
    MAP.write_text("".join(render(ideas)), encoding="utf-8")
    for path in sorted(ideas.keys() - known.keys()):
        print(f"added   {path}")
    for path in sorted(known.keys() - ideas.keys()):
        print(f"removed {path}")
    print("\n".join(failures), end="\n" if failures else "", file=sys.stderr)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
