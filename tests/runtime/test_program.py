"""Entries and plans, in machine code and in Python: the same results, the same refusals."""

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import Code
from twofold.codegen.native import core
from twofold.runtime import entries, memory, program, threads
from twofold.runtime.program import (
    Count,
    In,
    Number,
    Out,
    Pattern,
    PlainEntry,
    Plan,
    Scratch,
    Step,
    add_pattern,
    add_plan,
    run_pattern,
    run_plan,
)

F4, F8, I8 = np.dtype("f4"), np.dtype("f8"), np.dtype("i8")
MAKERS = {"plain": PlainEntry, "native": program.make_entry}


@pytest.fixture(params=list(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    tier = core.start().tier
    if request.param == "native" and tier == 1:
        pytest.skip(f"tier 1: {core.start().doubts or 'asked for'}")
    return MAKERS[request.param]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = threads.get_num_threads()
    yield
    threads.set_num_threads(before)


def out(shape: tuple[int, ...], dtype: np.dtype = F4) -> Type:
    return Type(shape, dtypes.of(dtype))


def add_of(kernels: Code, count: int, size: int = 4, chunks: int = 1) -> Plan:
    task = kernels.address(f"add{size}")
    return Plan((Step(task, (Out(0), In(0), In(1), count), chunks),))


def nothing(entry: object, *arrays: Any) -> str:
    return "miss"


def rand(*shape: int, dtype: np.dtype = F4, seed: int = 7) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


# ---- one plan


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (2, 0, 3), (1,) * 32, (1023, 17)])
def test_a_plan_answers_its_layout(kernels: Code, make: Any, shape: tuple[int, ...]) -> None:
    a, b = rand(*shape), rand(*shape, seed=8)
    plan = add_of(kernels, a.size)
    entry = make(nothing)
    assert entry(a, b) == "miss"
    assert add_plan(entry, (a, b), (out(shape),), plan)
    made = entry(a, b)
    assert type(made) is np.ndarray
    assert made.shape == shape and made.dtype is F4
    assert made.flags.c_contiguous and made.flags.writeable
    assert made.ctypes.data % 64 == 0
    assert np.array_equal(made, a + b)
    assert np.array_equal(run_plan(plan, (out(shape),), (a, b)), a + b)


def strided(kind: str) -> Any:
    base = rand(8, 8)
    return {
        "other size": lambda: rand(5),
        "other rank": lambda: rand(1, 4),
        "other type": lambda: rand(4, dtype=F8),
        "strides": lambda: base[0][::2],
        "backwards": lambda: rand(4)[::-1],
        "subclass": lambda: rand(4).view(type("Sub", (np.ndarray,), {})),
        "byte order": lambda: rand(4).astype(">f4"),
        "misaligned": lambda: np.frombuffer(b"\0" * 17, "f4", 4, 1),
        "list": lambda: [1.0, 2.0, 3.0, 4.0],
        "number": lambda: 3.0,
        "nothing": lambda: None,
    }[kind]()


KINDS = ["other size", "other rank", "other type", "strides", "backwards", "subclass"]
KINDS += ["byte order", "misaligned", "list", "number", "nothing"]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_misses(kernels: Code, make: Any, kind: str) -> None:
    seen: list[Any] = []

    def miss(entry: Any, *arrays: Any) -> str:
        seen.append(arrays)
        return "miss"

    a, odd = rand(4), strided(kind)
    entry = make(miss)
    add_plan(entry, (a, a), (out((4,)),), add_of(kernels, 4))
    assert entry(a, odd) == "miss"
    assert entry(odd, a) == "miss"
    assert seen[0][0] is a and seen[0][1] is odd and seen[1][0] is odd
    assert entry() == entry(a) == entry(a, a, a) == "miss"
    assert np.array_equal(entry(a, a), a + a)


def test_a_size_of_one_may_have_any_stride(kernels: Code, make: Any) -> None:
    # Strides are compared as they are: another stride on a size of 1 only plans again.
    a = rand(3, 4)[:1]
    entry = make(nothing)
    add_plan(entry, (a, a), (out((1, 4)),), add_of(kernels, 4))
    assert np.array_equal(entry(a, a), a + a)
    assert isinstance(entry(rand(1, 4), rand(1, 4)), str | np.ndarray)


