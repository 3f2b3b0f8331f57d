"""Forward mode: values with their slopes, in one run of the function. Floor 8.

`jvp` puts a level in force on which a tensor is a pair, its value and its tangent. A record's rule
(ops/forward_rules.py) tells the tangent of a result; where there is none it is the transpose of the
transposed product: vjp(v) is linear in v, and its own vjp is the product with the Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.autograd.levels import Level, Made
from twofold.autograd.transforms import (
    Own,
    Pullback,
    check_results,
    depends_on_others,
    plain,
    split,
    with_aux,
)
from twofold.base import trees
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops.bind import BINDERS, bind, interpreter
from twofold.ops.creation_like import zeros_like
from twofold.ops.elementwise import real_part
from twofold.ops.forward_rules import formula, slope_rule
from twofold.ops.joining import clone
from twofold.ops.movement import expand
from twofold.ops.op import Op
from twofold.ops.stand_in import StandIn, unsloped
from twofold.ops.tensor import Tensor, type_of, wrap
from twofold.ops.writing import write

Tangent = Tensor | None


class Pair(StandIn):
    """A value and its tangent; None for one that does not change."""

    __slots__ = ("tangent",)
    slopes = True

    def __init__(self, level: Level, value: Tensor, tangent: Tangent) -> None:
        self.level = level
        self.value = value
        self.tangent = tangent
        self.shape = tuple(value.array.shape)
        self.dtype = value.array.dtype

    def copied(self) -> Pair:
        with self.level.outside():
            tangent = None if self.tangent is None else clone(self.tangent)
            return Pair(self.level, clone(self.value), tangent)

    def beside(self, x: Tensor) -> Tensor:
        with self.level.outside():
            made = x if self.below is None else self.below.beside(x)
            return wrap(Pair(self.level, made, None))

    def through(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        with self.level.outside():
            return wrap(Pair(self.level, function(self.value), None))

    def unsloped(self, x: Tensor) -> Tensor:
        return unsloped(self.value)

    def written(self, values: Any) -> None:
        given = values if isinstance(values, Pair) and values.level is self.level else None
        with self.level.outside():
            source = wrap(values) if given is None else given.value
            write(self.value, expand(source, self.shape), "in place")
            slope = None if given is None else given.tangent
            if slope is None and self.tangent is None:
                return
            slope = zeros_like(self.value) if slope is None else expand(slope, self.shape)
            if self.tangent is None:
                self.tangent = clone(slope)
            else:
                write(self.tangent, slope, "in place")


class Forward(Level):
    """Every operation on pairs: on the values, and on the tangents."""

    name = "jvp"
    differentiates = True

    def lift(self, x: Tensor) -> Pair:
        return Pair(self, x, None)

    def apply(self, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]) -> Made:
        if op.view:
            self.materialize(inputs[0])
        xs = tuple([self.value_of(x) for x in inputs])
        tangents = tuple([self.tangent_of(x) for x in inputs])
        if all(t is None for t in tangents) or (op.vjp is None and op.name not in BINDERS):
            out = bind(op, xs, attrs)
            slopes: Any = None
        else:
            out, slopes = slope(op, tangents, xs, attrs)
        outs = out if isinstance(out, tuple) else (out,)
        slopes = slopes if isinstance(slopes, tuple) else (slopes,) * len(outs)
        return tuple([Pair(self, x, t) for x, t in zip(outs, slopes, strict=True)])

    def by_rule(self, function: Any, args: tuple[Any, ...]) -> Any:
        """Its results, and their slopes by jvp(ctx, *slopes of the arguments)."""
        if function.jvp is None:
            return NotImplemented
        slopes = [self.tangent_of(x) if isinstance(x, Tensor) else None for x in args]
        with self.outside():
            context, made = function.applied(tuple(map(self.under, args)))
            found = function.jvp(context, *context.slopes(args, slopes))
        outs = made if isinstance(made, tuple) else (made,)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != len(outs):
            raise ArgumentError(
                f"{function.__name__}.jvp", f"{len(found)} slopes for {len(outs)} results"
            )
        pairs = [wrap(Pair(self, x, t)) for x, t in zip(outs, found, strict=True)]
        return tuple(pairs) if isinstance(made, tuple) else pairs[0]

    def materialize(self, x: Tensor) -> None:
        """Give a pair its tangent of zeros, so that its views share what is written there."""
        pair: Any = x.array
        if pair.tangent is None and pair.dtype.kind in "fcV":
            pair.tangent = zeros_like(pair.value)

    def value_of(self, x: Tensor) -> Tensor:
        return x.array.value if self.owns(x) else x  # type: ignore[attr-defined]

    def tangent_of(self, x: Tensor) -> Tangent:
        return x.array.tangent if self.owns(x) else None  # type: ignore[attr-defined]


def slope(op: Op, tangents: tuple[Tangent, ...], xs: tuple[Tensor, ...], attrs: Any) -> Any:
    """(op(xs), its tangent)."""
    rule = slope_rule(op, attrs)
    if rule is formula and any(x.array.dtype.kind == "c" for x in xs):
        # not where numbers become real: such a derivative is not that of a holomorphic function
        kinds = op.infer(*map(type_of, xs), **op.keywords(attrs))
        rule = rule if kinds.dtype.is_complex else None
    if rule is not None:
        out = bind(op, xs, attrs)
        if not isinstance(out, tuple) and out.array.dtype.kind not in "fcV":
            return out, None
        return out, rule(op, tangents, out, xs, attrs)
    return by_transpose(op, tangents, xs, attrs)


def by_transpose(op: Op, tangents: tuple[Tangent, ...], xs: tuple[Tensor, ...], attrs: Any) -> Any:
    """The same from the operation's vjp, transposed."""
    places = [i for i, t in enumerate(tangents) if t is not None]

    def forward(given: tuple[Tensor, ...]) -> list[Any]:
        full = list(xs)
        for place, x in zip(places, given, strict=True):
            full[place] = x
        control = BINDERS.get(op.name)
        made = bind(op, tuple(full), attrs) if control is None else control(tuple(full), attrs)
        return list(made) if isinstance(made, tuple) else [made]

    outs, pushed = push(forward, [xs[i] for i in places])
    slopes = pushed([tangents[i] for i in places])
    return (outs[0], slopes[0]) if op.outputs == 1 else (tuple(outs), tuple(slopes))


