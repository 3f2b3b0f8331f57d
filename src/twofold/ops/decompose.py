"""Matrices taken apart: Cholesky, QR, LU, eigenvalues, singular values, by NumPy's LAPACK. Floor 4.

The numbers carry LAPACK's guarantees and not ours (see ops/solve.py); where a factor is known up to
a sign or a phase only, so is ours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.complexes import complex, imag
from twofold.ops.creation import eye
from twofold.ops.elementwise import add, cast, conj, mul, real_part, square, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.linalg import matmul
from twofold.ops.op import INEXACT, Sample, define
from twofold.ops.solve import SOLVE, SOLVE_TRIANGULAR, attempt, matrices, product
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.triangles import diag_embed, tril, triu
from twofold.ops.views import adjoint, diagonal, narrow, unsqueeze

__all__ = ["cholesky", "eig", "eigh", "eigvals", "eigvalsh", "lu", "qr", "svd", "svdvals"]


def _diagonal(x: Tensor) -> Tensor:
    return diagonal(x, 0, -2, -1)


def _across(x: Tensor) -> Tensor:
    """One number for each row, f[..., n] -> f[..., n, 1]."""
    return unsqueeze(x, -1)


def _down(x: Tensor) -> Tensor:
    """One number for each column, f[..., n] -> f[..., 1, n]."""
    return unsqueeze(x, -2)


def _identity(x: Tensor, size: int) -> Tensor:
    return eye(size, dtype=x.dtype)


def _definite(random: Any) -> list[Sample]:
    """Positive definite matrices, which finite differences would make lopsided."""
    made = [random.normal(size=s) * 0.3 for s in ((3, 3), (2, 4, 4), (1, 1))]
    return [
        Sample((a @ np.swapaxes(a, -1, -2) + 3 * np.eye(a.shape[-1]),), smooth=False) for a in made
    ]


# ---- Cholesky


def _cholesky_vjp(g: Tensor, y: Tensor, x: Any) -> Any:
    """Murray (2016), "Differentiation of the Cholesky decomposition"; symmetric, as x is."""
    inner = tril(matmul(adjoint(y), g))
    half = sub(inner, mul(diag_embed(_diagonal(inner)), 0.5))
    back = bind(SOLVE_TRIANGULAR, (adjoint(y), half), (True, False))
    other = bind(SOLVE_TRIANGULAR, (adjoint(y), adjoint(back)), (True, False))
    return (mul(add(other, adjoint(other)), 0.5),)


CHOLESKY = define(
    "cholesky",
    doc="The lower triangle whose product with its adjoint is each positive definite matrix.",
    accepts=INEXACT,
    infer=lambda x: x,
    ref=lambda x: attempt("cholesky", "a matrix is not positive-definite", np.linalg.cholesky, x),
    lower="cholesky",
    vjp=_cholesky_vjp,
    saves="out",
    samples=_definite,
    torch="linalg.cholesky",
)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with L L^H = A for positive definite matrices, of which the lower triangle is read.

    With `upper`, U with U^H U = A, and the upper one is. Raises LinAlgError.
    """
    x = matrices("cholesky", A, square=True)
    if not upper:
        return bind(CHOLESKY, (x,))  # type: ignore[no-any-return]
    return adjoint(bind(CHOLESKY, (adjoint(x),)))


# ---- QR


class QR(NamedTuple):
    """Orthonormal columns, and an upper triangle."""

    Q: Tensor
    R: Tensor


_QR = returned(QR, "linalg_qr")


def _qr_type(x: Type, *, complete: bool) -> Any:
    rows, columns = x.shape[-2:]
    inner = rows if complete else min(rows, columns)
    lead = x.shape[:-2]
    return Type((*lead, rows, inner), x.dtype), Type((*lead, inner, columns), x.dtype)


def _qr(x: Any, *, complete: bool) -> Any:
    made = attempt("qr", "no factors", np.linalg.qr, x, mode="complete" if complete else "reduced")
    return tuple(made)


