"""Entries and plans, in machine code and in Python: the same results, the same refusals."""

import sys
from typing import Any

import numpy as np
import pytest
from plans import F4, F8, I8, add_of, nothing, out, pattern_of, rand

from twofold.base import dtypes
from twofold.codegen.compile import Code
from twofold.runtime import entries, memory, program, threads
from twofold.runtime.program import (
    In,
    Number,
    Out,
    Pattern,
    Plan,
    Scratch,
    Single,
    Step,
    add_pattern,
    add_plan,
    run_pattern,
    run_plan,
)

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


def test_one_element_for_all(kernels: Code, make: Any) -> None:
    entry = make(nothing)
    pattern = pattern_of(kernels, "scale4", (F4, Single(F4)), F4)
    assert add_pattern(entry, pattern)
    one = np.array(2.5, F4)
    for shape in [(), (0,), (1,), (3,), (2, 3, 4), (999,)]:
        a = rand(*shape)
        made = entry(a, one)
        assert made.shape == shape and np.array_equal(made, a * one)
        assert np.array_equal(run_pattern(pattern, (a, one)), a * one)
    for odd in (rand(1), rand(3), one.astype(F8), 2.5, one.astype(">f4")):
        assert entry(rand(3), odd) == "miss"
    assert entry(one, rand(3)) == "miss"


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
        entries.known_output(shape, dtypes.float32)  # type: ignore[arg-type]
    _, words = entries.known_output((6, 71), dtypes.float32)
    assert [type(word) for word in words] == [int] * len(words)
