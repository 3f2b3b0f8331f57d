"""Distributions of whole numbers and classes. Floor 11.

Those with `probs` or `logits` take either, and give both.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.base.errors import ArgumentError
from twofold.base.limits import finfo
from twofold.distributions import constraints
from twofold.distributions.continuous import size_of
from twofold.distributions.distribution import (
    Distribution,
    ExponentialFamily,
    Missing,
    broadcast_all,
    lazy_property,
)
from twofold.nn.functional import binary_cross_entropy_with_logits, one_hot, softplus
from twofold.ops.bind import recording
from twofold.ops.creation import arange, eye
from twofold.ops.random import rand
from twofold.ops.sampling import binomial, gamma_like, poisson
from twofold.ops.transcendental import lgamma, log1p, xlogy


def _one_of(name: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise ArgumentError(name, "either probs or logits is wanted, not both")


def clamp_probs(probs: Any) -> Any:
    """Probabilities a little away from 0 and 1, where their logarithms are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


class Binary(ExponentialFamily):
    """What the distributions of yes and no share: probs f[...], or logits."""

    arg_constraints: ClassVar = {
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    def _set(self, probs: Any, logits: Any, *others: Any) -> tuple[Any, ...]:
        _one_of(type(self).__name__, probs, logits)
        self._given = "probs" if probs is not None else "logits"
        value, *rest = broadcast_all(probs if probs is not None else logits, *others)
        self.__dict__[self._given] = value
        self._expanded = (self._given,)
        return tuple(rest)

    @lazy_property
    def logits(self) -> Any:
        probs = clamp_probs(self.probs)
        return probs.log() - log1p(-probs)

    @lazy_property
    def probs(self) -> Any:
        return self.logits.sigmoid()

    @property
    def _value(self) -> Any:
        return self.__dict__[self._given]


class Bernoulli(Binary):
    """1 with probability `probs`, else 0."""

    support = constraints.boolean
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._set(probs, logits)
        super().__init__(size_of(self._value), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        made = (self.probs >= 0.5).to(self.probs.dtype)
        return made.masked_fill(self.probs == 0.5, math.nan)

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        with recording(False):
            u: Any = rand(self._extended_shape(sample_shape), dtype=self.probs.dtype)
            return (u < self.probs).to(self.probs.dtype)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, x = broadcast_all(self.logits, value)
        return -binary_cross_entropy_with_logits(logits, x.to(logits.dtype), reduction="none")  # type: ignore[operator]

    def entropy(self) -> Any:
        return binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand: bool = True) -> Any:
        made = arange(2, dtype=self._value.dtype).reshape(-1, *(1,) * len(self.batch_shape))  # type: ignore[attr-defined]
        return made.expand(-1, *self.batch_shape) if expand else made


class Geometric(Binary):
    """How many trials fail before one succeeds with probability `probs`."""

    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._set(probs, logits)
        super().__init__(size_of(self._value), (), validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ArgumentError("Geometric", "probs must be above 0")

    @property
    def mean(self) -> Any:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Any:
        return self.probs.detach() * 0

    @property
    def variance(self) -> Any:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Any:
        with recording(False):
            u: Any = rand(self._extended_shape(sample_shape), dtype=self.probs.dtype)
            return (log1p(-u) / log1p(-self.probs)).floor()  # type: ignore[operator]

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        x, probs = broadcast_all(value, self.probs)
        away = (-probs).masked_fill((probs == 1) & (x == 0), 0)
        return x * log1p(away) + self.probs.log()

    def entropy(self) -> Any:
        made = binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")
        return made / self.probs


class Binomial(Binary):
    """How many of `total_count` trials succeed, each with probability `probs`."""

    arg_constraints: ClassVar = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        (self.total_count,) = self._set(probs, logits, total_count)
        self.total_count = self.total_count.to(self._value.dtype)
        self._expanded = ("total_count", self._given)
        super().__init__(size_of(self._value), (), validate_args)

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Any:
        return self.total_count * self.probs

    @property
    def mode(self) -> Any:
        return ((self.total_count + 1) * self.probs).floor().minimum(self.total_count)

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with recording(False):
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, logits = self.total_count, self.logits
        ways = lgamma(n + 1) - lgamma(value + 1) - lgamma(n - value + 1)  # type: ignore[operator]
        # n log(1 + exp(logits)), without overflow
        down = n * logits.clamp(min=0) + n * log1p((-logits.abs()).exp())
        return value * logits + ways - down

    def entropy(self) -> Any:
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise Missing("Binomial", "the entropy of different total counts")
        scores = self.log_prob(self.enumerate_support(False))
        return -(scores.exp() * scores).sum(0)

    def enumerate_support(self, expand: bool = True) -> Any:
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            what = "the counts differ, so there is no one list of values"
            raise ArgumentError("Binomial.enumerate_support", what, hint="one total_count for all")
        made = arange(1 + most, dtype=self._value.dtype)
        made = made.reshape(-1, *(1,) * len(self.batch_shape))  # type: ignore[attr-defined]
        return made.expand(-1, *self.batch_shape) if expand else made


class NegativeBinomial(Binary):
    """How many trials succeed before `total_count` of them fail."""

    arg_constraints: ClassVar = {
        "total_count": constraints.nonnegative,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        (self.total_count,) = self._set(probs, logits, total_count)
        self.total_count = self.total_count.to(self._value.dtype)
        self._expanded = ("total_count", self._given)
        super().__init__(size_of(self._value), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Any:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Any:
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with recording(False):
            rate: Any = gamma_like(self.total_count.expand(shape))
            return poisson(rate * self.logits.exp())

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        n, up, down = self.total_count, self.logits, -self.logits
        plain = -n * softplus(up) - value * softplus(down)
        ways: Any = lgamma(n + value) - lgamma(1.0 + value) - lgamma(n)  # type: ignore[operator]
        return plain + ways.masked_fill(n + value == 0.0, 0.0)


class Poisson(ExponentialFamily):
    """How many of many rare events happen; `rate` on average."""

    arg_constraints: ClassVar = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    _expanded = ("rate",)

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(size_of(self.rate), (), validate_args)

    @property
    def mean(self) -> Any:
        return self.rate

    @property
    def mode(self) -> Any:
        return self.rate.floor()

    @property
    def variance(self) -> Any:
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Any:
        with recording(False):
            return poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        rate, x = broadcast_all(self.rate, value)
        return xlogy(x, rate) - rate - lgamma(x + 1)


class Categorical(Distribution):
    """Class numbers 0 to k - 1, with probabilities `probs` f[..., k] (scaled to sum to 1)."""

    arg_constraints: ClassVar = {
        "probs": constraints.simplex,
        "logits": constraints.real_vector,
    }
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        _one_of("Categorical", probs, logits)
        self._given = "probs" if probs is not None else "logits"
        if probs is not None:
            self.probs = probs / probs.sum(-1, True)
        else:
            self.logits = logits - logits.logsumexp(-1, True)
        self._expanded = (self._given,)
        self._num_events = self._value.shape[-1]
        super().__init__(self._value.shape[:-1], (), validate_args)

    @property
    def _value(self) -> Any:
        return self.__dict__[self._given]

    @lazy_property
    def logits(self) -> Any:
        return clamp_probs(self.probs).log()

    @lazy_property
    def probs(self) -> Any:
        return self.logits.softmax(-1)

    @property
    def param_shape(self) -> Any:
        return self._value.shape

    @property
    def support(self) -> Any:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Any:
        return self.probs.detach()[..., 0] * 0 + math.nan

    @property
    def mode(self) -> Any:
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Any:
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Any:
        shape = self._extended_shape(sample_shape)
        with recording(False):
            rows = self.probs.reshape(-1, self._num_events)
            count = 1
            for n in sample_shape:
                count *= n
            drawn: Any = rows.multinomial(count, True)
            return drawn.t().reshape(shape)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        index = value.long().unsqueeze(-1)
        rank = max(index.ndim, self.logits.ndim)
        lead = [1] * (rank - 1)
        for x in (index, self.logits):
            for back, n in enumerate(reversed(x.shape[:-1]), 1):
                lead[-back] = max(lead[-back], n) if 0 not in (lead[-back], n) else 0
        scores = self.logits.expand(*lead, self._num_events)
        return scores.gather(-1, index.expand(*lead, 1)).squeeze(-1)

    def entropy(self) -> Any:
        scores = self.logits.clamp(min=finfo(self.logits.dtype).min)
        return -(scores * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Any:
        made: Any = arange(self._num_events).reshape(-1, *(1,) * len(self.batch_shape))  # type: ignore[attr-defined]
        return made.expand(-1, *self.batch_shape) if expand else made


class OneHotCategorical(Distribution):
    """`Categorical` whose events are vectors of zeros and a one."""

    arg_constraints: ClassVar = Categorical.arg_constraints
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        base = self._categorical.expand(batch_shape)
        return type(self)(**{base._given: base._value}, validate_args=False)

    @property
    def probs(self) -> Any:
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        return self._categorical.logits

    @property
    def mean(self) -> Any:
        return self.probs

    @property
    def mode(self) -> Any:
        return one_hot(self.probs.argmax(-1), self.event_shape[0]).to(self.probs.dtype)  # type: ignore[attr-defined]

    @property
    def variance(self) -> Any:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Any:
        places = self._categorical.sample(sample_shape)
        return one_hot(places, self.event_shape[0]).to(self.probs.dtype)  # type: ignore[attr-defined]

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        return self._categorical.log_prob(value.max(-1).indices)

    def entropy(self) -> Any:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Any:
        n = self.event_shape[0]
        made: Any = eye(n, dtype=self.probs.dtype)
        made = made.reshape(n, *(1,) * len(self.batch_shape), n)
        return made.expand(n, *self.batch_shape, n) if expand else made


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples take the probabilities' gradient (Bengio et al. 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Any:
        return self.sample(sample_shape) + (self.probs - self.probs.detach())


class Multinomial(Distribution):
    """How often each class is drawn in `total_count` draws."""

    arg_constraints: ClassVar = Categorical.arg_constraints

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self.total_count = int(total_count)
        self._categorical = Categorical(probs, logits, validate_args)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args)

    def _expand(self, batch_shape: Any) -> Any:
        base = self._categorical.expand(batch_shape)
        return Multinomial(self.total_count, **{base._given: base._value}, validate_args=False)

    @property
    def probs(self) -> Any:
        return self._categorical.probs

    @property
    def logits(self) -> Any:
        return self._categorical.logits

    @property
    def mean(self) -> Any:
        return self.probs * self.total_count

    @property
    def variance(self) -> Any:
        return self.total_count * self.probs * (1 - self.probs)

    @property
    def support(self) -> Any:
        return constraints.multinomial(self.total_count)

    def entropy(self) -> Any:
        n = self.total_count
        one = self._categorical.entropy()
        counts: Any = Binomial(n, self.probs, validate_args=False)
        values = counts.enumerate_support(False)[1:]
        shares: Any = counts.log_prob(values).exp() * lgamma(values + 1)
        return n * one - math.lgamma(n + 1) + shares.sum((0, -1))

    def sample(self, sample_shape: Any = ()) -> Any:
        places = self._categorical.sample((self.total_count, *sample_shape))
        made = one_hot(places, self.event_shape[0]).sum(0)  # type: ignore[attr-defined]
        return made.to(self.probs.dtype)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        logits, x = broadcast_all(self.logits, value)
        logits = logits.masked_fill((x == 0) & (logits == -math.inf), 0)
        ways: Any = lgamma(x.sum(-1) + 1) - lgamma(x + 1).sum(-1)  # type: ignore[attr-defined]
        return ways + (logits * x).sum(-1)
