"""Convolutions followed by batch_norm and elementwise operations, as one call. Floor 5.

    conv -> batch_norm_inference -> fused(., residual, body=[add; relu])   becomes   conv_then

The convolution's kernel does the rest to the block of results that it has just finished, while
they are near (lower/conv_then.py), by the recipes of the operations themselves: the bits are the
same. What comes behind moves up to the place of the convolution, so that all that it reads must
have been made before, and nobody else may read what is no longer stored.
"""

from __future__ import annotations

from typing import Any, final

from twofold.base import dtypes
from twofold.base.symbols import alike, is_symbol
from twofold.ir.graph import Call, Graph, Value, producers, replace, uses
from twofold.ops.fused import CONV_THEN, FUSED, Body, Step
from twofold.passes.fuse import elementwise

TYPES = (dtypes.float32, dtypes.float64)
MOST_OTHERS = 4


def convolutions(graph: Graph) -> Graph:
    """The graph with what follows a convolution taken into it."""
    return _Taker(graph).run()


@final
class _Taker:
    """What each convolution takes. The last one is asked first: more is made before it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers = uses(graph)
        self.needed = set(graph.needed())
        number = {id(call): i for i, call in enumerate(graph.calls)}
        self.made = {value: number[id(call)] for value, call in producers(graph).items()}
        self.gone: set[int] = set()

    def run(self) -> Graph:
        calls = list(self.graph.calls)
        for number in reversed(range(len(calls))):
            call = calls[number]
            if call.op.name == "conv" and call.outs[0].dtype in TYPES:
                calls[number] = self.taken(number, call)
        return replace(self.graph, [call for call in calls if id(call) not in self.gone])

    def taken(self, number: int, conv: Call) -> Call:
        (value,) = conv.outs
        extra: tuple[Value, ...] = ()
        eps, body = None, Body()
        norm = self.reader(number, value)
        if norm is not None and norm.op.name == "batch_norm_inference":
            extra, (eps,), (value,) = norm.inputs[1:], norm.attrs, norm.outs
            self.gone.add(id(norm))
        after = self.reader(number, value)
        found = None if after is None else body_of(after, value)
        if after is not None and found is not None:
            body, others = found
            extra, (value,) = extra + others, after.outs
            self.gone.add(id(after))
        if value is conv.outs[0]:
            return conv
        biased = len(conv.inputs) > 2
        attrs = (*conv.attrs, biased, eps, body)
        return conv._replace(op=CONV_THEN, inputs=conv.inputs + extra, attrs=attrs, outs=(value,))

    def reader(self, number: int, value: Value) -> Call | None:
        """The only call that reads a value, if call `number` could do it as well."""
        found = self.readers.get(value, [])
        if value in self.needed or not found or any(call is not found[0] for call in found):
            return None
        call = found[0]
        early = all(v is value or self.made.get(v, -1) < number for v in call.inputs)
        typed = all(v.dtype is value.dtype for v in (*call.inputs, *call.outs))
        return call if early and typed and id(call) not in self.gone else None


def body_of(call: Call, value: Value) -> tuple[Body, tuple[Value, ...]] | None:
    """What an elementwise call does to a value, as a body that reads it first, and the call's other
    inputs; None where these have another shape, or where the body computes in other types."""
    if len(call.outs) != 1 or any(not alike(v.shape, value.shape) for v in call.inputs):
        return None
    others = tuple(v for v in dict.fromkeys(call.inputs) if v is not value)
    if len(others) > MOST_OTHERS:
        return None
    place = {v: i for i, v in enumerate((value, *others))}
    if call.op is FUSED:
        body, outs = call.attrs
        order = [place[v] for v in call.inputs]
        steps = [_moved(step, order) for step in body]
        if outs != (len(order) + len(body) - 1,) or len(order) != len(place):
            return None
    elif elementwise(call) and call.op.lower is not None and not any(map(is_symbol, call.attrs)):
        args = tuple(place[v] for v in call.inputs)
        steps = [Step(call.op, args, call.attrs, call.outs[0].dtype)]
    else:
        return None
    if any(step.dtype is not value.dtype for step in steps):
        return None
    return Body(steps), others


def _moved(step: Any, order: list[int]) -> Step:
    """A step whose inputs have other numbers; results of steps keep theirs."""
    count = len(order)
    return Step(
        step.op,
        tuple(order[a] if a < count else a for a in step.args),
        step.attrs,
        step.dtype,
    )
