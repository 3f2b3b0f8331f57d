"""How many calls of a module several threads make in a second. Floor 13."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any, NamedTuple, final

__all__ = ["ExecutionStats", "ThroughputBenchmark"]


class ExecutionStats(NamedTuple):
    """What a run took: milliseconds of a call, and how many calls there were."""

    latency_avg_ms: float
    num_iters: int
    total_time_seconds: float

    @property
    def iters_per_second(self) -> float:
        return self.num_iters / self.total_time_seconds

    def __repr__(self) -> str:
        return (
            f"Average latency per example: {self.latency_avg_ms:.3f} ms\n"
            f"Total number of iterations: {self.num_iters}\n"
            f"Total number of iterations per second (across all threads): "
            f"{self.iters_per_second:.2f}\nTotal time: {self.total_time_seconds:.3f} s"
        )


@final
class ThroughputBenchmark:
    """Calls a module from several threads, with inputs in turns."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self.inputs: list[tuple[Any, Any]] = []

    def add_input(self, *args: Any, **kwargs: Any) -> None:
        """One more input that calls are made with."""
        self.inputs.append((args, kwargs))

    def run_once(self, *args: Any, **kwargs: Any) -> Any:
        """What the module gives."""
        return self.module(*args, **kwargs)

    def benchmark(
        self,
        num_calling_threads: int = 1,
        num_warmup_iters: int = 10,
        num_iters: int = 100,
        profiler_output_path: str = "",
    ) -> ExecutionStats:
        """Make `num_iters` calls after some to warm up."""
        turns = itertools.cycle(self.inputs or [((), {})])
        for _ in range(num_warmup_iters):
            args, kwargs = next(turns)
            self.module(*args, **kwargs)
        left, lock, spent = iter(range(num_iters)), threading.Lock(), [0.0]

        def work() -> None:
            while True:
                with lock:
                    if next(left, None) is None:
                        return
                    args, kwargs = next(turns)
                start = time.perf_counter()
                self.module(*args, **kwargs)
                took = time.perf_counter() - start
                with lock:
                    spent[0] += took

        threads = [threading.Thread(target=work) for _ in range(num_calling_threads)]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total = time.perf_counter() - begun
        return ExecutionStats(1e3 * spent[0] / max(num_iters, 1), num_iters, total)
