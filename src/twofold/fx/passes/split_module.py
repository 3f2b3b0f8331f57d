"""A graph in parts: each part becomes a module, and a module above calls them. Floor 12."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.fx.graph import Graph, attribute
from twofold.fx.graph_module import GraphModule
from twofold.fx.node import Node, map_arg

__all__ = ["split_module"]


class _Part:
    """The nodes of one part, what comes into it and what leaves it, each in order of use."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.inputs: dict[Node, None] = {}
        self.outputs: dict[Node, None] = {}
        self.after: dict[str, None] = {}  # the parts whose outputs it takes


def split_module(
    m: GraphModule,
    root_m: Any,
    split_callback: Callable[[Node], Any],
    qualname_map: dict[str, str] | None = None,
    keep_original_order: bool = False,
    **_: Any,
) -> GraphModule:
    """A module that computes what m does by parts, `submod_0`, `submod_1`, ...: split_callback
    tells of each node the number or the name of its part.

    qualname_map: a dictionary that gets, for each name in a part, the one in root_m.
    Raises ArgumentError where parts would need each other's results before they have their own.
    """
    parts: dict[str, _Part] = {}
    home: dict[Node, _Part] = {}
    for node in m.graph.nodes:
        if node.op not in ("placeholder", "output", "get_attr"):
            name = str(split_callback(node))
            home[node] = parts.setdefault(name, _Part(name))
            home[node].nodes.append(node)
    for node in m.graph.nodes:
        if node in home or node.op == "output":
            _note_uses(node, home)
    above, values, modules = Graph(), {}, {}
    for node in m.graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            values[node] = above.node_copy(node)
    for part in parts.values() if keep_original_order else _in_order(parts):
        target = f"submod_{part.name}"
        modules[target] = _module_of(part, root_m, target, qualname_map)
        called = above.call_module(target, tuple(values[x] for x in part.inputs))
        if len(part.outputs) == 1:
            values[next(iter(part.outputs))] = called
            continue
        for place, node in enumerate(part.outputs):
            values[node] = above.call_function(operator.getitem, (called, place))
    result = m.graph.output_node().args[0]
    above.output(map_arg(result, values.__getitem__))
    above.eliminate_dead_code()
    used = [node.target for node in above.nodes if node.op == "get_attr"]
    return GraphModule(modules | {name: attribute(root_m, name) for name in used}, above)


def _note_uses(node: Node, home: dict[Node, _Part]) -> None:
    """What a node takes from other parts leaves these, and comes into its own."""
    own = home.get(node)
    for used in node.all_input_nodes:
        made_in = home.get(used)
        if made_in is own or (used.op == "get_attr" and own is not None):
            continue
        if made_in is not None:
            made_in.outputs.setdefault(used)
        if own is not None:
            own.inputs.setdefault(used)
            if made_in is not None:
                own.after.setdefault(made_in.name)


def _in_order(parts: dict[str, _Part]) -> list[_Part]:
    """Parts after those whose results they take, else as they begin."""
    made: dict[str, _Part] = {}
    left = dict(parts)
    while left:
        ready = next((p for p in left.values() if all(name in made for name in p.after)), None)
        if ready is None:
            names = ", ".join(left)
            hint = "a split in which no part needs what comes after it"
            raise ArgumentError("split_module", f"parts {names} wait for each other", hint=hint)
        made[ready.name] = left.pop(ready.name)
    return list(made.values())


def _module_of(part: _Part, root: Any, target: str, names: dict[str, str] | None) -> GraphModule:
    """One part as a module."""
    graph, taken = Graph(), {}
    values: dict[Node, Any] = {x: graph.placeholder(x.name) for x in part.inputs}

    def value_of(node: Node) -> Any:
        if node not in values:  # a parameter, which each part reads itself
            values[node] = renamed(node)
        return values[node]

    def renamed(node: Node) -> Node:
        made = graph.node_copy(node, value_of)
        if node.op in ("call_module", "get_attr"):
            made.target = node.target.replace(".", "_")
            taken[made.target] = attribute(root, node.target)
            if names is not None:
                names[f"{target}.{made.target}"] = node.target
        return made

    for node in part.nodes:
        values[node] = renamed(node)
    outputs = tuple(values[node] for node in part.outputs)
    graph.output(outputs[0] if len(outputs) == 1 else outputs)
    return GraphModule(taken, graph)
