"""The walk in machine code: when it is taken, and what it asks Python for. Floor 8.

`codegen/native/walk.py` walks from one root to every leaf while the Tensor tier is installed; what
is given here are the functions that it calls for everything that is not plain. Without it `walk`
does the same, with the same bits.
"""

from __future__ import annotations

from typing import Any

from twofold.autograd.walk import (
    Anomaly,
    check_versions,
    collect_slot,
    freed,
    hooked,
    run_hooks,
    saved_output,
    target_of,
    unbroadcast,
)
from twofold.codegen.compile import Code
from twofold.codegen.native.facts import HELPERS
from twofold.exec import tensors
from twofold.ops.bind import ITEM, set_grad
from twofold.ops.elementwise import add
from twofold.ops.joining import clone
from twofold.ops.tensor import Node, Tensor
from twofold.runtime import native

_walk: list[Any] = []


def walk_to_leaves(x: Tensor, g: Tensor, retain_graph: bool) -> bool:
    """Add the gradients of x to `.grad` of every leaf. False, and nothing done, where this is not
    for machine code.
    """
    if not _walk or Anomaly.enabled:
        return False
    before = set_grad(False)
    try:
        return _walk[0](x, g, retain_graph)  # type: ignore[no-any-return]
    finally:
        set_grad(before)


def _slots(slots: list[Any] | None, node: Node, g: Tensor) -> list[Any]:
    inputs: Any = node.inputs
    return collect_slot(slots, inputs[0], node.attrs[0], g)


def _check(node: Node, inputs: Any) -> None:
    if inputs is None:
        raise freed(node)
    check_versions(node, inputs)


def _out(node: Node) -> Any:
    return saved_output(node, False)


def _rule(node: Node, g: Any, inputs: tuple[Any, ...], out: Any) -> tuple[Any, ...]:
    return _fitting(inputs, node.op.vjp(g, out, *inputs, **node.op.keywords(node.attrs)))


def _fitting(inputs: tuple[Any, ...], made: Any) -> tuple[Any, ...]:
    return tuple(g for _, g in zip(inputs, made, strict=True))


def _fit(g: Tensor, x: Tensor | Node) -> Tensor:
    return unbroadcast(g, x.array.shape if isinstance(x, Tensor) else x.shape)


def _leaf_hooks(leaf: Tensor, g: Tensor) -> Tensor:
    grads = {id(leaf): g}
    run_hooks(leaf, grads)
    return grads[id(leaf)]


def _accumulate(leaf: Tensor, g: Tensor) -> None:
    """A gradient that others hold too: the leaf gets a copy. Or the leaf's own is a view."""
    if leaf.leaf_grad is None:
        leaf.leaf_grad = clone(g)
    else:
        leaf.leaf_grad.add_(g)  # type: ignore[attr-defined]


def _helpers() -> tuple[Any, ...]:
    given = {
        "target": target_of,
        "hooked": hooked,
        "slots": _slots,
        "check": _check,
        "out": _out,
        "rule": _rule,
        "fitting": _fitting,
        "fit": _fit,
        "add": add,  # the tier's, as this module has it now
        "leaf_hooks": _leaf_hooks,
        "accumulate": _accumulate,
        "item": ITEM,
    }
    return tuple(given[name] for name in HELPERS)


def _connect(code: Code | None) -> None:
    _walk.clear()
    if code is not None:
        helpers = native.forever(_helpers())
        _walk.append(native.builtin("walk", code.address("walk_run"), helpers))


tensors.watchers.append(_connect)
