"""How arrays lie in memory: from NumPy's to planners' words for it and back. Floor 7."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.lower.schedule import Arg
from twofold.lower.views import RULES
from twofold.runtime.entries import layout_words


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


class Layout(NamedTuple):
    """How a NumPy array lies: a number of its own, the words of entries, and what planners know;
    None for strides between elements, which no kernel reads.
    """

    number: int
    words: list[int]
    arg: Arg | None
    dtype: Any


@final
class Layouts:
    """The layouts of arrays, each found once."""

    MOST = 16384

    def __init__(self) -> None:
        self.known: dict[Any, Layout] = {}
        self.count = 0

    def of(self, arrays: Sequence[Any]) -> list[Layout]:
        known = self.known
        return [known.get((id(a.dtype), a.shape, a.strides)) or self._new(a) for a in arrays]

    def _new(self, array: Any) -> Layout:
        if len(self.known) >= self.MOST:
            self.known.clear()
        dtype, shape, strides = array.dtype, array.shape, array.strides
        size, arg = dtype.itemsize, None
        if not any([s % size for s in strides]):
            arg = Arg(shape, dtypes.of(dtype), tuple([s // size for s in strides]))
        self.count += 1
        made = Layout(self.count, layout_words(array), arg, dtype)
        self.known[id(dtype), shape, strides] = made  # (it keeps the type, and so its identity)
        return made
