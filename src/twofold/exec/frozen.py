"""What a program makes of frozen inputs alone, and keeps from call to call. Floor 7.

Weights that a program only reads are packed, transformed or converted at every call, as anybody may
have written to them since. Where a user says that they are frozen (`compile(f, freeze=True)`), the
steps that read nothing else belong to the program's `Store`: they run when they are planned, and
again when the program is told that an input is another.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any, final

import numpy as np

from twofold.lower.schedule import Plan, Step
from twofold.runtime import memory, program

ALIGN = 64
MOST_SLAB = 32 * 1024 * 1024
MOST_BYTES = 4  # times what the inputs take: plans for further sizes freeze nothing


@final
class Room:
    """A piece of memory that belongs to a program: some bytes of an array."""

    __slots__ = ("array", "start")

    def __init__(self, array: Any, start: int) -> None:
        self.array = array
        self.start = start

    @property
    def address(self) -> int:
        return int(self.array.__array_interface__["data"][0]) + self.start


@final
class Store:
    """The rooms of a program, and the steps that fill them, in the order in which they run.

    inputs   the numbers of the inputs that are frozen
    keep     what the words of the steps point into
    lock     is held by who plans with the store, until it has filled it
    """

    def __init__(self, inputs: frozenset[int]) -> None:
        self.inputs = inputs
        self.rooms: dict[Hashable, Room] = {}
        self.steps: list[Step] = []
        self.keep: list[object] = []
        self.done = 0  # of the steps, how many have run
        self.bytes = 0
        self.slab: Any = None  # where rooms are cut from, and how much of it is taken
        self.taken = 0
        self.lock = threading.RLock()

    def room(self, key: Hashable, size: int) -> tuple[Room, bool]:
        """The room of what `key` tells exactly, and whether it is new and has to be filled."""
        found = self.rooms.get(key)
        if found is not None:
            return found, False
        made = self.rooms[key] = self.cut(-(-size // ALIGN) * ALIGN)
        return made, True

    def cut(self, size: int) -> Room:
        """A new room. They lie together, as large pieces of memory have large pages."""
        if self.slab is None or self.taken + size > self.slab.nbytes:
            whole = max(size, min(self.bytes, MOST_SLAB))
            self.slab, self.taken = memory.empty((whole,), np.dtype(np.uint8)), 0
            self.bytes += whole
        room = Room(self.slab, self.taken)
        self.taken += size
        return room

    def add(self, steps: Sequence[Step], keep: object) -> None:
        """Have steps run, whose words point into `keep`."""
        self.steps += steps
        self.keep.append(keep)

    def takes_more(self, arrays: Sequence[Any]) -> bool:
        """Whether further plans may have rooms."""
        return self.bytes <= MOST_BYTES * sum(int(arrays[index].nbytes) for index in self.inputs)

    def fill(self, arrays: Sequence[Any], again: bool = False) -> None:
        """Run the steps that have not run, or all of them `again`, for these inputs."""
        with self.lock:
            steps = self.steps if again else self.steps[self.done :]
            if steps:
                program.run_plan(Plan(tuple(steps)), (), arrays)
            self.done = len(self.steps)