def _qr_vjp(g: Any, out: Any, x: Tensor, *, complete: bool) -> Any:
    """Roberts and Roberts (2020), "QR and LQ decomposition matrix backpropagation algorithms"."""
    rows, columns = x.array.shape[-2:]
    if complete and rows > columns:
        hint = "mode='reduced'"
        raise ArgumentError("qr", "the complete Q has no gradient", hint=hint, A=type_of(x))
    q, r = bind(QR_RECORD, (x,), (complete,)) if mode.grad else out
    gq = mul(q, 0) if g[0] is None else g[0]
    gr = mul(r, 0) if g[1] is None else g[1]
    if rows >= columns:
        return (_square_qr(gq, gr, q, r),)
    # A = [X Y] with a square X; R = [U V] and V = Q^H Y
    rest = narrow(x, -1, rows, columns - rows)
    gu, gv = narrow(gr, -1, 0, rows), narrow(gr, -1, rows, columns - rows)
    gq = add(gq, matmul(rest, adjoint(gv)))
    left = _square_qr(gq, gu, q, narrow(r, -1, 0, rows))
    return (cat([left, matmul(q, gv)], -1),)


def _square_qr(gq: Tensor, gr: Tensor, q: Tensor, r: Tensor) -> Tensor:
    inner = triu(sub(matmul(gr, adjoint(r)), matmul(adjoint(q), gq)))
    both = add(inner, adjoint(inner))
    half = sub(both, mul(diag_embed(_diagonal(both)), 0.5))
    return _over(add(gq, matmul(q, half)), r)


def _tall(random: Any) -> list[Sample]:
    return [random.normal(size=s) for s in ((4, 3), (3, 3), (2, 3, 5))]


QR_RECORD = define(
    "qr",
    attrs=("complete",),
    doc="Orthonormal columns and an upper triangle whose product is each matrix.",
    accepts=INEXACT,
    infer=_qr_type,
    ref=_qr,
    vjp=_qr_vjp,
    saves="x out",
    outputs=2,
    samples=lambda r: [
        *(Sample((a, False)) for a in _tall(r)),
        Sample((r.normal(size=(4, 2)), True), smooth=False),
    ],
    torch=False,
)


def qr(A: Tensor, mode: str = "reduced") -> QR:
    """(Q, R) with Q R = A, Q^H Q = 1 and R an upper triangle.

    mode: "reduced" (as many columns in Q as needed), "complete" (a square Q), or "r" (Q is empty).
    """
    x = matrices("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError("qr", f"mode is {mode!r}", hint="'reduced', 'complete' or 'r'")
    q, r = bind(QR_RECORD, (x,), (mode == "complete",))
    return _QR(x.new_empty(0), r) if mode == "r" else _QR(q, r)  # type: ignore[attr-defined]


# ---- LU


class LU(NamedTuple):
    """A permutation, a lower triangle with ones on its diagonal, and an upper triangle."""

    P: Tensor
    L: Tensor
    U: Tensor


_LU = returned(LU, "linalg_lu")


def _lu(x: Any) -> Any:
    """Elimination with the largest pivot of each column: L, U and the rows in their new order."""
    work = np.array(x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]))
    count, rows, columns = work.shape
    inner = min(rows, columns)
    order = np.tile(np.arange(rows, dtype=np.int64), (count, 1))
    every = np.arange(count)
    for k in range(inner):
        best = k + _size(work[:, k:, k]).argmax(axis=1)
        for array in (work, order):
            array[every, k], array[every, best] = array[every, best], array[every, k]
        pivot = work[:, k, k]
        safe = np.where(pivot == 0, 1, pivot)
        work[:, k + 1 :, k] /= safe[:, None]
        work[:, k + 1 :, k + 1 :] -= work[:, k + 1 :, k, None] * work[:, k, None, k + 1 :]
    lower = np.tril(work[:, :, :inner], -1)
    places = np.arange(inner)
    lower[:, places, places] = 1
    upper = np.triu(work[:, :inner])
    lead = x.shape[:-2]
    shapes = ((rows, inner), (inner, columns), (rows,))
    made = zip((lower, upper, order), shapes, strict=True)
    return tuple(part.reshape(*lead, *shape) for part, shape in made)


