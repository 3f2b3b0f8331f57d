"""The tutorial's scripts run, as a reader would run them, and print what they promise."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "docs" / "tutorial").glob("*.py"))
LAST = {
    "01_tensors": "try x @ w.T",
    "02_gradients": "the line is 4.00 x -1.00",
    "03_training": "resumed training gives the bits of training that never stopped",
    "04_debugging": "try look at the values that went in",
    "05_compiling": "try twofold.where or twofold.cond",
}


def test_there_is_one_of_each():
    assert [script.stem for script in SCRIPTS] == list(LAST)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_runs(script, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert LAST[script.stem] in ran.stdout.splitlines()[-1]


def test_the_debugger_showed_what_it_was_asked(tmp_path):
    script = next(script for script in SCRIPTS if "debugging" in script.stem)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert re.search(r"forward\(\)\n-> stop", ran.stdout)
    assert "[2, 8]\n" in ran.stdout and "<ReluBackward0 object" in ran.stdout


def test_the_guide_lists_every_page():
    guide = ROOT / "docs" / "guide"
    index = (guide / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    pages = {page.name for page in guide.glob("*.md")} - {"index.md"}
    assert listed == pages, "docs/guide/index.md has a row for each page"
