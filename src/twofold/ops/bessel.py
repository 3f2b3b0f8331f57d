"""Bessel functions of orders 0 and 1, of the first, second and modified kinds, and Airy's. Floor 4.

Kernels are those of codegen/vmath (bessel, macdonald, modified_bessel, airy). What they are held
against is computed here by NumPy, in float64, and rounded once: integrals over whole periods, and
those whose integrand dies at both ends, are sums at equal distances, which converge at once
(Trefethen, Weideman 2014, "The exponentially convergent trapezoidal rule"); far out it is the
asymptotic series (Abramowitz and Stegun, 9.2 and 10.4).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.ops.formula import Body, primitive, vector
from twofold.ops.more_special import full_bessel
from twofold.ops.rules import unary
from twofold.ops.samples import Samples, within
from twofold.ops.special import in_double
from twofold.ops.tensor import Tensor

__all__ = ["airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1"]
__all__ += ["modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1"]
__all__ += ["scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "spherical_bessel_j0"]

# ---- of the first and second kind

FAR = 25.0
ANGLES = (np.arange(256) + 0.5) * (math.pi / 256)
SINES = np.sin(ANGLES)


def _neumann(order: int) -> Any:
    """Weights of the angles whose sum is Neumann's series of J(2 k + order) in Y(order), A. and S.
    9.1.88.
    """
    total = np.zeros_like(ANGLES)
    for k in range(1, 40):
        share = 1 / k if order == 0 else (2 * k + 1) / (2 * k * (k + 1))
        wave = np.sin if order else np.cos
        total += (-1) ** k * share * wave((2 * k + order) * ANGLES)
    return total


def _near(x: Any, order: int, weights: Any) -> Any:
    """The mean over a half period of cos(x sin t) (sin for order 1) times weights of the angles."""
    wave = np.sin if order else np.cos
    return (wave(x[..., None] * SINES) * weights).mean(axis=-1)


def _hankel(x: Any, order: int) -> Any:
    """Amplitude P and Q of the asymptotic series, A. and S. 9.2.9."""
    p, q, term = np.ones_like(x), np.zeros_like(x), np.ones_like(x)
    for k in range(1, 24):
        term = term * (4 * order**2 - (2 * k - 1) ** 2) / (k * 8 * x)
        sign = 1 if k % 4 < 2 else -1
        p, q = (p, q + sign * term) if k % 2 else (p + sign * term, q)
    return p, q


def _first(x: Any, order: int) -> Any:
    size = np.abs(x)
    small, large = np.minimum(size, FAR), np.maximum(size, FAR)
    near = _near(small, order, np.sin(ANGLES) if order else 1.0)
    p, q = _hankel(large, order)
    turn = large - (order / 2 + 0.25) * math.pi
    far = np.sqrt(2 / (math.pi * large)) * (p * np.cos(turn) - q * np.sin(turn))
    made = np.where(size > FAR, far, near)
    made = np.where(np.isinf(x), 0.0, np.where(np.isnan(x), np.nan, made))
    return np.copysign(1.0, x) * made if order else made


def _second(x: Any, order: int) -> Any:
    small = np.where((x > 0) & (x < FAR), x, 1.0)
    large = np.where(x > FAR, x, FAR)
    log = np.log(small) - math.log(2) + np.euler_gamma
    first = _first(small, order)
    if order:
        log = log - 1
    near = 2 / math.pi * log * first - 4 / math.pi * _near(small, order, NEUMANN[order])
    if order:
        near = near - 2 / (math.pi * small) * _first(small, 0)
    p, q = _hankel(large, order)
    turn = large - (order / 2 + 0.25) * math.pi
    far = np.sqrt(2 / (math.pi * large)) * (p * np.sin(turn) + q * np.cos(turn))
    made = np.where(x >= FAR, far, near)
    made = np.where(np.isinf(x), 0.0, np.where(x == 0, -np.inf, made))
    return np.where((x < 0) | np.isnan(x), np.nan, made)


NEUMANN = (_neumann(0), _neumann(1))

# ---- modified, of the second kind


def _scaled_integral(x: Any, order: float) -> Any:
    """exp(x) K(order, x) for x >= 2: the integral of exp(-x (cosh t - 1)) cosh(order t)."""
    end = np.arccosh(1 + 45.0 / x)[..., None]
    steps = np.arange(97) * (end / 96)
    values = np.exp(-x[..., None] * (np.cosh(steps) - 1)) * np.cosh(order * steps)
    values[..., 0] *= 0.5
    return values.sum(axis=-1) * end[..., 0] / 96


def _modified(x: Any, order: int, scaled: bool) -> Any:
    small, large = np.where((x > 0) & (x < 2), x, 1.0), np.where(x >= 2, x, 2.0)
    square = small * small / 4
    term, digamma = np.ones_like(small), -np.euler_gamma
    log = np.log(small) - math.log(2)
    total = np.zeros_like(small)
    for k in range(25):  # A. and S. 9.6.13 and 9.6.11
        if order:
            share = log - (2 * digamma + 1 / (k + 1)) / 2
            total = total + term * share / (k + 1)
        else:
            total = total + term * (digamma - log)
        digamma += 1 / (k + 1)
        term = term * square / (k + 1) ** 2
    near = 1 / small + total * small / 2 if order else total
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        near = near * np.exp(small) if scaled else near
        far = _scaled_integral(np.minimum(large, 1e300), order)
        far = far if scaled else far * np.exp(-large)
    made = np.where(x >= 2, far, near)
    return np.where((x < 0) | np.isnan(x), np.nan, np.where(x == 0, np.inf, made))


# ---- Airy's function


def _airy(x: Any, slope: bool) -> Any:
    """Ai, or its slope: by K(1/3) or K(2/3) for x > 2, by the asymptotic series for x < -10, and
    between by the integral of exp(t**3 / 3 - x t) along the line of real part 1/2.
    """
    high, low = np.where(x > 2, np.minimum(x, 1e6), 2.0), np.where(x < -10, -x, 10.0)
    middle = np.clip(np.where(np.isnan(x), 0.0, x), -10, 2)
    zeta = high * np.sqrt(high) * (2 / 3)
    factor = -high / math.sqrt(3) if slope else np.sqrt(high / 3)
    right = factor / math.pi * _scaled_integral(zeta, (2 if slope else 1) / 3) * np.exp(-zeta)
    path = 0.5 + 1j * np.arange(240) * 0.05
    values = np.exp(path**3 / 3 - middle[..., None] * path)
    values = (values * -path if slope else values).real
    values[..., 0] *= 0.5
    inside = values.sum(axis=-1) * (0.05 / math.pi)
    zeta = low * np.sqrt(low) * (2 / 3)
    p, q, term = np.ones_like(low), np.zeros_like(low), np.ones_like(low)
    for k in range(1, 16):  # A. and S. 10.4.60 and 10.4.62
        term = term * ((6 * k - 5) * (6 * k - 1) / (72 * k)) / zeta
        part = -term * (6 * k + 1) / (6 * k - 1) if slope else term
        sign = 1 if k % 4 < 2 else -1
        p, q = (p, q + sign * part) if k % 2 else (p + sign * part, q)
    sine, cosine = np.sin(zeta + math.pi / 4), np.cos(zeta + math.pi / 4)
    left = (p * sine - q * cosine) / low**0.25
    left = -(p * cosine + q * sine) * low**0.25 if slope else left
    made = np.where(x > 2, right, np.where(x < -10, left / math.sqrt(math.pi), inside))
    limit = np.where(x < 0, np.nan, 0.0) if slope else 0.0
    return np.where(np.isnan(x), np.nan, np.where(np.isinf(x), limit, made))


def _spherical(x: Any) -> Any:
    still = (x == 0) | np.isinf(x)
    made = np.sin(np.where(still, 1.0, x)) / np.where(still, 1.0, x)
    return np.where(np.isinf(x), 0.0, np.where(x == 0, 1.0, made))


# ---- records

BLOCK = 4096
ANYWHERE, RIGHT = within(-9, 9, False), within(0.3, 9, False)


def _quiet(function: Callable[..., Any], *given: Any) -> Callable[..., Any]:
    def ref(x: Any) -> Any:
        flat = x.reshape(-1)
        made = np.empty_like(flat)
        with np.errstate(all="ignore"):
            for start in range(0, flat.size, BLOCK):  # each needs 256 numbers for every element
                part = slice(start, start + BLOCK)
                made[part] = function(flat[part], *given)
        return made.reshape(x.shape)

    return in_double(ref)


VMATH = "twofold.codegen.vmath."  # imported when a first kernel is built


def _one(
    name: str, home: str, ref: Any, saves: str, slope: Body, samples: Samples, doc: str
) -> Callable[..., Tensor]:
    recipe = vector(name.replace("modified_bessel_i", "i"), VMATH + home)
    rest: Any = {"samples": samples, "doc": doc, "torch": False}
    return unary(primitive(name, ref=ref, lower=recipe, saves=saves, slopes=(slope,), **rest))


def _per(m: Any, y: Any, x: Any, at_zero: float) -> Any:
    still = m.eq(x, 0.0)
    return m.where(still, at_zero, y / m.where(still, 1.0, x))


bessel_j0 = _one(
    "bessel_j0",
    "bessel",
    _quiet(_first, 0),
    "input",
    lambda m, g, x: -g * m.bessel_j1(x),
    ANYWHERE,
    "The Bessel function of the first kind of order 0.",
)
bessel_j1 = _one(
    "bessel_j1",
    "bessel",
    _quiet(_first, 1),
    "input out",
    lambda m, g, x, y: g * (m.bessel_j0(x) - _per(m, y, x, 0.5)),
    ANYWHERE,
    "The Bessel function of the first kind of order 1.",
)
bessel_y0 = _one(
    "bessel_y0",
    "bessel",
    _quiet(_second, 0),
    "input",
    lambda m, g, x: -g * m.bessel_y1(x),
    RIGHT,
    "The Bessel function of the second kind of order 0; NaN below 0.",
)
bessel_y1 = _one(
    "bessel_y1",
    "bessel",
    _quiet(_second, 1),
    "input out",
    lambda m, g, x, y: g * (m.bessel_y0(x) - y / x),
    RIGHT,
    "The Bessel function of the second kind of order 1; NaN below 0.",
)
modified_bessel_i0 = _one(
    "modified_bessel_i0",
    "modified_bessel",
    _quiet(full_bessel(0)),
    "input",
    lambda m, g, x: g * m.modified_bessel_i1(x),
    ANYWHERE,
    "The modified Bessel function of the first kind of order 0.",
)
modified_bessel_i1 = _one(
    "modified_bessel_i1",
    "modified_bessel",
    _quiet(full_bessel(1)),
    "input out",
    lambda m, g, x, y: g * (m.modified_bessel_i0(x) - _per(m, y, x, 0.5)),
    ANYWHERE,
    "The modified Bessel function of the first kind of order 1.",
)
modified_bessel_k0 = _one(
    "modified_bessel_k0",
    "macdonald",
    _quiet(_modified, 0, False),
    "input",
    lambda m, g, x: -g * m.modified_bessel_k1(x),
    RIGHT,
    "The modified Bessel function of the second kind of order 0; NaN below 0.",
)
modified_bessel_k1 = _one(
    "modified_bessel_k1",
    "macdonald",
    _quiet(_modified, 1, False),
    "input out",
    lambda m, g, x, y: -g * (m.modified_bessel_k0(x) + y / x),
    RIGHT,
    "The modified Bessel function of the second kind of order 1; NaN below 0.",
)
scaled_modified_bessel_k0 = _one(
    "scaled_modified_bessel_k0",
    "macdonald",
    _quiet(_modified, 0, True),
    "input out",
    lambda m, g, x, y: g * (y - m.scaled_modified_bessel_k1(x)),
    RIGHT,
    "exp(input) * modified_bessel_k0(input), which does not vanish far out.",
)
scaled_modified_bessel_k1 = _one(
    "scaled_modified_bessel_k1",
    "macdonald",
    _quiet(_modified, 1, True),
    "input out",
    lambda m, g, x, y: g * (y - m.scaled_modified_bessel_k0(x) - y / x),
    RIGHT,
    "exp(input) * modified_bessel_k1(input), which does not vanish far out.",
)
spherical_bessel_j0 = _one(
    "spherical_bessel_j0",
    "bessel",
    _quiet(_spherical),
    "input out",
    lambda m, g, x, y: g * _per(m, m.cos(x) - y, x, 0.0),
    ANYWHERE,
    "sin(input) / input, and 1 at 0.",
)


airy_ai = _one(
    "airy_ai",
    "airy",
    _quiet(_airy, False),
    "input",
    lambda m, g, x: g * m.airy_ai_slope(x),
    ANYWHERE,
    "Airy's function of the first kind.",
)
_one(
    "airy_ai_slope",
    "airy",
    _quiet(_airy, True),
    "input",
    lambda m, g, x: g * (x * m.airy_ai(x)),
    ANYWHERE,
    "The slope of Airy's function of the first kind.",
)
