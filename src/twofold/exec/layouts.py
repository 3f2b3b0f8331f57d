"""How arrays lie in memory: from NumPy's to planners' words for it and back. Floor 7."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.lower.schedule import Arg
from twofold.ops.indexing import Slice


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


Lies = tuple[int, tuple[int, ...], tuple[int, ...]]  # elements further, shape, strides


def _permuted(arg: Arg, dims: tuple[int, ...]) -> list[Lies]:
    return [(0, tuple([arg.shape[d] for d in dims]), tuple([arg.strides[d] for d in dims]))]


def _expanded(arg: Arg, shape: tuple[int, ...]) -> list[Lies] | None:
    fresh = len(shape) - len(arg.shape)
    if 0 in shape:
        return None
    axes = zip(arg.shape, shape[fresh:], arg.strides, strict=True)
    strides = [0 if old == 1 != new else stride for old, new, stride in axes]
    return [(0, tuple(shape), (*(0,) * fresh, *strides))]


def _split(arg: Arg, dim: int, sizes: tuple[int, ...]) -> list[Lies] | None:
    if 0 in sizes or sum(sizes) > arg.shape[dim]:
        return None
    found, begin = [], 0
    for size in sizes:
        shape = (*arg.shape[:dim], size, *arg.shape[dim + 1 :])
        found.append((begin * arg.strides[dim], shape, arg.strides))
        begin += size
    return found


def _reshaped(arg: Arg, shape: tuple[int, ...]) -> list[Lies] | None:
    """Axes are taken from both shapes until they have as many elements; those of the old shape must
    be walked as one then. An axis of one element has the stride that NumPy gives it.
    """
    if arg.contiguous or -1 in shape:
        return None
    if tuple(shape) == arg.shape:
        return [(0, arg.shape, arg.strides)]
    old = [axis for axis in zip(arg.shape, arg.strides, strict=True) if axis[0] != 1]
    strides: list[int] = []
    taken = 0
    while len(strides) < len(shape) and taken < len(old):
        begin, first = len(strides), taken
        end, wanted, there = begin + 1, shape[begin], old[first][0]
        taken += 1
        while wanted != there:
            if wanted < there and end < len(shape):
                wanted, end = wanted * shape[end], end + 1
            elif wanted > there and taken < len(old):
                there, taken = there * old[taken][0], taken + 1
            else:
                return None
        for (_, above), (size, below) in pairwise(old[first:taken]):
            if above != size * below:
                return None
        step, group = old[taken - 1][1], []
        for size in reversed(shape[begin:end]):
            group.append(step)
            step *= size
        strides += reversed(group)
    rest = len(shape) - len(strides)
    return [(0, tuple(shape), (*strides, *(strides[-1:] or [1]) * rest))]


def _indexed(arg: Arg, key: tuple[Any, ...]) -> list[Lies] | None:
    """A key of numbers and of slices that leave something, and step forwards."""
    moved, shape, strides = 0, [], []
    if len(key) > len(arg.shape):
        return None
    for part, size, stride in zip(key, arg.shape, arg.strides, strict=False):
        if type(part) is int:
            if not -size <= part < size:
                return None
            moved += (part % size) * stride
        elif type(part) is Slice:
            start, stop, step = slice(*part).indices(size)
            if step < 1 or start >= stop:
                return None
            moved += start * stride
            shape.append(-(-(stop - start) // step))
            strides.append(stride * step)
        else:
            return None
    rest = len(key)
    return [(moved, (*shape, *arg.shape[rest:]), (*strides, *arg.strides[rest:]))]


# Views whose layout is known by arithmetic, which takes a tenth of the time; None: NumPy is asked.
RULES: dict[str, Any] = {"permute": _permuted, "expand": _expanded, "index": _indexed}
RULES |= {"split": _split, "reshape": _reshaped}


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
