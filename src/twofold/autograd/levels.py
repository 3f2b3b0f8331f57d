"""Levels: interpreters that stand between a function and what ran it before. Floor 8.

A transform such as vmap or jvp puts a level in force, and gives its function tensors that belong
to it: each has a StandIn for its array, which holds tensors of the level below. An operation on
them is told to the level, which makes operations of it on the level below.

Every level has a tape of its own, made of the same nodes and walked by the same walk: `tracked` and
`node` of a tensor belong to its level. Tensors from below are constants on a level's tape, and the
tapes below see what the level makes of an operation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from twofold.base import trees
from twofold.ops.bind import (
    bind,
    interpreter,
    item_node,
    make_node,
    mode,
    recording,
    refresh,
    share,
)
from twofold.ops.op import Op
from twofold.ops.stand_in import StandIn
from twofold.ops.tensor import Tensor, root_of, wrap

Made = tuple[StandIn, ...]


class Level:
    """What an operation becomes one level below; subclasses say it in `apply` and `lift`.

    below       the interpreter that was in force when this one came, None for Eager
    outer_grad  while a gradient is taken on this level: whether the levels below record; None else
    """

    name = "transform"

    def __init__(self) -> None:
        self.below: Any = mode.interpreter
        self.outer_grad: bool | None = None

    def apply(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Made:
        """The results of an operation of which this level owns an input, in the level below."""
        raise TypeError(f"{type(self).__name__} does not define apply")

    def lift(self, x: Tensor) -> StandIn:
        """A tensor from below as one of this level."""
        raise TypeError(f"{type(self).__name__} does not define lift")

    def by_rule(self, function: Any, args: tuple[Any, ...]) -> Any:
        """What a user's function gives by a rule of its own for this level, or NotImplemented."""
        return NotImplemented

    @property
    def differentiates(self) -> bool:
        """Whether gradients or slopes are taken of what this level runs below."""
        raise TypeError(f"{type(self).__name__} does not define differentiates")

    def owns(self, x: Any) -> bool:
        array = x.array
        return isinstance(array, StandIn) and array.level is self

    def lifted(self, x: Tensor) -> Tensor:
        return x if self.owns(x) else wrap(self.lift(x))

    @contextlib.contextmanager
    def outside(self) -> Iterator[None]:
        """In the block, the level below is in force."""
        grad = mode.grad if self.outer_grad is None else self.outer_grad
        with interpreter(self.below), recording(grad):
            yield

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        own = [x for x in inputs if self.owns(x)]
        if not own:
            with self.outside():
                return bind(op, inputs, attrs)
        for x in own:
            if x.base is not None and x.version != x.base.version:
                refresh(x)
        tracked = mode.grad and op.vjp is not None and any([x.tracked for x in own])
        with self.outside():
            made = self.apply(op, inputs, attrs)
            saved: Any = None
            if tracked and op.residuals:
                rest = self.apply(visible(op), inputs, attrs)[1:]
                saved = (made[0], *rest) if op.saves_out else rest
        return self.finish(op, inputs, attrs, made, saved, tracked)

    def under(self, x: Any) -> Any:
        """What a tensor of this level is one level below; anything else as it is."""
        return x.array.value if isinstance(x, Tensor) and self.owns(x) else x  # type: ignore[attr-defined]

    def draw(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """What a function gives that draws random numbers."""
        args, kwargs = trees.map_leaves(self.under, (args, kwargs))
        with self.outside():
            return function(*args, **kwargs)

    def finish(
        self,
        op: Op,
        inputs: tuple[Tensor, ...],
        attrs: tuple[Any, ...],
        made: Made,
        saved: Any,
        tracked: bool,
    ) -> Any:
        """Tensors around the results, with views and nodes as run_eager makes them."""
        outs = [wrap(a) for a in made]
        if op.view and self.owns(inputs[0]):
            for index, out in enumerate(outs):
                if root_of(made[index].value) is root_of(inputs[0].array.value):  # type: ignore[attr-defined]
                    share(out, inputs[0], op, attrs, None if op.outputs == 1 else index)
        if tracked:
            lifted = tuple(map(self.lifted, inputs))
            if op.outputs == 1:
                self.track(op, lifted, attrs, outs[0], saved)
            else:
                kept = tuple(a if i in op.saved_outputs else None for i, a in enumerate(made))
                node = make_node(op, lifted, attrs, made, kept)
                for index, out in enumerate(outs):
                    if out.array.dtype.kind in "fcV":
                        out.node, out.tracked = item_node(node, index, out.array), True
        return outs[0] if op.outputs == 1 else tuple(outs)

    def track(
        self, op: Op, lifted: tuple[Tensor, ...], attrs: tuple[Any, ...], out: Tensor, saved: Any
    ) -> None:
        if out.array.dtype.kind in "fcV":
            kept = out.array if saved is None else saved
            out.node, out.tracked = make_node(op, lifted, attrs, out.array, kept), True


_visible: dict[Op, Op] = {}


def visible(op: Op) -> Op:
    """The operation with its residuals as further outputs, and without a gradient."""
    found = _visible.get(op)
    if found is None:
        fields = {name: getattr(op, name) for name in Op.__slots__ if name not in NOT_COPIED}
        changed = {"outputs": 1 + op.residuals, "residuals": 0, "vjp": None, "jvp": None}
        found = _visible[op] = Op(op.name, **(fields | changed))
    return found


NOT_COPIED = ("name", "entries", "native")


def current_level() -> Level | None:
    """The level in force, or None."""
    found = mode.interpreter
    while found is not None and not isinstance(found, Level):
        found = getattr(found, "inner", None)
    return found


def by_rule(function: Any, args: tuple[Any, ...]) -> Any:
    """What a user's function gives by its own rule for the level of its arguments, or
    NotImplemented.
    """
    level = current_level()
    if level is None or not any(level.owns(x) for x in args if isinstance(x, Tensor)):
        return NotImplemented
    return level.by_rule(function, args)


def differentiated(x: Tensor) -> bool:
    """Whether slopes or gradients are taken of a transform's tensor on a level below."""
    array: Any = x.array
    while isinstance(array, StandIn):
        if array.slopes or array.value.tracked:
            return True
        array = array.value.array
    return False
