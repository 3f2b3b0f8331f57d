"""What each operation is for a batch of inputs: the rules of vmap. Floor 4.

A rule is called as rule(op, lanes, on, xs, attrs). Inputs x with on[i] have the batch as a further
first axis of `lanes`; the others are the same for every lane. It gives the result (or results) with
the batch in front, or NotImplemented: then lanes take turns. Rules are made of the operation itself
and of movements, by families: a lane's numbers are computed in the same order as without a batch,
so that they have the same bits.

The table is by name, since records of wings that are not imported have their rules too; a record
with a `batch` field of its own goes before it, and elementwise records need no entry. One without a
rule is run lane by lane (autograd/vmap.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.ops.batch_indexing import INDEXING
from twofold.ops.batch_kernels import KERNELS
from twofold.ops.batch_shapes import MOVEMENTS, all_on, batched, in_rank, rank_of
from twofold.ops.bind import ITEM, bind
from twofold.ops.compare import eq, logical_not
from twofold.ops.formula import FORMULAS
from twofold.ops.joining import clone
from twofold.ops.movement import expand, reshape
from twofold.ops.op import Op
from twofold.ops.reduce import any as any_of
from twofold.ops.tensor import Tensor
from twofold.ops.writing import write

On = tuple[bool, ...]
Rule = Callable[[Op, int, On, tuple[Tensor, ...], tuple[Any, ...]], Any]


def elementwise(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """The operands broadcast: batched ones get axes of 1 after the batch, up to the common rank."""
    rank = rank_of(on, xs)
    return bind(op, tuple(in_rank(x, b, rank) for x, b in zip(xs, on, strict=True)), attrs)


def reduction(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """attrs[0] are the reduced axes, attrs[1] tells whether they stay."""
    dim, keepdim, *rest = attrs
    if xs[0].array.ndim == 1:
        return bind(op, (reshape(xs[0], (lanes, 1)),), ((1,), False, *rest))
    return bind(op, xs, (tuple(d + 1 for d in dim), keepdim, *rest))


def along(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """attrs[0] is one axis, of which all inputs have as many."""
    return bind(op, all_on(lanes, on, xs), (attrs[0] + 1, *attrs[1:]))


def same_axes(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """Operations on the last axes, or on each element of one input."""
    return bind(op, all_on(lanes, on, xs), attrs)


def fourier(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """attrs[0] is an axis, or a tuple of them."""
    dim, *rest = attrs
    return bind(op, xs, (tuple(d + 1 for d in dim) if isinstance(dim, tuple) else dim + 1, *rest))


def isin(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """Each element with each of its lane's own values."""
    x, values = xs
    if not on[1]:
        return bind(op, xs, attrs)
    x = batched(lanes, on[0], x)
    each = reshape(values, (lanes, *(1,) * (x.array.ndim - 1), -1))
    found = any_of(eq(reshape(x, (*x.array.shape, 1)), each), -1)
    return logical_not(found) if attrs[0] else found


def search(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """Values in sorted rows: one row for all of a lane's values, or a row for each of theirs."""
    rows, values = xs
    if not on[0] and rows.array.ndim == 1:
        return bind(op, xs, attrs)
    rows, values = all_on(lanes, on, xs)
    if rows.array.ndim > 2:
        return bind(op, (rows, values), attrs)
    shape = values.array.shape
    return reshape(bind(op, (rows, reshape(values, (lanes, -1))), attrs), shape)


def drawn(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """Random numbers by their place: each lane has its own. Inputs: the state, then parameters."""
    state, *rest = xs
    rank = rank_of(on[1:], tuple(rest))
    return bind(
        op, (state, *(in_rank(x, b, rank) for x, b in zip(rest, on[1:], strict=True))), attrs
    )


def view_scatter(op: Op, lanes: int, on: On, xs: Any, attrs: Any) -> Any:
    """A copy, written through the views that the chain names."""
    made = clone(batched(lanes, on[0], xs[0]))
    part: Any = made
    for view, its_attrs in attrs[0]:
        rule: Any = None if view is ITEM else rule_of(view)
        part = (
            part[its_attrs[0]] if rule is None else rule(view, lanes, (True,), (part,), its_attrs)
        )
    write(part, expand(in_rank(xs[1], on[1], part.array.ndim - 1), part.array.shape), op.name)
    return made


FAMILIES: dict[Rule, str] = {
    elementwise: """
        bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor
        cast clone complex conj frexp gamma_cdf gamma_sample_slope gcd imag isreal lcm logical_and
        logical_not logical_or logical_xor matmul nextafter polygamma real real_part sgn signbit
        solve solve_triangular
    """,
    reduction: """
        all amax amin any argmax argmin euclidean_norm logsumexp mean median median_place mode_place
        nanmedian prod sum var var_mean
    """,
    along: """
        cummax cummin cumprod cumsum gather log_softmax log_softmax_backward logcumsumexp scatter
        recurrence softmax softmax_backward sort split stack topk unbind unfold
    """,
    same_axes: """
        attention attention_backward cholesky cofactors det eig eigh inv lu matrix_exp
        pad_around pad_around_sum pinv qr slogdet svd tril triu view_as_complex view_as_real
        view_dtype
    """,
    fourier: "fft irfft rfft",
    isin: "isin",
    search: "searchsorted",
    drawn: "random_binomial random_gamma random_poisson",
    view_scatter: "view_scatter",
}
RULES: dict[str, Rule] = MOVEMENTS | INDEXING | KERNELS
RULES |= {name: rule for rule, names in FAMILIES.items() for name in names.split()}


def rule_of(op: Op) -> Rule | None:
    """The rule of an operation: its record's own, or its family's; None where lanes take turns."""
    found = op.batch or RULES.get(op.name)
    if found is None and (callable(op.lower) or op.name in FORMULAS):
        return elementwise
    return found
