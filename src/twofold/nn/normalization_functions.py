"""Batch, group and instance normalisation as functions. Floor 10."""

from __future__ import annotations

import math
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.bind import bind
from twofold.ops.normalize import normalised
from twofold.ops.norms import BATCH_NORM
from twofold.ops.tensor import Tensor, type_of


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of f[N, C, ...] (Ioffe, Szegedy
    2015).

    In training the batch's own moments are used, and the running ones move towards them in place.
    """
    channels = input.array.shape[1]
    for name, value in (("running_mean", running_mean), ("weight", weight), ("bias", bias)):
        if value is not None and value.array.shape != (channels,):
            raise ShapeError(
                "batch_norm",
                f"the input has {channels} channels",
                input=type_of(input),
                **{name: type_of(value)},
            )
    wide = (1, channels, *(1,) * (input.array.ndim - 2))
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm", "evaluation needs running_mean and running_var", hint="training=True"
            )
        return _with_moments(input, running_mean, running_var, weight, bias, eps, wide)
    count = input.array.size // max(channels, 1)
    if count == 1:
        raise ShapeError(
            "batch_norm",
            "one value per channel has no variance",
            hint="a larger batch",
            input=type_of(input),
        )
    scale = weight if weight is not None else input.new_ones(channels)  # type: ignore[attr-defined]
    shift = bias if bias is not None else input.new_zeros(channels)  # type: ignore[attr-defined]
    made, mean, var = bind(BATCH_NORM, (input, scale, shift), (float(eps),))
    if running_mean is not None and running_var is not None:
        _move(running_mean, mean.array, momentum)
        _move(running_var, var.array * (count / (count - 1)), momentum)
    return made  # type: ignore[no-any-return]


def _move(running: Tensor, value: Any, momentum: float) -> None:
    """running += momentum * (value - running), as PyTorch computes it."""
    kind = running.array.dtype.type
    running.array[...] = kind(1 - momentum) * running.array + kind(momentum) * value.astype(
        running.array.dtype
    )
    running.version += 1


def _with_moments(
    x: Tensor, mean: Tensor, var: Tensor, weight: Any, bias: Any, eps: float, wide: tuple[int, ...]
) -> Tensor:
    """x * a + b with a and b per channel: two passes over x at most."""
    a: Any = (var + eps).rsqrt()  # type: ignore[operator]
    a = a if weight is None else a * weight
    b = -mean * a if bias is None else bias - mean * a  # type: ignore[operator]
    return x * a.reshape(wide) + b.reshape(wide)  # type: ignore[operator, no-any-return]


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group of channels of each sample of f[N, C, ...] (Wu, He 2018)."""
    shape = input.array.shape
    if shape[1] % num_groups:
        raise ArgumentError(
            "group_norm", f"{shape[1]} channels do not split into {num_groups} groups"
        )
    grouped = input.reshape(shape[0], num_groups, -1)  # type: ignore[attr-defined]
    made, _ = normalised(grouped, (2,), eps)
    made = made.reshape(shape)  # type: ignore[attr-defined]
    wide = (1, shape[1], *(1,) * (len(shape) - 2))
    if weight is not None:
        made = made * weight.reshape(wide)  # type: ignore[attr-defined, operator]
    return made if bias is None else made + bias.reshape(wide)  # type: ignore[attr-defined, operator, no-any-return]


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample by its own moments (Ulyanov et al. 2016)."""
    channels = input.array.shape[1]
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is not None and running_var is not None:
        axes = tuple(range(2, input.array.ndim))
        count = math.prod(input.array.shape[2:])
        _move(running_mean, input.array.mean(axis=axes).mean(axis=0), momentum)
        _move(
            running_var,
            (input.array.var(axis=axes) * (count / max(count - 1, 1))).mean(axis=0),
            momentum,
        )
    return group_norm(input, channels, weight, bias, eps)
