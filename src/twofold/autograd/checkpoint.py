"""Recompute instead of remember. Floor 8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.autograd.walk import sort_nodes, target_of, walk
from twofold.ops.bind import item_node, make_node, mode, set_grad
from twofold.ops.op import ANY, Op
from twofold.ops.random import get_rng_state, set_rng_state
from twofold.ops.tensor import Tensor, wrap


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool = False, preserve_rng_state: bool = True, **options: Any
) -> Any:
    """function(*args), whose inner values are dropped and computed again when gradients are asked for.

    The random state of the first run is restored for the second. Gradients reach the arguments and every
    parameter that the function uses; they have the bits that they have without checkpointing.
    """
    if not mode.grad:
        return function(*args, **options)
    state = get_rng_state() if preserve_rng_state else None
    inner = tuple(_detached(a) for a in args)
    made = function(*inner, **options)
    several = isinstance(made, tuple | list)
    outs = tuple(made) if several else (made,)
    tracked = [x for x in outs if isinstance(x, Tensor) and x.tracked]
    if not tracked:
        return made
    _, leaves = sort_nodes([target_of(x) for x in tracked], None)
    own = {id(a) for a in inner}
    closure = [leaf for leaf in leaves if id(leaf) not in own]
    op = _op(function, args, closure, options, state)
    inputs = tuple(a for a in args if isinstance(a, Tensor)) + tuple(closure)
    fresh = tuple(wrap(x.array) if isinstance(x, Tensor) else x for x in outs)
    if len(fresh) == 1:
        fresh[0].node, fresh[0].tracked = make_node(op, inputs, (), fresh[0].array, None), True
    else:
        parent = make_node(op, inputs, (), tuple(x.array for x in fresh), None)
        for index, (x, out) in enumerate(zip(outs, fresh, strict=True)):
            if x.tracked:
                out.node, out.tracked = item_node(parent, index, out.array), True
    return type(made)(fresh) if several else fresh[0]


def _detached(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    made = wrap(value.array)
    made.tracked = value.tracked
    return made


def _op(function: Any, args: tuple[Any, ...], closure: list[Tensor], options: Any, state: Any) -> Op:
    def vjp(g: Any, out: Any, *inputs: Any) -> Any:
        again = tuple(_detached(a) for a in args)
        now = get_rng_state()
        if state is not None:
            set_rng_state(state)
        before = set_grad(True)
        try:
            made = function(*again, **options)
        finally:
            set_grad(before)
            set_rng_state(now)
        outs = made if isinstance(made, tuple | list) else (made,)
        grads = g if isinstance(g, list) else [g]
        roots = [(x, gx) for x, gx in zip(outs, grads, strict=True) if gx is not None]
        found = walk(roots, None)
        wanted = [a for a in again if isinstance(a, Tensor)] + closure
        return tuple(found.of(x) for x in wanted)

    count = sum(isinstance(a, Tensor) for a in args) + len(closure)
    return Op(
        "checkpoint",
        attrs=(),
        accepts=ANY,
        vjp=vjp,
        saved_inputs=(False,) * count,
        saves_out=False,
        residuals=0,
        variadic=False,
    )
