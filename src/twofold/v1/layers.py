"""Layers that make their own variables, as tf.layers: `dense`, `conv2d` and their kin. Floor 13.

A layer's variables are `kernel` and `bias` in a scope of its name, else of its kind ("dense",
"dense_1", ...). With `reuse=True`, or in a scope that is reused, they are those that are there.
"""

from __future__ import annotations

from math import prod
from typing import Any

from twofold.base.errors import ShapeError
from twofold.base.symbols import Symbol
from twofold.frontends import control, session
from twofold.nn import spatial_functions
from twofold.ops.padding import pad
from twofold.ops.tensor import Tensor, type_of
from twofold.v1 import functions, start
from twofold.v1.arrays import matmul, reshape, transpose, where
from twofold.v1.state import add_to_collection, get_variable, given, names, variable_scope

Made = Any  # an activation, an initializer, a regularizer: a function


def scope_of(name: str | None, kind: str, reuse: Any) -> Any:
    """The scope of a layer's variables."""
    return variable_scope(name or names().layer(kind), reuse=reuse)


def width_of(op: str, x: Tensor, axis: int = -1) -> int:
    """The size of an axis, of which weights depend."""
    size = x.array.shape[axis]
    if isinstance(size, Symbol) or not isinstance(size, int):
        raise ShapeError(op, f"the size of axis {axis} is not known", inputs=type_of(x))
    return size


def bias_of(units: int, x: Tensor, initializer: Made, regularizer: Made, trainable: bool) -> Any:
    """The `bias` of the open scope, zeros at first if nothing else is wanted."""
    first = initializer or start.zeros_initializer()
    return get_variable("bias", [units], x.dtype, first, regularizer, trainable)


def finish(made: Tensor, activation: Made, regularizer: Made = None) -> Tensor:
    if regularizer is not None:
        add_to_collection("regularization_losses", regularizer(made))
    return made if activation is None else activation(made)


# ---- dense ---------------------------------------------------------------------------------------


