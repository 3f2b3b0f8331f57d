"""LU in one matrix with LAPACK's pivots: factored once, solved many times. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, LinAlgError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import eq, where
from twofold.ops.decompose import LU, LU_RECORD, permutation
from twofold.ops.elementwise import add, cast
from twofold.ops.gather import take_along_dim
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.op import INTEGER, Sample, define
from twofold.ops.padding import pad
from twofold.ops.reduce import any as any_of
from twofold.ops.reduce import argmax
from twofold.ops.solve import matrices, solve_triangular
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.triangles import tril
from twofold.ops.views import adjoint as adjoint_of
from twofold.ops.views import diagonal, narrow, unsqueeze

__all__ = ["lu_factor", "lu_factor_ex", "lu_solve", "lu_unpack"]


def _pivots(order: Any, *, count: Any) -> Any:
    """The exchanges, row k with row pivots[k] - 1, that bring the rows into this order."""
    rows = order.reshape(math.prod(order.shape[:-1]), order.shape[-1])
    made, every = np.empty((len(rows), count), np.int32), np.arange(len(rows))
    now = np.tile(np.arange(order.shape[-1]), (len(rows), 1))
    for k in range(count):
        at = (now == rows[:, k, None]).argmax(axis=1)
        now[every, at], now[:, k] = now[:, k].copy(), rows[:, k]
        made[:, k] = at + 1
    return made.reshape(*order.shape[:-1], count)


PIVOTS = define(
    "lu_pivots",
    inputs="order",
    attrs=("count",),
    doc="LAPACK's exchanges of rows, counted from 1, from the order that they make.",
    accepts=INTEGER,
    infer=lambda order, *, count: Type((*order.shape[:-1], count), dtypes.int32),
    ref=_pivots,
    lower="lu_pivots",
    samples=lambda r: [Sample((np.array([[2, 0, 1], [0, 1, 2]]), 3))],
    torch=False,
)


def _order(pivots: Any, *, rows: Any) -> Any:
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1])
    made = np.tile(np.arange(rows, dtype=np.int64), (len(flat), 1))
    for place, exchanges in enumerate(flat % (rows + 1) - 1):
        for k, at in enumerate(exchanges):
            made[place, [k, at]] = made[place, [at, k]]
    return made.reshape(*pivots.shape[:-1], rows)


ORDER = define(
    "lu_order",
    inputs="pivots",
    attrs=("rows",),
    doc="The order of rows that LAPACK's exchanges make.",
    accepts=INTEGER,
    infer=lambda pivots, *, rows: Type((*pivots.shape[:-1], rows), dtypes.int64),
    ref=_order,
    samples=lambda r: [Sample((np.array([[3, 3, 3], [1, 2, 3]]), 3))],
    torch=False,
)


class Factored(NamedTuple):
    """L below the diagonal (its own ones left out), U on it and above; the exchanges, i32."""

    LU: Tensor
    pivots: Tensor


_Factored = returned(Factored, "linalg_lu_factor")


def lu_factor(A: Tensor, *, pivot: bool = True) -> Factored:
    """P L U = A as one matrix and pivots, for `lu_solve`."""
    x = matrices("lu_factor", A)
    if not pivot:
        raise ArgumentError("lu_factor", "pivot=False is not offered", hint="pivot=True")
    lower, upper, order = bind(LU_RECORD, (x,))
    rows, columns = x.array.shape[-2:]
    inner = min(rows, columns)
    below = tril(lower, -1)
    if type(rows) is not int or rows != columns:
        below = pad(below, (0, columns - inner))
        upper = pad(upper, (0, 0, 0, rows - inner))
    return _Factored(add(below, upper), bind(PIVOTS, (order,), (inner,)))


class Checked(NamedTuple):
    """`Factored`, and for each matrix 0, or the first place on U's diagonal that is 0, from 1."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


_Checked = returned(Checked, "linalg_lu_factor_ex")


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Checked:
    """`lu_factor`, and for each matrix whether it is singular: it has factors all the same.

    Raises LinAlgError for a singular one where `check_errors` says.
    """
    packed, pivots = lu_factor(A, pivot=pivot)
    zero = eq(diagonal(packed, dim1=-2, dim2=-1), 0)
    size = zero.array.shape[-1]
    info = zeros_of(zero.array.shape[:-1], np.dtype(np.int32))
    if size:
        first = add(argmax(cast(zero, dtypes.int32), -1), 1)
        info = cast(where(any_of(zero, -1), first, 0), dtypes.int32)
    if check_errors and mode.capture is None and info.array.any():
        raise LinAlgError("lu_factor_ex", "a matrix is singular", A=type_of(A))
    return _Checked(packed, pivots, info)


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X with A X = B (X A = B with left=False; A^H for A with adjoint), where `LU, pivots` are
    `lu_factor(A)`. Raises ArgumentError for an LU that is not square.
    """
    rows, columns = LU.array.shape[-2:]
    if rows != columns:
        raise ArgumentError("lu_solve", "LU is not square", hint="linalg.lstsq", LU=type_of(LU))
    _check_pivots("lu_solve", LU, pivots)
    if not left:
        turned = lu_solve(LU, pivots, adjoint_of(B), adjoint=not adjoint)
        return adjoint_of(turned)
    order = bind(ORDER, (pivots,), (rows,))
    if not adjoint:
        given = take_along_dim(B, unsqueeze(order, -1), -2)
        half = solve_triangular(LU, given, upper=False, unitriangular=True)
        return solve_triangular(LU, half, upper=True)
    half = solve_triangular(adjoint_of(LU), B, upper=False)
    made = solve_triangular(adjoint_of(LU), half, upper=True, unitriangular=True)
    return matmul(permutation(order, LU), made)


def _check_pivots(op: str, LU: Tensor, pivots: Tensor) -> None:
    count, wanted = pivots.array.shape[-1:], min(LU.array.shape[-2:])
    if len(count) != 1 or (type(count[0]) is type(wanted) is int and count[0] != wanted):
        facts: Any = {"LU": type_of(LU), "pivots": type_of(pivots)}
        raise ShapeError(op, f"{wanted} pivots for each matrix are wanted", **facts)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> LU:
    """(P, L, U) from what `lu_factor` gives; what is not unpacked is empty."""
    rows, columns = LU_data.array.shape[-2:]
    inner = min(rows, columns)
    if unpack_pivots:
        _check_pivots("lu_unpack", LU_data, LU_pivots)
    none = LU_data.new_empty(0)  # type: ignore[attr-defined]
    turn, lower, upper = none, none, none
    if unpack_pivots:
        turn = permutation(bind(ORDER, (LU_pivots,), (rows,)), LU_data)
    if unpack_data:
        left = tril(narrow(LU_data, -1, 0, inner), -1)
        one = LU_data.new_ones(inner).diag()  # type: ignore[attr-defined]
        lower = add(left, pad(one, (0, 0, 0, rows - inner)))
        upper = narrow(LU_data, -2, 0, inner).triu()  # type: ignore[attr-defined]
    return LU(turn, lower, upper)


guard(globals())
