"""A captured program as a graph of fx, to be read: a node for each of its operations. Floor 12."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from twofold.base.errors import ArgumentError
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


def graph_of(program: Program, state: Mapping[Any, str], given: Mapping[Any, str]) -> Graph:
    """The graph. state: what the tensors are called that the program has found; given: what those
    are called that it is given, by their values.
    """
    made = Graph()
    nodes: dict[Any, Any] = {}
    for taken in program.inputs:
        if taken.value in state:
            node = made.get_attr(state[taken.value])
        else:
            node = made.placeholder(given.get(taken.value, taken.name))
        node.meta["val"] = taken.value.type
        nodes[taken.value] = node
    for call in program.calls:
        attrs = call.op.keywords(call.attrs)
        inputs = tuple(nodes[value] for value in call.inputs)
        node = made.call_function(target_of(call.op), inputs, attrs)
        node.meta["val"] = call.outs[0].type if len(call.outs) == 1 else None
        if call.where is not None:
            node.meta["stack_trace"] = str(call.where)
        if len(call.outs) == 1:
            nodes[call.outs[0]] = node
            continue
        for place, value in enumerate(call.outs):
            nodes[value] = made.call_function(_part, (node, place), name=f"{node.name}_{place}")
            nodes[value].meta["val"] = value.type
    made.output(tuple(nodes[value] for value in program.results))
    return made


def _part(results: Any, place: int) -> Any:
    """One of several results."""
    return results[place] if isinstance(results, tuple) else results


_part.__name__ = _part.__qualname__ = "getitem"
