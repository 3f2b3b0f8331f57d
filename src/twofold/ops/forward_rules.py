"""The slope of each operation's result: the rules of forward mode. Floor 4.

A rule is called as rule(op, tangents, out, xs, attrs): a tangent is None where an input does not
change, and out is the result that op gave for xs. It gives the result's tangent, or None.

The table is by name, and a record with a `jvp` field of its own goes before it. Formulas need no
entry: their derivatives are known. A record without a rule gets its slope from the transpose of its
vjp (autograd/forward.py), which is right for all, and slower.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from twofold.ops.bind import bind
from twofold.ops.compare import gt, largest_of, where
from twofold.ops.elementwise import add, mul, neg, sub
from twofold.ops.formula import FORMULAS, TENSORS, _dual_slope, derivative
from twofold.ops.gather import GATHER
from twofold.ops.movement import expand, reshape
from twofold.ops.normalize import SOFTMAX_BACKWARD
from twofold.ops.op import OPS, Op
from twofold.ops.pooling import MAX_POOL_WITH_INDICES
from twofold.ops.reduce import restore
from twofold.ops.reduce import sum as sum_
from twofold.ops.sorting import LOGCUMSUMEXP
from twofold.ops.tensor import Tensor
from twofold.ops.transcendental import exp, log

Rule = Callable[[Op, tuple[Tensor | None, ...], Any, tuple[Tensor, ...], tuple[Any, ...]], Any]


def total(parts: list[Any]) -> Any:
    """The sum of what is not None."""
    some = [x for x in parts if x is not None]
    return functools.reduce(add, some) if some else None


def formula(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Each tangent times the derivative of the formula by its input."""
    slopes = FORMULAS[op.name].slopes
    parts = []
    for index, t in enumerate(tangents):
        if t is not None and not (slopes and slopes[index] is None):
            parts.append(_formula_part(op, index, t, out, xs, attrs))
    made = total(parts)
    return made if made is None else in_shape(made, out)


def _formula_part(op: Op, index: int, t: Tensor, out: Any, xs: Any, attrs: Any) -> Tensor:
    # a derivative may have an input of the name "out"
    known = {"out": out} | dict(zip(op.inputs, xs, strict=True))
    rule = FORMULAS[op.name]
    saved = tuple(known[name] for name in rule.saves)
    if out.array.dtype.kind == "c":
        slope: Any = rule.slopes[index] if rule.slopes else _dual_slope(rule.body, index)
        return slope(TENSORS, t, *saved, **op.keywords(attrs))  # type: ignore[no-any-return]
    by = derivative(op, index)
    rest = saved[1:] if by is op else saved
    return bind(by, (t, *rest), attrs)  # type: ignore[no-any-return]


def in_shape(t: Tensor, out: Tensor) -> Tensor:
    """A tangent repeated to the shape of its result."""
    shape = tuple(out.array.shape)
    return t if tuple(t.array.shape) == shape else expand(t, shape)


