"""What the gradient of a carry begins with at each turn of a scan. Floor 9.

Plain Python's walk adds to the gradient of a value in the order in which its uses were made, the
last one first. A value that is carried and also stacked is used after the loop, then in the next
turn, use by use: so the slope of the stack is what the next turn begins with, and what was used
after the loop is what the first turn begins with. A sum of two numbers has no order, so that
carries that a turn uses once are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.autograd.walk import target_of
from twofold.frontends.bodies import Traced
from twofold.ops.bind import BINDERS
from twofold.ops.elementwise import add, neg
from twofold.ops.joining import cat
from twofold.ops.movement import expand, reshape
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor


def begun_carries(traced: Traced, count: int) -> list[int]:
    """The carries whose gradients a turn begins: those that it uses more than once, or hands on."""
    capture = traced.capture
    leaves = {id(x) for x in traced.leaves}
    read: dict[Any, int] = {}
    for call in traced.calls:
        several = 2 if call.op.name in BINDERS else 1
        for value in call.inputs:
            read[value] = read.get(value, 0) + several
    for x in traced.results:
        value = capture.value_of(x.array)
        read[value] = read.get(value, 0) + 1
    return [
        i
        for i, leaf in enumerate(traced.leaves[:count])
        if leaf.tracked
        and (
            read.get(capture.value_of(leaf.array), 0) > 1
            or id(target_of(traced.results[i])) in leaves
        )
    ]


def stacked_carries(traced: Traced, count: int, begun: Sequence[int]) -> dict[int, int]:
    """The stacked results that are what a turn carries, too: result number to number of carry."""
    targets = [id(target_of(x)) if x.tracked else None for x in traced.results]
    carry = {targets[i]: i for i in reversed(begun) if targets[i] is not None}
    return {j: carry[t] for j, t in enumerate(targets[count:], count) if t in carry}


def starts(
    like: Tensor,
    slopes: Sequence[Tensor],
    before: Tensor | None,
    last: Tensor | None,
    length: Any,
    reverse: bool,
) -> tuple[Tensor, Tensor] | None:
    """What the gradient of a carry begins with at each turn, and after the last one; None where no
    turn begins with anything.

    like: what is carried. slopes: of stacks that hold the carry after each turn, in the order of
    the stacks. before: what has arrived for the carry before the first turn. last: for the carry
    after the last one.
    """
    if not slopes and before is None:
        return None
    shape, storage = tuple(like.array.shape), like.array.dtype
    nothing = neg(zeros_of((1, *shape), storage))  # to -0.0 any number adds as itself
    first = nothing if before is None else reshape(before, (1, *shape))
    newest, *others = reversed(slopes) if slopes else [expand(nothing, (length, *shape))]
    rows, end = _shifted(first, newest, reverse)
    last = end if last is None else add(last, end)
    for slope in others:
        more, end = _shifted(nothing, slope, reverse)
        rows, last = add(rows, more), add(last, end)
    return rows, last


def _shifted(first: Tensor, rows: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
    """The rows, each one turn later, after a first one; and the one after the last turn."""
    whole: Any = cat([rows, first] if reverse else [first, rows])
    return (whole[1:], whole[0]) if reverse else (whole[:-1], whole[-1])
