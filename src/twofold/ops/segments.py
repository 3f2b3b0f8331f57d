"""Reductions over runs of slices, and matrix products in groups. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops.compare import eq, where
from twofold.ops.convert import item
from twofold.ops.creation import arange, zeros
from twofold.ops.elementwise import add, cast, sub, true_divide
from twofold.ops.gather import scatter_reduce
from twofold.ops.guarding import guard
from twofold.ops.joining import cat, stack
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, reshape
from twofold.ops.ranges import in_range, require
from twofold.ops.reduce import all as all_
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import axis_there
from twofold.ops.sorting import cumsum, searchsorted
from twofold.ops.source import filled
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.views import narrow

__all__ = ["grouped_mm", "segment_reduce"]

# What a run without elements gives, and the name of the way to combine.
STARTS = {
    "sum": (0.0, "sum"),
    "mean": (0.0, "sum"),
    "prod": (1.0, "prod"),
    "max": (-math.inf, "amax"),
    "min": (math.inf, "amin"),
}


def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """Runs of slices along `axis` combined: f[..., n, ...] -> f[..., runs, ...].

    reduce   sum, mean, max, min or prod
    lengths  i64[..., runs], how many slices each run has: all n in all, unless `unsafe`
    offsets  i64[..., runs + 1] instead: where each run begins, and where the last one ends
    initial  what each run starts with; without it an empty run is 0, NaN (mean), an infinity or 1

    The axes before `axis` are those of lengths. Raises ArgumentError, DTypeError, ShapeError.
    """
    op = "segment_reduce"
    if reduce not in STARTS:
        raise ArgumentError(op, f"reduce={reduce!r} is not known", hint="sum, mean, max, min, prod")
    if indices is not None or (lengths is None) == (offsets is None):
        raise ArgumentError(op, "the runs are not told", hint="lengths=, or offsets=")
    if not data.dtype.is_floating_point:
        raise DTypeError(op, "floats are combined", hint="data.float()", data=type_of(data))
    at = axis_there(op, axis, data)
    sizes = data.array.shape
    counts, first = _counts_of(op, lengths, offsets)
    if counts.array.ndim != at + 1 or counts.array.shape[:-1] != sizes[:at]:
        hint = f"lengths {[*sizes[:at], 'runs']}"
        raise ShapeError(op, "the runs do not fit", hint=hint, data=type_of(data))
    if not unsafe:
        _check_sum(op, counts, first, sizes[at])
    run = _run_of(counts, first, sizes[at])
    runs = counts.array.shape[-1]
    start, way = STARTS[reduce]
    value = start if initial is None else float(initial)
    shape = (*sizes[:at], runs + 1, *sizes[at + 1 :])  # one more, for what belongs to none
    begin = wrap(filled(shape, value, data.dtype))
    tail = (1,) * (len(sizes) - at - 1)
    where_to = expand(reshape(run, (*run.array.shape, *tail)), sizes)
    made = scatter_reduce(begin, at, where_to, data, way, include_self=True)
    made = narrow(made, at, 0, runs)
    if reduce != "mean":
        return made
    share = cast(reshape(counts, (*counts.array.shape, *tail)), data.dtype)
    empty = eq(share, 0.0)
    mean = true_divide(made, where(empty, 1.0, share))
    return where(empty, math.nan if initial is None else value, mean)  # type: ignore[no-any-return]


def _counts_of(op: str, lengths: Tensor | None, offsets: Tensor | None) -> tuple[Tensor, Any]:
    """How many slices each run has, and where the first one begins."""
    given: Any = lengths if offsets is None else offsets
    if given.dtype.kind not in "iu" or not given.array.ndim:
        raise DTypeError(op, "whole numbers tell the runs", hint="lengths i64[runs]")
    given = cast(given, dtypes.int64)
    first: Any = 0
    if offsets is not None:
        runs = given.array.shape[-1] - 1
        first = narrow(given, -1, 0, 1)
        given = sub(narrow(given, -1, 1, runs), narrow(given, -1, 0, runs))

    def negative(_: Any) -> ArgumentError:
        return ArgumentError(op, "a run has fewer than 0 slices", hint="0 or more")

    return in_range(given, 0, 2**62, negative), first


def _check_sum(op: str, counts: Tensor, first: Any, size: Any) -> None:
    def wrong() -> ArgumentError:
        problem = f"the runs do not add up to the {size} slices"
        return ArgumentError(op, problem, hint="unsafe=True leaves out what is in none")

    ends = add(sum_(counts, -1, True), first)
    require(all_(eq(ends, size)), wrong)


def _run_of(counts: Tensor, first: Any, size: Any) -> Tensor:
    """The number of each slice's run, and one more for those that are in none."""
    ends = add(cumsum(counts, -1), first)
    lead = counts.array.shape[:-1]
    places = expand(arange(size), (*lead, size))
    run = searchsorted(ends, places, right=True)
    return where(places < first, counts.array.shape[-1], run)  # type: ignore[no-any-return]


