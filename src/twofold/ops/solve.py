"""Inverses, determinants and systems of equations, by NumPy's LAPACK. Floor 4.

What LAPACK computes carries its guarantees and not ours: the same numbers for one machine and
library, no promise across them (DESIGN.md, section 2). Gradients are by the formulas of Giles
(2008), "An extended collection of matrix derivative results".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, LinAlgError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import gt, where
from twofold.ops.complexes import complex, imag
from twofold.ops.elementwise import add, cast, conj, mul, neg, sub
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, reshape, transpose
from twofold.ops.op import INEXACT, Sample, define, wanted
from twofold.ops.rules import also_named, as_tensor, broadcast, constant, operands
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.triangles import tril, triu
from twofold.ops.views import adjoint

__all__ = ["det", "inv", "pinv", "slogdet", "solve", "solve_triangular"]

PRECISE = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)


def matrices(op: str, A: Any, *, square: bool = False) -> Tensor:
    """A tensor of matrices in single or double precision. Raises DTypeError and ShapeError."""
    x = as_tensor(A, op, "A")
    if x.array.ndim < 2:
        raise ShapeError(op, "a matrix, or a batch of them, is wanted", A=type_of(x))
    if square and x.array.shape[-1] != x.array.shape[-2]:
        hint = "pinv for the inverse in least squares" if op == "inv" else "as many rows as columns"
        raise ShapeError(op, "a square matrix is wanted", hint=hint, A=type_of(x))
    return precise(op, x)


def precise(op: str, x: Tensor) -> Tensor:
    if x.dtype not in PRECISE:
        hint = f"x.to(twofold.{dtypes.default_dtype().name})"
        raise DTypeError(op, f"{x.dtype.name} is not taken", hint=hint, input=type_of(x))
    return x


REMEDIES = {
    "a matrix is singular": "linalg.pinv or linalg.lstsq, or A + eps * twofold.eye(n)",
    "a matrix is not positive-definite": "A + eps * twofold.eye(n), if rounding is why",
}


def attempt(op: str, problem: str, function: Any, *arrays: Any, **options: Any) -> Any:
    """NumPy's function, whose LinAlgError becomes ours."""
    try:
        return function(*arrays, **options)
    except np.linalg.LinAlgError:
        shapes = ", ".join(str(list(a.shape)) for a in arrays)
        hint = REMEDIES.get(problem, "finite values")
        raise LinAlgError(op, f"{problem} (shapes {shapes})", hint=hint) from None


def product(*factors: Tensor) -> Tensor:
    made = factors[0]
    for factor in factors[1:]:
        made = matmul(made, factor)
    return made


def well(random: Any, *shape: int) -> Any:
    """Square matrices that are easy to invert."""
    return random.normal(size=shape) * 0.3 + np.eye(shape[-1]) * 1.5


def _squares(random: Any) -> list[Sample]:
    return [Sample((well(random, *s),)) for s in ((3, 3), (2, 4, 4), (1, 1), (0, 2, 2))]


# ---- inverses


def _inv_vjp(g: Tensor, y: Tensor, x: Any) -> Any:
    turned = adjoint(y)
    return (neg(product(turned, g, turned)),)


INV = define(
    "inv",
    doc="The inverse of each square matrix.",
    accepts=INEXACT,
    infer=lambda x: x,
    ref=lambda x: attempt("inv", "a matrix is singular", np.linalg.inv, x),
    vjp=_inv_vjp,
    saves="out",
    samples=_squares,
    torch="linalg.inv",
)


@also_named(input="A")
def inv(A: Tensor) -> Tensor:
    """The inverse of each square matrix f[..., n, n]. Raises LinAlgError where there is none."""
    return bind(INV, (matrices("inv", A, square=True),))  # type: ignore[no-any-return]


