"""Layers and losses as functions, images as (batch, height, width, channels). Floor 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import is_symbol
from twofold.nn import class_functions, loss_functions, spatial_functions
from twofold.ops import (
    compare,
    composite,
    elementwise,
    generators,
    normalize,
    random,
    transcendental,
)
from twofold.ops.creation import ones
from twofold.ops.padding import pad
from twofold.ops.tensor import Tensor, type_of
from twofold.v1.arrays import (
    argmax,
    cast,
    gather,
    matmul,
    maximum,
    reduce_mean,
    reduce_sum,
    reshape,
    rsqrt,
    square,
    transpose,
)
from twofold.v1.state import given


def relu(features: Any, name: str | None = None) -> Tensor:
    """max(x, 0)"""
    return composite.relu(given(features))


def relu6(features: Any, name: str | None = None) -> Tensor:
    return composite.relu6(given(features))


def elu(features: Any, name: str | None = None) -> Tensor:
    return composite.elu(given(features))


def leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Tensor:
    return composite.leaky_relu(given(features), alpha)


def softplus(features: Any, name: str | None = None) -> Tensor:
    return composite.softplus(given(features))


def softsign(features: Any, name: str | None = None) -> Tensor:
    x = given(features)
    return x / (1 + elementwise.abs(x))


def sigmoid(x: Any, name: str | None = None) -> Tensor:
    return transcendental.sigmoid(given(x))


def tanh(x: Any, name: str | None = None) -> Tensor:
    return transcendental.tanh(given(x))


def softmax(
    logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None
) -> Tensor:
    """Chances that add up to 1 along an axis, the last one if not told."""
    return normalize.softmax(given(logits), _axis(axis, dim))


def log_softmax(
    logits: Any, axis: int | None = None, name: str | None = None, dim: int | None = None
) -> Tensor:
    return normalize.log_softmax(given(logits), _axis(axis, dim))


def _axis(axis: int | None, dim: int | None) -> int:
    if axis is not None:
        return axis
    return -1 if dim is None else dim


def dropout(
    x: Any,
    keep_prob: Any = None,
    noise_shape: Any = None,
    seed: int | None = None,
    name: str | None = None,
    rate: Any = None,
) -> Tensor:
    """x with elements set to 0 at random, the others made larger by as much.

    keep_prob: the chance to be kept, a number or a tensor; or `rate`, the chance to be dropped.
    """
    x = given(x)
    if (keep_prob is None) is (rate is None):
        raise ArgumentError("dropout", "it takes either keep_prob or rate", x=type_of(x))
    keep = 1 - rate if keep_prob is None else keep_prob
    source = None if seed is None else generators.Generator(seed=seed)
    sizes = tuple(x.array.shape) if noise_shape is None else tuple(noise_shape)
    drawn = random.rand(sizes, dtype=x.dtype, generator=source)
    return compare.where(drawn < keep, x / keep, 0.0)  # type: ignore[no-any-return]


def bias_add(value: Any, bias: Any, data_format: str = "NHWC", name: str | None = None) -> Tensor:
    """A number for each channel added."""
    value, bias = given(value), given(bias)
    if data_format == "NCHW":
        return value + bias.reshape((-1, *[1] * (value.array.ndim - 2)))
    return value + bias


def xw_plus_b(x: Any, weights: Any, biases: Any, name: str | None = None) -> Tensor:
    return matmul(x, weights) + given(biases)


def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares."""
    return reduce_sum(square(t)) / 2


def l2_normalize(
    x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None, dim: Any = None
) -> Tensor:
    x = given(x)
    along = dim if axis is None else axis
    return x * rsqrt(maximum(reduce_sum(square(x), along, keepdims=True), epsilon))


