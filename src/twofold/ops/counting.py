"""Which values occur, how often, and where: histograms, membership, runs, repeats. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError
from twofold.base.records import NamedTuple
from twofold.base.symbols import maximum
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import clamp, eq, ge, le, logical_and, logical_or, lt, ne, where
from twofold.ops.convert import item
from twofold.ops.creation import arange, linspace, ones, zeros
from twofold.ops.elementwise import add, cast, mul, sub, true_divide
from twofold.ops.gather import scatter, scatter_add
from twofold.ops.guarding import guard
from twofold.ops.indexing import places_of
from twofold.ops.joining import in_order, stack
from twofold.ops.movement import expand, reshape, transpose
from twofold.ops.op import FLOAT, REAL, Sample, define
from twofold.ops.ranges import in_range, require
from twofold.ops.reduce import amax, amin, sum
from twofold.ops.reduce import any as any_
from twofold.ops.rounding import floor_divide, remainder
from twofold.ops.rules import (
    admit,
    as_tensor,
    axis_of,
    axis_there,
    axis_too,
    comparable,
    sizes_of,
    with_out,
)
from twofold.ops.selecting import index_add, index_select
from twofold.ops.sorting import cumsum, searchsorted, sort
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, returned, type_of, wrap
from twofold.ops.views import narrow, select

__all__ = [
    "histc",
    "histogram",
    "isin",
    "nonzero_static",
    "repeat_interleave",
    "unique",
    "unique_consecutive",
    "unravel_index",
]


def _histc(x: Any, *, bins: int, low: float, high: float) -> Any:
    values = x.astype(np.float32) if x.dtype == np.float16 else x
    if low == high and x.size:
        low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 1, high + 1
    inside = values[(values >= low) & (values <= high)].astype(np.float64)
    places = np.minimum(((inside - low) * (bins / (high - low))).astype(np.int64), bins - 1)
    return np.bincount(places, minlength=bins).astype(x.dtype)


HISTC = define(
    "histc",
    attrs=("bins", "low", "high"),
    doc="Counts of elements in equal bins from low to high; equal ends stand for those of x.",
    accepts=FLOAT,
    infer=lambda x, *, bins, low, high: Type((bins,), x.dtype),
    ref=_histc,
    samples=lambda r: [
        Sample((r.normal(size=(40,)), 5, -1.0, 1.5)),
        Sample((r.normal(size=(3, 4)), 4, 0.0, 0.0)),
        Sample((np.zeros((0,)), 3, 0.0, 0.0)),
    ],
    torch=False,
)


def histc(
    input: Tensor, bins: int = 100, min: float = 0, max: float = 0, *, out: Tensor | None = None
) -> Tensor:
    """How many elements fall into each of `bins` equal bins from `min` to `max`, in input's type.

    Equal ends stand for the smallest and the largest element.
    """
    x = admit(HISTC, as_tensor(input, "histc"))
    if bins <= 0:
        raise ArgumentError("histc", f"{bins} bins", hint="bins > 0")
    if not (np.isfinite(min) and np.isfinite(max) and min <= max):
        raise ArgumentError("histc", f"nothing lies from {min} to {max}", hint="min <= max")
    made = bind(HISTC, (x,), (int(bins), float(min), float(max)))
    return with_out(made, out, "histc")


ISIN = define(
    "isin",
    inputs="x values",
    attrs=("invert",),
    doc="Whether each element of x is one of the values, or (invert) none of them.",
    accepts=REAL,
    infer=lambda x, values, *, invert: Type(x.shape, dtypes.bool_),
    ref=lambda x, values, *, invert: np.isin(x, values, invert=invert),
    lower="isin",
    samples=lambda r: [
        Sample((r.integers(0, 5, (3, 4)).astype(float), np.array([1.0, 3.0]), False)),
        Sample((r.integers(0, 5, (3, 4)).astype(float), np.array([[4.0], [0.0]]), True)),
        Sample((np.array([np.nan, 1.0]), np.array([np.nan]), False), smooth=False),
    ],
    torch=lambda x, values, invert: _twin(x, values, invert),
)


def _twin(x: Any, values: Any, invert: bool) -> Any:
    """The same in PyTorch, for the tests."""
    found = (x[..., None] == values.reshape(-1)).any(-1)
    return ~found if invert else found


def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Whether each of `elements` is one of `test_elements` (NaN never is), or none."""
    x, values = comparable("isin", elements, test_elements)
    return bind(ISIN, (admit(ISIN, x), admit(ISIN, values)), (bool(invert),))  # type: ignore[no-any-return]


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: Any = None,
) -> Any:
    """The different elements in order, with where each input element went and how often each
    occurred.
    """
    if dim is None and _of_graph(input):
        ordered, order = sort(reshape(input, (-1,)), 0, stable=True)
        return _runs(ordered, order, input.array.shape, return_inverse, return_counts)
    if _of_graph(input):
        axis = axis_of("unique", dim, input)
        order = _order_of_slices(_slices(input, axis))
        ordered = index_select(input, axis, order)
        fresh = _differing(_slices(ordered, axis))
        return _firsts(ordered, axis, fresh, order, None, return_inverse, return_counts)
    # the first of equal ones stands for them, as -0.0 is one of 0.0's
    array = input.array
    if input.dtype is dtypes.bfloat16:  # of which NumPy knows no order
        array = dtypes.convert(array, dtypes.float32)
    exact = dim is None and array.dtype.kind in "iub"  # equal ones do not differ
    asked: Any = {"return_inverse": return_inverse, "return_counts": return_counts, "axis": dim}
    asked["equal_nan"] = False
    made: Any = np.unique(array, not exact, **asked)  # type: ignore[call-overload]
    parts = list(made) if isinstance(made, tuple) else [made]
    outs = [wrap(dtypes.convert(parts[0], input.dtype))]
    del parts[: 1 if exact else 2]
    if return_inverse:
        shape = input.array.shape if dim is None else (-1,)
        outs.append(wrap(parts.pop(0).reshape(shape).astype(np.int64)))
    if return_counts:
        outs.append(wrap(parts.pop(0).astype(np.int64)))
    return outs[0] if len(outs) == 1 else tuple(outs)


