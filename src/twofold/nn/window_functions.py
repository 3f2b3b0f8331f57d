"""Windows over images and volumes: columns of them, and the rarer ways to pool. Floor 10. NC..."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.spatial_functions import avg_pool1d, avg_pool2d, max_pool2d, whole_windows
from twofold.ops.bind import bind
from twofold.ops.compare import eq
from twofold.ops.conv import check_image, per_axis
from twofold.ops.creation import arange, zeros
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.pooling import whole_means
from twofold.ops.random import rand
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import FOLD
from twofold.ops.with_out import out_too

# ---- pooling of volumes: over the image axes first, then over the depth


def _volume(op: str, x: Any) -> tuple[Any, bool]:
    if x.ndim not in (4, 5):
        problem = "5 axes are wanted (or 4 without the batch)"
        raise ShapeError(op, problem, hint="[N, C, D, H, W]", input=type_of(x))
    check_image(op, x, 3)
    return (x, False) if x.ndim == 5 else (x.unsqueeze(0), True)


def _window(op: str, kernel: Any, stride: Any, **others: Any) -> list[tuple[int, ...]]:
    stride = kernel if stride in (None, ()) else stride
    named = {"kernel_size": kernel, "stride": stride} | others
    return [per_axis(op, name, value, 3) for name, value in named.items()]


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest element of windows over the last three axes of f[N, C, D, H, W]."""
    x, alone = _volume("max_pool3d", input)
    k, s, p, d = _window("max_pool3d", kernel_size, stride, padding=padding, dilation=dilation)
    n, c, depth, height, width = x.shape
    planes = x.reshape(n, c * depth, height, width)
    flat, places = max_pool2d(planes, k[1:], s[1:], p[1:], d[1:], ceil_mode, True)
    rows, columns = flat.shape[2:]
    flat = flat.reshape(n, c, depth, rows * columns)
    first = ((k[0], 1), (s[0], 1), (p[0], 0), (d[0], 1))
    made, chosen = max_pool2d(flat, *first, ceil_mode, True)
    shape = (n, c, made.shape[2], rows, columns)
    made = made.reshape(shape)
    made = made.squeeze(0) if alone else made
    if not return_indices:
        return made
    taken = chosen.reshape(n, c, math.prod(shape[2:]))
    inside = places.reshape(n, c, depth * rows * columns).gather(2, taken)
    layer = taken // (rows * columns)
    index = (layer * (height * width) + inside).reshape(shape)
    return made, index.squeeze(0) if alone else index


max_pool3d_with_indices = functools.partial(max_pool3d, return_indices=True)


@out_too
def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of windows over the last three axes of f[N, C, D, H, W]."""
    if input.array.dtype == np.int64:
        window = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return whole_means(avg_pool3d(cast(input, dtypes.float64), *window))
    x, alone = _volume("avg_pool3d", input)
    k, s, p = _window("avg_pool3d", kernel_size, stride, padding=padding)
    include = count_include_pad
    if divisor_override is not None:
        x = whole_windows("avg_pool3d", x, k, s, p, ceil_mode, divisor_override)
        p, ceil_mode, include = (0, 0, 0), False, True
    n, c, depth, height, width = x.shape
    planes = x.reshape(n, c * depth, height, width)
    flat: Any = avg_pool2d(planes, k[1:], s[1:], p[1:], ceil_mode, include)
    rows, columns = flat.shape[2:]
    flat = flat.reshape(n, c, depth, rows * columns)
    made: Any = avg_pool2d(flat, (k[0], 1), (s[0], 1), (p[0], 0), ceil_mode, include)
    made = made.reshape(n, c, made.shape[2], rows, columns)
    if divisor_override is not None:
        made = made * (math.prod(k) / divisor_override)
    return made.squeeze(0) if alone else made  # type: ignore[no-any-return]


def _power_mean(made: Any, taps: int, norm_type: float) -> Tensor:
    """The root of the sum of powers, from their mean."""
    return (made * taps) ** (1.0 / norm_type)  # type: ignore[no-any-return]


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(sum x ** p) ** (1 / p) of windows along the last axis."""
    (k,) = per_axis("lp_pool1d", "kernel_size", kernel_size, 1)
    made = avg_pool1d(input**norm_type, k, stride, 0, ceil_mode)  # type: ignore[operator]
    return _power_mean(made, k, norm_type)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(sum x ** p) ** (1 / p) of windows over the last two axes."""
    k = per_axis("lp_pool2d", "kernel_size", kernel_size, 2)
    made = avg_pool2d(input**norm_type, k, stride, 0, ceil_mode)  # type: ignore[operator]
    return _power_mean(made, math.prod(k), norm_type)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """(sum x ** p) ** (1 / p) of windows over the last three axes."""
    k = per_axis("lp_pool3d", "kernel_size", kernel_size, 3)
    made = avg_pool3d(input**norm_type, k, stride, 0, ceil_mode)  # type: ignore[operator]
    return _power_mean(made, math.prod(k), norm_type)


# ---- back to where the largest stood


def _unpooled(
    op: str,
    x: Any,
    indices: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
    rank: int,
) -> Tensor:
    if x.shape != indices.shape:
        problem = "indices are not of the input's shape"
        raise ShapeError(op, problem, input=type_of(x), indices=type_of(indices))
    if x.ndim not in (rank + 1, rank + 2):
        raise ShapeError(op, f"{rank + 2} axes are wanted", input=type_of(x))
    k = per_axis(op, "kernel_size", kernel, rank)
    s = per_axis(op, "stride", kernel if stride is None else stride, rank)
    p = per_axis(op, "padding", padding, rank)
    sizes = [
        (n - 1) * step + size - 2 * pad
        for n, size, step, pad in zip(x.shape[-rank:], k, s, p, strict=True)
    ]
    if output_size is not None:
        wanted = list(output_size)[-rank:]
        if any(abs(w - n) >= step for w, n, step in zip(wanted, sizes, s, strict=True)):
            raise ArgumentError(op, f"output_size {wanted} is out of reach", hint=f"near {sizes}")
        sizes = wanted
    lead = tuple(x.shape[:-rank])
    empty = zeros(*lead, math.prod(sizes), dtype=x.dtype)
    flat = (*lead, math.prod(x.shape[-rank:]))
    made = empty.scatter(-1, indices.reshape(flat), x.reshape(flat))  # type: ignore[attr-defined]
    return made.reshape(*lead, *sizes)  # type: ignore[no-any-return]


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros, with what max_pool1d chose back in its places."""
    window = (kernel_size, stride, padding, output_size)
    return _unpooled("max_unpool1d", input, indices, *window, 1)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros, with what max_pool2d chose back in its places."""
    window = (kernel_size, stride, padding, output_size)
    return _unpooled("max_unpool2d", input, indices, *window, 2)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros, with what max_pool3d chose back in its places."""
    window = (kernel_size, stride, padding, output_size)
    return _unpooled("max_unpool3d", input, indices, *window, 3)


