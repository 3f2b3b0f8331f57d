"""Mixtures of distributions of one family. Floor 11."""

from __future__ import annotations

from typing import Any, ClassVar

from twofold.base.errors import ArgumentError, ShapeError
from twofold.distributions.discrete import Categorical
from twofold.distributions.distribution import Distribution
from twofold.ops.bind import recording


class MixtureSameFamily(Distribution):
    """A component drawn by `mixture_distribution`, and then a value of that component.

    mixture_distribution     a Categorical over the k components
    component_distribution   its last batch axis are the k components
    """

    arg_constraints: ClassVar = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        mixture, component = mixture_distribution, component_distribution
        if not isinstance(mixture, Categorical):
            raise ArgumentError("MixtureSameFamily", "the mixture distribution is a Categorical")
        if not isinstance(component, Distribution):
            raise ArgumentError("MixtureSameFamily", "the components are a Distribution")
        lead, last = component.batch_shape[:-1], component.batch_shape[-1:]
        count = mixture.logits.shape[-1]
        for ours, theirs in zip(reversed(mixture.batch_shape), reversed(lead), strict=False):
            if ours != theirs and 1 not in (ours, theirs):
                problem = f"batches {list(mixture.batch_shape)} and {list(lead)} do not broadcast"
                raise ShapeError("MixtureSameFamily", problem)
        if tuple(last) != (count,):
            problem = f"{count} shares, but components of batch {list(component.batch_shape)}"
            raise ShapeError("MixtureSameFamily", problem)
        self._mixture_distribution, self._component_distribution = mixture, component
        self._count = count
        super().__init__(lead, component.event_shape, validate_args)

    @property
    def mixture_distribution(self) -> Categorical:
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        return self._component_distribution

    @property
    def support(self) -> Any:
        return self._component_distribution.support

    def _expand(self, batch_shape: Any) -> Any:
        component = self._component_distribution.expand((*batch_shape, self._count))
        mixture = self._mixture_distribution.expand(batch_shape)
        return MixtureSameFamily(mixture, component, validate_args=False)

    def _shares(self) -> Any:
        """Probabilities of the components, with the axes of an event after them."""
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *(1,) * len(self.event_shape))

    def _mixed(self, x: Any) -> Any:
        return (self._shares() * x).sum(-1 - len(self.event_shape))

    @property
    def mean(self) -> Any:
        return self._mixed(self._component_distribution.mean)

    @property
    def variance(self) -> Any:
        component = self._component_distribution
        away = component.mean - self.mean.unsqueeze(-1 - len(self.event_shape))
        return self._mixed(component.variance) + self._mixed(away**2)

    def cdf(self, value: Any) -> Any:
        made = self._component_distribution.cdf(value.unsqueeze(-1))
        return (made * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Any) -> Any:
        self._validate_sample(value)
        inside = self._component_distribution.log_prob(value.unsqueeze(-1 - len(self.event_shape)))
        return (inside + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Any:
        with recording(False):
            axis = len(sample_shape) + len(self.batch_shape)
            events = tuple(self.event_shape)
            which = self._mixture_distribution.sample(sample_shape)
            which = which.reshape(*which.shape, 1, *(1,) * len(events))
            drawn = self._component_distribution.sample(sample_shape)
            which = which.expand(*drawn.shape[:axis], 1, *events)
            return drawn.gather(axis, which).squeeze(axis)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture_distribution}, {self._component_distribution})"
