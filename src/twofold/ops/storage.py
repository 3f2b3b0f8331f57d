"""The memory behind tensors, for programs that ask for it: as elements, and as bytes. Floor 4."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor


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
        return int(self.array.ctypes.data)

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
        return int(self.array.ctypes.data)

    def nbytes(self) -> int:
        return int(self.array.size)

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
    return Storage(self)


def untyped_storage(self: Tensor) -> UntypedStorage:
    """The same, as bytes."""
    whole = _whole(self.array)
    order = sorted(range(whole.ndim), key=lambda axis: -whole.strides[axis])
    return UntypedStorage(array=whole.transpose(order).reshape(-1).view(np.uint8))
