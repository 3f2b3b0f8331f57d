"""Complex numbers in kernels: recipes on pairs of real values. Floor 3.

Products and quotients are computed as NumPy's are, without fused steps: x * conj(x) has no
imaginary part, not even a rounded one. What is not finite comes out of them as plain formulas give
it, and of functions as C's Annex G says (ISO/IEC 9899:2011, G.6); where that leaves a sign open,
the functions of exponentials choose as NumPy does.
"""

from __future__ import annotations

from twofold.codegen.pair import Pair
from twofold.codegen.vmath import exponential, logarithm, trigonometry
from twofold.codegen.vmath.hyperbolic import cosh, sinh
from twofold.codegen.vmath.inverse import atan2
from twofold.codegen.vmath.power import hypot
from twofold.ir.build import Function
from twofold.ir.loops import TYPES, with_element
from twofold.ir.values import Value

INF, LN2 = float("inf"), 0.6931471805599453
# Beyond the first, exp(x) is exp(x - BACK) * exp(BACK): the parts may yet fit. BACK and exp(BACK).
FAR = {"f32": (64.0, 40.0, 2.3538526683701998e17), "f64": (700.0, 600.0, 3.7730203009299397e260)}


def joined(f: Function, real: Value, imag: Value) -> Pair:
    """real + 1j * imag."""
    return Pair(real, imag)


def real_part(f: Function, x: Pair) -> Value:
    return x.real


def conj(f: Function, x: Pair) -> Pair:
    return Pair(x.real, -x.imag)


def zeros_like(f: Function, x: Pair) -> Pair:
    zero = f.const(x.type, 0.0)
    return Pair(zero, zero)


def magnitude(f: Function, x: Pair) -> Value:
    return hypot(f, x.real, x.imag)


def direction(f: Function, x: Pair) -> Pair:
    """x / |x|; 0 where x is."""
    size = hypot(f, x.real, x.imag)
    size = size.cmp("oeq", 0.0).select(1.0, size)
    return Pair(x.real / size, x.imag / size)


def choose(f: Function, mask: Value, yes: Pair, no: Pair) -> Pair:
    return Pair(mask.select(yes.real, no.real), mask.select(yes.imag, no.imag))


def equal(f: Function, x: Pair, y: Pair) -> Value:
    return x.real.cmp("oeq", y.real) & x.imag.cmp("oeq", y.imag)


def differ(f: Function, x: Pair, y: Pair) -> Value:
    return x.real.cmp("une", y.real) | x.imag.cmp("une", y.imag)


def _unbounded(f: Function, x: Value) -> Value:
    """Where a number is infinite or none."""
    return ~f.abs(x).cmp("olt", INF)


def exp(f: Function, x: Pair) -> Pair:
    """exp(real) * (cos(imag), sin(imag)); of real numbers a real one, and 0 at minus infinity and
    infinite at infinity though the angle is not known.
    """
    beyond, back, exp_back = FAR[TYPES[x.type].element]
    far = x.real.cmp("ogt", beyond)
    size = exponential.exp(f, far.select(x.real - back, x.real))
    scale = far.select(exp_back, f.const(x.type, 1.0))
    lost = _unbounded(f, x.imag)
    gone = x.real.cmp("oeq", -INF) & lost
    real = gone.select(0.0, size * trigonometry.cos(f, x.imag) * scale)
    real = (x.real.cmp("oeq", INF) & lost).select(INF, real)
    imag = gone.select(f.copysign(0.0, x.imag), size * trigonometry.sin(f, x.imag) * scale)
    return Pair(real, x.imag.cmp("oeq", 0.0).select(x.imag, imag))


def log(f: Function, x: Pair) -> Pair:
    """log|x| + 1j * angle. |x|^2 is summed in float64, so that what is near 1 keeps its digits."""
    if TYPES[x.type].element == "f64":
        return Pair(_log_of_size(f, x), atan2(f, x.imag, x.real))
    wide = with_element(x.type, "f64")
    real, imag = (part.cast("fpext", wide) for part in (x.real, x.imag))
    size = logarithm.log(f, real * real + imag * imag) * 0.5
    infinite = f.abs(x.real).cmp("oeq", INF) | f.abs(x.imag).cmp("oeq", INF)
    return Pair(infinite.select(INF, size.cast("fptrunc", x.type)), atan2(f, x.imag, x.real))