def push(forward: Any, xs: list[Tensor]) -> tuple[list[Any], Callable[[list[Any]], list[Tangent]]]:
    """(results, the product of tangents of xs with the Jacobian), by transposing twice."""
    back = Pullback(forward, xs)
    places = [i for i, out in enumerate(back.outs) if out.array.dtype.kind in "fcV"]
    duals = [zeros_like(plain(back.outs[i])) for i in places]

    def transposed(vs: tuple[Tensor, ...]) -> list[Any]:
        full: list[Any] = [None] * len(back.outs)
        for place, v in zip(places, vs, strict=True):
            full[place] = v
        return list(back(full))

    again = Pullback(transposed, duals)

    def pushed(tangents: list[Any]) -> list[Tangent]:
        slopes: list[Tangent] = [None] * len(back.outs)
        found = list(again(tangents))
        mine = Own((), (*back.given.fresh, *again.given.fresh))
        if not depends_on_others([t for t in found if t is not None], mine):
            found = list(map(plain, found))
        for place, dual, t in zip(places, duals, found, strict=True):
            slopes[place] = _in_type_of(dual, t)
        return slopes

    return back.results(), pushed


def _in_type_of(dual: Tensor, t: Tangent) -> Tangent:
    """A tangent of a real result: the real part of what complex inputs gave."""
    is_real = dual.array.dtype.kind != "c"
    return real_part(t) if is_real and t is not None and t.array.dtype.kind == "c" else t


