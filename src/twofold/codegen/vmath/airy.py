"""Airy's function of the first kind and its slope. Floor 3.

From -5 to 1.5 Chebyshev series in x. With z = 2/3 |x|^(3/2): above it, the series of
2 sqrt(pi) x^(1/4) exp(z) Ai(x) in 1 / z (Abramowitz and Stegun, 10.4.59); below it, those of the
amplitudes of sin and cos (10.4.60) in 1 / z^2. They were computed with 150 bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from twofold.codegen.vmath.core import (
    INF,
    NAN,
    Pair,
    at_least,
    at_most,
    chebyshev,
    replace_where,
    through_double,
    two_product,
)
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.trigonometry import cos, sin
from twofold.ir.build import Function
from twofold.ir.values import Value

AI_MIDDLE = (
    0.1676945785774288,
    0.02757026140495868,
    0.027757243031095568,
    -0.303231584499667,
    0.09721747000617868,
    0.14266789804931349,
    -0.10388988394463168,
    0.0004694826631249325,
    0.023752332418054974,
    -0.00834477324120236,
    -0.0010263417760842065,
    0.0014364225913710618,
    -0.0002930372211414472,
    -6.880704720149526e-05,
    4.5040729941862395e-05,
    -5.479691753977973e-06,
    -2.102260315946229e-06,
    8.624449330785692e-07,
    -5.716353185275745e-08,
    -3.851465938779368e-08,
    1.1093746760287883e-08,
    -2.650055691924841e-10,
    -4.765511504173936e-10,
    1.0201901281051424e-10,
    1.247915047041457e-12,
    -4.27080376080504e-12,
    7.003076826071533e-13,
    3.233389919194358e-14,
    -2.905892555810398e-14,
    3.700113130815535e-15,
    3.0054258006190293e-16,
    -1.553413353382452e-16,
    1.5370424936680398e-17,
    1.860589587447557e-18,
    -6.697025163302308e-19,
)
AIP_MIDDLE = (
    -0.06946575212320283,
    -0.001304631447546184,
    -0.15589781895714946,
    -0.03546739210120227,
    0.4039143370422358,
    -0.2747719336548729,
    -0.035063810801805755,
    0.10882148398684409,
    -0.03708619765834392,
    -0.008113075609734248,
    0.009131007985238372,
    -0.0017971262184468236,
    -0.0005924680178888165,
    0.0003668409530592477,
    -4.2011640276854364e-05,
    -2.120225874756682e-05,
    8.570129759865382e-06,
    -5.030802520962577e-07,
    -4.523710784950342e-07,
    1.301157930419786e-07,
    -2.0458302685234776e-09,
    -6.422628623103028e-09,
    1.3788570871947782e-09,
    2.914079793245477e-11,
    -6.510432489250015e-11,
    1.0710052622304015e-11,
    6.00348350654313e-13,
    -4.948702994104378e-13,
    6.310817946509663e-14,
    5.8373409753538894e-15,
    -2.924608715611385e-15,
    2.8886257421106667e-16,
    3.88259893028308e-17,
    -1.3816563003562747e-17,
    1.041708450049641e-18,
)
AI_RIGHT = (
    0.9775538508558448,
    -0.020862474405707418,
    0.0014022222549226902,
    -0.00015445535442993937,
    2.223027857676703e-05,
    -3.814039707573835e-06,
    7.432694286651159e-07,
    -1.5978444018868888e-07,
    3.71670649926353e-08,
    -9.228212412678121e-09,
    2.4214253709501665e-09,
    -6.663623292302786e-10,
    1.9118037464979788e-10,
    -5.6910431087836814e-11,
    1.7508908330772233e-11,
    -5.549279906384467e-12,
    1.8069244818591271e-12,
    -6.030606978495685e-13,
    2.05888857337351e-13,
    -7.177997941402771e-14,
    2.551612130924603e-14,
    -9.23607275842995e-15,
    3.400224741055721e-15,
    -1.271795632653484e-15,
    4.828427626993385e-16,
    -1.8591002635202005e-16,
    7.253937490810165e-17,
    -2.8662533411515464e-17,
    1.1461666422141806e-17,
    -4.6357456295272205e-18,
)
AIP_RIGHT = (
    1.0325540393026096,
    0.03061610698886664,
    -0.0017282814545023745,
    0.00017936566899158513,
    -2.5034441838149622e-05,
    4.214269334771186e-06,
    -8.106218858609341e-07,
    1.726037021455733e-07,
    -3.9854549275688644e-08,
    9.83768889436685e-09,
    -2.569015173609939e-09,
    7.041567017163338e-10,
    -2.0133857744203674e-10,
    5.975917522421261e-11,
    -1.8338492091521858e-11,
    5.7991598587790335e-12,
    -1.884521461102728e-12,
    6.278348985167987e-13,
    -2.1400165694300617e-13,
    7.449938710361333e-14,
    -2.6447533437152047e-14,
    9.561534609496595e-15,
    -3.5160904281561672e-15,
    1.3137694762703188e-15,
    -4.982988991462401e-16,
    1.9168964180767716e-16,
    -7.473213860474286e-17,
    2.9505935597651353e-17,
    -1.1790301642855203e-17,
    4.765387102417503e-18,
)
AI_P = (
    0.9996723415461005,
    -0.0003255483561055322,
    2.069745155969119e-06,
    -3.890961736474424e-08,
    1.3645959446950337e-09,
    -7.265563438866682e-11,
    5.234675629062907e-12,
    -4.749669415821452e-13,
    5.172156139604189e-14,
    -6.533725295545284e-15,
    9.33927407277721e-16,
    -1.4823330512580455e-16,
    2.5745988399644002e-17,
    -4.8369440585693956e-18,
)
AI_Q = (
    0.009272787915716868,
    -4.36175518450266e-05,
    5.29408468379181e-07,
    -1.434118865710255e-08,
    6.440324847796898e-10,
    -4.1176387496476087e-11,
    3.4235445378828598e-12,
    -3.490421701751702e-13,
    4.190838856265692e-14,
    -5.756075237141602e-15,
    8.850415992299218e-16,
    -1.4983889943593537e-16,
    2.7572529590754257e-17,
    -5.457802245876769e-18,
    1.1523597740972649e-18,
    -2.5773171990728105e-19,
    6.07062870393373e-20,
)
AIP_P = (
    1.0003878405275435,
    0.0003855407600036015,
    -2.2569547701994824e-06,
    4.13018222466532e-08,
    -1.42946827628554e-09,
    7.551623154582091e-11,
    -5.412684015866087e-12,
    4.893117688966832e-13,
    -5.313644450068392e-14,
    6.697975952039033e-15,
    -9.557415795023906e-16,
    1.5147815527564406e-16,
    -2.627782827949282e-17,
    4.931767229919422e-18,
)
AIP_Q = (
    -0.012994292197974976,
    4.8854131276963967e-05,
    -5.677205587014803e-07,
    1.5100908182073846e-08,
    -6.714291880368655e-10,
    4.2660160734257643e-11,
    -3.5316847824661884e-12,
    3.589361627928951e-13,
    -4.299261082091914e-14,
    5.893721067091959e-15,
    -9.047959045485937e-16,
    1.5298478264461462e-16,
    -2.81204658607951e-17,
    5.560993242981559e-18,
    -1.1731783415446457e-18,
    2.62197029509497e-19,
    -6.171808523461386e-20,
)

LOW, HIGH = -5.0, 1.5
LOW_Z, HIGH_Z = 2 / 3 * 5.0**1.5, 2 / 3 * 1.5**1.5
# of the function and of its slope: between, above, below
TABLES: tuple[tuple[Sequence[float], ...], ...]
TABLES = ((AI_MIDDLE, AI_RIGHT, AI_P, AI_Q), (AIP_MIDDLE, AIP_RIGHT, AIP_P, AIP_Q))


TWO_THIRDS = (2 / 3, 3.700743415417188e-17)


def _z(f: Function, size: Value) -> Pair:
    """2/3 size^(3/2) as a pair, as sin, cos and exp of it are wanted where it is large."""
    root = f.sqrt(size)
    root_low = f.fma(-root, root, size) / (root + root)
    cube, cube_low = two_product(f, size, root)
    cube_low = f.fma(size, root_low, cube_low)
    z, low = two_product(f, cube, TWO_THIRDS[0])
    return z, f.fma(cube, TWO_THIRDS[1], f.fma(cube_low, TWO_THIRDS[0], low))


def _right(f: Function, x: Value, slope: bool) -> Value:
    x = at_most(f, at_least(f, x, HIGH), 1e6)  # far beyond, it is 0
    (z, low), quarter = _z(f, x), f.sqrt(f.sqrt(x))
    power = exp(f, -z) * (0.5 / math.sqrt(math.pi))
    made = chebyshev(f, 2 * HIGH_Z / z - 1.0, TABLES[slope][1]) * f.fma(power, -low, power)
    return -made * quarter if slope else made / quarter


def _left(f: Function, x: Value, slope: bool) -> Value:
    size = at_least(f, at_most(f, -x, 1e200), -LOW)
    (z, low), quarter = _z(f, size), f.sqrt(f.sqrt(size))
    ratio = LOW_Z / z
    t = ratio * ratio * 2.0 - 1.0
    p, q = chebyshev(f, t, TABLES[slope][2]), chebyshev(f, t, TABLES[slope][3]) * ratio
    sine, cosine = sin(f, z), cos(f, z)
    sine, cosine = f.fma(cosine, low, sine), f.fma(sine, -low, cosine)
    # sin and cos of z + pi / 4, times sqrt(2)
    up, across = sine + cosine, cosine - sine
    made: Value = -(p * across + q * up) * quarter if slope else (p * up - q * across) / quarter
    made = made * math.sqrt(0.5 / math.pi)
    return made


def _airy(f: Function, x: Value, slope: bool) -> Value:
    inside = at_least(f, at_most(f, x, HIGH), LOW)
    middle = chebyshev(f, (inside - (HIGH + LOW) / 2) * (2 / (HIGH - LOW)), TABLES[slope][0])
    above, below = x.cmp("ogt", HIGH), x.cmp("olt", LOW)
    (made,) = replace_where(f, above, [middle], lambda: [_right(f, x, slope)])
    (made,) = replace_where(f, below, [made], lambda: [_left(f, x, slope)])
    endless = f.abs(x).cmp("oeq", INF)
    zero = f.const(x.type, 0.0)
    return endless.select(x.cmp("olt", 0.0).select(NAN, zero) if slope else zero, made)


airy_ai = through_double(lambda f, x: _airy(f, x, False), graded=False)
airy_ai_slope = through_double(lambda f, x: _airy(f, x, True), graded=False)
