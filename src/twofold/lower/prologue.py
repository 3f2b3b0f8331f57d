"""Rows whose elements are computed while they are read: softmax(gelu(x)) in one pass. Floor 6.

The first phase of the row program computes the elements from the inputs and keeps them in the
output row, where the later phases find them: a row is in the cache then, and what would lie between
two kernels is neither written to memory nor read back. The elements are what the operations give
alone and the phases are the same, so the bits are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from twofold.base.types import Type
from twofold.codegen.cache import digest
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.fused import body_recipe
from twofold.lower.norms import AFFINE, layer_norm_program
from twofold.lower.row_plan import plan_rows, row_axes
from twofold.lower.rows import Let, Phase, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, Plan, schedule
from twofold.lower.softmax import log_softmax_program, softmax_program

# The program for a lane type and so many further inputs, and the names of these.
PROGRAMS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "softmax_of": (lambda lane, count: softmax_program(lane), ()),
    "log_softmax_of": (lambda lane, count: log_softmax_program(lane), ()),
    "layer_norm_of": (layer_norm_program, AFFINE),
}
ROW, KEPT = "x", "y"  # what a program calls its input row and its output row


@final
class Renamed:
    """What a recipe sees, with the kept row for the input row."""

    def __init__(self, seen: Any) -> None:
        self._seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._seen, KEPT if name == ROW else name)


def with_prologue(program: RowProgram, recipe: Any, count: int, name: str) -> RowProgram:
    """The program whose row is `recipe` of `count` rows x0, x1, ...

    Its first phase must reduce the row itself, and none may read the row after `y` is stored.
    """
    rows = tuple(f"{ROW}{i}" for i in range(count))
    first, *later = program.phases
    assert isinstance(first, Reduce) and first.keep is None and KEPT in program.outs

    def elements(f: Function, v: Any) -> tuple[Value, ...]:
        made: tuple[Value, ...] = recipe(f, *[getattr(v, row) for row in rows])
        return made

    reading = first._replace(values=elements, keep=KEPT)
    return program._replace(
        name=f"{program.name}/{name}",
        rows=dict.fromkeys(rows, program.lane),
        phases=(reading, *map(renamed, later)),
    )


def renamed(phase: Phase) -> Phase:
    """The phase on the kept row."""
    if isinstance(phase, Reduce):
        values = phase.values
        return phase._replace(values=lambda f, v: values(f, Renamed(v)))
    assert isinstance(phase, Let | Store | Save)
    value = phase.value
    return phase._replace(value=lambda f, v: value(f, Renamed(v)))


def _plan_rows_of(
    name: str,
    args: tuple[Arg, ...],
    outs: tuple[Type, ...],
    attrs: Mapping[str, Any],
    threads: int,
) -> Plan:
    """Inputs of the body, `count` of them, then those of the operation besides its row."""
    body, count = attrs["body"], attrs["count"]
    make, others = PROGRAMS[name]
    kinds = [arg.dtype for arg in args[:count]]
    key = digest(f"{body} {count}")
    recipe = body_recipe(body, kinds, (count + len(body) - 1,))
    program = with_prologue(make(kinds[0].loops, len(args) - count), recipe, count, key)
    inputs = dict(zip((*program.rows, *others), args, strict=False))
    numbers = {"eps": attrs["eps"]} if "eps" in program.numbers else None
    return plan_rows(program, inputs, row_axes(attrs, len(args[0].shape)), threads, numbers)


def _register(name: str) -> None:
    @schedule(name)
    def plan(
        args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
    ) -> Plan:
        return _plan_rows_of(name, args, outs, attrs, threads)


for _name in PROGRAMS:
    _register(_name)
