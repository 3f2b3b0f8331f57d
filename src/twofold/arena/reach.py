"""How far two threads are apart: the time in which a line of the cache reaches the other one.

Virtual CPUs are moved by their host, to cores that share a third-level cache and to cores that do
not: 47 or 175 ns on the machine where this was found. Work that threads share runs at two speeds
there, which no load shows.
"""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from twofold.codegen.compile import load
from twofold.ir.build import Module

TURNS = 1000  # of each thread in one measurement: a third of a millisecond at most
TRIES = 5  # the best counts: the threads may have been on one CPU


def kernels() -> Module:
    """bounce(turns, parity, word): wait until the word has this parity, and count it on."""
    m = Module("arena_reach")
    f = m.function("bounce", [("turns", "i64"), ("parity", "i64"), ("word", "ptr")])
    turns, parity, word = f.args
    with f.loop(0, turns):
        with f.while_():
            f.break_if((f.atomic_load(word) & 1).cmp("eq", parity))
            f.pause()
        f.atomic_store(word, f.atomic_load(word) + 1)
    f.ret()
    return m


def reach(pool: ThreadPoolExecutor) -> float:
    """Nanoseconds from one thread of a pool of two or more to another."""
    address = load("arena/reach", kernels).address("bounce")
    bounce = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)(address)
    words = np.zeros(32, np.int64)  # the one in the middle shares its lines with no other array
    place = words.ctypes.data + 128

    def side(parity: int) -> float:
        bounce(1, parity, place)  # both are here
        began = time.perf_counter()
        bounce(TURNS, parity, place)
        return time.perf_counter() - began

    taken = [max(pool.map(side, (0, 1))) for _ in range(TRIES)]
    return min(taken) / (2 * TURNS) * 1e9
