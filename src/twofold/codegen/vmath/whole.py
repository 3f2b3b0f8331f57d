"""Arithmetic that only whole numbers have: divisions that round, powers, common divisors, shifts.
Floor 3.

All wrap around where a result does not fit, as NumPy's do.
"""

from __future__ import annotations

from twofold.codegen.vmath.core import any_lane
from twofold.ir.build import Function
from twofold.ir.loops import TYPES
from twofold.ir.values import Value


def _divided(x: Value, y: Value) -> tuple[Value, Value]:
    """Quotient and remainder, rounded towards 0; where y is 0, which callers refuse, 0 and x's
    remainder by 1. The machine's division traps at 0, and at the least number by -1.
    """
    zero, minus = y.cmp("eq", 0), y.cmp("eq", -1)
    safe = (zero | minus).select(1, y)
    quotient = minus.select(-x, x.sdiv(safe))
    return zero.select(0, quotient), x.srem(safe)


def _opposite(rest: Value, y: Value) -> Value:
    """Where a remainder that is not 0 has the other sign than the divisor."""
    return rest.cmp("ne", 0) & (rest ^ y).cmp("slt", 0)


def whole_trunc_divide(f: Function, x: Value, y: Value) -> Value:
    """x / y rounded towards 0."""
    return _divided(x, y)[0]


def whole_floor_divide(f: Function, x: Value, y: Value) -> Value:
    """x / y rounded down."""
    quotient, rest = _divided(x, y)
    return _opposite(rest, y).select(quotient - 1, quotient)


def whole_fmod(f: Function, x: Value, y: Value) -> Value:
    """What the division towards 0 leaves: it has the sign of x."""
    return _divided(x, y)[1]


def whole_remainder(f: Function, x: Value, y: Value) -> Value:
    """What the division rounded down leaves: it has the sign of y."""
    rest = _divided(x, y)[1]
    return _opposite(rest, y).select(rest + y, rest)


def whole_power(f: Function, x: Value, y: Value) -> Value:
    """x times itself, by the bits of y; 1 / x rounded towards 0 for a negative y."""
    made, factor = f.var(x.type, 1), f.var(x.type, x)
    left = f.var(x.type, y.cmp("slt", 0).select(0, y))
    with f.while_():
        now = left.get()
        f.break_if(any_lane(f, now.cmp("ne", 0)) ^ 1)
        made.set((now & 1).cmp("ne", 0).select(made.get() * factor.get(), made.get()))
        factor.set(factor.get() * factor.get())
        left.set(now.lshr(1))
    odd = (y & 1).cmp("eq", 0).select(1, x)
    small = (x.cmp("eq", 1) | x.cmp("eq", -1)).select(odd, 0)
    return y.cmp("slt", 0).select(small, made.get())


def gcd(f: Function, x: Value, y: Value) -> Value:
    """Euclid's: the pair (a, b) becomes (b, a mod b) until b is 0."""
    larger, smaller = f.var(x.type, f.abs(x)), f.var(x.type, f.abs(y))
    with f.while_():
        b = smaller.get()
        going = b.cmp("ne", 0)
        f.break_if(any_lane(f, going) ^ 1)
        rest = larger.get().srem(going.select(b, 1))
        larger.set(going.select(b, larger.get()))
        smaller.set(going.select(rest, 0))
    return larger.get()


def lcm(f: Function, x: Value, y: Value) -> Value:
    """The least common multiple, 0 with 0."""
    divisor = gcd(f, x, y)
    none = divisor.cmp("eq", 0)
    return none.select(0, f.abs(x).sdiv(none.select(1, divisor)) * f.abs(y))


def shift_left(f: Function, x: Value, y: Value) -> Value:
    """x's bits moved up; nothing is left past the width, or for a negative y."""
    wide = y.cmp("slt", 0) | y.cmp("sge", TYPES[x.type].bits)
    return wide.select(0, x << wide.select(0, y))


def shift_right(f: Function, x: Value, y: Value) -> Value:
    """x's bits moved down; past the width, and for a negative y, nothing is left but the sign."""
    width = TYPES[x.type].bits
    wide = y.cmp("slt", 0) | y.cmp("sge", width)
    return wide.select(x.ashr(width - 1), x.ashr(wide.select(0, y)))
