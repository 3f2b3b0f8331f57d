"""Convolution and pooling layers. Floor 10. NCHW."""

from __future__ import annotations

import math
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.module import Module
from twofold.ops.conv import per_axis
from twofold.ops.creation import empty
from twofold.ops.tensor import Parameter, Tensor

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "MaxPool1d",
    "MaxPool2d",
]

PADDING_MODES = {"reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class Convolution(Module):
    """What all convolutions share: the sizes, the weight f[out, in / groups, *kernel] and the bias
    f[out].
    """

    rank: int
    transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ArgumentError(
                name, f"{in_channels} and {out_channels} channels do not split into {groups} groups"
            )
        if padding_mode != "zeros" and padding_mode not in PADDING_MODES:
            raise ArgumentError(
                name,
                f"padding_mode={padding_mode!r} is not known",
                hint=f"zeros, {', '.join(PADDING_MODES)}",
            )
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.rank)
        self.stride = per_axis(name, "stride", stride, self.rank)
        self.padding = (
            padding if isinstance(padding, str) else per_axis(name, "padding", padding, self.rank)
        )
        self.dilation = per_axis(name, "dilation", dilation, self.rank)
        self.groups = groups
        self.padding_mode = padding_mode
        self.weight = Parameter(empty(*self._weight_shape(), dtype=dtype, device=device))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, dtype=dtype, device=device)) if bias else None
        )
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in, _ = init.fans(self.weight)
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def _around(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input and what is left to pad with zeros."""
        if self.padding_mode == "zeros":
            return input, self.padding
        sides = [p for p in reversed(self.padding) for _ in range(2)]
        return F.pad(input, sides, mode=PADDING_MODES[self.padding_mode]), 0

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding != (0,) * self.rank:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self.rank:
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        return ", ".join(parts + ([] if self.bias is not None else ["bias=False"]))


@final
class Conv1d(Convolution):
    """f[N, C, L] -> f[N, O, L']."""

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._around(input)
        return F.conv1d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


@final
class Conv2d(Convolution):
    """f[N, C, H, W] -> f[N, O, H', W']."""

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._around(input)
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class TransposedConvolution(Convolution):
    """What transposed convolutions share: weight f[in, out / groups, *kernel], and
    output_padding.
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ArgumentError(
                type(self).__name__, "only zeros are padded", hint="padding_mode='zeros'"
            )
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            "zeros",
            device,
            dtype,
        )
        self.output_padding = output_padding

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward(self, input: Tensor) -> Tensor:
        function = F.conv_transpose1d if self.rank == 1 else F.conv_transpose2d
        rest = (self.stride, self.padding, self.output_padding, self.groups, self.dilation)
        return function(input, self.weight, self.bias, *rest)


@final
class ConvTranspose1d(TransposedConvolution):
    """f[N, C, L] -> f[N, O, L']."""

    rank = 1


@final
class ConvTranspose2d(TransposedConvolution):
    """f[N, C, H, W] -> f[N, O, H', W']."""

    rank = 2


class Pool(Module):
    """What pooling layers share: window, stride (the window if not given) and padding."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        *args: Any,
        ceil_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self._rest(*args, **kwargs)

    def _rest(self) -> None:
        """Take the options that are the subclass's own."""

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool(Pool):
    """The largest element of each window."""

    function: Any

    def _rest(self, dilation: Any = 1, return_indices: bool = False) -> None:
        self.dilation = dilation
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        rest = (
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )
        return type(self).function(input, *rest)


@final
class MaxPool1d(MaxPool):
    """Windows along the last axis of f[N, C, L]."""

    function = staticmethod(F.max_pool1d)


@final
class MaxPool2d(MaxPool):
    """Windows over the last two axes of f[N, C, H, W]."""

    function = staticmethod(F.max_pool2d)


class AvgPool(Pool):
    """The mean of each window."""

    function: Any

    def _rest(self, count_include_pad: bool = True) -> None:
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        rest = (self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)
        return type(self).function(input, *rest)  # type: ignore[no-any-return]


@final
class AvgPool1d(AvgPool):
    """Windows along the last axis of f[N, C, L]."""

    function = staticmethod(F.avg_pool1d)


@final
class AvgPool2d(AvgPool):
    """Windows over the last two axes of f[N, C, H, W]."""

    function = staticmethod(F.avg_pool2d)


class AdaptivePool(Module):
    """Windows whose number is given."""

    function: Any

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return type(self).function(input, self.output_size)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


@final
class AdaptiveAvgPool1d(AdaptivePool):
    """The mean of `output_size` windows along the last axis."""

    function = staticmethod(F.adaptive_avg_pool1d)


@final
class AdaptiveAvgPool2d(AdaptivePool):
    """The mean of windows over the last two axes."""

    function = staticmethod(F.adaptive_avg_pool2d)
