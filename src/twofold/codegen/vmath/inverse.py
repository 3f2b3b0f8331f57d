"""asin, acos, atan, atan2. Floor 3.

Arguments are brought near 0 by half-angle and difference formulas; what remains is an odd
polynomial, fitted by tools/fits.py ("asin", "atan"). Multiples of pi are added in two parts.
"""

from __future__ import annotations

from twofold.codegen.vmath.core import (
    NAN,
    element,
    fast_two_sum,
    flip,
    polynomial,
    sign_of,
    through_double,
)
from twofold.ir.build import Function
from twofold.ir.values import Value

QUARTER_PI = {  # rounded to the type, and what is lost
    "f32": (0.7853981852531433, -2.1855694143368964e-08),
    "f64": (0.7853981633974483, 3.061616997868383e-17),
}
# asin(x) = x + x^3 (c0 + c1 x^2 + ...) for |x| <= 1/2
ASIN = {
    "f32": (
        0.16666752099990845,
        0.07495307177305222,
        0.04546964168548584,
        0.024181494489312172,
        0.042165134102106094,
    ),
    "f64": (
        0.16666666666666757,
        0.07499999999971393,
        0.04464285717418412,
        0.030381942723896507,
        0.022372214623835873,
        0.017351617301009616,
        0.013980769186737024,
        0.011399250822918233,
        0.010778744153646215,
        0.003710832139276199,
        0.021699418864080257,
        -0.020991158050835606,
        0.03262563404494537,
    ),
}
# atan(x) = x + x^3 (c0 + c1 x^2 + ...) for |x| <= tan(pi / 8)
ATAN = {
    "f32": (
        -0.33333316445350647,
        0.1999852955341339,
        -0.14244428277015686,
        0.10599464178085327,
        -0.06090807169675827,
    ),
    "f64": (
        -0.333333333333332,
        0.19999999999953694,
        -0.142857142802023,
        0.11111110783638027,
        -0.09090897761641395,
        0.07692060280403651,
        -0.0666310484641558,
        0.05847895848335937,
        -0.05039338387870724,
        0.038065535575338025,
        -0.017908414443750145,
    ),
    "single": (
        -0.333333325052065,
        0.1999990430356064,
        -0.14282016720773025,
        0.11044783746908791,
        -0.08476709348100717,
        0.047448425884055956,
    ),
}
TAN_EIGHTH = 0.4142135623730951
TAN_THREE_EIGHTHS = 2.414213562373095


def near_zero(f: Function, size: Value) -> tuple[Value, Value, Value]:
    """(far, y, t): asin(|x|) = y + t, but pi / 2 - 2 (y + t) where |x| is far from 0."""
    far = size.cmp("ogt", 0.5)
    half = (1.0 - size) * 0.5
    z = far.select(half, size * size)
    root = f.sqrt(half)
    # the rounding error of the square root, which the factor 2 would show
    error = f.fma(-root, root, half) / (root + root)
    error = (far & root.cmp("ogt", 0.0)).select(error, 0.0)
    y = far.select(root, size)
    return far, y, f.fma(y * z, polynomial(f, z, ASIN[element(size)]), error)


def asin(f: Function, x: Value) -> Value:
    """The inverse sine; NaN beyond 1."""
    far, y, t = near_zero(f, f.abs(x))
    high, low = (2.0 * part for part in QUARTER_PI[element(x)])
    rest, lost = fast_two_sum(f.const(x.type, high), y * -2.0)
    made = far.select(rest + (lost + low - t * 2.0), y + t)
    return flip(made, sign_of(x))


def acos(f: Function, x: Value) -> Value:
    """The inverse cosine; NaN beyond 1."""
    far, y, t = near_zero(f, f.abs(x))
    high, low = (2.0 * part for part in QUARTER_PI[element(x)])
    # x near 0: pi/2 - asin(x); x near 1: 2 (y + t); x near -1: pi - 2 (y + t)
    sign = sign_of(x)
    y = flip(far.select(y * -2.0, y), sign)
    t = flip(far.select(t * -2.0, t), sign)
    below = x.cmp("olt", 0.0)
    start = far.select(below.select(f.const(x.type, 2.0 * high), 0.0), high)
    extra = far.select(below.select(f.const(x.type, 2.0 * low), 0.0), low)
    rest, lost = fast_two_sum(start, -y)
    return rest + (lost + extra - t)


def atan_near_zero(f: Function, y: Value, grade: str) -> Value:
    """atan(y) - y for |y| <= tan(pi / 8)."""
    z = y * y
    return z * y * polynomial(f, z, ATAN[grade])


def atan(f: Function, x: Value) -> Value:
    """The inverse tangent."""
    size = f.abs(x)
    middle = size.cmp("ogt", TAN_EIGHTH)
    far = size.cmp("ogt", TAN_THREE_EIGHTHS)
    top = far.select(-1.0, middle.select(size - 1.0, size))
    bottom = far.select(size, middle.select(size + 1.0, 1.0))
    y = top / bottom
    t = atan_near_zero(f, y, element(x))
    high, low = QUARTER_PI[element(x)]
    start = far.select(2.0 * high, middle.select(f.const(x.type, high), 0.0))
    extra = far.select(2.0 * low, middle.select(f.const(x.type, low), 0.0))
    total, lost = fast_two_sum(start, y)
    near = y + t
    made = middle.select(total + (lost + (t + extra)), near)
    return flip(made, sign_of(x))


def _atan2(f: Function, y: Value, x: Value, grade: str) -> Value:
    """The angle of the point (x, y), from -pi to pi, with the signs of zeros as in C99."""
    up, across = f.abs(y), f.abs(x)
    steep = up.cmp("ogt", across)
    large, small = steep.select(up, across), steep.select(across, up)
    # away from overflow and from denormal numbers; infinities are as far as each other
    factor = large.cmp("ogt", 2.0**1020).select(f.const(x.type, 0.25), 1.0)
    factor = large.cmp("olt", 2.0**-900).select(2.0**120, factor)
    endless = small.cmp("oeq", float("inf"))
    large = endless.select(1.0, large * factor)
    small = endless.select(1.0, small * factor)
    middle = small.cmp("ogt", large * TAN_EIGHTH)
    bottom = middle.select(small + large, large)
    bottom = bottom.cmp("oeq", 0.0).select(1.0, bottom)
    part = middle.select(small - large, small) / bottom
    t = atan_near_zero(f, part, grade)
    # the angle is turned into its octant: count * pi / 4 + sign * (part + t)
    count = middle.select(f.const(x.type, 1.0), 0.0)
    left = sign_of(x)
    count = steep.select(2.0 - count, count)
    back = flip(f.const(x.type, 1.0), left)
    count = f.fma(back, count, 2.0 - back * 2.0)
    turned = steep.select(-back, back)
    high, low = QUARTER_PI["f64"]
    start = count * high
    extra = f.fma(count, low, f.fma(count, high, -start))
    part, t = part * turned, t * turned
    total, lost = fast_two_sum(start, part)
    made = count.cmp("oeq", 0.0).select(part + t, total + (lost + (t + extra)))
    made = flip(f.abs(made), sign_of(y))
    return x.cmp("uno", y).select(NAN, made)


atan2 = through_double(_atan2)
