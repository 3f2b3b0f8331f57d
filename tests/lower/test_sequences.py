"""LSTM and GRU over a sequence: the bits of their cells, of any threads, of rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import twofold
from twofold.base import dtypes
from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.exec.eager import run_reference
from twofold.ir.build import Module
from twofold.lower.schedule import Arg, find_planner
from twofold.lower.strided import dense_strides
from twofold.lower.task import Task
from twofold.lower.tile import TILES
from twofold.ops import sequences
from twofold.ops.bind import bind
from twofold.ops.cells import gru_cell, lstm_cell
from twofold.ops.linear import linear
from twofold.ops.tensor import Tensor

COLUMNS = TILES["float32"].columns
ROWS = TILES["float32"].rows
# Steps, rows, hidden units: parts of panels and of tiles, several blocks of rows, one of each.
SIZES = [(1, 1, 1), (7, 2, 5), (2, 3, COLUMNS), (3, ROWS + 2, COLUMNS + 3), (2, 4 * ROWS + 1, 40)]


def random(*shape: int, dtype: Any = np.float32) -> Tensor:
    values = np.random.default_rng(sum(shape)).normal(size=shape) * 0.7
    return twofold.tensor(values.astype(dtype))


def inputs(name: str, size: tuple[int, int, int], bias: bool, dtype: Any = np.float32) -> Any:
    steps, rows, h = size
    gates = 4 if name == "lstm" else 3
    shapes = [(steps, rows, gates * h), (gates * h, h), (rows, h)]
    shapes += [(rows, h)] * (name == "lstm") + [(gates * h,)] * bias
    return tuple(random(*shape, dtype=dtype) for shape in shapes)


def by_cells(name: str, reverse: bool, projected: Tensor, weight: Tensor, *rest: Tensor) -> Any:
    states = rest[: 2 if name == "lstm" else 1]
    bias = rest[len(states) :]
    outs: list[Any] = [None] * len(projected)
    for t in sequences._order(len(outs), reverse):
        product = linear(states[0], weight, *bias)
        if name == "lstm":
            states = lstm_cell(projected[t] + product, states[1])
        else:
            states = (gru_cell(projected[t], product, states[0]),)
        outs[t] = states
    return [twofold.stack(list(part)) for part in zip(*outs, strict=True)]


def run(name: str, reverse: bool, *given: Tensor) -> Any:
    op = sequences.LSTM if name == "lstm" else sequences.GRU
    return bind(op, given, (reverse,))


def equal(a: Tensor, b: Tensor) -> bool:
    return a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_the_bits_of_the_cells(
    name: str, size: tuple[int, int, int], bias: bool, reverse: bool
) -> None:
    given = inputs(name, size, bias)
    made = run(name, reverse, *given)
    wanted = by_cells(name, reverse, *given)
    assert all(equal(a, b) for a, b in zip(made[: len(wanted)], wanted, strict=True))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_as_the_reference(name: str, size: tuple[int, int, int], reverse: bool, dtype: Any) -> None:
    given = inputs(name, size, True, dtype)
    made = run(name, reverse, *given)
    op = sequences.LSTM if name == "lstm" else sequences.GRU
    attrs: dict[str, Any] = {"reverse": reverse}
    close(made, run_reference(op, [x.array for x in given], attrs), dtype)
    steps, rows, h = size
    g = random(steps, rows, h, dtype=dtype)
    if name == "gru":
        back, args = sequences.GRU_BACKWARD, (g, given[1], given[2], *made)
    else:
        attrs |= {"by_h": True, "by_c": True}
        back, args = sequences.LSTM_BACKWARD, (given[1], given[3], *made[1:], g, g * 0.5)
    found = bind(back, args, tuple(attrs.values()))
    close(found, run_reference(back, [x.array for x in args], attrs), dtype)


def close(made: Any, wanted: Any, dtype: Any) -> None:
    tolerance = 2e-4 if dtype == np.float32 else 1e-11
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b, tolerance, tolerance * max(1, np.abs(b).max()))


def gradients(name: str, given: Any, reverse: bool, sequence: Callable[..., Any]) -> Any:
    leaves = [x.detach().clone().requires_grad_() for x in given]
    outs = sequence(name, reverse, *leaves)
    outs = outs[: 2 if name == "lstm" else 1]
    total = sum((out * random(*out.shape)).sum() for out in outs)
    return twofold.autograd.grad(total, leaves)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_gradients_as_through_cells(name: str, size: tuple[int, int, int], reverse: bool) -> None:
    given = inputs(name, size, True)
    made, wanted = (gradients(name, given, reverse, f) for f in (run, by_cells))
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), 1e-4, 1e-4 * b.abs().max().item())


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_threads_and_other_rows_change_nothing(name: str) -> None:
    given = inputs(name, (4, 40, 96), True)
    found = []
    for threads in (1, 2, 3):
        twofold.set_num_threads(threads)
        found.append([*run(name, False, *given), *gradients(name, given, False, run)])
    twofold.set_num_threads(2)
    assert all(equal(a, b) for f in found[1:] for a, b in zip(f, found[0], strict=True))
    row = [x[:, 7:8] if x.ndim == 3 else x[7:8] if x.shape[0] == 40 else x for x in given]
    alone = run(name, False, *row)
    assert all(equal(a[:, 7:8], b) for a, b in zip(found[0], alone, strict=False))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_no_rows(name: str) -> None:
    given = inputs(name, (2, 0, 3), True)
    assert run(name, False, *given)[0].shape == (2, 0, 3)
    by_projected, by_weight, by_state = gradients(name, given, False, run)[:3]
    assert by_projected.shape[1] == 0 and by_state.shape == (0, 3) and not by_weight.any()


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_sizes_that_do_not_fit(name: str) -> None:
    projected, weight, *rest = inputs(name, (2, 3, 4), False)
    with pytest.raises(ShapeError, match="no steps"):
        run(name, False, projected[:0], weight, *rest)
    with pytest.raises(ShapeError, match="do not fit"):
        run(name, False, projected, weight[:, :3], *rest)
    with pytest.raises(ShapeError, match="do not fit"):
        run(name, False, projected[:, :2], weight, *rest)


def test_a_job_word_is_not_called_as_what_every_task_has():
    with pytest.raises(ValueError, match="'chunks'"):
        Task(Module("m"), "t", "x:ptr chunks")


def test_a_plan_is_no_longer_for_a_longer_sequence():
    def steps(length: int) -> int:
        rows, h = 4, 8
        shapes = [(length, rows, 4 * h), (4 * h, h), (rows, h), (rows, h)]
        args = tuple(Arg(shape, dtypes.float32, dense_strides(shape)) for shape in shapes)
        outs = [(length, rows, h), (length, rows, h), (length, rows, 4 * h)]
        types = tuple(Type(shape, dtypes.float32) for shape in outs)
        return len(find_planner("lstm_sequence")(args, types, {"reverse": False}, 2).steps)

    assert steps(5) == steps(500) == 4
