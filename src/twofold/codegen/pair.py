"""A complex number in registers: two real values, with arithmetic. Floor 3.

Functions of them are in vmath/pairs.py. This file stands apart as every kernel of elements names
the class, and few need the functions, which take a third of a first operation's time to import.
"""

from __future__ import annotations

from typing import Any, final

from twofold.ir.values import Value


@final
class Pair:
    """A complex number, or as many as its parts have lanes; recipes add and multiply it as they do
    a Value.
    """

    __slots__ = ("imag", "real")

    def __init__(self, real: Value, imag: Value) -> None:
        self.real = real
        self.imag = imag

    @property
    def type(self) -> str:
        """The type of each part."""
        return self.real.type

    def __add__(self, other: Any) -> Pair:
        other = _pair(other, self)
        return Pair(self.real + other.real, self.imag + other.imag)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Pair:
        other = _pair(other, self)
        return Pair(self.real - other.real, self.imag - other.imag)

    def __neg__(self) -> Pair:
        return Pair(-self.real, -self.imag)

    def __mul__(self, other: Any) -> Pair:
        other = _pair(other, self)
        real = self.real * other.real - self.imag * other.imag
        return Pair(real, self.real * other.imag + self.imag * other.real)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Pair:
        return _divided(self, _pair(other, self))

    def __rtruediv__(self, other: Any) -> Pair:
        return _divided(_pair(other, self), self)


def _pair(x: Any, like: Pair) -> Pair:
    if isinstance(x, Pair):
        return x
    zero = like.real.function.const(like.type, 0.0)
    return Pair(x if isinstance(x, Value) else zero + x, zero)


def _divided(x: Pair, y: Pair) -> Pair:
    """By the larger part of the divisor first, so that no square leaves the range (Smith 1962)."""
    f = x.real.function
    swap = f.abs(y.real).cmp("olt", f.abs(y.imag))
    large, small = swap.select(y.imag, y.real), swap.select(y.real, y.imag)
    ratio = small / large
    zero = large.cmp("oeq", 0.0)  # both are: the parts are divided by a plain 0
    divisor = zero.select(f.abs(large), large + small * ratio)
    real = swap.select(x.real * ratio + x.imag, x.real + x.imag * ratio)
    imag = swap.select(x.imag * ratio - x.real, x.imag - x.real * ratio)
    return Pair(zero.select(x.real, real) / divisor, zero.select(x.imag, imag) / divisor)
