"""Indices against their range: every one is checked, in every mode. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.ops.bind import bind, mode, remark
from twofold.ops.op import Op, Sample, define
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, wrap
from twofold.runtime import faults


def _checked(x: Any, *, low: int, high: int, skip: int | None) -> Any:
    bad = (x < low) | (x >= high)
    if skip is not None:
        bad &= x != skip
    return np.where(bad, max(low, 0), x), np.asarray(bad.any())


CHECK = define(
    "check_range",
    attrs=("low", "high", "skip"),
    doc="Indices, those outside of [low, high) replaced by one inside; and whether there was one.",
    accepts="i",
    infer=lambda x, *, low, high, skip: (x, Type((), dtypes.bool_)),
    ref=_checked,
    lower="check_range",
    outputs=2,
    samples=lambda r: [Sample((np.array([0, 2, 1]), 0, 3, None)), Sample((np.array([7]), 0, 3, 7))],
    torch=False,
)


def in_range(
    index: Tensor, low: Any, high: Any, error: Callable[[Any], Exception], skip: int | None = None
) -> Tensor:
    """The index, whose elements are in [low, high), or `skip`. Raises error(the first outside).

    While a graph is captured the check becomes a part of the program.
    """
    array: Any = index.array
    if stands_in(array):
        return array.through(lambda x: in_range(x, low, high, error, skip))  # type: ignore[no-any-return]
    if mode.capture is not None:
        return mode.capture.in_range(index, low, high, error, skip)  # type: ignore[no-any-return]
    check_array(index.array, low, high, error, skip)
    watched = mode.interpreter is not None and _all_inside(index.array, low, high, skip)
    if watched and remark("range", index, low, high):
        return index
    # a new tensor, so that no faster way remembers the call as one that looks at no values
    return wrap(index.array)


def _all_inside(array: Any, low: Any, high: Any, skip: int | None) -> bool:
    """Whether all indices that were checked are in [low, high), where none is skipped."""
    if skip is None or not array.size:
        return skip is None
    return not low <= skip < high and int(array.min()) >= low and int(array.max()) < high


def bind_in_range(
    op: Op,
    inputs: tuple[Tensor, ...],
    attrs: tuple[Any, ...],
    at: int,
    low: int,
    high: int,
    error: Callable[[Any], Exception],
) -> Any:
    """op(*inputs), whose kernels check their index, inputs[at] in i64, themselves.

    Raises error(the first outside) where one is not in [low, high).
    """
    index = inputs[at]
    plain = mode.capture is None and mode.interpreter is None
    if not plain or type(index.array) is not np.ndarray or type(inputs[0].array) is not np.ndarray:
        checked = in_range(index, low, high, error)
        return bind(op, (*inputs[:at], checked, *inputs[at + 1 :]), attrs)
    # a new tensor, so that no faster way remembers the call as one that looks at no values
    inputs = (*inputs[:at], wrap(index.array), *inputs[at + 1 :])
    try:
        made = bind(op, inputs, attrs)
    except IndexError:
        check_array(index.array, low, high, error)
        raise
    if faults.pending():
        faults.clear()
        check_array(index.array, low, high, error)
    return made


def require(good: Tensor, error: Callable[[], Exception]) -> None:
    """Raise error() unless `good`, a bool[], holds; in a graph, when the program runs."""
    array: Any = good.array
    if stands_in(array):
        array = array.numbers()
    if mode.capture is not None and not isinstance(array, np.ndarray):
        mode.capture.demand(good, error)
    elif not array.all():
        raise error()
    else:
        remark("holds", good)


def check_array(
    array: Any, low: Any, high: Any, error: Callable[[Any], Exception], skip: int | None = None
) -> None:
    """The same of an array."""
    if not array.size:
        return
    least, most = int(array.min()), int(array.max())
    if least >= low and most < high:
        return
    outside = array[((array < low) | (array >= high)) & (array != skip)]
    if outside.size:
        raise error(int(outside.flat[0]))
