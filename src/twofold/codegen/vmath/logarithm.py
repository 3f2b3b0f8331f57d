"""Logarithms, xlogy, and the inverse hyperbolic functions, which are made of them. Floor 3.

x = 2^e m with m near 1, and log(m) = f + t with f = m - 1, exact, and t a polynomial: in f for
float32, in s = f / (2 + f) for float64 (as in fdlibm, Sun 1993). Fitted by tools/fits.py ("log").
"""

from __future__ import annotations

from twofold.base.records import NamedTuple
from twofold.codegen.vmath.core import (
    INF,
    NAN,
    bits_of,
    element,
    fast_two_sum,
    flip,
    float_of,
    format_of,
    polynomial,
    replace_where,
    sign_of,
    through_double,
)
from twofold.ir.build import Function
from twofold.ir.values import Value

# Each constant as the type rounds it, and what is lost.
LN2 = {
    "f32": (0.6931471824645996, -1.9046542121259336e-09),
    "f64": (0.6931471805599453, 2.3190468138462996e-17),
}
LOG2_E = {
    "f32": (1.4426950216293335, 1.925963033500011e-08),
    "f64": (1.4426950408889634, 2.0355273740931033e-17),
}
LOG10_E = {
    "f32": (0.4342944920063019, -1.0103049952192578e-08),
    "f64": (0.4342944819032518, 1.098319650216765e-17),
}
LOG10_2 = {
    "f32": (0.3010300099849701, -1.432098883924482e-08),
    "f64": (0.3010299956639812, -2.8037281277851704e-18),
}
# The bits of the least m: 2/3 for float32, sqrt(1/2) for float64.
LEAST = {"f32": 0x3F2AAAAB, "f64": 0x3FE6A09E667F3BCD}

# log(1 + f) = f - f^2 / 2 + f^3 (c0 + c1 f + ...) for -1/3 <= f < 1/3
LOG_SINGLE = (
    0.3333321511745453,
    -0.24999797344207764,
    0.2001044750213623,
    -0.16680511832237244,
    0.1400526612997055,
    -0.1218390017747879,
    0.13987191021442413,
    -0.12893475592136383,
)
# log(1 + f) = 2 s + s^3 (c0 + c1 s^2 + ...) for m between sqrt(1/2) and sqrt(2)
LOG = {
    "f64": (
        0.6666666666666731,
        0.3999999999943418,
        0.2857142873872271,
        0.2222219890300126,
        0.18183548935803925,
        0.15314409838286816,
        0.14792630987490354,
    ),
    "single": (0.6666666566447567, 0.40000331910940495, 0.2853747922738194, 0.2357938677318257),
}


def split(f: Function, x: Value) -> tuple[Value, Value, Value]:
    """(m, e, the bits of e + bias) with x = 2^e m, for positive normal x."""
    form = format_of(x)
    whole = bits_of(x)
    biased = (whole + ((form.bias << form.mantissa) - LEAST[element(x)])).lshr(form.mantissa)
    m = float_of(whole - ((biased - form.bias) << form.mantissa))
    # the exponent as a float: put it in the low bits of 2^mantissa
    anchor = 2.0**form.mantissa
    e = float_of(biased | ((form.bias + form.mantissa) << form.mantissa)) - (anchor + form.bias)
    return m, e, biased


class Split(NamedTuple):
    """x = 2^e (1 + part), and where x is none of the positive normal numbers."""

    part: Value
    e: Value
    special: Value


def split_any(f: Function, x: Value) -> Split:
    """For all x: denormal numbers are raised first."""
    form = format_of(x)
    special = x.cmp("ult", form.smallest) | x.cmp("uge", INF)
    raised = float(form.mantissa + 2)
    zero = f.const(x.type, 0.0)

    def rare() -> list[Value]:
        low = x.cmp("olt", form.smallest)
        return [low.select(x * 2.0**raised, x), low.select(f.const(x.type, raised), 0.0)]

    x, lifted = replace_where(f, special, [x, zero], rare)
    m, e, _ = split(f, x)
    return Split(m - 1.0, e - lifted, special)


def log_near_one(f: Function, part: Value, grade: str) -> Value:
    """log(1 + part) - part, for the parts that `split` leaves."""
    square = part * part
    if grade == "f32":
        return f.fma(polynomial(f, part, LOG_SINGLE), part, -0.5) * square
    s = part / (part + 2.0)
    z = s * s
    half = square * 0.5
    return f.fma(s, f.fma(polynomial(f, z, LOG[grade]), z, half), -half)


def at_ends(f: Function, x: Value, special: Value, made: Value) -> Value:
    """What logarithms are at 0, below it, at infinity and of NaN."""

    def rare() -> list[Value]:
        below = x.cmp("oeq", 0.0).select(f.const(x.type, -INF), NAN)
        ends = x.cmp("ogt", 0.0).select(made, below)
        return [x.cmp("olt", INF).select(ends, x)]

    return replace_where(f, special, [made], rare)[0]


