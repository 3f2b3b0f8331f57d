"""The plan of a graph for any sizes: what is decided is kept, what is computed is a sheet. Floor 7.

A graph is planned for a third size on traced numbers (base/traced.py). What the planner decides of
the whole (what lies where, which views there are, what is copied) is the outline. What it computes
of sizes, strides and offsets are lines of a sheet (exec/sheet.py), and so are the words of each
call's own plan, one block of lines for each way that its planner takes. A further size is computed
by machine code, and the words are put together by indexing. Where a call's planner would take a new
way it is asked, and that is remembered; where the whole would be planned otherwise, there is no
answer, and the graph is planned as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from twofold.base.records import NamedTuple
from twofold.base.traced import Tape, Traced, number_of
from twofold.base.types import Type
from twofold.exec import stacks
from twofold.exec.found import Found, Part
from twofold.exec.planned import Buffer, Planned
from twofold.exec.sheet import Sheet, numbers_at, signed
from twofold.ir.graph import Call
from twofold.lower.schedule import Arg, Plan
from twofold.runtime.program import Coded

MOST_WAYS = 24  # of one call
MOST_FAILURES = 2
MOST_ASSEMBLED = 128
ABSOLUTE = -1  # the base of an address that is known when a size is planned


# What is done for numbers that it has not been done for: the cells of these, those it was done for.
Act = tuple[Callable[..., None], Any, set[Any]]


class Ref(NamedTuple):
    """Where a pointer leads: its base, and two cells whose sum is the offset."""

    base: int
    offset: int
    more: int


class Way(NamedTuple):
    """A way of a call's planner. `begin` is the first of its cells: the bytes of scratch memory,
    then for each part the chunks, the words, and the offsets of the pointers.
    """

    parts: tuple[Part, ...]
    begin: int
    acts: tuple[Act, ...]
    keep: tuple[object, ...]


class Piece(NamedTuple):
    """What a slot adds to a plan: see `Coded`, with cells for numbers. Lists, then arrays."""

    tasks: Any
    begins: Any
    chunks: Any
    words: Any
    places: Any
    bases: Any
    sums: Any  # three cells for each


def words_of(found: Found) -> list[Any]:
    """The numbers of a call's plan, in the order of a way's cells."""
    words: list[Any] = [found.scratch]
    for part in found.parts:
        words += (part.chunks, *part.job, *[spot[3] for spot in part.spots])
    return words


def bare(found: Found) -> tuple[Part, ...]:
    """The parts without their numbers, but for how many words there are."""
    return tuple(
        [
            Part(p.task, (0,) * len(p.job), tuple([(*s[:3], 0) for s in p.spots]), 0, False)
            for p in found.parts
        ]
    )


@final
class Node:
    """A call that has a plan of its own, or a copy. `plan` makes it from the numbers of its
    layouts, traced ones or not.

    refs    the cells of the numbers
    fixed   those that are no variables
    enter   the line where its ways begin; stop: where none fits; after: where the next node begins
    cell    that says which way it was; the next one has the bytes of scratch memory
    """

    __slots__ = (
        *(
            "after",
            "cell",
            "enter",
            "failures",
            "fixed",
            "known",
            "like",
            "numbers",
            "plan",
            "refs",
        ),
        *("stop", "variables", "ways"),
    )

    def __init__(self, plan: Callable[[list[Any]], Found | None], numbers: list[Any]) -> None:
        self.plan = plan
        self.numbers = numbers
        self.ways: list[Way] = []
        self.known: dict[Any, int] = {}  # ways without lines, by their parts
        self.failures = 0
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
        self.cell = sheet.take(2)
        self.enter = sheet.go(0)
        self.stop = sheet.stop()
        sheet.go_from(self.enter, self.stop)

    def serve(self, sheet: Sheet) -> tuple[object, ...] | None:
        """Find the plan for numbers that no way fits, and put its words into the cells; what it
        keeps. None where the whole is another plan then.
        """
        numbers = sheet.cells[self.refs].tolist()
        right = self.plan(numbers)
        if right is None or (right.contiguous, right.points) != self.like:
            return None
        words = words_of(right)
        number = self.learn(sheet, right, words)
        if number is None:
            parts = bare(right)
            number = self.known.get(parts)
            if number is None:
                number = self.known[parts] = len(self.ways)
                self.ways.append(Way(parts, sheet.take(len(words)), (), ()))
        begin = self.ways[number].begin
        sheet.cells[begin : begin + len(words)] = [signed(word) for word in words]
        sheet.cells[self.cell] = number
        sheet.cells[self.cell + 1] = right.scratch
        if not self.variables:  # it is the same for all sizes
            self.ways[number] = self.ways[number]._replace(keep=right.keep)
            sheet.go_from(self.enter, self.leave(sheet, number))
        return right.keep

    def leave(self, sheet: Sheet, number: int) -> int:
        """Lines that end a way."""
        copied = [(sheet.constant(number), self.cell), (self.ways[number].begin, self.cell + 1)]
        begin = sheet.add([sheet.copy(*pair) for pair in copied])
        sheet.go(self.after)
        return begin

    def learn(self, sheet: Sheet, right: Found, words: list[Any]) -> int | None:
        """The number of the way that the planner takes here, which `right` is of; None where it
        cannot be traced.
        """
        if self.failures >= MOST_FAILURES or len(self.ways) >= MOST_WAYS or not self.variables:
            return None
        tape = Tape(sheet.cells[self.variables].tolist())
        numbers = [tape.numbers[place] if x is None else x for x, place in self.fixed]
        try:
            found = self.plan(numbers)
        except Exception:
            found = None
        wanted: list[Any] = [] if found is None else words_of(found)
        same = found is not None and bare(found) == bare(right) and found.keep == right.keep
        if not same or [number_of(x) for x in wanted] != words:
            self.failures += 1
            return None
        self.write(sheet, tape, right, wanted)
        return len(self.ways) - 1

    def write(self, sheet: Sheet, tape: Tape, found: Found, wanted: list[Any]) -> None:
        """Add a way as a block of lines, the first that is tried from now on."""
        acts = []
        for act, given in tape.acts:
            acts.append((act, len(wanted), len(given)))
            wanted += given
        begin = sheet.take(len(wanted))
        computed = numbers_at(tape, wanted)
        cells = {place: begin + position for place, position in computed.items()}
        before = int(sheet.code[self.enter, -1])
        block = sheet.block(tape, self.variables, cells, before)
        lines = []
        for position, x in enumerate(wanted):
            sheet.cells[begin + position] = signed(number_of(x))
            if type(x) is Traced and block.cells[x.place] != begin + position:
                lines.append(sheet.copy(block.cells[x.place], begin + position))
        sheet.add(lines)
        told: list[Act] = [
            (act, np.arange(begin + at, begin + at + n), set()) for act, at, n in acts
        ]
        self.ways.append(Way(bare(found), begin, tuple(told), found.keep))
        self.leave(sheet, len(self.ways) - 1)
        sheet.go_from(self.enter, block.begin)


class Slot(NamedTuple):
    """A node's steps in the plan, and where its pointers lead: inputs, outputs, scratch memory."""

    node: Node
    sources: tuple[tuple[Ref, ...], ...]
    call: Call

    def piece(self, way: Way) -> tuple[Piece, int]:
        """What it adds, and how many words these are."""
        at, begin = way.begin + 1, 0
        made = Piece([], [], [], [], [], [], [])
        for task, job, spots, _, _ in way.parts:
            made.tasks.append(task)
            made.begins.append(begin)
            made.chunks.append(at)
            made.words.extend(range(at + 1, at + 1 + len(job)))
            offsets = at + 1 + len(job)
            for number, (place, kind, index, _) in enumerate(spots):
                ref = self.sources[kind][index]
                made.places.append(begin + place)
                made.bases.append(ref.base)
                made.sums.append((ref.offset, ref.more, offsets + number))
            begin += len(job)
            at = offsets + len(spots)
        sums = np.array(made.sums, np.int64).reshape(-1, 3)
        arrays = [np.array(part, np.int64) for part in made[:-1]]
        return Piece._make((*arrays, sums)), begin


