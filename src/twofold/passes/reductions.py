"""Group reductions with the elementwise calls before and after them. Floor 5.

    mean((a - b) ** 2)             the difference and its square are never stored
    e = exp(x - max(x)); e / sum(e)   one pass over rows, each of which stays near
    g = relu_by_input(d, y); sum(g, 0)   g is stored for others, and summed on the way

A group has reductions over the same axes of one shape, elementwise calls of that shape, and calls
on what the reductions leave. Only over the last axes are elements made of sums in the same group:
rows can wait for their sums, columns would be read twice. How a group is computed is decided when
its sizes are known (lower/fused_reduce.py), always with the bits of the calls one by one.
"""

from __future__ import annotations

from typing import Any, final

from twofold.base import dtypes
from twofold.base.symbols import alike
from twofold.ir.graph import Call, Graph, Value
from twofold.ops.fused import FUSED, FUSED_REDUCE
from twofold.passes.fuse import (
    FLOATS,
    MOST_INPUTS,
    MOST_OUTPUTS,
    MOST_STEPS,
    WHOLE,
    elementwise,
    joined,
    literal,
)
from twofold.passes.groups import Groups

EXTREMES = ("amax", "amin")
REDUCES = ("sum", "sum_to_one", "mean", *EXTREMES)
PLAIN = (dtypes.float32, dtypes.float64)


def reductions(graph: Graph) -> Graph:
    """The graph with groups of reductions and elementwise calls as single calls."""
    if not any(call.op.name in REDUCES for call in graph.calls):
        return graph
    return _Joiner(graph).run()


def reduces(call: Call) -> bool:
    """Whether a call is a reduction that can be part of a group."""
    if call.op.name not in REDUCES:
        return False
    kind = call.inputs[0].dtype
    known = PLAIN if call.op.name in EXTREMES else (*FLOATS, *WHOLE, dtypes.bool_)
    return kind in known and len(call.attrs[0]) > 0


def pointwise(call: Call) -> bool:
    return (call.op is FUSED and not _is_complex(call)) or elementwise(call)


def _is_complex(call: Call) -> bool:
    body, _ = call.attrs
    return any(x.dtype.is_complex for x in (*call.inputs, *body))


@final
class _Joiner:
    """Groups over one graph."""

    def __init__(self, graph: Graph) -> None:
        self.groups = Groups(graph)
        self.calls = graph.calls
        self.made = self.groups.made

    def run(self) -> Graph:
        for i, call in enumerate(self.calls):
            if not (reduces(call) or pointwise(call)):
                continue
            for value in call.inputs:
                source = self.made.get(value)
                if source is None or not (reduces(source) or pointwise(source)):
                    continue
                a, b = self.groups.of(source), self.groups.group[i]
                if a != b and self.joinable(a, b):
                    self.groups.join(a, b)
        return self.groups.rebuilt(self.call_of)

    def joinable(self, a: int, b: int) -> bool:
        members = sorted(self.groups.members[a] + self.groups.members[b])
        calls = [self.calls[i] for i in members]
        if not any(map(reduces, calls)) or not self.fits(calls):
            return False
        inputs, outs = self.interface(members)
        if not inputs or len(inputs) > MOST_INPUTS or len(outs) > MOST_OUTPUTS:
            return False
        steps = sum(len(c.attrs[0]) if c.op is FUSED else 1 for c in calls)
        return steps <= MOST_STEPS and self.has_axes(calls, inputs) and self.groups.free(a, b)

    def has_axes(self, calls: list[Call], inputs: list[Value]) -> bool:
        """Whether what is reduced has its axes from what the group reads: a number times 1 as
        f32[1] has none in a body.
        """
        ranks = {v: len(v.shape) for v in inputs}
        for call in calls:
            rank = max((ranks.get(v, 0) for v in call.inputs), default=0)
            if reduces(call):
                if rank < len(call.inputs[0].shape):
                    return False
                rank = len(call.outs[0].shape)
            ranks |= dict.fromkeys(call.outs, rank)
        return True

    def fits(self, calls: list[Call]) -> bool:
        """Whether calls are reductions of one shape over the same axes, elementwise calls of that
        shape, and calls on nothing but what the reductions leave.
        """
        first = next(c for c in calls if reduces(c))
        shape, axes = first.inputs[0].shape, first.attrs[0]
        last = tuple(axes) == tuple(range(len(shape) - len(axes), len(shape)))
        rows = last and len(axes) < len(shape)
        left: set[Value] = set()
        for call in calls:
            if reduces(call):
                if not alike(call.inputs[0].shape, shape) or call.attrs[0] != axes:
                    return False
                left.update(call.outs)
                continue
            numbers = [v for v in call.inputs if self.literal(v) is None]
            if numbers and all(v in left for v in numbers):
                left.update(call.outs)
                continue
            if not all(alike(v.shape, shape) for v in call.outs):
                return False
            if any(v in left for v in numbers) and not rows:
                return False
        return True

    def interface(self, members: list[int]) -> tuple[list[Value], list[Value]]:
        """The values that a group reads, numbers apart, and those that others read of it."""
        inputs, outs = self.groups.interface(members)
        return [v for v in inputs if self.literal(v) is None], outs

    def literal(self, value: Value) -> Any:
        """The call that makes a value of one number, in no shape, or None."""
        return literal(value, self.made) if value.shape == () else None

    def call_of(self, members: list[int]) -> Call:
        if len(members) == 1:
            return self.calls[members[0]]
        calls = [self.calls[i] for i in members]
        return joined(FUSED_REDUCE, calls, *self.interface(members), self.literal)
