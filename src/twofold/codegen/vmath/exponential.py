"""exp, exp2, expm1, sigmoid and tanh. Floor 3.

x = k ln 2 + r with |r| <= ln 2 / 2 (Cody and Waite 1980), and exp(r) is a polynomial fitted by
tools/fits.py ("exp", "expm1", "exp2").
"""

from __future__ import annotations

from twofold.codegen.target import host
from twofold.codegen.vmath.core import (
    at_least,
    at_most,
    bits_of,
    element,
    flip,
    float_of,
    format_of,
    polynomial,
    sign_of,
)
from twofold.ir.build import Function
from twofold.ir.loops import TYPES
from twofold.ir.values import Value

LOG2E = 1.4426950408889634
LN2 = {  # rounded to the type, and what is lost
    "f32": (0.6931471824645996, -1.9046542121259336e-09),
    "f64": (0.6931471805599453, 2.3190468138462996e-17),
}
# 2**LIFT times exp(x) is a normal number wherever exp(x) is more than 0, and for x up to 40.
LIFT = {"f32": 64, "f64": 256}
# Above, exp overflows; below, exp is 0. The half of exp that sinh takes needs one more.
HIGH = {"f32": 90.0, "f64": 711.0}
LOW = {"f32": -105.0, "f64": -746.0}

# exp(r) = 1 + r + r^2 (c0 + c1 r + ...)
EXP = {
    "f32": (
        0.4999999403953552,
        0.1666652113199234,
        0.04166826605796814,
        0.008368685841560364,
        0.001382080721668899,
    ),
    "f64": (
        0.500000000000001,
        0.16666666666666405,
        0.04166666666653418,
        0.008333333333500125,
        0.0013888888942795187,
        0.0001984126949351669,
        2.4801493798407514e-05,
        2.7557598327731292e-06,
        2.7630044488800274e-07,
        2.4996272455110576e-08,
    ),
}
# The same, with a small relative error of exp(r) - 1.
EXPM1 = {
    "f32": (
        0.5,
        0.1666666716337204,
        0.04166647791862488,
        0.008333184756338596,
        0.0013933749869465828,
        0.00019960003555752337,
    ),
    "f64": (
        0.5,
        0.16666666666666677,
        0.041666666666666685,
        0.00833333333332145,
        0.001388888888887287,
        0.00019841269886545894,
        2.4801587350716988e-05,
        2.7557243804356808e-06,
        2.7557250066945073e-07,
        2.5109175578168993e-08,
        2.092241968675192e-09,
    ),
}
# 2^r = 1 + r (c0 + c1 r + ...) for |r| <= 1/2
EXP2 = {
    "f32": (
        0.6931471824645996,
        0.24022650718688965,
        0.05550358071923256,
        0.009618079289793968,
        0.0013391714310273528,
        0.0001545768027426675,
    ),
    "f64": (
        0.6931471805599453,
        0.2402265069591013,
        0.05550410866482299,
        0.00961812910759419,
        0.00133335581461477,
        0.00015403530457211884,
        1.5252734053870286e-05,
        1.3215435169651282e-06,
        1.0177978447289266e-07,
        7.073810394102967e-09,
        4.466613012219797e-10,
    ),
    "single": (
        0.6931471805427083,
        0.24022651067478543,
        0.055504109605125126,
        0.009618037791376372,
        0.0013333431938772988,
        0.00015466899181565093,
        1.5314751845253677e-05,
    ),
}


def scale(f: Function, p: Value, rounded: Value, shift: int = 0) -> Value:
    """p * 2**(k + shift), where `rounded` is k + magic.

    In two steps, neither of which leaves the normal numbers, so that a result that overflows or
    is denormal is rounded once.
    """
    form = format_of(p)
    if host().scale:
        return f.scale(p, rounded - form.magic + float(shift) if shift else rounded - form.magic)
    k = bits_of(rounded) - (form.magic_bits - 2 * form.bias - shift)
    half = k.lshr(1)
    rest = k - half
    return p * float_of(half << form.mantissa) * float_of(rest << form.mantissa)


def reduce(f: Function, x: Value) -> tuple[Value, Value]:
    """(r, k + magic) with x = k ln 2 + r. The first subtraction is exact."""
    name, magic = element(x), format_of(x).magic
    high, low = LN2[name]
    rounded = f.fma(x, LOG2E, magic)
    k = rounded - magic
    r = f.fma(k, -high, x)
    return f.fma(k, -low, r), rounded


def exp_scaled(f: Function, x: Value, shift: int = 0) -> Value:
    """exp(x) * 2**shift, for x that are not beyond HIGH and LOW."""
    r, rounded = reduce(f, x)
    p = polynomial(f, r, EXP[element(x)])
    return scale(f, f.fma(p, r * r, r) + 1.0, rounded, shift)


def exp(f: Function, x: Value) -> Value:
    """e to the power x."""
    name = element(x)
    return exp_scaled(f, at_least(f, at_most(f, x, HIGH[name]), LOW[name]))


