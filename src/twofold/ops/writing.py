"""Writing into memory that tensors share: in-place operations, views, aliases. Floor 4.

A write gives the tensor the node of its new value. Written through a view, it gives the base a
`view_scatter` node, and every other view finds its own node again when it is next used
(`bind.refresh`). Every write is counted in the memory's version, so that a node knows whether a
value that it saved is still there; where a node saved its own output, it is given a copy before
that is overwritten.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from types import CodeType
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, GradientError, ShapeError, user_place
from twofold.ops.bind import ITEM, bind, current, make_node, mode, recording, refresh
from twofold.ops.op import Op, define
from twofold.ops.source import zeros_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Array, Node, Tensor, root_of, type_of, wrap
from twofold.runtime.entries import run_into as run_into_array

may_share = np.may_share_memory
Chain = tuple[Any, ...]
Place = tuple[CodeType, int] | None
A_PAGE = 4096
LARGEST = 1e38  # well within float32


def write(x: Tensor, new: Tensor, op: str = "in place", *, dropped: bool = False) -> Tensor:
    """Put `new`, which was computed from `x`, into the memory of `x`, and its history into x's.

    `new` is of x's shape and type, and nobody else's. A view that is `dropped` after it has no use
    for a node of its own. Raises GradientError when `x` is (a view of)
    a leaf that wants a gradient.
    """
    if unseen(x, new):
        return overwrite(x, new.array, op)
    current(x)
    root = root_of(x)
    if mode.grad:
        _check_history(x, root, new, op)
    rebased = mode.grad and (new.tracked or root.tracked)
    if rebased and mode.capture is not None:
        mode.capture.admit_history(root, x)
    old_root = _snapshot(root)
    overwrite(x, new.array, op)
    if rebased:
        _rebase(x, new, root, old_root, dropped)
    return x


def overwrite(x: Tensor, values: Any, op: str = "in place", place: Place = None) -> Tensor:
    """Put values of x's type into the memory of `x` without a word to the tape, but counted.

    Raises ShapeError when elements of `x` share memory, ArgumentError when it is read-only.
    """
    if not x.array.flags.writeable:
        raise ArgumentError(
            op, "the tensor's memory is read-only", hint="x = x.clone()", input=type_of(x)
        )
    if mode.capture is None and (
        x.array.size
        and 0 in x.array.strides
        and any(n > 1 and not s for n, s in zip(x.array.shape, x.array.strides, strict=True))
    ):
        raise ShapeError(
            op,
            "several elements of an expanded tensor are one in memory",
            hint="x = x.clone()",
            input=type_of(x),
        )
    if stands_in(values) and not stands_in(x.array):
        values.refuse_into(x)
    _keep_saved_outputs(root_of(x))
    if mode.capture is not None and not stands_in(x.array):
        mode.capture.store(x.array, values)
    elif values is not x.array:
        x.array[...] = values
    touched(x, place)
    return x


def fill_unseen(x: Tensor, number: Any) -> bool:
    """Write a Python number everywhere in `x`; False, and nothing written, where the write is seen
    or the number may not be what NumPy makes of it.
    """
    array = x.array
    kind = array.dtype.kind
    if number.__class__ is float:
        fits = kind == "f" and array.itemsize > 2 and -LARGEST <= number <= LARGEST
    else:
        fits = number.__class__ is int and kind in "fiubc" and number in (0, 1)
    if not fits or type(array) is not np.ndarray or not unseen(x):
        return False
    if not array.flags.writeable or 0 in array.strides:
        return False
    _keep_saved_outputs(x if x.base is None else x.base)
    if number.__class__ is int and not number and array.nbytes >= A_PAGE and _is_dense(array):
        array.view(np.uint8).fill(0)  # which clears memory, twice as fast as stores of elements
    else:
        array.fill(number)
    touched(x)
    return True


def _is_dense(array: Array) -> bool:
    return array.flags.c_contiguous and array.ndim > 0


def overwrite_part(x: Tensor, key: Any, values: Any) -> None:
    """Put values into x[key], a part that no tape, capture or interpreter sees written."""
    part = wrap(x.array[key])
    part.base = root_of(x)
    overwrite(part, values, "index assignment")
    x.version = part.version


def _keep_saved_outputs(root: Tensor) -> None:
    _keep_saved_output(root)
    if root.aliases is not None:
        for other in aliases_of(root):
            _keep_saved_output(other)


def unseen(x: Tensor, *others: Tensor) -> bool:
    """Whether a write to `x` of what comes of `others` is seen by no tape, capture, interpreter."""
    if mode.interpreter is not None or mode.capture is not None:
        return False
    if not mode.grad:
        current(x)
        return True
    for other in others:
        if other.tracked:
            return False
    return not (root_of(x).tracked or x.tracked)


def run_into(op: Op, x: Tensor, others: tuple[Tensor, ...]) -> bool:
    """Run op(x, *others), elementwise, with its result straight in the memory of `x`.

    False, and nothing written, where the write is seen, where the result has another type or
    shape, or where others share memory with `x` but not all of it.
    """
    entry = op.entries.get(())
    if entry is None or not unseen(x, *others):
        return False
    array = x.array
    if type(array) is not np.ndarray:
        return False
    for other in others:
        if type(other.array) is not np.ndarray:
            return False
        if other.array is not array and may_share(other.array, array):
            return False
    _keep_saved_outputs(root_of(x))
    if not run_into_array(entry, array, (array, *[other.array for other in others])):
        return False
    touched(x)
    return True


class _Onto(threading.local):
    """The tensor that an in-place method is about to overwrite, while no tape sees it."""

    x: Tensor | None = None


_onto = _Onto()


class onto:
    """In the block, `bind_onto` may compute in the memory of `x`; the write is counted after it."""

    __slots__ = ("before", "x")

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __enter__(self) -> None:
        self.before = _onto.x
        _onto.x = self.x

    def __exit__(self, *_: object) -> None:
        _onto.x = self.before


def is_onto(x: Tensor) -> bool:
    """Whether `bind_onto` may compute in the memory of `x`."""
    return _onto.x is x


def bind_onto(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
    """An operation that gives its first input with some elements changed: `x` itself, changed, in
    `onto(x)` where that can be, else a new tensor.
    """
    x, *others = inputs
    if _onto.x is x and _run_onto(op, x, others, attrs):
        return x
    return bind(op, inputs, attrs)


def _run_onto(op: Op, x: Tensor, others: list[Tensor], attrs: tuple[Any, ...]) -> bool:
    entry, array = op.entries.get(op.key(attrs)), x.array
    arrays = [other.array for other in others]
    if entry is None or any(type(a) is not np.ndarray for a in (array, *arrays)):
        return False
    flags = array.flags
    if not (flags.writeable and flags.c_contiguous and array.size):
        return False
    if any(may_share(a, array) for a in arrays):
        return False
    _keep_saved_outputs(root_of(x))
    return run_into_array(entry, array, (array, *arrays))


# Called at every write that is made here: machine code takes them over after some.
heard: list[Callable[[], None]] = []


def touched(x: Tensor, place: Place = None) -> None:
    """Count a write to the memory of `x` at the user's line (or at `place`)."""
    for hear in heard:
        hear()
    root = root_of(x)
    here = user_place() if place is None else place
    if root.aliases is None:
        root.version += 1
        root.written = here
        x.version = root.version
        return
    for owner in (root, *aliases_of(root)):
        owner.version += 1
        owner.written = here
    x.version = root.version


