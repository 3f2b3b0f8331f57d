"""Decompositions that tell which matrices failed instead of raising. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base.errors import LinAlgError
from twofold.base.records import NamedTuple
from twofold.ops.decompose import cholesky
from twofold.ops.elementwise import mul
from twofold.ops.guarding import guard
from twofold.ops.joining import stack
from twofold.ops.movement import expand, reshape
from twofold.ops.rules import broadcast
from twofold.ops.solve import inv, is_vector, matrices, solve
from twofold.ops.tensor import Tensor, returned, type_of, wrap
from twofold.ops.views import squeeze, unsqueeze

__all__ = ["cholesky_ex", "inv_ex", "solve_ex"]


class Factored(NamedTuple):
    """L, and for each matrix 0, or 1 where it failed."""

    L: Tensor
    info: Tensor


_Factored = returned(Factored, "linalg_cholesky_ex")


class Inverted(NamedTuple):
    inverse: Tensor
    info: Tensor


_Inverted = returned(Inverted, "linalg_inv_ex")


class Solved(NamedTuple):
    result: Tensor
    info: Tensor


_Solved = returned(Solved, "linalg_solve_ex")


def _each(function: Callable[..., Tensor], check: bool, A: Tensor, *others: Tensor) -> Any:
    """(results, info): NaN where a matrix failed. Raises LinAlgError instead where `check` says."""
    lead = A.array.shape[:-2]
    try:
        return function(A, *others), wrap(np.zeros(lead, np.int32))
    except LinAlgError:
        if check:
            raise
    flat = [reshape(x, (-1, *x.array.shape[len(lead) :])) for x in (A, *others)]
    made, info = [], []
    for parts in zip(*flat, strict=True):
        try:
            made.append(function(*parts))
            info.append(0)
        except LinAlgError:
            made.append(mul(parts[-1], np.nan))
            info.append(1)
    whole = stack(made, 0)
    shaped = reshape(whole, (*lead, *whole.array.shape[1:]))
    return shaped, wrap(np.array(info, np.int32).reshape(lead))


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> Factored:
    """`linalg.cholesky`, and 1 for each matrix that is not positive definite."""
    x = matrices("cholesky_ex", A, square=True)
    return _Factored(*_each(lambda a: cholesky(a, upper=upper), check_errors, x))


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Inverted:
    """`linalg.inv`, and 1 for each matrix that has no inverse."""
    return _Inverted(*_each(inv, check_errors, matrices("inv_ex", A, square=True)))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Solved:
    """`linalg.solve`, and 1 for each A that has no inverse."""
    if A.array.ndim > 1 and is_vector(A, B):
        made = solve_ex(A, unsqueeze(B, -1), left=True, check_errors=check_errors)
        return _Solved(squeeze(made.result, -1), made.info)
    a, b = matrices("solve_ex", A, square=True), matrices("solve_ex", B)
    sides = {"A": type_of(a), "B": type_of(b)}
    lead = broadcast("solve_ex", **{k: t._replace(shape=t.shape[:-2]) for k, t in sides.items()})
    a, b = (expand(x, (*lead, *x.array.shape[-2:])) for x in (a, b))
    return _Solved(*_each(lambda p, q: solve(p, q, left=left), check_errors, a, b))


guard(globals())
