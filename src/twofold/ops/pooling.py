"""Pooling of images: max, average, adaptive. Floor 4. NCHW."""

from __future__ import annotations

import math
from math import prod
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import alike, is_symbol
from twofold.base.types import Type
from twofold.ops import elementwise, rounding
from twofold.ops.bind import bind
from twofold.ops.compare import le, where
from twofold.ops.conv import check_image, image_hint, per_axis
from twofold.ops.elementwise import cast, sub
from twofold.ops.gather import GATHER
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.rules import admit
from twofold.ops.statistics import max as max_along
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import squeeze, unsqueeze

MAX_ATTRS = ("kernel", "stride", "padding", "dilation", "ceil_mode")
AVG_ATTRS = ("kernel", "stride", "padding", "ceil_mode", "count_include_pad")


def pooled_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> int:
    """Windows along an axis; in ceil mode the last must still start inside the input or its left
    padding.
    """
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-span // stride) + 1 if ceil_mode else span // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _pooled(
    x: Type, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool, op: str
) -> Type:
    for name, values, least in (
        ("kernel_size", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ):
        if any(value < least for value in values):
            raise ArgumentError(op, f"{name} is {values}", hint=f"{least} or more", input=x)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ShapeError(
            op,
            f"padding {padding} is more than half of the window {kernel}",
            hint="less padding, or F.pad",
            input=x,
        )
    rest = (x.shape[2:], kernel, stride, padding, dilation)
    sizes = tuple(pooled_size(*axis, ceil_mode) for axis in zip(*rest, strict=True))
    if any(n <= 0 for n in sizes):
        raise ShapeError(
            op,
            f"the window {kernel} is larger than the padded input",
            hint="a smaller window, or more padding",
            input=x,
        )
    return Type((*x.shape[:2], *sizes), x.dtype)


def _max_type(
    x: Type, *, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Any:
    values = _pooled(x, kernel, stride, padding, dilation, ceil_mode, "max_pool")
    return values, values.with_dtype(dtypes.int64)


def _taps(size: int, kernel: int, stride: int, padding: int, dilation: int, count: int) -> Any:
    """For every window and tap its position in the input, and whether that exists."""
    at = np.arange(count)[:, None] * stride - padding + np.arange(kernel)[None] * dilation
    return np.clip(at, 0, max(size - 1, 0)), (at >= 0) & (at < size)


def _gathered(x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, sizes: Any) -> Any:
    """x[N, C, OH, OW, KH, KW], its validity, and each element's flat place in the plane."""
    rest = zip(x.shape[2:], kernel, stride, padding, dilation, sizes, strict=True)
    (rows, row_ok), (columns, column_ok) = (_taps(*axis) for axis in rest)
    r, c = rows[:, None, :, None], columns[None, :, None, :]
    valid = row_ok[:, None, :, None] & column_ok[None, :, None, :]
    return x[:, :, r, c], valid, r * x.shape[3] + c


def _max_pool(
    x: Any, *, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Any:
    rest = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    sizes = tuple(pooled_size(*axis, ceil_mode) for axis in rest)
    values, valid, places = _gathered(x, kernel, stride, padding, dilation, sizes)
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    flat = np.where(valid, values, np.asarray(low, x.dtype))
    flat = flat.reshape(*values.shape[:4], math.prod(kernel))
    best = np.argmax(
        flat, axis=-1
    )  # NumPy's argmax stops at the first NaN, as PyTorch does at the last
    grid = np.broadcast_to(places, (*sizes, *kernel)).reshape(*sizes, -1)
    made = np.take_along_axis(flat, best[..., None], -1)[..., 0]
    index = np.take_along_axis(np.broadcast_to(grid, flat.shape), best[..., None], -1)[..., 0]
    return made, index.astype(np.int64)


def _max_pool_vjp(g: Any, saved: Any, x: Any, **_: Any) -> Any:
    if isinstance(g, list):
        g = g[0]
    return (bind(MAX_POOL_BACKWARD, (g, saved[-1]), (tuple(x.shape[2:]),)),)


def _max_backward(g: Any, index: Any, *, size: Any) -> Any:
    planes = g.shape[0] * g.shape[1]
    made = np.zeros((planes, int(np.prod(size))), g.dtype)
    np.add.at(made, (np.arange(planes)[:, None], index.reshape(planes, -1)), g.reshape(planes, -1))
    return made.reshape(*g.shape[:2], *size)


def _max_backward_vjp(h: Tensor, out: Any, g: Any, index: Tensor, *, size: Any) -> Any:
    shape = index.array.shape
    flat = (h.reshape(*shape[:2], -1), index.reshape(*shape[:2], -1))  # type: ignore[attr-defined]
    return bind(GATHER, flat, (2,)).reshape(shape), None


MAX_POOL_BACKWARD = define(
    "max_pool_backward",
    inputs="g index",
    attrs=("size",),
    doc="g added at the places that max_pool chose, in ascending order of the windows.",
    accepts=FLOAT,
    infer=lambda g, index, *, size: Type((*g.shape[:2], *size), g.dtype),
    ref=_max_backward,
    vjp=_max_backward_vjp,
    saves="index",
    lower="max_pool_backward",
    samples=lambda r: [
        Sample((r.normal(size=(2, 2, 2, 2)), r.integers(0, 20, (2, 2, 2, 2)), (4, 5)))
    ],
    torch=False,
)


def _max_samples(random: Any) -> list[Sample]:
    cases = [
        ((2, 3, 6, 6), ((2, 2), (2, 2), (0, 0), (1, 1), False)),
        ((1, 2, 7, 5), ((3, 2), (2, 1), (1, 1), (1, 1), True)),
        ((1, 1, 9, 9), ((3, 3), (2, 2), (1, 1), (2, 2), False)),
    ]
    made = []
    for shape, attrs in cases:
        x = random.permutation(int(np.prod(shape))).reshape(shape) / 10.0  # no ties
        made.append(Sample((x, *attrs)))
    return made


MAX_POOL = define(
    "max_pool",
    attrs=MAX_ATTRS,
    doc="The largest element of each window; its place in the plane is kept for the gradient.",
    accepts="uif",
    infer=_max_type,
    ref=_max_pool,
    vjp=_max_pool_vjp,
    residuals=1,
    lower="max_pool",
    samples=_max_samples,
    torch=False,
)
MAX_POOL_VALUES = define(
    "max_pool_values",
    attrs=MAX_ATTRS,
    doc="max_pool where nobody wants the places: what passes leave in a graph.",
    accepts="uif",
    infer=lambda x, **attrs: _max_type(x, **attrs)[0],
    ref=lambda x, **attrs: _max_pool(x, **attrs)[0],
    lower="max_pool",
    torch=False,
    samples=_max_samples,
)
MAX_POOL_WITH_INDICES = define(
    "max_pool_with_indices",
    attrs=MAX_ATTRS,
    doc="max_pool, with the places as a second output.",
    accepts="uif",
    infer=_max_type,
    ref=_max_pool,
    vjp=_max_pool_vjp,
    saves="out1",
    outputs=2,
    lower="max_pool",
    samples=_max_samples,
    torch=False,
)


def _avg_type(
    x: Type, *, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool
) -> Type:
    return _pooled(x, kernel, stride, padding, (1,) * len(kernel), ceil_mode, "avg_pool")


def _divisors(size: Any, sizes: Any, kernel: Any, stride: Any, padding: Any, include: bool) -> Any:
    """How many elements each window counts: those inside the input, or inside its padding too."""
    counts = []
    for n, count, k, s, p in zip(size, sizes, kernel, stride, padding, strict=True):
        start = np.arange(count) * s - p
        stop = np.minimum(start + k, n + p)
        if not include:
            start, stop = np.maximum(start, 0), np.minimum(stop, n)
        counts.append(stop - start)
    return counts[0][:, None] * counts[1][None, :]


def _avg_pool(
    x: Any, *, kernel: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool
) -> Any:
    rest = zip(x.shape[2:], kernel, stride, padding, strict=True)
    sizes = tuple(pooled_size(n, k, s, p, 1, ceil_mode) for n, k, s, p in rest)
    values, valid, _ = _gathered(x, kernel, stride, padding, (1, 1), sizes)
    total = np.where(valid, values, np.zeros((), x.dtype)).sum(axis=(-2, -1), dtype=x.dtype)
    return total / _divisors(x.shape[2:], sizes, kernel, stride, padding, count_include_pad).astype(
        x.dtype
    )


def _avg_vjp(g: Tensor, out: Any, x: Any, **attrs: Any) -> Any:
    values = tuple(attrs[name] for name in AVG_ATTRS)
    return (bind(AVG_POOL_BACKWARD, (g,), (*values, tuple(x.shape[2:]))),)


def _avg_backward(
    g: Any,
    *,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    size: Any,
) -> Any:
    share = g / _divisors(size, g.shape[2:], kernel, stride, padding, count_include_pad).astype(
        g.dtype
    )
    made = np.zeros((*g.shape[:2], *size), g.dtype)
    _, valid, places = _gathered(made, kernel, stride, padding, (1, 1), g.shape[2:])
    spread = np.broadcast_to(share[..., None, None], (*share.shape, *kernel))
    spread = np.where(valid, spread, np.zeros((), g.dtype))
    flat = made.reshape(-1, int(np.prod(size)))
    index = np.broadcast_to(places, (*g.shape[2:], *kernel)).reshape(1, -1)
    np.add.at(flat, (np.arange(len(flat))[:, None], index), spread.reshape(len(flat), -1))
    return made


def _avg_backward_vjp(h: Tensor, out: Any, g: Any, *, size: Any, **attrs: Any) -> Any:
    return (bind(AVG_POOL, (h,), tuple(attrs[name] for name in AVG_ATTRS)),)


AVG_POOL_BACKWARD = define(
    "avg_pool_backward",
    inputs="g",
    attrs=(*AVG_ATTRS, "size"),
    doc="The gradient of avg_pool by its input, whose image axes have `size`.",
    accepts=FLOAT,
    infer=lambda g, **attrs: Type((*g.shape[:2], *attrs["size"]), g.dtype),
    ref=_avg_backward,
    vjp=_avg_backward_vjp,
    lower="avg_pool_backward",
    samples=lambda r: [
        Sample((r.normal(size=(2, 2, 3, 3)), (2, 2), (2, 2), (0, 0), False, True, (6, 6)))
    ],
    torch=False,
)
AVG_POOL = define(
    "avg_pool",
    attrs=AVG_ATTRS,
    doc="The mean of each window.",
    accepts=FLOAT,
    infer=_avg_type,
    ref=_avg_pool,
    vjp=_avg_vjp,
    lower="avg_pool",
    samples=lambda r: [
        Sample((r.normal(size=(2, 3, 6, 6)), (2, 2), (2, 2), (0, 0), False, True)),
        Sample((r.normal(size=(1, 2, 7, 5)), (3, 2), (2, 1), (1, 1), True, True)),
        Sample((r.normal(size=(1, 2, 7, 5)), (3, 2), (2, 1), (1, 1), True, False)),
    ],
    torch=False,
)


def max_pool(
    op: str,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    indices: bool,
    rank: int,
) -> Any:
    """Max pooling over the last `rank` (1 or 2) axes, with or without the places."""
    x = admit(MAX_POOL, x)
    if _is_whole(x, kernel, padding, dilation, rank):
        return _largest(x, rank, indices)
    planes, restore = as_images(op, x, rank)
    names = {
        "kernel_size": kernel,
        "stride": kernel if stride in (None, ()) else stride,
        "padding": padding,
        "dilation": dilation,
    }
    attrs = tuple(image_axes(per_axis(op, k, v, rank), k) for k, v in names.items())
    if not indices:
        return restore(bind(MAX_POOL, (planes,), (*attrs, bool(ceil_mode))))
    values, places = bind(MAX_POOL_WITH_INDICES, (planes,), (*attrs, bool(ceil_mode)))
    return restore(values), restore(places)


def _is_whole(x: Tensor, kernel: Any, padding: Any, dilation: Any, rank: int) -> bool:
    """Whether one window is all of a plane whose sizes are symbols: `max_pool1d(x, x.size(2))`.
    Windows of sizes that only a run knows have no kernels.
    """
    sides = tuple(kernel) if isinstance(kernel, tuple | list) else (kernel,) * rank
    if not any(map(is_symbol, sides)):
        return False
    apart = padding in (0, (0,) * rank, [0] * rank) and dilation in (1, (1,) * rank, [1] * rank)
    return apart and x.array.ndim > rank and alike(sides, tuple(x.array.shape[-rank:]))


def _largest(x: Tensor, rank: int, indices: bool) -> Any:
    """The largest element of each plane, with its place or without."""
    lead = tuple(x.array.shape[:-rank])
    flat = reshape(x, (*lead, prod(x.array.shape[-rank:])))
    made = max_along(flat, -1)
    values, places = (reshape(part, (*lead, *(1,) * rank)) for part in made)
    return (values, places) if indices else values


def avg_pool(
    op: str,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    include: bool,
    rank: int,
) -> Tensor:
    """Average pooling over the last `rank` (1 or 2) axes."""
    if x.array.dtype == np.int64:
        window = (kernel, stride, padding, ceil_mode, include, rank)
        return whole_means(avg_pool(op, cast(x, dtypes.float64), *window))
    x = admit(AVG_POOL, x)
    planes, restore = as_images(op, x, rank)
    names = {
        "kernel_size": kernel,
        "stride": kernel if stride in (None, ()) else stride,
        "padding": padding,
    }
    attrs = tuple(image_axes(per_axis(op, k, v, rank), k) for k, v in names.items())
    return restore(bind(AVG_POOL, (planes,), (*attrs, bool(ceil_mode), bool(include))))  # type: ignore[no-any-return]


def whole_means(means: Tensor) -> Tensor:
    """Means of whole numbers, in float64, as PyTorch's int64: sums divided towards zero."""
    near = rounding.round(means)
    is_near = le(elementwise.abs(sub(means, near)), 1e-9)  # a sum that the count divides
    return cast(where(is_near, near, rounding.trunc(means)), dtypes.int64)


def image_axes(values: tuple[int, ...], name: str) -> tuple[int, ...]:
    """One axis as the second of two."""
    return values if len(values) == 2 else ((0 if name == "padding" else 1), *values)


def as_images(op: str, x: Tensor, rank: int) -> Any:
    """x as NCHW, and the way back."""
    shape = x.array.shape
    if len(shape) not in (rank + 1, rank + 2):
        raise ShapeError(
            op,
            f"{rank + 2} axes are wanted (or {rank + 1} without the batch)",
            hint=image_hint(rank),
            input=type_of(x),
        )
    check_image(op, x, rank)
    full = x if len(shape) == rank + 2 else unsqueeze(x, 0)
    full = unsqueeze(full, 2) if rank == 1 else full

    def restore(y: Tensor) -> Tensor:
        y = squeeze(y, 2) if rank == 1 else y
        return y if len(shape) == rank + 2 else squeeze(y, 0)

    return full, restore


guard(globals())
