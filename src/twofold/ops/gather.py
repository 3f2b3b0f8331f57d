"""Gather and scatter along one axis, by an index tensor of the same rank. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexRangeError,
    ShapeError,
)
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import eq, gt, logical_and, lt, where
from twofold.ops.elementwise import add, cast, conj, mul, true_divide
from twofold.ops.guarding import guard
from twofold.ops.indexing import PART_PUT, VIEW, Slice
from twofold.ops.movement import reshape
from twofold.ops.op import Sample, define
from twofold.ops.ranges import CHECK, bind_in_range, in_range, require
from twofold.ops.reduce import all as all_of
from twofold.ops.rounding import floor_divide
from twofold.ops.rules import as_tensor, axis_of, axis_there, axis_too, broadcast, stored
from twofold.ops.source import blank, filled, known, zeros_of
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.writing import bind_onto, is_onto

__all__ = [
    "gather",
    "index_reduce",
    "scatter",
    "scatter_add",
    "scatter_reduce",
    "take_along_dim",
]

COMBINE = {"sum": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _where(index: Any, dim: int) -> tuple[Any, ...]:
    """NumPy's index of every element of `index`, with the axis `dim` taken from its values."""
    grid = list(np.ix_(*map(np.arange, index.shape)))
    grid[dim] = index
    return tuple(grid)


def _gather_vjp(g: Tensor, out: Any, x: Any, index: Tensor, *, dim: int) -> Any:
    zero = blank(x.shape, g.array.dtype)
    return bind(SCATTER, (zero, index, g), (dim, "sum")), None


GATHER = define(
    "gather",
    inputs="x index",
    attrs=("dim",),
    doc="out[i][j][k] = x[i][index[i][j][k]][k] for dim = 1.",
    infer=lambda x, index, *, dim: Type(index.shape, x.dtype),
    lower="gather",
    ref=lambda x, index, *, dim: x[_where(index, dim)],
    vjp=_gather_vjp,
    saves="index",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), np.array([[0, 3], [1, 1], [2, 0]]), 1)),
        Sample((r.normal(size=(3, 4)), np.array([[0, 2, 1]]), 0)),
    ],
    torch=lambda x, index, dim: x.gather(dim, index),
)


def _scatter(x: Any, index: Any, source: Any, *, dim: int, reduce: str) -> Any:
    made = x.copy()
    part = source[tuple(map(slice, index.shape))]
    if reduce:
        COMBINE[reduce].at(made, _where(index, dim), part)
    else:
        made[_where(index, dim)] = part
    return made


def _scatter_vjp(
    g: Tensor, out: Tensor, x: Tensor, index: Tensor, source: Tensor, *, dim: int, reduce: str
) -> Any:
    taken = bind(GATHER, (g, index), (dim,))
    if reduce == "sum":
        return g, None, _grown(taken, source.shape)
    if not reduce:
        zero = zeros_of(index.array.shape, g.array.dtype)
        return bind(SCATTER, (g, index, zero), (dim, "")), None, _grown(taken, source.shape)
    if reduce == "prod":
        return _prod_vjp(g, out, x, index, source, dim)
    return _extreme_vjp(g, out, x, index, source, dim)


def _prod_vjp(g: Tensor, out: Tensor, x: Tensor, index: Tensor, source: Tensor, dim: int) -> Any:
    """g times the product of the others, by a division; of a single zero, by leaving it out."""
    part = bind(VIEW, (source,), (_leading(index.array.shape),))
    none, zero = eq(x, 0), eq(part, 0)
    start = zeros_of(x.array.shape, np.dtype(np.int64))
    count = bind(SCATTER, (start, index, cast(zero, dtypes.int64)), (dim, "sum"))
    if mode.grad:
        require(all_of(lt(add(count, cast(none, dtypes.int64)), 2)), _two_zeros)
    alone = logical_and(zero, eq(bind(GATHER, (count, index), (dim,)), 1))
    filled_x, filled_part = where(none, 1, x), where(zero, 1, part)
    by_x = true_divide(
        mul(g, conj(bind(SCATTER, (filled_x, index, part), (dim, "prod")))), conj(filled_x)
    )
    rest = bind(SCATTER, (x, index, where(alone, 1, part)), (dim, "prod"))
    of_alone = bind(GATHER, (mul(g, conj(rest)), index), (dim,))
    of_others = true_divide(bind(GATHER, (mul(g, conj(out)), index), (dim,)), conj(filled_part))
    return by_x, None, _grown(where(alone, of_alone, of_others), source.array.shape)


def _two_zeros() -> Exception:
    problem = "products with two zeros have no second derivative here"
    return GradientError("scatter_reduce", problem, hint="numbers other than 0")


