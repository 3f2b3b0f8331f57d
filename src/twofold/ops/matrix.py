"""What one asks of matrices: norms, ranks, conditions, powers, least squares. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.records import NamedTuple
from twofold.ops import compare
from twofold.ops.bind import bind
from twofold.ops.creation import arange, eye
from twofold.ops.decompose import eigvalsh, svdvals
from twofold.ops.elementwise import ZEROS_LIKE, abs, add, cast, conj, mul, square, true_divide
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, permute, reshape
from twofold.ops.op import INEXACT, Sample, define
from twofold.ops.products import cross as _cross
from twofold.ops.products import in_best_order
from twofold.ops.reduce import amax, amin
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import also_named, as_tensor, axis_of, axis_too, operands
from twofold.ops.solve import inv, is_vector, matrices, pinv, tolerances
from twofold.ops.stand_in import numbers_of
from twofold.ops.statistics import MATRIX_NORMS
from twofold.ops.statistics import norm as _norm
from twofold.ops.tensor import Tensor, returned, type_of, wrap
from twofold.ops.transcendental import pow
from twofold.ops.views import adjoint, unsqueeze
from twofold.ops.views import diagonal as _diagonal

__all__ = [
    "cond",
    "cross",
    "diagonal",
    "lstsq",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
]
__all__ += ["multi_dot", "norm", "tensorinv", "tensorsolve", "vander", "vecdot", "vector_norm"]


# ---- norms


def _floating(op: str, x: Any, dtype: Any) -> Tensor:
    made = as_tensor(x, op)
    if not (made.dtype.is_floating_point or made.dtype.is_complex):
        hint = f"x.to(twofold.{dtypes.default_dtype().name})"
        raise DTypeError(op, f"{made.dtype.name} is not taken", hint=hint, x=type_of(made))
    return made if dtype is None else cast(made, dtypes.as_dtype(dtype))


@axis_too
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(sum |x|**ord) ** (1 / ord) over the axes `dim` (all, if None).

    inf and -inf are the largest and smallest size, 0 counts what is not zero.
    """
    if isinstance(ord, str):
        raise ArgumentError("vector_norm", f"ord is {ord!r}", hint="a number; matrix_norm")
    return _norm(_floating("vector_norm", x, dtype), float(ord), dim, keepdim)


