"""The tape of a captured function, made again of what a run has computed. Floor 9.

The gradient of a compiled function is a program of its own. Where that gradient is differentiated
in turn, the tape is wanted that the function would have left eagerly: with the same rules (a user's
own, too), the same saved values, and without what was computed under `no_grad` or detached. It is
noted while the function is captured, node by node, with the values of the graph in place of arrays.
"""

from __future__ import annotations

import copy
import operator
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from twofold.autograd.function import Context, Output
from twofold.autograd.walk import Running
from twofold.base.records import NamedTuple
from twofold.base.symbols import value_of
from twofold.base.trees import flatten, unflatten
from twofold.base.types import Type
from twofold.frontends.arrays import is_unknown
from twofold.ir.graph import Value
from twofold.ops.bind import bind_recorded, current
from twofold.ops.tensor import Node, Tensor, next_number, root_of, wrap

Values = Sequence[Any] | None
NUMBER = operator.attrgetter("number")
PLAIN = (bool, int, float, complex, str, bytes, type(None), type)


class Unkept(Exception):
    """A node keeps what cannot be noted."""


class Made(NamedTuple):
    """The output of a node: the node's place on the tape."""

    node: int


class Saved(NamedTuple):
    """A tensor whose value is kept: of a node (its place), of a leaf (an argument's number, or the
    tensor), or of nothing.
    """

    value: Value | None
    node: int | None = None
    leaf: Any = None


class Step(NamedTuple):
    """One node: its operation, and what it keeps."""

    op: Any
    attrs: tuple[Any, ...]
    inputs: tuple[Any, ...]
    out: Any
    shape: Any
    storage: Any
    where: Any
    hooks: Any


class Bound(NamedTuple):
    """A node of a choice or a loop, whose rule is of its inputs: the call is made again."""

    op: Any
    inputs: tuple[Saved, ...]
    attrs: Any


@final
class Tape:
    """The nodes behind the results of a function, the first made first."""

    def __init__(self, steps: list[Step | Bound], results: list[Any]) -> None:
        self.steps = steps
        self.results = results

    def again(
        self,
        known: Mapping[Value, Tensor],
        leaves: Mapping[int, Tensor],
        values: Values,
    ) -> list[Tensor]:
        """The results as tensors with a history. known: the values of a run; leaves: arguments that
        are differentiated, by their numbers; values: of the
        symbols, or None where they stay.
        """
        return _Again(known, leaves, values).results(self)


def noted(capture: Any, tensors: Sequence[Tensor], places: Mapping[int, int]) -> Tape | None:
    """The tape behind captured tensors; None where a node keeps what cannot be noted. `places`: the
    numbers of arguments, by the ids of what stands for them.
    """
    nodes = _behind(tensors)
    numbers = {id(node): place for place, node in enumerate(nodes)}
    note = _Noting(capture, numbers, places)
    try:
        steps = [note.step(node) for node in nodes]
        return Tape(steps, [note.saved(x) for x in tensors])
    except Unkept:
        return None


def _behind(tensors: Sequence[Tensor]) -> list[Node]:
    """All nodes behind tensors, also those of what nodes have saved, in the order of their use."""
    found: dict[int, Node] = {}
    waiting: list[Any] = list(tensors)
    while waiting:
        x = waiting.pop()
        node = current(x).node if isinstance(x, Tensor) else x
        if node is None or id(node) in found:
            continue
        found[id(node)] = node
        waiting += [y for y in node.inputs or () if y is not None]
        if isinstance(node.out, Context):
            waiting += _tensors_in(node.out)
        if isinstance(node.out, Running):
            waiting += node.out.bound[1]
    return sorted(found.values(), key=NUMBER)


def _tensors_in(context: Context) -> list[Tensor]:
    return [x for x in flatten(vars(context))[0] if isinstance(x, Tensor)]


@final
class _Noting:
    def __init__(self, capture: Any, numbers: Mapping[int, int], places: Mapping[int, int]) -> None:
        self.capture = capture
        self.numbers = numbers
        self.places = places

    def step(self, node: Node) -> Any:
        if node.inputs is None:
            raise Unkept
        if type(node.out) is Running:
            op, inputs, attrs = node.out.bound
            return Bound(op, tuple(map(self.saved, inputs)), attrs)
        inputs = tuple([self.input(x) for x in node.inputs])
        return Step(
            node.op, node.attrs, inputs, self.kept(node.out), node.shape, node.storage, node.where,
            node.hooks,
        )  # fmt: skip

    def input(self, x: Any) -> Any:
        if x is None:
            return None
        return Made(self.numbers[id(x)]) if isinstance(x, Node) else self.saved(x)

    def saved(self, x: Tensor) -> Saved:
        node = current(x).node
        if node is not None:
            return Saved(self.capture.value_of(x.array), self.numbers[id(node)])
        if not x.tracked:
            return Saved(self.capture.value_of(x.array))
        if is_unknown(x.array):
            if id(x) not in self.places:
                return Saved(self.capture.value_of(x.array), leaf=x)
            return Saved(None, leaf=self.places[id(x)])
        return Saved(None, leaf=x)

    def kept(self, x: Any) -> Any:
        """What a node keeps of its output, with values for arrays."""
        if is_unknown(x):
            return self.capture.value_of(x)
        if isinstance(x, (*PLAIN, np.ndarray, np.dtype)):
            return x
        if type(x) in (tuple, list):
            return type(x)([self.kept(part) for part in x])
        if isinstance(x, Tensor):
            return self.saved(x)
        if type(x) is Output:
            return Output(x.place, self.kept(x.array), GONE)
        if type(x) is Context:
            made = copy.copy(x)
            vars(made).update({name: self.attribute(y) for name, y in vars(x).items()})
            return made
        raise Unkept

    def attribute(self, x: Any) -> Any:
        """An attribute of the context of a user's operation."""
        if type(x) in (tuple, list) and any(type(part) is Output for part in x):
            return type(x)([self.attribute(part) for part in x])
        if type(x) is Output:
            return self.kept(x)
        leaves, form = flatten(x)
        return unflatten([self.saved(y) if isinstance(y, Tensor) else y for y in leaves], form)


