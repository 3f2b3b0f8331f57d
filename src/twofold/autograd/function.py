"""Operations of the user's own, with a gradient of the user's own. Floor 8."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, GradientError, line_of, user_place
from twofold.base.types import Type
from twofold.ops.bind import item_node, make_node, mode, set_grad
from twofold.ops.op import ANY, Op
from twofold.ops.tensor import Tensor, root_of, type_of, wrap


class Context:
    """What `forward` leaves for `backward`: saved tensors, and any attribute that is set on it."""

    def __init__(self) -> None:
        self.saved: tuple[Tensor | None, ...] = ()
        self.versions: tuple[int, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self.not_differentiable: tuple[Tensor, ...] = ()
        self.place = user_place()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs or outputs; backward reads them as `ctx.saved_tensors`."""
        self.saved = tensors
        self.versions = tuple(0 if x is None else root_of(x).version for x in tensors)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        for x, version in zip(self.saved, self.versions, strict=True):
            if x is not None and root_of(x).version != version:
                raise GradientError(
                    "backward",
                    "a tensor kept by save_for_backward was overwritten in place",
                    value=type_of(x),
                    saved=line_of(self.place),
                    overwritten=line_of(root_of(x).written),
                    hint="x.clone() before the write",
                )
        return self.saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Name outputs that have no gradient."""
        self.not_differentiable = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Name inputs that forward wrote in place; the version counter knows them already."""

    def set_materialize_grads(self, value: bool) -> None:
        """Gradients of unused outputs arrive as zeros (the default) or, with False, as None."""
        self.materialize = value

    materialize = True


class Function:
    """Subclass with static methods `forward(ctx, *args)` and `backward(ctx, *grads)`; call `apply`.

    >>> class Double(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return x * 2
    ...     @staticmethod
    ...     def backward(ctx, g):
    ...         return g * 2

    `forward(*args)` with `setup_context(ctx, inputs, output)` is understood too. backward gives one gradient (or
    None) for each argument of forward; written in tensor operations, it can be differentiated again.
    """

    forward: Any
    backward: Any
    setup_context: Any = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward without recording, and record the function itself."""
        context = Context()
        context.needs_input_grad = tuple(isinstance(a, Tensor) and a.tracked for a in args)
        before = set_grad(False)
        try:
            if cls.setup_context is None:
                made = cls.forward(context, *args)
            else:
                made = cls.forward(*args)
                cls.setup_context(context, args, made)
        finally:
            set_grad(before)
        if not (mode.grad and any(context.needs_input_grad)):
            return made
        return record(_op_of(cls, args), context, args, made)


def _op_of(cls: type[Function], args: tuple[Any, ...]) -> Op:
    places = tuple(i for i, a in enumerate(args) if isinstance(a, Tensor))

    def vjp(g: Any, out: Any, *inputs: Any, context: Context) -> Any:
        grads = g if isinstance(g, list) else [g]
        if context.materialize and isinstance(g, list):
            grads = [_zeros(t) if x is None else x for x, t in zip(g, out.shape, strict=True)]
        made = cls.backward(context, *grads)
        made = made if isinstance(made, tuple) else (made,)
        if len(made) < len(args):
            raise ArgumentError(
                f"{cls.__name__}.backward",
                f"{len(made)} gradients for {len(args)} arguments of forward",
                hint="one for each argument, None where there is none",
            )
        return tuple(made[i] for i in places)

    return Op(
        cls.__name__,
        attrs=("context",),
        accepts=ANY,
        vjp=vjp,
        saved_inputs=(False,) * len(places),
        saves_out=False,
        residuals=0,
        variadic=False,
    )


def _zeros(t: Type) -> Tensor:
    return wrap(np.zeros(t.shape, t.dtype.numpy))


def record(op: Op, context: Context, args: tuple[Any, ...], made: Any) -> Any:
    """Put the function's node behind its outputs."""
    inputs = tuple(a for a in args if isinstance(a, Tensor))
    several = isinstance(made, tuple | list)
    outs = tuple(wrap(x.array) if isinstance(x, Tensor) else x for x in (made if several else (made,)))
    context.saved = tuple(_renamed(s, made, several, outs) for s in context.saved)
    if not several:
        outs[0].node = make_node(op, inputs, (context,), outs[0].array, None)
        outs[0].tracked = True
        return outs[0]
    parent = make_node(op, inputs, (context,), tuple(x.array for x in outs), None)
    excluded = [id(x) for x in context.not_differentiable]
    for index, (x, out) in enumerate(zip(made, outs, strict=True)):
        if id(x) not in excluded and out.array.dtype.kind in "fcV":
            out.node, out.tracked = item_node(parent, index, out.array), True
    return outs


def _renamed(saved: Any, made: Any, several: bool, outs: tuple[Any, ...]) -> Any:
    """A saved output becomes the recorded output, so that gradients of gradients pass through it."""
    for x, out in zip(made if several else (made,), outs, strict=True):
        if saved is x:
            return out
    return saved
