"""How long a statement takes, as torch.utils.benchmark: repeated, told with its spread. Floor 13.

timer = Timer("x @ x", globals={"x": twofold.randn(64, 64)})
print(timer.blocked_autorange())
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.runtime.threads import get_num_threads, set_num_threads

MIN_RUN_TIME = 0.2  # seconds
BLOCK = 0.01  # seconds of one measurement, at least
Blocks = tuple[int, list[float]]  # runs of each, and the seconds that they took
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def _told(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds / size:.2f} {unit}"


@final
@dataclass(frozen=True)
class Measurement:
    """Times of blocks of `number_per_run` runs each; `times` are seconds of one run."""

    number_per_run: int
    raw_times: list[float]
    stmt: str
    label: str | None = None
    sub_label: str | None = None
    description: str | None = None
    env: str | None = None
    num_threads: int = 1

    @property
    def times(self) -> list[float]:
        return [taken / self.number_per_run for taken in self.raw_times]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.times)

    @property
    def median(self) -> float:
        return statistics.median(self.times)

    @property
    def iqr(self) -> float:
        """Between the first and the third quartile: 0 of a single time."""
        if len(self.raw_times) < 2:
            return 0.0
        first, _, third = statistics.quantiles(self.times, n=4, method="inclusive")
        return third - first

    @property
    def title(self) -> str:
        return ": ".join(part for part in (self.label or self.stmt, self.sub_label) if part)

    def __repr__(self) -> str:
        runs = f"{len(self.raw_times)} measurements of {self.number_per_run} runs"
        threads = f"{self.num_threads} thread" + "s" * (self.num_threads != 1)
        middle = f"median {_told(self.median)}, between quartiles {_told(self.iqr)}"
        return f"<{type(self).__name__}> {self.title}\n  {middle}\n  {runs}, {threads}"


@final
class Timer:
    """A statement that is timed, on `num_threads` threads (one, unless told).

    Raises ArgumentError for another language than Python.
    """

    def __init__(
        self,
        stmt: str = "pass",
        setup: str = "pass",
        global_setup: str = "",
        timer: Any = timeit.default_timer,
        globals: dict[str, Any] | None = None,
        label: str | None = None,
        sub_label: str | None = None,
        description: str | None = None,
        env: str | None = None,
        num_threads: int = 1,
        language: Any = "python",
    ) -> None:
        if global_setup or str(getattr(language, "name", language)).lower() not in ("python", "py"):
            raise ArgumentError("Timer", "only statements in Python are timed", language=language)
        self.names = (stmt, label, sub_label, description, env)
        self.num_threads = num_threads
        self.timer = timeit.Timer(stmt, setup, timer, dict(globals or {}))

    def timeit(self, number: int = 1_000_000) -> Measurement:
        """One measurement of `number` runs, after one that is not counted."""
        return self._measured(lambda: (number, [self._block(number)]))

    def blocked_autorange(
        self, callback: Any = None, min_run_time: float = MIN_RUN_TIME
    ) -> Measurement:
        """Measurements of 10 ms and more each, until `min_run_time` seconds have been measured.
        `callback(number, seconds)` is told of each.
        """

        def blocks() -> Blocks:
            number, taken = self._enough(min_run_time), []
            while sum(taken) < min_run_time:
                taken.append(self._block(number))
                if callback is not None:
                    callback(number, taken[-1])
            return number, taken

        return self._measured(blocks)

    def adaptive_autorange(
        self,
        threshold: float = 0.1,
        *,
        min_run_time: float = 0.01,
        max_run_time: float = 10.0,
        callback: Any = None,
    ) -> Measurement:
        """Measurements until their quartiles are within `threshold` of the median, for at least
        `min_run_time` and at most `max_run_time` seconds.
        """

        def blocks() -> Blocks:
            number, taken = self._enough(min_run_time), []
            while sum(taken) < max_run_time:
                taken.append(self._block(number))
                if callback is not None:
                    callback(number, taken[-1])
                made = Measurement(number, taken, self.names[0])
                near = len(taken) > 3 and made.iqr < threshold * made.median
                if near and sum(taken) >= min_run_time:
                    break
            return number, taken

        return self._measured(blocks)

    def _measured(self, blocks: Callable[[], Blocks]) -> Measurement:
        """What `blocks` measured, after one run that is not counted: it compiles."""
        before = get_num_threads()
        set_num_threads(self.num_threads)
        try:
            self._block(1)
            return Measurement(*blocks(), *self.names, self.num_threads)
        finally:
            set_num_threads(before)

    def _block(self, number: int) -> float:
        return self.timer.timeit(number)

    def _enough(self, run_time: float) -> int:
        """So many runs that a block of them takes long enough for the clock."""
        number = 1
        while self._block(number) < min(BLOCK, run_time):
            number *= 2
        return number


@final
class Compare:
    """A table of measurements: a row for each sub_label, a column for each description."""

    def __init__(self, results: Iterable[Measurement]) -> None:
        self.results = list(results)

    def extend_results(self, results: Iterable[Measurement]) -> None:
        self.results.extend(results)

    def trim_significant_figures(self) -> None:
        """Three digits are told anyway."""

    def colorize(self, rowwise: bool = False) -> None:
        """The least of a row is marked with a star anyway."""

    def highlight_warnings(self) -> None:
        """Spreads stand in the measurements themselves."""

    def __str__(self) -> str:
        columns = list(dict.fromkeys(m.description or "" for m in self.results))
        rows: dict[tuple[str, int], dict[str, float]] = {}
        for m in self.results:
            row = rows.setdefault((m.sub_label or m.stmt, m.num_threads), {})
            row[m.description or ""] = m.median
        lines = [["", *columns]]
        for (name, threads), times in rows.items():
            best = min(times.values())
            cells = [
                "-"
                if c not in times
                else _told(times[c]) + "*" * (times[c] == best and len(times) > 1)
                for c in columns
            ]
            lines.append([f"{name} ({threads} thread{'s' * (threads != 1)})", *cells])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        title = next((m.label for m in self.results if m.label), "")
        texts = ["  ".join(map(str.rjust, line, widths)) for line in lines]
        return "\n".join([title, *texts] if title else texts)

    def print(self) -> None:
        """Write the table."""
        print(str(self))
