"""Appends that both branches of an `if` end with, as appends behind it. Floor 9.

`if test: xs.append(a)` / `else: xs.append(b)` is a choice between two values: a graph can make it,
where it cannot append in one of two branches.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

from twofold.frontends.expressions import load, set_to


def appends_behind(node: ast.If, fresh: Callable[[str], str]) -> list[ast.stmt]:
    """Take the appends to the same lists from the ends of both branches, where each keeps the value
    under a name; the appends of these names, in their order.
    """
    for body in (node.body, node.orelse):
        if body and isinstance(body[-1], ast.If):
            body += appends_behind(body[-1], fresh)
    made: list[ast.stmt] = []
    kept: tuple[list[ast.stmt], list[ast.stmt]] = ([], [])
    while node.body and node.orelse:
        first, second = node.body[-1], node.orelse[-1]
        name = _appended_to(first)
        if name is None or name != _appended_to(second) or _reads(kept, name):
            break
        value = fresh("appended")
        for body, rest in zip((node.body, node.orelse), kept, strict=True):
            rest.insert(0, ast.copy_location(set_to(value, _value(body.pop())), first))
        append = ast.Attribute(load(name), "append", ast.Load())
        made.insert(0, ast.Expr(ast.Call(append, [load(value)], [])))
    node.body += kept[0]
    node.orelse += kept[1]
    return [ast.fix_missing_locations(ast.copy_location(new, node)) for new in made]


def _appended_to(node: ast.stmt) -> str | None:
    """The name of the list in `name.append(value)`."""
    call = node.value if isinstance(node, ast.Expr) else None
    if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords:
        return None
    asked = call.func
    if not isinstance(asked, ast.Attribute) or asked.attr != "append":
        return None
    known = isinstance(asked.value, ast.Name) and not isinstance(call.args[0], ast.Starred)
    return asked.value.id if known else None  # type: ignore[attr-defined]


def _value(node: ast.stmt) -> ast.expr:
    """The value in `name.append(value)`."""
    return node.value.args[0]  # type: ignore[attr-defined,no-any-return]


def _reads(bodies: tuple[list[ast.stmt], list[ast.stmt]], name: str) -> bool:
    """Whether what comes later in a branch names the list, which would not have the value yet."""
    nodes = (x for body in bodies for statement in body for x in ast.walk(statement))
    return any(isinstance(x, ast.Name) and x.id == name for x in nodes)
