"""Draws of random numbers: functions of (seed, stream, draw, element) alone. Floor 4.

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): element i of
draw n of stream s comes from the block with counter (i // 4, n, s) and the key `seed`, whatever the
threads and the shape.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.ops.op import Op, Sample, define
from twofold.ops.tensor import Array

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)
FEW = 4  # blocks that Python's numbers make faster than NumPy's arrays
Words = npt.NDArray[np.uint32]


def philox(
    counter: tuple[Any, Any, Any, Any], key: tuple[int, int]
) -> tuple[Words, Words, Words, Words]:
    """Ten rounds of Philox4x32 on arrays of counter words; four arrays of u32."""
    a, b, c, d = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = a * MULTIPLIERS[0], c * MULTIPLIERS[1]
        a = (second >> HALF) ^ b ^ np.uint64(k0)
        c = (first >> HALF) ^ d ^ np.uint64(k1)
        b, d = second & LOW, first & LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return a.astype(np.uint32), b.astype(np.uint32), c.astype(np.uint32), d.astype(np.uint32)


def _philox_of(block: int, draw: int, stream: int, key: tuple[int, int]) -> list[int]:
    """One block in Python's numbers, whose steps take a tenth of the time of NumPy's."""
    a, b, c, d = block, 0, draw, stream
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = a * 0xD2511F53, c * 0xCD9E8D57
        a, c = (second >> 32) ^ b ^ k0, (first >> 32) ^ d ^ k1
        b, d = second & 0xFFFFFFFF, first & 0xFFFFFFFF
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return [a, b, c, d]


def random_words(count: int, seed: int, stream: int, draw: int) -> Words:
    """The first `count` words of a draw: word i is word i % 4 of block i // 4."""
    if count <= 4 * FEW and 0 <= stream < 1 << 32:
        halves = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
        blocks = range(-(-count // 4))
        few = [w for i in blocks for w in _philox_of(i, draw & 0xFFFFFFFF, stream, halves)]
        return np.array(few[:count], np.uint32)
    block = np.arange(-(-count // 4), dtype=np.uint64)
    counter = (block & LOW, block >> HALF, np.uint64(draw & 0xFFFFFFFF), np.uint64(stream))
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    return np.stack(philox(counter, key), axis=-1).reshape(-1)[:count]


def _words(state: Array, count: int) -> Words:
    seed, stream, draw = map(int, state)
    return random_words(count, seed, stream, draw)


def _uniform(state: Array, *, shape: tuple[int, ...], dtype: DType) -> Array:
    """float32: 24 bits of word i; float64: 53 bits of words 2 i and 2 i + 1."""
    size = math.prod(shape)
    if dtype is dtypes.float32:
        words = _words(state, size)
        return ((words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)
    wide = _words(state, 2 * size).astype(np.uint64)
    bits = (wide[0::2] >> np.uint64(5)) * np.uint64(1 << 26) + (wide[1::2] >> np.uint64(6))
    return (bits.astype(np.float64) * 2.0**-53).reshape(shape)


def _normal(state: Array, *, shape: tuple[int, ...], dtype: DType) -> Array:
    """Box and Muller (1958): sqrt(-2 log(1 - u)) cos(2 pi v); u is word 2 i and v word 2 i + 1."""
    words = _words(state, 2 * math.prod(shape))
    kind: Any = dtype.numpy.type
    u = (words[0::2] >> np.uint32(8)).astype(kind) * kind(2.0**-24)
    v = (words[1::2] >> np.uint32(8)).astype(kind) * kind(2.0**-24)
    made: Array = np.sqrt(kind(-2) * np.log1p(-u)) * np.cos(kind(2 * math.pi) * v)
    return made.astype(dtype.numpy).reshape(shape)


def _source(name: str, ref: Any, doc: str) -> Op:
    return define(
        f"random_{name}",
        inputs="state",
        attrs=("shape", "dtype"),
        doc=f"{doc}, float32 or float64, of the draw of state u64[3] = (seed, stream, draw).",
        infer=lambda state, *, shape, dtype: Type(shape, dtype),
        ref=ref,
        lower=f"random_{name}",
        samples=lambda r: [
            Sample((np.array([7, 0, 3], np.uint64), (5,), dtypes.float32)),
            Sample((np.array([7, 1, 3], np.uint64), (2, 40), dtypes.float64)),
        ],
        torch=False,
    )


UNIFORM = _source("uniform", _uniform, "Uniform numbers in [0, 1)")
NORMAL = _source("normal", _normal, "Standard normal numbers")


def _integers(state: Array, *, shape: tuple[int, ...], low: int, high: int) -> Array:
    """Each from 64 bits by the high half of a product (bias below 2^-32 for short ranges)."""
    words = _words(state, 2 * math.prod(shape)).astype(np.uint64)
    span = high - low
    if span <= 1 << 32:
        wide = words[0::2] * np.uint64(span)
        carry = (words[1::2] * np.uint64(span)) >> HALF
        return (((wide + carry) >> HALF).astype(np.int64) + low).reshape(shape)
    bits = (words[0::2] << HALF) | words[1::2]
    return ((bits % np.uint64(span)).astype(np.int64) + low).reshape(shape)


NEXT_DRAW = define(
    "next_draw",
    inputs="state",
    doc="The state u64[3] of the draw after this one.",
    infer=lambda state: state,
    ref=lambda state: state + np.array([0, 0, 1], np.uint64),
    lower="next_draw",
    samples=lambda r: [Sample((np.array([7, 1, 3], np.uint64),))],
    torch=False,
)


INTEGERS = define(
    "random_integers",
    inputs="state",
    attrs=("shape", "low", "high"),
    doc="Integers in [low, high), i64, of the draw of state u64[3].",
    infer=lambda state, *, shape, low, high: Type(shape, dtypes.int64),
    ref=_integers,
    lower="random_integers",
    samples=lambda r: [
        Sample((np.array([7, 0, 3], np.uint64), (2, 5), -3, 9)),
        Sample((np.array([7, 0, 3], np.uint64), (5,), 0, 1 << 40)),
    ],
    torch=False,
)


def _ranked(state: Array, *, count: int) -> Array:
    words = _words(state, 2 * count).astype(np.uint64)
    return np.argsort((words[0::2] << HALF) | words[1::2], kind="stable").astype(np.int64)


PERMUTATION = define(
    "random_permutation",
    inputs="state",
    attrs=("count",),
    doc="0 to count - 1 in random order, i64: the numbers of the draw of state u64[3], ranked.",
    infer=lambda state, *, count: Type((count,), dtypes.int64),
    ref=_ranked,
    lower="random_permutation",
    samples=lambda r: [Sample((np.array([7, 0, 3], np.uint64), 6))],
    torch=False,
)


def _classes(weights: Array, u: Array, *, count: int, replacement: bool) -> Array:
    if replacement:
        edges = np.cumsum(weights, axis=1)
        rows = zip(edges, u * edges[:, -1:], strict=True)
        found = np.array([np.searchsorted(e, r, "right") for e, r in rows], np.int64)
        return np.asarray(np.minimum(found.reshape(u.shape), weights.shape[1] - 1))
    # the smallest of exponential clocks (Efraimidis, Spirakis 2006)
    with np.errstate(divide="ignore", invalid="ignore"):
        clocks = np.where(weights > 0, -np.log1p(-u) / weights, np.inf)
    return np.argsort(clocks, axis=1, kind="stable")[:, :count].astype(np.int64)


CLASSES = define(
    "random_classes",
    inputs="weights u",
    accepts="f",
    attrs=("count", "replacement"),
    doc="Class numbers i64[N, count] by weights f64[N, C]. u holds uniform numbers: one for each"
    " result, or (without replacement) for each class.",
    infer=lambda weights, u, *, count, replacement: Type((weights.shape[0], count), dtypes.int64),
    ref=_classes,
    lower="random_classes",
    samples=lambda r: [
        Sample((r.uniform(0.1, 1, (2, 5)), r.random((2, 5)), 3, False), grad=()),
        Sample((r.uniform(0.1, 1, (2, 5)), r.random((2, 8)), 8, True), grad=()),
    ],
    torch=False,
)
