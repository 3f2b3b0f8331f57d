"""The one door: every operation goes through `bind`. Floor 4.

`bind` asks the interpreter in force to run an operation on tensors. The executor of floor 7 gives
Eager's way of computing arrays (`install`); leaving a Node behind is done here, since it is the
same for every interpreter. No feature lives here: profiling, vmap and capture are interpreters.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from twofold.base import devices
from twofold.base.dtypes import of
from twofold.base.errors import user_place
from twofold.base.types import Type
from twofold.ops.op import Op, define
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Array, Node, Tensor, next_number, root_of, wrap


class Mode(threading.local):
    """What is in force in this thread: whether nodes are left behind, and another interpreter than
    Eager.

    made     a list that every new node is added to, or None
    capture  what operations on arrays go to while a graph is captured, beneath every interpreter;
             its `execute` is called as Eager's, on arrays that have types and no values
    """

    grad = True
    interpreter: Any = None
    made: list[Node] | None = None
    capture: Any = None


mode = Mode()
Execute = Callable[[Op, list[Array], tuple[Any, ...]], Any]
Run = Callable[[Op, tuple[Tensor, ...], tuple[Any, ...]], Any]
_execute: list[Execute] = []
# Called with (grad, interpreter) whenever the mode of this thread changes; the native tier listens.
listeners: list[Callable[[bool, Any], None]] = []
# What floors below call of those above, by name.
LATE: dict[str, Callable[..., Any]] = {}


def install(execute: Execute) -> None:
    """Give Eager its way of running an operation on arrays."""
    _execute[:] = [execute]


def set_grad(enabled: bool) -> bool:
    """Switch the tape of this thread on or off; gives back what it was."""
    before = mode.grad
    mode.grad = enabled
    tell_grad[0](enabled)
    return before


def tell() -> None:
    """Tell the listeners what is in force in this thread."""
    for listener in listeners:
        listener(mode.grad, mode.interpreter or mode.capture or devices.home.device)


devices.listeners.append(tell)
# Called with whether the tape is on, where that alone has changed in this thread.
tell_grad: list[Callable[[bool], None]] = [lambda enabled: tell()]


class recording:
    """In the block, the tape of this thread is on or off."""

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled

    def __enter__(self) -> None:
        self.before = set_grad(self.enabled)

    def __exit__(self, *_: object) -> None:
        set_grad(self.before)


@contextlib.contextmanager
def interpreter(using: Any) -> Iterator[Any]:
    """Every operation of the block goes to `using.run(op, inputs, attrs)`; None is Eager."""
    before = mode.interpreter
    mode.interpreter = using
    tell()
    try:
        yield using
    finally:
        mode.interpreter = before
        tell()


@contextlib.contextmanager
def capturing(capture: Any) -> Iterator[Any]:
    """In the block, operations on arrays go to `capture.execute`; None is Eager."""
    before = mode.capture, mode.interpreter
    mode.capture, mode.interpreter = capture, None
    tell()
    try:
        yield capture
    finally:
        mode.capture, mode.interpreter = before
        tell()


def execute(op: Op, arrays: list[Array], attrs: tuple[Any, ...]) -> Any:
    """Run an operation on arrays: an array, or a tuple of them for several outputs."""
    if mode.capture is not None:
        return mode.capture.execute(op, arrays, attrs)
    return _execute[0](op, arrays, attrs)


def bind(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...] = ()) -> Any:
    """Run a primitive on tensors: a Tensor, or a tuple of them for an operation with several
    outputs.
    """
    if mode.interpreter is not None:
        return mode.interpreter.run(op, inputs, attrs)
    if mode.capture is not None:
        return run_eager(op, mode.capture.use(inputs), attrs)
    return _eager[0](op, inputs, attrs)


def asks_for_history() -> None:
    """Say that a function refuses what is recorded for gradients: Python has to do each call."""
    remark("once")


def watched() -> bool:
    """Whether somebody hears what is remarked."""
    return hasattr(mode.interpreter, "remark")


def remark(what: str, *facts: Any) -> bool:
    """Tell an interpreter that remembers calls (exec/recall.py) what operations do not show of this
    one. False where there is none.

    range  a tensor, and the bounds that its numbers were found to be within
    holds  a truth value that was found to hold
    draw   the state of a draw from a stream, and the stream's words
    known  a tensor that comes of sizes and plain arguments alone
    values the numbers of tensors decided what was done
    once   so did what nobody sees: the next call like this may be another one
    """
    listening = getattr(mode.interpreter, "remark", None)
    if listening is None:
        return False
    listening(what, *facts)
    return True


# What binds choices and loops such that they can be differentiated, by their names: they have no
# rule of their own, as it is made of what their bodies were captured from (frontends/control.py).
BINDERS: dict[str, Any] = {}


def bind_recorded(op: Op, inputs: tuple[Any, ...], attrs: Any) -> Any:
    """`bind`, with a history where one of these operations has one."""
    control = BINDERS.get(op.name) if mode.grad and mode.capture is not None else None
    return bind(op, inputs, attrs) if control is None else control(inputs, attrs)


def run_eager(op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...] = ()) -> Any:
    tracked = False
    for x in inputs:
        if x.base is not None and x.version != x.base.version:
            refresh(x)
        tracked = tracked or x.tracked
    made = execute(op, [x.array for x in inputs], attrs)
    tracked = tracked and mode.grad and op.vjp is not None
    if op.outputs != 1:
        return _several(op, inputs, attrs, made, tracked)
    saved = made
    if op.residuals:
        saved = made if op.saves_out else made[1:]
        made = made[0]
    out = wrap(made)
    if op.view is True or (op.view and op.view(made, inputs[0].array)):
        share(out, inputs[0], op, attrs)
    if tracked and made.dtype.kind in "fcV":
        out.node = make_node(op, inputs, attrs, made, saved)
        out.tracked = True
    return out


_eager: list[Run] = [run_eager]


def run_with(run: Run) -> None:
    """Have `bind` call `run` when no interpreter is in force: run_eager, or machine code that means
    the same.
    """
    _eager[:] = [run]


def make_node(
    op: Op,
    inputs: tuple[Tensor, ...],
    attrs: tuple[Any, ...],
    out: Any,
    saved: Any,
    where: Any = None,
) -> Node:
    """The tape's entry for an output array (a tuple for several); `saved` is what the rule sees as
    `out`, `where` the user's line, if it is known.
    """
    node = Node()
    node.number = next_number()
    node.op = op
    node.attrs = attrs
    node.hooks = None
    node.where = where or user_place()
    node.out = saved if op.saves_out or op.residuals else None
    if isinstance(out, tuple):
        node.shape, node.storage = tuple([Type(a.shape, of(a.dtype)) for a in out]), None
    else:
        node.shape, node.storage = out.shape, out.dtype
    keeps = op.saved_inputs
    if op.variadic:
        keeps = keeps[:-1] + keeps[-1:] * (len(inputs) - len(keeps) + 1)
    if len(inputs) == 1:
        x, keep = inputs[0], keeps[0] & inputs[0].tracked
        node.inputs, node.versions = (_edge(x, keep),), (_version(x, keep),)
    else:
        tracked = sum([x.tracked << place for place, x in enumerate(inputs)])
        keeps = [readers & tracked for readers in keeps]
        node.inputs = tuple(map(_edge, inputs, keeps))
        node.versions = tuple(map(_version, inputs, keeps))
    if mode.made is not None:
        mode.made.append(node)
    return node


def _edge(x: Tensor, saved: int) -> Tensor | Node | None:
    if saved:
        return x
    if x.tracked:
        return x.node or x
    return None


def _version(x: Tensor, saved: int) -> int | None:
    return root_of(x).version if saved else None


def share(out: Tensor, x: Tensor, op: Op, attrs: tuple[Any, ...], index: int | None = None) -> None:
    """Let `out` be a view of x by an operation, or by one of its outputs."""
    out.base = root_of(x)
    out.version = out.base.version
    # A view made while nothing is recorded has no chain: it never comes into the graph, nor do
    # views of it.
    if mode.grad and (x.base is None or x.chain is not None):
        item = () if index is None else ((ITEM, (index,)),)
        out.chain = (*(x.chain or ()), (op, attrs), *item)


def _several(
    op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...], made: Any, tracked: bool
) -> Any:
    outs = tuple(map(wrap, made))
    if op.view:
        for index, out in enumerate(outs):
            share(out, inputs[0], op, attrs, index)
    if not tracked:
        return outs
    kept = op.saved_outputs
    saved = tuple([a if i in kept else None for i, a in enumerate(made)])
    parent = make_node(op, inputs, attrs, tuple(made), saved)
    for index, out in enumerate(outs):
        if out.array.dtype.kind in "fcV":
            out.node = item_node(parent, index, out.array)
            out.tracked = True
    return outs


def item_node(parent: Node, index: int, array: Array) -> Node:
    """The node of one output of an operation with several."""
    node = Node()
    node.number = next_number()
    node.op = ITEM
    node.attrs = (index,)
    node.inputs = (parent,)
    node.versions = (None,)
    node.hooks = None
    node.out = None
    node.where = parent.where
    node.shape, node.storage = array.shape, array.dtype
    if mode.made is not None:
        mode.made.append(node)
    return node


def current(x: Tensor) -> Tensor:
    """The tensor, with its node up to date."""
    if x.base is not None and x.version != x.base.version:
        refresh(x)
    return x


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
    if stands_in(source.array):
        with recording(True):
            return bind(op, (source,), attrs)
    made = execute(op, [source.array], attrs)
    if op.outputs != 1:
        return _several(op, (source,), attrs, made, True)
    out = wrap(made)
    out.node, out.tracked = make_node(op, (source,), attrs, made, made), True
    return out


ITEM = define(
    "item_of",
    inputs="x",
    attrs=("index",),
    doc="One output of an operation that has several.",
    infer=lambda x, *, index: x,
    ref=lambda x, *, index: x[index],
    vjp=lambda g, out, x, *, index: (g,),
)
