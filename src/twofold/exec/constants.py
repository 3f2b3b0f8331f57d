"""Arrays that depend on sizes alone, made when a graph is planned. Floor 7."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base.dtypes import DType
from twofold.base.symbols import value_of
from twofold.exec.eager import execute
from twofold.exec.structure import Place
from twofold.ir.graph import Call
from twofold.lower.schedule import Arg


def computed(
    call: Call, arrays: list[Any], keywords: Any, values: Sequence[Any]
) -> tuple[Any, ...]:
    """The arrays of a call on constants."""
    if call.op.name == "full" and math.prod(keywords["shape"]) > 1:
        one = np.asarray(call.op.ref(**{**keywords, "shape": ()}))
        shape = keywords["shape"]
        made: Any = np.ndarray(shape, one.dtype, one, 0, (0,) * len(shape))
    else:
        made = execute(call.op, arrays, value_of(call.attrs, values))
    return in_elements(made if isinstance(made, tuple) else (made,))


def in_elements(arrays: Sequence[Any]) -> tuple[Any, ...]:
    """Arrays whose strides are whole elements."""
    return tuple(
        [np.ascontiguousarray(a) if any([s % a.itemsize for s in a.strides]) else a for a in arrays]
    )


def placed(array: Any, dtype: DType) -> Place:
    """An array as a place."""
    (array,) = in_elements([array])
    strides = tuple(s // array.itemsize for s in array.strides)
    return Place(array, 0, Arg(array.shape, dtype, strides))
