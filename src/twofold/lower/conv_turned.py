"""Convolution with pixels as the rows of a tile, read in place, filters as columns. Floor 6.

The same chains as conv_packed, turned: fma(a, b, c) = fma(b, a, c). The filters are packed before,
once, by conv_lanes. The work is shared by blocks of tiles.
"""

from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value, Var
from twofold.lower.conv_pack import define_inner
from twofold.lower.conv_tile import (
    ADD_BIAS,
    RELU,
    Format,
    call_tile,
    define_tiles,
    entry,
    put_turned,
)
from twofold.lower.task import Task

# Tiles whose results wait on the stack until their chains are complete.
TILE_BLOCK = 16

TURNED = "source:ptr source_rows:ptr source_steps:ptr unit_step group_step "
TURNED += "unit_planes height width out_height out_width top left buffer:ptr buffer_size "
TURNED += "weights:ptr weight_group bias:ptr finish place:ptr out:ptr out_unit out_group out_row "
TURNED += "pixels filters depth depth_block tile_blocks groups items"


def turned_code(fmt: Format) -> Code:
    return load(f"conv/turned/{fmt.key}", lambda: _build(fmt))


def _build(fmt: Format) -> Module:
    m = Module(f"conv_turned_{fmt.element}")
    define_tiles(m, fmt)
    define_inner(m, fmt)
    _define_turned(m, fmt)
    return m


def _define_turned(m: Module, fmt: Format) -> None:
    t = Task(m, "conv_turned", TURNED)
    f = t.f
    waiting = f.array(fmt.element, TILE_BLOCK * fmt.rows * fmt.columns, 64)
    buffer = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    f.memset(buffer, 0, t.buffer_size * fmt.itemsize)
    ready = f.var("i64", -1)
    low, high = t.share(t.items)
    tiles = (t.pixels + (fmt.rows - 1)) // fmt.rows
    with f.loop(low, high) as item:
        pair = item // t.tile_blocks
        unit, group = pair // t.groups, pair % t.groups
        begin = (item % t.tile_blocks) * TILE_BLOCK
        end = f.min(begin + TILE_BLOCK, tiles)
        _give_border(t, fmt, unit, ready, buffer)
        local = t.buffer_size.cmp("ne", 0)
        planes = local.select(buffer, t.source.at(unit * t.unit_step, fmt.element))
        source = planes.at(group * t.group_step, fmt.element)
        out = t.out.at(unit * t.out_unit + group * t.out_group, fmt.element)
        weights = t.weights.at(group * t.weight_group, fmt.element)
        bias = t.bias.at(group * t.filters, fmt.element)
        with f.loop(0, t.filters, fmt.columns) as filter:
            panel = weights.at(filter * t.depth, fmt.element)
            target = out.at(filter * t.out_row, fmt.element)
            columns = f.min(t.filters - filter, fmt.columns)
            with f.loop(begin, end) as tile:  # the results go to many places, which take time
                place = target.at(entry(t.place, tile * fmt.rows), fmt.element)
                with f.loop(0, columns) as column:
                    f.prefetch(place.at(column * t.out_row, fmt.element), locality=2)
            with f.loop(0, f.max(t.depth, 1), t.depth_block) as first:
                _turned_tiles(t, fmt, source, panel, waiting, begin, end, first)
            with f.loop(begin, end) as tile:
                results = waiting.at((tile - begin) * (fmt.rows * fmt.columns), fmt.element)
                _put_pixels(t, fmt, tile * fmt.rows, filter, results, out, bias)


def _give_border(t: Task, fmt: Format, unit: Value, ready: Var, buffer: Value) -> None:
    """Copy the planes of a unit into the buffer, where they have a border, if there is one."""
    f = t.f
    with f.if_(t.buffer_size.cmp("ne", 0) & unit.cmp("ne", ready.get())):
        source = t.source.at(unit * t.unit_planes * t.height * t.width, fmt.element)
        sizes = (t.height, t.width, t.out_height, t.out_width, t.top, t.left)
        f.call("void", "pad_inner", source, buffer, t.unit_planes, *sizes)
        ready.set(unit)


def _turned_tiles(
    t: Task,
    fmt: Format,
    source: Value,
    panel: Value,
    waiting: Value,
    begin: Value,
    end: Value,
    first: Value,
) -> None:
    f = t.f
    count = f.min(t.depth_block, t.depth - first)
    fresh = first.cmp("eq", 0).cast("zext", "i64")
    steps = t.source_steps.at(first, "i64")
    part = panel.at(first * fmt.columns, fmt.element)
    with f.loop(begin, end) as tile:
        pixel = tile * fmt.rows
        rows = f.min(t.pixels - pixel, fmt.rows)
        out = waiting.at((tile - begin) * (fmt.rows * fmt.columns), fmt.element)
        starts = t.source_rows.at(pixel, "i64")
        call_tile(
            f, fmt, rows, source, starts, steps, part, out, fmt.columns, count, fresh, 0, source
        )


def _put_pixels(
    t: Task, fmt: Format, pixel: Value, filter: Value, results: Value, out: Value, bias: Value
) -> None:
    """Finish [pixel][filter] and turn it into the planes of the filters."""
    f = t.f
    places = t.place.at(pixel, "i64")
    rows = f.min(t.pixels - pixel, fmt.rows)
    columns = f.min(t.filters - filter, fmt.columns)
    full = columns.cmp("eq", fmt.columns)
    with f.if_(t.finish.cmp("ne", 0)):
        shift = bias.at(filter, fmt.element)
        with f.if_(full) as branch:
            for at in fmt.starts:
                _finish(t, fmt.vector, rows, 1, shift, results, at, fmt)
            branch.otherwise()
            _finish(t, fmt.element, rows, columns, shift, results, 0, fmt)
    first = entry(places, 0)
    adjacent = (entry(places, rows - 1) - first).cmp("eq", fmt.rows - 1)
    target = out.at(filter * t.out_row, fmt.element)
    with f.if_(full & adjacent & rows.cmp("eq", fmt.rows)) as branch:
        put_turned(f, fmt, results, target.at(first, fmt.element), t.out_row)
        branch.otherwise()
        with f.loop(0, columns) as column, f.loop(0, rows) as row:
            value = results.at(row * fmt.columns + column, fmt.element).load(fmt.element)
            place = entry(places, row) + column * t.out_row
            target.at(place, fmt.element).store(value)


def _finish(
    t: Task,
    kind: str,
    rows: Value,
    count: Value | int,
    bias: Value,
    results: Value,
    first: int,
    fmt: Format,
) -> None:
    """Add the bias and clip at zero, as the tile does, column after column or a vector of them."""
    f = t.f
    floor = (t.finish & RELU).cmp("ne", 0).select(f.const(kind, 0.0), float("-inf"))
    with f.loop(first, count + first) as column:
        # -0.0 is what may be added without a change
        shift = f.var(kind, -0.0)
        with f.if_((t.finish & ADD_BIAS).cmp("ne", 0)):
            shift.set(bias.at(column, fmt.element).load(kind))
        with f.loop(0, rows) as row:
            place = results.at(row * fmt.columns + column, fmt.element)
            value = place.load(kind) + shift.get()
            place.store(value.cmp("ole", floor).select(floor, value))
