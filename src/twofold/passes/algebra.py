"""Rewrites of arithmetic, choices and conversions, as a table. Floor 5.

Each keeps every bit: signs of zeros, and NaN with its sign and payload. So there is no 0 + x -> x
for any x, no x - x -> 0, no -(a - b) -> b - a, and nothing is re-associated.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.ir.graph import Call
from twofold.ops.source import FULL
from twofold.passes.facts import holds, is_never_minus_zero, is_quiet
from twofold.passes.rules import Match, Rule, Scope


def real(m: Match) -> bool:
    """Whether x is of a real type, without signaling NaN."""
    return not m.x.dtype.is_complex and is_quiet(m.scope, m.x)


def plus(m: Match) -> bool:
    return real(m) and is_never_minus_zero(m.scope, m.x)


def truths(m: Match) -> bool:
    return m.x.dtype is dtypes.bool_


def same_kind(m: Match) -> bool:
    return m.x.dtype is m.out.dtype


IDENTITIES = (
    Rule("x * 1", ("mul", "x", 1), "x", real),
    Rule("1 * x", ("mul", 1, "x"), "x", real),
    Rule("x / 1", ("div", "x", 1), "x", real),
    Rule("x - 0", ("sub", "x", 0), "x", real),
    Rule("x + -0", ("add", "x", -0.0), "x", real),
    Rule("-0 + x", ("add", -0.0, "x"), "x", real),
    Rule("x + 0", ("add", "x", 0), "x", plus),
    Rule("0 + x", ("add", 0, "x"), "x", plus),
    Rule("-(-x)", ("neg", ("neg", "x")), "x"),
    Rule("||x||", ("abs", ("abs", "x")), ("abs", "x"), lambda m: not m.x.dtype.is_complex),
    Rule("|-x|", ("abs", ("neg", "x")), ("abs", "x"), lambda m: not m.x.dtype.is_complex),
    Rule("relu of relu", ("relu", ("relu", "x")), ("relu", "x")),
    *(
        Rule(f"{name} of {name}", (name, (name, "x")), (name, "x"))
        for name in ("floor", "ceil", "trunc")
    ),
    Rule("max(x, x)", ("maximum", "x", "x"), "x"),
    Rule("min(x, x)", ("minimum", "x", "x"), "x"),
)

LOGIC = (
    Rule("where(c, x, x)", ("where", "c", "x", "x"), "x"),
    Rule(
        "where(not c, x, y)",
        ("where", ("logical_not", "c"), "x", "y"),
        ("where", "c", "y", "x"),
        lambda m: m.c.dtype is dtypes.bool_,
    ),
    Rule("not not x", ("logical_not", ("logical_not", "x")), "x", truths),
    Rule("not x == y", ("logical_not", ("eq", "x", "y")), ("ne", "x", "y")),
    Rule("not x != y", ("logical_not", ("ne", "x", "y")), ("eq", "x", "y")),
    Rule("x and x", ("logical_and", "x", "x"), "x", truths),
    Rule("x or x", ("logical_or", "x", "x"), "x", truths),
)


def exact_between(m: Match) -> bool:
    """Whether a conversion by way of another type is the conversion without it."""
    (middle,) = m.calls[0].inputs
    source, target = m.x.dtype, m.out.dtype
    if not holds(middle.dtype, source):
        return False
    if source is target:
        return is_quiet(m.scope, m.x)
    if source is dtypes.bool_:
        return True
    # whole numbers by way of floats: what does not fit the target is another matter
    return middle.dtype.is_floating_point is source.is_floating_point


CASTS = (
    Rule("cast to its own type", ("cast", "x"), "x", same_kind),
    Rule("cast of cast", ("cast", ("cast", "x")), lambda m: m.again(m.x), exact_between),
    Rule(
        "sum of counted truth values",
        ("sum", ("cast", "x")),
        lambda m: m.again(m.x),
        lambda m: m.out.dtype is dtypes.int64 and holds(dtypes.int64, m.x.dtype),
    ),
)

# Operations that are one instruction of IEEE 754, which NumPy and kernels round alike.
EXACT = frozenset(
    ("add", "sub", "mul", "div", "neg", "abs", "sqrt", "square", "cast")
    + ("eq", "ne", "lt", "le", "gt", "ge")
)
FOLDED = (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64, dtypes.bool_)


def folded(scope: Scope, call: Call) -> Call | None:
    """A call on numbers as the number that it gives; None where it does not give one."""
    op = call.op
    if op.name not in EXACT or any(v.dtype not in FOLDED for v in (*call.inputs, *call.outs)):
        return None
    numbers = [scope.number(v) for v in call.inputs]
    if any(number is None for number in numbers):
        return None
    arrays = [np.asarray(n, v.dtype.numpy) for n, v in zip(numbers, call.inputs, strict=True)]
    with np.errstate(all="ignore"):
        made: Any = np.asarray(op.ref(*arrays, **op.keywords(call.attrs)))
    if not np.isfinite(made):
        return None
    (out,) = call.outs
    return call._replace(op=FULL, inputs=(), attrs=(out.shape, made.item(), out.dtype))
