"""sin, cos, tan, sinpi, sinc, exact reduction included, for arguments of any size. Floor 3.

x = n (pi / 2) + r with |r| <= pi / 2, n even for sin and odd for cos: then both are one odd
polynomial of r. r is a pair of floats, since near a multiple of pi its first digits cancel.
"""

from __future__ import annotations

from twofold.base.records import NamedTuple
from twofold.codegen.vmath.core import (
    Pair,
    bits_of,
    element,
    fast_two_sum,
    flip,
    format_of,
    polynomial,
    replace_where,
    through_double,
    to_double,
    to_single,
    two_product,
)
from twofold.codegen.vmath.pi import turns
from twofold.ir.build import Function
from twofold.ir.loops import TYPES, with_element
from twofold.ir.values import Value

# pi / 2 in three parts, each rounded to the type.
HALF_PI = {
    "f32": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "f64": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591698e-33),
}
ONE_OVER_PI = 0.3183098861837907
TWO_OVER_PI = 0.6366197723675814
# Up to here the three parts of pi leave all digits of r; beyond, `turns` multiplies exactly.
NEAR = {"f32": 2.0**15, "f64": 2.0**28}

# sin(r) = r + r^3 (c0 + c1 r^2 + ...) for |r| <= pi / 2
SIN = {
    "f32": (
        -0.16666659712791443,
        0.008333069272339344,
        -0.00019809773948509246,
        2.606081807243754e-06,
    ),
    "f64": (
        -0.16666666666666666,
        0.008333333333333208,
        -0.00019841269841213335,
        2.7557319211732494e-06,
        -2.5052106919974838e-08,
        1.6058941795676177e-10,
        -7.643040064256868e-13,
        2.7216365122862156e-15,
    ),
}
# The same for |r| <= pi / 4, and cos(r) = 1 - r^2 / 2 + r^4 (c0 + c1 r^2 + ...).
SIN_EIGHTH = {
    "f64": (
        -0.1666666666666663,
        0.008333333333321907,
        -0.0001984126982944294,
        2.755731357544435e-06,
        -2.505074108274305e-08,
        1.5895863877662702e-10,
    ),
    "single": (
        -0.1666666664071627,
        0.008333329294647699,
        -0.00019839308834215908,
        2.718087879830471e-06,
    ),
}
COS_EIGHTH = {
    "f64": (
        0.0416666666666666,
        -0.0013888888888874467,
        2.4801587289663036e-05,
        -2.755731439732644e-07,
        2.0875728618096218e-09,
        -1.1359892213959213e-11,
    ),
    "single": (0.04166664683370668, -0.0013887365554433996, 2.4438195605070165e-05),
}


class Reduced(NamedTuple):
    """An angle less n quarters of a turn: what is left, as a pair, and an integer with n's parity
    (of n / 2 where n is even, of (n - 1) / 2 where it is odd) in its lowest bit."""

    high: Value
    low: Value
    turns: Value


def subtract_quarters(f: Function, x: Value, n: Value) -> Pair:
    """x - n pi / 2 as a pair."""
    a, b, c = HALF_PI[element(x)]
    # exact: both are multiples of the last place of pi / 2, and the difference is below 2
    rest = f.fma(n, -a, x)
    product, error = two_product(f, n, b)
    high = rest - product
    low = (rest - high) - product - error
    return high, f.fma(n, -c, low)


def reduce(f: Function, x: Value, odd: bool) -> Reduced:
    """x less an even (or odd) number of quarter turns, so that |r| <= pi / 2."""
    magic = format_of(x).magic
    if odd:
        rounded = f.fma(x, ONE_OVER_PI, -0.5) + magic
        n = f.fma(rounded - magic, 2.0, 1.0)
    else:
        rounded = f.fma(x, ONE_OVER_PI, magic)
        n = (rounded - magic) * 2.0
    usual = (*subtract_quarters(f, x, n), bits_of(rounded))
    far = f.abs(x).cmp("ogt", NEAR[element(x)])
    step = "half turns, from a quarter" if odd else "half turns"
    return Reduced(*replace_where(f, far, usual, lambda: reduce_far(f, x, step)))


