"""Continuous relatives of yes or no and of classes: relaxed, with a gradient. Floor 11.

The relaxed ones are those of Maddison, Mnih and Teh (2017) and Jang, Gu and Poole (2017).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.distributions import constraints
from twofold.distributions.continuous import size_of
from twofold.distributions.discrete import Binary, Categorical, clamp_probs
from twofold.distributions.distribution import Distribution
from twofold.distributions.transformed import TransformedDistribution
from twofold.distributions.transforms import ExpTransform, SigmoidTransform
from twofold.nn.functional import binary_cross_entropy_with_logits
from twofold.ops.compare import where
from twofold.ops.random import rand
from twofold.ops.transcendental import log1p


class LogitRelaxedBernoulli(Binary):
    """The logit of a relaxed Bernoulli number: a logistic one, divided by the temperature."""

    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.temperature = temperature
        self._set(probs, logits)
        super().__init__(size_of(self._value), (), validate_args)

    def _kept(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        probs = clamp_probs(self.probs.expand(shape))
        u: Any = clamp_probs(rand(shape, dtype=probs.dtype))
        return (u.log() - log1p(-u) + probs.log() - log1p(-probs)) / self.temperature

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        away = self.logits - value * self.temperature
        return _log(self.temperature) + away - 2 * log1p(away.exp())  # type: ignore[operator]


def _log(x: Any) -> Any:
    return x.log() if hasattr(x, "log") else math.log(x)


class _Relaxed(TransformedDistribution):
    """What the relaxed distributions share: one of `inner` sent through `transform`."""

    inner: type
    transform: type

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = self.inner(temperature, probs, logits, validate_args)
        super().__init__(base, self.transform(), validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        logits = self.base_dist.expand(batch_shape).logits
        return type(self)(self.temperature, logits=logits, validate_args=False)

    @property
    def temperature(self) -> Any:
        return self.base_dist.temperature  # type: ignore[attr-defined]

    @property
    def logits(self) -> Any:
        return self.base_dist.logits  # type: ignore[attr-defined]

    @property
    def probs(self) -> Any:
        return self.base_dist.probs  # type: ignore[attr-defined]


class RelaxedBernoulli(_Relaxed):
    """Numbers from 0 to 1, near to 0 or 1 where the temperature is low."""

    arg_constraints: ClassVar = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    inner, transform = LogitRelaxedBernoulli, SigmoidTransform


class ExpRelaxedCategorical(Distribution):
    """The logarithm of relaxed classes f[..., k]."""

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        batch, classes = self._categorical.batch_shape, self.logits.shape[-1]
        super().__init__(batch, (classes,), validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        base = self._categorical.expand(batch_shape)
        return type(self)(self.temperature, logits=base.logits, validate_args=False)

    @property
    def probs(self) -> Any:
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        return self._categorical.logits

    def rsample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        u: Any = clamp_probs(rand(shape, dtype=self.logits.dtype))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        k = self.event_shape[0]
        scores = self.logits - value * self.temperature
        scores = (scores - scores.logsumexp(-1, keepdim=True)).sum(-1)
        return scores + math.lgamma(k) + (k - 1) * _log(self.temperature)


class RelaxedOneHotCategorical(_Relaxed):
    """Shares of classes, near to one class where the temperature is low (Gumbel softmax)."""

    arg_constraints: ClassVar = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    inner, transform = ExpRelaxedCategorical, ExpTransform


class ContinuousBernoulli(Binary):
    """Bernoulli's density normalised over 0 ... 1 (Loaiza-Ganem and Cunningham, 2019).

    lims   where probs lies between, near 1/2, a Taylor series takes the place of the formulas
    """

    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        self._lims = lims
        self._set(probs, logits)
        if self._given == "probs":
            self.probs = clamp_probs(self.probs)
        super().__init__(size_of(self._value), (), validate_args)

    def _kept(self) -> dict[str, Any]:
        return {"lims": self._lims}

    @property
    def _outside(self) -> Any:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    @property
    def _cut(self) -> Any:
        """The probabilities, away from where the formulas divide by nothing."""
        return where(self._outside, self.probs, self._lims[0])

    def _log_norm(self) -> Any:
        cut: Any = self._cut
        spread = (log1p(-cut) - cut.log()).abs().log()
        low = log1p(-2 * where(cut <= 0.5, cut, 0.0))
        high = (2 * where(cut >= 0.5, cut, 1.0) - 1).log()
        near = (self.probs - 0.5) ** 2
        series = math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * near) * near
        return where(self._outside, spread - where(cut <= 0.5, low, high), series)

    @property
    def mean(self) -> Any:
        cut, near = self._cut, self.probs - 0.5
        made = cut / (2 * cut - 1) + 1 / (log1p(-cut) - cut.log())
        return where(self._outside, made, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * near**2) * near)

    @property
    def variance(self) -> Any:
        cut, near = self._cut, (self.probs - 0.5) ** 2
        made = cut * (cut - 1) / (1 - 2 * cut) ** 2 + 1 / (log1p(-cut) - cut.log()) ** 2
        series = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * near) * near
        return where(self._outside, made, series)

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.icdf(rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def icdf(self, value: Any) -> Any:
        cut = self._cut
        low: Any = log1p(-cut)
        made = (log1p(-cut + value * (2 * cut - 1)) - low) / (cut.log() - low)
        return where(self._outside, made, value)

    def cdf(self, value: Any) -> Any:
        self._validate_sample(value)
        cut = self._cut
        made = (cut**value * (1 - cut) ** (1 - value) + cut - 1) / (2 * cut - 1)
        made = where(self._outside, made, value)
        return where(value <= 0, 0.0, where(value >= 1, 1.0, made))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits = self.logits + value * 0
        value = value + self.logits * 0
        crossed = binary_cross_entropy_with_logits(logits, value, reduction="none")
        return self._log_norm() - crossed

    def entropy(self) -> Any:
        zero: Any = log1p(-self.probs)
        return self.mean * (zero - self.probs.log()) - self._log_norm() - zero
