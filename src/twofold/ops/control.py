"""Choices and loops over values, as operations whose attributes are graphs. Floor 4.

Their functions are in frontends/control.py. Each branch or body is a `Body`: a graph that runs as
one plan. A graph that has such a call steps out of machine code for it: Python picks the branch, or
turns the loop, a few microseconds each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from twofold.base.records import NamedTuple
from twofold.base.symbols import value_of
from twofold.base.types import Type
from twofold.ir.graph import Graph
from twofold.ops.op import define

Run = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]


class Check(NamedTuple):
    """A result of a body that tells of an index out of range: its number, and the error."""

    result: int
    error: Callable[[Any], Exception]


@final
class Body:
    """A branch, or the body of a loop: the graph, how to run it, and its checks."""

    __slots__ = ("checks", "graph", "run")

    def __init__(self, graph: Graph, run: Run, checks: tuple[Check, ...]) -> None:
        self.graph = graph
        self.run = run
        self.checks = checks

    def __call__(self, arrays: Sequence[Any], sizes: Sequence[Any]) -> tuple[Any, ...]:
        """The results, whose last are those of the checks. Raises a check's error."""
        made = self.run(arrays, sizes)
        for result, error in self.checks:
            if made[result]:
                raise error("(computed)")
        return made

    def types(self, first: int, last: int) -> tuple[Type, ...]:
        return tuple(v.type for v in self.graph.results[first:last])

    def __str__(self) -> str:
        return "{\n" + str(self.graph) + "\n}"


# ---- cond


def _cond(pred: Any, *arrays: Any, yes: Body, no: Body, split: Any, sizes: Any, outs: int) -> Any:
    operands, first, second = split
    shared, own = arrays[:operands], arrays[operands : operands + first]
    if not pred:
        own = arrays[operands + first : operands + first + second]
    made = (yes if pred else no)((*shared, *own), sizes)
    return made[:outs]


COND = define(
    "cond",
    inputs="pred *operands",
    attrs=("yes", "no", "split", "sizes", "outs"),
    doc="One of two graphs on the operands, by a truth value.",
    infer=lambda *types, yes, outs, **_: yes.types(0, outs),
    ref=_cond,
    outputs=-1,
    torch=False,
    samples=lambda r: [],
)

# ---- while


def _while(*arrays: Any, test: Body, body: Body, split: Any, sizes: Any) -> Any:
    count, first, _ = split
    carry = tuple(arrays[:count])
    tested, turned = arrays[count : count + first], arrays[count + first :]
    while test((*carry, *tested), sizes)[0]:
        carry = body((*carry, *turned), sizes)[:count]
    return carry


WHILE = define(
    "while_loop",
    inputs="*operands",
    attrs=("test", "body", "split", "sizes"),
    doc="A graph on its own results for as long as another is true of them.",
    infer=lambda *types, split, **_: tuple(types[: split[0]]),
    ref=_while,
    outputs=-1,
    torch=False,
    samples=lambda r: [],
)


def _while_grad(*arrays: Any, test: Body, body: Body, back: Body, split: Any, sizes: Any) -> Any:
    """Turn the loop again, keep what it carried, and walk back through that."""
    count, first, second, slopes = split
    carry = tuple(arrays[:count])
    tested, turned = arrays[count : count + first], arrays[count + first : count + first + second]
    rest = arrays[count + first + second :]
    gradients, outer = rest[:slopes], rest[slopes:]
    carried = []
    while test((*carry, *tested), sizes)[0]:
        carried.append(carry)
        carry = body((*carry, *turned), sizes)[:count]
    sums = tuple(np.zeros(value_of(t.shape, sizes), t.dtype.numpy) for t in _sums(back, slopes))
    for before in reversed(carried):
        made = back((*before, *gradients, *sums, *outer), sizes)
        gradients, sums = made[:slopes], made[slopes : slopes + len(sums)]
    return (*gradients, *sums)


def _sums(back: Body, slopes: int) -> tuple[Type, ...]:
    return back.types(slopes, len(back.graph.results) - len(back.checks))


WHILE_GRAD = define(
    "while_loop_grad",
    inputs="*operands",
    attrs=("test", "body", "back", "split", "sizes"),
    doc="The gradient of a loop by what it began with, and by what its body reads.",
    infer=lambda *types, back, split, **_: back.types(
        0, len(back.graph.results) - len(back.checks)
    ),
    ref=_while_grad,
    outputs=-1,
    torch=False,
    samples=lambda r: [],
)

# ---- scan


def _scan(*arrays: Any, body: Body, split: Any, sizes: Any, reverse: bool) -> Any:
    count, scanned, stacked = split
    carry = tuple(arrays[:count])
    xs, outer = arrays[count : count + scanned], arrays[count + scanned :]
    length = xs[0].shape[0]
    ys = [
        np.empty((length, *value_of(t.shape, sizes)), t.dtype.numpy)
        for t in body.types(count, count + stacked)
    ]
    for turn in range(length - 1, -1, -1) if reverse else range(length):
        made = body((*carry, *[x[turn, ...] for x in xs], *outer), sizes)
        carry = made[:count]
        for y, part in zip(ys, made[count:], strict=False):
            y[turn] = part
    return (*carry, *ys)


def _scan_types(*types: Type, body: Body, split: Any, **_: Any) -> tuple[Type, ...]:
    count, _, stacked = split
    length = types[count].shape[0]
    ys = [t.with_shape((length, *t.shape)) for t in body.types(count, count + stacked)]
    return (*types[:count], *ys)


SCAN = define(
    "scan",
    inputs="*operands",
    attrs=("body", "split", "sizes", "reverse"),
    doc="A graph on a carry and on the slices of tensors, one after the other.",
    infer=_scan_types,
    ref=_scan,
    outputs=-1,
    torch=False,
    samples=lambda r: [],
)
