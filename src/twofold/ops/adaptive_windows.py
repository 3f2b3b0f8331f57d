"""Windows of which there are a wanted number along an axis: places, and their slopes. Floor 4.

Window number i of `count` along an axis of `size` covers i * size // count up to
ceil((i + 1) * size / count).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.compare import where
from twofold.ops.indexing import PUT, TAKE, Here, Slice
from twofold.ops.movement import reshape
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.source import zeros_of
from twofold.ops.tables import maker, table
from twofold.ops.tensor import Tensor


def along_last(lead: int) -> Any:
    return (*(Slice(None, None, None),) * lead, Here(0))


def _edges(size: int, count: int) -> Any:
    window = np.arange(count)
    return window * size // count, -(-(window + 1) * size // count)


def _window_grid(size: int, count: int) -> Any:
    """The places of windows of equal lengths, and the ends of those that are wanted."""
    start, stop = _edges(size, count)
    return start[:, None] + np.arange((size - 1) // count + 2), stop[:, None]


@maker
@functools.lru_cache(64)
def window_places(size: int, count: int) -> Any:
    """i64[count, most in a window]: one that has fewer has the place behind the last."""
    grid, stop = _window_grid(size, count)
    return np.where(grid < stop, grid, size)


@maker
def window_lengths(size: int, count: int) -> Any:
    start, stop = _edges(size, count)
    return stop - start


@maker
@functools.lru_cache(64)
def _window_owner(size: int, count: int) -> Any:
    """i64[size + 1]: where each place is first among those of all windows."""
    places = window_places(size, count).reshape(-1)
    return np.unique(places, return_index=True)[1].astype(np.int64)


@maker
@functools.lru_cache(64)
def _window_alone(size: int, count: int) -> Any:
    """bool[size + 1]: which places are in one window only."""
    return np.bincount(window_places(size, count).reshape(-1)) == 1


def _windows_vjp(
    g: Tensor, out: Any, x: Any, places: Tensor, *, key: Any, size: Any, count: Any
) -> Any:
    # what lies in one window has its slope as it is; sums begin with +0, and lose the sign of -0
    zero = zeros_of(x.shape, g.array.dtype)
    alone = table(_window_alone, size, count, shape=(size + 1,), dtype=dtypes.bool_)
    owner = table(_window_owner, size, count, shape=(size + 1,), dtype=dtypes.int64)
    flat = reshape(g, (*x.shape[:-1], count * ((size - 1) // count + 2)))
    summed = bind(PUT, (zero, g, places), (key, True))
    return where(alone, bind(TAKE, (flat, owner), (key,)), summed), None


def _windows_sample(random: Any) -> list[Sample]:
    return [Sample((random.normal(size=(2, 8)), window_places(7, 3), along_last(1), 7, 3))]


WINDOWS = define(
    "adaptive_windows",
    inputs="x places",
    attrs=("key", "size", "count"),
    doc="The elements of windows that cover the last axis but for its last place, which pads them.",
    accepts=FLOAT,
    infer=lambda x, places, **_: Type((*x.shape[:-1], *places.shape), x.dtype),
    ref=lambda x, places, **_: x[..., places],
    vjp=_windows_vjp,
    saves="places",
    lower="take",
    samples=_windows_sample,
    torch=False,
)


@maker
@functools.lru_cache(64)
def plane_places(*sizes_and_counts: int) -> Any:
    """Where in the flat image the elements of each window are, i64[windows, most in one]."""
    rank = len(sizes_and_counts) // 2
    flat = np.zeros((1, 1), np.int64)
    for size, count in zip(sizes_and_counts[:rank], sizes_and_counts[rank:], strict=True):
        grid, stop = _window_grid(size, count)
        axis = np.minimum(grid, stop - 1)  # a window that has fewer has its last one again
        joined = flat[:, None, :, None] * size + axis[None, :, None, :]
        flat = joined.reshape(len(flat) * count, -1)
    return flat
