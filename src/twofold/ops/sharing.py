"""Tensors in memory that several processes write to: `x.share_memory_()`. Floor 4.

The memory is a file without a name. A process that was forked has it at once; where a tensor is
sent (arguments of a spawned process, queues, pipes) its descriptor is sent in place of the values.
"""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import numpy as np

from twofold.ops.convert import reduce_ex
from twofold.ops.tensor import Parameter, Tensor, wrap

_files: weakref.WeakKeyDictionary[mmap.mmap, int] = weakref.WeakKeyDictionary()


def share_memory_(self: Tensor) -> Tensor:
    """Move the elements to memory that is shared with other processes, unless they are there: what
    one of them writes in place all of them see.
    """
    if is_shared(self):
        return self
    array: Any = self.array
    pages = _opened(_new_file(max(array.nbytes, 1)), max(array.nbytes, 1))
    moved = np.frombuffer(pages, array.dtype, array.size).reshape(array.shape)
    moved[...] = array
    self.data = wrap(moved)  # type: ignore[attr-defined]
    return self


def is_shared(self: Tensor) -> bool:
    """Whether other processes may see what is written to the tensor."""
    return _pages(self.array) is not None


def _new_file(size: int) -> int:
    if hasattr(os, "memfd_create"):
        found = os.memfd_create("twofold")
    else:
        with tempfile.TemporaryFile() as file:
            found = os.dup(file.fileno())
    os.ftruncate(found, size)
    return found


def _opened(file: int, size: int) -> mmap.mmap:
    """The pages of a file, which is closed when they are gone."""
    pages = mmap.mmap(file, size)
    _files[pages] = file
    weakref.finalize(pages, os.close, file)
    return pages


def _pages(array: Any) -> mmap.mmap | None:
    """The shared pages that an array lies in."""
    while isinstance(array, np.ndarray):
        array = array.base
    pages = array.obj if isinstance(array, memoryview) else array
    return pages if isinstance(pages, mmap.mmap) and pages in _files else None


def _reduce(x: Tensor) -> Any:
    """How a tensor is sent: its place in shared memory, or its values."""
    array: Any = x.array
    pages = _pages(array)
    if pages is None:
        return reduce_ex(x, 2)
    start = np.frombuffer(pages, np.uint8).ctypes.data
    place = array.dtype, array.shape, array.strides, array.ctypes.data - start
    return _rebuild, (type(x), DupFd(_files[pages]), len(pages), *place, x.tracked)


def _rebuild(
    cls: Any, file: Any, size: int, dtype: Any, shape: Any, strides: Any, start: int, tracked: bool
) -> Tensor:
    flat = np.frombuffer(_opened(file.detach(), size), np.uint8)[start:].view(np.uint8)
    usable = len(flat) // dtype.itemsize * dtype.itemsize
    made: Tensor = cls.__new__(cls)
    made.array = np.lib.stride_tricks.as_strided(flat[:usable].view(dtype), shape, strides)
    made.tracked = tracked
    return made


for _kind in (Tensor, Parameter):
    ForkingPickler.register(_kind, _reduce)
