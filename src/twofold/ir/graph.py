"""Graph: the language of whole programs, as immutable records. Floor 2.

    graph step(x: f32[x_0, 784], w: f32[784, 10]*)
      %0: f32[x_0, 10] = matmul(x, w)
      %1: f32[x_0, 10] = relu(%0)
      return %1
      update w = %9

A `Value` is made once and never changes; a `Call` uses an operation on values; a `Graph` is calls
in an order that may be run, with inputs, results, and updates: inputs whose memory gets another
value when the program is done. Sizes, and numbers in attributes, may be symbols
(base/symbols.py). Passes make graphs from graphs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, final

from twofold.base.dtypes import DType
from twofold.base.guards import Guard
from twofold.base.records import NamedTuple
from twofold.base.symbols import Table
from twofold.base.types import Type

_numbers = itertools.count(1)
TEXT: list[Any] = [repr]  # how graphs are written: ir/graph_text.py


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
            "number": a Python number that is computed anew for each call; "size": places that a
            mask picks
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
        text: str = TEXT[0](self)
        return text


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
