"""What each statement and operation does when it runs, and what the compiler must not do to it."""

import ctypes
import itertools
import math
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold.base.flags import flags
from twofold.codegen.compile import Code, assembly, emit_text, load
from twofold.codegen.target import TARGETS, host
from twofold.ir.build import Function, Module, Value
from twofold.ir.loops import TYPES

from ..ir.programs import everything

_keys = itertools.count()


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with flags.override(cache=str(Path(tmp_path_factory.mktemp("kernels")) / "cache")):
        yield


def compiled(m: Module) -> Code:
    return load(f"test_emit/{next(_keys)}", lambda: m)


def number(write: Callable[..., Any], *arguments: int) -> int:
    """What a function of whole numbers gives, written by `write(f, *its values)`."""
    m = Module("number")
    f = m.function("f", [(f"n{i}", "i64") for i in range(len(arguments))], "i64")
    result = write(f, *f.args)
    if result is not None:
        f.ret(result)
    types = [ctypes.c_int64] * len(arguments)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *types)(compiled(m).address("f"))(*arguments)


def each(
    write: Callable[..., Value], type: str, arrays: list[np.ndarray], result: str, dtype: str
) -> np.ndarray:
    """`write` on each lane of vectors of 8, one array for each operand."""
    m = Module("each")
    pointers = [f"a{i}" for i in range(len(arrays))] + ["out"]
    f = m.function("f", [*((name, "ptr") for name in pointers), ("n", "i64")])
    *inputs, out, n = f.args
    element, into = type.partition("x")[0], result.partition("x")[0]
    with f.loop(0, n, 8) as i:
        values = [p.at(i, element).load(type) for p in inputs]
        out.at(i, into).store(write(f, *values))
    size = len(arrays[0])
    padded = [np.resize(array, -(-size // 8) * 8) for array in arrays]
    output = np.zeros(len(padded[0]), dtype)
    run = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * (len(arrays) + 1), ctypes.c_int64)
    addresses = [array.ctypes.data for array in [*padded, output]]
    run(compiled(m).address("f"))(*addresses, len(output))
    return output[:size]


# ---- whole numbers -------------------------------------------------------------------------------

WHOLE = np.array([0, 1, -1, 2, -2, 3, -7, 8, 100, -100, 2**31 - 1, -(2**31), 12345], "i4")
BY = np.where(WHOLE == 0, 5, WHOLE)[::-1].astype("i4")  # nothing is divided by zero
UNSIGNED, UNSIGNED_BY = WHOLE.view("u4"), BY.view("u4")


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (lambda f, x, y: x + y, WHOLE + BY),
        (lambda f, x, y: x - y, WHOLE - BY),
        (lambda f, x, y: x * y, WHOLE * BY),
        (lambda f, x, y: x // y, UNSIGNED // UNSIGNED_BY),
        (lambda f, x, y: x % y, UNSIGNED % UNSIGNED_BY),
        (lambda f, x, y: x & y, WHOLE & BY),
        (lambda f, x, y: x | y, WHOLE | BY),
        (lambda f, x, y: x ^ y, WHOLE ^ BY),
        (lambda f, x, y: x << 3, WHOLE << 3),
        (lambda f, x, y: x.ashr(3), WHOLE >> 3),
        (lambda f, x, y: x.lshr(3), UNSIGNED >> 3),
        (lambda f, x, y: -x, 0 - WHOLE),
        (lambda f, x, y: ~x, ~WHOLE),
        (lambda f, x, y: f.abs(x), np.abs(WHOLE)),
        (lambda f, x, y: f.min(x, y), np.minimum(WHOLE, BY)),
        (lambda f, x, y: f.max(x, 7), np.maximum(WHOLE, 7)),
        (lambda f, x, y: f.popcount(x), [bin(x).count("1") for x in UNSIGNED]),
        (lambda f, x, y: f.ctlz(x), [32 - int(x).bit_length() for x in UNSIGNED]),
        (lambda f, x, y: x.cmp("slt", y).select(x, y), np.minimum(WHOLE, BY)),
        (lambda f, x, y: x.cmp("ugt", y).cast("zext", "i32x8"), np.greater(UNSIGNED, UNSIGNED_BY)),
        (
            lambda f, x, y: x.cmp("ne", y).cast("sext", "i32x8"),
            -np.not_equal(WHOLE, BY).astype("i4"),
        ),
    ],
)
def test_whole_numbers(write: Callable[..., Value], expected: Any) -> None:
    found = each(write, "i32x8", [WHOLE, BY], "i32x8", "i4")
    np.testing.assert_array_equal(found, np.asarray(expected).astype("u4").view("i4"))


@pytest.mark.parametrize("x", [17, -17])
@pytest.mark.parametrize("y", [5, -5])
def test_signed_division_rounds_toward_zero(x: int, y: int) -> None:
    assert number(lambda f, a, b: a.sdiv(b), x, y) == int(x / y)
    assert number(lambda f, a, b: a.srem(b), x, y) == int(math.fmod(x, y))


def test_widths_change_with_and_without_the_sign() -> None:
    assert number(lambda f, n: n.cast("trunc", "i8").cast("sext", "i64"), 0x1FF) == -1
    assert number(lambda f, n: n.cast("trunc", "i8").cast("zext", "i64"), 0x1FF) == 255
    assert (
        number(lambda f, n: n.cast("inttoptr", "ptr").at(2, "i32").cast("ptrtoint", "i64"), 8) == 16
    )


# ---- floats --------------------------------------------------------------------------------------

SPECIAL = [0.0, -0.0, 1.0, -1.5, 0.5, 2.5, 3.5, 1e-40, -1e-45, 3e38, np.inf, -np.inf, np.nan, 0.1]
FLOATS = np.array(SPECIAL + [math.pi, -7.25, 8388609.0, 1e20], "f4")
OTHERS = np.roll(FLOATS, 5)


def one_where_nan(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x) | np.isnan(y), np.float32(1), x)


