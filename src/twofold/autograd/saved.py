"""What gradients need, packed by the user's functions while it is kept. Floor 8.

    with saved_tensors_hooks(pack, unpack):
        y = model(x)                       # pack(tensor) for each value that a rule will need
    y.sum().backward()                     # unpack(packed) when it does

In the block an interpreter stands before the one in force. It lets that run an operation, and puts
another node in the place of the one that was left: its inputs are edges only, its `out` holds
what pack gave, and its rule unpacks and is the operation's own from there on.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, final

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.bind import ITEM, bind, interpreter, make_node, mode, tell
from twofold.ops.movement import CLONE
from twofold.ops.op import Op
from twofold.ops.tensor import Node, Tensor, type_of, wrap

__all__ = ["disable_saved_tensors_hooks", "saved_tensors_hooks"]

Hook = Callable[[Any], Any]
NAME = "saved_tensors_hooks"
_refused: list[str] = []


@final
class saved_tensors_hooks:
    """In the block, pack_hook(tensor) is called for each tensor that an operation keeps for its
    gradient, and what it gives is kept instead; unpack_hook(packed) gives the tensor back.

    Of nested blocks the innermost counts. A Function of the user's own and a compiled function keep
    what they keep, unpacked. Raises ArgumentError within disable_saved_tensors_hooks, and where
    unpack_hook gives no tensor; ShapeError where it gives one of another shape.
    """

    def __init__(self, pack_hook: Hook, unpack_hook: Hook) -> None:
        self.pack, self.unpack = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if _refused:
            raise ArgumentError(NAME, _refused[-1])
        self.before = mode.interpreter
        inner = self.before.inner if isinstance(self.before, _Packing) else self.before
        mode.interpreter = _Packing(self.pack, self.unpack, inner)
        tell()

    def __exit__(self, *_: object) -> None:
        mode.interpreter = self.before
        tell()


@final
class disable_saved_tensors_hooks:
    """In the block, entering saved_tensors_hooks raises ArgumentError with this message."""

    def __init__(self, error_message: str) -> None:
        self.message = error_message

    def __enter__(self) -> None:
        _refused.append(self.message)

    def __exit__(self, *_: object) -> None:
        _refused.pop()


@final
class _Packed:
    """What is kept instead of tensors: inputs by place, and the outputs that the rule needs."""

    def __init__(self, node: Node, unpack: Hook) -> None:
        self.node, self.unpack = weakref.ref(node), unpack
        self.inputs: dict[int, tuple[Any, Any]] = {}
        self.outs: list[tuple[Any, Any] | None] = []
        self.several = isinstance(node.out, tuple)

    def tensor(self, packed: Any, wanted: Any) -> Tensor:
        found = self.unpack(packed)
        if not isinstance(found, Tensor):
            what = f"unpack_hook gives a {type(found).__name__}"
            raise ArgumentError(NAME, what, hint="the tensor that pack_hook was given")
        if tuple(found.array.shape) != tuple(wanted):
            problem = "unpack_hook gives a tensor of another shape"
            raise ShapeError(NAME, problem, packed=tuple(wanted), unpacked=type_of(found))
        return found


@final
class _Packing:
    """The interpreter of a block."""

    def __init__(self, pack: Hook, unpack: Hook, inner: Any) -> None:
        self.pack, self.unpack, self.inner = pack, unpack, inner

    def run(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Any:
        with interpreter(self.inner):
            made = bind(op, inputs, attrs)
            for out in made if isinstance(made, tuple) else (made,):
                node = out.node if out.tracked else None
                if node is not None and node.op is ITEM and isinstance(node.inputs[0], Node):
                    node = node.inputs[0]
                if node is not None and node.op is op:
                    self._replace(node)
        return made

    def _replace(self, node: Node) -> None:
        """Let the node keep what pack gives, where it keeps tensors at all."""
        arrays = node.out if isinstance(node.out, tuple) else (node.out,)
        if any(a is not None and not hasattr(a, "strides") for a in arrays):
            return  # something of its own
        places = [i for i, version in enumerate(node.versions) if version is not None]
        if not places and node.out is None:
            return
        inputs: Any = node.inputs
        kept = _Packed(node, self.unpack)
        for i in places:
            x = inputs[i]
            kept.inputs[i] = self._pack(x if x.node is None and x.tracked else wrap(x.array))
        if node.out is not None:
            kept.outs = [None if a is None else self._pack(wrap(a)) for a in arrays]
        node.inputs = tuple(map(_edge, inputs))
        node.versions = (None,) * len(inputs)
        node.op, node.out = _packed(node.op), kept

    def _pack(self, x: Tensor) -> tuple[Any, Any]:
        return self.pack(x), x.array.shape


def _edge(x: Any) -> Any:
    """Where a gradient goes, without the value."""
    if isinstance(x, Tensor):
        return (x.node or x) if x.tracked else None
    return x


_ops: dict[Op, Op] = {}
OWN = ("name", "entries", "native")


def _packed(op: Op) -> Op:
    """The operation whose node keeps a _Packed."""
    found = _ops.get(op)
    if found is None:
        fields = {name: getattr(op, name) for name in Op.__slots__ if name not in OWN}
        fields["vjp"] = lambda g, kept, *edges, **attrs: _rule(op, g, kept, edges, attrs)
        found = _ops[op] = Op(op.name, **fields)
    return found


def _rule(op: Op, g: Any, kept: _Packed, edges: Any, attrs: dict[str, Any]) -> Any:
    inputs = list(edges)
    for place, packed in kept.inputs.items():
        inputs[place] = _joined(kept.tensor(*packed), edges[place])
    out: Any = kept.node()
    if kept.several:
        out = tuple(None if one is None else kept.tensor(*one) for one in kept.outs)
    elif kept.outs and kept.outs[0] is not None:
        made = wrap(kept.tensor(*kept.outs[0]).array)
        if mode.grad:
            made.node, made.tracked = out, True
        out = made
    return op.vjp(g, out, *inputs, **attrs)  # type: ignore[misc]


def _joined(found: Tensor, edge: Any) -> Tensor:
    """A tensor that was unpacked, with the way that gradients of gradients go."""
    made = wrap(found.array)
    if edge is None:
        return made
    made.tracked = True
    if isinstance(edge, Node):
        made.node = edge
    elif mode.grad:
        made.node = make_node(CLONE, (edge,), (), found.array, None)
    return made
