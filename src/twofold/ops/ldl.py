"""Symmetric matrices that need not be positive: A = L D L^T, as LAPACK keeps it. Floor 4.

Pivots are those of Bunch and Kaufman (1977), as in LAPACK's `sytf2` and `hetf2`: D has blocks of
one and of two rows. A pivot p > 0 says that rows were exchanged with row p (from 1), two equal ones
p < 0 that a block of two begins, and that its second row was exchanged with row -p.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, GradientError, LinAlgError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import asks_for_history, bind, current, mode
from twofold.ops.elementwise import conj
from twofold.ops.movement import expand
from twofold.ops.op import INEXACT, Sample, define
from twofold.ops.solve import matrices
from twofold.ops.tensor import Tensor, returned, type_of

__all__ = ["ldl_factor", "ldl_factor_ex", "ldl_solve"]

LIMIT = (1 + math.sqrt(17)) / 8  # below which growth of elements is least (Bunch, Kaufman)


class LDL(NamedTuple):
    """D's blocks and L below them in one matrix; LAPACK's pivots, i32."""

    LD: Tensor
    pivots: Tensor


_LDL = returned(LDL, "linalg_ldl_factor")


class Checked(NamedTuple):
    """`LDL`, and for each matrix 0, or the first place where D is 0, from 1."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


_Checked = returned(Checked, "linalg_ldl_factor_ex")


def _factor(a: Any, hermitian: bool) -> tuple[Any, Any, int]:
    """The factors of one matrix, of which the lower triangle is read."""
    a = np.tril(a)
    count, info, k = len(a), 0, 0
    pivots = np.zeros(count, np.int32)
    turned = np.conj if hermitian else lambda x: x

    def size(x: Any) -> Any:
        return np.abs(x.real) + np.abs(x.imag)

    while k < count:
        two, own = False, size(a[k, k])
        below = size(a[k + 1 :, k])
        at = k + 1 + int(below.argmax()) if below.size else k
        largest = below.max() if below.size else own * 0
        place = k
        if max(own, largest) == 0:
            info = info or k + 1
        elif own < LIMIT * largest:
            row = max(size(a[at, k:at]).max(), size(a[at + 1 :, at]).max(initial=0))
            if own < LIMIT * largest * (largest / row):
                place, two = at, bool(size(a[at, at]) < LIMIT * row)
        last = k + two
        if place != last:
            _exchange(a, last, place, turned)
            if two:
                a[[k + 1, place], k] = a[[place, k + 1], k]
        pivots[k : last + 1] = -(place + 1) if two else place + 1
        rest = a[last + 1 :, k : last + 1].copy()
        block = a[k : last + 1, k : last + 1].copy()
        if two:
            block[0, 1] = turned(block[1, 0])
        if block.any():
            share = rest @ _inverse(block)
            a[last + 1 :, last + 1 :] -= np.tril(share @ turned(rest).T)
            a[last + 1 :, k : last + 1] = share
        k = last + 1
    if hermitian:
        np.fill_diagonal(a, a.diagonal().real)
    return a, pivots, info


def _exchange(a: Any, first: int, second: int, turned: Any) -> None:
    """Exchange two rows and columns of what is left of a lower triangle, from `first` on."""
    a[second + 1 :, [first, second]] = a[second + 1 :, [second, first]]
    column = a[first + 1 : second, first].copy()
    a[first + 1 : second, first] = turned(a[second, first + 1 : second])
    a[second, first + 1 : second] = turned(column)
    a[second, first] = turned(a[second, first])
    a[[first, second], [first, second]] = a[[second, first], [second, first]]


def _inverse(block: Any) -> Any:
    """Of a block of D, of one row or two."""
    if len(block) == 1:
        return 1 / block
    (a, b), (c, d) = block
    return np.array([[d, -b], [-c, a]]) / (a * d - b * c)


def _solve(ld: Any, pivots: Any, b: Any, hermitian: bool) -> Any:
    """X in A X = B, by the factors of one matrix."""
    x, turned = b.copy(), np.conj if hermitian else lambda value: value
    blocks, k = [], 0
    while k < len(ld):
        blocks.append((k, 1 if pivots[k] > 0 else 2))
        k += blocks[-1][1]
    for k, n in blocks:
        last, place = k + n - 1, abs(int(pivots[k])) - 1
        x[[last, place]] = x[[place, last]]
        x[k + n :] -= ld[k + n :, k : k + n] @ x[k : k + n]
        block = np.tril(ld[k : k + n, k : k + n])
        if n == 2:
            block[0, 1] = turned(block[1, 0])
        x[k : k + n] = _inverse(block) @ x[k : k + n]
    for k, n in reversed(blocks):
        last, place = k + n - 1, abs(int(pivots[k])) - 1
        x[k : k + n] -= turned(ld[k + n :, k : k + n]).T @ x[k + n :]
        x[[last, place]] = x[[place, last]]
    return x


def _factors(x: Any, *, hermitian: bool) -> Any:
    flat = x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
    made = [_factor(matrix, hermitian) for matrix in flat]
    lead = x.shape[:-2]
    return (
        np.array([m[0] for m in made], x.dtype).reshape(x.shape),
        np.array([m[1] for m in made], np.int32).reshape(x.shape[:-1]),
        np.array([m[2] for m in made], np.int32).reshape(lead),
    )


