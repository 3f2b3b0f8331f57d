"""Batch, group, instance and local response normalisation as functions. Floor 10."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.base.symbols import is_symbol, maximum, minimum
from twofold.nn.spatial_functions import avg_pool2d
from twofold.ops.bind import bind, mode, recording
from twofold.ops.compare import where
from twofold.ops.elementwise import add, cast, mul, true_divide
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.normalize import LAYER_NORM
from twofold.ops.norms import BATCH_NORM, WITH_MOMENTS
from twofold.ops.padding import pad
from twofold.ops.rules import constant
from twofold.ops.stand_in import stands_in, unsloped
from twofold.ops.statistics import var_mean
from twofold.ops.tensor import Array, Tensor, type_of
from twofold.ops.transcendental import pow
from twofold.ops.writing import overwrite

FULL = (dtypes.float32, dtypes.float64)


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
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of f[N, C, ...]
    (Ioffe, Szegedy 2015).

    In training the batch's own moments are used, and the running ones move towards them in place.
    """
    if input.array.ndim < 2:
        raise ShapeError(
            "batch_norm", "there is no channel axis", hint="[N, C, ...]", input=type_of(input)
        )
    if input.array.dtype.kind in "bui":
        raise DTypeError(
            "batch_norm", f"{input.dtype.name} is not taken", hint="x.float()", input=type_of(input)
        )
    channels = input.array.shape[1]
    given = {"running_mean": running_mean, "running_var": running_var}
    _check_channels("batch_norm", input, given | {"weight": weight, "bias": bias})
    scale = cast(weight, input.dtype) if weight is not None else input.new_ones(channels)  # type: ignore[attr-defined]
    shift = cast(bias, input.dtype) if bias is not None else input.new_zeros(channels)  # type: ignore[attr-defined]
    if not training:
        if running_mean is None or running_var is None:
            raise ArgumentError(
                "batch_norm", "evaluation needs running_mean and running_var", hint="training=True"
            )
        moments = (cast(running_mean, input.dtype), cast(running_var, input.dtype))
        return bind(WITH_MOMENTS, (input, *moments, scale, shift), (float(eps),))  # type: ignore[no-any-return]
    count = input.array.size // max(channels, 1)
    if count == 1:
        raise ShapeError(
            "batch_norm",
            "one value per channel has no variance",
            hint="a larger batch, or model.eval()",
            input=type_of(input),
        )
    made, mean, var = bind(BATCH_NORM, (input, scale, shift), (float(eps),))
    # An empty batch has no moments, and leaves the running ones as they are.
    if running_mean is not None and running_var is not None and count != 0:
        _follow(running_mean, unsloped(mean), momentum, count)
        _follow(running_var, unsloped(var), momentum, count, count / maximum(count - 1, 1))
    return made  # type: ignore[no-any-return]


def _check_channels(op: str, x: Tensor, given: dict[str, Tensor | None]) -> None:
    """Raise ShapeError for a tensor that is not one number for each channel."""
    channels = x.array.shape[1]
    for name, value in given.items():
        if value is not None and value.array.shape != (channels,):
            raise ShapeError(
                op,
                f"the input has {channels} channels",
                hint=f"{name} of shape [{channels}]",
                input=type_of(x),
                **{name: type_of(value)},
            )


def _follow(running: Tensor, value: Tensor, momentum: Any, count: Any, factor: Any = 1.0) -> None:
    """running = (1 - momentum) * running + momentum * factor * value, if there are values at all.

    momentum: a number, or f64[] where only a run of a graph knows it.
    """
    if not is_symbol(count) and not count:
        return
    if mode.capture is None and not (stands_in(value.array) or stands_in(running.array)):
        if _moves_in_place(running, value):
            share = mul(value.detach(), factor)  # type: ignore[attr-defined]
            running.mul_(1 - momentum).add_(mul(share, momentum))  # type: ignore[attr-defined]
        else:
            _move(running, value.array, momentum, factor)
        return
    wide = running.dtype if running.dtype in FULL else dtypes.float32
    with recording(False):
        before, new = cast(running, wide), value.detach()  # type: ignore[attr-defined]
        new = cast(mul(new if new.dtype in FULL else cast(new, wide), factor), wide)
        kept, share = 1.0 - momentum, momentum
        if isinstance(momentum, Tensor):
            kept, share = cast(kept, wide), cast(momentum, wide)
        made = add(mul(before, kept), mul(new, share))
        if is_symbol(count):
            made = where(constant(minimum(count, 1), dtypes.bool_), made, before)
        overwrite(running, cast(made, running.dtype).array, "batch_norm")


