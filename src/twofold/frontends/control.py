"""`cond`, `while_loop` and `scan`: choices and loops over values. Floor 9.

Eagerly they are Python's own `if`, `while` and `for`. While a graph is captured, each branch and
body is captured as a graph of its own, for all turns at once; what it finds outside becomes an
input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from twofold.autograd.walk import target_of
from twofold.base.errors import ArgumentError, GradientError, ShapeError, user_line
from twofold.base.trees import Form, flatten, unflatten
from twofold.frontends.arrays import CaptureError
from twofold.frontends.asked import number_of
from twofold.frontends.begun import begun_carries, stacked_carries, starts
from twofold.frontends.bodies import (
    BRANCH,
    Outside,
    Traced,
    alike,
    as_given,
    body_of,
    check_forms,
    go_on,
    gradients_of,
    outputs,
    reached,
    recorded,
    run_again,
    sizes,
    states_of,
    trace,
    walk_turn,
    with_streams,
    zeros_like,
)
from twofold.frontends.either import note_either
from twofold.frontends.lanes import level_now, looping_level, pick, scan_all, turn_all
from twofold.frontends.noted import Again
from twofold.frontends.replay import replay
from twofold.ir.graph import Value
from twofold.ops.bind import BINDERS, bind, mode, recording
from twofold.ops.control import COND, SCAN, WHILE, WHILE_GRAD
from twofold.ops.creation import arange
from twofold.ops.elementwise import neg
from twofold.ops.joining import stack
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.stand_in import unsloped
from twofold.ops.tensor import Tensor, type_of

# ---- cond ----------------------------------------------------------------------------------------


def cond(pred: Any, true_fn: Any, false_fn: Any, *operands: Any) -> Any:
    """true_fn(*operands) where `pred` is true, else false_fn(*operands).

    pred: a bool, or a tensor of one element. Both functions give back the same structure of tensors
    of the same shapes and types; only one of them runs. Differentiable.

    >>> twofold.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, x)
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
    level = level_now()
    if level is not None and isinstance(pred, Tensor):
        return pick(level, pred, lambda: true_fn(*operands), lambda: false_fn(*operands))
    if mode.capture is None or not isinstance(pred, Tensor):
        return true_fn(*operands) if bool(pred) else false_fn(*operands)
    given, form = flatten(operands)
    places = [i for i, x in enumerate(given) if isinstance(x, Tensor)]

    def on_leaves(function: Any) -> Callable[..., Any]:
        def call(*leaves: Tensor) -> Any:
            whole = list(given)
            for place, leaf in zip(places, leaves, strict=True):
                whole[place] = leaf
            return function(*unflatten(whole, form))

        return call

    tensors = tuple(given[i] for i in places)
    branches = [on_leaves(f) for f in (true_fn, false_fn)]
    return with_streams(functools.partial(_cond_in_graph, pred, branches, tensors))


def _cond_in_graph(
    pred: Tensor, branches: Sequence[Any], tensors: tuple[Tensor, ...], streams: list[Outside]
) -> Any:
    types = [type_of(x) for x in tensors]
    yes, no = alike(*[trace(BRANCH, f, types, streams=streams) for f in branches])
    check_forms("cond", yes, (no.form, no.results), "the branches' results")
    tensors = (*tensors, *states_of(streams))
    flags = pred.reshape(()).bool()  # type: ignore[attr-defined]
    inputs = mode.capture.use((flags, *tensors, *yes.outside(), *no.outside()))
    outs = len(yes.results)
    split = (len(tensors), len(yes.found), len(no.found))
    made = _bind_cond(inputs, (body_of(yes), body_of(no), split, sizes(), outs))
    made = outputs(made, yes, no)
    go_on(streams, made[outs - len(streams) :])
    note_either(made[: outs - len(streams)], (yes, no), tensors)
    return unflatten(as_given(made[: outs - len(streams)], yes), yes.form)


def _bind_cond(inputs: tuple[Tensor, ...], attrs: Any) -> tuple[Tensor, ...]:
    made = bind(COND, inputs, attrs)
    yes, no, *_, outs = attrs
    rule = functools.partial(_cond_rule, inputs[0], yes.traced, no.traced, inputs[1:])
    sums = range(len(inputs) - 1)
    given, other = attrs[2][0] + 1, attrs[2][0] + attrs[2][1] + 1
    behind = [*reached(yes.traced, inputs[given:other]), *reached(no.traced, inputs[other:])]
    edges = (*inputs[1:given], *behind)
    bound = COND, inputs, attrs
    return (*recorded("cond", made[:outs], edges, rule, sums, bound), *made[outs:])


