"""A convolution's gradient by its weights where groups are small: filters as lanes. Floor 6.

The sums are those of conv_weight: chains over blocks of 1024 positions, joined by a binary counter.
Here a filter's lane has the channels of its own group: x and gy are turned (conv_lanes) band by
band, images one after the other, and every band is used while it is near. The rows of a tile are
(c, kh, kw). The work is shared by blocks of filters, and by tiles where there are few blocks.
"""

from functools import lru_cache

from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value, Var
from twofold.lower.conv_lanes import (
    BAND,
    band_words,
    define_turn_in,
    define_turn_out,
    forward_rows,
    lines_of,
    sources_of,
    turn_band,
)
from twofold.lower.conv_pack import add_clear
from twofold.lower.conv_pairs import call_pair, declare_pairs, most_taps, want_pairs
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import CACHED, Geometry, Table, arange, grid, heights_in, tile_starts
from twofold.lower.conv_tile import Format, call_tile, declare_tiles, entry, narrow, want_tiles
from twofold.lower.schedule import In, Out
from twofold.lower.task import Task

BLOCK = 1024
# Positions that all tiles take before the next ones: they stay in the nearest cache.
SLICE = 256

WEIGHT = BAND + "gradients:ptr gradient_lines:ptr gradient_unit pixel_places:ptr "
WEIGHT += "positions:ptr tap_rows:ptr tap_tiles:ptr tap_tile_count taps "
WEIGHT += "images out_height out_width band_rows tiles:ptr tile_count "
WEIGHT += "splits items rows filters out:ptr buffer:ptr buffer_size level"


def lanewise_weight_code(fmt: Format, spread: int) -> Code:
    return load(f"conv/lanewise-weight/{fmt.key}/{spread}", lambda: _build(fmt, spread))


def _build(fmt: Format, spread: int) -> Module:
    m = Module(f"conv_lanewise_weight_{fmt.element}")
    if spread == 1:
        declare_tiles(m, fmt, lanewise=True)
    else:
        declare_pairs(m, fmt, spread)
    define_turn_in(m, fmt)
    define_turn_out(m, fmt)
    _define_weight(m, fmt, spread)
    return m


