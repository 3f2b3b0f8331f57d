"""Draws by rejection and by inversion: gamma, Poisson, binomial. Floor 4.

Element i of a draw depends on (seed, stream, draw, i) and its own parameters alone (DESIGN.md, N5).
Round r of element i takes the Philox block (i, r).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.compare import eq, ge, where
from twofold.ops.draws import LOW, philox
from twofold.ops.elementwise import mul, neg, sub
from twofold.ops.more_special import LOG_GAMMA, _lower_gamma
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.random import fresh_state
from twofold.ops.ranges import require
from twofold.ops.reduce import all as all_of
from twofold.ops.rules import as_tensor, broadcast, operands
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import exp, lgamma, xlogy
from twofold.ops.views import broadcast_tensors

__all__ = ["binomial", "poisson"]

ROUNDS = 64


def _uniforms(state: Any, places: Any, step: int) -> tuple[Any, ...]:
    """Four uniform numbers in (0, 1) for each element, of one round."""
    seed, stream, draw = map(int, state)
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    index = places.astype(np.uint64)
    counter = (index & LOW, np.uint64(step), np.uint64(draw & 0xFFFFFFFF), np.uint64(stream))
    return tuple((word + 0.5) * 2.0**-32 for word in philox(counter, key))


def _gamma(state: Any, alpha: Any) -> Any:
    """Marsaglia and Tsang (2000), "A simple method for generating gamma variables"."""
    a = alpha.astype(np.float64).ravel()
    wide = np.where(a < 1, a + 1, a)
    d = wide - 1 / 3
    c = 1 / np.sqrt(9 * d)
    made = np.full(a.shape, np.nan)
    open_ = np.flatnonzero(a > 0)
    for step in range(ROUNDS):
        if not open_.size:
            break
        u, v, w, boost = _uniforms(state, open_, step)
        z = np.sqrt(-2 * np.log(u)) * np.cos(2 * math.pi * v)
        cube = (1 + c[open_] * z) ** 3
        good = cube > 0
        safe = np.where(good, cube, 1)
        dd = d[open_]
        good &= np.log(w) < 0.5 * z * z + dd * (1 - safe + np.log(safe))
        value = dd * safe
        small = a[open_] < 1
        value = np.where(small, value * boost ** (1 / np.where(small, a[open_], 1)), value)
        made[open_[good]] = value[good]
        open_ = open_[~good]
    tiny = np.finfo(alpha.dtype).tiny
    return np.maximum(made.reshape(alpha.shape), tiny).astype(alpha.dtype)


def _gamma_slope(alpha: Any, sample: Any) -> Any:
    """d sample / d alpha = -(dP / d alpha) / density (Figurnov et al. 2018), by differences."""
    a, x = alpha.astype(np.float64), sample.astype(np.float64)
    h = 1e-5 * np.maximum(a, 1e-2)
    with np.errstate(all="ignore"):
        above, below = _lower_gamma(a + h, x), _lower_gamma(a - h, x)
        lower, upper = (above[0] - below[0]) / (2 * h), (above[1] - below[1]) / (2 * h)
        slope = np.where(x < a, lower, -upper)
        density = np.exp((a - 1) * np.log(x) - x - LOG_GAMMA(a))
        # for a small sample P is x**a / (a gamma(a)), and the ratio has a limit
        digamma = (LOG_GAMMA(a + 1 + h) - LOG_GAMMA(a + 1 - h)) / (2 * h)
        limit = -x * (np.log(x) - digamma) / a
        made = np.where(x < 1e-6, limit, -slope / density)
    return np.asarray(made).astype(alpha.dtype)


GAMMA_SLOPE = define(
    "gamma_sample_slope",
    inputs="alpha sample",
    doc="How a gamma sample moves with its shape parameter.",
    accepts=FLOAT,
    infer=lambda alpha, sample: Type(broadcast("gamma", alpha=alpha, sample=sample), alpha.dtype),
    ref=_gamma_slope,
    samples=lambda r: [
        Sample((r.uniform(0.5, 5, (3, 4)), r.uniform(0.3, 6, (3, 4))), smooth=False)
    ],
    torch=False,
)


def _gamma_vjp(g: Tensor, out: Tensor, state: Any, alpha: Tensor) -> Any:
    return None, mul(g, bind(GAMMA_SLOPE, (alpha, out)))


GAMMA = define(
    "random_gamma",
    inputs="state alpha",
    doc="Gamma numbers of scale 1 of the draw that state u64[3] names, with shapes alpha.",
    accepts=FLOAT,
    infer=lambda state, alpha: alpha,
    ref=_gamma,
    vjp=_gamma_vjp,
    saves="alpha out",
    samples=lambda r: [
        Sample((np.array([7, 0, 3], np.uint64), r.uniform(0.2, 5, (3, 4))), smooth=False)
    ],
    torch=False,
)


def gamma_like(alpha: Tensor) -> Tensor:
    """Gamma numbers of scale 1 with these shapes, through which gradients pass."""
    return bind(GAMMA, (fresh_state(None), alpha))  # type: ignore[no-any-return]


def _gamma_cdf_vjp(g: Tensor, out: Any, alpha: Tensor, x: Tensor) -> Any:
    density = exp(sub(sub(xlogy(sub(alpha, 1), x), x), lgamma(alpha)))
    moved = where(eq(x, 0), 0, mul(density, bind(GAMMA_SLOPE, (alpha, x))))
    return neg(mul(g, moved)), mul(g, density)


def _gamma_cdf(alpha: Any, x: Any) -> Any:
    return _lower_gamma(alpha.astype(np.float64), x.astype(np.float64))[0].astype(x.dtype)


GAMMA_CDF = define(
    "gamma_cdf",
    inputs="alpha x",
    doc="P(alpha, x) of one shape, with the implicit gradient by alpha (Figurnov et al. 2018).",
    accepts=FLOAT,
    infer=lambda alpha, x: Type(broadcast("gamma_cdf", alpha=alpha, x=x), x.dtype),
    ref=_gamma_cdf,
    vjp=_gamma_cdf_vjp,
    saves="alpha x",
    samples=lambda r: [
        Sample((r.uniform(0.5, 5, (3, 4)), r.uniform(0.3, 6, (3, 4))), smooth=False)
    ],
    torch=False,
)


def gamma_cdf(alpha: Tensor, x: Tensor) -> Tensor:
    """Which part of gamma numbers of scale 1 with shape alpha is below x. The gradient by alpha is
    the one of samples (`gamma_like`), and has no gradient itself.
    """
    return bind(GAMMA_CDF, tuple(broadcast_tensors(alpha, x)))  # type: ignore[no-any-return]


MOST = 500.0  # the largest rate that one inversion takes


def _poisson(state: Any, rate: Any) -> Any:
    """By inversion, in pieces of rate 500 at most, whose sum is a Poisson number again."""
    full = rate.astype(np.float64).ravel()
    pieces = np.maximum(np.ceil(full / MOST), 1)
    total = np.zeros(full.shape)
    every = np.arange(full.size)
    for step in range(int(pieces.max(initial=0))):
        part = np.where(step < pieces, full / pieces, 0.0)
        u = _uniforms(state, every, step)
        total += _inverted(part, u[0] + u[1] * 2.0**-32)
    return total.reshape(rate.shape).astype(rate.dtype)


def _inverted(rate: Any, u: Any) -> Any:
    term = np.exp(-rate)
    below, k = term.copy(), np.zeros(rate.shape)
    for step in range(1, int(rate.max(initial=0) + 40 * math.sqrt(rate.max(initial=0) + 1)) + 60):
        more = u > below
        if not more.any():
            break
        k += more
        term = term * rate / step
        below = below + term
    return k


POISSON = define(
    "random_poisson",
    inputs="state rate",
    doc="Poisson numbers of the draw that state u64[3] names, with these rates.",
    accepts=FLOAT,
    infer=lambda state, rate: rate,
    ref=_poisson,
    samples=lambda r: [Sample((np.array([7, 0, 3], np.uint64), r.uniform(0, 900, (3, 4))))],
    torch=False,
)


def _binomial(state: Any, count: Any, prob: Any) -> Any:
    """By inversion of the distribution, from the likelier side."""
    n, p = (np.asarray(x, np.float64).ravel() for x in np.broadcast_arrays(count, prob))
    turned = p > 0.5
    q = np.where(turned, 1 - p, p)
    u = _uniforms(state, np.arange(n.size), 0)
    u = u[0] + u[1] * 2.0**-32
    with np.errstate(divide="ignore", invalid="ignore"):
        odds, log_term = np.log(q) - np.log1p(-q), n * np.log1p(-q)
    below, k = np.exp(log_term), np.zeros(n.shape)
    for step in range(1, int(n.max(initial=0)) + 1):
        more = (u > below) & (k < n)
        if not more.any():
            break
        k += more
        with np.errstate(divide="ignore", invalid="ignore"):
            log_term = log_term + np.log(np.maximum(n - step + 1, 0)) - math.log(step) + odds
        below = below + np.where(np.isnan(log_term), 0, np.exp(log_term))
    made = np.where(turned, n - k, k)
    return made.reshape(np.broadcast_shapes(count.shape, prob.shape)).astype(prob.dtype)


BINOMIAL = define(
    "random_binomial",
    inputs="state count prob",
    doc="Binomial numbers of the draw that state u64[3] names.",
    accepts=FLOAT,
    infer=lambda state, count, prob: prob,
    ref=_binomial,
    samples=lambda r: [
        Sample(
            (
                np.array([7, 0, 3], np.uint64),
                r.integers(0, 40, (3, 4)).astype(float),
                r.random((3, 4)),
            )
        )
    ],
    torch=False,
)


def _negative(x: Tensor) -> Exception:
    return ArgumentError("poisson", "a rate is negative", input=type_of(x))


def poisson(input: Tensor, generator: Any = None) -> Tensor:
    """Poisson numbers with these rates, in their type."""
    x = as_tensor(input, "poisson")
    require(all_of(ge(x, 0)), lambda: _negative(x))
    return bind(POISSON, (fresh_state(generator), x))  # type: ignore[no-any-return]


def binomial(count: Tensor, prob: Tensor, generator: Any = None) -> Tensor:
    """How many of `count` trials succeed, each with probability `prob`."""
    n, p = operands("binomial", count, prob)
    return bind(BINOMIAL, (fresh_state(generator), n, p))  # type: ignore[no-any-return]
