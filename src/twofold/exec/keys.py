"""Patterns of the arguments of calls, for codegen/native/keys.py. Floor 7.

`pattern` turns an argument into words that fit this argument and all that mean the same: a tensor
of the same layout, an equal number, a tuple or slice of such. What may change, or may mean
something else tomorrow (a list, an object of any other class), has no pattern.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from twofold.base.devices import Device
from twofold.base.dtypes import DType
from twofold.codegen.native.facts import (
    AGAIN,
    COMPLEX,
    DEEPEST,
    FLOATING,
    ITEMS,
    LIST,
    SAME,
    SLICE,
    TENSOR,
    WHOLE,
)
from twofold.ops.generators import Generator
from twofold.ops.tensor import Parameter, Size, Tensor

TENSORS = (Tensor, Parameter)
TAGS: dict[type, int] = {list: LIST, tuple: ITEMS}  # what may hold tensors
UNCHANGING = (bool, str, type(None), DType, Device, type(...), Generator)


def pattern(thing: Any) -> list[int] | None:
    """The words of an argument; None if it has none. They hold no reference."""
    if type(thing) in TENSORS:
        return _tensor(thing.array)
    if type(thing) in TAGS and any(isinstance(x, Tensor) for x in thing):
        words = [TAGS[type(thing)], id(type(thing)), len(thing)]
        first: dict[int, int] = {}
        for k, x in enumerate(thing):
            if isinstance(x, Tensor) and first.setdefault(id(x), k) < k:
                words += [AGAIN, first[id(x)]]
                continue
            more = _tensor(x.array) if type(x) in TENSORS else constant(x, 1)
            if more is None:
                return None
            words += more
        return words
    return constant(thing)


def numbers_in(thing: Any) -> list[int] | None:
    """The words of a list of numbers as it is now; None for anything else."""
    if type(thing) is not list or any(type(n) not in (int, float) for n in thing):
        return None
    return _items(LIST, list, thing, 1)


def _tensor(array: Any) -> list[int] | None:
    if type(array) is not np.ndarray:
        return None
    return [TENSOR, id(array.dtype), array.ndim, *array.shape, *array.strides]


def constant(thing: Any, depth: int = 0) -> list[int] | None:
    """The words of an argument that has no tensor in it."""
    kind = type(thing)
    if kind in UNCHANGING:
        return [SAME, id(thing)]
    if kind is int:
        return [WHOLE, thing] if -(2**63) <= thing < 2**63 else None
    if kind is float:
        return [FLOATING, _bits(thing)]
    if kind is complex:
        return [COMPLEX, _bits(thing.real), _bits(thing.imag)]
    if depth == DEEPEST:
        return None
    if kind is list and depth:
        return numbers_in(thing)
    if kind in (tuple, Size):
        return _items(ITEMS, kind, thing, depth + 1)
    if kind is slice:
        return _items(SLICE, kind, (thing.start, thing.stop, thing.step), depth + 1)
    return None


def _bits(number: float) -> int:
    return int(ctypes.c_int64.from_buffer(ctypes.c_double(number)).value)


def _items(tag: int, kind: type, things: Any, depth: int) -> list[int] | None:
    words = [tag, id(kind), len(things)]
    for thing in things:
        more = constant(thing, depth)
        if more is None:
            return None
        words += more
    return words


def is_plain(value: Any) -> bool:
    """Whether a result may be given again: a number, a type, a shape."""
    if type(value) in (tuple, Size):
        return all(type(n) is int for n in value)
    return type(value) in (*UNCHANGING, int, float)
