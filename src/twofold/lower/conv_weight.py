"""A convolution's gradient by its weights: its kernel and its plan. Floor 6.

gw[o, c, kh, kw] is a sum over the positions q = (n * height + i) * width + j of the output. They
are cut into blocks of 1024; each block is one chain of fma from +0, q ascending; the blocks are
added by a binary counter: push a block, and while the number of blocks so far is even, halve it and
join the two on top (earlier + later); at the end join from the top. It depends on nothing else.

A tile's rows are (c, kh, kw), its columns are filters, and its k are positions: the input is read
in place (with its border), gy as panels of channels. The work is shared by tiles.
"""

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value, Var
from twofold.lower.conv_forward import padded_input, tap_offsets
from twofold.lower.conv_lanewise_weight import (
    BLOCK,
    SLICE,
    add_lanewise_weight,
    lanewise_spread,
    levels,
)
from twofold.lower.conv_pack import add_lanes, flat
from twofold.lower.conv_put import put_turned
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Geometry, heights_in, tile_starts
from twofold.lower.conv_tile import Format, call_tile, declare_tiles, entry, narrow, want_tiles
from twofold.lower.schedule import In, Out
from twofold.lower.task import Task

# Tiles that take turns: their sums stay in the second cache.
GROUP = 64

WEIGHT = "source:ptr source_rows:ptr group_step panels:ptr positions "
WEIGHT += "height width image_step row_step column_step tiles:ptr tile_count column_panels "
WEIGHT += "rows filters out:ptr items buffer:ptr buffer_size group_tiles"


def weight_code(fmt: Format) -> Code:
    return load(f"conv/weight/{fmt.key}", lambda: _build(fmt))


def _build(fmt: Format) -> Module:
    m = Module(f"conv_weight_{fmt.element}")
    declare_tiles(m, fmt)
    _define_positions(m)
    _define_weight(m, fmt)
    return m


