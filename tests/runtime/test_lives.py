"""How entries and plans live and end, on threads too and when Python ends."""

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plans import F4, I8, add_of, nothing, out, pattern_of, rand

from twofold.codegen.compile import Code
from twofold.runtime import entries, memory, threads
from twofold.runtime.program import (
    In,
    Number,
    Out,
    PlainEntry,
    Plan,
    Step,
    add_pattern,
    add_plan,
)


def rss() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4


def test_nothing_leaks(kernels: Code, make: Any) -> None:
    a, b = rand(4), rand(4)
    entry = make(nothing)
    add_plan(entry, (a, b), (out((4,)),), add_of(kernels, 4))
    add_pattern(entry, pattern_of(kernels, "scale4", (F4, Number(F4)), F4))
    job = (Out(0), Out(1), In(0), In(1), 3)
    three = rand(3)
    two = (out((3,)), out((3,)))
    add_plan(entry, (three, three), two, Plan((Step(kernels.address("split"), job),)))
    watched = [None, True, F4, np.ndarray, nothing, a, b, entry, 2.0, three]

    def turn(count: int) -> None:
        for _ in range(count):
            entry(a, b)
            entry(a, 2.0)
            entry(three, three)
            entry(b)

    turn(1000)
    gc.collect()
    begin = [sys.getrefcount(x) for x in watched], sys.getallocatedblocks(), rss()
    in_arrays = memory.allocated()
    turn(20_000 if make is not PlainEntry else 2000)
    gc.collect()
    end = [sys.getrefcount(x) for x in watched], sys.getallocatedblocks(), rss()
    # What tests before have left behind may go or come meanwhile: less than once in two turns.
    assert max(abs(x - y) for x, y in zip(begin[0], end[0], strict=True)) < 1000
    assert end[1] - begin[1] < 1000
    assert end[2] - begin[2] < 1000
    assert memory.allocated() <= in_arrays


def test_plans_that_go_are_freed(kernels: Code, make: Any) -> None:
    class Table:
        pass

    entry = make(nothing)
    tables = []
    for size in range(1000):
        table = Table()
        tables.append(weakref.ref(table))
        plan = Plan(add_of(kernels, size).steps, keep=(table,))
        a = np.zeros(size, F4)
        add_plan(entry, (a, a), (out((size,)),), plan)
    del table, plan
    alive = sum(table() is not None for table in tables)
    assert alive <= 256 if make is PlainEntry else alive == entries.MOST_PLANS
    del entry
    gc.collect()
    assert not any(table() is not None for table in tables)


def test_an_entry_answers_many_layouts_in_turn(kernels: Code, make: Any) -> None:
    missed: list[int] = []

    def miss(entry: Any, a: Any, b: Any) -> str:
        missed.append(a.size)
        return "miss"

    entry = make(miss)
    arrays = [np.ones(size, F4) for size in range(200)]
    for a in arrays:
        add_plan(entry, (a, a), (out(a.shape),), add_of(kernels, a.size))
    for a in arrays * 2:
        np.testing.assert_array_equal(entry(a, a), a + a)
    assert not missed


def test_an_entry_in_a_cycle_is_collected(kernels: Code, make: Any) -> None:
    class Owner:
        def __init__(self) -> None:
            self.entry = make(self.miss)

        def miss(self, entry: Any, *arrays: Any) -> Any:
            return self

    owner = Owner()
    assert owner.entry() is owner
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None


def test_a_plan_thrown_away_while_it_runs(kernels: Code, make: Any) -> None:
    threads.set_num_threads(2)
    counter = ctypes.c_int64(0)
    words = np.array([ctypes.addressof(counter), 0], I8)
    big = np.zeros(entries.RELEASE_FROM, F4)
    plan = Plan((Step(kernels.address("gated"), (In(0),), 16),), keep=(words,))
    entry = make(nothing)
    add_plan(entry, (words, big), (out((4,)),), plan)
    results: list[Any] = []
    runner = threading.Thread(target=lambda: results.append(entry(words, big)))
    runner.start()
    while counter.value == 0:
        pass
    for size in range(entries.MOST_PLANS):
        a = np.zeros(size, F4)
        add_plan(entry, (a, a), (out((size,)),), add_of(kernels, size))
    gc.collect()
    assert not results, "the GIL was not given up"
    words[1] = 1
    runner.join()
    assert counter.value == 16
    assert results[0].shape == (4,)
    if make is not PlainEntry:
        assert entry(words, big) == "miss"


