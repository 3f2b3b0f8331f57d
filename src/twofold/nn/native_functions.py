"""Normalisations with their moments, dropout with its mask: PyTorch's `native_` ones. Floor 10.

What `twofold.native_layer_norm(...)` and its kin give besides the result is what a gradient written
by hand needs. They can be differentiated as a whole.
"""

from __future__ import annotations

import math
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.nn.normalization_functions import batch_norm, group_norm
from twofold.ops.compare import ne
from twofold.ops.creation import zeros
from twofold.ops.creation_like import ones_like
from twofold.ops.elementwise import add, mul, rsqrt
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.normalize import layer_norm
from twofold.ops.random import dropout_mask
from twofold.ops.stand_in import device_of
from twofold.ops.statistics import var_mean
from twofold.ops.tensor import Tensor, type_of

Three = tuple[Tensor, Tensor, Tensor]


def _moments(x: Tensor, axes: tuple[int, ...], eps: float, keepdim: bool) -> tuple[Tensor, Tensor]:
    """The mean over axes, and 1 / sqrt(variance + eps)."""
    var, mean = var_mean(x, axes, correction=0, keepdim=keepdim)
    return mean, rsqrt(add(var, eps))


def native_layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Three:
    """`layer_norm`, with the mean and 1 / sqrt(var + eps) of each row, kept with axes of size 1."""
    made = layer_norm(input, normalized_shape, weight, bias, eps)
    rank = 1 if isinstance(normalized_shape, int) else len(normalized_shape)
    ndim = input.array.ndim
    return made, *_moments(input, tuple(range(ndim - rank, ndim)), eps, True)


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> Three:
    """`group_norm` of N samples of C channels of HxW numbers, with the moments of each group."""
    if N * C * HxW != input.array.size:
        problem = f"N * C * HxW is {N * C * HxW}, not the number of elements"
        raise ArgumentError("native_group_norm", problem, input=type_of(input))
    shape = input.array.shape
    made = reshape(group_norm(reshape(input, (N, C, HxW)), group, weight, bias, eps), shape)
    grouped = reshape(input, (N, group, C // group * HxW))
    return made, *_moments(grouped, (2,), eps, False)


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Three:
    """`batch_norm`, with the batch's moments by channel in training, else two empty tensors."""
    if running_mean is None and running_var is None:
        training = True
    made = batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    if not training:
        return made, zeros(0, dtype=input.dtype), zeros(0, dtype=input.dtype)
    axes = tuple(axis for axis in range(input.array.ndim) if axis != 1)
    return made, *_moments(input, axes, eps, False)


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """Dropout, and the mask bool[...] of what was kept."""
    if not 0 <= p <= 1:
        raise ArgumentError("native_dropout", f"p is {p}", hint="0 to 1")
    if train is False or not math.prod(input.array.shape):
        return input, ones_like(input, dtype=dtypes.bool_)
    mask = dropout_mask(input.array.shape, input.dtype, p, device=device_of(input))
    return mul(input, mask), ne(mask, 0)


guard(globals())
