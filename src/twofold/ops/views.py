"""Views by other names: axes added, dropped, joined, cut. Floor 4. All share the input's memory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from twofold.base.symbols import is_symbol, maximum, minimum
from twofold.base.types import Type
from twofold.ops.bind import asks_for_history, bind, current
from twofold.ops.compare import lt, where
from twofold.ops.elementwise import add, cast, conj
from twofold.ops.guarding import guard
from twofold.ops.indexing import VIEW, Slice
from twofold.ops.movement import CLONE, RESHAPE, can_be_seen, expand, permute, reshape, transpose
from twofold.ops.op import NUMBER, Sample, define
from twofold.ops.ranges import in_range
from twofold.ops.rules import (
    axes_of,
    axis_of,
    axis_there,
    axis_too,
    broadcast,
    filled,
    size_of,
    sizes_of,
)
from twofold.ops.samples import values
from twofold.ops.selecting import index_select
from twofold.ops.source import ARANGE, made
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.triangles import DIAG_EMBED

__all__ = [
    "adjoint",
    "broadcast_tensors",
    "broadcast_to",
    "diagonal",
    "flatten",
    "moveaxis",
    "movedim",
    "narrow",
    "ravel",
    "select",
    "squeeze",
    "swapaxes",
    "swapdims",
    "unflatten",
    "unsqueeze",
]


def view(input: Tensor, *shape: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """`input` in another shape, or as elements of another type (`view_dtype`), sharing its memory.
    Raises ShapeError where that needs a copy (then: reshape).
    """
    if dtype is not None or (len(shape) == 1 and isinstance(shape[0], DType)):
        return view_dtype(input, shape[0] if dtype is None else dtype)
    if len(shape) == 1 and not isinstance(shape[0], int | tuple | list | np.integer):
        raise ArgumentError("view", f"{shape[0]!r} is not a shape", hint="x.view(3, 4)")
    wanted = filled(sizes_of("view", shape, size), input.array.size, "view", input)
    if not can_be_seen(input.array, wanted):
        raise ShapeError(
            "view",
            f"the elements cannot be seen as {list(wanted)} where they lie",
            hint="reshape, which copies",
            input=type_of(input),
        )
    return bind(RESHAPE, (input,), (wanted,))  # type: ignore[no-any-return]


def _reinterpreted(x: Type, *, dtype: DType) -> Type:
    if x.dtype.itemsize == dtype.itemsize:
        return x.with_dtype(dtype)
    return Type((*x.shape[:-1], x.shape[-1] * x.dtype.itemsize // dtype.itemsize), dtype)


VIEW_DTYPE = define(
    "view_dtype",
    attrs=("dtype",),
    doc="The bytes of x as elements of another type, as a view. It has no gradient.",
    infer=_reinterpreted,
    ref=lambda x, *, dtype: x.view(dtype.numpy),
    vjp=None,
    lower="view_dtype",
    view=True,
    samples=lambda random: [
        Sample((values(random, (3, 4)), dtype), smooth=False)
        for dtype in (dtypes.uint8, dtypes.int8)
    ],
    torch=lambda x, dtype: x.view(dtype),
)


def view_dtype(input: Tensor, dtype: Any) -> Tensor:
    """The memory of `input` as elements of another type; the last axis grows or shrinks with them.

    Raises ShapeError where elements of another size do not lie side by side, or do not fill the new
    ones; DTypeError for a tensor that is recorded, as bits have no gradient.
    """
    wanted = dtypes.as_dtype(dtype)
    array = input.array
    if wanted is input.dtype:
        return input
    if current(input).tracked:
        problem = "bits have no gradient"
        raise DTypeError("view", problem, hint="x.detach().view(dtype)", input=type_of(input))
    asks_for_history()
    if wanted.itemsize != input.dtype.itemsize:
        size = input.dtype.itemsize
        fits = array.ndim and (array.strides[-1] == size or array.shape[-1] == 1)
        if not fits or array.shape[-1] * size % wanted.itemsize:
            raise ShapeError(
                "view",
                f"the last axis holds no whole elements of {wanted.name}, side by side",
                hint="x.contiguous() first, or another last axis",
                input=type_of(input),
            )
    return bind(VIEW_DTYPE, (input,), (wanted,))  # type: ignore[no-any-return]


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    return reshape(input, other.array.shape)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    return view(input, other.array.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Axes start_dim to end_dim as one: f[a, b, c] from 1 -> f[a, b * c]; a view where it can be.

    Raises IndexRangeError for an axis that does not exist, ShapeError where start is behind end.
    """
    if not input.array.ndim:
        return reshape(input, (1,))
    first, last = axis_of("flatten", start_dim, input), axis_of("flatten", end_dim, input)
    if first > last:
        raise ArgumentError(
            "flatten", f"start_dim {first} comes after end_dim {last}", input=type_of(input)
        )
    shape = input.array.shape
    return reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


