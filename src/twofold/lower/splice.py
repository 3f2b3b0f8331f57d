"""Plans put together, and plans for one element type made of those for another. Floor 6.

Most kernels are made for float32 and float64. `through` gives them other types: the inputs are
converted, exactly, the kernel runs, and the outputs are rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.lower.convert import convert
from twofold.lower.copy import contiguous_step
from twofold.lower.elementwise import elementwise_task, plan_elementwise
from twofold.lower.faults import check_step
from twofold.lower.move import fill_step
from twofold.lower.schedule import (
    Arg,
    Frozen,
    In,
    Out,
    Plan,
    Planner,
    Pointer,
    Scratch,
    Step,
    Word,
    chunks_for,
)
from twofold.lower.strided import dense_strides

Attrs = Mapping[str, Any]
Places = Mapping[int, Pointer]
ALIGN = 64
# What halves are computed in.
HALVES = {dtypes.float16: dtypes.float32, dtypes.bfloat16: dtypes.float32}


@final
class Builder:
    """A plan under construction, whose steps share one scratch memory, and one that stays."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.steps: list[Step] = []
        self.keep: list[object] = []
        self.contiguous: list[int] = []
        self.size = 0
        self.frozen = 0

    def scratch(self, count: int, itemsize: int) -> Scratch:
        """Room for `count` elements."""
        place = Scratch(self.size)
        self.size += -(-max(count, 1) * itemsize // ALIGN) * ALIGN
        return place

    def add(self, step: Step) -> None:
        self.steps.append(step)

    def splice(self, plan: Plan, ins: Places, outs: Places) -> None:
        """The steps of a plan whose inputs and outputs lie elsewhere than in its own numbers."""
        bases = self.size, self.frozen
        self.size += -(-plan.scratch // ALIGN) * ALIGN
        self.frozen += -(-plan.frozen // ALIGN) * ALIGN
        for step in plan.steps:
            job = tuple([_moved(word, ins, outs, bases) for word in step.job])
            self.steps.append(Step(step.task, job, step.chunks))
        for index in plan.contiguous:
            place = ins[index]
            if isinstance(place, In):
                self.contiguous.append(place.index)
        self.keep += plan.keep

    def dense(self, arg: Arg, index: int) -> Pointer:
        """Where input `index` lies in C order: itself, or a copy."""
        if arg.contiguous:
            return In(index)
        place = self.scratch(arg.size, arg.dtype.itemsize)
        self.add(contiguous_step(arg, In(index), place, self.threads))
        return place

    def cast(self, arg: Arg, source: In, target: DType) -> Pointer:
        """Where an input lies in C order in another element type: a copy, unless it has it. The
        copy of a frozen one is made once.
        """
        if arg.dtype is target:
            return self.dense(arg, source.index)
        recipe = partial(convert, source=arg.dtype, target=target)
        made = (Type(arg.shape, target),)
        plan = plan_elementwise("cast", recipe, (arg,), made, {}, self.threads)
        assert plan is not None, (arg.dtype, target)
        place: Pointer = Frozen(self.frozen)
        if arg.frozen and not plan.scratch:
            self.frozen += -(-arg.size * target.itemsize // ALIGN) * ALIGN
        else:
            place = self.scratch(arg.size, target.itemsize)
        self.splice(plan, {0: source}, {0: place})
        return place

    def store(self, place: Pointer, source: DType, out: int, made: Type) -> None:
        """Convert what lies at a place, in C order, into output `out`."""
        if made.size == 0:
            return
        recipe = partial(convert, source=source, target=made.dtype)
        task = elementwise_task("cast", recipe, (source,), (made.dtype,), {})
        job = (made.size, Out(out), place, 0)
        self.add(Step(task, job, chunks_for(made.size, self.threads)))

    def add_copy(self, arg: Arg, made: Type) -> None:
        """Copy input 0 in C order to output 0."""
        if made.size:
            self.add(contiguous_step(arg, In(0), Out(0), self.threads))

    def fill(self, made: Type, value: Any, out: int = 0) -> None:
        """Write one value everywhere in an output."""
        held = np.ascontiguousarray(dtypes.convert(np.asarray(value), made.dtype))
        self.keep.append(held)
        step = fill_step(held.ctypes.data, made.dtype, Out(out), made.size, self.threads)
        if step is not None:
            self.add(step)

    def plan(self) -> Plan:
        unique = tuple(sorted(set(self.contiguous)))
        steps, keep = tuple(self.steps), tuple(self.keep)
        return Plan(steps, self.size, unique, keep, frozen=self.frozen)


def _moved(word: Word, ins: Places, outs: Places, bases: tuple[int, int]) -> Word:
    if isinstance(word, Scratch):
        return Scratch(word.offset + bases[0])
    if isinstance(word, Frozen):
        return Frozen(word.offset + bases[1])
    if isinstance(word, In):
        return shifted(ins[word.index], word.offset)
    if isinstance(word, Out):
        return shifted(outs[word.index], word.offset)
    return word


def shifted(place: Pointer, offset: int) -> Pointer:
    """The place so many bytes further on."""
    if isinstance(place, Scratch | Frozen):
        return type(place)(place.offset + offset)
    return type(place)(place.index, place.offset + offset)


def through(
    planner: Planner,
    wide: Mapping[DType, DType],
    args: tuple[Arg, ...],
    outs: tuple[Type, ...],
    attrs: Attrs,
    threads: int,
) -> Plan | None:
    """The planner's plan for the wider types that `wide` names, between two conversions."""
    build = Builder(threads)
    ins: dict[int, Pointer] = {}
    given = []
    for index, arg in enumerate(args):
        target = wide.get(arg.dtype, arg.dtype)
        ins[index] = In(index)
        if target is not arg.dtype:
            place = ins[index] = build.cast(arg, In(index), target)
            strides = dense_strides(arg.shape)
            arg = Arg(arg.shape, target, strides, isinstance(place, Frozen))
        given.append(arg)
    places: dict[int, Pointer] = {}
    wanted = []
    for index, out in enumerate(outs):
        target = wide.get(out.dtype, out.dtype)
        changed = target is not out.dtype
        places[index] = build.scratch(out.size, target.itemsize) if changed else Out(index)
        wanted.append(out.with_dtype(target))
    plan = planner(tuple(given), tuple(wanted), attrs, threads)
    if plan is None:
        return None
    build.splice(plan, ins, places)
    for index, (out, kind) in enumerate(zip(outs, wanted, strict=True)):
        if kind.dtype is not out.dtype:
            build.store(places[index], kind.dtype, index, out)
    return build.plan()


def checked_divisor(name: str, plan: Plan, args: tuple[Arg, ...], threads: int) -> Plan:
    """A plan of a division of whole numbers that also notes a divisor of 0."""
    build = Builder(threads)
    place = build.dense(args[1], 1)
    build.add(check_step("nonzero", name, args[1], place, threads))
    ins: dict[int, Pointer] = {index: In(index) for index in range(len(args))}
    build.splice(plan, ins, {0: Out(0)})
    return build.plan()