def _define_weight(m: Module, fmt: Format, spread: int) -> None:
    t = Task(m, "lanewise_weight", WEIGHT)
    f = t.f
    size = t.in_rows * t.row_size
    pixels = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    gradients = pixels.at(size, fmt.element)
    sums = gradients.at(t.band_rows * t.out_width * fmt.width, fmt.element)
    f.memset(pixels, 0, size * fmt.itemsize)
    count = t.out_height * t.out_width
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        filter, split = item // t.splits * fmt.width, item % t.splits
        first, last = (t.tile_count * edge // t.splits for edge in (split, split + 1))
        top = f.var("i64", 0)
        with f.loop(0, t.images) as image, f.loop(0, t.bands) as band:
            turn_band(t, fmt, (image, filter, band), pixels)
            begin = band * t.band_rows * t.out_width
            end = f.min(begin + t.band_rows * t.out_width, count)
            source = t.gradients.at(image * t.gradient_unit, fmt.element)
            lines = t.gradient_lines.at(filter, "i64")
            given = (source, lines, begin, end - begin, t.pixel_places, begin * fmt.width)
            f.call("void", "turn_in", *given, gradients)
            where = (image * count + begin, end - begin)
            _add_band(t, fmt, spread, where, (first, last), (pixels, gradients, sums), top)
        with f.if_(((t.images * count) & (BLOCK - 1)).cmp("ne", 0)):
            top.set(top.get() + 1)
        with f.while_():
            f.break_if(top.get().cmp("sle", 1))
            _join(t, fmt, (first, last), sums, top)
        row = entry(t.tiles, first)
        out = t.out.at(filter * t.rows + row, fmt.element)
        lanes = f.min(t.filters - filter, fmt.width)
        values = sums.at(row * fmt.width, fmt.element)
        f.call("void", "turn_out", values, out, t.rows, lanes, entry(t.tiles, last) - row)


def _add_band(
    t: Task,
    fmt: Format,
    spread: int,
    where: tuple[Value, Value],
    tiles: tuple[Value, Value],
    buffers: tuple[Value, Value, Value],
    top: Var,
) -> None:
    """The positions of a band, cut where a block of them ends."""
    f = t.f
    start, count = where
    pixels, gradients, sums = buffers
    done = f.var("i64", 0)
    with f.while_():
        f.break_if(done.get().cmp("sge", count))
        here = done.get()
        inside = (start + here) & (BLOCK - 1)
        size = f.min(f.min(count - here, SLICE), BLOCK - inside)
        fresh = inside.cmp("eq", 0).cast("zext", "i64")
        part = sums.at(top.get() * t.level, fmt.element)
        with f.loop(*tiles) as tile:
            row = entry(t.tiles, tile)
            given = t.positions.at(here, "i64"), gradients.at(here * fmt.width, fmt.element)
            place = part.at(row * fmt.width, fmt.element)
            _add_rows(t, fmt, spread, tile, (pixels, *given, place), (size, fresh, 0, pixels))
        done.set(here + size)
        with f.if_((inside + size).cmp("eq", BLOCK)):
            top.set(top.get() + 1)
            left = f.var("i64", (start + done.get()) // BLOCK)
            with f.while_():
                f.break_if((left.get() & 1).cmp("ne", 0))
                _join(t, fmt, tiles, sums, top)
                left.set(left.get().lshr(1))


def _add_rows(
    t: Task,
    fmt: Format,
    spread: int,
    tile: Value,
    given: tuple[Value, Value, Value, Value],
    rest: tuple[Value | int, ...],
) -> None:
    """The chains of a tile of taps; or of a pair of members, for all taps."""
    f = t.f
    pixels, positions, panel, place = given
    if spread == 1:
        row = entry(t.tiles, tile)
        taps = t.tap_rows.at(row, "i64")
        rows = entry(t.tiles, tile + 1) - row
        call_tile(f, rows, pixels, taps, positions, panel, place, fmt.width, *rest)
        return
    with f.loop(0, t.tap_tile_count) as part:
        tap = entry(t.tap_tiles, part)
        count = entry(t.tap_tiles, part + 1) - tap
        taps, out = t.tap_rows.at(tap, "i64"), place.at(tap * fmt.width, fmt.element)
        call_pair(f, tile, count, pixels, taps, positions, panel, out, t.taps * fmt.width, *rest)


def _join(t: Task, fmt: Format, tiles: tuple[Value, Value], sums: Value, top: Var) -> None:
    """The second from the top += the top."""
    f = t.f
    first, last = (entry(t.tiles, tile) * fmt.width for tile in tiles)
    later = sums.at((top.get() - 1) * t.level, fmt.element)
    earlier = sums.at((top.get() - 2) * t.level, fmt.element)
    with f.loop(first, last, fmt.width) as index:
        place = earlier.at(index, fmt.element)
        place.store(place.load(fmt.vector) + later.at(index, fmt.element).load(fmt.vector))
    top.set(top.get() - 1)


# ---- the plan ------------------------------------------------------------------------------------


def lanewise_spread(g: Geometry, fmt: Format) -> int:
    """How many channels each lane has, 0 if lanes should not be filters of several groups."""
    size = g.group_channels
    if size == 1 < g.groups:
        return 1
    small = 1 < size == g.group_filters and 2 * size <= fmt.width and fmt.width % size == 0
    return size if small and 2 * g.filters >= fmt.width else 0


def levels(positions: int) -> int:
    """How many sums of blocks wait at the same time, at most."""
    return 1 + max(1, -(-positions // BLOCK)).bit_length()


@lru_cache(CACHED)
def _tap_rows(g: Geometry, row_size: int, lanes: int) -> Table:
    down = (g.rows.kernel, g.rows.dilation * row_size)
    return grid(down, (g.columns.kernel, g.columns.dilation * lanes))


def add_lanewise_weight(steps: Steps, wide: Format, g: Geometry, spread: int) -> None:
    """Out(0) = the gradient by the weights, from In(0) = x and In(1) = the gradient by y."""
    taps = spread * g.taps
    positions = g.batch * g.pixels
    if not positions:
        add_clear(steps, wide, g.filters * taps)
        return
    fmt = narrow(wide)
    lanes = fmt.width
    rows = forward_rows(g, 1)
    bands = rows.bands(fmt, g.rows.out, g.columns.out)
    band_rows = -(-g.rows.out // bands)
    bands = -(-g.rows.out // band_rows)
    row_size = rows.pitch * lanes
    apart = rows.size(band_rows, lanes)
    tap_tiles = tile_starts(g.taps, most_taps(fmt) if spread > 1 else fmt.rows)
    tiles = tap_tiles if spread == 1 else arange(spread // 2 + 1) * (2 * g.taps)
    blocks = -(-g.filters // lanes)
    wanted = steps.chunks(blocks * (len(tiles) - 1), fma=g.filters * taps * positions)
    splits = min(len(tiles) - 1, -(-min(wanted, steps.threads) // blocks))
    items = blocks * splits
    chunks = min(wanted, items)
    level = taps * lanes
    gradients = band_rows * g.columns.out * lanes
    buffer_size = apart + gradients + levels(positions) * level + lanes * lanes
    code = lanewise_weight_code(fmt, spread)
    if spread == 1:
        want_tiles(code, fmt, heights_in(tiles), lanewise=True)
    else:
        want_pairs(code, fmt, spread, heights_in(tap_tiles))
    steps.add(
        code.address("lanewise_weight"),
        WEIGHT,
        chunks,
        **band_words(steps, In(0), rows, sources_of(g, lanes), band_rows, bands, lanes),
        gradients=In(1),
        gradient_lines=steps.table(lines_of(g.filters, g.pixels, lanes)),
        gradient_unit=g.filters * g.pixels,
        pixel_places=steps.table(arange(g.pixels) * lanes),
        positions=steps.table(
            grid((band_rows, g.rows.stride * row_size), (g.columns.out, g.columns.stride * lanes))
        ),
        tap_rows=steps.table(_tap_rows(g, row_size, lanes)),
        tap_tiles=steps.table(tap_tiles),
        tap_tile_count=len(tap_tiles) - 1,
        taps=g.taps,
        images=g.batch,
        out_height=g.rows.out,
        out_width=g.columns.out,
        band_rows=band_rows,
        tiles=steps.table(tiles),
        tile_count=len(tiles) - 1,
        splits=splits,
        items=items,
        rows=taps,
        filters=g.filters,
        out=Out(0),
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        level=level,
    )
