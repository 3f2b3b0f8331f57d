"""Sums, extremes, moments and running results, by the standard's arguments. Floor 13."""

from __future__ import annotations

from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError
from twofold.ops import creation, joining, movement, reduce, sorting, statistics
from twofold.ops.elementwise import cast
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


def sum(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    wanted = _sum_dtype(x, dtype)
    if axis == ():
        return cast(x, wanted)
    return reduce.sum(x, _axes(x, axis), keepdims, dtype=wanted) if x.ndim else cast(x, wanted)


def prod(x: Tensor, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    made = cast(x, _sum_dtype(x, dtype))
    for place in sorted((place % x.ndim for place in _axes(x, axis)), reverse=True):
        made = cast(statistics.prod(made, place, keepdims), made.dtype)
    return made


def mean(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return x if axis == () or not x.ndim else reduce.mean(x, _axes(x, axis), keepdims)


def var(
    x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The mean square distance from the mean, of n - correction."""
    if not x.ndim:
        x = movement.reshape(x, (1,))
        return statistics.var(x, 0, correction=correction)  # type: ignore[no-any-return]
    made = statistics.var(x, _axes(x, axis), correction=correction, keepdim=keepdims)
    return made  # type: ignore[no-any-return]


def std(
    x: Tensor, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    if not x.ndim:
        return statistics.std(movement.reshape(x, (1,)), 0, correction=correction)  # type: ignore[no-any-return]
    made = statistics.std(x, _axes(x, axis), correction=correction, keepdim=keepdims)
    return made  # type: ignore[no-any-return]


def max(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return reduce.amax(x, _axes(x, axis), keepdims) if x.ndim else x


def min(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    return reduce.amin(x, _axes(x, axis), keepdims) if x.ndim else x


def all(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are true, as bool; of none, they are."""
    truth = cast(x, dtypes.bool_)
    return reduce.all(truth, _axes(x, axis), keepdims) if x.ndim else truth


def any(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Whether one element is true, as bool; of none, there is none."""
    truth = cast(x, dtypes.bool_)
    return reduce.any(truth, _axes(x, axis), keepdims) if x.ndim else truth


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return _placed(x, reduce.argmax(x, axis, keepdims), axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: bool = False) -> Tensor:
    return _placed(x, reduce.argmin(x, axis, keepdims), axis, keepdims)


def _placed(x: Tensor, made: Tensor, axis: int | None, keepdims: bool) -> Tensor:
    return movement.reshape(made, (1,) * x.ndim) if keepdims and axis is None else made


def count_nonzero(x: Tensor, /, *, axis: Axis = None, keepdims: bool = False) -> Tensor:
    truth = cast(cast(x, dtypes.bool_), dtypes.int64)
    return sum(truth, axis=axis, keepdims=keepdims)


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
    return 0 if axis is None else axis


def _running(x: Tensor, made: Tensor, axis: int, start: int, include: bool) -> Tensor:
    if not include:
        return made
    shape = list(x.shape)
    shape[axis] = 1
    return joining.cat([creation.full(shape, start, dtype=made.dtype), made], axis)


def diff(
    x: Tensor, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Tensor:
    return statistics.diff(x, n, axis, prepend, append)
