"""Layers that resize images, take them apart into windows, and pool in rarer ways. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.conv import per_axis
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor

__all__ = ["Fold", "FractionalMaxPool2d", "FractionalMaxPool3d", "LPPool1d", "LPPool2d"]
__all__ += ["LPPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Unfold", "Upsample"]
__all__ += ["UpsamplingBilinear2d", "UpsamplingNearest2d"]


def _shown(module: Module, names: str) -> str:
    return ", ".join(f"{name}={getattr(module, name)}" for name in names.split())


class Upsample(Module):
    """`functional.interpolate` as a module."""

    def __init__(
        self,
        size: Any = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        if isinstance(scale_factor, tuple | list):
            self.scale_factor: Any = tuple(float(factor) for factor in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None
        self.mode, self.align_corners = mode, align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        rest = (self.mode, self.align_corners, self.recompute_scale_factor)
        return F.interpolate(input, self.size, self.scale_factor, *rest)

    def extra_repr(self) -> str:
        name = "size" if self.scale_factor is None else "scale_factor"
        return f"{name}={getattr(self, name)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """`Upsample` with mode="nearest"."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """`Upsample` with mode="bilinear" and align_corners=True."""

    def __init__(self, size: Any = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)


class Unfold(Module):
    """`functional.unfold` as a module."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return _shown(self, "kernel_size dilation padding stride")


class Fold(Module):
    """`functional.fold` as a module."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size, self.dilation = output_size, kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, input: Tensor) -> Tensor:
        window = (self.kernel_size, self.dilation, self.padding, self.stride)
        return F.fold(input, self.output_size, *window)

    def extra_repr(self) -> str:
        return _shown(self, "output_size kernel_size dilation padding stride")


class LPPool(Module):
    """The p-norms of windows."""

    function: Any

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        window = (float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)
        return type(self).function(input, *window)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return _shown(self, "norm_type kernel_size stride ceil_mode")


class LPPool1d(LPPool):
    """Windows along the last axis."""

    function = staticmethod(F.lp_pool1d)


class LPPool2d(LPPool):
    """Windows over the last two axes."""

    function = staticmethod(F.lp_pool2d)


class LPPool3d(LPPool):
    """Windows over the last three axes."""

    function = staticmethod(F.lp_pool3d)


class MaxUnpool(Module):
    """Zeros, with what a MaxPool chose back in its places."""

    function: Any
    rank: int

    def __init__(self, kernel_size: Any, stride: Any = None, padding: Any = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.rank)
        stride = kernel_size if stride is None else stride
        self.stride = per_axis(name, "stride", stride, self.rank)
        self.padding = per_axis(name, "padding", padding, self.rank)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        window = (self.kernel_size, self.stride, self.padding, output_size)
        return type(self).function(input, indices, *window)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return _shown(self, "kernel_size stride padding")


class MaxUnpool1d(MaxUnpool):
    """Of MaxPool1d."""

    rank = 1
    function = staticmethod(F.max_unpool1d)


class MaxUnpool2d(MaxUnpool):
    """Of MaxPool2d."""

    rank = 2
    function = staticmethod(F.max_unpool2d)


class MaxUnpool3d(MaxUnpool):
    """Of MaxPool3d."""

    rank = 3
    function = staticmethod(F.max_unpool3d)


class FractionalMaxPool(Module):
    """The largest of windows at random distances (Graham 2014)."""

    function: Any

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.output_size = kernel_size, output_size
        self.output_ratio, self.return_indices = output_ratio, return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        sizes = (self.kernel_size, self.output_size, self.output_ratio)
        samples = self._random_samples
        return type(self).function(input, *sizes, self.return_indices, samples)


class FractionalMaxPool2d(FractionalMaxPool):
    """Windows over the last two axes."""

    function = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(FractionalMaxPool):
    """Windows over the last three axes."""

    function = staticmethod(F.fractional_max_pool3d)


guard(globals())