def _symmetric(r: Any) -> list[Sample]:
    made = [r.normal(size=s) for s in ((3, 3), (2, 4, 4), (0, 0))]
    return [Sample((x + np.swapaxes(x, -1, -2), False), smooth=False) for x in made]


LDL_FACTOR = define(
    "ldl_factor",
    attrs=("hermitian",),
    doc="D and L of A = L D L^T in one matrix, pivots, and where D is 0.",
    accepts=INEXACT,
    infer=lambda x, *, hermitian: (
        x,
        Type(x.shape[:-1], dtypes.int32),
        Type(x.shape[:-2], dtypes.int32),
    ),
    ref=_factors,
    outputs=3,
    samples=_symmetric,
    torch=False,
)


def _solutions(ld: Any, pivots: Any, b: Any, *, hermitian: bool) -> Any:
    count = math.prod(ld.shape[:-2])
    lds, bs = (x.reshape(count, *x.shape[-2:]) for x in (ld, b))
    rows = pivots.reshape(count, pivots.shape[-1])
    made = [_solve(lds[i], rows[i], bs[i], hermitian) for i in range(count)]
    return np.array(made, b.dtype).reshape(b.shape)


def _solve_vjp(g: Tensor, out: Any, ld: Tensor, pivots: Tensor, b: Any, *, hermitian: bool) -> Any:
    if hermitian or not g.dtype.is_complex:
        return None, None, bind(LDL_SOLVE, (ld, pivots, g), (hermitian,))
    return None, None, conj(bind(LDL_SOLVE, (ld, pivots, conj(g)), (hermitian,)))


def _systems(r: Any) -> list[Sample]:
    made = []
    for lead, n, k in (((), 3, 2), ((2,), 2, 1), ((), 0, 1)):
        factors = r.normal(size=(*lead, n, n)) + 3 * np.eye(n)
        pivots = np.broadcast_to(np.arange(1, n + 1, dtype=np.int32), (*lead, n)).copy()
        made.append(Sample((factors, pivots, r.normal(size=(*lead, n, k)), False), grad=(2,)))
    return made


LDL_SOLVE = define(
    "ldl_solve",
    inputs="LD pivots B",
    attrs=("hermitian",),
    doc="X in A X = B, by the factors of A.",
    infer=lambda ld, pivots, b, *, hermitian: b,
    ref=_solutions,
    vjp=_solve_vjp,
    saves="LD pivots",
    samples=_systems,
    torch=False,
)


def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> Checked:
    """(LD, pivots, info) of symmetric matrices f[..., n, n], whose lower triangle is read;
    hermitian: of complex ones that equal their adjoint.

    Raises ShapeError, LinAlgError for a D with a 0 where `check_errors` says, and GradientError
    where the input's history is recorded.
    """
    x = matrices("ldl_factor", A, square=True)
    if mode.grad and current(x).tracked:
        hint = "linalg.solve, linalg.eigh"
        raise GradientError("ldl_factor", "there is no gradient", hint=hint, A=type_of(x))
    asks_for_history()
    made = _Checked(*bind(LDL_FACTOR, (x,), (bool(hermitian and x.dtype.is_complex),)))
    if check_errors and mode.capture is None and made.info.array.any():
        raise LinAlgError("ldl_factor", "D has a 0 on its diagonal", A=type_of(x))
    return made


def ldl_factor(A: Tensor, *, hermitian: bool = False) -> LDL:
    """(LD, pivots) of symmetric matrices f[..., n, n] for `ldl_solve`: A = L D L^T with exchanges.

    The lower triangle is read. hermitian: A = L D L^H. Raises what `ldl_factor_ex` raises, and
    LinAlgError for a D with a 0 on its diagonal.
    """
    made = ldl_factor_ex(A, hermitian=hermitian, check_errors=True)
    return _LDL(made.LD, made.pivots)


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """X f[..., n, k] in A X = B, by what `ldl_factor` gives; with a gradient by B.

    Raises DTypeError for another type of B or pivots that are no whole numbers, ShapeError where
    the sizes do not fit.
    """
    x, b = matrices("ldl_solve", LD, square=True), matrices("ldl_solve", B)
    facts: Any = {"LD": type_of(x), "pivots": type_of(pivots), "B": type_of(b)}
    if x.dtype is not b.dtype or pivots.dtype.kind not in "iu":
        raise DTypeError("ldl_solve", "LD and B have one type, pivots are whole numbers", **facts)
    if pivots.array.shape != x.array.shape[:-1] or b.array.shape[-2] != x.array.shape[-1]:
        hint = "LD f[..., n, n], pivots i32[..., n], B f[..., n, k]"
        raise ShapeError("ldl_solve", "the sizes do not fit", hint=hint, **facts)
    try:
        lead = np.broadcast_shapes(x.array.shape[:-2], b.array.shape[:-2])
    except ValueError:
        raise ShapeError("ldl_solve", "the batches do not broadcast", **facts) from None
    wide = [
        expand(t, (*lead, *t.array.shape[rest:])) for t, rest in ((x, -2), (pivots, -1), (b, -2))
    ]
    return bind(LDL_SOLVE, tuple(wide), (bool(hermitian and x.dtype.is_complex),))  # type: ignore[no-any-return]
