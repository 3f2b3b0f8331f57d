"""sinh and cosh. Floor 3. tanh is in exponential.py, the inverse functions in logarithm.py."""

from __future__ import annotations

from twofold.codegen.vmath.core import at_most, element, flip, polynomial, sign_of
from twofold.codegen.vmath.exponential import HIGH, exp_scaled
from twofold.ir.build import Function
from twofold.ir.values import Value

# sinh(x) = x + x^3 (c0 + c1 x^2 + ...) for |x| <= 1; tools/fits.py, "sinh"
SINH = {
    "f32": (
        0.1666666716337204,
        0.008333315141499043,
        0.00019841636822093278,
        2.7900832719751634e-06,
    ),
    "f64": (
        0.16666666666666669,
        0.00833333333333297,
        0.000198412698415312,
        2.7557319130383996e-06,
        2.505212685437073e-08,
        1.605700074814332e-10,
        7.765887582484099e-13,
    ),
}


def half_exp(f: Function, size: Value) -> Value:
    """exp(size) / 2 for size >= 0, which overflows later than exp does."""
    return exp_scaled(f, at_most(f, size, HIGH[element(size)]), -1)


def sinh(f: Function, x: Value) -> Value:
    """The hyperbolic sine."""
    size = f.abs(x)
    half = half_exp(f, size)
    z = size * size
    small = f.fma(polynomial(f, z, SINH[element(x)]) * z, size, size)
    made = size.cmp("olt", 1.0).select(small, half - 0.25 / half)
    return flip(made, sign_of(x))


def cosh(f: Function, x: Value) -> Value:
    """The hyperbolic cosine."""
    half = half_exp(f, f.abs(x))
    return half + 0.25 / half
