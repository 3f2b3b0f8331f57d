"""Memory for arrays: blocks that are kept for the next one of their size. Floor 1.

The allocator is machine code (codegen/native/allocator.py). Blocks are aligned to 64 bytes, those
from 4 MB up to 2 MB with huge pages; a freed block waits in the list of its size class, so that
steady work takes no page faults. Cached blocks go back to the system when a new block is needed
and all of them would be more than one and a half times the peak; when allocated and cached memory
together pass the limit (three quarters of what the process may use), when the system refuses
memory, and on `empty_cache`.

    >>> import twofold
    >>> twofold.memory.allocated() <= twofold.memory.peak()
    True
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base.errors import ArgumentError
from twofold.base.records import NamedTuple
from twofold.runtime import limits

# The allocator's words, in the machine code's data.
ALLOCATED, CACHED, PEAK, LIMIT = range(4)
SHARE = 0.75  # of the process's memory


class Memory(NamedTuple):
    """The machine code's words and functions. The GIL is their lock: PYFUNCTYPE keeps it."""

    words: ctypes.Array[ctypes.c_int64]
    take: Callable[[int], int | None]
    share: Callable[[int], int | None]
    give: Callable[[int], None]
    empty: Callable[[], None]


_memory: list[Memory] = []
# Without a GIL this lock does its work; with one it is never contended.
_lock = threading.RLock()


def connect(words: int, take: int, share: int, give: int, empty: int) -> None:
    """Take the addresses of the words and of the functions of codegen/native/allocator.py:
    block_alloc, block_scratch, block_free and cache_empty.
    """
    found = Memory(
        (ctypes.c_int64 * 4).from_address(words),
        ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(take),
        ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(share),
        ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(give),
        ctypes.PYFUNCTYPE(None)(empty),
    )
    found.words[LIMIT] = int(limits.memory() * SHARE)
    _memory[:] = [found]


def _word(index: int) -> int:
    return _memory[0].words[index] if _memory else 0


def allocated() -> int:
    """Bytes in arrays that are alive (whole blocks, as they were taken from the system)."""
    return _word(ALLOCATED)


def cached() -> int:
    """Bytes in blocks that wait for the next array of their size."""
    return _word(CACHED)


def peak() -> int:
    """The most bytes that were ever in arrays at once, since the start or the last `reset_peak`."""
    return _word(PEAK)


def reset_peak() -> None:
    """Let `peak` start again from what is allocated now."""
    if _memory:
        _memory[0].words[PEAK] = allocated()


def limit() -> int:
    """Blocks are cached only while allocated and cached bytes together stay below this."""
    return _word(LIMIT)


def set_limit(size: int) -> None:
    """Change the limit, and give cached blocks back to the system if there are too many now.

    Raises ArgumentError for a negative size.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise ArgumentError("set_limit", f"{size!r} is not a number of bytes", hint="0 or more")
    if _memory:
        _memory[0].words[LIMIT] = size
        if allocated() + cached() > size:
            empty_cache()


def empty_cache() -> None:
    """Give every cached block back to the system."""
    if _memory:
        with _lock:
            _memory[0].empty()


@final
class _Block:
    """The owner of a block: the base of an array whose `mem_handler` field cannot be used."""

    __slots__ = ("__array_interface__", "_address", "_give")

    def __init__(self, size: int, take: Callable[[int], int | None]) -> None:
        memory = _memory[0]
        self._give: Callable[[int], None] | None = None
        with _lock:
            address = take(size)
        if address is None:
            raise MemoryError(f"no memory for an array of {size} bytes")
        self._address = address
        # Kept by the object: module globals may be gone when the last arrays are freed.
        self._give = memory.give
        place = {"data": (address, False), "shape": (size,), "typestr": "|u1", "version": 3}
        self.__array_interface__ = place

    def __del__(self, lock: Any = _lock) -> None:
        if self._give is not None:
            with lock:
                self._give(self._address)


def empty_in_block(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> npt.NDArray[Any]:
    """`empty` without looking into NumPy's objects; `size` in bytes."""
    return np.asarray(_Block(size, _memory[0].take)).view(dtype).reshape(shape)


def scratch(size: int) -> npt.NDArray[Any]:
    """Memory for one call, in bytes; calls of many sizes share the block of the largest."""
    return np.asarray(_Block(size, _memory[0].share))


NativeEmpty = Callable[[tuple[int, ...], np.dtype[Any], int], npt.NDArray[Any]]
_native_empty: list[NativeEmpty] = []


def install(native_empty: NativeEmpty) -> None:
    """Have `empty` answered by machine code from now on: empty(shape, dtype, bytes)."""
    _native_empty[:] = [native_empty]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A new C-contiguous array of unknown values, aligned to 64 bytes."""
    size = math.prod(shape, start=dtype.itemsize)
    if _native_empty:
        return _native_empty[0](shape, dtype, size)
    return empty_in_block(shape, dtype, size)