@pytest.mark.parametrize(
    ("write", "reference"),
    [
        (lambda f, x, y: x + y, lambda x, y: x + y),
        (lambda f, x, y: x - y, lambda x, y: x - y),
        (lambda f, x, y: x * y, lambda x, y: x * y),
        (lambda f, x, y: x / y, lambda x, y: x / y),
        (lambda f, x, y: 1.0 / x, lambda x, y: 1 / x),
        (lambda f, x, y: -x, lambda x, y: -x),
        (lambda f, x, y: f.abs(x), lambda x, y: np.abs(x)),
        (lambda f, x, y: f.sqrt(x), lambda x, y: np.sqrt(x)),
        (lambda f, x, y: f.floor(x), lambda x, y: np.floor(x)),
        (lambda f, x, y: f.ceil(x), lambda x, y: np.ceil(x)),
        (lambda f, x, y: f.trunc(x), lambda x, y: np.trunc(x)),
        (lambda f, x, y: f.rint(x), lambda x, y: np.rint(x)),
        (lambda f, x, y: f.copysign(x, y), np.copysign),
        (lambda f, x, y: x.cmp("olt", y).select(x, y), lambda x, y: np.where(x < y, x, y)),
        (lambda f, x, y: x.cmp("uno", y).select(1.0, x), one_where_nan),
        (lambda f, x, y: x * 0.1, lambda x, y: x * np.float32(0.1)),
    ],
)
def test_floats_to_the_last_bit(
    write: Callable[..., Value], reference: Callable[..., np.ndarray]
) -> None:
    found = each(write, "f32x8", [FLOATS, OTHERS], "f32x8", "f4")
    with np.errstate(all="ignore"):
        expected = reference(FLOATS, OTHERS)
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(found)
    np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


def test_fma_rounds_once_and_plain_arithmetic_twice() -> None:
    x = np.array([1 + 2**-12, 1 / 3, 1e15, 3.0], "f4")
    c = -(x * x)
    exact = x.astype("f8") * x.astype("f8") + c
    fused = each(lambda f, x, c: f.fma(x, x, c), "f32x8", [x, c], "f32x8", "f4")
    np.testing.assert_array_equal(fused, exact.astype("f4"))
    assert (fused != 0).any()
    plain = each(lambda f, x, c: x * x + c, "f32x8", [x, c], "f32x8", "f4")
    np.testing.assert_array_equal(plain, np.zeros_like(x))


