"""The incomplete gamma functions P(a, x) and Q(a, x), and how gamma samples move with a. Floor 3.

Below a + 1 the series (Abramowitz and Stegun, 6.5.29), above it Legendre's continued fraction
(6.5.31) by Lentz's method. Each element takes as many steps as it needs itself: it keeps what it
has while others go on.
"""

from __future__ import annotations

from collections.abc import Callable

from twofold.codegen.vmath.core import INF, NAN, any_lane, through_double
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.gamma import digamma, lgamma
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function
from twofold.ir.loops import with_element
from twofold.ir.values import Value

EPSILON = 2.0**-53
STEPS = 1 << 17  # as many as shapes up to 10^8 take; nothing waits for more
LARGE = 1e5  # shapes from which samples move as an expansion in 1 / sqrt(a) says


def _steps(f: Function, open_: Value, step: Callable[[Value], Value]) -> None:
    """step(k) for k = 1, 2, ... gives which lanes have ended with it."""
    left = f.var(open_.type, open_)
    number = f.var(with_element(open_.type, "f64"), 0.0)
    with f.loop(0, STEPS):
        f.break_if(~any_lane(f, left.get()))
        number.set(number.get() + 1.0)
        left.set(left.get() & ~step(number.get()))


def _series(f: Function, open_: Value, a: Value, x: Value, moved: bool) -> tuple[Value, Value]:
    """S = t0 + t1 + ... with t0 = 1 / a and t(k) = t(k - 1) x / (a + k); and, if that is wanted,
    the sum of t(k) (1 / (a + 1) + ... + 1 / (a + k)).
    """
    term, total = f.var(a.type, 1.0 / a), f.var(a.type, 1.0 / a)
    weight, weighted = f.var(a.type, 0.0), f.var(a.type, 0.0)

    def step(k: Value) -> Value:
        inverse = 1.0 / (a + k)
        term.set(term.get() * (x * inverse))
        now = term.get()
        done = now.cmp("ole", total.get() * EPSILON)
        total.set(done.select(total.get(), total.get() + now))
        if moved:
            weight.set(weight.get() + inverse)
            more = now * weight.get()
            done = done & more.cmp("ole", weighted.get() * EPSILON)
            weighted.set(done.select(weighted.get(), weighted.get() + more))
        return done

    _steps(f, open_, step)
    return total.get(), weighted.get()


def _fraction(f: Function, open_: Value, a: Value, x: Value, moved: bool) -> tuple[Value, Value]:
    """h = 1 / (x + 1 - a - (1 - a) / (x + 3 - a - 2 (2 - a) / ...)); and, if that is wanted, its
    derivative by a.
    """
    b = f.var(a.type, x + 1.0 - a)
    inverse = f.var(a.type, 1.0 / b.get())  # 1 / c of the last step; c itself begins infinite
    d, h = f.var(a.type, 1.0 / b.get()), f.var(a.type, 1.0 / b.get())
    inverse.set(inverse.get() * 0.0)
    by_inverse, by_d = f.var(a.type, 0.0), f.var(a.type, d.get() * d.get())
    by_h = f.var(a.type, by_d.get())
    left = f.var(open_.type, open_)

    def step(k: Value) -> Value:
        factor = k * (a - k)
        b.set(b.get() + 2.0)
        c = b.get() + factor * inverse.get()
        below = 1.0 / (factor * d.get() + b.get())
        ratio = c * below
        open_now = left.get()
        done = f.abs(ratio - 1.0).cmp("ole", 2 * EPSILON)
        upside = 1.0 / c
        if moved:
            by_c = k * inverse.get() + factor * by_inverse.get() - 1.0
            by_below = -(below * below) * (k * d.get() + factor * by_d.get() - 1.0)
            by_ratio = by_c * below + c * by_below
            change = h.get() * by_ratio
            done = done & f.abs(change).cmp("ole", f.abs(by_h.get()) * EPSILON)
            by_h.set(open_now.select(by_h.get() * ratio + change, by_h.get()))
            by_inverse.set(-(upside * upside) * by_c)
            by_d.set(by_below)
        h.set(open_now.select(h.get() * ratio, h.get()))
        inverse.set(upside)
        d.set(below)
        left.set(open_now & ~done)
        return done

    _steps(f, open_, step)
    return h.get(), by_h.get()


def _plain(a: Value, x: Value) -> Value:
    return a.cmp("ogt", 0.0) & x.cmp("ogt", 0.0) & a.cmp("olt", INF) & x.cmp("olt", INF)


def _both(f: Function, a: Value, x: Value) -> tuple[Value, Value]:
    """P and Q."""
    plain = _plain(a, x)
    s, t = plain.select(a, 1.0), plain.select(x, 1.0)
    factor = exp(f, s * log(f, t) - t - lgamma(f, s))
    below = t.cmp("olt", s + 1.0)
    low = _series(f, plain & below, s, t, False)[0] * factor
    high = _fraction(f, plain & ~below, s, t, False)[0] * factor
    p, q = below.select(low, 1.0 - high), below.select(1.0 - low, high)
    # at the ends: all of the distribution is below x, or none of it
    far = x.cmp("oeq", INF)
    endless = a.cmp("oeq", INF)
    edge = (a.cmp("oeq", 0.0) | far).select(1.0, x * 0.0)
    edge = endless.select(far.select(NAN, edge * 0.0), edge)
    bad = a.cmp("olt", 0.0) | x.cmp("olt", 0.0) | a.cmp("uno", x)
    bad = bad | (a.cmp("oeq", 0.0) & x.cmp("oeq", 0.0))
    edge = bad.select(NAN, edge)
    return plain.select(p, edge), plain.select(q, 1.0 - edge)


def _lower(f: Function, a: Value, x: Value) -> Value:
    """P(a, x), the part of a gamma distribution of shape a that lies below x."""
    return _both(f, a, x)[0]


def _upper(f: Function, a: Value, x: Value) -> Value:
    """Q(a, x) = 1 - P(a, x), with all its digits where it is small."""
    return _both(f, a, x)[1]


def _slope(f: Function, a: Value, x: Value) -> Value:
    """d x / d a at a fixed P(a, x) (Figurnov et al. 2018)."""
    large = a.cmp("oge", LARGE)
    plain = _plain(a, x) & ~large
    s, t = plain.select(a, 1.0), plain.select(x, 1.0)
    below = t.cmp("olt", s + 1.0)
    logarithm, psi = log(f, t), digamma(f, s)
    total, weighted = _series(f, plain & below, s, t, True)
    low = t * ((psi + 1.0 / s - logarithm) * total + weighted)
    value, by_a = _fraction(f, plain & ~below, s, t, True)
    high = t * ((logarithm - psi) * value + by_a)
    # x = a + z sqrt(a) + (z^2 - 1) / 3 + (z^3 - 7 z) / (36 sqrt(a)) + ... (Cornish and Fisher)
    root = f.sqrt(large.select(a, 1.0))
    away = (x - a) / root
    first = away - (away * away - 1.0) / (root * 3.0)
    cubic = (first * first - 7.0) * first
    z = away - (first * first - 1.0) / (root * 3.0) - cubic / (root * root * 36.0)
    far = z / (root * 2.0) + 1.0 - (z * z - 7.0) * z / (root * root * root * 72.0)
    made = large.select(far, below.select(low, high))
    return (plain | large).select(made, x.cmp("oeq", 0.0).select(x, NAN))


gammainc = through_double(_lower, graded=False)
gammaincc = through_double(_upper, graded=False)
gamma_sample_slope = through_double(_slope, graded=False)
