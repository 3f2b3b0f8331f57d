"""Gradients as functions of functions: grad, vjp, Jacobians, Hessians. Floor 8.

They have the names, arguments and results of torch.func, and nest in any order. Arguments and
results are trees (base/trees.py) of tensors. What a function reads from around it may want
gradients too: they flow through the results.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from twofold.autograd.levels import Level, current_level
from twofold.autograd.walk import find_route, target_of, walk
from twofold.base import trees
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError
from twofold.base.records import NamedTuple
from twofold.base.trees import Form
from twofold.ops.bind import bind, current, mode, recording
from twofold.ops.creation_like import zeros_like
from twofold.ops.movement import RESHAPE
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.writing import alias

Function = Callable[..., Any]
Argnums = int | tuple[int, ...]


# ---- leaves of our own, and walks back to them


class Own(NamedTuple):
    """The tensors that a function is given instead of those it is differentiated by.

    tensors  what it is given; they belong to the level in force
    fresh    those among them that are leaves, with nothing behind them
    """

    tensors: tuple[Tensor, ...]
    fresh: tuple[Tensor, ...]


class Nested(threading.local):
    """How many transforms of this thread record what is computed now."""

    depth = 0


nested = Nested()


@contextlib.contextmanager
def taping(level: Level | None, enabled: bool = True) -> Iterator[None]:
    """In the block this level's tape is on (or off); the levels below keep their mode."""
    claimed = level is not None and level.outer_grad is None
    if level is not None and claimed:
        level.outer_grad = mode.grad
    nested.depth += enabled
    try:
        with recording(enabled):
            yield
    finally:
        nested.depth -= enabled
        if level is not None and claimed:
            level.outer_grad = None


def own(xs: list[Tensor], level: Level | None, outer: bool) -> Own:
    """Tensors with the values of xs to differentiate by; with `outer`, gradients go on to xs."""
    made, fresh = [], []
    for x in xs:
        here = level is None or level.owns(x)
        if outer and here and current(x).tracked:
            with recording(True):
                made.append(bind(RESHAPE, (x,), (tuple(x.array.shape),)))
            continue
        leaf = wrap(x.array) if level is None else wrap(level.lifted(x).array)
        leaf.tracked = True
        made.append(leaf)
        fresh.append(leaf)
    return Own(tuple(made), tuple(fresh))


def depends_on_others(outs: list[Tensor], given: Own) -> bool:
    """Whether tensors were made from leaves that are not ours."""
    fresh = {id(x) for x in given.fresh}
    starts = [target_of(x) for x in outs if current(x).tracked]
    return any(id(leaf) not in fresh for leaf in find_route(starts, None).leaves)


def plain(x: Any) -> Any:
    """A tensor without its history on this level."""
    return alias(x) if isinstance(x, Tensor) and x.tracked else x


@contextlib.contextmanager
def recording_on(level: Level | None, enabled: bool) -> Iterator[None]:
    """In the block, the tape of a level that the one in force stands on is on or off; those below
    keep their mode.
    """
    above = current_level()
    if above is level:
        with recording(enabled):
            yield
        return
    while above is not None:
        below = above.below
        while below is not None and not isinstance(below, Level):
            below = getattr(below, "inner", None)
        if below is level:
            break
        above = below
    if above is None:
        raise GradientError(
            "vjp",
            "the function that vjp gave is called after the transform around it has ended",
            hint="call it inside of the function that vmap or jvp was given",
        )
    before = above.outer_grad
    claimed = level is not None and level.outer_grad is None
    if level is not None and claimed:
        level.outer_grad = mode.grad if before is None else before
    above.outer_grad = enabled
    try:
        yield
    finally:
        above.outer_grad = before
        if level is not None and claimed:
            level.outer_grad = None