def test_sums_are_taken_in_the_order_written() -> None:
    x = np.array([1e8, 1.0, 3.0, 7.0], "f4")

    def write(f: Function, x: Value) -> Value:
        total = x
        for _ in range(5):
            total = total + 1.0
        return total - x

    expected = x.copy()
    for _ in range(5):
        expected = expected + np.float32(1)
    found = each(write, "f32x8", [x], "f32x8", "f4")
    np.testing.assert_array_equal(found, expected - x)
    assert found[0] == 0 and found[1] == 5


def test_casts_between_numbers() -> None:
    def check(how: str, source: str, target: str, values: np.ndarray, dtype: str) -> None:
        found = each(
            lambda f, x: x.cast(how, f"{target}x8"), f"{source}x8", [values], f"{target}x8", dtype
        )
        np.testing.assert_array_equal(found, values.astype(dtype))

    halves = np.array([0, -0.0, 65504, 1e-7, 0.1, np.inf], "f2")
    singles = np.array([0, 1.5, -2.75, 100.1], "f4")
    check("fpext", "f16", "f32", halves, "f4")
    check("fptrunc", "f32", "f16", np.array([0.1, 1e-8, 65519.0, 2049.0], "f4"), "f2")
    check("fpext", "f32", "f64", singles, "f8")
    check("fptosi", "f32", "i32", singles, "i4")
    check("sitofp", "i64", "f64", np.array([2**53 + 1, -5], "i8"), "f8")
    check("uitofp", "i32", "f32", np.array([2**32 - 1, 5], "u4"), "f4")
    bits = each(lambda f, x: x.cast("bitcast", "i32x8"), "f32x8", [singles], "i32x8", "i4")
    np.testing.assert_array_equal(bits, singles.view("i4"))


@pytest.mark.parametrize("type", ["f16", "f32", "f64"])
@pytest.mark.parametrize("value", [0.1, -0.0, 1e-45, math.inf, -math.inf, math.nan, 3.5e38])
def test_constants_have_their_bits(type: str, value: float) -> None:
    dtype = {"f16": "f2", "f32": "f4", "f64": "f8"}[type]
    m = Module("constants")
    m.table("table", type, [value])
    f = m.function("f", [("out", "ptr")])
    (out,) = f.args
    out.store(f.const(type, value))
    out.at(1, type).store(f.address("table").load(type))
    found = np.zeros(2, dtype)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled(m).address("f"))(found.ctypes.data)
    with np.errstate(over="ignore"):
        expected = np.array([value, value], dtype)
    np.testing.assert_array_equal(found, expected)
    assert math.isnan(value) or (np.signbit(found) == np.signbit(expected)).all()


# ---- vectors and memory --------------------------------------------------------------------------

EIGHT = np.arange(8, dtype="f4") + 1


def memory(write: Callable[[Function, Value], object], data: np.ndarray) -> np.ndarray:
    """The array after `write(f, p)` has worked on it in place."""
    m = Module("memory")
    f = m.function("f", [("p", "ptr")])
    write(f, f.args[0])
    data = data.copy()
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled(m).address("f"))(data.ctypes.data)
    return data


def test_lanes_move_as_the_mask_says() -> None:
    def write(f: Function, p: Value) -> None:
        a, b = p.load("f32x4"), p.at(4).load("f32x4")
        p.store(f.shuffle(a, b, [0, 4, 3, 7, 1, 5, 2, 6]))

    np.testing.assert_array_equal(memory(write, EIGHT), [1, 5, 4, 8, 2, 6, 3, 7])


def test_single_lanes_are_read_and_written() -> None:
    def write(f: Function, p: Value) -> None:
        v = p.load("f32x8")
        last = p.at(8).load().cast("fptosi", "i64")
        p.store(f.insert(f.insert(v, 50, 2), f.extract(v, last), last + 1))
        p.at(8).store(f.extract(f.iota("f32x8"), 5))

    found = memory(write, np.append(EIGHT, np.float32(6)))
    np.testing.assert_array_equal(found, [1, 2, 50, 4, 5, 6, 7, 7, 5])


