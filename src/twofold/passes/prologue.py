"""Elementwise calls before softmax and layer_norm, as one call with them. Floor 5.

The row kernel computes its elements while it reads (lower/prologue.py), by the recipes of the
operations themselves: the bits are the same. This is done where nobody else reads the elements,
and where all that they are computed from has their shape and type.
"""

from __future__ import annotations

from twofold.base import dtypes
from twofold.base.symbols import alike
from twofold.ir.graph import Call, Graph, Value, producers, replace, uses
from twofold.ops.fused import FUSED, ROWS_OF, Body, Step
from twofold.passes.fuse import elementwise

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
        body = body_of(before, x)
        between = graph.calls[number[id(before)] : number[id(call)]]
        # what is read must not be written over before it is read here
        if body is None or any(one.op.writes for one in between):
            continue
        inputs = before.inputs + call.inputs[1:]
        attrs = (body, len(before.inputs), *call.attrs)
        op = ROWS_OF[call.op.name]
        taken[id(call)] = Call(op, inputs, attrs, call.outs, call.where, call.module)
        gone.add(id(before))
    kept = [taken.get(id(call), call) for call in graph.calls if id(call) not in gone]
    return replace(graph, kept)


def body_of(call: Call, x: Value) -> Body | None:
    """The steps of a call that makes x and nothing else, from values like it."""
    if x.dtype not in TYPES or not all(
        v.dtype is x.dtype and alike(v.shape, x.shape) for v in call.inputs
    ):
        return None
    if call.op is FUSED:
        body, outs = call.attrs
        # the last step is the result, as the row kernel takes it
        return body if outs == (len(call.inputs) + len(body) - 1,) else None
    if not elementwise(call):
        return None
    return Body([Step(call.op, tuple(range(len(call.inputs))), call.attrs, x.dtype)])