class Assembled(NamedTuple):
    """All slots for some ways of their nodes, as one piece."""

    heads: Any
    chunks: Any
    words: Any
    patches: Any
    sums: Any
    places: Any  # of words that are addresses, and the cells of their sums
    addresses: Any
    calls: tuple[Call, ...]
    keep: tuple[object, ...]
    acts: list[Act]


@final
class Constant:
    """A call on sizes alone, or a view of what one gave: arrays, which are made for each size.

    make      the arrays, of those of earlier constants and of the values of the symbols
    lies      for each array the cells of its shape and strides
    address   the first of the cells that say where the arrays are
    """

    __slots__ = ("address", "lies", "make")

    def __init__(self, make: Callable[[dict[Any, Any], Sequence[Any]], tuple[Any, ...]]) -> None:
        self.make = make
        self.lies: list[Any] = []
        self.address = 0

    def settle(self, sheet: Sheet, made: tuple[Any, ...]) -> bool:
        """Note where the arrays are. False where they lie otherwise than was thought."""
        for number, (array, refs) in enumerate(zip(made, self.lies, strict=True)):
            strides = [stride // array.itemsize for stride in array.strides]
            if sheet.cells[refs].tolist() != [*array.shape, *strides]:
                return False
            sheet.cells[self.address + number] = array.__array_interface__["data"][0]
        return True


class Inputs(NamedTuple):
    """What an outline needs to know of the inputs.

    same      the layouts of those that no symbol is a size of, by their numbers
    kinds     types and ranks of the others
    strides   the numbers of the others, whose strides are given besides the symbols' values
    """

    same: tuple[tuple[int, Arg], ...]
    kinds: tuple[tuple[int, Any, int], ...]

    def fits(self, args: Sequence[Arg]) -> bool:
        for number, arg in self.same:
            given = args[number]
            if given is not arg and given != arg:
                return False
        return all([(args[n].dtype, len(args[n].shape)) == (k, rank) for n, k, rank in self.kinds])

    def numbers(self, args: Sequence[Arg], values: Sequence[Any]) -> list[int]:
        """The numbers that are given: the symbols' values, and strides."""
        found = list(values)
        for number, _, _ in self.kinds:
            found += args[number].strides
        return found


@final
class Outline:
    """A plan for any sizes, as `Recorder` (exec/recorder.py) has found it."""

    def __init__(
        self,
        inputs: Inputs,
        count: int,
        sheet: Sheet,
        nodes: list[Node],
        slots: list[Slot],
        constants: dict[Any, Constant],
    ) -> None:
        self.inputs, self.count, self.sheet = inputs, count, sheet
        self.nodes, self.slots, self.constants = nodes, slots, constants
        self.stops = {node.stop: node for node in nodes}
        self.cells = np.array([node.cell for node in nodes], np.int64)
        self.done = 0
        self.given: Any = None  # cells
        self.shapes: list[tuple[int, Any]] = []  # of inputs, and cells
        self.outs: list[tuple[Any, Any]] = []  # cells of the shape, type
        self.sizes: Any = None  # cells of the buffers' sizes
        self.offsets = 0  # the first cell of the buffers' places
        self.lives: tuple[tuple[int, int], ...] = ()
        self.whose: list[Call] = []
        self.keep: list[object] = []
        self.assembled: dict[bytes, Assembled] = {}
        self.pieces: dict[tuple[int, int], tuple[Piece, int]] = {}

    def plan(
        self, args: Sequence[Arg], values: Sequence[Any], known: dict[Any, Any]
    ) -> Planned | None:
        """The plan for inputs of these layouts; None where it is another one.

        known   orders of buffers (exec/stacks.py)
        """
        if not self.inputs.fits(args) or not all([type(x) is int for x in values]):
            return None
        sheet = self.sheet
        sheet.cells[self.given] = self.inputs.numbers(args, values)
        line = sheet.run(0)
        keep: list[object] = []
        while line != self.done:
            node = self.stops.get(line)
            kept = None if node is None else node.serve(sheet)
            if node is None or kept is None:
                return None
            keep += kept
            line = sheet.run(node.after)
        cells = sheet.cells
        if any([cells[refs].tolist() != [*args[n].shape] for n, refs in self.shapes]):
            return None
        if self.constants and not self.settle_constants(values, keep):
            return None
        sizes = cells[self.sizes].tolist()
        offsets, arena = stacks.arrange(sizes, self.lives, known)
        cells[self.offsets : self.offsets + len(offsets)] = offsets
        outs = tuple([Type(tuple(cells[refs].tolist()), dtype) for refs, dtype in self.outs])
        buffers = [Buffer(size, *life) for size, life in zip(sizes, self.lives, strict=True)]
        made, coded = self.coded()
        plan = Plan(coded, arena, (), (*self.keep, *made.keep, *keep))
        return Planned(plan, outs, arena, buffers, self.whose, made.calls, ())

    def settle_constants(self, values: Sequence[Any], keep: list[object]) -> bool:
        """Make the constants for these sizes."""
        arrays: dict[Any, Any] = {}
        for key, constant in self.constants.items():
            made = arrays[key] = constant.make(arrays, values)
            if not constant.settle(self.sheet, made):
                return False
            keep += made
        return True

    def coded(self) -> tuple[Assembled, Coded]:
        """The words of all steps."""
        cells = self.sheet.cells
        ways = cells[self.cells]
        key = ways.tobytes()
        made = self.assembled.get(key)
        if made is None:
            if len(self.assembled) >= MOST_ASSEMBLED:
                self.assembled.clear()
            made = self.assembled[key] = self.assemble(ways.tolist())
        for act, refs, done in made.acts:
            numbers = tuple(cells[refs].tolist())
            if numbers not in done:
                act(*numbers)
                done.add(numbers)
        made.heads[:, 2] = cells[made.chunks]
        words = cells[made.words]
        words[made.places] = cells[made.addresses].sum(1)
        made.patches[:, 2] = cells[made.sums].sum(1)
        lists = (made.heads.ravel().tolist(), words.tolist(), made.patches.ravel().tolist())
        return made, Coded(*lists, self.count)

    def assemble(self, ways: list[int]) -> Assembled:
        """Put the slots together for these ways of the nodes."""
        chosen = {id(node): way for node, way in zip(self.nodes, ways, strict=True)}
        pieces, starts, start = [], [], 0
        calls: list[Call] = []
        keep: list[object] = []
        for number, slot in enumerate(self.slots):
            way = chosen[id(slot.node)]
            found = self.pieces.get((number, way))
            if found is None:
                found = self.pieces[number, way] = slot.piece(slot.node.ways[way])
            piece, count = found
            pieces.append(piece)
            starts.append(start)
            start += count
            calls += [slot.call] * len(piece.tasks)
        acts: list[Act] = []
        for node, way in zip(self.nodes, ways, strict=True):
            acts += node.ways[way].acts
            keep += node.ways[way].keep
        heads = np.zeros((len(calls), 3), np.int64)
        tasks, begins, chunks, words, places, bases, sums = map(_joined, zip(*pieces, strict=True))
        heads[:, 0] = tasks
        heads[:, 1] = begins + np.repeat(starts, [len(p.tasks) for p in pieces])
        places = places + np.repeat(starts, [len(p.places) for p in pieces])
        far = bases == ABSOLUTE
        patches = np.zeros((len(places) - int(far.sum()), 3), np.int64)
        patches[:, 0], patches[:, 1] = places[~far], bases[~far]
        rest = (sums[~far], places[far], sums[far], tuple(calls), tuple(keep), acts)
        return Assembled(heads, chunks, words, patches, *rest)


def _joined(parts: Sequence[Any]) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)
