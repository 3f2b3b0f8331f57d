"""What ran, for how long and from which line: spans of time, and tables of them. Floor 8.

    with profile() as prof:
        with record_function("forward"):
            loss = model(x).sum()
        loss.backward()
    print(prof.key_averages().table(sort_by="self_cpu_time_total"))

The recorder is an interpreter: every operation of the block reaches `run`, the gradients' too. A
call of a compiled function is one span (`twofold.profile` tells of its kernels), an optimizer's
step another. In the block each call is answered by Python, some microseconds of which are outside
of the spans. Names and tables
are those of torch.autograd.profiler; times are in microseconds.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, final

from twofold.base.atomic import atomic
from twofold.base.errors import ArgumentError, DeviceError, line_of, user_place
from twofold.ops.bind import bind, interpreter, mode
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor

ROWS = 100  # of a table, unless it is told
NAME_WIDTH = 55


@dataclass(slots=True, eq=False)
class Event:
    """One span: `start` and `end` in microseconds of a clock that only goes on."""

    name: str
    start: float
    end: float = 0.0
    shapes: tuple[tuple[int, ...], ...] = ()
    where: Any = None
    bytes: int = 0
    parent: Event | None = None
    children: float = 0.0  # microseconds of the spans inside
    thread: int = field(default_factory=threading.get_ident)

    @property
    def cpu_time_total(self) -> float:
        return self.end - self.start

    @property
    def self_cpu_time_total(self) -> float:
        return self.cpu_time_total - self.children

    @property
    def line(self) -> str:
        """The user's line."""
        return line_of(self.where) if self.where else ""


@dataclass(slots=True)
class Average:
    """All spans of one name (and of one list of shapes, or one line, if these were asked for)."""

    key: str
    input_shapes: tuple[tuple[int, ...], ...]
    line: str
    count: int = 0
    cpu_time_total: float = 0.0
    self_cpu_time_total: float = 0.0
    cpu_memory_usage: int = 0

    @property
    def cpu_time(self) -> float:
        """Of one span, on average."""
        return self.cpu_time_total / self.count

    def add(self, event: Event) -> None:
        self.count += 1
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.cpu_memory_usage += event.bytes


COLUMNS: dict[str, Callable[[Average], Any]] = {
    "self_cpu_time_total": lambda a: a.self_cpu_time_total,
    "cpu_time_total": lambda a: a.cpu_time_total,
    "cpu_time": lambda a: a.cpu_time,
    "cpu_memory_usage": lambda a: a.cpu_memory_usage,
    "self_cpu_memory_usage": lambda a: a.cpu_memory_usage,
    "count": lambda a: a.count,
}


@final
class Averages(list[Average]):
    """What `key_averages` gives: a list that prints as a table."""

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = ROWS,
        max_name_column_width: int = NAME_WIDTH,
        header: str | None = None,
        **_: Any,
    ) -> str:
        """The rows, the largest `sort_by` first: one of self_cpu_time_total, cpu_time_total,
        cpu_time, cpu_memory_usage, count. Raises ArgumentError for another.
        """
        rows = list(self)
        if sort_by is not None:
            sort_by = sort_by.replace("cuda", "cpu").replace("device", "cpu")
            if sort_by not in COLUMNS:
                raise ArgumentError("table", f"no column {sort_by!r}", hint=" ".join(COLUMNS))
            rows.sort(key=COLUMNS[sort_by], reverse=True)
        total = sum(a.self_cpu_time_total for a in self) or 1.0
        more = [
            ("Input Shapes", any(a.input_shapes for a in self)),
            ("Line", any(a.line for a in self)),
        ]
        memory = any(a.cpu_memory_usage for a in self)
        titles = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg"]
        titles += ["CPU Mem"] * memory + ["# of Calls"] + [name for name, there in more if there]
        lines = [titles]
        for a in rows[: row_limit if row_limit >= 0 else None]:
            share = [
                f"{100 * part / total:.2f}%" for part in (a.self_cpu_time_total, a.cpu_time_total)
            ]
            line = [a.key[:max_name_column_width], share[0], _time(a.self_cpu_time_total)]
            line += [share[1], _time(a.cpu_time_total), _time(a.cpu_time)]
            line += [_size(a.cpu_memory_usage)] * memory + [str(a.count)]
            line += [str([list(s) for s in a.input_shapes])] * more[0][1] + [a.line] * more[1][1]
            lines.append(line)
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = "  ".join("-" * width for width in widths)
        texts = ["  ".join(map(str.rjust, line, widths)).rstrip() for line in lines]
        head = [header] if header else []
        return "\n".join(
            [*head, rule, texts[0], rule, *texts[1:], rule, f"Self CPU time total: {_time(total)}"]
        )

    def __str__(self) -> str:
        return self.table()


def _profiler_enabled() -> bool:
    """Whether a profile runs in this thread."""
    return _now.recorder is not None


def _disable_profiler() -> None:
    """End the profile that runs in this thread."""
    if _now.recorder is not None:
        _now.recorder.stop()


EventList = Averages  # PyTorch's name


@final
class emit_nvtx:
    """Spans for NVIDIA's profiler. Raises DeviceError when it is made: there is no such device."""

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        hint = "autograd.profiler.profile()"
        raise DeviceError("emit_nvtx", "there is no CUDA device here", hint=hint)


