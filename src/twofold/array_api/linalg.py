"""The standard's extension for linear algebra. Floor 13."""

from __future__ import annotations

from typing import Any

from twofold.array_api.info import together
from twofold.array_api.reductions import sum as sum_of
from twofold.array_api.shape import matrix_transpose
from twofold.ops import compare, matrix, movement, products, reduce, views
from twofold.ops import solve as solving
from twofold.ops.decompose import cholesky, eig, eigh, eigvals, eigvalsh, qr, svd, svdvals
from twofold.ops.elementwise import cast
from twofold.ops.linalg import matmul
from twofold.ops.matrix import matrix_power
from twofold.ops.solve import det, inv, slogdet
from twofold.ops.tensor import Tensor

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The product of vectors of 3 along an axis; other axes are broadcast, from the last."""
    x, y = together(x1, x2)
    rank = max(x.ndim, y.ndim)
    x, y = (movement.reshape(v, ((1,) * (rank - v.ndim) + tuple(v.shape))) for v in (x, y))
    return matrix.cross(x, y, dim=axis)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    return matrix.diagonal(x, offset=offset)


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    return matrix.matrix_norm(x, ord, keepdim=keepdims)  # type: ignore[no-any-return]


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are above rtol (a number, or one of each matrix) * the largest."""
    if not isinstance(rtol, Tensor) or not rtol.ndim:
        return matrix.matrix_rank(x, rtol=rtol)
    return sum_of(_above(svdvals(x), rtol), axis=-1)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    return products.outer(*together(x1, x2))


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The pseudo-inverse; singular values not above rtol * the largest count as 0."""
    if not isinstance(rtol, Tensor) or not rtol.ndim:
        return solving.pinv(x, rtol=rtol)
    u, s, vh = svd(x, full_matrices=False)
    kept = _above(s, rtol)
    inverse = compare.where(kept, 1.0 / compare.where(kept, s, 1.0), 0.0)
    return matmul(views.adjoint(vh) * views.unsqueeze(inverse, -2), views.adjoint(u))


def _above(values: Tensor, rtol: Tensor) -> Tensor:
    largest = reduce.amax(values, -1, True)
    return compare.gt(values, cast(views.unsqueeze(rtol, -1), values.dtype) * largest)


def solve(x1: Tensor, x2: Tensor, /) -> Tensor:
    """x of x1 @ x = x2; x2 is one vector, or (a stack of) matrices."""
    return solving.solve(*together(x1, x2))


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: Any = 2) -> Tensor:
    return products.tensordot(*together(x1, x2), axes)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of a diagonal of each matrix."""
    return sum_of(matrix.diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Products of vectors along an axis, the first conjugated."""
    return matrix.vecdot(*together(x1, x2), dim=axis)


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    if axis == ():  # each element is a vector of its own
        return matrix.vector_norm(movement.reshape(x, (*x.shape, 1)), ord, -1)  # type: ignore[no-any-return]
    return matrix.vector_norm(x, ord, axis, keepdims)  # type: ignore[no-any-return]
