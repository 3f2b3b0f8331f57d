"""A call's own plan, taken apart: words, and where its pointers go. Floor 7."""

from __future__ import annotations

from typing import Any

from twofold.base.records import NamedTuple
from twofold.lower.schedule import Frozen, In, Out, Plan, Scratch

# A pointer among the words of a job: its position, what it is of, the number of the input or
# output, bytes further. Numbers alone, as the collector of garbage passes such tuples by.
Spot = tuple[int, int, int, int]
INPUT, OUTPUT, SCRATCH, FROZEN = range(4)
KINDS: dict[type, int] = {In: INPUT, Out: OUTPUT, Scratch: SCRATCH, Frozen: FROZEN}


class Part(NamedTuple):
    """A step of a call's plan: words with zeros where the pointers go. An `early` one fills memory
    of the program's from frozen inputs.
    """

    task: int
    job: tuple[int, ...]
    spots: tuple[Spot, ...]
    chunks: int
    early: bool


class Found(NamedTuple):
    """A call's plan, taken apart: the fields of `Plan`.

    points  to scratch memory, be it of no bytes where a size is 0
    early   whether a part is
    """

    parts: tuple[Part, ...]
    scratch: int
    contiguous: tuple[int, ...]
    keep: tuple[object, ...]
    frozen: int
    points: bool
    early: bool


def taken_apart(plan: Plan) -> Found:
    parts, points, any_early = [], False, False
    for step in plan.steps:
        job: list[Any] = list(step.job)
        spots = []
        frozen = late = False
        for i in [i for i, word in enumerate(job) if type(word) is not int]:
            word = job[i]
            kind = KINDS.get(type(word))
            if kind is None:
                continue  # a number of another kind
            spots.append((i, kind, word.index if kind <= OUTPUT else 0, word.offset))
            job[i] = 0
            frozen = frozen or kind == FROZEN
            late = late or kind in (OUTPUT, SCRATCH)
            points = points or kind == SCRATCH
        early = frozen and not late
        any_early = any_early or early
        parts.append(Part(step.task, tuple(job), tuple(spots), step.chunks, early))
    facts = (plan.scratch, plan.contiguous, plan.keep, plan.frozen)
    return Found(tuple(parts), *facts, points, any_early)
