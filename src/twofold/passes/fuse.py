"""Group elementwise calls into one pass over memory. Floor 5.

A call joins the group of one that it reads from where both have one shape, and where nothing
outside of the group stands between them (groups.py). Numbers become part of the body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, final

from twofold.base import dtypes
from twofold.base.symbols import alike, is_one, is_symbol
from twofold.ir.graph import Call, Graph, Value
from twofold.ops.fused import FUSED, Body, Step
from twofold.ops.op import Op
from twofold.passes.groups import Groups

MOST_INPUTS = 12
MOST_OUTPUTS = 6
MOST_STEPS = 64
HALVES = (dtypes.float16, dtypes.bfloat16)
FLOATS = (dtypes.float32, dtypes.float64, *HALVES)
SIGNED = (dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64)
WHOLE = (*SIGNED, dtypes.uint8, dtypes.uint16, dtypes.uint32)
TYPES = (*FLOATS, *WHOLE, dtypes.bool_)
# Where whole numbers are divided, a kernel notes a divisor of 0 under its own name; and the next
# half is not found by way of float32.
ALONE: dict[str, tuple[dtypes.DType, ...]] = {
    **dict.fromkeys(("floor_divide", "trunc_divide", "fmod", "remainder"), WHOLE),
    "nextafter": HALVES,
}
LITERALS = ("full", "expand")


def elementwise(call: Call) -> bool:
    """Whether a call can be a step of a body."""
    op = call.op
    if not (callable(op.lower) or op.name == "cast") or len(call.outs) != 1 or op.effect:
        return False
    kinds = [v.dtype for v in (*call.inputs, *call.outs)]
    alone = ALONE.get(op.name, ())
    return all(kind in TYPES and kind not in alone for kind in kinds)


def complex_step(call: Call) -> bool:
    """Whether a call can be a step of a body, and reads or gives complex numbers."""
    kinds = [v.dtype for v in (*call.inputs, *call.outs)]
    known = call.op.lower_complex is not None or call.op.name == "cast"
    pairs = any(kind.is_complex for kind in kinds)
    return pairs and known and {*kinds} <= {*TYPES, *dtypes.COMPLEXES}


def fuse(graph: Graph) -> Graph:
    """The graph with groups of elementwise calls as single calls."""
    return _Fuser(graph).run()


def literal(value: Value, made: Mapping[Value, Call]) -> Any:
    """The call that makes a value of one number everywhere, or None."""
    source = made.get(value)
    if source is None or source.op.name not in LITERALS:
        return None
    if source.op.name == "expand":
        return literal(source.inputs[0], made)
    return None if is_symbol(source.attrs[1]) else source


def number_of(source: Call, value: Value) -> Step:
    """The step of a body that gives the number which `source` makes `value` of."""
    return Step(source.op, (), ((), *source.attrs[1:]), value.dtype)


def spanned(shape: tuple[Any, ...], inputs: Iterable[Value]) -> bool:
    """Whether values broadcast to a shape: numbers in a body have none, and could not add to it."""
    return all(
        is_one(size) or any(back <= len(v.shape) and alike(v.shape[-back], size) for v in inputs)
        for back, size in enumerate(reversed(shape), 1)
    )


def joined(
    op: Op,
    calls: Sequence[Call],
    inputs: Sequence[Value],
    outs: Sequence[Value],
    literal: Callable[[Value], Any],
) -> Call:
    """One call of a body with the steps of all `calls`, those of bodies among them, which reads
    `inputs`, holds the numbers that `literal` finds, and gives `outs`.
    """
    known = {v: i for i, v in enumerate(inputs)}
    steps: list[Step] = []

    def add(step: Step) -> int:
        steps.append(step)
        return len(inputs) + len(steps) - 1

    for call in calls:
        for v in call.inputs:
            if v not in known:
                known[v] = add(number_of(literal(v), v))
        places = [known[v] for v in call.inputs]
        if call.op is FUSED:
            body, wanted = call.attrs
            for step in body:
                places.append(add(step._replace(args=tuple(places[a] for a in step.args))))
            known |= {v: places[k] for v, k in zip(call.outs, wanted, strict=True)}
        else:
            out = call.outs[0]
            known[out] = add(Step(call.op, tuple(places), call.attrs, out.dtype))
    attrs = (Body(steps), tuple(known[v] for v in outs))
    last = calls[-1]
    return Call(op, tuple(inputs), attrs, tuple(outs), last.where, last.module)


@final
class _Fuser:
    """Groups of elementwise calls over one graph."""

    def __init__(self, graph: Graph) -> None:
        self.groups = Groups(graph)
        self.calls = graph.calls
        self.made = self.groups.made

    def run(self) -> Graph:
        for i, call in enumerate(self.calls):
            if not (elementwise(call) or complex_step(call)):
                continue
            for value in call.inputs:
                source = self.made.get(value)
                if source is not None and self.joinable(source, call):
                    self.groups.join(self.groups.of(source), self.groups.group[i])
        return self.groups.rebuilt(self.call_of)

    def joinable(self, source: Call, call: Call) -> bool:
        step = elementwise(source) or complex_step(source)
        if not step or not alike(source.outs[0].shape, call.outs[0].shape):
            return False
        a, b = self.groups.of(source), self.groups.of(call)
        if a == b:
            return False
        both = self.groups.members[a] + self.groups.members[b]
        if len(both) > MOST_STEPS or not self.groups.free(a, b):
            return False
        inputs, outs = self.interface(both)
        few = 0 < len(inputs) <= MOST_INPUTS and len(outs) <= MOST_OUTPUTS
        return few and self.wide_enough(both, inputs, outs)

    def wide_enough(self, members: list[int], inputs: list[Value], outs: list[Value]) -> bool:
        """Whether each output of a group has the shape that its body gives it."""
        reach: dict[Value, set[Value]] = {v: {v} for v in inputs}
        for i in sorted(members):
            call = self.calls[i]
            reach[call.outs[0]] = {x for v in call.inputs for x in reach.get(v, ())}
        return all(spanned(v.shape, reach[v]) for v in outs)

    def interface(self, members: list[int]) -> tuple[list[Value], list[Value]]:
        """The values that a group reads, numbers apart, and those that others read of it."""
        inputs, outs = self.groups.interface(members)
        return [v for v in inputs if self.literal(v) is None], outs

    def literal(self, value: Value) -> Any:
        return literal(value, self.made)

    def call_of(self, members: list[int]) -> Call:
        if len(members) == 1:
            return self.calls[members[0]]
        calls = [self.calls[i] for i in members]
        return joined(FUSED, calls, *self.interface(members), self.literal)
