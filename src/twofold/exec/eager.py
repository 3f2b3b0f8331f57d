"""Run one operation now: find or make its plan, and run that on arrays. Floor 7.

An Entry stands for one operation with one set of attributes. It keeps a plan for each layout of its inputs
(element type, shape, strides); where no kernel is made for them, the operation's NumPy reference computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import BFLOAT16, DType
from twofold.base.types import Type
from twofold.ops.bind import install
from twofold.ops.op import Op
from twofold.ops.tensor import Array

KERNEL_TYPES = (dtypes.float32, dtypes.float64)
HALVES = (dtypes.float16, dtypes.bfloat16)
LIMIT = 256  # plans an entry keeps


@final
class Entry:
    """The operation `op` with attributes `attrs`, callable on arrays."""

    __slots__ = ("attrs", "keywords", "op", "plans")

    def __init__(self, op: Op, attrs: tuple[Any, ...]) -> None:
        self.op = op
        self.attrs = attrs
        self.keywords = op.keywords(attrs)
        self.plans: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arrays: Array) -> Any:
        key = tuple([(a.dtype, a.shape, a.strides) for a in arrays])
        run = self.plans.get(key)
        if run is None:
            if len(self.plans) >= LIMIT:
                self.plans.clear()
            run = self.plans[key] = self.prepare(arrays)
        return run(*arrays)

    def prepare(self, arrays: tuple[Array, ...]) -> Callable[..., Any]:
        """Check the types, and choose the kernel or the reference."""
        op = self.op
        types = tuple(Type(a.shape, dtypes.of(a.dtype)) for a in arrays)
        made = op.infer(*types, **self.keywords)
        outs = made if isinstance(made, tuple) and not isinstance(made, Type) else (made,)
        if op.view:
            return self.reference
        return self.reference

    def reference(self, *arrays: Array) -> Any:
        return run_reference(self.op, arrays, self.keywords)


def run_reference(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> Any:
    """The operation's meaning, in NumPy. bfloat16 is computed in float32 and rounded once."""
    if not op.view and any(a.dtype == BFLOAT16 for a in arrays):
        return _through_float32(op, arrays, keywords)
    with np.errstate(all="ignore"):
        made = op.ref(*arrays, **keywords)
    if op.outputs != 1 or op.residuals:
        return tuple(map(np.asarray, made))
    return np.asarray(made)


def _through_float32(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> Any:
    types = tuple(Type(a.shape, dtypes.of(a.dtype)) for a in arrays)
    made = op.infer(*types, **keywords)
    several = isinstance(made, tuple) and not isinstance(made, Type)
    wide = tuple(dtypes.to_float32(a) if a.dtype == BFLOAT16 else a for a in arrays)
    with np.errstate(all="ignore"):
        results = op.ref(*wide, **keywords)
    if several:
        return tuple(map(_narrow, results, [m.dtype for m in made]))
    return _narrow(results, made.dtype if made is not None else None)


def _narrow(array: Any, dtype: DType | None) -> Array:
    array = np.asarray(array)
    if dtype is dtypes.bfloat16 or (dtype is None and array.dtype == np.float32):
        return dtypes.to_bfloat16(array)
    return array


def execute(op: Op, arrays: list[Array], attrs: tuple[Any, ...]) -> Any:
    """Run an operation on arrays: an array, or a tuple of them for several outputs."""
    entry = op.entries.get(attrs)
    if entry is None:
        entry = op.entries[attrs] = Entry(op, attrs)
    return entry(*arrays)


install(execute)
