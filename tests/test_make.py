"""The Makefile tells its targets, and the package is what pyproject.toml says."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import twofold

ROOT = Path(__file__).resolve().parent.parent
TARGETS = {
    *("setup", "demo", "test", "check-full", "lint", "types", "floors"),
    *("golden", "map", "docs", "bench", "size"),
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_bare_make_lists_the_targets():
    done = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines() if "  " in line}
    assert listed >= TARGETS


def test_every_target_is_declared_phony():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split())
    assert set(re.findall(r"^([a-z-]+):.*##", text, re.MULTILINE)) == phony


def test_only_numpy_and_llvmlite_are_needed():
    assert [re.split(r"\W", need)[0] for need in PROJECT["dependencies"]] == ["numpy", "llvmlite"]


def test_the_versions_agree():
    assert twofold.__version__ == PROJECT["version"]


def test_the_package_is_typed():
    assert (Path(twofold.__file__).parent / "py.typed").exists()
