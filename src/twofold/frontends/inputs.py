"""How a program finds its inputs at each call, and what memory they may not lie in. Floor 9."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError, TwofoldError
from twofold.frontends.asked import ASKED
from twofold.ops.tensor import Tensor, type_of, wrap

ARRAY = operator.attrgetter("array")


@final
class Getters:
    """Where the inputs of a program are, sorted by how they are found.

    order   puts what was found, in the order arguments, states, others, into the graph's; or None
    """

    def __init__(self, sources: Sequence[Any]) -> None:
        kinds = [_kind(source) for source in sources]
        places = sorted(range(len(sources)), key=lambda place: kinds[place])
        self.arguments = [sources[p].key for p in places if kinds[p] == 0]
        self.states = [sources[p].key for p in places if kinds[p] == 1]
        self.others = [sources[p] for p in places if kinds[p] == 2]
        turned = [places.index(p) for p in range(len(sources))]
        in_order = turned == list(range(len(sources)))
        self.order = None if in_order else operator.itemgetter(*turned)


def _kind(source: Any) -> int:
    if source.kind == "argument":
        return 0
    return 1 if source.kind == "state" and isinstance(source.key, Tensor) else 2


def sizes_of(symbols: Sequence[Any], sources: Sequence[Any]) -> list[tuple[int, int]] | None:
    """For each symbol the input and the axis whose size it is; None where one is a number."""
    inputs = {source.key: i for i, source in enumerate(sources) if source.kind == "argument"}
    if any(axis is None or key not in inputs for key, axis in symbols):
        return None
    return [(inputs[key], axis) for key, axis in symbols]


def size_of(leaves: Sequence[Any], symbol: tuple[Any, int | None]) -> Any:
    key, axis = symbol
    if key == ASKED:
        return None  # until it is computed
    return leaves[key] if axis is None else leaves[key].array.shape[axis]


def array_now(leaves: Sequence[Any], source: Any) -> Any:
    """The array of an argument, or of its gradient, in the call that is captured."""
    x = leaves[source.key]
    return x.array if source.kind == "argument" else x.leaf_grad.array


def shared(x: Tensor, other: Any) -> ArgumentError:
    """The error for an argument in memory that is written as another tensor."""
    return ArgumentError(
        "compile",
        "an argument shares memory with another tensor that the function writes",
        argument=type_of(x),
        other=type_of(wrap(other)),
        hint="pass a copy, x.clone(); or take the view of it inside of the function",
    )


def unwritable(array: Any) -> TwofoldError | None:
    """The error for an array that the function writes and that cannot be written."""
    hint = "pass a copy: x.clone()"
    if not array.flags.writeable:
        what = "the memory of a tensor that the function writes is read-only"
        return ArgumentError("compile", what, tensor=type_of(wrap(array)), hint=hint)
    if not array.flags.forc and overlaps(array):
        what = "the function writes a tensor of which several elements are one in memory"
        return ShapeError("compile", what, tensor=type_of(wrap(array)), hint=hint)
    return None


def overlaps(array: Any) -> bool:
    """Whether elements share memory; steps that lie within one another are counted out."""
    steps = sorted((abs(s), n) for s, n in zip(array.strides, array.shape, strict=True) if n > 1)
    reach = array.itemsize
    for step, count in steps:
        if step < reach:
            break
        reach += step * (count - 1)
    else:
        return False
    offsets = np.zeros(1, np.int64)
    for step, count in steps:
        offsets = np.add.outer(offsets, np.arange(count) * step).reshape(-1)
    offsets.sort()
    return bool((np.diff(offsets) < array.itemsize).any())
