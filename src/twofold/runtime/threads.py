"""How many threads kernels use. Floor 1.

The pool itself is machine code (codegen/native/pool.py), which starts its threads when it first
needs them. Here is its size: what the cgroup and the affinity allow, `TWOFOLD_THREADS`, or what
`set_num_threads` said. Results never depend on it.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import final

from twofold.base.errors import ArgumentError
from twofold.base.flags import flags
from twofold.runtime import limits

# Turns that an idle worker spins before it sleeps: about 0.2 ms, so that a chain of kernels finds
# it awake. With more threads than CPUs spinning only takes time from those who work.
SPIN, SPIN_CROWDED = 20_000, 50
MOST = 1024


@final
class Pool:
    """The size in force, and the machine code's own functions once they are loaded."""

    __slots__ = ("forget", "resize", "size")

    def __init__(self) -> None:
        self.size = 0
        self.resize: Callable[[int, int], None] | None = None
        self.forget: Callable[[], None] | None = None


_pool = Pool()


def get_num_threads() -> int:
    """The number of threads that a large kernel uses, the caller's included."""
    if _pool.size == 0:
        _pool.size = flags.threads if flags.threads > 0 else limits.cpus()
    return _pool.size


def set_num_threads(count: int) -> None:
    """Use `count` threads from now on (1 means the caller's alone). Results keep their bits.

    Raises ArgumentError for a count below 1 or beyond reason.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise ArgumentError("set_num_threads", f"{count!r} is not a whole number", hint="1 or more")
    if not 1 <= count <= MOST:
        raise ArgumentError("set_num_threads", f"{count} threads", hint=f"1 to {MOST}")
    _pool.size = count
    _apply()


def connect(resize: int, forget: int) -> None:
    """Take the addresses of pool_resize(threads, spin) and pool_forget()."""
    # CFUNCTYPE gives up the GIL: a resize waits for regions that other Python threads have running.
    _pool.resize = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(resize)
    _pool.forget = ctypes.PYFUNCTYPE(None)(forget)
    _apply()
    os.register_at_fork(after_in_child=_after_fork)


def _apply() -> None:
    if _pool.resize is not None:
        size = get_num_threads()
        _pool.resize(size, SPIN if size <= limits.cpus() else SPIN_CROWDED)


def _after_fork() -> None:
    """A forked child has no workers, whatever the pool's words say: start anew at the next use."""
    if _pool.forget is not None:
        _pool.forget()
