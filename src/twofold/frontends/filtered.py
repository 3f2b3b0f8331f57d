"""Loops whose body stands under one `if`: which items it leaves may be known before. Floor 9.

    for row in x:                      for row in (row for row in x if row.sum() > 0):
        if row.sum() > 0:                  outs.append(f(row))
            outs.append(f(row))

The second way is taken where no loop of a graph can be the first: a list that grows in some turns.
So it is with `if row.sum() > 0: break` before or after all else.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from twofold.frontends.expressions import unpacks

# Which items the body is for, by the test.
WHERE, BEFORE, UNTIL = "where", "before", "until"  # it is true; before the first such; up to that


class Filtered(NamedTuple):
    """A loop's body in two: what leads to a test of an item, and what is done for some items.

    before   assignments of names that the test reads, which come before the body, too
    which    for which items the body is
    """

    before: list[ast.stmt]
    test: ast.expr
    body: list[ast.stmt]
    which: str


def filtered(
    node: ast.For, assigned: Callable[[Iterable[ast.stmt]], list[str]], reads: Counter[str]
) -> Filtered | None:
    """The parts of a loop; None where a turn decides by what other turns have done, or where what
    leads to the test is read after the loop. reads: how often the function reads each name.
    """
    before: list[ast.stmt] = []
    rest = list(node.body)
    while rest and isinstance(rest[0], ast.Assign) and all(map(unpacks, rest[0].targets)):
        before.append(rest.pop(0))
    found = _divided(rest) if unpacks(node.target) else None
    if found is None:
        return None
    test, body, which = found
    ends = (ast.Break, ast.Continue, ast.Return, ast.NamedExpr, ast.Await, ast.Yield)
    if any(isinstance(x, ends) for part in (*before, test, *body) for x in ast.walk(part)):
        return None
    changed = set(assigned(node.body))
    own, inside = _names(node.target), reads_of(node)
    for statement in before:
        if _names(statement.value) & (changed - own):  # type: ignore[attr-defined]
            return None
        made = set(assigned([statement]))
        if any(reads[name] > inside[name] for name in made):
            return None
        own |= made
    if _names(test) & (changed - own):
        return None
    return copy.deepcopy(Filtered(before, test, [*before, *body], which))


def reads_of(node: ast.AST) -> Counter[str]:
    """How often each name is read."""
    names = (x for x in ast.walk(node) if isinstance(x, ast.Name))
    return Counter(x.id for x in names if isinstance(x.ctx, ast.Load))


def _divided(rest: list[ast.stmt]) -> tuple[ast.expr, list[ast.stmt], str] | None:
    """The test, what is done for some items, and for which."""
    if not rest:
        return None
    first, last = rest[0], rest[-1]
    if isinstance(first, ast.If) and not first.orelse:
        if len(rest) == 1:
            return first.test, first.body, WHERE
        if _is_only(first.body, ast.Continue):
            test = ast.copy_location(ast.UnaryOp(ast.Not(), first.test), first)
            return test, rest[1:], WHERE
        if _is_only(first.body, ast.Break):
            return first.test, rest[1:], BEFORE
    if isinstance(last, ast.If) and not last.orelse and _is_only(last.body, ast.Break):
        return last.test, rest[:-1], UNTIL
    return None


def _is_only(body: list[ast.stmt], kind: type) -> bool:
    return len(body) == 1 and isinstance(body[0], kind)


def _names(node: ast.AST) -> set[str]:
    return {x.id for x in ast.walk(node) if isinstance(x, ast.Name)}
