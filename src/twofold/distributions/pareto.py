"""What lies above a threshold: the generalised Pareto distribution. Floor 11."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.distributions import constraints
from twofold.distributions.continuous import size_of
from twofold.distributions.distribution import Distribution, broadcast_all
from twofold.ops.compare import where
from twofold.ops.random import rand
from twofold.ops.transcendental import expm1, log1p


class GeneralizedPareto(Distribution):
    """Numbers from `loc` on, with P(x > loc + scale z) = (1 + concentration z) ^ (-1 /
    concentration), exp(-z) where concentration is 0 (Pickands 1975).

    Where concentration is below 0 they end at loc - scale / concentration.
    """

    arg_constraints: ClassVar = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True
    _expanded = ("loc", "scale", "concentration")

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(size_of(self.loc), (), validate_args)

    @property
    def support(self) -> Any:
        k = self.concentration
        end = self.loc - self.scale / where(k < 0, k, -1.0)
        return constraints.interval(self.loc, where(k < 0, end, math.inf))

    def _safe(self) -> tuple[Any, Any]:
        """Where concentration is 0, and it with 1 in those places."""
        zero = self.concentration.abs() <= 1e-8
        return zero, where(zero, 1.0, self.concentration)

    def log_survival_function(self, value: Any) -> Any:
        """The logarithm of the probability of more than `value`."""
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        zero, k = self._safe()
        other: Any = log1p(k * z)
        return where(zero, -z, -other / k)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        z = (value - self.loc) / self.scale
        zero, k = self._safe()
        power = 1 / k + 1
        other: Any = log1p(k * z)
        fall = where(power == 0, power, power * other)
        return -self.scale.log() - where(zero, z, fall)

    def log_cdf(self, value: Any) -> Any:
        return log1p(-self.log_survival_function(value).exp())

    def cdf(self, value: Any) -> Any:
        return -expm1(self.log_survival_function(value))  # type: ignore[operator]

    def icdf(self, value: Any) -> Any:
        zero, k = self._safe()
        left: Any = log1p(-value)
        other: Any = expm1(-k * left)
        return self.loc + self.scale * where(zero, -left, other / k)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    @property
    def mode(self) -> Any:
        return self.loc

    @property
    def mean(self) -> Any:
        k = self.concentration
        return where(k < 1, self.loc + self.scale / (1 - where(k < 1, k, 0.5)), math.nan)

    @property
    def variance(self) -> Any:
        k = where(self.concentration < 0.5, self.concentration, 0.25)
        made = self.scale**2 / ((1 - k) ** 2 * (1 - 2 * k))
        return where(self.concentration < 0.5, made, math.nan)

    def entropy(self) -> Any:
        return self.scale.log() + self.concentration + 1
