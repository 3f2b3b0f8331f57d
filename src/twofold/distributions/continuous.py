"""Distributions of real numbers: normal, uniform, exponential, Laplace, Cauchy and their kin.
Floor 11.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.distributions import constraints
from twofold.distributions.distribution import (
    Centred,
    Distribution,
    ExponentialFamily,
    broadcast_all,
)
from twofold.ops.more_special import ndtr
from twofold.ops.random import rand, randn
from twofold.ops.tensor import Size
from twofold.ops.transcendental import erf, erfinv, expm1, log1p

EULER = 0.57721566490153286060


def size_of(*values: Any) -> Size:
    return Size(values[0].shape)


class Normal(Centred, ExponentialFamily):
    """The normal distribution of mean `loc` and standard deviation `scale`."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _expanded = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(size_of(self.loc), (), validate_args)

    @property
    def stddev(self) -> Any:
        return self.scale

    @property
    def variance(self) -> Any:
        return self.scale**2

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise = randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + noise * self.scale

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = (value - self.loc) / self.scale
        return -0.5 * away**2 - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return ndtr((value - self.loc) / self.scale)

    def icdf(self, value: Any) -> Any:
        return self.loc + self.scale * erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Any:
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


class HalfNormal(Distribution):
    """The absolute value of a normal number of mean 0 and deviation `scale`."""

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _expanded = ("scale",)

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(size_of(self.scale), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def mode(self) -> Any:
        return self.scale.detach() * 0

    @property
    def variance(self) -> Any:
        return self.scale**2 * (1 - 2 / math.pi)

    def rsample(self, sample_shape: Any = ()) -> Any:
        noise: Any = randn(self._extended_shape(sample_shape), dtype=self.scale.dtype)
        return noise.abs() * self.scale

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = value / self.scale
        return -0.5 * away**2 - self.scale.log() + 0.5 * math.log(2 / math.pi)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return erf(value / self.scale * math.sqrt(0.5))

    def icdf(self, value: Any) -> Any:
        return self.scale * erfinv(value) * math.sqrt(2)

    def entropy(self) -> Any:
        return self.scale.log() + 0.5 * math.log(math.pi / 2) + 0.5


class Uniform(Distribution):
    """Numbers from `low` to `high`, all alike."""

    arg_constraints: ClassVar = {"low": constraints.real, "high": constraints.real}
    has_rsample = True
    _expanded = ("low", "high")

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(size_of(self.low), (), validate_args)

    @property
    def support(self) -> Any:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Any:
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Any:
        return math.nan * self.high

    @property
    def variance(self) -> Any:
        return (self.high - self.low) ** 2 / 12

    def rsample(self, sample_shape: Any = ()) -> Any:
        u = rand(self._extended_shape(sample_shape), dtype=self.low.dtype)
        return self.low + u * (self.high - self.low)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        inside = (self.low <= value) & (value < self.high)
        made = -(self.high - self.low).log() + value * 0
        return made.masked_fill(~inside, -math.inf)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Any) -> Any:
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Any:
        return (self.high - self.low).log()


class Exponential(ExponentialFamily):
    """Waiting times of mean 1 / `rate`."""

    arg_constraints: ClassVar = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _expanded = ("rate",)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(size_of(self.rate), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Any:
        return self.rate.detach() * 0

    @property
    def stddev(self) -> Any:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Any:
        return self.rate ** (-2)

    def rsample(self, sample_shape: Any = ()) -> Any:
        u: Any = rand(self._extended_shape(sample_shape), dtype=self.rate.dtype)
        return -log1p(-u) / self.rate  # type: ignore[operator]

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Any) -> Any:
        return -log1p(-value) / self.rate  # type: ignore[operator]

    def entropy(self) -> Any:
        return 1 - self.rate.log()


class Laplace(Centred):
    """The double exponential distribution around `loc`."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _expanded = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(size_of(self.loc), (), validate_args)

    @property
    def variance(self) -> Any:
        return 2 * self.scale**2

    def rsample(self, sample_shape: Any = ()) -> Any:
        u: Any = rand(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        side = u * 2 - 1
        away = log1p(-side.abs().clamp(max=1 - 1e-7))
        return self.loc - self.scale * side.sign() * away

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        away = value - self.loc
        return 0.5 - 0.5 * away.sign() * expm1(-away.abs() / self.scale)

    def icdf(self, value: Any) -> Any:
        side = value - 0.5
        return self.loc - self.scale * side.sign() * log1p(-2 * side.abs())

    def entropy(self) -> Any:
        return 1 + (2 * self.scale).log()


class Cauchy(Distribution):
    """The ratio of two normal numbers, around `loc`."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _expanded = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(size_of(self.loc), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.loc.detach() * 0 + math.nan

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return self.loc.detach() * 0 + math.inf

    def rsample(self, sample_shape: Any = ()) -> Any:
        u: Any = rand(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + ((u - 0.5) * math.pi).tan() * self.scale

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = (value - self.loc) / self.scale
        return -math.log(math.pi) - self.scale.log() - log1p(away**2)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return ((value - self.loc) / self.scale).atan() / math.pi + 0.5

    def icdf(self, value: Any) -> Any:
        return ((value - 0.5) * math.pi).tan() * self.scale + self.loc

    def entropy(self) -> Any:
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(Distribution):
    """The distribution of maxima."""

    arg_constraints: ClassVar = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    _expanded = ("loc", "scale")

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(size_of(self.loc), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.loc + self.scale * EULER

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        return math.pi**2 / 6 * self.scale**2

    def rsample(self, sample_shape: Any = ()) -> Any:
        u: Any = rand(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        wait = -log1p(-u)  # type: ignore[operator]
        return self.loc - self.scale * wait.clamp(min=1e-38).log()

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = (self.loc - value) / self.scale
        return away - away.exp() - self.scale.log()

    def cdf(self, value: Any) -> Any:
        return (-((self.loc - value) / self.scale).exp()).exp()

    def icdf(self, value: Any) -> Any:
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self) -> Any:
        return self.scale.log() + (1 + EULER)


class HalfCauchy(Distribution):
    """The absolute value of a Cauchy number around 0."""

    arg_constraints: ClassVar = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _expanded = ("scale",)

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        (self.scale,) = broadcast_all(scale)
        super().__init__(size_of(self.scale), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.scale.detach() * 0 + math.inf

    @property
    def mode(self) -> Any:
        return self.scale.detach() * 0

    @property
    def variance(self) -> Any:
        return self.scale.detach() * 0 + math.inf

    def rsample(self, sample_shape: Any = ()) -> Any:
        u: Any = rand(self._extended_shape(sample_shape), dtype=self.scale.dtype)
        return ((u - 0.5) * math.pi).tan().abs() * self.scale

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = value / self.scale
        return math.log(2 / math.pi) - self.scale.log() - log1p(away**2)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return (value / self.scale).atan() * (2 / math.pi)

    def icdf(self, value: Any) -> Any:
        return (value * (math.pi / 2)).tan() * self.scale

    def entropy(self) -> Any:
        return math.log(2 * math.pi) + self.scale.log()
