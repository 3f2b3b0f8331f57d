"""Parts of a graph that look like a pattern, replaced by another. Floor 12."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twofold.fx._symbolic_trace import symbolic_trace
from twofold.fx.graph import Graph
from twofold.fx.graph_module import GraphModule
from twofold.fx.node import Node
from twofold.nn.module import Module

__all__ = ["Match", "replace_pattern"]


class Match(NamedTuple):
    """Where a pattern was found: its last node in the graph, and the node for each of its own."""

    anchor: Node
    nodes_map: dict[Node, Any]


def replace_pattern(
    gm: GraphModule,
    pattern: Callable[..., Any] | GraphModule,
    replacement: Callable[..., Any] | GraphModule,
) -> list[Match]:
    """Replace each part of a module's graph that does what `pattern` does. Gives where it was.

    Both are functions, or modules, of the same number of arguments. A part whose inner values are
    used elsewhere is left as it is, as are parts that overlap one that was replaced.
    """
    wanted, new = _graph(pattern), _graph(replacement)
    matches: list[Match] = []
    gone: set[Node] = set()
    for anchor in list(gm.graph.nodes):
        found: dict[Node, Any] = {}
        outcome = wanted.output_node().args[0]
        if not isinstance(outcome, Node) or not _fits(outcome, anchor, found):
            continue
        inner = {n for p, n in found.items() if p.op != "placeholder"}
        if inner & gone or not _closed(inner, anchor):
            continue
        gone |= inner
        matches.append(Match(anchor, found))
        _put(gm, wanted, new, anchor, found)
    for node in reversed(gm.graph.nodes):
        if node in gone:
            gm.graph.erase_node(node)
    if isinstance(replacement, Module):
        for name, module in replacement.named_modules():
            if name and name not in dict(gm.named_modules()):
                gm.add_submodule(name, module)
    gm.recompile()
    return matches


def _graph(what: Any) -> Graph:
    return what.graph if isinstance(what, GraphModule) else symbolic_trace(what).graph


def _fits(pattern: Any, node: Any, found: dict[Node, Any]) -> bool:
    """Whether a node is what the pattern's node is, and so what it uses."""
    if not isinstance(pattern, Node):
        return type(pattern) is type(node) and _same(pattern, node, found)
    if pattern in found:
        return bool(found[pattern] is node)
    if pattern.op == "placeholder":
        found[pattern] = node
        return True
    if not isinstance(node, Node) or (pattern.op, pattern.target) != (node.op, node.target):
        return False
    if not _same(pattern.args, node.args, found) or not _same(pattern.kwargs, node.kwargs, found):
        return False
    found[pattern] = node
    return True


def _same(pattern: Any, value: Any, found: dict[Node, Any]) -> bool:
    if isinstance(pattern, (tuple, list)):
        fits = type(pattern) is type(value) and len(pattern) == len(value)
        return fits and all(_fits(p, v, found) for p, v in zip(pattern, value, strict=True))
    if isinstance(pattern, dict):
        fits = isinstance(value, dict) and pattern.keys() == value.keys()
        return fits and all(_fits(part, value[key], found) for key, part in pattern.items())
    return bool(pattern == value)


def _closed(inner: set[Node], anchor: Node) -> bool:
    """Whether nobody outside uses a value of the part but its last."""
    return all(node is anchor or set(node.users) <= inner for node in inner)


def _put(gm: GraphModule, wanted: Graph, new: Graph, anchor: Node, found: dict[Node, Any]) -> None:
    """Write the replacement behind a part, and let its users use that."""
    takes = [node for node in wanted.nodes if node.op == "placeholder"]
    given = [node for node in new.nodes if node.op == "placeholder"]
    moved = {new_arg: found[old_arg] for new_arg, old_arg in zip(given, takes, strict=True)}
    users = set(anchor.users)
    with gm.graph.inserting_before(anchor):
        made = gm.graph.graph_copy(new, moved)
    anchor.replace_all_uses_with(made, lambda user: user in users)
