"""Rewrite calls by tables of rules: less to do, or more to fuse, with the same bits. Floor 5.

The tables are `algebra` (arithmetic, choices, conversions) and `shapes` (movements); what a rule is
stands in `rules`. Calls are looked at from the first to the last, each until no rule fits it, so
that a rule sees operands that are simple already. TWOFOLD_DEBUG=7 names each rule that fires.

A rule may read a value later than the program did. It does not where the value's memory is written
over by an update in place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twofold.base.flags import flags
from twofold.base.symbols import alike
from twofold.ir.graph import Call, Graph, Value, renamed, replace
from twofold.ops.movement import EXPAND
from twofold.passes.algebra import CASTS, IDENTITIES, LOGIC, folded
from twofold.passes.fuse import elementwise
from twofold.passes.rules import Match, Rule, Scope, built, table
from twofold.passes.shapes import MOVEMENTS, implied, sunk

RULES: tuple[Rule, ...] = (*IDENTITIES, *LOGIC, *CASTS, *MOVEMENTS)
BY_OP = table(RULES)
Rewrite = Callable[[Scope, Call], Any]
# What is tried on every elementwise call: (scope, call) -> what comes instead, or None.
ELEMENTWISE: Mapping[str, Rewrite] = {
    "an operation on numbers": folded,
    "an expand that broadcasting implies": implied,
    "a movement behind an operation": sunk,
}


def simplify(graph: Graph) -> Graph:
    """The graph after every rule that fits."""
    return applied(graph, BY_OP, ELEMENTWISE)


def rewriting(*rules: Rule) -> Callable[[Graph], Graph]:
    """A pass's function that applies rules of one's own.

    >>> from twofold.passes.manager import Pass
    >>> mine = Pass("logarithms", rewriting(Rule("log of exp", ("log", ("exp", "x")), "x")))
    """
    by_op = table(rules)
    return lambda graph: applied(graph, by_op, {})


def applied(
    graph: Graph, by_op: Mapping[str, list[Rule]], everywhere: Mapping[str, Rewrite]
) -> Graph:
    """The graph after every rule of a table that fits."""
    scope = Scope(graph)
    names: dict[Value, Value] = {}
    done: list[Call] = []
    for call in graph.calls:
        waiting = [call]
        while waiting:
            call = renamed(waiting.pop(), names)
            made = rewritten(scope, call, by_op, everywhere)
            if made is None:
                scope.made.update(dict.fromkeys(call.outs, call))
                done.append(call)
            elif isinstance(made, Value):
                names[call.outs[0]] = made
            else:
                waiting += reversed(made)
    return replace(graph, done, names)


def rewritten(
    scope: Scope,
    call: Call,
    by_op: Mapping[str, list[Rule]],
    everywhere: Mapping[str, Rewrite],
) -> Value | Sequence[Call] | None:
    """What comes instead of a call: a value that is known, or calls of which the last makes it."""
    for rule in by_op.get(call.op.name, ()):
        match = Match(scope)
        if not scope.fit_call(rule.pattern, call, match) or not rule.when(match):
            continue
        if all(map(scope.lasts, match.names.values())):
            _tell(rule.name, call)
            return fitting(built(rule.gives, match), call)
    if everywhere and elementwise(call):
        for name, rewrite in everywhere.items():
            made = rewrite(scope, call)
            if made is not None:
                _tell(name, call)
                return [made] if isinstance(made, Call) else made
    return None


def fitting(made: Value | Call, call: Call) -> Value | Sequence[Call]:
    """What a rule gives, in the shape that the call has."""
    (out,) = call.outs
    if isinstance(made, Value):
        if alike(made.shape, out.shape):
            return made
        return [call._replace(op=EXPAND, inputs=(made,), attrs=(out.shape,))]
    return [made]


def _tell(name: str, call: Call) -> None:
    if flags.debug >= 7:
        print(f"simplify: {name}, for {call.outs[0]}", file=sys.stderr)
