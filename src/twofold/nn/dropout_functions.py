"""Dropout as functions. Floor 10. The masks come from the default stream of random numbers."""

from __future__ import annotations

import math

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.elementwise import add, mul
from twofold.ops.guarding import guard
from twofold.ops.random import dropout_mask
from twofold.ops.stand_in import device_of
from twofold.ops.tensor import Tensor, type_of

# SELU goes to -ALPHA: what dropped units become, before scale and shift restore mean and variance.
ALPHA = 1.7580993408473766


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 - p), while training."""
    return _dropped("dropout", input, p, training, inplace, input.array.shape)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of f[N, C, L] or f[C, L]."""
    return _dropped("dropout1d", input, p, training, inplace, _channels("dropout1d", input, 2, 3))


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of f[N, C, H, W]; f[N, C, L] is taken as dropout1d takes it, as in
    PyTorch.
    """
    shape = input.array.shape
    if len(shape) < 3:
        raise ShapeError("dropout2d", "4 axes are wanted", hint="dropout", input=type_of(input))
    kept = (*shape[:2], *(1,) * (len(shape) - 2))
    return _dropped("dropout2d", input, p, training, inplace, kept)


def dropout3d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """Zero whole channels of f[N, C, D, H, W] or f[C, D, H, W]."""
    return _dropped("dropout3d", input, p, training, inplace, _channels("dropout3d", input, 4, 5))


def _channels(op: str, x: Tensor, alone: int, batched: int) -> tuple[int, ...]:
    """The shape of one number for each channel."""
    shape = x.array.shape
    if len(shape) not in (alone, batched):
        hint = "dropout"
        raise ShapeError(op, f"{alone} or {batched} axes are wanted", hint=hint, input=type_of(x))
    lead = 1 if len(shape) == alone else 2
    return (*shape[:lead], *(1,) * (len(shape) - lead))


def check_probability(op: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ArgumentError(op, f"p = {p} is not a probability", hint="p from 0 to 1")


def _dropped(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    check_probability(op, p)
    if not training or p == 0:
        return x
    mask = dropout_mask(shape, x.dtype, p, device=device_of(x))
    return x.mul_(mask) if inplace else mul(x, mask)  # type: ignore[attr-defined]


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean and variance of SELU's outputs (Klambauer et al. 2017)."""
    return _alpha("alpha_dropout", input, p, training, inplace, input.array.shape)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """The same for whole channels of f[N, C, ...]."""
    shape = input.array.shape
    kept = (*shape[:2], *(1,) * (len(shape) - 2))
    return _alpha("feature_alpha_dropout", input, p, training, inplace, kept)


def _alpha(
    op: str, x: Tensor, p: float, training: bool, inplace: bool, shape: tuple[int, ...]
) -> Tensor:
    check_probability(op, p)
    if not training or p == 0:
        return x
    if p == 1:
        made = mul(x, 0.0)
    else:
        scale = 1 / math.sqrt((ALPHA * ALPHA * p + 1) * (1 - p))
        kept = mul(dropout_mask(shape, x.dtype, p, device=device_of(x)), 1 - p)
        shift = mul(add(kept, p - 1), ALPHA * scale)
        made = add(mul(x, mul(kept, scale)), shift)
    return x.copy_(made) if inplace else made  # type: ignore[attr-defined]


guard(globals())
