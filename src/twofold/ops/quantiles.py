"""Medians and quantiles. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.ops import compare
from twofold.ops.bind import bind
from twofold.ops.compare import eq, ge, isnan, le, logical_and, where
from twofold.ops.elementwise import cast, lerp, mul, sub
from twofold.ops.gather import gather
from twofold.ops.guarding import guard
from twofold.ops.movement import expand, reshape
from twofold.ops.op import REAL, define
from twofold.ops.order import rows_of
from twofold.ops.ranges import require
from twofold.ops.reduce import ATTRS, check_extent, full_samples, shape_rule, shared_vjp, sum
from twofold.ops.reduce import all as all_of
from twofold.ops.rounding import ceil, floor, round
from twofold.ops.rules import as_tensor, axes_of, axis_of, axis_too, constant, reduced
from twofold.ops.sorting import sort
from twofold.ops.statistics import Chosen, chosen_at
from twofold.ops.tensor import Tensor, returned

__all__ = ["median", "mode", "nanmedian", "nanquantile", "quantile"]

# Which sorted values a place between two of them takes, and the share of the second.
ENDS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Any]]] = {
    "linear": lambda at: (floor(at), ceil(at), sub(at, floor(at))),
    "lower": lambda at: (floor(at), floor(at), 0.0),
    "higher": lambda at: (ceil(at), ceil(at), 0.0),
    "midpoint": lambda at: (floor(at), ceil(at), 0.5),
    "nearest": lambda at: (round(at), round(at), 0.0),
}

_Mode, _Median = returned(Chosen, "mode"), returned(Chosen, "median")
_NanMedian = returned(Chosen, "nanmedian")


def _quantile(
    name: str, input: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool
) -> Tensor:
    if not input.array.ndim and dim is not None:
        axis_of(name, dim, input)
        dim = None  # the one axis that a number is taken to have
    x = reshape(input, (-1,)) if dim is None else input
    axis = 0 if dim is None else axis_of(name, dim, input)
    check_extent(name, x, (axis,))
    if interpolation not in ENDS:
        raise ArgumentError(name, f"interpolation {interpolation!r}", hint=", ".join(ENDS))
    points = cast(as_tensor(q, name, "q"), dtypes.float64)
    within = all_of(logical_and(ge(points, 0), le(points, 1)))
    require(within, lambda: ArgumentError(name, "q must lie in 0 to 1"))
    ordered = sort(x, axis).values.movedim(axis, 0)  # type: ignore[attr-defined]
    last: Any = ordered.array.shape[0] - 1
    if skip:  # sorting puts NaN at the end
        last = sub(cast(sum(eq(ordered, ordered), 0), dtypes.float64), 1.0)
        last = where(ge(last, 0), last, 0.0)
    shape = points.array.shape
    spread = reshape(points, (*shape, *(1,) * (x.array.ndim - 1)))
    at = mul(spread, last)
    low, high, share = ENDS[interpolation](at)
    rest = ordered.array.shape[1:]
    flat = reshape(ordered, (ordered.array.shape[0], -1)) if rest else ordered

    def values(place: Tensor) -> Tensor:
        whole = expand(cast(place, dtypes.int64), (*shape, *rest))
        if not rest:
            made: Tensor = ordered[whole]
            return made
        lines = reshape(whole, (-1, flat.array.shape[1]))
        return reshape(gather(flat, 0, lines), (*shape, *rest))

    if isinstance(share, Tensor):
        share = cast(share, x.dtype)
    made: Tensor = lerp(values(low), values(high), share)
    made = where(isnan(ordered[0] if skip else ordered[-1]), math.nan, made)
    if not keepdim:
        return made
    sizes = [1] * input.array.ndim if dim is None else list(reduced(x.array.shape, (axis,), True))
    return reshape(made, (*shape, *sizes))


@axis_too
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The q-quantiles (from 0 to 1); q is a number or a vector, which makes the first axis.

    interpolation   between two values: linear, lower, higher, midpoint or nearest
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@axis_too
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """`quantile` of the values that are not NaN; NaN where all are."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _middle(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    rows = rows_of(x, dim)
    order = np.argsort(rows, axis=-1, kind="stable")
    found = order[..., (rows.shape[-1] - 1) // 2]
    if x.dtype.kind == "f":
        nan = np.isnan(rows)
        found = np.where(nan.any(axis=-1), nan.argmax(axis=-1), found)
    return found.astype(np.int64).reshape(reduced(x.shape, dim, keepdim))


MEDIAN_PLACE = define(
    "median_place",
    attrs=ATTRS,
    doc="Where the lower median over axes stands, in their order; the first NaN if there is one.",
    accepts=REAL,
    infer=shape_rule(lambda x: dtypes.int64),
    ref=_middle,
    lower="median_place",
    samples=full_samples,
    torch=False,
)


def _commonest(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    rows = rows_of(x, dim)
    order = np.argsort(rows, axis=-1, kind="stable")
    ordered = np.take_along_axis(rows, order, -1)
    every = np.arange(rows.shape[-1])
    fresh = np.ones(rows.shape, bool)
    fresh[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    # how many equal ones have come so far: the longest run is told at its last element
    length = every - np.maximum.accumulate(np.where(fresh, every, 0), axis=-1)
    found = np.take_along_axis(order, length.argmax(axis=-1)[..., None], -1)
    return found.astype(np.int64).reshape(reduced(x.shape, dim, keepdim))


MODE_PLACE = define(
    "mode_place",
    attrs=ATTRS,
    doc="Where the commonest element over axes stands, the smallest of several; its last place.",
    accepts=REAL,
    infer=shape_rule(lambda x: dtypes.int64),
    ref=_commonest,
    lower="mode_place",
    samples=lambda r: [s for s in full_samples(r) if s.args[0].size],
    torch=False,
)


@axis_too
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """(values, indices) of the commonest element along `dim`, the smallest of several, and of the
    last place where it stands.
    """
    x = as_tensor(input, "mode")
    axis = axis_of("mode", dim, x)
    if not x.array.ndim:
        return _Mode(x.clone(), constant(0, dtypes.int64))  # type: ignore[attr-defined]
    check_extent("mode", x, (axis,))
    return chosen_at(_Mode, x, axis, bind(MODE_PLACE, (x,), ((axis,), True)), keepdim)


def _median(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    places = _middle(x, dim=dim, keepdim=False)[..., None]
    made = np.take_along_axis(rows_of(x, dim), places, -1)
    return made.reshape(reduced(x.shape, dim, keepdim))


def _nanmedian(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    rows = np.sort(rows_of(x, dim), axis=-1)  # NaN last
    count = (rows == rows).sum(axis=-1, keepdims=True)
    made = np.take_along_axis(rows, np.maximum((count - 1) // 2, 0), -1)
    return made.reshape(reduced(x.shape, dim, keepdim))


def _median_record(name: str, doc: str, ref: Any) -> Any:
    return define(
        name,
        attrs=ATTRS,
        doc=doc,
        accepts=REAL,
        infer=shape_rule(lambda x: x.dtype),
        ref=ref,
        lower=name,
        vjp=shared_vjp,
        saves="x out",
        samples=full_samples,
        torch=False,
    )


MEDIAN = _median_record("median", "The lower median over axes; NaN if there is one.", _median)


NANMEDIAN = _median_record("nanmedian", "The lower median of what is not NaN.", _nanmedian)


@axis_too
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle element (of two the lower) of all; with `dim` (values, indices) along it."""
    x = as_tensor(input, "median")
    if dim is None:
        if not x.array.size:
            return x.new_full((), math.nan)  # type: ignore[attr-defined]
        return bind(MEDIAN, (x,), (axes_of("median", None, x), False))
    axis = axis_of("median", dim, x)
    if not x.array.ndim:
        return _Median(x.clone(), constant(0, dtypes.int64))  # type: ignore[attr-defined]
    check_extent("median", x, (axis,))
    return chosen_at(_Median, x, axis, bind(MEDIAN_PLACE, (x,), ((axis,), True)), keepdim)


@axis_too
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median of what is not NaN."""
    x = as_tensor(input, "nanmedian")
    if dim is None:
        if not x.array.size:
            return x.new_full((), math.nan)  # type: ignore[attr-defined]
        return bind(NANMEDIAN, (x,), (axes_of("nanmedian", None, x), False))
    axis = axis_of("nanmedian", dim, x)
    if not x.array.ndim:
        return _NanMedian(x.clone(), constant(0, dtypes.int64))  # type: ignore[attr-defined]
    check_extent("nanmedian", x, (axis,))
    places = sort(x, axis).indices
    count = sum(eq(x, x), axis, True)
    middle = compare.clamp((count - 1) // 2, min=0)  # type: ignore[operator]
    return chosen_at(_NanMedian, x, axis, gather(places, axis, middle), keepdim)


guard(globals())
