"""The plan of a graph for any sizes: what is decided is kept, what is computed is a sheet. Floor 7.

After some sizes a graph is planned on traced numbers (base/traced.py). What the planner decides of
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
from twofold.base.types import Type
from twofold.exec.heap import Heap
from twofold.exec.planned import Buffers, Planned
from twofold.exec.sheet import Sheet
from twofold.exec.ways import Form, Node, acts_of
from twofold.ir.graph import Call
from twofold.lower.schedule import Arg, Plan
from twofold.runtime.program import Coded

MOST_ASSEMBLED = 128
ABSOLUTE = -1  # the base of an address that is known when a size is planned


class Ref(NamedTuple):
    """Where a pointer leads: its base, and two cells whose sum is the offset."""

    base: int
    offset: int
    more: int


class Piece(NamedTuple):
    """What a slot adds to a plan: see `Coded`, with cells for numbers. Lists, then arrays."""

    tasks: Any
    begins: Any
    chunks: Any
    words: Any
    places: Any
    bases: Any
    sums: Any  # three cells for each


class Slot(NamedTuple):
    """A node's steps in the plan, and where its pointers lead: inputs, outputs, scratch memory."""

    node: Node
    sources: tuple[tuple[Ref, ...], ...]
    call: Call

    def piece(self, form: Form) -> tuple[Piece, int]:
        """What it adds, and how many words these are."""
        at, begin = form.begin + 1, 0
        made = Piece([], [], [], [], [], [], [])
        for task, job, spots, _, _ in form.parts:
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
    """All slots for some forms of their nodes, as one piece."""

    heads: Any
    chunks: Any
    words: Any
    patches: Any
    sums: Any
    places: Any  # of words that are addresses, and the cells of their sums
    addresses: Any
    calls: tuple[Call, ...]


@final
class Constant:
    """A call on sizes alone, or a view of what one gave: arrays, which are made for each size.

    make      the arrays, of those of earlier constants and of the values of the symbols
    lies      for each array the cells of its shape and strides
    address   the first of the cells that say where the arrays are
    """

    __slots__ = ("address", "fixed", "lies", "make")

    def __init__(self, make: Callable[[dict[Any, Any], Sequence[Any]], tuple[Any, ...]]) -> None:
        self.make = make
        self.lies: list[Any] = []
        self.address = 0
        self.fixed: tuple[Any, ...] | None = None  # the arrays, if they are the same for all sizes

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
        heap: Heap,
    ) -> None:
        self.heap = heap
        self.inputs, self.count, self.sheet = inputs, count, sheet
        self.nodes, self.slots, self.constants = nodes, slots, constants
        self.stops = {node.stop: node for node in nodes}
        self.cells = np.array([node.cell for node in nodes], np.int64)
        self.done = 0
        self.given: Any = None  # cells
        self.shapes: list[tuple[int, Any]] = []  # of inputs, and cells
        self.outs: list[tuple[Any, Any]] = []  # cells of the shape, type
        self.sizes: Any = None  # cells of the buffers' sizes
        self.whose: list[Call] = []
        self.assembled: dict[bytes, Assembled] = {}
        self.pieces: dict[tuple[int, int], tuple[Piece, int]] = {}

    def plan(self, args: Sequence[Arg], values: Sequence[Any]) -> Planned | None:
        """The plan for inputs of these layouts; None where it is another one."""
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
        sizes = cells[self.sizes]
        arena = self.heap.arrange(sheet, sizes)
        outs = tuple([Type(tuple(cells[refs].tolist()), dtype) for refs, dtype in self.outs])
        buffers = Buffers(sizes.tolist(), self.heap.lives)
        made, coded = self.coded()
        plan = Plan(coded, arena, (), tuple(keep))
        return Planned(plan, outs, arena, buffers, self.whose, made.calls, ())

    def settle_constants(self, values: Sequence[Any], keep: list[object]) -> bool:
        """Make the constants for these sizes."""
        arrays: dict[Any, Any] = {}
        for key, constant in self.constants.items():
            made = constant.fixed
            if made is None:
                made = constant.make(arrays, values)
                if not constant.settle(self.sheet, made):
                    return False
            arrays[key] = made
            keep += made
        return True

    def coded(self) -> tuple[Assembled, Coded]:
        """The words of all steps."""
        cells = self.sheet.cells
        forms = cells[self.cells]
        key = forms.tobytes()
        made = self.assembled.get(key)
        if made is None:
            if len(self.assembled) >= MOST_ASSEMBLED:
                self.assembled.clear()
            made = self.assembled[key] = self.assemble(forms.tolist())
        for act, refs, done in acts_of(self.nodes, cells[self.cells + 1].tolist()):
            numbers = tuple(cells[refs].tolist())
            if numbers not in done:
                act(*numbers)
                done.add(numbers)
        made.heads[:, 2] = cells[made.chunks]
        words = cells[made.words]
        words[made.places] = cells[made.addresses].sum(1)
        made.patches[:, 2] = cells[made.sums].sum(1)
        return made, Coded(
            made.heads.ravel().copy(), words, made.patches.ravel().copy(), self.count
        )

    def assemble(self, forms: list[int]) -> Assembled:
        """Put the slots together for these forms of the nodes."""
        chosen = {id(node): form for node, form in zip(self.nodes, forms, strict=True)}
        pieces, starts, start = [NOTHING], [0], 0  # (there may be no slot)
        calls: list[Call] = []
        for number, slot in enumerate(self.slots):
            form = chosen[id(slot.node)]
            found = self.pieces.get((number, form))
            if found is None:
                found = self.pieces[number, form] = slot.piece(slot.node.forms[form])
            piece, count = found
            pieces.append(piece)
            starts.append(start)
            start += count
            calls += [slot.call] * len(piece.tasks)
        heads = np.zeros((len(calls), 3), np.int64)
        tasks, begins, chunks, words, places, bases, sums = map(
            np.concatenate, zip(*pieces, strict=True)
        )
        heads[:, 0] = tasks
        heads[:, 1] = begins + np.repeat(starts, [len(p.tasks) for p in pieces])
        places = places + np.repeat(starts, [len(p.places) for p in pieces])
        far = bases == ABSOLUTE
        patches = np.zeros((len(places) - int(far.sum()), 3), np.int64)
        patches[:, 0], patches[:, 1] = places[~far], bases[~far]
        rest = (sums[~far], places[far], sums[far], tuple(calls))
        return Assembled(heads, chunks, words, patches, *rest)


NOTHING = Piece._make([*[np.zeros(0, np.int64)] * 6, np.zeros((0, 3), np.int64)])
