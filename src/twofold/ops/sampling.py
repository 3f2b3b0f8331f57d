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
from twofold.ops.formula import vector
from twofold.ops.generators import fresh_state
from twofold.ops.guarding import guard
from twofold.ops.more_special import INCOMPLETE, LOG_GAMMA, _lower_gamma
from twofold.ops.op import FLOAT, Sample, define, op_named
from twofold.ops.ranges import require
from twofold.ops.reduce import all as all_of
from twofold.ops.rules import as_tensor, broadcast, operands
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import exp, lgamma, xlogy
from twofold.ops.views import broadcast_tensors

__all__ = ["binomial", "poisson"]

ROUNDS = 64


def _words(state: Any, places: Any, step: int) -> tuple[Any, ...]:
    """The four words of each element, of one round."""
    seed, stream, draw = map(int, state)
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    index = places.astype(np.uint64)
    counter = (index & LOW, np.uint64(step), np.uint64(draw & 0xFFFFFFFF), np.uint64(stream))
    return philox(counter, key)


def _unit(word: Any) -> Any:
    """(word + 1/2) / 2^32, within (0, 1)."""
    return (word + 0.5) * 2.0**-32


def _fine(high: Any, low: Any) -> Any:
    """53 bits of two words, in [0, 1)."""
    return ((high >> 5) * 2.0**26 + (low >> 6)) * 2.0**-53


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
        u, v, w, boost = map(_unit, _words(state, open_, step))
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
    tiny = np.finfo(np.float64 if alpha.dtype == np.float64 else np.float32).tiny
    return np.maximum(made.reshape(alpha.shape), tiny).astype(alpha.dtype)


def _gamma_slope(alpha: Any, sample: Any) -> Any:
    """d sample / d alpha = -(dP / d alpha) / density (Figurnov et al. 2018): P's series, or its
    continued fraction, with their derivatives by alpha.
    """
    a, x = np.broadcast_arrays(alpha.astype(np.float64), sample.astype(np.float64))
    plain = (a > 0) & (x > 0) & np.isfinite(a) & np.isfinite(x)
    s, t = np.where(plain, a, 1.0), np.where(plain, x, 1.0)
    digamma = op_named("digamma").ref(s)
    with np.errstate(all="ignore"):
        total, weighted = _series_slope(s, t)
        low = t * ((digamma + 1 / s - np.log(t)) * total + weighted)
        value, by_a = _fraction_slope(s, t)
        high = t * ((np.log(t) - digamma) * value + by_a)
    made = np.where(t < s + 1, low, high)
    made = np.where(plain, made, np.where(x == 0, x, np.nan))
    return np.asarray(made).astype(alpha.dtype)


def _steps(a: Any) -> range:
    """As many steps as the largest shape takes."""
    return range(1, 100 + 12 * int(math.sqrt(a.max(initial=1.0))))


def _series_slope(a: Any, x: Any) -> tuple[Any, Any]:
    term = 1 / a
    total, weight, weighted = term, np.zeros(a.shape), np.zeros(a.shape)
    for k in _steps(a):
        term, weight = term * x / (a + k), weight + 1 / (a + k)
        total, weighted = total + term, weighted + term * weight
    return total, weighted


def _fraction_slope(a: Any, x: Any) -> tuple[Any, Any]:
    """Legendre's fraction from its far end, and its derivative by a."""
    below, slope = np.ones(a.shape), np.zeros(a.shape)
    for k in reversed(_steps(a)):
        # below stands for x + 2 k + 1 - a + ...; the one before it is that with k - 1
        if k == _steps(a)[-1]:
            below, slope = x + 2 * k + 1 - a, -np.ones(a.shape)
        part = k * (a - k) / below
        slope = -1 + k / below - part * slope / below
        below = x + 2 * k - 1 - a + part
    return 1 / below, -slope / (below * below)