def test_the_miss_plans_and_answers(kernels: Code, make: Any) -> None:
    calls = []

    def miss(entry: Any, a: np.ndarray, b: np.ndarray) -> Any:
        calls.append(a.shape)
        plan, outs = add_of(kernels, a.size), (out(a.shape),)
        assert add_plan(entry, (a, b), outs, plan)
        return run_plan(plan, outs, (a, b))

    entry = make(miss)
    for turn in range(3):
        for size in range(8):
            a = rand(size) + turn
            assert np.array_equal(entry(a, a), a + a)
    assert len(calls) == 8, "the plans are kept"
    for size in range(100, 200):
        a = rand(size)
        assert np.array_equal(entry(a, a), a + a)
    a = rand(199)
    entry(a, a)
    assert len(calls) == 108


def test_errors_of_the_miss_come_through(make: Any) -> None:
    def miss(entry: Any, *arrays: Any) -> Any:
        raise KeyError("no plan")

    with pytest.raises(KeyError, match="no plan"):
        make(miss)(rand(3))


def test_keywords_are_refused(make: Any) -> None:
    with pytest.raises(TypeError):
        make(nothing)(x=1)


def test_several_outputs_and_none(kernels: Code, make: Any) -> None:
    a, b = rand(50), rand(50) + 1
    job = (Out(0), Out(1), In(0), In(1), 50)
    plan, outs = Plan((Step(kernels.address("split"), job),)), (out((50,)), out((5, 10)))
    entry = make(nothing)
    add_plan(entry, (a, b), outs, plan)
    for made in (entry(a, b), run_plan(plan, outs, (a, b))):
        assert type(made) is tuple and len(made) == 2
        assert np.array_equal(made[0], a + b)
        assert np.array_equal(made[1], (a - b).reshape(5, 10))
    target = np.zeros(50, F4)
    job = (In(2), In(0), In(1), 50)
    entry = make(nothing)
    assert add_plan(entry, (a, b, target), (), Plan((Step(kernels.address("add4"), job),)))
    assert entry(a, b, target) is None
    assert np.array_equal(target, a + b)


def test_offsets_steps_and_scratch(kernels: Code, make: Any) -> None:
    a = rand(100)
    add, scale = kernels.address("add4"), kernels.address("scale4")
    steps = (
        Step(add, (Scratch(64), In(0, 40), In(0), 90)),
        Step(scale, (Out(0, 40), Scratch(64), In(0), 90)),
        Step(add, (Out(0), In(0), In(0), 10)),
    )
    plan, outs = Plan(steps, scratch=64 + 360), (out((100,)),)
    entry = make(nothing)
    add_plan(entry, (a,), outs, plan)
    expected = np.concatenate([a[:10] * 2, (a[10:] + a[:90]) * a[0]])
    assert np.array_equal(entry(a), expected)
    assert np.array_equal(run_plan(plan, outs, (a,)), expected)


def test_a_long_job_and_many_arrays(kernels: Code, make: Any) -> None:
    arrays = [rand(4) + i for i in range(120)]
    add = kernels.address("add4")
    steps = tuple(Step(add, (In(i + 1), In(i), In(i + 1), 4)) for i in range(119))
    entry = make(nothing)
    assert add_plan(entry, arrays, (), Plan(steps, scratch=100))
    expected = arrays[0].copy()
    for array in arrays[1:]:
        expected = expected + array
    before = memory.allocated()
    assert entry(*arrays) is None
    assert memory.allocated() == before
    assert np.array_equal(arrays[-1], expected)


def test_inputs_are_copied_to_c_order(kernels: Code, make: Any) -> None:
    a, b = rand(6, 4).T, rand(4, 6)
    plan, outs = Plan(add_of(kernels, 24).steps, contiguous=(0,)), (out((4, 6)),)
    entry = make(nothing)
    add_plan(entry, (a, b), outs, plan)
    before = sys.getrefcount(a)
    for _ in range(20):
        assert np.array_equal(entry(a, b), a + b)
    assert np.array_equal(run_plan(plan, outs, (a, b)), a + b)
    assert sys.getrefcount(a) == before


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_any_number_of_threads_gives_the_same(kernels: Code, make: Any, count: int) -> None:
    threads.set_num_threads(count)
    for size in (100, 40_000, 300_000):
        a, b = rand(size), rand(size)
        entry = make(nothing)
        add_plan(entry, (a, b), (out((size,)),), add_of(kernels, size, chunks=4 * count))
        for _ in range(5):
            assert np.array_equal(entry(a, b), a + b)


