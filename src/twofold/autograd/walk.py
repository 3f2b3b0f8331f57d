"""The walk: gradients of some tensors by others, node by node, last made first. Floor 8.

Every rule is written in tensor operations, so a walk with the tape on (`create_graph`) leaves nodes
that can be walked again, to any order. Un-broadcasting is done here and nowhere else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, GradientError, ShapeError, line_of
from twofold.base.records import NamedTuple
from twofold.base.symbols import alike, example_of, is_one, is_symbol
from twofold.ops.bind import ITEM, bind, current, mode, recording
from twofold.ops.elementwise import add
from twofold.ops.movement import reshape
from twofold.ops.reduce import SUM_TO_ONE
from twofold.ops.reduce import sum as sum_
from twofold.ops.source import ones_of
from twofold.ops.tensor import Node, OtherLayout, Tensor, root_of, type_of, wrap

Target = Tensor | Node
NUMBER = operator.attrgetter("number")
Stop = Callable[[Node], bool]


class Anomaly:
    """Whether each gradient is looked at for NaN as it is born."""

    enabled = False


class Route(NamedTuple):
    """Which way a walk goes.

    order    the nodes that get a gradient, last made first: users before what they use
    leaves   the leaves that it reaches
    useful   for each reached target, whether a gradient is wanted there or behind it
    through  the nodes whose inputs get gradients in turn
    """

    order: list[Node]
    leaves: list[Tensor]
    useful: dict[int, bool]
    through: set[int]


class Running:
    """What a node keeps whose rule goes on with sums that have begun: a loop's, whose turns add to
    them one after the other.

    rule    from the gradients of the outputs and, for each input, what has arrived before (None
            where nothing has, and for other inputs than `sums`), to those of the inputs, in which
            that is contained
    sums    the places of the inputs that this is for
    bound   the call that made it, (operation, inputs, attributes): how it is made again
    """

    __slots__ = ("bound", "rule", "sums")

    def __init__(
        self,
        rule: Callable[[list[Any], list[Any]], Any],
        sums: Iterable[int],
        bound: tuple[Any, tuple[Tensor, ...], Any],
    ) -> None:
        self.rule = rule
        self.sums = frozenset(sums)
        self.bound = bound


class Gradients(NamedTuple):
    """What a walk found: gradients by id of their target, and the leaves that it reached."""

    by_target: dict[int, Any]
    leaves: list[Tensor]

    def of(self, x: Tensor) -> Tensor | None:
        return self.by_target.get(id(target_of(x)))

    def take(self, x: Tensor) -> list[Tensor]:
        """The gradient in a list of one, held by nobody here any more; an empty list if there is
        none.
        """
        found = self.by_target.pop(id(target_of(x)), None)
        return [] if found is None else [found]


def target_of(x: Tensor) -> Target:
    """What a gradient arrives at: the node that made x, or x itself where it is a leaf."""
    node = current(x).node
    return x if node is None else node


def walk(
    roots: Iterable[tuple[Tensor, Tensor]],
    wanted: Iterable[Target] | None,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
    stop: Stop | None = None,
    hooks: bool = True,
) -> Gradients:
    """The gradients of the roots by every leaf, or by the `wanted` targets only.

    stop: tells nodes that are taken as leaves. hooks: whether those of leaves are called.
    """
    grads: dict[int, Any] = {}
    keep = None if wanted is None else {id(t) for t in wanted}
    with recording(create_graph):
        starts = []
        for x, g in roots:
            target = target_of(x)
            collect(grads, target, g)
            starts.append(target)
        route = find_route(starts, keep, stop)
        useful = None if keep is None else route.useful
        for node in route.order:
            key = id(node)
            if key not in grads:
                continue
            g = hooked(node, grads.pop(key))
            if keep is not None and key in keep:
                grads[key] = g
            if key in route.through:
                visit(node, g, grads, useful, create_graph)
                if not retain_graph:
                    release(node)
        for leaf in route.leaves if hooks else ():
            run_hooks(leaf, grads)
    return Gradients(grads, route.leaves)


def find_route(starts: list[Target], keep: set[int] | None, stop: Stop | None = None) -> Route:
    """The way from the starts to every leaf, or to the targets in `keep` only."""
    order: list[Node] = []
    leaves: list[Tensor] = []
    useful: dict[int, bool] = {}
    through: set[int] = set()
    for start in starts:
        stack: list[tuple[Target, Any]] = [(start, None)]
        while stack:
            target, edges = stack.pop()
            key = id(target)
            if edges is None:
                if key in useful:
                    continue
                useful[key] = keep is None or key in keep
                if isinstance(target, Tensor):
                    leaves.append(target)
                    continue
                if stop is not None and stop(target):
                    continue
                edges = iter(parents(target))
            for parent in edges:
                if id(parent) not in useful:
                    stack.append((target, edges))
                    stack.append((parent, None))
                    break
            else:
                if keep is None or any(useful[id(p)] for p in parents(target)):  # type: ignore[arg-type]
                    through.add(key)
                    useful[key] = True
                if useful[key]:
                    order.append(target)  # type: ignore[arg-type]
    order.sort(key=NUMBER, reverse=True)
    return Route(order, leaves, useful, through)


def parents(node: Node) -> list[Target]:
    """Where the gradients of the node's inputs go."""
    if node.inputs is None:
        raise freed(node)
    found: list[Target] = []
    for x in node.inputs:
        if type(x) is Node:
            found.append(x)
        elif x is not None and x.tracked:  # type: ignore[union-attr]
            found.append(target_of(x))  # type: ignore[arg-type]
    return found


