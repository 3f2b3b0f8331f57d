"""Divergences between distributions of different kinds: -entropy(p) - E_p[log q(x)]. Floor 11.

One table tells what is known of p (its bounds, and the means of some functions of x), another what
log q(x) is in those means; where p reaches beyond the bounds of q the divergence is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twofold.distributions import continuous, gamma, relaxed, transformed
from twofold.ops.compare import where
from twofold.ops.transcendental import digamma, erf, lgamma, log1p

EULER = continuous.EULER
INF = math.inf


class Moments:
    """What is known of a distribution over numbers: bounds, and means of functions of x.

    log: of log x; complement: of log(1 - x); decay(t): of exp(-t x); away(l): of |x - l|.
    """

    def __init__(self, low: Any, high: Any, **means: Callable[..., Any]) -> None:
        self.low, self.high = low, high
        self.means = means


def _beta(p: Any) -> Moments:
    a, b = p.concentration1, p.concentration0
    return Moments(
        0.0,
        1.0,
        log=lambda: digamma(a) - digamma(a + b),  # type: ignore[operator]
        complement=lambda: digamma(b) - digamma(a + b),  # type: ignore[operator]
    )


def _gamma(p: Any) -> Moments:
    a, b = p.concentration, p.rate
    return Moments(
        0.0,
        INF,
        log=lambda: digamma(a) - b.log(),
        decay=lambda t: (1 + t / b) ** -a,
    )


def _exponential(p: Any) -> Moments:
    rate = p.rate
    log = lambda: -EULER - rate.log()  # noqa: E731
    return Moments(0.0, INF, log=log, decay=lambda t: rate / (rate + t))


def _gumbel(p: Any) -> Moments:
    def decay(t: Any) -> Any:
        grown: Any = lgamma(1 + p.scale * t)
        return (grown - p.loc * t).exp()

    return Moments(-INF, INF, decay=decay)


def _normal(p: Any) -> Moments:
    def decay(t: Any) -> Any:
        return ((p.scale * t) ** 2 / 2 - p.loc * t).exp()

    def away(place: Any) -> Any:
        z = (p.loc - place) / p.scale
        flat = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z * z).exp()
        return flat + (p.loc - place) * erf(z / math.sqrt(2))

    return Moments(-INF, INF, decay=decay, away=away)


def _pareto(p: Any) -> Moments:
    return Moments(p.scale, INF, log=lambda: p.scale.log() + 1 / p.alpha)


def _uniform(p: Any) -> Moments:
    low, high = p.low, p.high
    width = high - low

    def log_between(a: Any, b: Any) -> Any:
        return (_xlogx(b) - _xlogx(a)) / width - 1

    return Moments(
        low,
        high,
        log=lambda: log_between(low, high),
        complement=lambda: log_between(1 - high, 1 - low),
        decay=lambda t: ((-low * t).exp() - (-high * t).exp()) / (width * t),
    )


def _xlogx(x: Any) -> Any:
    return where(x > 0, x, 0.0) * where(x > 0, x, 1.0).log()


MOMENTS: dict[type, Callable[[Any], Moments]] = {
    gamma.Beta: _beta,
    gamma.Gamma: _gamma,
    continuous.Exponential: _exponential,
    continuous.Gumbel: _gumbel,
    continuous.Laplace: lambda p: Moments(-INF, INF),
    continuous.Normal: _normal,
    continuous.Uniform: _uniform,
    transformed.Pareto: _pareto,
    relaxed.ContinuousBernoulli: lambda p: Moments(0.0, 1.0),
}


def _log_beta(p: Any, q: Any, means: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    scale: Any = lgamma(a + b) - lgamma(a) - lgamma(b)  # type: ignore[operator]
    return (a - 1) * means["log"]() + (b - 1) * means["complement"]() + scale


def _log_gamma(p: Any, q: Any, means: Any) -> Any:
    a, b = q.concentration, q.rate
    return a * b.log() - lgamma(a) + (a - 1) * means["log"]() - b * p.mean


def _log_gumbel(p: Any, q: Any, means: Any) -> Any:
    fall = (q.loc / q.scale).exp() * means["decay"](1 / q.scale)
    return (q.loc - p.mean) / q.scale - q.scale.log() - fall


def _log_normal(p: Any, q: Any, means: Any) -> Any:
    away = (p.variance + (p.mean - q.loc) ** 2) / q.scale**2
    return -0.5 * (math.log(2 * math.pi) + where(p.variance < INF, away, INF)) - q.scale.log()


def _log_pareto(p: Any, q: Any, means: Any) -> Any:
    return q.alpha.log() + q.alpha * q.scale.log() - (q.alpha + 1) * means["log"]()


def _log_continuous_bernoulli(p: Any, q: Any, means: Any) -> Any:
    return p.mean * q.logits + log1p(-q.probs) + q._log_norm()


# log q(x) in means of p, the bounds of q, and the means that are needed where they are finite
DENSITIES: dict[type, tuple[Callable[..., Any], Callable[[Any], tuple[Any, Any]], str]] = {
    gamma.Beta: (_log_beta, lambda q: (0.0, 1.0), "complement"),
    gamma.Gamma: (_log_gamma, lambda q: (0.0, INF), "log"),
    continuous.Exponential: (
        lambda p, q, means: q.rate.log() - q.rate * p.mean,
        lambda q: (0.0, INF),
        "",
    ),
    continuous.Gumbel: (_log_gumbel, lambda q: (-INF, INF), "decay"),
    continuous.Laplace: (
        lambda p, q, means: -(2 * q.scale).log() - means["away"](q.loc) / q.scale,
        lambda q: (-INF, INF),
        "away",
    ),
    continuous.Normal: (_log_normal, lambda q: (-INF, INF), ""),
    continuous.Uniform: (
        lambda p, q, means: -(q.high - q.low).log(),
        lambda q: (q.low, q.high),
        "",
    ),
    transformed.Pareto: (_log_pareto, lambda q: (q.scale, INF), "log"),
    relaxed.ContinuousBernoulli: (_log_continuous_bernoulli, lambda q: (0.0, 1.0), ""),
}
LINES = (continuous.Gumbel, continuous.Laplace, continuous.Normal)  # every number is possible
RAYS = (gamma.Gamma, continuous.Exponential, transformed.Pareto)  # from some number on
HELD = (gamma.Beta, relaxed.ContinuousBernoulli)  # from 0 to 1


def beyond(p: type, q: type) -> bool:
    """Whether values of p always reach beyond the bounds of q."""
    if p in LINES:
        return q not in LINES
    if p in RAYS:
        return q in (*HELD, continuous.Uniform)
    return p in HELD and q is transformed.Pareto


NEEDS = {  # the means that p has
    gamma.Beta: "log complement",
    gamma.Gamma: "log decay",
    continuous.Exponential: "log decay",
    continuous.Gumbel: "decay",
    continuous.Normal: "decay away",
    continuous.Uniform: "log complement decay",
    transformed.Pareto: "log",
}


def known(p: type, q: type) -> bool:
    """Whether the divergence of q from p is in these tables."""
    wanted = DENSITIES[q][2]
    return p is not q and (beyond(p, q) or not wanted or wanted in NEEDS.get(p, "").split())


def divergence(p: Any, q: Any) -> Any:
    """The mean of log p(x) - log q(x) for x of p; infinite where q never gives some x of p."""
    kinds = [
        next(kind for kind in type(d).__mro__ if kind in table)
        for d, table in ((p, MOMENTS), (q, DENSITIES))
    ]
    entropy = p.entropy()
    if beyond(*kinds):
        return entropy * 0 + INF
    moments = MOMENTS[kinds[0]](p)
    density, bounds, _ = DENSITIES[kinds[1]]
    low, high = bounds(q)
    made = -entropy - density(p, q, moments.means)
    outside = (made * 0 + moments.low < low) | (made * 0 + moments.high > high)
    return where(outside, INF, made)
