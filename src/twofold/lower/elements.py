"""How element types are held in memory and in registers. Floor 6.

A kernel computes float16 and bfloat16 in float32 and rounds once; unsigned integers in the next
wider signed type, where sums and products wrap to the same bits; truth values as i1; complex64 as a
pair of float32, complex128 of float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.codegen.pair import Pair
from twofold.ir.build import Function
from twofold.ir.loops import TYPES, vector, with_element
from twofold.ir.values import Value
from twofold.lower.half import HALVES

Convert = Callable[[Function, Any], Any]  # a Value, or a Pair of them


class Held(NamedTuple):
    """An element type: what memory holds, what is computed with, and how one becomes the other."""

    stored: str
    computed: str
    widen: Convert
    narrow: Convert


def _same(f: Function, x: Value) -> Value:
    return x


def _cast(how: str, to: str) -> Convert:
    return lambda f, x: x.cast(how, with_element(x.type, to))


def _plain(name: str) -> Held:
    return Held(name, name, _same, _same)


def _unsigned(stored: str, computed: str) -> Held:
    return Held(stored, computed, _cast("zext", computed), _cast("trunc", stored))


def _half(dtype: DType) -> Held:
    half = HALVES[dtype.name]
    return Held(half.element, "f32", half.widen, half.narrow)


PART = {"i64": "f32", "i128": "f64"}
WHOLE = {part: whole for whole, part in PART.items()}


def _parted(f: Function, x: Value) -> Pair:
    """From real and imaginary parts side by side, as one word of memory holds them."""
    lanes = TYPES[x.type].lanes
    both = x.cast("bitcast", vector(PART[TYPES[x.type].element], 2 * lanes))
    if not TYPES[x.type].is_vector:
        return Pair(f.extract(both, 0), f.extract(both, 1))
    parts = [f.shuffle(both, None, range(first, 2 * lanes, 2)) for first in (0, 1)]
    return Pair(*parts)


def _joined(f: Function, x: Pair) -> Value:
    part, lanes = TYPES[x.type].element, TYPES[x.type].lanes
    if not TYPES[x.type].is_vector:
        both = f.insert(f.insert(f.const(vector(part, 2), 0.0), x.real, 0), x.imag, 1)
        return both.cast("bitcast", WHOLE[part])
    mask = [side * lanes + i for i in range(lanes) for side in (0, 1)]
    return f.shuffle(x.real, x.imag, mask).cast("bitcast", vector(WHOLE[part], lanes))


HELD: dict[DType, Held] = {
    dtypes.bool_: Held("i8", "i1", lambda f, x: x.cmp("ne", 0), _cast("zext", "i8")),
    dtypes.uint8: _unsigned("i8", "i16"),
    dtypes.uint16: _unsigned("i16", "i32"),
    dtypes.uint32: _unsigned("i32", "i64"),
    dtypes.int8: _plain("i8"),
    dtypes.int16: _plain("i16"),
    dtypes.int32: _plain("i32"),
    dtypes.int64: _plain("i64"),
    dtypes.float16: _half(dtypes.float16),
    dtypes.bfloat16: _half(dtypes.bfloat16),
    dtypes.float32: _plain("f32"),
    dtypes.float64: _plain("f64"),
    dtypes.complex64: Held("i64", "f32", _parted, _joined),
    dtypes.complex128: Held("i128", "f64", _parted, _joined),
}


def lanes_for(types: list[DType], vector_bytes: int) -> int:
    """How many elements a vector takes, so that the widest of these types just fits."""
    widest = max(TYPES[name].size for t in types for name in HELD[t][:2])
    return max(vector_bytes // widest, 1)


def in_memory(dtype: DType, lanes: int) -> str:
    """The loops type of `lanes` elements in memory; a scalar where it is one."""
    return vector(HELD[dtype].stored, lanes) if lanes > 1 else HELD[dtype].stored
