"""What planning a graph gives: its plan, its memory and whose it is, steps on the way. Floor 7."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.exec.frozen import Room
from twofold.exec.structure import Place
from twofold.ir.graph import Call
from twofold.lower.schedule import In, Out, Plan, Scratch, Step, Word
from twofold.runtime.program import BASES, SCRATCH, Coded


class Buffer(NamedTuple):
    """A piece of the arena: its bytes, and the first and last call that need it."""

    size: int
    first: int
    last: int


@final
class Buffers(Sequence[Buffer]):
    """The same of many sizes and lives, made when somebody asks."""

    def __init__(self, sizes: Sequence[int], lives: Sequence[tuple[int, int]]) -> None:
        self.sizes, self.lives = sizes, lives

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: Any) -> Any:
        return [Buffer(size, *life) for size, life in zip(self.sizes, self.lives, strict=True)][
            index
        ]


class Owner(NamedTuple):
    """Who needs memory: for the report."""

    size: int
    call: Call


class Planned(NamedTuple):
    """A graph's plan for inputs of known layouts.

    outs     types of the results, in the graph's order
    buffers  the pieces of the arena, and for whom each is
    steps    for each step of the plan the call that it is of
    in_python  the calls that have no kernel
    """

    plan: Plan
    outs: tuple[Type, ...]
    arena: int
    buffers: Sequence[Buffer]
    whose: Sequence[Call]
    steps: tuple[Call, ...]
    in_python: tuple[Call, ...]

    @property
    def owners(self) -> tuple[Owner, ...]:
        """Who owned most when most was needed."""
        if not self.buffers:
            return ()
        changes = np.zeros(max(buffer.last for buffer in self.buffers) + 2, np.int64)
        for size, first, last in self.buffers:
            changes[first] += size
            changes[last + 1] -= size
        peak = int(np.cumsum(changes).argmax())
        alive = [
            Owner(buffer.size, call)
            for buffer, call in zip(self.buffers, self.whose, strict=True)
            if buffer.first <= peak <= buffer.last
        ]
        return tuple(sorted(alive, key=lambda owner: -owner.size)[:8])


class Pending(NamedTuple):
    """A step whose pointers are places yet: (position among the words, place, bytes further)."""

    task: int
    job: tuple[int, ...]
    spots: list[tuple[int, Place, int]]
    chunks: int
    call: Call

    def resolved(self, offsets: Sequence[int]) -> Step:
        """The step with pointers for places."""
        job: list[Word] = list(self.job)
        for at, (base, offset, _), more in self.spots:
            offset += more
            kind = type(base)
            if kind is int:
                job[at] = Scratch(offsets[base] + offset)
            elif kind is In or kind is Out:
                job[at] = kind(base.index, base.offset + offset)
            elif type(base) is Room:
                job[at] = base.address + offset
            else:
                job[at] = int(base.__array_interface__["data"][0]) + offset
        return Step(self.task, tuple(job), self.chunks, [spot[0] for spot in self.spots])


def coded(steps: Sequence[Pending], offsets: Sequence[int], inputs: int) -> Coded:
    """The steps with pointers for places, as words."""
    heads: list[int] = []
    words: list[int] = []
    patches: list[int] = []
    for task, job, spots, chunks, _ in steps:
        start = len(words)
        heads += (task, start, chunks)
        words += job
        for at, place, more in spots:
            base = place[0]
            kind = type(base)
            if kind is int:
                patches += (start + at, SCRATCH, offsets[base] + place[1] + more)
            elif kind is In:
                patches += (start + at, BASES + base.index, base.offset + place[1] + more)
            elif kind is Out:
                where = BASES + inputs + base.index
                patches += (start + at, where, base.offset + place[1] + more)
            elif kind is Room:
                words[start + at] = base.address + place[1] + more
            else:
                address = int(base.__array_interface__["data"][0])
                words[start + at] = address + place[1] + more
    return Coded(heads, words, patches, inputs)
