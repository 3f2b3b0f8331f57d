"""Modified Bessel functions of the second kind, of orders 0 and 1 (Macdonald's). Floor 3.

Up to 2 Chebyshev series in x^2 / 2 - 1, of what is left without the logarithm and the pole
(Abramowitz and Stegun, 9.6.11 and 9.6.13); above it of sqrt(x) exp(x) K(x) in 4 / x - 1. The series
were computed with 150 bits.
"""

from __future__ import annotations

import math

from twofold.codegen.vmath.core import (
    INF,
    NAN,
    at_least,
    at_most,
    chebyshev,
    replace_where,
    through_double,
)
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function
from twofold.ir.values import Value

# I0, I1 / x, K0 + log(x / 2) I0, and (K1 - log(x / 2) I1 - 1 / x) / x
I0_SMALL = (
    1.6029228068079633,
    0.638809625651177,
    0.03685485969436176,
    0.00098287812725148,
    1.4983654208927293e-05,
    1.4738449008423848e-07,
    1.0114797900674826e-09,
    5.1149979020112795e-12,
    1.984280622680562e-14,
    6.090516506058955e-17,
)
I1_SMALL = (
    0.6417589969911874,
    0.1475393201491934,
    0.005898742680020788,
    0.00011988137174638708,
    1.4739165119093128e-06,
    1.2138074968740922e-08,
    7.161106692799279e-11,
    3.17487931131012e-13,
    1.0962998348773076e-15,
    3.0315021220933553e-18,
)
K0_NEAR = (
    -0.2676636966169514,
    0.3442898999246285,
    0.0359799365153615,
    0.001264615411446926,
    2.286212103119452e-05,
    2.5347910790261494e-07,
    1.904516377220209e-09,
    1.0349695257633625e-11,
    4.2598161427910826e-14,
    1.3744654358807508e-16,
)
K1_NEAR = (
    -0.06409034516866254,
    -0.10916919599320105,
    -0.006636878452817714,
    -0.00016822792382067343,
    -2.389559180803608e-06,
    -2.1853569024549695e-08,
    -1.3982271326113327e-10,
    -6.618562752976041e-13,
    -2.4134516242987822e-15,
    -6.990873731242567e-18,
)
# sqrt(x) exp(x) K(x)
K0_FAR = (
    1.2201515410329777,
    -0.0314481013119645,
    0.0015698838857300533,
    -0.00012849549581627802,
    1.39498137188765e-05,
    -1.8317555227191195e-06,
    2.766813639445015e-07,
    -4.660489897687948e-08,
    8.574034017414225e-09,
    -1.6975345093890614e-09,
    3.5773972814003283e-10,
    -7.957489244477396e-11,
    1.8559491149549264e-11,
    -4.514597883374519e-12,
    1.1403405882073441e-12,
    -2.9800969231481784e-13,
    8.032890775068375e-14,
    -2.2275133267462965e-14,
    6.340076476276646e-15,
    -1.848593377920907e-15,
    5.5120559994043335e-16,
    -1.6782311257549006e-16,
    5.2103917776435543e-17,
    -1.6475805939842632e-17,
    5.3004337711773354e-18,
)
K1_FAR = (
    1.3603130952422213,
    0.10392373657681724,
    -0.002857816859622779,
    0.00019521551847135162,
    -1.936197974166083e-05,
    2.406484947837217e-06,
    -3.5019606030878126e-07,
    5.7410841254500495e-08,
    -1.0345762465678097e-08,
    2.0150497551970347e-09,
    -4.1903547593419254e-10,
    9.218315187605315e-11,
    -2.129967838427791e-11,
    5.139639673482343e-12,
    -1.2891739609498229e-12,
    3.348419666052243e-13,
    -8.976705182010146e-14,
    2.4771544242195988e-14,
    -7.0198370892147685e-15,
    2.038703166239861e-15,
    -6.057047270643018e-16,
    1.8380935752430455e-16,
    -5.689462849193648e-17,
    1.7940510478863572e-17,
    -5.7567444820733025e-18,
)

EDGE = 2.0


def _near(f: Function, x: Value, order: int, grade: str) -> Value:
    t = x * x * 0.5 - 1.0
    logarithm = log(f, x) - math.log(2)
    first, rest = ((I0_SMALL, K0_NEAR), (I1_SMALL, K1_NEAR))[order]
    inner, outer = chebyshev(f, t, first, grade), chebyshev(f, t, rest, grade)
    if order == 0:
        return f.fma(-logarithm, inner, outer)
    return f.fma(f.fma(logarithm, inner, outer), x, 1.0 / x)


def _second(f: Function, x: Value, order: int, scaled: bool, grade: str) -> Value:
    """K(order, x), or exp(x) times it; infinite at 0, NaN below."""
    low = at_most(f, x.cmp("ogt", 0.0).select(x, 1.0), EDGE)
    high = at_least(f, x, EDGE)
    near = _near(f, low, order, grade)
    if scaled:
        near = near * exp(f, low)

    def far() -> list[Value]:
        series = (K0_FAR, K1_FAR)[order]
        made = chebyshev(f, 4.0 / high - 1.0, series, grade) / f.sqrt(high)
        return [made if scaled else made * exp(f, -high)]

    (made,) = replace_where(f, x.cmp("ogt", EDGE), [near], far)
    made = x.cmp("oeq", 0.0).select(INF, made)
    return (x.cmp("olt", 0.0) | x.cmp("uno", x)).select(NAN, made)


modified_bessel_k0 = through_double(lambda f, x, grade: _second(f, x, 0, False, grade))
modified_bessel_k1 = through_double(lambda f, x, grade: _second(f, x, 1, False, grade))
scaled_modified_bessel_k0 = through_double(lambda f, x, grade: _second(f, x, 0, True, grade))
scaled_modified_bessel_k1 = through_double(lambda f, x, grade: _second(f, x, 1, True, grade))
