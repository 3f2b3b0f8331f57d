"""Invertible functions with known slopes. Floor 11."""

from __future__ import annotations

import math
from typing import Any

from twofold.base.dtypes import int64
from twofold.base.errors import ShapeError
from twofold.base.limits import finfo
from twofold.distributions import constraints
from twofold.distributions.composed import (
    CatTransform,
    ComposeTransform,
    IndependentTransform,
    StackTransform,
    identity_transform,
)
from twofold.distributions.distribution import Distribution
from twofold.distributions.transform import (
    Transform,
    _InverseTransform,  # noqa: F401  PyTorch's name, for those who ask for it here
    sign_of,
    sum_last,
)
from twofold.nn.functional import softplus
from twofold.ops.creation import eye, tensor
from twofold.ops.decompose import cholesky
from twofold.ops.padding import pad
from twofold.ops.transcendental import expm1, log1p

__all__ = ["AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform"]
__all__ += ["CorrCholeskyTransform"]
__all__ += ["CumulativeDistributionTransform", "ExpTransform", "IndependentTransform"]
__all__ += ["LowerCholeskyTransform", "PositiveDefiniteTransform", "PowerTransform"]
__all__ += ["ReshapeTransform", "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform"]
__all__ += ["StackTransform", "StickBreakingTransform", "TanhTransform", "Transform"]
__all__ += ["identity_transform"]


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

    @property
    def sign(self) -> Any:  # type: ignore[override]
        return sign_of(self.exponent)

    def _call(self, x: Any) -> Any:
        return x**self.exponent

    def _inverse(self, y: Any) -> Any:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return (self.exponent * y / x).abs().log()


def _clipped_sigmoid(x: Any) -> Any:
    """sigmoid(x), where it would be 0 or 1 the number next to that which has a logarithm."""
    limits = finfo(x.dtype)
    return x.sigmoid().clamp(min=limits.tiny, max=1.0 - limits.eps)


class SigmoidTransform(Transform):
    """y = 1 / (1 + exp(-x)), never 0 or 1."""

    codomain = constraints.unit_interval

    def _call(self, x: Any) -> Any:
        return _clipped_sigmoid(x)

    def _inverse(self, y: Any) -> Any:
        limits = finfo(y.dtype)
        y = y.clamp(min=limits.tiny, max=1.0 - limits.eps)
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
        return (-expm1(-y)).log() + y  # type: ignore[operator]

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
    def domain(self) -> Any:
        return constraints.independent(constraints.real, self._event_dim)

    codomain = domain

    @property
    def sign(self) -> Any:  # type: ignore[override]
        return sign_of(self.scale)

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
        z = _clipped_sigmoid(x - offset)
        rest = (1 - z).cumprod(-1)
        return pad(z, (0, 1), value=1) * pad(rest, (1, 0), value=1)  # type: ignore[operator]

    def _inverse(self, y: Any) -> Any:
        first = y[..., :-1]
        offset = (y.shape[-1] - (first * 0 + 1).cumsum(-1)).log()
        rest = (1 - first.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return first.log() - rest.log() + offset

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        offset = (x.shape[-1] + 1 - (x * 0 + 1).cumsum(-1)).log()
        x = x - offset
        return (-x - softplus(-x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Any) -> Any:
        return (*shape[:-1], shape[-1] - 1)


class ReshapeTransform(Transform):
    """Events of shape `in_shape` as events of shape `out_shape`."""

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            problem = f"{list(self.in_shape)} and {list(self.out_shape)} differ in elements"
            raise ShapeError("ReshapeTransform", problem)

    @property
    def domain(self) -> Any:
        return constraints.independent(constraints.real, len(self.in_shape))

    @property
    def codomain(self) -> Any:
        return constraints.independent(constraints.real, len(self.out_shape))

    def _call(self, x: Any) -> Any:
        return x.reshape(*self.forward_shape(x.shape))

    def _inverse(self, y: Any) -> Any:
        return y.reshape(*self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return sum_last(x * 0, len(self.in_shape))

    def forward_shape(self, shape: Any) -> Any:
        return _with_last(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        return _with_last(shape, self.out_shape, self.in_shape)


def _with_last(shape: Any, old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
    cut = len(shape) - len(old)
    if cut < 0 or tuple(shape[cut:]) != old:
        raise ShapeError("ReshapeTransform", f"{list(shape)} does not end in {list(old)}")
    return (*shape[:cut], *new)


class CumulativeDistributionTransform(Transform):
    """y = distribution.cdf(x), from the distribution's support to 0 ... 1."""

    codomain = constraints.unit_interval

    def __init__(self, distribution: Distribution, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        return self.distribution.support

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        return self.distribution.log_prob(x)


class LowerCholeskyTransform(Transform):
    """Square matrices to lower triangles with a positive diagonal, exp of what was there."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """Square matrices to positive definite ones: L L^T for L of LowerCholeskyTransform."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Any) -> Any:
        lower = LowerCholeskyTransform()(x)
        return lower @ lower.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().inv(cholesky(y))


class CorrCholeskyTransform(Transform):
    """Vectors f[n (n - 1) / 2] to Cholesky factors f[n, n] of correlation matrices, row by row: a
    number's tanh is its part of what the numbers before it have left of a row of length 1.
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky

    def _call(self, x: Any) -> Any:
        n = self.forward_shape(x.shape)[-1]
        r = _lower_from(x.tanh(), n)
        left = (1 - r * r).sqrt().cumprod(-1)
        return (r + eye(n, dtype=x.dtype)) * pad(left[..., :-1], [1, 0], value=1.0)

    def _inverse(self, y: Any) -> Any:
        left = 1 - (y * y).cumsum(-1)
        before: Any = pad(left[..., :-1], [1, 0], value=1.0)
        return (_below(y, -1) / _below(before, -1).sqrt()).atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Of the numbers below the diagonal by x."""
        left = 1 - (y * y).cumsum(-1)
        slopes: Any = x + softplus(-2 * x) - math.log(2.0)
        return 0.5 * _below(left, -2).log().sum(-1) - 2 * slopes.sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        count = shape[-1]
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            what = f"{count} numbers do not fill a triangle"
            raise ShapeError(type(self).__name__, what, hint="n (n - 1) / 2 of them")
        return (*shape[:-1], n, n)

    def inverse_shape(self, shape: Any) -> Any:
        return (*shape[:-2], shape[-1] * (shape[-1] - 1) // 2)


def _places(n: int, diagonal: int) -> list[int]:
    """Where the numbers below a diagonal of f[n, n] stand in it, row by row."""
    return [row * n + column for row in range(n) for column in range(row + diagonal + 1)]


def _below(x: Any, diagonal: int) -> Any:
    n = x.shape[-1]
    return x.flatten(-2).index_select(-1, tensor(_places(n, diagonal), dtype=int64))


def _lower_from(x: Any, n: int) -> Any:
    places = tensor(_places(n, -1), dtype=int64)
    flat = x.new_zeros((*x.shape[:-1], n * n)).index_add(-1, places, x)
    return flat.unflatten(-1, (n, n))