GAMMA_SLOPE = define(
    "gamma_sample_slope",
    inputs="alpha sample",
    doc="How a gamma sample moves with its shape parameter.",
    accepts=FLOAT,
    infer=lambda alpha, sample: Type(broadcast("gamma", alpha=alpha, sample=sample), alpha.dtype),
    ref=_gamma_slope,
    lower=vector("gamma_sample_slope", INCOMPLETE),
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
    lower="random_gamma",
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
    lower=vector("gammainc", INCOMPLETE),
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


SMALL = 10.0  # means below which inversion is quicker than rejection


def _inverted(first: Any, u: Any, ratio: Any) -> Any:
    """How many of the terms first, first * ratio(1), ... add up to less than u."""
    term, below, k = first.copy(), first.copy(), np.zeros(first.shape)
    more = u > below
    while more.any():
        now = term * ratio(k + 1)
        more &= now > 0
        k, term = np.where(more, k + 1, k), np.where(more, now, term)
        below = np.where(more, below + now, below)
        more &= u > below
    return k


def _transformed(state: Any, places: Any, hats: Any, density: Any, inside: Any) -> Any:
    """Hoermann's transformed rejection with squeeze, for the elements at these places.

    (a, b, centre, shape, height) tell the hat.
    """
    made, open_ = np.full(places.shape, np.nan), np.arange(places.size)
    for step in range(ROUNDS):
        if not open_.size:
            break
        words = _words(state, places[open_], step)
        u, v = _fine(words[0], words[1]) - 0.5, _unit(words[2])
        a, b, centre, shape, height = (x[open_] for x in hats)
        away = np.maximum(0.5 - np.abs(u), 2.0**-54)
        k = np.floor((2 * a / away + b) * u + centre)
        good = (away >= 0.07) & (v <= height)
        rest = inside(k, open_) & ~((away < 0.013) & (v > away))
        hat = np.log(v * shape / (a / (away * away) + b))
        good |= rest & (hat <= density(np.where(rest, k, 0.0), open_))
        made[open_[good]] = k[good]
        open_ = open_[~good]
    return made


def _poisson(state: Any, rate: Any) -> Any:
    """By inversion for small rates; else Hoermann (1993), "The transformed rejection method for
    generating Poisson random variables", algorithm PTRS.
    """
    full = rate.astype(np.float64).ravel()
    made = full.copy()
    few = np.flatnonzero(full < SMALL)
    if few.size:
        words, low = _words(state, few, 0), full[few]
        made[few] = _inverted(np.exp(-low), _fine(words[0], words[1]), lambda k: low / k)
    many = np.flatnonzero((full >= SMALL) & np.isfinite(full))
    if many.size:
        made[many] = _many_poisson(state, many, full[many])
    return made.reshape(rate.shape).astype(rate.dtype)


def _many_poisson(state: Any, places: Any, mean: Any) -> Any:
    b = 0.931 + 2.53 * np.sqrt(mean)
    a = b * 0.02483 - 0.059
    hats = (a, b, mean + 0.43, 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2))
    slope = np.log(mean)

    def density(k: Any, at: Any) -> Any:
        return k * slope[at] - mean[at] - LOG_GAMMA(k + 1)

    return _transformed(state, places, hats, density, lambda k, at: k >= 0)


POISSON = define(
    "random_poisson",
    inputs="state rate",
    doc="Poisson numbers of the draw that state u64[3] names, with these rates.",
    accepts=FLOAT,
    infer=lambda state, rate: rate,
    ref=_poisson,
    lower="random_poisson",
    samples=lambda r: [Sample((np.array([7, 0, 3], np.uint64), r.uniform(0, 900, (3, 4))))],
    torch=False,
)


def _binomial(state: Any, count: Any, prob: Any) -> Any:
    """Counted from the likelier side: by inversion for small means, else Hoermann (1993), "The
    generation of binomial random variates", algorithm BTRS.
    """
    n, given = count.astype(np.float64).ravel(), prob.astype(np.float64).ravel()
    p = np.where(given > 0.5, 1 - given, given)
    usual = (p > 0) & (n > 0)
    made = np.where(given >= 1, np.maximum(n, 0), 0)
    made[np.isnan(n) | np.isnan(given)] = np.nan
    for small, draw in ((True, _few_binomial), (False, _many_binomial)):
        at = np.flatnonzero(usual & ((n * p < SMALL) == small))
        if at.size:
            number = draw(state, at, n[at], p[at])
            made[at] = np.where(given[at] > 0.5, n[at] - number, number)
    return made.reshape(prob.shape).astype(prob.dtype)


def _few_binomial(state: Any, places: Any, n: Any, p: Any) -> Any:
    words, odds = _words(state, places, 0), p / (1 - p)
    ratio = lambda k: (n - k + 1) / k * odds  # noqa: E731
    return _inverted(np.exp(n * np.log1p(-p)), _fine(words[0], words[1]), ratio)


def _many_binomial(state: Any, places: Any, n: Any, p: Any) -> Any:
    spread = np.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * spread
    a = b * 0.0248 - 0.0873 + 0.01 * p
    hats = (a, b, n * p + 0.5, (2.83 + 5.1 / b) * spread, 0.92 - 4.2 / b)
    mode, slope = np.floor((n + 1) * p), np.log(p / (1 - p))
    top = LOG_GAMMA(mode + 1) + LOG_GAMMA(n - mode + 1)

    def density(k: Any, at: Any) -> Any:
        ways = top[at] - LOG_GAMMA(k + 1) - LOG_GAMMA(n[at] - k + 1)
        return ways + (k - mode[at]) * slope[at]

    return _transformed(state, places, hats, density, lambda k, at: (k >= 0) & (k <= n[at]))


BINOMIAL = define(
    "random_binomial",
    inputs="state count prob",
    doc="Binomial numbers of the draw that state u64[3] names.",
    accepts=FLOAT,
    infer=lambda state, count, prob: prob,
    ref=_binomial,
    lower="random_binomial",
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
    if n.array.shape != p.array.shape:
        n, p = broadcast_tensors(n, p)
    return bind(BINOMIAL, (fresh_state(generator), n, p))  # type: ignore[no-any-return]


guard(globals())
