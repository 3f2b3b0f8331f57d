"""How the outline of a graph's plan is found: the planner is run on traced numbers. Floor 7.

`Recorder(structure, args, values, threads)` has the numbers for a `Planner` (exec/graphs.py), which
tells it of each call with a plan of its own, of copies, of constants and of steps. `outline()`
makes an Outline of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twofold.base.polynomials import evaluate
from twofold.base.symbols import is_symbol
from twofold.base.traced import Tape, Traced, Untraceable, number_of
from twofold.base.types import Type
from twofold.exec.constants import computed, in_elements
from twofold.exec.found import INPUT, Found, Part, taken_apart
from twofold.exec.heap import Heap
from twofold.exec.outline import ABSOLUTE, Constant, Inputs, Outline, Ref, Slot
from twofold.exec.planned import Buffer
from twofold.exec.sheet import Sheet
from twofold.exec.structure import Known, Place, Structure, has_symbols
from twofold.exec.ways import Node
from twofold.ir.graph import Call
from twofold.lower.move import move_step
from twofold.lower.schedule import Arg, In, Out, Plan
from twofold.runtime.program import BASES, SCRATCH

if TYPE_CHECKING:  # a planner tells it: an import that runs would be a ring
    from twofold.exec.graphs import Planner

Layouts = tuple[Sequence[Arg], Sequence[Type]]


def numbers_in(args: Sequence[Arg], outs: Sequence[Type]) -> list[Any]:
    """All numbers of some layouts."""
    flat: list[Any] = []
    for arg in args:
        flat += (*arg.shape, *arg.strides)
    for out in outs:
        flat += out.shape
    return flat


def with_numbers(args: Sequence[Arg], outs: Sequence[Type], flat: Sequence[Any]) -> Any:
    """The same layouts with these numbers, and what is left of them."""
    at = 0
    ins, made = [], []
    for shape, dtype, _, frozen in args:
        middle, end = at + len(shape), at + 2 * len(shape)
        ins.append(Arg(tuple(flat[at:middle]), dtype, tuple(flat[middle:end]), frozen))
        at = end
    for shape, dtype in outs:
        made.append(Type(tuple(flat[at : at + len(shape)]), dtype))
        at += len(shape)
    return tuple(ins), tuple(made), flat[at:]


@final
class Scratch:
    """The scratch memory of a node, as the size of a buffer."""

    def __init__(self, node: Node) -> None:
        self.node = node


@final
class Recorder:
    """What a planner says while it plans on traced numbers.

    values, args   the traced ones, for the planner
    """

    def __init__(
        self, structure: Structure, args: Sequence[Arg], values: Sequence[Any], threads: int
    ) -> None:
        """Raises Untraceable where a symbol stands for something else than a whole number."""
        if not all([type(x) is int for x in values]):
            raise Untraceable("a number that is no size")
        self.structure, self.threads = structure, threads
        given = [i.value for i in structure.graph.inputs]
        moving = [n for n, value in enumerate(given) if any(map(is_symbol, value.shape))]
        same = [(n, arg) for n, arg in enumerate(args) if n not in moving]
        kinds = [(n, args[n].dtype, len(args[n].shape)) for n in moving]
        self.inputs = Inputs(tuple(same), tuple(kinds))
        self.tape = Tape(self.inputs.numbers(args, values))
        self.values: list[Any] = self.tape.numbers[: len(values)]
        self.args = list(args)
        at = len(values)
        for n in moving:
            shape = tuple([self._size(size) for size in given[n].shape])
            strides: Any = tuple(self.tape.numbers[at : at + len(shape)])
            self.args[n] = args[n]._replace(shape=shape, strides=strides)
            at += len(shape)
        self.moving = moving
        self.nodes: list[Node] = []
        self.of: dict[int, Node] = {}  # by the identity of what the planner was told
        self.copies: dict[Any, Node] = {}
        self.slots: list[tuple[Node, Any, Call]] = []
        self.constants: dict[Any, tuple[Constant, list[Place]]] = {}
        self.arrays: dict[int, tuple[Any, int]] = {}  # of constants, by identity: key and number
        self.kept: list[object] = []  # what identities are of

    def _size(self, size: Any) -> Any:
        return evaluate(size.expr, self.values) if is_symbol(size) else size

    def plain(self) -> list[int]:
        """The values of the symbols at hand."""
        return [number_of(x) for x in self.values]

    # ---- what the planner says

    def admit(self, strange: bool) -> None:
        """Take a call; strange: one that is no kernel. Raises Untraceable for that."""
        if strange:
            raise Untraceable("a call that is no kernel")

    def found(self, known: Known, args: Sequence[Arg], outs: Sequence[Type]) -> Found | None:
        """A call with a plan of its own."""
        threads, fixed, planner = self.threads, known.fixed, known.plan
        if planner is None:
            return None

        def plan(numbers: list[Any]) -> Found | None:
            ins, made, rest = with_numbers(args, outs, numbers)
            keywords = known.keywords if fixed else known.at(rest)[0]
            plan = planner(ins, made, keywords, threads)
            return None if plan is None else taken_apart(plan)

        numbers = numbers_in(args, outs) + ([] if fixed else self.values)
        return self.node(plan, numbers)

    def node(self, plan: Callable[[list[Any]], Found | None], numbers: list[Any]) -> Found:
        node = Node(plan, numbers)
        right = plan([number_of(x) for x in numbers])
        if right is None:
            raise Untraceable("a call without a kernel")
        node.like = (right.contiguous, right.points)
        self.nodes.append(node)
        scratch: Any = Scratch(node)
        told = Found((), scratch, right.contiguous, (), 0, right.points, False)
        self.of[id(told)] = node
        self.kept.append(told)
        return told

    def join(self, found: Found, sources: Any, call: Call) -> None:
        """The steps of a call."""
        self.slots.append((self.of[id(found)], sources, call))

    def copy(self, call: Call, place: Place, into: Place) -> None:
        """A step that copies what has elements."""
        arg, strides = place.arg, into.arg.strides
        alike = (id(arg), id(into.arg))
        node = self.copies.get(alike)
        if node is None:
            rank, dtype = len(arg.shape), arg.dtype

            def plan(numbers: list[Any]) -> Found | None:
                shape, steps, out_steps = (
                    tuple(numbers[i * rank : (i + 1) * rank]) for i in range(3)
                )
                step = move_step(shape, steps, out_steps, dtype, In(0), Out(0), self.threads)
                return None if step is None else taken_apart(Plan((step,)))

            told = self.node(plan, [*arg.shape, *arg.strides, *strides])
            node = self.copies[alike] = self.of[id(told)]
            self.kept += (arg, into.arg)
        self.slots.append((node, ([place], [into], []), call))

    def end_if(self, places: Sequence[Place], call: Call) -> None:
        """The step that ends the program where a byte is set."""
        count = len(places)
        spots = tuple([(i, INPUT, i, 0) for i in range(count)])

        def plan(_: list[Any]) -> Found:
            part = Part(0, (0,) * count, spots, -count, False)
            return Found((part,), 0, (), (), 0, False, False)

        told = self.node(plan, [])
        self.slots.append((self.of[id(told)], (list(places), [], []), call))

    def constant(
        self, planner: Planner, number: int, known: Known, places: Sequence[Place]
    ) -> None:
        """What depends on nothing but the sizes, or a view of such arrays."""
        call = known.call

        def make(arrays: list[Any], values: Sequence[Any]) -> tuple[Any, ...]:
            keywords = known.at(values)[0]
            if not call.op.view:
                return computed(call, arrays, keywords, values)
            made = call.op.ref(*arrays, **keywords)
            return in_elements(made if isinstance(made, tuple) else (made,))

        fresh = [planner.fresh(value) for value in call.outs]
        kinds = [value.dtype for value in call.outs]
        same = known.fixed and not places
        if call.op.name == "full" and fresh[0].size > 1:  # one number, whatever the shape
            attrs = dict(zip(call.op.attrs, call.attrs, strict=True))
            same = not has_symbols(tuple([x for name, x in attrs.items() if name != "shape"]))
        found = self._constants(number, make, places, fresh, kinds, same)
        planner.places.update(zip(call.outs, found, strict=True))
        planner.constants.update(call.outs)

    def _constants(
        self,
        number: int,
        make: Callable[[list[Any], Sequence[Any]], tuple[Any, ...]],
        places: Sequence[Place],
        fresh: Sequence[Arg],
        dtypes: Sequence[Any],
        same: bool,
    ) -> list[Place]:
        """Arrays of sizes alone: of call `number`, or a view of such arrays.

        same   whether there are the same numbers in memory for all sizes
        """
        keys = [self.arrays[id(place.base)] for place in places]
        for key, _ in keys:  # they are wanted in the shape of each size
            self.constants[key][0].fixed = None

        def again(arrays: dict[Any, Any], values: Sequence[Any]) -> tuple[Any, ...]:
            return make([arrays[key][n] for key, n in keys], values)

        made = make([place.base for place in places], self.plain())
        constant = Constant(again)
        if same:
            constant.fixed = made
        found = []
        for n, (array, arg, dtype) in enumerate(zip(made, fresh, dtypes, strict=True)):
            if [number_of(x) for x in arg.shape] != [*array.shape]:
                raise Untraceable("a constant of another shape")
            strides = []
            for stride, dense in zip(array.strides, arg.strides, strict=True):
                step, rest = divmod(stride, array.itemsize)
                if rest:
                    raise Untraceable("a constant between elements")
                strides.append(dense if step == number_of(dense) else step)
            base = (
                array.view() if id(array) in self.arrays else array
            )  # makers remember what they gave
            self.arrays[id(base)] = number, n
            self.kept.append(base)
            found.append(Place(base, 0, Arg(arg.shape, dtype, tuple(strides))))
        self.constants[number] = constant, found
        return found

    # ---- the outline

    def outline(
        self,
        outs: Sequence[Type],
        buffers: Sequence[Buffer],
        whose: list[Call],
    ) -> Outline:
        """What the planner has said, for any sizes."""
        sheet = Sheet()
        count = len(self.tape.numbers)
        begin = sheet.take(count)
        given = list(range(begin, begin + count))
        enter = sheet.go(0)
        miss = sheet.stop()
        block = sheet.block(self.tape, given, None, miss)
        sheet.go_from(enter, block.begin)

        def cell(x: Any) -> int:
            return block.cells[x.place] if type(x) is Traced else sheet.constant(x)

        last = sheet.go(0)
        for node in self.nodes:
            node.settle(sheet, cell)
            sheet.go_from(last, node.enter)
            node.after = last = sheet.go(0)
        done = sheet.stop()
        sheet.go_from(last, done)
        heap = Heap(sheet, tuple([(buffer.first, buffer.last) for buffer in buffers]))
        addresses = {key: sheet.take(len(places)) for key, (_, places) in self.constants.items()}
        zero = sheet.constant(0)

        def ref(place: Place) -> Ref:
            base, offset, _ = place
            if type(base) is int:
                return Ref(SCRATCH, cell(offset), heap.places + base)
            if type(base) is In:
                return Ref(BASES + base.index, cell(offset + base.offset), zero)
            if type(base) is Out:
                return Ref(BASES + len(self.args) + base.index, cell(offset + base.offset), zero)
            key, number = self.arrays[id(base)]
            return Ref(ABSOLUTE, cell(offset), addresses[key] + number)

        slots = [
            Slot(node, tuple([tuple(map(ref, places)) for places in sources]), call)
            for node, sources, call in self.slots
        ]
        constants = {}
        for key, (constant, places) in self.constants.items():
            constant.address = addresses[key]
            constant.lies = [
                np.array([cell(x) for x in (*p.arg.shape, *p.arg.strides)], np.int64)
                for p in places
            ]
            for n, array in enumerate(constant.fixed or ()):
                sheet.cells[constant.address + n] = array.__array_interface__["data"][0]
            constants[key] = constant
        made = Outline(self.inputs, len(self.args), sheet, self.nodes, slots, constants, heap)
        made.done, made.given = done, np.array(given, np.int64)
        made.shapes = [
            (n, np.array([cell(x) for x in self.args[n].shape], np.int64)) for n in self.moving
        ]
        made.outs = [(np.array([cell(x) for x in out.shape], np.int64), out.dtype) for out in outs]
        made.sizes = np.array([self._bytes(buffer.size, sheet, cell) for buffer in buffers], int)
        made.whose = list(whose)
        return made

    def _bytes(self, size: Any, sheet: Sheet, cell: Callable[[Any], int]) -> int:
        return size.node.cell + 2 if type(size) is Scratch else cell(size)