def _moves_in_place(running: Tensor, value: Tensor) -> bool:
    """Whether the running numbers may be written where they lie, by steps that round as `_move`."""
    before, flags = running.array, running.array.flags
    alike = before.dtype is value.array.dtype and before.dtype.char in "fd"
    plain = alike and flags.writeable and flags.c_contiguous and mode.interpreter is None
    return plain and not running.tracked


def _move(running: Tensor, value: Array, momentum: float, factor: float) -> None:
    """The same on arrays, in fewer steps."""
    before, new = _numbers(running.array), _numbers(value)
    kind = before.dtype.type
    share = (new * new.dtype.type(factor)).astype(kind, copy=False)
    made = kind(1 - momentum) * before + kind(momentum) * share
    overwrite(running, dtypes.convert(np.asarray(made), running.dtype), "batch_norm")


def _numbers(array: Array) -> Array:
    """The values in float32 where they are shorter."""
    if array.dtype == dtypes.BFLOAT16:
        return dtypes.to_float32(array)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each group of channels of each sample of f[N, C, ...] (Wu, He 2018)."""
    shape = input.array.shape
    if len(shape) < 2:
        raise ShapeError(
            "group_norm", "there is no channel axis", hint="[N, C, ...]", input=type_of(input)
        )
    if num_groups < 1 or shape[1] % num_groups:
        raise ArgumentError(
            "group_norm",
            f"{shape[1]} channels do not split into {num_groups} groups",
            hint="a number of groups that divides the channels",
            input=type_of(input),
        )
    _check_channels("group_norm", input, {"weight": weight, "bias": bias})
    grouped = reshape(input, (shape[0], num_groups, math.prod(shape[1:]) // num_groups))
    made = reshape(bind(LAYER_NORM, (grouped,), (1, float(eps))), shape)
    wide = (1, shape[1], *(1,) * (len(shape) - 2))
    if weight is not None:
        made = mul(made, reshape(weight, wide))
    return made if bias is None else add(made, reshape(bias, wide))


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
    given = {"running_mean": running_mean, "running_var": running_var}
    _check_channels("instance_norm", input, given | {"weight": weight, "bias": bias})
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(input.array.shape[2:])
    if count == 1:
        raise ShapeError(
            "instance_norm",
            "one value per channel has no variance",
            hint="a larger image",
            input=type_of(input),
        )
    if running_mean is not None and running_var is not None:
        axes = tuple(range(2, input.array.ndim))
        with recording(False):
            var, mean = var_mean(input, axes, correction=0)
            var, mean = var.mean(0), mean.mean(0)
        whole = input.array.size
        _follow(running_mean, unsloped(mean), momentum, whole)
        _follow(running_var, unsloped(var), momentum, whole, count / maximum(count - 1, 1))
    return group_norm(input, input.array.shape[1], weight, bias, eps)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """input / (k + alpha * mean of the squares of `size` neighbouring channels) ^ beta
    (Krizhevsky et al. 2012). f[N, C, ...].
    """
    shape = input.array.shape
    if len(shape) < 3:
        raise ShapeError("local_response_norm", "3 axes or more are wanted", input=type_of(input))
    if not input.array.size:
        return input
    planes = reshape(mul(input, input), (shape[0], 1, shape[1], math.prod(shape[2:])))
    padded = pad(planes, (0, 0, size // 2, (size - 1) // 2))
    mean = reshape(avg_pool2d(padded, (size, 1), 1), shape)
    return true_divide(input, pow(add(mul(mean, alpha), k), beta))


guard(globals())