@axis_too
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A norm of matrices: "fro" (the root of the sum of squares), "nuc" (the sum of the singular
    values), 2 and -2 (the largest and the smallest of them), 1 and -1 (of the columns' sums of
    sizes), inf and -inf (of the rows').
    """
    x = _floating("matrix_norm", A, dtype)
    if x.array.ndim < 2 or len(dim) != 2:
        raise ShapeError("matrix_norm", "a matrix and two axes are wanted", A=type_of(x))
    rows, columns = (axis_of("matrix_norm", d, x) for d in dim)
    if rows == columns:
        raise ArgumentError("matrix_norm", f"dim {dim} names an axis twice", A=type_of(x))
    if ord == "fro":
        return _norm(x, 2, (rows, columns), keepdim)
    if ord in (1, -1, math.inf, -math.inf):
        along, over = (rows, columns) if ord in (1, -1) else (columns, rows)
        sums = sum_(abs(x), along, True)
        made = _end(sums, ord, over, True)
        return made if keepdim else _dropped(made, rows, columns)
    if ord not in ("nuc", 2, -2):
        hint = "'fro', 'nuc', 1, -1, 2, -2, inf or -inf"
        raise ArgumentError("matrix_norm", f"ord is {ord!r}", hint=hint)
    others = [i for i in range(x.array.ndim) if i not in (rows, columns)]
    values = svdvals(permute(x, (*others, rows, columns)))
    made = sum_(values, -1) if ord == "nuc" else _end(values, ord, -1, False)
    if not keepdim:
        return made
    return reshape(made, tuple(1 if i in (rows, columns) else n for i, n in enumerate(x.shape)))


def _end(values: Tensor, ord: float, dim: int, keepdim: bool) -> Tensor:
    """The largest, 0 of none, or for a negative `ord` the smallest."""
    if ord < 0:
        return amin(values, dim, keepdim)
    size = values.array.shape[dim]
    if type(size) is int and size == 0:
        return sum_(values, dim, keepdim)
    return amax(values, dim, keepdim)


# The norms of matrices that `twofold.norm` takes by name.
MATRIX_NORMS["nuc"] = lambda x, dim, keepdim: matrix_norm(x, "nuc", dim, keepdim)


def _dropped(x: Tensor, *axes: int) -> Tensor:
    return reshape(x, tuple(n for i, n in enumerate(x.array.shape) if i not in axes))


@axis_too
def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A vector norm, or a matrix norm where `ord` is given for two axes.

    Without `ord` the root of the sum of squares over `dim` (all axes, if None).
    """
    x = as_tensor(A, "norm", "A")
    if isinstance(dim, tuple | list) and len(dim) not in (1, 2):
        raise ShapeError("norm", f"{len(dim)} axes", hint="vector_norm", A=type_of(x))
    if ord is None:
        return vector_norm(x, 2, dim, keepdim, dtype=dtype)
    count = x.array.ndim if dim is None else 1 if isinstance(dim, int) else len(dim)
    if count not in (1, 2):
        raise ShapeError("norm", f"{count} axes with ord", hint="one or two axes", A=type_of(x))
    if count == 2:
        axes = (0, 1) if dim is None else dim
        return matrix_norm(x, ord, axes, keepdim, dtype=dtype)
    return vector_norm(x, ord, dim, keepdim, dtype=dtype)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """How much solving with A may enlarge an error: norm(A, p) * norm(inv(A), p).

    p is None, 2 or -2 (by singular values), or an `ord` of matrix_norm.
    """
    x = matrices("cond", A, square=p not in (None, 2, -2))
    if p in (None, 2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]  # type: ignore[index]
        made: Tensor = true_divide(smallest, largest) if p == -2 else true_divide(largest, smallest)
        return made
    return mul(matrix_norm(x, p), matrix_norm(inv(x), p))


def matrix_rank(
    A: Tensor, tol: Any = None, *, atol: Any = None, rtol: Any = None, hermitian: bool = False
) -> Tensor:
    """How many singular values lie above max(atol, rtol * the largest), as i64."""
    x = matrices("matrix_rank", A, square=hermitian)
    values = abs(eigvalsh(x)) if hermitian else svdvals(x)
    if not values.array.shape[-1]:
        return expand(arange(1)[0], x.array.shape[:-2])  # type: ignore[index]
    least, part = tolerances(x, tol if atol is None else atol, 0.0 if tol is not None else rtol)
    if isinstance(least, Tensor):
        part, least = unsqueeze(part, -1), unsqueeze(least, -1)
    cut = compare.clamp_min(mul(amax(values, -1, True), part), least)
    return sum_(compare.gt(values, cut), -1)


# ---- products and powers


@axis_too
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector product along an axis of size 3."""
    return _cross(input, other, dim)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of two or more matrices in the cheapest order; the ends may be vectors."""
    if len(tensors) < 2:
        raise ArgumentError("multi_dot", "at least two tensors are wanted")
    xs = list(operands("multi_dot", *tensors))
    first, last = xs[0].array.ndim == 1, xs[-1].array.ndim == 1
    if first:
        xs[0] = reshape(xs[0], (1, -1))
    if last:
        xs[-1] = reshape(xs[-1], (-1, 1))
    for number, x in enumerate(xs):
        if x.array.ndim != 2:
            raise ShapeError("multi_dot", f"tensor {number} is not a matrix", tensor=type_of(x))
    made = in_best_order(xs)
    rows, columns = made.array.shape
    return reshape(made, (rows,) * (not first) + (columns,) * (not last))


@axis_too
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sum of conj(x) * y along an axis, broadcast over the others."""
    a, b = operands("vecdot", x, y)
    return sum_(mul(conj(a), b), dim, dtype=a.dtype)


@also_named(input="A")
def matrix_power(A: Tensor, n: int) -> Tensor:
    """The product of n times each square matrix; of its inverse, if n is negative."""
    x = as_tensor(A, "matrix_power", "A")
    if x.array.ndim < 2 or x.array.shape[-1] != x.array.shape[-2]:
        raise ShapeError("matrix_power", "a square matrix is wanted", A=type_of(x))
    if n < 0:
        x, n = inv(x), -n
    if n == 0:
        return add(eye(x.array.shape[-1], dtype=x.dtype), bind(ZEROS_LIKE, (x,)))
    made: Tensor | None = None
    while n:
        if n & 1:
            made = x if made is None else matmul(made, x)
        n >>= 1
        x = matmul(x, x) if n else x
    assert made is not None
    return made


PADE: tuple[float, ...] = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0)
PADE += (1187353796428800.0,)
PADE += (129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0)
PADE += (40840800.0, 960960.0, 16380.0, 182.0, 1.0)


def _expm(x: Any) -> Any:
    """Higham (2005), "The scaling and squaring method for the matrix exponential revisited"."""
    kind = np.complex128 if x.dtype.kind == "c" else np.float64
    wide = x.astype(kind)
    sizes = np.abs(wide).sum(axis=-2).max(axis=-1, initial=0.0)
    most = float(sizes.max(initial=0.0))
    doublings = max(0, math.ceil(math.log2(most / 5.371920351148152))) if most > 0 else 0
    if not math.isfinite(most):
        return np.full_like(x, np.nan)
    a = wide / 2.0**doublings
    one = np.eye(x.shape[-1], dtype=kind)
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    b = PADE
    odd = (
        a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * one
    )
    even = (
        a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * one
    )
    u = a @ odd
    made = np.linalg.solve(even - u, even + u)
    for _ in range(doublings):
        made = made @ made
    return made.astype(x.dtype)


def _expm_vjp(g: Tensor, out: Any, x: Tensor) -> Any:
    """The corner of the exponential of [[A^H, g], [0, A^H]] (Mathias 1996)."""
    turned = adjoint(x)
    size = x.array.shape[-1]
    top = cat([turned, g], -1)
    block = cat([top, cat([mul(turned, 0), turned], -1)], -2)
    whole = bind(MATRIX_EXP, (block,))
    return (whole[..., :size, size:],)


MATRIX_EXP = define(
    "matrix_exp",
    doc="The exponential of each square matrix, 1 + A + A A / 2 + ...",
    accepts=INEXACT,
    infer=lambda x: x,
    ref=_expm,
    vjp=_expm_vjp,
    saves="x",
    samples=lambda r: [Sample((r.normal(size=s),)) for s in ((3, 3), (2, 2, 2), (1, 1))],
    torch="linalg.matrix_exp",
)


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential 1 + A + A A / 2 + ... of each square matrix; of half types in float32."""
    if A.dtype in (dtypes.float16, dtypes.bfloat16):
        return cast(matrix_exp(cast(A, dtypes.float32)), A.dtype)
    return bind(MATRIX_EXP, (matrices("matrix_exp", A, square=True),))  # type: ignore[no-any-return]


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of each number along a new last axis; N is else the last size."""
    x = x if x.array.ndim else reshape(x, (1,))
    count = x.array.shape[-1] if N is None else int(N)
    return pow(unsqueeze(x, -1), arange(count))


# ---- solutions


class LstsqResult(NamedTuple):
    """What `lstsq` gives."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


_LstsqResult = returned(LstsqResult, "linalg_lstsq")


def lstsq(A: Tensor, B: Tensor, rcond: Any = None, *, driver: str | None = None) -> LstsqResult:
    """(solution, residuals, rank, singular_values): X with the smallest norm(A X - B).

    Of several such X it is the smallest. residuals are the squares of those norms, and empty for
    the driver "gelsy" (which None is) and unless A has more rows than columns and full rank; the
    singular values are empty unless the driver is "gelsd" or "gelss". Computed by the
    pseudo-inverse, whatever the driver.
    """
    a, b = operands("lstsq", A, B)
    a = matrices("lstsq", a)
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise ArgumentError("lstsq", f"driver is {driver!r}", hint="gels, gelsy, gelsd or gelss")
    vector = is_vector(a, b) or b.array.ndim == a.array.ndim - 1
    b = unsqueeze(b, -1) if vector else b
    rows, columns = a.array.shape[-2:]
    if b.array.ndim < 2 or b.array.shape[-2] != rows:
        raise ShapeError("lstsq", f"B with {rows} rows is wanted", A=type_of(a), B=type_of(b))
    made = matmul(pinv(a, rcond), b)
    nothing = wrap(np.zeros(0, a.dtype.to_real().numpy))
    rank = matrix_rank(a, rtol=rcond) if driver != "gels" else wrap(np.zeros(0, np.int64))
    values = detached(svdvals(a)) if driver in ("gelsd", "gelss") else nothing
    residuals = nothing
    wanted = rows > columns and driver not in (None, "gelsy")
    if wanted and (driver == "gels" or bool((numbers_of(rank) == columns).all())):
        away = abs(matmul(a, made) - b)  # type: ignore[operator]
        residuals = sum_(square(away), -2)
        residuals = residuals[..., 0] if vector else residuals  # type: ignore[index]
    return _LstsqResult(made[..., 0] if vector else made, residuals, rank, values)  # type: ignore[index]


def detached(x: Tensor) -> Tensor:
    return wrap(x.array)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The diagonal of each matrix, as a view."""
    return _diagonal(A, offset, dim1, dim2)


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of `tensordot(A, x, x.ndim)`, whose first `ind` axes are the rows."""
    shape = A.array.shape
    size = math.prod(shape[:ind])
    if ind < 1 or size != math.prod(shape[ind:]):
        raise ShapeError(
            "tensorinv", f"the first {ind} axes are no square with the rest", A=type_of(A)
        )
    return reshape(inv(reshape(A, (size, size))), (*shape[ind:], *shape[:ind]))


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """X with tensordot(A, X, X.ndim) = B; `dims` of A are moved to its end first."""
    if dims is not None:
        moved = [axis_of("tensorsolve", d, A) for d in dims]
        A = permute(A, (*(i for i in range(A.array.ndim) if i not in moved), *moved))
    shape = A.array.shape[B.array.ndim :]
    size = math.prod(shape)
    if size != B.array.size:
        raise ShapeError("tensorsolve", "A is no square", A=type_of(A), B=type_of(B))
    flat = matmul(inv(reshape(A, (size, size))), reshape(B, (size, 1)))
    return reshape(flat, shape)


guard(globals())
