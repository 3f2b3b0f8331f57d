"""Another process compiles the Tensor tier, and this one goes on with the same bits."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from twofold.codegen import ahead
from twofold.codegen.native import core

if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)

PROGRAM = """
import sys, time
import twofold
from twofold.codegen import ahead, compile, llvm
from twofold.exec import tensors

kind = sys.argv[1]
if kind == "alone":
    ahead._cpus = lambda: {0}
if kind == "late":
    ahead.Work.done = lambda self: False
    tensors.MOST_LOOKS = 2
if kind == "broken":
    sys.executable = sys.argv[2]
made = []
inside = llvm.object_code
llvm.object_code = lambda text, *rest: made.append("tensor_run" in text) or inside(text, *rest)
x = twofold.arange(8.0, requires_grad=True)
total = twofold.zeros(8)
start, turns, first = time.monotonic(), 0, None
while turns < 120 or (not tensors.installed() and time.monotonic() - start < 100):
    y = ((x * 0.3).tanh() + 1.0).sum()
    (g,) = twofold.autograd.grad(y, x)
    if turns < 120:
        total = total * 0.9 + g
    turns += 1
    time.sleep(0.001)
print(tensors.installed(), any(made), total.numpy().tobytes().hex())
"""


def run(folder: Path, *words: str) -> list[str]:
    root = Path(ahead.__file__).parents[2]
    environment = {"TWOFOLD_CACHE": str(folder), "PYTHONPATH": str(root), "PATH": ""}
    command = [sys.executable, "-c", PROGRAM, *words]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    return made.stdout.split()


@pytest.mark.skipif(len(ahead._cpus()) < 2, reason="on one CPU nothing is gained")
def test_the_tier_comes_from_another_process_then_from_the_cache(tmp_path: Path) -> None:
    installed, compiled, bits = run(tmp_path / "cache", "elsewhere")
    assert (installed, compiled) == ("True", "False")
    assert [*(tmp_path / "cache").glob("*/native_tensors*")]
    assert run(tmp_path / "cache", "elsewhere") == ["True", "False", bits]
    assert run(tmp_path / "other", "alone") == ["True", "True", bits]


def test_a_process_that_fails_is_replaced(tmp_path: Path) -> None:
    broken = tmp_path / "python-broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    installed, compiled, _ = run(tmp_path / "cache", "broken", str(broken))
    assert (installed, compiled) == ("True", "True")


def test_a_process_that_is_late_is_not_waited_for(tmp_path: Path) -> None:
    installed, _, _ = run(tmp_path / "cache", "late")
    assert installed == "True"


def test_work_ends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_cpus", lambda: {0, 1})
    work = ahead.start("time", "ctime")
    assert work is not None
    deadline = time.monotonic() + 60
    while not work.done():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert work.done()


def test_where_nothing_is_gained_there_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "_cpus", lambda: {0})
    assert ahead.start("time", "ctime") is None
    monkeypatch.setattr(ahead, "_cpus", lambda: {0, 1})
    monkeypatch.setattr(sys, "executable", "/opt/app/main")
    assert ahead.start("time", "ctime") is None
    monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    assert ahead.start("time", "ctime") is None
