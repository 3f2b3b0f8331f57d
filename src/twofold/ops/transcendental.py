"""Exponentials, logarithms, angles, powers and their kin. Floor 4.

Each has one kernel recipe (codegen/vmath), at most 2 ulp off in float32; NumPy's function is the
reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError
from twofold.base.symbols import is_symbol
from twofold.ops import scalars, special
from twofold.ops.bind import bind
from twofold.ops.compare import clamp
from twofold.ops.elementwise import RECIPROCAL, RSQRT, SQRT, SQUARE, add, mul, sub
from twofold.ops.formula import PAIRS, WHOLE, Body, pointwise, primitive, vector
from twofold.ops.guarding import guard
from twofold.ops.op import FLOAT, INEXACT, NUMBER, OPS, Op, Sample
from twofold.ops.rules import (
    admit,
    as_tensor,
    binary,
    deliver,
    operands,
    result_dtype,
    unary,
)
from twofold.ops.samples import Samples, hard_singles, pairs, pairs_within, singles, within
from twofold.ops.tensor import Tensor, type_of

__all__ = ["acos", "acosh", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2"]
__all__ += ["arctanh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "deg2rad"]
__all__ += ["digamma", "erf", "erfc", "erfinv", "exp", "exp2", "expit", "expm1", "float_power"]
__all__ += ["hypot", "lgamma", "log", "log1p", "log2", "log10", "logaddexp", "logaddexp2", "logit"]
__all__ += ["polygamma", "pow", "rad2deg", "sigmoid", "sin", "sinc", "sinh", "tan", "tanh"]
__all__ += ["xlog1py", "xlogy"]


def _function(
    name: str,
    ref: Callable[..., Any],
    saves: str,
    slope: Body,
    samples: Samples = hard_singles,
    doc: str = "",
    accepts: str = INEXACT,
    lower_complex: Any = None,
) -> Callable[..., Tensor]:
    return unary(
        primitive(
            name,
            ref=ref,
            lower=vector(name),
            lower_complex=lower_complex,
            saves=saves,
            slopes=(slope,),
            samples=samples,
            accepts=accepts,
            doc=doc or f"The {name} of each element.",
        )
    )


def _pairs(name: str) -> Body:
    return vector(name, PAIRS)


LN2, LN10 = math.log(2), math.log(10)


def _sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), from the side on which exp does not overflow."""
    if x.dtype.kind == "c":
        return 1 / (1 + np.exp(-x))
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    small = np.exp(-np.abs(wide))
    return (np.where(wide < 0, small, np.asarray(1, wide.dtype)) / (1 + small)).astype(x.dtype)


