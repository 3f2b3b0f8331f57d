"""Vector mathematics: recipes for scalars and vectors of float32 and float64. Floor 3.

At most 2 units in the last place in float32 and 4 in float64 (docs/reference/accuracy.md),
right at zeros, infinities, NaN and denormal numbers, a function of the element alone.
"""

from twofold.codegen.vmath.error_function import erf, erfc, erfinv
from twofold.codegen.vmath.exponential import exp, exp2, expm1, sigmoid, tanh
from twofold.codegen.vmath.gamma import digamma, lgamma
from twofold.codegen.vmath.hyperbolic import cosh, sinh
from twofold.codegen.vmath.inverse import acos, asin, atan, atan2
from twofold.codegen.vmath.logarithm import (
    acosh,
    asinh,
    atanh,
    log,
    log1p,
    log2,
    log10,
    xlog1py,
    xlogy,
)
from twofold.codegen.vmath.power import hypot, pow
from twofold.codegen.vmath.remainder import floor_divide, fmod, remainder
from twofold.codegen.vmath.trigonometry import cos, sin, sinc, sinpi, tan
