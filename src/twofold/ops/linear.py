"""x @ w.T + b, the layer that everybody uses, as one kernel. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.elementwise import add, mul
from twofold.ops.guarding import guard
from twofold.ops.linalg import MATMUL, matmul
from twofold.ops.movement import reshape, transpose
from twofold.ops.op import FLOAT, Sample, define, wanted
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import admit, operands, with_out
from twofold.ops.tensor import Tensor, type_of


def _type(x: Type, w: Type, *bias: Type) -> Type:
    if not x.shape or x.shape[-1] != w.shape[1]:
        raise ShapeError(
            "linear",
            "inner sizes differ",
            hint=f"an input whose last size is {w.shape[1]}",
            input=f"{x}   ({x.shape[-1] if x.shape else 'no axes'} on the last axis)",
            weight=f"{w}   ({w.shape[1]} on axis 1)",
        )
    return Type((*x.shape[:-1], w.shape[0]), x.dtype)


def _ref(x: Any, w: Any, *bias: Any) -> Any:
    y = np.matmul(x, w.T)
    return y + bias[0] if bias else y


def _vjp(g: Tensor, out: Any, x: Any, w: Any, *bias: Any) -> Any:
    count = math.prod(g.array.shape[:-1])
    rows = reshape(g, (count, g.array.shape[-1])) if g.array.ndim != 2 else g
    gx = gw = gb = None
    if wanted(x):
        gx = bind(MATMUL, (rows, w))
        gx = gx if x.ndim == 2 else reshape(gx, x.shape)
    if wanted(w):
        flat = x if x.array.ndim == 2 else reshape(x, (count, x.array.shape[-1]))
        gw = bind(MATMUL, (transpose(rows, 0, 1), flat))
    if bias and wanted(bias[0]):
        gb = sum_(rows, 0)
    return (gx, gw, gb)[: 2 + len(bias)]


def _samples(random: Any) -> list[Sample]:
    shapes = [
        ((4, 3), (5, 3)),
        ((2, 4, 3), (5, 3)),
        ((3,), (2, 3)),
        ((0, 3), (2, 3)),
        ((33, 17), (9, 17)),
    ]
    made = [Sample((random.normal(size=x), random.normal(size=w))) for x, w in shapes]
    return [
        *made,
        Sample((random.normal(size=(4, 3)), random.normal(size=(5, 3)), random.normal(size=5))),
    ]


LINEAR = define(
    "linear",
    inputs="x w *bias",
    doc="x @ w.T + bias.",
    accepts=FLOAT,
    infer=_type,
    ref=_ref,
    vjp=_vjp,
    saves="x:w w:x",
    lower="linear",
    samples=_samples,
    torch=False,
)


def linear(
    input: Any, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """input f[..., n] times weight f[m, n], plus bias f[m] -> f[..., m]. Raises ShapeError."""
    if out is not None:
        return with_out(linear(input, weight, bias), out, "linear")
    x, w, *rest = operands("linear", input, weight, *(() if bias is None else (bias,)))
    if w.array.ndim == 1:
        y = sum_(mul(x, w), -1)
        return y if bias is None else add(y, rest[0])
    if rest and rest[0].array.shape != w.array.shape[:1]:
        raise ShapeError(
            "linear",
            f"bias must have {w.array.shape[0]} elements",
            hint=f"a bias of shape [{w.array.shape[0]}]",
            weight=type_of(w),
            bias=type_of(rest[0]),
        )
    if x.dtype.kind in "uic":
        whole = matmul(x, w.mT)  # type: ignore[attr-defined]
        return add(whole, rest[0]) if rest else whole
    admit(LINEAR, x)
    made: Tensor = bind(LINEAR, (x, w, *rest))
    return made


guard(globals())
