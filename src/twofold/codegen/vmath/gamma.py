"""lgamma and digamma. Floor 3.

Between 1 and 2.5 a polynomial, with the zeros of the function taken out as factors, so that the
result has all its digits beside them; from 8 on Stirling's series; in between and below 1 the
recurrence; below 0 the reflection. Polynomials by tools/fits.py ("lgamma", "digamma").

Below 0 the terms of the reflection cancel near each zero of the function. For float32, which is
computed in float64, digits enough are left; for float64 the error there is absolute.
"""

from __future__ import annotations

from twofold.codegen.vmath.core import (
    INF,
    NAN,
    polynomial,
    replace_where,
    through_double,
    two_product,
)
from twofold.codegen.vmath.logarithm import log
from twofold.codegen.vmath.trigonometry import HALF_PI, sine, sinpi
from twofold.ir.build import Function
from twofold.ir.values import Value

MIDDLE = 1.75  # of the interval of the polynomials
LARGE = 8.0

# lgamma(x) = (x - 1) (x - 2) (c0 + c1 (x - 1.75) + ...)
LGAMMA = (
    0.4501393121092563,
    -0.11948158662524275,
    0.04452044719851274,
    -0.019053957830246812,
    0.008776370425053866,
    -0.004226194125962318,
    0.0020955338861920617,
    -0.0010605660740611816,
    0.0005448968815897616,
    -0.0002831906424004353,
    0.00014851794700447153,
    -7.846156078586045e-05,
    4.169695590300418e-05,
    -2.228256507779707e-05,
    1.1991070499716302e-05,
    -6.432285079363894e-06,
    3.364776739617841e-06,
    -1.913353540769841e-06,
    1.2958757721007958e-06,
    -5.011073840330332e-07,
    -1.2510796782558954e-07,
    -2.517514923106609e-07,
    5.416182314736168e-07,
    2.7380387725006372e-08,
    -2.5431318836851246e-07,
    -5.276928811975744e-08,
    9.212609179231306e-08,
)
# (lgamma(x) - (x - 1/2) log(x) + x - log(2 pi) / 2) x = c0 + c1 / x^2 + ...
STIRLING = (
    0.08333333333333333,
    -0.002777777777766852,
    0.0007936507861266038,
    -0.0005952357937138679,
    0.0008413861515246859,
    -0.001886103400916384,
    0.00498192873548737,
)
HALF_LOG_2PI = 0.9189385332046728
LOG_PI = 1.1447298858494002

# The zero of digamma, in two parts, and digamma(x) = (x - zero) (c0 + c1 (x - 1.75) + ...)
ZERO = (1.4616321449683622, 9.549995429965697e-17)
DIGAMMA = (
    0.8581832171262995,
    -0.3262546278681058,
    0.15712011335204112,
    -0.08228558635576055,
    0.04479965445285607,
    -0.02489004849011998,
    0.0139857861825813,
    -0.007910468744809216,
    0.004491813708860109,
    -0.0025566870031180082,
    0.0014573749274859951,
    -0.0008314923933524418,
    0.0004746771989842721,
    -0.00027112135707994594,
    0.00015485731852250733,
    -8.825552955879405e-05,
    5.044992388847117e-05,
    -2.9529154826645727e-05,
    1.6817954415982964e-05,
    -7.994108494017137e-06,
    4.646181166909265e-06,
    -5.1802006580556785e-06,
    2.887507051614327e-06,
    9.122660444538058e-07,
    -4.818809450659432e-07,
    -1.2464842617551748e-06,
    7.027710534490761e-07,
)
# (log(x) - 1 / (2 x) - digamma(x)) x^2 = c0 + c1 / x^2 + ...
DIGAMMA_SERIES = (
    0.08333333333333333,
    -0.008333333333286813,
    0.003968253916435957,
    -0.0041666458510591815,
    0.007571802508393086,
    -0.02070387693626102,
    0.06373882462498154,
)