class Back:
    """The way back from results to the tensors that they were made from.

    level    the level whose tape holds it
    outs     the results; those that nothing tracked went into have no way back
    targets  the tensors to differentiate by
    others   whether something else wants gradients of what is found
    retain   whether it can be walked again
    """

    def __init__(
        self,
        level: Level | None,
        outs: list[Any],
        targets: tuple[Tensor, ...],
        others: bool,
        retain: bool = True,
    ) -> None:
        self.level = level
        self.outs = outs
        self.targets = targets
        self.others = others
        self.retain = retain

    def is_tracked(self, x: Tensor) -> bool:
        return _is_tracked_at(self.level, x)

    def find(self, cotangents: list[Any]) -> list[Tensor | None]:
        """The sum of cotangents times derivatives, for each target; None where there is no way."""
        here = current_level()
        roots, tracked = [], False
        for out, g in zip(self.outs, cotangents, strict=True):
            if g is not None and isinstance(out, Tensor) and self.is_tracked(out):
                roots.append((out, g))
                tracked = tracked or (mode.grad and _is_tracked_at(here, g))
        keep = (mode.grad and self.others) or (here is self.level and tracked)
        graph = keep or tracked or (here is not None and here.differentiates)
        wanted = [target_of(x) for x in self.targets]
        below = contextlib.nullcontext() if here is self.level else recording_on(self.level, keep)
        with taping(here, graph), below:
            retain = self.retain or graph
            found = walk(roots, wanted, create_graph=graph, retain_graph=retain, hooks=False)
            grads = [found.of(x) for x in self.targets]
        return grads if keep or tracked else list(map(plain, grads))

    def __call__(self, cotangents: list[Any]) -> list[Tensor]:
        """The same, with zeros where there is no way."""
        pairs = zip(self.targets, self.find(cotangents), strict=True)
        return [zeros_for(x) if g is None else g for x, g in pairs]


def zeros_for(x: Tensor) -> Tensor:
    """Zeros in the shape and type of a tensor, without a history."""
    with recording(False):
        return zeros_like(wrap(x.array))


class Pullback(Back):
    """What a function gave, with the way back to its arguments: called as often as one likes.

    given    the arguments' stand-ins
    """

    def __init__(self, function: Callable[[tuple[Tensor, ...]], list[Any]], xs: list[Tensor]):
        level, outer = current_level(), mode.grad
        self.given = own(xs, level, outer)
        with taping(level):
            outs = function(self.given.tensors)
        tensors = [x for x in outs if isinstance(x, Tensor) and _is_tracked_at(level, x)]
        others = outer and depends_on_others(tensors, self.given)
        super().__init__(level, outs, self.given.tensors, others)

    def results(self, outs: list[Any] | None = None) -> list[Any]:
        """The results as they are given out: with a history only where others are in it."""
        found = self.outs if outs is None else outs
        return found if self.others else list(map(plain, found))

    def close(self) -> None:
        """Take the arguments out of the graph of what was made from them."""
        for x in self.given.fresh:
            x.tracked = False


def _is_tracked_at(level: Level | None, x: Tensor) -> bool:
    return (level is None or level.owns(x)) and current(x).tracked


# ---- arguments


def check_tensors(op: str, what: str, leaves: list[Any]) -> None:
    """Raise unless all leaves are floating or complex tensors."""
    for x in leaves:
        if not isinstance(x, Tensor):
            raise DTypeError(
                op,
                f"{what} holds a {type(x).__name__}, not a tensor",
                hint="twofold.tensor(...) around it, or another argnums",
            )
        if x.array.dtype.kind not in "fcV":
            raise DTypeError(
                op,
                f"{what} holds a {x.dtype.name} tensor, which has no derivative",
                hint="x.float(), or another argnums",
                input=type_of(x),
            )


def chosen(op: str, args: tuple[Any, ...], argnums: Argnums) -> tuple[int, ...]:
    """The places of the arguments to differentiate by, counted from the front."""
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers:
        raise ArgumentError(op, "argnums is empty", hint="argnums=0")
    places = []
    for n in numbers:
        if isinstance(n, bool) or not isinstance(n, int):
            raise DTypeError(op, f"argnums is {argnums!r}", hint="an int, or a tuple of ints")
        if not -len(args) <= n < len(args):
            raise ArgumentError(
                op,
                f"argnums {n} does not name one of {len(args)} positional arguments",
                hint="the arguments to differentiate by are given by position",
            )
        places.append(n % len(args))
    if len(set(places)) != len(places):
        raise ArgumentError(op, f"argnums {argnums} names an argument twice")
    return tuple(places)


