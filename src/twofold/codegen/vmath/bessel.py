"""Bessel functions of the first and second kind, of orders 0 and 1. Floor 3.

Up to 8 Chebyshev series in x^2 / 32 - 1, of what is left of Y without its logarithm and its pole;
above it the amplitudes P and Q of Hankel's expansion (Abramowitz and Stegun, 9.2.5 and 9.2.6), as
Chebyshev series in 2 (8 / x)^2 - 1. The series were computed with 150 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from twofold.codegen.vmath.core import (
    INF,
    NAN,
    at_least,
    at_most,
    chebyshev,
    replace_where,
    through_double,
)
from twofold.codegen.vmath.logarithm import log
from twofold.codegen.vmath.trigonometry import cos, sin
from twofold.ir.build import Function
from twofold.ir.values import Value

# J0, J1 / x, Y0 - 2 / pi log(x / 2) J0, and (Y1 - 2 / pi (log(x / 2) J1 - 1 / x)) / x
J0_NEAR = (
    0.15772797147489012,
    -0.008723442352852221,
    0.2651786132033368,
    -0.37009499387264977,
    0.15806710233209725,
    -0.034893769411408884,
    0.004819180069467605,
    -0.00046062616620627504,
    3.246032882100508e-05,
    -1.7619469077621507e-06,
    7.608163592418782e-08,
    -2.679253530557673e-09,
    7.848696314479465e-11,
    -1.9438346867370164e-12,
    4.125320595634374e-14,
    -7.588508125447546e-16,
    1.2218515873961411e-17,
)
J1_NEAR = (
    0.08104484632565812,
    -0.1489751450676521,
    0.1609992623572097,
    -0.08268049176681791,
    0.022213639654966037,
    -0.003646940600769276,
    0.0004050337728354822,
    -3.255554866857259e-05,
    1.9858774049915165e-06,
    -9.521984756750436e-08,
    3.687133759097148e-09,
    -1.178026622695885e-10,
    3.160154580348003e-12,
    -7.221755239651773e-14,
    1.4232144003513942e-15,
    -2.4441972916190464e-17,
    3.6912682997929334e-19,
)
Y0_NEAR = (
    0.03645469809116044,
    -0.2783237094075825,
    0.2960499990207148,
    0.09825508408187864,
    -0.10755155280627783,
    0.031799074084414514,
    -0.005161397105810715,
    0.0005498525320039012,
    -4.1996983149420134e-05,
    2.4290361107923793e-06,
    -1.1049969793472957e-07,
    4.06651736597911e-09,
    -1.2374148898289854e-10,
    3.1685725528945945e-12,
    -6.926956032431002e-14,
    1.3086308625876684e-15,
    -2.1586201986914482e-17,
)
Y1_NEAR = (
    0.038300769852423776,
    -0.08182561412732826,
    -0.0248677076121964,
    0.047967452752746984,
    -0.01852588451089802,
    0.003680607687823511,
    -0.0004627254060293369,
    4.06940026958087e-05,
    -2.6617695125295625e-06,
    1.350602691325434e-07,
    -5.483524110336276e-09,
    1.8245086841229007e-10,
    -5.070666636591129e-12,
    1.1956162517587948e-13,
    -2.423162442712473e-15,
    4.268126513072962e-17,
    -6.596060978723042e-19,
)
# P, and Q x / 8
P0 = (
    0.9994603493475187,
    -0.0005365220468132117,
    3.0751847875194745e-06,
    -5.1705945376060975e-08,
    1.6306464635151382e-09,
    -7.86409137723707e-11,
    5.168262387349193e-12,
    -4.3045788699253914e-13,
    4.3265957431549404e-14,
    -5.069034095935236e-15,
    6.748072215733873e-16,
    -1.0011513723467786e-16,
    1.6305919233744186e-17,
    -2.880866169482871e-18,
)
Q0 = (
    -0.015555854605337009,
    6.838519942611649e-05,
    -7.414498411060647e-07,
    1.7972457247968992e-08,
    -7.27191593686632e-10,
    4.2201219046687385e-11,
    -3.206747420996635e-12,
    3.006145125351706e-13,
    -3.336328185322427e-14,
    4.255225040245461e-15,
    -6.09993013164005e-16,
    9.662128970303257e-17,
    -1.6686065214378146e-17,
    3.1082440486738143e-18,
    -6.191115787358145e-19,
    1.3091448717220122e-19,
)
P1 = (
    1.0009030408600137,
    0.0008989898330859408,
    -3.987284300488908e-06,
    6.177633960644299e-08,
    -1.8718907491063067e-09,
    8.816898659582339e-11,
    -5.704863640395645e-12,
    4.699195515230542e-13,
    -4.6842237839904895e-14,
    5.452674896044717e-15,
    -7.221180842274018e-16,
    1.0667689114335412e-16,
    -1.7312313216116335e-17,
    3.0492991197665872e-18,
)
Q1 = (
    0.04677778706953532,
    -9.62772354915708e-05,
    9.138615257955454e-07,
    -2.0959781384083424e-08,
    8.229193327650554e-10,
    -4.686363688176945e-11,
    3.5152187949686082e-12,
    -3.2643156743279e-13,
    3.5967765829165294e-14,
    -4.5612523950772974e-15,
    6.508282957783384e-16,
    -1.0269147531823243e-16,
    1.767635548776479e-17,
    -3.2834519872981614e-18,
    6.524081149589261e-19,
    -1.3765771484849487e-19,
)

EDGE = 8.0
TWO_BY_PI = 2 / math.pi


def _far(f: Function, x: Value, order: int, second: bool) -> Value:
    """J or Y for x >= 8: sqrt(2 / (pi x)) (P cos(turn) - Q sin(turn)), turn = x - pi / 4 - ..., or
    P sin(turn) + Q cos(turn). Sums of sin(x) and cos(x) are those of turns, which would be rounded.
    """
    x = at_most(f, at_least(f, x, EDGE), 1e300)
    z = 8.0 / x
    t = z * z * 2.0 - 1.0
    p, q = chebyshev(f, t, (P0, P1)[order]), chebyshev(f, t, (Q0, Q1)[order]) * z
    sine, cosine = sin(f, x), cos(f, x)
    together, apart = sine + cosine, sine - cosine
    across, up = (apart, -together) if order else (together, apart)  # sqrt(2) cos and sin of turn
    made = p * up + q * across if second else p * across - q * up
    return made / f.sqrt(x * math.pi)


def _near(f: Function, x: Value, order: int) -> Value:
    """J for 0 <= x <= 8."""
    t = x * x * (1 / 32) - 1.0
    return chebyshev(f, t, J1_NEAR) * x if order else chebyshev(f, t, J0_NEAR)


def _first(f: Function, x: Value, order: int) -> Value:
    size = f.abs(x)
    near = _near(f, at_most(f, size, EDGE), order)
    away = size.cmp("ogt", EDGE)
    (made,) = replace_where(f, away, [near], lambda: [_far(f, size, order, False)])
    made = size.cmp("oeq", INF).select(0.0, made)
    return x.cmp("olt", 0.0).select(-made, made) if order else made


def _second(f: Function, x: Value, order: int) -> Value:
    low = at_most(f, x.cmp("ogt", 0.0).select(x, 1.0), EDGE)
    t = low * low * (1 / 32) - 1.0
    logarithm = (log(f, low) - math.log(2)) * _near(f, low, order)
    if order:
        near = (logarithm - 1.0 / low) * TWO_BY_PI + chebyshev(f, t, Y1_NEAR) * low
    else:
        near = f.fma(logarithm, TWO_BY_PI, chebyshev(f, t, Y0_NEAR))
    away = x.cmp("ogt", EDGE)
    (made,) = replace_where(f, away, [near], lambda: [_far(f, x, order, True)])
    made = x.cmp("oeq", INF).select(0.0, x.cmp("oeq", 0.0).select(-INF, made))
    return (x.cmp("olt", 0.0) | x.cmp("uno", x)).select(NAN, made)


def _spherical(f: Function, x: Value) -> Value:
    """sin(x) / x, 1 at 0 and 0 far out."""
    still = x.cmp("oeq", 0.0) | f.abs(x).cmp("oeq", INF)
    plain = still.select(1.0, x)
    return still.select(x.cmp("oeq", 0.0).select(1.0, f.const(x.type, 0.0)), sin(f, plain) / plain)


Recipe = Callable[[Function, Value], Value]
bessel_j0: Recipe = through_double(lambda f, x: _first(f, x, 0), graded=False)
bessel_j1: Recipe = through_double(lambda f, x: _first(f, x, 1), graded=False)
bessel_y0: Recipe = through_double(lambda f, x: _second(f, x, 0), graded=False)
bessel_y1: Recipe = through_double(lambda f, x: _second(f, x, 1), graded=False)
spherical_bessel_j0: Recipe = through_double(_spherical, graded=False)