def _check_history(x: Tensor, root: Tensor, new: Tensor, op: str) -> None:
    if root.tracked and root.node is None:
        if mode.capture is not None:
            mode.capture.admit_leaf(root)
        what = (
            "a leaf that requires a gradient"
            if x is root
            else "a view of a leaf that requires a gradient"
        )
        raise GradientError(
            op,
            f"{what} cannot be written in place",
            input=type_of(x),
            hint="with twofold.no_grad(): ..., or write into a copy: x = x.clone()",
        )
    if x.base is not None and x.chain is None and (root.tracked or new.tracked):
        raise GradientError(
            op,
            "a view made while nothing was recorded cannot be written while gradients are",
            input=type_of(x),
            hint="make the view outside of no_grad, or write inside of it",
        )


def _rebase(x: Tensor, new: Tensor, root: Tensor, old_root: Tensor, dropped: bool = False) -> None:
    if x is root and new.node is not None:
        x.node, x.tracked = new.node, True
        return
    chain = () if x is root else x.chain
    root.node = make_node(VIEW_SCATTER, (old_root, new), (chain,), root.array, None)
    root.tracked = True
    if x is not root and not dropped:
        refresh(x)


def adopt(x: Tensor, node: Node, *, written: bool) -> None:
    """Put a node behind a tensor; with `written`, one whose memory was overwritten to make it what
    it is.

    Raises GradientError when it is (a view of) a leaf that wants a gradient.
    """
    if not written:
        x.node, x.tracked = node, True
        return
    root = root_of(x)
    new = wrap(x.array)
    new.node, new.tracked = node, True
    _check_history(x, root, new, "in place")
    _rebase(x, new, root, _snapshot(root))


