"""What every transform is: an invertible function with a known slope, and its inverse. Floor 11."""

from __future__ import annotations

import copy
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.distributions import constraints
from twofold.distributions.distribution import Missing


def sum_last(x: Any, count: int) -> Any:
    return x.sum(tuple(range(-count, 0))) if count else x


def sign_of(x: Any) -> Any:
    return x.sign() if hasattr(x, "sign") else (x > 0) - (x < 0)


class Transform:
    """y = transform(x), x = transform.inv(y), and log |dy / dx| of each event.

    domain and codomain are constraints; sign is 1 or -1 where y rises or falls with x. With
    cache_size=1 the last pair is kept: the x of a y that was made here is given back as it was,
    also where rounding leaves no way from y to x (tanh of 20).
    """

    bijective = True
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign = 1

    _cache_size = 0
    _cached_x_y: tuple[Any, Any] = (None, None)

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ArgumentError(type(self).__name__, "cache_size is 0 or 1", cache_size=cache_size)
        self._cache_size = cache_size

    def with_cache(self, cache_size: int = 1) -> Transform:
        """This transform, or a copy of it with another cache."""
        if cache_size == self._cache_size:
            return self
        made = copy.copy(self)
        made._cache_size, made._cached_x_y = cache_size, (None, None)
        return made

    @property
    def event_dim(self) -> int:
        return self.domain.event_dim  # type: ignore[no-any-return]

    @property
    def inv(self) -> Transform:
        return _InverseTransform(self)

    def __call__(self, x: Any) -> Any:
        if not self._cache_size:
            return self._call(x)
        before, made = self._cached_x_y
        if before is not x or x is None:
            made = self._call(x)
            self._cached_x_y = x, made
        return made

    def _inv_call(self, y: Any) -> Any:
        """The x of a y: the one that it was made of, where the cache has it."""
        if not self._cache_size:
            return self._inverse(y)
        made, after = self._cached_x_y
        if after is not y or y is None:
            made = self._inverse(y)
            self._cached_x_y = made, y
        return made

    def _call(self, x: Any) -> Any:
        raise Missing(type(self).__name__, "it does not define _call")

    def _inverse(self, y: Any) -> Any:
        raise Missing(type(self).__name__, "it does not define _inverse")

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        raise Missing(type(self).__name__, "it has no Jacobian")

    def forward_shape(self, shape: Any) -> Any:
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        return shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _InverseTransform(Transform):
    """A transform the other way round."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._transform = transform

    @property
    def domain(self) -> Any:
        return self._transform.codomain

    @property
    def codomain(self) -> Any:
        return self._transform.domain

    @property
    def sign(self) -> int:  # type: ignore[override]
        return self._transform.sign

    @property
    def inv(self) -> Transform:
        return self._transform

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        return self._transform.bijective

    def with_cache(self, cache_size: int = 1) -> Transform:
        return self._transform.with_cache(cache_size).inv

    def __call__(self, x: Any) -> Any:
        return self._transform._inv_call(x)

    def _inv_call(self, y: Any) -> Any:
        return self._transform(y)

    _call, _inverse = __call__, _inv_call

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._transform.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        return self._transform.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._transform.forward_shape(shape)
