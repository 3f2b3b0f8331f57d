"""Rewrites of movements, as a table; and movements put behind elementwise operations. Floor 5.

Behind, since then the operations on both sides of a movement are neighbours, which the fuser joins:
exp(reshape(x * y)) becomes reshape(exp(x * y)). An expand goes behind because there is less to do.
"""

from __future__ import annotations

import itertools
from typing import Any

from twofold.base.symbols import alike, is_one, is_symbol
from twofold.ir.graph import Call, Value
from twofold.ops.indexing import Slice, shape_at
from twofold.ops.movement import PERMUTE
from twofold.ops.source import FULL
from twofold.passes.rules import Match, Rule, Scope, same_type

EVERY = Slice(None, None, None)
# Operations whose kernels make their result in order, elementwise ones apart.
FRESH = frozenset(
    ("matmul", "linear", "conv", "sum", "mean", "softmax", "layer_norm", "cast", "cat", "take")
)


def unchanged(m: Match) -> bool:
    return same_type(m.x, m.out)


def turned_twice(m: Match) -> Call:
    """One permute for two."""
    (outer,), (inner,) = m.calls[0].attrs, m.calls[1].attrs
    return m.again(m.x)._replace(attrs=(tuple([inner[axis] for axis in outer]),))


def only_leads(m: Match) -> bool:
    """Whether a reshape only puts axes of size 1 in front."""
    more = len(m.calls[1].outs[0].shape) - len(m.x.shape)
    shape = m.calls[1].outs[0].shape
    return more >= 0 and all(map(is_one, shape[:more])) and alike(shape[more:], m.x.shape)


def over_everything(m: Match) -> bool:
    """Whether a reduction leaves one number."""
    return m.out.shape == () and len(m.call.inputs[0].shape) == len(m.call.attrs[0])


def over_all(m: Match) -> Call:
    """The same reduction over all axes of x: its order is that of the elements, which stays."""
    return m.again(m.x)._replace(attrs=(tuple(range(len(m.x.shape))), False))


def plain_slices(m: Match) -> bool:
    """Whether slices are taken of slices, forwards, from places that are known."""
    (outer,), (inner,) = m.calls[0].attrs, m.calls[1].attrs
    if not (all(map(_from_front, inner)) and all(map(_from_front, outer))):
        return False
    return alike(shape_at(m.x.shape, _joined(inner, outer)), m.out.shape)


def _from_front(part: Any) -> bool:
    if not isinstance(part, Slice) or any(map(is_symbol, part)):
        return False
    start, stop, step = part
    return (start or 0) >= 0 and (stop is None or stop >= 0) and step in (None, 1)


def sliced_once(m: Match) -> Call:
    """One key for two: a slice of [a:b] from c to d is [a+c : min(b, a+d)]."""
    (outer,), (inner,) = m.calls[0].attrs, m.calls[1].attrs
    return m.again(m.x)._replace(attrs=(_joined(inner, outer),))


def _joined(inner: tuple[Any, ...], outer: tuple[Any, ...]) -> tuple[Slice, ...]:
    pairs = itertools.zip_longest(inner, outer, fillvalue=EVERY)
    return tuple([_slice_of(a, b) for a, b in pairs])


def _slice_of(inner: Slice, outer: Slice) -> Slice:
    begin = inner.start or 0
    ends = [] if inner.stop is None else [inner.stop]
    if outer.stop is not None:
        ends.append(begin + outer.stop)
    start = begin + (outer.start or 0)
    return Slice(start or None, min(ends) if ends else None, None)


def ones_only(m: Match) -> bool:
    """Whether the axes of a sum all have size 1."""
    (dim,) = m.call.attrs
    return all(is_one(m.x.shape[axis]) for axis in dim)


def is_fresh(m: Match) -> bool:
    """Whether x is made anew, in order, so that nobody writes over it and a copy is no other."""
    call = m.scope.maker(m.x)
    return call is not None and (callable(call.op.lower) or call.op.name in FRESH)


def same_axes(m: Match) -> bool:
    return bool(m.calls[0].attrs == m.calls[1].attrs)


