"""The memory behind tensors, for programs that ask for it: as elements, and as bytes. Floor 4."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.elementwise import add
from twofold.ops.indexing import PUT, Here
from twofold.ops.movement import reshape
from twofold.ops.op import Sample, define
from twofold.ops.rules import sizes_of
from twofold.ops.source import ARANGE, made, zeros_of
from twofold.ops.source import filled as full_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, memory_given, root_of, type_of, wrap

__all__ = ["as_strided"]


def _whole(array: Any) -> Any:
    """The array that owns the memory of this one."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@final
class Storage:
    """The memory of a tensor, for programs that ask how much it is and whether two share it."""

    def __init__(self, tensor: Tensor) -> None:
        self.array = _whole(tensor.array)

    def data_ptr(self) -> int:
        return 0 if stands_in(self.array) else int(self.array.ctypes.data)

    def nbytes(self) -> int:
        return int(self.array.nbytes)

    def size(self) -> int:
        return int(self.array.size)

    __len__ = size


@final
class UntypedStorage:
    """Bytes: of a tensor, of a file, or so many new ones, all zero. A part shares the memory."""

    def __init__(self, size: int = 0, *, array: Any = None) -> None:
        self.array = np.zeros(size, np.uint8) if array is None else array

    @staticmethod
    def from_file(filename: Any, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first bytes of a file, read when they are used; with `shared` what is written goes to
        the file, which has to be large enough.
        """
        made = np.memmap(filename, np.uint8, "r+" if shared else "c", shape=(nbytes,))
        return UntypedStorage(array=made)

    def data_ptr(self) -> int:
        return 0 if stands_in(self.array) else int(self.array.ctypes.data)

    def nbytes(self) -> int:
        return int(self.array.nbytes)

    size = __len__ = nbytes

    def untyped(self) -> UntypedStorage:
        return self

    def tolist(self) -> list[int]:
        return list(self.array.tolist())

    def __getitem__(self, key: Any) -> Any:
        """One byte, or a part. Raises ArgumentError for a step."""
        if not isinstance(key, slice):
            return int(self.array[key])
        if key.step not in (None, 1):
            raise ArgumentError("UntypedStorage", f"step {key.step}", hint="storage[start:stop]")
        return UntypedStorage(array=self.array[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.array if dtype is None else self.array.astype(dtype)


def storage(self: Tensor) -> Storage:
    """The memory of the tensor, all of it also where the tensor sees a part."""
    memory_given(self)
    return Storage(self)


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The same, as bytes."""
    memory_given(self)
    whole = _whole(self.array)
    if stands_in(whole):
        return UntypedStorage(array=whole)
    order = sorted(range(whole.ndim), key=lambda axis: -whole.strides[axis])
    return UntypedStorage(array=whole.transpose(order).reshape(-1).view(np.uint8))


def _strided(x: Any, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    start = x.reshape(-1)[offset:]
    return np.lib.stride_tricks.as_strided(start, size, tuple(s * x.itemsize for s in stride))


def _strided_vjp(
    g: Tensor, out: Any, x: Any, *, size: tuple[int, ...], stride: tuple[int, ...], offset: int
) -> Any:
    places = wrap(full_of((), offset, dtypes.int64))
    for axis, step in enumerate(stride):
        shape = [size[axis] if i == axis else 1 for i in range(len(size))]
        steps = wrap(made(ARANGE, (0, step, size[axis], dtypes.int64)))
        places = add(places, reshape(steps, shape))
    zeros = zeros_of((math.prod(x.shape),), g.array.dtype)
    flat = reshape(g, (math.prod(size),))
    whole = bind(PUT, (zeros, flat, reshape(places, (math.prod(size),))), ((Here(0),), True))
    return (reshape(whole, tuple(x.shape)),)


AS_STRIDED = define(
    "as_strided",
    attrs=("size", "stride", "offset"),
    doc="Any view of the memory of x, in elements from its start; x is contiguous.",
    infer=lambda x, *, size, stride, offset: Type(size, x.dtype),
    lower="as_strided",
    ref=_strided,
    vjp=_strided_vjp,
    view=True,
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), (2, 2), (4, 1), 1)),
        Sample((r.normal(size=8), (3, 4), (1, 1), 0)),
    ],
)


def storage_offset(input: Tensor) -> int:
    """How many elements of the memory come before the first."""
    array: Any = input.array
    if not isinstance(array, np.ndarray):
        if input.base is not None:
            array.needed("where a view lies in memory", hint="as_strided of the whole tensor")
        return 0
    start = root_of(input).array.__array_interface__["data"][0]
    return int(input.array.__array_interface__["data"][0] - start) // input.array.itemsize


def as_strided(input: Tensor, size: Any, stride: Any, storage_offset: int | None = None) -> Tensor:
    """Any view of the tensor's memory: sizes, strides and the first place, in elements.

    Raises ArgumentError where it would leave the memory.
    """
    shape, steps = sizes_of("as_strided", (size,)), sizes_of("as_strided", (stride,))
    root = (
        root_of(input)
        if input.base is None or input.chain is not None
        else wrap(root_of(input).array)
    )
    offset = _offset(input) if storage_offset is None else int(storage_offset)
    last = offset + sum((n - 1) * s for n, s in zip(shape, steps, strict=True))
    inside = offset >= 0 and min(steps, default=0) >= 0
    if not root.array.flags.c_contiguous or (
        0 not in shape and not (inside and last < root.array.size)
    ):
        problem = f"sizes {list(shape)} and strides {list(steps)} leave the memory"
        raise ArgumentError("as_strided", problem, input=type_of(root))
    return bind(AS_STRIDED, (root,), (shape, steps, offset))  # type: ignore[no-any-return]


_offset = storage_offset
