"""The ways that a call's planner takes, as blocks of lines of a sheet. Floor 7.

A `Node` is a call that has a plan of its own, or a copy, within an outline (exec/outline.py). Its
planner is run on traced numbers once for each way that it takes. Plans with the same steps, for
whatever numbers, are of one form: their words lie in the same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from twofold.base.records import NamedTuple
from twofold.base.traced import Tape, Traced, Untraceable, number_of
from twofold.exec.found import Found, Part
from twofold.exec.sheet import Sheet, numbers_at, signed

MOST_WAYS = 24  # of one call
MOST_FORMS = 64
MOST_FAILURES = 2
PATIENCE = 3  # of so many times that a planner is asked it is traced once, as that takes as long
NO_WAY = -1

# What is done for numbers that it has not been done for: their cells, those that it was done for.
Act = tuple[Callable[..., None], Any, set[Any]]


class Form(NamedTuple):
    """Steps without their numbers. `begin` is the first of their cells: the bytes of scratch
    memory, then for each step the chunks, the words, and the offsets of the pointers.
    """

    parts: tuple[Part, ...]
    begin: int


def words_of(found: Found) -> list[Any]:
    """The numbers of a call's plan, in the order of a form's cells."""
    words: list[Any] = [found.scratch]
    for part in found.parts:
        words += (part.chunks, *part.job, *[spot[3] for spot in part.spots])
    return words


def bare(found: Found) -> tuple[Part, ...]:
    """The steps without their numbers, but for how many words there are."""
    return tuple(
        [
            Part(p.task, (0,) * len(p.job), tuple([(*s[:3], 0) for s in p.spots]), 0, False)
            for p in found.parts
        ]
    )


@final
class Node:
    """A call. `plan` makes its plan from the numbers of its layouts, traced ones or not.

    refs    the cells of the numbers
    fixed   those that are no variables
    enter   the line where its ways begin; stop: where none fits; after: where the next node begins
    cell    says which form it is; the next ones which way, and the bytes of scratch memory
    """

    __slots__ = (
        *("after", "asked", "cell", "enter", "failures", "fixed", "forms", "known", "like"),
        *("numbers", "plan", "refs", "stop", "variables", "ways"),
    )

    def __init__(self, plan: Callable[[list[Any]], Found | None], numbers: list[Any]) -> None:
        self.plan = plan
        self.numbers = numbers
        self.forms: list[Form] = []
        self.known: dict[Any, int] = {}  # the numbers of forms
        self.ways: list[tuple[Act, ...]] = []  # what is done for each
        self.failures = self.asked = 0
        self.like: tuple[Any, bool] = ((), False)
        self.after = self.enter = self.stop = self.cell = 0

    def settle(self, sheet: Sheet, cell: Callable[[Any], int]) -> None:
        """Find the cells of the numbers, once the outline's own lines are there."""
        self.refs = np.array([cell(x) for x in self.numbers], np.int64)
        places = {x.place: cell(x) for x in self.numbers if type(x) is Traced}
        self.variables = list(places.values())
        order = {place: i for i, place in enumerate(places)}
        self.fixed = [(None, order[x.place]) if type(x) is Traced else (x, 0) for x in self.numbers]
        self.numbers = []
        self.cell = sheet.take(3)
        self.enter = sheet.go(0)
        self.stop = sheet.stop()
        sheet.go_from(self.enter, self.stop)

    def serve(self, sheet: Sheet) -> tuple[object, ...] | None:
        """Find the plan for numbers that no way fits, and put its words into the cells; what it
        keeps. None where the whole is another plan then.
        """
        right = self.plan(sheet.cells[self.refs].tolist())
        if right is None or (right.contiguous, right.points) != self.like:
            return None
        words, parts = words_of(right), bare(right)
        if len(self.forms) >= MOST_FORMS and parts not in self.known:
            return None
        number = self.form(sheet, parts, len(words))
        if self.variables:
            self.asked += 1
            if self.asked % PATIENCE == 2:
                self.learn(sheet, number, parts, words)
        elif not right.keep:  # it is the same for all sizes
            sheet.go_from(self.enter, self.write(sheet, number, words, sheet.add([])))
        begin = self.forms[number].begin
        sheet.cells[begin : begin + len(words)] = [signed(word) for word in words]
        sheet.cells[self.cell : self.cell + 3] = number, NO_WAY, right.scratch
        return right.keep

    def form(self, sheet: Sheet, parts: tuple[Part, ...], count: int) -> int:
        """The number of a form."""
        number = self.known.get(parts)
        if number is None:
            number = self.known[parts] = len(self.forms)
            self.forms.append(Form(parts, sheet.take(count)))
        return number

    def learn(self, sheet: Sheet, number: int, parts: tuple[Part, ...], words: list[Any]) -> None:
        """Find the way that the planner takes here, if it can be traced; the parts and the words
        are what it gives. What it keeps is made for these numbers alone.
        """
        if self.failures >= MOST_FAILURES or len(self.ways) >= MOST_WAYS:
            return
        tape = Tape(sheet.cells[self.variables].tolist())
        numbers = [tape.numbers[place] if x is None else x for x, place in self.fixed]
        try:
            found = self.plan(numbers)
        except Untraceable:
            found = None
        wanted: list[Any] = [] if found is None or found.keep else words_of(found)
        same = [number_of(x) for x in wanted] == words
        if found is None or not same or bare(found) != parts:
            self.failures += 1
            return
        begin = self.write(sheet, number, wanted, None, tape)
        sheet.go_from(self.enter, begin)

    def write(
        self,
        sheet: Sheet,
        number: int,
        wanted: list[Any],
        begin: int | None,
        tape: Tape | None = None,
    ) -> int:
        """Add a way as a block of lines, the first that is tried from now on: its line."""
        acts = [] if tape is None else tape.acts
        numbers = [x for _, given in acts for x in given]
        first, room = self.forms[number].begin, sheet.take(len(numbers))
        cells = [*range(first, first + len(wanted)), *range(room, room + len(numbers))]
        wanted = [*wanted, *numbers]
        placed: dict[int, int] = {}
        if tape is not None:
            computed = numbers_at(tape, wanted)
            targets = {place: cells[position] for place, position in computed.items()}
            before = int(sheet.code[self.enter, -1])
            begin, placed = sheet.block(tape, self.variables, targets, before)
        lines: list[int] = []
        for cell, x in zip(cells, wanted, strict=True):
            source = placed[x.place] if type(x) is Traced else sheet.constant(x)
            if source != cell:
                lines += sheet.copy(source, cell)
        lines += sheet.copy(sheet.constant(number), self.cell)
        lines += sheet.copy(sheet.constant(len(self.ways)), self.cell + 1)
        lines += sheet.copy(first, self.cell + 2)
        added = sheet.add(lines)
        sheet.go(self.after)
        told: list[Act] = []
        for act, given in acts:
            told.append((act, np.arange(room, room + len(given)), set()))
            room += len(given)
        self.ways.append(tuple(told))
        return added if tape is None or begin is None else begin


def acts_of(nodes: Sequence[Node], ways: Sequence[int]) -> list[Act]:
    """What is done for these ways of the nodes."""
    found: list[Act] = []
    for node, way in zip(nodes, ways, strict=True):
        if way != NO_WAY:
            found += node.ways[way]
    return found
