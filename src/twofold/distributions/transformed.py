"""Distributions made by sending another one through transforms. Floor 11."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.base.errors import ArgumentError
from twofold.distributions import constraints
from twofold.distributions.composed import ComposeTransform
from twofold.distributions.continuous import EULER, Exponential, Normal, Uniform
from twofold.distributions.distribution import Distribution, broadcast_all
from twofold.distributions.gamma import Gamma
from twofold.distributions.multivariate import Independent
from twofold.distributions.transform import Transform, sum_last
from twofold.distributions.transforms import (
    AffineTransform,
    ExpTransform,
    PowerTransform,
    StickBreakingTransform,
)
from twofold.ops.bind import recording
from twofold.ops.transcendental import digamma, expm1, lgamma


class TransformedDistribution(Distribution):
    """The distribution of transform(x), for x of a base distribution."""

    arg_constraints: ClassVar = {}

    def __init__(
        self,
        base_distribution: Distribution,
        transforms: Any,
        validate_args: bool | None = None,
    ) -> None:
        if isinstance(transforms, Transform):
            transforms = [transforms]
        if not all(isinstance(t, Transform) for t in transforms):
            raise ArgumentError("TransformedDistribution", "transforms are wanted")
        self.transforms: list[Transform] = list(transforms)
        whole = ComposeTransform(self.transforms)
        domain, codomain = whole.domain.event_dim, whole.codomain.event_dim
        extra = domain - len(base_distribution.event_shape)
        if extra > 0:
            base_distribution = Independent(base_distribution, extra)
        self.base_dist = base_distribution
        shape: Any = (*base_distribution.batch_shape, *base_distribution.event_shape)
        for transform in self.transforms:
            shape = transform.forward_shape(shape)
        events = codomain + len(base_distribution.event_shape) - domain
        cut = len(shape) - events
        super().__init__(shape[:cut], shape[cut:], validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        base = self.base_dist.expand(batch_shape)
        return TransformedDistribution(base, self.transforms, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.base_dist.has_rsample

    @property
    def support(self) -> Any:
        if not self.transforms:
            return self.base_dist.support
        last = self.transforms[-1].codomain
        return constraints.independent(last, len(self.event_shape) - last.event_dim)

    def sample(self, sample_shape: Any = ()) -> Any:
        with recording(False):
            return self._sent(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._sent(self.base_dist.rsample(sample_shape))

    def _sent(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        events = len(self.event_shape)
        total: Any = 0.0
        y = value
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            slope = transform.log_abs_det_jacobian(x, y)
            events += transform.domain.event_dim - transform.codomain.event_dim
            total = total - sum_last(slope, events - transform.domain.event_dim)
            y = x
        made = self.base_dist.log_prob(y)
        return sum_last(made, events - len(self.base_dist.event_shape)) + total

    def cdf(self, value: Any) -> Any:
        sign: Any = 1
        for transform in reversed(self.transforms):
            value = transform.inv(value)
            sign = sign * transform.sign
        made = self.base_dist.cdf(value)
        return sign * (made - 0.5) + 0.5

    def icdf(self, value: Any) -> Any:
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return self._sent(self.base_dist.icdf(sign * (value - 0.5) + 0.5))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.transforms})"


class LogNormal(TransformedDistribution):
    """Numbers whose logarithm is normal, of mean `loc` and deviation `scale`."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.positive

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        base = self.base_dist.expand(batch_shape)
        return LogNormal(base.loc, base.scale, validate_args=False)

    @property
    def loc(self) -> Any:
        return self.base_dist.loc  # type: ignore[attr-defined]

    @property
    def scale(self) -> Any:
        return self.base_dist.scale  # type: ignore[attr-defined]

    @property
    def mean(self) -> Any:
        return (self.loc + self.scale**2 / 2).exp()

    @property
    def mode(self) -> Any:
        return (self.loc - self.scale**2).exp()

    @property
    def variance(self) -> Any:
        square = self.scale**2
        return expm1(square) * (2 * self.loc + square).exp()

    def entropy(self) -> Any:
        return self.base_dist.entropy() + self.loc

    def __repr__(self) -> str:
        return f"LogNormal({self.base_dist})"


class _Named(TransformedDistribution):
    """A transformed distribution with parameters of its own, which `expand` expands."""

    def _expand(self, batch_shape: Any) -> Any:
        return Distribution._expand(self, batch_shape)

    def __repr__(self) -> str:
        return Distribution.__repr__(self)


