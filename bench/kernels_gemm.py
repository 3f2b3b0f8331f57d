"""Matrix products against NumPy and PyTorch, interleaved.

    python bench/kernels_gemm.py [CASE ...] [--threads 1 2] [--rounds 9] [--json FILE]

Each library runs in a process of its own, as the spinning threads of one disturb another, and the
processes take turns round by round. A ratio is the better peer's time over ours in the same round;
printed are the medians over the rounds, and the geometric mean over the cases. With one thread the
clock counts the thread's own time, so that what else the machine does hardly matters.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

PEERS = ("numpy", "torch")
SQUARES = (64, 96, 128, 192, 256, 384, 512, 1024, 2048)
LAYERS = ((32, 256, 784), (32, 784, 256), (128, 3072, 768), (768, 768, 2048))
BACKWARD = ((256, 256, 256), (1024, 1024, 1024))  # and LAYERS: batch, outputs, inputs
SECONDS = 0.02  # of work a turn
PAUSE = 0.08  # between turns: the last library's threads may spin that long before they sleep
LINE = 64


def all_cases() -> list[str]:
    """AB is x w; AtB is the gradient of a weight, x^T g; ABt is that of an input, g w^T."""
    cases = [f"AB.{n}.{n}.{n}" for n in SQUARES]
    cases += [f"AB.{m}.{n}.{k}" for m, n, k in LAYERS]
    for batch, outputs, inputs in LAYERS + BACKWARD:
        cases += [f"AtB.{inputs}.{outputs}.{batch}", f"ABt.{batch}.{inputs}.{outputs}"]
    return cases + ["AB.1.768.768", "ABt.1.768.768", "AB.1.3072.768", "ABt.1.3072.768"]


def operands(case: str) -> tuple[np.ndarray, np.ndarray]:
    layout, *sizes = case.split(".")
    m, n, k = map(int, sizes)
    random = np.random.default_rng(0)
    a = random.standard_normal((k, m) if layout == "AtB" else (m, k), dtype=np.float32)
    b = random.standard_normal((n, k) if layout == "ABt" else (k, n), dtype=np.float32)
    return (a.T if layout == "AtB" else a), (b.T if layout == "ABt" else b)


# ---- one library -------------------------------------------------------------------------------


def prepare_numpy(a: np.ndarray, b: np.ndarray, threads: int) -> Callable[[], Any]:
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    return lambda: np.matmul(a, b, out=out)


def prepare_torch(a: np.ndarray, b: np.ndarray, threads: int) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(threads)
    x, w = torch.from_numpy(a), torch.from_numpy(b)
    out = torch.empty(a.shape[0], b.shape[1])
    return lambda: torch.mm(x, w, out=out)


def prepare_ours(a: np.ndarray, b: np.ndarray, threads: int) -> Callable[[], Any]:
    from twofold.base import dtypes
    from twofold.base.types import Type
    from twofold.codegen.native import core
    from twofold.lower.matmul import plan_matmul
    from twofold.lower.schedule import Arg, In, Scratch
    from twofold.runtime import program

    core.start()
    pool_run = program._pool_run[0]
    dtype = dtypes.of(a.dtype)
    out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    args = [Arg(x.shape, dtype, tuple(s // x.itemsize for s in x.strides)) for x in (a, b)]
    plan = plan_matmul(tuple(args), (Type(out.shape, dtype),), {}, threads)
    scratch = np.zeros(plan.scratch + LINE, np.uint8)
    base = scratch.ctypes.data + -scratch.ctypes.data % LINE

    def word(value: Any) -> int:
        if isinstance(value, int):
            return value
        if isinstance(value, Scratch):
            return base + value.offset
        array = (a, b)[value.index] if isinstance(value, In) else out
        return array.ctypes.data + value.offset

    jobs = [(ctypes.c_int64 * len(step.job))(*map(word, step.job)) for step in plan.steps]
    calls = [(s.task, ctypes.addressof(j), s.chunks) for s, j in zip(plan.steps, jobs, strict=True)]

    def call(keep: Any = (a, b, out, scratch, jobs)) -> None:
        for task, job, chunks in calls:
            pool_run(task, job, chunks)

    return call


PREPARE = {"numpy": prepare_numpy, "torch": prepare_torch, "ours": prepare_ours}


def serve(library: str, threads: int) -> None:
    """Answer lines: a case makes it ready, an empty line runs it for a turn and prints seconds."""
    call: Callable[[], Any] = lambda: None  # noqa: E731
    for line in sys.stdin:
        if line.strip():
            call = PREPARE[library](*operands(line.strip()), threads)
            call()
        print(measure(call, time.thread_time if threads == 1 else time.perf_counter), flush=True)


def measure(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Seconds a call, over about SECONDS of calls, after some to wake the threads."""
    start = clock()
    count = 0
    while count < 2 or clock() - start < SECONDS / 5:
        call()
        count += 1
    count = max(1, int(SECONDS * count / (clock() - start)))
    start = clock()
    for _ in range(count):
        call()
    return (clock() - start) / count


# ---- all of them -------------------------------------------------------------------------------


class Library:
    """A process that runs one library."""

    def __init__(self, name: str, threads: int) -> None:
        limits = {f"{x}_NUM_THREADS": str(threads) for x in ("OMP", "MKL", "OPENBLAS")}
        hidden = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
        kept = {k: v for k, v in os.environ.items() if k not in hidden}
        command = [sys.executable, __file__, "--serve", name, "--threads", str(threads)]
        pipe = subprocess.PIPE
        environment = kept | limits | {"TWOFOLD_THREADS": str(threads)}
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def ask(self, line: str = "") -> float:
        assert self.process.stdin
        assert self.process.stdout
        time.sleep(PAUSE)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(cases: list[str], threads: int, rounds: int) -> dict[str, Any]:
    names = ("ours", *PEERS)
    libraries = {name: Library(name, threads) for name in names}
    ratios = {}
    print(f"\n{threads} thread(s), GFLOP/s        ours   numpy   torch   ours/best   least most")
    for case in cases:
        for library in libraries.values():
            library.ask(case)
        turns = [{name: libraries[name].ask() for name in names} for _ in range(rounds)]
        work = 2e-9 * math.prod(map(int, case.split(".")[1:]))
        rates = {name: work / statistics.median(t[name] for t in turns) for name in names}
        each = sorted(min(t[p] for p in PEERS) / t["ours"] for t in turns)
        ratios[case] = statistics.median(each)
        columns = " ".join(f"{rates[name]:7.1f}" for name in names)
        spread = f"{each[len(each) // 4]:6.2f} {each[-1 - len(each) // 4]:4.2f}"
        print(f"{case:24} {columns}   {ratios[case]:9.2f}  {spread}", flush=True)
    for library in libraries.values():
        library.close()
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    print(f"geometric mean {mean:.3f}, least {min(ratios.values()):.2f}")
    return {"threads": threads, "mean": mean, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="such as AB.64.64.64 (default: all)")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--serve", choices=PREPARE, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.threads[0])
        return
    results = [compare(given.cases or all_cases(), t, given.rounds) for t in given.threads]
    if given.json:
        with open(given.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