def _snapshot(x: Tensor) -> Tensor:
    """The same array and history under another name, for edges that must outlive a write."""
    old = wrap(x.array)
    old.node, old.tracked, old.base, old.chain = x.node, x.tracked, x.base, x.chain
    old.version = x.version
    return old


def before_write(x: Tensor, *, keep: bool) -> Tensor:
    """The operand to compute an in-place result from: a snapshot, copied if its values will be
    wanted later.
    """
    old = _snapshot(current(x))
    if keep:
        array = x.array
        if mode.capture is not None and type(array) is np.ndarray:
            (known,) = mode.capture.use((x,))  # what it holds at each run, not what it holds now
            array = mode.capture.unknown(mode.capture.value_of(known.array))
        old.array = array.copy()
        old.base, old.chain, old.version = None, None, 0
    return old


def _keep_saved_output(x: Tensor) -> None:
    """Where x's own node saved x's memory as its output, give it a copy: it is about to be
    overwritten.
    """
    node = x.node
    if node is None:
        return
    if node.op is ITEM and node.inputs is not None:
        node = node.inputs[0]  # type: ignore[assignment]
    if node.out is x.array:
        node.out = x.array.copy()
    elif type(node.out) is tuple:
        node.out = tuple(
            a.copy() if a is not None and _may_share(a, x.array) else a for a in node.out
        )
    elif type(node.out) is list:  # what a compiled function keeps
        for place, a in enumerate(node.out):
            if isinstance(a, np.ndarray) and _may_share(a, x.array):
                node.out[place] = a.copy()


def _may_share(a: Any, b: Any) -> bool:
    """Whether two arrays may lie in the same memory; those of a graph only if they are one."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.may_share_memory(a, b)
    return a is b or stands_in(a)


# ---- aliases: the same memory without the history


def alias(x: Tensor) -> Tensor:
    """A tensor on the same memory that has no history and keeps none alive; writes to one are
    counted in both.
    """
    root = root_of(x)
    made = wrap(x.array)
    if mode.capture is not None:
        mode.capture.note_alias(made, x)
    made.version = root.version
    if root.aliases is None:
        root.aliases = [weakref.ref(root)]
    made.aliases = root.aliases
    made.aliases.append(weakref.ref(made))
    if len(made.aliases) & (len(made.aliases) - 1) == 0:  # at every power of two, drop the dead
        made.aliases[:] = [ref for ref in made.aliases if ref() is not None]
    return made


def aliases_of(root: Tensor) -> list[Tensor]:
    """The other tensors that own the same memory."""
    if root.aliases is None:
        return []
    found = [ref() for ref in root.aliases]
    return [x for x in found if x is not None and x is not root]


# ---- the history of a write through a view


def apply_view(array: Array, chain: Chain) -> Array:
    """The part of an array that a chain of view operations names, as a NumPy view where the layout
    allows.
    """
    part: Any = array
    for op, attrs in chain:
        part = part[attrs[0]] if op is ITEM else op.ref(part, **op.keywords(attrs))
    made: Array = part
    return made


def apply_chain(x: Tensor, chain: Chain) -> Tensor:
    """The same on a tensor, through `bind`."""
    part: Any = x
    for op, attrs in chain:
        part = part[attrs[0]] if op is ITEM else bind(op, (part,), attrs)
    made: Tensor = part
    return made


def _scatter_ref(x: Array, part: Array, *, chain: Chain) -> Array:
    out = x.copy(order="K")
    view = apply_view(out, chain)
    if np.may_share_memory(view, out) or not view.size:
        view[...] = part
        return out
    # A reshape in the chain was a view in the layout that the base had, and copies in this one.
    places = apply_view(np.arange(x.size).reshape(x.shape), chain)
    out = np.ascontiguousarray(out)
    out.reshape(-1)[places] = part
    return out


def _scatter_vjp(g: Tensor, out: Any, x: Any, part: Any, *, chain: Chain) -> Any:
    inside = apply_chain(g, chain)
    if x is None:
        return None, inside
    with recording(False):
        there = apply_chain(g, chain).array
    zero = zeros_of(there.shape, there.dtype)
    return bind(VIEW_SCATTER, (g, zero), (chain,)), inside


VIEW_SCATTER = define(
    "view_scatter",
    inputs="x part",
    attrs=("chain",),
    doc="x with the part that a chain of view operations names replaced.",
    infer=lambda x, part, *, chain: x,
    lower="view_scatter",
    ref=_scatter_ref,
    vjp=_scatter_vjp,
)
