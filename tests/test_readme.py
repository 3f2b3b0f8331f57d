"""The programs in README and in docs/ run, and print what they say they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
PRINTED = re.compile(r"^\s*print\(.*\)\s\s+# (.+)$", re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def program_of(page: Path) -> str:
    """All Python blocks of a page, as one program."""
    return "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))


WITH_PROGRAMS = [str(page.relative_to(ROOT)) for page in PAGES if program_of(page)]


def test_the_readme_has_a_tour():
    assert "README.md" in WITH_PROGRAMS


@pytest.mark.parametrize("page", WITH_PROGRAMS)
def test_runs_as_written(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = program_of(ROOT / page)
    output = io.StringIO()
    script = tmp_path / "page.py"  # control flow on tensors is rewritten from source
    script.write_text(program, encoding="utf-8")
    with contextlib.redirect_stdout(output):
        exec(compile(program, str(script), "exec"), {"__name__": "__main__"})
    lines = iter(output.getvalue().splitlines())
    for expected in PRINTED.findall(program):
        assert any(line.strip() == expected.strip() for line in lines), (
            expected,
            output.getvalue(),
        )
