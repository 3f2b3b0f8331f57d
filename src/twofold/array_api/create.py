"""Arrays from values and from sizes, by the standard's arguments. Floor 13."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.devices import check_device
from twofold.base.errors import ArgumentError
from twofold.ops import convert, creation, creation_like, joining, triangles
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor, wrap

BUFFERS = (array, bytearray, memoryview)


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """An array of values; of the memory of an array, or of a buffer, unless `copy=True`."""
    check_device(device)
    if isinstance(obj, BUFFERS):
        obj = np.asarray(memoryview(obj))
    if copy and isinstance(obj, Tensor):
        obj = wrap(obj.array)  # values of their own, which no gradient passes
    return creation.asarray(obj, dtype=dtype, copy=copy)


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    return convert.from_dlpack(x, device=device, copy=copy)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """start, start + step, ... below stop; nothing where that leads the other way."""
    first, last = (0, start) if stop is None else (start, stop)
    if (last - first) * step < 0:
        kind = dtypes.int64 if all(isinstance(v, int) for v in (first, last, step)) else None
        return creation.zeros(0, dtype=dtype or kind, device=device)
    return creation.arange(first, last, step, dtype=dtype, device=device)


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None,
    endpoint: bool = True,
) -> Tensor:  # fmt: skip
    """`num` values from start to stop at equal distances, with stop or without."""
    check_device(device)
    if dtype is None:
        complexes = isinstance(start, complex) or isinstance(stop, complex)
        dtype = dtypes.default_dtype().to_complex() if complexes else dtypes.default_dtype()
    wanted = dtypes.as_dtype(dtype)
    return wrap(np.linspace(start, stop, num, endpoint=endpoint, dtype=wanted.numpy))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """Ones on the k-th diagonal."""
    check_device(device)
    wanted = dtypes.default_dtype() if dtype is None else dtypes.as_dtype(dtype)
    columns = n_rows if n_cols is None else n_cols
    return cast(wrap(np.eye(n_rows, columns, k, np.float32)), wanted)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation.full(_sizes(shape), fill_value, dtype=dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation.ones(_sizes(shape), dtype=dtype, device=device)


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation.zeros(_sizes(shape), dtype=dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation.empty(_sizes(shape), dtype=dtype, device=device)


def _sizes(shape: Any) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, int) else tuple(shape)


def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation_like.full_like(x, fill_value, dtype=dtype, device=device)


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation_like.ones_like(x, dtype=dtype, device=device)


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation_like.zeros_like(x, dtype=dtype, device=device)


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    return creation_like.empty_like(x, dtype=dtype, device=device)


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> tuple[Tensor, ...]:
    """Coordinates over a grid; with "xy" the second array runs along the first axis."""
    if indexing not in ("xy", "ij"):
        raise ArgumentError("meshgrid", f"no indexing {indexing!r}", hint='"xy" or "ij"')
    return tuple(joining.meshgrid(*arrays, indexing=indexing)) if arrays else ()


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    return triangles.tril(x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    return triangles.triu(x, k)


guard(globals())
