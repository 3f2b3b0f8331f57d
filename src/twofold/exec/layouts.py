"""How arrays lie in memory: from NumPy's to planners' words for it and back. Floor 7."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.lower.schedule import Arg
from twofold.lower.views import RULES


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array that lies in order."""
    made: list[int] = []
    step = 1
    for size in reversed(shape):
        made.append(step)
        step *= size
    return tuple(reversed(made))


def view_of(op: Any, arg: Arg, keywords: Any, kinds: list[DType]) -> list[tuple[int, Arg]]:
    """How the views of an array of this layout lie: how many bytes further, and their layouts."""
    rule = RULES.get(op.name)
    if rule is not None and 0 not in arg.shape:
        lies = rule(arg, **keywords)
        if lies is not None:
            size = arg.dtype.itemsize
            return [
                (moved * size, Arg(shape, arg.dtype, strides, arg.frozen))
                for moved, shape, strides in lies
            ]
    return stood_in(op, arg, keywords, kinds)


def stood_in(op: Any, arg: Arg, keywords: Any, kinds: list[DType]) -> list[tuple[int, Arg]]:
    """The same of any view, asked of NumPy."""
    stand = _stand_in(arg)
    made = op.ref(stand, **keywords)
    start = stand.__array_interface__["data"][0]
    found = []
    for dtype, part in zip(kinds, made if isinstance(made, tuple) else (made,), strict=True):
        moved = part.__array_interface__["data"][0] - start if part.size else 0
        size = dtype.itemsize
        strides = tuple([s // size for s in part.strides])
        found.append((moved, Arg(part.shape, dtype, strides, arg.frozen)))
    return found


def _stand_in(arg: Arg) -> Any:
    """An array of this layout that is looked at and never read."""
    size = arg.dtype.itemsize
    strides = tuple(s * size for s in arg.strides)
    return np.lib.stride_tricks.as_strided(np.empty(1, arg.dtype.numpy), arg.shape, strides)


def array_at(address: int, arg: Arg) -> Any:
    """An array on memory at an address, which it does not own."""
    low = high = 0
    for size, stride in zip(arg.shape, arg.strides, strict=True):
        reach = (size - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    itemsize = arg.dtype.itemsize
    if 0 in arg.shape:
        return np.empty(arg.shape, arg.dtype.numpy)
    count = (high - low + 1) * itemsize
    memory: Any = (ctypes.c_char * count).from_address(address + low * itemsize)
    strides = tuple(s * itemsize for s in arg.strides)
    return np.ndarray(arg.shape, arg.dtype.numpy, memory, -low * itemsize, strides)


def arg_of(array: Any) -> Arg:
    """How a NumPy array lies."""
    return _arg(array.dtype, array.shape, array.strides)


@lru_cache(4096)
def _arg(dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...]) -> Arg:
    return Arg(shape, dtypes.of(dtype), tuple([s // dtype.itemsize for s in strides]))