def _of_graph(x: Tensor) -> bool:
    """Whether only a run will know the values."""
    array: Any = x.array
    return not isinstance(array, np.ndarray) or (
        mode.capture is not None and mode.capture.reads_outside(array)
    )


def _slices(x: Tensor, axis: int) -> Tensor:
    """What lies along the axis as rows: [size, elements of a slice]."""
    rows: Tensor = transpose(x, 0, axis)
    return reshape(rows, (rows.array.shape[0], math.prod(rows.array.shape[1:])))


def _order_of_slices(rows: Tensor) -> Tensor:
    """The places of rows in the order of their first elements, then of their second, ..."""
    order = arange(rows.array.shape[0])
    for column in range(int(rows.array.shape[1]) - 1, -1, -1):
        values = index_select(select(rows, 1, column), 0, order)
        order = index_select(order, 0, sort(values, 0, stable=True)[1])
    return order


def _differing(rows: Tensor) -> Tensor:
    """Which rows differ from the one before."""
    positions = arange(rows.array.shape[0])
    before = index_select(rows, 0, clamp(sub(positions, 1), min=0))
    return logical_or(any_(ne(rows, before), 1), eq(positions, 0))


def _runs(values: Tensor, order: Any, shape: Any, inverse: bool, counts: bool) -> Any:
    """The first elements of a vector's runs of equal ones, in a graph. `order`: where the elements
    come from, or None.
    """
    positions = arange(values.array.shape[0])
    before = index_select(values, 0, clamp(sub(positions, 1), min=0))
    fresh = logical_or(ne(values, before), eq(positions, 0))
    return _firsts(values, 0, fresh, order, shape, inverse, counts)