MOVEMENTS = (
    Rule("reshape to its own shape", ("reshape", "x"), "x", unchanged),
    Rule("reshape of reshape", ("reshape", ("reshape", "x")), lambda m: m.again(m.x)),
    Rule(
        "permute to its own order",
        ("permute", "x"),
        "x",
        lambda m: m.call.attrs[0] == tuple(range(len(m.x.shape))),
    ),
    Rule("permute of permute", ("permute", ("permute", "x")), turned_twice),
    Rule("a value without its slopes", ("detach", "x"), "x"),
    Rule("expand to its own shape", ("expand", "x"), "x", unchanged),
    Rule("expand of expand", ("expand", ("expand", "x")), lambda m: m.again(m.x)),
    Rule(
        "expand of a reshape that leads with ones",
        ("expand", ("reshape", "x")),
        lambda m: m.again(m.x),
        only_leads,
    ),
    Rule(
        "all of x",
        ("index", "x"),
        "x",
        lambda m: all(part == EVERY for part in m.call.attrs[0]),
    ),
    Rule("slice of slice", ("index", ("index", "x")), sliced_once, plain_slices),
    Rule("flip of flip", ("flip", ("flip", "x")), "x", same_axes),
    Rule("sum over axes of size 1", ("sum_to_one", "x"), "x", ones_only),
    Rule("copy of what is made anew", ("clone", "x"), "x", is_fresh),
    *(
        Rule(f"{name} of a reshape", (name, ("reshape", "x")), over_all, over_everything)
        for name in ("sum", "mean")
    ),
)


# ---- movements behind elementwise operations -----------------------------------------------------


def sunk(scope: Scope, call: Call) -> list[Call] | None:
    """An elementwise call on moved values as a call on the values, and then the movement."""
    moved: dict[Value, Call] = {}
    for value in call.inputs:
        source = scope.maker(value)
        if _is_spread(scope, value):
            continue
        if source is None or source.op.name not in ("reshape", "permute", "expand"):
            return None
        moved[value] = source
    if not moved:
        return None
    first, *others = moved.values()
    before, (out,) = first.inputs[0], call.outs
    if not all(_alike(first, other) for other in others) or not _worth(scope, [first, *others]):
        return None
    if not alike(first.outs[0].shape, out.shape):
        return None
    made: list[Call] = []
    inputs = []
    for value in call.inputs:
        if value in moved:
            value = moved[value].inputs[0]
        elif value.shape != ():  # a number, in some shape
            number = Value((), value.dtype)
            made.append(Call(FULL, (), ((), scope.number(value), value.dtype), (number,)))
            value = number
        inputs.append(value)
    inner = Value(before.shape, out.dtype)
    made.append(call._replace(inputs=tuple(inputs), outs=(inner,)))
    made.append(call._replace(op=first.op, inputs=(inner,), attrs=first.attrs, outs=(out,)))
    return made


def _is_spread(scope: Scope, value: Value) -> bool:
    """Whether a value is one element, in no shape or in any: it is the same however one moves."""
    return value.shape == () or scope.number(value) is not None


def _alike(a: Call, b: Call) -> bool:
    """Whether two movements move alike."""
    x, y = a.inputs[0], b.inputs[0]
    if a.op is not b.op or not alike(x.shape, y.shape):
        return False
    return alike(a.outs[0].shape, b.outs[0].shape) and (a.op is not PERMUTE or a.attrs == b.attrs)


def _worth(scope: Scope, moved: list[Call]) -> bool:
    """Whether the movement stands between operations that could be one kernel."""
    if moved[0].op.name == "expand":
        return True
    if moved[0].op is PERMUTE and any(scope.readers(m.outs[0]) > 1 for m in moved):
        return False  # the turned values are wanted anyway
    makers = [scope.maker(m.inputs[0]) for m in moved]
    return any(c is not None and (callable(c.op.lower) or c.op.name in FRESH) for c in makers)


def implied(scope: Scope, call: Call) -> Call | None:
    """An elementwise call without the expands that its other operands imply."""
    inputs = list(call.inputs)
    shape = call.outs[0].shape
    for i, value in enumerate(inputs):
        source = scope.maker(value)
        if source is None or source.op.name != "expand" or scope.number(value) is not None:
            continue
        rest = [v for j, v in enumerate(inputs) if j != i and scope.number(v) is None]
        if spanned(shape, [*rest, source.inputs[0]]):
            inputs[i] = source.inputs[0]
    return None if tuple(inputs) == call.inputs else call._replace(inputs=tuple(inputs))


def spanned(shape: tuple[Any, ...], inputs: list[Value]) -> bool:
    """Whether values broadcast to a shape by themselves."""
    return all(
        is_one(size) or any(back <= len(v.shape) and alike(v.shape[-back], size) for v in inputs)
        for back, size in enumerate(reversed(shape), 1)
    )