# ---- windows at random distances


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest of windows at random distances (Graham 2014), over the last two axes."""
    sizes = (kernel_size, output_size, output_ratio)
    return _fractional("fractional_max_pool2d", input, *sizes, return_indices, _random_samples, 2)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """The largest of windows at random distances (Graham 2014), over the last three axes."""
    sizes = (kernel_size, output_size, output_ratio)
    return _fractional("fractional_max_pool3d", input, *sizes, return_indices, _random_samples, 3)


def _fractional(
    op: str,
    input: Any,
    kernel: Any,
    output_size: Any,
    ratio: Any,
    return_indices: bool,
    samples: Any,
    rank: int,
) -> Any:
    if (output_size is None) == (ratio is None):
        raise ArgumentError(op, "either output_size or output_ratio is wanted")
    alone = input.ndim == rank + 1
    x = input.unsqueeze(0) if alone else input
    if x.ndim != rank + 2:
        raise ShapeError(op, f"{rank + 2} axes are wanted", input=type_of(input))
    check_image(op, x, rank)
    k = per_axis(op, "kernel_size", kernel, rank)
    image = tuple(x.shape[2:])
    if output_size is None:
        ratios = ratio if isinstance(ratio, tuple | list) else (ratio,) * rank
        output_size = [int(n * r) for n, r in zip(image, ratios, strict=True)]
    out = per_axis(op, "output_size", output_size, rank)
    if any(o + size - 1 > n for o, size, n in zip(out, k, image, strict=True)):
        raise ShapeError(op, f"windows {k} to {out} do not fit", input=type_of(input))
    if samples is None:
        samples = rand(x.shape[0], x.shape[1], rank, dtype=x.dtype)
    elif (
        samples.ndim != 3
        or samples.shape[0] < x.shape[0]
        or samples.shape[1:]
        != (
            x.shape[1],
            rank,
        )
    ):
        facts = {"_random_samples": type_of(samples), "input": type_of(input)}
        hint = f"f[{x.shape[0]}, {x.shape[1]}, {rank}]"
        raise ShapeError(op, "other samples are wanted", hint=hint, **facts)
    samples = samples[: x.shape[0]]
    # PyTorch's samples are for (columns, rows) of images, (layers, rows, columns) of volumes
    order = range(rank) if rank == 3 else range(rank)[::-1]
    flat: Any = 0
    for axis, place in enumerate(order):
        starts = _starts(samples[:, :, place], image[axis], out[axis], k[axis])
        taps = starts.unsqueeze(-1) + arange(k[axis])
        shape = [*taps.shape[:2], *(1,) * (2 * rank)]
        shape[2 + axis], shape[2 + rank + axis] = out[axis], k[axis]
        flat = flat + taps.reshape(shape) * math.prod(image[axis + 1 :])
    full = (*x.shape[:2], math.prod(out), math.prod(k))
    flat = flat.expand(*x.shape[:2], *out, *k).reshape(full)
    plane = x.reshape(*x.shape[:2], math.prod(image))
    values = plane.gather(2, flat.reshape(*full[:2], full[2] * full[3])).reshape(full)
    made, best = values.max(-1)
    index = flat.gather(-1, best.unsqueeze(-1)).squeeze(-1)
    sizes = (*x.shape[:2], *out)
    made, index = made.reshape(sizes), index.reshape(sizes)
    if alone:
        made, index = made.squeeze(0), index.squeeze(0)
    return (made, index) if return_indices else made


def _starts(sample: Any, size: int, count: int, window: int) -> Any:
    """Where each of `count` windows starts, from a number in [0, 1) for each plane."""
    if count == 1:
        return (sample.unsqueeze(-1) * 0).long() + (size - window)
    step = (size - window) / (count - 1)
    u = sample.unsqueeze(-1)
    made = ((u + arange(count)) * step).floor() - (u * step).floor()
    last = eq(arange(count), count - 1)
    return made.masked_fill(last, size - window).long()


# ---- images as columns of windows


def _pairs(op: str, **values: Any) -> list[tuple[int, ...]]:
    return [per_axis(op, name, value, 2) for name, value in values.items()]


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """The windows of f[N, C, H, W] as columns: f[N, C * KH * KW, windows]."""
    x: Any = input
    if x.ndim not in (3, 4):
        raise ShapeError("unfold", "4 axes are wanted (or 3 without the batch)", input=type_of(x))
    k, d, p, s = _pairs(
        "unfold", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    alone = x.ndim == 3
    x = x.unsqueeze(0) if alone else x
    if any(p):
        x = x.pad((p[1], p[1], p[0], p[0]))
    spans = [d[i] * (k[i] - 1) + 1 for i in range(2)]
    if any(n < span for n, span in zip(x.shape[2:], spans, strict=True)):
        raise ShapeError("unfold", f"the window {k} is larger than the image", input=type_of(input))
    windows = x.unfold(2, spans[0], s[0]).unfold(3, spans[1], s[1])[..., :: d[0], :: d[1]]
    n, c, rows, columns = windows.shape[:4]
    made = windows.permute(0, 1, 4, 5, 2, 3).reshape(n, c * k[0] * k[1], rows * columns)
    return made.squeeze(0) if alone else made  # type: ignore[no-any-return]


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Columns f[N, C * KH * KW, windows] added up where they overlap: f[N, C, H, W]."""
    x: Any = input
    size, k, d, p, s = _pairs(
        "fold",
        output_size=output_size,
        kernel_size=kernel_size,
        dilation=dilation,
        padding=padding,
        stride=stride,
    )
    if x.ndim not in (2, 3) or x.shape[-2] % (k[0] * k[1]):
        raise ShapeError("fold", f"columns of {k[0]} x {k[1]} are wanted", input=type_of(x))
    alone = x.ndim == 2
    x = x.unsqueeze(0) if alone else x
    spans = [d[i] * (k[i] - 1) + 1 for i in range(2)]
    whole = [size[i] + 2 * p[i] for i in range(2)]
    counts = [(whole[i] - spans[i]) // s[i] + 1 for i in range(2)]
    if counts[0] * counts[1] != x.shape[2]:
        problem = f"{counts[0]} x {counts[1]} windows are wanted"
        raise ShapeError("fold", problem, input=type_of(input))
    n, c = x.shape[0], x.shape[1] // (k[0] * k[1])
    # one place of the windows after the other: what is added then lies side by side in memory
    x = _spread(x.reshape(n, c, *k, *counts).permute(0, 1, 2, 4, 5, 3), 5, d[1])
    x = bind(FOLD, (x,), ((n, c, k[0], counts[0], whole[1]), 4, spans[1], s[1]))
    x = _spread(x.permute(0, 1, 3, 4, 2), 4, d[0])
    x = bind(FOLD, (x,), ((n, c, whole[0], whole[1]), 2, spans[0], s[0]))
    made = x[:, :, p[0] : p[0] + size[0], p[1] : p[1] + size[1]]
    return made.squeeze(0) if alone else made  # type: ignore[no-any-return]


def _spread(x: Any, axis: int, step: int) -> Any:
    """The elements `step` apart along an axis, with zeros between."""
    if step == 1:
        return x
    shape = list(x.shape)
    wide = x.unsqueeze(axis + 1)
    sides = [0, 0] * (len(shape) - axis - 1) + [0, step - 1]
    wide = wide.pad(sides)
    shape[axis] *= step
    return wide.reshape(shape).narrow(axis, 0, shape[axis] - step + 1)


guard(globals())


guard(globals())
