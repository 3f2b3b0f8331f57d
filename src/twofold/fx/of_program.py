"""A captured program as a graph of fx, to be read: a node for each of its operations. Floor 12."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.base.symbols import value_of
from twofold.fx.graph import Graph
from twofold.ir.graph import Graph as Program
from twofold.ops.bind import ITEM, bind

__all__ = ["graph_of"]


@cache
def target_of(op: Any) -> Any:
    """A function by the name of an operation, which takes its tensors and its attributes."""

    def run(*inputs: Any, **attrs: Any) -> Any:
        if op is ITEM:
            raise ArgumentError("fx", "a part of several results stands by itself", call=op.name)
        return bind(op, inputs, tuple(attrs[name] for name in op.attrs))

    run.__name__ = run.__qualname__ = op.name
    run.__module__ = "twofold"
    run.__doc__ = op.doc
    return run


def graph_of(
    program: Program,
    state: Mapping[Any, str],
    given: Mapping[Any, str],
    values: Sequence[Any] | None = None,
    names: Sequence[str] = (),
) -> Graph:
    """The graph. state: what the tensors are called that the program has found; given: what those
    are called that it is given, by their values. values: those of the program's symbols, which
    stand in their place then, so that the graph can be run. names: what it takes, in order, used
    or not.
    """
    made = Graph()
    placed = {name: made.placeholder(name) for name in names}
    nodes: dict[Any, Any] = {}
    for taken in program.inputs:
        if taken.value in state:
            node = made.get_attr(state[taken.value])
        else:
            name = given.get(taken.value, taken.name)
            node = placed[name] if name in placed else made.placeholder(name)
        node.meta["val"] = taken.value.type
        nodes[taken.value] = node
    for call in program.calls:
        known = call.attrs if values is None else value_of(call.attrs, values)
        attrs = call.op.keywords(known)
        inputs = tuple(nodes[value] for value in call.inputs)
        node = made.call_function(target_of(call.op), inputs, attrs)
        node.meta["val"] = call.outs[0].type if len(call.outs) == 1 else None
        if call.where is not None:
            node.meta["stack_trace"] = str(call.where)
        if len(call.outs) == 1 and call.op.outputs == 1:
            nodes[call.outs[0]] = node
            continue
        for place, value in enumerate(call.outs):
            nodes[value] = made.call_function(part_of, (node, place), name=f"{node.name}_{place}")
            nodes[value].meta["val"] = value.type
    made.output(tuple(nodes[value] for value in program.results))
    return made


def part_of(results: Any, place: int) -> Any:
    """One of several results."""
    return results[place] if isinstance(results, tuple) else results


part_of.__name__ = part_of.__qualname__ = "getitem"