def grouped_mm(
    mat_a: Tensor,
    mat_b: Tensor,
    *,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: DType | None = None,
) -> Tensor:
    """Products of groups of matrices. `offs`, i32[G], says where each group ends.

    [M, K], [G, K, N]    groups of rows of mat_a: [M, N]
    [G, M, K], [K, N]    groups of columns of mat_b: [M, N]
    [M, K], [K, N]       groups of what is summed over: [G, M, N]
    [G, M, K], [G, K, N] one product each, without `offs`: [G, M, N]

    Rows that are in no group are 0. Raises ArgumentError, ShapeError.
    """
    op = "grouped_mm"
    facts: Any = {"mat_a": type_of(mat_a), "mat_b": type_of(mat_b)}
    ranks = mat_a.array.ndim, mat_b.array.ndim
    if bias is not None:
        raise ArgumentError(op, "a bias is not taken", hint="add it to the result")
    if ranks not in GROUPS:
        raise ShapeError(op, "matrices or stacks of them are wanted", hint="[M, K], [G, K, N]")
    if (offs is None) != (ranks == (3, 3)):
        problem = "offs goes with stacks" if offs is not None else "where do the groups end?"
        raise ArgumentError(op, problem, hint="offs: the end of each group, i32[G]", **facts)
    if mat_a.array.shape[-1] != mat_b.array.shape[-2]:
        raise ShapeError(op, "inner sizes differ", hint="[M, K], [K, N]", **facts)
    count = 0 if offs is None else int(offs.array.shape[0])
    ends = [item(offs[group]) for group in range(count)]  # type: ignore[index]
    made = GROUPS[ranks](mat_a, mat_b, ends)
    return made if out_dtype is None else cast(made, out_dtype)


def _pieces(x: Tensor, axis: int, ends: list[Any]) -> list[Tensor]:
    starts = [0, *ends]
    ranges = [slice(s, e) for s, e in zip(starts, ends, strict=False)]
    return [x[r] if axis == 0 else x[:, r] for r in ranges]  # type: ignore[index]


def _rows(a: Tensor, b: Tensor, ends: list[Any]) -> Tensor:
    made = [matmul(piece, b[g]) for g, piece in enumerate(_pieces(a, 0, ends))]  # type: ignore[index]
    left = a.array.shape[0] - (ends[-1] if ends else 0)
    rest = (left, b.array.shape[-1])
    return cat([*made, zeros(*rest, dtype=a.dtype)], 0)


def _columns(a: Tensor, b: Tensor, ends: list[Any]) -> Tensor:
    made = [matmul(a[g], piece) for g, piece in enumerate(_pieces(b, 1, ends))]  # type: ignore[index]
    left = b.array.shape[1] - (ends[-1] if ends else 0)
    return cat([*made, zeros(a.array.shape[1], left, dtype=a.dtype)], 1)


def _sums(a: Tensor, b: Tensor, ends: list[Any]) -> Tensor:
    pairs = zip(_pieces(a, 1, ends), _pieces(b, 0, ends), strict=True)
    return stack([matmul(x, y) for x, y in pairs])


GROUPS: dict[Any, Callable[[Tensor, Tensor, list[Any]], Tensor]] = {
    (2, 3): _rows,
    (3, 2): _columns,
    (2, 2): _sums,
    (3, 3): lambda a, b, _: matmul(a, b),
}


guard(globals())