def moments(
    x: Any,
    axes: Any,
    shift: Any = None,
    name: str | None = None,
    keep_dims: bool | None = None,
    keepdims: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Mean and variance over axes."""
    x = given(x)
    keep = bool(keep_dims if keepdims is None else keepdims)
    center = reduce_mean(x, axes, keepdims=True)
    variance = reduce_mean(square(x - center), axes, keepdims=keep)
    return reduce_mean(x, axes, keepdims=keep), variance


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any,
    scale: Any,
    variance_epsilon: float,
    name: str | None = None,
) -> Tensor:
    factor = rsqrt(given(variance) + variance_epsilon)
    factor = factor if scale is None else factor * scale
    moved = (given(x) - mean) * factor
    return moved if offset is None else moved + offset


def embedding_lookup(params: Any, ids: Any, name: str | None = None, **_: Any) -> Tensor:
    """Rows of a table by number."""
    return gather(params, ids)


def in_top_k(predictions: Any, targets: Any, k: int, name: str | None = None) -> Tensor:
    """Whether fewer than k classes have a larger score than the right one."""
    scores = given(predictions)
    labels = given(targets)
    if k == 1:
        return argmax(scores, 1) == labels  # type: ignore[no-any-return]
    right = scores.gather(1, cast(labels, "int64").unsqueeze(1))  # type: ignore[attr-defined]
    return reduce_sum(cast(scores > right, "int32"), 1) < k  # type: ignore[no-any-return]


# ---- losses --------------------------------------------------------------------------------------


def softmax_cross_entropy_with_logits(
    _sentinel: Any = None,
    labels: Any = None,
    logits: Any = None,
    dim: int = -1,
    name: str | None = None,
    axis: int | None = None,
) -> Tensor:
    """-sum(labels * log_softmax(logits)) of each row; the labels have no gradient."""
    _by_name("softmax_cross_entropy_with_logits", _sentinel, labels, logits)
    return softmax_cross_entropy_with_logits_v2(
        given(labels).detach(),  # type: ignore[attr-defined]
        logits,
        dim if axis is None else axis,
    )


def softmax_cross_entropy_with_logits_v2(
    labels: Any, logits: Any, axis: int = -1, name: str | None = None, dim: int | None = None
) -> Tensor:
    """The same, with a gradient for the labels too."""
    labels, logits = given(labels), given(logits)
    same_shape("softmax_cross_entropy_with_logits", labels, logits)
    along = axis if dim is None else dim
    return -reduce_sum(labels * normalize.log_softmax(logits, along), along)


def sparse_softmax_cross_entropy_with_logits(
    _sentinel: Any = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """Cross entropy of each row with a class by number."""
    _by_name("sparse_softmax_cross_entropy_with_logits", _sentinel, labels, logits)
    labels, logits = given(labels), given(logits)
    flat = reshape(logits, (-1, logits.array.shape[-1]))
    loss = class_functions.cross_entropy(
        flat, cast(reshape(labels, (-1,)), "int64"), reduction="none"
    )
    return reshape(loss, labels.array.shape)


def sigmoid_cross_entropy_with_logits(
    _sentinel: Any = None, labels: Any = None, logits: Any = None, name: str | None = None
) -> Tensor:
    """Cross entropy of each element with a chance."""
    _by_name("sigmoid_cross_entropy_with_logits", _sentinel, labels, logits)
    labels, logits = given(labels), given(logits)
    same_shape("sigmoid_cross_entropy_with_logits", labels, logits)
    return loss_functions.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _by_name(op: str, first: Any, labels: Any, logits: Any) -> None:
    if first is not None or labels is None or logits is None:
        raise ArgumentError(op, "its arguments have names", hint=f"{op}(labels=..., logits=...)")


def same_shape(op: str, labels: Tensor, logits: Tensor) -> None:
    """Raise ShapeError unless both have the same sizes, as far as they are known."""
    a, b = tuple(labels.array.shape), tuple(logits.array.shape)
    known = [(n, m) for n, m in zip(a, b, strict=False) if not (is_symbol(n) or is_symbol(m))]
    if len(a) != len(b) or any(n != m for n, m in known):
        raise ShapeError(
            op, "labels and logits differ in shape", labels=type_of(labels), logits=type_of(logits)
        )


# ---- images --------------------------------------------------------------------------------------


def conv2d(
    input: Any,
    filter: Any = None,
    strides: Any = None,
    padding: Any = None,
    use_cudnn_on_gpu: bool = True,
    data_format: str = "NHWC",
    dilations: Any = (1, 1, 1, 1),
    name: str | None = None,
    filters: Any = None,
) -> Tensor:
    """Images (n, h, w, c) with filters (kh, kw, c, out); padding "SAME" or "VALID"."""
    x, weight = given(input), given(filter if filters is None else filters)
    step, spread = _pair("conv2d", strides, data_format), _pair("conv2d", dilations, data_format)
    field = [(n - 1) * d + 1 for n, d in zip(weight.array.shape[:2], spread, strict=True)]
    image, around = _padded("conv2d", _first(x, data_format), field, step, padding, 0.0)
    made = spatial_functions.conv2d(
        image, transpose(weight, (3, 2, 0, 1)), stride=step, padding=around, dilation=spread
    )
    return _last(made, data_format)


def max_pool(
    value: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """The largest of each window."""
    size = _pair("max_pool", ksize, data_format)
    step = _pair("max_pool", strides, data_format)
    image = _first(given(value), data_format)
    image, around = _padded("max_pool", image, size, step, padding, float("-inf"))
    return _last(spatial_functions.max_pool2d(image, size, step, around), data_format)


def avg_pool(
    value: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """The mean of each window; what is padded does not count."""
    size = _pair("avg_pool", ksize, data_format)
    step = _pair("avg_pool", strides, data_format)
    image = _first(given(value), data_format)
    shape = (1, 1, *image.array.shape[2:])
    wide, around = _padded("avg_pool", image, size, step, padding, 0.0)
    made = spatial_functions.avg_pool2d(wide, size, step, around)
    if wide is not image or around != (0, 0):
        real, _ = _padded("avg_pool", ones(shape, dtype=image.dtype), size, step, padding, 0.0)
        made = made / spatial_functions.avg_pool2d(real, size, step, around)
    return _last(made, data_format)


def _pair(op: str, sizes: Any, data_format: str) -> tuple[int, int]:
    """Height and width of four numbers, or of fewer."""
    if isinstance(sizes, int):
        return sizes, sizes
    found = [int(n) for n in sizes]
    if len(found) == 4:
        planes = found[1:3] if data_format == "NHWC" else found[2:]
        others = (found[0], found[3]) if data_format == "NHWC" else tuple(found[:2])
        if others != (1, 1):
            raise ArgumentError(op, f"{found}: the batch and the channels are not windowed")
        found = planes
    return (found[0], found[0]) if len(found) == 1 else (found[0], found[1])


def _padded(
    op: str, image: Tensor, size: Sequence[int], step: Sequence[int], padding: Any, value: float
) -> tuple[Tensor, tuple[int, int]]:
    """The image as wide as "SAME" wants it, and the padding that is left to the kernel."""
    if padding == "VALID":
        return image, (0, 0)
    if padding != "SAME":
        raise ArgumentError(op, f"padding is {padding!r}", hint='"SAME" or "VALID"')
    sides = []
    for length, window, stride in zip(image.array.shape[2:], size, step, strict=True):
        if not isinstance(length, int) and stride != 1:
            raise ArgumentError(
                op, '"SAME" with strides needs sizes that are known', image=type_of(image)
            )
        turns = length if stride == 1 else -(-length // stride)
        total = window - 1 if stride == 1 else max((turns - 1) * stride + window - length, 0)
        sides.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = sides
    if top == bottom and left == right and 2 * top <= size[0] and 2 * left <= size[1]:
        return image, (top, left)
    return pad(image, [left, right, top, bottom], value=value), (0, 0)


def _first(x: Tensor, data_format: str) -> Tensor:
    """Channels before height and width."""
    return x if data_format == "NCHW" else transpose(x, (0, 3, 1, 2))


def _last(x: Tensor, data_format: str) -> Tensor:
    return x if data_format == "NCHW" else transpose(x, (0, 2, 3, 1))