def ravel(input: Tensor) -> Tensor:
    return reshape(input, (-1,))


@axis_too
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One axis as several whose sizes multiply to its own; one may be -1."""
    axis = axis_of("unflatten", dim, input)
    shape = input.array.shape
    inner = filled(tuple(sizes), shape[axis], "unflatten", input)
    return reshape(input, (*shape[:axis], *inner, *shape[axis + 1 :]))


@axis_too
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the axes of size 1 (all, or those of `dim`, where others are left), as a view.

    Raises IndexRangeError for an axis that does not exist.
    """
    shape = input.array.shape
    if dim is None:
        axes: Any = range(len(shape))
    else:
        none = dim == () or dim == []
        axes = () if none or not shape else axes_of("squeeze", dim, input)
    return reshape(input, tuple(n for i, n in enumerate(shape) if i not in axes or n != 1))


@axis_too
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at `dim`, as a view: f[a, b] at 1 -> f[a, 1, b].

    Raises IndexRangeError for a place that does not exist.
    """
    axis = axis_of("unsqueeze", dim, input, extra=1)
    shape = input.array.shape
    return (
        bind(VIEW, (input,), ((Slice(None, None, None),) * axis + (None,),))
        if shape
        else reshape(input, (1,))
    )


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the others in their order."""
    moved = [
        axis_of("movedim", d, input)
        for d in (source if isinstance(source, tuple | list) else (source,))
    ]
    places = [
        axis_of("movedim", d, input)
        for d in (destination if isinstance(destination, tuple | list) else (destination,))
    ]
    if (
        len(moved) != len(places)
        or len(set(moved)) != len(moved)
        or len(set(places)) != len(places)
    ):
        raise ArgumentError("movedim", f"{source} cannot go to {destination}", input=type_of(input))
    order = [d for d in range(input.array.ndim) if d not in moved]
    for place, axis in sorted(zip(places, moved, strict=True)):
        order.insert(place, axis)
    return permute(input, order)


moveaxis = movedim
swapdims = transpose


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """`transpose(input, axis0, axis1)`, by NumPy's name."""
    return transpose(input, axis0, axis1)


@axis_too
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`length` slices from `start` (a number, or i64[]) on along an axis."""
    axis = axis_there("narrow", dim, input)
    size = input.array.shape[axis]
    start = getattr(start, "tensor", start)  # a number that a run knows
    if isinstance(start, Tensor):
        start = _place(start)
        if isinstance(start, Tensor):  # known when a graph runs
            first = where(lt(start, 0), add(start, size), _within(start, axis, size, input))
            places = add(wrap(made(ARANGE, (0, 1, length, dtypes.int64))), first)
            return index_select(input, axis, places)
    start, length = size_of("narrow", start), size_of("narrow", length)
    if not -size <= start <= size:
        raise _off_axis(start, axis, size, input)
    start = start + size if start < 0 else start
    if not start <= start + length <= size:
        raise ArgumentError(
            "narrow", f"{start} to {start + length} is not within axis {axis}", input=type_of(input)
        )
    if is_symbol(start):  # a slice that moves may be a part of the graph
        key = (slice(None),) * axis + (slice(start, start + length),)
        return input[key]  # type: ignore[index, no-any-return]
    return part(input, axis, start, start + length)


def _off_axis(start: Any, axis: int, size: Any, x: Tensor) -> Exception:
    problem, hint = f"start {start} is not on axis {axis}", f"{-size} to {size}"
    return IndexRangeError("narrow", problem, hint=hint, input=type_of(x))


def _within(start: Tensor, axis: int, size: Any, x: Tensor) -> Tensor:
    def error(number: Any) -> Exception:
        return _off_axis(number, axis, size, x)

    return in_range(cast(start, dtypes.int64), -size, size + 1, error)


def _place(start: Tensor) -> Any:
    """The number in a tensor i64[]; the tensor itself where its value is not known yet."""
    if start.array.ndim or start.array.dtype.kind not in "iu":
        raise DTypeError("narrow", "start is no whole number", hint="i64[]", start=type_of(start))
    return int(start.array) if isinstance(start.array, np.ndarray) else start


def part(x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return bind(VIEW, (x,), ((Slice(None, None, None),) * axis + (Slice(start, stop, None),),))  # type: ignore[no-any-return]


@axis_too
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One slice along an axis, without the axis."""
    axis = axis_there("select", dim, input)
    return input[(slice(None),) * axis + (index,)]  # type: ignore[index, no-any-return]


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    return expand(input, other.array.shape)