def _lgamma_positive(f: Function, x: Value) -> Value:
    """log(gamma(x)) for x >= 0."""
    # bring x into [1, 2.5): one step up, or up to six down, whose factors are multiplied
    below = x.cmp("olt", 1.0)
    large = x.cmp("oge", LARGE)
    inside, factor = large.select(2.0, x), f.const(x.type, 1.0)
    for _ in range(6):
        above = inside.cmp("oge", 2.5)
        lowered = inside - 1.0
        factor = above.select(factor * lowered, factor)
        inside = above.select(lowered, inside)
    # for x < 1 the argument is x + 1, whose factors are x and x - 1: no digit of x is lost
    first = below.select(inside, inside - 1.0)
    second = below.select(inside - 1.0, inside - 2.0)
    place = below.select(inside - (MIDDLE - 1.0), inside - MIDDLE)
    middle = first * second * polynomial(f, place, LGAMMA)
    logarithm = log(f, large.select(x, below.select(x, factor)))
    middle = middle + below.select(-logarithm, logarithm)
    inverse = 1.0 / x
    series = polynomial(f, inverse * inverse, STIRLING)
    far = f.fma(x - 0.5, logarithm - 1.0, f.fma(series, inverse, HALF_LOG_2PI - 0.5))
    made = large.select(far, middle)
    return x.cmp("oeq", INF).select(INF, made)


def _lgamma(f: Function, x: Value) -> Value:
    """The logarithm of |gamma(x)|; infinite at 0 and the negative whole numbers."""
    size = f.abs(x)
    usual = _lgamma_positive(f, size)

    def reflected() -> list[Value]:
        # gamma(x) gamma(-x) = -pi / (x sin(pi x))
        other = log(f, f.abs(sinpi(f, size)) * size)
        # beside 0 the product underflows, and both signs have the same value
        return [size.cmp("olt", 2.0**-60).select(usual, LOG_PI - other - usual)]

    (made,) = replace_where(f, x.cmp("olt", 0.0), [usual], reflected)
    pole = x.cmp("ole", 0.0) & f.rint(x).cmp("oeq", x)
    return pole.select(INF, made)


lgamma = through_double(_lgamma, graded=False)


def _digamma_positive(f: Function, x: Value) -> Value:
    below = x.cmp("olt", 1.0)
    large = x.cmp("oge", LARGE)
    # bring x into [1, 2.5); the terms 1 / x of the recurrence are added as one fraction
    inside = large.select(2.0, below.select(x + 1.0, x))
    top = f.const(x.type, 0.0)
    bottom = f.const(x.type, 1.0)
    for _ in range(6):
        above = inside.cmp("oge", 2.5)
        lowered = inside - 1.0
        top = above.select(f.fma(top, lowered, bottom), top)
        bottom = above.select(bottom * lowered, bottom)
        inside = above.select(lowered, inside)
    top = below.select(-1.0, top)
    bottom = below.select(x, bottom)
    # for x < 1: x + 1 - zero without rounding x + 1
    from_zero = below.select(x - (ZERO[0] - 1.0), inside - ZERO[0]) - ZERO[1]
    place = below.select(x - (MIDDLE - 1.0), inside - MIDDLE)
    middle = f.fma(from_zero, polynomial(f, place, DIGAMMA), top / bottom)
    inverse = 1.0 / x
    z = inverse * inverse
    series = f.fma(z, -polynomial(f, z, DIGAMMA_SERIES), inverse * -0.5)
    return large.select(log(f, x) + series, middle)


def _digamma(f: Function, x: Value) -> Value:
    """The derivative of lgamma; infinite at 0, NaN at the negative whole numbers."""
    negative = x.cmp("olt", 0.0)
    usual = _digamma_positive(f, negative.select(1.0 - x, x))

    def reflected() -> list[Value]:
        # digamma(1 - x) - digamma(x) = pi / tan(pi x)
        part = x - f.rint(x)
        pi, rest = 2.0 * HALF_PI["f64"][0], 2.0 * HALF_PI["f64"][1]
        high, low = two_product(f, part, pi)
        low = f.fma(part, rest, low)
        # cos(pi part) = sin(pi (1/2 - |part|))
        away = 0.5 - f.abs(part)
        high2, low2 = two_product(f, away, pi)
        cosine = sine(f, high2, f.fma(away, rest, low2))
        return [f.fma(cosine / sine(f, high, low), -pi, usual)]

    (made,) = replace_where(f, negative, [usual], reflected)
    pole = negative & f.rint(x).cmp("oeq", x)
    return pole.select(NAN, made)


digamma = through_double(_digamma, graded=False)
