"""Special functions beside the common ones: tails, incomplete gamma, zeta. Floor 4.

Each is computed in float64 and rounded once; gradients are formulas, to any order where
the slopes have them.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, GradientError
from twofold.ops.bind import current, mode
from twofold.ops.creation import arange
from twofold.ops.elementwise import add, cast, mul
from twofold.ops.formula import Body, pointwise, primitive, vector
from twofold.ops.guarding import guard
from twofold.ops.normalize import log_softmax, softmax
from twofold.ops.op import Op, Sample
from twofold.ops.reduce import sum as sum_
from twofold.ops.rounding import round
from twofold.ops.rules import also_named, as_tensor, binary, unary, with_out
from twofold.ops.samples import Samples, within
from twofold.ops.special import BERNOULLI, each, in_double, whole_sum
from twofold.ops.statistics import logsumexp
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import (
    digamma,
    erf,
    erfc,
    erfinv,
    exp2,
    expit,
    expm1,
    lgamma,
    log1p,
    logit,
    polygamma,
    sinc,
    xlog1py,
    xlogy,
)
from twofold.ops.views import unsqueeze

__all__ = ["digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1"]
__all__ += ["gammainc", "gammaincc", "gammaln", "i0", "i0e", "i1", "i1e", "log1p", "log_ndtr"]
__all__ += ["log_softmax", "logit", "logsumexp", "multigammaln", "ndtr", "ndtri", "polygamma"]
__all__ += ["psi", "round", "sinc", "softmax", "xlog1py", "xlogy", "zeta"]

gammaln, psi = lgamma, digamma


def _one(
    name: str,
    ref: Any,
    saves: str,
    slope: Body | None,
    samples: Samples,
    doc: str,
    lower: Any = None,
) -> Callable[..., Tensor]:
    slopes = () if slope is None else (slope,)
    op = primitive(
        name,
        ref=ref,
        lower=lower,
        saves=saves,
        slopes=slopes,
        samples=samples,
        doc=doc,
        torch=f"special.{name}",
    )
    return unary(op)


# ---- modified Bessel functions

ANGLES = (np.arange(256) + 0.5) * (math.pi / 256)


def _series(x: Any, order: int) -> Any:
    """exp(-x) I(order, x) / x**order for x from 0 to 8: all terms are positive."""
    term = np.exp(-x) * 0.5**order
    total = np.zeros_like(x)
    for k in range(48):
        total = total + term
        term = term * (x * x / 4) / ((k + 1) * (k + 1 + order))
    return total


def _integral(x: Any, order: int) -> Any:
    """sqrt(x) exp(-x) I(order, x) for x >= 8, by the midpoint rule on Bessel's integral, which
    converges at once; for large x the asymptotic series (A. and S. 9.6.19 and 9.7.1).
    """
    small, large = np.minimum(x, 500.0), np.maximum(x, 500.0)
    turned = np.exp(small[:, None] * (np.cos(ANGLES) - 1)) * np.cos(order * ANGLES)
    term, total = np.ones_like(large), np.ones_like(large)
    for k in range(1, 8):
        term = -term * (4 * order**2 - (2 * k - 1) ** 2) / (k * 8 * large)
        total = total + term
    near = turned.mean(axis=-1) * np.sqrt(small)
    return np.where(x > 500.0, total / math.sqrt(2 * math.pi), near)


@functools.cache
def _chebyshev(order: int) -> tuple[float, ...]:
    """Chebyshev's coefficients of `_integral` in 16 / x - 1."""
    angles = (np.arange(64) + 0.5) * (math.pi / 64)
    values = _integral(16 / (np.cos(angles) + 1), order)
    waves = np.cos(np.outer(np.arange(32), angles))
    return tuple(float(c) for c in (waves * values).sum(axis=1) / 32)


def _clenshaw(t: Any, coefficients: tuple[float, ...]) -> Any:
    one = two = np.zeros_like(t)
    for c in reversed(coefficients[1:]):
        one, two = 2 * t * one - two + c, one
    return t * one - two + 0.5 * coefficients[0]


