"""Which part of a tensor a call writes, and with what: `x[1] = y`, `x.copy_(y)`, `x.zero_()`.
Floor 7.

For calls whose values are of the tensor's own type and broadcast to the part, and that were made
without an error. What it is depends on layouts and plain arguments alone, so that exec/recall.py
may remember it for machine code (codegen/native/write.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.exec import recall
from twofold.ops.rules import constant
from twofold.ops.tensor import Array, Tensor

MOST = 1 << 15  # elements: more are copied by NumPy, in an order that suits their layouts
MOST_ALIKE = 1024  # elements that one number is stored in, one by one
NUMBERS = (int, float)
Part = tuple[dict[str, list[int]], dict[str, int], Tensor]


def find_part(python: Any, args: tuple[Any, ...]) -> Part | None:
    """What the record of such a call tells: its lists, its words, and the values written."""
    x = args[0]
    if type(x.array) is not np.ndarray or overlaps(x.array):
        return None
    found = PARTS[python](x, *args[1:])
    if found is None:
        return None
    part, given = found
    values = constant(given, x.dtype) if type(given) in NUMBERS else given
    if not isinstance(values, Tensor) or type(values.array) is not np.ndarray:
        return None
    wide = _broadcast(values.array, part.shape)
    if wide is None or values.array.dtype is not x.array.dtype or not 0 < part.size <= MOST:
        return None
    dims, to, by = joined(part.shape, part.strides, wide.strides)
    in_order = to == [part.itemsize] and part.itemsize in (4, 8)  # which vectors fill
    if part.size > MOST_ALIKE and not any(wide.strides) and not in_order:
        return None
    parts = {"dims_at": dims, "strides_at": to, "from_at": by}
    offset = part.ctypes.data - x.array.ctypes.data
    return parts, {"nd": len(dims), "offset": offset, "size": part.itemsize}, values


def _indexed(x: Tensor, key: Any, value: Any) -> tuple[Array, Any] | None:
    """The part that x[key] is, where it is a view: by whole numbers and slices."""
    keys = key if isinstance(key, tuple) else (key,)
    if any(type(k) not in (int, slice, type(None), type(...)) for k in keys):
        return None
    return x.array[(*keys, ...)] if ... not in keys else x.array[keys], value


def _whole(x: Tensor, value: Any = 0, *more: Any) -> tuple[Array, Any] | None:
    return None if more else (x.array, value)


# By the functions as they were at first: machine code may stand before them in their modules now.
PARTS: dict[Any, Callable[..., tuple[Array, Any] | None]] = dict(
    zip(recall.PARTS, (_indexed, _whole, _whole, _whole), strict=True)
)


def overlaps(array: Array) -> bool:
    """Whether elements of an array may be one in memory."""
    reach = array.itemsize
    sizes = [(abs(s), n) for n, s in zip(array.shape, array.strides, strict=True) if n > 1]
    for stride, size in sorted(sizes):
        if stride < reach:
            return True
        reach = stride * size
    return False


def _broadcast(array: Array, shape: tuple[int, ...]) -> Array | None:
    while array.ndim > len(shape) and array.shape[0] == 1:
        array = array[0]
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        return None


def joined(
    shape: tuple[int, ...], to: tuple[int, ...], by: tuple[int, ...]
) -> tuple[list[int], list[int], list[int]]:
    """The same elements on as few axes as can be: neighbours that lie in order are one."""
    axes: list[tuple[int, int, int]] = []
    for n, t, b in zip(shape, to, by, strict=True):
        if n == 1:
            continue
        if axes and axes[-1][1] == n * t and axes[-1][2] == n * b:
            n *= axes.pop()[0]
        axes.append((n, t, b))
    return [n for n, _, _ in axes], [t for _, t, _ in axes], [b for _, _, b in axes]