def _extreme_vjp(g: Tensor, out: Tensor, x: Tensor, index: Tensor, source: Tensor, dim: int) -> Any:
    """Those that equal the extreme share its gradient evenly, as PyTorch does."""
    at_x = cast(eq(x, out), g.dtype)
    part = bind(VIEW, (source,), (_leading(index.array.shape),))
    at_source = cast(eq(part, bind(GATHER, (out, index), (dim,))), g.dtype)
    count = bind(SCATTER, (at_x, index, at_source), (dim, "sum"))
    shared = g / count
    taken = mul(bind(GATHER, (shared, index), (dim,)), at_source)
    return mul(shared, at_x), None, _grown(taken, source.array.shape)


def _leading(shape: tuple[int, ...]) -> tuple[Slice, ...]:
    return tuple(Slice(0, n, None) for n in shape)


def _grown(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A gradient for the leading part of a larger source."""
    if g.array.shape == tuple(shape):
        return g
    zero = blank(shape, g.array.dtype)
    return bind(PART_PUT, (zero, g), (_leading(g.array.shape),))  # type: ignore[no-any-return]


SCATTER = define(
    "scatter",
    inputs="x index source",
    attrs=("dim", "reduce"),
    doc="x with source written (or combined) at x[i][index[i][j]][...], in ascending order.",
    infer=lambda x, index, source, *, dim, reduce: x,
    lower="scatter",
    ref=_scatter,
    vjp=_scatter_vjp,
    saves="x index source out",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), np.array([[0, 3], [1, 2]]), r.normal(size=(2, 2)), 1, "")),
        Sample(
            (r.normal(size=(3, 4)), np.array([[0, 0], [1, 2]]), r.normal(size=(2, 2)), 1, "sum")
        ),
        Sample(
            (r.normal(size=(3, 4)), np.array([[0, 0], [1, 2]]), r.normal(size=(2, 2)), 1, "prod")
        ),
        Sample(
            (r.normal(size=(3, 4)), np.array([[0, 0], [1, 2]]), r.normal(size=(2, 2)), 1, "amax")
        ),
    ],
    torch=lambda x, i, s, d, r: x.scatter_reduce(d, i, s, r) if r else x.scatter(d, i, s),
)


def check_index(
    op: str, x: Tensor, dim: int, index: Tensor, source: Tensor | None = None
) -> tuple[int, Tensor]:
    """The axis and the index in i64, after checking its type, rank, sizes and range."""
    axis, index, size, error = _admitted(op, x, dim, index, source)
    return axis, in_range(index, 0, size, error)


def _admitted(
    op: str, x: Tensor, dim: int, index: Tensor, source: Tensor | None = None
) -> tuple[int, Tensor, int, Callable[[Any], Exception]]:
    """The axis and the index in i64, after checking its type, rank and sizes; the size of the axis,
    and the error of an index beyond it."""
    axis = axis_of(op, dim, x)
    if index.array.dtype.kind not in "iu":
        raise DTypeError(
            op, f"index is {index.dtype.name}", hint="index.long()", index=type_of(index)
        )
    if max(index.array.ndim, 1) != max(x.array.ndim, 1) and index.array.size:
        raise ShapeError(
            op,
            "index and input must have as many axes",
            hint="index.unsqueeze(dim)",
            input=type_of(x),
            index=type_of(index),
        )
    ranks = max(index.array.ndim, 1), max(source.array.ndim, 1) if source is not None else None
    if source is not None and ranks[0] != ranks[1] and index.array.size:
        problem, hint = "index and src must have as many axes", "src.expand(index.shape)"
        raise ShapeError(op, problem, hint=hint, index=type_of(index), src=type_of(source))
    for other, skip in ((x, axis), (source, -1)):
        if other is not None and index.array.ndim == other.array.ndim:
            for i, (n, m) in enumerate(zip(index.array.shape, other.array.shape, strict=True)):
                if i != skip and n > m and index.array.size:
                    raise ShapeError(
                        op,
                        f"index is larger on axis {i}",
                        input=type_of(other),
                        index=type_of(index),
                    )
    size = x.array.shape[axis] if x.array.ndim else 1

    def error(number: Any) -> Exception:
        return IndexRangeError(
            op,
            f"index {number} is out of range on axis {axis}",
            hint=f"0 to {size - 1}",
            input=type_of(x),
        )

    return axis, cast(index, dtypes.int64), size, error


@axis_too
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """The elements of `input` that `index` (i64, same rank) names along `dim`; the result has
    index's shape: out[i, j] = input[index[i, j], j] for dim 0.

    The gradient is dense, also with PyTorch's `sparse_grad`. Raises ShapeError for another rank,
    IndexRangeError for an index out of range, DTypeError for an index that is no whole number.
    """
    axis, index, size, error = _admitted("gather", input, dim, index)
    if index.array.ndim > 1 and index.array.ndim != input.array.ndim:  # which names no element
        return input.new_empty(index.array.shape)  # type: ignore[attr-defined, no-any-return]
    if not input.array.ndim:
        return input.reshape(1).gather(0, index.reshape(-1)).reshape(index.shape)  # type: ignore
    made: Tensor = bind_in_range(GATHER, (input, index), (axis,), 1, 0, size, error)
    return made


@axis_too
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: Any = None,
) -> Tensor:
    """`input` with `src` (a tensor or a number) written at the places that `index` names along
    `dim`: out[index[i, j], j] = src[i, j] for dim 0. Raises as gather does.
    """
    source = src if src is not None else value
    if not isinstance(source, Tensor):
        source = known(filled(index.array.shape, source, input.dtype))
    names = {None: "", "add": "sum", "multiply": "prod"}
    if reduce not in names:
        raise ArgumentError(
            "scatter", f"reduce={reduce!r} is not known", hint="'add', 'multiply' or None"
        )
    return _scattered("scatter", input, dim, index, source, names[reduce])


@axis_too
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with `src` added at the places that `index` names along `dim`, in ascending order."""
    return _scattered("scatter_add", input, dim, index, src, "sum")


def _scattered(op: str, x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str) -> Tensor:
    axis, index, size, error = _admitted(op, x, dim, index, source)
    if not x.array.ndim:
        flat, index, source = (reshape(p, (p.array.size,)) for p in (x, index, source))
        return reshape(_scattered(op, flat, 0, index, source, reduce), ())
    inputs = x, index, stored(op, as_tensor(source, op), x)
    if is_onto(x) and not bind(CHECK, (index,), (0, size, None))[1].array:
        return bind_onto(SCATTER, inputs, (axis, reduce))  # type: ignore[no-any-return]
    made: Tensor = bind_in_range(SCATTER, inputs, (axis, reduce), 1, 0, size, error)
    return made


@axis_too
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`input` combined with `src` at the places that `index` names: sum, prod, mean, amax or
    amin.
    """
    if reduce not in (*COMBINE, "mean"):
        raise ArgumentError(
            "scatter_reduce", f"reduce={reduce!r} is not known", hint="sum, prod, mean, amax, amin"
        )
    axis, index = check_index("scatter_reduce", input, dim, index, src)
    if not include_self:
        start = _neutral(reduce, input.dtype)
        input = _scattered(
            "scatter_reduce",
            input,
            axis,
            index,
            known(filled(src.array.shape, start, input.dtype)),
            "",
        )
    made = _scattered(
        "scatter_reduce", input, axis, index, src, "sum" if reduce == "mean" else reduce
    )
    if reduce != "mean":
        return made
    kind = dtypes.int64 if made.dtype.kind in "fc" else made.dtype
    ones = known(filled(src.array.shape, 1, kind))
    first = known(filled(input.array.shape, int(include_self), kind))
    count = _scattered("scatter_reduce", first, axis, index, ones, "sum")
    divide = true_divide if made.dtype.kind in "fc" else floor_divide
    return divide(made, cast(where(gt(count, 1), count, 1), made.dtype))


def _neutral(reduce: str, dtype: DType) -> Any:
    """What changes nothing that it is combined with."""
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    if dtype is dtypes.bool_:
        return reduce == "amin"
    if dtype.is_floating_point:
        return math.inf if reduce == "amin" else -math.inf
    limits = np.iinfo(dtype.numpy)
    return limits.max if reduce == "amin" else limits.min


@axis_too
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """The slices at `index` along `dim` combined with those of `source`: prod, mean, amax, amin."""
    if reduce not in ("prod", "mean", "amax", "amin"):
        hint = "prod, mean, amax, amin; index_add for sums"
        raise ArgumentError("index_reduce", f"reduce={reduce!r} is not known", hint=hint)
    axis = axis_of("index_reduce", dim, input)
    if not input.array.ndim:
        flat, part = reshape(input, (1,)), reshape(source, (1,))
        made = index_reduce(flat, 0, index, part, reduce, include_self=include_self)
        return reshape(made, ())
    sizes = [-1 if i == axis else 1 for i in range(source.array.ndim)]
    full = index.reshape(sizes).expand(source.array.shape)  # type: ignore[attr-defined]
    return scatter_reduce(input, axis, full, source, reduce, include_self=include_self)


@axis_too
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements at `indices` along `dim`, with the other axes broadcast; -1 is the last."""
    if dim is None:
        return take_along_dim(input.reshape(-1), indices.reshape(-1), 0)  # type: ignore[attr-defined]
    axis = axis_there("take_along_dim", dim, input)
    sides = {"input": _without(input, axis), "indices": _without(indices, axis)}
    shape = list(broadcast("take_along_dim", **sides))
    full = [*shape[:axis], -1, *shape[axis:]]
    from_front = where(lt(indices, 0), add(indices, input.array.shape[axis]), indices)
    return gather(input.expand(full), axis, from_front.expand(full))  # type: ignore[attr-defined]


def _without(x: Tensor, axis: int) -> Type:
    return Type(x.array.shape[:axis] + x.array.shape[axis + 1 :], x.dtype)


guard(globals())
