"""Branches and loops as steps of a plan: the graphs that they run, planned once. Floor 7.

The graph of a branch or a body is planned like any other (exec/graphs.py), its inputs lying where
the values of the graph around lie. What comes of it is a program that stands in the job of one step
(lower/turns.py). Its buffers are used again in every turn; what is carried has two, one that a turn
reads and one that it writes; rows of what is scanned, and of what is stacked, are found by moving
pointers; a loop whose gradient goes back through its turns keeps what it carried in a record that
grows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.records import NamedTuple
from twofold.exec.structure import Place, Structure
from twofold.ir.graph import Call
from twofold.lower.schedule import Arg, In, Out
from twofold.lower.strided import dense_strides
from twofold.lower.turns import BRANCH, RECORD, STEP_WORDS, TURNS, UNTIL, address_of
from twofold.ops.control import Body
from twofold.passes.manager import chosen, optimize
from twofold.runtime import faults

if TYPE_CHECKING:  # graphs.py plans with this file: an import that runs would be a ring
    from twofold.exec.graphs import Planner

ALIGN = 64
STOP = object()  # the base of the byte that ends all loops
STOPPED = Place(STOP, 0, Arg((), dtypes.bool_, ()))


def structure_of(body: Body) -> Structure:
    """What planning a body needs to know, found once."""
    if body.structure is None:
        body.structure = Structure(optimize(body.graph, chosen(body.passes)))
    found: Structure = body.structure
    return found


class Part(NamedTuple):
    """A program that stands in a job.

    spots    (position among the words, place, bytes further)
    reads    the positions of each input's addresses, by the input's number
    writes   those of each result's
    """

    words: list[int]
    spots: list[tuple[int, Place, int]]
    steps: int
    reads: dict[int, list[int]]
    writes: dict[int, list[int]]


NOTHING = Part([], [], 0, {}, {})


class Kept(NamedTuple):
    """Where something lies in a row of a record: how many bytes from its begin, and its layout."""

    offset: int
    arg: Arg


@final
class Job:
    """The words of a step under construction: those of a header, then programs and tables."""

    def __init__(self, header: str) -> None:
        names = [word.partition(":")[0] for word in header.split()]
        self.at = {name: i for i, name in enumerate(names)}
        self.words = [0] * len(names)
        self.spots: list[tuple[int, Place, int]] = []

    def set(self, name: str, value: int) -> None:
        self.words[self.at[name]] = value

    def point(self, name: str, place: Place) -> None:
        self.spots.append((self.at[name], place, 0))

    def program(self, name: str, part: Part) -> int:
        """Where the program begins."""
        begin = len(self.words)
        self.set(f"{name}_at", begin)
        self.set(f"{name}_steps", part.steps)
        self.words += part.words
        self.spots += [(begin + at, place, more) for at, place, more in part.spots]
        return begin

    def table(self, name: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Rows of numbers and places."""
        self.set(f"{name}_at", len(self.words))
        self.set(name, len(rows))
        for cell in [cell for row in rows for cell in row]:
            if isinstance(cell, Place):
                self.spots.append((len(self.words), cell, 0))
                cell = 0
            self.words.append(cell)