def hooked(node: Node, g: Any) -> Any:
    """The gradient of a node's output after its hooks."""
    for hook in list(node.hooks or ()):
        g = _changed(g, hook(g))
    return g


def _changed(g: Any, changed: Any) -> Any:
    """The gradient after a hook that gave `changed`, which may be None."""
    if changed is None:
        return g
    if isinstance(g, Tensor) and not isinstance(changed, Tensor | OtherLayout):
        raise DTypeError(
            "backward",
            f"a hook gave a {type(changed).__name__}",
            hint="a tensor that takes the gradient's place, or None",
            gradient=type_of(g),
        )
    return changed


def visit(
    node: Node, g: Any, grads: dict[int, Any], useful: dict[int, bool] | None, create_graph: bool
) -> None:
    """Turn the gradient of a node's output into gradients of its inputs."""
    inputs: Any = node.inputs
    if inputs is None:
        raise freed(node)
    op = node.op
    if op is ITEM:
        collect_item(grads, inputs[0], node.attrs[0], g)
        return
    if type(node.out) is Running:
        go_on(node.out, inputs, g, grads, useful)
        return
    check_versions(node, inputs)
    out = node if node.out is None else saved_output(node, create_graph)
    attrs = node.attrs
    made = op.vjp(g, out, *inputs, **op.keywords(attrs)) if attrs else op.vjp(g, out, *inputs)
    if Anomaly.enabled:
        look_for_nan(node, made)
    for x, gx in zip(inputs, made, strict=True):
        if gx is None or x is None:
            continue
        if type(x) is Node:
            shape = x.shape
        elif x.tracked:
            shape = x.array.shape
            x = target_of(x)
        else:
            continue
        if mode.capture is not None or gx.array.shape != shape:
            gx = unbroadcast(gx, shape)
        if useful is None or useful[id(x)]:
            collect(grads, x, gx)


def go_on(
    running: Running, inputs: Any, g: Any, grads: dict[int, Any], useful: dict[int, bool] | None
) -> None:
    """Visit a node that goes on with sums."""
    targets: list[Any] = [
        x if type(x) is Node else target_of(x) if x is not None and x.tracked else None
        for x in inputs
    ]
    before = [
        grads.pop(id(target), None) if i in running.sums and target is not None else None
        for i, target in enumerate(targets)
    ]
    made = running.rule(g if isinstance(g, list) else [g], before)
    for target, start, gx in zip(targets, before, made, strict=True):
        arrived = start if gx is None else gx
        if arrived is None or target is None:
            continue
        if useful is None or useful[id(target)]:
            collect(grads, target, arrived)


def release(node: Node) -> None:
    """Let go of what a node saved. One that saved nothing can be walked again."""
    if node.out is not None or node.versions.count(None) != len(node.versions):
        node.inputs = None
        node.out = None


def collect(grads: dict[int, Any], target: Target, g: Any) -> None:
    before = grads.get(id(target))
    grads[id(target)] = g if before is None else add(before, g)


def collect_item(grads: dict[int, Any], parent: Node, index: int, g: Tensor) -> None:
    """Several outputs: the gradient of their node is a list, None where an output was not used."""
    grads[id(parent)] = collect_slot(grads.get(id(parent)), parent, index, g)


def collect_slot(slots: list[Any] | None, parent: Node, index: int, g: Tensor) -> list[Any]:
    slots = [None] * len(parent.shape) if slots is None else slots
    slots[index] = g if slots[index] is None else add(slots[index], g)
    return slots


