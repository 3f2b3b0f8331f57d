"""Sorting, the largest k, searching, and running sums. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.symbols import same_shape
from twofold.base.types import Type
from twofold.ops.bind import bind, mode, remark
from twofold.ops.compare import eq, where
from twofold.ops.convert import item
from twofold.ops.creation import ones, zeros
from twofold.ops.elementwise import cast, conj, mul, sub
from twofold.ops.gather import GATHER, SCATTER, gather
from twofold.ops.guarding import guard
from twofold.ops.indexing import PUT, Here
from twofold.ops.joining import cat
from twofold.ops.movement import reshape
from twofold.ops.op import NUMBER, REAL, Sample, define
from twofold.ops.ranges import in_range
from twofold.ops.reduce import amax
from twofold.ops.rules import admit, as_tensor, axis_of, axis_too, comparable, deliver
from twofold.ops.source import blank, zeros_of
from twofold.ops.source import filled as full_of
from twofold.ops.tensor import Tensor, returned, type_of, wrap
from twofold.ops.transcendental import exp

__all__ = [
    "argsort",
    "bincount",
    "bucketize",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "kthvalue",
    "logcumsumexp",
    "searchsorted",
    "sort",
    "topk",
]


class Ranked(NamedTuple):
    """Values and where they stood along the axis (i64)."""

    values: Tensor
    indices: Tensor


_Sorted, _Largest, _Kth = (returned(Ranked, name) for name in ("sort", "topk", "kthvalue"))
_RunningMax, _RunningMin = returned(Ranked, "cummax"), returned(Ranked, "cummin")


def _order(x: Any, dim: int, descending: bool) -> Any:
    """A stable order; NaN counts as the largest. Descending keeps equal elements in their order
    too.
    """
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    flipped = np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    return x.shape[dim] - 1 - flipped


def _sort(x: Any, *, dim: int, descending: bool) -> Any:
    order = _order(x, dim, descending)
    return np.take_along_axis(x, order, dim), order.astype(np.int64)


def _ranked_vjp(g: Any, out: Any, x: Any, *, dim: int, **_: Any) -> Any:
    if g[0] is None:
        return (None,)
    zero = blank(x.shape, g[0].array.dtype)
    return (bind(SCATTER, (zero, out[1], g[0]), (dim, "sum")),)


SORT = define(
    "sort",
    attrs=("dim", "descending"),
    doc="The elements in order along an axis, and where they stood; equal ones keep their order.",
    accepts=REAL,
    infer=lambda x, *, dim, descending: (x, x.with_dtype(dtypes.int64)),
    ref=_sort,
    lower="sort",
    vjp=_ranked_vjp,
    saves="out1",
    outputs=2,
    samples=lambda r: [
        Sample((r.normal(size=(3, 5)), 1, False)),
        Sample((r.normal(size=(3, 5)), 0, True)),
        Sample((r.normal(size=(0, 2)), 0, True)),
    ],
    torch=lambda x, d, r: x.sort(d, r),
)


@axis_too
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Ranked:
    """(values, indices i64) of the elements in order along `dim`; always stable, NaN last when
    ascending. Raises IndexRangeError for an axis that does not exist.
    """
    if not input.array.ndim:
        return _Sorted(input.clone(), zeros_of((), np.int64))  # type: ignore[attr-defined]
    return _Sorted(*bind(SORT, (input,), (axis_of("sort", dim, input), bool(descending))))


@axis_too
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices that `sort` gives."""
    return sort(input, dim, descending).indices


def _topk(x: Any, *, dim: int, k: int, largest: bool) -> Any:
    part = (slice(None),) * dim + (slice(k),)
    order = _order(x, dim, largest)[part]
    return np.take_along_axis(x, order, dim), order.astype(np.int64)


def _topk_type(x: Type, *, dim: int, k: int, largest: bool) -> Any:
    shape = x.shape[:dim] + (k,) + x.shape[dim + 1 :]
    return x.with_shape(shape), Type(shape, dtypes.int64)


