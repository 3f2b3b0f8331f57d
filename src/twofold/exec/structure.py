"""What planning a graph needs to know of it that no size changes. Floor 7.

A graph is planned anew for inputs of other sizes. What follows from the graph alone is found once,
in its `Structure`; and so are the plans of single calls, by the layouts that they were made for:
layers that are alike, and what does not depend on the sizes, are planned once.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, final

from twofold.base.dtypes import DType
from twofold.base.polynomials import evaluate, symbols_of
from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol, value_of
from twofold.base.types import Type
from twofold.exec.found import Found, taken_apart
from twofold.exec.guard import guarded
from twofold.exec.planners import planner
from twofold.exec.stacks import Lives, Stack
from twofold.ir.graph import Call, Graph, Value
from twofold.lower.schedule import Arg
from twofold.ops.control import bodies, has_effect
from twofold.passes.cleanup import exact

MOST_FOUND = 4096  # plans of single calls


class Place(NamedTuple):
    """Where a value lies.

    base     an input (In), an output (Out), a buffer (an int: its number), or a constant array
    offset   bytes from there to its first element
    """

    base: Any
    offset: int
    arg: Arg


@final
class Known:
    """One call: whether its attributes hold no symbols, and then what they are.

    group   a number that calls of one operation with the same attributes share
    """

    __slots__ = (
        *("attrs", "call", "control", "elementwise", "fixed", "group", "key", "keywords"),
        *("plain", "plan", "writes"),
    )

    def __init__(self, call: Call, groups: dict[Any, int]) -> None:
        op = call.op
        self.call = call
        self.group = groups.setdefault((op.name, _without_symbols(call.attrs)), len(groups))
        self.fixed = not has_symbols(call.attrs)
        self.attrs = call.attrs
        self.keywords = op.keywords(call.attrs) if self.fixed else None
        self.key = (op.name, exact(call.attrs)) if self.fixed else None
        self.plan = None if op.lower is None else planner(op)
        self.writes = op.writes(len(call.outs), call.attrs) if op.writes else ()
        self.control = bool(bodies(call))
        self.elementwise = callable(op.lower) or op.name in ("cast", "fused")
        self.plain = not (op.writes or self.control or has_effect(call))

    def at(self, values: Any) -> tuple[Any, Any]:
        """The attributes as keywords, and a key for them, for these values of the symbols."""
        if self.fixed:
            return self.keywords, self.key
        attrs = value_of(self.attrs, values)
        return self.call.op.keywords(attrs), (self.call.op.name, exact(attrs))


@final
class Structure:
    """A graph's calls, who reads what last, and the distinct shapes of its values.

    guard   where the program looks at its checks, and ends if one has failed; or None
    """

    def __init__(self, graph: Graph, checks: Sequence[Value] = ()) -> None:
        self.guard = guarded(graph, checks) if checks else None
        if self.guard is not None:
            graph = self.guard.graph
        self.graph = graph
        groups: dict[Any, int] = {}
        self.calls = [Known(call, groups) for call in graph.calls]
        overwritten = written_over(graph)
        for known_call in self.calls if overwritten else ():
            # what is written over is made anew by each run
            known_call.plain &= overwritten.isdisjoint(known_call.call.outs)
        self.final = final_reads(graph)
        self.made = {
            value: (number, call) for number, call in enumerate(graph.calls) for value in call.outs
        }
        self.layouts = Layouts([*(i.value for i in graph.inputs), *self.made])
        self.wanted = self.perhaps_wanted()
        self.stacks: dict[Lives, Stack] = {}
        self.found: dict[Any, Found | None] = {}
        self.constants: dict[int, Any] = {}  # by the call's number
        self.lock = threading.Lock()  # is held by who plans by an outline
        self.outlines: dict[int, list[Any]] = {}  # of plans (exec/outline.py), by their threads
        self.plans = 0  # how many sizes it was planned for that no outline fits,
        self.spent = 0.0  # the seconds of that,
        self.sought = 0  # and how often an outline was looked for

    def forget(self) -> None:
        """Forget the plans of calls: they may lead to what is not there."""
        self.found.clear()
        self.outlines.clear()

    def perhaps_wanted(self) -> list[tuple[Value, Value]]:
        """The updates whose new value may be made where it is wanted, if the input lies in order:
        what reads the old value must be done before the new one is written over it.
        """
        # nothing is written before the checks are looked at
        begin = 0 if self.guard is None else self.guard.place
        found = []
        for into, new in self.graph.updates:
            number, call = self.made.get(new, (-1, None))
            if call is None or call.op.view or number < begin:
                continue
            if self.final.get(into, -1) < number:
                found.append((into, new))
        return found

    def plan_of(
        self, known: Known, key: Any, args: Any, outs: Any, keywords: Any, threads: int
    ) -> Found | None:
        """A call's own plan, made once for arguments of these layouts."""
        if known.plan is None:
            return None
        whole = (key, args, outs, threads)
        if whole in self.found:
            return self.found[whole]
        plan = known.plan(args, outs, keywords, threads)
        if len(self.found) >= MOST_FOUND:
            self.found.clear()
        found = self.found[whole] = None if plan is None else taken_apart(plan)
        return found