def unbroadcast(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Sum a gradient over the axes along which its input was repeated."""
    if mode.capture is not None:
        return _unbroadcast_any(g, shape)
    if g.array.shape == shape:
        return g
    extra = g.array.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if g.array.shape[i + extra] != n
    )
    if axes:
        g = sum_(g, axes, keepdim=True)
    return g if g.array.shape == shape else reshape(g, shape)


def _unbroadcast_any(g: Tensor, shape: tuple[Any, ...]) -> Tensor:
    """The same for sizes that only a run knows: where a size is 1 nothing is summed."""
    sizes = g.array.shape
    extra = len(sizes) - len(shape)
    axes, doubtful = list(range(extra)), []
    for axis, n in enumerate(shape, extra):
        if alike(sizes[axis], n):
            continue
        if is_one(n) and is_symbol(sizes[axis]):
            doubtful.append(axis)
        elif example_of(sizes[axis]) == example_of(n) and sizes[axis] == n:
            continue
        else:
            axes.append(axis)
    if axes:
        g = sum_(g, tuple(sorted(axes + doubtful)), keepdim=True)
    elif doubtful:
        g = bind(SUM_TO_ONE, (g,), (tuple(doubtful),))
    return g if alike(g.array.shape, shape) else reshape(g, shape)


def saved_output(node: Node, create_graph: bool) -> Any:
    """The output as the rule sees it: a tensor with its history where gradients of gradients are
    wanted.

    What is not an array (a custom Function's context, a checkpoint's segment) is seen as it is.
    """
    out = node.out
    if type(out) is tuple:
        return tuple(None if a is None else wrap(a) for a in out)
    if not hasattr(out, "strides"):
        return node if out is None else out
    made = wrap(out)
    if create_graph:
        made.node, made.tracked = node, True
    return made


def check_versions(node: Node, inputs: tuple[Any, ...]) -> None:
    for x, version in zip(inputs, node.versions, strict=True):
        if version is not None and root_of(x).version != version:
            raise overwritten(node, x)


def overwritten(node: Node, x: Tensor) -> GradientError:
    return GradientError(
        "backward",
        f"{node.op.name} needs a value that was overwritten in place",
        value=type_of(x),
        saved=line_of(node.where),
        overwritten=line_of(root_of(x).written),
        hint="the operation without the underscore, or x.clone() before the write",
    )


def freed(node: Node) -> GradientError:
    return GradientError(
        "backward",
        "the graph was walked before, and its values are gone",
        forward=line_of(node.where),
        hint="backward(retain_graph=True) the first time; or h = h.detach() for what a loop hands "
        "from one backward() to the next",
    )


def look_for_nan(node: Node, made: Any) -> None:
    for index, g in enumerate(made):
        if g is not None and np.isnan(as_numbers(g)).any():
            raise GradientError(
                "backward",
                f"the gradient of {node.op.name} by its input {index} is NaN",
                forward=line_of(node.where),
                hint="look at the values that went in: a log or sqrt of 0, a division by 0",
            )


def as_numbers(g: Tensor) -> Any:
    """The values in a type that NumPy knows."""
    return dtypes.to_float32(g.array) if g.array.dtype == dtypes.BFLOAT16 else g.array


def run_hooks(leaf: Tensor, grads: dict[int, Any]) -> None:
    if not leaf.hooks or id(leaf) not in grads:
        return
    for hook in list(leaf.hooks.values()):
        grads[id(leaf)] = _changed(grads[id(leaf)], hook(grads[id(leaf)]))


def start_gradient(x: Tensor, g: Any, op: str) -> Tensor:
    """The gradient that a walk starts with: as given, or 1 for a single element."""
    if not current(x).tracked:
        raise GradientError(
            op,
            "this tensor does not require a gradient, and nothing it was made from does",
            input=type_of(x),
            hint="x.requires_grad_() before the computation, and no no_grad() around it",
        )
    array = x.array
    if g is None:
        if array.size != 1:
            raise ShapeError(
                op,
                "only one element has a gradient without being given one",
                input=type_of(x),
                hint="backward(gradient) with a tensor of this shape, or x.sum().backward()",
            )
        if mode.capture is not None or array.dtype.kind == "V":
            return ones_of(array.shape, array.dtype)
        ones = np.empty(array.shape, array.dtype)
        ones.fill(1)
        return wrap(ones)
    if not isinstance(g, Tensor):
        raise DTypeError(
            op,
            f"the gradient is a {type(g).__name__}, not a tensor",
            hint="twofold.tensor(...) around it",
        )
    if g.array.shape != x.array.shape:
        raise ShapeError(
            op,
            "the gradient has another shape than the tensor",
            hint="gradient.expand_as(x)",
            gradient=type_of(g),
            input=type_of(x),
        )
    return g