def _log_of_size(f: Function, x: Pair) -> Value:
    """log|x| in float64. Near 1 from |x|^2 - 1, whose squares and sums keep what rounding loses;
    far from it from |x| scaled by a power of two.
    """
    a, b = f.abs(x.real), f.abs(x.imag)
    turned = a.cmp("olt", b)
    large, small = turned.select(b, a), turned.select(a, b)
    up, down = large.cmp("olt", 2.0**-500), large.cmp("ogt", 2.0**500)
    one = f.const(x.type, 1.0)
    scale = up.select(2.0**600, down.select(2.0**-600, one))
    shift = up.select(600 * LN2, down.select(-600 * LN2, f.const(x.type, 0.0)))
    whole = logarithm.log(f, hypot(f, large * scale, small * scale)) - shift
    high, low = large * large, small * small
    lost = f.fma(large, large, -high) + f.fma(small, small, -low)
    rest = high - 1.0
    total = rest + low
    added = total - rest
    lost = ((rest - (total - added)) + (low - added)) + lost
    near = logarithm.log1p(f, total + lost) * 0.5
    close = high.cmp("ogt", 0.25) & (high + low).cmp("olt", 3.0)
    infinite = large.cmp("oeq", INF)
    return infinite.select(INF, close.select(near, whole))


def sqrt(f: Function, x: Pair) -> Pair:
    """The root whose real part is not negative; the larger part first, the other by division."""
    size = f.sqrt(f.abs(x.real) * 0.5 + hypot(f, x.real, x.imag) * 0.5)
    zero = size.cmp("oeq", 0.0)
    other = zero.select(f.abs(x.imag), f.abs(x.imag) * 0.5 / zero.select(1.0, size))
    left = x.real.cmp("olt", 0.0)
    real, imag = left.select(other, size), f.copysign(left.select(size, other), x.imag)
    infinite = f.abs(x.imag).cmp("oeq", INF)
    return Pair(infinite.select(INF, real), infinite.select(x.imag, imag))


def tanh(f: Function, x: Pair) -> Pair:
    """From sinh and cosh of the real part, sine and cosine of the other (Kahan 1987); where the
    real part is large, 1 and what is left of the imaginary part.
    """
    sine, cosine = trigonometry.sin(f, x.imag), trigonometry.cos(f, x.imag)
    size = f.abs(x.real)
    large = size.cmp("ogt", 20.0)
    real = large.select(f.const(x.type, 0.0), x.real)
    up = sinh(f, real)
    below = cosine * cosine + up * up
    left = exponential.exp(f, size * -1.0)
    sign = f.copysign(f.const(x.type, 1.0), x.real)
    real = large.select(sign, up * cosh(f, real) / below)
    turn = sine * cosine
    imag = large.select(turn * 4.0 * left * left, turn / below)
    whole = x.imag.cmp("oeq", 0.0)
    gone = size.cmp("oeq", INF) & _unbounded(f, x.imag)
    imag = whole.select(x.imag, gone.select(f.copysign(0.0, x.imag), imag))
    return Pair(x.real.cmp("oeq", 0.0).select(x.real, real), imag)


def sin(f: Function, x: Pair) -> Pair:
    real = trigonometry.sin(f, x.real) * cosh(f, x.imag)
    imag = trigonometry.cos(f, x.real) * sinh(f, x.imag)
    infinite = f.abs(x.imag).cmp("oeq", INF)
    kept = _unbounded(f, x.real) & (x.imag.cmp("oeq", 0.0) | infinite)
    imag = kept.select(infinite.select(INF, x.imag), imag)
    return Pair(x.real.cmp("oeq", 0.0).select(x.real, real), imag)


def cos(f: Function, x: Pair) -> Pair:
    real = trigonometry.cos(f, x.real) * cosh(f, x.imag)
    imag = trigonometry.sin(f, x.real) * -sinh(f, x.imag)
    even = f.copysign(0.0, -x.imag) * f.copysign(1.0, x.real)
    even = x.imag.cmp("uno", x.imag).select(x.real, even)
    lost = _unbounded(f, x.real)
    real = (lost & f.abs(x.imag).cmp("oeq", INF)).select(INF, real)
    imag = (lost & x.imag.cmp("oeq", 0.0)).select(0.0, imag)
    return Pair(real, x.real.cmp("oeq", 0.0).select(even, imag))
