"""Pooling to a wanted number of windows, as functions. Floor 10. NC...

Where the count of windows (ops/adaptive_windows.py) divides the size, windows lie side by side;
else they are taken from tables of places. Both means have the same bits: a program of sizes that
are known later has the tables alone.
"""

from __future__ import annotations

import math
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import DTypeError, ShapeError
from twofold.base.symbols import is_one, is_symbol
from twofold.ops.adaptive_windows import (
    WINDOWS,
    along_last,
    plane_places,
    window_lengths,
    window_places,
)
from twofold.ops.bind import bind
from twofold.ops.conv import check_image
from twofold.ops.elementwise import cast
from twofold.ops.gather import GATHER
from twofold.ops.guarding import guard
from twofold.ops.indexing import TAKE
from twofold.ops.movement import expand, reshape
from twofold.ops.padding import pad
from twofold.ops.pooling import max_pool
from twofold.ops.reduce import argmax
from twofold.ops.rounding import div
from twofold.ops.tables import table
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import narrow


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of `output_size` windows that cover the last axis."""
    (size,) = _wanted("adaptive_avg_pool1d", input, output_size, 1)
    return adaptive_mean(input, -1, size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of windows that cover the last two axes; None keeps a size."""
    sizes = _wanted("adaptive_avg_pool2d", input, output_size, 2)
    return _adaptive_means(input, sizes)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of windows that cover the last three axes; None keeps a size."""
    return _adaptive_means(input, _wanted("adaptive_avg_pool3d", input, output_size, 3))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of `output_size` windows that cover the last axis."""
    sizes = _wanted("adaptive_max_pool1d", input, output_size, 1)
    return _adaptive_max("adaptive_max_pool1d", input, sizes, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of windows that cover the last two axes; None keeps a size."""
    sizes = _wanted("adaptive_max_pool2d", input, output_size, 2)
    return _adaptive_max("adaptive_max_pool2d", input, sizes, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of windows that cover the last three axes; None keeps a size."""
    sizes = _wanted("adaptive_max_pool3d", input, output_size, 3)
    return _adaptive_max("adaptive_max_pool3d", input, sizes, return_indices)


def _wanted(op: str, x: Tensor, output_size: Any, rank: int) -> tuple[int, ...]:
    """One size for each of the last axes; None keeps it. Raises ShapeError."""
    listed = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * rank
    if len(listed) != rank:
        hint = f"one size, or {rank}"
        raise ShapeError(op, f"output_size {listed} has {len(listed)} sizes", hint=hint)
    if x.array.ndim not in (rank + 1, rank + 2):
        hint = f"{rank + 2} axes, or {rank + 1} without the batch"
        raise ShapeError(op, f"{x.array.ndim} axes", hint=hint, input=type_of(x))
    if any(s is not None and s < 0 for s in listed):
        raise ShapeError(op, f"output_size {listed} is negative", hint="sizes of 0 or more")
    if 0 not in listed:
        check_image(op, x, rank)
    return tuple(n if s is None else s for s, n in zip(listed, x.array.shape[-rank:], strict=True))


# ---- means ---------------------------------------------------------------------------------------


def _adaptive_means(x: Tensor, counts: tuple[int, ...]) -> Tensor:
    """The means of windows that cover the last axes: of one window, of all axes at once."""
    axes = tuple(range(-len(counts), 0))
    if all(count == 1 for count in counts):  # also of a number that a run knows: the same bits
        _check_floating(x)
        return x.mean(axes, True)  # type: ignore[attr-defined, no-any-return]
    for axis, count in zip(axes, counts, strict=True):
        x = adaptive_mean(x, axis, count)
    return x


def _check_floating(x: Tensor) -> None:
    if x.dtype.kind in "bui":
        problem, hint = f"{x.dtype.name} is not taken", "x.float()"
        raise DTypeError("adaptive_avg_pool", problem, hint=hint, input=type_of(x))


def adaptive_mean(x: Tensor, axis: int, count: int) -> Tensor:
    """The means of `count` windows that cover an axis."""
    size = x.array.shape[axis]
    _check_floating(x)
    if not is_one(count) and count == 0:
        return narrow(x, axis, 0, 0)
    if is_one(count):
        return x.mean(axis, True)  # type: ignore[attr-defined, no-any-return]
    if count == size and size != 1:
        return x
    if count == size:  # a count that a run knows, and one element
        return x.mean(axis, True)  # type: ignore[attr-defined, no-any-return]
    if not is_symbol(size) and not is_symbol(count) and size % count == 0:
        shape = list(x.array.shape)
        axis %= len(shape)
        shape[axis : axis + 1] = [count, size // count]
        return x.reshape(shape).mean(axis + 1)  # type: ignore[attr-defined, no-any-return]
    # means of halves are rounded once, at the end
    kind = dtypes.float32 if x.dtype in (dtypes.float16, dtypes.bfloat16) else x.dtype
    means = _means(cast(x, kind).movedim(axis, -1), size, count)  # type: ignore[attr-defined]
    return cast(means.movedim(-1, axis), x.dtype)  # type: ignore[attr-defined]


def _means(x: Tensor, size: Any, count: Any) -> Tensor:
    """The means of windows that cover the last axis."""
    shape, lead = (count, (size - 1) // count + 2), x.array.shape[:-1]
    places = table(window_places, size, count, shape=shape, dtype=dtypes.int64)
    lengths = table(window_lengths, size, count, shape=(count,), dtype=dtypes.int64)
    found = bind(WINDOWS, (pad(x, (0, 1)), places), (along_last(len(lead)), size, count))
    summed = found.sum(-1)
    return div(summed, cast(lengths, x.dtype))


# ---- maxima --------------------------------------------------------------------------------------


def _adaptive_max(op: str, x: Tensor, counts: tuple[int, ...], return_indices: bool) -> Any:
    rank = len(counts)
    sizes = x.array.shape[-rank:]
    if all(map(is_one, counts)) and not return_indices:
        flat: Any = reshape(x, (*x.array.shape[:-rank], math.prod(sizes)))
        return reshape(flat.max(-1).values, (*x.array.shape[:-rank], *counts))
    if (
        rank < 3
        and all(counts)
        and all(n % count == 0 for n, count in zip(sizes, counts, strict=True))
    ):
        kernel = tuple(n // count for n, count in zip(sizes, counts, strict=True))
        return max_pool(op, x, kernel, kernel, 0, 1, False, return_indices, rank)
    if not all(counts):
        lead = x.array.shape[: x.array.ndim - rank]
        made = x.new_empty((*lead, *counts))  # type: ignore[attr-defined]
        return (made, made.long()) if return_indices else made
    most = math.prod((n - 1) // count + 2 for n, count in zip(sizes, counts, strict=True))
    wide = (math.prod(counts), most)
    places = table(plane_places, *sizes, *counts, shape=wide, dtype=dtypes.int64)
    flat = reshape(x, (*x.array.shape[:-rank], math.prod(sizes)))
    inside = bind(TAKE, (flat, places), (along_last(flat.array.ndim - 1),))
    shape = (*x.array.shape[:-rank], *counts)
    chosen, axis = argmax(inside, -1, True), inside.array.ndim - 1
    made = reshape(bind(GATHER, (inside, chosen), (axis,)), shape)
    if not return_indices:
        return made
    named = expand(places, inside.array.shape)
    return made, reshape(bind(GATHER, (named, chosen), (axis,)), shape)


guard(globals())