def _define_positions(m: Module) -> None:
    """out[i] = where the window of position first + i begins."""
    names = ["first", "count", "height", "width", "image_step", "row_step", "column_step"]
    params = [("out", "ptr")] + [(name, "i64") for name in names]
    f = m.function("positions", params, internal=True, inline="never")
    out, first, count, height, width, image_step, row_step, column_step = f.args
    plane = height * width
    rest = first % plane
    column = f.var("i64", rest % width)
    row = f.var("i64", rest // width)
    base = (first // plane) * image_step + row.get() * row_step
    offset = f.var("i64", base + column.get() * column_step)
    next_row = row_step - width * column_step
    next_image = image_step - height * row_step
    with f.loop(0, count) as index:
        out.at(index, "i64").store(offset.get())
        offset.set(offset.get() + column_step)
        column.set(column.get() + 1)
        with f.if_(column.get().cmp("eq", width)):
            column.set(0)
            offset.set(offset.get() + next_row)
            row.set(row.get() + 1)
            with f.if_(row.get().cmp("eq", height)):
                row.set(0)
                offset.set(offset.get() + next_image)


class _Group(NamedTuple):
    """The tiles [low, high) of an item's turn, and tables of what each of them needs."""

    low: Value
    high: Value
    source: Value
    panel: Value
    row: Value
    rows: Value
    out: Value
    filters: Value
    offsets: Value


TABLES = ("source", "panel", "row", "rows", "out", "filters")


def _define_weight(m: Module, fmt: Format) -> None:
    t = Task(m, "conv_weight", WEIGHT)
    f = t.f
    tile_size = fmt.rows * fmt.columns
    tables = {name: f.array("i64", GROUP, 64) for name in TABLES}
    offsets = f.array("i64", SLICE, 64)
    buffer = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    level = t.group_tiles * tile_size
    first, last = t.share(t.items)
    with f.loop(first, last, t.group_tiles) as low:
        group = _Group(low, f.min(low + t.group_tiles, last), **tables, offsets=offsets)
        _find_tiles(t, fmt, group)
        top = f.var("i64", 0)
        with f.loop(0, f.max(t.positions, 1), BLOCK) as begin:
            part = buffer.at(top.get() * level, fmt.element)
            _add_block(t, fmt, group, begin, part)
            top.set(top.get() + 1)
            _join_pairs(t, fmt, group, top, begin // BLOCK + 1, buffer, level)
        with f.while_():
            f.break_if(top.get().cmp("sle", 1))
            _join(t, fmt, group, top, buffer, level)
        with f.loop(0, group.high - group.low) as tile:
            _put(t, fmt, group, tile, buffer.at(tile * tile_size, fmt.element))


def _find_tiles(t: Task, fmt: Format, group: _Group) -> None:
    """The divisions, done once for each tile."""
    f = t.f
    with f.loop(group.low, group.high) as item:
        tile = item % t.tile_count
        rest = item // t.tile_count
        panel = rest % t.column_panels
        part = rest // t.column_panels
        row = entry(t.tiles, tile)
        filter = panel * fmt.columns
        values = {
            "source": part * t.group_step,
            "panel": rest * t.positions * fmt.columns,
            "row": row,
            "rows": entry(t.tiles, tile + 1) - row,
            "out": (part * t.filters + filter) * t.rows + row,
            "filters": f.min(t.filters - filter, fmt.columns),
        }
        for name in TABLES:
            table: Value = getattr(group, name)
            table.at(item - group.low, "i64").store(values[name])


def _add_block(t: Task, fmt: Format, group: _Group, begin: Value, part: Value) -> None:
    """The chains of one block of positions, for every tile of the group."""
    f = t.f
    end = f.min(begin + BLOCK, t.positions)
    steps = (t.height, t.width, t.image_step, t.row_step, t.column_step)
    with f.loop(begin, f.max(end, begin + 1), SLICE) as first:
        count = f.min(end - first, SLICE)
        fresh = first.cmp("eq", begin).cast("zext", "i64")
        f.call("void", "positions", group.offsets, first, count, *steps)
        with f.loop(0, group.high - group.low) as tile:
            panel = t.panels.at(entry(group.panel, tile) + first * fmt.columns, fmt.element)
            call_tile(
                f,
                entry(group.rows, tile),
                t.source.at(entry(group.source, tile), fmt.element),
                t.source_rows.at(entry(group.row, tile), "i64"),
                group.offsets,
                panel,
                part.at(tile * (fmt.rows * fmt.columns), fmt.element),
                fmt.columns,
                count,
                fresh,
                0,
                t.source,
            )


def _join_pairs(
    t: Task, fmt: Format, group: _Group, top: Var, blocks: Value, buffer: Value, level: Value
) -> None:
    f = t.f
    left = f.var("i64", blocks)
    with f.while_():
        f.break_if((left.get() & 1).cmp("ne", 0))
        _join(t, fmt, group, top, buffer, level)
        left.set(left.get().lshr(1))


def _join(t: Task, fmt: Format, group: _Group, top: Var, buffer: Value, level: Value) -> None:
    """The second from the top += the top."""
    f = t.f
    later = buffer.at((top.get() - 1) * level, fmt.element)
    earlier = buffer.at((top.get() - 2) * level, fmt.element)
    size = (group.high - group.low) * (fmt.rows * fmt.columns)
    with f.loop(0, size, fmt.width) as index:
        place = earlier.at(index, fmt.element)
        place.store(place.load(fmt.vector) + later.at(index, fmt.element).load(fmt.vector))
    top.set(top.get() - 1)


def _put(t: Task, fmt: Format, group: _Group, tile: Value, results: Value) -> None:
    """Turn [row][filter] into gw[filter][row]."""
    f = t.f
    out = t.out.at(entry(group.out, tile), fmt.element)
    rows, filters = entry(group.rows, tile), entry(group.filters, tile)
    with f.if_(rows.cmp("eq", fmt.rows) & filters.cmp("eq", fmt.columns)) as branch:
        put_turned(f, fmt, results, out, t.rows)
        branch.otherwise()
        with f.loop(0, filters) as column, f.loop(0, rows) as row:
            value = results.at(row * fmt.columns + column, fmt.element).load(fmt.element)
            out.at(column * t.rows + row, fmt.element).store(value)


# ---- the plan ------------------------------------------------------------------------------------


def add_weight_gradient(steps: Steps, wide: Format, g: Geometry) -> None:
    """Out(0) = the gradient by the weights, from In(0) = x and In(1) = the gradient by y."""
    spread = lanewise_spread(g, wide)
    if spread:
        add_lanewise_weight(steps, wide, g, spread)
        return
    fmt = narrow(wide) if g.group_filters <= wide.width else wide
    shape = (g.groups, g.batch, g.group_filters)
    moves = (g.group_filters * g.pixels, g.filters * g.pixels)
    source = padded_input(steps, fmt, g, In(0))
    panels = add_lanes(steps, fmt, In(1), shape, flat(g.pixels), moves)
    column_panels = -(-g.group_filters // fmt.columns)
    positions = g.batch * g.pixels
    rows = g.group_channels * g.taps
    tiles = tile_starts(rows, fmt.rows)
    items = g.groups * column_panels * (len(tiles) - 1)
    chunks = steps.chunks(items, fma=g.filters * rows * positions)
    group_tiles = min(GROUP, -(-items // chunks))
    buffer_size = levels(positions) * group_tiles * fmt.rows * fmt.columns
    code = weight_code(fmt)
    want_tiles(code, fmt, heights_in(tiles))
    steps.add(
        code.address("conv_weight"),
        WEIGHT,
        chunks,
        source=source,
        source_rows=steps.table(tap_offsets(g, g.group_channels)),
        group_step=g.group_channels * g.padded_plane,
        panels=panels,
        positions=positions,
        height=g.rows.out,
        width=g.columns.out,
        image_step=g.channels * g.padded_plane,
        row_step=g.rows.stride * g.columns.padded,
        column_step=g.columns.stride,
        tiles=steps.table(tiles),
        tile_count=len(tiles) - 1,
        column_panels=column_panels,
        rows=rows,
        filters=g.group_filters,
        out=Out(0),
        items=items,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        group_tiles=group_tiles,
    )
