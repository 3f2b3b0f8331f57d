"""Padding by a tensor's own elements (ops/padding.py), and its gradient: kernels, plans. Floor 6.

The last axes, up to three, are layers, rows and columns of planes. A table for each axis tells of
which element each one of the padded axis is a copy; what lies between the sides is moved as it is.
In the gradient an element's copies are added in the order of layers and rows, and of a row first
the one between the sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.target import host
from twofold.ir.build import Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value
from twofold.lower.copy import KINDS
from twofold.lower.schedule import Arg, In, Out, Plan, Step, chunks_for, schedule, turned
from twofold.lower.splice import HALVES, through
from twofold.lower.task import Task
from twofold.ops.padding import places_around

WORDS = (
    "x:ptr out:ptr planes layers rows columns more_layers more_rows more_columns before parts "
    "layer_table:ptr row_table:ptr column_table:ptr"
)
Attrs = Mapping[str, Any]


def _entry(table: Value, index: Value) -> Value:
    return table.at(index, "i64").load("i64")


def _near_line(t: Task, plane: Value, layer: Value, row: Value) -> Value:
    """The number of the line of the smaller tensor that a padded line is a copy of."""
    above = plane * t.layers + _entry(t.layer_table, layer)
    return above * t.rows + _entry(t.row_table, row)


def _each_side(t: Task, body: Callable[[Value], None]) -> None:
    """Call body(column) for the columns on both sides of a padded line."""
    last = t.before + t.columns
    for low, high in ((t.f.const("i64", 0), t.before), (last, t.more_columns)):
        with t.f.loop(low, high) as column:
            body(column)


def build_around(kind: str) -> Module:
    """Task `around`: a padded tensor; an element is `parts` numbers of this kind."""
    m = Module("pad_around")
    t = Task(m, "around", WORDS)
    f, size = t.f, TYPES[kind].size
    low, high = t.share(t.planes * t.more_layers * t.more_rows)
    with f.loop(low, high) as line:
        above = line // t.more_rows
        row, plane = line - above * t.more_rows, above // t.more_layers
        near = _near_line(t, plane, above - plane * t.more_layers, row)
        source = t.x.at(near * t.columns * t.parts, kind)
        target = t.out.at(line * t.more_columns * t.parts, kind)

        def move(column: Value, source: Value = source, target: Value = target) -> None:
            place = _entry(t.column_table, column) * t.parts
            with f.loop(0, t.parts) as part:
                number = source.at(place + part, kind).load(kind)
                target.at(column * t.parts + part, kind).store(number)

        _each_side(t, move)
        f.memcpy(target.at(t.before * t.parts, kind), source, t.columns * t.parts * size)
    return m


def build_around_sum(kind: str) -> Module:
    """Task `around`: each element of `out` the sum over its copies. A chunk has its own planes."""
    m = Module("pad_around_sum")
    t = Task(m, "around", WORDS)
    f, size = t.f, TYPES[kind].size
    lanes = host().vector_bytes // size
    whole = t.columns // lanes * lanes
    low, high = t.share(t.planes)
    plane_size = t.layers * t.rows * t.columns
    f.memset(t.out.at(low * plane_size, kind), 0, (high - low) * plane_size * size)
    per_plane = t.more_layers * t.more_rows
    with f.loop(low, high) as plane, f.loop(0, per_plane) as place:
        layer = place // t.more_rows
        row = place - layer * t.more_rows
        target = t.out.at(_near_line(t, plane, layer, row) * t.columns, kind)
        source = t.x.at((plane * per_plane + place) * t.more_columns, kind)
        with f.loop(0, whole, lanes) as column:
            _add(target.at(column, kind), source.at(column + t.before, kind), vector(kind, lanes))
        with f.loop(whole, t.columns) as column:
            _add(target.at(column, kind), source.at(column + t.before, kind), kind)

        def fold(column: Value, source: Value = source, target: Value = target) -> None:
            near = target.at(_entry(t.column_table, column), kind)
            _add(near, source.at(column, kind), kind)

        _each_side(t, fold)
    return m


def _add(target: Value, source: Value, kind: str) -> None:
    target.store(target.load(kind) + source.load(kind))


def _job(sides: Any, how: str, parts: int, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """The words of a job about planes of this shape, and the tables to keep."""
    more = 3 - len(sides)
    size = (*(1,) * more, *shape[len(shape) - len(sides) :])
    around = (*((0, 0),) * more, *sides)
    tables = [
        np.ascontiguousarray(places_around(n, side, how), np.int64)
        for n, side in zip(size, around, strict=True)
    ]
    planes = prod(shape[: len(shape) - len(sides)])
    grown = [len(table) for table in tables]
    addresses = [table.ctypes.data for table in tables]
    job = (In(0), Out(0), planes, *size, *grown, around[-1][0], parts, *addresses)
    return job, tables


@schedule("pad_around")
def plan_around(args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int) -> Plan:
    """Input x; attributes sides, how."""
    if outs[0].size == 0:
        return Plan(())
    size = args[0].dtype.itemsize
    kind, parts = KINDS[min(size, 8)], max(size // 8, 1)
    job, tables = _job(attrs["sides"], attrs["how"], parts, args[0].shape)
    code = load(f"around/{kind}", lambda: build_around(kind))
    lines = outs[0].size // outs[0].shape[-1]
    chunks = min(lines, chunks_for(outs[0].size, threads))
    return Plan((Step(code.address("around"), job, chunks),), 0, turned(args), tuple(tables))


@schedule("pad_around_sum")
def plan_around_sum(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan | None:
    """Input g; attributes sides, how, size."""
    dtype = args[0].dtype
    if dtype in HALVES:
        return through(plan_around_sum, HALVES, args, outs, attrs, threads)
    if outs[0].size == 0:
        return Plan(())
    job, tables = _job(attrs["sides"], attrs["how"], 1, outs[0].shape)
    code = load(f"around_sum/{dtype.loops}", lambda: build_around_sum(dtype.loops))
    planes = prod(outs[0].shape[: len(outs[0].shape) - len(attrs["sides"])])
    chunks = min(planes, chunks_for(args[0].size, threads))
    return Plan((Step(code.address("around"), job, chunks),), 0, turned(args), tuple(tables))
