"""Hooks that are called when a node's rule has been: `x.grad_fn.register_hook(hook)`. Floor 8."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, final

from twofold.autograd.walk import unbroadcast
from twofold.ops.bind import ITEM
from twofold.ops.tensor import Node

__all__ = ["fitting", "register_hook"]


@final
class _Handle:
    """Takes a hook away again."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self.hooks, self.hook = hooks, hook

    def remove(self) -> None:
        """The hook is called no more."""
        if self.hook in self.hooks:
            self.hooks.remove(self.hook)


def register_hook(node: Node, hook: Callable[..., Any]) -> _Handle:
    """Call hook(gradients of the inputs, gradients of the outputs), both tuples, after the node's
    own rule; a tuple that it gives takes the place of the former.

    The node gets an operation of its own, whose rule calls the hooks. Returns what takes the hook
    away again, `.remove()`.
    """
    while node.op is ITEM and node.inputs:
        node = node.inputs[0]  # type: ignore[assignment]
    rule = node.op.vjp
    if not isinstance(rule, _Hooked):
        rule = _Hooked(rule, [])
        node.op = copy.copy(node.op)
        node.op.vjp = rule
    rule.hooks.append(hook)
    return _Handle(rule.hooks, hook)


@final
class _Hooked:
    """The rule of one node, with the hooks that are called after it."""

    def __init__(self, rule: Callable[..., Any], hooks: list[Callable[..., Any]]) -> None:
        self.rule, self.hooks = rule, hooks

    def __call__(self, g: Any, out: Any, *inputs: Any, **attrs: Any) -> Any:
        made = self.rule(g, out, *inputs, **attrs)
        if not self.hooks:
            return made
        made = tuple(map(fitting, made, inputs))
        given = tuple(g) if isinstance(g, list) else (g,)
        for hook in list(self.hooks):
            changed = hook(made, given)
            made = made if changed is None else tuple(changed)
        return made


def fitting(g: Any, x: Any) -> Any:
    """The gradient of an input, summed to its shape."""
    shape = getattr(getattr(x, "array", x), "shape", None)
    return g if g is None or not isinstance(shape, tuple) else unbroadcast(g, shape)