def log(f: Function, x: Value, grade: str | None = None) -> Value:
    """The natural logarithm."""
    kind = grade or element(x)

    def rare() -> list[Value]:
        part, e, special = split_any(f, x)
        return [at_ends(f, x, special, join(f, e, part, log_near_one(f, part, kind)))]

    m, e, _ = split(f, x)
    part = m - 1.0
    made = join(f, e, part, log_near_one(f, part, kind))
    return replace_where(f, not_positive_normal(x), [made], rare)[0]


def not_positive_normal(x: Value) -> Value:
    """Where x is none of the positive normal numbers, by one comparison of its bits."""
    form = format_of(x)
    first = 1 << form.mantissa
    end = (2 * form.bias + 1) << form.mantissa  # infinity
    return (bits_of(x) - first).cmp("uge", end - first)


def join(f: Function, e: Value, part: Value, t: Value) -> Value:
    """e ln 2 + part + t, the small terms first."""
    high, low = LN2[element(e)]
    return f.fma(e, high, f.fma(e, low, t) + part)


def log2(f: Function, x: Value) -> Value:
    """The logarithm to base 2."""
    part, e, special = split_any(f, x)
    t = log_near_one(f, part, element(x))
    high, low = LOG2_E[element(x)]
    # e + ... may cancel against part * high: keep what the sum loses
    near, lost = fast_two_sum(e, f.fma(t, high, part * low))
    return at_ends(f, x, special, f.fma(part, high, near) + lost)


def log10(f: Function, x: Value) -> Value:
    """The logarithm to base 10."""
    part, e, special = split_any(f, x)
    t = log_near_one(f, part, element(x))
    high, low = LOG10_E[element(x)]
    step, rest = LOG10_2[element(x)]
    made = f.fma(part, high, f.fma(e, rest, f.fma(t, high, part * low)))
    return at_ends(f, x, special, f.fma(e, step, made))


def log1p(f: Function, x: Value, grade: str | None = None) -> Value:
    """log(1 + x), with all its digits where x is small."""
    form = format_of(x)
    u = x + 1.0
    lost = x - (u - 1.0)
    m, e, biased = split(f, u)
    # what 1 + x lost to rounding, at the scale of m; nothing beside the largest x
    back = float_of(f.max(2 * form.bias - biased, 0) << form.mantissa)
    part = f.fma(lost, back, m - 1.0)
    made = join(f, e, part, log_near_one(f, part, grade or element(x)))
    special = u.cmp("ule", 0.0) | u.cmp("uge", INF)
    made = at_ends(f, u, special, made)
    # 1 + x is 1
    return f.abs(x).cmp("olt", 2.0 ** -(form.mantissa + 2)).select(x, made)


def xlogy(f: Function, x: Value, y: Value) -> Value:
    """x * log(y), and 0 where x is 0 unless y is NaN."""
    zero = x.cmp("oeq", 0.0) & y.cmp("ord", y)
    return zero.select(0.0, x * log(f, y))


def _xlog1py(f: Function, x: Value, y: Value, grade: str) -> Value:
    """x * log(1 + y), and 0 where x is 0 unless y is NaN."""
    zero = x.cmp("oeq", 0.0) & y.cmp("ord", y)
    return zero.select(0.0, x * log1p(f, y, grade))


xlog1py = through_double(_xlog1py)


# Above, x * x overflows, and x + 1 and x - 1 are x.
VAST = 2.0**500


def _asinh(f: Function, x: Value, grade: str) -> Value:
    """The inverse hyperbolic sine."""
    size = f.abs(x)
    root = f.sqrt(f.fma(size, size, 1.0)) + 1.0
    inside = size + size * (size / root)
    inside = size.cmp("olt", INF).select(inside, size)
    if grade == "single":
        return flip(log1p(f, inside, grade), sign_of(x))
    vast = size.cmp("ogt", VAST)
    made = log1p(f, vast.select(size, inside), grade)
    return flip(vast.select(made + LN2["f64"][0], made), sign_of(x))


def _acosh(f: Function, x: Value, grade: str) -> Value:
    """The inverse hyperbolic cosine; NaN below 1."""
    above = x - 1.0
    inside = above + f.sqrt(above * (x + 1.0))
    if grade == "single":
        made = log1p(f, inside, grade)
    else:
        vast = x.cmp("ogt", VAST)
        made = log1p(f, vast.select(x, inside), grade)
        made = vast.select(made + LN2["f64"][0], made)
    return x.cmp("olt", 1.0).select(NAN, made)


def _atanh(f: Function, x: Value, grade: str) -> Value:
    """The inverse hyperbolic tangent; infinite at 1 and -1, NaN beyond."""
    size = f.abs(x)
    inside = (size + size) / (1.0 - size)
    return flip(log1p(f, inside, grade) * 0.5, sign_of(x))


asinh = through_double(_asinh)
acosh = through_double(_acosh)
atanh = through_double(_atanh)
