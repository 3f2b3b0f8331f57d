"""Normalisation layers. Floor 10."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from twofold.base.errors import ShapeError
from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.creation import ones, zeros
from twofold.ops.tensor import Parameter, Tensor, type_of, wrap

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "LayerNorm",
    "RMSNorm",
]


class BatchNorm(Module):
    """Batch normalisation for inputs of the ranks that the subclass names.

    State: weight, bias (trained), running_mean, running_var, num_batches_tracked (buffers).
    """

    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.register_parameter(
            "weight", Parameter(ones(num_features, dtype=dtype)) if affine else None
        )
        self.register_parameter(
            "bias", Parameter(zeros(num_features, dtype=dtype)) if affine else None
        )
        self.register_buffer(
            "running_mean", zeros(num_features, dtype=dtype) if track_running_stats else None
        )
        self.register_buffer(
            "running_var", ones(num_features, dtype=dtype) if track_running_stats else None
        )
        counter = wrap(np.zeros((), np.int64)) if track_running_stats else None
        self.register_buffer("num_batches_tracked", counter)

    def forward(self, input: Tensor) -> Tensor:
        if input.array.ndim not in self.ranks:
            raise ShapeError(
                type(self).__name__,
                f"{' or '.join(map(str, self.ranks))} axes are wanted",
                input=type_of(input),
            )
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            self.num_batches_tracked.array[...] += 1
            if self.momentum is None:
                momentum = 1.0 / int(self.num_batches_tracked.array)
        own = self.training or not self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            own,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


@final
class BatchNorm1d(BatchNorm):
    """f[N, C] or f[N, C, L]."""

    ranks = (2, 3)


@final
class BatchNorm2d(BatchNorm):
    """f[N, C, H, W]."""

    ranks = (4,)


@final
class LayerNorm(Module):
    """Normalisation over the last axes, whose sizes are `normalized_shape` (Ba, Kiros, Hinton
    2016).
    """

    def __init__(
        self,
        normalized_shape: Any,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.normalized_shape = shape
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self.register_parameter(
            "weight", Parameter(ones(*shape, dtype=dtype)) if elementwise_affine else None
        )
        has_bias = elementwise_affine and bias
        self.register_parameter("bias", Parameter(zeros(*shape, dtype=dtype)) if has_bias else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


@final
class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) over the last axes (Zhang, Sennrich 2019)."""

    def __init__(
        self, normalized_shape: Any, eps: float | None = None, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        )
        self.normalized_shape = shape
        self.eps = eps
        self.register_parameter("weight", Parameter(ones(*shape)) if elementwise_affine else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


@final
class GroupNorm(Module):
    """Normalisation of each group of channels of each sample (Wu, He 2018)."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True
    ) -> None:
        super().__init__()
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.register_parameter("weight", Parameter(ones(num_channels)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels)) if affine else None)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"
