"""The Hurwitz zeta function, and the polygamma functions by it. Floor 3.

Ten terms of the sum, and Euler's and Maclaurin's formula for the others. Where q is below 0 and s
whole, the sum over all whole numbers without those below: (-1)^s zeta(s, 1 - q).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from twofold.codegen.vmath.core import INF, NAN, at_most, replace_where, through_double
from twofold.codegen.vmath.power import pow
from twofold.ir.build import Function
from twofold.ir.values import Value

TERMS = 10
# B(2 k) / (2 k)! of Bernoulli's numbers, k from 1
EULER_MACLAURIN = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
)
SQUARED = 32  # powers up to here are products
Power = Callable[[Value], Value]


def _sum(f: Function, s: Value | float, q: Value, power: Power) -> Value:
    """The sum of power(q + k) = (q + k)^-s over k from 0, for q > 0."""
    total, y = f.var(q.type, 0.0), f.var(q.type, at_most(f, q, 1e300))
    with f.loop(0, TERMS):
        total.set(total.get() + power(y.get()))
        y.set(y.get() + 1.0)
    inverse = 1.0 / y.get()
    square = inverse * inverse
    rest = f.const(q.type, EULER_MACLAURIN[-1])
    for k in reversed(range(1, len(EULER_MACLAURIN))):
        rest = f.fma(rest * square, (s + (2 * k - 1.0)) * (s + 2.0 * k), EULER_MACLAURIN[k - 1])
    last = power(y.get())
    tail = last * (y.get() / (s - 1.0) + (f.fma(rest * inverse, s, 0.5)))
    return total.get() + last.cmp("oeq", 0.0).select(0.0, tail)


def _below(f: Function, s: Value | float, q: Value, sign: Value | float, power: Power) -> Value:
    """The same for q < 0 and a whole s, whose (-1)^s is `sign`."""
    d = q - f.rint(q)
    near = power(f.abs(d))
    near = d.cmp("olt", 0.0).select(near * sign, near)
    above, under = _sum(f, s, d + 1.0, power), _sum(f, s, 1.0 - d, power)
    return near + (above + (under - _sum(f, s, 1.0 - q, power)) * sign)


def _zeta(f: Function, s: Value, q: Value) -> Value:
    """The sum of (q + k)^-s over k from 0."""
    whole = f.rint(s).cmp("oeq", s)
    low = q.cmp("olt", 0.0) & f.rint(q).cmp("one", q) & whole & s.cmp("ogt", 1.0)
    plain = s.cmp("ogt", 1.0) & q.cmp("ogt", 0.0)

    def power(y: Value) -> Value:
        return pow(f, y, -s)

    usual = _sum(f, s, plain.select(q, 1.0), power)

    def below() -> list[Value]:
        half = s * 0.5
        sign = f.rint(half).cmp("oeq", half).select(f.const(s.type, 1.0), -1.0)
        return [_below(f, s, low.select(q, -0.5), sign, power)]

    (made,) = replace_where(f, low, [usual], below)
    pole = q.cmp("ole", 0.0) & f.rint(q).cmp("oeq", q)
    made = pole.select(INF, (plain | low).select(made, NAN))
    made = (s.cmp("olt", 1.0) | s.cmp("uno", q)).select(NAN, made)
    return s.cmp("oeq", 1.0).select(INF, made)


zeta = through_double(_zeta, graded=False)


def _polygamma(f: Function, x: Value, n: int) -> Value:
    """The derivative of digamma of order n >= 1: (-1)^(n + 1) n! zeta(n + 1, x)."""
    power, sign = n + 1, 1.0 if n % 2 else -1.0
    factor = float(math.factorial(n)) if n <= 170 else INF

    def inverse(y: Value) -> Value:
        return 1.0 / _whole(y, power) if power <= SQUARED else pow(f, y, f.const(y.type, -power))

    usual = _sum(f, float(power), x.cmp("ogt", 0.0).select(x, 1.0), inverse)
    low = x.cmp("olt", 0.0)

    def below() -> list[Value]:
        return [_below(f, float(power), low.select(x, -0.5), sign, inverse)]

    (made,) = replace_where(f, low, [usual], below)
    pole = x.cmp("ole", 0.0) & f.rint(x).cmp("oeq", x)
    made = pole.select(INF, made) * (sign * factor)
    return x.cmp("uno", x).select(NAN, made)


def _whole(y: Value, power: int) -> Value:
    """y^power by squares."""
    made: Value | None = None
    while power:
        if power & 1:
            made = y if made is None else made * y
        y = y * y
        power >>= 1
    assert made is not None
    return made


def polygamma(f: Function, x: Value, n: int) -> Value:
    """The derivative of digamma of order n, in float64."""
    recipe = through_double(lambda f, x: _polygamma(f, x, n), graded=False)
    made: Value = recipe(f, x)
    return made
