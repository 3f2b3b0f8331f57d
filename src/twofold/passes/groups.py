"""Calls in groups that will be one call each, and the order in which groups may run. Floor 5.

Two groups may become one where nothing outside stands between them: otherwise the group would need
its own result. Groups keep the order of effects: who reads memory that an update writes over stays
before it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import final

from twofold.ir.graph import Call, Graph, Value, producers, replace, uses
from twofold.ops.control import has_effect


@final
class Groups:
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
        self.bits = [1 << i for i in self.group]  # of a group its calls, what is above, and below
        self.above = self.closure()
        self.below = self.turned()
        self.firsts = (1 << len(self.calls)) - 1  # the names of the groups

    def of(self, call: Call) -> int:
        """The group of a call."""
        return self.group[self.number[id(call)]]

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

    def turned(self) -> list[int]:
        """All calls below each call, as bits."""
        below = [0] * len(self.calls)
        for i in range(len(self.calls) - 1, -1, -1):
            for j in self.before[i]:
                below[j] |= 1 << i | below[i]
        return below

    # ---- groups

    def free(self, a: int, b: int) -> bool:
        """Whether no call outside stands between the groups, in either direction."""
        between = (self.above[a] | self.above[b]) & (self.below[a] | self.below[b])
        return not between & ~(self.bits[a] | self.bits[b])

    def join(self, a: int, b: int) -> None:
        """One group of two that are free: what is above one of them is above both, and below
        likewise. What stands below both already knows.
        """
        self.firsts &= ~(1 << a | 1 << b)
        for one, other in ((a, b), (b, a)):
            for sets, back in ((self.above, self.below), (self.below, self.above)):
                more = self.bits[other] | sets[other]
                for group in _ones(back[one] & ~back[other] & self.firsts):
                    sets[group] |= more
        self.bits[a] |= self.bits[b]
        for sets in (self.above, self.below):
            sets[a] = (sets[a] | sets[b]) & ~self.bits[a]
        self.members[a] = sorted(self.members[a] + self.members.pop(b))
        for i in self.members[a]:
            self.group[i] = a
        self.firsts |= 1 << a

    def interface(self, members: list[int]) -> tuple[list[Value], list[Value]]:
        """The values that a group reads, and those that others read of it."""
        calls = [self.calls[i] for i in sorted(members)]
        ids = {id(c) for c in calls}
        inputs: dict[Value, None] = {}
        outs: list[Value] = []
        for call in calls:
            for v in call.inputs:
                source = self.made.get(v)
                if source is None or id(source) not in ids:
                    inputs[v] = None
            for v in call.outs:
                if v in self.needed or any(id(r) not in ids for r in self.readers.get(v, ())):
                    outs.append(v)
        return list(inputs), outs

    # ---- the new graph

    def rebuilt(self, call_of: Callable[[list[int]], Call]) -> Graph:
        """The graph with a call for each group, in an order that may be run, the oldest first."""
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
        return replace(self.graph, [call_of(self.members[g]) for g in order])

    def waits(self, group: int) -> set[int]:
        found = {self.group[j] for i in self.members[group] for j in self.before[i]}
        return found - {group}


def _ones(bits: int) -> Iterator[int]:
    """The places of the ones, the lowest first."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