def reduce_far(f: Function, x: Value, step: str) -> Reduced:
    """The same for arguments of any size, slowly."""
    if element(x) == "f64":
        return Reduced(*each_far(f, x, step))
    high, low, count = each_far(f, to_double(x), step)
    single = to_single(high)
    low = to_single((high - to_double(single)) + low)
    return Reduced(single, low, count.cast("trunc", with_element(x.type, "i32")))


def each_far(f: Function, x: Value, step: str) -> tuple[Value, Value, Value]:
    """`turns`, one lane after the other: it is long, and seldom wanted."""
    lanes = TYPES[x.type].lanes
    if lanes == 1:
        return turns(f, x, step)
    names = ("f64", "f64", "i64")
    places = [f.array(name, lanes, align=64) for name in names]
    given = f.array("f64", lanes, align=64)
    given.store(x)
    with f.loop(0, lanes) as lane:
        one = given.at(lane, "f64").load("f64")
        for name, place, value in zip(names, places, turns(f, one, step), strict=True):
            place.at(lane, name).store(value)
    high, low, count = (p.load(with_element(x.type, n)) for n, p in zip(names, places, strict=True))
    return high, low, count


def sine(f: Function, high: Value, low: Value) -> Value:
    """sin(high + low) for an angle of at most a quarter turn; `low` is a correction."""
    z, rest = two_product(f, high, high)
    p = high * polynomial(f, z, SIN[element(high)])
    slope = f.fma(z, -0.5, 1.0)
    return high + f.fma(z, p, f.fma(rest, p, low * slope))


def _negate_odd(x: Value, count: Value) -> Value:
    return flip(x, count << (format_of(x).bits - 1))


def sin(f: Function, x: Value) -> Value:
    """The sine of an angle in radians."""
    high, low, count = reduce(f, x, odd=False)
    made = _negate_odd(sine(f, high, low), count)
    return x.cmp("oeq", 0.0).select(x, made)


def cos(f: Function, x: Value) -> Value:
    """The cosine of an angle in radians: cos(q pi + pi / 2 + r) = -sin(r) for even q."""
    high, low, count = reduce(f, x, odd=True)
    return _negate_odd(-sine(f, high, low), count)


def _tan(f: Function, x: Value, grade: str) -> Value:
    """The tangent of an angle in radians."""
    magic = format_of(x).magic
    rounded = f.fma(x, TWO_OVER_PI, magic)
    usual = (*subtract_quarters(f, x, rounded - magic), bits_of(rounded))
    far = f.abs(x).cmp("ogt", NEAR["f64"])
    high, low, count = replace_where(f, far, usual, lambda: each_far(f, x, "quarter turns"))
    z = high * high
    # sin and cos of high + low
    bend = z * polynomial(f, z, SIN_EIGHTH[grade])
    s = high + f.fma(high, bend, low * f.fma(z, -0.5, 1.0))
    half = z * 0.5
    whole, error = fast_two_sum(f.const(x.type, 1.0), -half)
    c = whole + (error + f.fma(z * z, polynomial(f, z, COS_EIGHTH[grade]), -(high * low)))
    odd = (count & 1).cmp("ne", 0)
    made = odd.select(-c, s) / odd.select(s, c)
    return x.cmp("oeq", 0.0).select(x, made)


tan = through_double(_tan)


def sinpi(f: Function, x: Value) -> Value:
    """sin(pi x): 0 at every whole number."""
    n = f.rint(x)
    part = x - n
    half = n * 0.5
    odd = f.trunc(half).cmp("one", half)
    a, b, _ = HALF_PI[element(x)]
    # pi * part, as a pair
    high, low = two_product(f, part, 2.0 * a)
    made = sine(f, high, f.fma(part, 2.0 * b, low))
    made = odd.select(-made, made)
    return part.cmp("oeq", 0.0).select(f.copysign(part, x), made)


def _sinc(f: Function, x: Value) -> Value:
    """sin(pi x) / (pi x), and 1 at 0."""
    a, b, _ = HALF_PI[element(x)]
    high, low = two_product(f, x, 2.0 * a)
    low = f.fma(x, 2.0 * b, low)
    quotient = sinpi(f, x) / high
    # the divisor is high + low: correct the quotient for what was left out
    made = f.fma(-quotient, low / high, quotient)
    made = f.rint(x).cmp("oeq", x).select(0.0, made)
    return f.abs(x).cmp("olt", 2.0**-28).select(1.0, made)


sinc = through_double(_sinc, graded=False)
