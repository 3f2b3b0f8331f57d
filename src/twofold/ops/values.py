"""Arrays from values: numbers, nested lists, arrays, tensors, and what a graph makes. Floor 4."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, kind_of
from twofold.base.symbols import is_symbol, numbers_in
from twofold.ops import source
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import CAST, cast
from twofold.ops.joining import Stacked, stack
from twofold.ops.tensor import Array, Tensor, is_of_sizes, wrap


def converted(array: Array, dtype: DType) -> Array:
    """The array in another type; one of a graph as well."""
    if isinstance(array, np.ndarray):
        return dtypes.convert(array, dtype)
    return bind(CAST, (wrap(array),), (dtype,)).array  # type: ignore[unreachable]


PYTHON_NUMBERS = (bool, int, float, complex)


def array_from(data: Any, op: str = "tensor", wide: bool = False) -> Array:
    """A NumPy array of the values: Python's floats in the default type, NumPy's types as given.

    wide: Python's floats keep all their digits, since they are converted to a given type next.
    """
    if isinstance(data, Tensor):
        return data.array
    if isinstance(data, np.ndarray | np.generic):
        if is_of_sizes(data):
            return data.as_array(shares=True)  # type: ignore[union-attr, no-any-return]
        array = with_sizes(np.asarray(data))
        dtypes.of(array.dtype)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    if isinstance(data, Stacked):
        return _array_of_list(data, wide)
    if mode.capture is not None and computed(data):
        return array_from_computed(data, op, wide)
    if isinstance(data, list | tuple):
        return _array_from_list(data, op, wide)
    if isinstance(data, PYTHON_NUMBERS):
        return _array_from_number(data, op, wide)
    if hasattr(data, "__array__") or hasattr(data, "__array_interface__"):
        return np.asarray(data)
    sequence = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    if sequence and not isinstance(data, str | bytes | dict):
        return _array_from_list(list(data), op, wide)
    raise DTypeError(op, f"{kind_of(data)} is not data", hint="numbers, nested lists, or arrays")


def _array_of_list(data: Stacked, wide: bool) -> Array:
    """The array of a list that a graph has made."""
    if not data.numbers or wide or data.whole.dtype is not dtypes.float64:
        return data.whole.array
    return cast(data.whole, dtypes.default_dtype()).array


def _array_from_number(data: Any, op: str, wide: bool) -> Array:
    try:
        return np.asarray(data, None if wide else dtypes.scalar_dtype(data).numpy)
    except OverflowError:
        raise ArgumentError(op, f"{data} does not fit int64", hint="float(...)") from None


def _array_from_list(data: Any, op: str, wide: bool) -> Array:
    if any(isinstance(x, Tensor) for x in data):
        return _array_from_tensors(data, op, wide)
    if mode.capture is not None:
        data = _with_numbers(data)
    try:
        array = np.array(data)
    except ValueError:
        raise ShapeError(
            op, "the lists have different lengths", hint="rows of equal length, or padding"
        ) from None
    if array.size == 0:
        return array.astype(dtypes.default_dtype().numpy)
    if array.dtype.kind in "OUSVM":
        strange = next(_strange(data), None)
        if strange is None:
            raise ArgumentError(op, "a whole number does not fit int64", hint="float(...)")
        problem = f"the list holds {strange}, not numbers only"
        raise DTypeError(op, problem, hint="numbers, nested lists of them, or arrays")
    if wide and array.dtype.kind == "f" and np.abs(array).max() >= 2.0**63:
        return _exact(data, array)
    if wide:
        return array
    if _holds_numpy(data):
        return array.astype(_common(data)) if array.dtype == np.float64 else array
    if array.dtype.kind == "f":
        return array.astype(dtypes.default_dtype().numpy)
    return (
        array.astype(dtypes.default_dtype().to_complex().numpy)
        if array.dtype.kind == "c"
        else array
    )


def with_sizes(array: Array) -> Array:
    """What NumPy makes of sizes in a graph, as numbers: np.arange(n) is an array of objects."""
    return array if array.dtype != object or mode.capture is None else numbers_in(array)


def _with_numbers(data: Any) -> Any:
    """The lists with Python's numbers for symbols, whose values the program is then made for."""
    if isinstance(data, list | tuple) and not isinstance(data, Stacked):
        return [_with_numbers(x) for x in data]
    if is_symbol(data):
        return int(data) if data.whole else float(data)
    return data


def computed(data: Any) -> bool:
    """Whether the data hold what only a run knows: tensors, what `x.item()` gave, or a float among
    the arguments.
    """
    if isinstance(data, Stacked):
        return True
    if isinstance(data, list | tuple):
        return any(computed(x) for x in data)
    if isinstance(data, Tensor) or is_symbol(data):
        return isinstance(data, Tensor) or not data.whole or mode.capture.listed(data)
    return isinstance(data, PYTHON_NUMBERS) and not issubclass(type(data), PYTHON_NUMBERS)


def array_from_computed(data: Any, op: str, wide: bool) -> Array:
    """Nested lists of such numbers and of others: a stack of what they are."""
    if isinstance(data, list | tuple) and not isinstance(data, Stacked):
        parts = [wrap(array_from_computed(x, op, wide)) for x in data]
        return _array_from_tensors(parts, op, wide)
    if isinstance(data, Tensor | Stacked) or not computed(data):
        return array_from(_with_numbers(data), op, wide)
    dtype = dtypes.float64 if wide and isinstance(data, float) else dtypes.scalar_dtype(data)
    return source.filled((), data, dtype)


def _exact(data: Any, array: Array) -> Array:
    """Whole numbers too large for int64, beside smaller ones: NumPy makes floats of them."""
    values = np.array(data, object)
    whole = all(type(value) is int and 0 <= value < 2**64 for value in values.flat)
    return values.astype(np.uint64) if whole else array


def _array_from_tensors(data: Any, op: str, wide: bool) -> Array:
    """A list of 0-d tensors and numbers, or of tensors of one shape, in their common type."""
    parts = [array_from(x, op, wide) for x in data]
    if len({p.shape for p in parts}) > 1:
        problem = "the tensors in the list have different shapes"
        raise ShapeError(op, problem, hint="stack or cat")
    kind = functools.reduce(dtypes.promote, [dtypes.of(p.dtype) for p in parts])
    parts = [converted(p, kind) for p in parts]
    if mode.capture is None:
        return np.stack(parts)
    return stack([wrap(p) for p in parts]).array


def _strange(data: Any) -> Iterator[str]:
    """The kinds of what is in nested lists and is no number."""
    for part in data:
        if isinstance(part, list | tuple):
            yield from _strange(part)
        elif not isinstance(part, int | float | complex | np.number | np.bool_):
            yield type(part).__name__


def _first(data: Any) -> Any:
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return data


def _common(data: Any) -> Any:
    """The type of nested lists of NumPy's numbers and Python's, which have the default type."""
    if isinstance(data, list | tuple):
        return functools.reduce(np.promote_types, {_common(part) for part in data})
    if isinstance(data, np.ndarray | np.generic):
        return data.dtype
    floats = isinstance(data, float)
    return dtypes.default_dtype().numpy if floats else np.dtype(np.bool_)


def _holds_numpy(data: Any) -> bool:
    return isinstance(_first(data), np.ndarray | np.generic)
