"""How far one distribution is from another: the divergence of Kullback and Leibler. Floor 11."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twofold.distributions import (
    continuous,
    discrete,
    gamma,
    kl_mixed,
    matrices,
    multivariate,
    relaxed,
    transformed,
)
from twofold.distributions.distribution import Distribution, Missing
from twofold.distributions.transform import sum_last
from twofold.nn.functional import softplus
from twofold.ops.solve import solve_triangular
from twofold.ops.transcendental import digamma, lgamma, log1p

RULES: dict[tuple[type, type], Callable[..., Any]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[..., Any]:
    """A decorator: the function gives kl_divergence(p, q) of these classes."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        RULES[type_p, type_q] = function
        return function

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Any:
    """The mean of log p(x) - log q(x) for x of p. Raises Missing for a pair without a rule."""
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in RULES:
                return RULES[a, b](p, q)
    pair = f"{type(p).__name__} and {type(q).__name__}"
    raise Missing("kl_divergence", f"there is no rule for {pair}", hint="register_kl")


@register_kl(continuous.Normal, continuous.Normal)
def _normals(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale) ** 2
    away = ((p.loc - q.loc) / q.scale) ** 2
    return 0.5 * (ratio + away - 1 - ratio.log())


@register_kl(continuous.Laplace, continuous.Laplace)
def _laplaces(p: Any, q: Any) -> Any:
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * (-away / p.scale).exp() - 1


@register_kl(continuous.Exponential, continuous.Exponential)
def _exponentials(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(continuous.Uniform, continuous.Uniform)
def _uniforms(p: Any, q: Any) -> Any:
    made = ((q.high - q.low) / (p.high - p.low)).log()
    return made.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(continuous.Cauchy, continuous.Cauchy)
def _cauchys(p: Any, q: Any) -> Any:
    top = (p.scale + q.scale) ** 2 + (p.loc - q.loc) ** 2
    return top.log() - (4 * p.scale * q.scale).log()


@register_kl(discrete.Bernoulli, discrete.Bernoulli)
def _bernoullis(p: Any, q: Any) -> Any:
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))  # type: ignore[operator]
    one = one.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))  # type: ignore[operator]
    zero = zero.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)
    return one + zero


@register_kl(discrete.Binomial, discrete.Binomial)
def _binomials(p: Any, q: Any) -> Any:
    made = p.total_count * (
        p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    )
    return made.masked_fill(p.total_count > q.total_count, math.inf)


@register_kl(discrete.Categorical, discrete.Categorical)
def _categoricals(p: Any, q: Any) -> Any:
    made = p.probs * (p.logits - q.logits)
    made = made.masked_fill(q.probs == 0, math.inf)
    return made.masked_fill(p.probs == 0, 0).sum(-1)


@register_kl(discrete.OneHotCategorical, discrete.OneHotCategorical)
def _one_hots(p: Any, q: Any) -> Any:
    return _categoricals(p._categorical, q._categorical)


