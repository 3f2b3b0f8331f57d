"""What this machine can do at most: multiply-adds and bytes in a second, measured.

Kernels of our own, in Loops: multiply-adds that live in registers, a sum that only reads, a copy.
Each thread runs its share. NumPy's matrix product takes part as well: the peak is the best rate
that anybody reached, so that a share of more than the whole stays rare.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, final

import numpy as np

from twofold.codegen.compile import load
from twofold.ir.build import Module

WIDTHS = (8, 16)  # float32 lanes of a vector
CHAINS = 12  # independent sums: more than latency times throughput of any CPU we know
UNROLL = 4
ROUNDS = 1_000_000  # of the multiply-add loop in one measurement: about 10 ms
ELEMENTS = 1 << 24  # float32 of each stream: 64 MB, beyond the caches
SIZE = 768  # of the matrix product
GEMM_REPEATS = 4


class Floors(NamedTuple):
    """Rates of one measurement: float operations and bytes per second."""

    flops: float
    read: float
    copy: float

    @property
    def bytes(self) -> float:
        return max(self.read, self.copy)


def kernels() -> Module:
    m = Module("arena")
    for width in WIDTHS:
        vector = f"f32x{width}"
        f = m.function(f"peak{width}", [("n", "i64"), ("x", "ptr")])
        n, x = f.args
        sums = [f.var(vector, 0.0) for _ in range(CHAINS)]
        a, b = x.load(vector), x.at(16).load(vector)
        with f.loop(0, n):
            for _ in range(UNROLL):
                for chain in sums:
                    chain.set(f.fma(a, b, chain.get()))
        total = sums[0].get()
        for chain in sums[1:]:
            total = total + chain.get()
        x.store(total)
        f.ret()
    f = m.function("read", [("n", "i64"), ("x", "ptr")])
    n, x = f.args
    sums = [f.var("f32x8", 0.0) for _ in range(8)]
    with f.loop(0, n, 64) as i:
        for number, chain in enumerate(sums):
            chain.set(chain.get() + x.at(i + 8 * number).load("f32x8"))
    total = sums[0].get()
    for chain in sums[1:]:
        total = total + chain.get()
    x.store(total)
    f.ret()
    f = m.function("copy", [("n", "i64"), ("x", "ptr"), ("y", "ptr")])
    n, x, y = f.args
    f.memcpy(y, x, n * 4)
    f.ret()
    return m


@final
class Meter:
    """Kernels and buffers, made once; `measure` takes a tenth of a second."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pool = ThreadPoolExecutor(threads)
        self.code = load("arena/floors/2", kernels)
        self.source = np.zeros((threads, ELEMENTS // threads // 64 * 64), np.float32)
        self.target = np.ones_like(self.source)
        self.matrix = np.full((SIZE, SIZE), 0.5, np.float32)
        self.result = np.empty_like(self.matrix)
        self.once()  # starts the threads and touches the buffers

    def measure(self) -> Floors:
        return self.once()

    def once(self) -> Floors:
        streamed = self.source.nbytes
        flops = [
            self.threads * ROUNDS * UNROLL * CHAINS * width * 2 / self.rate(f"peak{width}", ROUNDS)
            for width in WIDTHS
        ]
        flops.append(self.product())
        count = self.source.shape[1]
        return Floors(
            max(flops),
            streamed / self.rate("read", count),
            2 * streamed / self.rate("copy", count),
        )

    def rate(self, name: str, count: int) -> float:
        """The seconds of one kernel on all threads: the better of two runs."""
        return min(self.timed(name, count) for _ in range(2))

    def timed(self, name: str, count: int) -> float:
        pointers = (ctypes.c_void_p,) * (2 if name == "copy" else 1)
        function = ctypes.CFUNCTYPE(None, ctypes.c_int64, *pointers)(self.code.address(name))

        def share(number: int) -> None:
            buffers = [self.source, self.target][: len(pointers)]
            function(count, *(buffer[number].ctypes.data for buffer in buffers))

        return self.on_threads(share)

    def on_threads(self, share: Callable[[int], None]) -> float:
        began = time.perf_counter()
        for done in [self.pool.submit(share, number) for number in range(self.threads)]:
            done.result()
        return time.perf_counter() - began

    def product(self) -> float:
        """The rate of NumPy's matrix product, on as many threads as its library takes."""
        best = float("inf")
        for _ in range(GEMM_REPEATS):
            began = time.perf_counter()
            np.matmul(self.matrix, self.matrix, out=self.result)
            best = min(best, time.perf_counter() - began)
        return 2 * SIZE**3 / best

    def close(self) -> None:
        self.pool.shutdown()
