"""What planning a graph needs to know of it that no size changes. Floor 7.

A graph is planned anew for inputs of other sizes. What follows from the graph alone is found once,
in its `Structure`; and so are the plans of single calls, by the layouts that they were made for:
layers that are alike, and what does not depend on the sizes, are planned once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from twofold.base.polynomials import symbols_of
from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol, value_of
from twofold.exec.guard import guarded
from twofold.exec.planners import planner
from twofold.ir.graph import Call, Graph, Value
from twofold.lower.schedule import Arg, Frozen, In, Out, Plan
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


class Spot(NamedTuple):
    """A pointer among the words of a job: input, output or scratch, by number, and its offset."""

    position: int
    kind: type
    number: int
    offset: int


class Part(NamedTuple):
    """A step of a call's plan: words with zeros where the pointers go. An `early` one fills memory
    of the program's from frozen inputs.
    """

    task: int
    job: tuple[int, ...]
    spots: tuple[Spot, ...]
    chunks: int
    early: bool


class Found(NamedTuple):
    """A call's plan, taken apart."""

    plan: Plan
    parts: tuple[Part, ...]


def taken_apart(plan: Plan) -> Found:
    parts = []
    for step in plan.steps:
        job: list[Any] = list(step.job)
        spots, kinds = [], set()
        for i, word in enumerate(job):
            kind = type(word)
            if kind is int or isinstance(word, int):
                continue
            number = word.index if kind is In or kind is Out else 0
            spots.append(Spot(i, kind, number, getattr(word, "offset", 0)))
            kinds.add(kind)
            job[i] = 0
        early = Frozen in kinds <= {In, Frozen}
        parts.append(Part(step.task, tuple(job), tuple(spots), step.chunks, early))
    return Found(plan, tuple(parts))


@final
class Known:
    """One call: whether its attributes hold no symbols, and then what they are."""

    __slots__ = (
        *("attrs", "call", "control", "elementwise", "fixed", "key", "keywords", "plain", "plan"),
        "writes",
    )

    def __init__(self, call: Call) -> None:
        op = call.op
        self.call = call
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
        self.calls = [Known(call) for call in graph.calls]
        overwritten = written_over(graph)
        for known_call in self.calls if overwritten else ():
            # what is written over is made anew by each run
            known_call.plain &= overwritten.isdisjoint(known_call.call.outs)
        self.final = final_reads(graph)
        self.made = {
            value: (number, call) for number, call in enumerate(graph.calls) for value in call.outs
        }
        self.shapes: list[tuple[Any, ...]] = []
        self.shape_of: dict[Value, int] = {}
        known: dict[Any, int] = {}
        for value in [*(i.value for i in graph.inputs), *self.made]:
            key = tuple([n.expr if is_symbol(n) else n for n in value.shape])
            if key not in known:
                known[key] = len(self.shapes)
                self.shapes.append(value.shape)
            self.shape_of[value] = known[key]
        self.found: dict[Any, Found | None] = {}
        self.constants: dict[int, Any] = {}  # by the call's number

    def plan_of(
        self, known: Known, key: Any, args: Any, outs: Any, keywords: Any, threads: int
    ) -> Found | None:
        """A call's own plan, made once for arguments of these layouts."""
        if known.plan is None:
            return None
        whole = (key, args, tuple([(o.shape, o.dtype) for o in outs]), threads)
        if whole in self.found:
            return self.found[whole]
        plan = known.plan(args, outs, keywords, threads)
        if len(self.found) >= MOST_FOUND:
            self.found.clear()
        found = self.found[whole] = None if plan is None else taken_apart(plan)
        return found


def has_symbols(x: Any) -> bool:
    return is_symbol(x) or (isinstance(x, tuple) and any(map(has_symbols, x)))


def loose_symbols(graph: Graph) -> tuple[int, ...]:
    """The numbers of the symbols that a graph depends on and that are no size of an input: inputs
    of the same layouts may come with several values of them.
    """
    sizes = [n.expr for i in graph.inputs for n in i.value.shape if is_symbol(n)]
    asked = [expr for guard in graph.guards for expr in (guard.left, guard.right)]
    found = set().union(_used(graph), *map(symbols_of, sizes))
    # (numbers that guards ask about are looked at by who passes them)
    found |= {s for expr in asked for s in symbols_of(expr) if s[0] == "size"}
    return tuple(sorted(s[1] for s in found if (((s,), 1),) not in sizes))


def _used(graph: Graph) -> set[Any]:
    parts = [part for call in graph.calls for part in (call.attrs, *[v.shape for v in call.outs])]
    inner = [_used(body.graph) for call in graph.calls for body in bodies(call)]
    return set().union(*map(_symbols_in, parts), *inner)


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
