"""What the recipes of vector mathematics share. Floor 3.

A recipe takes the pen `f` and Values, and writes the statements that compute its result, for
scalars and vectors of f32 and f64 alike. It does the same for every lane, so that an element's
result never depends on its neighbours; where a rare case has a branch of its own, the lanes that
do not need it keep what they had.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.base.records import NamedTuple
from twofold.ir.build import Function
from twofold.ir.loops import TYPES, with_element
from twofold.ir.values import Value

Pair = tuple[Value, Value]
Recipe = Callable[..., Value]


class Format(NamedTuple):
    """The facts of a floating type.

    `magic` is 1.5 * 2**mantissa: adding it leaves a number rounded to a whole one in the low bits.
    """

    integer: str
    bits: int
    mantissa: int
    bias: int
    smallest: float  # normal number
    magic: float

    @property
    def sign(self) -> int:
        return 1 << self.bits - 1

    @property
    def magic_bits(self) -> int:
        return (self.bias + self.mantissa << self.mantissa) | 1 << self.mantissa - 1


FORMATS = {
    "f32": Format("i32", 32, 23, 127, 2.0**-126, 1.5 * 2**23),
    "f64": Format("i64", 64, 52, 1023, 2.0**-1022, 1.5 * 2**52),
}

INF = float("inf")
NAN = float("nan")


def element(x: Value) -> str:
    """ "f32" or "f64", whether x is a vector or not."""
    return TYPES[x.type].element


def format_of(x: Value) -> Format:
    return FORMATS[element(x)]


def bits_of(x: Value) -> Value:
    """The bits of a float, as integers of its size."""
    return x.cast("bitcast", with_element(x.type, format_of(x).integer))


def float_of(bits: Value) -> Value:
    """The float with these bits."""
    name = {"i32": "f32", "i64": "f64"}[TYPES[bits.type].element]
    return bits.cast("bitcast", with_element(bits.type, name))


def polynomial(f: Function, x: Value, coefficients: Sequence[float]) -> Value:
    """The sum of coefficients[k] * x**k, by Horner's rule."""
    total = f.const(x.type, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        total = f.fma(total, x, c)
    return total


def chebyshev(f: Function, t: Value, coefficients: Sequence[float], grade: str = "") -> Value:
    """The sum of coefficients[k] T(k, t), by Clenshaw's recurrence (1955).

    For a sum that is far from 0 and will be rounded to float32 ("single"), the first ones do.
    """
    if grade == "single":
        enough = max(abs(c) for c in coefficients) * 2.0**-34
        last = max(k for k, c in enumerate(coefficients) if abs(c) > enough)
        coefficients = coefficients[: last + 1]
    twice = t + t
    one, two = f.const(t.type, 0.0), f.const(t.type, 0.0)
    for c in reversed(coefficients[1:]):
        one, two = f.fma(twice, one, c - two), one
    return f.fma(t, one, coefficients[0] - two)


def at_most(f: Function, x: Value, limit: float) -> Value:
    """The smaller one; a NaN stays."""
    return x.cmp("ogt", limit).select(limit, x)


def at_least(f: Function, x: Value, limit: float) -> Value:
    """The larger one; a NaN stays."""
    return x.cmp("olt", limit).select(limit, x)


def sign_of(x: Value) -> Value:
    """The sign bit alone, as an integer."""
    return bits_of(x) & format_of(x).sign


def flip(x: Value, sign: Value) -> Value:
    """x, negated where the sign bit is set."""
    return float_of(bits_of(x) ^ sign)


def any_lane(f: Function, mask: Value) -> Value:
    """Whether a truth value holds in some lane: an i1."""
    lanes = TYPES[mask.type].lanes
    if not TYPES[mask.type].is_vector:
        return mask
    if lanes in (8, 16, 32, 64):
        return mask.cast("bitcast", f"i{lanes}").cmp("ne", 0)
    bytes_ = mask.cast("zext", f"i8x{lanes}")
    if lanes in (2, 4):
        return bytes_.cast("bitcast", f"i{8 * lanes}").cmp("ne", 0)
    seen = f.extract(bytes_, 0)
    for lane in range(1, lanes):
        seen = seen | f.extract(bytes_, lane)
    return seen.cmp("ne", 0)


def replace_where(
    f: Function, mask: Value, usual: Sequence[Value], rare: Callable[[], Sequence[Value]]
) -> list[Value]:
    """`usual`, but what `rare` writes where the mask is true; skipped if that is nowhere."""
    places = [f.var(value.type, value) for value in usual]
    with f.if_(any_lane(f, mask)):
        for place, value, other in zip(places, usual, rare(), strict=True):
            place.set(mask.select(other, value))
    return [place.get() for place in places]


# ---- sums and products with their rounding errors ------------------------------------------------


def fast_two_sum(a: Value, b: Value) -> Pair:
    """a + b as (rounded, error), exact where |a| >= |b| (Dekker 1971)."""
    total = a + b
    return total, b - (total - a)


def two_sum(a: Value, b: Value) -> Pair:
    """a + b as (rounded, error), exact (Knuth)."""
    total = a + b
    moved = total - a
    return total, (a - (total - moved)) + (b - moved)


def two_product(f: Function, a: Value, b: Value | float) -> Pair:
    """a * b as (rounded, error), exact."""
    product = a * b
    return product, f.fma(a, b, -product)


# ---- float32 by way of float64 -------------------------------------------------------------------


def to_double(x: Value) -> Value:
    return x.cast("fpext", with_element(x.type, "f64"))


def to_single(x: Value) -> Value:
    return x.cast("fptrunc", with_element(x.type, "f32"))


def through_double(recipe: Recipe, graded: bool = True) -> Recipe:
    """A recipe of float64 that serves float32 too, computed in float64 and rounded once.

    A graded recipe is told `grade`: "f64", or "single" when the result will be rounded to float32.
    """

    def both(f: Function, *values: Value) -> Value:
        double = element(values[0]) == "f64"
        told = {"grade": "f64" if double else "single"} if graded else {}
        if double:
            return recipe(f, *values, **told)
        return to_single(recipe(f, *map(to_double, values), **told))

    both.__name__ = recipe.__name__.lstrip("_")
    both.__doc__ = recipe.__doc__
    return both
