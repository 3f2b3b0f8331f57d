"""Sums, extremes, moments and running results, by the standard's arguments. Floor 13."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError
from twofold.ops import creation, joining, movement, reduce, sorting, statistics
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.rules import axis_there
from twofold.ops.tensor import Tensor, type_of

Axis = int | tuple[int, ...] | None


def _sum_dtype(x: Tensor, dtype: Any) -> DType:
    """Small whole numbers are added in 64 bits, with or without a sign."""
    if dtype is not None:
        return dtypes.as_dtype(dtype)
    if x.dtype.kind == "u" and x.dtype.is_integer:
        return dtypes.uint64
    return dtypes.int64 if x.dtype.kind in "ib" else x.dtype


def _axes(x: Tensor, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return axis if isinstance(axis, tuple) else (axis,)


def _each(x: Tensor) -> Tensor:
    """Every element as a row of its own, which is what is reduced where no axis is."""
    return movement.reshape(x, (*x.shape, 1))


def _reduced(
    function: Callable[..., Tensor], x: Tensor, axis: Axis, keepdims: bool, **options: Any
) -> Tensor:
    axes = _axes(x, axis)
    return function(x, axes, keepdims, **options) if axes else function(_each(x), -1, **options)


def sum(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    return _reduced(reduce.sum, x, axis, keepdims, dtype=_sum_dtype(x, dtype))


def prod(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    made = cast(x, _sum_dtype(x, dtype))
    places = sorted((axis_there("prod", place, x) for place in _axes(x, axis)), reverse=True)
    for place in places:
        made = cast(statistics.prod(made, place, keepdims), made.dtype)
    return made if places else joining.clone(made)


def mean(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return _reduced(reduce.mean, x, axis, keepdims)


def var(
    x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The mean square distance from the mean, of n - correction."""
    return _spread(statistics.var, x, axis, correction, keepdims)


def std(
    x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    return _spread(statistics.std, x, axis, correction, keepdims)


def _spread(
    function: Callable[..., Tensor], x: Tensor, axis: Axis, correction: float, keepdims: bool
) -> Tensor:
    axes = _axes(x, axis)
    each = math.prod(x.shape[axis_there("var", place, x)] for place in axes)
    if not axes:
        made = function(_each(x), -1, correction=correction)
    else:
        made = function(x, axes, correction=correction, keepdim=keepdims)
    return made if each > correction else made * math.nan  # a spread of nothing, not an endless one


def max(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return _reduced(reduce.amax, x, axis, keepdims)


def min(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return _reduced(reduce.amin, x, axis, keepdims)


def all(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are true, as bool; of none, they are."""
    return _reduced(reduce.all, cast(x, dtypes.bool_), axis, keepdims)


def any(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one element is true, as bool; of none, there is none."""
    return _reduced(reduce.any, cast(x, dtypes.bool_), axis, keepdims)


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return _placed(x, reduce.argmax(x, axis, keepdims), axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return _placed(x, reduce.argmin(x, axis, keepdims), axis, keepdims)


def _placed(x: Tensor, made: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    return movement.reshape(made, (1,) * x.ndim) if keepdims and axis is None else made


def count_nonzero(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return sum(cast(x, dtypes.bool_), axis=axis, keepdims=keepdims)


def cumulative_sum(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Sums of all elements up to each; with `include_initial` a 0 stands before them."""
    place, wanted = _along("cumulative_sum", x, axis), _sum_dtype(x, dtype)
    return _running(
        x, sorting.cumsum(cast(x, wanted), place, dtype=wanted), place, 0, include_initial
    )


def cumulative_prod(
    x: Tensor, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """Products of all elements up to each; with `include_initial` a 1 stands before them."""
    place, wanted = _along("cumulative_prod", x, axis), _sum_dtype(x, dtype)
    return _running(
        x, sorting.cumprod(cast(x, wanted), place, dtype=wanted), place, 1, include_initial
    )


def _along(op: str, x: Tensor, axis: int | None) -> int:
    if axis is None and x.ndim != 1:
        raise ArgumentError(op, "which axis is meant?", input=type_of(x), hint="axis=0")
    return axis_there(op, 0 if axis is None else axis, x)


def _running(x: Tensor, made: Tensor, axis: int, start: int, include: bool) -> Tensor:
    if not include:
        return made
    shape = list(x.shape)
    shape[axis] = 1
    return joining.cat([creation.full(shape, start, dtype=made.dtype), made], axis)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Tensor:
    """Differences of neighbours along an axis, n times."""
    return statistics.diff(x, n, axis, prepend, append)


guard(globals())