UNIT = within(-0.9, 0.9)
ABOVE_0 = within(0.3, 3)
exp = _function("exp", np.exp, "out", lambda m, g, y: g * y, lower_complex=_pairs("exp"))
exp2 = _function("exp2", np.exp2, "out", lambda m, g, y: g * y * LN2, doc="2 ** input.")
expm1 = _function("expm1", np.expm1, "out", lambda m, g, y: g * (y + 1.0), doc="exp(input) - 1.")
log = _function("log", np.log, "input", lambda m, g, x: g / x, ABOVE_0, lower_complex=_pairs("log"))
log2 = _function("log2", np.log2, "input", lambda m, g, x: g / (x * LN2), ABOVE_0)
log10 = _function("log10", np.log10, "input", lambda m, g, x: g / (x * LN10), ABOVE_0)
log1p = _function("log1p", np.log1p, "input", lambda m, g, x: g / (x + 1.0), within(-0.7, 3))
sin = _function("sin", np.sin, "input", lambda m, g, x: g * m.cos(x), lower_complex=_pairs("sin"))
cos = _function("cos", np.cos, "input", lambda m, g, x: -g * m.sin(x), lower_complex=_pairs("cos"))
tan = _function("tan", np.tan, "out", lambda m, g, y: g * (y * y + 1.0), within(-1.2, 1.2))
# Adding 1 to a complex number loses the sign of an imaginary zero, which tells the side of a branch
# cut; taking -1 away does not.
asin = _function("asin", np.arcsin, "input", lambda m, g, x: g * m.rsqrt(-x * x - -1.0), UNIT)
acos = _function("acos", np.arccos, "input", lambda m, g, x: -g * m.rsqrt(-x * x - -1.0), UNIT)
atan = _function("atan", np.arctan, "input", lambda m, g, x: g / (x * x + 1.0))
sinh = _function("sinh", np.sinh, "input", lambda m, g, x: g * m.cosh(x))
cosh = _function("cosh", np.cosh, "input", lambda m, g, x: g * m.sinh(x))
tanh = _function(
    "tanh", np.tanh, "out", lambda m, g, y: g * (1.0 - y * y), lower_complex=_pairs("tanh")
)
asinh = _function("asinh", np.arcsinh, "input", lambda m, g, x: g * m.rsqrt(x * x - -1.0))
acosh = _function(
    "acosh",
    np.arccosh,
    "input",
    lambda m, g, x: g * (m.rsqrt(x - 1.0) * m.rsqrt(x - -1.0)),
    within(1.2, 3),
)
atanh = _function("atanh", np.arctanh, "input", lambda m, g, x: g / (1.0 - x * x), UNIT)
sigmoid = _function(
    "sigmoid",
    _sigmoid,
    "out",
    lambda m, g, y: g * ((1.0 - y) * y),
    doc="1 / (1 + exp(-input)).",
)
erf = _function(
    "erf",
    special.erf,
    "input",
    lambda m, g, x: g * (m.exp(-(x * x)) * (2 / math.sqrt(math.pi))),
    accepts=FLOAT,
    doc="The error function.",
)
erfc = _function(
    "erfc",
    special.erfc,
    "input",
    lambda m, g, x: g * (m.exp(-(x * x)) * (-2 / math.sqrt(math.pi))),
    accepts=FLOAT,
    doc="1 - erf(input), without cancellation.",
)
erfinv = _function(
    "erfinv",
    special.erfinv,
    "out",
    lambda m, g, y: g * (m.exp(y * y) * (math.sqrt(math.pi) / 2)),
    UNIT,
    accepts=FLOAT,
    doc="The inverse of the error function.",
)
lgamma = _function(
    "lgamma",
    special.lgamma,
    "input",
    lambda m, g, x: g * m.digamma(x),
    ABOVE_0,
    accepts=FLOAT,
    doc="The logarithm of the absolute value of the gamma function.",
)
digamma = _function(
    "digamma",
    special.digamma,
    "input",
    lambda m, g, x: g * m.polygamma(x, n=1),
    ABOVE_0,
    accepts=FLOAT,
    doc="The derivative of lgamma.",
)
arcsin, arccos, arctan, arcsinh, arccosh, arctanh = asin, acos, atan, asinh, acosh, atanh
expit = sigmoid

POLYGAMMA = primitive(
    "polygamma",
    attrs=("n",),
    ref=special.polygamma,
    lower=vector("polygamma", "twofold.codegen.vmath.zeta"),
    saves="input",
    slopes=(lambda m, g, x, n: g * m.polygamma(x, n=n + 1),),
    doc="The derivative of order n of digamma.",
    samples=lambda random: [
        s._replace(args=(*s.args, n)) for n in (1, 2) for s in within(0.5, 3, False)(random)
    ],
    torch=False,
)


