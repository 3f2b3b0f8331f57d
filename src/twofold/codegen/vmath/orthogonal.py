"""Orthogonal polynomials of any degree, and their slopes, by their recurrences. Floor 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.codegen.vmath.core import any_lane, through_double
from twofold.ir.build import Function
from twofold.ir.values import Value

Step = Callable[[Any], tuple[Any, Any, Any]]


def polynomial(
    f: Function, x: Value, n: Value, family: tuple[float, float, Step], slope: int, most: int
) -> Value:
    """P[n] of a family at x, or its slope of an order; 0 where n is negative or not finite.

    The family is P[1] = first * x + constant and k -> (a, b, c), with
    P[k + 1] = (a x + b) P[k] - c P[k - 1]. Each element takes as many steps as it needs itself.
    """
    recipe = through_double(lambda f, x, n: _wide(f, x, n, family, slope, most), graded=False)
    made: Value = recipe(f, x, n)
    return made


def _wide(f: Function, x: Value, n: Value, family: Any, slope: int, most: int) -> Value:
    first, constant, step = family
    finite = f.abs(n).cmp("ole", float(most)) & n.cmp("ogt", -1.0)
    degree = f.trunc(finite.select(n, -1.0))
    orders = range(slope + 1)
    last = [f.var(x.type, 0.0 if m else 1.0) for m in orders]
    now = [f.var(x.type, float(first) if m == 1 else 0.0) for m in orders]
    now[0].set(x * float(first) + float(constant))
    made = f.var(x.type, degree.cmp("oeq", 0.0).select(last[slope].get(), 0.0))
    k = f.var(x.type, 1.0)
    with f.loop(0, most + 1):
        f.break_if(~any_lane(f, degree.cmp("oge", k.get())))
        made.set(degree.cmp("oeq", k.get()).select(now[slope].get(), made.get()))
        a, b, c = step(k.get())
        up = [(x * a + b) * now[m].get() - last[m].get() * c for m in orders]
        for m in orders[1:]:
            up[m] = up[m] + now[m - 1].get() * a * float(m)
        for m in orders:
            last[m].set(now[m].get())
            now[m].set(up[m])
        k.set(k.get() + 1.0)
    return made.get()