TOPK = define(
    "topk",
    attrs=("dim", "k", "largest"),
    doc="The k largest (or smallest) elements along an axis in order, and where they stood.",
    accepts=REAL,
    infer=_topk_type,
    ref=_topk,
    lower="topk",
    vjp=_ranked_vjp,
    saves="out1",
    outputs=2,
    samples=lambda r: [
        Sample((r.normal(size=(3, 5)), 1, 2, True)),
        Sample((r.normal(size=(4,)), 0, 4, False)),
    ],
    torch=lambda x, d, k, b: tuple(
        part.narrow(d, 0, k) for part in x.sort(dim=d, descending=b, stable=True)
    ),
)


@axis_too
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Ranked:
    """(values, indices i64) of the k largest elements along `dim`, in order; of the smallest, if
    not `largest`. Raises ArgumentError for k larger than the axis.
    """
    if not input.array.ndim:
        return _Largest(input.clone(), zeros_of((), np.int64))  # type: ignore[attr-defined]
    axis = axis_of("topk", dim, input)
    if not 0 <= k <= input.array.shape[axis]:
        size = input.array.shape[axis]
        raise ArgumentError(
            "topk",
            f"k = {k}, but axis {axis} has {size}",
            hint=f"k from 0 to {size}",
            input=type_of(input),
        )
    return _Largest(*bind(TOPK, (input,), (axis, int(k), bool(largest))))


def _single(function: Callable[..., Ranked], input: Tensor, *args: Any) -> Ranked:
    """What a function of rows gives for one number: itself, at place 0."""
    made = function(reshape(input, (1,)), *args)
    return type(made)(*(reshape(x, ()) for x in made))


@axis_too
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Ranked:
    """The k-th smallest element along `dim` (k from 1), and where it stood."""
    axis = axis_of("kthvalue", dim, input)
    if not input.array.ndim:
        return _single(kthvalue, input, k)
    if not 1 <= k <= input.array.shape[axis]:
        raise ArgumentError(
            "kthvalue",
            f"k = {k} is not within 1 to {input.array.shape[axis]}",
            input=type_of(input),
        )
    places = topk(input, k, axis, largest=False).indices.narrow(axis, k - 1, 1)  # type: ignore[attr-defined]
    values = bind(GATHER, (input, places), (axis,))
    if keepdim:
        return _Kth(values, places)
    return _Kth(values.squeeze(axis), places.squeeze(axis))


def _reverse_cumsum(g: Tensor, dim: int) -> Tensor:
    return bind(CUMSUM, (g.flip(dim),), (dim,)).flip(dim)  # type: ignore[attr-defined, no-any-return]


def _scan_samples(random: Any) -> list[Sample]:
    return [
        Sample((random.uniform(0.5, 2, (3, 4)), 1)),
        Sample((random.uniform(0.5, 2, (3, 4)), 0)),
        Sample((random.normal(size=(0,)), 0)),
    ]


CUMSUM = define(
    "cumsum",
    attrs=("dim",),
    doc="Running sums along an axis, one ascending chain.",
    accepts=NUMBER,
    infer=lambda x, *, dim: x,
    ref=lambda x, *, dim: np.cumsum(x, axis=dim, dtype=x.dtype),
    vjp=lambda g, out, x, *, dim: (_reverse_cumsum(g, dim),),
    lower="cumsum",
    samples=_scan_samples,
    torch=lambda x, dim: x.cumsum(dim, dtype=x.dtype),
)


def _recurrence(x: Any, factors: Any, *, dim: int) -> Any:
    made = np.array(x)
    ahead, rows = np.moveaxis(made, dim, 0), np.moveaxis(factors, dim, 0)
    for i in range(1, len(ahead)):
        ahead[i] += rows[i] * ahead[i - 1]
    return made


def _recurrence_vjp(g: Tensor, out: Tensor, x: Any, factors: Tensor, *, dim: int) -> Any:
    by_x = _backwards(g, conj(factors), dim)
    return by_x, mul(by_x, conj(_delayed(out, 0, dim)))


