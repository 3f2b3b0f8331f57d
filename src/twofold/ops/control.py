"""Choices and loops over values, as operations whose attributes are graphs. Floor 4.

Their functions are in frontends/control.py. Each branch or body is a `Body`. In a program it is run
by machine code, as a part of that program (exec/control.py); the references here, in Python, are
what that is compared with.

An index out of range in a body, or an assertion that fails, ends the loop. It is told by truth
values, which are the last results of a body and the last outputs of its operation, for the program
around to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from twofold.base.symbols import value_of
from twofold.base.types import Type
from twofold.ir.graph import Call, Graph
from twofold.ops.op import define

Run = Callable[[Sequence[Any], Sequence[Any]], tuple[Any, ...]]


@final
class Body:
    """A branch, or the body of a loop: the graph, and how to run it on its own.

    passes      what its graph goes through before it runs; None for the usual ones
    structure   what planning it needs to know, once it was planned (exec/control.py)
    traced      what its gradient is made of (frontends/control.py); None in a loaded program
    """

    __slots__ = ("graph", "passes", "run", "structure", "traced")

    def __init__(self, graph: Graph, run: Run) -> None:
        self.graph = graph
        self.run = run
        self.passes: Any = None
        self.structure: Any = None
        self.traced: Any = None

    def types(self, first: int, last: int | None = None) -> tuple[Type, ...]:
        return tuple(v.type for v in self.graph.results[first:last])

    def __str__(self) -> str:
        return "{\n" + str(self.graph) + "\n}"


def bodies(call: Call) -> list[Body]:
    """The graphs that a call runs."""
    return [x for x in call.attrs if type(x) is Body]


def has_effect(call: Call) -> bool:
    """Whether a call, or one in the graphs that it runs, does more than make its outputs."""
    return call.op.effect or any(
        has_effect(inner) for body in bodies(call) for inner in body.graph.calls
    )


def _unset(count: int) -> tuple[Any, ...]:
    return (np.False_,) * count


# ---- cond


def _cond(pred: Any, *arrays: Any, yes: Body, no: Body, split: Any, sizes: Any, outs: int) -> Any:
    operands, first, second = split
    shared, own = arrays[:operands], arrays[operands : operands + first]
    if not pred:
        own = arrays[operands + first : operands + first + second]
    made = (yes if pred else no).run((*shared, *own), sizes)
    others = len((no if pred else yes).graph.results) - outs
    checks = (*made[outs:], *_unset(others)) if pred else (*_unset(others), *made[outs:])
    return (*made[:outs], *checks)


def _cond_types(*types: Type, yes: Body, no: Body, outs: int, **_: Any) -> tuple[Type, ...]:
    return (*yes.types(0), *no.types(outs))


COND = define(
    "cond",
    inputs="pred *operands",
    attrs=("yes", "no", "split", "sizes", "outs"),
    doc="One of two graphs on the operands, by a truth value.",
    infer=_cond_types,
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
    checks = _unset(len(body.graph.results) - count)
    while True:
        going, *tests = test.run((*carry, *tested), sizes)
        if not going or any(tests):
            return (*carry, *checks, *tests)
        made = body.run((*carry, *turned), sizes)
        carry, checks = made[:count], made[count:]
        if any(checks):
            return (*carry, *checks, *tests)


def _while_types(*types: Type, test: Body, body: Body, split: Any, **_: Any) -> tuple[Type, ...]:
    return (*types[: split[0]], *body.types(split[0]), *test.types(1))


WHILE = define(
    "while_loop",
    inputs="*operands",
    attrs=("test", "body", "split", "sizes"),
    doc="A graph on its own results for as long as another is true of them.",
    infer=_while_types,
    ref=_while,
    outputs=-1,
    torch=False,
    samples=lambda r: [],
)


def _while_grad(*arrays: Any, test: Body, body: Body, back: Body, split: Any, sizes: Any) -> Any:
    """Turn the loop again, keep what it carried, and walk back through that."""
    count, first, second, slopes, summed = split
    carry = tuple(arrays[:count])
    tested, turned = arrays[count : count + first], arrays[count + first : count + first + second]
    rest = arrays[count + first + second :]
    gradients, sums = rest[:slopes], rest[slopes : slopes + summed]
    outer = rest[slopes + summed :]
    carried = []
    while test.run((*carry, *tested), sizes)[0]:
        carried.append(carry)
        carry = body.run((*carry, *turned), sizes)[:count]
    for before in reversed(carried):
        made = back.run((*before, *gradients, *sums, *outer), sizes)
        gradients, sums = made[:slopes], made[slopes : slopes + summed]
    return (*gradients, *sums)


WHILE_GRAD = define(
    "while_loop_grad",
    inputs="*operands",
    attrs=("test", "body", "back", "split", "sizes"),
    doc="The gradient of a loop by what it began with, and by what its body reads.",
    infer=lambda *types, back, split, **_: back.types(0, split[3] + split[4]),
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
    checks = _unset(len(body.graph.results) - count - stacked)
    for turn in range(length - 1, -1, -1) if reverse else range(length):
        made = body.run((*carry, *[x[turn, ...] for x in xs], *outer), sizes)
        carry, checks = made[:count], made[count + stacked :]
        for y, part in zip(ys, made[count:], strict=False):
            y[turn] = part
        if any(checks):
            break
    return (*carry, *ys, *checks)


def _scan_types(*types: Type, body: Body, split: Any, **_: Any) -> tuple[Type, ...]:
    count, _, stacked = split
    length = types[count].shape[0]
    ys = [t.with_shape((length, *t.shape)) for t in body.types(count, count + stacked)]
    return (*types[:count], *ys, *body.types(count + stacked))


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