def dense(
    inputs: Any,
    units: int,
    activation: Made = None,
    use_bias: bool = True,
    kernel_initializer: Made = None,
    bias_initializer: Made = None,
    kernel_regularizer: Made = None,
    bias_regularizer: Made = None,
    activity_regularizer: Made = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Tensor:
    """activation(inputs kernel + bias), over the last axis. Raises ShapeError where its size is not
    known.
    """
    x = given(inputs)
    wide = width_of("dense", x)
    with scope_of(name, "dense", reuse):
        kernel = get_variable(
            "kernel", [wide, units], x.dtype, kernel_initializer, kernel_regularizer, trainable
        )
        made = matmul(x, kernel) if x.array.ndim == 2 else x @ kernel
        if use_bias:
            made = made + bias_of(units, x, bias_initializer, bias_regularizer, trainable)
    return finish(made, activation, activity_regularizer)


def flatten(inputs: Any, name: str | None = None, **_: Any) -> Tensor:
    """All axes but the first as one."""
    x = given(inputs)
    wide = prod(width_of("flatten", x, axis) for axis in range(1, x.array.ndim))
    return reshape(x, (-1, wide))


def dropout(
    inputs: Any,
    rate: Any = 0.5,
    noise_shape: Any = None,
    seed: int | None = None,
    training: Any = False,
    name: str | None = None,
) -> Tensor:
    """functions.dropout while `training`, which may be a tensor."""
    x = given(inputs)

    def dropped() -> Tensor:
        return functions.dropout(x, noise_shape=noise_shape, seed=seed, rate=rate)

    if isinstance(training, Tensor):
        return control.cond(training, dropped, lambda: x.clone())
    return dropped() if training else x


# ---- images --------------------------------------------------------------------------------------


def _two(sizes: Any) -> tuple[int, int]:
    return (sizes, sizes) if isinstance(sizes, int) else (int(sizes[0]), int(sizes[1]))


def _four(sizes: Any, data_format: str) -> list[int]:
    high, wide = _two(sizes)
    return [1, 1, high, wide] if data_format == "channels_first" else [1, high, wide, 1]


def _letters(data_format: str) -> str:
    return "NCHW" if data_format == "channels_first" else "NHWC"


def conv2d(
    inputs: Any,
    filters: int,
    kernel_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str = "channels_last",
    dilation_rate: Any = (1, 1),
    activation: Made = None,
    use_bias: bool = True,
    kernel_initializer: Made = None,
    bias_initializer: Made = None,
    kernel_regularizer: Made = None,
    bias_regularizer: Made = None,
    activity_regularizer: Made = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Tensor:
    """Images with filters of their own; padding "valid" or "same"."""
    x, letters = given(inputs), _letters(data_format)
    channels = width_of("conv2d", x, letters.index("C"))
    with scope_of(name, "conv2d", reuse):
        shape = [*_two(kernel_size), channels, filters]
        kernel = get_variable(
            "kernel", shape, x.dtype, kernel_initializer, kernel_regularizer, trainable
        )
        steps, spread = _four(strides, data_format), _four(dilation_rate, data_format)
        made = functions.conv2d(x, kernel, steps, padding.upper(), True, letters, spread)
        if use_bias:
            options = (bias_initializer, bias_regularizer, trainable)
            made = functions.bias_add(made, bias_of(filters, x, *options), letters)
    return finish(made, activation, activity_regularizer)


def conv2d_transpose(
    inputs: Any,
    filters: int,
    kernel_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str = "channels_last",
    activation: Made = None,
    use_bias: bool = True,
    kernel_initializer: Made = None,
    bias_initializer: Made = None,
    kernel_regularizer: Made = None,
    bias_regularizer: Made = None,
    activity_regularizer: Made = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Tensor:
    """The gradient of a convolution by its input as a layer: "same" makes images `strides` times as
    large, "valid" as large as all windows need.
    """
    x, letters = given(inputs), _letters(data_format)
    channels = width_of("conv2d_transpose", x, letters.index("C"))
    size, step = _two(kernel_size), _two(strides)
    with scope_of(name, "conv2d_transpose", reuse):
        shape = [*size, filters, channels]
        kernel = get_variable(
            "kernel", shape, x.dtype, kernel_initializer, kernel_regularizer, trainable
        )
        images = x if letters == "NCHW" else transpose(x, (0, 3, 1, 2))
        made = spatial_functions.conv_transpose2d(
            images, transpose(kernel, (3, 2, 0, 1)), stride=step
        )
        for axis, (window, stride) in enumerate(zip(size, step, strict=True), 2):
            length = images.array.shape[axis]
            if padding.upper() == "SAME":  # of what is too much, the smaller half lies before
                wanted, over = length * stride, max(window - stride, 0)
                made = _wide(made, axis, over // 2, wanted)
            elif window < stride:
                made = _wide(made, axis, 0, length * stride)
        made = made if letters == "NCHW" else transpose(made, (0, 2, 3, 1))
        if use_bias:
            options = (bias_initializer, bias_regularizer, trainable)
            made = functions.bias_add(made, bias_of(filters, x, *options), letters)
    return finish(made, activation, activity_regularizer)


def _wide(x: Tensor, axis: int, begin: int, length: Any) -> Tensor:
    """`length` of an axis from `begin` on, with zeros behind where there is less."""
    missing = begin + length - x.array.shape[axis]
    if isinstance(missing, int) and missing > 0:
        x = pad(x, [0, missing] if axis == 3 else [0, 0, 0, missing])
    return x.narrow(axis, begin, length)


def max_pooling2d(
    inputs: Any,
    pool_size: Any,
    strides: Any,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """The largest of each window."""
    sizes, steps = _four(pool_size, data_format), _four(strides, data_format)
    return functions.max_pool(inputs, sizes, steps, padding.upper(), _letters(data_format))


def average_pooling2d(
    inputs: Any,
    pool_size: Any,
    strides: Any,
    padding: str = "valid",
    data_format: str = "channels_last",
    name: str | None = None,
) -> Tensor:
    """The mean of each window."""
    sizes, steps = _four(pool_size, data_format), _four(strides, data_format)
    return functions.avg_pool(inputs, sizes, steps, padding.upper(), _letters(data_format))


# ---- normalisation -------------------------------------------------------------------------------


def batch_normalization(
    inputs: Any,
    axis: int = -1,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Made = None,
    gamma_initializer: Made = None,
    moving_mean_initializer: Made = None,
    moving_variance_initializer: Made = None,
    training: Any = False,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **_: Any,
) -> Tensor:
    """Numbers of each channel with mean 0 and variance 1: those of the batch while `training`
    (which may be a tensor), else the moving ones, whose updates are in the collection "update_ops".
    """
    x = given(inputs)
    axis %= x.array.ndim
    wide = width_of("batch_normalization", x, axis)
    zeros, ones = start.zeros_initializer(), start.ones_initializer()
    with scope_of(name, "batch_normalization", reuse):

        def own(label: str, first: Made, trains: bool) -> Any:
            return get_variable(label, [wide], x.dtype, first, trainable=trains)

        gamma = own("gamma", gamma_initializer or ones, trainable) if scale else None
        beta = own("beta", beta_initializer or zeros, trainable) if center else None
        mean = own("moving_mean", moving_mean_initializer or zeros, False)
        variance = own("moving_variance", moving_variance_initializer or ones, False)
    others = [n for n in range(x.array.ndim) if n != axis]
    now = functions.moments(x, others)
    used = [_chosen(training, a, b) for a, b in zip(now, (mean, variance), strict=True)]
    if isinstance(training, Tensor) or training:
        for kept, new in zip((mean, variance), used, strict=True):
            moved = kept + (new.detach() - kept) * (1 - momentum)
            add_to_collection("update_ops", session.assign(kept, moved))
    lie = [-1 if n == axis else 1 for n in range(x.array.ndim)]
    parts = [None if p is None else p.reshape(lie) for p in (*used, beta, gamma)]
    return functions.batch_normalization(x, *parts, epsilon)


def _chosen(training: Any, batch: Tensor, moving: Any) -> Tensor:
    if isinstance(training, Tensor):
        return where(training, batch, moving)
    return batch if training else moving