@final
class Layouts:
    """The distinct types of a graph's values, and what they are for some sizes.

    number   of each value, which type it has
    """

    def __init__(self, values: Sequence[Value]) -> None:
        self.exprs: dict[Any, int] = {}
        self.kinds: list[tuple[tuple[tuple[bool, Any], ...], DType]] = []
        self.number: dict[Value, int] = {}
        known: dict[Any, int] = {}
        for value in values:
            shape = tuple([self._size(n) for n in value.shape])
            found = known.setdefault((shape, value.dtype), len(known))
            if found == len(self.kinds):
                self.kinds.append((shape, value.dtype))
            self.number[value] = found

    def _size(self, size: Any) -> tuple[bool, Any]:
        if not is_symbol(size):
            return False, size
        return True, self.exprs.setdefault(size.expr, len(self.exprs))

    def types(self, values: Sequence[Any]) -> list[Type]:
        """All of them, for these values of the symbols."""
        known = [evaluate(expr, values) for expr in self.exprs]
        return [
            Type(tuple([known[n] if symbolic else n for symbolic, n in shape]), dtype)
            for shape, dtype in self.kinds
        ]


def _without_symbols(x: Any) -> Any:
    """Attributes as a key that asks no symbol whether it is another one."""
    if is_symbol(x):
        return "symbol", x.expr
    if isinstance(x, tuple):
        return tuple(map(_without_symbols, x))
    return exact(x) if x.__hash__ else id(x)


def has_symbols(x: Any) -> bool:
    return is_symbol(x) or (isinstance(x, tuple) and any(map(has_symbols, x)))


def loose_symbols(graph: Graph) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of the symbols that a graph depends on and that are no size of an input: inputs
    of the same layouts may come with several values of them. And those of them that a plan depends
    on: the others are only asked for by guards.
    """
    sizes = [n.expr for i in graph.inputs for n in i.value.shape if is_symbol(n)]
    asked = [expr for guard in graph.guards for expr in (guard.left, guard.right)]
    used = set().union(_used(graph), *map(symbols_of, sizes))
    # (numbers that guards ask about are looked at by who passes them)
    found = used | {s for expr in asked for s in symbols_of(expr) if s[0] == "size"}
    loose = sorted(s for s in found if (((s,), 1),) not in sizes)
    return tuple([s[1] for s in loose]), tuple([s[1] for s in loose if s in used])


def _used(graph: Graph) -> set[Any]:
    """The symbols that the calls of a graph depend on, and those of the graphs that they run: a
    call lists all sizes around for its bodies, of which they may use none.
    """
    found: set[Any] = set()
    for call in graph.calls:
        names = call.op.attrs
        attrs = [x for name, x in zip(names, call.attrs, strict=False) if name != "sizes"]
        listed = () if bodies(call) else tuple(call.attrs)
        found |= _symbols_in((*attrs, *listed, *[v.shape for v in call.outs]))
        for body in bodies(call):
            given = [taken.value.shape for taken in body.graph.inputs]
            found |= _used(body.graph).union(*map(_symbols_in, given))
    return found


def _symbols_in(x: Any) -> set[Any]:
    if is_symbol(x):
        return symbols_of(x.expr)
    return set().union(*map(_symbols_in, x)) if isinstance(x, tuple) else set()


def final_reads(graph: Graph) -> dict[Value, int]:
    """The number of the last call that reads each value; a view is read where it is read."""
    last: dict[Value, int] = {}
    above: dict[Value, Value] = {}  # a view, and what it is a view of

    def read(value: Value, number: int) -> None:
        last[value] = number
        # A reshape may be a copy: whatever stands between a view and its memory is read, too.
        while value in above:
            value = above[value]
            last[value] = number

    end = len(graph.calls)
    for number, call in enumerate(graph.calls):
        for value in call.inputs:
            read(value, number)
        above.update(sharers(call))
    for value in graph.needed():
        read(value, end)
    return last


def written_over(graph: Graph) -> set[Value]:
    """The values, made or given, in whose memory a call writes."""
    above: dict[Value, Value] = {}
    found: set[Value] = set()
    for call in graph.calls:
        shared = sharers(call)
        above.update((value, above.get(into, into)) for value, into in shared)
        if call.op.writes:
            found.update(above[value] for value, _ in shared)
    return found


def sharers(call: Call) -> list[tuple[Value, Value]]:
    """The outputs of a call that may lie in an input's memory, each with that input."""
    if call.op.writes:
        sources = [call.inputs[i] for i in call.op.writes(len(call.outs), call.attrs)]
        return list(zip(call.outs, sources, strict=True))
    return [(value, call.inputs[0]) for value in call.outs] if call.op.view else []
