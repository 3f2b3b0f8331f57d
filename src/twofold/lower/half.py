"""float16 and bfloat16 to float32 and back, over contiguous elements. Floor 6.

Widening is exact; narrowing rounds to nearest, ties to even, and keeps a NaN a NaN.
"""

from __future__ import annotations

from collections.abc import Callable

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.loops import with_element
from twofold.ir.values import Value
from twofold.lower.schedule import Step, Word, chunks_for
from twofold.lower.task import Task, arrange

JOB = "source:ptr out:ptr n"
LANES = 8


class Half(NamedTuple):
    """A 16-bit floating type: what the loops call its storage, and how one converts."""

    element: str
    widen: Callable[[Function, Value], Value]
    narrow: Callable[[Function, Value], Value]


def _like(value: Value, element: str) -> str:
    return with_element(value.type, element)


def _widen_float16(f: Function, x: Value) -> Value:
    return x.cast("fpext", _like(x, "f32"))


def _narrow_float16(f: Function, x: Value) -> Value:
    return x.cast("fptrunc", _like(x, "f16"))


def _widen_bfloat16(f: Function, x: Value) -> Value:
    return (x.cast("zext", _like(x, "i32")) << 16).cast("bitcast", _like(x, "f32"))


def _narrow_bfloat16(f: Function, x: Value) -> Value:
    bits = x.cast("bitcast", _like(x, "i32"))
    upper = bits.lshr(16)
    rounded = (bits + 0x7FFF + (upper & 1)).lshr(16)
    return x.cmp("uno", x).select(upper | 0x40, rounded).cast("trunc", _like(x, "i16"))


HALVES = {
    "float16": Half("f16", _widen_float16, _narrow_float16),
    "bfloat16": Half("i16", _widen_bfloat16, _narrow_bfloat16),
}


def build_half(half: Half) -> Module:
    """The tasks widen and narrow of one type."""
    m = Module("half")
    _define(m, "widen", half.element, "f32", half.widen)
    _define(m, "narrow", "f32", half.element, half.narrow)
    return m


def _define(
    m: Module, name: str, source: str, target: str, convert: Callable[[Function, Value], Value]
) -> None:
    t = Task(m, name, JOB)
    f = t.f
    low, high = t.share(t.n)
    whole = low + (high - low) // LANES * LANES
    with f.loop(low, whole, LANES) as i:
        x = t.source.at(i, source).load(f"{source}x{LANES}")
        t.out.at(i, target).store(convert(f, x))
    with f.loop(whole, high) as i:
        t.out.at(i, target).store(convert(f, t.source.at(i, source).load(source)))


def _code(dtype: str) -> Code:
    return load(f"half/{dtype}", lambda: build_half(HALVES[dtype]))


def convert_step(task: str, dtype: str, source: Word, out: Word, count: int, threads: int) -> Step:
    """The step that converts `count` elements; task is "widen" or "narrow"."""
    job = arrange(JOB, {"source": source, "out": out, "n": count})
    return Step(_code(dtype).address(task), job, chunks_for(count, threads))
