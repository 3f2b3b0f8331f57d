"""pow and hypot, with the special cases of C99. Floor 3.

|x|^y = exp(y log|x|). For float32 a logarithm in float64 has digits enough; for float64 logarithm
and product are pairs of floats, about 100 bits.
"""

from __future__ import annotations

from twofold.codegen.vmath.core import (
    INF,
    NAN,
    Pair,
    element,
    fast_two_sum,
    flip,
    polynomial,
    sign_of,
    through_double,
    to_double,
    to_single,
    two_product,
)
from twofold.codegen.vmath.exponential import EXP, exp2, reduce, scale
from twofold.codegen.vmath.logarithm import LN2, LOG2_E, log_near_one, split, split_any
from twofold.ir.build import Function
from twofold.ir.values import Value

TWO_THIRDS = (0.6666666666666666, 3.700743415417188e-17)
# log(1 + f) = 2 s + 2/3 s^3 + s^5 (c0 + c1 s^2 + ...); tools/fits.py, "log_tail"
LOG_TAIL = (
    0.39999999999999997,
    0.2857142857143423,
    0.2222222221989238,
    0.18181818610205921,
    0.1538457298671515,
    0.1333574978059777,
    0.11685441787793407,
    0.11906949206303194,
)


def pow(f: Function, x: Value, y: Value) -> Value:
    """x to the power y."""
    size = f.abs(x)
    usual = power_single if element(x) == "f32" else power_double
    made = usual(f, size, y)
    # at the ends it is 0 or infinite
    end = size.cmp("oeq", 0.0) | size.cmp("oeq", INF) | f.abs(y).cmp("oeq", INF)
    grows = size.cmp("ogt", 1.0) ^ y.cmp("olt", 0.0)
    made = end.select(grows.select(f.const(x.type, INF), 0.0), made)
    # below 0, only whole powers
    half = y * 0.5
    whole = f.rint(y).cmp("oeq", y)
    odd = whole & f.rint(half).cmp("one", half)
    made = odd.select(flip(made, sign_of(x)), made)
    broken = x.cmp("olt", 0.0) & size.cmp("olt", INF) & f.rint(y).cmp("one", y)
    made = (broken | x.cmp("uno", y)).select(NAN, made)
    # 1 to any power, -1 to an endless one, anything to the power 0
    one = x.cmp("oeq", 1.0) | (size.cmp("oeq", 1.0) & f.abs(y).cmp("oeq", INF))
    return (one | y.cmp("oeq", 0.0)).select(1.0, made)


def power_single(f: Function, size: Value, y: Value) -> Value:
    """For float32, in float64. Right but where `pow` overrules it."""
    m, e, _ = split(f, to_double(size))
    part = m - 1.0  # a denormal float32 is a normal float64
    log2 = f.fma(part + log_near_one(f, part, "single"), LOG2_E["f64"][0], e)
    return to_single(exp2(f, log2 * to_double(y), "single"))


def power_double(f: Function, size: Value, y: Value) -> Value:
    """For float64, in pairs. Right but where `pow` overrules it."""
    high, low = log_pair(f, size)
    product, error = two_product(f, y, high)
    error = f.fma(y, low, error)
    # far beyond the largest and the least power the correction is not finite
    product = product.cmp("ogt", 800.0).select(800.0, product)
    product = product.cmp("olt", -800.0).select(-800.0, product)
    error = f.abs(product).cmp("oeq", 800.0).select(0.0, error)
    r, rounded = reduce(f, product)
    r = r + error
    p = polynomial(f, r, EXP["f64"])
    return scale(f, f.fma(p, r * r, r) + 1.0, rounded)


def log_pair(f: Function, x: Value) -> Pair:
    """The natural logarithm of a positive float64, with about 14 bits more than it has."""
    part, e, _ = split_any(f, x)
    # s = part / (2 + part), as a pair
    bottom, lost = fast_two_sum(f.const(x.type, 2.0), part)
    s = part / bottom
    s_low = (f.fma(-s, bottom, part) - s * lost) / bottom
    z, z_low = two_product(f, s, s)
    z_low = f.fma(s + s, s_low, z_low)
    # s^3 (2/3 + z * tail), as a pair
    q, q_low = fast_two_sum(f.const(x.type, TWO_THIRDS[0]), z * polynomial(f, z, LOG_TAIL))
    q_low = q_low + TWO_THIRDS[1]
    cube, cube_low = two_product(f, s, z)
    cube_low = f.fma(s, z_low, f.fma(s_low, z, cube_low))
    v, v_low = two_product(f, cube, q)
    v_low = f.fma(cube, q_low, f.fma(cube_low, q, v_low))
    near, near_low = fast_two_sum(s + s, v)
    near_low = near_low + (f.fma(s_low, 2.0, v_low))
    # + e ln 2
    high, low = LN2["f64"]
    step, step_low = two_product(f, e, high)
    total, total_low = fast_two_sum(step, near)
    return fast_two_sum(total, total_low + (f.fma(e, low, step_low) + near_low))


def _hypot(f: Function, x: Value, y: Value, grade: str) -> Value:
    """sqrt(x^2 + y^2) without overflow; infinite where either is."""
    x, y = f.abs(x), f.abs(y)
    endless = x.cmp("oeq", INF) | y.cmp("oeq", INF)
    if grade == "single":  # squares of float32 neither overflow nor vanish
        return endless.select(INF, f.sqrt(f.fma(x, x, y * y)))
    large = x.cmp("ogt", y).select(x, y)
    factor = large.cmp("ogt", 2.0**500).select(f.const(x.type, 2.0**-600), 1.0)
    factor = large.cmp("olt", 2.0**-400).select(2.0**600, factor)
    a, b = x * factor, y * factor
    return endless.select(INF, f.sqrt(f.fma(a, a, b * b)) / factor)


hypot = through_double(_hypot)