def _size(x: Any) -> Any:
    """How LAPACK compares pivots: complex ones by the sum of their parts' sizes."""
    return np.abs(x.real) + np.abs(x.imag) if x.dtype.kind == "c" else np.abs(x)


def _lu_type(x: Type) -> Any:
    rows, columns = x.shape[-2:]
    inner, lead = min(rows, columns), x.shape[:-2]
    return (
        Type((*lead, rows, inner), x.dtype),
        Type((*lead, inner, columns), x.dtype),
        Type((*lead, rows), dtypes.int64),
    )


def _lu_vjp(g: Any, out: Any, x: Tensor) -> Any:
    """de Hoog, Anderssen, Lukas (2011), "Differentiation of matrix functionals using triangular
    factorization": P L^-H (tril(L^H gL, -1) + triu(gU U^H)) U^-H, and what lies beyond the square.
    """
    lower, upper, order = bind(LU_RECORD, (x,)) if mode.grad else out
    gl = mul(lower, 0) if g[0] is None else g[0]
    gu = mul(upper, 0) if g[1] is None else g[1]
    rows, columns = x.array.shape[-2:]
    k = min(rows, columns)
    square_l, square_u = narrow(lower, -2, 0, k), narrow(upper, -1, 0, k)
    below = matmul(adjoint(square_l), narrow(gl, -2, 0, k))
    above = matmul(narrow(gu, -1, 0, k), adjoint(square_u))
    rest_l, rest_u = narrow(gl, -2, k, rows - k), narrow(gu, -1, k, columns - k)
    if columns > k:
        below = sub(below, matmul(rest_u, adjoint(narrow(upper, -1, k, columns - k))))
    if rows > k:
        above = sub(above, matmul(adjoint(narrow(lower, -2, k, rows - k)), rest_l))
    made = bind(
        SOLVE_TRIANGULAR, (adjoint(square_l), add(tril(below, -1), triu(above))), (True, True)
    )
    made = _over(made, square_u)
    if columns > k:
        beyond = bind(SOLVE_TRIANGULAR, (adjoint(square_l), rest_u), (True, True))
        made = cat([made, beyond], -1)
    if rows > k:
        made = cat([made, _over(rest_l, square_u)], -2)
    return (matmul(permutation(order, x), made),)


def _over(x: Tensor, upper: Tensor) -> Tensor:
    """x U^-H."""
    return adjoint(bind(SOLVE_TRIANGULAR, (upper, adjoint(x)), (True, False)))


LU_RECORD = define(
    "lu",
    doc="A lower and an upper triangle whose product is each matrix, and the order of its rows.",
    accepts=INEXACT,
    infer=_lu_type,
    ref=_lu,
    lower="lu",
    vjp=_lu_vjp,
    saves="x out",
    outputs=3,
    samples=lambda r: [
        Sample((r.normal(size=(3, 3)),)),
        Sample((r.normal(size=(2, 4, 4)),)),
        Sample((r.normal(size=(4, 2)),)),
        Sample((r.normal(size=(2, 4)),)),
    ],
    torch=False,
)


def permutation(order: Tensor, like: Tensor) -> Tensor:
    """P with P (rows in the new order) = the rows as they were."""
    size = order.array.shape[-1]
    columns = _identity(like, size)[order]  # type: ignore[index]
    return adjoint(columns)


def lu(A: Tensor, *, pivot: bool = True) -> LU:
    """(P, L, U) with P L U = A, by elimination with the largest pivot of each column."""
    x = matrices("lu", A)
    if not pivot:
        raise ArgumentError("lu", "pivot=False is not offered", hint="pivot=True")
    lower, upper, order = bind(LU_RECORD, (x,))
    return _LU(permutation(order, x), lower, upper)


# ---- eigenvalues