def test_masked_memory_is_not_touched() -> None:
    """The vectors hang over the end of a page that has nothing behind it."""
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    base = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(base + mmap.PAGESIZE), mmap.PAGESIZE, 0) == 0
    edge = (ctypes.c_float * 3).from_address(base + mmap.PAGESIZE - 12)
    edge[:] = [1, 2, 3]

    def write(f: Function, p: Value) -> None:
        mask = f.iota("i64x8").cmp("slt", f.const("i64x8", 3))
        x = f.masked_load(p, mask, "f32x8")
        y = f.gather(p, f.const("i32x8", [2, 1, 0, 0, 0, 0, 9999, -9999]), "f32x8", mask)
        f.masked_store(x * 10.0 + y + f.extract(x, 7).splat(8), p, mask)

    m = Module("edge")
    f = m.function("f", [("p", "ptr")])
    write(f, f.args[0])
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(compiled(m).address("f"))(ctypes.addressof(edge))
    assert list(edge) == [13, 22, 31]


def test_gather_without_a_mask() -> None:
    def write(f: Function, p: Value) -> None:
        p.store(f.gather(p, f.const("i64x8", [7, 6, 5, 4, 3, 2, 1, 0]), "f32x8"))

    np.testing.assert_array_equal(memory(write, EIGHT), EIGHT[::-1])


def test_bytes_are_copied_moved_and_set() -> None:
    def write(f: Function, p: Value) -> None:
        own = f.array("f32", 8)
        f.memcpy(own, p, 32)
        f.memset(p, 0, 8)
        f.memmove(p.at(4), p.at(3), 16)
        p.at(3).store(own.at(7).load())

    np.testing.assert_array_equal(memory(write, EIGHT), [0, 0, 3, 8, 4, 5, 6, 7])


def test_an_array_on_the_stack_is_aligned_and_made_once() -> None:
    def write(f: Function, n: Value) -> Value:
        seen = f.var("i64", 0)
        with f.loop(0, n):
            own = f.array("i8", 1000, align=64)
            seen.set(seen.get() | own.cast("ptrtoint", "i64") % 64)
        return seen.get()

    assert number(write, 100_000) == 0, "100 MB would not fit on a stack"


def test_atomics() -> None:
    def write(f: Function, p: Value) -> None:
        old = f.atomic("add", p, 5)
        old = old * 10 + f.atomic("xchg", p, 100)
        old = old * 10 + f.atomic("sub", p, 30).cmp("eq", 100).cast("zext", "i64")
        f.atomic("or", p, 1)
        f.atomic("and", p, 0xFF)
        f.atomic("xor", p, 2)
        seen, wrote = f.cas(p, 69, 7)
        again, not_wrote = f.cas(p, 69, 8)
        f.fence()
        f.pause()
        f.prefetch(p)
        p.at(1, "i64").store(old)
        p.at(2, "i64").store(seen * 100 + again)
        p.at(3, "i64").store(wrote.cast("zext", "i64") * 10 + not_wrote.cast("zext", "i64"))
        f.atomic_store(p.at(4, "i64"), f.atomic_load(p))

    found = memory(write, np.array([1, 0, 0, 0, 0], "i8"))
    np.testing.assert_array_equal(found, [7, 161, 6907, 10, 7])


# ---- control flow --------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "step"), [(0, 5, 1), (3, 3, 1), (5, 0, 1), (-7, 20, 4)])
def test_a_loop_counts_as_range_does(low: int, high: int, step: int) -> None:
    def write(f: Function, low: Value, high: Value, step: Value) -> Value:
        total = f.var("i64", 0)
        with f.loop(low, high, step) as i:
            total.set(total.get() * 31 + i + 100)
        return total.get()

    expected = 0
    for i in range(low, high, step):
        expected = expected * 31 + i + 100
    assert number(write, low, high, step) == expected


def test_break_and_continue_reach_the_innermost_loop() -> None:
    def write(f: Function, n: Value) -> Value:
        total = f.var("i64", 0)
        with f.loop(0, n) as i:
            f.continue_if((i % 2).cmp("eq", 1))
            with f.loop(0, n) as j:
                f.break_if(j.cmp("sgt", i))
                with f.if_(j.cmp("eq", 2)):
                    f.continue_if(True)
                    total.set(-1)
                total.set(total.get() + j + 1)
            f.break_if(i.cmp("eq", 6))
        return total.get()

    expected = sum(j + 1 for i in (0, 2, 4, 6) for j in range(i + 1) if j != 2)
    assert number(write, 100) == expected


