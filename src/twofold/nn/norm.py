"""Normalisation layers. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.base.dtypes import float64, int64
from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.bind import mode
from twofold.ops.creation import ones, zeros
from twofold.ops.elementwise import add, cast, true_divide
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor, type_of
from twofold.ops.writing import overwrite

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "CrossMapLRN2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
    "SyncBatchNorm",
]


PLACES = {2: 1, 3: 1, 4: 2, 5: 3}  # axes behind batch and channels, by the rank of a batch


class RunningNorm(Module):
    """What batch and instance normalisation share: scale and shift, and running moments.

    State: weight, bias (trained), running_mean, running_var, num_batches_tracked (buffers).
    """

    ranks: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        options = {"dtype": dtype, "device": device}
        weight, shift = ones(num_features, **options), zeros(num_features, **options)
        self.register_parameter("weight", Parameter(weight) if affine else None)
        self.register_parameter("bias", Parameter(shift) if affine and bias else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **options) if tracked else None)
        self.register_buffer("running_var", ones(num_features, **options) if tracked else None)
        counter = zeros((), dtype=int64, device=device) if tracked else None
        self.register_buffer("num_batches_tracked", counter)

    def reset_running_stats(self) -> None:
        """Moments of 0 and 1, from no batches."""
        if self.track_running_stats:
            overwrite(
                self.running_mean, zeros(self.num_features, dtype=self.running_mean.dtype).array
            )
            overwrite(self.running_var, ones(self.num_features, dtype=self.running_var.dtype).array)
            overwrite(self.num_batches_tracked, 0)

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        if self.weight is not None:
            overwrite(self.weight, ones(self.num_features, dtype=self.weight.dtype).array)
        if self.bias is not None:
            overwrite(self.bias, zeros(self.num_features, dtype=self.bias.dtype).array)

    def _check(self, x: Tensor) -> None:
        if x.array.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise ShapeError(
                type(self).__name__,
                f"{wanted} axes are wanted, not {x.array.ndim}",
                hint=self._fitting(x.array.ndim),
                input=type_of(x),
            )

    def _fitting(self, rank: int) -> str:
        """The layer of this family that takes so many axes."""
        if rank not in PLACES:
            return "axes [N, C, ...]"
        family = "InstanceNorm" if isinstance(self, InstanceNorm) else "BatchNorm"
        return f"{family}{PLACES[rank]}d, which takes {rank} axes"

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


def _share(count: Tensor) -> Any:
    """1 / count: a number, or f64[] in a graph."""
    if mode.capture is None:
        return 1.0 / int(count.array)
    return true_divide(1.0, cast(count, float64))


class BatchNorm(RunningNorm):
    """Batch normalisation for inputs of the ranks that the subclass names."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        if eps <= 0.0:
            raise ArgumentError(type(self).__name__, f"eps = {eps}", hint="eps=1e-5")
        rest = (track_running_stats, device, dtype, bias)
        super().__init__(num_features, eps, momentum, affine, *rest)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        momentum: Any = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats:
            if mode.capture is None:
                self.num_batches_tracked.add_(1)
            else:
                overwrite(self.num_batches_tracked, add(self.num_batches_tracked, 1).array)
            if self.momentum is None:
                momentum = _share(self.num_batches_tracked)
        own = self.training or not self.track_running_stats
        keep = not self.training or self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if keep else (None, None)
        return F.batch_norm(input, mean, var, self.weight, self.bias, own, momentum, self.eps)


class BatchNorm1d(BatchNorm):
    """Batch normalisation of f[N, C] or f[N, C, L]: each channel with mean 0 and variance 1, then
    scaled and shifted (Ioffe, Szegedy 2015).

    In training the batch's moments are used and the running ones move towards them by `momentum`
    (None: a plain average); in eval() the running ones. State: weight and bias f[num_features] if
    affine; running_mean, running_var, num_batches_tracked. Raises ShapeError for other ranks and
    channels, and in training for one value a channel.
    """

    ranks = (2, 3)


class BatchNorm2d(BatchNorm):
    """Batch normalisation of f[N, C, H, W]: each channel with mean 0 and variance 1, then scaled
    and shifted (Ioffe, Szegedy 2015).

    In training the batch's moments are used and the running ones move towards them by `momentum`
    (None: a plain average); in eval() the running ones. State: weight and bias f[num_features] if
    affine; running_mean, running_var, num_batches_tracked. Raises ShapeError for other ranks and
    channels, and in training for one value a channel.
    """

    ranks = (4,)


class BatchNorm3d(BatchNorm):
    """Batch normalisation of f[N, C, D, H, W]: each channel with mean 0 and variance 1, then scaled
    and shifted (Ioffe, Szegedy 2015).

    In training the batch's moments are used and the running ones move towards them by `momentum`
    (None: a plain average); in eval() the running ones. State: weight and bias f[num_features] if
    affine; running_mean, running_var, num_batches_tracked. Raises ShapeError for other ranks and
    channels, and in training for one value a channel.
    """

    ranks = (5,)


