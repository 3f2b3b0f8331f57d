"""Invertible functions with known slopes, and distributions sent through them. Floor 11."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from twofold.base.errors import ArgumentError
from twofold.distributions import constraints
from twofold.distributions.continuous import Normal
from twofold.distributions.distribution import Distribution, Missing
from twofold.distributions.multivariate import Independent
from twofold.nn.functional import softplus
from twofold.ops.bind import recording
from twofold.ops.joining import pad
from twofold.ops.transcendental import expm1, log1p

__all__ = ["AbsTransform", "AffineTransform", "ComposeTransform", "ExpTransform"]
__all__ += ["IndependentTransform", "PowerTransform", "SigmoidTransform", "SoftmaxTransform"]
__all__ += ["SoftplusTransform", "StickBreakingTransform", "TanhTransform", "Transform"]
__all__ += ["identity_transform"]


def sum_last(x: Any, count: int) -> Any:
    return x.sum(tuple(range(-count, 0))) if count else x


class Transform:
    """y = transform(x), x = transform.inv(y), and log |dy / dx| of each event.

    domain and codomain are constraints; sign is 1 or -1 where y rises or falls with x.
    """

    bijective = True
    domain: Any = constraints.real
    codomain: Any = constraints.real
    sign = 1

    def __init__(self, cache_size: int = 0) -> None:
        self._cache_size = cache_size

    @property
    def event_dim(self) -> int:
        return self.domain.event_dim  # type: ignore[no-any-return]

    @property
    def inv(self) -> Transform:
        return _Inverse(self)

    def __call__(self, x: Any) -> Any:
        return self._call(x)

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


class _Inverse(Transform):
    """A transform the other way round."""

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self._transform = transform

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return self._transform.codomain

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return self._transform.domain

    @property
    def sign(self) -> int:  # type: ignore[override]
        return self._transform.sign

    @property
    def inv(self) -> Transform:
        return self._transform

    def _call(self, x: Any) -> Any:
        return self._transform._inverse(x)

    def _inverse(self, y: Any) -> Any:
        return self._transform._call(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -self._transform.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        return self._transform.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        return self._transform.forward_shape(shape)


class ExpTransform(Transform):
    """y = exp(x)."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return x


class PowerTransform(Transform):
    """y = x ** exponent, of positive numbers."""

    domain = codomain = constraints.positive

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    def _call(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        return x.sigmoid()

    def _inverse(self, y: Any) -> Any:
        y = y.clamp(min=1e-38, max=1 - 6e-8)
        return y.log() - log1p(-y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -softplus(-x) - softplus(x)  # type: ignore[operator]


class TanhTransform(Transform):
    """y = tanh(x)."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return 2.0 * (math.log(2.0) - x - softplus(-2.0 * x))


class SoftplusTransform(Transform):
    """y = log(1 + exp(x))."""

    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return softplus(x)

    def _inverse(self, y: Any) -> Any:
        return (-expm1(-y)).log() + y  # type: ignore[attr-defined, operator]

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return -softplus(-x)  # type: ignore[operator]


class AbsTransform(Transform):
    """y = |x|; not invertible."""

    bijective = False
    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class AffineTransform(Transform):
    """y = loc + scale * x, on events of `event_dim` axes."""

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        return self._event_dim

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return constraints.independent(constraints.real, self._event_dim)

    codomain = domain  # type: ignore[assignment]

    @property
    def sign(self) -> Any:  # type: ignore[override]
        return self.scale.sign() if hasattr(self.scale, "sign") else (self.scale > 0) * 2 - 1

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        if hasattr(self.scale, "abs"):
            made = self.scale.abs().log()
        else:
            made = math.log(abs(self.scale))
        return sum_last(x * 0 + made, self._event_dim)


class SoftmaxTransform(Transform):
    """y = softmax(x); not invertible, but its logarithm is one x."""

    bijective = False
    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        return x.softmax(-1)

    def _inverse(self, y: Any) -> Any:
        return y.log()


class StickBreakingTransform(Transform):
    """Vectors f[k] to shares f[k + 1] that sum to 1, piece by piece."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        size = x.shape[-1]
        offset = (size + 1 - (x[..., :1] * 0 + 1).expand(x.shape).cumsum(-1)).log()
        z = (x - offset).sigmoid()
        rest = (1 - z).cumprod(-1)
        return pad(z, (0, 1), value=1) * pad(rest, (1, 0), value=1)  # type: ignore[operator]

    def _inverse(self, y: Any) -> Any:
        first = y[..., :-1]
        offset = (y.shape[-1] - (first * 0 + 1).cumsum(-1)).log()
        rest = (1 - first.cumsum(-1)).clamp(min=1e-38)
        return first.log() - rest.log() + offset

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        offset = (x.shape[-1] + 1 - (x * 0 + 1).cumsum(-1)).log()
        x = x - offset
        return (-x - softplus(-x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] - 1)


class ComposeTransform(Transform):
    """Several transforms, one after the other."""

    def __init__(self, parts: list[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = parts

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return self.parts[0].domain if self.parts else constraints.real

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        return self.parts[-1].codomain if self.parts else constraints.real

    @property
    def event_dim(self) -> int:
        return max((part.event_dim for part in self.parts), default=0)

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
            y = part._inverse(y)
        return y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        total: Any = 0
        for part in self.parts:
            after = part(x)
            slope = part.log_abs_det_jacobian(x, after)
            total = total + sum_last(slope, self.event_dim - part.event_dim)
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
    def domain(self) -> Any:  # type: ignore[override]
        count = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_transform.domain, count)

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        count = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_transform.codomain, count)

    def _call(self, x: Any) -> Any:
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        return self.base_transform._inverse(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        made = self.base_transform.log_abs_det_jacobian(x, y)
        return sum_last(made, self.reinterpreted_batch_ndims)


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
        extra = whole.event_dim - len(base_distribution.event_shape)
        if extra > 0:
            base_distribution = Independent(base_distribution, extra)
        self.base_dist = base_distribution
        shape: Any = (*base_distribution.batch_shape, *base_distribution.event_shape)
        for transform in self.transforms:
            shape = transform.forward_shape(shape)
        events = max(len(base_distribution.event_shape), whole.event_dim)
        cut = len(shape) - events
        super().__init__(shape[:cut], shape[cut:], validate_args)

    def expand(self, batch_shape: Any) -> Any:
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
            total = total - sum_last(slope, events - transform.event_dim)
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
    support = constraints.positive  # type: ignore[assignment]

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    def expand(self, batch_shape: Any) -> Any:
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
