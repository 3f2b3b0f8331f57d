"""Transforms made of transforms: one after the other, side by side, over further axes. Floor 11."""

from __future__ import annotations

from typing import Any

from twofold.distributions import constraints
from twofold.distributions.distribution import Missing
from twofold.distributions.transform import Transform, sum_last
from twofold.ops.joining import cat, stack


class ComposeTransform(Transform):
    """Several transforms, one after the other."""

    def __init__(self, parts: list[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = parts

    @property
    def domain(self) -> Any:
        if not self.parts:
            return constraints.real
        first = self.parts[0].domain
        events = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            events += part.domain.event_dim - part.codomain.event_dim
            events = max(events, part.domain.event_dim)
        return constraints.independent(first, events - first.event_dim)

    @property
    def codomain(self) -> Any:
        if not self.parts:
            return constraints.real
        last = self.parts[-1].codomain
        events = self.parts[0].domain.event_dim
        for part in self.parts:
            events += part.codomain.event_dim - part.domain.event_dim
            events = max(events, part.codomain.event_dim)
        return constraints.independent(last, events - last.event_dim)

    @property
    def sign(self) -> int:  # type: ignore[override]
        made = 1
        for part in self.parts:
            made = made * part.sign
        return made

    def _call(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Any) -> Any:
        for part in reversed(self.parts):
            y = part.inv(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        total: Any = 0 if self.parts else x * 0
        events = self.domain.event_dim
        for part in self.parts:
            after = part(x)
            slope = part.log_abs_det_jacobian(x, after)
            total = total + sum_last(slope, events - part.domain.event_dim)
            events += part.codomain.event_dim - part.domain.event_dim
            x = after
        return total

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose events take in further axes."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    @property
    def domain(self) -> Any:
        count = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_transform.domain, count)

    @property
    def codomain(self) -> Any:
        count = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_transform.codomain, count)

    def _call(self, x: Any) -> Any:
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        made = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_last(made, self.reinterpreted_batch_ndims)


class _Parts(Transform):
    """Transforms that share the places of an axis; each place counts for itself."""

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.transforms: list[Transform] = list(tseq)
        self.dim = dim

    def _split(self, x: Any) -> list[Any]:
        raise Missing(type(self).__name__, "it does not define _split")

    def _join(self, parts: list[Any]) -> Any:
        raise Missing(type(self).__name__, "it does not define _join")

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, self._events)

    @property
    def codomain(self) -> Any:
        return constraints.independent(constraints.real, self._events)

    @property
    def _events(self) -> int:
        return max(t.event_dim for t in self.transforms)

    @property
    def sign(self) -> int:  # type: ignore[override]
        raise Missing(type(self).__name__, "its parts may rise and fall")

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return all(t.bijective for t in self.transforms)

    def _call(self, x: Any) -> Any:
        pairs = zip(self.transforms, self._split(x), strict=True)
        return self._join([transform(part) for transform, part in pairs])

    def _inverse(self, y: Any) -> Any:
        pairs = zip(self.transforms, self._split(y), strict=True)
        return self._join([transform.inv(part) for transform, part in pairs])

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        triples = zip(self.transforms, self._split(x), self._split(y), strict=True)
        slopes = []
        for transform, part, image in triples:
            slope = transform.log_abs_det_jacobian(part, image)
            slopes.append(sum_last(slope, self._events - transform.event_dim))
        return self._join(slopes)


class CatTransform(_Parts):
    """Transforms of pieces of `lengths` along an axis."""

    def __init__(self, tseq: Any, dim: int = 0, lengths: Any = None, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)

    def _split(self, x: Any) -> list[Any]:
        return list(x.split(self.lengths, self.dim))

    def _join(self, parts: list[Any]) -> Any:
        return cat(parts, self.dim)


class StackTransform(_Parts):
    """A transform for each place of an axis."""

    def _split(self, x: Any) -> list[Any]:
        return list(x.unbind(self.dim))

    def _join(self, parts: list[Any]) -> Any:
        return stack(parts, self.dim)
