"""Slices chosen by numbers, elements chosen by masks: read, added to, replaced. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import CATEGORY
from twofold.base.errors import DTypeError, ShapeError
from twofold.base.symbols import same_shape
from twofold.ops.assigning import assigned, fitted
from twofold.ops.bind import bind, mode
from twofold.ops.compare import where
from twofold.ops.elementwise import cast, mul
from twofold.ops.guarding import guard
from twofold.ops.indexing import (
    PUT,
    getitem,
    parse_key,
    places_of,
    take_type,
    taken,
    true_places,
)
from twofold.ops.movement import expand, reshape
from twofold.ops.rules import axis_of, axis_too, broadcast, constant, deliver, stored
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.writing import bind_onto

__all__ = [
    "argwhere",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "masked_fill",
    "masked_select",
    "nonzero",
]


@axis_too
def index_select(input: Tensor, dim: int, index: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The slices of `input` at positions `index` i64[n] along `dim`, copied."""
    axis = axis_of("index_select", dim, input)
    if index.array.ndim > 1:
        raise ShapeError("index_select", "index must have one axis", index=type_of(index))
    if not input.array.ndim:
        made = reshape(index_select(reshape(input, (1,)), 0, index), ())
        return made if out is None else deliver(made, out, "index_select")
    rows = index if index.array.ndim else reshape(index, (1,))
    if rows.array.dtype == np.int64:
        made = taken(input, axis, rows)
    else:
        made = getitem(input, (slice(None),) * axis + (rows,))
    return made if out is None else deliver(made, out, "index_select")


def _check_slices(op: str, x: Tensor, axis: int, index: Tensor, source: Tensor) -> None:
    """Refuse a source that is not one slice of x for each index: slices do not broadcast."""
    wanted = (*x.array.shape[:axis], index.array.size, *x.array.shape[axis + 1 :])
    if not same_shape(source.array.shape, wanted):
        facts: Any = {"input": type_of(x), "index": type_of(index), "source": type_of(source)}
        raise ShapeError(op, f"source of shape {list(wanted)} is wanted", **facts)


def _widened(function: Callable[..., Tensor], input: Tensor, index: Tensor, *rest: Any) -> Tensor:
    """The function on a tensor of one number, as on a vector of it."""
    given = (reshape(x, (1,)) if isinstance(x, Tensor) and not x.array.ndim else x for x in rest)
    return reshape(function(reshape(input, (1,)), 0, index, *given), ())


@axis_too
def index_add(
    input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1
) -> Tensor:
    """`input` with alpha * source added to the slices at `index` along `dim`, in order of
    occurrence.
    """
    axis = axis_of("index_add", dim, input)
    if not input.array.ndim:
        return _widened(index_add, input, index, mul(source, alpha))
    _check_slices("index_add", input, axis, index, source)
    key, tensors = parse_key(input, (slice(None),) * axis + (index,))
    source = source if alpha == 1 else mul(source, alpha)
    source = stored("index_add", source, input)
    made: Tensor = bind_onto(PUT, (input, source, *tensors), (key, True))
    return made


@axis_too
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`input` with the slices at `index` along `dim` replaced."""
    axis = axis_of("index_copy", dim, input)
    if not input.array.ndim:
        return _widened(index_copy, input, index, source)
    _check_slices("index_copy", input, axis, index, source)
    key, tensors = parse_key(input, (slice(None),) * axis + (index,))
    source = stored("index_copy", source, input)
    made: Tensor = bind_onto(PUT, (input, source, *tensors), (key, False))
    return made


@axis_too
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`input` with the slices at `index` along `dim` set to a number."""
    axis = axis_of("index_fill", dim, input)
    if not input.array.ndim:
        filled = index_fill(reshape(input, (1,)), 0, index, value)
        return reshape(filled, ())
    key, tensors = parse_key(input, (slice(None),) * axis + (index,))
    if isinstance(value, Tensor) and value.tracked:
        # a place that is named twice is filled once: so is its part of the value's gradient
        mask = index_fill(zeros_of(input.array.shape, np.bool_), dim, index, True)
        return masked_fill(input, mask, value)
    shape = take_type(type_of(input), *map(type_of, tensors), key=key).shape
    made: Tensor = bind(PUT, (input, fitted(assigned(value, input), shape), *tensors), (key, False))
    return made


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where `mask` (bool, broadcast with input) is true, as a vector."""
    if mask.array.dtype != np.bool_:
        raise DTypeError(
            "masked_select", f"mask is {mask.dtype.name}", hint="mask.bool()", mask=type_of(mask)
        )
    if mask.array.shape == input.array.shape and type(mask.array) is np.ndarray:
        return getitem(input, mask)
    shape = broadcast("masked_select", input=type_of(input), mask=type_of(mask))
    return getitem(expand(input, shape), expand(mask, shape))


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """`input` with a value (a number or a 0-d tensor) where `mask` (bool, broadcast) is true."""
    kind = dtypes.scalar_dtype(value) if isinstance(value, complex) else input.dtype
    given = value if isinstance(value, Tensor) else constant(value, kind)
    if given.array.ndim:
        raise ShapeError(
            "masked_fill", "the value is not one number", hint="twofold.where", value=type_of(given)
        )
    if CATEGORY[given.dtype.kind] > CATEGORY[input.dtype.kind] and given.dtype.is_complex:
        problem = f"a {given.dtype.name} value does not fit {input.dtype.name}"
        raise DTypeError("masked_fill", problem, hint="value.real", input=type_of(input))
    return where(mask, cast(given, input.dtype), input)  # type: ignore[no-any-return]


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero: i64[n, ndim], or a tuple of i64[n]."""
    array: Any = input.array
    outside = mode.capture is not None and mode.capture.reads_outside(array)
    if outside or not isinstance(array, np.ndarray):
        flags = cast(input, dtypes.bool_)
        flags = flags if array.ndim else reshape(flags, (1,))
        found = tuple(map(wrap, places_of(flags.array, "as many places as are not zero")))
        if as_tuple:
            return found
        return _side_by_side(found) if array.ndim else reshape(found[0], (-1, 1))[:, :0]  # type: ignore[index]
    array = dtypes.convert(array, dtypes.bool_)
    if as_tuple:
        return tuple(map(wrap, true_places(np.atleast_1d(array))))
    if array.ndim == 1:
        return wrap(array.nonzero()[0].reshape(-1, 1))
    if array.ndim:
        return wrap(_in_columns(array.nonzero() if array.size < FEW else true_places(array)))
    return wrap(np.argwhere(array).astype(np.int64))


FEW = 256  # elements whose places NumPy finds faster than `true_places`


def _in_columns(places: tuple[Any, ...]) -> Any:
    """Arrays i64[n] as the columns of one."""
    made = np.empty((len(places[0]), len(places)), np.int64)
    for k, column in enumerate(places):
        made[:, k] = column
    return made


def _side_by_side(columns: tuple[Tensor, ...]) -> Tensor:
    """Vectors i64[n] as the columns of i64[n, ...]."""
    numbers = np.arange(len(columns))
    made = reshape(columns[0], (-1, 1))
    for place, column in enumerate(columns[1:], 1):
        made = where(wrap(numbers >= place), reshape(column, (-1, 1)), made)
    return made


argwhere = nonzero


guard(globals())