def _cond_rule(
    flags: Tensor, yes: Traced, no: Traced, inputs: Any, g: list[Any], before: list[Any]
) -> Any:
    """The gradient: the gradient of the branch that ran, which runs again for it."""
    operands = len(inputs) - len(yes.found) - len(no.found)
    first, second = (
        inputs[operands : operands + len(yes.found)],
        inputs[operands + len(yes.found) :],
    )
    wanted = [i for i, x in enumerate(inputs) if x.tracked]
    slopes = [place for place, x in enumerate(g) if x is not None]
    begun = [i for i in wanted if before[i] is not None]
    zeros = {i: zeros_like(inputs[i]) for i in wanted}

    def back(branch: Traced, own: Any, skip: int) -> Callable[..., Any]:
        def call(*tensors: Tensor) -> list[Tensor]:
            shared, rest = tensors[: len(inputs)], tensors[len(inputs) :]
            gradients, totals = (
                rest[: len(slopes)],
                dict(zip(begun, rest[len(slopes) :], strict=True)),
            )
            begin = operands + skip
            used = (*shared[:operands], *shared[begin : begin + len(own)])
            places = [*range(operands), *range(begin, begin + len(own))]
            start = {at: totals[i] for at, i in enumerate(places) if i in totals}
            by_result = dict(zip(slopes, gradients, strict=True))
            found = gradients_of(branch, used, by_result, start)
            by_place = dict(zip(places, found, strict=True))
            return [
                next(x for x in (by_place.get(i), totals.get(i), zeros[i]) if x is not None)
                for i in wanted
            ]

        return call

    branches = back(yes, first, 0), back(no, second, len(yes.found))
    gradients = (*(g[place] for place in slopes), *(before[i] for i in begun))
    made = iter(cond(flags, *branches, *inputs, *gradients))
    return tuple(next(made) if i in wanted else None for i in range(len(inputs)))


# ---- while_loop ----------------------------------------------------------------------------------


def while_loop(cond_fn: Any, body_fn: Any, carried_inputs: Any) -> Any:
    """carry = body_fn(*carry) for as long as cond_fn(*carry) is true; the last carry.

    body_fn gives back what it takes: the same number of tensors, of the same shapes and types.
    Differentiable; the gradient turns the loop once more.

    >>> twofold.while_loop(lambda n, x: n > 0, lambda n, x: (n - 1, x * 2), (n, x))
    """
    carry = tuple(carried_inputs)
    level = looping_level()
    if level is not None:
        return turn_all(level, while_loop, cond_fn, body_fn, carry)
    if mode.capture is None:
        while bool(cond_fn(*carry)):
            made = body_fn(*carry)
            carry = tuple(made) if isinstance(made, tuple | list) else (made,)
        return carry
    return with_streams(functools.partial(_while_in_graph, cond_fn, body_fn, carry))


def _while_in_graph(
    cond_fn: Any, body_fn: Any, carry: tuple[Any, ...], streams: list[Outside]
) -> Any:
    place = user_line()
    counts = place in mode.capture.decided.as_scan and not mode.capture.counting
    if counts and not streams:
        counted = _counted(cond_fn, body_fn, carry)
        if counted is not None:
            return counted
    flat, form = flatten(carry)
    tensors = tuple(as_tensor(x, "while_loop", f"carry {i}") for i, x in enumerate(flat))
    types = [type_of(x) for x in tensors]
    test = _without_draws(
        trace("test", lambda *xs: _truth(cond_fn(*unflatten(xs, form))), types, streams=streams)
    )
    turn = lambda *xs: _same_form(body_fn(*unflatten(xs, form)), form)  # noqa: E731
    body = trace("body", turn, types, streams=streams)
    tensors = (*tensors, *states_of(streams))
    check_forms("while_loop", body, (body.form, tensors), "the carry before and after a turn")
    inputs = mode.capture.use((*tensors, *test.outside(), *body.outside()))
    split = (len(tensors), len(test.found), len(body.found))
    attrs = (body_of(test), body_of(body), split, sizes())
    made = outputs(_bind_while(inputs, attrs), body, test)
    go_on(streams, made[len(flat) :])
    note_either(made[: len(flat)], (body,), tensors, turns=True)
    return unflatten(made[: len(flat)], form)


