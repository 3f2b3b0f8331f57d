"""What `x.grad_fn` gives: a node as programs see it, of a class with PyTorch's name. Floor 8.

Nodes themselves are all of one class, which machine code makes and reads. What stands for one here
is made when somebody asks; two that stand for the same node are equal.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from twofold.autograd.function import Context
from twofold.autograd.node_hooks import fitting, register_hook
from twofold.autograd.walk import freed, saved_output
from twofold.base.errors import GradientError
from twofold.ops.bind import ITEM, current
from twofold.ops.node_names import name_of
from twofold.ops.tensor import Node as _Node
from twofold.ops.tensor import Tensor, type_of, wrap

__all__ = ["AccumulateGrad", "GradientEdge", "Node", "get_gradient_edge", "grad_fn_of", "tensor_at"]

Notes = weakref.WeakKeyDictionary[_Node, dict[str, Any]]


class Node:
    """A use of an operation, or the place where a leaf's gradient is added up."""

    __slots__ = ("__weakref__",)

    def name(self) -> str:
        """PyTorch's name of it, such as "MulBackward0"."""
        raise TypeError(f"{type(self).__name__} has no name")

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """For each input the node that its gradient goes to, and which of that node's outputs it
        was: (None, 0) where none goes, AccumulateGrad for a leaf.
        """
        return ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


class AccumulateGrad(Node):
    """The end of a way through nodes: what adds to the gradient of a leaf, `variable`."""

    __slots__ = ("variable",)

    def __init__(self, variable: Tensor) -> None:
        self.variable = variable

    def name(self) -> str:
        return "torch::autograd::AccumulateGrad"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccumulateGrad) and other.variable is self.variable

    def __hash__(self) -> int:
        return hash((AccumulateGrad, id(self.variable)))


class GradFn(Node):
    """What stands for a node of the tape."""

    __slots__ = ("_node", "_place")

    def __init__(self, node: _Node) -> None:
        self._place = node  # where a hook sees the gradient of one of several results
        self._node = made_by(node)

    def name(self) -> str:
        return name_of(self._node)

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return tuple(_edge(x) for x in self._node.inputs or () if not _is_hidden(x))

    def register_hook(self, hook: Callable[..., Any]) -> Any:
        """Call hook(gradients of the inputs, gradients of the outputs) after the node's rule."""
        return register_hook(self._node, hook)

    def register_prehook(self, hook: Callable[..., Any]) -> Any:
        """Call hook((gradient,)) before the node's own rule; a tuple that it gives takes its place.
        Returns what takes the hook away again, `.remove()`.
        """
        hooks = self._place.hooks = self._place.hooks or []
        called = _Before(hook, hooks)
        hooks.append(called)
        return called

    @property
    def metadata(self) -> dict[str, Any]:
        """A place for programs' notes."""
        return _notes.setdefault(self._node, {})

    def __call__(self, *grads: Tensor) -> Any:
        """The gradients of the inputs from those of the outputs: one, or a tuple. Raises TypeError
        for another number of them, GradientError where the values are gone.
        """
        node = self._node
        several = node.storage is None
        wanted = len(node.shape) if several else 1
        if len(grads) != wanted:
            raise TypeError(f"expected {wanted} arguments, got {len(grads)} instead")
        if node.inputs is None:
            raise freed(node)
        given: Any = list(grads) if several else grads[0]
        made = _ask_rule(node, given)
        return made[0] if len(made) == 1 else made

    def __getattr__(self, name: str) -> Any:
        """What the `forward` of a user's own Function left on its context."""
        context = self._node.out
        if name.startswith("__") or not isinstance(context, Context):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(context, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._node is self._node

    def __hash__(self) -> int:
        return hash((GradFn, id(self._node)))


class _Before:
    """A node's hook that takes gradients as a tuple."""

    def __init__(self, function: Any, among: list[Any]) -> None:
        self.function, self.among = function, among

    def __call__(self, g: Any) -> Any:
        made = self.function((g,))
        return made[0] if isinstance(made, tuple) else made

    def remove(self) -> None:
        """No longer."""
        if self in self.among:
            self.among.remove(self)


class GradientEdge(NamedTuple):
    """Where the gradient of one output of a node arrives."""

    node: Node
    output_nr: int
    ownership_token: Any = None


_notes: Notes = weakref.WeakKeyDictionary()
_classes: dict[str, type[GradFn]] = {}
_made: weakref.WeakValueDictionary[int, GradFn] = weakref.WeakValueDictionary()


def made_by(node: _Node) -> _Node:
    """The node that made what an ITEM picks from several results."""
    while node.op is ITEM and node.inputs:
        node = node.inputs[0]  # type: ignore[assignment]
    return node


def grad_fn_of(x: Tensor) -> Node | None:
    """What stands for the node that made x; None for a leaf."""
    node = current(x).node
    return None if node is None else of_node(node)


def of_node(node: _Node) -> GradFn:
    """What stands for a node: the same while anybody has it."""
    found = _made.get(id(node))
    if found is None or found._place is not node:
        name = name_of(node)
        kind = _classes.get(name)
        if kind is None:
            kind = _classes[name] = type(name, (GradFn,), {"__slots__": ()})
        found = _made[id(node)] = kind(node)
    return found


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor arrives: `autograd.grad(y, edge)` asks for it there. Raises
    GradientError for one that requires no gradient.
    """
    if not current(tensor).tracked:
        raise GradientError(
            "get_gradient_edge",
            "this tensor does not require a gradient",
            input=type_of(tensor),
            hint="x.requires_grad_() before the computation",
        )
    return GradientEdge(*_edge(tensor), tensor)


def tensor_at(edge: GradientEdge) -> Tensor:
    """The tensor that an edge was taken of, or one that stands for it."""
    if isinstance(edge.ownership_token, Tensor):
        return edge.ownership_token
    if isinstance(edge.node, AccumulateGrad):
        return edge.node.variable
    node: _Node = edge.node._place  # type: ignore[attr-defined]
    made = wrap(np.empty(node.shape, node.storage))
    made.node, made.tracked = node, True
    return made


def _is_hidden(x: Any) -> bool:
    """Whether an input is none of the user's: None is where only the shape mattered."""
    return x is not None and not isinstance(x, Tensor | _Node)


def _edge(x: Any) -> tuple[Any, int]:
    """Where the gradient of an input goes."""
    if isinstance(x, Tensor):
        if current(x).node is None:
            return (AccumulateGrad(x), 0) if x.tracked else (None, 0)
        x = x.node
    if x is None:
        return None, 0
    return of_node(x), x.attrs[0] if x.op is ITEM else 0


def _ask_rule(node: _Node, g: Any) -> tuple[Any, ...]:
    inputs: Any = node.inputs
    out = node if node.out is None else saved_output(node, False)
    made = node.op.vjp(g, out, *inputs, **node.op.keywords(node.attrs))
    return tuple(map(fitting, made, inputs))
