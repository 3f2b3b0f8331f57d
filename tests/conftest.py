"""Fixtures for every test: golden texts."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_configure() -> None:
    from twofold.codegen import compile as compiler

    compiler.verifies = True


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="rewrite the golden texts")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`golden("errors/matmul", text)` compares text with tests/golden/errors/matmul.txt."""
    return lambda name, text: compare(name, text, rewrite=request.config.getoption("--golden"))


def compare(name: str, text: str, rewrite: bool, folder: Path = GOLDEN) -> None:
    path = folder / f"{name}.txt"
    text = text.rstrip("\n") + "\n"
    if rewrite:
        write(path, text)
        return
    if not path.exists():
        pytest.fail(f"no golden text {path}; `make golden` writes it", pytrace=False)
    expected = path.read_text(encoding="utf-8")
    if text != expected:
        pytest.fail(difference(name, expected, text), pytrace=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def difference(name: str, expected: str, actual: str) -> str:
    lines = difflib.unified_diff(
        expected.splitlines(), actual.splitlines(), f"golden/{name}.txt", "this run", lineterm=""
    )
    return os.linesep.join([*lines, "", "if the new text is right: make golden, and read the diff"])