RECURRENCE = define(
    "recurrence",
    inputs="x factors",
    attrs=("dim",),
    doc="y[i] = x[i] + factors[i] * y[i - 1] along an axis, one ascending chain.",
    accepts="fc",
    infer=lambda x, factors, *, dim: x,
    ref=_recurrence,
    vjp=_recurrence_vjp,
    saves="factors out",
    lower="recurrence",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), r.normal(size=(3, 4)), 1)),
        Sample((r.normal(size=(9, 4)), r.normal(size=(9, 4)), 0)),
        Sample((r.normal(size=(0,)), r.normal(size=(0,)), 0)),
    ],
    torch=False,
)


def _delayed(x: Tensor, start: int, dim: int) -> Tensor:
    """start, x[0], x[1], ...: as many as there are."""
    shape = x.array.shape
    first = full_of((*shape[:dim], 1, *shape[dim + 1 :]), start, x.dtype)
    return cat([wrap(first), x], dim).narrow(dim, 0, shape[dim])  # type: ignore[attr-defined, no-any-return]


def _backwards(g: Tensor, factors: Tensor, dim: int) -> Tensor:
    """y[i] = g[i] + factors[i + 1] * y[i + 1]."""
    later = _delayed(factors.flip(dim), 0, dim)  # type: ignore[attr-defined]
    return bind(RECURRENCE, (g.flip(dim), later), (dim,)).flip(dim)  # type: ignore[attr-defined, no-any-return]


def _cumprod_vjp(g: Tensor, out: Any, x: Tensor, *, dim: int) -> Any:
    """d out[j] / d x[i] is the product of the others up to j: those before i, and those after.

    Without a division, so that zeros are no special case.
    """
    others = conj(x)
    before = bind(CUMPROD, (_delayed(others, 1, dim),), (dim,))
    return (mul(before, _backwards(g, others, dim)),)


CUMPROD = define(
    "cumprod",
    attrs=("dim",),
    doc="Running products along an axis, one ascending chain.",
    accepts=NUMBER,
    infer=lambda x, *, dim: x,
    ref=lambda x, *, dim: np.cumprod(x, axis=dim, dtype=x.dtype),
    vjp=_cumprod_vjp,
    saves="x",
    lower="cumprod",
    samples=_scan_samples,
    torch=lambda x, dim: x.cumprod(dim, dtype=x.dtype),
)


def _running(record: Any, input: Any, dim: int, dtype: Any) -> Tensor:
    x = as_tensor(input, record.name)
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    elif x.dtype.kind in "bui":
        x = cast(x, dtypes.int64)
    axis = axis_of(record.name, dim, x)
    return bind(record, (x,), (axis,)) if x.array.ndim else x.clone()  # type: ignore[attr-defined, no-any-return]


def _logcumsumexp_vjp(g: Tensor, out: Tensor, x: Tensor, *, dim: int) -> Any:
    """The sum of g[j] exp(out[i] - out[j]) over what comes after, times the share of x in out[i]:
    no exponent is above 0, and no small difference of large numbers is taken.
    """
    before = _delayed(out, 0, dim)
    fading = where(eq(before, out), 1, exp(sub(before, out)))  # infinite ones are equal as well
    share = where(eq(x, -math.inf), 0, where(eq(x, out), 1, exp(sub(x, out))))
    return (mul(_backwards(g, conj(fading), dim), conj(share)),)


def _logcumsumexp(x: Any, *, dim: int) -> Any:
    if x.dtype.kind != "c":
        return np.logaddexp.accumulate(x, axis=dim)
    made = np.array(x)
    rows = np.moveaxis(made, dim, 0)  # a view
    for place in range(1, len(rows)):
        before, row = rows[place - 1], rows[place]
        first = (row.real < before.real) | np.isnan(before.real)
        large, small = np.where(first, before, row), np.where(first, row, before)
        rows[place] = np.where(
            np.isneginf(small.real), large, large + _log1p(np.exp(small - large))
        )
    return made


def _log1p(z: Any) -> Any:
    """log(1 + z) of complex numbers, exact where z is small."""
    size = 0.5 * np.log1p(z.real * (2 + z.real) + z.imag * z.imag)
    return (size + 1j * np.arctan2(z.imag, 1 + z.real)).astype(z.dtype)


