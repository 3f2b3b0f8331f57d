"""Recompute instead of remember. Floor 8."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from twofold.autograd.walk import Target, find_route, target_of, walk
from twofold.base.errors import ArgumentError
from twofold.base.records import NamedTuple
from twofold.ops.bind import current, interpreter, item_node, make_node, mode, recording, run_eager
from twofold.ops.generators import get_rng_state, set_rng_state
from twofold.ops.movement import expand
from twofold.ops.op import ANY, Op
from twofold.ops.tensor import Node, Tensor, wrap


class Segment(NamedTuple):
    """What is kept of a checkpointed call.

    state    the random state before it, or None; in a graph what its draws were
    outside  what it used besides its arguments: leaves (parameters), and nodes made before it
    over     from the interpreter of the second run to the one that casts as the first did, or None
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    state: Any
    outside: tuple[Target, ...]
    over: Callable[[Any], Any] | None


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool = False,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **options: Any,
) -> Any:
    """function(*args, **options), whose inner values are dropped and computed again when gradients
    are asked for.

    The random state of the first run is restored for the second. Gradients reach the arguments and
    every parameter and tensor that the function uses; they have the bits that they have without
    checkpointing. context_fn gives two blocks, which the first and the second run happen in. The
    other options are PyTorch's checks of its second run, which here has nothing to check.
    """
    if context_fn is not None:
        function = _in_blocks(function, *context_fn())
    if not mode.grad or _in_body():
        return function(*args, **options)
    entered = tuple(map(_enter, args))
    with _draws(preserve_rng_state) as state, Watched() as made_inside:
        made = function(*entered, **options)
    outs = [x for x in tensors_in(made) if current(x).tracked]
    if not outs:
        return made
    inside = {id(node) for node in made_inside}
    entrances = {id(x.node) for x, a in zip(entered, args, strict=True) if x is not a}
    reached = _boundary(outs, inside)
    outside = tuple(target for target in reached if id(target) not in entrances)
    over = getattr(mode.interpreter, "over", None)
    segment = Segment(function, args, options, state, outside, over)
    return _with_segment(made, outs, segment)


def _in_body() -> bool:
    """Whether a loop or a branch of a graph is captured, whose gradient keeps or computes again
    what it needs as a whole.
    """
    return mode.capture is not None and mode.capture.outer is not None


def _in_blocks(function: Callable[..., Any], first: Any, again: Any) -> Callable[..., Any]:
    """The function, whose first run is in one block and all others are in another."""
    blocks = [first]

    def run(*args: Any, **options: Any) -> Any:
        with blocks.pop() if blocks else again:
            return function(*args, **options)

    return run


@contextmanager
def _draws(preserved: bool) -> Iterator[Any]:
    """The block's draws, for `_same_draws`."""
    if not preserved:
        yield None
    elif mode.capture is None:
        yield get_rng_state()
    else:
        with mode.capture.noting_draws() as drawn:
            yield drawn


@contextmanager
def _same_draws(state: Any) -> Iterator[None]:
    """In the block, the draws of another one are drawn again."""
    if mode.capture is not None:
        with nullcontext() if state is None else mode.capture.repeating_draws(state):
            yield
        return
    now = get_rng_state()
    if state is not None:
        set_rng_state(state)
    try:
        yield
    finally:
        set_rng_state(now)


def _enter(value: Any) -> Any:
    """An argument as the segment sees it: behind a node of its own, where its walks end."""
    if isinstance(value, Tensor) and current(value).tracked:
        return expand(value, value.array.shape)
    return value


class Watched:
    """In the block every new node is added to a list; operations take the way through Python."""

    def __enter__(self) -> list[Node]:
        self.before, mode.made = mode.made, []
        self.within = interpreter(_Through(mode.interpreter))
        self.within.__enter__()
        return mode.made

    def __exit__(self, *_: object) -> None:
        mode.made, inside = self.before, mode.made
        if mode.made is not None:
            mode.made += inside or []
        self.within.__exit__(None, None, None)  # last: it tells the machine code what is in force