def _counted(cond_fn: Any, body_fn: Any, carry: tuple[Any, ...]) -> Any:
    """The loop as a scan of as many turns as it takes, which are counted before each run; None
    where a run cannot know them before.
    """
    count = as_tensor(0, "while_loop", "turns")

    def turn(n: Tensor, *values: Any) -> tuple[Any, ...]:
        made = body_fn(*values)
        return (n + 1, *(made if isinstance(made, tuple | list) else (made,)))  # type: ignore[operator]

    leaves, form = flatten(carry)
    plain = unflatten([_plain(x) if isinstance(x, Tensor) else x for x in leaves], form)
    mode.capture.counting = True
    try:
        with recording(False):
            turns = while_loop(lambda n, *values: cond_fn(*values), turn, (count, *plain))[0]
    finally:
        mode.capture.counting = False
    length = number_of(turns.array)
    if length is None:
        return None
    steps = lambda values, _: (turn(count, *values)[1:], None)  # noqa: E731
    return scan(steps, carry, length=length)[0]


def _plain(x: Tensor) -> Tensor:
    """A tensor without slopes, of however many forward modes."""
    while (made := unsloped(x)) is not x:
        x = made
    return x


def _without_draws(test: Traced) -> Traced:
    """A loop's test without the states of streams, which it must not change."""
    states = test.leaves[len(test.leaves) - len(test.results) + 1 :]
    if any(x is not y for x, y in zip(test.results[1:], states, strict=True)):
        raise CaptureError(
            "while_loop",
            "the test of a loop draws random numbers, or writes into a tensor",
            hint="do it in the body, and carry what the test looks at",
        )
    return test._replace(results=test.results[:1])


def _bind_while(inputs: tuple[Tensor, ...], attrs: Any) -> tuple[Tensor, ...]:
    made = bind(WHILE, inputs, attrs)
    count, tested, _ = attrs[2]
    rule = functools.partial(_while_rule, user_line(), attrs, inputs)
    sums = range(count + tested, len(inputs))
    start = count + tested
    edges = (*inputs[:start], *reached(attrs[1].traced, inputs[start:]))
    bound = WHILE, inputs, attrs
    return (*recorded("while_loop", made[:count], edges, rule, sums, bound), *made[count:])


def _truth(x: Any) -> Tensor:
    return as_tensor(x, "while_loop", "the test").reshape(()).bool()  # type: ignore[attr-defined, no-any-return]


def _same_form(made: Any, form: Form) -> Any:
    """A body's result as a flat list. Raises ArgumentError where it is not like the carry."""
    whole = made if isinstance(made, tuple | list) else (made,)
    leaves, found = flatten(tuple(whole))
    if found != form:
        raise ArgumentError(
            "while_loop", "the body gives back another structure than it takes", hint="the same"
        )
    return tuple(leaves)


def _bind_while_grad(inputs: tuple[Tensor, ...], attrs: Any, place: str = "") -> Any:
    """The gradient of a while loop, which is not recorded. Where it would be, the loop is captured
    again as one of turns that are counted. Raises GradientError where it cannot be.
    """
    if any(x.tracked for x in inputs):
        capture = mode.capture
        if (
            place
            and capture.outer is None
            and capture.found_now
            and place not in capture.decided.as_scan
        ):
            raise Again("as_scan", place)
        raise GradientError(
            "while_loop",
            "the gradient of a loop whose turns a value counts has no gradient itself",
            hint="a loop over a range of a size, or twofold.scan",
        )
    return bind(WHILE_GRAD, inputs, attrs)