def exp_lifted(f: Function, x: Value) -> Value:
    """exp(x) for LOW <= x <= 40, with the bits of `exp`.

    There is no overflow to guard against, so the power of two is one multiplication by a number
    that is 2**LIFT too large, which is exact, and one that rounds at most once. Lift and bias ride
    on the constant that rounds x / ln 2 to a whole number. A NaN stays, whatever its bits are.
    A CPU that scales by powers of two in one instruction needs no lift.
    """
    name, form = element(x), format_of(x)
    if host().scale and TYPES[x.type].is_vector:
        return exp_scaled(f, x)
    high, low = LN2[name]
    magic = form.magic + form.bias + LIFT[name]
    rounded = f.fma(x, LOG2E, magic)
    k = rounded - magic
    r = f.fma(k, -low, f.fma(k, -high, x))
    p = f.fma(polynomial(f, r, EXP[name]), r * r, r) + 1.0
    return p * float_of(bits_of(rounded) << form.mantissa) * 2.0 ** -LIFT[name]


def exp2(f: Function, x: Value, grade: str | None = None) -> Value:
    """2 to the power x."""
    form = format_of(x)
    # 2**(bias + 1) overflows; half the smallest denormal number rounds to 0
    x = at_most(f, x, form.bias + 2.0)
    x = at_least(f, x, -(form.bias + form.mantissa + 2.0))
    rounded = x + form.magic
    r = x - (rounded - form.magic)
    p = polynomial(f, r, EXP2[grade or element(x)])
    return scale(f, f.fma(p, r, 1.0), rounded)


# Where exp(x) - 1 rounds to -1.
ALL_LOST = {"f32": -20.0, "f64": -40.0}


def expm1_within(f: Function, x: Value) -> Value:
    """exp(x) - 1 for ALL_LOST <= x <= HIGH, that is not denormal."""
    form = format_of(x)
    r, rounded = reduce(f, x)
    p = polynomial(f, r, EXPM1[element(x)])
    p = f.fma(p, r * r, r)
    # (2^k p + 2^k - 1), halved so that 2^k does not overflow before the sum does
    k = bits_of(rounded) - (form.magic_bits - form.bias + 1)
    half = float_of(k << form.mantissa)
    return f.fma(half, p, half - 0.5) * 2.0


def expm1(f: Function, x: Value) -> Value:
    """exp(x) - 1, with all its digits where x is small."""
    name, form = element(x), format_of(x)
    high = {"f32": 89.0, "f64": 710.0}[name]
    made = expm1_within(f, at_least(f, at_most(f, x, high), ALL_LOST[name]))
    tiny = f.abs(x).cmp("olt", 2.0 ** -(form.mantissa + 3))
    return tiny.select(x, made)


def sigmoid(f: Function, x: Value) -> Value:
    """1 / (1 + exp(-x)), with all its digits where x is far below 0.

    With t = exp(-|x|) it is 1 / (1 + t), below 0 t / (1 + t). What the sum, the reciprocal and the
    product lose shows in the remainder, where the first subtraction is exact (Sterbenz 1974).
    """
    t = exp_lifted(f, at_least(f, -f.abs(x), LOW[element(x)]))
    top = bits_of(x).cmp("slt", 0).select(t, 1.0)
    inverse = 1.0 / (t + 1.0)
    made = top * inverse
    remainder = f.fma(-made, t, top - made)
    return f.fma(remainder, inverse, made)


# tanh(x) = x + x^3 (c0 + c1 x^2 + ...) for |x| <= 5/8
TANH = (
    -0.3333328068256378,
    0.13331416249275208,
    -0.05373794212937355,
    0.020634135231375694,
    -0.005700134206563234,
)


def tanh(f: Function, x: Value) -> Value:
    """The hyperbolic tangent."""
    return tanh_single(f, x) if element(x) == "f32" else tanh_double(f, x)


def tanh_single(f: Function, x: Value) -> Value:
    """A polynomial near 0, elsewhere 1 - 2 / (exp(2 |x|) + 1)."""
    size = f.abs(x)
    square = size * size
    small = f.fma(polynomial(f, square, TANH) * square, size, size)
    # beyond 10 the result rounds to 1
    large = 1.0 - 1.0 / (half_expm1_of_twice(f, at_most(f, size, 10.0)) + 1.0)
    return flip(size.cmp("olt", 0.625).select(small, large), sign_of(x))


# EXPM1 for r / 2 instead of r, and twice as large: powers of two, that change no rounding.
HALVED = tuple(c * 2.0 ** (k + 1) for k, c in enumerate(EXPM1["f32"]))


def half_expm1_of_twice(f: Function, x: Value) -> Value:
    """(exp(2 x) - 1) / 2 for 0.625 <= x <= 10."""
    form = format_of(x)
    high, low = LN2["f32"]
    rounded = f.fma(x, 2.0 * LOG2E, form.magic)
    k = rounded - form.magic
    r = f.fma(k, -low / 2, f.fma(k, -high / 2, x))
    p = f.fma(polynomial(f, r, HALVED), r * r, r)
    power = float_of((bits_of(rounded) - (form.magic_bits - form.bias)) << form.mantissa)
    return f.fma(power, p, f.fma(power, 0.5, -0.5))


def tanh_double(f: Function, x: Value) -> Value:
    """t / (t + 2) with t = exp(2 |x|) - 1."""
    # beyond 22 the result rounds to 1
    t = expm1_within(f, at_most(f, f.abs(x) * 2.0, 44.0))
    return flip(t / (t + 2.0), sign_of(x))
