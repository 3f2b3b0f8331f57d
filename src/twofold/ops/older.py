"""PyTorch's older names for what `linalg` does, as functions and methods. Floor 4."""

from __future__ import annotations

import math
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ShapeError
from twofold.base.records import NamedTuple
from twofold.ops import compare, decompose
from twofold.ops.creation import eye, zeros
from twofold.ops.elementwise import add, cast, conj, mul, sub
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.lu_packed import lu_factor, lu_unpack
from twofold.ops.lu_packed import lu_solve as packed_lu_solve
from twofold.ops.matrix import matrix_exp, matrix_power
from twofold.ops.movement import transpose as swapaxes
from twofold.ops.rules import also_named
from twofold.ops.solve import det, inv, pinv, slogdet, solve_triangular
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.transcendental import log
from twofold.ops.triangles import tril
from twofold.ops.views import adjoint, narrow, unsqueeze

__all__ = ["cholesky", "cholesky_inverse", "cholesky_solve", "det", "inverse", "logdet"]
__all__ += ["lu", "lu_solve", "matrix_exp", "matrix_power", "pinverse", "qr", "slogdet", "svd"]
__all__ += ["lu_unpack", "ormqr", "triangular_solve"]

inverse = inv


def logdet(input: Tensor) -> Tensor:
    """The logarithm of each determinant; NaN where it is negative."""
    sign, size = slogdet(input)
    if input.dtype.is_complex:
        return add(log(sign), cast(size, input.dtype))
    return compare.where(compare.lt(sign, 0), math.nan, size)  # type: ignore[no-any-return]


@also_named(input2="L")
def cholesky_solve(input: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """X with A X = input, where L is the Cholesky factor of A."""
    factor = adjoint(L) if upper else L
    half = solve_triangular(factor, input, upper=False)
    return solve_triangular(adjoint(factor), half, upper=True)


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A, where L is its Cholesky factor."""
    return cholesky_solve(eye(L.array.shape[-1], dtype=L.dtype), L, upper)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """The pseudo-inverse of each matrix."""
    return pinv(input, rcond)


class TriangularSolution(NamedTuple):
    """X with A X = b, and A."""

    solution: Tensor
    cloned_coefficient: Tensor


_TriangularSolution = returned(TriangularSolution, "triangular_solve")


def triangular_solve(
    b: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> TriangularSolution:
    """(X, A) with A X = b (A^T X = b: transpose), of A's upper or lower triangle."""
    factor = swapaxes(A, -2, -1) if transpose else A
    made = solve_triangular(factor, b, upper=upper != transpose, unitriangular=unitriangular)
    return _TriangularSolution(made, A)


def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Q other (other Q unless `left`), where Q = H1 H2 ... is the product of the reflections
    1 - tau[i] v v^H whose v are the columns of input below its diagonal; Q^H with `transpose`.
    """
    facts: Any = {"input": type_of(input), "tau": type_of(tau), "other": type_of(other)}
    if min(input.array.ndim, other.array.ndim) < 2 or not tau.array.ndim:
        raise ShapeError("ormqr", "two matrices and a vector between them are wanted", **facts)
    rows, count = input.array.shape[-2], tau.array.shape[-1]
    if other.array.shape[-2 if left else -1] != rows or input.array.shape[-1] < count:
        raise ShapeError("ormqr", f"reflections of {rows} rows do not fit", **facts)
    columns = add(tril(input, -1), eye(rows, input.array.shape[-1], dtype=input.dtype))
    made = other
    for place in range(count) if left == transpose else reversed(range(count)):
        v = narrow(columns, -1, place, 1)
        scale = unsqueeze(narrow(tau, -1, place, 1), -1)
        scaled = mul(v, conj(scale) if transpose else scale)
        if left:
            made = sub(made, matmul(scaled, matmul(adjoint(v), made)))
        else:
            made = sub(made, matmul(matmul(made, scaled), adjoint(v)))
    return made


class SVD(NamedTuple):
    """Singular vectors as columns, and singular values."""

    U: Tensor
    S: Tensor
    V: Tensor


_SVD = returned(SVD, "svd")


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> SVD:
    """(U, S, V) with U diag(S) V^H = input; V itself, not its adjoint as in linalg.svd."""
    if compute_uv:
        u, s, vh = decompose.svd(input, not some)
        return _SVD(u, s, adjoint(vh))
    *lead, rows, columns = input.array.shape
    left, right = (zeros(*lead, n, n, dtype=input.dtype) for n in (rows, columns))
    return _SVD(left, decompose.svdvals(input), right)


def qr(input: Tensor, some: bool = True) -> Any:
    """(Q, R); a square Q with some=False."""
    return decompose.qr(input, "reduced" if some else "complete")


def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The Cholesky factor of each positive definite matrix."""
    return decompose.cholesky(input, upper=upper)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """(LU, pivots) as `linalg.lu_factor`; with get_infos zeros as well."""
    packed, pivots = lu_factor(A, pivot=pivot)
    if not get_infos:
        return packed, pivots
    return packed, pivots, zeros(*A.array.shape[:-2], dtype=dtypes.int32)


def lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """X with A X = b, where (LU_data, LU_pivots) is `lu(A)`."""
    return packed_lu_solve(LU_data, LU_pivots, b)


guard(globals())