@final
class Control:
    """Adds one call to a plan."""

    def __init__(self, planner: Planner, number: int, call: Call) -> None:
        self.planner = planner
        self.number = number
        self.call = call
        self.stop = planner.stop
        self.stops = False  # whether something in it may end it

    def add(self, places: Sequence[Place], made: Sequence[Place], attrs: Any) -> None:
        WAYS[self.call.op.name](self, places, made, **attrs)

    # ---- the operations

    def cond(
        self, places: Any, made: Any, *, yes: Body, no: Body, split: Any, outs: int, **_: Any
    ) -> None:
        pred, *operands = places
        shared, first, _ = split
        own = shared + first
        middle = len(yes.graph.results)
        results, checks = made[:outs], made[outs:]
        one = self.part(yes, operands[:own], (*results, *made[outs:middle]))
        other = self.part(no, [*operands[:shared], *operands[own:]], (*results, *made[middle:]))
        job = Job(BRANCH)
        job.point("pred", pred)
        job.program("yes", one)
        job.program("no", other)
        job.table("checks", [(check,) for check in checks])
        self.step(job, "branch")

    def scan(
        self, places: Any, made: Any, *, body: Body, split: Any, reverse: bool, **_: Any
    ) -> None:
        count, scanned, stacked = split
        xs, outer = places[count : count + scanned], places[count + scanned :]
        turns = xs[0].arg.shape[0]
        # the last turn writes what is carried to where it is wanted
        carries = [self.carry(place, out, turns) for place, out in zip(places, made[:count])]  # noqa: B905
        if not turns:
            for out in made[count + stacked :]:
                self.clear(out)
            return
        sign, begin = (-1, turns - 1) if reverse else (1, 0)
        slices = [self.row(x, begin) for x in xs]
        stacks = [self.row(y, begin) for y in made[count : count + stacked]]
        ins = [*(one for one, _ in carries), *slices, *outer]
        outs = [*(other for _, other in carries), *stacks, *made[count + stacked :]]
        part = self.part(body, ins, outs)
        moving = {count + i: x for i, x in enumerate(xs)}
        moves = [(at, sign * pitch(x)) for i, x in moving.items() for at in part.reads.get(i, ())]
        stacking = {count + i: y for i, y in enumerate(made[count : count + stacked])}
        moves += [
            (at, sign * pitch(y)) for i, y in stacking.items() for at in part.writes.get(i, ())
        ]
        job = self.loop(part, carries, made[count + stacked :], moves)
        job.set("turns", turns)
        self.step(job, "turns")

    def while_(
        self, places: Any, made: Any, *, test: Body, body: Body, split: Any, **_: Any
    ) -> None:
        count, first, _ = split
        carries = [self.carry(place, out, 0) for place, out in zip(places, made[:count])]  # noqa: B905
        begin, after = [one for one, _ in carries], [other for _, other in carries]
        middle = len(body.graph.results)
        flag = self.fresh((), dtypes.bool_)
        asked = self.part(test, [*begin, *places[count : count + first]], [flag, *made[middle:]])
        part = self.part(body, [*begin, *places[count + first :]], [*after, *made[count:middle]])
        job = self.loop(part, carries, made[count:], (), asked)
        job.set("turns", UNTIL)
        job.point("flag", flag)
        self.finals(job, carries)
        self.step(job, "turns")

    def while_grad(
        self,
        places: Any,
        made: Any,
        *,
        test: Body,
        body: Body,
        back: Body,
        split: Any,
        **_: Any,
    ) -> None:
        """The loop again, with a row of the record for each turn; then back through the rows."""
        count, first, second, slopes, summed = split
        carried, tested = places[:count], places[count : count + first]
        turned, rest = (
            places[count + first : count + first + second],
            places[count + first + second :],
        )
        starts, outer = rest[: slopes + summed], rest[slopes + summed :]
        row, given = 0, []
        spots = []  # of what is carried, in a row
        for place in carried:
            spots.append(row)
            if bytes_of(place):
                given.append((self.in_order(place), row, bytes_of(place)))
            row += -(-bytes_of(place) // ALIGN) * ALIGN
        row = max(row, ALIGN)
        record = self.fresh((2,), dtypes.int64)
        args = [place.arg._replace(strides=dense_strides(place.arg.shape)) for place in carried]
        begin = [Kept(at, arg) for at, arg in zip(spots, args, strict=True)]
        after = [Kept(at + row, arg) for at, arg in zip(spots, args, strict=True)]
        flag = self.fresh((), dtypes.bool_)
        ignored = [self.fresh((), dtypes.bool_) for _ in (*test.graph.results, *body.graph.results)]
        asked = self.part(test, [*begin, *tested], [flag, *ignored])
        part = self.part(body, [*begin, *turned], [*after, *ignored])
        job = self.loop(part, (), (), (), asked, kept=range(count))
        job.set("turns", UNTIL)
        job.point("flag", flag)
        job.table("given", given)
        self.record(job, record, row)
        self.step(job, "turns", end=False)  # the record is given back by the way back

        carries = [self.carry(place, out, 0) for place, out in zip(starts, made, strict=True)]
        ins = [*begin, *(one for one, _ in carries), *outer]
        part = self.part(back, ins, [*(other for _, other in carries), *ignored, *ignored])
        job = self.loop(part, carries, (), (), kept=range(count), first=count)
        job.set("turns", RECORD)
        self.finals(job, carries)
        self.record(job, record, row)
        self.step(job, "turns")

    def finals(self, job: Job, carries: Sequence[tuple[Place, Place]]) -> None:
        """What is carried is copied to its first buffer if the last turn wrote to the other."""
        rows = [(one, other, one, bytes_of(one)) for one, other in carries if bytes_of(one)]
        job.table("finals", rows)

    def record(self, job: Job, record: Place, row: int) -> None:
        job.point("record", record)
        job.set("row", row)
        job.set("fault", faults.address())

    # ---- what they have in common

    def loop(
        self,
        part: Part,
        carries: Sequence[tuple[Place, Place]],
        checks: Sequence[Place],
        moves: Sequence[tuple[int, int]],
        test: Part = NOTHING,
        kept: Sequence[int] = (),
        first: int = 0,
    ) -> Job:
        """The job of a loop but for its number of turns. The carries are the body's inputs from
        number `first` on; `kept` are the numbers of inputs that lie in the record.
        """
        job = Job(TURNS)
        at = job.program("body", part)
        asked = job.program("test", test)
        job.table("moves", [(at + place, amount) for place, amount in moves])
        flips: list[tuple[Any, ...]] = []
        for i, (one, other) in enumerate(carries):
            reads = [at + place for place in part.reads.get(first + i, ())]
            reads += [asked + place for place in test.reads.get(first + i, ())]
            flips += [(place, one, other) for place in reads]
            flips += [(at + place, other, one) for place in part.writes.get(i, ())]
        job.table("flips", flips)
        in_record = []
        for i in kept:
            in_record += [at + place for place in part.reads.get(i, ())]
            in_record += [asked + place for place in test.reads.get(i, ())]
            if not carries:
                in_record += [at + place for place in part.writes.get(i, ())]
        job.table("kept", [(place,) for place in in_record])
        job.table("checks", [(check,) for check in checks])
        job.point("stop", self.stop_place())
        return job

    def part(self, body: Body, ins: Sequence[Any], outs: Sequence[Any]) -> Part:
        """The program of a graph whose inputs and results lie at these places."""
        planner = self.planner
        inner = planner.inner(structure_of(body), [place.arg for place in ins])
        size = inner.steps_of_body()
        arena = planner.claim(size, self.number, self.number, self.call)
        planner.keep += inner.keep
        planner.in_python += inner.in_python
        part = Part([], [], len(inner.steps), {}, {})
        at = STEP_WORDS * len(inner.steps)
        for step in inner.steps:
            part.words.extend((step.task, at, step.chunks))
            at += len(step.job)
        for step in inner.steps:
            start = len(part.words)
            part.words.extend(step.job)
            for spot, place, more in step.spots:
                self.spot(part, start + spot, place, more, (ins, outs, arena, inner.offsets))
        return part

    def spot(self, part: Part, at: int, place: Place, more: int, around: Any) -> None:
        """Note what a word of the inner plan points to, in terms of the plan around."""
        ins, outs, arena, offsets = around
        base, more = place.base, place.offset + more
        if isinstance(base, In | Out):
            inward = isinstance(base, In)
            places = part.reads if inward else part.writes
            places.setdefault(base.index, []).append(at)
            target: Any = (ins if inward else outs)[base.index]
            if isinstance(target, Kept):
                part.words[at] = target.offset + more
            else:
                part.spots.append((at, target, more))
        elif type(base) is int:
            part.spots.append((at, Place(arena, offsets[base], place.arg), more))
        elif base is STOP:
            part.spots.append((at, self.stop_place(), more))
        else:
            part.spots.append((at, place, more - place.offset))

    def stop_place(self) -> Place:
        """The byte that ends all loops: the outermost one has it."""
        self.stops = True
        if self.stop is None:
            self.stop = self.fresh((), dtypes.bool_)
            self.clear(self.stop)
        return self.stop

    def carry(self, place: Place, out: Place, turns: int) -> tuple[Place, Place]:
        """The buffer that the first turn reads, filled, and the one that it writes. After an even
        number of turns the value lies in the first one: `out`, unless the turns are odd.
        """
        other = self.fresh(out.arg.shape, out.arg.dtype)
        pair = (other, out) if turns % 2 else (out, other)
        self.planner.copy_place(self.number, self.call, place, pair[0])
        return pair

    def fresh(self, shape: Any, dtype: Any) -> Place:
        arg = Arg(tuple(shape), dtype, dense_strides(shape))
        size = arg.size * dtype.itemsize
        return Place(self.planner.claim(size, self.number, self.number, self.call), 0, arg)

    def in_order(self, place: Place) -> Place:
        return place if place.arg.contiguous else self.planner.copied(self.number, self.call, place)

    def zeros(self, like: Place) -> Place:
        shape, dtype = like.arg.shape, like.arg.dtype
        zero = np.zeros(1, dtype.numpy)
        self.planner.keep.append(zero)
        return Place(zero, 0, Arg(shape, dtype, (0,) * len(shape)))

    def clear(self, place: Place) -> None:
        self.planner.copy_place(self.number, self.call, self.zeros(place), place)

    def row(self, place: Place, turn: int) -> Place:
        """Where row `turn` of a value lies."""
        arg = place.arg
        row = Arg(arg.shape[1:], arg.dtype, arg.strides[1:])
        return place._replace(offset=place.offset + turn * pitch(place), arg=row)

    def step(self, job: Job, task: str, end: bool = True) -> None:
        """Add the step, and one that ends the program where the step was ended: what is read after
        it was not all made.
        """
        self.planner.add(address_of(task), job.words, job.spots, self.call)
        if self.stops and end:
            self.planner.end_if([self.stop_place()])


WAYS: dict[str, Callable[..., None]] = {
    "cond": Control.cond,
    "scan": Control.scan,
    "while_loop": Control.while_,
    "while_loop_grad": Control.while_grad,
}


def pitch(place: Place) -> int:
    """The bytes from one row to the next."""
    return place.arg.strides[0] * place.arg.dtype.itemsize


def bytes_of(place: Place) -> int:
    return place.arg.size * place.arg.dtype.itemsize
