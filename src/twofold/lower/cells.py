"""Steps of LSTM and GRU: elementwise over H, with the gates of a row side by side. Floor 6.

A tensor of k blocks is (rows, k H); a recipe sees its element j of every block at once and is the
same for
vectors and for the rest of a row, so that the bits do not depend on where an element stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twofold.base import dtypes
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.exponential import sigmoid, tanh
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, In, Out, Plan, Step, Word, chunks_for, schedule, turned
from twofold.lower.task import Task, arrange

WIDTHS = {"f32": 8, "f64": 4}
Values = list[Value]


class Cell(NamedTuple):
    """Blocks of each input and output, and the recipe: (f, blocks of every input...) -> blocks of
    every output.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    recipe: Callable[..., list[Values]]


def _lstm(f: Function, gates: Values, c: Values) -> list[Values]:
    i, forget, g, o = gates
    new = sigmoid(f, forget) * c[0] + sigmoid(f, i) * tanh(f, g)
    return [[sigmoid(f, o) * tanh(f, new)], [new]]


def _lstm_backward(
    f: Function, gh: Values, gc: Values, gates: Values, c: Values, new: Values
) -> list[Values]:
    i, forget, o = (sigmoid(f, gates[k]) for k in (0, 1, 3))
    g, t = tanh(f, gates[2]), tanh(f, new[0])
    inner = gc[0] + gh[0] * o * (1.0 - t * t)
    by_input, by_forget = inner * g * i * (1.0 - i), inner * c[0] * forget * (1.0 - forget)
    by_gate = [by_input, by_forget, inner * i * (1.0 - g * g), gh[0] * t * o * (1.0 - o)]
    return [by_gate, [inner * forget]]


def _gru_parts(f: Function, projected: Values, recurrent: Values) -> tuple[Value, Value, Value]:
    r, z = (sigmoid(f, projected[k] + recurrent[k]) for k in (0, 1))
    return r, z, tanh(f, projected[2] + r * recurrent[2])


def _gru(f: Function, projected: Values, recurrent: Values, h: Values) -> list[Values]:
    _, z, n = _gru_parts(f, projected, recurrent)
    return [[n + z * (h[0] - n)]]


def _gru_backward(
    f: Function, g: Values, projected: Values, recurrent: Values, h: Values
) -> list[Values]:
    r, z, n = _gru_parts(f, projected, recurrent)
    gn = g[0] * (1.0 - z) * (1.0 - n * n)
    gr, gz = gn * recurrent[2] * r * (1.0 - r), g[0] * (h[0] - n) * z * (1.0 - z)
    return [[gr, gz, gn], [gr, gz, gn * r], [g[0] * z]]


CELLS = {
    "lstm_cell": Cell((4, 1), (1, 1), _lstm),
    "lstm_cell_backward": Cell((1, 1, 4, 1, 1), (4, 1), _lstm_backward),
    "gru_cell": Cell((3, 3, 1), (1,), _gru),
    "gru_cell_backward": Cell((1, 3, 3, 1), (3, 3, 1), _gru_backward),
}


def words_of(cell: Cell) -> str:
    ins = [f"in{i}:ptr" for i in range(len(cell.inputs))]
    outs = [f"out{i}:ptr" for i in range(len(cell.outputs))]
    return " ".join([*ins, *outs, "rows", "h"])


def build(name: str, element: str) -> Module:
    cell = CELLS[name]
    m = Module(f"{name}_{element}")
    t = Task(m, "cell", words_of(cell))
    f, width = t.f, WIDTHS[element]
    lo, hi = t.share(t.rows)
    whole = (t.h // width) * width
    with f.loop(lo, hi) as row:
        for first, last, step in ((f.const("i64", 0), whole, width), (whole, t.h, 1)):
            kind = f"{element}x{width}" if step > 1 else element
            with f.loop(first, last, step) as j:
                _element(t, cell, row, j, element, kind)
    f.ret()
    return m


def _element(t: Task, cell: Cell, row: Value, j: Value, element: str, kind: str) -> None:
    def places(name: str, blocks: int) -> Values:
        start = t.words[name].at(row * t.h * blocks + j, element)
        return [start.at(t.h * k, element) if k else start for k in range(blocks)]

    inputs = [[p.load(kind) for p in places(f"in{i}", k)] for i, k in enumerate(cell.inputs)]
    made = cell.recipe(t.f, *inputs)
    for i, (k, values) in enumerate(zip(cell.outputs, made, strict=True)):
        for place, value in zip(places(f"out{i}", k), values, strict=True):
            place.store(value)


def _planner(name: str) -> None:
    cell = CELLS[name]

    @schedule(name)
    def plan(
        args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
    ) -> Plan | None:
        """Inputs and outputs (..., blocks * H) as CELLS names them."""
        dtype = args[0].dtype
        if dtype not in (dtypes.float32, dtypes.float64):
            return None
        element = dtype.loops
        task = load(f"cell/{name}/{element}", lambda: build(name, element)).address("cell")
        h = args[0].shape[-1] // cell.inputs[0]
        rows = args[0].size // max(args[0].shape[-1], 1)
        values: dict[str, Word] = {f"in{i}": In(i) for i in range(len(args))}
        values |= {f"out{i}": Out(i) for i in range(len(outs))} | {"rows": rows, "h": h}
        chunks = chunks_for(8 * rows * h, threads)
        return Plan((Step(task, arrange(words_of(cell), values), chunks),), contiguous=turned(args))


for _name in CELLS:
    _planner(_name)
