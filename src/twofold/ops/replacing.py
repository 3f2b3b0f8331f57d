"""Copies with a part replaced, and elements by their place in the flattened tensor. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, ShapeError
from twofold.base.symbols import is_symbol
from twofold.ops.assigning import index_put
from twofold.ops.bind import bind
from twofold.ops.compare import clamp_min, le, where
from twofold.ops.elementwise import cast, sub
from twofold.ops.guarding import guard
from twofold.ops.indexing import PART_PUT, Slice, checked_index, getitem
from twofold.ops.joining import clone
from twofold.ops.movement import expand, reshape
from twofold.ops.normalize import SOFTMAX_BACKWARD
from twofold.ops.ranges import require
from twofold.ops.reduce import all as all_of
from twofold.ops.rules import as_tensor, axis_of, axis_there, axis_too, broadcast, constant
from twofold.ops.sorting import cumsum, sort
from twofold.ops.storage import as_strided
from twofold.ops.tensor import Size, Tensor, type_of
from twofold.ops.views import DIAGONAL
from twofold.ops.writing import VIEW_SCATTER

__all__ = ["as_strided_scatter", "broadcast_shapes", "diagonal_scatter", "fill", "msort"]
__all__ += ["masked_scatter", "put", "select_scatter", "slice_scatter", "take"]


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor of input's shape and type with one value (a number or a 0-d tensor) everywhere."""
    given = as_tensor(value, "fill", "value") if isinstance(value, Tensor) else None
    if given is None:
        given = constant(value, input.dtype)
    if given.array.ndim:
        raise ShapeError("fill", "one value is wanted", value=type_of(given))
    return clone(expand(cast(given, input.dtype), input.array.shape))


def _softmax_backward_data(
    grad_output: Tensor, output: Tensor, dim: int, input_dtype: Any
) -> Tensor:
    """The gradient of softmax by its input, from that of its output."""
    axis = axis_of("_softmax_backward_data", dim, output)
    made = bind(SOFTMAX_BACKWARD, (grad_output, output), (axis,))
    return cast(made, dtypes.as_dtype(input_dtype))


def take(input: Tensor, index: Tensor, *, axis: int | None = None) -> Tensor:
    """The elements at places i64[...] of the flattened tensor, in index's shape.

    With NumPy's `axis` the slices at those places of it. Raises IndexRangeError.
    """
    if axis is not None:
        place = axis_there("take", axis, input)
        return getitem(input, (*(slice(None),) * place, index))
    return reshape(input, (-1,))[index]  # type: ignore[index, no-any-return]


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with `source` written (or added) at places of the flattened tensor."""
    flat = reshape(input, (-1,))
    values = reshape(source, index.array.shape)
    made = index_put(flat, (index,), values, accumulate)
    return reshape(made, input.array.shape)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the elements of `source`, in order, where `mask` (bool, broadcast) is true.

    Raises ShapeError where source has too few, and DTypeError for another type than input's.
    """
    if mask.dtype is not dtypes.bool_:
        facts: Any = {"mask": type_of(mask)}
        raise DTypeError(
            "masked_scatter", f"mask is {mask.dtype.name}", hint="mask.bool()", **facts
        )
    if source.dtype is not input.dtype:
        facts = {"input": type_of(input), "source": type_of(source)}
        raise DTypeError(
            "masked_scatter", "source has another type", hint="source.to(...)", **facts
        )
    shape = broadcast("masked_scatter", input=type_of(input), mask=type_of(mask))
    wide, there = expand(input, shape), expand(mask, shape)
    rank = cumsum(reshape(there, (math.prod(shape),)), 0)
    flat = reshape(source, (-1,))
    size = flat.array.shape[0]
    require(all_of(le(rank, size)), lambda: _too_few(input, source))
    if not is_symbol(size) and not size:
        return clone(wide)
    places = reshape(clamp_min(sub(rank, 1), 0), shape)
    return where(there, flat[places], wide)  # type: ignore[index, no-any-return]


def _too_few(x: Tensor, source: Tensor) -> Exception:
    problem = "source has fewer elements than the mask has true ones"
    return ShapeError("masked_scatter", problem, input=type_of(x), source=type_of(source))


def _replaced(op: str, x: Tensor, src: Tensor, key: tuple[Any, ...], shape: Any) -> Tensor:
    if src.array.shape != tuple(shape):
        problem = f"a part of shape {list(shape)} is replaced"
        raise ShapeError(op, problem, input=type_of(x), src=type_of(src))
    return bind(PART_PUT, (x, cast(src, x.dtype)), (key,))  # type: ignore[no-any-return]


@axis_too
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with the slice that `select(dim, index)` names replaced by `src`. Raises
    IndexRangeError for an index that does not exist.
    """
    axis = axis_of("select_scatter", dim, input)
    shape = input.array.shape
    checked_index(int(index), input, axis)
    key = (*(Slice(None, None, None),) * axis, int(index))
    return _replaced("select_scatter", input, src, key, shape[:axis] + shape[axis + 1 :])


@axis_too
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy with the elements `start:end:step` along `dim` replaced by `src`."""
    axis = axis_of("slice_scatter", dim, input)
    shape = list(input.array.shape)
    shape[axis] = len(range(*slice(start, end, step).indices(shape[axis])))
    key = (*(Slice(None, None, None),) * axis, Slice(start, end, step))
    return _replaced("slice_scatter", input, src, key, shape)


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy with a diagonal replaced by `src`."""
    attrs = (
        int(offset),
        axis_of("diagonal_scatter", dim1, input),
        axis_of("diagonal_scatter", dim2, input),
    )
    part = bind(DIAGONAL, (input,), attrs)
    if src.array.shape != part.array.shape:
        problem = "src is not of the diagonal's shape"
        raise ShapeError("diagonal_scatter", problem, diagonal=type_of(part), src=type_of(src))
    chain = ((DIAGONAL, attrs),)
    return bind(VIEW_SCATTER, (input, cast(src, input.dtype)), (chain,))  # type: ignore[no-any-return]


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """A copy with the elements that `as_strided` names replaced by `src`."""
    copy = clone(input)
    as_strided(copy, size, stride, storage_offset).copy_(src)  # type: ignore[attr-defined]
    return copy


def msort(input: Tensor) -> Tensor:
    """The elements in order along the first axis."""
    return sort(input, 0).values


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which tensors of these shapes broadcast."""
    listed = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    try:
        return Size(np.broadcast_shapes(*listed))
    except ValueError:
        problem = f"shapes {', '.join(str(list(s)) for s in listed)} do not broadcast"
        raise ShapeError("broadcast_shapes", problem) from None


guard(globals())
