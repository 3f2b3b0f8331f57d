"""Branches and bodies of loops as graphs of their own, and their gradients. Floor 9.

A function is captured by itself; what it finds outside becomes an input. A body that draws random
numbers takes the state of its stream, and gives it back as it is after its draws: whoever captures
it carries that along.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Sequence
from typing import Any

from twofold.autograd.api import grad
from twofold.autograd.walk import Running, find_route, target_of
from twofold.base import dtypes
from twofold.base.errors import ArgumentError, GradientError, ShapeError
from twofold.base.polynomials import only_sizes
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol
from twofold.base.trees import Form, flatten
from twofold.base.types import Type
from twofold.exec.runner import make_body
from twofold.frontends.arrays import CaptureError
from twofold.frontends.capture import Capture
from twofold.frontends.derivative import Joint, capture_walk, residuals
from twofold.frontends.lanes import slopes_are_taken
from twofold.frontends.later import TYPES, Later, number_kind, number_of
from twofold.frontends.noted import Check, Found, Kept, NeedsKept, NeedsPlain, NeedsStream, Stream
from twofold.frontends.replay import replay
from twofold.frontends.retaped import noted
from twofold.ir.graph import Call, Value
from twofold.ops.bind import capturing, item_node, make_node, mode, recording
from twofold.ops.control import Body
from twofold.ops.elementwise import cast
from twofold.ops.movement import reshape
from twofold.ops.op import ANY, Op
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, type_of, wrap


class Traced(NamedTuple):
    """A function captured on its own.

    body     its graph: inputs are the leaves and what was found outside, results as given back
    form     the structure of its result
    found    what it found outside
    leaves   its leaves, and then what stands for what was found
    results  its results as tensors
    calls    the calls of its graph, before any pass
    joint    of a scan's turn: the walk back through it, and which values of the turn it needs
    numbers  of a branch: which of its results are Python's numbers (bool, int or float), or None
    """

    capture: Capture
    form: Form
    results: tuple[Tensor, ...]
    leaves: tuple[Tensor, ...]
    joint: Joint | None = None
    kept: tuple[Value, ...] = ()
    numbers: tuple[Any, ...] = ()

    @property
    def found(self) -> list[Found]:
        return self.capture.found

    @property
    def calls(self) -> list[Call]:
        return self.capture.calls

    def outside(self) -> list[Tensor]:
        return [f.tensor for f in self.found]


def trace(
    name: str,
    function: Callable[..., Any],
    types: Sequence[Type],
    constant: Container[int] = (),
    streams: Sequence[Outside] = (),
    at: int | None = None,
) -> Traced:
    """Capture a function of tensors of these types; the `constant` ones have no gradient.

    The states of the streams, and the memory that is written, come before input and result number
    `at`, or at the end.
    """
    capture = Capture(name, outer=mode.capture)
    capture.slopes = capture.slopes or slopes_are_taken()
    with capturing(capture):
        first = [_leaf(capture, t, i in constant) for i, t in enumerate(types[:at])]
        states = [_leaf(capture, _state_type(s), True) for s in streams]
        rest = types[len(first) :]
        last = [_leaf(capture, t, i in constant) for i, t in enumerate(rest, len(first))]
        for s, x in zip(streams, states, strict=True):
            if isinstance(s, Stream):
                capture.streams[s.key] = x
            else:
                capture.kept[id(s.storage)] = x.array.storage  # type: ignore[attr-defined]
        outside = capture.state()
        given, form = flatten(function(*first, *last))
        if capture.state() != outside:
            raise CaptureError(
                "compile",
                f"a {name} of a loop or a branch on tensors changes Python's values outside of it",
                hint="carry what it counts, or change it after the loop",
            )
        numbers = tuple([number_kind(x) if name == BRANCH else None for x in given])
        results = [
            as_tensor(x, name, f"result {i}") if kind is None else number_of(x)
            for i, (x, kind) in enumerate(zip(given, numbers, strict=True))
        ]
        place = len(results) if at is None else at
        results[place:place] = [
            capture.streams[s.key] if isinstance(s, Stream) else _after(capture, x)
            for s, x in zip(streams, states, strict=True)
        ]
        used = capture.use(tuple(results))
        within = capture.outer
        if within is not None and within.plain and mode.grad and any(x.tracked for x in used):
            raise _history()
    return Traced(capture, form, used, (*first, *states, *last), numbers=numbers)


BRANCH = "branch"  # the name of what gives Python's numbers as such


def alike(yes: Traced, no: Traced) -> tuple[Traced, Traced]:
    """Two branches whose results are of one kind: where one gives a number and the other a tensor,
    or a number of another kind, both give the tensor's type, or the wider number.
    """
    if yes.form != no.form or yes.numbers == no.numbers:
        return yes, no
    types: list[Any] = []
    for place, kinds in enumerate(zip(yes.numbers, no.numbers, strict=True)):
        one, other = (traced.results[place].dtype for traced in (yes, no))
        a, b = kinds
        types.append(one if a is b or a is None else other if b is None else _wider(one, other))
    made = [_converted(traced, types) for traced in (yes, no)]
    numbers = tuple(
        [
            None if None in kinds else max(kinds, key=(bool, int, float).index)
            for kinds in zip(yes.numbers, no.numbers, strict=True)
        ]
    )
    first, second = (traced._replace(numbers=numbers) for traced in made)
    return first, second


def _wider(one: Any, other: Any) -> Any:
    return max(one, other, key=list(TYPES.values()).index)


def _converted(traced: Traced, types: Sequence[Any]) -> Traced:
    results = list(traced.results)
    with capturing(traced.capture), recording(False):
        for place, (dtype, kind) in enumerate(zip(types, traced.numbers, strict=True)):
            if kind is not None and results[place].dtype is not dtype:
                results[place] = cast(results[place], dtype)
    return traced._replace(results=tuple(results))


def as_given(made: Sequence[Tensor], traced: Traced) -> list[Any]:
    """The results of a choice as its branches give them: numbers as numbers."""
    return [
        x if kind is None else Later(kind, x.detach())  # type: ignore[attr-defined]
        for x, kind in zip(made, traced.numbers, strict=True)
    ]


STATE = Type((3,), dtypes.uint64)
Outside = Stream | Kept  # what bodies change: streams of random numbers, and memory


def _state_type(s: Outside) -> Type:
    return STATE if isinstance(s, Stream) else s.storage.value.type


def _given(capture: Capture, leaf: Tensor) -> Value:
    """What a leaf is when its function begins, which may write it."""
    storage = getattr(leaf.array, "storage", None)
    origin = None if storage is None else storage.origin
    return capture.value_of(leaf.array) if origin is None else origin


def _after(capture: Capture, x: Tensor) -> Tensor:
    """What memory that was given as `x` holds at the end; x itself if nobody wrote it."""
    storage = x.array.storage  # type: ignore[attr-defined]
    if storage.value is storage.origin:
        return x
    return wrap(capture.unknown(storage.value))


def with_streams(build: Callable[[list[Outside]], Any]) -> Any:
    """build(streams) with the streams from which its bodies draw, and the memory that they write:
    as soon as one needs another, it is built anew with that one, too.
    """
    streams: list[Outside] = []
    capture, plain = mode.capture, False
    while True:
        before = capture.plain
        capture.plain += plain
        try:
            return build(streams)
        except NeedsStream as need:
            streams.append(need.stream)
        except NeedsPlain:
            if plain:
                raise _history() from None
            plain = True
        except NeedsKept as need:
            if need.owner is not capture or need.kept in streams:
                raise
            streams.append(need.kept)
        finally:
            capture.plain = before


def _history() -> CaptureError:
    return CaptureError(
        "compile",
        "a loop or a branch writes a value with a history into a tensor from outside",
        hint="carry the tensor: give its new value back from the body",
    )


def states_of(streams: Sequence[Outside]) -> tuple[Tensor, ...]:
    """The states of the streams, and of the memory, so far, in the graph around."""
    capture = mode.capture
    return tuple(
        capture.stream(s) if isinstance(s, Stream) else wrap(capture.unknown(s.storage.value))
        for s in streams
    )


def go_on(streams: Sequence[Outside], states: Sequence[Tensor]) -> None:
    """Let the streams, and the memory, go on from these states."""
    for s, x in zip(streams, states, strict=True):
        if isinstance(s, Stream):
            if mode.capture.keeps_streams:
                mode.capture.streams[s.key] = x
        else:
            mode.capture.put_back(s, x)


def _leaf(capture: Capture, type_: Type, constant: bool) -> Tensor:
    from_type = Tensor.__new__(Tensor)
    from_type.array = capture.leaf(type_)  # type: ignore[assignment]
    plain = constant or capture.outer is None or capture.outer.plain > 0
    from_type.tracked = mode.grad and not plain and type_.dtype.kind in "fcV"
    capture.carried.append(from_type)
    return from_type


def body_of(traced: Traced) -> Body:
    """What runs a traced function, and gives back what its gradient needs after its results."""
    capture = traced.capture
    values = [*(capture.value_of(x.array) for x in traced.results), *traced.kept]
    graph = capture.finish((*values, *[check.bad for check in capture.checks]))
    # what is written in place is carried, and what was carried in stays as it is
    body = make_body(graph._replace(updates=()), capture.passes)
    body.traced = traced
    return body


def outputs(made: Sequence[Tensor], *bodies: Traced) -> tuple[Tensor, ...]:
    """The outputs of an operation without those that tell what its bodies' checks have found, which
    become checks of the graph around.
    """
    capture = mode.capture
    checks = [check for body in bodies for check in body.capture.checks]
    count = len(made) - len(checks)
    for check, x in zip(checks, made[count:], strict=True):
        bad = capture.value_of(_beneath(x))
        found = Check(bad, bad, 0, 0, None, functools.partial(_told, check.error), check.line)
        capture.checks.append(found)
    return tuple(made[:count])


def _beneath(x: Tensor) -> Any:
    """The array of a flag, which has no slope, beneath the levels of transforms."""
    array: Any = x.array
    while stands_in(array):
        array = array.value.array
    return array


def _told(error: Callable[[Any], Exception], _: Any) -> Exception:
    return error("(computed)")


def sizes() -> tuple[Any, ...]:
    """The sizes that the graph around knows, which a body may use."""
    table = mode.capture.table
    made = []
    for number, example in enumerate(table.examples):
        whole = isinstance(example, int)
        symbol = Symbol(table, (((("size", number),), 1),), example) if whole else None
        made.append(symbol if whole and only_sizes(symbol.expr) else None)  # type: ignore[union-attr]
    return tuple(made)


def check_forms(op: str, first: Traced, second: Any, what: str) -> None:
    """Refuse results that do not fit what they must be like."""
    if first.form != second[0] or len(first.results) != len(second[1]):
        raise ArgumentError(op, f"{what} differ in structure", hint="the same containers from both")
    for a, b in zip(first.results, second[1], strict=True):
        one, other = type_of(a), type_of(b)
        if one.dtype is not other.dtype or len(one.shape) != len(other.shape):
            raise ShapeError(op, f"{what} differ in type", first=one, second=other)
        if any(n != m for n, m in zip(one.shape, other.shape, strict=True)):
            hint = "where it grows, write into a tensor of its last size" if "carry" in what else ""
            raise ShapeError(op, f"{what} differ in shape", first=one, second=other, hint=hint)


def zeros_like(x: Tensor) -> Tensor:
    return zeros_of(x.array.shape, x.array.dtype)


def run_again(
    traced: Traced, given: Sequence[Tensor], wanted: Sequence[bool] | None = None
) -> list[Tensor]:
    """The results of a traced function for other leaves and what it found, with the history that
    they have in it. wanted: which of them are differentiated by, unless those that are tracked.
    """
    capture, local = traced.capture, [f.local for f in traced.found]
    stands = [*traced.leaves, *local]
    values = [_given(capture, x) for x in traced.leaves]
    values += [f.value for f in traced.found]
    known = dict(zip(values, given, strict=True))
    if wanted is None:
        wanted = [x.tracked for x in given]
    if any(on and not x.tracked for on, x in zip(wanted, stands, strict=True)):
        # forward mode, in which nothing was recorded by this input
        replay(traced.calls, known, None)
        return [known[capture.value_of(x.array)] for x in traced.results]
    if capture.tape is None:
        with capturing(capture):
            capture.tape = noted(capture, traced.results, {id(x): i for i, x in enumerate(stands)})
    if capture.tape is None:
        raise GradientError(
            "backward",
            "a branch or a loop on tensors holds a checkpoint, or an operation with its own rule",
            hint="the checkpoint around the loop",
        )
    with recording(False):
        replay(traced.calls, known, None)
    leaves = dict(enumerate(given))
    return capture.tape.again(known, leaves, None)  # type: ignore[no-any-return]


def gradients_of(
    traced: Traced, inputs: Sequence[Tensor], g: dict[int, Tensor], start: dict[int, Tensor]
) -> list[Any]:
    """The gradients of a traced function by its inputs, computed by running its calls again; those
    of the inputs in `start` are added to what is there.

    Where gradients are recorded themselves, so are these. What was not recorded in the function is
    not recorded here.
    """
    again = mode.grad
    with recording(True):
        # each input on its own, even where two are one tensor
        used: Any = mode.capture.use(inputs)
        wanted = [x.tracked for x in used]
        leaves = [reshape(x, x.array.shape) if again else x.detach() for x in used]
        for leaf in leaves:
            leaf.tracked = leaf.tracked or leaf.array.dtype.kind in "fcV"
        results = run_again(traced, leaves, wanted)
        roots = [(leaves[i], total) for i, total in start.items()]
        roots += [(results[place], slope) for place, slope in g.items() if results[place].tracked]
        targets = [leaf for leaf in leaves if leaf.tracked]
        if not roots or not targets:
            return [None] * len(leaves)
        outs, slopes = zip(*roots, strict=True)
        found = iter(grad(outs, targets, slopes, create_graph=again, allow_unused=True))
    return [next(found) if leaf.tracked else None for leaf in leaves]


def recorded(
    name: str,
    made: Any,
    inputs: Any,
    rule: Callable[[list[Any], list[Any]], Any],
    sums: Any,
    bound: tuple[Any, tuple[Tensor, ...], Any],
) -> list[Tensor]:
    """The results with a node behind them that has this rule (autograd.walk.Running)."""
    outs = list(made)
    if not (mode.grad and any(x.tracked for x in inputs)):
        return outs
    if mode.capture is not None and mode.capture.plain:
        raise _history()
    op = Op(
        name,
        attrs=(),
        accepts=ANY,
        saved_inputs=(0,),
        saves_out=True,
        residuals=0,
        variadic=True,
        outputs=-1,
    )
    node = make_node(op, inputs, (), tuple(x.array for x in outs), Running(rule, sums, bound))
    for index, x in enumerate(outs):
        if x.array.dtype.kind in "fcV":
            x.node, x.tracked = item_node(node, index, x.array), True
    return outs


def reached(traced: Traced, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What was found outside, as `inputs`: without a history where no result depends on it, so that
    a leaf gets no gradient there instead of zeros. What had none in the body may have one here, of
    a transform's: the body does not know.
    """
    starts = [target_of(x) for x in traced.results if x.tracked]
    if not starts or mode.interpreter is not None:  # captured without histories, or a transform's
        return list(inputs)
    try:
        leaves = set(map(id, find_route(starts, None).leaves))
    except GradientError:  # a walk in the body was there, and has left nothing
        return list(inputs)
    locals_ = (f.local for f in traced.found)
    pairs = zip(inputs, locals_, strict=True)
    return [x if not y.tracked or id(y) in leaves else wrap(x.array) for x, y in pairs]


def walk_turn(traced: Traced, begun: Sequence[int]) -> Traced:
    """A turn with the walk back through it, and the values of the turn that this needs. The
    gradients of the leaves in `begun` go on from what is given, as those of what was found do.
    """
    tensors = [x for x in traced.results if x.tracked]
    if not tensors:
        return traced
    capture = traced.capture
    locals_ = [f.local for f in traced.found]
    places = {id(x): i for i, x in enumerate((*traced.leaves, *locals_))}
    first = len(capture.calls)
    with capturing(capture):
        # The sums over turns go on from what they are when a turn begins.
        sums = [f.local for f in traced.found if f.local.tracked]
        sums += [traced.leaves[i] for i in begun]
        joint = capture_walk(capture, [*tensors, *sums], places)
    needed = residuals(joint, capture.finish(()))
    back = capture.calls[first:]
    del capture.calls[first:]
    joint = joint._replace(calls=tuple(back))
    outside = {f.value for f in traced.found}
    scanned = {capture.value_of(x.array) for x in traced.leaves}
    carried = [capture.value_of(x.array) for x in traced.leaves]
    kept = [v for v in needed if v not in outside and (v not in scanned or v in carried)]
    return traced._replace(joint=joint, kept=tuple(kept))
