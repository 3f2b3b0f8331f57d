"""Elementwise arithmetic: one record each. Floor 4.

Operands are promoted and broadcast by `rules`; the recipes work on scalars and vectors alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.ops.bind import bind
from twofold.ops.op import ANY, INEXACT, NUMBER, Sample, define, same
from twofold.ops.rules import admit, binary, deliver, elementwise_type, install_cast, operands, unary
from twofold.ops.tensor import Tensor


def pairs(random: Any) -> list[Sample]:
    """Operands of equal and of broadcast shapes, one of no axes, one of no elements."""
    shapes = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2,)), ((2, 0), (1,)), ((2, 3, 4), (3, 1))]
    return [Sample((_values(random, a), _values(random, b))) for a, b in shapes]


def singles(random: Any) -> list[Sample]:
    return [Sample((_values(random, shape),)) for shape in ((3, 4), (), (0, 2), (2, 1, 5), (33,))]


def _values(random: Any, shape: tuple[int, ...]) -> Any:
    # away from 0, where division and its gradient would be too steep for finite differences
    return random.uniform(0.5, 2.0, shape) * random.choice([-1.0, 1.0], shape)


def _cast_vjp(g: Tensor, out: Any, x: Any, *, dtype: DType) -> Any:
    return (cast(g, x.dtype),)


CAST = define(
    "cast",
    attrs=("dtype",),
    doc="x in another element type.",
    infer=lambda x, *, dtype: x.with_dtype(dtype),
    ref=lambda x, *, dtype: dtypes.convert(x, dtype),
    vjp=_cast_vjp,
    torch=lambda x, dtype: x.to(dtype),
)


def cast(x: Tensor, dtype: DType) -> Tensor:
    """x itself where it has the type already, else a new tensor."""
    return x if x.array.dtype == dtype.numpy else bind(CAST, (x,), (dtype,))


install_cast(cast)

NEG = define(
    "neg",
    doc="-input.",
    accepts=NUMBER,
    infer=same,
    ref=np.negative,
    vjp=lambda g, out, x: (neg(g),),
    lower=lambda f, x: -x,
    samples=singles,
)
neg = unary(NEG, to_float=False)

ADD = define(
    "add",
    inputs="input other",
    doc="input + alpha * other, with broadcasting.",
    infer=elementwise_type("add"),
    ref=np.add,
    vjp=lambda g, out, x, y: (g, g),
    lower=lambda f, x, y: x + y,
    samples=pairs,
)


def add(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input + alpha * other, with broadcasting and promotion.

    >>> add(tensor([1.0, 2.0]), 1)
    tensor([2., 3.])
    """
    x, y = operands("add", input, other)
    if alpha != 1:
        y = mul(y, alpha)
    made = bind(ADD, (x, y))
    return made if out is None else deliver(made, out, "add")


SUB = define(
    "sub",
    inputs="input other",
    doc="input - alpha * other, with broadcasting.",
    accepts=NUMBER,
    infer=elementwise_type("sub"),
    ref=np.subtract,
    vjp=lambda g, out, x, y: (g, neg(g)),
    lower=lambda f, x, y: x - y,
    samples=pairs,
)


def sub(input: Any, other: Any, *, alpha: Any = 1, out: Tensor | None = None) -> Tensor:
    """input - alpha * other, with broadcasting and promotion. Raises DTypeError for bool."""
    x, y = operands("sub", input, other)
    admit(SUB, x)
    if alpha != 1:
        y = mul(y, alpha)
    made = bind(SUB, (x, y))
    return made if out is None else deliver(made, out, "sub")


MUL = define(
    "mul",
    inputs="input other",
    doc="input * other, with broadcasting and promotion.",
    infer=elementwise_type("mul"),
    ref=np.multiply,
    vjp=lambda g, out, x, y: (mul(g, conj(y)), mul(g, conj(x))),
    saves="input other",
    lower=lambda f, x, y: x * y,
    samples=pairs,
)
mul = binary(MUL)

DIV = define(
    "div",
    inputs="input other",
    doc="input / other: true division, integers become floating.",
    accepts=INEXACT,
    infer=elementwise_type("div"),
    ref=np.divide,
    vjp=lambda g, out, x, y: _div_vjp(g, x, y),
    saves="input other",
    lower=lambda f, x, y: x / y,
    samples=pairs,
)


def _div_vjp(g: Tensor, x: Tensor, y: Tensor) -> Any:
    gx = bind(DIV, (g, conj(y)))
    return gx, neg(mul(gx, conj(bind(DIV, (x, y))))) if y.tracked else None


true_divide = binary(DIV, to_float=True)


def conj(x: Tensor) -> Tensor:
    """The complex conjugate; a real tensor is its own."""
    return bind(CONJ, (x,)) if x.array.dtype.kind == "c" else x


CONJ = define(
    "conj",
    doc="The complex conjugate.",
    accepts=ANY,
    infer=same,
    ref=np.conjugate,
    vjp=lambda g, out, x: (conj(g),),
    samples=singles,
)