def linear(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Operations that are linear in all their inputs together: the same one of the tangents."""
    parts = [zero_like(x) if t is None else t for t, x in zip(tangents, xs, strict=True)]
    return bind(op, tuple(parts), attrs)


def linear_first(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Linear in the first input; the others are integers."""
    return bind(op, (tangents[0], *xs[1:]), attrs)


def linear_pair(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Linear in the first two inputs together; the others are integers."""
    parts = [zero_like(x) if t is None else t for t, x in zip(tangents[:2], xs[:2], strict=True)]
    return bind(op, (*parts, *xs[2:]), attrs)


def _scatter(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    x, _, source = (zero_like(x) if t is None else t for t, x in zip(tangents, xs, strict=True))
    return bind(op, (x, xs[1], source), attrs)


def bilinear(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Products, linear in each of two inputs; a third is added."""
    (tx, tw, *tb), (x, w, *_) = tangents, xs
    parts = [
        None if tx is None else bind(op, (tx, w), attrs),
        None if tw is None else bind(op, (x, tw), attrs),
    ]
    if tb and tb[0] is not None:
        parts.append(in_shape(_beside(op, tb[0], out), out))
    return total(parts)


def _beside(op: Op, bias: Tensor, out: Tensor) -> Tensor:
    """The bias where it stands in a result: on the last axis, or on axis 1 of images."""
    if op.name != "conv":
        return bias
    return reshape(bias, (1, -1, *(1,) * (out.array.ndim - 2)))


def zero_like(x: Tensor) -> Tensor:
    return bind(OPS["zeros_like"], (x,))  # type: ignore[no-any-return]


def _add(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    return in_shape(total(list(tangents)), out)


def _sub(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    x, y = tangents
    if x is None or y is None:
        return in_shape(neg(y) if x is None else x, out)
    return in_shape(sub(x, y), out)


def _mul(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    (tx, ty), (x, y) = tangents, xs
    return total([None if tx is None else mul(tx, y), None if ty is None else mul(x, ty)])


def _div(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    (tx, ty), (_, y) = tangents, xs
    if ty is None:
        return bind(op, (tx, y))
    change = neg(mul(out, ty)) if tx is None else sub(tx, mul(out, ty))
    return bind(op, (change, y))


def _where(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    _, yes, no = tangents
    if yes is None and no is None:
        return None
    parts = [zero_like(x) if t is None else t for t, x in ((yes, xs[1]), (no, xs[2]))]
    return where(xs[0], *parts)


def _softmax(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    # the Jacobian is its own transpose
    return bind(SOFTMAX_BACKWARD, (tangents[0], out), attrs)


def _log_softmax(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    t = tangents[0]
    return sub(t, sum_(mul(exp(out), t), attrs[0], True))


def _logsumexp(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    dim, keepdim = attrs
    share = exp(sub(xs[0], restore(out, xs[0].array, dim, keepdim)))
    return sum_(mul(share, tangents[0]), dim, keepdim) if dim else mul(share, tangents[0])


def _ranked(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Values and where they stood: the tangents that stand there."""
    return bind(GATHER, (tangents[0], out[1]), (attrs[0],)), None


def _max_pool(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    places = out[1] if isinstance(out, tuple) else bind(MAX_POOL_WITH_INDICES, xs, attrs)[1]
    shape = tuple(places.array.shape)
    flat = (reshape(tangents[0], (*shape[:2], -1)), reshape(places, (*shape[:2], -1)))
    made = reshape(bind(GATHER, flat, (2,)), shape)
    return (made, None) if isinstance(out, tuple) else made


def _logcumsumexp(op: Op, tangents: Any, out: Any, xs: Any, attrs: Any) -> Any:
    """Sums over what comes before, in the logarithms of the positive and the negative parts."""
    parts = []
    for side in (tangents[0], neg(tangents[0])):
        some = gt(side, 0)
        size = where(some, log(where(some, side, 1)), -largest_of(xs[0].dtype))
        parts.append(exp(sub(bind(LOGCUMSUMEXP, (add(size, xs[0]),), attrs), out)))
    return sub(parts[0], parts[1])


FAMILIES: dict[Rule, str] = {
    linear: """
        as_strided avg_pool avg_pool_backward cast cat clone complex conj cumsum diag_embed diagonal
        expand fft flip fold_windows imag index irfft item_of mean neg pad_around pad_around_sum
        permute real real_part reshape rfft roll slice_scatter split stack sum tril triu unbind
        unfold view_as_complex view_as_real view_scatter
    """,
    linear_first: "gather take max_pool_backward",
    linear_pair: "index_put",
    _scatter: "scatter",
    bilinear: "matmul linear conv conv_input_grad conv_weight_grad",
    _add: "add",
    _sub: "sub",
    _mul: "mul",
    _div: "div",
    _where: "where",
    _softmax: "softmax",
    _log_softmax: "log_softmax",
    _logsumexp: "logsumexp",
    _ranked: "sort topk cummax cummin",
    _max_pool: "max_pool max_pool_with_indices",
    _logcumsumexp: "logcumsumexp",
}


RULES: dict[str, Rule] = {name: rule for rule, names in FAMILIES.items() for name in names.split()}


# What scatter may do to stay linear.
LINEAR_REDUCES = ("", "sum")


def slope_rule(op: Op, attrs: tuple[Any, ...] = ()) -> Rule | None:
    """The rule of an operation: its record's own, or its family's; None where the slope comes from
    the transpose of its vjp.
    """
    found = op.jvp or RULES.get(op.name)
    if found is _scatter and attrs and attrs[1] not in LINEAR_REDUCES:
        return None
    return formula if found is None and op.name in FORMULAS else found
