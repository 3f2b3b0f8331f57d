"""Rows of a table by number, and numbers as rows. Floor 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from twofold.ops.bind import bind, mode, recording, remark, watched
from twofold.ops.compare import eq, gt, maximum, ne, where
from twofold.ops.convert import item
from twofold.ops.creation import arange
from twofold.ops.elementwise import abs, add, cast, mul, true_divide
from twofold.ops.gather import SCATTER
from twofold.ops.guarding import guard
from twofold.ops.indexing import PUT, TAKE, Here
from twofold.ops.movement import reshape
from twofold.ops.ranges import bind_in_range, in_range
from twofold.ops.reduce import sum
from twofold.ops.rules import as_tensor
from twofold.ops.sorting import most
from twofold.ops.source import known, ones_of, zeros_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.transcendental import pow
from twofold.ops.views import unsqueeze
from twofold.ops.writing import overwrite


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

    padding_idx: a row that gets no gradient. max_norm: rows that are longer are shortened first, in
    place. scale_grad_by_freq: a row's gradient is divided by how often it was read.
    """
    numbers = as_tensor(input, "embedding")
    if numbers.array.dtype.kind not in "iu":
        raise DTypeError(
            "embedding",
            f"numbers are {numbers.dtype.name}",
            hint="input.long()",
            input=type_of(numbers),
        )
    if weight.array.ndim != 2:
        raise ShapeError(
            "embedding", "weight is not a matrix", hint="f[num, dim]", weight=type_of(weight)
        )
    numbers = _checked_rows(cast(numbers, dtypes.int64), weight)
    if max_norm is not None:
        _shorten(weight, numbers, float(max_norm), norm_type)
    if padding_idx is not None:
        weight = _without_gradient(weight, padding_idx)
    if scale_grad_by_freq:
        weight = _divided_gradient(weight, numbers)
    return bind(TAKE, (weight, numbers), ((Here(0),),))  # type: ignore[no-any-return]


def _checked_rows(numbers: Tensor, weight: Tensor) -> Tensor:
    rows = weight.array.shape[0]

    def error(number: Any) -> Exception:
        return IndexRangeError(
            "embedding",
            f"number {number} is out of range",
            hint=f"numbers from 0 to {rows - 1}, or a larger num_embeddings",
            input=type_of(numbers),
            weight=type_of(weight),
        )

    return in_range(numbers, 0, rows, error)


def _without_gradient(weight: Tensor, row: int) -> Tensor:
    rows = weight.array.shape[0]
    kept = ne(unsqueeze(arange(rows), 1), row + rows if row < 0 else row)
    return where(kept, weight, weight.detach())  # type: ignore[attr-defined, no-any-return]


def _divided_gradient(weight: Tensor, numbers: Tensor) -> Tensor:
    """The same values, with gradients divided by the number of times that a row is read."""
    share = true_divide(1.0, maximum(_counts(weight, numbers), 1))
    scaled = mul(weight, unsqueeze(cast(share, weight.dtype), 1))
    return scaled + (weight - scaled).detach()  # type: ignore[operator, no-any-return]


def _shorten(weight: Tensor, numbers: Tensor, longest: float, norm_type: float) -> None:
    """Scale the rows that are read and longer than `longest` to that length, in place."""
    with recording(False):
        known = not (stands_in(weight.array) or stands_in(numbers.array))
        if mode.capture is not None or not known:
            made = where(
                unsqueeze(gt(_counts(weight, numbers), 0), 1),
                _shortened(weight, longest, norm_type),
                weight,
            ).array
        else:
            rows = np.unique(numbers.array)
            made = weight.array.copy()
            made[rows] = _shortened(wrap(made[rows]), longest, norm_type).array
        overwrite(weight, made, "embedding")


def _shortened(rows: Tensor, longest: float, norm_type: float) -> Tensor:
    lengths = pow(sum(pow(abs(rows), norm_type), 1, keepdim=True), 1 / norm_type)
    factor = where(gt(lengths, longest), true_divide(longest, add(lengths, 1e-7)), 1.0)
    return mul(rows, cast(factor, rows.dtype))


def _counts(weight: Tensor, numbers: Tensor) -> Tensor:
    """How often each row is read, f64[rows]."""
    places = reshape(numbers, (numbers.array.size,))
    storage = dtypes.float64.numpy
    zeros = zeros_of((weight.array.shape[0],), storage)
    ones = ones_of((numbers.array.size,), storage)
    return bind(PUT, (zeros, ones, cast(places, dtypes.int64)), ((Here(0),), True))  # type: ignore[no-any-return]


FEW_HOT = 4096  # elements: comparisons with all classes take no longer than zeros and a one


def _many_hot(numbers: Tensor, count: int, error: Callable[[Any], Exception]) -> Tensor:
    """Zeros, and a one for each number."""
    shape, axis = (*numbers.array.shape, count), numbers.array.ndim
    nothing = known(np.broadcast_to(np.int64(0), shape))
    one = known(np.broadcast_to(np.int64(1), (*shape[:-1], 1)))
    inputs = nothing, unsqueeze(numbers, -1), one
    made: Tensor = bind_in_range(SCATTER, inputs, (axis, ""), 1, 0, count, error)
    return made


def one_hot(tensor: Tensor, num_classes: int | Tensor = -1) -> Tensor:
    """i64[...] of class numbers -> i64[..., num_classes] of zeros and a one. Without num_classes,
    as many as the largest number asks for.
    """
    if tensor.array.dtype.kind not in "iu":
        raise DTypeError(
            "one_hot",
            f"classes are {tensor.dtype.name}",
            hint="tensor.long()",
            input=type_of(tensor),
        )
    count = item(num_classes) if isinstance(num_classes, Tensor) else num_classes
    if type(count) is int and count < 0:
        if type(tensor.array.size) is int and tensor.array.size == 0:
            problem, hint = "how many classes there are does not follow from none", "num_classes=10"
            raise ArgumentError("one_hot", problem, hint=hint, input=type_of(tensor))
        return one_hot(tensor, most(tensor, -1) + 1)

    def error(number: Any) -> Exception:
        return IndexRangeError(
            "one_hot",
            f"a class is not within 0 to {count - 1}",
            hint="a larger num_classes, or none",
            input=type_of(tensor),
        )

    numbers = cast(tensor, dtypes.int64)
    plain = mode.capture is None and (mode.interpreter is None or watched())
    if plain and type(tensor.array) is np.ndarray and tensor.array.size * count > FEW_HOT:
        return _many_hot(numbers, count, error)
    numbers = in_range(numbers, 0, count, error)
    classes = arange(count)
    remark("known", classes)
    return cast(eq(unsqueeze(numbers, -1), classes), dtypes.int64)


guard(globals())
