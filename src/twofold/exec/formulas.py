"""Plans of single calls as formulas of their sizes. Floor 7.

A planner is run on traced numbers (base/traced.py) when it is asked for a second size, once for
each way that it takes. For further sizes the formula gives the words of its steps: some
microseconds of arithmetic in place of its Python. It gives what the planner gives, or nothing, and
then the planner is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, final

from twofold.base.records import NamedTuple
from twofold.base.traced import Formula, Tape
from twofold.base.types import Type
from twofold.exec.found import Found, Part, taken_apart
from twofold.lower.schedule import Arg

MOST_WAYS = 16  # of one call
MOST_FAILURES = 2

Plan = Callable[[tuple[Arg, ...], tuple[Type, ...]], Any]


class Way(NamedTuple):
    """A formula, where its numbers stand among those of the layouts, and what the others are.

    parts   of each step: the step as it was first, and where its numbers begin among the wanted
    """

    formula: Formula
    pick: Callable[[Sequence[int]], Any]
    rest: Callable[[Sequence[int]], Any]
    same: Any
    found: Found
    parts: list[tuple[Part, int, int]]


def numbers_of(args: Sequence[Arg], outs: Sequence[Type]) -> list[int]:
    """All numbers of the layouts."""
    flat: list[int] = []
    for arg in args:
        flat += arg[0]
        flat += arg[2]
    for out in outs:
        flat += out[0]
    return flat


def _with_numbers(
    args: Sequence[Arg], outs: Sequence[Type], flat: Sequence[Any]
) -> tuple[tuple[Arg, ...], tuple[Type, ...]]:
    """The layouts with these numbers."""
    at = 0

    def taken(count: int) -> tuple[Any, ...]:
        nonlocal at
        at += count
        return tuple(flat[at - count : at])

    made = [Arg(taken(len(a.shape)), a.dtype, taken(len(a.strides)), a.frozen) for a in args]
    return tuple(made), tuple([Type(taken(len(out.shape)), out.dtype) for out in outs])


@final
class Formulas:
    """What is known of one call's planner, for arguments of the same types and ranks."""

    __slots__ = ("failures", "first", "varying", "ways")

    def __init__(self, flat: list[int]) -> None:
        self.first = flat
        self.varying: list[int] = []  # the places of numbers that have not stayed the same
        self.ways: list[Way] = []
        self.failures = 0

    def answer(self, flat: list[int]) -> Found | None:
        """The plan for layouts of these numbers, if a formula has it."""
        for number, way in enumerate(self.ways):
            if way.rest(flat) != way.same:
                continue
            made = way.formula(way.pick(flat))
            if made is not None:
                if number:
                    self.ways.insert(0, self.ways.pop(number))
                return _found(way, made)
        return None

    def learn(
        self, plan: Plan, args: Sequence[Arg], outs: Sequence[Type], flat: list[int], right: Found
    ) -> None:
        """Find the formula of the way that a planner takes here; `right` is what it gives."""
        if self.failures >= MOST_FAILURES or len(self.ways) >= MOST_WAYS:
            return
        found = [i for i, (a, b) in enumerate(zip(self.first, flat, strict=True)) if a != b]
        varying = sorted({*self.varying, *found})
        if varying != self.varying:
            self.varying, self.ways = varying, []
        way = _traced(plan, args, outs, flat, varying)
        made = way and way.formula(way.pick(flat))
        if way is None or made is None or _found(way, made) != right:
            self.failures += 1
            return
        self.ways.insert(0, way)


def picker(places: Sequence[int]) -> Callable[[Sequence[int]], Any]:
    """What takes the numbers at these places out of a list."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda flat: [flat[place] for place in places]


def _traced(
    plan: Plan, args: Sequence[Arg], outs: Sequence[Type], flat: list[int], varying: list[int]
) -> Way | None:
    """The way of a planner, run on traced numbers; None where it cannot be."""
    rest = [i for i in range(len(flat)) if i not in varying]
    pick, others = picker(varying), picker(rest)
    tape = Tape(pick(flat))
    traced: list[Any] = list(flat)
    for place, number in zip(varying, tape.numbers, strict=True):
        traced[place] = number
    try:
        found = taken_apart(plan(*_with_numbers(args, outs, traced)))
    except Exception:
        return None
    wanted: list[Any] = [found.scratch]
    parts = []
    for part in found.parts:
        begin = len(wanted)
        wanted += (part.chunks, *part.job, *[spot[3] for spot in part.spots])
        spots = tuple([(at, kind, index, 0) for at, kind, index, _ in part.spots])
        bare = Part(part.task, (), spots, 0, part.early)
        parts.append((bare, begin, begin + 1 + len(part.job)))
    bare_found = found._replace(parts=(), scratch=0)
    return Way(tape.formula(wanted), pick, others, others(flat), bare_found, parts)


def _found(way: Way, made: list[Any]) -> Found:
    """The plan of these numbers."""
    parts = []
    for (task, _, spots, _, early), begin, end in way.parts:
        offsets = made[end : end + len(spots)]
        if any(offsets):
            pairs = zip(spots, offsets, strict=True)
            spots = tuple([(at, kind, index, more) for (at, kind, index, _), more in pairs])
        parts.append(Part(task, tuple(made[begin + 1 : end]), spots, made[begin], early))
    return way.found._replace(parts=tuple(parts), scratch=made[0])
