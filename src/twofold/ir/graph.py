"""Graph: the language of whole programs, as immutable records. Floor 2.

    graph step(x: f32[n, 784], w: f32[784, 10]*)
      %2 = matmul(x, w)                                # f32[n, 10]    train.py:41
      %3 = relu(%2)                                    # f32[n, 10]
      return %3
      update w = %9

A `Value` is made once and never changes; a `Call` uses an operation on values; a `Graph` is calls
in an order that may be run, with inputs, results, and updates: inputs whose memory gets another
value when the program is done. Sizes, and numbers in attributes, may be symbols
(base/symbols.py). Passes make graphs from graphs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, final

from twofold.base.dtypes import DType
from twofold.base.errors import line_of
from twofold.base.symbols import Guard, Table
from twofold.base.types import Type

_numbers = itertools.count(1)


@final
class Value:
    """One tensor of a program. Equal only to itself."""

    __slots__ = ("dtype", "number", "shape")

    def __init__(self, shape: tuple[Any, ...], dtype: DType) -> None:
        self.number = next(_numbers)
        self.shape = shape
        self.dtype = dtype

    @property
    def type(self) -> Type:
        return Type(self.shape, self.dtype)

    def __repr__(self) -> str:
        return f"%{self.number}: {self.type}"


class Call(NamedTuple):
    """One use of an operation.

    op      the operation's record
    where   the user's (code, instruction), or None
    module  the names of the modules whose forward made it, outermost first
    """

    op: Any
    inputs: tuple[Value, ...]
    attrs: tuple[Any, ...]
    outs: tuple[Value, ...]
    where: Any = None
    module: tuple[str, ...] = ()


class Input(NamedTuple):
    """Where a value comes from when the program starts.

    kind    "argument": a tensor that the user passes; "state": a tensor that the program found;
            "number": a Python number that is computed anew for each call
    """

    value: Value
    kind: str
    name: str


class Graph(NamedTuple):
    """A program.

    results   the values that it gives back
    updates   (input, new value): memory that is written when everything else has been read
    table     the symbols of its sizes
    """

    name: str
    inputs: tuple[Input, ...]
    calls: tuple[Call, ...]
    results: tuple[Value, ...]
    updates: tuple[tuple[Value, Value], ...]
    table: Table

    @property
    def guards(self) -> tuple[Guard, ...]:
        return tuple(self.table.guards.values())

    def needed(self) -> tuple[Value, ...]:
        """The values that the program is for."""
        return self.results + tuple(new for _, new in self.updates)

    def __str__(self) -> str:
        return as_text(self)


def replace(graph: Graph, calls: Iterable[Call], names: Mapping[Value, Value] = {}) -> Graph:
    """The graph with other calls; results and updates follow `names`, old value to new."""
    results = tuple(names.get(v, v) for v in graph.results)
    updates = tuple((into, names.get(v, v)) for into, v in graph.updates)
    return graph._replace(calls=tuple(calls), results=results, updates=updates)


def renamed(call: Call, names: Mapping[Value, Value]) -> Call:
    """The call with other inputs."""
    if not any(v in names for v in call.inputs):
        return call
    return call._replace(inputs=tuple(names.get(v, v) for v in call.inputs))


def uses(graph: Graph) -> dict[Value, list[Call]]:
    """The calls that read each value."""
    found: dict[Value, list[Call]] = {}
    for call in graph.calls:
        for value in call.inputs:
            found.setdefault(value, []).append(call)
    return found


def producers(graph: Graph) -> dict[Value, Call]:
    """The call that makes each value that is no input."""
    return {value: call for call in graph.calls for value in call.outs}


# ---- text ----------------------------------------------------------------------------------------


def as_text(graph: Graph, *, lines: bool = False) -> str:
    """The graph in its canonical form; `lines` adds the user's file and line to each call."""
    names: dict[Value, str] = {}
    taken: set[str] = set()
    for given in graph.inputs:
        name = given.name
        while name in taken:
            name += "_"
        taken.add(name)
        names[given.value] = name
    numbers = itertools.count()
    for call in graph.calls:
        for value in call.outs:
            names[value] = f"%{next(numbers)}"
    return "\n".join(_lines(graph, names, lines))


def _lines(graph: Graph, names: Mapping[Value, str], lines: bool) -> Iterator[str]:
    updated = {into for into, _ in graph.updates}
    params = [
        f"{names[i.value]}: {i.value.type}{'*' if i.value in updated else ''}" for i in graph.inputs
    ]
    yield f"graph {graph.name}({', '.join(params)})"
    for call in graph.calls:
        yield f"  {_call(call, names)}{_place(call) if lines else ''}"
    yield f"  return {', '.join(names[v] for v in graph.results)}".rstrip()
    for into, new in graph.updates:
        yield f"  update {names[into]} = {names[new]}"


def _call(call: Call, names: Mapping[Value, str]) -> str:
    args = [names[v] for v in call.inputs]
    args += [
        f"{name}={_attribute(value)}"
        for name, value in zip(call.op.attrs, call.attrs, strict=False)
    ]
    outs = ", ".join(f"{names[v]}: {v.type}" for v in call.outs)
    return f"{outs} = {call.op.name}({', '.join(args)})"


def _attribute(value: Any) -> str:
    if isinstance(value, DType):
        return value.short
    if type(value) is tuple or hasattr(value, "_fields"):
        inside = ", ".join(map(_attribute, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return str(value)


def _place(call: Call) -> str:
    path = ".".join(call.module)
    place = "" if call.where is None else line_of(call.where)
    return f"    # {f'{path} ' if path else ''}{place}".rstrip(" #")