@register_kl(discrete.Geometric, discrete.Geometric)
def _geometrics(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(discrete.Poisson, discrete.Poisson)
def _poissons(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(gamma.Gamma, gamma.Gamma)
def _gammas(p: Any, q: Any) -> Any:
    first = q.concentration * (p.rate / q.rate).log()
    second: Any = lgamma(q.concentration) - lgamma(p.concentration)  # type: ignore[operator]
    third = (p.concentration - q.concentration) * digamma(p.concentration)
    return first + second + third + (q.rate - p.rate) * (p.concentration / p.rate)


@register_kl(gamma.Beta, gamma.Beta)
def _betas(p: Any, q: Any) -> Any:
    return _dirichlets(p._dirichlet, q._dirichlet)


@register_kl(gamma.Dirichlet, gamma.Dirichlet)
def _dirichlets(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    total: Any = a.sum(-1, True)
    first: Any = lgamma(total).sum(-1) - lgamma(b.sum(-1))  # type: ignore[attr-defined]
    second = (lgamma(a) - lgamma(b)).sum(-1)  # type: ignore[operator]
    third = ((a - b) * (digamma(a) - digamma(total))).sum(-1)  # type: ignore[operator]
    return first - second + third


@register_kl(multivariate.MultivariateNormal, multivariate.MultivariateNormal)
def _multivariate_normals(p: Any, q: Any) -> Any:
    n = p.event_shape[0]
    scale: Any = solve_triangular(q.scale_tril, p.scale_tril, upper=False)
    away: Any = solve_triangular(q.scale_tril, (q.loc - p.loc).unsqueeze(-1), upper=False)
    spread = (scale**2).sum((-2, -1)) + (away**2).sum((-2, -1))
    return q._half_log_det() - p._half_log_det() + 0.5 * (spread - n)


@register_kl(multivariate.Independent, multivariate.Independent)
def _independents(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise Missing("kl_divergence", "the events are different")
    return p._summed(kl_divergence(p.base_dist, q.base_dist))


@register_kl(transformed.TransformedDistribution, transformed.TransformedDistribution)
def _transformed(p: Any, q: Any) -> Any:
    if repr(p.transforms) != repr(q.transforms) or p.event_shape != q.event_shape:
        raise Missing("kl_divergence", "the transforms are different")
    made = kl_divergence(p.base_dist, q.base_dist)
    return sum_last(made, len(p.event_shape) - len(p.base_dist.event_shape))


@register_kl(continuous.HalfNormal, continuous.HalfNormal)
def _half_normals(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio - 1 - ratio.log())


@register_kl(continuous.Gumbel, continuous.Gumbel)
def _gumbels(p: Any, q: Any) -> Any:
    ratio, away = p.scale / q.scale, (q.loc - p.loc) / q.scale
    power = away + lgamma(1 + ratio)
    return -ratio.log() - 1 + (ratio - 1) * continuous.EULER - away + power.exp()


@register_kl(transformed.Pareto, transformed.Pareto)
def _paretos(p: Any, q: Any) -> Any:
    scales, alphas = p.scale / q.scale, q.alpha / p.alpha
    made = q.alpha * scales.log() - alphas.log() + alphas - 1
    return made.masked_fill(p.scale < q.scale, math.inf)


@register_kl(relaxed.ContinuousBernoulli, relaxed.ContinuousBernoulli)
def _continuous_bernoullis(p: Any, q: Any) -> Any:
    zero = p._log_norm() + log1p(-p.probs) - q._log_norm() - log1p(-q.probs)
    return p.mean * (p.logits - q.logits) + zero


@register_kl(multivariate.LowRankMultivariateNormal, multivariate.LowRankMultivariateNormal)
@register_kl(multivariate.LowRankMultivariateNormal, multivariate.MultivariateNormal)
@register_kl(multivariate.MultivariateNormal, multivariate.LowRankMultivariateNormal)
def _low_rank_normals(p: Any, q: Any) -> Any:
    return _multivariate_normals(p, q)


@register_kl(continuous.HalfCauchy, continuous.HalfCauchy)
def _half_cauchys(p: Any, q: Any) -> Any:
    return ((p.scale + q.scale) ** 2 / (4 * p.scale * q.scale)).log()


@register_kl(discrete.Bernoulli, discrete.Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return q.rate - p.probs * q.rate.log() - p.entropy()


@register_kl(discrete.Poisson, discrete.Bernoulli)
@register_kl(discrete.Poisson, discrete.Binomial)
def _poisson_beyond(p: Any, q: Any) -> Any:
    return p.rate * 0 + math.inf  # counts that q never gives


register_kl(matrices.Wishart, matrices.Wishart)(matrices.kl_wisharts)
for _p in kl_mixed.MOMENTS:
    for _q in kl_mixed.DENSITIES:
        if (_p, _q) not in RULES and kl_mixed.known(_p, _q):
            register_kl(_p, _q)(kl_mixed.divergence)
