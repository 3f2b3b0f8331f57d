"""Convolution layers and their transposes. Floor 10. NCHW."""

from __future__ import annotations

import math
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.module import Module
from twofold.ops.conv import check_axes, per_axis, same_sides
from twofold.ops.creation import empty
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """What all convolutions share: sizes, weight f[out, in / groups, *kernel] and bias f[out]."""

    rank: int

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
        _check(name, in_channels, out_channels, groups, padding_mode)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.rank)
        self.stride = per_axis(name, "stride", stride, self.rank)
        self.dilation = per_axis(name, "dilation", dilation, self.rank)
        self.padding = (
            padding if isinstance(padding, str) else per_axis(name, "padding", padding, self.rank)
        )
        self.padding_mode = padding_mode
        options = {"dtype": dtype, "device": device}
        self.weight = Parameter(empty(self._weight_shape(), **options))
        self.register_parameter("bias", Parameter(empty(out_channels, **options)) if bias else None)
        self.reset_parameters()

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self) -> None:
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        fan_in, _ = init.fans(self.weight)
        if self.bias is not None and fan_in:
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def _around(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input, and what is left to pad with zeros."""
        if self.padding_mode == "zeros" or self.padding == "valid":
            return input, self.padding
        if self.padding == "same":
            sides = same_sides(self.kernel_size, self.dilation)
        else:
            sides = [(int(p), int(p)) for p in self.padding]
        flat = [side for pair in reversed(sides) for side in pair]
        return F.pad(input, flat, mode=self.padding_mode), 0

    def extra_repr(self) -> str:
        shown = [f"{self.in_channels}, {self.out_channels}"]
        shown += [f"kernel_size={self.kernel_size}, stride={self.stride}"]
        zeros, ones = (0,) * self.rank, (1,) * self.rank
        usual = {"padding": zeros, "dilation": ones, "output_padding": zeros, "groups": 1}
        shown += [f"{k}={getattr(self, k)}" for k, v in usual.items() if getattr(self, k, v) != v]
        shown += ["bias=False"] * (self.bias is None)
        shown += [f"padding_mode={self.padding_mode}"] * (self.padding_mode != "zeros")
        return ", ".join(shown)


def _check(name: str, inputs: int, outputs: int, groups: int, padding_mode: str) -> None:
    if groups < 1 or inputs % groups or outputs % groups:
        raise ArgumentError(
            name,
            f"{inputs} and {outputs} channels do not split into {groups} groups",
            hint="a number of groups that divides both",
        )
    if padding_mode not in PADDING_MODES:
        raise ArgumentError(
            name, f"padding_mode={padding_mode!r} is not known", hint=", ".join(PADDING_MODES)
        )


class Conv1d(Convolution):
    """Convolution: f[N, C, L] -> f[N, O, L'], or f[C, L] without the batch.

    Each size L becomes (L + 2 padding - dilation (kernel - 1) - 1) // stride + 1.

    in_channels C, out_channels O; kernel_size, stride, padding and dilation: a number, or one for
    each axis; padding may be "same" or "valid". groups: channels in groups that do not see each
    other. padding_mode: zeros, reflect, replicate or circular.

    State: weight f[O, C / groups, K] and bias f[O], which start uniform within 1 / sqrt(C / groups
    * K). Raises ArgumentError where groups does not divide C and O; ShapeError at the call for
    other channels, ranks, or an input smaller than the kernel.
    """

    rank = 1

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._around(input)
        rest = (self.stride, padding, self.dilation, self.groups)
        return F.conv1d(input, self.weight, self.bias, *rest)


class Conv2d(Convolution):
    """Convolution: f[N, C, H, W] -> f[N, O, H', W'], or f[C, H, W] without the batch.

    Each size L becomes (L + 2 padding - dilation (kernel - 1) - 1) // stride + 1.

    in_channels C, out_channels O; kernel_size, stride, padding and dilation: a number, or one for
    each axis; padding may be "same" or "valid". groups: channels in groups that do not see each
    other. padding_mode: zeros, reflect, replicate or circular.

    State: weight f[O, C / groups, KH, KW] and bias f[O], which start uniform within 1 / sqrt(C /
    groups * KH * KW). Raises ArgumentError where groups does not divide C and O; ShapeError at the
    call for other channels, ranks, or an input smaller than the kernel.
    """

    rank = 2

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._around(input)
        rest = (self.stride, padding, self.dilation, self.groups)
        return F.conv2d(input, self.weight, self.bias, *rest)


class Conv3d(Convolution):
    """Convolution: f[N, C, D, H, W] -> f[N, O, D', H', W'], or f[C, D, H, W] without the batch.

    Each size L becomes (L + 2 padding - dilation (kernel - 1) - 1) // stride + 1.

    in_channels C, out_channels O; kernel_size, stride, padding and dilation: a number, or one for
    each axis; padding may be "same" or "valid". groups: channels in groups that do not see each
    other. padding_mode: zeros, reflect, replicate or circular.

    State: weight f[O, C / groups, KD, KH, KW] and bias f[O], which start uniform within 1 / sqrt(C
    / groups * KD * KH * KW). Raises ArgumentError where groups does not divide C and O; ShapeError
    at the call for other channels, ranks, or an input smaller than the kernel.
    """

    rank = 3

    def forward(self, input: Tensor) -> Tensor:
        input, padding = self._around(input)
        rest = (self.stride, padding, self.dilation, self.groups)
        return F.conv3d(input, self.weight, self.bias, *rest)


class TransposedConvolution(Convolution):
    """What transposed convolutions share: weight f[in, out / groups, *kernel], output_padding."""

    function: Any

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
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ArgumentError(name, "only zeros are padded", hint="padding_mode='zeros'")
        sizes = (in_channels, out_channels, kernel_size, stride, padding, dilation)
        super().__init__(*sizes, groups, bias, "zeros", device, dtype)
        self.output_padding = per_axis(name, "output_padding", output_padding, self.rank)

    def _weight_shape(self) -> tuple[int, ...]:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """output_size: the image sizes wanted, one of those that the stride leaves open."""
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input, tuple(output_size)[-self.rank :])
        rest = (self.stride, self.padding, extra, self.groups, self.dilation)
        return type(self).function(input, self.weight, self.bias, *rest)  # type: ignore[no-any-return]

    def _extra(self, input: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        """The output padding that gives the wanted sizes. Raises ArgumentError if none does."""
        check_axes(type(self).__name__, input, self.weight, self.rank)
        wanted = per_axis(type(self).__name__, "output_size", wanted, self.rank)
        steps = (self.stride, self.padding, self.dilation, self.kernel_size)
        rows: Any = zip(input.array.shape[-self.rank :], *steps, strict=True)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in rows]
        extra = tuple(size - low for size, low in zip(wanted, least, strict=True))
        if any(not 0 <= e < s for e, s in zip(extra, self.stride, strict=True)):
            most = [low + s - 1 for low, s in zip(least, self.stride, strict=True)]
            raise ArgumentError(
                type(self).__name__,
                f"output_size {list(wanted)} is out of reach",
                hint=f"from {least} to {most}",
            )
        return extra


class ConvTranspose1d(TransposedConvolution):
    """Transposed convolution: f[N, C, L] -> f[N, O, L']: the gradient of the convolution with these
    options.

    Each size L becomes (L - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1;
    `output_size` at the call chooses the output padding. State: weight f[C, O / groups, *kernel],
    bias f[O]. Raises ArgumentError for an output padding or size out of reach, ShapeError for other
    channels.
    """

    rank = 1
    function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(TransposedConvolution):
    """Transposed convolution: f[N, C, H, W] -> f[N, O, H', W']: the gradient of the convolution
    with these options.

    Each size L becomes (L - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1;
    `output_size` at the call chooses the output padding. State: weight f[C, O / groups, *kernel],
    bias f[O]. Raises ArgumentError for an output padding or size out of reach, ShapeError for other
    channels.
    """

    rank = 2
    function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(TransposedConvolution):
    """Transposed convolution: f[N, C, D, H, W] -> f[N, O, D', H', W']: the gradient of the
    convolution with these options.

    Each size L becomes (L - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1;
    `output_size` at the call chooses the output padding. State: weight f[C, O / groups, *kernel],
    bias f[O]. Raises ArgumentError for an output padding or size out of reach, ShapeError for other
    channels.
    """

    rank = 3
    function = staticmethod(F.conv_transpose3d)


guard(globals())
