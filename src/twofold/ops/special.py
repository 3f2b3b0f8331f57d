"""Special functions in NumPy, in float64: what the kernels are held against. Floor 4.

Slow and plain. Each takes an array of any floating type and gives its own type back, rounded once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np


def in_double(function: Callable[..., Any]) -> Callable[..., Any]:
    """Computed in float64 and rounded once to the type of the argument."""

    @functools.wraps(function)
    def rounded(x: Any, **attrs: Any) -> Any:
        kind = np.result_type(x)
        return np.asarray(function(np.asarray(x, np.float64), **attrs)).astype(kind)

    return rounded


def each(function: Callable[[float], float]) -> Callable[..., Any]:
    """A function of one Python float as a function of arrays."""
    many = np.frompyfunc(function, 1, 1)
    return in_double(lambda x: np.asarray(many(x), np.float64))


def _log_gamma(x: float) -> float:
    if x != x:
        return x
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


erf = each(math.erf)
erfc = each(math.erfc)
lgamma = each(_log_gamma)

# Bernoulli numbers B2, B4, ... of the asymptotic series
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


@in_double
def digamma(x: Any) -> Any:
    """The derivative of lgamma: reflection below 0, recurrence up to 10, then the series."""
    low = x < 0
    y = np.where(low, 1 - x, x)
    total = np.zeros_like(y)
    for _ in range(10):
        step = y < 10
        total = np.where(step, total - 1 / y, total)
        y = np.where(step, y + 1, y)
    square = 1 / (y * y)
    series = sum((b / (2 * k) * square**k for k, b in enumerate(BERNOULLI, 1)), np.zeros_like(y))
    value = total + np.log(y) - 0.5 / y - series
    reflected = value - math.pi / np.tan(math.pi * np.where(low, x - np.rint(x), 0.5))
    value = np.where(low, reflected, value)
    pole = np.where(x == 0, -np.copysign(np.inf, x), np.nan)
    return np.where((x <= 0) & (x == np.floor(x)), pole, value)


def whole_sum(x: Any, power: int) -> Any:
    """The sum of (x + k) ** -power over all whole k: a derivative of pi cot(pi x)."""
    cotangent = 1 / np.tan(math.pi * (x - np.rint(x)))
    terms = [0.0, 1.0]  # a polynomial in cot, whose derivative is -(1 + cot**2)
    for _ in range(power - 1):
        slopes = [k * c for k, c in enumerate(terms)][1:]
        terms = [-a - b for a, b in zip([*slopes, 0, 0], [0, 0, *slopes], strict=True)]
    scale = (-1.0) ** (power - 1) * math.pi**power / math.factorial(power - 1)
    made = np.zeros_like(cotangent)
    for c in reversed(terms):
        made = made * cotangent + c
    return scale * made


@in_double
def polygamma(x: Any, *, n: int) -> Any:
    """The derivative of digamma of order n >= 1, by the Hurwitz zeta function (Euler-Maclaurin).

    The recurrence carries arguments up to 20; below 0 there is the reflection.
    """
    sign = -1.0 if n % 2 == 0 else 1.0
    power = n + 1
    total = np.zeros_like(x)
    low = x < 0
    y = np.where(low, 1 - x, x)
    for _ in range(20):
        step = y < 20
        total = np.where(step, total + y ** -float(power), total)
        y = np.where(step, y + 1, y)
    total = total + y ** (1.0 - power) / (power - 1) + 0.5 * y ** -float(power)
    factor = float(power)
    for k, b in enumerate(BERNOULLI, 1):
        total = total + b / math.factorial(2 * k) * factor * y ** -float(power + 2 * k - 1)
        factor *= (power + 2 * k - 1) * (power + 2 * k)
    if low.any():
        reflected = whole_sum(np.where(low, x, 0.5), power) - (-1.0) ** power * total
        total = np.where(low, reflected, total)
    pole = (x <= 0) & (x == np.floor(x))
    return np.where(pole, sign * np.inf, sign * math.factorial(n) * total)


def _inverse(y: float) -> float:
    """erfinv by Newton's method (Halley's step) from Winitzki's approximation."""
    if not -1 < y < 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    if y == 0:
        return y
    far = abs(y) > 0.9
    a = 0.147
    log = math.log1p(-y * y)
    half = 2 / (math.pi * a) + log / 2
    x = math.copysign(math.sqrt(math.sqrt(half * half - log / a) - half), y)
    for _ in range(4):
        wrong = math.copysign(1 - abs(y), y) - math.copysign(math.erfc(abs(x)), y)
        error = -wrong if far else y - math.erf(x)
        step = -error * math.sqrt(math.pi) / 2 * math.exp(x * x)
        x -= step / (1 + x * step)
    return x


erfinv = each(_inverse)