def _bessel(x: Any, order: int) -> Any:
    """exp(-|x|) I(order, x)."""
    size = np.abs(x)
    small, large = np.minimum(size, 8.0), np.maximum(size, 8.0)
    near = _series(small, order) * small**order
    far = _clenshaw(16 / large - 1, _chebyshev(order)) / np.sqrt(large)
    made = np.where(size > 8.0, far, near)
    return np.where(np.isnan(x), np.nan, np.sign(x) * made if order else made)


def full_bessel(order: int) -> Any:
    def function(x: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            made = _bessel(x, order)
            return np.where(np.isinf(x), np.abs(x) if not order else x, made * np.exp(np.abs(x)))

    return in_double(function)


def _over(m: Any, y: Any, x: Any) -> Any:
    """y / x for y = i1(x) or i1e(x), which comes to 1/2 at 0."""
    still = m.eq(x, 0.0)
    return m.where(still, 0.5, y / m.where(still, 1.0, x))


def kaiser_values(places: Any, beta: float) -> Any:
    """Kaiser's window at places from -1 to 1, in float64."""
    inner = beta * np.sqrt(np.maximum(1 - places * places, 0.0))
    return _bessel(inner, 0) / _bessel(np.float64(beta), 0) * np.exp(inner - beta)


MILD = within(-3, 3, False)
MODIFIED = "twofold.codegen.vmath.modified_bessel"
i0 = _one(
    "i0",
    full_bessel(0),
    "input",
    lambda m, g, x: g * m.i1(x),
    MILD,
    "The modified Bessel function of order 0.",
    vector("i0", MODIFIED),
)
i0e = _one(
    "i0e",
    in_double(lambda x: _bessel(x, 0)),
    "input out",
    lambda m, g, x, y: g * (m.i1e(x) - m.sign(x) * y),
    MILD,
    "exp(-|input|) i0(input).",
    vector("i0e", MODIFIED),
)
i1 = _one(
    "i1",
    full_bessel(1),
    "input out",
    lambda m, g, x, y: g * (m.i0(x) - _over(m, y, x)),
    MILD,
    "The modified Bessel function of order 1.",
    vector("i1", MODIFIED),
)
i1e = _one(
    "i1e",
    in_double(lambda x: _bessel(x, 1)),
    "input out",
    lambda m, g, x, y: g * (m.i0e(x) - y * m.sign(x) - _over(m, y, x)),
    MILD,
    "exp(-|input|) i1(input).",
    vector("i1e", MODIFIED),
)


# ---- the tails of the normal distribution


def _erfcx(x: float) -> float:
    """exp(x * x) erfc(x); for large x the continued fraction's first terms."""
    if x != x:
        return x
    if x < -26.7:
        return math.inf
    if x < 25:
        return math.exp(x * x) * math.erfc(x)
    inverse = 1 / (2 * x * x)
    series = 1 - inverse * (1 - 3 * inverse * (1 - 5 * inverse * (1 - 7 * inverse)))
    return series / (x * math.sqrt(math.pi))


def _ndtri(p: float) -> float:
    if not 0 < p < 1:
        return -math.inf if p == 0 else math.inf if p == 1 else math.nan
    # the standard library's module brings fractions and decimals along: not for every program
    return float(importlib.import_module("statistics").NormalDist().inv_cdf(p))


TAILS = "twofold.codegen.vmath.tails"
erfcx = _one(
    "erfcx",
    each(_erfcx),
    "input out",
    lambda m, g, x, y: g * (x * y * 2.0 - 2 / math.sqrt(math.pi)),
    within(-2, 5, False),
    "exp(input * input) * erfc(input), without overflow.",
    vector("erfcx", TAILS),
)
ndtri = _one(
    "ndtri",
    each(_ndtri),
    "out",
    lambda m, g, y: g * (m.exp(y * y * 0.5) * math.sqrt(2 * math.pi)),
    within(0.05, 0.95, False),
    "The inverse of the normal distribution function (Wichura 1988, AS 241).",
    vector("ndtri", TAILS),
)


def ndtr(input: Any, *, out: Tensor | None = None) -> Tensor:
    """The normal distribution function."""
    x = _floating("ndtr", input)
    return with_out(mul(erfc(mul(x, -math.sqrt(0.5))), 0.5), out, "ndtr")


def _log_ndtr(x: float) -> float:
    if x < -1:
        return math.log(_erfcx(-x * math.sqrt(0.5)) / 2) - x * x / 2 if x > -1e150 else -math.inf
    return math.log1p(-math.erfc(x * math.sqrt(0.5)) / 2)


log_ndtr = _one(
    "log_ndtr",
    each(_log_ndtr),
    "input",
    lambda m, g, x: g * math.sqrt(2 / math.pi) / m.erfcx(x * -math.sqrt(0.5)),
    within(-5, 3, False),
    "The logarithm of `ndtr`, accurate in both tails.",
    vector("log_ndtr", TAILS),
)


def _entropy(m: Any, x: Any) -> Any:
    return m.where(m.lt(x, 0.0), -math.inf, -m.xlogy(x, x))


entr = unary(
    pointwise(
        "entr",
        _entropy,
        saves="input",
        slopes=(lambda m, g, x: -(g * (m.log(x) + 1.0)),),
        samples=within(0.1, 3, False),
        doc="-input * log(input); 0 at 0, -inf below.",
        torch="special.entr",
    )
)


def _floating(op: str, input: Any) -> Tensor:
    x = as_tensor(input, op)
    return cast(x, dtypes.default_dtype()) if x.dtype.kind in "bui" else x


# ---- incomplete gamma functions, and zeta

INCOMPLETE = "twofold.codegen.vmath.incomplete_gamma"

LOG_GAMMA = np.vectorize(math.lgamma, otypes=[np.float64])


def _lower_gamma(a: Any, x: Any) -> Any:
    """P(a, x): the series below a + 1, and 1 - Lentz's continued fraction above (Numerical Recipes,
    6.2).
    """
    a, x = np.broadcast_arrays(a, x)
    bad = (a < 0) | (x < 0) | np.isnan(a) | np.isnan(x) | ((a == 0) & (x == 0))
    plain = (a > 0) & (x > 0) & np.isfinite(x) & np.isfinite(a)
    s, t = np.where(plain, a, 1.0), np.where(plain, x, 1.0)
    factor = np.exp(s * np.log(t) - t - LOG_GAMMA(s))
    # each element takes as many steps as it needs itself, whatever stands beside it
    own = 40 + 12 * np.sqrt(np.minimum(s, 1e6)).astype(np.int64)
    steps = int(own.max(initial=1))
    term = 1 / s
    total = term.copy()
    for k in range(1, steps):
        term = term * t / (s + k)
        total = np.where(k < own, total + term, total)
    low = total * factor
    tiny = 1e-300
    b = t + 1 - s
    c = np.full_like(b, 1 / tiny)
    d = 1 / np.where(b == 0, tiny, b)
    h = d.copy()
    for k in range(1, steps):
        an = -k * (k - s)
        b = b + 2
        d = an * d + b
        d = 1 / np.where(d == 0, tiny, d)
        c = b + an / c
        c = np.where(c == 0, tiny, c)
        h = np.where(k < own, h * d * c, h)
    upper = h * factor
    below = t < s + 1
    p = np.where(below, low, 1 - upper)
    q = np.where(below, 1 - low, upper)
    edge = np.where((a == 0) | np.isinf(x), 1.0, 0.0)
    edge = np.where(np.isinf(a) & np.isinf(x), np.nan, np.where(np.isinf(a), 0.0, edge))
    nan = np.where(bad, np.nan, edge)
    return np.where(plain, p, nan), np.where(plain, q, 1 - nan)


def _rounded(part: int) -> Any:
    def ref(a: Any, x: Any) -> Any:
        wide = (np.asarray(a, np.float64), np.asarray(x, np.float64))
        with np.errstate(all="ignore"):
            return np.asarray(_lower_gamma(*wide)[part]).astype(np.result_type(a))

    return ref


def _density(sign: float) -> Body:
    """x**(a - 1) exp(-x) / gamma(a)."""
    return lambda m, g, a, x: g * (m.exp((a - 1.0) * m.log(x) - x - m.lgamma(a)) * sign)


def _shapes(random: Any) -> list[Sample]:
    draw = random.uniform
    pairs = (((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2,)), ((0,), (1,)))
    return [Sample((draw(0.5, 6, a), draw(0.3, 9, b)), grad=(1,)) for a, b in pairs]


def _two(name: str, part: int, sign: float, doc: str) -> Callable[..., Tensor]:
    op = primitive(
        name,
        inputs="a x",
        ref=_rounded(part),
        lower=vector(name, INCOMPLETE),
        saves="a x",
        slopes=(None, _density(sign)),
        samples=_shapes,
        doc=doc,
        torch=f"special.{name}",
    )
    return _by_second(op)


def _by_second(op: Op) -> Callable[..., Tensor]:
    """The function of a record that has no gradient by its first operand, and says so."""
    function = binary(op, to_float=True)

    def checked(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if mode.grad and isinstance(input, Tensor) and current(input).tracked:
            problem = "there is no gradient by the first operand"
            raise GradientError(op.name, problem, hint="input.detach()", input=type_of(input))
        return function(input, other, out=out)

    # without the mark of a function that is its operation: machine code would not check
    checked.__name__ = checked.__qualname__ = op.name
    checked.__doc__ = op.doc
    return checked


gammainc = _two("gammainc", 0, 1.0, "The regularised lower incomplete gamma function P(a, x).")
gammaincc = _two("gammaincc", 1, -1.0, "The regularised upper incomplete gamma function Q(a, x).")


def _zeta(s: Any, q: Any) -> Any:
    """Hurwitz zeta by Euler and Maclaurin: ten terms, the integral, and Bernoulli numbers."""
    s, q = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(q, np.float64))
    low = (q < 0) & (q != np.floor(q)) & (s == np.floor(s)) & (s > 1)
    if low.any():  # the sum over all whole numbers, without those below
        made = _zeta(s, np.where(low, 1 - q, q))
        for power in np.unique(s[low]):
            here = low & (s == power)
            below = (-1.0) ** power * made[here]
            made[here] = whole_sum(q[here], int(min(power, 170))) - below
        return made
    total = np.zeros(s.shape)
    for k in range(10):
        total = total + (q + k) ** -s
    y = q + 10
    total = total + y ** (1 - s) / (s - 1) + 0.5 * y**-s
    factor = s.copy()
    for k, b in enumerate(BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * factor * y ** (-s - 2 * k + 1)
        factor = factor * (s + 2 * k - 1) * (s + 2 * k)
    pole = (q <= 0) & (q == np.floor(q))
    made = np.where(pole, np.inf, total)
    return np.where(
        s == 1, np.inf, np.where((s < 1) | (q <= 0) & ~pole & (s != np.floor(s)), np.nan, made)
    )


def _zeta_ref(s: Any, q: Any) -> Any:
    with np.errstate(all="ignore"):
        return np.asarray(_zeta(s, q)).astype(np.result_type(s))


ZETA = primitive(
    "zeta",
    inputs="x q",
    ref=_zeta_ref,
    lower=vector("zeta", "twofold.codegen.vmath.zeta"),
    saves="x q",
    slopes=(None, lambda m, g, x, q: g * (-(x * m.zeta(x + 1.0, q)))),
    samples=lambda random: [
        Sample((random.uniform(1.5, 5, s), random.uniform(0.3, 4, s)), smooth=False)
        for s in ((3, 4), (), (0, 2))
    ],
    doc="The Hurwitz zeta function, the sum of (k + q) ** -x over k from 0.",
    torch="special.zeta",
)
zeta = _by_second(ZETA)


@also_named(input="a")
def multigammaln(a: Tensor, p: int, *, out: Tensor | None = None) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, for a > (p - 1) / 2."""
    if p < 1:
        raise ArgumentError("multigammaln", f"dimension {p}", hint="p >= 1", a=type_of(a))
    x = _floating("multigammaln", a)
    steps = mul(cast(arange(p), x.dtype), -0.5)
    parts = sum_(lgamma(add(unsqueeze(x, -1), steps)), -1)
    made = add(parts, p * (p - 1) / 4 * math.log(math.pi))
    return with_out(made, out, "multigammaln")


guard(globals())
