"""Another thread compiles the Tensor tier, and this one goes on with the same bits."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from twofold.codegen import ahead, jobs
from twofold.codegen.native import core
from twofold.codegen.target import host

if core.start().tier < 3 or host().loader != "elf":
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)

PROGRAM = """
import sys, threading, time
import twofold
from twofold.codegen import ahead, compile, jobs
from twofold.exec import tensors

kind = sys.argv[1]
jobs._cpus = lambda: 1 if kind == "alone" else 2
if kind == "late":
    ahead.Work.done = lambda self: False
    tensors.MOST_LOOKS = 2
if kind == "broken":
    tensors.core.prepare_tensors = lambda slots: 1 / 0
made = []
inside = compile._compiled

def compiled(module, text, *rest):
    if "tensor_run" in text:
        made.append(threading.current_thread() is threading.main_thread())
    return inside(module, text, *rest)

compile._compiled = compiled
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


def test_the_tier_comes_from_another_thread_then_from_the_cache(tmp_path: Path) -> None:
    installed, compiled, bits = run(tmp_path / "cache", "beside")
    assert (installed, compiled) == ("True", "False")
    assert [*(tmp_path / "cache").glob("*/native_tensors*")]
    assert run(tmp_path / "cache", "beside") == ["True", "False", bits]
    assert run(tmp_path / "other", "alone") == ["True", "True", bits]


def test_what_fails_is_done_by_who_needs_it(tmp_path: Path) -> None:
    installed, compiled, _ = run(tmp_path / "cache", "broken")
    assert (installed, compiled) == ("True", "True")


def test_who_is_late_is_not_waited_for(tmp_path: Path) -> None:
    installed, _, _ = run(tmp_path / "cache", "late")
    assert installed == "True"


def test_work_is_done_once_and_its_failure_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_cpus", lambda: 2)
    go, names, failures = threading.Event(), [], len(jobs.failures)

    def prepare() -> None:
        go.wait(60)
        names.append(threading.current_thread().name)
        raise ValueError("nobody asks")

    monkeypatch.setattr(ahead.cache, "usable", lambda: True)
    work = ahead.start(prepare)
    assert work is not None
    assert not work.done()
    go.set()
    while not work.done():
        jobs.finish(jobs.LATER)
    assert names == ["twofold compiler"]
    assert len(jobs.failures) == failures


def test_where_nothing_is_gained_there_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead.cache, "usable", lambda: True)
    monkeypatch.setattr(jobs, "_cpus", lambda: 1)
    assert ahead.start(lambda: None) is None
    monkeypatch.setattr(jobs, "_cpus", lambda: 2)
    monkeypatch.setattr(ahead.cache, "usable", lambda: False)
    assert ahead.start(lambda: None) is None


def test_later_is_not_now_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr(ahead, "start", lambda prepare: asked.set())
    ahead.later(1000.0, lambda: None)
    waiting = [t for t in threading.enumerate() if isinstance(t, threading.Timer)]
    assert not asked.is_set()
    assert all(timer.daemon for timer in waiting)
    for timer in waiting:
        timer.cancel()
    ahead.later(0.0, lambda: None)
    assert asked.wait(60)