def test_another_number_of_threads_plans_again(kernels: Code, make: Any) -> None:
    a = rand(5)
    entry = make(nothing)
    threads.set_num_threads(2)
    add_plan(entry, (a, a), (out((5,)),), add_of(kernels, 5))
    threads.set_num_threads(3)
    assert entry(a, a) == "miss"
    threads.set_num_threads(2)
    assert np.array_equal(entry(a, a), a + a)


# ---- patterns


def pattern_of(kernels: Code, name: str, inputs: tuple[Any, ...], dtype: np.dtype, small: int = 8):
    job = (Out(0), In(0), In(1), Count())
    return Pattern(inputs, (dtype,), Plan((Step(kernels.address(name), job, 0),)), small)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_pattern_answers_every_shape(kernels: Code, make: Any, count: int) -> None:
    threads.set_num_threads(count)
    pattern = pattern_of(kernels, "add4", (F4, F4), F4)
    entry = make(nothing)
    assert add_pattern(entry, pattern)
    for shape in [(), (0,), (3,), (2, 3, 4), (0, 5), (1,) * 40, (999,), (600, 700)]:
        a, b = rand(*shape), rand(*shape)
        made = entry(a, b)
        assert made.shape == shape and made.dtype is F4
        assert np.array_equal(made, a + b)
        assert np.array_equal(run_pattern(pattern, (a, b)), a + b)


@pytest.mark.parametrize("kind", ["other size", "other rank", *KINDS[2:]])
def test_what_a_pattern_does_not_answer(kernels: Code, make: Any, kind: str) -> None:
    entry = make(nothing)
    add_pattern(entry, pattern_of(kernels, "add4", (F4, F4), F4))
    a, odd = rand(4), strided(kind)
    assert entry(a, odd) == entry(odd, a) == "miss"
    if kind == "strides":
        assert entry(odd, odd) == "miss"


NUMBERS = [2.5, 3, -7, 0, 1e300, -1e-300, float("inf"), float("nan"), 2**53 + 1, 2**62 + 1]


@pytest.mark.parametrize("value", NUMBERS)
@pytest.mark.parametrize("dtype", [F4, F8])
def test_numbers_are_converted(kernels: Code, make: Any, dtype: np.dtype, value: Any) -> None:
    entry = make(nothing)
    name = f"scale{dtype.itemsize}"
    assert add_pattern(entry, pattern_of(kernels, name, (dtype, Number(dtype)), dtype))
    a = rand(2, 3, dtype=dtype)
    with np.errstate(all="ignore"):
        expected = a * np.asarray(value, dtype)
    assert np.array_equal(entry(a, value), expected, equal_nan=True)
    assert entry(a, a) == entry(value, a) == entry(value, value) == "miss"


@pytest.mark.parametrize("odd", [True, None, "2", 2**63, -(2**63) - 1, 10**400, 1j, np.float64(2)])
def test_what_is_no_number(kernels: Code, make: Any, odd: Any) -> None:
    entry = make(nothing)
    add_pattern(entry, pattern_of(kernels, "scale4", (F4, Number(F4)), F4))
    assert entry(rand(3), odd) == "miss"


def test_whole_numbers(kernels: Code, make: Any) -> None:
    job = (Out(0), In(0), In(1), 1)
    pattern = Pattern((I8, Number(I8)), (I8,), Plan((Step(kernels.address("copy_word"), job),)))
    entry = make(nothing)
    assert add_pattern(entry, pattern)
    a = np.zeros(1, I8)
    for value in (0, -1, 2**63 - 1, -(2**63)):
        assert entry(a, value)[0] == value
    assert entry(a, 1.0) == entry(a, 2**63) == entry(a, True) == "miss"


