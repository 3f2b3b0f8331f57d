"""The one door: every operation goes through `bind`. Floor 4.

`bind` asks the interpreter in force to run an operation on tensors. The executor of floor 7 gives Eager's way of
computing arrays (`install`); leaving a Node behind is done here, since it is the same for every interpreter.
No feature lives here: profiling, vmap and capture are interpreters.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from twofold.base.dtypes import of
from twofold.base.errors import GradientError, user_place
from twofold.base.types import Type
from twofold.ops.op import Op, define
from twofold.ops.tensor import Array, Node, Tensor, root_of, wrap


class Mode(threading.local):
    """What is in force in this thread: whether nodes are left behind, and another interpreter than Eager."""

    grad = True
    inference = False
    interpreter: Any = None


mode = Mode()
Execute = Callable[[Op, list[Array], tuple[Any, ...]], Any]
Run = Callable[[Op, tuple[Tensor, ...], tuple[Any, ...]], Any]
_execute: list[Execute] = []
# Called with (grad, interpreter) whenever the mode of this thread changes; the native tier listens.
listeners: list[Callable[[bool, Any], None]] = []


def install(execute: Execute) -> None:
    """Give Eager its way of running an operation on arrays."""
    _execute[:] = [execute]


def set_grad(enabled: bool) -> bool:
    """Switch the tape of this thread on or off; gives back what it was."""
    before = mode.grad
    mode.grad = enabled
    for listener in listeners:
        listener(enabled, mode.interpreter)
    return before


@contextlib.contextmanager
def interpreter(using: Any) -> Iterator[Any]:
    """Every operation of the block goes to `using.run(op, inputs, attrs)`; None is Eager."""
    before = mode.interpreter
    mode.interpreter = using
    for listener in listeners:
        listener(mode.grad, using)
    try:
        yield using
    finally:
        mode.interpreter = before
        for listener in listeners:
            listener(mode.grad, before)


def bind(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...] = ()) -> Any:
    """Run a primitive on tensors: a Tensor, or a tuple of them for an operation with several outputs."""
    if mode.interpreter is not None:
        return mode.interpreter.run(op, inputs, attrs)
    return _eager[0](op, inputs, attrs)


def run_eager(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...] = ()) -> Any:
    tracked = False
    for x in inputs:
        if x.base is not None and x.version != x.base.version:
            refresh(x)
        tracked = tracked or x.tracked
    made = _execute[0](op, [x.array for x in inputs], attrs)
    tracked = tracked and mode.grad and op.vjp is not None
    if op.outputs != 1:
        return _several(op, inputs, attrs, made, tracked)
    saved = made
    if op.residuals:
        saved = made if op.saves_out else made[1:]
        made = made[0]
    out = wrap(made)
    if op.view:
        _share(out, inputs[0], op, attrs)
    if tracked and made.dtype.kind in "fcV":
        out.node = make_node(op, inputs, attrs, made, saved)
        out.tracked = True
    return out


_eager: list[Run] = [run_eager]


def run_with(run: Run) -> None:
    """Have `bind` call `run` when no interpreter is in force: run_eager, or machine code that means the same."""
    _eager[:] = [run]


def make_node(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], out: Any, saved: Any) -> Node:
    """The tape's entry for an output array (a tuple for several); `saved` is what the rule sees as `out`."""
    node = Node()
    node.op = op
    node.attrs = attrs
    node.hooks = None
    node.where = user_place()
    node.out = saved if op.saves_out or op.residuals else None
    if isinstance(out, tuple):
        node.shape, node.storage = tuple(Type(a.shape, of(a.dtype)) for a in out), None
    else:
        node.shape, node.storage = out.shape, out.dtype
    keeps = op.saved_inputs
    if op.variadic:
        keeps = keeps[:-1] + keeps[-1:] * (len(inputs) - len(keeps) + 1)
    node.inputs = tuple(map(_edge, inputs, keeps))
    node.versions = tuple(map(_version, inputs, keeps))
    return node


def _edge(x: Tensor, saved: bool) -> Tensor | Node | None:
    if saved:
        return x
    if x.tracked:
        return x.node or x
    return None


def _version(x: Tensor, saved: bool) -> int | None:
    return root_of(x).version if saved else None


def _share(out: Tensor, x: Tensor, op: Op, attrs: tuple[Any, ...]) -> None:
    out.base = root_of(x)
    out.version = out.base.version
    chain = x.chain or ()
    # A detached alias has a base and no chain: it must not come back into the graph.
    out.chain = None if x.base is not None and x.chain is None else (*chain, (op, attrs))


def _several(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], made: Any, tracked: bool) -> Any:
    outs = tuple(map(wrap, made))
    if op.view:
        for index, out in enumerate(outs):
            _share(out, inputs[0], op, attrs)
            if out.chain is not None:
                out.chain = (*out.chain, (ITEM, (index,)))
    if not tracked:
        return outs
    saved = tuple(a if i in op.saved_outputs else None for i, a in enumerate(made))
    parent = make_node(op, inputs, attrs, tuple(made), saved)
    for index, out in enumerate(outs):
        if out.array.dtype.kind in "fcV":
            out.node = item_node(parent, index, out.array)
            out.tracked = True
    return outs


