"""Where a program looks at its checks: before it writes. Floor 7.

An index out of its range, or an assertion that fails, is noted by a truth value among the results
of a graph (frontends/capture.py). The program ends where it looks at these, and what it was given
stays as it was: so the checks, and what they are computed from, come before whatever writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from twofold.base.records import NamedTuple
from twofold.ir.graph import Call, Graph, Value, producers
from twofold.ops.control import has_effect


class Guarded(NamedTuple):
    """A graph in an order that has its checks before its writes.

    place  the number of the call before which the program looks at the checks
    flags  what it looks at
    """

    graph: Graph
    place: int
    flags: tuple[Value, ...]


def guarded(graph: Graph, flags: Sequence[Value]) -> Guarded | None:
    """The graph with the checks as early as needed; None where there is nothing to look at.

    A check stays where it is, and is looked at after the run, if what it is computed from writes
    itself, or calls the user's Python.
    """
    if not graph.updates:
        return None
    made = producers(graph)
    numbers = {id(call): i for i, call in enumerate(graph.calls)}
    first = next((i for i, c in enumerate(graph.calls) if c.op.writes), len(graph.calls))
    early: list[Value] = []
    moved: set[int] = set()
    last = -1
    for flag in dict.fromkeys(flags):
        if flag not in made:
            continue
        late = _late(made, numbers, flag, first)
        if late is None:
            continue
        early.append(flag)
        moved |= late
        if not late:
            last = max(last, numbers[id(made[flag])])
    if not early:
        return None
    if not moved:
        return Guarded(graph, last + 1, tuple(early))
    before = [c for i, c in enumerate(graph.calls) if i < first or i in moved]
    after = [c for i, c in enumerate(graph.calls) if i >= first and i not in moved]
    return Guarded(graph._replace(calls=(*before, *after)), len(before), tuple(early))


def _late(
    made: dict[Value, Call], numbers: dict[int, int], flag: Value, first: int
) -> set[int] | None:
    """The calls from number `first` on that a check needs; None if one of them may not be moved."""
    found: set[int] = set()
    stack = [flag]
    while stack:
        call = made.get(stack.pop())
        if call is None or numbers[id(call)] < first or numbers[id(call)] in found:
            continue
        if call.op.writes or has_effect(call):
            return None
        found.add(numbers[id(call)])
        stack += call.inputs
    return found
