"""From a Graph to a plan: one program for all its calls. Floor 7.

`Planner(structure, ...).plan()` takes the layouts of the inputs and the values of the symbols, asks
each call's planner for its kernels, finds a place in memory for each value, and joins everything to
one Plan (runtime/program.py): a list of steps that machine code runs from the first to the last,
with no Python between them. What has no kernel is a step too, which calls back into Python.

    view        no step: the value lies in another's memory
    constant    what does not depend on inputs is computed here, once
    in place    an optimizer's update writes where its operand lies; an elementwise result, where an
                operand lies that nobody reads any more
    scratch     other values share one arena, by their lifetimes
    frozen      what is made of frozen inputs alone is made before, and kept (exec/frozen.py)
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twofold.base.errors import line_of
from twofold.base.flags import flags
from twofold.base.types import Type
from twofold.exec import stacks
from twofold.exec.constants import placed
from twofold.exec.control import STOPPED, Control
from twofold.exec.eager import close, run_reference
from twofold.exec.found import Found
from twofold.exec.frozen import Store
from twofold.exec.layouts import array_at, dense, view_of
from twofold.exec.planned import Buffer, Pending, Planned, coded
from twofold.exec.planners import FACTORING
from twofold.exec.steps import Steps, copying
from twofold.exec.structure import Known, Place, Structure
from twofold.ir.graph import Call, Value
from twofold.lower.schedule import Arg, In, Out, Plan
from twofold.ops.bind import ITEM
from twofold.ops.movement import CLONE, viewable
from twofold.runtime import faults

if TYPE_CHECKING:  # what plans for further sizes alone need
    from twofold.exec.outline import Outline
    from twofold.exec.recorder import Recorder

FAULTY = Place(faults.noted(), 0, STOPPED.arg)  # set where a kernel could not take its numbers
Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


@final
class Planner:
    """Plans a graph for one set of sizes; `store` has the inputs that are frozen, if any are."""

    def __init__(
        self,
        structure: Structure,
        args: Sequence[Arg],
        values: Sequence[Any],
        threads: int,
        errors: list[BaseException],
        stop: Place | None = None,
        store: Store | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.structure = structure
        self.store = store
        self.stop = stop
        self.long = False
        self.graph = graph = structure.graph
        self.values = values
        self.threads = threads
        self.places: dict[Value, Place] = {}
        self.buffers: list[Buffer] = []
        self.steps: list[Pending] = []
        self.keep: list[object] = []
        self.errors = errors
        self.whose: list[Call] = []  # by the buffer's number
        self.in_python: list[Call] = []
        self.outs: list[Type] = []
        self.targets: list[Place] = []  # of the results
        self.layouts = structure.layouts.number
        self.types = structure.layouts.types(values)
        self.dense: list[Arg | None] = [None] * len(self.types)
        # what was found for a group of calls and the arguments' layouts, by their identity: all
        # live as long as the planner
        self.found: dict[tuple[int, ...], Found | None] = {}
        self.views: dict[tuple[int, int], tuple[Arg, list[tuple[int, Arg]] | None]] = {}
        self.attrs: dict[int, tuple[Any, Any]] = {}
        self.constants: set[Value] = set()
        self.checks = flags.check
        frozen = store.inputs if store is not None else ()
        for index, (given, arg) in enumerate(zip(graph.inputs, args, strict=True)):
            if arg.frozen is not (index in frozen):
                arg = arg._replace(frozen=index in frozen)
            self.places[given.value] = Place(In(index), 0, arg)
        self.final = structure.final
        # what takes down what is decided: as steps, or for any sizes, where numbers are traced
        self.taker: Steps | Recorder = recorder or Steps(self)

    # ---- the whole

    def plan(self) -> Planned:
        arena = self.steps_of_body()
        steps = coded(self.steps, self.offsets, len(self.graph.inputs))
        calls = tuple([pending.call for pending in self.steps])
        plan = Plan(steps, arena, (), tuple(self.keep), self.long)
        outs, python = tuple(self.outs), tuple(self.in_python)
        return Planned(plan, outs, arena, self.buffers, self.whose, calls, python)

    def outline(self) -> Outline:
        """The same for any sizes, where the numbers are those of a recorder."""
        self.decide()
        return self.taker.outline(self.outs, self.buffers, self.whose)  # type: ignore[union-attr]

    def steps_of_body(self) -> int:
        """Make the steps and find a place for each buffer; the size of the arena."""
        self.decide()
        self.offsets, arena = self.arrange()
        return arena

    def decide(self) -> None:
        """Go from call to call."""
        wanted = self.wanted_places()
        guard = self.structure.guard
        for number, known in enumerate(self.structure.calls):
            if guard is not None and number == guard.place:
                self.look_at(guard.flags)
            self.call(number, known, wanted)
        if guard is not None and guard.place == len(self.graph.calls):
            self.look_at(guard.flags)
        self.deliver(len(self.graph.calls))

    def inner(self, structure: Structure, args: Sequence[Arg]) -> Planner:
        """A planner for the graph of a branch or a body."""
        return Planner(structure, args, self.values, self.threads, self.errors, STOPPED)

    def add(
        self, task: int, job: list[int], spots: list[tuple[int, Place, int]], call: Call
    ) -> None:
        """Add a branch or a loop."""
        self.long = True
        self.steps.append(Pending(task, tuple(job), spots, 1, call))

    def look_at(self, flags: Sequence[Value]) -> None:
        """Add the step that ends the program where one of its checks has failed."""
        self.end_if([self.places[flag] for flag in flags])

    def end_if(self, bytes_: Sequence[Place]) -> None:
        """Add the step that ends the program where one of these bytes is set."""
        self.taker.end_if(bytes_, Call(CLONE, (), (), ()))

    def wanted_places(self) -> dict[Value, Place]:
        """Values that are made right where they are wanted: results, and the inputs' new values."""
        wanted: dict[Value, Place] = {}
        made = self.structure.made
        for into, new in self.structure.wanted:
            place = self.places[into]
            if new not in wanted and place.arg.contiguous:
                wanted[new] = place
        for index, value in enumerate(self.graph.results):
            place = Place(Out(index), 0, self.fresh(value))
            self.outs.append(Type(place.arg.shape, value.dtype))
            self.targets.append(place)
            if value not in made or value in wanted:
                continue
            op = made[value][1].op
            if not op.view and not op.writes:
                wanted[value] = place
        return wanted

    def deliver(self, end: int) -> None:
        """Copy what was made elsewhere to where it is wanted: results, then the inputs' new
        values.
        """
        for place, value in zip(self.targets, self.graph.results, strict=True):
            if not same_place(self.places[value], place):
                self.copy(end, value, place)
        late = [
            (self.places[into], self.places[new])
            for into, new in self.graph.updates
            if not same_place(self.places[new], self.places[into])
        ]
        written = {into.base for into, _ in late}
        call = Call(CLONE, (), (), ())
        for number, (into, place) in enumerate(late):
            # what lies in memory that is written here is moved away first
            if isinstance(place.base, In) and place.base in written:
                late[number] = into, self.copied(end, call, place)
        for into, place in late:
            self.copy_place(end, call, place, into)

    # ---- one call

    def call(self, number: int, known: Known, wanted: Mapping[Value, Place]) -> None:
        call = known.call
        op = call.op
        if op is ITEM:
            return
        if op.view:
            self.view(number, known)
            return
        places = [self.places[v] for v in call.inputs]
        if known.plain and self.constants.issuperset(call.inputs):
            self.taker.constant(self, number, known, places)
            return
        found = None if known.control else self.plan_of(known, places)
        early = self.store is not None and found is not None and is_early(known, found, places)
        if found is not None and early and wanted.keys().isdisjoint(call.outs):
            self.beforehand(number, call, self.attrs_of(known)[1], found, places)
            return
        if op.writes:
            for index, value in zip(known.writes, call.outs, strict=True):
                self.places[value] = places[index]
        else:
            # (a reference beside the kernel would read what was written over)
            over = known.elementwise and found is not None and self.checks < 3
            taken: set[Any] = set()
            for value in call.outs:
                place = wanted.get(value)
                if place is None and over:
                    place = self.over(number, value, places, taken)
                self.places[value] = place or self.buffer(number, value, call)
        made = [self.places[v] for v in call.outs]
        self.taker.admit(known.control or found is None or self.checks >= 3)
        if known.control:
            Control(self, number, call).add(places, made, self.attrs_of(known)[0])
        elif found is None:
            self.reference(number, call, places, made, self.attrs_of(known)[0])
            return
        else:
            self.join(number, call, found, places, made)
        if self.graph.updates and (known.control or op.name in FACTORING):
            self.end_if([FAULTY])  # before anything is written
        if self.checks >= 3 and not op.writes:
            self.beside(number, call, places, made, self.attrs_of(known)[0])

    def attrs_of(self, known: Known) -> tuple[Any, Any]:
        """The attributes of a call as keywords, and a key for them."""
        if known.fixed:
            return known.keywords, known.key
        found = self.attrs.get(known.group)
        if found is None:
            found = self.attrs[known.group] = known.at(self.values)
        return found

    def plan_of(self, known: Known, places: Sequence[Place]) -> Found | None:
        """A call's own plan."""
        alike = (known.group, *[id(place[2]) for place in places])
        if alike in self.found:
            return self.found[alike]
        args = tuple([place.arg for place in places])
        outs = tuple([self.types[self.layouts[v]] for v in known.call.outs])
        found = self.found[alike] = self.taker.found(known, args, outs)
        return found

    def fresh(self, value: Value) -> Arg:
        """How a value lies that lies in order."""
        number = self.layouts[value]
        found = self.dense[number]
        if found is None:
            shape, dtype = self.types[number]
            found = self.dense[number] = Arg(shape, dtype, dense(shape))
        return found

    def buffer(self, number: int, value: Value, call: Call) -> Place:
        arg = self.fresh(value)
        size = arg.size * value.dtype.itemsize
        return Place(self.claim(size, number, self.final.get(value, number), call), 0, arg)

    def over(self, number: int, value: Value, places: list[Place], taken: set[Any]) -> Place | None:
        """The place of an operand that nobody reads after this elementwise call, for a result that
        lies alike: each element is read before it is written. None where there is none.
        """
        arg = self.fresh(value)
        for place in places:
            base, offset, lies = place
            if type(base) is not int or base in taken or offset:
                continue
            buffer = self.buffers[base]
            alike = (lies.shape, lies.strides) == (arg.shape, arg.strides)
            same = lies.dtype.itemsize == arg.dtype.itemsize and alike
            if buffer.last != number or not same:
                continue
            shared = [p for p in places if type(p.base) is int and p.base == base]
            if any(p != place for p in shared):
                continue  # the same memory in another order
            taken.add(base)
            self.buffers[base] = buffer._replace(last=self.final.get(value, number))
            return Place(base, 0, arg)
        return None

    def claim(self, size: int, first: int, last: int, call: Call) -> int:
        self.buffers.append(Buffer(size, first, last))
        self.whose.append(call)
        return len(self.buffers) - 1

    def join(
        self, number: int, call: Call, found: Found, places: list[Place], made: list[Place]
    ) -> None:
        """Add a call's own plan, with its pointers turned into places."""
        if found.keep:
            self.keep.append(found.keep)
        ins = places
        if found.contiguous:
            ins = [
                self.copied(number, call, place) if index in found.contiguous else place
                for index, place in enumerate(places)
            ]
        scratch: list[Place] = []
        if found.points:
            scratch = [Place(self.claim(found.scratch, number, number, call), 0, ins[0].arg)]
        sources = [ins, made, scratch]
        self.taker.join(found, sources, call)

    def beforehand(
        self, number: int, call: Call, key: Any, found: Found, places: list[Place]
    ) -> None:
        """Have what is made of frozen inputs alone made before the program runs, and kept."""
        assert self.store is not None
        new = False
        for index, value in enumerate(call.outs):
            arg = self.fresh(value)._replace(frozen=True)
            room, new = self.store.room((key, *places, index), arg.size * arg.dtype.itemsize)
            self.places[value] = Place(room, 0, arg)
        began = len(self.steps)
        self.join(number, call, found, places, [self.places[v] for v in call.outs])
        own, self.steps = self.steps[began:], self.steps[:began]
        if new:
            self.store.add([pending.resolved([]) for pending in own], found.keep)

    def copied(self, number: int, call: Call, place: Place) -> Place:
        """The same in C order, for one call; of what is frozen, for all."""
        arg = Arg(place.arg.shape, place.arg.dtype, dense(place.arg.shape), place.arg.frozen)
        if arg.frozen and self.store is not None:
            room, new = self.store.room(("copy", place), arg.size * arg.dtype.itemsize)
            there = Place(room, 0, arg)
            if new and arg.size:
                self.store.add([copying(call, place, there, self.threads).resolved([])], ())
            return there
        there = Place(self.claim(arg.size * arg.dtype.itemsize, number, number, call), 0, arg)
        self.copy_place(number, call, place, there)
        return there

    def copy(self, number: int, value: Value, into: Place) -> None:
        call = Call(CLONE, (value,), (), (value,))
        self.copy_place(number, call, self.places[value], into)

    def copy_place(self, number: int, call: Call, place: Place, into: Place) -> None:
        """A step that copies a value, whatever the layouts."""
        if not place.arg.size:
            return
        self.taker.copy(call, place, into)

    # ---- views and constants

    def view(self, number: int, known: Known) -> None:
        call = known.call
        place = self.places[call.inputs[0]]
        if isinstance(place.base, np.ndarray):
            self.taker.constant(self, number, known, [place])
            return
        found = self.views_of(known, place.arg)
        if found is None:
            place = self.copied_for(number, call, place)
            found = self.views_of(known, place.arg)
            assert found is not None
        base, offset = place.base, place.offset
        for value, (moved, lies) in zip(call.outs, found, strict=True):
            self.places[value] = Place(base, offset + moved, lies)

    def views_of(self, known: Known, arg: Arg) -> list[tuple[int, Arg]] | None:
        """How the views of a call lie: how many bytes further, and their layouts. None where there
        has to be a copy first.
        """
        alike = (known.group, id(arg))
        seen = self.views.get(alike)
        if seen is not None:
            return seen[1]
        call, found = known.call, None
        reshape = call.op.name == "reshape"
        fresh = self.fresh(call.outs[0])
        if reshape and arg.contiguous:
            found = [(0, fresh._replace(frozen=True) if arg.frozen else fresh)]
        elif not reshape or viewable(arg.shape, arg.strides, fresh.shape):
            dtypes_ = [value.dtype for value in call.outs]
            found = view_of(call.op, arg, self.attrs_of(known)[0], dtypes_)
        self.views[alike] = arg, found
        return found

    def settle(self, call: Call, arrays: Sequence[Any]) -> None:
        """Take arrays for the results of a call."""
        for value, array in zip(call.outs, arrays, strict=True):
            self.places[value] = placed(array, value.dtype)
        self.constants.update(call.outs)

    def copied_for(self, number: int, call: Call, place: Place) -> Place:
        """A copy in order that lives as long as the views of it."""
        arg = Arg(place.arg.shape, place.arg.dtype, dense(place.arg.shape))
        last = max(self.final.get(v, number) for v in call.outs)
        there = Place(self.claim(arg.size * arg.dtype.itemsize, number, last, call), 0, arg)
        self.copy_place(number, call, place, there)
        return there

    # ---- Python

    def reference(
        self, number: int, call: Call, places: list[Place], made: list[Place], keywords: Any
    ) -> None:
        """Add a step that calls the operation's NumPy reference."""
        self.in_python.append(call)

        def act(ins: list[Any], outs: list[Any]) -> None:
            result = run_reference(call.op, tuple(ins), keywords)
            several = result if isinstance(result, tuple) else (result,)
            for target, values in zip(outs, several, strict=True):
                target[...] = values

        self.python_step(number, call, places, made, act)

    def beside(
        self, number: int, call: Call, places: list[Place], made: list[Place], keywords: Any
    ) -> None:
        """Add a step that compares what a kernel has made with the operation's reference."""

        def act(ins: list[Any], outs: list[Any]) -> None:
            result = run_reference(call.op, tuple(ins), keywords)
            several = result if isinstance(result, tuple) else (result,)
            for found, right in zip(outs, several, strict=True):
                if not close(found, right):
                    where = line_of(call.where)
                    raise AssertionError(f"{call.op.name}: unlike its reference    {where}")

        self.python_step(number, call, places, made, act)

    def python_step(
        self,
        number: int,
        call: Call,
        places: list[Place],
        made: list[Place],
        act: Callable[[list[Any], list[Any]], None],
    ) -> None:
        """Add a step of Python on inputs and outputs. The program ends where it raises."""
        count, args = len(places), [p.arg for p in (*places, *made)]
        own, errors = self.stop is None, self.errors
        stop = self.stop or Place(self.claim(1, number, number, call), 0, STOPPED.arg)

        def run(job: int, chunk: int, chunks: int) -> None:
            words = (ctypes.c_int64 * (len(args) + 1)).from_address(job)
            raised = ctypes.c_uint8.from_address(words[-1])
            try:
                if own:
                    raised.value = 0
                arrays = [array_at(word, arg) for word, arg in zip(words, args, strict=False)]
                act(arrays[:count], arrays[count:])
            except BaseException as error:
                errors.append(error)
                raised.value = 1

        task = Task(run)
        self.keep.append(task)
        address = ctypes.cast(task, ctypes.c_void_p).value or 0
        spots = [(i, place, 0) for i, place in enumerate((*places, *made, stop))]
        self.steps.append(Pending(address, (0,) * len(spots), spots, 1, call))
        self.end_if([stop])

    # ---- memory

    def arrange(self) -> tuple[list[int], int]:
        """An offset for each buffer, such that those alive at once do not overlap; and the size."""
        sizes = [buffer.size for buffer in self.buffers]
        lives = tuple([buffer[1:] for buffer in self.buffers])
        return stacks.arrange(sizes, lives, self.structure.stacks)


def same_place(a: Place, b: Place) -> bool:
    """Whether two values are one piece of memory, read alike."""
    if a is b:
        return not isinstance(a.base, np.ndarray)
    return not isinstance(a.base, np.ndarray) and not isinstance(b.base, np.ndarray) and a == b


def is_early(known: Known, found: Found, places: Sequence[Place]) -> bool:
    """Whether frozen inputs alone decide on a call's results, and it needs no other memory."""
    frozen = bool(places) and all([place.arg.frozen for place in places])
    return frozen and known.plain and not found.points
