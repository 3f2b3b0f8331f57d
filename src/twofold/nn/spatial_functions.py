"""Convolution, pooling and shuffles as functions. Floor 10. NCHW."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import maximum
from twofold.ops.conv import check_image, convolution, per_axis, transposed
from twofold.ops.elementwise import cast, mul
from twofold.ops.guarding import guard
from twofold.ops.movement import permute, reshape, transpose
from twofold.ops.padding import pad
from twofold.ops.pooling import avg_pool, max_pool, pooled_size, whole_means
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.with_out import out_too


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """input f[N, C, L], weight f[O, C / groups, K] -> f[N, O, L']."""
    return convolution("conv1d", input, weight, bias, stride, padding, dilation, groups, 1)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """input f[N, C, H, W], weight f[O, C / groups, KH, KW] -> f[N, O, H', W']. padding: numbers,
    'same', 'valid'.
    """
    return convolution("conv2d", input, weight, bias, stride, padding, dilation, groups, 2)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """input f[N, C, L], weight f[C, O / groups, K] -> f[N, O, L']."""
    name = "conv_transpose1d"
    return transposed(
        name, input, weight, bias, stride, padding, output_padding, groups, dilation, 1
    )


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """input f[N, C, H, W], weight f[C, O / groups, KH, KW] -> f[N, O, H', W']."""
    name = "conv_transpose2d"
    return transposed(
        name, input, weight, bias, stride, padding, output_padding, groups, dilation, 2
    )


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of windows along the last axis of f[N, C, L]."""
    return max_pool(
        "max_pool1d", input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 1
    )


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of windows over the last two axes of f[N, C, H, W]."""
    return max_pool(
        "max_pool2d", input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 2
    )


# with (values, indices) always
max_pool1d_with_indices = functools.partial(max_pool1d, return_indices=True)
max_pool2d_with_indices = functools.partial(max_pool2d, return_indices=True)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of windows along the last axis of f[N, C, L]."""
    return avg_pool(
        "avg_pool1d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, 1
    )


@out_too
def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of windows over the last two axes of f[N, C, H, W]."""
    if divisor_override is None:
        return avg_pool(
            "avg_pool2d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, 2
        )
    if input.array.dtype == np.int64:
        window = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return whole_means(avg_pool2d(cast(input, dtypes.float64), *window))
    check_image("avg_pool2d", input, 2)
    k = per_axis("avg_pool2d", "kernel_size", kernel_size, 2)
    s = k if stride is None or stride == () else per_axis("avg_pool2d", "stride", stride, 2)
    p = per_axis("avg_pool2d", "padding", padding, 2)
    x = whole_windows("avg_pool2d", input, k, s, p, ceil_mode, divisor_override)
    made = avg_pool("avg_pool2d", x, k, s, 0, False, True, 2)
    return mul(made, math.prod(k) / divisor_override)


def whole_windows(
    op: str, x: Tensor, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, divisor: int
) -> Tensor:
    """x with zeros around it, as many as its windows see: their sums are divided by a number."""
    if divisor == 0:
        raise ArgumentError(op, "divisor_override is 0", hint="None, or a number that is not 0")
    sides: list[Any] = []
    sizes = x.array.shape[-len(kernel) :]
    for n, k, s, p in reversed(list(zip(sizes, kernel, stride, padding, strict=True))):
        count = pooled_size(n, k, s, p, 1, ceil_mode)
        sides += [p, maximum((count - 1) * s + k - n - p, 0) if ceil_mode else p]
    return pad(x, tuple(sides)) if ceil_mode or any(padding) else x


def _sizes(op: str, x: Tensor, least: int) -> tuple[int, ...]:
    """The sizes of x. Raises ShapeError where it has fewer axes than `least`."""
    shape = x.array.shape
    if len(shape) < least:
        hint = "f[N, C, ...]" if least == 2 else "f[..., C, H, W]"
        raise ShapeError(op, f"{least} axes at least are needed", hint=hint, input=type_of(x))
    return shape


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """f[..., C r r, H, W] -> f[..., C, H r, W r]."""
    r = upscale_factor
    *lead, c, h, w = _sizes("pixel_shuffle", input, 3)
    if c % (r * r):
        raise ShapeError(
            "pixel_shuffle", f"{c} channels do not split into squares of {r}", input=type_of(input)
        )
    n = len(lead)
    split = reshape(input, (*lead, c // (r * r), r, r, h, w))
    turned = permute(split, (*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return reshape(turned, (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """f[..., C, H r, W r] -> f[..., C r r, H, W]."""
    r = downscale_factor
    *lead, c, h, w = _sizes("pixel_unshuffle", input, 3)
    if h % r or w % r:
        raise ShapeError(
            "pixel_unshuffle",
            f"an image of {h} x {w} does not split into squares of {r}",
            input=type_of(input),
        )
    n = len(lead)
    split = reshape(input, (*lead, c, h // r, r, w // r, r))
    turned = permute(split, (*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return reshape(turned, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """f[N, C, ...] with its channels taken from each group in turn (Zhang et al. 2017)."""
    n, c, *rest = _sizes("channel_shuffle", input, 2)
    if c % groups:
        raise ShapeError(
            "channel_shuffle",
            f"{c} channels do not split into {groups} groups",
            input=type_of(input),
        )
    split = reshape(input, (n, groups, c // groups, *rest))
    return reshape(transpose(split, 1, 2), (n, c, *rest))


guard(globals())
