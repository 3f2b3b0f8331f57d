"""Elementwise calls before softmax and layer_norm, as one call with them. Floor 5.

The row kernel computes its elements while it reads (lower/prologue.py), by the recipes of the
operations themselves: the bits are the same. This is done where nobody else reads the elements,
and where all that they are computed from, numbers apart, has their shape and type.
"""

from __future__ import annotations

from collections.abc import Mapping

from twofold.base import dtypes
from twofold.base.symbols import alike
from twofold.ir.graph import Call, Graph, Value, producers, replace, uses
from twofold.ops.fused import FUSED, ROWS_OF, Body, Step
from twofold.passes.fuse import elementwise, literal, number_of

TYPES = (dtypes.float32, dtypes.float64)


def prologues(graph: Graph) -> Graph:
    """The graph with elementwise calls taken into the rows that they are computed for."""
    made, readers, needed = producers(graph), uses(graph), set(graph.needed())
    number = {id(call): i for i, call in enumerate(graph.calls)}
    taken: dict[int, Call] = {}  # by the row call's id: the call that it becomes
    gone: set[int] = set()
    for call in graph.calls:
        if call.op.name not in ROWS_OF:
            continue
        x = call.inputs[0]
        before = made.get(x)
        if before is None or x in needed or len(readers[x]) > 1 or x in call.inputs[1:]:
            continue
        found = body_of(before, made)
        between = graph.calls[number[id(before)] : number[id(call)]]
        # what is read must not be written over before it is read here
        if found is None or any(one.op.writes for one in between):
            continue
        read, body = found
        inputs = read + call.inputs[1:]
        attrs = (body, len(read), *call.attrs)
        op = ROWS_OF[call.op.name]
        taken[id(call)] = Call(op, inputs, attrs, call.outs, call.where, call.module)
        gone.add(id(before))
    kept = [taken.get(id(call), call) for call in graph.calls if id(call) not in gone]
    return replace(graph, kept)


def body_of(call: Call, made: Mapping[Value, Call]) -> tuple[tuple[Value, ...], Body] | None:
    """What a call reads, numbers apart, and the steps that make its one result of it; None where
    that is not all of one shape and type.
    """
    x = call.outs[0]
    inputs = tuple(dict.fromkeys(v for v in call.inputs if literal(v, made) is None))
    alone = len(call.outs) == 1 and x.dtype in TYPES
    if not (alone and inputs and all(like(v, x) for v in inputs)):
        return None
    if call.op is FUSED:
        body, outs = call.attrs
        # the last step is the result, as the row kernel takes it
        last = outs == (len(call.inputs) + len(body) - 1,)
        last = last and not any(step.dtype.is_complex for step in body)
        return (call.inputs, body) if last and inputs == call.inputs else None
    if not elementwise(call):
        return None
    known = {v: i for i, v in enumerate(inputs)}
    steps: list[Step] = []
    for v in call.inputs:
        if v not in known:
            known[v] = len(inputs) + len(steps)
            steps.append(number_of(literal(v, made), v))
    steps.append(Step(call.op, tuple(known[v] for v in call.inputs), call.attrs, x.dtype))
    return inputs, Body(steps)


def like(v: Value, x: Value) -> bool:
    return v.dtype is x.dtype and alike(v.shape, x.shape)