def polygamma(n: int, input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The derivative of order n of digamma; n = 0 is digamma itself."""
    if n < 0:
        raise ArgumentError("polygamma", f"the order {n} is negative")
    x = admit(POLYGAMMA, as_tensor(input, "polygamma"), to_float=True)
    made: Tensor = digamma(x) if n == 0 else bind(POLYGAMMA, (x,), (int(n),))
    return made if out is None else deliver(made, out, "polygamma")


# ---- powers


def _power(x: Any, y: Any) -> Any:
    if x.dtype.kind not in "iu":
        return np.power(x, y)
    # a whole number to a negative power: 1 / x rounded towards 0, which is 0 but for 1 and -1
    whole = np.power(x, np.where(y < 0, 0, y))
    odd = np.where(y % 2 == 0, 1, x)
    return np.where(y < 0, np.where(np.abs(x) == 1, odd, 0), whole).astype(x.dtype)


def _power_by_base(m: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    return m.where(m.eq(y, 0.0), m.zeros_like(g), g * (y * m.pow(x, y - 1.0)))


def _power_by_exponent(m: Any, g: Any, x: Any, y: Any, out: Any) -> Any:
    flat = m.where(m.eq(x, 0.0), m.zeros_like(g), g * (out * m.log(x)))
    if isinstance(x, Tensor):  # complex: no order
        return flat
    return m.where(m.ge(y, 0.0), flat, g * (out * m.log(x)))


POW = primitive(
    "pow",
    inputs="input exponent",
    accepts=NUMBER,
    ref=_power,
    lower=scalars.split(vector("pow"), vector("whole_power", WHOLE)),
    saves="input exponent out",
    slopes=(_power_by_base, _power_by_exponent),
    doc="input ** exponent.",
    samples=lambda random: [
        *pairs_within(0.4, 2.5)(random),
        Sample((np.array([0.0, 0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.5, 0.0])), smooth=False),
    ],
)


def _cube(x: Tensor) -> Tensor:
    return mul(mul(x, x), x)


def _one(x: Tensor) -> Tensor:
    return x.new_ones(x.array.shape)  # type: ignore[attr-defined, no-any-return]


# Exponents that need no logarithm, as PyTorch treats them.
EXACT_POWERS: dict[float, Callable[[Tensor], Tensor]] = {
    1: lambda x: x.clone(),  # type: ignore[attr-defined]
    2: lambda x: bind(SQUARE, (x,)),
    3: _cube,
}
INEXACT_POWERS = EXACT_POWERS | {
    0.5: lambda x: bind(SQRT, (x,)),
    -0.5: lambda x: bind(RSQRT, (x,)),
    -1: lambda x: bind(RECIPROCAL, (x,)),
    -2: lambda x: bind(RECIPROCAL, (bind(SQUARE, (x,)),)),
}


def pow(input: Any, exponent: Any, *, out: Tensor | None = None) -> Tensor:
    """input ** exponent, with broadcasting and promotion; either may be a number.

    Whole numbers to a negative power are refused: the result would be 0.
    """
    x, y = operands("pow", input, exponent)
    if x.dtype is dtypes.bool_:
        raise DTypeError("pow", "bool is not taken", input=type_of(x), hint="input.long()")
    short = _short_power(x, exponent)
    made = bind(POW, (x, y)) if short is None else short(x)
    return made if out is None else deliver(made, out, "pow")


def _short_power(x: Tensor, exponent: Any) -> Callable[[Tensor], Tensor] | None:
    """A way without logarithms, for exponents that have one."""
    if isinstance(exponent, Tensor | complex):
        return None
    if x.dtype.kind in "fc":
        return _way_of(INEXACT_POWERS, exponent)
    if exponent < 0:
        hint = "input.float() ** exponent"
        problem = f"whole numbers to the power {exponent} are 0 or 1"
        raise ArgumentError("pow", problem, hint=hint, input=type_of(x))
    return _way_of(EXACT_POWERS, exponent)


def _way_of(
    ways: dict[float, Callable[[Tensor], Tensor]], exponent: Any
) -> Callable[[Tensor], Tensor] | None:
    """The way for an exponent, or None. One that only a run knows is asked which it is."""
    if not is_symbol(exponent):
        return ways.get(exponent)
    return next((way for known, way in ways.items() if exponent == known), None)


def float_power(input: Any, exponent: Any) -> Tensor:
    """input ** exponent in float64 (complex128)."""
    kind = result_dtype(input, exponent)
    wide = dtypes.complex128 if kind.is_complex else dtypes.float64
    x, y = operands("float_power", input, exponent, dtype=wide)
    return pow(x, y)


# ---- two operands


def _turned(m: Any, g: Any, x: Any, y: Any) -> Any:
    made = g * (y / (x * x + y * y))
    flat = m.where(m.eq(y, 0.0), m.zeros_like(g), made)  # the origin has no angle to turn by
    return m.where(m.eq(x, 0.0), flat, made)


ATAN2 = primitive(
    "atan2",
    inputs="input other",
    ref=np.arctan2,
    lower=vector("atan2"),
    saves="input other",
    slopes=(_turned, lambda m, g, x, y: -_turned(m, g, y, x)),
    doc="The angle of the point (other, input), from -pi to pi.",
    samples=pairs,
)
atan2 = arctan2 = binary(ATAN2, to_float=True)


def _leg(m: Any, g: Any, x: Any, out: Any) -> Any:
    return m.where(m.eq(out, 0.0), m.zeros_like(g), g * (x / out))


HYPOT = primitive(
    "hypot",
    inputs="input other",
    ref=np.hypot,
    lower=vector("hypot"),
    saves="input other out",
    slopes=(lambda m, g, x, y, out: _leg(m, g, x, out), lambda m, g, x, y, out: _leg(m, g, y, out)),
    doc="sqrt(input**2 + other**2), without overflow on the way.",
    samples=pairs,
)
hypot = binary(HYPOT)


def _logaddexp(m: Any, x: Any, y: Any) -> Any:
    larger = m.where(m.lt(x, y), y, x)
    smaller = m.where(m.lt(x, y), x, y)
    # equal operands, infinite ones among them, have no difference to exponentiate
    rest = m.log1p(m.exp(smaller - larger))
    return m.where(m.eq(x, y), larger + LN2, larger + rest)


def _logaddexp_slope(m: Any, g: Any, x: Any, y: Any) -> Any:
    return m.where(m.eq(x, y), g * 0.5, g * m.sigmoid(x - y))


LOGADDEXP = pointwise(
    "logaddexp",
    _logaddexp,
    inputs="input other",
    saves="input other",
    slopes=(_logaddexp_slope, lambda m, g, x, y: _logaddexp_slope(m, g, y, x)),
    doc="log(exp(input) + exp(other)), without overflow.",
    samples=pairs,
)


def _logaddexp2(m: Any, x: Any, y: Any) -> Any:
    larger, smaller = m.where(m.lt(x, y), y, x), m.where(m.lt(x, y), x, y)
    rest = m.log1p(m.exp2(smaller - larger)) * (1 / LN2)
    return m.where(m.eq(x, y), larger + 1.0, larger + rest)


def _logaddexp2_slope(m: Any, g: Any, x: Any, y: Any) -> Any:
    return m.where(m.eq(x, y), g * 0.5, g * m.sigmoid((x - y) * LN2))


LOGADDEXP2 = pointwise(
    "logaddexp2",
    _logaddexp2,
    inputs="input other",
    saves="input other",
    slopes=(_logaddexp2_slope, lambda m, g, x, y: _logaddexp2_slope(m, g, y, x)),
    doc="log2(2**input + 2**other), without overflow.",
    samples=pairs,
)
logaddexp2 = binary(LOGADDEXP2)
_real_logaddexp = binary(LOGADDEXP)


def logaddexp(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
    """log(exp(input) + exp(other)), without overflow."""
    x, y = operands("logaddexp", input, other)
    if not x.dtype.is_complex:
        return _real_logaddexp(x, y, out=out)
    less = bind(OPS["lt"], tuple(bind(OPS["real"], (v,)) for v in (x, y)))
    larger, smaller = bind(OPS["where"], (less, y, x)), bind(OPS["where"], (less, x, y))
    made = add(larger, log(add(exp(sub(smaller, larger)), 1)))
    return made if out is None else deliver(made, out, "logaddexp")


def _times_log(log_of: str, one: float) -> tuple[Body, Body, Body]:
    def body(m: Any, x: Any, y: Any) -> Any:
        made = m.where(m.eq(x, 0.0), m.zeros_like(x), x * getattr(m, log_of)(y))
        return m.where(m.ne(y, y), y, made)

    def by_factor(m: Any, g: Any, x: Any, y: Any) -> Any:
        made = g * getattr(m, log_of)(y)
        return m.where(m.eq(x, 0.0), m.where(m.le(y, -one), m.zeros_like(g), made), made)

    def by_argument(m: Any, g: Any, x: Any, y: Any) -> Any:
        return g * (x / (y + one if one else y))  # -0.0 + 0.0 would lose its sign

    return body, by_factor, by_argument


def _xlog(name: str, log_of: str, one: float, doc: str) -> Op:
    body, by_factor, by_argument = _times_log(log_of, one)
    return pointwise(
        name,
        body,
        inputs="input other",
        saves="input other",
        slopes=(by_factor, by_argument),
        lower=vector(name),
        doc=doc,
        samples=pairs_within(0.3, 2),
    )


XLOGY = _xlog("xlogy", "log", 0.0, "input * log(other), 0 where input is 0.")
XLOG1PY = _xlog("xlog1py", "log1p", 1.0, "input * log1p(other), 0 where input is 0.")
xlogy, xlog1py = binary(XLOGY, to_float=True), binary(XLOG1PY, to_float=True)


# ---- small formulas


def _sinc(m: Any, x: Any) -> Any:
    turn = x * math.pi
    made = m.where(m.eq(x, 0.0), m.zeros_like(x) + 1.0, m.sin(turn) / turn)
    return m.where(m.isinf(x), m.zeros_like(x), made)


# (-1)**k 2k / (2k + 1)!, the series of sin(t)'s quotient by t, differentiated, k from 1.
SINC_SLOPES = [(-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(1, 12)]


def _sinc_slope(m: Any, g: Any, x: Any) -> Any:
    turn = x * math.pi
    # the difference of cosine and quotient cancels near 0: a series there
    square = turn * turn
    series = m.zeros_like(x) + SINC_SLOPES[-1]
    for coefficient in reversed(SINC_SLOPES[:-1]):
        series = series * square + coefficient
    far = (m.cos(turn) - m.sin(turn) / turn) / x
    made = m.where(m.lt(m.abs(x), 0.6), series * turn * math.pi, far)
    return g * m.where(m.isinf(x), m.zeros_like(x), made)


SINC = pointwise(
    "sinc",
    _sinc,
    accepts=INEXACT,
    lower=vector("sinc"),
    saves="input",
    slopes=(_sinc_slope,),
    doc="sin(pi * input) / (pi * input); 1 at 0, 0 at infinity.",
    samples=hard_singles,
)
DEG2RAD = pointwise(
    "deg2rad",
    lambda m, x: x * (math.pi / 180),
    doc="Degrees in radians.",
    samples=singles,
)
RAD2DEG = pointwise(
    "rad2deg",
    lambda m, x: x * (180 / math.pi),
    doc="Radians in degrees.",
    samples=singles,
)


def _logit_slope(m: Any, g: Any, x: Any) -> Any:
    slope = g / (x * (1.0 - x))
    return m.where(m.lt(x, 0.0), math.nan, m.where(m.gt(x, 1.0), math.nan, slope))


LOGIT = pointwise(
    "logit",
    lambda m, x: m.log(x / (1.0 - x)),
    saves="input",
    slopes=(_logit_slope,),
    doc="log(input / (1 - input)).",
    samples=within(0.1, 0.9),
)
sinc, deg2rad, rad2deg, _logit = map(unary, (SINC, DEG2RAD, RAD2DEG, LOGIT))


def logit(input: Any, eps: float | None = None) -> Tensor:
    """log(input / (1 - input)); with eps the input is held within eps and 1 - eps first."""
    return _logit(input if eps is None else clamp(as_tensor(input, "logit"), eps, 1 - eps))


guard(globals())
