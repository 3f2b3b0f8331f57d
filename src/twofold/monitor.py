"""Events and counters of programs, under torch.monitor's names. Floor 12."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, final

from twofold.base.errors import DTypeError, StateError

__all__ = [
    "Aggregation", "Event", "EventHandlerHandle", "Stat", "TensorboardEventHandler",
    "data_value_t", "log_event", "register_event_handler", "unregister_event_handler",
]  # fmt: skip

data_value_t: TypeAlias = str | int | float | bool
STAT_EVENT = "torch.monitor.Stat"


class Aggregation(enum.Enum):
    """What a Stat tells of the values of a window."""

    VALUE = 0
    MEAN = 1
    COUNT = 2
    SUM = 3
    MAX = 4
    MIN = 5


@final
class Event:
    """Something that happened: its name, when, and plain values by name."""

    def __init__(self, name: str, timestamp: datetime, data: dict[str, data_value_t]) -> None:
        if not isinstance(timestamp, datetime):
            raise DTypeError("monitor.Event", "timestamp is no datetime", hint="datetime.now()")
        self.name, self.timestamp, self.data = name, timestamp, data


class EventHandlerHandle:
    """What `register_event_handler` gives, for `unregister_event_handler`."""

    def __init__(self, handler: Callable[[Event], None]) -> None:
        self.handler = handler


_handlers: list[EventHandlerHandle] = []


def register_event_handler(handler: Callable[[Event], None]) -> EventHandlerHandle:
    """Call handler(event) for each event from now on."""
    made = EventHandlerHandle(handler)
    _handlers.append(made)
    return made


def unregister_event_handler(handler: EventHandlerHandle) -> None:
    """No longer. Raises StateError where it was not registered."""
    if handler not in _handlers:
        raise StateError("monitor", "the handler is not registered", hint="register_event_handler")
    _handlers.remove(handler)


def log_event(event: Event) -> None:
    """Tell all handlers."""
    for handle in list(_handlers):
        handle.handler(event)


@final
class Stat:
    """Values that are put together over windows of time; each window is told as an event.

    name, aggregations: what events say. window_size: a timedelta. max_samples: a window ends after
    so many values, too.
    """

    def __init__(
        self,
        name: str,
        aggregations: Sequence[Aggregation],
        window_size: timedelta,
        max_samples: int | None = None,
    ) -> None:
        self.name = name
        self.aggregations = list(aggregations)
        self.window = window_size.total_seconds()
        self.most = max_samples
        self.values: list[float] = []
        self.begun = time.monotonic()

    @property
    def count(self) -> int:
        """How many values this window has."""
        return len(self.values)

    def add(self, v: float) -> None:
        """One more value; those of a window that is over are told first."""
        if time.monotonic() - self.begun >= self.window:
            self._tell()
        if self.most is not None and len(self.values) >= self.most:
            return
        self.values.append(float(v))

    def get(self) -> dict[Aggregation, float]:
        """What the window has so far."""
        return {kind: _aggregate(kind, self.values) for kind in self.aggregations}

    def _tell(self) -> None:
        data: dict[str, Any] = {
            f"{self.name}.{kind.name.lower()}": value for kind, value in self.get().items()
        }
        self.values, self.begun = [], time.monotonic()
        log_event(Event(STAT_EVENT, datetime.now(), data))


def _aggregate(kind: Aggregation, values: list[float]) -> float:
    if kind is Aggregation.COUNT:
        return float(len(values))
    if not values:
        return 0.0
    if kind is Aggregation.VALUE:
        return values[-1]
    total = sum(values)
    means = {Aggregation.MEAN: total / len(values), Aggregation.SUM: total}
    return means.get(kind, max(values) if kind is Aggregation.MAX else min(values))


@final
class TensorboardEventHandler:
    """Writes the numbers of each Stat to a SummaryWriter."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def __call__(self, event: Event) -> None:
        if event.name != STAT_EVENT:
            return
        for name, value in event.data.items():
            self.writer.add_scalar(name, value, walltime=event.timestamp.timestamp())
