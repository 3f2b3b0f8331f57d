"""The standard's extension for linear algebra. Floor 13."""

from __future__ import annotations

from typing import Any

from twofold.array_api.elementwise import of_one, of_two
from twofold.array_api.info import together
from twofold.array_api.reductions import sum as sum_of
from twofold.array_api.shape import matrix_transpose
from twofold.base.errors import ShapeError
from twofold.ops import compare, decompose, matrix, movement, products, reduce, views
from twofold.ops import linalg as multiplying
from twofold.ops import solve as solving
from twofold.ops.decompose import QR, SVD
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.rules import axis_there
from twofold.ops.tensor import Tensor, type_of

__all__ = [
    "cholesky", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "matmul",
    "matrix_norm", "matrix_power", "matrix_rank", "matrix_transpose", "outer", "pinv", "qr",
    "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot", "vector_norm",
]  # fmt: skip

det, inv, slogdet = (of_one(solving, name) for name in ("det", "inv", "slogdet"))
eig, eigvals = of_one(decompose, "eig"), of_one(decompose, "eigvals")
eigh, eigvalsh = of_one(decompose, "eigh"), of_one(decompose, "eigvalsh")
svdvals = of_one(decompose, "svdvals")
matmul = of_two(multiplying, "matmul")


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """L, lower triangular, with L L^H = x; with `upper` U with U^H U = x."""
    return decompose.cholesky(x, upper=upper)


def qr(x: Tensor, /, *, mode: str = "reduced") -> QR:
    """(Q, R) with Q R = x, Q of orthonormal columns and R upper triangular."""
    return decompose.qr(x, mode)


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVD:
    """(U, S, Vh) with U diag(S) Vh = x."""
    return decompose.svd(x, full_matrices)


def matrix_power(x: Tensor, n: int, /) -> Tensor:
    """The product of n times each square matrix; of its inverse, if n is negative."""
    return matrix.matrix_power(x, n)


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
    """Products summed over pairs of axes, which must be of one size: a size of 1 is not spread."""
    one = range(-axes, 0) if isinstance(axes, int) else axes[0]
    other = range(axes) if isinstance(axes, int) else axes[1]
    for place, match in zip(one, other, strict=False):
        _same_size("tensordot", x1, x2, place, match)
    return products.tensordot(*together(x1, x2), axes)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sum of a diagonal of each matrix."""
    return sum_of(matrix.diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Products of vectors along an axis, the first conjugated.

    Raises ShapeError where their sizes there are not the same: a size of 1 is not spread.
    """
    _same_size("vecdot", x1, x2, axis, axis)
    return matrix.vecdot(*together(x1, x2), dim=axis)


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    if axis == ():  # each element is a vector of its own
        return matrix.vector_norm(movement.reshape(x, (*x.shape, 1)), ord, -1)  # type: ignore[no-any-return]
    return matrix.vector_norm(x, ord, axis, keepdims)  # type: ignore[no-any-return]


def _same_size(op: str, x1: Tensor, x2: Tensor, place: int, match: int) -> None:
    sizes = x1.shape[axis_there(op, place, x1)], x2.shape[axis_there(op, match, x2)]
    if sizes[0] != sizes[1]:
        problem = f"the axes that are summed have sizes {sizes[0]} and {sizes[1]}"
        raise ShapeError(op, problem, x1=type_of(x1), x2=type_of(x2))


guard(globals())