LOGCUMSUMEXP = define(
    "logcumsumexp",
    attrs=("dim",),
    doc="The logarithm of running sums of exponentials along an axis, one ascending chain.",
    accepts="fc",
    infer=lambda x, *, dim: x,
    ref=_logcumsumexp,
    vjp=_logcumsumexp_vjp,
    saves="x out",
    lower="logcumsumexp",
    samples=lambda r: [Sample((r.normal(size=(3, 4)), 1)), Sample((r.normal(size=(3, 4)), 0))],
)


@axis_too
def logcumsumexp(input: Tensor, dim: int, *, out: Tensor | None = None) -> Tensor:
    """log(cumsum(exp(input))) along `dim`, without overflow."""
    x = admit(LOGCUMSUMEXP, as_tensor(input, "logcumsumexp"), to_float=True)
    axis = axis_of("logcumsumexp", dim, x)
    made: Tensor = bind(LOGCUMSUMEXP, (x,), (axis,)) if x.array.ndim else x.clone()  # type: ignore[attr-defined]
    return made if out is None else deliver(made, out, "logcumsumexp")


@axis_too
def cumsum(input: Tensor, dim: int, *, dtype: Any = None, out: Tensor | None = None) -> Tensor:
    """Running sums along `dim`, in the shape of input; integers sum in int64.

    Raises IndexRangeError for an axis that does not exist.
    """
    made: Tensor = _running(CUMSUM, input, dim, dtype)
    return made if out is None else deliver(made, out, "cumsum")


@axis_too
def cumprod(input: Tensor, dim: int, *, dtype: Any = None, out: Tensor | None = None) -> Tensor:
    """Running products along `dim`; integers multiply in int64."""
    made: Tensor = _running(CUMPROD, input, dim, dtype)
    return made if out is None else deliver(made, out, "cumprod")


def _extreme(x: Any, dim: int, better: Any) -> Any:
    """The running extreme and the last place where it stood; NaN stays once met."""
    values = better.accumulate(x, axis=dim)
    places = np.arange(x.shape[dim]).reshape([-1 if i == dim else 1 for i in range(x.ndim)])
    here = (x == values) | (np.isnan(x) if x.dtype.kind == "f" else False)
    return values, np.maximum.accumulate(np.where(here, places, 0), axis=dim).astype(np.int64)


def _extreme_op(name: str, better: Any) -> Any:
    return define(
        name,
        attrs=("dim",),
        doc="The running extreme along an axis, and where it stood.",
        accepts=REAL,
        infer=lambda x, *, dim: (x, x.with_dtype(dtypes.int64)),
        ref=lambda x, *, dim: _extreme(x, dim, better),
        lower=name,
        vjp=_ranked_vjp,
        saves="out1",
        outputs=2,
        samples=lambda r: [Sample((r.normal(size=(3, 5)), 1)), Sample((r.normal(size=(3, 5)), 0))],
    )


CUMMAX, CUMMIN = _extreme_op("cummax", np.maximum), _extreme_op("cummin", np.minimum)


@axis_too
def cummax(input: Tensor, dim: int) -> Ranked:
    """(values, indices) of the running maximum along `dim`."""
    axis = axis_of("cummax", dim, input)
    if not input.array.ndim:
        return _single(cummax, input, axis)
    return _RunningMax(*bind(CUMMAX, (input,), (axis,)))


@axis_too
def cummin(input: Tensor, dim: int) -> Ranked:
    """(values, indices) of the running minimum along `dim`."""
    axis = axis_of("cummin", dim, input)
    if not input.array.ndim:
        return _single(cummin, input, axis)
    return _RunningMin(*bind(CUMMIN, (input,), (axis,)))


def _search(rows: Any, values: Any, *, right: bool, dtype: dtypes.DType) -> Any:
    side: Any = "right" if right else "left"
    if rows.ndim == 1:
        return np.asarray(np.searchsorted(rows, values, side)).astype(dtype.numpy)
    flat = rows.reshape(-1, rows.shape[-1])
    wanted = values.reshape(len(flat), -1)
    found = [np.searchsorted(r, v, side) for r, v in zip(flat, wanted, strict=True)]
    return np.array(found, dtype.numpy).reshape(values.shape)