def _while_rule(place: str, attrs: Any, inputs: Any, g: list[Any], before: list[Any]) -> Any:
    body = attrs[1].traced
    test_body, turn_body, (count, first, second), sizes = attrs
    slopes = [i for i, x in enumerate(inputs[:count]) if x.array.dtype.kind in "fcV"]
    outside = list(inputs[count + first :])
    wanted = [i for i, x in enumerate(outside) if x.tracked]

    def back(*tensors: Tensor) -> list[Tensor]:
        carry = tensors[:count]
        gradients, sums = tensors[count : count + len(slopes)], tensors[count + len(slopes) :]
        by_place = dict(zip(slopes, gradients, strict=True))
        totals = {count + i: total for i, total in zip(wanted, sums, strict=True)}
        found = gradients_of(body, (*carry, *outside), by_place, totals)
        made = [zeros_like(carry[i]) if found[i] is None else found[i] for i in slopes]
        made += [total if found[i] is None else found[i] for i, total in totals.items()]
        return made

    types = [type_of(x) for x in inputs[:count]]
    types += [types[i] for i in slopes] + [type_of(outside[i]) for i in wanted]
    traced = trace("back", back, types)
    gradients = [zeros_like(inputs[i]) if g[i] is None else g[i] for i in slopes]
    begun = [_begun(before[count + first + i], outside[i]) for i in wanted]
    given = mode.capture.use((*inputs, *gradients, *begun, *traced.outside()))
    split = (count, first, second, len(slopes), len(wanted))
    attrs = test_body, turn_body, body_of(traced), split, sizes
    made = iter(
        _bind_while_grad(given, attrs, place) if mode.grad else bind(WHILE_GRAD, given, attrs)
    )
    by_input = {i: next(made) for i in slopes}
    by_input |= {count + first + i: next(made) for i in wanted}
    return tuple(by_input.get(i) for i in range(len(inputs)))


# ---- scan ----------------------------------------------------------------------------------------


def scan(
    f: Any, init: Any, xs: Any = None, length: Any = None, *, reverse: bool = False
) -> tuple[Any, Any]:
    """(carry, y) = f(carry, x) for each slice x of `xs` along axis 0; the last carry, and all y.

    init, xs, and what f gives are tensors or containers of them; y is stacked along axis 0. Without
    xs, `length` turns. In a graph it is one loop, whatever the length. Differentiable.

    >>> total, sums = twofold.scan(lambda c, x: (c + x, c + x), twofold.zeros(3), xs)
    """
    turns = xs if xs is not None else arange(length)
    parts, form = flatten(turns)
    if not parts:
        raise ArgumentError("scan", "there is nothing to scan", hint="xs, or length=")
    sizes = [x.array.shape[0] for x in parts]
    if any(n != sizes[0] for n in sizes):
        facts: dict[str, Any] = {f"xs{i}": type_of(x) for i, x in enumerate(parts)}
        raise ShapeError("scan", "lengths differ", **facts)

    def call(carry: Any, slices: Any) -> Any:
        return f(carry, unflatten(slices, form) if xs is not None else None)

    level = looping_level()
    if level is not None:
        return scan_all(level, scan, call, init, parts, reverse)
    if mode.capture is None:
        return _scan_now(call, init, parts, reverse)
    first, carried = flatten(init)
    tensors = tuple(as_tensor(x, "scan", f"init {i}") for i, x in enumerate(first))
    build = functools.partial(_scan_in_graph, call, tensors, carried, tuple(parts), reverse)
    return with_streams(build)  # type: ignore[no-any-return]


def _scan_now(call: Any, init: Any, parts: list[Tensor], reverse: bool) -> tuple[Any, Any]:
    length = parts[0].array.shape[0]
    carry, made = init, []
    form: Any = None
    for turn in range(length - 1, -1, -1) if reverse else range(length):
        carry, y = call(carry, [x[turn] for x in parts])  # type: ignore[index]
        leaves, form = flatten(y)
        made.append(leaves)
    if reverse:
        made.reverse()
    if form is None:
        raise ArgumentError("scan", "no turn to take: the length is 0", hint="at least one slice")
    ys = [y[0] if y[0] is None else stack(y) for y in zip(*made, strict=True)]
    return carry, unflatten(ys, form)