def broadcast_to(input: Tensor, shape: Any) -> Tensor:
    return expand(input, shape)


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Every tensor expanded to the common shape."""
    types = {f"input {i}": type_of(x) for i, x in enumerate(tensors)}
    shape = broadcast("broadcast_tensors", **types)
    return tuple(x if x.array.shape == shape else expand(x, shape) for x in tensors)


def _diagonal(x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    made = np.diagonal(x, offset, dim1, dim2)
    if x.flags.writeable:
        made.flags.writeable = True
    return made


def _diagonal_shape(shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> tuple[int, ...]:
    rows, columns = shape[dim1] + minimum(offset, 0), shape[dim2] - maximum(offset, 0)
    rest = [n for axis, n in enumerate(shape) if axis not in (dim1, dim2)]
    return (*rest, maximum(minimum(rows, columns), 0))


def _diagonal_vjp(g: Tensor, out: Any, x: Any, *, offset: int, dim1: int, dim2: int) -> Any:
    return (bind(DIAG_EMBED, (g,), (tuple(x.shape), offset, dim1, dim2)),)


DIAGONAL = define(
    "diagonal",
    attrs=("offset", "dim1", "dim2"),
    doc="A diagonal of two axes as a last axis.",
    infer=lambda x, *, offset, dim1, dim2: Type(
        _diagonal_shape(x.shape, offset, dim1, dim2), x.dtype
    ),
    lower="diagonal",
    ref=_diagonal,
    vjp=_diagonal_vjp,
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), 1, 0, 1)),
        Sample((r.normal(size=(2, 3, 3)), -1, 1, 2)),
    ],
    torch=lambda x, o, a, b: x.diagonal(o, a, b),
)


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, which become one last axis, as a view."""
    first, second = axis_of("diagonal", dim1, input), axis_of("diagonal", dim2, input)
    if first == second:
        problem = f"dim1={dim1} and dim2={dim2} are one axis"
        raise ArgumentError("diagonal", problem, hint="two axes", input=type_of(input))
    return bind(DIAGONAL, (input,), (offset, first, second))  # type: ignore[no-any-return]


def _unfold(x: Any, *, dim: int, size: int, step: int) -> Any:
    count = (x.shape[dim] - size) // step + 1
    shape = x.shape[:dim] + (count,) + x.shape[dim + 1 :] + (size,)
    strides = x.strides[:dim] + (x.strides[dim] * step,) + x.strides[dim + 1 :] + (x.strides[dim],)
    return np.lib.stride_tricks.as_strided(x, shape, strides)


def _unfold_vjp(g: Tensor, out: Any, x: Any, *, dim: int, size: int, step: int) -> Any:
    return (bind(FOLD, (g,), (tuple(x.shape), dim, size, step)),)


def _fold(x: Any, *, shape: tuple[int, ...], dim: int, size: int, step: int) -> Any:
    made = np.zeros(shape, x.dtype)
    count = x.shape[dim]
    for place in range(size):
        there = slice(place, place + step * (count - 1) + 1, step)
        made[(slice(None),) * dim + (there,)] += x[..., place] if count else 0
    return made


FOLD = define(
    "fold_windows",
    attrs=("shape", "dim", "size", "step"),
    doc="Windows along an axis, whose elements are the last axis, added up where they overlap.",
    accepts=NUMBER,
    infer=lambda x, *, shape, dim, size, step: Type(shape, x.dtype),
    lower="fold_windows",
    ref=_fold,
    vjp=lambda g, out, x, *, shape, dim, size, step: (
        bind(CLONE, (bind(UNFOLD, (g,), (dim, size, step)),)),  # type: ignore[has-type]
    ),
    samples=lambda r: [
        Sample((r.normal(size=(3, 3)), (7,), 0, 3, 2)),
        Sample((r.normal(size=(2, 4, 2)), (2, 5), 1, 2, 1)),
    ],
    torch=False,
)
UNFOLD = define(
    "unfold",
    attrs=("dim", "size", "step"),
    doc="Windows along an axis, whose elements become a last axis.",
    infer=lambda x, *, dim, size, step: Type(
        (*x.shape[:dim], (x.shape[dim] - size) // step + 1, *x.shape[dim + 1 :], size), x.dtype
    ),
    lower="unfold",
    ref=_unfold,
    vjp=_unfold_vjp,
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(7,)), 0, 3, 2)),
        Sample((r.normal(size=(2, 5)), 1, 2, 1)),
    ],
    torch=lambda x, d, s, t: x.unfold(d, s, t),
)


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of `size` every `step` along an axis, as a view: their elements are a last axis."""
    if not input.array.ndim:
        return unfold(reshape(input, (1,)), dimension, size, step)[0]  # type: ignore[index, no-any-return]
    axis = axis_of("unfold", dimension, input)
    if not 0 <= size <= input.array.shape[axis] or step < 1:
        raise ArgumentError("unfold", f"windows of {size} every {step}", input=type_of(input))
    return bind(UNFOLD, (input,), (axis, size, step))  # type: ignore[no-any-return]


def adjoint(input: Tensor) -> Tensor:
    """The conjugate of each matrix, transposed."""
    return conj(transpose(input, -2, -1))


guard(globals(), "unfold", "expand_as", "reshape_as", "view_as")