def _search_type(rows: Type, values: Type, *, right: bool, dtype: dtypes.DType) -> Type:
    if rows.ndim != 1 and rows.shape[:-1] != values.shape[:-1]:
        raise ShapeError(
            "searchsorted",
            "rows and values differ on an axis other than the last",
            hint="one row for all values, or as many rows as the values have",
            sorted_sequence=rows,
            input=values,
        )
    return values.with_dtype(dtype)


SEARCH = define(
    "searchsorted",
    inputs="rows values",
    attrs=("right", "dtype"),
    doc="How many elements of a sorted row come before each value; with right, equal ones too.",
    accepts=REAL,
    infer=_search_type,
    ref=_search,
    lower="searchsorted",
    samples=lambda r: [
        Sample((np.sort(r.uniform(0, 4, 7)), r.normal(size=(3, 2)), False, dtypes.int64), grad=()),
        Sample((np.arange(5.0), np.array([0.0, 4.0, -1, 9.0]), True, dtypes.int32), grad=()),
        Sample(
            (np.sort(r.uniform(0, 4, (2, 5))), r.normal(size=(2, 3)), True, dtypes.int64), grad=()
        ),
    ],
    torch=False,
)


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each value would be inserted to keep the last axis of `sorted_sequence` in order.

    side: "left" (the first such place) or "right" (the last, as right=True says). sorter: the order
    that sorts a sequence which is not.
    """
    if side not in (None, "left", "right") or (side == "left" and right):
        problem = f"side is {side!r} and right is {right}"
        raise ArgumentError("searchsorted", problem, hint="side='left' or 'right'")
    ordered = sorted_sequence if sorter is None else gather(sorted_sequence, -1, sorter)
    rows, values = comparable("searchsorted", ordered, input)
    kind = dtypes.int32 if out_int32 else dtypes.int64
    return bind(SEARCH, (rows, values), (bool(right or side == "right"), kind))  # type: ignore[no-any-return]


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The bucket of each value among ascending boundaries."""
    return searchsorted(boundaries, input, right=right, out_int32=out_int32)


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each non-negative integer occurs, or the sum of its weights."""
    if input.array.ndim != 1 or input.array.dtype.kind not in "iu":
        problem = "a vector of whole numbers is wanted"
        raise DTypeError("bincount", problem, hint="x.long()", input=type_of(input))
    if weights is not None and not same_shape(weights.array.shape, input.array.shape):
        problem, given = "one weight for each number is wanted", type_of(weights)
        raise ShapeError("bincount", problem, input=type_of(input), weights=given)
    if mode.capture is not None:
        return _bincount_in_graph(input, weights, minlength)
    if input.array.size and input.array.min() < 0:
        raise _negative(input)
    if weights is None:
        return wrap(np.bincount(input.array, None, minlength).astype(np.int64))
    kind = np.float32 if weights.array.dtype == np.float32 else np.float64
    return wrap(np.bincount(input.array, weights.array, minlength).astype(kind))


def _bincount_in_graph(input: Tensor, weights: Tensor | None, minlength: int) -> Tensor:
    """The same by putting ones, or the weights, where the numbers say."""
    count = most(input, minlength - 1) + 1
    numbers = in_range(cast(input, dtypes.int64), 0, count, lambda _: _negative(input))
    kind = dtypes.int64 if weights is None else dtypes.float64
    given = ones(input.array.shape, dtype=kind)
    if weights is not None:
        given = cast(weights.detach(), kind)  # type: ignore[attr-defined]
    made = bind(PUT, (zeros((count,), dtype=kind), given, numbers), ((Here(0),), True))
    narrow = weights is not None and weights.dtype is dtypes.float32
    return cast(made, dtypes.float32) if narrow else made


def _negative(input: Tensor) -> ArgumentError:
    hint = "x - x.min(), or x[x >= 0]"
    return ArgumentError("bincount", "a value is negative", hint=hint, input=type_of(input))


def most(numbers: Tensor, least: int) -> Any:
    """The largest of whole numbers, and of `least`, which a program computes before it runs."""
    if mode.capture is None:
        remark("values")
        return int(numbers.array.max(initial=least))
    flat = cast(reshape(numbers, -1), dtypes.int64)
    return item(amax(cat([flat, wrap(full_of((1,), least, dtypes.int64))])))


guard(globals())
