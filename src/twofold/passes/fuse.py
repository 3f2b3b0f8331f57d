"""Group elementwise calls into one pass over memory. Floor 5.

A call joins the group of one that it reads from where both have one shape, and where nothing
outside of the group stands between them: otherwise the group would need its own result. Numbers
become part of the body. Groups keep the order of effects: who reads memory that an update writes
over stays before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Any, final

from twofold.base import dtypes
from twofold.base.symbols import alike, is_one, is_symbol
from twofold.ir.graph import Call, Graph, Value, producers, replace, uses
from twofold.ops.control import has_effect
from twofold.ops.fused import FUSED, Body, Step

MOST_INPUTS = 12
MOST_OUTPUTS = 6
MOST_STEPS = 64
HALVES = (dtypes.float16, dtypes.bfloat16)
FLOATS = (dtypes.float32, dtypes.float64, *HALVES)
SIGNED = (dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)
WHOLE = (*SIGNED, dtypes.uint8, dtypes.uint16, dtypes.uint32)
TYPES = (*FLOATS, *WHOLE, dtypes.bool_)
# Where whole numbers are divided, a kernel notes a divisor of 0 under its own name; and the next
# half is not found by way of float32.
ALONE: dict[str, tuple[dtypes.DType, ...]] = {
    **dict.fromkeys(("floor_divide", "trunc_divide", "fmod", "remainder"), WHOLE),
    "nextafter": HALVES,
}
LITERALS = ("full", "expand")


def elementwise(call: Call) -> bool:
    """Whether a call can be a step of a body."""
    op = call.op
    if not (callable(op.lower) or op.name == "cast") or len(call.outs) != 1 or op.effect:
        return False
    kinds = [v.dtype for v in (*call.inputs, *call.outs)]
    alone = ALONE.get(op.name, ())
    return all(kind in TYPES and kind not in alone for kind in kinds)


def fuse(graph: Graph) -> Graph:
    """The graph with groups of elementwise calls as single calls."""
    return _Fuser(graph).run()


def spanned(shape: tuple[Any, ...], inputs: Iterable[Value]) -> bool:
    """Whether values broadcast to a shape: numbers in a body have none, and could not add to it."""
    return all(
        is_one(size) or any(back <= len(v.shape) and alike(v.shape[-back], size) for v in inputs)
        for back, size in enumerate(reversed(shape), 1)
    )


@final
class _Fuser:
    """Groups over one graph. A group is named by the number of its first call."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.calls = graph.calls
        self.made = producers(graph)
        self.number = {id(call): i for i, call in enumerate(self.calls)}
        self.readers = uses(graph)
        self.needed = set(graph.needed())
        self.group = list(range(len(self.calls)))
        self.members: dict[int, list[int]] = {i: [i] for i in self.group}
        self.before = self.direct()
        self.above = self.closure()

    # ---- dependencies

    def direct(self) -> list[set[int]]:
        """For each call the calls that must come before it: what it reads, who reads the memory
        that it writes over, and for an effect the effect before it.
        """
        roots: dict[Value, Value] = {}
        readers: dict[Value, set[int]] = {}
        found: list[set[int]] = []
        last: set[int] = set()  # the effect before
        for i, call in enumerate(self.calls):
            before = {self.number[id(self.made[v])] for v in call.inputs if v in self.made}
            if call.op.writes is not None:
                for place in set(call.op.writes(len(call.outs), call.attrs)):
                    value = call.inputs[place]
                    before |= readers.get(roots.get(value, value), set())
            if has_effect(call):
                before |= last
                last = {i}
            found.append(before - {i})
            for v in call.inputs:
                readers.setdefault(roots.get(v, v), set()).add(i)
            if call.op.view:
                for v in call.outs:
                    roots[v] = roots.get(call.inputs[0], call.inputs[0])
        return found

    def closure(self) -> list[int]:
        """All calls above each call, as bits."""
        above: list[int] = []
        for before in self.before:
            bits = 0
            for j in before:
                bits |= 1 << j | above[j]
            above.append(bits)
        return above

    # ---- groups

    def run(self) -> Graph:
        for i, call in enumerate(self.calls):
            if not elementwise(call):
                continue
            for value in call.inputs:
                source = self.made.get(value)
                if source is not None and self.joinable(source, call):
                    self.join(self.group[self.number[id(source)]], self.group[i])
        return self.rebuilt()

    def joinable(self, source: Call, call: Call) -> bool:
        if not elementwise(source) or not alike(source.outs[0].shape, call.outs[0].shape):
            return False
        a, b = self.group[self.number[id(source)]], self.group[self.number[id(call)]]
        if a == b:
            return False
        both = self.members[a] + self.members[b]
        if len(both) > MOST_STEPS or not self.free(a, b):
            return False
        inputs, outs = self.interface(both)
        few = 0 < len(inputs) <= MOST_INPUTS and len(outs) <= MOST_OUTPUTS
        return few and self.wide_enough(both, inputs, outs)

    def wide_enough(self, members: list[int], inputs: list[Value], outs: list[Value]) -> bool:
        """Whether each output of a group has the shape that its body gives it."""
        reach: dict[Value, set[Value]] = {v: {v} for v in inputs}
        for i in sorted(members):
            call = self.calls[i]
            reach[call.outs[0]] = {x for v in call.inputs for x in reach.get(v, ())}
        return all(spanned(v.shape, reach[v]) for v in outs)

    def bits(self, group: int) -> int:
        made = 0
        for i in self.members[group]:
            made |= 1 << i
        return made

    def free(self, a: int, b: int) -> bool:
        """Whether no call outside stands between the groups, in either direction."""
        inside = self.bits(a) | self.bits(b)
        above = 0
        for i in self.members[a] + self.members[b]:
            above |= self.above[i]
        outside = above & ~inside
        while outside:
            i = outside.bit_length() - 1
            outside &= ~(1 << i)
            if self.above[i] & inside:
                return False
        return True

    def join(self, a: int, b: int) -> None:
        """One group of two; what is above a member is above all of them, and below likewise."""
        self.members[a] = sorted(self.members[a] + self.members.pop(b))
        inside = self.bits(a)
        above = 0
        for i in self.members[a]:
            self.group[i] = a
            above |= self.above[i]
        above &= ~inside
        for i in self.members[a]:
            self.above[i] = above
        for i, bits in enumerate(self.above):
            if bits & inside:
                self.above[i] = bits | inside | above

    def interface(self, members: list[int]) -> tuple[list[Value], list[Value]]:
        """The values that a group reads, numbers apart, and those that others read of it."""
        calls = [self.calls[i] for i in sorted(members)]
        ids = {id(c) for c in calls}
        inputs: dict[Value, None] = {}
        outs: list[Value] = []
        for call in calls:
            for v in call.inputs:
                source = self.made.get(v)
                if (source is None or id(source) not in ids) and self.literal(v) is None:
                    inputs[v] = None
            (value,) = call.outs
            if value in self.needed or any(id(r) not in ids for r in self.readers.get(value, ())):
                outs.append(value)
        return list(inputs), outs

    def literal(self, value: Value) -> Any:
        """The call that makes a value of one number everywhere, or None."""
        source = self.made.get(value)
        if source is None or source.op.name not in LITERALS:
            return None
        if source.op.name == "expand":
            return self.literal(source.inputs[0])
        return None if is_symbol(source.attrs[1]) else source

    # ---- the new graph

    def rebuilt(self) -> Graph:
        """The groups in an order that may be run, the oldest first."""
        order: list[int] = []
        waiting = {g: self.waits(g) for g in self.members}
        below: dict[int, list[int]] = {}
        for g, before in waiting.items():
            for h in before:
                below.setdefault(h, []).append(g)
        ready = [g for g, before in waiting.items() if not before]
        heapq.heapify(ready)
        while ready:
            g = heapq.heappop(ready)
            order.append(g)
            for h in below.get(g, ()):
                waiting[h].discard(g)
                if not waiting[h]:
                    heapq.heappush(ready, h)
        return replace(self.graph, [self.call_of(g) for g in order])

    def waits(self, group: int) -> set[int]:
        found = {self.group[j] for i in self.members[group] for j in self.before[i]}
        return found - {group}

    def call_of(self, group: int) -> Call:
        members = self.members[group]
        if len(members) == 1:
            return self.calls[members[0]]
        inputs, outs = self.interface(members)
        known = {v: i for i, v in enumerate(inputs)}
        steps: list[Step] = []

        def add(step: Step) -> int:
            steps.append(step)
            return len(inputs) + len(steps) - 1

        for i in members:
            call = self.calls[i]
            for v in call.inputs:
                if v not in known:
                    source = self.literal(v)
                    known[v] = add(Step(source.op, (), ((), *source.attrs[1:]), v.dtype))
            args = tuple(known[v] for v in call.inputs)
            known[call.outs[0]] = add(Step(call.op, args, call.attrs, call.outs[0].dtype))
        last = self.calls[members[-1]]
        attrs = (Body(steps), tuple(known[v] for v in outs))
        return Call(FUSED, tuple(inputs), attrs, tuple(outs), last.where, last.module)