def _time(microseconds: float) -> str:
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:.3f}{unit}"
    return f"{microseconds:.3f}us"


def _size(count: int) -> str:
    for size, unit in ((1 << 30, "Gb"), (1 << 20, "Mb"), (1 << 10, "Kb")):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} b"


def averages(events: Iterable[Event], shapes: bool = False, lines: bool = False) -> Averages:
    """Events of one name together; of one name and one list of shapes, or one line, if so asked."""
    found: dict[Any, Average] = {}
    for event in events:
        key = (event.name, event.shapes if shapes else (), event.line if lines else "")
        found.setdefault(key, Average(*key)).add(event)
    return Averages(found.values())


def write_events(events: Iterable[Event], path: Any) -> None:
    """A Chrome trace (chrome://tracing, ui.perfetto.dev): a row for each thread."""
    process = os.getpid()
    spans = [
        {
            "ph": "X",
            "name": event.name,
            "pid": process,
            "tid": event.thread,
            "ts": event.start,
            "dur": event.cpu_time_total,
            "args": {"Input Dims": [list(s) for s in event.shapes], "line": event.line},
        }
        for event in events
    ]
    text = json.dumps({"traceEvents": spans, "displayTimeUnit": "ms"})
    with atomic(path) as file:
        file.write(text.encode())


# ---- recording -----------------------------------------------------------------------------------


class _Now(threading.local):
    recorder: Recorder | None = None


_now = _Now()


@final
class Recorder:
    """The interpreter of a block that is profiled, over the one that was in force."""

    def __init__(self, shapes: bool, lines: bool, memory: bool) -> None:
        self.shapes, self.lines, self.memory = shapes, lines, memory
        self.events: list[Event] = []
        self.open: Event | None = None

    def start(self) -> None:
        if _now.recorder is not None:
            raise ArgumentError("profile", "another profile is running in this thread")
        _now.recorder = self
        self.below = mode.interpreter
        self.block = interpreter(self)
        self.block.__enter__()

    def stop(self) -> None:
        while self.open is not None:
            self.close()
        self.block.__exit__(None, None, None)
        _now.recorder = None

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        event = self.enter(op.name, inputs)
        try:
            with interpreter(self.below):
                made = bind(op, inputs, attrs)
        finally:
            self.close()
        if self.memory and not op.view:
            outs = made if isinstance(made, tuple) else (made,)
            event.bytes = sum(x.array.nbytes for x in outs)
        return made

    def span(self, name: str, call: Callable[[], Any]) -> Any:
        """A call that is one span, and runs as it does without a profile."""
        self.enter(name)
        try:
            with interpreter(self.below):
                return call()
        finally:
            self.close()

    def enter(self, name: str, inputs: tuple[Tensor, ...] = ()) -> Event:
        shapes = tuple(tuple(x.array.shape) for x in inputs) if self.shapes else ()
        where = user_place() if self.lines else None
        event = Event(name, 0.0, shapes=shapes, where=where, parent=self.open)
        self.events.append(event)
        self.open = event
        event.start = time.perf_counter_ns() / 1e3
        return event

    def close(self) -> None:
        """End the innermost span."""
        event = self.open
        assert event is not None
        event.end = time.perf_counter_ns() / 1e3
        self.open = event.parent
        if event.parent is not None:
            event.parent.children += event.cpu_time_total


@final
class record_function:
    """A span of one's own, as a block or as a decorator; nothing where no profile runs.

    >>> with record_function("attention"):
    ...     y = attention(x)
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.event: Event | None = None

    def __enter__(self) -> record_function:
        recorder = _now.recorder
        self.event = recorder.enter(self.name) if recorder else None
        return self

    def __exit__(self, *_: object) -> None:
        recorder = _now.recorder
        while recorder is not None and self.event is not None and self.event.end == 0.0:
            recorder.close()  # what was left open inside ends here too

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name):
                return function(*args, **kwargs)

        return inside


@final
class profile:
    """Record the operations of a block in this thread. See `twofold.profiler` for schedules.

    record_shapes    keep the shapes of inputs
    profile_memory   keep the bytes of new results
    with_stack       keep the user's line
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        **_: Any,
    ) -> None:
        self.enabled = enabled
        self.recorder = Recorder(record_shapes, with_stack, profile_memory)

    def __enter__(self) -> profile:
        if self.enabled:
            self.recorder.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.enabled:
            self.recorder.stop()

    @property
    def function_events(self) -> list[Event]:
        return self.recorder.events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0
    ) -> Averages:
        """The spans of one name together."""
        return averages(self.recorder.events, group_by_input_shape, group_by_stack_n > 0)

    def total_average(self) -> Average:
        total = Average("Total", (), "")
        for event in self.recorder.events:
            total.add(event)
        return total

    def table(self, **options: Any) -> str:
        return self.key_averages().table(**options)

    def export_chrome_trace(self, path: Any) -> None:
        """Write a Chrome trace."""
        write_events(self.recorder.events, path)

    @property
    def self_cpu_time_total(self) -> float:
        return sum(event.self_cpu_time_total for event in self.recorder.events)
