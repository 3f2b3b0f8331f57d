"""From a Graph to a plan: one program for all its calls. Floor 7.

`Planner(graph).plan(...)` takes the layouts of the inputs and the values of the symbols, asks each
call's planner for its kernels, finds a place in memory for each value, and joins everything to one
Plan (runtime/program.py): a list of steps that machine code runs from the first to the last, with
no Python between them. What has no kernel is a step too, which calls back into Python.

    view        no step: the value lies in another's memory
    constant    what does not depend on inputs is computed here, once
    in place    an optimizer's update writes where its operand lies
    scratch     other values share one arena, by their lifetimes
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import line_of
from twofold.base.flags import flags
from twofold.base.records import NamedTuple
from twofold.base.symbols import value_of
from twofold.base.types import Type
from twofold.exec.eager import close, execute, run_reference
from twofold.exec.planners import planner
from twofold.ir.graph import Call, Graph, Value
from twofold.lower.move import move_step
from twofold.lower.schedule import Arg, In, Out, Plan, Scratch, Step, Word
from twofold.ops.bind import ITEM
from twofold.ops.movement import CLONE, viewable

ALIGN = 64
Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Place(NamedTuple):
    """Where a value lies.

    base     an input (In), an output (Out), a buffer (an int: its number), or a constant array
    offset   bytes from there to its first element
    """

    base: Any
    offset: int
    arg: Arg


class Buffer(NamedTuple):
    """A piece of the arena: its bytes, and the first and last call that need it."""

    size: int
    first: int
    last: int


class Owner(NamedTuple):
    """Who needs memory: for the report."""

    size: int
    call: Call


class Planned(NamedTuple):
    """A graph's plan for inputs of known layouts.

    outs     types of the results, in the graph's order
    owners   the largest values that were alive at the peak
    steps    for each step of the plan the call that it is of
    in_python  the calls that have no kernel
    """

    plan: Plan
    outs: tuple[Type, ...]
    arena: int
    owners: tuple[Owner, ...]
    steps: tuple[Call, ...]
    in_python: tuple[Call, ...]


@final
class Planner:
    """Plans a graph for one set of sizes."""

    def __init__(
        self,
        graph: Graph,
        args: Sequence[Arg],
        values: Sequence[Any],
        threads: int,
        errors: list[BaseException],
    ) -> None:
        self.graph = graph
        self.values = values
        self.threads = threads
        self.places: dict[Value, Place] = {}
        self.buffers: list[Buffer] = []
        self.steps: list[tuple[int, Step, Call]] = []  # the call's number, and a step of it
        self.keep: list[object] = []
        self.errors = errors
        self.owners: list[tuple[int, Call]] = []  # buffer by number
        self.in_python: list[Call] = []
        self.outs: list[Type] = []
        self.targets: list[Place] = []  # of the results
        for index, (given, arg) in enumerate(zip(graph.inputs, args, strict=True)):
            self.places[given.value] = Place(In(index), 0, arg)
        self.final = self.final_reads()

    # ---- the whole

    def plan(self) -> Planned:
        wanted = self.wanted_places()
        for number, call in enumerate(self.graph.calls):
            self.call(number, call, wanted)
        end = len(self.graph.calls)
        self.deliver(end)
        offsets, arena = self.arrange()
        steps = tuple(self.resolved(step, offsets) for _, step, _ in self.steps)
        calls = tuple(call for _, _, call in self.steps)
        plan = Plan(steps, arena, (), tuple(self.keep))
        peak, python = self.at_peak(), tuple(self.in_python)
        return Planned(plan, tuple(self.outs), arena, peak, calls, python)

    def final_reads(self) -> dict[Value, int]:
        """The number of the last call that reads each value, itself or through a view of it."""
        last: dict[Value, int] = {}
        sources: dict[Value, Value] = {}

        def read(value: Value | None, number: int) -> None:
            while value is not None:
                last[value] = number
                value = sources.get(value)

        for number, call in enumerate(self.graph.calls):
            for value in call.inputs:
                read(value, number)
            sources.update(self.sharers(call))
        for value in self.graph.needed():
            read(value, len(self.graph.calls))
        return last

    @staticmethod
    def sharers(call: Call) -> list[tuple[Value, Value]]:
        """The outputs of a call that may lie in an input's memory, each with that input."""
        if call.op.writes:
            sources = [call.inputs[i] for i in call.op.writes(len(call.outs), call.attrs)]
            return list(zip(call.outs, sources, strict=True))
        return [(value, call.inputs[0]) for value in call.outs] if call.op.view else []

    def wanted_places(self) -> dict[Value, Place]:
        """Values that are made right where they are wanted: results, and the inputs' new values."""
        wanted: dict[Value, Place] = {}
        made = {
            value: (number, call)
            for number, call in enumerate(self.graph.calls)
            for value in call.outs
        }
        for into, new in self.graph.updates:
            if new not in made or new in wanted:
                continue
            number, call = made[new]
            place = self.places[into]
            # what reads the old value must be done before the new one is written over it
            if place.arg.contiguous and self.final.get(into, -1) < number and not call.op.view:
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

    def call(self, number: int, call: Call, wanted: Mapping[Value, Place]) -> None:
        op = call.op
        attrs = value_of(call.attrs, self.values)
        keywords = op.keywords(attrs)
        places = [self.places[v] for v in call.inputs]
        if op is ITEM:
            return
        if op.view:
            self.view(number, call, places[0], keywords)
            return
        if all(isinstance(p.base, np.ndarray) for p in places) and not (op.writes or op.effect):
            self.constant(call, places, keywords)
            return
        args = tuple(p.arg for p in places)
        outs = tuple(Type(self.shape(v), v.dtype) for v in call.outs)
        plan = None if op.lower is None else planner(op)
        found = plan and plan(args, outs, keywords, self.threads)
        if op.writes:
            for index, value in zip(op.writes(len(call.outs), attrs), call.outs, strict=True):
                self.places[value] = places[index]
        else:
            for value in call.outs:
                self.places[value] = wanted.get(value) or self.buffer(number, value, call)
        made = [self.places[v] for v in call.outs]
        if found is None:
            self.steps.append((number, self.reference(call, places, made, keywords), call))
            return
        self.join(number, call, found, places, made)
        if flags.check >= 3 and not op.writes:
            self.steps.append((number, self.beside(call, places, made, keywords), call))

    def shape(self, value: Value) -> tuple[int, ...]:
        return value_of(value.shape, self.values)  # type: ignore[no-any-return]

    def fresh(self, value: Value) -> Arg:
        shape = self.shape(value)
        return Arg(shape, value.dtype, dense(shape))

    def buffer(self, number: int, value: Value, call: Call) -> Place:
        arg = self.fresh(value)
        size = arg.size * value.dtype.itemsize
        return Place(self.claim(size, number, self.final.get(value, number), call), 0, arg)

    def claim(self, size: int, first: int, last: int, call: Call) -> int:
        self.buffers.append(Buffer(size, first, last))
        self.owners.append((len(self.buffers) - 1, call))
        return len(self.buffers) - 1

    def join(
        self, number: int, call: Call, found: Plan, places: list[Place], made: list[Place]
    ) -> None:
        """Add a call's own plan, with its pointers turned into places."""
        self.keep.append(found.keep)
        ins = list(places)
        for index in found.contiguous:
            ins[index] = self.copied(number, call, places[index])
        scratch = None
        if found.scratch:
            scratch = Place(self.claim(found.scratch, number, number, call), 0, ins[0].arg)
        for step in found.steps:
            job = tuple(_placed(word, ins, made, scratch) for word in step.job)
            self.steps.append((number, Step(step.task, job, step.chunks), call))

    def copied(self, number: int, call: Call, place: Place) -> Place:
        arg = Arg(place.arg.shape, place.arg.dtype, dense(place.arg.shape))
        there = Place(self.claim(arg.size * arg.dtype.itemsize, number, number, call), 0, arg)
        self.copy_place(number, call, place, there)
        return there

    def copy(self, number: int, value: Value, into: Place) -> None:
        call = Call(CLONE, (value,), (), (value,))
        self.copy_place(number, call, self.places[value], into)

    def copy_place(self, number: int, call: Call, place: Place, into: Place) -> None:
        """A step that copies a value, whatever the layouts."""
        arg = place.arg
        if not arg.size:
            return
        source: Any = _Pointing(place)
        target: Any = _Pointing(into)
        walk = (arg.shape, arg.strides, into.arg.strides, arg.dtype)
        step = move_step(*walk, source, target, self.threads)
        assert step is not None  # there are elements
        job = tuple(w.place if isinstance(w, _Pointing) else w for w in step.job)
        self.steps.append((number, Step(step.task, job, step.chunks), call))

    # ---- views and constants

    def view(self, number: int, call: Call, place: Place, keywords: Any) -> None:
        arg = place.arg
        if isinstance(place.base, np.ndarray):
            made = call.op.ref(place.base, **keywords)
            several = made if isinstance(made, tuple) else (made,)
            for value, array in zip(call.outs, several, strict=True):
                self.places[value] = _constant(array, value.dtype)
            return
        shape = self.shape(call.outs[0])
        if call.op.name == "reshape" and not (
            arg.contiguous or viewable(arg.shape, arg.strides, shape)
        ):
            root = self.copied_for(number, call, place)
            place, arg = root, root.arg
        stand = _stand_in(arg)
        made = call.op.ref(stand, **keywords)
        start = stand.__array_interface__["data"][0]
        several = made if isinstance(made, tuple) else (made,)
        for value, part in zip(call.outs, several, strict=True):
            moved = part.__array_interface__["data"][0] - start if part.size else 0
            size = value.dtype.itemsize
            lies = Arg(part.shape, value.dtype, tuple(s // size for s in part.strides))
            self.places[value] = Place(place.base, place.offset + moved, lies)

    def copied_for(self, number: int, call: Call, place: Place) -> Place:
        """A copy in order that lives as long as the views of it."""
        arg = Arg(place.arg.shape, place.arg.dtype, dense(place.arg.shape))
        last = max(self.final.get(v, number) for v in call.outs)
        there = Place(self.claim(arg.size * arg.dtype.itemsize, number, last, call), 0, arg)
        self.copy_place(number, call, place, there)
        return there

    def constant(self, call: Call, places: list[Place], keywords: Any) -> None:
        """Compute what depends on nothing but the sizes."""
        if call.op.name == "full" and math.prod(keywords["shape"]) > 1:
            one = call.op.ref(**{**keywords, "shape": ()})
            made: Any = np.broadcast_to(one, keywords["shape"])
        else:
            made = execute(call.op, [p.base for p in places], value_of(call.attrs, self.values))
        several = made if isinstance(made, tuple) else (made,)
        for value, array in zip(call.outs, several, strict=True):
            self.places[value] = _constant(array, value.dtype)
            self.keep.append(array)

    # ---- Python

    def reference(
        self, call: Call, places: list[Place], made: list[Place], keywords: dict[str, Any]
    ) -> Step:
        """A step that calls the operation's NumPy reference."""
        self.in_python.append(call)
        ins, outs, errors = [p.arg for p in places], [p.arg for p in made], self.errors

        def run(job: int, chunk: int, chunks: int) -> None:
            try:
                words = (ctypes.c_int64 * (len(ins) + len(outs))).from_address(job)
                arrays = [array_at(w, arg) for w, arg in zip(words, (*ins, *outs), strict=True)]
                result = run_reference(call.op, tuple(arrays[: len(ins)]), keywords)
                several = result if isinstance(result, tuple) else (result,)
                for target, values in zip(arrays[len(ins) :], several, strict=True):
                    target[...] = values
            except BaseException as error:
                errors.append(error)

        task = Task(run)
        self.keep.append(task)
        address = ctypes.cast(task, ctypes.c_void_p).value or 0
        return Step(address, (*places, *made), 1)  # type: ignore[arg-type]

    def beside(
        self, call: Call, places: list[Place], made: list[Place], keywords: dict[str, Any]
    ) -> Step:
        """A step that compares what a kernel has made with the operation's reference."""
        ins, outs, errors = [p.arg for p in places], [p.arg for p in made], self.errors

        def run(job: int, chunk: int, chunks: int) -> None:
            try:
                words = (ctypes.c_int64 * (len(ins) + len(outs))).from_address(job)
                arrays = [array_at(w, arg) for w, arg in zip(words, (*ins, *outs), strict=True)]
                result = run_reference(call.op, tuple(arrays[: len(ins)]), keywords)
                several = result if isinstance(result, tuple) else (result,)
                for found, right in zip(arrays[len(ins) :], several, strict=True):
                    if not close(found, right):
                        where = line_of(call.where)
                        raise AssertionError(f"{call.op.name}: unlike its reference    {where}")
            except BaseException as error:
                errors.append(error)

        task = Task(run)
        self.keep.append(task)
        address = ctypes.cast(task, ctypes.c_void_p).value or 0
        return Step(address, (*places, *made), 1)  # type: ignore[arg-type]

    # ---- memory

    def arrange(self) -> tuple[list[int], int]:
        """An offset for each buffer, such that those alive at once do not overlap; and the size.

        The largest first, each at the lowest place that is free while it lives.
        """
        offsets = [0] * len(self.buffers)
        placed: list[int] = []
        top = 0
        for index in sorted(range(len(self.buffers)), key=lambda i: -self.buffers[i].size):
            size, first, last = self.buffers[index]
            if not size:
                continue
            rivals = sorted(
                (offsets[other], offsets[other] + _rounded(self.buffers[other].size))
                for other in placed
                if self.buffers[other].first <= last and first <= self.buffers[other].last
            )
            at = 0
            for low, high in rivals:
                if at + _rounded(size) <= low:
                    break
                at = max(at, high)
            offsets[index] = at
            top = max(top, at + _rounded(size))
            placed.append(index)
        return offsets, top

    def at_peak(self) -> tuple[Owner, ...]:
        """Who owned most when most was needed."""
        sums: dict[int, int] = {}
        for size, first, last in self.buffers:
            for number in range(first, min(last, len(self.graph.calls)) + 1):
                sums[number] = sums.get(number, 0) + size
        if not sums:
            return ()
        peak = max(sums, key=lambda number: sums[number])
        alive = [
            Owner(self.buffers[index].size, call)
            for index, call in self.owners
            if self.buffers[index].first <= peak <= self.buffers[index].last
        ]
        return tuple(sorted(alive, key=lambda owner: -owner.size)[:8])

    def resolved(self, step: Step, offsets: list[int]) -> Step:
        """The step with addresses for places."""
        return Step(step.task, tuple([_word(w, offsets) for w in step.job]), step.chunks)


class _Pointing:
    """A place that passes for a pointer of a planner."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        self.place = place


def same_place(a: Place, b: Place) -> bool:
    """Whether two values are one piece of memory, read alike."""
    return not isinstance(a.base, np.ndarray) and not isinstance(b.base, np.ndarray) and a == b


def dense(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of an array that lies in order."""
    made: list[int] = []
    step = 1
    for size in reversed(shape):
        made.append(step)
        step *= size
    return tuple(reversed(made))


def _rounded(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _placed(word: Word, ins: list[Place], outs: list[Place], scratch: Place | None) -> Any:
    if isinstance(word, In):
        place = ins[word.index]
    elif isinstance(word, Out):
        place = outs[word.index]
    elif isinstance(word, Scratch):
        assert scratch is not None
        place = scratch
    else:
        return word
    return place._replace(offset=place.offset + word.offset)


def _word(word: Any, offsets: list[int]) -> Word:
    if not isinstance(word, Place):
        return word  # type: ignore[no-any-return]
    base, offset = word.base, word.offset
    if isinstance(base, In):
        return In(base.index, base.offset + offset)
    if isinstance(base, Out):
        return Out(base.index, base.offset + offset)
    if isinstance(base, int):
        return Scratch(offsets[base] + offset)
    return int(base.__array_interface__["data"][0]) + offset


def _constant(array: Any, dtype: DType) -> Place:
    if array.strides and any(s % array.itemsize for s in array.strides):
        array = np.ascontiguousarray(array)
    strides = tuple(s // array.itemsize for s in array.strides)
    return Place(array, 0, Arg(array.shape, dtype, strides))


def _stand_in(arg: Arg) -> Any:
    """An array of this layout that is looked at and never read."""
    size = arg.dtype.itemsize
    strides = tuple(s * size for s in arg.strides)
    return np.lib.stride_tricks.as_strided(np.empty(1, arg.dtype.numpy), arg.shape, strides)


def array_at(address: int, arg: Arg) -> Any:
    """An array on memory at an address, which it does not own."""
    low = high = 0
    for size, stride in zip(arg.shape, arg.strides, strict=True):
        reach = (size - 1) * stride
        low, high = low + min(reach, 0), high + max(reach, 0)
    itemsize = arg.dtype.itemsize
    if 0 in arg.shape:
        return np.empty(arg.shape, arg.dtype.numpy)
    count = (high - low + 1) * itemsize
    memory: Any = (ctypes.c_char * count).from_address(address + low * itemsize)
    strides = tuple(s * itemsize for s in arg.strides)
    return np.ndarray(arg.shape, arg.dtype.numpy, memory, -low * itemsize, strides)


def arg_of(array: Any) -> Arg:
    """How a NumPy array lies."""
    size = array.dtype.itemsize
    return Arg(array.shape, dtypes.of(array.dtype), tuple([s // size for s in array.strides]))
