"""Arrays in other shapes and orders, and parts of them, by the standard's arguments. Floor 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, IndexRangeError
from twofold.ops import (
    compare,
    counting,
    gather,
    joining,
    movement,
    selecting,
    sorting,
    splitting,
    views,
)
from twofold.ops.elementwise import add, cast
from twofold.ops.guarding import guard
from twofold.ops.rules import axis_there
from twofold.ops.tensor import Tensor, type_of, wrap


def broadcast_arrays(*arrays: Tensor) -> tuple[Tensor, ...]:
    return views.broadcast_tensors(*arrays)


def broadcast_to(x: Tensor, /, shape: Sequence[int]) -> Tensor:
    return views.broadcast_to(x, tuple(shape))


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Along an axis; with None, all elements one after the other."""
    if axis is None:
        return joining.cat([movement.reshape(x, (-1,)) for x in arrays], 0)
    return joining.cat(list(arrays), axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    return joining.stack(list(arrays), axis)


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple[Tensor, ...]:
    return tuple(splitting.unbind(x, axis))


def expand_dims(x: Tensor, /, axis: int | tuple[int, ...] = 0) -> Tensor:
    """A new axis of size 1 at each place, counted in the result."""
    places = axis if isinstance(axis, tuple) else (axis,)
    rank = x.ndim + len(places)
    if not all(-rank <= place < rank for place in places):
        raise IndexRangeError("expand_dims", "axis out of range", input=type_of(x), axis=axis)
    if len({place % rank for place in places}) != len(places):
        raise ArgumentError("expand_dims", "an axis is named twice", input=type_of(x), axis=axis)
    for place in sorted(place % rank for place in places):
        x = views.unsqueeze(x, place)
    return x


def squeeze(x: Tensor, /, axis: int | tuple[int, ...]) -> Tensor:
    """Without those axes. Raises ArgumentError where one is not of size 1."""
    places = axis if isinstance(axis, tuple) else (axis,)
    for place in places:
        if -x.ndim <= place < x.ndim and x.shape[place] != 1:
            raise ArgumentError(
                "squeeze", f"axis {place} is not of size 1", input=type_of(x), axis=axis
            )
    return views.squeeze(x, places) if places else x


def flip(x: Tensor, /, *, axis: int | tuple[int, ...] | None = None) -> Tensor:
    places = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return joining.flip(x, tuple(places))


def roll(x: Tensor, /, shift: Any, *, axis: Any = None) -> Tensor:
    """Elements moved on by `shift`; what leaves at one end comes in at the other."""
    if isinstance(axis, tuple) and isinstance(shift, int):
        shift = (shift,) * len(axis)
    if isinstance(axis, int) and isinstance(shift, tuple):
        shift = sum(shift)
    return joining.roll(x, shift, axis)


def moveaxis(x: Tensor, source: Any, destination: Any, /) -> Tensor:
    return views.movedim(x, source, destination)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    return movement.permute(x, tuple(axes))


def matrix_transpose(x: Tensor, /) -> Tensor:
    return movement.transpose(x, -2, -1)


def reshape(x: Tensor, /, shape: Sequence[int], *, copy: bool | None = None) -> Tensor:
    made = movement.reshape(x, tuple(shape))
    shares = np.may_share_memory(made.array, x.array)
    if copy is False and not shares and x.array.size:
        raise ArgumentError("reshape", "this needs a copy", input=type_of(x), hint="copy=None")
    return joining.clone(made) if copy and shares else made


def tile(x: Tensor, repetitions: Sequence[int], /) -> Tensor:
    return joining.tile(x, tuple(repetitions))


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element (or slice of an axis) several times, one after the other."""
    return counting.repeat_interleave(x, repeats, axis)


# ---- parts by position ---------------------------------------------------------------------------


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """The slices of an axis at those places; indices may have any shape."""
    if axis is None and x.ndim != 1:
        raise ArgumentError("take", "which axis is meant?", input=type_of(x), hint="axis=0")
    place = axis_there("take", axis or 0, x)
    places = _counted(indices, x.shape[place])
    flat = selecting.index_select(x, place, cast(movement.reshape(places, (-1,)), dtypes.int64))
    return movement.reshape(flat, (*x.shape[:place], *indices.shape, *x.shape[place + 1 :]))


def take_along_axis(x: Tensor, indices: Tensor, /, *, axis: int = -1) -> Tensor:
    """For each row along the axis, the elements at that row's own places."""
    places = _counted(indices, x.shape[axis_there("take_along_axis", axis, x)])
    return gather.take_along_dim(x, cast(places, dtypes.int64), axis)


def _counted(places: Tensor, size: int) -> Tensor:
    """Places from the beginning, where negative ones count from the end."""
    return compare.where(compare.lt(places, 0), add(places, size), places)  # type: ignore[no-any-return]


def nonzero(x: Tensor, /) -> tuple[Tensor, ...]:
    """Where the elements are that are not zero: their places on each axis."""
    if not x.ndim:
        raise ArgumentError("nonzero", "a 0-d array has no places", input=type_of(x))
    return tuple(selecting.nonzero(x, as_tuple=True))


def searchsorted(
    x1: Tensor, x2: Any, /, *, side: str = "left", sorter: Tensor | None = None
) -> Tensor:
    """Where x2 would have to stand for x1 to stay sorted."""
    if sorter is not None:
        x1 = selecting.index_select(x1, 0, sorter)
    return sorting.searchsorted(x1, x2, side=side)


# ---- orders and sets -----------------------------------------------------------------------------


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    return sorting.sort(x, axis, descending, stable)[0]


def argsort(
    x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    return sorting.argsort(x, axis, descending, stable)


class UniqueAll(NamedTuple):
    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """The values that occur, where each is first, which one each element is, how often each is.

    NaNs are all different, and -0.0 is 0.0.
    """
    values = dtypes.to_float32(x.array) if x.dtype is dtypes.bfloat16 else x.array
    found = np.unique(values.reshape(-1), True, True, True, equal_nan=False)
    unique, first, inverse, counts = found
    return UniqueAll(
        cast(wrap(unique), x.dtype),
        wrap(first.astype(np.int64)),
        wrap(inverse.astype(np.int64).reshape(x.array.shape)),
        wrap(counts.astype(np.int64)),
    )


def unique_counts(x: Tensor, /) -> UniqueCounts:
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Tensor, /) -> Tensor:
    return unique_all(x).values


guard(globals())