class Pareto(_Named):
    """Pareto's distribution: numbers above `scale`, with a tail of power -(alpha + 1)."""

    arg_constraints: ClassVar = {"alpha": constraints.positive, "scale": constraints.positive}
    _expanded = ("scale", "alpha")

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args)
        transforms = [ExpTransform(), AffineTransform(0, self.scale)]
        super().__init__(base, transforms, validate_args)

    @property
    def support(self) -> Any:
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Any:
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def mode(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        a = self.alpha.clamp(min=2)
        return self.scale**2 * a / ((a - 1) ** 2 * (a - 2))

    def entropy(self) -> Any:
        return (self.scale / self.alpha).log() + (1 + 1 / self.alpha)


class Weibull(_Named):
    """Weibull's distribution of times to failure."""

    arg_constraints: ClassVar = {
        "scale": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.positive
    _expanded = ("scale", "concentration")

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        transforms = [PowerTransform(1 / self.concentration), AffineTransform(0, self.scale)]
        base = Exponential(self.scale.detach() * 0 + 1, validate_args)
        super().__init__(base, transforms, validate_args)

    @property
    def mean(self) -> Any:
        return self.scale * self._power(1)

    def _power(self, n: int) -> Any:
        """The mean of the n-th power, for scale 1."""
        made: Any = lgamma(1 + n / self.concentration)
        return made.exp()

    @property
    def mode(self) -> Any:
        c = self.concentration
        return self.scale * ((c - 1) / c) ** (1 / c)

    @property
    def variance(self) -> Any:
        return self.scale**2 * (self._power(2) - self._power(1) ** 2)

    def entropy(self) -> Any:
        c = self.concentration
        return EULER * (1 - 1 / c) + (self.scale / c).log() + 1


class Kumaraswamy(_Named):
    """Numbers from 0 to 1, much like Beta's, with a cdf in closed form."""

    arg_constraints: ClassVar = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    _expanded = ("concentration1", "concentration0")

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        a, b = broadcast_all(concentration1, concentration0)
        self.concentration1, self.concentration0 = a, b
        zero = b.detach() * 0
        transforms = [PowerTransform(1 / b), AffineTransform(1, -1), PowerTransform(1 / a)]
        super().__init__(Uniform(zero, zero + 1, validate_args), transforms, validate_args)

    def _moment(self, n: int) -> Any:
        b, over = self.concentration0, 1 + n / self.concentration1
        made: Any = lgamma(over) + lgamma(b) - lgamma(over + b)  # type: ignore[operator]
        return b * made.exp()

    @property
    def mean(self) -> Any:
        return self._moment(1)

    @property
    def mode(self) -> Any:
        a, b = self.concentration1, self.concentration0
        made = ((a - 1) / (a * b - 1)) ** (1 / a)
        return made.masked_fill((a < 1) | (b < 1), math.nan)

    @property
    def variance(self) -> Any:
        return self._moment(2) - self._moment(1) ** 2

    def entropy(self) -> Any:
        a, b = self.concentration1, self.concentration0
        harmonic: Any = digamma(b + 1) + EULER  # type: ignore[operator]
        return (1 - 1 / b) + (1 - 1 / a) * harmonic - a.log() - b.log()


class InverseGamma(_Named):
    """Numbers whose reciprocal is a gamma number."""

    arg_constraints: ClassVar = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.positive
    _expanded = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        base = Gamma(self.concentration, self.rate, validate_args)
        super().__init__(base, PowerTransform(-1.0), validate_args)

    @property
    def mean(self) -> Any:
        made = self.rate / (self.concentration - 1)
        return made.masked_fill(self.concentration <= 1, math.inf)

    @property
    def mode(self) -> Any:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Any:
        c = self.concentration
        made = self.rate**2 / ((c - 1) ** 2 * (c - 2))
        return made.masked_fill(c <= 2, math.inf)

    def entropy(self) -> Any:
        c = self.concentration
        return c + self.rate.log() + lgamma(c) - (1 + c) * digamma(c)


class LogisticNormal(_Named):
    """Shares f[k + 1] that sum to 1, from a normal vector f[k] by pieces of a stick."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args)
        if not base.batch_shape:
            base = base.expand((1,))
        super().__init__(base, StickBreakingTransform(), validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        base = self._normal.expand((*batch_shape, *self._normal.batch_shape[-1:]))
        return LogisticNormal(base.loc, base.scale, validate_args=False)

    @property
    def _normal(self) -> Any:
        return self.base_dist.base_dist  # type: ignore[attr-defined]

    @property
    def loc(self) -> Any:
        return self._normal.loc

    @property
    def scale(self) -> Any:
        return self._normal.scale
