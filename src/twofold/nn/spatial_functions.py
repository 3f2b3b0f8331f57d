"""Convolution, pooling and shuffles as functions. Floor 10. NCHW."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import is_one, is_symbol, maximum
from twofold.ops.bind import bind
from twofold.ops.compare import where
from twofold.ops.conv import check_image, convolution, per_axis, transposed
from twofold.ops.creation import arange
from twofold.ops.elementwise import cast, mul
from twofold.ops.gather import GATHER
from twofold.ops.indexing import TAKE, Here, Slice
from twofold.ops.movement import expand, permute, reshape, transpose
from twofold.ops.padding import pad
from twofold.ops.pooling import avg_pool, max_pool, pooled_size, whole_means
from twofold.ops.reduce import argmax
from twofold.ops.source import known
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import narrow
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


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of `output_size` windows that cover the last axis."""
    (size,) = _wanted("adaptive_avg_pool1d", input, output_size, 1)
    return adaptive_mean(input, -1, size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of windows that cover the last two axes; None keeps a size."""
    rows, columns = _wanted("adaptive_avg_pool2d", input, output_size, 2)
    return adaptive_mean(adaptive_mean(input, -2, rows), -1, columns)


def adaptive_mean(x: Tensor, axis: int, count: int) -> Tensor:
    size = x.array.shape[axis]
    if x.dtype.kind in "bui":
        problem, hint = f"{x.dtype.name} is not taken", "x.float()"
        raise DTypeError("adaptive_avg_pool", problem, hint=hint, input=type_of(x))
    if not is_one(count) and count == 0:
        return narrow(x, axis, 0, 0)
    if is_one(count):
        return x.mean(axis, True)  # type: ignore[attr-defined, no-any-return]
    if count == size:
        return x
    if size % count == 0:
        shape = list(x.array.shape)
        axis %= len(shape)
        shape[axis : axis + 1] = [count, size // count]
        return x.reshape(shape).mean(axis + 1)  # type: ignore[attr-defined, no-any-return]
    # means of halves are rounded once, at the end
    kind = dtypes.float32 if x.dtype in (dtypes.float16, dtypes.bfloat16) else x.dtype
    wide = cast(x, kind).movedim(axis, -1) @ _window_weights(size, count, kind)  # type: ignore[attr-defined]
    return cast(wide.movedim(-1, axis), x.dtype)


def _window_weights(size: Any, count: Any, kind: Any) -> Tensor:
    """A matrix of the weights of windows: number i covers i * size // count up to
    ceil((i + 1) * size / count).
    """
    if is_symbol(size) or is_symbol(count):
        window: Any = arange(count)
        place: Any = arange(size).unsqueeze(1)  # type: ignore[attr-defined]
        start = window * size // count
        stop = 0 - (0 - (window + 1) * size) // count
        inside = (place >= start).logical_and(place < stop)
        return where(inside, 1 / (stop - start).double(), 0.0).to(kind)  # type: ignore[no-any-return]
    return known(_shares(size, count, kind))


@functools.lru_cache(64)
def _shares(size: int, count: int, kind: Any) -> Any:
    weights = np.zeros((size, count))
    for i, (first, last) in enumerate(_windows(size, count)):
        weights[first:last, i] = 1 / (last - first)
    return dtypes.convert(weights, kind)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of windows that cover the last three axes; None keeps a size."""
    x = input
    for axis, size in zip(
        (-3, -2, -1), _wanted("adaptive_avg_pool3d", input, output_size, 3), strict=True
    ):
        x = adaptive_mean(x, axis, size)
    return x


def _wanted(op: str, x: Tensor, output_size: Any, rank: int) -> tuple[int, ...]:
    """One size for each of the last axes; None keeps it. Raises ShapeError."""
    listed = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * rank
    if len(listed) != rank:
        hint = f"one size, or {rank}"
        raise ShapeError(op, f"output_size {listed} has {len(listed)} sizes", hint=hint)
    if x.array.ndim not in (rank + 1, rank + 2):
        hint = f"{rank + 2} axes, or {rank + 1} without the batch"
        raise ShapeError(op, f"{x.array.ndim} axes", hint=hint, input=type_of(x))
    if any(s is not None and s < 0 for s in listed):
        raise ShapeError(op, f"output_size {listed} is negative", hint="sizes of 0 or more")
    if 0 not in listed:
        check_image(op, x, rank)
    return tuple(n if s is None else s for s, n in zip(listed, x.array.shape[-rank:], strict=True))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of `output_size` windows that cover the last axis."""
    sizes = _wanted("adaptive_max_pool1d", input, output_size, 1)
    return _adaptive_max("adaptive_max_pool1d", input, sizes, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of windows that cover the last two axes; None keeps a size."""
    sizes = _wanted("adaptive_max_pool2d", input, output_size, 2)
    return _adaptive_max("adaptive_max_pool2d", input, sizes, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of windows that cover the last three axes; None keeps a size."""
    sizes = _wanted("adaptive_max_pool3d", input, output_size, 3)
    return _adaptive_max("adaptive_max_pool3d", input, sizes, return_indices)


def _adaptive_max(op: str, x: Tensor, counts: tuple[int, ...], return_indices: bool) -> Any:
    rank = len(counts)
    sizes = x.array.shape[-rank:]
    if (
        rank < 3
        and all(counts)
        and all(n % count == 0 for n, count in zip(sizes, counts, strict=True))
    ):
        kernel = tuple(n // count for n, count in zip(sizes, counts, strict=True))
        return max_pool(op, x, kernel, kernel, 0, 1, False, return_indices, rank)
    if not all(counts):
        lead = x.array.shape[: x.array.ndim - rank]
        made = x.new_empty((*lead, *counts))  # type: ignore[attr-defined]
        return (made, made.long()) if return_indices else made
    whole = tuple(map(int, sizes))  # the places are those of these sizes
    places, shape = known(_places(whole, counts)), (*x.array.shape[:-rank], *counts)
    key = (*(Slice(None, None, None),) * (len(shape) - rank), Here(0))
    flat = reshape(x, (*x.array.shape[:-rank], math.prod(whole)))
    inside = bind(TAKE, (flat, places), (key,))
    chosen, axis = argmax(inside, -1, True), inside.array.ndim - 1
    made = reshape(bind(GATHER, (inside, chosen), (axis,)), shape)
    if not return_indices:
        return made
    table = expand(places, inside.array.shape)
    return made, reshape(bind(GATHER, (table, chosen), (axis,)), shape)


@functools.lru_cache(64)
def _places(sizes: tuple[int, ...], counts: tuple[int, ...]) -> Any:
    """Where in the flat image the elements of each window are, i64[windows, most in one]: one that
    has fewer has its last ones again.
    """
    flat = np.zeros((1, 1), np.int64)
    for size, count in zip(sizes, counts, strict=True):
        windows = _windows(size, count)
        most = max(stop - start for start, stop in windows)
        inside = [[min(start + k, stop - 1) for k in range(most)] for start, stop in windows]
        axis = np.array(inside, np.int64)
        joined = flat[:, None, :, None] * size + axis[None, :, None, :]
        flat = joined.reshape(len(flat) * count, -1)
    return flat


def _windows(size: int, count: int) -> list[tuple[int, int]]:
    """Window i covers i * size // count up to ceil((i + 1) * size / count)."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


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