class Eigen(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


_Eigh, _Eig = returned(Eigen, "linalg_eigh"), returned(Eigen, "linalg_eig")


def _gaps(values: Tensor, like: Tensor) -> Tensor:
    """values[j] - values[i] at (i, j), 1 on the diagonal."""
    return add(sub(_down(values), _across(values)), _identity(values, values.array.shape[-1]))


def _without_diagonal(x: Tensor) -> Tensor:
    return sub(x, diag_embed(_diagonal(x)))


def _eigh_vjp(g: Any, out: Any, x: Tensor, *, lower: bool) -> Any:
    """gA = V (diag(gw) + (V^H gV) / (w[j] - w[i])) V^H; equal eigenvalues have no gradient by V."""
    w, v = bind(EIGH, (x,), (lower,)) if mode.grad else out
    inner = None
    if g[1] is not None:
        inner = _without_diagonal(matmul(adjoint(v), g[1]))
        inner = true_divide(inner, cast(_gaps(w, x), x.dtype))
    if g[0] is not None:
        by_values = diag_embed(cast(g[0], x.dtype))
        inner = by_values if inner is None else add(inner, by_values)
    if inner is None:
        return (None,)
    inner = mul(add(inner, adjoint(inner)), 0.5)  # a step along the gradient stays Hermitian
    return (product(v, inner, adjoint(v)),)


EIGH = define(
    "eigh",
    attrs=("lower",),
    doc="The eigenvalues (ascending) and eigenvectors of symmetric or Hermitian matrices.",
    accepts=INEXACT,
    infer=lambda x, *, lower: (Type(x.shape[:-1], x.dtype.to_real()), x),
    ref=lambda x, *, lower: tuple(
        attempt("eigh", "no eigenvalues were found", np.linalg.eigh, x, UPLO="L" if lower else "U")
    ),
    vjp=_eigh_vjp,
    saves="x out",
    outputs=2,
    samples=lambda r: [Sample((*s.args, True), smooth=False) for s in _definite(r)],
    torch=False,
)


def eigh(A: Tensor, UPLO: str = "L") -> Eigen:
    """(eigenvalues, eigenvectors) of symmetric or Hermitian matrices; one triangle is read.

    The eigenvalues ascend. Eigenvectors are known up to their sign or phase; a gradient by them
    exists where eigenvalues differ and the loss does not depend on the phase.
    """
    x = matrices("eigh", A, square=True)
    if UPLO not in ("L", "U", "l", "u"):
        raise ArgumentError("eigh", f"UPLO is {UPLO!r}", hint="'L' or 'U'")
    return _Eigh(*bind(EIGH, (x,), (UPLO in "Ll",)))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric or Hermitian matrices, ascending."""
    return eigh(A, UPLO).eigenvalues


def _eig(x: Any) -> Any:
    kind = dtypes.of(x.dtype).to_complex().numpy
    w, v = attempt("eig", "no eigenvalues were found", np.linalg.eig, x)
    return w.astype(kind), v.astype(kind)


def _eig_vjp(g: Any, out: Any, x: Tensor) -> Any:
    """V^-H (diag(gw) + (V^H gV - V^H V diag(Re(V^H gV))) / conj(E)) V^H.

    Boeddeker et al. (2017), "On the computation of complex-valued gradients".
    """
    w, v = bind(EIG, (x,)) if mode.grad else out
    inner = None
    if g[1] is not None:
        inner = matmul(adjoint(v), g[1])
        along = cast(real_part(_diagonal(inner)), v.dtype)
        inner = sub(inner, mul(matmul(adjoint(v), v), _down(along)))
        inner = true_divide(_without_diagonal(inner), conj(_gaps(w, x)))
    if g[0] is not None:
        inner = diag_embed(g[0]) if inner is None else add(inner, diag_embed(g[0]))
    if inner is None:
        return (None,)
    made = bind(SOLVE, (adjoint(v), matmul(inner, adjoint(v))))
    return (made if x.dtype.is_complex else real_part(made),)


EIG = define(
    "eig",
    doc="The eigenvalues and eigenvectors of square matrices, as complex numbers.",
    accepts=INEXACT,
    infer=lambda x: (
        Type(x.shape[:-1], x.dtype.to_complex()),
        Type(x.shape, x.dtype.to_complex()),
    ),
    ref=_eig,
    vjp=_eig_vjp,
    saves="x out",
    outputs=2,
    samples=lambda r: [Sample((r.normal(size=s),), smooth=False) for s in ((3, 3), (2, 4, 4))],
    torch=False,
)


def eig(A: Tensor) -> Eigen:
    """(eigenvalues, eigenvectors) of square matrices, as complex numbers, in no order."""
    return _Eig(*bind(EIG, (matrices("eig", A, square=True),)))


def eigvals(A: Tensor) -> Tensor:
    """The eigenvalues of square matrices, as complex numbers, in no order."""
    return eig(A).eigenvalues


# ---- singular values


class SVD(NamedTuple):
    """Left singular vectors, singular values (descending), and right singular vectors as rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


_SVD = returned(SVD, "linalg_svd")


def _svd(x: Any, *, full: bool) -> Any:
    problem = "no singular values were found"
    return tuple(attempt("svd", problem, np.linalg.svd, x, full_matrices=full))


def _svd_type(x: Type, *, full: bool) -> Any:
    rows, columns = x.shape[-2:]
    inner, lead = min(rows, columns), x.shape[:-2]
    return (
        Type((*lead, rows, rows if full else inner), x.dtype),
        Type((*lead, inner), x.dtype.to_real()),
        Type((*lead, columns if full else inner, columns), x.dtype),
    )


def _svd_vjp(g: Any, out: Any, x: Tensor, *, full: bool) -> Any:
    """Wan and Zhang (2019), "Automatic differentiation for complex valued SVD"; Townsend (2016).

    With skew(M) = M - M^H and E[i, j] = s[j]^2 - s[i]^2 off the diagonal.
    """
    u, s, vh = bind(SVD_RECORD, (x,), (full,)) if mode.grad else out
    gu, gs, gv = g
    rows, columns = x.array.shape[-2:]
    k = min(rows, columns)
    if full:
        u, vh = narrow(u, -1, 0, k), narrow(vh, -2, 0, k)
        gu = None if gu is None else narrow(gu, -1, 0, k)
        gv = None if gv is None else narrow(gv, -2, 0, k)
    wide = cast(s, x.dtype)
    inner = mul(matmul(adjoint(u), u), 0) if gs is None else diag_embed(cast(gs, x.dtype))
    gaps = cast(_gaps(square(s), x), x.dtype)
    if gu is not None:
        turned = matmul(adjoint(u), gu)
        skew = sub(turned, adjoint(turned))
        inner = add(inner, mul(true_divide(_without_diagonal(skew), gaps), _down(wide)))
        if x.dtype.is_complex:
            phase = imag(_diagonal(turned))
            inner = add(inner, diag_embed(true_divide(complex(mul(phase, 0), phase), wide)))
    if gv is not None:
        turned = matmul(vh, adjoint(gv))
        skew = sub(turned, adjoint(turned))
        inner = add(inner, mul(true_divide(_without_diagonal(skew), gaps), _across(wide)))
    made = product(u, inner, vh)
    if gu is not None and rows > k:
        outside = true_divide(sub(gu, product(u, adjoint(u), gu)), _down(wide))
        made = add(made, matmul(outside, vh))
    if gv is not None and columns > k:
        outside = true_divide(sub(gv, product(gv, adjoint(vh), vh)), _across(wide))
        made = add(made, matmul(u, outside))
    return (made,)


SVD_RECORD = define(
    "svd",
    attrs=("full",),
    doc="Left singular vectors, singular values in descending order, right singular vectors.",
    accepts=INEXACT,
    infer=_svd_type,
    ref=_svd,
    vjp=_svd_vjp,
    saves="x out",
    outputs=3,
    samples=lambda r: [
        Sample((r.normal(size=(4, 3)), False), smooth=False),
        Sample((r.normal(size=(2, 3, 5)), True), smooth=False),
        Sample((np.zeros((0, 3)), False), smooth=False),
    ],
    torch=False,
)


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """(U, S, Vh) with U diag(S) Vh = A; square U and Vh, or (full_matrices=False) the needed parts.

    There is one way to compute it, whatever PyTorch's `driver`.
    Singular vectors are known up to their sign or phase; a gradient by them exists where singular
    values differ and the loss does not depend on the phase.
    """
    return _SVD(*bind(SVD_RECORD, (matrices("svd", A),), (bool(full_matrices),)))


def svdvals(A: Tensor) -> Tensor:
    """The singular values of each matrix, in descending order."""
    return svd(A, False).S


guard(globals())