def item_node(parent: Node, index: int, array: Array) -> Node:
    """The node of one output of an operation with several."""
    node = Node()
    node.op = ITEM
    node.attrs = (index,)
    node.inputs = (parent,)
    node.versions = (None,)
    node.hooks = None
    node.out = None
    node.where = parent.where
    node.shape, node.storage = array.shape, array.dtype
    return node


def refresh(x: Tensor) -> None:
    """Bring a view's node up to date after its memory was written through another name."""
    base = root_of(x)
    x.version = base.version
    if x.chain is None or not base.tracked:
        return
    source: Any = base
    for op, attrs in x.chain:
        if op is ITEM:
            source = source[attrs[0]]
        else:
            source = _replay(op, source, attrs)
    x.node = source.node
    x.tracked = True


def _replay(op: Op, source: Tensor, attrs: tuple[Any, ...]) -> Any:
    made = _execute[0](op, [source.array], attrs)
    if op.outputs != 1:
        return _several(op, (source,), attrs, made, True)
    out = wrap(made)
    out.node, out.tracked = make_node(op, (source,), attrs, made, made), True
    return out


def write(x: Tensor, new: Tensor, place: Any = None) -> Tensor:
    """Put `new`, which was computed from `x`, into the memory of `x`, and its history into x's.

    Raises GradientError when `x` is a leaf that wants a gradient (its old value would be lost to the tape).
    """
    root = root_of(x)
    if mode.grad and x.tracked and x.node is None:
        raise GradientError(
            "in place",
            "a leaf that requires a gradient cannot be written in place",
            hint="with twofold.no_grad(): ..., or write into a copy: x = x.clone()",
        )
    _keep_saved_output(root)
    if x is not root:
        _keep_saved_output(x)
    old_root, old_x = _snapshot(root), _snapshot(x)
    x.array[...] = new.array
    root.version += 1
    root.written = user_place() if place is None else place
    if mode.grad and (new.tracked or old_x.tracked or (x is not root and old_root.tracked)):
        _rebase(x, new, root, old_root)
    if x is not root:
        x.version = root.version
    return x


def _rebase(x: Tensor, new: Tensor, root: Tensor, old_root: Tensor) -> None:
    if x is root or x.chain is None:
        x.node, x.tracked = new.node, new.tracked
        return
    kept = wrap(new.array)
    kept.node, kept.tracked = new.node, new.tracked
    root.node = make_node(VIEW_SCATTER, (old_root, kept), (x.chain,), root.array, None)
    root.tracked = True
    refresh(x)


def _snapshot(x: Tensor) -> Tensor:
    """The same array and history under another name, for edges that must outlive a write."""
    old = wrap(x.array)
    old.node, old.tracked, old.base, old.chain = x.node, x.tracked, x.base, x.chain
    old.version = x.version
    return old


def before_write(x: Tensor, *, keep: bool) -> Tensor:
    """The operand to compute an in-place result from: a snapshot, copied if its values will be wanted later."""
    old = _snapshot(x)
    if keep:
        old.array = x.array.copy()
        old.base, old.chain, old.version = None, None, 0
    return old


def _keep_saved_output(x: Tensor) -> None:
    """Where x's own node saved x's memory as its output, give it a copy: it is about to be overwritten."""
    node = x.node
    if node is None:
        return
    if node.out is x.array:
        node.out = x.array.copy()
    elif node.op is ITEM and node.inputs is not None:
        parent: Any = node.inputs[0]
        if parent.out is not None:
            parent.out = tuple(a.copy() if a is x.array else a for a in parent.out)


def apply_view(array: Array, chain: tuple[Any, ...]) -> Array:
    """The part of an array that a chain of view operations names, as a NumPy view."""
    part: Any = array
    for op, attrs in chain:
        part = part[attrs[0]] if op is ITEM else op.ref(part, **op.keywords(attrs))
    return part


def apply_chain(x: Tensor, chain: tuple[Any, ...]) -> Tensor:
    """The same on a tensor, through `bind`."""
    part: Any = x
    for op, attrs in chain:
        part = part[attrs[0]] if op is ITEM else bind(op, (part,), attrs)
    return part


def _scatter_ref(x: Array, part: Array, *, chain: tuple[Any, ...]) -> Array:
    out = x.copy()
    apply_view(out, chain)[...] = part
    return out


def _scatter_vjp(g: Tensor, out: Any, x: Any, part: Any, *, chain: tuple[Any, ...]) -> Any:
    inside = apply_chain(g, chain)
    zero = wrap(np.zeros(inside.array.shape, inside.array.dtype))
    return bind(VIEW_SCATTER, (g, zero), (chain,)), inside


ITEM = define(
    "item_of",
    inputs="x",
    attrs=("index",),
    doc="One output of an operation that has several.",
    infer=lambda x, *, index: x,
    ref=lambda x, *, index: x[index],
    vjp=lambda g, out, x, *, index: (g,),
)
VIEW_SCATTER = define(
    "view_scatter",
    inputs="x part",
    attrs=("chain",),
    doc="x with the part that a chain of view operations names replaced.",
    infer=lambda x, part, *, chain: x,
    ref=_scatter_ref,
    vjp=_scatter_vjp,
)
