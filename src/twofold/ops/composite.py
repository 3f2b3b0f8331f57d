"""Activations: formulas that would take several operations, each one kernel both ways. Floor 4."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.bind import bind
from twofold.ops.elementwise import abs, add, mul, sub, true_divide
from twofold.ops.formula import Body, pointwise
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.op import FLOAT, Op
from twofold.ops.rules import (
    EXACT,
    admit,
    as_tensor,
    axis_of,
    axis_too,
    named,
    operands,
    unary,
    with_out,
)
from twofold.ops.samples import Samples, pairs, within
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import sigmoid, tanh

__all__ = ["celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh"]
__all__ += ["leaky_relu", "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid"]
__all__ += ["silu", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold"]

TAME = within(-2.9, 2.9)


def _activation(name: str, body: Body, doc: str, *attrs: Any, names: str = "", **fields: Any) -> Op:
    """A record whose attributes are called `names` and are `attrs` in the tests."""
    samples: Samples = fields.pop("samples", TAME)
    given = {"accepts": FLOAT, "torch": f"nn.functional.{name}"} | fields
    return pointwise(
        name,
        body,
        doc=doc,
        attrs=tuple(names.split()),
        samples=lambda random: [s._replace(args=(*s.args, *attrs)) for s in samples(random)],
        **given,
    )


def _function(op: Op, input: Any, *attrs: Any) -> Tensor:
    x = input if type(input) in EXACT else as_tensor(input, op.name)
    if x.dtype.kind not in op.accepts:
        admit(op, x)
    return bind(op, (x,), attrs)  # type: ignore[no-any-return]


RELU = _activation(
    "relu",
    lambda m, x: m.where(m.le(x, 0), 0, x),
    "The larger of input and 0.",
    accepts="uif",
    saves="out",
    slopes=(lambda m, g, y: m.where(m.le(y, 0), 0, g),),
)
relu = unary(RELU, to_float=False)


def _clipped(m: Any, x: Any, low: float, high: float) -> Any:
    return m.where(m.lt(x, low), low, m.where(m.gt(x, high), high, x))


def _between(m: Any, g: Any, x: Any, low: float, high: float) -> Any:
    """g where x is strictly between two bounds, else 0."""
    return m.where(m.le(x, low), 0, m.where(m.ge(x, high), 0, g))


HARDTANH = _activation(
    "hardtanh",
    lambda m, x, min_val, max_val: _clipped(m, x, min_val, max_val),
    "input held between min_val and max_val.",
    0.0,
    1.0,
    names="min_val max_val",
    accepts="uif",
    saves="input",
    slopes=(lambda m, g, x, min_val, max_val: _between(m, g, x, min_val, max_val),),
)


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """input held between two numbers; the gradient is 0 on them and beyond."""
    if min_val > max_val:
        raise ArgumentError("hardtanh", f"min_val {min_val} is above max_val {max_val}")
    return _function(HARDTANH, input, _number(input, min_val), _number(input, max_val))


def _number(x: Tensor, bound: float) -> float | int:
    return bound if x.dtype.kind == "f" else int(bound)


def relu6(input: Tensor) -> Tensor:
    """input held between 0 and 6."""
    return hardtanh(input, 0.0, 6.0)


HARDSIGMOID = _activation(
    "hardsigmoid",
    lambda m, x: _clipped(m, x + 3.0, 0.0, 6.0) / 6.0,
    "input / 6 + 1/2, held between 0 and 1.",
    saves="input",
    slopes=(lambda m, g, x: _between(m, g / 6.0, x, -3.0, 3.0),),
)
hardsigmoid = unary(HARDSIGMOID, to_float=False)


def _hardswish_slope(m: Any, g: Any, x: Any) -> Any:
    inside = g * (x / 3.0 + 0.5)
    return m.where(m.le(x, -3.0), 0, m.where(m.ge(x, 3.0), g, inside))


HARDSWISH = _activation(
    "hardswish",
    lambda m, x: x * _clipped(m, x + 3.0, 0.0, 6.0) / 6.0,
    "input * hardsigmoid(input).",
    saves="input",
    slopes=(_hardswish_slope,),
)
hardswish = unary(HARDSWISH, to_float=False)

LEAKY_RELU = _activation(
    "leaky_relu",
    lambda m, x, negative_slope: m.where(m.gt(x, 0.0), x, x * negative_slope),
    "input, times negative_slope where it is negative.",
    0.1,
    names="negative_slope",
)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """input, times `negative_slope` where it is negative."""
    return _function(LEAKY_RELU, input, float(negative_slope))


PRELU = pointwise(
    "prelu",
    lambda m, x, weight: m.where(m.gt(x, 0.0), x, x * weight),
    inputs="input weight",
    doc="input, times weight where it is negative.",
    samples=pairs,
    torch=lambda x, weight: x.where(x > 0, x * weight),
)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """input f[N, C, ...], times weight f[1] or f[C] where it is negative."""
    channels = input.array.shape[1] if input.array.ndim > 1 else 1
    if weight.array.ndim > 1:
        raise ShapeError(
            "prelu", "weight is no vector", hint="f[1] or f[C]", weight=type_of(weight)
        )
    if weight.array.size not in (1, channels):
        hint = f"1 or {channels} weights"
        raise ShapeError(
            "prelu", "a weight for each channel is wanted", hint=hint, input=type_of(input)
        )
    x, w = operands("prelu", input, weight)
    many = w.array.size > 1
    w = reshape(w, (-1, *(1,) * (x.array.ndim - 2)) if many else (1,) * min(x.array.ndim, 1))
    return bind(PRELU, (x, w))  # type: ignore[no-any-return]


def _elu(m: Any, x: Any, alpha: float, scale: float, input_scale: float) -> Any:
    negative = m.expm1(x * input_scale) * (alpha * scale)
    return m.where(m.gt(x, 0.0), x * scale, negative)


ELU = _activation(
    "elu",
    _elu,
    "scale * input; below 0 scale * alpha * (exp(input_scale * input) - 1).",
    1.5,
    1.2,
    0.9,
    names="alpha scale input_scale",
    torch="_C._nn.elu",
)
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """input; below 0 alpha * (exp(input) - 1) (Clevert et al. 2015)."""
    return _function(ELU, input, float(alpha), 1.0, 1.0)


def selu(input: Tensor) -> Tensor:
    """elu with the constants that keep mean and variance (Klambauer et al. 2017)."""
    return _function(ELU, input, SELU_ALPHA, SELU_SCALE, 1.0)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """input; below 0 alpha * (exp(input / alpha) - 1)."""
    if alpha == 0:
        raise ArgumentError("celu", "alpha is 0")
    return _function(ELU, input, float(alpha), 1.0, 1 / alpha)


SILU = _activation("silu", lambda m, x: x * m.sigmoid(x), "input * sigmoid(input).")


def _of_complex(
    op: Op, formula: Callable[[Tensor], Tensor], to_float: bool = True
) -> Callable[..., Tensor]:
    """The function of a record, which takes complex numbers by a formula of operations."""
    plain = unary(op, to_float=to_float)

    def function(input: Any, *, out: Tensor | None = None) -> Tensor:
        if isinstance(input, Tensor) and input.array.dtype.kind == "c":
            made = formula(input)
            return with_out(made, out, op.name)
        return plain(input, out=out)

    return named(function, op)


silu = _of_complex(SILU, lambda x: mul(x, sigmoid(x)), to_float=False)

GELU = _activation(
    "gelu",
    lambda m, x: 0.5 * x * (m.erf(x * math.sqrt(0.5)) + 1.0),
    "input times the normal distribution function (Hendrycks, Gimpel 2016).",
)


ROOT = math.sqrt(8 / math.pi)


def _gelu_tanh(m: Any, x: Any) -> Any:
    """(1 + tanh u) / 2 is sigmoid(2 u), which loses nothing where tanh is near -1."""
    return x * m.sigmoid(x * (0.044715 * ROOT * (x * x) + ROOT))


def _torch_gelu(x: Any) -> Any:
    """The same in the words of PyTorch, for the tests."""
    return 0.5 * x * ((math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh() + 1)


GELU_TANH = _activation(
    "gelu_tanh",
    _gelu_tanh,
    "gelu with its tanh approximation.",
    torch=_torch_gelu,
)


GELUS = {"none": GELU, "tanh": GELU_TANH}


def gelu(input: Tensor, approximate: str = "none", *, out: Tensor | None = None) -> Tensor:
    """input times the normal distribution function; approximate: "none" or "tanh"."""
    if approximate not in GELUS:
        raise ArgumentError("gelu", f"approximate is {approximate!r}", hint="'none' or 'tanh'")
    return with_out(_function(GELUS[approximate], input), out, "gelu")


def _softplus(m: Any, x: Any, beta: float, threshold: float) -> Any:
    scaled = x * beta
    return m.where(m.gt(scaled, threshold), x, m.log1p(m.exp(scaled)) / beta)


SOFTPLUS = _activation(
    "softplus",
    _softplus,
    "log(1 + exp(beta * input)) / beta; input itself where beta * input > threshold.",
    1.5,
    20.0,
    names="beta threshold",
)


def softplus(
    input: Tensor, beta: float = 1.0, threshold: float = 20.0, *, out: Tensor | None = None
) -> Tensor:
    """log(1 + exp(beta * input)) / beta, a smooth relu; linear where beta * input > threshold."""
    return with_out(_function(SOFTPLUS, input, float(beta), float(threshold)), out, "softplus")


MISH = _activation(
    "mish",
    lambda m, x: x * m.tanh(_softplus(m, x, 1.0, 20.0)),
    "input * tanh(softplus(input)) (Misra 2019).",
)
mish = unary(MISH, to_float=False)


def _logsigmoid(m: Any, x: Any) -> Any:
    return m.where(m.lt(x, 0.0), x - m.log1p(m.exp(x)), -m.log1p(m.exp(-x)))


LOGSIGMOID = _activation("logsigmoid", _logsigmoid, "log(sigmoid(input)), without overflow.")
logsigmoid = unary(LOGSIGMOID, to_float=False)

SOFTSIGN = _activation("softsign", lambda m, x: x / (m.abs(x) + 1.0), "input / (1 + |input|).")
TANHSHRINK = _activation("tanhshrink", lambda m, x: x - m.tanh(x), "input - tanh(input).")
softsign = _of_complex(SOFTSIGN, lambda x: true_divide(x, add(abs(x), 1)))
tanhshrink = _of_complex(TANHSHRINK, lambda x: sub(x, tanh(x)))

SOFTSHRINK = _activation(
    "softshrink",
    lambda m, x, lambd: m.where(
        m.gt(x, lambd), x - lambd, m.where(m.lt(x, -lambd), x + lambd, x * 0.0)
    ),
    "input moved towards 0 by lambd, and 0 within it.",
    0.4,
    names="lambd",
    saves="input",
    slopes=(lambda m, g, x, lambd: m.where(m.ge(x, -lambd), m.where(m.le(x, lambd), 0, g), g),),
)


def softshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """input moved towards 0 by `lambd`, and 0 within it."""
    if lambd < 0:
        raise ArgumentError("softshrink", f"lambd is {lambd}", hint="lambd >= 0")
    return with_out(_function(SOFTSHRINK, input, float(lambd)), out, "softshrink")


HARDSHRINK = _activation(
    "hardshrink",
    lambda m, x, lambd: m.where(m.ge(x, -lambd), m.where(m.le(x, lambd), 0, x), x),
    "input, 0 within lambd of 0.",
    0.4,
    names="lambd",
)


def hardshrink(input: Tensor, lambd: float = 0.5, *, out: Tensor | None = None) -> Tensor:
    """input, 0 within `lambd` of 0."""
    return with_out(_function(HARDSHRINK, input, float(lambd)), out, "hardshrink")


THRESHOLD = _activation(
    "threshold",
    lambda m, x, threshold, value: m.where(m.le(x, threshold), value, x),
    "input where it is above threshold, value elsewhere.",
    1,
    2,
    names="threshold value",
    accepts="uif",
)


def threshold(input: Tensor, threshold: float, value: float) -> Tensor:
    """input where it is above `threshold`, `value` elsewhere."""
    return _function(THRESHOLD, input, threshold, value)


@axis_too
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along `dim` times the sigmoid of the second (Dauphin et al. 2016)."""
    axis = axis_of("glu", dim, input)
    size = input.array.shape[axis] if input.array.ndim else 0
    if size % 2 or not input.array.ndim:
        raise ShapeError(
            "glu", f"axis {axis} has {size} elements, not an even number", input=type_of(input)
        )
    first, second = input.chunk(2, axis)  # type: ignore[attr-defined]
    return mul(first, sigmoid(second))


guard(globals())