class Split(NamedTuple):
    """A call's arguments: those to differentiate by as flat tensors, and how to put them back."""

    leaves: list[Tensor]
    forms: tuple[Form, ...]
    places: tuple[int, ...]
    args: tuple[Any, ...]

    def filled(self, leaves: Any) -> tuple[Any, ...]:
        """The arguments with other tensors in these places."""
        args = list(self.args)
        for place, tree in zip(self.places, self.trees(leaves), strict=True):
            args[place] = tree
        return tuple(args)

    def trees(self, leaves: Any) -> tuple[Any, ...]:
        """One tree for each of the arguments."""
        made, at = [], 0
        leaves = list(leaves)
        for form in self.forms:
            count = form.leaf_count()
            made.append(trees.unflatten(leaves[at : at + count], form))
            at += count
        return tuple(made)

    def result(self, leaves: Any, argnums: Argnums) -> Any:
        """The same as it is given out: one tree for an int, a tuple of trees for a tuple."""
        made = self.trees(leaves)
        return made if isinstance(argnums, tuple) else made[0]


def split(op: str, args: tuple[Any, ...], argnums: Argnums) -> Split:
    places = chosen(op, args, argnums)
    parts = [trees.flatten(args[place]) for place in places]
    leaves = [x for found, _ in parts for x in found]
    check_tensors(op, f"argument {places[0]}" if len(places) == 1 else "an argument", leaves)
    return Split(leaves, tuple(form for _, form in parts), places, args)


def with_aux(op: str, made: Any) -> tuple[Any, Any]:
    """(result, further data) of a function that was said to give both."""
    if not isinstance(made, tuple) or len(made) != 2:
        raise ArgumentError(
            op, "with has_aux=True the function gives (result, further data)", hint="a tuple of two"
        )
    return made


# ---- gradients


def _gradients(
    op: str, func: Function, argnums: Argnums, has_aux: bool, args: Any, kwargs: Any
) -> tuple[Any, Any, Any]:
    """(gradients, value, further data) of a function with one number for a result."""
    parts = split(op, args, argnums)
    form = None

    def flat(xs: tuple[Tensor, ...]) -> list[Any]:
        nonlocal form
        made = func(*parts.filled(xs), **kwargs)
        value, aux = with_aux(op, made) if has_aux else (made, None)
        check_scalar(op, value)
        leaves, form = trees.flatten(aux)
        return [value, *leaves]

    back = Pullback(flat, parts.leaves)
    value = back.outs[0]
    ones = wrap(np.ones((), value.array.dtype)) if value.array.dtype.kind != "V" else _one(value)
    grads = back([ones, *[None] * (len(back.outs) - 1)])
    made = back.results()
    back.close()
    assert form is not None
    return parts.result(grads, argnums), made[0], trees.unflatten(made[1:], form)


def _one(x: Tensor) -> Tensor:
    return wrap(np.full((), (0x3F80,), x.array.dtype))


def check_scalar(op: str, value: Any) -> None:
    """Raise unless a function gave one floating number as a tensor."""
    if not isinstance(value, Tensor):
        raise DTypeError(
            op,
            f"the function gives a {type(value).__name__}, not a tensor",
            hint="has_aux=True for a function that gives (value, further data)",
        )
    if value.array.ndim:
        raise ShapeError(
            op,
            "the function does not give one number",
            hint="out.sum() or out.mean(); vjp or jacrev for results with axes",
            result=type_of(value),
        )
    if value.array.dtype.kind not in "fcV":
        raise DTypeError(
            op, f"the function gives a {value.dtype.name} number", result=type_of(value)
        )


def grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that gives the gradient of `func` by argument number `argnums`, or several.

    func gives a 0-d tensor, or with has_aux (0-d tensor, further data); then the result is
    (gradient, further data). Raises ShapeError for other results.

    >>> grad(lambda x: (x * x).sum())(tensor([1.0, 2.0]))
    tensor([2., 4.])
    """

    @functools.wraps(func, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        made, _, aux = _gradients("grad", func, argnums, has_aux, args, kwargs)
        return (made, aux) if has_aux else made

    return gradient


def grad_and_value(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that gives (gradient, value), or (gradient, (value, further data))."""

    @functools.wraps(func, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        made, value, aux = _gradients("grad_and_value", func, argnums, has_aux, args, kwargs)
        return made, (value, aux) if has_aux else value

    return gradient


def value_and_grad(func: Function, argnums: Argnums = 0, has_aux: bool = False) -> Function:
    """The function that gives (value, gradient), or ((value, further data), gradient)."""

    @functools.wraps(func, updated=())
    def gradient(*args: Any, **kwargs: Any) -> Any:
        made, value, aux = _gradients("value_and_grad", func, argnums, has_aux, args, kwargs)
        return (value, aux) if has_aux else value, made

    return gradient


# ---- products with the transposed Jacobian


class Flat(NamedTuple):
    """A function's result as flat tensors, and the forms of it and of its further data."""

    back: Pullback
    form: Form
    aux: Any


def pullback(op: str, func: Function, leaves: list[Tensor], call: Any, has_aux: bool) -> Flat:
    """Run call(tensors), and keep the way back from its results."""
    forms: list[Any] = []

    def flat(xs: tuple[Tensor, ...]) -> list[Any]:
        made = call(xs)
        value, aux = with_aux(op, made) if has_aux else (made, None)
        outs, form = trees.flatten(value)
        further, aux_form = trees.flatten(aux)
        check_results(op, outs)
        forms[:] = [form, aux_form]
        return [*outs, *further]

    back = Pullback(flat, leaves)
    form, aux_form = forms
    count = form.leaf_count()
    made = back.results(back.outs[count:])
    back.outs = back.outs[:count]
    return Flat(back, form, trees.unflatten(made, aux_form))


def check_results(op: str, outs: list[Any]) -> None:
    for x in outs:
        if not isinstance(x, Tensor):
            raise DTypeError(
                op,
                f"the function gives a {type(x).__name__}, not tensors alone",
                hint="has_aux=True for a function that gives (tensors, further data)",
            )


def vjp(func: Function, *primals: Any, has_aux: bool = False) -> Any:
    """(func(*primals), vjp_fn): vjp_fn(cotangents) gives their products with the Jacobian.

    cotangents have the structure and shapes of the result; vjp_fn gives a tuple with one tree for
    each primal, and can be called again. With has_aux a third result is the further data.

    >>> out, back = vjp(lambda x: x * x, tensor([1.0, 2.0]))
    >>> back(tensor([1.0, 1.0]))[0]
    tensor([2., 4.])
    """
    if not primals:
        raise ArgumentError("vjp", "there are no primals to differentiate by")
    parts = split("vjp", primals, tuple(range(len(primals))))
    found = pullback("vjp", func, parts.leaves, lambda xs: func(*parts.filled(xs)), has_aux)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        return parts.trees(found.back(cotangent_leaves("vjp", cotangents, found)))

    out = trees.unflatten(found.back.results(), found.form)
    return (out, vjp_fn, found.aux) if has_aux else (out, vjp_fn)


def cotangent_leaves(op: str, cotangents: Any, found: Flat) -> list[Any]:
    """The cotangents as flat tensors, checked against the results."""
    leaves, form = trees.flatten(cotangents)
    if len(leaves) != len(found.back.outs) or _kinds(form) != _kinds(found.form):
        raise ArgumentError(
            op,
            "the cotangents do not have the structure of the function's result",
            hint=f"{len(found.back.outs)} tensors, nested as the result is",
        )
    for out, g in zip(found.back.outs, leaves, strict=True):
        if not isinstance(g, Tensor):
            raise DTypeError(op, f"a cotangent is a {type(g).__name__}, not a tensor")
        if tuple(g.array.shape) != tuple(out.array.shape):
            raise ShapeError(
                op,
                "a cotangent does not have the shape of its result",
                cotangent=type_of(g),
                result=type_of(out),
            )
    return leaves


def _kinds(form: Form) -> Any:
    """A form in which lists and tuples are the same."""
    if form.kind is None:
        return None
    return (form.keys is not None, form.keys, tuple(map(_kinds, form.children)))