class _Through:
    """An interpreter that changes nothing."""

    def __init__(self, outer: Any) -> None:
        self.below = outer
        self.run = run_eager if outer is None else outer.run


def _boundary(outs: list[Tensor], inside: set[int]) -> list[Target]:
    """The leaves and the older nodes where the way back from the outputs leaves the segment."""
    older: list[Target] = []

    def stop(node: Node) -> bool:
        if id(node) not in inside:
            older.append(node)
        return id(node) not in inside

    return [*find_route([target_of(x) for x in outs], None, stop).leaves, *older]


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)


def _replaced(value: Any, new: dict[int, Tensor]) -> Any:
    """The same nest with tensors exchanged, by id."""
    if isinstance(value, Tensor):
        return new.get(id(value), value)
    if isinstance(value, dict):
        made = value.copy()
        made.update({k: _replaced(v, new) for k, v in value.items()})
        return made
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_replaced(v, new) for v in value))
    return (
        type(value)(_replaced(v, new) for v in value) if isinstance(value, tuple | list) else value
    )


def _with_segment(made: Any, outs: list[Tensor], segment: Segment) -> Any:
    """What the function gave, with the segment's node behind it instead of the function's own."""
    inputs = tuple(a for a in segment.args if isinstance(a, Tensor))
    leaves = tuple(t for t in segment.outside if isinstance(t, Tensor))
    arrays = tuple(x.array for x in outs)
    several = len(outs) > 1
    node = make_node(CHECKPOINT, (*inputs, *leaves), (), arrays if several else arrays[0], segment)
    nodes = tuple(t for t in segment.outside if isinstance(t, Node))
    node.inputs = (*(node.inputs or ()), *nodes)
    node.versions += (None,) * len(nodes)
    new = {}
    for index, x in enumerate(outs):
        out = wrap(x.array)
        out.node, out.tracked = (item_node(node, index, x.array) if several else node), True
        new[id(x)] = out
    return _replaced(made, new)


def _as_before(over: Callable[[Any], Any] | None) -> Any:
    """The block in which operations cast as in the first run, whatever the walk stands in."""
    return nullcontext() if over is None else interpreter(over(mode.interpreter))


def _again(g: Any, segment: Segment, *inputs: Any) -> Any:
    """The gradients by the arguments and by what else the function used: run it again, and walk."""
    create_graph = mode.grad
    with _same_draws(segment.state), recording(True), _as_before(segment.over):
        entered = tuple(map(_enter, segment.args))
        made = segment.function(*entered, **segment.options)
    outs = [x for x in tensors_in(made) if current(x).tracked]
    grads = g if isinstance(g, list) else [g]
    if len(outs) != len(grads):
        raise ArgumentError(
            "checkpoint",
            f"the function gave {len(grads)} tensors the first time and {len(outs)} the second",
            hint="a function that does the same every time",
        )
    roots = [(x, gx) for x, gx in zip(outs, grads, strict=True) if gx is not None]
    ends = {id(t) for t in segment.outside} | {id(x.node) for x in entered if isinstance(x, Tensor)}
    found = walk(
        roots,
        None,
        create_graph=create_graph,
        retain_graph=create_graph,
        stop=lambda node: id(node) in ends,
        hooks=False,
    )
    arguments = [found.of(x) if x.tracked else None for x in entered if isinstance(x, Tensor)]
    leaves = [t for t in segment.outside if isinstance(t, Tensor)]
    nodes = [t for t in segment.outside if isinstance(t, Node)]
    return (*arguments, *(found.by_target.get(id(t)) for t in (*leaves, *nodes)))


CHECKPOINT = Op(
    "checkpoint",
    attrs=(),
    accepts=ANY,
    vjp=_again,
    saved_inputs=(-1,),
    saves_out=True,
    residuals=0,
    variadic=True,
)