def check_tangents(op: str, primals: list[Tensor], tangents: list[Any]) -> None:
    for x, t in zip(primals, tangents, strict=True):
        if not isinstance(t, Tensor):
            raise DTypeError(op, f"a tangent is a {type(t).__name__}, not a tensor")
        if tuple(t.array.shape) != tuple(x.array.shape):
            raise ShapeError(
                op,
                "a tangent does not have the shape of its primal",
                primal=type_of(x),
                tangent=type_of(t),
            )
        if t.array.dtype != x.array.dtype:
            raise DTypeError(
                op,
                "a tangent does not have the type of its primal",
                hint="tangent.to(primal.dtype)",
                primal=type_of(x),
                tangent=type_of(t),
            )


def jvp(
    func: Callable[..., Any],
    primals: tuple[Any, ...],
    tangents: tuple[Any, ...],
    *,
    strict: bool = False,
    has_aux: bool = False,
) -> Any:
    """(func(*primals), its derivative in the direction of the tangents), in one run.

    primals and tangents are tuples, nested alike. With has_aux a third result is the further data.
    With strict a result that does not depend on the primals is refused.

    >>> jvp(lambda x: x * x, (tensor([1.0, 2.0]),), (tensor([1.0, 0.0]),))[1]
    tensor([2., 0.])
    """
    parts, given = _directions("jvp", primals, tangents)
    level = Forward()
    pairs = [wrap(Pair(level, x, t)) for x, t in zip(parts.leaves, given, strict=True)]
    with interpreter(level):
        made = func(*parts.filled(pairs))
    value, aux = with_aux("jvp", made) if has_aux else (made, None)
    outs, form = trees.flatten(value)
    check_results("jvp", outs)
    slopes = [level.tangent_of(x) for x in outs]
    if strict and None in slopes:
        raise ArgumentError(
            "jvp",
            f"result {slopes.index(None)} does not depend on the primals",
            hint="strict=False",
        )
    values = [level.value_of(x) for x in outs]
    ended = [zeros_like(plain(x)) if t is None else t for x, t in zip(values, slopes, strict=True)]
    made = trees.unflatten(values, form), trees.unflatten(ended, form)
    if not has_aux:
        return made
    further = trees.map_leaves(lambda x: level.value_of(x) if isinstance(x, Tensor) else x, aux)
    return (*made, further)


def _directions(op: str, primals: Any, tangents: Any) -> tuple[Any, list[Tensor]]:
    if not isinstance(primals, tuple) or not primals:
        raise ArgumentError(op, "primals is not a tuple of arguments", hint="(x,) for one")
    if not isinstance(tangents, tuple) or len(tangents) != len(primals):
        raise ArgumentError(op, "tangents is not a tuple like primals", hint="(t,) for one")
    parts = split(op, primals, tuple(range(len(primals))))
    given, form = trees.flatten(tangents)
    if form.leaf_count() != len(parts.leaves):
        raise ArgumentError(op, "tangents are not nested as the primals are")
    check_tangents(op, parts.leaves, given)
    return parts, given


def linearize(func: Callable[..., Any], *primals: Any) -> Any:
    """(func(*primals), jvp_fn): jvp_fn(*tangents) is the derivative there, without another run."""
    parts = split("linearize", primals, tuple(range(len(primals))))
    forms: list[Any] = []

    def forward(xs: tuple[Tensor, ...]) -> list[Any]:
        outs, form = trees.flatten(func(*parts.filled(xs)))
        check_results("linearize", outs)
        forms[:] = [form]
        return outs

    outs, pushed = push(forward, parts.leaves)
    form = forms[0]

    def jvp_fn(*tangents: Any) -> Any:
        given, _ = trees.flatten(tangents)
        if len(given) != len(parts.leaves):
            raise ArgumentError("linearize", "tangents are not nested as the primals are")
        check_tangents("linearize", parts.leaves, given)
        slopes = pushed(given)
        return trees.unflatten(
            [zeros_like(x) if t is None else t for x, t in zip(outs, slopes, strict=True)], form
        )

    return trees.unflatten(outs, form), jvp_fn
