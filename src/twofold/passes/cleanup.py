"""Leave out what nobody needs, and compute once what is computed twice. Floor 5."""

from __future__ import annotations

from typing import Any

from twofold.ir.graph import Call, Graph, Value, renamed, replace
from twofold.ops.control import has_effect
from twofold.ops.pooling import MAX_POOL_VALUES
from twofold.ops.source import FULL
from twofold.passes.rules import Scope

# Operations whose first output can be had alone.
FIRST_ALONE = dict.fromkeys(("max_pool", "max_pool_with_indices"), MAX_POOL_VALUES)


# Divisions that raise an error where a whole number is divided by 0, read or not: as eagerly.
DIVISIONS = ("floor_divide", "remainder", "fmod")


def prune(graph: Graph) -> Graph:
    """Without the calls whose outputs nobody reads."""
    needed = set(graph.needed())
    constants = {call.outs[0]: call for call in graph.calls if call.op is FULL}
    kept: list[Call] = []
    for call in reversed(graph.calls):
        if (
            has_effect(call)
            or _may_raise(call, constants)
            or any(value in needed for value in call.outs)
        ):
            needed.update(call.inputs)
            kept.append(call)
    return replace(graph, reversed(kept))


def _may_raise(call: Call, constants: dict[Value, Call]) -> bool:
    """Whether it divides whole numbers by what may be 0."""
    if call.op.name not in DIVISIONS or call.outs[0].dtype.kind not in "iu":
        return False
    made = constants.get(call.inputs[1])
    return made is None or made.attrs[1] == 0


def unread(graph: Graph) -> Graph:
    """Without outputs that nobody reads, where an operation can do without."""
    read = {value for call in graph.calls for value in call.inputs} | set(graph.needed())
    kept = []
    for call in graph.calls:
        op = FIRST_ALONE.get(call.op.name)
        if op is not None and not any(value in read for value in call.outs[1:]):
            call = call._replace(op=op, outs=call.outs[:1])
        kept.append(call)
    return replace(graph, kept)


def common(graph: Graph) -> Graph:
    """Equal calls on equal values become one, but those whose results are written over: each has
    memory of its own.
    """
    scope = Scope(graph)
    names: dict[Value, Value] = {}
    seen: dict[Any, Call] = {}
    kept: list[Call] = []
    for call in graph.calls:
        call = renamed(call, names)
        own = has_effect(call) or call.op.writes is not None
        if own or not all(map(scope.lasts, call.outs)):
            kept.append(call)
            continue
        key = (call.op.name, call.inputs, exact(call.attrs))
        before = seen.get(key)
        if before is None:
            seen[key] = call
            kept.append(call)
        else:
            names.update(zip(call.outs, before.outs, strict=True))
    return replace(graph, kept, names)


def exact(attrs: Any) -> Any:
    """Attributes as a key that tells 0, False, 0.0 and -0.0 apart."""
    if isinstance(attrs, tuple):
        return tuple([exact(part) for part in attrs])
    return type(attrs), repr(attrs) if isinstance(attrs, float) else attrs