def test_several_threads_on_one_entry(kernels: Code, make: Any) -> None:
    threads.set_num_threads(2)
    size = entries.RELEASE_FROM
    entry = make(nothing)
    add_pattern(entry, pattern_of(kernels, "add4", (F4, F4), F4))
    a = rand(size)
    failed: list[str] = []

    def work() -> None:
        for _ in range(50):
            if not np.array_equal(entry(a, a), a + a):
                failed.append("wrong sums")

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failed


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
from conftest import build
from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.native import core
from twofold.runtime import memory, program
from twofold.runtime.program import In, Out, Plan, Scratch, Step
core.start()
kernels = load("tests/runtime/2", build)
size = 20 << 20
plain, gappy = np.zeros(size, "f4"), np.zeros(2 * size, "f4")[::2]
step = Step(kernels.address("add4"), (Out(0), In(0), In(1), 4))
plans = {
    "output": Plan((step,)),
    "scratch": Plan((step,), scratch=100 << 20),
    "copy": Plan((step,), contiguous=(0,)),
}
outs = {name: (Type((size,) if name == "output" else (4,), dtypes.float32),) for name in plans}
outs["second output"] = (Type((4,), dtypes.float32), Type((size,), dtypes.float32))
plans["second output"] = plans["output"]
entries = {}
given = {name: gappy if name == "copy" else plain for name in plans}
for name in plans:
    a = given[name]
    entries[name] = program.make_entry(lambda entry, *arrays: 1 / 0)
    program.add_plan(entries[name], (a, a), outs[name], plans[name])
pages = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (pages + (30 << 20), -1))
for name, entry in entries.items():
    a = given[name]
    before = sys.getrefcount(a.dtype), sys.getrefcount(a), memory.allocated()
    for _ in range(10):
        try:
            entry(a, a)
        except MemoryError:
            continue
        raise SystemExit(f"{name}: memory that is not there")
    after = sys.getrefcount(a.dtype), sys.getrefcount(a), memory.allocated()
    assert before == after, (name, before, after)
print("ok")
"""


@pytest.mark.parametrize("tier", ["1", "2"])
def test_out_of_memory(python: Callable[..., str], tier: str) -> None:
    assert python(OUT_OF_MEMORY, TWOFOLD_TIER=tier) == "ok\n"


AT_EXIT = """
import sys
import numpy as np
from conftest import build
from twofold.codegen.compile import load
from twofold.codegen.native import core
from twofold.base import dtypes
from twofold.base.types import Type
from twofold.runtime import program
from twofold.runtime.program import In, Out, Plan, Step
core.start()
kernels = load("tests/runtime/2", build)
a = np.ones(4, "f4")
entry = program.make_entry(lambda entry, *arrays: "miss")
step = Step(kernels.address("add4"), (Out(0), In(0), In(1), 4), 4)
program.add_plan(entry, (a, a), (Type((4,), dtypes.float32),), Plan((step,)))
class Last:
    def __init__(self): self.entry, self.a = entry, a
    def __del__(self): self.a = self.entry(self.a, self.a); self.entry(self.a)
sys.last, np.last = Last(), Last()
cycle = [Last()]
cycle.append(cycle)
print(entry(a, a))
"""


@pytest.mark.parametrize("tier", ["1", "2", "3"])
def test_the_interpreter_ends_well(python: Callable[..., str], tier: str) -> None:
    assert python(AT_EXIT, TWOFOLD_TIER=tier) == "[2. 2. 2. 2.]\n"


DAMAGED = """
import sys
from twofold.runtime import native
DAMAGE
from twofold.codegen.native import core
import numpy as np
from twofold.runtime import memory, program
found = core.start()
print(found.tier, found.doubts)
assert isinstance(program.make_entry(print), program.PlainEntry)
memory.empty((3,), np.dtype("f4")).fill(1)
"""


@pytest.mark.parametrize(
    ("damage", "doubt"),
    [
        ('native.ARRAY["descr"] += 8', "descriptor"),
        ('native.ARRAY["mem_handler"] -= 8', "handler"),
        ('native.ARRAY["strides"] -= 8', "strides"),
        ("native.TYPE -= 8", "type"),
        ("native.FLOAT += 8", "float"),
        ("native.CAPSULE += 8", "capsule"),
        ("native.FREE_THREADED = True", "no GIL"),
        ("import twofold.runtime.entries as e; e.SLOTS['miss'] -= 8", "NativeEntry.miss"),
    ],
)
def test_unknown_layouts_choose_the_plain_tier(
    python: Callable[..., str], damage: str, doubt: str
) -> None:
    printed = python(DAMAGED.replace("DAMAGE", damage))
    assert printed.startswith("1 ") and doubt in printed


def test_cold_and_warm_start(python: Callable[..., str]) -> None:
    program = """
import sys, time
import numpy
from twofold.codegen.native import core
from twofold.runtime import memory
core.start()
assert "llvmlite" not in sys.modules, "a warm start imported llvmlite"
assert "twofold.codegen.library" not in sys.modules, "a warm start loaded LLVM"
print("warm")
"""
    python(program.replace("assert", "#"))
    assert python(program) == "warm\n"