def _gone() -> Any:
    """What a reference to a tensor gives that is no more."""


GONE: Any = _gone


@final
class _Again:
    def __init__(
        self,
        known: Mapping[Value, Tensor],
        leaves: Mapping[int, Tensor],
        values: Values,
    ) -> None:
        self.known = known
        self.leaves = leaves
        self.values = values
        self.nodes: list[Node] = []
        self.tensors: dict[Any, Tensor] = {}

    def results(self, tape: Tape) -> list[Tensor]:
        for step in tape.steps:
            self.nodes.append(self.bound(step) if isinstance(step, Bound) else self.node(step))
        return [self.tensor(x) for x in tape.results]

    def bound(self, step: Bound) -> Node:
        made = bind_recorded(step.op, tuple(map(self.tensor, step.inputs)), step.attrs)
        node = next((x.node for x in made if x.node is not None), None)
        return Node() if node is None else node.inputs[0]

    def node(self, step: Step) -> Node:
        node = Node()
        node.number = next_number()
        node.op, node.where = step.op, step.where
        node.attrs = self.number(step.attrs)
        node.hooks = None if step.hooks is None else copy.copy(step.hooks)
        node.inputs = tuple([self.input(x) for x in step.inputs])
        node.versions = tuple(
            [root_of(x).version if isinstance(x, Tensor) else None for x in node.inputs]
        )
        node.shape, node.storage = self.shape(step.shape), step.storage
        node.out = self.kept(step.out, node)
        return node

    def number(self, x: Any) -> Any:
        """x with the values of symbols, if they are known."""
        return x if self.values is None else value_of(x, self.values)

    def shape(self, shape: Any) -> Any:
        types = isinstance(shape, tuple) and any(isinstance(part, Type) for part in shape)
        return tuple([self.type(part) for part in shape]) if types else self.number(shape)

    def type(self, x: Any) -> Any:
        return Type(self.number(x.shape), x.dtype) if isinstance(x, Type) else x

    def input(self, x: Any) -> Any:
        return self.nodes[x.node] if type(x) is Made else None if x is None else self.tensor(x)

    def tensor(self, saved: Saved) -> Tensor:
        if type(saved.leaf) is int:
            return self.leaves[saved.leaf]
        if saved.value is None:
            return saved.leaf  # type: ignore[no-any-return]
        key = saved.value, saved.node, id(saved.leaf)
        found = self.tensors.get(key)
        if found is None:
            found = self.tensors[key] = wrap(self.known[saved.value].array)
            found.tracked = saved.node is not None or saved.leaf is not None
            if saved.node is not None:
                found.node = self.nodes[saved.node]
        return found

    def kept(self, x: Any, node: Node) -> Any:
        if isinstance(x, Value):
            return self.known[x].array
        if type(x) is Saved:
            return self.tensor(x)
        if type(x) in (tuple, list):
            return type(x)([self.kept(part, node) for part in x])
        if type(x) is Output:
            return Output(x.place, self.kept(x.array, node), GONE)
        if type(x) is Context:
            return self.context(x, node)
        return x

    def context(self, kept: Context, node: Node) -> Context:
        made = copy.copy(kept)
        vars(made).update({name: self.attribute(x, node) for name, x in vars(kept).items()})
        made._node_at = weakref.ref(node)
        made._types = tuple(map(self.type, kept._types))
        made._versions = tuple(
            [root_of(x).version if isinstance(x, Tensor) else 0 for x in made._saved]
        )
        return made

    def attribute(self, x: Any, node: Node) -> Any:
        if type(x) in (tuple, list) and any(type(part) in (Output, Saved) for part in x):
            return type(x)([self.attribute(part, node) for part in x])
        if type(x) in (Output, Saved):
            return self.kept(x, node)
        if isinstance(x, Callable):  # type: ignore[arg-type]
            return x
        leaves, form = flatten(x)
        return unflatten(
            [self.kept(y, node) if type(y) is Saved else self.number(y) for y in leaves],
            form,
        )