class SyncBatchNorm(BatchNorm):
    """Batch normalisation over the batches of all processes that train together: here of one."""

    ranks = (2, 3, 4, 5)

    def __init__(self, num_features: int, *args: Any, process_group: Any = None, **kwargs: Any):
        super().__init__(num_features, *args, **kwargs)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The same module, with each BatchNorm in it made a SyncBatchNorm with the same state."""
        if isinstance(module, BatchNorm) and not isinstance(module, cls):
            module.__class__ = cls
            module.process_group = process_group
        for child in module.children():
            cls.convert_sync_batchnorm(child, process_group)
        return module


class InstanceNorm(RunningNorm):
    """Normalisation of each channel of each sample (Ulyanov et al. 2016), without a batch too."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        rest = (track_running_stats, device, dtype, bias)
        super().__init__(num_features, eps, momentum, affine, *rest)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        alone = input.array.ndim == self.ranks[0]
        x = input.unsqueeze(0) if alone else input  # type: ignore[attr-defined]
        own = self.training or not self.track_running_stats
        rest = (self.weight, self.bias, own, self.momentum or 0.0, self.eps)
        made = F.instance_norm(x, self.running_mean, self.running_var, *rest)
        return made.squeeze(0) if alone else made  # type: ignore[attr-defined]


class InstanceNorm1d(InstanceNorm):
    """Normalisation of each channel of each sample of f[N, C, L] or f[C, L] (Ulyanov et al. 2016).

    Raises ShapeError for other ranks, and in training for one value a channel.
    """

    ranks = (2, 3)


class InstanceNorm2d(InstanceNorm):
    """Normalisation of each channel of each sample of f[N, C, H, W] or f[C, H, W] (Ulyanov et al.
    2016).

    Raises ShapeError for other ranks, and in training for one value a channel.
    """

    ranks = (3, 4)


class InstanceNorm3d(InstanceNorm):
    """Normalisation of each channel of each sample of f[N, C, D, H, W] or f[C, D, H, W] (Ulyanov et
    al. 2016).

    Raises ShapeError for other ranks, and in training for one value a channel.
    """

    ranks = (4, 5)


def _as_shape(normalized_shape: Any) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axes, whose sizes are `normalized_shape`, then scaled and
    shifted (Ba et al. 2016): f[..., *normalized_shape] -> the same shape.

    State: weight and bias f[*normalized_shape], if elementwise_affine. Raises ShapeError for other
    last sizes.
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
        self.normalized_shape = shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight, shift = (make(shape, dtype=dtype, device=device) for make in (ones, zeros))
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)
        self.register_parameter("bias", Parameter(shift) if elementwise_affine and bias else None)

    def reset_parameters(self) -> None:
        for value, make in ((self.weight, ones), (self.bias, zeros)):
            if value is not None:
                overwrite(value, make(self.normalized_shape, dtype=value.dtype).array)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        shown = f"{self.normalized_shape}, eps={self.eps}"
        return (
            f"{shown}, elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) over the last axes (Zhang, Sennrich 2019)."""

    def __init__(
        self,
        normalized_shape: Any,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = shape = _as_shape(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = ones(shape, dtype=dtype, device=device)
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)

    def reset_parameters(self) -> None:
        if self.weight is not None:
            overwrite(self.weight, ones(self.normalized_shape, dtype=self.weight.dtype).array)

    def forward(self, input: Tensor) -> Tensor:
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        shown = f"{self.normalized_shape}, eps={self.eps}"
        return f"{shown}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Mean 0 and variance 1 in each group of channels of each sample (Wu, He 2018): f[N, C, ...] ->
    the same shape.

    State: weight and bias f[num_channels], if affine. Raises ArgumentError where num_groups does
    not divide num_channels, ShapeError for other channels.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ArgumentError(
                "GroupNorm",
                f"{num_channels} channels do not split into {num_groups} groups",
                hint="a number of groups that divides the channels",
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        weight, shift = (make(num_channels, dtype=dtype, device=device) for make in (ones, zeros))
        self.register_parameter("weight", Parameter(weight) if affine else None)
        self.register_parameter("bias", Parameter(shift) if affine and bias else None)

    def reset_parameters(self) -> None:
        for value, make in ((self.weight, ones), (self.bias, zeros)):
            if value is not None:
                overwrite(value, make(self.num_channels, dtype=value.dtype).array)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        shown = f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
        return f"{shown}, bias={self.bias is not None}"


class LocalResponseNorm(Module):
    """Each element divided by a power of the mean square of its neighbours in other channels."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """`LocalResponseNorm` of f[N, C, H, W], with PyTorch's other default of k."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)


guard(globals())
