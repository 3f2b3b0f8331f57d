"""Cells run over sequences: static_rnn over a list, dynamic_rnn over an axis. Floor 13."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.base.dtypes import float32
from twofold.base.errors import ArgumentError
from twofold.base.trees import flatten, unflatten
from twofold.frontends import control
from twofold.ops import compare, creation
from twofold.ops.tensor import Tensor
from twofold.v1 import rnn_cell
from twofold.v1.arrays import cast, concat, range_, reverse, stack, transpose, where
from twofold.v1.rnn_cell import RNNCell
from twofold.v1.state import given, variable_scope


def _begin(op: str, cell: RNNCell, first: Any, batch: Any, dtype: Any) -> Any:
    if first is not None:
        return first
    if dtype is None:
        raise ArgumentError(op, "there is no state to begin with", hint="initial_state= or dtype=")
    return cell.zero_state(batch, dtype)


def _while_it_lasts(alive: Any, new: Any, old: Any) -> Any:
    """The new state of rows that go on, the old one of those whose sequence is over."""
    parts, form = flatten(new)
    kept = [where(alive, a, b) for a, b in zip(parts, flatten(old)[0], strict=True)]
    return unflatten(kept, form)


def static_rnn(
    cell: RNNCell,
    inputs: Sequence[Any],
    initial_state: Any = None,
    dtype: Any = None,
    sequence_length: Any = None,
    scope: Any = None,
) -> tuple[list[Tensor], Any]:
    """The outputs of a cell for a list of inputs, each (batch, width), and the last state.

    sequence_length: of each row, how many inputs count; further outputs are 0.
    """
    xs = [given(x) for x in inputs]
    state = _begin("static_rnn", cell, initial_state, xs[0].array.shape[0], dtype)
    outputs = []
    with variable_scope(scope or "rnn"):
        for turn, x in enumerate(xs):
            made, new = cell(x, state)
            if sequence_length is not None:
                alive = (cast(given(sequence_length), "int64") > turn).unsqueeze(1)
                made, new = where(alive, made, 0.0 * made), _while_it_lasts(alive, new, state)
            outputs.append(made)
            state = new
    return outputs, state


def dynamic_rnn(
    cell: RNNCell,
    inputs: Any,
    sequence_length: Any = None,
    initial_state: Any = None,
    dtype: Any = None,
    parallel_iterations: Any = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
) -> tuple[Tensor, Any]:
    """The outputs of a cell along the time axis of (batch, time, width), and the last state: one
    loop, whatever the time.

    time_major: the inputs are (time, batch, width), and so are the outputs
    sequence_length: of each row, how many inputs count; further outputs are 0
    """
    x = given(inputs)
    x = x if time_major else transpose(x, (1, 0, 2))
    time, batch = x.array.shape[:2]
    first = _begin("dynamic_rnn", cell, initial_state, batch, dtype or x.dtype)
    with variable_scope(scope or "rnn"):
        cell(creation.zeros((1, x.array.shape[2]), dtype=x.dtype), _rows(first, 1))  # its variables

        def step(state: Any, turn: Any) -> tuple[Any, Any]:
            if sequence_length is None:
                made, new = cell(turn, state)
                return new, made
            one, number = turn
            made, new = cell(one, state)
            alive = (cast(given(sequence_length), "int64") > number).unsqueeze(1)
            return _while_it_lasts(alive, new, state), where(alive, made, 0.0 * made)

        numbers = creation.arange(time)
        xs = x if sequence_length is None else (x, numbers)
        last, outputs = control.scan(step, first, xs)
    return (outputs if time_major else transpose(outputs, (1, 0, 2))), last


def _rows(state: Any, count: int) -> Any:
    """A state of so many rows of zeros, of the same kind."""
    parts, form = flatten(state)
    made = [creation.zeros((count, *x.array.shape[1:]), dtype=x.dtype) for x in parts]
    return unflatten(made, form)


def reverse_sequence(
    input: Any, seq_lengths: Any, seq_axis: int = 1, batch_axis: int = 0, **_: Any
) -> Tensor:
    """The first `seq_lengths` elements of an axis turned around, of each row of another axis."""
    x, counts = given(input), cast(given(seq_lengths), "int64")
    moved = x.movedim((batch_axis, seq_axis), (0, 1))
    places = cast(range_(moved.array.shape[1]), "int64").unsqueeze(0)
    turned = counts.unsqueeze(1) - 1 - places
    places = compare.where(turned >= 0, turned, places)
    shape = (*places.array.shape, *[1] * (moved.ndim - 2))
    places = places.reshape(shape).expand(tuple(moved.array.shape))
    return moved.gather(1, places).movedim((0, 1), (batch_axis, seq_axis))


def bidirectional_dynamic_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Any,
    sequence_length: Any = None,
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = None,
    parallel_iterations: Any = None,
    swap_memory: bool = False,
    time_major: bool = False,
    scope: Any = None,
) -> tuple[tuple[Tensor, Tensor], tuple[Any, Any]]:
    """dynamic_rnn from the front and from the back: both outputs, both last states."""
    x = given(inputs)
    axis = 0 if time_major else 1

    def turned(y: Any) -> Tensor:
        if sequence_length is None:
            return reverse(y, [axis])
        return reverse_sequence(y, sequence_length, axis, 1 - axis)

    with variable_scope(scope or "bidirectional_rnn"):
        given_ = {"dtype": dtype, "time_major": time_major}
        ahead, last = dynamic_rnn(
            cell_fw, x, sequence_length, initial_state_fw, scope="fw", **given_
        )
        back, first = dynamic_rnn(
            cell_bw, turned(x), sequence_length, initial_state_bw, scope="bw", **given_
        )
    return (ahead, turned(back)), (last, first)


def static_bidirectional_rnn(
    cell_fw: RNNCell,
    cell_bw: RNNCell,
    inputs: Sequence[Any],
    initial_state_fw: Any = None,
    initial_state_bw: Any = None,
    dtype: Any = float32,
    sequence_length: Any = None,
    scope: Any = None,
) -> tuple[list[Tensor], Any, Any]:
    """static_rnn from the front and from the back: the outputs side by side, both last states."""
    xs = stack([given(x) for x in inputs], 0)
    outputs, states = bidirectional_dynamic_rnn(
        cell_fw,
        cell_bw,
        xs,
        sequence_length,
        initial_state_fw,
        initial_state_bw,
        dtype,
        time_major=True,
        scope=scope,
    )
    both = concat(outputs, 2)
    return [both[turn] for turn in range(len(inputs))], *states


__all__ = [
    "bidirectional_dynamic_rnn",
    "dynamic_rnn",
    "reverse_sequence",
    "rnn_cell",
    "static_bidirectional_rnn",
    "static_rnn",
]
