"""Orthogonal matrices as products of Householder's reflections, as LAPACK keeps them. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base.errors import GradientError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import asks_for_history, bind, current, mode
from twofold.ops.creation import eye
from twofold.ops.elementwise import add, mul, sub
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand
from twofold.ops.op import INEXACT, Sample, define
from twofold.ops.rules import also_named, operands
from twofold.ops.solve import matrices
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.triangles import tril
from twofold.ops.views import adjoint, narrow, unsqueeze
from twofold.ops.with_out import out_too

__all__ = ["geqrf", "householder_product", "orgqr"]


class Reflections(NamedTuple):
    """R on and above the diagonal, the reflections' vectors below it (their ones left out); and
    their factors.
    """

    a: Tensor
    tau: Tensor


_Reflections = returned(Reflections, "geqrf")


def _geqrf(x: Any) -> Any:
    rows, columns = x.shape[-2:]
    inner, flat = min(rows, columns), x.reshape(math.prod(x.shape[:-2]), rows, columns)
    packed, taus = np.empty_like(flat), np.empty((len(flat), inner), x.dtype)
    for place, matrix in enumerate(flat):
        if matrix.size:
            turned, taus[place] = np.linalg.qr(matrix, mode="raw")
            packed[place] = turned.T
    return packed.reshape(x.shape), taus.reshape(*x.shape[:-2], inner)


GEQRF = define(
    "geqrf",
    doc="R and the reflections that make Q, in one matrix and a vector.",
    accepts=INEXACT,
    infer=lambda x: (x, Type((*x.shape[:-2], min(x.shape[-2:])), x.dtype)),
    ref=_geqrf,
    outputs=2,
    samples=lambda r: [Sample((r.normal(size=s),)) for s in ((3, 3), (2, 4, 2), (2, 3), (0, 2))],
    torch=False,
)


@out_too
def geqrf(input: Tensor) -> Reflections:
    """LAPACK's QR: (R and reflections packed f[..., m, n], factors f[..., min(m, n)]).

    Raises GradientError where the input's history is recorded: `linalg.qr` has a gradient.
    """
    x = matrices("geqrf", input)
    if mode.grad and current(x).tracked:
        raise GradientError("geqrf", "there is no gradient", hint="linalg.qr", input=type_of(x))
    asks_for_history()
    return _Reflections(*bind(GEQRF, (x,)))


@also_named(input="A", input2="tau")
def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of H1 H2 ... Hk, where Hi = 1 - tau[i] v v^H and v is column i of
    A f[..., m, n] below its diagonal, with a one on it; m >= n >= k.
    """
    a, factors = operands("householder_product", A, tau)
    a = matrices("householder_product", a)
    rows, columns = a.array.shape[-2:]
    facts: Any = {"A": type_of(a), "tau": type_of(factors)}
    lead = a.array.shape[:-2]
    if not factors.array.ndim or factors.array.shape[:-1] != lead:
        raise ShapeError("householder_product", f"tau of shape {[*lead, 'k']} is wanted", **facts)
    count = factors.array.shape[-1]
    if not rows >= columns >= count:
        problem = f"{rows} rows, {columns} columns, {count} reflections"
        raise ShapeError("householder_product", problem, hint="rows >= columns >= tau's", **facts)
    vectors = add(tril(a, -1), eye(rows, columns, dtype=a.dtype))
    made = expand(eye(rows, columns, dtype=a.dtype), a.array.shape)
    for place in reversed(range(count)):
        v = narrow(vectors, -1, place, 1)
        scale = unsqueeze(narrow(factors, -1, place, 1), -1)
        made = sub(made, matmul(mul(v, scale), matmul(adjoint(v), made)))
    return made


orgqr = householder_product


guard(globals())
