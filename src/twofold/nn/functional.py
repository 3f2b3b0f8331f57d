"""Layers as functions, under PyTorch's names. Floor 10."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from twofold.nn.normalization_functions import batch_norm, group_norm, instance_norm
from twofold.ops.attention import scaled_dot_product_attention
from twofold.ops.bind import bind
from twofold.ops.compare import where
from twofold.ops.composite import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
)
from twofold.ops.conv import convolution, transposed
from twofold.ops.elementwise import mul
from twofold.ops.indexing import TAKE, Here
from twofold.ops.joining import pad
from twofold.ops.linear import linear
from twofold.ops.normalize import layer_norm, log_softmax, rms_norm, softmax, softmin
from twofold.ops.pooling import avg_pool, max_pool
from twofold.ops.random import dropout_mask
from twofold.ops.reduce import sum
from twofold.ops.rules import as_tensor
from twofold.ops.statistics import norm
from twofold.ops.tensor import Tensor, type_of, wrap

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "bilinear",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "gelu",
    "glu",
    "group_norm",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "huber_loss",
    "instance_norm",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]


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
    made = avg_pool(
        "avg_pool2d", input, kernel_size, stride, padding, ceil_mode, count_include_pad, 2
    )
    if divisor_override is None:
        return made
    if padding or ceil_mode:
        raise ArgumentError(
            "avg_pool2d", "divisor_override goes with padding 0 and ceil_mode False here"
        )
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


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p), while training."""
    return _dropped(input, p, training, input.array.shape)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of f[N, C, L]."""
    return _dropped(input, p, training, (*input.array.shape[:-1], 1))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of f[N, C, H, W]."""
    return _dropped(input, p, training, (*input.array.shape[:-2], 1, 1))


def _dropped(x: Tensor, p: float, training: bool, shape: tuple[int, ...]) -> Tensor:
    if not 0 <= p <= 1:
        raise ArgumentError("dropout", f"p = {p} is not a probability", hint="p from 0 to 1")
    if not training or p == 0:
        return x
    return mul(x, dropout_mask(shape, x.dtype, p))


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of weight f[num, dim] by number: i64[...] -> f[..., dim]. Raises IndexRangeError for a
    bad number.
    """
    numbers = as_tensor(input, "embedding")
    if numbers.array.dtype.kind not in "iu":
        raise ArgumentError(
            "embedding",
            f"numbers are {numbers.dtype.name}",
            hint="input.long()",
            input=type_of(numbers),
        )
    if weight.array.ndim != 2:
        raise ShapeError("embedding", "weight is not a matrix", weight=type_of(weight))
    if numbers.array.size and not (
        numbers.array.min() >= 0 and numbers.array.max() < weight.array.shape[0]
    ):
        return weight[numbers]  # type: ignore[index, no-any-return]  # raises, naming the number
    if padding_idx is not None:
        weight = _without_gradient(weight, padding_idx)
    if numbers.array.dtype != np.int64:
        numbers = wrap(numbers.array.astype(np.int64))
    return bind(TAKE, (weight, numbers), ((Here(0),),))  # type: ignore[no-any-return]


def _without_gradient(weight: Tensor, row: int) -> Tensor:
    kept = np.ones((weight.array.shape[0], 1), np.bool_)
    kept[row] = False
    return where(wrap(kept), weight, weight.detach())  # type: ignore[attr-defined, no-any-return]


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1 f[..., a], weight f[o, a, b], input2 f[..., b] -> f[..., o]."""
    middle = input1.unsqueeze(-2).unsqueeze(-2) @ weight  # type: ignore[attr-defined]
    made = (middle.squeeze(-2) * input2.unsqueeze(-2)).sum(-1)  # type: ignore[attr-defined]
    return made if bias is None else made + bias  # type: ignore[no-any-return]


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """input / max(norm(input, p, dim), eps)."""
    length = norm(input, p, dim, True).clamp(min=eps)  # type: ignore[attr-defined]
    return input / length  # type: ignore[operator, no-any-return]


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|) along dim, each length held at eps at the least."""
    lengths = norm(x1, 2, dim).clamp(min=eps) * norm(x2, 2, dim).clamp(min=eps)  # type: ignore[attr-defined]
    return sum(mul(x1, x2), dim) / lengths  # type: ignore[operator, no-any-return]


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """i64[...] of class numbers -> i64[..., num_classes] of zeros and a one."""
    if tensor.array.dtype.kind not in "iu":
        raise ArgumentError("one_hot", f"classes are {tensor.dtype.name}", hint="tensor.long()")
    count = num_classes if num_classes >= 0 else int(tensor.array.max(initial=-1)) + 1
    if tensor.array.size and not (tensor.array.min() >= 0 and tensor.array.max() < count):
        raise ArgumentError(
            "one_hot", f"a class is not within 0 to {count - 1}", input=type_of(tensor)
        )
    return wrap((tensor.array[..., None] == np.arange(count)).astype(np.int64))
