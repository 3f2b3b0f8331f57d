"""Profiles of steps: which operations a program spends its time in, as PyTorch's. Floor 11.

    with profile(schedule=schedule(wait=1, warmup=1, active=3), on_trace_ready=done) as prof:
        for x, y in loader:
            step(x, y)
            prof.step()

What is recorded, and what it costs, stands in autograd/profiler.py.
"""

from __future__ import annotations

import enum
import os
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, final

from twofold.autograd.profiler import (
    Averages,
    Event,
    Recorder,
    averages,
    record_function,
    write_events,
)
from twofold.base.errors import ArgumentError

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "supported_activities",
    "tensorboard_trace_handler",
]


class ProfilerActivity(enum.Enum):
    """Where work is recorded; there is none but the CPU's."""

    CPU = 0
    CUDA = 1
    XPU = 2


def kineto_available() -> bool:
    """False: the spans are the profiler's own."""
    return False


def supported_activities() -> set[ProfilerActivity]:
    return {ProfilerActivity.CPU}


class ProfilerAction(enum.Enum):
    """What a profile does in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


Schedule = Callable[[int], ProfilerAction]


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0
) -> Schedule:
    """After `skip_first` steps, cycles of `wait` steps in which nothing is done, `warmup` steps and
    `active` steps that are recorded; `repeat` cycles, or for ever (0).

    Raises ArgumentError for a cycle without an active step, and for numbers below 0.
    """
    if active <= 0 or min(wait, warmup, repeat, skip_first) < 0:
        given = {"wait": wait, "warmup": warmup, "active": active}
        raise ArgumentError(
            "schedule",
            "a cycle has at least one active step, and no number is below 0",
            **given,
            repeat=repeat,
            skip_first=skip_first,
        )
    length = wait + warmup + active

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0 or (repeat and step >= repeat * length):
            return ProfilerAction.NONE
        place = step % length
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD_AND_SAVE if place == length - 1 else ProfilerAction.RECORD

    return action


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


def tensorboard_trace_handler(
    dir_name: Any, worker_name: str | None = None, use_gzip: bool = False
) -> Callable[[profile], None]:
    """For `on_trace_ready`: write each trace as a new file of that folder.

    Raises ArgumentError for use_gzip, which nothing that reads traces needs.
    """
    if use_gzip:
        raise ArgumentError(
            "tensorboard_trace_handler", "traces are not packed", hint="use_gzip=False"
        )
    worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"

    def write(made: profile) -> None:
        folder = Path(dir_name)
        folder.mkdir(parents=True, exist_ok=True)
        made.export_chrome_trace(folder / f"{worker}.{time.time_ns()}.pt.trace.json")

    return write


@final
class profile:
    """Record the operations of a block, or of the steps that a schedule names, in this thread.

    activities       taken for PyTorch's sake: what runs here runs on the CPU
    schedule         the action of each step, from `schedule(...)`; everything unless given
    on_trace_ready   called with the profile after the last step of a cycle, and at the end
    record_shapes    keep the shapes of inputs, for key_averages(group_by_input_shape=True)
    profile_memory   keep the bytes of new results
    with_stack       keep the user's line, for key_averages(group_by_stack_n=1)
    """

    def __init__(
        self,
        *,
        activities: Iterable[ProfilerActivity] | None = None,
        schedule: Schedule | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        **_: Any,
    ) -> None:
        self.activities = set(activities or supported_activities())
        self.schedule = schedule or _always
        self.stepped = schedule is not None
        self.on_trace_ready = on_trace_ready
        self.options = (record_shapes, with_stack, profile_memory)
        self.recorder = Recorder(*self.options)
        self.step_num = 0
        self.action = ProfilerAction.NONE
        self.marked = False

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with step 0."""
        self._begin(self.schedule(self.step_num))

    def stop(self) -> None:
        """End the step that runs, and hand over what it recorded."""
        self._end(ProfilerAction.NONE)

    def step(self) -> None:
        """The next step begins."""
        self.step_num += 1
        following = self.schedule(self.step_num)
        self._end(following)
        self._begin(following)

    def _begin(self, action: ProfilerAction) -> None:
        if _records(action) and not _records(self.action):
            self.recorder = Recorder(*self.options)
            self.recorder.start()
        self.action = action
        if _records(action) and self.stepped:
            self.marked = True
            self.recorder.enter(f"ProfilerStep#{self.step_num}")

    def _end(self, following: ProfilerAction) -> None:
        if not _records(self.action):
            return
        if self.marked:
            self.recorder.close()
            self.marked = False
        saves = self.action is ProfilerAction.RECORD_AND_SAVE
        if saves or not _records(following):
            self.recorder.stop()
            self.action = ProfilerAction.NONE
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)

    def events(self) -> list[Event]:
        """The spans of the cycle that was last recorded."""
        return self.recorder.events

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **_: Any
    ) -> Averages:
        """The spans of one name together: a list that prints as a table."""
        return averages(self.recorder.events, group_by_input_shape, group_by_stack_n > 0)

    def export_chrome_trace(self, path: Any) -> None:
        """Write the last cycle as a Chrome trace (chrome://tracing, ui.perfetto.dev)."""
        write_events(self.recorder.events, path)


def _records(action: ProfilerAction) -> bool:
    return action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)
