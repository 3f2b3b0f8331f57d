"""Run the calls of a graph one by one, as operations on tensors. Floor 9.

Slower than its program, with the same results: what differentiates a compiled gradient again, and
what the debugger steps through.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twofold.base.symbols import value_of
from twofold.ir.graph import Call, Value
from twofold.ops.bind import ITEM, bind_recorded, execute
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor, wrap


def replay(calls: Iterable[Call], known: dict[Value, Tensor], values: Sequence[Any] | None) -> None:
    """Add the outputs of the calls to the known values, the symbols having these values; None
    leaves them symbols.
    """
    for call in calls:
        made = run_call(call, known, values)
        known.update(zip(call.outs, made, strict=True))


def run_call(
    call: Call, known: dict[Value, Tensor], values: Sequence[Any] | None
) -> tuple[Any, ...]:
    """The outputs of one call."""
    inputs = tuple([known[v] for v in call.inputs])
    if call.op is ITEM:
        return (inputs[0][call.attrs[0]],)  # type: ignore[index]
    attrs = call.attrs if values is None else value_of(call.attrs, values)
    made = bind_recorded(call.op, inputs, attrs)
    if isinstance(made, tuple):
        return made
    if len(call.outs) == 1:
        return (made,)
    return made, *map(wrap, _residuals(call.op, inputs, attrs, made))


def _residuals(op: Op, inputs: tuple[Any, ...], attrs: Any, made: Tensor) -> Sequence[Any]:
    """The arrays that an operation makes for its gradient, beside its result."""
    if made.node is not None and made.node.op is op:
        kept: Any = made.node.out
        return kept[1:] if op.saves_out else kept  # type: ignore[no-any-return]
    return execute(op, [x.array for x in inputs], attrs)[1:]  # type: ignore[no-any-return]
