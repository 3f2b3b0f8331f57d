"""Numbers as they come back from a few bits, for training that expects it. Floor 4.

x is rounded to whole multiples of a scale and kept in a range; the gradient passes straight through
where it is in range (Bengio et al. 2013), and is 0 elsewhere.
"""

from __future__ import annotations

from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.compare import clamp, ge, le, logical_and, where
from twofold.ops.creation import as_tensor as tensor_of
from twofold.ops.elementwise import add, cast, mul, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.rounding import round as nearest
from twofold.ops.rules import axis_of
from twofold.ops.tensor import Tensor, type_of

__all__ = ["fake_quantize_per_channel_affine", "fake_quantize_per_tensor_affine"]


def fake_quantize_per_tensor_affine(
    input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Tensor:
    """(clamp(round(x / scale) + zero_point, quant_min, quant_max) - zero_point) * scale.

    input f[...]; scale a number or f32[1], zero_point a whole number or i32[1]. Raises
    ArgumentError for an empty range.

    >>> fake_quantize_per_tensor_affine(tensor([0.26, 9.0]), 0.1, 0, -8, 7)
    tensor([0.3000, 0.7000])
    """
    return _fake("fake_quantize_per_tensor_affine", input, scale, zero_point, quant_min, quant_max)


def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """The same with a scale f32[C] and a zero_point i32[C] for each of the C slices along an axis.
    Raises ShapeError where there are not as many.
    """
    op = "fake_quantize_per_channel_affine"
    at = axis_of(op, axis, input)
    count = input.array.shape[at]
    if scale.array.shape != (count,) or zero_point.array.shape != (count,):
        facts: Any = {"scale": type_of(scale), "zero_point": type_of(zero_point)}
        hint = f"{count} of each, for axis {axis}"
        raise ShapeError(op, "one scale for each slice", hint=hint, input=type_of(input), **facts)
    shape = tuple([count if i == at else 1 for i in range(input.array.ndim)])
    scales, zeros = reshape(scale, shape), reshape(zero_point, shape)
    return _fake(op, input, scales, zeros, quant_min, quant_max)


def _fake(op: str, x: Tensor, scale: Any, zero_point: Any, low: int, high: int) -> Tensor:
    if low > high:
        raise ArgumentError(op, f"the range is {low} to {high}", hint="quant_min <= quant_max")
    one = tensor_of(scale, dtype=dtypes.float32).detach()  # type: ignore[attr-defined]
    zero = cast(tensor_of(zero_point).detach(), dtypes.float32)  # type: ignore[attr-defined]
    places = add(nearest(mul(x.detach(), true_divide(1.0, one))), zero)  # type: ignore[attr-defined]
    made = cast(mul(sub(clamp(places, low, high), zero), one), x.dtype)
    if not x.requires_grad:  # type: ignore[attr-defined]
        return made
    inside = logical_and(ge(places, low), le(places, high))
    return add(made, where(inside, sub(x, x.detach()), 0.0))  # type: ignore[attr-defined]


guard(globals())