def _firsts(
    x: Tensor, axis: int, fresh: Tensor, order: Any, shape: Any, inverse: bool, counts: bool
) -> Any:
    """The slices that are marked as the first of their runs, whose places are computed before each
    run of the graph; where each slice went, and how long each run was.
    """
    (places,) = map(wrap, places_of(fresh.array, "as many elements as differ"))
    rank = sub(cumsum(fresh, 0), 1)
    outs = [index_select(x, axis, places)]
    if inverse:
        made = (
            rank if order is None else scatter(zeros_of(rank.array.shape, np.int64), 0, order, rank)
        )
        outs.append(made if shape is None else reshape(made, shape))
    if counts:
        none = zeros_of(places.array.shape, np.int64)
        outs.append(scatter_add(none, 0, rank, add(mul(rank, 0), 1)))
    return outs[0] if len(outs) == 1 else tuple(outs)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The elements (or slices along `dim`) without those that equal the one before.

    With where each input went and how long each run was, where asked. The result's size depends on
    the values.
    """
    if dim is None and _of_graph(input):
        flat = reshape(input, (-1,))
        return _runs(flat, None, input.array.shape, return_inverse, return_counts)
    axis = None if dim is None else axis_of("unique_consecutive", dim, input)
    if axis is not None and _of_graph(input):
        fresh = _differing(_slices(input, axis))
        return _firsts(input, axis, fresh, None, None, return_inverse, return_counts)
    array = input.array.reshape(-1) if axis is None else np.moveaxis(input.array, axis, 0)
    rows = array.reshape(len(array), array.size // max(len(array), 1))
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    kept = array[first]
    outs = [wrap(np.ascontiguousarray(kept if axis is None else np.moveaxis(kept, 0, axis)))]
    if return_inverse:
        inverse = np.cumsum(first, dtype=np.int64) - 1
        outs.append(wrap(inverse.reshape(input.array.shape) if axis is None else inverse))
    if return_counts:
        outs.append(wrap(np.diff(np.append(np.flatnonzero(first), len(rows))).astype(np.int64)))
    return outs[0] if len(outs) == 1 else tuple(outs)


@axis_too
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (or slice along `dim`) so many times in a row; repeats: a number or i64[size].

    With one tensor of counts alone: each place so many times. output_size: the sum of the
    counts, which a graph then need not ask for. Raises ArgumentError for counts below 0 and for
    another sum.
    """
    if repeats is None:
        places = arange(input.array.shape[0])
        return repeat_interleave(places, input, 0, output_size=output_size)
    if dim is None:
        input, dim = reshape(input, (-1,)), 0
    axis = axis_there("repeat_interleave", dim, input)
    shape = input.array.shape
    if isinstance(repeats, int):
        if repeats < 0:
            problem = f"nothing is repeated {repeats} times"
            given = type_of(input)
            raise ArgumentError("repeat_interleave", problem, input=given, hint="0 or more")
        spread = reshape(input, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
        wide = expand(spread, (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
        return in_order(wide, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))
    counts = repeats if isinstance(repeats, Tensor) else wrap(np.asarray(repeats))
    if counts.dtype.kind not in "iu":
        raise DTypeError("repeat_interleave", "repeats are not integers", repeats=type_of(counts))
    if counts.array.ndim > 1 or counts.array.shape not in ((shape[axis],), (), (1,)):
        raise _not_counts(input, axis)
    if counts.array.size == 1 and not _of_graph(counts) and output_size is None:
        return repeat_interleave(input, int(counts.array.item()), axis)
    places = _repeated(input, cast(counts, dtypes.int64), axis, output_size)
    return index_select(input, axis, places)


def _not_counts(input: Tensor, axis: int) -> ArgumentError:
    hint = "so many numbers as there are slices, none of them negative"
    problem = f"repeats do not say how often each of {input.array.shape[axis]} slices is wanted"
    return ArgumentError("repeat_interleave", problem, hint=hint, input=type_of(input))


def _repeated(input: Tensor, counts: Tensor, axis: int, total: Any) -> Tensor:
    """The place of each repeated slice, i64[total]."""

    def wrong_sum() -> ArgumentError:
        problem = f"output_size is {total}, which the counts do not add up to"
        return ArgumentError("repeat_interleave", problem, hint="the sum of repeats, or none")

    size = input.array.shape[axis]
    if not _of_graph(counts):
        array = counts.array
        if (array < 0).any():
            raise _not_counts(input, axis)
        places = np.repeat(np.arange(int(size)), array)
        if total is not None and len(places) != total:
            raise wrong_sum()
        return wrap(places)
    natural = in_range(counts, 0, 2**62, lambda _: _not_counts(input, axis))
    each = expand(reshape(natural, (-1,)), (size,))
    if total is None:
        total = item(sum(each))
    else:
        require(eq(sum(each), total), wrong_sum)
    return searchsorted(cumsum(each, 0), arange(total), right=True)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Positions in a flattened tensor as one position for each axis of `shape`."""
    if indices.dtype.kind not in "ui":
        raise DTypeError("unravel_index", f"indices are {indices.dtype.name}", hint=".long()")
    sizes = sizes_of("unravel_index", (shape,) if isinstance(shape, int) else tuple(shape))
    if any(n < 0 for n in sizes):
        raise ArgumentError("unravel_index", f"{list(sizes)} is not a shape")
    if 0 in sizes and indices.array.size:
        raise IndexRangeError("unravel_index", "a tensor without elements has no position")
    made, rest = [], cast(indices, dtypes.int64)
    for size in reversed(sizes):
        made.append(remainder(rest, max(size, 1)))
        rest = floor_divide(rest, max(size, 1))
    return tuple(reversed(made))


def nonzero_static(
    input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None
) -> Tensor:
    """The positions of the first `size` elements that are not zero, i64[size, ndim], and
    `fill_value` where there are fewer: of a size that a graph knows.
    """
    if size < 0:
        raise ArgumentError("nonzero_static", f"size is {size}", hint="size >= 0")
    shape = input.array.shape
    there = reshape(ne(input, 0), (math.prod(shape),))
    rank = cumsum(there, 0)
    put = where(logical_and(there, le(rank, size)), sub(rank, 1), size)  # others go to one more row
    count = there.array.shape[0]
    places = scatter(zeros(size + 1, dtype=dtypes.int64), 0, put, arange(count))
    found = lt(arange(size), sum(there))
    sizes = tuple([maximum(n, 1) for n in shape])
    parts = unravel_index(narrow(places, 0, 0, size), sizes) if shape else ()
    rows = [where(found, part, fill_value) for part in parts]
    made = stack(rows, 1) if rows else zeros(size, 0, dtype=dtypes.int64)
    return with_out(made, out, "nonzero_static")


class Histogram(NamedTuple):
    hist: Tensor
    bin_edges: Tensor


_Histogram = returned(Histogram, "histogram")


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """How many elements fall between the edges, the last bin closed at both ends.

    bins     a number of bins of equal width over `range` (all elements, where it is not given), or
             the edges f[n + 1] themselves
    weight   what each element counts; density makes the histogram's area 1
    """
    x = reshape(input, (-1,))
    edges = edges_of("histogram", x, bins, range)
    places, inside = bins_of(x, edges)
    made, _ = counted(x, [edges], places, inside, weight, density)
    return _Histogram(made, edges)


def edges_of(op: str, x: Tensor, bins: Any, range: Any) -> Tensor:
    if isinstance(bins, Tensor):
        edges = cast(bins, x.dtype)
    else:
        low, high = _span(x, range)
        edges = linspace(low, high, bins + 1, dtype=x.dtype)
    if edges.array.shape[0] < 2:
        raise ArgumentError(op, "at least one bin is wanted", input=type_of(x))
    return edges


def bins_of(x: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """The bin of each element, and whether it lies in one."""
    count = edges.array.shape[0] - 1
    inside = logical_and(ge(x, narrow(edges, 0, 0, 1)), le(x, narrow(edges, 0, count, 1)))
    places = sub(searchsorted(edges, x, right=True), 1)
    return where(inside, where(ge(places, count), count - 1, places), 0), inside


def counted(
    x: Tensor, edges: list[Tensor], places: Tensor, inside: Tensor, weight: Any, density: bool
) -> tuple[Tensor, tuple[int, ...]]:
    """The sums of the weights in each cell of the flattened grid, and the grid's sizes."""
    sizes = tuple(e.array.shape[0] - 1 for e in edges)
    one = ones(places.array.shape, dtype=x.dtype)
    value = one if weight is None else reshape(cast(weight, x.dtype), places.array.shape)
    start = zeros(math.prod(sizes), dtype=x.dtype)
    made = index_add(start, 0, places, where(inside, value, 0.0))
    if not density:
        return made, sizes
    volume = None
    for edge, size in zip(edges, sizes, strict=True):
        width = sub(narrow(edge, 0, 1, size), narrow(edge, 0, 0, size))
        outer = None if volume is None else mul(reshape(volume, (-1, 1)), width)
        volume = width if outer is None else reshape(outer, (-1,))
    assert volume is not None
    return true_divide(true_divide(made, sum(made)), volume), sizes


def _span(x: Tensor, given: tuple[float, float] | None) -> tuple[Any, Any]:
    if given is None and x.array.size and _of_graph(x):
        return _span_of_graph(amin(x), amax(x))
    if given is not None:
        low, high = given
    elif x.array.size:
        low, high = float(x.array.min()), float(x.array.max())
    else:
        low, high = 0.0, 1.0
    if not (math.isfinite(low) and math.isfinite(high)) or low > high:
        raise ArgumentError("histogram", f"range from {low} to {high}", hint="two finite numbers")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _span_of_graph(low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    def endless() -> ArgumentError:
        return ArgumentError("histogram", "an element is not finite", hint="two finite numbers")

    require(lt(sub(high, low), math.inf), endless)
    half = where(eq(low, high), 0.5, 0.0)
    return sub(low, half), add(high, half)


guard(globals())
