"""Convolution, pooling and shuffles as functions. Floor 10. NCHW."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.conv import convolution, transposed
from twofold.ops.elementwise import mul
from twofold.ops.joining import cat
from twofold.ops.movement import permute, reshape, transpose
from twofold.ops.pooling import avg_pool, max_pool
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.views import narrow


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


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """input f[N, C, D, H, W], weight f[O, C / groups, KD, KH, KW] -> f[N, O, D', H', W']."""
    return convolution("conv3d", input, weight, bias, stride, padding, dilation, groups, 3)


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
    include = count_include_pad or divisor_override is not None
    made = avg_pool("avg_pool2d", input, kernel_size, stride, padding, ceil_mode, include, 2)
    if divisor_override is None:
        return made
    if ceil_mode:
        raise ArgumentError("avg_pool2d", "divisor_override goes with ceil_mode=False here")
    taps = kernel_size * kernel_size if isinstance(kernel_size, int) else math.prod(kernel_size)
    return mul(made, taps / divisor_override)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of `output_size` windows that cover the last axis."""
    size = output_size if isinstance(output_size, int) else output_size[0]
    return _adaptive_mean(input, -1, size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of windows that cover the last two axes; None keeps a size."""
    sizes = (
        (output_size,) * 2
        if output_size is None or isinstance(output_size, int)
        else tuple(output_size)
    )
    wanted = [n if s is None else s for s, n in zip(sizes, input.array.shape[-2:], strict=True)]
    return _adaptive_mean(_adaptive_mean(input, -2, wanted[0]), -1, wanted[1])


def _adaptive_mean(x: Tensor, axis: int, count: int) -> Tensor:
    size = x.array.shape[axis]
    if count == size:
        return x
    if count == 1:
        return x.mean(axis, True)  # type: ignore[attr-defined, no-any-return]
    if size % count == 0:
        shape = list(x.array.shape)
        axis %= len(shape)
        shape[axis : axis + 1] = [count, size // count]
        return x.reshape(shape).mean(axis + 1)  # type: ignore[attr-defined, no-any-return]
    # window i covers i * size // count up to ceil((i + 1) * size / count): a matrix of their
    # weights
    weights = np.zeros((size, count), x.array.dtype)
    for i in range(count):
        start, stop = i * size // count, -(-(i + 1) * size // count)
        weights[start:stop, i] = 1 / (stop - start)
    return (x.movedim(axis, -1) @ wrap(weights)).movedim(-1, axis)  # type: ignore[attr-defined, no-any-return]


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of `output_size` windows that cover the last axis."""
    size = output_size if isinstance(output_size, int) else output_size[0]
    return _adaptive_max("adaptive_max_pool1d", input, (size,), return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of windows that cover the last two axes; None keeps a size."""
    wanted = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * 2
    sizes = [n if s is None else s for s, n in zip(wanted, input.array.shape[-2:], strict=True)]
    return _adaptive_max("adaptive_max_pool2d", input, tuple(sizes), return_indices)


def _adaptive_max(op: str, x: Tensor, counts: tuple[int, ...], return_indices: bool) -> Any:
    rank = len(counts)
    sizes = x.array.shape[-rank:]
    if all(n % count == 0 for n, count in zip(sizes, counts, strict=True)):
        kernel = tuple(n // count for n, count in zip(sizes, counts, strict=True))
        return max_pool(op, x, kernel, kernel, 0, 1, False, return_indices, rank)
    if return_indices:
        raise ArgumentError(
            op,
            f"windows of {list(sizes)} to {list(counts)} differ in size: no indices",
            hint="sizes that divide",
        )
    for axis, count in zip(range(-rank, 0), counts, strict=True):
        x = _largest_of_windows(x, axis, count)
    return x


def _windows(size: int, count: int) -> list[tuple[int, int]]:
    """Window i covers i * size // count up to ceil((i + 1) * size / count)."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _largest_of_windows(x: Tensor, axis: int, count: int) -> Tensor:
    spans = _windows(x.array.shape[axis], count)
    parts = [narrow(x, axis, a, b - a).max(axis, True).values for a, b in spans]  # type: ignore[attr-defined]
    return cat(parts, axis)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """f[..., C r r, H, W] -> f[..., C, H r, W r]."""
    r = upscale_factor
    *lead, c, h, w = input.array.shape
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
    *lead, c, h, w = input.array.shape
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
    n, c, *rest = input.array.shape
    if c % groups:
        raise ShapeError(
            "channel_shuffle",
            f"{c} channels do not split into {groups} groups",
            input=type_of(input),
        )
    split = reshape(input, (n, groups, c // groups, *rest))
    return reshape(transpose(split, 1, 2), (n, c, *rest))
