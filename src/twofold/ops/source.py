"""Arrays that are made from sizes and numbers alone. Floor 4.

Eagerly these are NumPy's; while a graph is captured they are calls without inputs, so that their
sizes may be symbols.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.devices import META, elsewhere, home, known_device
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.ops.bind import bind, mode, remark
from twofold.ops.op import OPS, Op, Sample, define
from twofold.ops.tensor import Array, Tensor, wrap

MANY = 1 << 16  # elements that a kernel writes in half of NumPy's time


def _full(*, shape: tuple[int, ...], value: Any, dtype: DType) -> Array:
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16(np.full(shape, value, np.float32))
    if value.__class__ in (int, float) and -1e4 < value < 1e4 and dtype.kind == "f":
        if math.prod(shape) >= MANY and mode.capture is None and mode.interpreter is None:
            number = wrap(np.broadcast_to(np.asarray(value, dtype.numpy), shape))
            return bind(OPS["clone"], (number,), ()).array  # type: ignore[no-any-return]
        made = np.empty(shape, dtype.numpy)
        made.fill(value)
        return made
    with np.errstate(over="ignore"):
        return np.full(shape, value, dtype.numpy)


FULL = define(
    "full",
    inputs="",
    attrs=("shape", "value", "dtype"),
    doc="One number everywhere.",
    infer=lambda *, shape, value, dtype: Type(tuple(shape), dtype),
    ref=_full,
    samples=lambda r: [Sample(((2, 3), 1.5, dtypes.float32)), Sample(((0, 3), 1, dtypes.int64))],
    torch=False,
)


def _arange(*, start: Any, step: Any, count: int, dtype: DType) -> Array:
    if dtype is dtypes.int64 and start.__class__ is int and step.__class__ is int:
        return np.arange(start, start + count * step, step)
    places = np.arange(count, dtype=np.int64)
    whole = isinstance(start, int) and isinstance(step, int)
    values = start + places * step if whole else start + places.astype(np.float64) * step
    return dtypes.convert(np.asarray(values), dtype)


ARANGE = define(
    "arange",
    inputs="",
    attrs=("start", "step", "count", "dtype"),
    doc="start, start + step, ...: `count` numbers.",
    infer=lambda *, start, step, count, dtype: Type((count,), dtype),
    ref=_arange,
    samples=lambda r: [Sample((0, 1, 5, dtypes.int64)), Sample((1.0, 0.25, 3, dtypes.float32))],
    torch=False,
)
LINSPACE = define(
    "linspace",
    inputs="",
    attrs=("start", "end", "count", "dtype"),
    doc="`count` numbers from start to end, both included, at equal distances.",
    infer=lambda *, start, end, count, dtype: Type((count,), dtype),
    ref=lambda *, start, end, count, dtype: dtypes.convert(np.linspace(start, end, count), dtype),
    samples=lambda r: [Sample((0.0, 1.0, 5, dtypes.float32))],
    torch=False,
)


def _eye(*, rows: int, columns: int, dtype: DType) -> Array:
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16(np.eye(rows, columns, dtype=np.float32))
    return np.eye(rows, columns, dtype=dtype.numpy)


EYE = define(
    "eye",
    inputs="",
    attrs=("rows", "columns", "dtype"),
    doc="Ones on the diagonal of a matrix.",
    infer=lambda *, rows, columns, dtype: Type((rows, columns), dtype),
    ref=_eye,
    samples=lambda r: [Sample((2, 3, dtypes.float32))],
    torch=False,
)


def made(op: Op, attrs: tuple[Any, ...]) -> Array:
    """The array of one of these operations."""
    if mode.capture is not None:
        return mode.capture.execute(op, [], attrs)  # type: ignore[no-any-return]
    return op.ref(**op.keywords(attrs))  # type: ignore[no-any-return]


def filled(shape: tuple[int, ...], value: Any, dtype: DType) -> Array:
    """An array of one number."""
    if mode.capture is not None:
        return mode.capture.filled(tuple(shape), value, dtype)  # type: ignore[no-any-return]
    return _full(shape=shape, value=value, dtype=dtype)


def zeros_of(shape: Any, storage: Any) -> Tensor:
    """A tensor of zeros, of NumPy's type: what rules start sums from."""
    if mode.capture is not None:
        return wrap(mode.capture.filled(tuple(shape), 0, dtypes.of(np.dtype(storage))))
    return known(np.zeros(shape, storage))


def blank(shape: Any, storage: Any) -> Tensor:
    """`zeros_of`, for an operation that copies them before it writes: many are one in memory."""
    if mode.capture is not None or math.prod(shape) < MANY:
        return zeros_of(shape, storage)
    made = np.ndarray(shape, storage, ZERO.data, 0, (0,) * len(shape))
    return known(made)


MANY = 8192  # elements that are worth a layout of their own
ZERO = np.zeros(64, np.uint8)
ZERO.flags.writeable = False


def ones_of(shape: Any, storage: Any) -> Tensor:
    """A tensor of ones, of NumPy's type."""
    return known(filled(tuple(shape), 1, dtypes.of(np.dtype(storage))))


def known(array: Any) -> Tensor:
    """A tensor around an array that comes of sizes and plain arguments alone."""
    made = wrap(array)
    remark("known", made)
    return made


WITHOUT_DATA = "twofold.ops.meta"


def without_data() -> Any:
    """The file of tensors on the "meta" device, which is imported when there is one."""
    return importlib.import_module(WITHOUT_DATA)


def placed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function, whose tensors are made where `device=` says, or the block that it is called
    in.
    """

    @functools.wraps(function)
    def on_device(*args: Any, device: Any = None, **options: Any) -> Tensor:
        if device is None and home.device is None:
            return function(*args, **options)
        wanted = home.device if device is None else known_device(device)
        if wanted is META:
            made: Tensor = without_data().make(function, args, options)
            return made
        if home.device is None:
            return function(*args, **options)
        with elsewhere(None):
            return function(*args, **options)

    return on_device
