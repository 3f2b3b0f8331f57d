"""The plan of a convolution's gradient by its input. Floor 6.

gx[n, c, i, j] is one chain of fma from +0 over (o, kh, kw), ascending, of the taps that meet it:
with stride s these are the taps of its phase, (i + padding - kh * dilation) divisible by s. A place
outside of gy takes part as +0. Every phase is a product (conv_product) of its own.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from twofold.lower.conv_depthwise import Taps, Target, add_depthwise, is_depthwise
from twofold.lower.conv_forward import pad_planes
from twofold.lower.conv_pack import CLEAR, copy_code
from twofold.lower.conv_product import Lanes, Product, add_product
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import (
    Axis,
    Geometry,
    Panels,
    Table,
    grid,
    make_panels,
    table,
    unit_images,
)
from twofold.lower.conv_tile import Format
from twofold.lower.planes import Unfolded
from twofold.lower.schedule import In, Out, Pointer


class Phase(NamedTuple):
    """The inputs first, first + stride, ... of one axis: which taps meet them, and where in gy."""

    first: int
    size: int
    taps: tuple[int, ...]
    shifts: tuple[int, ...]


def axis_phases(axis: Axis) -> list[Phase]:
    phases = []
    for first in range(min(axis.stride, axis.size)):
        start = first + axis.padding
        reached = [(k, start - k * axis.dilation) for k in range(axis.kernel)]
        met = [(k, at // axis.stride) for k, at in reached if at % axis.stride == 0]
        size = -(-(axis.size - first) // axis.stride)
        phases.append(Phase(first, size, tuple(k for k, _ in met), tuple(s for _, s in met)))
    return phases


def border(axis: Axis, phases: list[Phase]) -> tuple[int, int, int]:
    """(size of gy, zeros before it, padded size), so that every shifted place is inside."""
    before = [-shift for phase in phases for shift in phase.shifts]
    after = [shift + p.size - axis.out for p in phases for shift in p.shifts]
    low, high = max(0, *before, 0), max(0, *after, 0)
    return axis.out, low, low + axis.out + high


class _Tables(NamedTuple):
    source: Table
    steps: Table
    result: Table
    weight_steps: Table
    panels: Panels


@lru_cache(512)
def _phase_tables(
    g: Geometry, row: Phase, column: Phase, low: tuple[int, int], padded: tuple[int, int],
    images: int, lanes: int,
) -> _Tables:  # fmt: skip
    height, width = padded
    source = grid((images, g.filters * height * width), (row.size, width), (column.size, 1))
    source = source + (low[0] * width + low[1])
    shifts = table(np.add.outer(np.array(row.shifts) * width, np.array(column.shifts)))
    steps = table(np.add.outer(np.arange(g.group_filters) * (height * width), shifts))
    columns = g.columns
    result = grid(
        (images, g.channels * g.plane),
        (row.size, g.rows.stride * columns.size),
        (column.size, columns.stride),
    )
    result = result + (row.first * columns.size + column.first)
    taps = np.add.outer(np.array(row.taps) * columns.kernel, np.array(column.taps))
    filter_size = g.group_channels * g.taps
    weight_steps = table(np.add.outer(np.arange(g.group_filters) * filter_size, taps))
    panels = make_panels(source, result, 1, columns.stride, lanes)
    return _Tables(source, steps, result, weight_steps, panels)


def add_input_gradient(steps: Steps, fmt: Format, g: Geometry) -> None:
    """Out(0) = the gradient by x, from In(0) = the gradient by y and In(1) = the weights."""
    phases = axis_phases(g.rows), axis_phases(g.columns)
    rows, columns = border(g.rows, phases[0]), border(g.columns, phases[1])
    pairs = [(a, b) for a in phases[0] for b in phases[1]]
    reached = [(a, b) for a, b in pairs if a.taps and b.taps]
    if len(reached) < len(pairs):
        size = g.batch * g.channels * g.plane
        chunks = steps.chunks(size, elements=size)
        steps.add(copy_code(fmt).address("conv_clear"), CLEAR, chunks, out=Out(0), size=size)
    if is_depthwise(g) and g.group_filters == 1:
        for row, column in reached:
            _add_depthwise_phase(steps, fmt, g, row, column, rows, columns)
        return
    source: Pointer = In(0)
    padded = (rows[2], columns[2])
    if padded != (g.rows.out, g.columns.out):
        source = pad_planes(steps, fmt, source, g.batch * g.filters, rows, columns)
    for row, column in reached:
        _add_phase(steps, fmt, g, row, column, source, (rows[1], columns[1]), padded)


def _add_depthwise_phase(
    steps: Steps,
    fmt: Format,
    g: Geometry,
    row: Phase,
    column: Phase,
    rows: tuple[int, int, int],
    columns: tuple[int, int, int],
) -> None:
    pitch = columns[2] + fmt.width
    u = Unfolded(rows[2], pitch, 1, rows[1], columns[1], pitch)
    down = (np.array(row.shifts) + rows[1]) * pitch
    places = np.add.outer(down, np.array(column.shifts) + columns[1])
    numbers = np.add.outer(np.array(row.taps) * g.columns.kernel, np.array(column.taps))
    width, stride = g.columns.size, g.columns.stride
    first = row.first * width + column.first
    target = Target(row.size, column.size, g.plane, g.rows.stride * width, stride, first)
    taps = Taps(table(places), table(numbers))
    add_depthwise(steps, fmt, g, (rows[0], columns[0]), u, taps, target)


def _add_phase(
    steps: Steps,
    fmt: Format,
    g: Geometry,
    row: Phase,
    column: Phase,
    source: Pointer,
    low: tuple[int, int],
    padded: tuple[int, int],
) -> None:
    images = unit_images(g.batch, row.size * column.size, fmt.columns)
    tables = _phase_tables(g, row, column, low, padded, images, fmt.columns)
    plane = padded[0] * padded[1]
    filter_size = g.group_channels * g.taps
    all_taps = len(row.taps) * len(column.taps) == g.taps
    group_size = g.group_filters * filter_size
    product = Product(
        rows=g.group_channels,
        depth=g.group_filters * len(row.taps) * len(column.taps),
        units=g.batch // images,
        groups=g.groups,
        weights=In(1),
        weight_rows=grid((g.group_channels, g.taps)),
        weight_steps=tables.weight_steps,
        weight_group=group_size,
        bias=0,
        finish=0,
        source=source,
        source_pixels=tables.source,
        source_steps=tables.steps,
        source_unit=images * g.filters * plane,
        source_group=g.group_filters * plane,
        out=Out(0),
        out_pixels=tables.result,
        out_unit=images * g.channels * g.plane,
        out_group=g.group_channels * g.plane,
        out_row=g.plane,
        out_step=g.columns.stride,
        panels=tables.panels,
        lanes=Lanes(g.group_filters, g.taps, group_size, filter_size) if all_taps else None,
    )
    add_product(steps, fmt, product)
