"""fmod, remainder and floor_divide, exact for all floats. Floor 3."""

from __future__ import annotations

from twofold.codegen.vmath.core import INF, NAN, any_lane, flip, format_of, sign_of
from twofold.ir.build import Function
from twofold.ir.values import Value


def fmod(f: Function, x: Value, y: Value) -> Value:
    """x less a multiple of y: what is left is smaller than |y| and has the sign of x. Exact.

    A step takes away a multiple below 2**mantissa. Where the quotient is larger, y is first raised
    by powers of 2, until it is not, and lowered again between steps.
    """
    step = format_of(x).mantissa - 2
    size, divisor = f.abs(x), f.abs(y)
    rest, raised = f.var(x.type, size), f.var(x.type, divisor)
    usable = size.cmp("olt", INF) & divisor.cmp("ogt", 0.0)
    with f.while_():
        now = raised.get()
        far = (size / now).cmp("oge", 2.0 ** (step + 1)) & usable
        f.break_if(any_lane(f, far) ^ 1)
        raised.set(far.select(now * 2.0**step, now))
    with f.while_():
        now = raised.get()
        high = now.cmp("ogt", divisor)
        f.break_if(any_lane(f, high) ^ 1)
        so_far = rest.get()
        rest.set(high.select(subtract_multiple(f, so_far, now), so_far))
        raised.set(high.select(now * 2.0**-step, now))
    made = flip(subtract_multiple(f, rest.get(), divisor), sign_of(x))
    # no multiple of an infinity is taken away; nothing is left of one
    made = (divisor.cmp("oeq", INF) & size.cmp("olt", INF)).select(x, made)
    return (usable & y.cmp("ord", y)).select(made, NAN)


def subtract_multiple(f: Function, x: Value, y: Value) -> Value:
    """x - n y for the largest whole n that leaves 0 or more; x < 2**mantissa y. Exact."""
    rest = f.fma(f.trunc(x / y), -y, x)
    # the quotient may have been rounded up to a whole number
    return rest.cmp("olt", 0.0).select(rest + y, rest)


def remainder(f: Function, x: Value, y: Value) -> Value:
    """The same with the sign of y, as Python's %."""
    rest = fmod(f, x, y)
    opposite = rest.cmp("olt", 0.0) ^ y.cmp("olt", 0.0)
    zero = rest.cmp("oeq", 0.0)
    return zero.select(f.copysign(rest, y), opposite.select(rest + y, rest))


def floor_divide(f: Function, x: Value, y: Value) -> Value:
    """The largest whole number not above x / y, as Python's //; x / y where y is 0."""
    rest = fmod(f, x, y)
    opposite = (rest.cmp("olt", 0.0) ^ y.cmp("olt", 0.0)) & rest.cmp("one", 0.0)
    quotient = (x - rest) / y
    quotient = opposite.select(quotient - 1.0, quotient)
    # nearly whole: make it so
    floor = f.floor(quotient)
    whole = (quotient - floor).cmp("ogt", 0.5).select(floor + 1.0, floor)
    whole = quotient.cmp("oeq", 0.0).select(f.copysign(quotient * 0.0, x / y), whole)
    return y.cmp("oeq", 0.0).select(x / y, whole)