def test_while_with_continue_and_a_return_inside() -> None:
    def write(f: Function, n: Value) -> None:
        count = f.var("i64", 0)
        with f.while_():
            count.set(count.get() + 1)
            f.continue_if(count.get().cmp("slt", n))
            with f.if_(count.get().cmp("sge", n * 2)):
                f.ret(count.get())

    assert number(write, 5) == 10


@pytest.mark.parametrize(("x", "expected"), [(1, 10), (2, 20), (-3, 30), (0, 99), (7, 99)])
def test_a_switch_takes_one_way(x: int, expected: int) -> None:
    def write(f: Function, n: Value) -> Value:
        out = f.var("i64", 99)
        f.switch(n, {1: lambda: out.set(10), 2: lambda: f.ret(20), -3: lambda: out.set(30)})
        return out.get()

    assert number(write, x) == expected


def test_a_switch_with_a_default_of_its_own() -> None:
    def write(f: Function, n: Value) -> None:
        cases = {k: lambda k=k: f.ret(k * k) for k in range(10)}
        f.switch(n, cases, default=lambda: f.ret(-1))

    assert [number(write, k) for k in (3, 9, 10)] == [9, 81, -1]


@pytest.mark.parametrize(("x", "expected"), [(0, 1), (5, 2), (50, 3)])
def test_if_in_if(x: int, expected: int) -> None:
    def write(f: Function, n: Value) -> Value:
        out = f.var("i64")
        with f.if_(n.cmp("eq", 0)) as outer:
            out.set(1)
            outer.otherwise()
            with f.if_(n.cmp("slt", 10)) as inner:
                out.set(2)
                inner.otherwise()
                out.set(3)
        return out.get()

    assert number(write, x) == expected


def test_statements_after_a_return_do_no_harm() -> None:
    m = Module("after")
    f = m.function("f", [("n", "i64")], "i64")
    with f.if_(f.args[0].cmp("eq", 1)):
        f.ret(5)
        f.ret(6)
    f.ret(7)
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compiled(m).address("f"))
    assert [run(1), run(2)] == [5, 7]


# ---- functions -----------------------------------------------------------------------------------


def test_calls_inside_the_module_by_pointer_and_outside() -> None:
    m = Module("calls")
    m.extern("getpid", "i32", [])
    m.extern("snprintf", "i32", ["ptr", "i64", "ptr"], variadic=True)
    m.table("form", "i8", [*b"%d and %s", 0])
    inner = m.function("inner", [("x", "i64")], "i64", internal=True, inline="never")
    inner.ret(inner.args[0] * 2)
    f = m.function("f", [("out", "ptr")], "i64")
    (out,) = f.args
    f.call("i32", "snprintf", out, 32, f.address("form"), 7, f.address("form"))
    twice = f.call("i64", f.function("inner"), f.call("i64", "inner", 3))
    f.ret(twice * 1000000 + f.call("i32", "getpid").cast("sext", "i64"))
    text = ctypes.create_string_buffer(32)
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(compiled(m).address("f"))
    assert run(ctypes.addressof(text)) == 12_000_000 + os.getpid()
    assert text.value == b"7 and %d and %s"


def test_data_starts_as_zeros_lasts_and_can_be_found() -> None:
    m = Module("data")
    m.data("count", "i64", 3)
    f = m.function("f", [], "i64")
    place = f.address("count").at(1, "i64")
    place.store(place.load("i64") + 1)
    f.ret(place.load("i64"))
    code = compiled(m)
    run = ctypes.CFUNCTYPE(ctypes.c_int64)(code.address("f"))
    assert [run(), run()] == [1, 2]
    assert (ctypes.c_int64 * 3).from_address(code.address("count"))[:] == [0, 2, 0]
    assert code.address("count") % 64 == 0


def test_what_is_always_inlined_leaves_no_call() -> None:
    def text(inline: str) -> str:
        m = Module("inlined")
        inner = m.function("inner", [("x", "i64")], "i64", internal=True, inline=inline)
        inner.ret(inner.args[0] * inner.args[0])
        f = m.function("f", [("x", "i64")], "i64")
        f.ret(f.call("i64", "inner", f.args[0]) + 1)
        return assembly(m)

    assert "inner" not in text("always")
    assert "call" in text("never") or "jmp" in text("never")


# ---- what the compiler must do and must not do ---------------------------------------------------


