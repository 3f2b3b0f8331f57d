"""Pooling layers. Floor 10. NCHW."""

from __future__ import annotations

from typing import Any

from twofold.nn import functional as F
from twofold.nn.module import Module
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
]


class MaxPool(Module):
    """The largest element of each window, and with return_indices its place."""

    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor) -> Any:
        window = (self.kernel_size, self.stride, self.padding, self.dilation)
        return type(self).function(input, *window, self.ceil_mode, self.return_indices)

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class MaxPool1d(MaxPool):
    """The largest element of windows over the last axis of f[N, C, L], or without the batch.

    kernel_size; stride (kernel_size if None), padding with -inf, dilation: a number, or one for
    each axis. ceil_mode: windows that begin inside count, too. return_indices: (values, places
    i64). Raises ShapeError for other ranks and windows that do not fit.
    """

    function = staticmethod(F.max_pool1d)


class MaxPool2d(MaxPool):
    """The largest element of windows over the last two axes of f[N, C, H, W], or without the batch.

    kernel_size; stride (kernel_size if None), padding with -inf, dilation: a number, or one for
    each axis. ceil_mode: windows that begin inside count, too. return_indices: (values, places
    i64). Raises ShapeError for other ranks and windows that do not fit.
    """

    function = staticmethod(F.max_pool2d)


class MaxPool3d(MaxPool):
    """The largest element of windows over the last three axes of f[N, C, D, H, W], or without the
    batch.

    kernel_size; stride (kernel_size if None), padding with -inf, dilation: a number, or one for
    each axis. ceil_mode: windows that begin inside count, too. return_indices: (values, places
    i64). Raises ShapeError for other ranks and windows that do not fit.
    """

    function = staticmethod(F.max_pool3d)


class AvgPool(Module):
    """The mean of each window."""

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(AvgPool):
    """The mean of windows over the last axis of f[N, C, L], or without the batch.

    kernel_size; stride (kernel_size if None), padding with 0. count_include_pad: the zeros around
    count. Raises ShapeError for other ranks and windows that do not fit.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        window = (kernel_size, kernel_size if stride is None else stride, padding)
        self.kernel_size, self.stride, self.padding = map(_as_tuple, window)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        window = (self.kernel_size, self.stride, self.padding)
        return F.avg_pool1d(input, *window, self.ceil_mode, self.count_include_pad)


def _as_tuple(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)


class AvgPoolOfPlanes(AvgPool):
    """What average pooling over two and three axes shares."""

    function: Any

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        window = (self.kernel_size, self.stride, self.padding)
        rest = (self.ceil_mode, self.count_include_pad, self.divisor_override)
        return type(self).function(input, *window, *rest)  # type: ignore[no-any-return]


class AvgPool2d(AvgPoolOfPlanes):
    """The mean of windows over the last two axes of f[N, C, H, W], or without the batch.

    kernel_size; stride (kernel_size if None), padding with 0. count_include_pad: the zeros around
    count. Raises ShapeError for other ranks and windows that do not fit.
    """

    function = staticmethod(F.avg_pool2d)


class AvgPool3d(AvgPoolOfPlanes):
    """The mean of windows over the last three axes of f[N, C, D, H, W], or without the batch.

    kernel_size; stride (kernel_size if None), padding with 0. count_include_pad: the zeros around
    count. Raises ShapeError for other ranks and windows that do not fit.
    """

    function = staticmethod(F.avg_pool3d)


class AdaptivePool(Module):
    """Windows whose number is given."""

    function: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(AdaptivePool):
    """The mean of `output_size` windows along the last axis."""

    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(AdaptivePool):
    """The mean of output_size windows that cover the last two axes: f[N, C, H, W] -> f[N, C,
    *output_size], whatever H and W are. output_size: a number or a pair; None keeps a size.
    """

    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(AdaptivePool):
    """The mean of windows over the last three axes."""

    function = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPool(AdaptivePool):
    """The largest element of windows whose number is given."""

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        return type(self).function(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """The largest of `output_size` windows along the last axis."""

    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """The largest of windows over the last two axes."""

    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """The largest of windows over the last three axes."""

    function = staticmethod(F.adaptive_max_pool3d)


guard(globals())