def _scan_in_graph(
    call: Any,
    init: tuple[Tensor, ...],
    carried: Form,
    parts: tuple[Tensor, ...],
    reverse: bool,
    streams: list[Outside],
) -> tuple[Any, Any]:
    own = len(init)
    forms: list[Form] = []

    def turn(*leaves: Tensor) -> Any:
        carry, y = call(unflatten(leaves[:own], carried), list(leaves[own:]))
        flat, found = flatten(carry)
        if found != carried:
            raise ArgumentError("scan", "the carry changes its structure", hint="the same")
        stacked, form = flatten(y)
        forms[:] = [form]
        empty.extend(i for i, leaf in enumerate(stacked) if leaf is None)
        return (*flat, *(leaf for leaf in stacked if leaf is not None))

    empty: list[int] = []
    types = [type_of(x) for x in init]
    types += [type_of(x).with_shape(tuple(x.array.shape[1:])) for x in parts]
    constant = {own + i for i, x in enumerate(parts) if not x.tracked}
    traced = trace("turn", turn, types, constant, streams, own)
    init = (*init, *states_of(streams))
    count = len(init)
    _check_carry(traced.results[:count], init)
    inputs = mode.capture.use((*init, *parts, *traced.outside()))
    taped = mode.grad and any(x.tracked for x in inputs)
    if taped:
        traced = walk_turn(traced, begun_carries(traced, count))
        inputs = mode.capture.use((*init, *parts, *traced.outside()))  # the walk may need more
    stacked = len(traced.results) - count + len(traced.kept)
    attrs = (body_of(traced), (count, len(parts), stacked), sizes(), reverse)
    outs = outputs(_bind_scan(inputs, attrs), traced)
    go_on(streams, outs[own:count])
    note_either(outs[:own], (traced,), init)
    ys: list[Any] = list(outs[count : len(traced.results)])
    for place in empty:
        ys.insert(place, None)
    return unflatten(outs[:own], carried), unflatten(ys, forms[0])


def _bind_scan(inputs: tuple[Tensor, ...], attrs: Any) -> tuple[Tensor, ...]:
    made = bind(SCAN, inputs, attrs)
    own = len(attrs[0].traced.results)
    count, scanned, stacked = attrs[1]
    rule = functools.partial(_scan_rule, attrs, made[own : count + stacked], inputs)
    outside = range(count + scanned, len(inputs))
    found = {id(target_of(inputs[i])) for i in outside}
    begun = begun_carries(attrs[0].traced, count)
    sums = [i for i in begun if id(target_of(inputs[i])) not in found]
    edges = (*inputs[: outside.start], *reached(attrs[0].traced, inputs[outside.start :]))
    every = (*sums, *outside)
    bound = SCAN, inputs, attrs
    return (*recorded("scan", made[:own], edges, rule, every, bound), *made[own:])


