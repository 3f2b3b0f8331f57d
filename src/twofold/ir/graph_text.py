"""Graphs as text. Floor 2.

`as_text(graph)` is canonical: equal graphs give equal texts; ir/graph_parse.py reads them. Bodies
of loops and branches are graphs of their own, below the one that uses them. Attributes are written
like Python's literals; besides, `f32` is an element type, `@exp` an operation, `$0` a body, and
`Slice(0, None, 2)` a named record.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.errors import line_of
from twofold.base.guards import Guard
from twofold.base.symbols import Table, is_symbol
from twofold.ir.graph import Call, Graph, Value

# What the parser makes of %0, @op and $0.
_PARSED = re.compile(r"_v\d+|_op|_body")


def as_text(graph: Graph, *, lines: bool = False) -> str:
    """The graph in its canonical form; `lines` adds the user's file and line to each call."""
    writer = _Writer(lines)
    parts = [writer.graph(graph)]
    while writer.waiting:
        parts.append(writer.graph(writer.waiting.pop(0)))
    return "\n\n".join(parts)


def names_of(graph: Graph) -> dict[Value, str]:
    """The name of each value in the graph's text: the input's, or %0, %1, ... in order."""
    names: dict[Value, str] = {}
    taken: set[str] = set()
    for given in graph.inputs:
        name = re.sub(r"\W", "_", given.name) or "_"
        if name[0].isdigit() or _PARSED.fullmatch(name):
            name = f"input_{name}"
        while name in taken:
            name += "_"
        taken.add(name)
        names[given.value] = name
    numbers = itertools.count()
    for call in graph.calls:
        for value in call.outs:
            names[value] = f"%{next(numbers)}"
    return names


def call_text(call: Call, names: Mapping[Value, str]) -> str:
    """One call as it stands in the graph's text."""
    return _Writer(False).call(call, names)


class _Writer:
    """Writes a graph, and then those of its bodies."""

    def __init__(self, lines: bool) -> None:
        self.lines = lines
        self.bodies: dict[int, int] = {}
        self.waiting: list[Graph] = []

    def graph(self, graph: Graph) -> str:
        return "\n".join(self.rows(graph, names_of(graph)))

    def rows(self, graph: Graph, names: Mapping[Value, str]) -> Iterator[str]:
        updated = {into for into, _ in graph.updates}
        params = [
            f"{names[i.value]}: {i.value.type}{'*' if i.value in updated else ''}"
            for i in graph.inputs
        ]
        yield f"graph {re.sub(r'[^0-9A-Za-z_]', '_', graph.name)}({', '.join(params)})"
        for call in graph.calls:
            yield f"  {self.call(call, names)}{_place(call) if self.lines else ''}"
        yield f"  return {', '.join(names[v] for v in graph.results)}".rstrip()
        for into, new in graph.updates:
            yield f"  update {names[into]} = {names[new]}"

    def call(self, call: Call, names: Mapping[Value, str]) -> str:
        args = [names[v] for v in call.inputs]
        args += [
            f"{name}={self.attribute(value)}"
            for name, value in zip(call.op.attrs, call.attrs, strict=False)
        ]
        outs = ", ".join(f"{names[v]}: {v.type}" for v in call.outs)
        return f"{outs} = {call.op.name}({', '.join(args)})"

    def attribute(self, value: Any) -> str:
        if is_symbol(value):
            return str(value)
        if isinstance(value, DType):
            return value.short
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return f"{type(value).__name__}({', '.join(map(self.attribute, value))})"
        if type(value) is tuple:
            inside = ", ".join(map(self.attribute, value))
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        if hasattr(value, "graph"):
            if id(value) not in self.bodies:
                self.bodies[id(value)] = len(self.bodies)
                self.waiting.append(value.graph)
            return f"${self.bodies[id(value)]}"
        if hasattr(value, "infer"):
            return f"@{value.name}"
        return repr(value) if isinstance(value, str | float | complex) else str(value)


def _place(call: Call) -> str:
    path = ".".join(call.module)
    place = "" if call.where is None else line_of(call.where)
    return f"    # {f'{path} ' if path else ''}{place}".rstrip(" #")


def guards_text(guards: tuple[Guard, ...], table: Table) -> list[str]:
    """Each guard as a line."""
    return [f"{table.text(g.left)} {g.test} {table.text(g.right)} is {g.holds}" for g in guards]
