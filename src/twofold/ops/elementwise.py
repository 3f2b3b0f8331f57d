"""Elementwise arithmetic: one record each. Floor 4.

Operands are promoted and broadcast by `rules`; the recipes work on scalars and vectors alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import DTypeError
from twofold.ops import scalars
from twofold.ops.bind import bind
from twofold.ops.formula import PAIRS, Kernel, pointwise, primitive, vector
from twofold.ops.guarding import guard
from twofold.ops.op import ANY, INEXACT, NUMBER, OPS, REAL, Failure, Sample, define, same, wanted
from twofold.ops.rules import (
    admit,
    as_tensor,
    binary,
    constant,
    deliver,
    elementwise_type,
    install_cast,
    named,
    operands,
    unary,
)
from twofold.ops.samples import hard_singles, pairs, singles, values, within
from twofold.ops.tensor import Tensor, type_of

__all__ = ["abs", "absolute", "add", "addcdiv", "addcmul", "conj", "conj_physical", "lerp"]
__all__ += ["mul", "multiply", "neg", "negative", "positive", "reciprocal", "rsqrt", "rsub"]
__all__ += ["sgn", "sign", "sqrt", "square", "sub", "subtract", "true_divide"]


def _cast_vjp(g: Tensor, out: Any, x: Any, *, dtype: DType) -> Any:
    return (cast(g, x.dtype),)


CAST = define(
    "cast",
    attrs=("dtype",),
    doc="x in another element type.",
    infer=lambda x, *, dtype: x.with_dtype(dtype),
    ref=lambda x, *, dtype: dtypes.convert(x, dtype),
    vjp=_cast_vjp,
    lower="cast",
    samples=lambda random: [
        Sample((10 * values(random, (3, 4)), dtype), smooth=dtype is dtypes.float64)
        for dtype in (dtypes.float64, dtypes.float32, dtypes.float16, dtypes.int64)
    ],
    torch=lambda x, dtype: (x.real if x.is_complex() else x).to(dtype),
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
    lower_complex=lambda f, x: -x,
    samples=singles,
)
neg: Callable[..., Tensor] = unary(NEG, to_float=False)

ADD = define(
    "add",
    inputs="input other",
    doc="input + alpha * other, with broadcasting.",
    infer=elementwise_type("add"),
    ref=np.add,
    vjp=lambda g, out, x, y: (g, g),
    lower=scalars.add,
    lower_complex=lambda f, x, y: x + y,
    samples=pairs,
)


ADD_SCALED = pointwise(
    "add_scaled",
    lambda m, x, y, alpha: x + alpha * y,
    inputs="input other alpha",
    doc="input + alpha * other, rounded twice.",
    samples=lambda random: [Sample((*s.args, np.array(-0.25)), grad=(0, 1)) for s in pairs(random)],
    torch=lambda x, y, alpha: x + alpha * y,
)


def add(
    input: Any, other: Any, _last: Any = None, *, alpha: Any = 1, out: Tensor | None = None
) -> Tensor:
    """input + alpha * other, with broadcasting and promotion; also as add(input, alpha, other).

    >>> add(tensor([1.0, 2.0]), 1)
    tensor([2., 3.])
    """
    if _last is not None:
        alpha, other = other, _last
    x, y = operands("add", input, other)
    made = bind(ADD, (x, y)) if _is_one(alpha) else _add_scaled("add", x, y, alpha)
    return made if out is None else deliver(made, out, "add")


def _is_one(alpha: Any) -> bool:
    return type(alpha) is int and alpha == 1


def _add_scaled(op: str, x: Tensor, y: Tensor, alpha: Any) -> Tensor:
    dtype = x.dtype
    _check_alpha(op, dtype, alpha)
    if dtype.is_floating_point:
        factor = alpha if isinstance(alpha, Tensor) else constant(alpha, dtype)
        return bind(ADD_SCALED, (x, y, cast(factor, dtype)))  # type: ignore[no-any-return]
    return bind(ADD, (x, mul(y, alpha)))  # type: ignore[no-any-return]


def _check_alpha(op: str, dtype: DType, alpha: Any) -> None:
    kind = alpha.dtype if isinstance(alpha, Tensor) else dtypes.scalar_dtype(alpha)
    if dtypes.CATEGORY[kind.kind] > dtypes.CATEGORY[dtype.kind]:
        raise DTypeError(op, f"alpha is a {kind.name} number, the operands are {dtype.name}")


def _no_bool(op: str, input: Any, other: Any) -> tuple[Tensor, ...]:
    """Operands of a subtraction: PyTorch refuses bools there, since two masks are rarely meant."""
    x, y = operands(op, input, other)
    if any(
        isinstance(v, bool) or getattr(v, "dtype", None) is dtypes.bool_ for v in (input, other)
    ):
        hint = "a ^ b or logical_xor(a, b) for two masks, ~a for 1 - a"
        raise DTypeError(op, "bool is not taken", input=type_of(x), other=type_of(y), hint=hint)
    return x, y


SUB = define(
    "sub",
    inputs="input other",
    doc="input - alpha * other, with broadcasting.",
    accepts=NUMBER,
    infer=elementwise_type("sub"),
    ref=np.subtract,
    vjp=lambda g, out, x, y: (g, neg(g)),
    lower=lambda f, x, y: x - y,
    lower_complex=lambda f, x, y: x - y,
    samples=pairs,
    errors=lambda random: [
        Failure((np.ones(2), np.ones(3)), {}, ValueError, "sizes 2 and 3 do not broadcast"),
        Failure((np.ones(2, bool), 1), {}, TypeError, "bool is not taken"),
        Failure((np.ones(2), "a"), {}, TypeError, "other is a str"),
    ],
)


def sub(
    input: Any, other: Any, _last: Any = None, *, alpha: Any = 1, out: Tensor | None = None
) -> Tensor:
    """input - alpha * other, with broadcasting and promotion; also as sub(input, alpha, other).

    Raises DTypeError for bool.
    """
    if _last is not None:
        alpha, other = other, _last
    x, y = _no_bool("sub", input, other)
    if _is_one(alpha):
        made = bind(SUB, (x, y))
    elif x.dtype.kind == "u":  # whose numbers have no negative
        _check_alpha("sub", x.dtype, alpha)
        made = bind(SUB, (x, mul(y, alpha)))
    else:
        made = _add_scaled("sub", x, y, -alpha)
    return made if out is None else deliver(made, out, "sub")


MUL = define(
    "mul",
    inputs="input other",
    doc="input * other, with broadcasting and promotion.",
    infer=elementwise_type("mul"),
    ref=np.multiply,
    vjp=lambda g, out, x, y: _mul_vjp(g, x, y),
    saves="input:other other:input",
    lower=scalars.mul,
    lower_complex=lambda f, x, y: x * y,
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
    saves="input:other other",
    lower=lambda f, x, y: x / y,
    lower_complex=lambda f, x, y: x / y,
    samples=pairs,
)


def _mul_vjp(g: Tensor, x: Any, y: Any) -> Any:
    turned = conj if g.array.dtype.kind == "c" else _itself
    return mul(g, turned(y)) if wanted(x) else None, mul(g, turned(x)) if wanted(y) else None


def _itself(x: Tensor) -> Tensor:
    return x


def _div_vjp(g: Tensor, x: Any, y: Tensor) -> Any:
    gx = bind(DIV, (g, conj(y)))
    return gx, neg(mul(gx, conj(bind(DIV, (x, y))))) if wanted(y) else None


true_divide = binary(DIV, to_float=True)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    return sub(other, input, alpha=alpha)


def conj(input: Any) -> Tensor:
    """The complex conjugate; a real tensor is its own."""
    x = as_tensor(input, "conj")
    return bind(CONJ, (x,)) if x.array.dtype.kind == "c" else x


conj_physical = conj


CONJ = define(
    "conj",
    doc="The complex conjugate.",
    accepts=ANY,
    infer=same,
    ref=lambda x: np.conjugate(x) if x.dtype.kind != "b" else x,
    lower=lambda f, x: x,
    lower_complex=vector("conj", PAIRS),
    vjp=lambda g, out, x: (conj(g),),
    samples=singles,
)
ZEROS_LIKE = primitive(
    "zeros_like",
    accepts=ANY,
    ref=np.zeros_like,
    lower=lambda f, x: f.const(x.type, 0),
    lower_complex=vector("zeros_like", PAIRS),
    slopes=(lambda m, g: m.zeros_like(g),),
    doc="Zeros of the same shape and type.",
    samples=singles,
)


def _sign(m: Any, x: Any) -> Any:
    zero = m.zeros_like(x)
    return m.where(m.gt(x, 0), zero + 1, m.where(m.lt(x, 0), zero - 1, zero))


SIGN = pointwise(
    "sign",
    _sign,
    accepts=REAL,
    saves="",
    slopes=(lambda m, g: m.zeros_like(g),),
    doc="-1, 0 or 1; 0 for NaN.",
    samples=hard_singles,
)
sign = unary(SIGN, to_float=False)


def _abs_vjp(g: Tensor, out: Any, x: Tensor) -> Any:
    return (mul(g, sgn(x)),)


ABS = primitive(
    "abs",
    accepts=NUMBER,
    infer=lambda x: x.with_dtype(x.dtype.to_real()),
    ref=np.abs,
    lower=lambda f, x: f.abs(x),
    lower_complex=vector("magnitude", PAIRS),
    saves="input",
    slopes=(lambda m, g, x: g * m.sign(x),),
    vjp=_abs_vjp,
    doc="The absolute value; of a complex number its distance from 0.",
    samples=singles,
)
abs = absolute = unary(ABS, to_float=False)


def _sgn_vjp(g: Tensor, out: Tensor, x: Tensor) -> Any:
    if x.array.dtype.kind != "c":
        return (bind(ZEROS_LIKE, (g,)),)
    # where x is 0 there is no direction to turn: the gradient is 0, as PyTorch's is
    zero = bind(OPS["eq"], (out, constant(0, out.dtype)))
    size, way = abs(x), bind(OPS["where"], (zero, constant(1, out.dtype), out))
    along = mul(cast(real_part(true_divide(g, way)), g.dtype), way)
    made = true_divide(sub(g, along), bind(OPS["where"], (zero, constant(1, size.dtype), size)))
    return (bind(OPS["where"], (zero, constant(0, g.dtype), made)),)


SGN = define(
    "sgn",
    accepts=ANY,
    infer=same,
    ref=lambda x: np.sign(x) if x.dtype.kind == "c" else SIGN.ref(x),
    vjp=_sgn_vjp,
    saves="out x",
    lower=lambda f, x: _sign(Kernel(f), x),
    lower_complex=vector("direction", PAIRS),
    doc="The sign; of a complex number the number of size 1 in its direction.",
    samples=singles,
)
sgn = unary(SGN, to_float=False)


REAL_PART = define(
    "real_part",
    accepts=INEXACT,
    infer=lambda x: x.with_dtype(x.dtype.to_real()),
    ref=lambda x: np.array(x.real),
    lower=lambda f, x: x,
    lower_complex=vector("real_part", PAIRS),
    vjp=lambda g, out, x: (cast(g, x.dtype),),
    doc="A copy of the real parts.",
    samples=singles,
    torch="real",
)


def real_part(x: Tensor) -> Tensor:
    return bind(REAL_PART, (x,))  # type: ignore[no-any-return]


def positive(input: Tensor) -> Tensor:
    """The tensor itself. Raises DTypeError for bool."""
    if input.dtype is dtypes.bool_:
        raise DTypeError("positive", "bool is not taken", hint="x.int()", input=type_of(input))
    return input


SQUARE = primitive(
    "square",
    accepts=NUMBER,
    ref=np.square,
    lower=lambda f, x: x * x,
    lower_complex=lambda f, x: x * x,
    saves="input",
    slopes=(lambda m, g, x: g * (x + x),),
    doc="input * input.",
    samples=singles,
)


def square(input: Any, *, out: Tensor | None = None) -> Tensor:
    """input * input; bools become int64."""
    x = as_tensor(input, "square")
    if x.dtype is dtypes.bool_:
        x = cast(x, dtypes.int64)
    made = bind(SQUARE, (x,))
    return made if out is None else deliver(made, out, "square")


RECIPROCAL = primitive(
    "reciprocal",
    accepts=INEXACT,
    ref=lambda x: np.asarray(1 / x, x.dtype),
    lower=lambda f, x: 1.0 / x,
    lower_complex=lambda f, x: 1.0 / x,
    saves="out",
    slopes=(lambda m, g, out: -g * (out * out),),
    doc="1 / input.",
    samples=singles,
)
reciprocal = unary(RECIPROCAL)
SQRT = primitive(
    "sqrt",
    accepts=INEXACT,
    ref=np.sqrt,
    lower=lambda f, x: f.sqrt(x),
    lower_complex=vector("sqrt", PAIRS),
    saves="out",
    slopes=(lambda m, g, out: g / (out + out),),
    doc="The square root; NaN below 0.",
    samples=within(0.3, 3),
)
sqrt = unary(SQRT)
RSQRT = primitive(
    "rsqrt",
    accepts=INEXACT,
    ref=lambda x: np.asarray(1 / np.sqrt(x), x.dtype),
    lower=lambda f, x: 1.0 / f.sqrt(x),
    saves="out",
    slopes=(lambda m, g, out: -0.5 * g * (out * out * out),),
    doc="1 / sqrt(input).",
    samples=within(0.3, 3),
)
rsqrt = unary(RSQRT)


def _lerp(m: Any, start: Any, end: Any, weight: Any) -> Any:
    # from the nearer end, so that both ends are met exactly
    step = end - start
    return m.where(m.lt(weight, 0.5), start + weight * step, end - step * (1.0 - weight))


LERP = pointwise(
    "lerp",
    _lerp,
    inputs="input end weight",
    doc="input + weight * (end - input).",
    samples=lambda random: [
        Sample((*s.args, np.array(w)), smooth=w != 0.5)
        for s, w in zip(pairs(random), (0.25, 0.75, 0.5, 0.1, 2.0), strict=True)
    ],
)


def _complex_lerp(start: Tensor, end: Tensor, weight: Tensor) -> Tensor:
    step = sub(end, start)
    near = add(start, mul(weight, step))
    far = sub(end, mul(step, sub(1, weight)))
    small = bind(OPS["lt"], operands("lerp", abs(weight), 0.5))
    return bind(OPS["where"], (small, near, far))  # type: ignore[no-any-return]


def lerp(input: Tensor, end: Tensor, weight: Any, *, out: Tensor | None = None) -> Tensor:
    """input + weight * (end - input); the weight is a number or a tensor, and broadcasts."""
    given = (input, end, weight) if isinstance(weight, Tensor) else (input, end)
    for name, x in zip(("input", "end", "weight"), given, strict=False):
        if x.dtype is not input.dtype:
            raise DTypeError("lerp", f"{name} is {x.dtype.name}, input {input.dtype.name}")
    factor = weight if isinstance(weight, Tensor) else constant(weight, input.dtype)
    if input.dtype.is_complex:
        made = _complex_lerp(input, end, factor)
    else:
        admit(LERP, input)
        made = bind(LERP, (input, end, factor))
    return made if out is None else deliver(made, out, "lerp")


def _four(random: Any) -> list[Sample]:
    return [
        Sample((*s.args, values(random, s.args[1].shape), np.array(0.3)), grad=(0, 1, 2))
        for s in pairs(random)
    ]


ADDCMUL = pointwise(
    "addcmul",
    lambda m, x, a, b, value: x + value * a * b,
    accepts=NUMBER,
    inputs="input tensor1 tensor2 value",
    doc="input + value * tensor1 * tensor2.",
    samples=_four,
    torch=lambda x, a, b, value: x + value * a * b,
)
ADDCDIV = pointwise(
    "addcdiv",
    lambda m, x, a, b, value: x + value * (a / b),
    accepts=INEXACT,
    inputs="input tensor1 tensor2 value",
    doc="input + value * (tensor1 / tensor2).",
    samples=_four,
    torch=lambda x, a, b, value: x + value * (a / b),
)


def _scaled_third(op: Any) -> Any:
    def function(
        input: Tensor,
        tensor1: Any,
        tensor2: Any,
        _last: Any = None,
        *,
        value: Any = 1,
        out: Tensor | None = None,
    ) -> Tensor:
        if _last is not None:  # the older order: value before the tensors
            value, tensor1, tensor2 = tensor1, tensor2, _last
        xs = operands(op.name, input, tensor1, tensor2)
        admit(op, xs[0])
        _check_alpha(op.name, xs[0].dtype, value)
        factor = value if isinstance(value, Tensor) else constant(value, xs[0].dtype)
        made = bind(op, (*xs, cast(factor, xs[0].dtype)))
        return made if out is None else deliver(made, out, op.name)

    return named(function, op)


addcmul = _scaled_third(ADDCMUL)
addcdiv = _scaled_third(ADDCDIV)
subtract, multiply, negative = sub, mul, neg


guard(globals())