def _check_carry(after: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for i, (a, b) in enumerate(zip(after, before, strict=True)):
        one, other = type_of(b), type_of(a)
        if one.dtype is not other.dtype or tuple(one.shape) != tuple(other.shape):
            raise ShapeError("scan", f"carry {i} changes its type", before=one, after=other)


def _scan_rule(
    attrs: Any,
    stacks: Sequence[Tensor],
    inputs: Sequence[Tensor],
    g: list[Any],
    before: list[Any],
) -> Any:
    """The gradient of a scan: a scan of the gradient of its turn, from the end to the beginning."""
    body, (count, scanned, _), _, reverse = attrs
    traced, length = body.traced, inputs[count].array.shape[0]
    begun = begun_carries(traced, count)
    moved = stacked_carries(traced, count, begun)
    begins = {}
    for i in begun:
        parts = [g[j] for j, carry in moved.items() if carry == i and g[j] is not None]
        found = starts(inputs[i], parts, before[i], g[i], length, reverse)
        if found is not None:
            begins[i] = found
    turn = _TurnBack(traced, inputs, count, scanned, begun)
    slopes = [i for i in turn.tracked if i >= count and g[i] is not None and i not in moved]

    def back(carry: Any, slices: Any) -> Any:
        steps, values, first, *_ = slices
        by_result = dict(zip(slopes, steps, strict=True))
        begin = dict(zip(begins, first, strict=True))
        return turn.back(carry, by_result, begin, values)

    ends = [begins[i][1] if i in begins else g[i] for i in turn.carried]
    last = [
        zeros_like(inputs[i]) if x is None else x for i, x in zip(turn.carried, ends, strict=True)
    ]
    sums = [_begun(before[i], inputs[i]) for i in turn.wanted]
    if turn.again:
        stacks = [*_carried(traced, inputs, count, scanned, reverse), *inputs[count:][:scanned]]
    slices: Any = ([g[i] for i in slopes], list(stacks), [rows for rows, _ in begins.values()])
    if not any(slices):
        slices = (*slices, arange(length))  # tells only how many turns there are
    (first, totals), by_slice = scan(back, (last, sums), slices, reverse=not reverse)
    places = [*turn.carried, *turn.wanted, *range(count, count + scanned)]
    by_place = dict(zip(places, (*first, *totals, *by_slice), strict=True))
    return tuple(by_place.get(i) for i in range(len(inputs)))


class _TurnBack:
    """The gradient of one turn of a scan, whose inputs are carries, slices, and what is outside."""

    def __init__(
        self, traced: Traced, inputs: Sequence[Tensor], count: int, scanned: int, begun: Any
    ) -> None:
        self.traced = traced
        self.joint: Any = traced.joint
        self.inputs, self.count, self.scanned, self.begun = inputs, count, scanned, begun
        # the walk through a turn has no gradient itself: then, a turn is computed again
        self.again = mode.grad or self.joint is None
        tracked = [i for i, x in enumerate(traced.results) if x.array.dtype.kind in "fcV"]
        self.tracked = [i for i in tracked if self.again or traced.results[i].tracked]
        self.carried = [i for i in range(count) if inputs[i].array.dtype.kind in "fcV"]
        self.first = count + scanned  # of what is outside
        self.outside = list(inputs[self.first :])
        self.wanted = [i for i, x in enumerate(inputs) if i >= self.first and x.tracked]

    def back(self, carry: Any, steps: dict[int, Any], first: dict[int, Any], values: Any) -> Any:
        """The gradients before this turn, and by its slices, from those after it: by the carries,
        with the sums so far; by the results of this turn; and what some sums begin with.
        """
        gradients, sums = carry
        totals = dict(zip(self.wanted, sums, strict=True))
        by_result = dict(zip(self.carried, gradients, strict=True)) | steps
        found = self._again if self.again else self._by_joint
        gradient = found(by_result, values, totals | first)
        earlier = [_or_zeros(gradient(i), self.inputs[i]) for i in self.carried]
        after = [total if gradient(i) is None else gradient(i) for i, total in totals.items()]
        return (earlier, after), [gradient(self.count + i) for i in range(self.scanned)]

    def _by_joint(
        self, by_result: dict[int, Any], values: Any, totals: Any
    ) -> Callable[[int], Any]:
        """What gives the gradient by input i of a turn, from the values that the turn has kept."""
        traced, joint = self.traced, self.joint
        known: dict[Value, Tensor] = dict(zip(traced.kept, values, strict=True))
        known |= {f.value: x for f, x in zip(traced.found, self.outside, strict=True)}
        for i, tangent in zip(self.tracked, joint.tangents, strict=False):
            slope = by_result.get(i)
            shape, storage = tangent.value.shape, tangent.value.dtype.numpy
            known[tangent.value] = zeros_of(shape, storage) if slope is None else slope
        places = [i for i, f in enumerate(traced.found) if f.local.tracked]
        numbers = [*(self.first + i for i in places), *self.begun]
        for i, tangent in zip(numbers, joint.tangents[len(self.tracked) :], strict=True):
            known[tangent.value] = totals[i] if i in totals else neg(zeros_like(self.inputs[i]))
        replay(joint.calls, known, None)
        grads = dict(zip(joint.leaves, joint.grads, strict=True))
        return lambda leaf: known[grads[leaf]] if grads.get(leaf) is not None else None

    def _again(self, by_result: dict[int, Any], values: Any, totals: Any) -> Callable[[int], Any]:
        """The same from what the turn was given: this can be differentiated in turn."""
        given = (*values, *self.outside)
        return gradients_of(self.traced, given, by_result, totals).__getitem__


def _carried(
    traced: Traced, inputs: Sequence[Tensor], count: int, scanned: int, reverse: bool
) -> list[Tensor]:
    """What each turn of a scan was given of what is carried: the scan again, which gives that."""

    def turn(carry: Any, slices: Any) -> Any:
        given = (*carry, *slices, *inputs[count + scanned :])
        made = run_again(traced, mode.capture.use(given))[:count]
        return made, list(carry)

    parts = list(inputs[count : count + scanned])
    _, stacks = scan(turn, list(inputs[:count]), parts, reverse=reverse)
    return stacks  # type: ignore[no-any-return]


def _begun(before: Any, like: Tensor) -> Tensor:
    """A sum to go on with: to -0.0 any number adds as itself."""
    return neg(zeros_like(like)) if before is None else before


def _or_zeros(x: Any, like: Tensor) -> Tensor:
    return zeros_of(like.array.shape, like.array.dtype) if x is None else x


BINDERS.update(
    cond=_bind_cond, while_loop=_bind_while, scan=_bind_scan, while_loop_grad=_bind_while_grad
)
