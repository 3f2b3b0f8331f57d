"""The plan of a convolution's gradient by its input. Floor 6.

gx[n, c, i, j] is one chain of fma from +0 over (o, kh, kw), ascending, of the taps that meet it:
with stride s these are the taps of its phase, (i + padding - kh * dilation) divisible by s. A place
outside of gy takes part as +0. Every phase is a product (conv_product) of its own.
"""

from functools import lru_cache, partial

import numpy as np

from twofold.base.records import NamedTuple
from twofold.lower.conv_depthwise import add_gradient, is_depthwise
from twofold.lower.conv_lanes import takes_lanes
from twofold.lower.conv_lanewise import add_lanewise_gradient
from twofold.lower.conv_pack import Planes, add_clear
from twofold.lower.conv_product import Lanes, Product, add_products, fitting
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import (
    Geometry,
    Panels,
    Phase,
    Table,
    axis_phases,
    border,
    grid,
    make_panels,
    table,
    unit_images,
)
from twofold.lower.conv_tile import Format
from twofold.lower.schedule import In, Out


class _Tables(NamedTuple):
    source: Table
    steps: Table
    result: Table
    weight_steps: Table


@lru_cache(512)
def _phase_tables(g: Geometry, row: Phase, column: Phase, images: int) -> _Tables:
    (_, top, height), (_, left, width) = border(g.rows), border(g.columns)
    source = grid((images, g.filters * height * width), (row.size, width), (column.size, 1))
    source = source + (top * width + left)
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
    return _Tables(source, steps, result, weight_steps)


@lru_cache(512)
def _phase_panels(g: Geometry, row: Phase, column: Phase, images: int, lanes: int) -> Panels:
    tables = _phase_tables(g, row, column, images)
    return make_panels(tables.source, tables.result, 1, g.columns.stride, lanes)


def add_input_gradient(steps: Steps, fmt: Format, g: Geometry) -> None:
    """Out(0) = the gradient by x, from In(0) = the gradient by y and In(1) = the weights."""
    if takes_lanes(g, fmt) and g.group_filters == 1:
        add_lanewise_gradient(steps, fmt, g)
        return
    if is_depthwise(g) and g.group_filters == 1:
        weights = (In(1), g.taps)
        planes = g.batch * g.channels
        add_gradient(steps, fmt, (g.rows, g.columns), planes, In(0), weights, g.channels)
        return
    pairs = [(a, b) for a in axis_phases(g.rows) for b in axis_phases(g.columns)]
    reached = [(a, b) for a, b in pairs if a.taps and b.taps]
    if len(reached) < len(pairs):
        add_clear(steps, fmt, g.batch * g.channels * g.plane)
    if reached:
        parts = [partial(_product, g, row, column) for row, column in reached]
        if len(parts) == 1:
            fmt, product = fitting(parts[0], fmt, steps.frozen)
            add_products(steps, fmt, [product])
        else:
            add_products(steps, fmt, [part(fmt) for part in parts])


def _product(g: Geometry, row: Phase, column: Phase, fmt: Format) -> Product:
    """The gradient at the places of one phase."""
    images = unit_images(g.batch, row.size * column.size, fmt.columns)
    tables = _phase_tables(g, row, column, images)
    planes = Planes(border(g.rows), border(g.columns))
    filter_size = g.group_channels * g.taps
    all_taps = len(row.taps) * len(column.taps) == g.taps
    group_size = g.group_filters * filter_size
    return Product(
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
        source=In(0),
        planes=planes,
        unit_planes=images * g.filters,
        source_pixels=tables.source,
        source_steps=tables.steps,
        source_unit=images * g.filters * planes.out_size,
        source_group=g.group_filters * planes.out_size,
        out=Out(0),
        out_pixels=tables.result,
        out_unit=images * g.channels * g.plane,
        out_group=g.group_channels * g.plane,
        out_row=g.plane,
        out_step=g.columns.stride,
        panels=partial(_phase_panels, g, row, column, images, fmt.columns),
        lanes=Lanes(g.group_filters, g.taps, group_size, filter_size) if all_taps else None,
        scattered=True,
    )
