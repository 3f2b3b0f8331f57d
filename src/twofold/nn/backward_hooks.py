"""What a module's backward hooks need: to see its inputs' and outputs' gradients. Floor 10.

The inputs go through one function that changes nothing, and so do the outputs: its backward is
called with all gradients at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.autograd.function import Function
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor


class Watch(Function):
    """Tensors as they are; their gradients go through `seen`."""

    @staticmethod
    def forward(ctx: Any, seen: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.seen = seen
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.seen(grads))


class Around:
    """One call of a module with backward hooks."""

    def __init__(self, module: Any, before: Mapping[int, Any], after: Mapping[int, Any]) -> None:
        self.module = module
        self.before, self.after = list(before.values()), list(after.values())
        self.outputs: tuple[Any, ...] = ()
        self.watched: list[int] = []  # the places of the inputs whose gradients come
        self.count = 0

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that want gradients watched."""
        if not self.after:
            return args
        self.count = len(args)
        self.watched = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]  # type: ignore[attr-defined]
        if not self.watched:
            return args
        made = list(args)
        seen = Watch.apply(self.inputs_known, *(args[i] for i in self.watched))
        for place, x in zip(self.watched, seen, strict=True):
            made[place] = x
        return tuple(made)

    def leave(self, result: Any) -> Any:
        """The result, its tensors watched."""
        if not (self.before or self.after):
            return result
        several = isinstance(result, tuple)
        parts = list(result) if several else [result]
        places = [i for i, x in enumerate(parts) if isinstance(x, Tensor) and x.requires_grad]  # type: ignore[attr-defined]
        if not places:
            return result
        for place, x in zip(
            places, Watch.apply(self.outputs_known, *(parts[i] for i in places)), strict=True
        ):
            parts[place] = x
        return tuple(parts) if several else parts[0]

    def outputs_known(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.before:
            grads = _replaced(hook(self.module, grads), grads)
        self.outputs = grads
        if self.after and not self.watched:
            self._call((None,) * self.count)
        return grads

    def inputs_known(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        whole: list[Any] = [None] * self.count
        for place, g in zip(self.watched, grads, strict=True):
            whole[place] = g
        changed = self._call(tuple(whole))
        return tuple(changed[place] for place in self.watched)

    def _call(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.after:
            grads = _replaced(hook(self.module, grads, self.outputs), grads)
        self.outputs = ()
        return grads


def _replaced(result: Any, grads: tuple[Any, ...]) -> tuple[Any, ...]:
    if result is None:
        return grads
    return tuple(result) if isinstance(result, tuple | list) else (result,)


guard(globals())