def _pinv(x: Any, *, atol: float, rtol: float, hermitian: bool) -> Any:
    if not x.size:
        return np.zeros((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype)
    problem = "the singular values were not found"
    if hermitian:
        w, v = attempt("pinv", problem, np.linalg.eigh, x)
        u, s, vh = v, w, np.swapaxes(v, -1, -2).conj()
    else:
        u, s, vh = attempt("pinv", problem, np.linalg.svd, x, full_matrices=False)
    size = np.abs(s)
    cut = np.maximum(atol, rtol * size.max(axis=-1, keepdims=True))
    kept = size > cut
    turned = np.where(kept, 1 / np.where(kept, s, 1), 0).astype(s.dtype)
    right, left = np.swapaxes(vh, -1, -2).conj(), np.swapaxes(u, -1, -2).conj()
    return np.asarray(np.matmul(right * turned[..., None, :], left)).astype(x.dtype, copy=False)


def _pinv_vjp(g: Tensor, y: Tensor, x: Tensor, **_: Any) -> Any:
    """Golub and Pereyra (1973), "The differentiation of pseudo-inverses"."""
    gh, yh = adjoint(g), adjoint(y)
    k = matmul(gh, y)
    ky = matmul(k, yh)
    made = sub(ky, adjoint(matmul(y, k)))
    made = sub(made, product(x, y, ky))
    return (add(made, product(yh, y, sub(gh, matmul(k, x)))),)


PINV = define(
    "pinv",
    attrs=("atol", "rtol", "hermitian"),
    doc="The pseudo-inverse of each matrix; singular values up to max(atol, rtol * s[0]) are 0.",
    accepts=INEXACT,
    infer=lambda x, **_: Type((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype),
    ref=_pinv,
    vjp=_pinv_vjp,
    saves="x out",
    samples=lambda r: [
        Sample((r.normal(size=s), 0.0, 1e-10, False)) for s in ((4, 3), (3, 5), (2, 3, 3), (0, 3))
    ],
    torch=False,
)


PINV_WITHIN = define(
    "pinv_within",
    inputs="x atol rtol",
    attrs=("hermitian",),
    doc="`pinv` with tolerances that are tensors, one for each matrix.",
    accepts=INEXACT,
    infer=lambda x, *_, hermitian: Type((*x.shape[:-2], x.shape[-1], x.shape[-2]), x.dtype),
    ref=lambda x, atol, rtol, *, hermitian: _pinv(
        x, atol=atol[..., None], rtol=rtol[..., None], hermitian=hermitian
    ),
    vjp=lambda g, y, x, *_, hermitian: (*_pinv_vjp(g, y, x), None, None),
    saves="x out",
    samples=lambda r: [
        Sample((r.normal(size=(2, 3, 4)), np.array(1e-10), np.array([1e-9, 0.0]), False), grad=(0,))
    ],
    torch=False,
)


def tolerances(x: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """PyTorch's defaults: the machine's precision times the longer side, unless atol is given.

    Two numbers; two tensors where one of them is given as a tensor.
    """
    precision = float(np.finfo(x.array.dtype).eps) * max(x.array.shape[-2:])
    if not isinstance(atol, Tensor) and not isinstance(rtol, Tensor):
        least = 0.0 if atol is None else float(atol)
        if rtol is None:
            rtol = 0.0 if least > 0 else precision
        return least, float(rtol)
    kind = x.dtype.to_real()
    bound = constant(0, kind) if atol is None else cast(as_tensor(atol, "atol"), kind)
    if rtol is None:
        zero, part = constant(0, kind), constant(precision, kind)
        return bound, where(gt(bound, zero), zero, part)
    return bound, cast(as_tensor(rtol, "rtol"), kind)


def pinv(
    A: Tensor, rtol: Any = None, *, atol: Any = None, rcond: Any = None, hermitian: bool = False
) -> Tensor:
    """The pseudo-inverse (Moore, Penrose) of each matrix f[..., n, m] -> f[..., m, n].

    Singular values not above max(atol, rtol * the largest) count as 0; rcond is an older word for
    rtol. Tolerances are numbers, or tensors with one for each matrix.
    """
    x = matrices("pinv", A, square=hermitian)
    least, part = tolerances(x, atol, rcond if rtol is None else rtol)
    if isinstance(least, Tensor):
        lead = {"A": Type(x.array.shape[:-2], x.dtype)}
        shape = broadcast("pinv", **lead, atol=type_of(least), rtol=type_of(part))
        x = expand(x, (*shape, *x.array.shape[-2:]))
        return bind(PINV_WITHIN, (x, least, part), (bool(hermitian),))  # type: ignore[no-any-return]
    return bind(PINV, (x,), (least, part, bool(hermitian)))  # type: ignore[no-any-return]


# ---- determinants


def _cofactors(x: Any) -> Any:
    """The conjugates of det's derivatives, of singular matrices too: U adj(S) V^H det(U V)."""
    u, s, vh = attempt("det", "the singular values were not found", np.linalg.svd, x)
    others = np.empty_like(s)
    for i in range(s.shape[-1]):
        others[..., i] = np.prod(np.delete(s, i, axis=-1), axis=-1)
    sign = np.conj(np.linalg.det(u) * np.linalg.det(vh))[..., None, None]
    return (np.matmul(u * others[..., None, :], vh) * sign).astype(x.dtype, copy=False)


COFACTORS = define(
    "cofactors",
    doc="The conjugate of the derivative of det by each element.",
    accepts=INEXACT,
    infer=lambda x: x,
    ref=_cofactors,
    samples=_squares,
    torch=False,
)


def _det_vjp(g: Tensor, out: Any, x: Tensor) -> Any:
    wide = reshape(g, (*g.array.shape, 1, 1))
    if mode.grad:  # the slope of the slope needs the inverse
        det_again = reshape(conj(bind(DET, (x,))), wide.array.shape)
        return (mul(mul(wide, det_again), adjoint(bind(INV, (x,)))),)
    return (mul(wide, bind(COFACTORS, (x,))),)


DET = define(
    "det",
    doc="The determinant of each square matrix.",
    accepts=INEXACT,
    infer=lambda x: Type(x.shape[:-2], x.dtype),
    ref=lambda x: np.asarray(np.linalg.det(x)),
    vjp=_det_vjp,
    saves="x",
    samples=_squares,
    torch="linalg.det",
)


@also_named(input="A")
def det(A: Tensor) -> Tensor:
    """The determinant of each square matrix f[..., n, n] -> f[...]."""
    return bind(DET, (matrices("det", A, square=True),))  # type: ignore[no-any-return]


class SlogdetResult(NamedTuple):
    """The sign (a number of size 1) of each determinant, and the logarithm of its size."""

    sign: Tensor
    logabsdet: Tensor


_SlogdetResult = returned(SlogdetResult, "linalg_slogdet")


def _slogdet_vjp(g: Any, out: Any, x: Tensor) -> Any:
    """gA = (g_log - i Im(conj(g_sign) sign)) A^-H; a real sign has no slope."""
    scale = g[1]
    if x.dtype.is_complex:
        sign = bind(SLOGDET, (x,))[0] if mode.grad else out[0]
        scale = cast(scale, x.dtype) if scale is not None else mul(sign, 0)
        if g[0] is not None:
            turn = imag(mul(conj(g[0]), sign))
            scale = add(scale, complex(mul(turn, 0), neg(turn)))
    if scale is None:
        return (None,)
    wide = reshape(scale, (*scale.array.shape, 1, 1))
    return (mul(wide, adjoint(bind(INV, (x,)))),)


SLOGDET = define(
    "slogdet",
    doc="The sign of each determinant, and the logarithm of its absolute value.",
    accepts=INEXACT,
    infer=lambda x: (Type(x.shape[:-2], x.dtype), Type(x.shape[:-2], x.dtype.to_real())),
    ref=lambda x: tuple(map(np.asarray, np.linalg.slogdet(x))),
    vjp=_slogdet_vjp,
    saves="x out0",
    outputs=2,
    samples=_squares,
    torch="linalg.slogdet",
)


@also_named(input="A")
def slogdet(A: Tensor) -> SlogdetResult:
    """(sign, logabsdet) of the determinant of each square matrix; (0, -inf) for singular ones."""
    return _SlogdetResult(*bind(SLOGDET, (matrices("slogdet", A, square=True),)))


# ---- systems of equations


def _solve_type(a: Type, b: Type, **_: Any) -> Type:
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError("solve", "as many rows of B as of A are wanted", A=a, B=b)
    batch = broadcast("solve", A=a.with_shape(a.shape[:-2]), B=b.with_shape(b.shape[:-2]))
    return Type((*batch, *b.shape[-2:]), b.dtype)


def _solve_vjp(g: Tensor, x: Tensor, a: Tensor, b: Any) -> Any:
    gb = bind(SOLVE, (adjoint(a), g))
    return neg(matmul(gb, adjoint(x))) if wanted(a) else None, gb


SOLVE = define(
    "solve",
    inputs="a b",
    doc="x with a x = b, for square matrices a.",
    accepts=INEXACT,
    infer=_solve_type,
    ref=lambda a, b: attempt("solve", "a matrix is singular", np.linalg.solve, a, b),
    vjp=_solve_vjp,
    saves="a out",
    samples=lambda r: [
        Sample((well(r, 3, 3), r.normal(size=(3, 2)))),
        Sample((well(r, 2, 3, 3), r.normal(size=(3, 1)))),
        Sample((well(r, 3, 3), r.normal(size=(2, 3, 2)))),
    ],
    torch="linalg.solve",
)


def is_vector(a: Tensor, b: Tensor) -> bool:
    """Whether b is one vector, or a vector for each matrix, as PyTorch tells."""
    rank = b.array.ndim
    return rank == 1 or (rank + 1 == a.array.ndim and b.array.shape == a.array.shape[:-1])


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A X = B (X A = B unless `left`), for square matrices; B may be vectors.

    Raises LinAlgError where a matrix is singular.
    """
    a, b = operands("solve", A, B)
    a, b = matrices("solve", a, square=True), precise("solve", b)
    vector = is_vector(a, b)
    b = reshape(b, (*b.array.shape, 1)) if vector else b
    if vector and not left:
        raise ArgumentError("solve", "left=False needs a matrix B", B=type_of(b))
    if left:
        made = bind(SOLVE, (a, b))
        return reshape(made, made.array.shape[:-1]) if vector else made
    flipped = transpose(a, -1, -2), transpose(b, -1, -2)
    return transpose(bind(SOLVE, flipped), -1, -2)


def _triangle(a: Any, upper: bool, unit: bool) -> Any:
    kept = np.triu(a) if upper else np.tril(a)
    if unit:
        places = np.arange(a.shape[-1])
        kept[..., places, places] = 1
    return kept


def _solve_triangular(a: Any, b: Any, *, upper: bool, unit: bool) -> Any:
    """Back substitution: LAPACK's elimination has nothing to do in an upper triangle."""
    kept = _triangle(a, upper, unit)
    problem = "a diagonal has a 0"
    if upper:
        return attempt("solve_triangular", problem, np.linalg.solve, kept, b)
    flipped, rows = kept[..., ::-1, ::-1], b[..., ::-1, :]
    made = attempt("solve_triangular", problem, np.linalg.solve, flipped, rows)
    return np.ascontiguousarray(made[..., ::-1, :])


def _solve_triangular_vjp(
    g: Tensor, x: Tensor, a: Tensor, b: Any, *, upper: bool, unit: bool
) -> Any:
    gb = bind(SOLVE_TRIANGULAR, (adjoint(a), g), (not upper, unit))
    if not wanted(a):
        return None, gb
    ga = neg(matmul(gb, adjoint(x)))
    return (triu(ga, int(unit)) if upper else tril(ga, -int(unit))), gb


SOLVE_TRIANGULAR = define(
    "solve_triangular",
    inputs="a b",
    attrs=("upper", "unit"),
    doc="x with a x = b, where one triangle of a counts (unit: with ones on its diagonal).",
    accepts=INEXACT,
    infer=_solve_type,
    ref=_solve_triangular,
    lower="solve_triangular",
    vjp=_solve_triangular_vjp,
    saves="a out",
    samples=lambda r: [
        Sample((well(r, 3, 3), r.normal(size=(3, 2)), True, False)),
        Sample((well(r, 2, 3, 3), r.normal(size=(3, 1)), False, False)),
        Sample((well(r, 3, 3), r.normal(size=(2, 3, 2)), False, True)),
    ],
    torch=lambda a, b, upper, unit: _torch_triangular(a, b, upper, unit),
)


def _torch_triangular(a: Any, b: Any, upper: bool, unit: bool) -> Any:
    """The same in PyTorch, for the tests."""
    kept = a.triu(int(unit)) if upper else a.tril(-int(unit))
    if unit:
        kept = kept + a.new_ones(a.shape[-1]).diag()
    return kept.inverse() @ b


def solve_triangular(
    A: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X with A X = B (X A = B unless `left`), of whose A one triangle counts.

    unitriangular: the diagonal counts as ones.
    """
    a, b = operands("solve_triangular", A, B)
    a = matrices("solve_triangular", a, square=True)
    b = matrices("solve_triangular", b)
    if left:
        return bind(SOLVE_TRIANGULAR, (a, b), (bool(upper), bool(unitriangular)))  # type: ignore[no-any-return]
    flipped = transpose(a, -1, -2), transpose(b, -1, -2)
    made = bind(SOLVE_TRIANGULAR, flipped, (not upper, bool(unitriangular)))
    return transpose(made, -1, -2)


guard(globals())