def loop_of(write: Callable[[Function, Value], Value], type: str) -> str:
    m = Module("loop")
    f = m.function("f", [("p", "ptr"), ("n", "i64")])
    p, n = f.args
    with f.loop(0, n) as i:
        p.at(i).store(write(f, p.at(i).load(type)))
    return assembly(m, TARGETS["x86-64-v3"])


def test_scalar_loops_stay_scalar_and_vector_loops_are_vectors() -> None:
    scalar = loop_of(lambda f, x: x + 1.0, "f32")
    assert "addss" in scalar and "addps" not in scalar
    assert "ymm" in loop_of(lambda f, x: x + 1.0, "f32x8")


def test_multiply_and_add_are_fused_only_on_demand() -> None:
    assert "vfm" not in loop_of(lambda f, x: x * x + x, "f32x8")
    assert "vfm" in loop_of(lambda f, x: f.fma(x, x, x), "f32x8")


def test_a_name_of_the_c_library_means_nothing_to_the_compiler() -> None:
    """A function of ours that is called exp is ours, for constants too."""
    m = Module("names")
    for name in ("exp", "fabs", "labs", "round"):
        type = "i64" if name == "labs" else "f64"
        inner = m.function(name, [("x", type)], type, inline="never")
        inner.ret(inner.args[0] + 1000)
    f = m.function("f", [("x", "i64")], "i64")
    parts = [f.call("f64", name, 2.5).cast("fptosi", "i64") for name in ("exp", "fabs", "round")]
    f.ret(parts[0] + parts[1] + parts[2] + f.call("i64", "labs", f.args[0]))
    run = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(compiled(m).address("f"))
    assert run(-7) == 3 * 1002 + 993


def test_variables_live_in_registers() -> None:
    m = Module("registers")
    f = m.function("f", [("p", "ptr"), ("n", "i64")], "f32")
    p, n = f.args
    total = f.var("f32", 0.0)
    with f.loop(0, n) as i:
        total.set(total.get() + p.at(i).load())
    f.ret(total.get())
    assert "rsp" not in assembly(m, TARGETS["x86-64-v3"])


def test_a_target_without_fma_gets_another_spelling() -> None:
    assert "llvm.fma." in emit_text(everything(), host())
    text = emit_text(everything(), TARGETS["wasm32"])
    assert "llvm.fmuladd." in text and "llvm.fma." not in text
    assert "pause" not in text
    assert "call fma" not in assembly(everything(), TARGETS["wasm32"])


def test_noalias_is_said_only_where_it_is_promised() -> None:
    m = everything()
    assert "noalias" not in emit_text(m)
    m.functions[-1].noalias = True
    assert emit_text(m).count("noalias") == 1


@pytest.mark.parametrize("type", ["f32", "f32x8", "f32x16", "f32x64", "f64", "f64x2", "f64x16"])
@pytest.mark.parametrize("instruction", [True, False])
def test_scale_rounds_once(type: str, instruction: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """x * 2**k, where the result overflows or is denormal too; by parts as by the instruction."""
    kind = {"f32": np.float32, "f64": np.float64}[type.partition("x")[0]]
    small, large = (-150, 129) if kind is np.float32 else (-1075, 1025)
    random = np.random.default_rng(0)
    x = random.uniform(-2, 2, 64).astype(kind)
    x[:4] = 0.0, np.nan, 1.0, -1.0
    k = random.integers(small, large, 64).astype(kind)
    k[4:8] = small, large, -126, 127
    m = Module("scale")
    f = m.function("run", [("x", "ptr"), ("k", "ptr"), ("out", "ptr")])
    given, by, out = f.args
    element, lanes = TYPES[type].element, TYPES[type].lanes
    with f.loop(0, 64, lanes) as i:
        value = f.scale(given.at(i, element).load(type), by.at(i, element).load(type))
        out.at(i, element).store(value)
    f.ret()
    target = host() if instruction else host()._replace(scale="")
    monkeypatch.setattr("twofold.codegen.compile.host", lambda: target)
    made = np.empty_like(x)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)
    code = compiled(m)
    call(code.address("run"))(x.ctypes.data, k.ctypes.data, made.ctypes.data)
    with np.errstate(all="ignore"):
        wanted = np.ldexp(x, k.astype(np.int32))
    np.testing.assert_array_equal(made.view(np.uint8), wanted.view(np.uint8))