def test_plan_and_pattern_side_by_side(kernels: Code, make: Any) -> None:
    entry = make(nothing)
    add_pattern(entry, pattern_of(kernels, "add4", (F4, F4), F4))
    add_pattern(entry, pattern_of(kernels, "add8", (F8, F8), F8))
    a = rand(6)
    view = rand(12)[::2]
    add_plan(entry, (a, view), (out((6,)),), Plan(add_of(kernels, 6).steps, contiguous=(1,)))
    wide = rand(2, 2, dtype=F8)
    for _ in range(3):
        assert np.array_equal(entry(a, a), a + a)
        assert np.array_equal(entry(wide, wide), wide + wide)
        assert np.array_equal(entry(a, view), a + view)
        assert entry(view, view) == "miss"


# ---- lives


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

    turn(100)
    gc.collect()
    begin = [sys.getrefcount(x) for x in watched], sys.getallocatedblocks(), rss()
    in_arrays = memory.allocated()
    turn(20_000 if make is not PlainEntry else 2000)
    gc.collect()
    end = [sys.getrefcount(x) for x in watched], sys.getallocatedblocks(), rss()
    assert max(abs(x - y) for x, y in zip(begin[0], end[0], strict=True)) < 100
    assert abs(end[1] - begin[1]) < 100
    assert end[2] - begin[2] < 1000
    assert memory.allocated() == in_arrays


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


CHUNKS = 16  # two seconds: enough for a busy machine to throw the plan away meanwhile


def test_a_plan_thrown_away_while_it_runs(kernels: Code, make: Any) -> None:
    threads.set_num_threads(2)
    counter = ctypes.c_int64(0)
    words = np.array([ctypes.addressof(counter), 300_000], I8)
    big = np.zeros(entries.RELEASE_FROM, F4)
    plan = Plan((Step(kernels.address("slow_words"), (In(0),), CHUNKS),), keep=(words,))
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
    assert counter.value < CHUNKS, "the GIL was not given up"
    runner.join()
    assert counter.value == CHUNKS
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


def test_a_plan_for_arrays_without_a_layout_is_kept_by_no_entry() -> None:
    entry = program.PlainEntry(lambda entry, *arrays: "missed")
    misaligned = np.zeros(17, np.uint8)[1:].view(np.float32)
    assert not entry.add((misaligned,), (), program.Plan(()))
    assert entry(misaligned) == "missed"


def test_steps_as_words_are_the_steps(kernels: Code) -> None:
    """Of a graph's plan there are words only; who asks for steps is given steps."""
    steps = (
        Step(kernels.address("add4"), (Out(0), In(0, 8), In(1), Scratch(64), 6)),
        Step(7, (Out(1, 16), -5), 4),
        Step(0, (Scratch(3),), -1),
    )
    heads, words = [], []
    for step in steps:
        heads += [step.task, len(words), step.chunks]
        words += [word if isinstance(word, int) else 0 for word in step.job]
    at_out = program.BASES + 2
    patches = [0, at_out, 0, 1, program.BASES, 8, 2, program.BASES + 1, 0]
    patches += [3, program.SCRATCH, 64, 5, at_out + 1, 16, 7, program.SCRATCH, 3]
    coded = program.Coded(heads, words, patches, 2)
    assert tuple(coded) == steps and len(coded) == 3 and coded[1] == steps[1]
    assert coded.chunks == [1, 4, -1]


def test_steps_as_words_run(kernels: Code, make: Any) -> None:
    plan = add_of(kernels, 24)
    (step,) = plan.steps
    heads = [step.task, 0, step.chunks]
    words = [word if isinstance(word, int) else 0 for word in step.job]
    patches = []
    for place, word in enumerate(step.job):
        if isinstance(word, In | Out):
            base = program.BASES + word.index + 2 * isinstance(word, Out)
            patches += [place, base, word.offset]
    coded = Plan(program.Coded(heads, words, patches, 2))
    a, b = rand(24), rand(24)
    entry = make(nothing)
    assert add_plan(entry, (a, b), (out((24,)),), coded)
    assert entry(a, b).tobytes() == (a + b).tobytes()


def test_a_size_that_is_no_whole_number_is_refused_and_not_remembered() -> None:
    """2.0 is equal to 2: what is kept under it would be found for it."""
    shape = (6.0, 71)
    with pytest.raises(TypeError):
        entries._known_output(shape, dtypes.float32)  # type: ignore[arg-type]
    _, words = entries._known_output((6, 71), dtypes.float32)
    assert [type(word) for word in words] == [int] * len(words)
