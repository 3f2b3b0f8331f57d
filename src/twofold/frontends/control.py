"""`cond`, `while_loop` and `scan`: choices and loops over values. Floor 9.

Eagerly they are Python's own `if`, `while` and `for`. While a graph is captured, each branch and
body is captured as a graph of its own, for all turns at once; what it finds outside becomes an
input.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Container, Sequence
from typing import Any

from twofold.autograd.api import grad
from twofold.base.errors import ArgumentError, GradientError, ShapeError
from twofold.base.polynomials import only_sizes
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol
from twofold.base.trees import Form, flatten, unflatten
from twofold.base.types import Type
from twofold.exec.runner import make_body
from twofold.frontends.capture import Capture, Check, Found
from twofold.frontends.derivative import Joint, capture_walk, residuals
from twofold.frontends.replay import CONTROL, replay
from twofold.ir.graph import Call, Value
from twofold.ops.bind import bind, capturing, item_node, make_node, mode, recording
from twofold.ops.control import COND, SCAN, WHILE, WHILE_GRAD, Body
from twofold.ops.creation import arange
from twofold.ops.elementwise import add
from twofold.ops.joining import stack
from twofold.ops.movement import reshape
from twofold.ops.op import ANY, Op
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, type_of


class Traced(NamedTuple):
    """A function captured on its own.

    body     its graph: inputs are the leaves and what was found outside, results as given back
    form     the structure of its result
    found    what it found outside
    leaves   its leaves, and then what stands for what was found
    results  its results as tensors
    calls    the calls of its graph, before any pass
    joint    of a scan's turn: the walk back through it, and which values of the turn it needs
    """

    capture: Capture
    form: Form
    results: tuple[Tensor, ...]
    leaves: tuple[Tensor, ...]
    joint: Joint | None = None
    kept: tuple[Value, ...] = ()

    @property
    def found(self) -> list[Found]:
        return self.capture.found

    @property
    def calls(self) -> list[Call]:
        return self.capture.calls

    def outside(self) -> list[Tensor]:
        return [f.tensor for f in self.found]


def trace(
    name: str, function: Callable[..., Any], types: Sequence[Type], constant: Container[int] = ()
) -> Traced:
    """Capture a function of tensors of these types; the `constant` ones have no gradient."""
    capture = Capture(name, outer=mode.capture)
    with capturing(capture):
        leaves = tuple(_leaf(capture, t, i in constant) for i, t in enumerate(types))
        given, form = flatten(function(*leaves))
        results = capture.use(tuple(as_tensor(x, name, f"result {i}") for i, x in enumerate(given)))
    return Traced(capture, form, results, leaves)


def _leaf(capture: Capture, type_: Type, constant: bool) -> Tensor:
    from_type = Tensor.__new__(Tensor)
    from_type.array = capture.leaf(type_)  # type: ignore[assignment]
    from_type.tracked = mode.grad and not constant and type_.dtype.kind in "fcV"
    return from_type


def body_of(traced: Traced) -> Body:
    """What runs a traced function, and gives back what its gradient needs after its results."""
    capture = traced.capture
    values = [*(capture.value_of(x.array) for x in traced.results), *traced.kept]
    graph = capture.finish((*values, *[check.bad for check in capture.checks]))
    # what is written in place is carried, and what was carried in stays as it is
    body = make_body(graph._replace(updates=()))
    body.traced = traced
    return body


def _outputs(made: Sequence[Tensor], *bodies: Traced) -> tuple[Tensor, ...]:
    """The outputs of an operation without those that tell what its bodies' checks have found, which
    become checks of the graph around.
    """
    capture = mode.capture
    checks = [check for body in bodies for check in body.capture.checks]
    count = len(made) - len(checks)
    for check, x in zip(checks, made[count:], strict=True):
        bad = capture.value_of(x.array)
        found = Check(bad, bad, 0, 0, None, functools.partial(_told, check.error), check.line)
        capture.checks.append(found)
    return tuple(made[:count])


def _told(error: Callable[[Any], Exception], _: Any) -> Exception:
    return error("(computed)")


def _sizes() -> tuple[Any, ...]:
    """The sizes that the graph around knows, which a body may use."""
    table = mode.capture.table
    made = []
    for number, example in enumerate(table.examples):
        whole = isinstance(example, int)
        symbol = Symbol(table, (((("size", number),), 1),), example) if whole else None
        made.append(symbol if whole and only_sizes(symbol.expr) else None)  # type: ignore[union-attr]
    return tuple(made)


def _check_forms(op: str, first: Traced, second: Any, what: str) -> None:
    """Refuse results that do not fit what they must be like."""
    if first.form != second[0] or len(first.results) != len(second[1]):
        raise ArgumentError(op, f"{what} differ in structure", hint="the same containers from both")
    for a, b in zip(first.results, second[1], strict=True):
        one, other = type_of(a), type_of(b)
        if one.dtype is not other.dtype or len(one.shape) != len(other.shape):
            raise ShapeError(op, f"{what} differ in type", first=one, second=other)
        if any(n != m for n, m in zip(one.shape, other.shape, strict=True)):
            raise ShapeError(op, f"{what} differ in shape", first=one, second=other)


# ---- cond ----------------------------------------------------------------------------------------


def cond(pred: Any, true_fn: Any, false_fn: Any, *operands: Any) -> Any:
    """true_fn(*operands) where `pred` is true, else false_fn(*operands).

    pred: a bool, or a tensor of one element. Both functions give back the same structure of tensors
    of the same shapes and types; only one of them runs. Differentiable.

    >>> twofold.cond(x.sum() > 0, lambda x: x + 1, lambda x: x - 1, x)
    """
    if len(operands) == 1 and isinstance(operands[0], tuple | list):
        operands = tuple(operands[0])
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
    types = [type_of(x) for x in tensors]
    yes, no = (trace("branch", on_leaves(f), types) for f in (true_fn, false_fn))
    _check_forms("cond", yes, (no.form, no.results), "the branches' results")
    flags = pred.reshape(()).bool()  # type: ignore[attr-defined]
    inputs = mode.capture.use((flags, *tensors, *yes.outside(), *no.outside()))
    outs = len(yes.results)
    split = (len(tensors), len(yes.found), len(no.found))
    made = _bind_cond(inputs, (body_of(yes), body_of(no), split, _sizes(), outs))
    return unflatten(_outputs(made, yes, no), yes.form)


def _bind_cond(inputs: tuple[Tensor, ...], attrs: Any) -> tuple[Tensor, ...]:
    made = bind(COND, inputs, attrs)
    yes, no, *_, outs = attrs
    rule = functools.partial(_cond_rule, inputs[0], yes.traced, no.traced, inputs[1:])
    return (*recorded("cond", made[:outs], inputs[1:], rule), *made[outs:])


def _cond_rule(flags: Tensor, yes: Traced, no: Traced, inputs: Any, g: list[Any]) -> Any:
    """The gradient: the gradient of the branch that ran, which runs again for it."""
    operands = len(inputs) - len(yes.found) - len(no.found)
    first, second = (
        inputs[operands : operands + len(yes.found)],
        inputs[operands + len(yes.found) :],
    )
    wanted = [i for i, x in enumerate(inputs) if x.tracked]
    slopes = [place for place, x in enumerate(g) if x is not None]

    def back(branch: Traced, own: Any, skip: int) -> Callable[..., Any]:
        def call(*tensors: Tensor) -> list[Tensor]:
            shared, gradients = tensors[: len(inputs)], tensors[len(inputs) :]
            begin = operands + skip
            used = (*shared[:operands], *shared[begin : begin + len(own)])
            found = gradients_of(branch, used, dict(zip(slopes, gradients, strict=True)))
            places = [*range(operands), *range(begin, begin + len(own))]
            by_place = dict(zip(places, found, strict=True))
            return [
                by_place[i] if by_place.get(i) is not None else _zeros_like(inputs[i])
                for i in wanted
            ]

        return call

    branches = back(yes, first, 0), back(no, second, len(yes.found))
    gradients = tuple(g[place] for place in slopes)
    made = iter(cond(flags, *branches, *inputs, *gradients))
    return tuple(next(made) if i in wanted else None for i in range(len(inputs)))


def _zeros_like(x: Tensor) -> Tensor:
    return zeros_of(x.array.shape, x.array.dtype)


def gradients_of(traced: Traced, inputs: Sequence[Tensor], g: dict[int, Tensor]) -> list[Any]:
    """The gradients of a traced function by its inputs, computed by running its calls again.

    Where gradients are recorded themselves, so are these.
    """
    again = mode.grad
    with recording(True):
        # each input on its own, even where two are one tensor
        used = mode.capture.use(inputs)
        leaves = [reshape(x, x.array.shape) if again else x.detach() for x in used]
        for leaf in leaves:
            leaf.tracked = leaf.tracked or leaf.array.dtype.kind in "fcV"
        values = [traced.capture.value_of(x.array) for x in traced.leaves]
        values += [f.value for f in traced.found]
        known = dict(zip(values, leaves, strict=True))
        replay(traced.calls, known, None)
        results = [known[traced.capture.value_of(x.array)] for x in traced.results]
        roots = [(results[place], slope) for place, slope in g.items() if results[place].tracked]
        targets = [leaf for leaf in leaves if leaf.tracked]
        if not roots or not targets:
            return [None] * len(leaves)
        outs, slopes = zip(*roots, strict=True)
        found = iter(grad(outs, targets, slopes, create_graph=again, allow_unused=True))
    return [next(found) if leaf.tracked else None for leaf in leaves]


def recorded(name: str, made: Any, inputs: Any, rule: Callable[[list[Any]], Any]) -> list[Tensor]:
    """The results with a node behind them, whose gradients by the inputs are rule(gradients)."""
    outs = list(made)
    if not (mode.grad and any(x.tracked for x in inputs)):
        return outs
    op = Op(
        name,
        attrs=(),
        accepts=ANY,
        vjp=lambda g, _, *__: rule(g if isinstance(g, list) else [g]),
        saved_inputs=(0,),
        saves_out=True,
        residuals=0,
        variadic=True,
        outputs=-1,
    )
    node = make_node(op, inputs, (), tuple(x.array for x in outs), _Nothing())
    for index, x in enumerate(outs):
        if x.array.dtype.kind in "fcV":
            x.node, x.tracked = item_node(node, index, x.array), True
    return outs


class _Nothing:
    """What a node keeps whose rule keeps everything itself."""


# ---- while_loop ----------------------------------------------------------------------------------


def while_loop(cond_fn: Any, body_fn: Any, carried_inputs: Any) -> Any:
    """carry = body_fn(*carry) for as long as cond_fn(*carry) is true; the last carry.

    body_fn gives back what it takes: the same number of tensors, of the same shapes and types.
    Differentiable; the gradient turns the loop once more.

    >>> twofold.while_loop(lambda n, x: n > 0, lambda n, x: (n - 1, x * 2), (n, x))
    """
    carry = tuple(carried_inputs)
    if mode.capture is None:
        while bool(cond_fn(*carry)):
            made = body_fn(*carry)
            carry = tuple(made) if isinstance(made, tuple | list) else (made,)
        return carry
    flat, form = flatten(carry)
    tensors = tuple(as_tensor(x, "while_loop", f"carry {i}") for i, x in enumerate(flat))
    types = [type_of(x) for x in tensors]
    test = trace("test", lambda *xs: _truth(cond_fn(*unflatten(xs, form))), types)
    body = trace("body", lambda *xs: _same_form(body_fn(*unflatten(xs, form)), form), types)
    _check_forms("while_loop", body, (body.form, tensors), "the carry before and after a turn")
    inputs = mode.capture.use((*tensors, *test.outside(), *body.outside()))
    split = (len(tensors), len(test.found), len(body.found))
    attrs = (body_of(test), body_of(body), split, _sizes())
    return unflatten(_outputs(_bind_while(inputs, attrs), body, test), form)


def _bind_while(inputs: tuple[Tensor, ...], attrs: Any) -> tuple[Tensor, ...]:
    made = bind(WHILE, inputs, attrs)
    count = attrs[2][0]
    rule = functools.partial(_while_rule, attrs, inputs)
    return (*recorded("while_loop", made[:count], inputs, rule), *made[count:])


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


def _bind_while_grad(inputs: tuple[Tensor, ...], attrs: Any) -> Any:
    """The gradient of a while loop, which is not recorded. Raises GradientError where it would."""
    if any(x.tracked for x in inputs):
        raise GradientError(
            "while_loop",
            "the gradient of a loop whose turns a value counts has no gradient itself",
            hint="a loop over a range of a size, or twofold.scan",
        )
    return bind(WHILE_GRAD, inputs, attrs)


def _while_rule(attrs: Any, inputs: Any, g: list[Any]) -> Any:
    body = attrs[1].traced
    test_body, turn_body, (count, first, second), sizes = attrs
    slopes = [i for i, x in enumerate(inputs[:count]) if x.array.dtype.kind in "fcV"]
    outside = list(inputs[count + first :])
    wanted = [i for i, x in enumerate(outside) if x.tracked]

    def back(*tensors: Tensor) -> list[Tensor]:
        carry = tensors[:count]
        gradients, sums = tensors[count : count + len(slopes)], tensors[count + len(slopes) :]
        by_place = dict(zip(slopes, gradients, strict=True))
        found = gradients_of(body, (*carry, *outside), by_place)
        made = [_zeros_like(carry[i]) if found[i] is None else found[i] for i in slopes]
        for i, total in zip(wanted, sums, strict=True):
            part = found[count + i]
            made.append(total if part is None else add(total, part))
        return made

    types = [type_of(x) for x in inputs[:count]]
    types += [types[i] for i in slopes] + [type_of(outside[i]) for i in wanted]
    traced = trace("back", back, types)
    gradients = [_zeros_like(inputs[i]) if g[i] is None else g[i] for i in slopes]
    given = mode.capture.use((*inputs, *gradients, *traced.outside()))
    split = (count, first, second, len(slopes), len(wanted))
    attrs = test_body, turn_body, body_of(traced), split, sizes
    made = iter(_bind_while_grad(given, attrs) if mode.grad else bind(WHILE_GRAD, given, attrs))
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
        raise ShapeError(
            "scan", "lengths differ", **{f"xs{i}": type_of(x) for i, x in enumerate(parts)}
        )

    def call(carry: Any, slices: Any) -> Any:
        return f(carry, unflatten(slices, form) if xs is not None else None)

    if mode.capture is None:
        return _scan_now(call, init, parts, reverse)
    first, carried = flatten(init)
    tensors = tuple(as_tensor(x, "scan", f"init {i}") for i, x in enumerate(first))
    return _scan_in_graph(call, tensors, carried, tuple(parts), reverse)


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
    call: Any, init: tuple[Tensor, ...], carried: Form, parts: tuple[Tensor, ...], reverse: bool
) -> tuple[Any, Any]:
    count = len(init)
    forms: list[Form] = []

    def turn(*leaves: Tensor) -> Any:
        carry, y = call(unflatten(leaves[:count], carried), list(leaves[count:]))
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
    constant = {count + i for i, x in enumerate(parts) if not x.tracked}
    traced = trace("turn", turn, types, constant)
    _check_carry(traced.results[:count], init)
    inputs = mode.capture.use((*init, *parts, *traced.outside()))
    taped = mode.grad and any(x.tracked for x in inputs)
    if taped:
        traced = _walk_turn(traced)
    stacked = len(traced.results) - count + len(traced.kept)
    attrs = (body_of(traced), (count, len(parts), stacked), _sizes(), reverse)
    outs = _outputs(_bind_scan(inputs, attrs), traced)
    ys = list(outs[count : len(traced.results)])
    for place in empty:
        ys.insert(place, None)
    return unflatten(outs[:count], carried), unflatten(ys, forms[0])


def _bind_scan(inputs: tuple[Tensor, ...], attrs: Any) -> tuple[Tensor, ...]:
    made = bind(SCAN, inputs, attrs)
    own = len(attrs[0].traced.results)
    rule = functools.partial(_scan_rule, attrs, made[own : attrs[1][0] + attrs[1][2]], inputs)
    return (*recorded("scan", made[:own], inputs, rule), *made[own:])


def _check_carry(after: Sequence[Tensor], before: Sequence[Tensor]) -> None:
    for i, (a, b) in enumerate(zip(after, before, strict=True)):
        one, other = type_of(b), type_of(a)
        if one.dtype is not other.dtype or tuple(one.shape) != tuple(other.shape):
            raise ShapeError("scan", f"carry {i} changes its type", before=one, after=other)


def _walk_turn(traced: Traced) -> Traced:
    """A turn with the walk back through it, and the values of the turn that this needs."""
    tensors = [x for x in traced.results if x.tracked]
    if not tensors:
        return traced
    capture = traced.capture
    locals_ = [f.local for f in traced.found]
    places = {id(x): i for i, x in enumerate((*traced.leaves, *locals_))}
    first, checks = len(capture.calls), len(capture.checks)
    with capturing(capture):
        joint = capture_walk(capture, tensors, places)
    needed = residuals(joint, capture.finish(()))
    back = capture.calls[first:]
    del capture.calls[first:], capture.checks[checks:]
    joint = joint._replace(calls=tuple(back))
    outside = {f.value for f in traced.found}
    scanned = {capture.value_of(x.array) for x in traced.leaves}
    carried = [capture.value_of(x.array) for x in traced.leaves]
    kept = [v for v in needed if v not in outside and (v not in scanned or v in carried)]
    return traced._replace(joint=joint, kept=tuple(kept))


def _scan_rule(attrs: Any, stacks: Sequence[Tensor], inputs: Sequence[Tensor], g: list[Any]) -> Any:
    """The gradient of a scan: a scan of the gradient of its turn, from the end to the beginning."""
    body, (count, scanned, _), _, reverse = attrs
    traced, joint = body.traced, body.traced.joint
    # the walk through a turn has no gradient itself: then, a turn is computed again
    again = mode.grad or joint is None
    tracked = [i for i, x in enumerate(traced.results) if x.array.dtype.kind in "fcV"]
    if not again:
        tracked = [i for i in tracked if traced.results[i].tracked]
    carried = [i for i in range(count) if inputs[i].array.dtype.kind in "fcV"]
    outside = list(inputs[count + scanned :])
    wanted = [i for i, x in enumerate(outside) if x.tracked]
    slopes = [i for i in tracked if i >= count and g[i] is not None]

    def by_joint(by_result: dict[int, Any], values: Any) -> Callable[[int], Any]:
        """What gives the gradient by input i of a turn, from the values that the turn has kept."""
        known: dict[Value, Tensor] = dict(zip(traced.kept, values, strict=True))
        known |= {f.value: x for f, x in zip(traced.found, outside, strict=True)}
        for i, tangent in zip(tracked, joint.tangents, strict=True):
            slope = by_result.get(i)
            shape, storage = tangent.value.shape, tangent.value.dtype.numpy
            known[tangent.value] = zeros_of(shape, storage) if slope is None else slope
        replay(joint.calls, known, None)
        grads = dict(zip(joint.leaves, joint.grads, strict=True))

        def gradient(leaf: int) -> Tensor | None:
            value = grads.get(leaf)
            return None if value is None else known[value]

        return gradient

    def by_turn(by_result: dict[int, Any], values: Any) -> Callable[[int], Any]:
        """The same from what the turn was given: this can be differentiated in turn."""
        return gradients_of(traced, (*values, *outside), by_result).__getitem__

    def back(carry: Any, slices: Any) -> Any:
        gradients, sums = carry
        steps, values = slices
        by_result = dict(zip(carried, gradients, strict=True))
        by_result |= dict(zip(slopes, steps, strict=True))
        gradient = (by_turn if again else by_joint)(by_result, values)
        before = [_or_zeros(gradient(i), inputs[i].array.shape, inputs[i]) for i in carried]
        totals = []
        for i, total in zip(wanted, sums, strict=True):
            part = gradient(count + scanned + i)
            totals.append(total if part is None else add(total, part))
        by_slice = [gradient(count + i) for i in range(scanned)]
        return (before, totals), by_slice

    last = [_or_zeros(g[i], inputs[i].array.shape, inputs[i]) for i in carried]
    sums = [_zeros_like(outside[i]) for i in wanted]
    if again:
        stacks = [*_carried(traced, inputs, count, scanned, reverse), *inputs[count:][:scanned]]
    slices = ([g[i] for i in slopes], list(stacks))
    if not slopes and not stacks:
        slices = ([], [], arange(inputs[count].array.shape[0]))  # type: ignore[assignment]
        begin = back

        def back(carry: Any, slices: Any) -> Any:
            return begin(carry, slices[:2])

    (first, totals), by_slice = scan(back, (last, sums), slices, reverse=not reverse)
    made: list[Any] = [None] * len(inputs)
    for i, x in zip(carried, first, strict=True):
        made[i] = x
    for i, x in zip(wanted, totals, strict=True):
        made[count + scanned + i] = x
    for i, x in enumerate(by_slice):
        made[count + i] = x
    return tuple(made)


def _carried(
    traced: Traced, inputs: Sequence[Tensor], count: int, scanned: int, reverse: bool
) -> list[Tensor]:
    """What each turn of a scan was given of what is carried: the scan again, which gives that."""

    def turn(carry: Any, slices: Any) -> Any:
        given = (*carry, *slices, *inputs[count + scanned :])
        values = [traced.capture.value_of(x.array) for x in traced.leaves]
        values += [f.value for f in traced.found]
        known = dict(zip(values, mode.capture.use(given), strict=True))
        replay(traced.calls, known, None)
        made = [known[traced.capture.value_of(x.array)] for x in traced.results[:count]]
        return made, list(carry)

    parts = list(inputs[count : count + scanned])
    _, stacks = scan(turn, list(inputs[:count]), parts, reverse=reverse)
    return stacks  # type: ignore[no-any-return]


def _or_zeros(x: Any, shape: Any, like: Tensor) -> Tensor:
    return zeros_of(shape, like.array.dtype) if x is None else x


CONTROL.update(
    cond=_bind_cond, while_loop=_bind_while, scan=_bind_scan, while_loop_grad=_bind_while_grad
)
