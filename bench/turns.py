"""Libraries that take turns: one process each, round by round, so that none disturbs another.

A contestant file defines `prepare(library, case)` -> a function to time. `compare` starts one
process per
library, asks each in turn to run a case for a while, and prints medians and the ratio to the peer.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

SECONDS = 0.15  # of work a turn
PAUSE = 0.05  # between turns, for the threads of the last one to fall asleep


def serve(module: str, library: str, threads: int, seconds: float) -> None:
    """The process of one library: reads cases, writes the time of one call."""
    prepare = importlib.import_module(module).prepare
    set_threads(library, threads)
    ready = ""
    clock = time.thread_time if threads == 1 else time.perf_counter
    for line in sys.stdin:
        case = line.strip()
        if case != ready:
            run, ready = prepare(library, case), case
            for _ in range(3):
                run()
        print(json.dumps(measure(run, seconds, clock)), flush=True)


def set_threads(library: str, threads: int) -> None:
    importlib.import_module(library).set_num_threads(threads)


def measure(run: Callable[[], Any], seconds: float, clock: Callable[[], float]) -> float:
    """Seconds of one call: a turn times its calls in blocks, and the median block counts."""
    start = clock()
    run()
    once = max(clock() - start, 1e-7)
    block = max(1, int(seconds / 7 / once))
    times = []
    for _ in range(7):
        start = clock()
        for _ in range(block):
            run()
        times.append((clock() - start) / block)
    return statistics.median(times)


class Contestant:
    def __init__(self, module: str, library: str, threads: int, seconds: float = SECONDS) -> None:
        self.pause = PAUSE if threads > 1 else 0.0
        arguments = f"{module!r}, {library!r}, {threads}, {seconds}"
        code = f"from bench.turns import serve; serve({arguments})"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS")}
        environment["OMP_NUM_THREADS"] = str(threads)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def time(self, case: str) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(case + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{case}: the process stopped")
        time.sleep(self.pause)
        return float(json.loads(line))


def compare(module: str, cases: Sequence[str], rounds: int = 5, threads: int = 2) -> dict[str, Any]:
    """Print and return, for each case, the medians in microseconds and ours / PyTorch's."""
    libraries = ("twofold", "torch")
    runners = {name: Contestant(module, name, threads) for name in libraries}
    results: dict[str, Any] = {}
    print(f"{'case':<28}{'twofold us':>14}{'torch us':>14}{'ratio':>8}   range of the ratio")
    for case in cases:
        times: dict[str, list[float]] = {name: [] for name in libraries}
        for number in range(rounds):
            for name in libraries if number % 2 else reversed(libraries):
                times[name].append(runners[name].time(case) * 1e6)
        ratios = sorted(a / b for a, b in zip(times["twofold"], times["torch"], strict=True))
        ours, theirs = (statistics.median(times[name]) for name in libraries)
        middle = statistics.median(ratios)
        results[case] = {"twofold": ours, "torch": theirs, "ratio": middle}
        print(
            f"{case:<28}{ours:>14.2f}{theirs:>14.2f}{middle:>8.2f}"
            f"   {ratios[0]:.2f} to {ratios[-1]:.2f}",
            flush=True,
        )
    for runner in runners.values():
        runner.process.kill()
    return results
