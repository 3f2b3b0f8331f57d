"""Triangles and diagonals of matrices: cut out, put in, and where they are. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import whole
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.guarding import guard
from twofold.ops.joining import atleast_2d, cat, clone
from twofold.ops.movement import reshape
from twofold.ops.op import Sample, define
from twofold.ops.padding import pad
from twofold.ops.rules import axis_of, check_sizes, deliver
from twofold.ops.source import placed
from twofold.ops.tensor import Tensor, type_of, wrap

__all__ = ["block_diag", "diag", "diag_embed", "diagflat", "tril", "tril_indices", "triu"]
__all__ += ["triu_indices"]


TRIL = define(
    "tril",
    attrs=("diagonal",),
    doc="The elements on and below a diagonal of the last two axes, 0 elsewhere.",
    infer=lambda x, *, diagonal: x,
    lower="tril",
    ref=lambda x, *, diagonal: np.tril(x, diagonal),
    vjp=lambda g, out, x, *, diagonal: (bind(TRIL, (g,), (diagonal,)),),  # type: ignore[has-type]
    samples=lambda r: [Sample((r.normal(size=(3, 4)), 0)), Sample((r.normal(size=(2, 3, 3)), -1))],
)


TRIU = define(
    "triu",
    attrs=("diagonal",),
    doc="The elements on and above a diagonal of the last two axes, 0 elsewhere.",
    infer=lambda x, *, diagonal: x,
    lower="triu",
    ref=lambda x, *, diagonal: np.triu(x, diagonal),
    vjp=lambda g, out, x, *, diagonal: (bind(TRIU, (g,), (diagonal,)),),  # type: ignore[has-type]
    samples=lambda r: [Sample((r.normal(size=(3, 4)), 0)), Sample((r.normal(size=(2, 3, 3)), 1))],
)


def tril(
    input: Tensor, diagonal: int = 0, *, k: int | None = None, out: Tensor | None = None
) -> Tensor:
    """The elements on and below a diagonal (NumPy's `k` names it too) of the last two axes."""
    if input.array.ndim < 2:
        raise ShapeError("tril", "two axes are wanted", input=type_of(input))
    made: Tensor = bind(TRIL, (input,), (whole(diagonal if k is None else k),))
    return made if out is None else deliver(made, out, "tril")


def triu(
    input: Tensor, diagonal: int = 0, *, k: int | None = None, out: Tensor | None = None
) -> Tensor:
    """The elements on and above a diagonal (NumPy's `k` names it too) of the last two axes."""
    if input.array.ndim < 2:
        raise ShapeError("triu", "two axes are wanted", input=type_of(input))
    made: Tensor = bind(TRIU, (input,), (whole(diagonal if k is None else k),))
    return made if out is None else deliver(made, out, "triu")


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal."""
    if input.array.ndim == 2:
        return clone(input.diagonal(diagonal))  # type: ignore[attr-defined]
    if input.array.ndim != 1:
        raise ShapeError("diag", "a vector or a matrix is wanted", input=type_of(input))
    return diag_embed(input, diagonal)


DIAG_EMBED = define(
    "diag_embed",
    attrs=("shape", "offset", "dim1", "dim2"),
    doc="Zeros of a shape, with the last axis of x on a diagonal of two axes.",
    infer=lambda x, *, shape, offset, dim1, dim2: Type(shape, x.dtype),
    lower="diag_embed",
    ref=lambda x, *, shape, offset, dim1, dim2: _embedded(x, shape, offset, dim1, dim2),
    vjp=lambda g, out, x, *, shape, offset, dim1, dim2: (clone(g.diagonal(offset, dim1, dim2)),),
    samples=lambda r: [
        Sample((r.normal(size=3), (3, 4), 1, 0, 1)),
        Sample((r.normal(size=(2, 2)), (3, 2, 2), -1, 0, 2)),
    ],
    torch=False,
)


def _embedded(x: Any, shape: tuple[int, ...], offset: int, dim1: int, dim2: int) -> Any:
    made = np.zeros(shape, x.dtype)
    there = np.diagonal(made, offset, dim1, dim2)
    there.flags.writeable = True
    there[...] = x
    return made


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices, in the plane of two new axes, with the last axis on a diagonal."""
    if not input.array.ndim:
        raise ShapeError("diag_embed", "a 0-d tensor has no axis", input=type_of(input))
    rank = input.array.ndim + 1
    first, second = (axis_of("diag_embed", d, input, extra=1) for d in (dim1, dim2))
    if first == second:
        raise ArgumentError("diag_embed", f"dim {first} names no plane with itself")
    size = input.array.shape[-1] + abs(offset)
    rest = iter(input.array.shape[:-1])
    shape = tuple(size if axis in (first, second) else next(rest) for axis in range(rank))
    return bind(DIAG_EMBED, (input,), (shape, int(offset), first, second))  # type: ignore[no-any-return]


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on a diagonal."""
    return diag_embed(reshape(input, (-1,)), offset)


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices (vectors count as one row) one after the other along a diagonal, 0 elsewhere."""
    blocks = [atleast_2d(x) for x in tensors]
    width = sum(x.array.shape[1] for x in blocks)
    rows, at = [], 0
    for x in blocks:
        size = x.array.shape[1]
        rows.append(pad(x, (at, width - at - size)))
        at += size
    return cat(rows, 0)


@placed
def tril_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
) -> Tensor:
    """i64[2, n]: the places on and below a diagonal of a matrix; dtype: i64 or i32."""
    return _indices("tril_indices", np.tril_indices, row, col, offset, dtype)


@placed
def triu_indices(
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
) -> Tensor:
    """i64[2, n]: the places on and above a diagonal of a matrix; dtype: i64 or i32."""
    return _indices("triu_indices", np.triu_indices, row, col, offset, dtype)


def _indices(name: str, function: Any, row: int, col: int, offset: int, dtype: Any) -> Tensor:
    check_sizes(name, (row, col))
    kind = dtypes.int64 if dtype is None else dtypes.as_dtype(dtype)
    if not kind.is_integer:
        raise DTypeError(name, f"{kind.name} does not count places", hint="int64")
    return wrap(np.stack(function(row, offset, col)).astype(kind.numpy))


guard(globals())
