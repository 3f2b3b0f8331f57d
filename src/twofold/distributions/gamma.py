"""Gamma and what is made of it: chi-squared, beta, Dirichlet, Student's t, Fisher's F. Floor 11."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.distributions import constraints
from twofold.distributions.continuous import size_of
from twofold.distributions.distribution import Distribution, ExponentialFamily, broadcast_all
from twofold.ops.joining import stack
from twofold.ops.random import randn
from twofold.ops.sampling import gamma_cdf, gamma_like
from twofold.ops.transcendental import digamma, lgamma, log1p, xlogy


class Gamma(ExponentialFamily):
    """Gamma numbers of shape `concentration` and mean concentration / rate."""

    arg_constraints: ClassVar = {
        "concentration": constraints.positive,
        "rate": constraints.positive,
    }
    support = constraints.nonnegative
    has_rsample = True
    _expanded = ("concentration", "rate")

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(size_of(self.rate), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.rate

    @property
    def mode(self) -> Any:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Any:
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        return gamma_like(self.concentration.expand(shape)) / self.rate.expand(shape)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b = self.concentration, self.rate
        return xlogy(a, b) + xlogy(a - 1, value) - b * value - lgamma(a)  # type: ignore[operator]

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        return gamma_cdf(self.concentration, self.rate * value)

    def entropy(self) -> Any:
        a = self.concentration
        return a - self.rate.log() + lgamma(a) + (1.0 - a) * digamma(a)


class Chi2(Gamma):
    """The sum of the squares of `df` normal numbers."""

    arg_constraints: ClassVar = {"df": constraints.positive}
    _expanded = ("df",)  # type: ignore[assignment]

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        (self.df,) = broadcast_all(df)
        super().__init__(0.5 * self.df, 0.5, validate_args)


class Dirichlet(ExponentialFamily):
    """Shares f[k] that sum to 1."""

    arg_constraints: ClassVar = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _expanded = ("concentration",)

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        self.concentration = concentration
        shape = tuple(concentration.shape)
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def mean(self) -> Any:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Any:
        above = (self.concentration - 1).clamp(min=0.0)
        made = above / above.sum(-1, True)
        low = (self.concentration < 1).all(-1, keepdim=True)
        best = self.concentration.argmax(-1, True)
        hot = (made * 0).nan_to_num().scatter(-1, best, value=1.0)
        return hot.where(low, made)

    @property
    def variance(self) -> Any:
        total = self.concentration.sum(-1, True)
        a = self.concentration
        return a * (total - a) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        parts: Any = gamma_like(self.concentration.expand(self._extended_shape(sample_shape)))
        return parts / parts.sum(-1, True)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a = self.concentration
        whole: Any = lgamma(a.sum(-1))
        return xlogy(a - 1.0, value).sum(-1) + whole - lgamma(a).sum(-1)  # type: ignore[attr-defined]

    def entropy(self) -> Any:
        a = self.concentration
        k, total = a.shape[-1], a.sum(-1)
        spread: Any = lgamma(a).sum(-1) - lgamma(total)  # type: ignore[attr-defined]
        return spread - (k - total) * digamma(total) - ((a - 1.0) * digamma(a)).sum(-1)


class Beta(ExponentialFamily):
    """A share between 0 and 1."""

    arg_constraints: ClassVar = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        a, b = broadcast_all(concentration1, concentration0)
        self._dirichlet = Dirichlet(stack([a, b], -1), validate_args=False)
        self.concentration1, self.concentration0 = a, b
        super().__init__(size_of(a), (), validate_args)

    _expanded = ("concentration1", "concentration0")

    @property
    def mean(self) -> Any:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Any:
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Any:
        a, b = self.concentration1, self.concentration0
        return a * b / ((a + b) ** 2 * (a + b + 1))

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._dirichlet.log_prob(stack([value, 1.0 - value], -1))

    def entropy(self) -> Any:
        return self._dirichlet.entropy()


class StudentT(Distribution):
    """Student's t distribution of `df` degrees of freedom."""

    arg_constraints: ClassVar = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True
    _expanded = ("df", "loc", "scale")

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(size_of(self.df), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def variance(self) -> Any:
        made = self.scale**2 * self.df / (self.df - 2)
        made = made.masked_fill(self.df <= 2, math.inf)
        return made.masked_fill(self.df <= 1, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        z: Any = randn(shape, dtype=self.loc.dtype)
        spread = 2 * gamma_like((0.5 * self.df).expand(shape)) / self.df  # type: ignore[operator]
        return self.loc + self.scale * (z * spread.rsqrt())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        y = (value - self.loc) / self.scale
        z = self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi)
        z = z + lgamma(0.5 * self.df) - lgamma(0.5 * (self.df + 1.0))
        return -0.5 * (self.df + 1.0) * log1p(y**2.0 / self.df) - z

    def entropy(self) -> Any:
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        beta: Any = lgamma(half) + math.lgamma(0.5) - lgamma(more)  # type: ignore[operator]
        away: Any = digamma(more)
        return self.scale.log() + more * (away - digamma(half)) + 0.5 * self.df.log() + beta


class FisherSnedecor(Distribution):
    """Fisher's F: the ratio of two chi-squared numbers, each over its degrees of freedom."""

    arg_constraints: ClassVar = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True
    _expanded = ("df1", "df2")

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(size_of(self.df1), (), validate_args)

    @property
    def mean(self) -> Any:
        made = self.df2 / (self.df2 - 2)
        return made.masked_fill(self.df2 <= 2, math.nan)

    @property
    def mode(self) -> Any:
        made = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return made.masked_fill(self.df1 <= 2, math.nan)

    @property
    def variance(self) -> Any:
        a, b = self.df1, self.df2.masked_fill(self.df2 <= 4, math.nan)
        return 2 * b**2 * (a + b - 2) / (a * (b - 2) ** 2 * (b - 4))

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        tops: Any = gamma_like((self.df1 / 2).expand(shape)) / (self.df1 / 2)
        below: Any = gamma_like((self.df2 / 2).expand(shape)) / (self.df2 / 2)
        return tops / below

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        a, b, ratio = self.df1 / 2, self.df2 / 2, self.df1 / self.df2
        norm: Any = lgamma(a + b) - lgamma(a) - lgamma(b)  # type: ignore[operator]
        shape = a * ratio.log() + (a - 1) * value.log()
        return norm + shape - (a + b) * log1p(ratio * value)
