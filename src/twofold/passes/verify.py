"""What every graph must fulfil, before and after every pass. Floor 5.

`verify(graph)` raises GraphError where a value is read before it is made or made twice, where the
type of an output is not what the operation's rule says, where memory is read after a call has
written over it, and where an input that is none is updated. `same_effects(before, after)` raises
where a pass lost, added or reordered what calls do besides making values.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twofold.base.errors import TwofoldError, line_of
from twofold.base.types import Type
from twofold.ir.graph import Call, Graph, Value
from twofold.ir.graph_text import call_text, names_of
from twofold.ops.bind import ITEM


class GraphError(TwofoldError, AssertionError):
    """A graph that is wrong: always a fault of a pass, or of the capture."""


def verify(graph: Graph, after: str = "the capture") -> None:
    """Raise GraphError unless the graph, and every body in it, is as a graph must be."""
    for call, problem in faults(graph):
        raise _error(graph, call, problem, after)
    for call in graph.calls:
        for body in bodies(call.attrs):
            verify(body, after)


def same_effects(before: Graph, after: Graph, name: str) -> None:
    """Raise GraphError unless both have the same effects in the same order."""
    first, second = _effects(before), _effects(after)
    if first != second:
        problem = f"the effects were {', '.join(first)}, and are {', '.join(second)}"
        raise _error(after, None, problem, name)


def faults(graph: Graph) -> Iterator[tuple[Call | None, str]]:
    """Everything that is wrong, with the call where it shows."""
    names = names_of(graph)
    known: set[Value] = set()
    for given in graph.inputs:
        if given.value in known:
            yield None, f"{given.name} is an input twice"
        known.add(given.value)
    roots: dict[Value, Value] = {}
    gone: set[Value] = set()
    for call in graph.calls:
        for value in call.inputs:
            if value not in known:
                yield call, f"{names.get(value, 'a value')} is read before it is made"
            elif value in gone:
                yield call, f"{names[value]} is read after its memory was written over"
        for value in call.outs:
            if value in known:
                yield call, f"{names[value]} is made twice"
        yield from ((call, problem) for problem in type_faults(call))
        known.update(call.outs)
        if call.op.view:
            roots.update({value: roots.get(call.inputs[0], call.inputs[0]) for value in call.outs})
        if call.op.writes is not None:
            written = {call.inputs[i] for i in call.op.writes(len(call.outs), call.attrs)}
            bases = {roots.get(value, value) for value in written}
            gone |= bases | {value for value, root in roots.items() if root in bases}
    inputs = {given.value for given in graph.inputs}
    for into, new in graph.updates:
        if into not in inputs:
            yield None, f"{names.get(into, 'a value')} is updated, and is no input"
        if new not in known:
            yield None, f"{names.get(new, 'a value')}, an update, is not made"
    for value in graph.results:
        if value not in known:
            yield None, f"{names.get(value, 'a value')}, a result, is not made"


def type_faults(call: Call) -> Iterator[str]:
    """Where the outputs are not of the types that the operation's rule gives."""
    if call.op is ITEM:
        return
    made = call.op.infer(*[v.type for v in call.inputs], **call.op.keywords(call.attrs))
    types = (made,) if isinstance(made, Type) else tuple(made)
    if len(types) != len(call.outs):
        yield f"{call.op.name} makes {len(types)} values, not {len(call.outs)}"
        return
    for value, type_ in zip(call.outs, types, strict=True):
        sizes = len(value.shape) == len(type_.shape) and tuple(value.shape) == tuple(type_.shape)
        if value.dtype is not type_.dtype or not sizes:
            yield f"{call.op.name} makes {type_}, not {value.type}"


def bodies(attrs: Any) -> Iterator[Graph]:
    """The graphs of branches and loops among attributes."""
    for value in attrs:
        if isinstance(getattr(value, "graph", None), Graph):
            yield value.graph
        elif type(value) is tuple:
            yield from bodies(value)


def _effects(graph: Graph) -> list[str]:
    return [call.op.name for call in graph.calls if call.op.effect]


def _error(graph: Graph, call: Call | None, problem: str, after: str) -> GraphError:
    facts: dict[str, Any] = {"graph": graph.name}
    if call is not None:
        facts["call"] = call_text(call, _all_names(graph))
    error = GraphError("verify", f"{problem}, after {after}", **facts)
    if call is not None and call.where is not None:
        error.where = line_of(call.where)
    return error


def _all_names(graph: Graph) -> dict[Value, str]:
    """Names for values that no call makes too."""
    names = names_of(graph)
    for call in graph.calls:
        for value in call.inputs:
            names.setdefault(value, f"%unknown{value.number}")
    return names
