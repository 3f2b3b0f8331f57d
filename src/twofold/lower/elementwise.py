"""Kernels of elementwise operations, from scalar recipes. Floor 6.

A recipe (f, values..., **attrs) -> value, or a tuple of them for several outputs, is written into
one loop over contiguous elements: vectors, several at a time; then single vectors, the last one
masked. The job of that loop is

    n, outputs..., inputs..., scalars

where bit i of `scalars` says that input i is one element that serves all. Every other layout is
brought to this loop by strided.py, so that an element has the same bits whatever lies around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.target import host
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, Body, Let
from twofold.ir.values import Value, Var
from twofold.lower.elements import HELD, in_memory, lanes_for
from twofold.lower.schedule import Arg, Count, In, Out, Plan, Step
from twofold.lower.strided import plan_strided
from twofold.lower.task import FIELDS
from twofold.runtime.program import Pattern, Single

Recipe = Callable[..., Any]
DTypes = tuple[DType, ...]

GRAIN = 1024  # elements; chunks begin at multiples, so that no two write to one cache line
# A recipe of at most so many statements is written out several times, a vector each. A longer one
# takes two registers for each value: its steps wait for each other, and two chains fill the gaps.
SHORT, UNROLL = 8, 4
SMALL = 16384  # elements below which one thread does all


# ---- the kernel ----------------------------------------------------------------------------------


class _Kernel:
    """The loop of one recipe, while it is written."""

    def __init__(self, recipe: Recipe, ins: DTypes, outs: DTypes, attrs: Mapping[str, Any]) -> None:
        self.recipe = partial(recipe, **attrs)
        self.ins = ins
        self.outs = outs
        self.f: Function
        self.targets: list[Value] = []
        self.sources: list[Value] = []
        self.moves: list[Value] = []
        self.lanes = lanes_for([*ins, *outs], host().vector_bytes)
        self.unroll = UNROLL
        body = self.trial()
        if len(body) > SHORT:
            self.unroll = 1
            self.lanes = 2 * host().vector_bytes // widest(body)

    def trial(self) -> Body:
        """The statements of the recipe, to see how long it is and what it computes with."""
        f = self.f = Module("trial").function("trial", [("p", "ptr")])
        read = [f.args[0].load(in_memory(d, self.lanes)) for d in self.ins]
        self.apply(read)
        return f.finish().body

    def build(self) -> Module:
        m = Module("elementwise")
        f = self.f = m.function("run", FIELDS)
        job, chunk, chunks = f.args
        words = iter(range(3 + len(self.ins) + len(self.outs)))
        n = job.at(next(words), "i64").load("i64")
        self.targets = [job.at(next(words), "i64").load("ptr") for _ in self.outs]
        given = [job.at(next(words), "i64").load("ptr") for _ in self.ins]
        scalars = job.at(next(words), "i64").load("i64")
        low, high = share(f, n, chunk, chunks)
        self.prepare(given, scalars)
        self.loops(low, high)
        return m

    def prepare(self, given: list[Value], scalars: Value) -> None:
        """For each input where it begins, and what to `and` an index with: 0 if it is a scalar."""
        f = self.f
        sources = [f.var("ptr", pointer) for pointer in given]
        moves = [f.var("i64", -1) for _ in given]
        with f.if_(scalars.cmp("ne", 0)):
            for i, (dtype, source, move) in enumerate(zip(self.ins, sources, moves, strict=True)):
                with f.if_((scalars & (1 << i)).cmp("ne", 0)):
                    self.spread(dtype, source)
                    move.set(0)
        self.sources = [source.get() for source in sources]
        self.moves = [move.get() for move in moves]

    def spread(self, dtype: DType, source: Var) -> None:
        """Put a scalar into every lane of a buffer, and let it be read from there."""
        f = self.f
        stored = HELD[dtype].stored
        buffer = f.array(stored, self.lanes * self.unroll, align=64)
        value = source.get().load(stored)
        filled = value.splat(self.lanes) if self.lanes > 1 else value
        for turn in range(self.unroll):
            buffer.at(turn * self.lanes, stored).store(filled)
        source.set(buffer)

    def loops(self, low: Value, high: Value) -> None:
        f, lanes = self.f, self.lanes
        stride = lanes * self.unroll
        middle = low + (high - low) // stride * stride
        with f.loop(low, middle, stride) as i:
            self.turn(i, self.unroll)
        if self.maskable():
            with f.loop(middle, high, lanes) as i:
                self.masked_turn(i, high)
            return
        whole = middle + (high - middle) // lanes * lanes
        if self.unroll > 1:
            with f.loop(middle, whole, lanes) as i:
                self.turn(i, 1)
        with f.loop(whole, high) as i:
            self.store(i, self.apply([p.load(in_memory(d, 1)) for d, p in self.at(i)]))

    def maskable(self) -> bool:
        """Whether vectors are loaded and stored under a mask: not for narrow types, or pairs."""
        stored = [HELD[d].stored for d in (*self.ins, *self.outs)]
        return self.lanes > 1 and all(4 <= TYPES[name].size <= 8 for name in stored)

    def at(self, i: Value, more: int = 0) -> list[tuple[DType, Value]]:
        """For each input its type, and where element i + more of it lies."""
        places = []
        for dtype, source, move in zip(self.ins, self.sources, self.moves, strict=True):
            stored = HELD[dtype].stored
            places.append((dtype, source.at(i & move, stored).at(more, stored)))
        return places

    def turn(self, i: Value, times: int) -> None:
        """`times` vectors from i on: everything is read before anything is written."""
        lanes = self.lanes
        read = [
            [p.load(in_memory(d, lanes)) for d, p in self.at(i, turn * lanes)]
            for turn in range(times)
        ]
        made = [self.apply(values) for values in read]
        for turn, results in enumerate(made):
            self.store(i + turn * lanes, results)

    def masked_turn(self, i: Value, high: Value) -> None:
        f, lanes = self.f, self.lanes
        left = (high - i).cast("trunc", "i32").splat(lanes)
        mask = f.iota(f"i32x{lanes}").cmp("slt", left)
        read = [f.masked_load(p, mask, in_memory(d, lanes)) for d, p in self.at(i)]
        made = self.apply(read)
        with f.if_((high - i).cmp("sge", lanes)) as branch:  # some CPUs take long to store by masks
            self.store(i, made)
            branch.otherwise()
            for dtype, target, value in zip(self.outs, self.targets, made, strict=True):
                f.masked_store(value, target.at(i, HELD[dtype].stored), mask)

    def apply(self, stored: list[Value]) -> list[Value]:
        """The recipe on values as memory holds them."""
        f = self.f
        values = [HELD[d].widen(f, x) for d, x in zip(self.ins, stored, strict=True)]
        made = self.recipe(f, *values)
        results = made if isinstance(made, tuple) else (made,)
        return [HELD[d].narrow(f, x) for d, x in zip(self.outs, results, strict=True)]

    def store(self, i: Value, results: list[Value]) -> None:
        for dtype, target, value in zip(self.outs, self.targets, results, strict=True):
            target.at(i, HELD[dtype].stored).store(value)


def widest(body: Body) -> int:
    """The bytes of the widest element that every call computes with, rare branches apart."""
    results = [s.result for s in body if isinstance(s, Let)]
    return max(TYPES[TYPES[result.type].element].size for result in results if result.type != "ptr")


def share(f: Function, n: Value, chunk: Value, chunks: Value) -> tuple[Value, Value]:
    """The part [low, high) of n elements that belongs to this chunk."""
    low, high = f.var("i64", 0), f.var("i64", n)
    with f.if_(chunks.cmp("ne", 1)):
        grains = (n + (GRAIN - 1)) // GRAIN
        low.set(f.min(grains * chunk // chunks * GRAIN, n))
        high.set(f.min(grains * (chunk + 1) // chunks * GRAIN, n))
    return low.get(), high.get()


def build_elementwise(
    recipe: Recipe, ins: DTypes, outs: DTypes, attrs: Mapping[str, Any]
) -> Module:
    """The module of one recipe for these element types: a task `run`."""
    return _Kernel(recipe, ins, outs, attrs).build()


def elementwise_task(
    name: str, recipe: Recipe, ins: DTypes, outs: DTypes, attrs: Mapping[str, Any]
) -> int:
    """The address of the loop over contiguous elements; the name must tell the recipe."""
    words = ",".join(f"{k}={attrs[k]!r}" for k in sorted(attrs))
    kinds = f"{','.join(d.short for d in ins)}->{','.join(d.short for d in outs)}"
    key = f"ew/{name}/{kinds}/{words}"
    return load(key, lambda: build_elementwise(recipe, ins, outs, attrs)).address("run")


# ---- plans ---------------------------------------------------------------------------------------


def recipe_of(op: Any, ins: Iterable[DType]) -> Recipe:
    """The recipe of an operation for inputs of these element types."""
    return op.lower_complex if any([d.is_complex for d in ins]) else op.lower  # type: ignore[no-any-return]


def supported(types: DTypes) -> bool:
    """Whether kernels are made for these element types; uint64 has none."""
    return all(d in HELD for d in types)


def plan_elementwise(
    name: str,
    recipe: Recipe,
    args: tuple[Arg, ...],
    outs: tuple[Type, ...],
    attrs: Mapping[str, Any],
    threads: int,
) -> Plan | None:
    """A plan for inputs of any layout that broadcast to the outputs, which are all of one shape.

    None where no kernel is made for the element types.
    """
    ins, made = tuple(a.dtype for a in args), tuple(out.dtype for out in outs)
    if not supported(ins + made):
        return None
    task = elementwise_task(name, recipe, ins, made, attrs)
    return plan_strided(task, args, outs, threads)


def pattern_elementwise(
    name: str,
    recipe: Recipe,
    types: tuple[Type, ...],
    outs: tuple[Type, ...],
    attrs: Mapping[str, Any],
) -> Pattern | None:
    """One plan for contiguous inputs of these element types and any one shape; those without axes
    are one element for all, where others have some.
    """
    ins, made = tuple(t.dtype for t in types), tuple(out.dtype for out in outs)
    if not supported(ins + made):
        return None
    task = elementwise_task(name, recipe, ins, made, attrs)
    places = [Out(i) for i in range(len(made))] + [In(i) for i in range(len(ins))]
    shared = [t.shape == () for t in types]
    one = [here and not all(shared) for here in shared]
    scalars = sum(flag << i for i, flag in enumerate(one))
    step = Step(task, (Count(), *places, scalars), chunks=0)
    inputs = [Single(d.numpy) if flag else d.numpy for d, flag in zip(ins, one, strict=True)]
    return Pattern(tuple(inputs), tuple(d.numpy for d in made), Plan((step,)), small=SMALL)
