"""Depthwise convolution, and its gradient by the input, with channels as lanes. Floor 6.

The chains are those of the other kernels: over the places of the window, ascending. Some rows of
`width` planes are turned (conv_lanes), so that every pixel is a vector of channels; columns are
dealt out by the stride, so that neighbouring results read neighbouring vectors; the results are
turned back. The work is shared by (block of channels, image, band of rows).
"""

from collections.abc import Sequence
from functools import lru_cache, partial

import numpy as np

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.conv_lanes import (
    BAND,
    Rows,
    band_words,
    define_turn_in,
    define_turn_out,
    forward_rows,
    lines_of,
    sources_of,
    turn_band,
)
from twofold.lower.conv_product import divide
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import (
    CACHED,
    Geometry,
    Table,
    arange,
    axis_phases,
    border,
    heights_in,
    table,
    tile_starts,
)
from twofold.lower.conv_then import THEN, Then, call_then
from twofold.lower.conv_tile import ADD_BIAS, RELU, Format, arrange, entry, relu
from twofold.lower.schedule import In, Out, Word
from twofold.lower.task import Task, read_words
from twofold.lower.variants import Variants, declare_table, variant

# A tile is some rows of neighbouring pixels: its number is rows * NUMBER + columns.
NUMBER = 16
MOST_ROWS = 4
MOST_COLUMNS = 14
# Bands of fewer rows are not made for more chunks.
LEAST_ROWS = 8

LANEWISE = BAND + "weights:ptr weight_lines:ptr weight_places:ptr taps bias:ptr finish "
LANEWISE += "out:ptr out_unit out_row channels images out_height out_width "
LANEWISE += "band_rows buffer:ptr buffer_size results items parts parts_at"
LANEWISE += THEN
# For each part, from word `parts_at` on.
PART = "tap_places:ptr weight_taps:ptr depth first first_row step row_step "
PART += "tiles:ptr tile_count together out_row out_column"

TILE = [("number", "i64"), ("source", "ptr"), ("row_step", "i64"), ("taps", "ptr")]
TILE += [("weights", "ptr"), ("weight_taps", "ptr"), ("depth", "i64"), ("out", "ptr")]
TILE += [("out_row", "i64"), ("out_column", "i64"), ("finish", "i64"), ("bias", "ptr")]


def lanewise_code(fmt: Format, numbers: set[int]) -> Code:
    """The module, with tiles of these numbers."""
    code = load(f"conv/channelwise/{fmt.key}", lambda: _build(fmt))
    variants = _wanted.get(code)
    if variants is None:
        key = f"conv/channelwise-tile/{fmt.key}"
        build = partial(_build_tile, fmt)
        variants = _wanted[code] = Variants(code, (MOST_ROWS + 1) * NUMBER, key, "tile", build)
    variants.want(numbers)
    return code


_wanted: dict[Code, Variants] = {}


def _build(fmt: Format) -> Module:
    m = Module(f"conv_channelwise_{fmt.element}")
    define_turn_in(m, fmt)
    define_turn_out(m, fmt)
    _define_single(m, fmt)
    _define_lanewise(m, fmt)
    return m


# ---- tiles ---------------------------------------------------------------------------------------


def _define_single(m: Module, fmt: Format) -> None:
    """What any tile computes, pixel by pixel."""
    declare_table(m, (MOST_ROWS + 1) * NUMBER)
    _define_tile(m, fmt, "tile1", NUMBER + 1)
    f = m.function("single", TILE, inline="never")
    number, source, row_step, *given, out, out_row, out_column, finish, bias = f.args
    with f.loop(0, number // NUMBER) as row, f.loop(0, number % NUMBER) as column:
        here = source.at(row * row_step + column * fmt.width, fmt.element)
        there = out.at(row * out_row + column * out_column, fmt.element)
        rest = (there, out_row, out_column, finish, bias)
        f.call("void", "tile1", number, here, row_step, *given, *rest)


def _build_tile(fmt: Format, number: int) -> Module:
    m = Module(f"conv_channelwise_tile_{fmt.element}")
    _define_tile(m, fmt, "tile", number, internal=False)
    return m


def _define_tile(m: Module, fmt: Format, name: str, number: int, internal: bool = True) -> None:
    """The chains of some rows of neighbouring pixels."""
    f = m.function(name, TILE, internal=internal, inline="never")
    _, source, row_step, taps, weights, weight_taps, depth, *rest = f.args
    out, out_row, out_column, finish, bias = rest
    rows, columns = divmod(number, NUMBER)
    chains = [[f.var(fmt.vector, 0.0) for _ in range(columns)] for _ in range(rows)]
    with f.loop(0, depth) as k:
        weight = weights.at(entry(weight_taps, k), fmt.element).load(fmt.vector)
        start = source.at(entry(taps, k), fmt.element)
        for row, line in enumerate(chains):
            here = start.at(row_step * row, fmt.element) if row else start
            for column, chain in enumerate(line):
                value = here.at(column * fmt.width, fmt.element).load(fmt.vector)
                chain.set(f.fma(weight, value, chain.get()))
    every = [chain for line in chains for chain in line]
    with f.if_((finish & ADD_BIAS).cmp("ne", 0)):
        shift = bias.load(fmt.vector)
        for chain in every:
            chain.set(chain.get() + shift)
    with f.if_((finish & RELU).cmp("ne", 0)):
        for chain in every:
            chain.set(relu(chain.get()))
    for row, line in enumerate(chains):
        for column, chain in enumerate(line):
            there = out.at(out_row * row + out_column * column, fmt.element)
            there.store(chain.get())


# ---- the kernel ----------------------------------------------------------------------------------


class _Part(NamedTuple):
    """The words of one part: the results at some rows and columns of every plane."""

    tap_places: Value
    weight_taps: Value
    depth: Value
    first: Value
    first_row: Value
    step: Value
    row_step: Value
    tiles: Value
    tile_count: Value
    together: Value
    out_row: Value
    out_column: Value


class _Room(NamedTuple):
    """The buffers of a chunk."""

    pixels: Value
    results: Value
    weights: Value
    bias: Value


def _define_lanewise(m: Module, fmt: Format) -> None:
    t = Task(m, "lanewise", LANEWISE)
    f = t.f
    pixels = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    results = pixels.at(t.in_rows * t.row_size, fmt.element)
    weights = results.at(t.results, fmt.element)
    room = _Room(pixels, results, weights, f.array(fmt.element, fmt.width, 64))
    # borders are not written below, and results that no tap reaches
    f.memset(pixels, 0, (t.in_rows * t.row_size + t.results) * fmt.itemsize)
    ready = f.var("i64", -1)
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        band, rest = item % t.bands, item // t.bands
        image, channel = rest % t.images, rest // t.images * fmt.width
        with f.if_(channel.cmp("ne", ready.get())):
            _take_filters(t, fmt, channel, room)
            ready.set(channel)
        turn_band(t, fmt, (image, channel, band), room.pixels)
        begin = band * t.band_rows
        rows = f.min(t.band_rows, t.out_height - begin)
        with f.loop(0, t.parts) as index:
            words = t.job.at(t.parts_at + index * len(PART.split()), "i64")
            _compute(t, fmt, read_words(_Part, words, PART), rows, room)
        count, first = rows * t.out_width, begin * t.out_width
        lanes = f.min(t.channels - channel, fmt.width)
        place = image * t.out_unit + channel * t.out_row
        out = t.out.at(place + first, fmt.element)
        f.call("void", "turn_out", room.results, out, t.out_row, lanes, count)
        call_then(t, place, (first, first + count), channel, lanes)


def _take_filters(t: Task, fmt: Format, channel: Value, room: _Room) -> None:
    """The weights of a block of channels, [tap][lane], and what is added to its results."""
    f = t.f
    lines = t.weight_lines.at(channel, "i64")
    given = (t.weights, lines, 0, t.taps, t.weight_places, 0, room.weights)
    f.call("void", "turn_in", *given)
    with f.if_((t.finish & ADD_BIAS).cmp("ne", 0)):
        lanes = f.iota(vector("i64", fmt.width))
        mask = lanes.cmp("slt", (t.channels - channel).splat(fmt.width))
        room.bias.store(f.masked_load(t.bias.at(channel, fmt.element), mask, fmt.vector))


def _compute(t: Task, fmt: Format, part: _Part, rows: Value, room: _Room) -> None:
    """The tiles of a part in a band of so many rows."""
    f = t.f
    count = (rows - part.first_row + (part.step - 1)) // part.step
    with f.loop(0, count, part.together) as row, f.loop(0, part.tile_count) as tile:
        column = entry(part.tiles, tile)
        columns = entry(part.tiles, tile + 1) - column
        number = f.min(part.together, count - row) * NUMBER + columns
        place = part.first + row * part.out_row + column * part.out_column
        f.call(
            "void",
            variant(f, number),
            number,
            room.pixels.at(row * part.row_step + column * fmt.width, fmt.element),
            part.row_step,
            part.tap_places,
            room.weights,
            part.weight_taps,
            part.depth,
            room.results.at(place, fmt.element),
            part.out_row,
            part.out_column,
            t.finish,
            room.bias,
        )


# ---- the plan ------------------------------------------------------------------------------------


class _Results(NamedTuple):
    """Results at every `step`-th row and `column_step`-th column, and what they are chains over."""

    tap_places: Table
    weight_taps: Table
    first_row: int
    first_column: int
    rows: int
    columns: int
    step: int
    column_step: int
    row_step: int


@lru_cache(CACHED)
def _forward(g: Geometry, lanes: int) -> tuple[Rows, tuple[_Results, ...]]:
    r, c = g.rows, g.columns
    rows = forward_rows(g, c.stride)
    pitch = rows.pitch
    along = np.arange(c.kernel) * c.dilation
    along = along % c.stride * pitch + along // c.stride
    down = np.arange(r.kernel) * r.dilation * (c.stride * pitch)
    places = table(np.add.outer(down, along) * lanes)
    taps = arange(g.taps) * lanes
    line = r.stride * c.stride * pitch * lanes
    return rows, (_Results(places, taps, 0, 0, r.out, c.out, 1, 1, line),)


@lru_cache(CACHED)
def _backward(g: Geometry, lanes: int) -> tuple[Rows, tuple[_Results, ...]]:
    r, c = g.rows, g.columns
    (_, top, _), (_, left, pitch) = border(r), border(c)
    phases = [(a, b) for a in axis_phases(r) for b in axis_phases(c) if a.taps and b.taps]
    furthest = max((shift for a, _ in phases for shift in a.shifts), default=0)
    halo, unit = max(furthest + top, 0), g.filters * g.pixels
    rows = Rows(r.out, c.out, top, left, 1, pitch, 1, r.stride, halo, unit)
    results = []
    for a, b in phases:
        down, along = (np.array(a.shifts) + top) * pitch, np.array(b.shifts) + left
        places = table(np.add.outer(down, along) * lanes)
        numbers = np.add.outer(np.array(a.taps) * c.kernel, np.array(b.taps))
        size = (a.first, b.first, a.size, b.size, r.stride, c.stride)
        results.append(_Results(places, table(numbers * lanes), *size, pitch * lanes))
    return rows, tuple(results)


class _Planes(NamedTuple):
    """A plane of results for each of so many channels and images, and the plane that each reads."""

    channels: int
    images: int
    height: int
    width: int
    sources: Table

    @property
    def size(self) -> int:
        return self.height * self.width


def add_lanewise_forward(
    steps: Steps, fmt: Format, g: Geometry, bias: Word, finish: int, then: Then | None
) -> None:
    """Out(0) = the depthwise convolution of In(0) with In(1), and what follows."""
    rows, results = _forward(g, fmt.width)
    planes = _Planes(g.filters, g.batch, g.rows.out, g.columns.out, sources_of(g, fmt.width))
    _add(steps, fmt, g, rows, results, planes, bias, finish, then)


def add_lanewise_gradient(steps: Steps, fmt: Format, g: Geometry) -> None:
    """Out(0) = the gradient by the input, of In(0) with In(1), where filters are channels."""
    rows, results = _backward(g, fmt.width)
    sources = lines_of(g.channels, g.pixels, fmt.width)
    planes = _Planes(g.channels, g.batch, g.rows.size, g.columns.size, sources)
    _add(steps, fmt, g, rows, results, planes, 0, 0, None)


def _band_rows(
    steps: Steps, fmt: Format, rows: Rows, planes: _Planes, together: int, wanted: int
) -> int:
    """Rows of a band: those that stay in the second cache, and enough bands for every chunk."""
    bands = rows.bands(fmt, planes.height, planes.width)
    blocks = -(-planes.channels // fmt.width) * planes.images
    bands = max(bands, min(-(-wanted // blocks), planes.height // LEAST_ROWS))
    unit = rows.per * together
    return -(-planes.height // (bands * unit)) * unit


def _add(
    steps: Steps,
    fmt: Format,
    g: Geometry,
    rows: Rows,
    results: Sequence[_Results],
    planes: _Planes,
    bias: Word,
    finish: int,
    then: Then | None,
) -> None:
    lanes, chains = fmt.width, fmt.rows * fmt.vectors
    tiles = [tile_starts(part.columns, min(MOST_COLUMNS, chains)) for part in results]
    widths = set[int]().union(*map(heights_in, tiles)) if results else {1}
    most = max((part.rows for part in results), default=1)
    together = divide(most, min(MOST_ROWS, chains // max(widths)))
    count = planes.channels * planes.images
    fma = count * sum(p.rows * p.columns * len(p.tap_places) for p in results)
    wanted = steps.chunks(count * planes.height, fma=fma, elements=count * planes.size)
    band_rows = _band_rows(steps, fmt, rows, planes, together, wanted)
    bands = -(-planes.height // band_rows)
    items = -(-planes.channels // lanes) * planes.images * bands
    chunks = min(wanted, items)
    room = band_rows * planes.width * lanes + lanes * lanes
    buffer_size = rows.size(band_rows, lanes) + room + g.taps * lanes
    heights = {min(band_rows, planes.height), planes.height - (bands - 1) * band_rows}
    counts = {-(-(n - p.first_row) // p.step) for n in heights for p in results}
    used = {n for c in counts for n in (together if c >= together else 0, c % together)}
    numbers = {n * NUMBER + width for n in used if n for width in widths}
    more = () if then is None else then.words
    words = arrange(
        LANEWISE,
        **band_words(steps, In(0), rows, planes.sources, band_rows, bands, lanes),
        weights=In(1),
        weight_lines=steps.table(lines_of(planes.channels, g.taps, lanes)),
        weight_places=steps.table(arange(g.taps) * lanes),
        taps=g.taps,
        bias=bias,
        finish=finish,
        out=Out(0),
        out_unit=planes.channels * planes.size,
        out_row=planes.size,
        channels=planes.channels,
        images=planes.images,
        out_height=planes.height,
        out_width=planes.width,
        band_rows=band_rows,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        results=room,
        items=items,
        parts=len(results),
        parts_at=len(LANEWISE.split()) + len(more),
        then=0 if then is None else then.code.address("then"),
        image=planes.size,
        image_step=planes.channels * planes.size,
    )
    words += more
    for part, starts in zip(results, tiles, strict=True):
        words += arrange(
            PART,
            tap_places=steps.table(part.tap_places),
            weight_taps=steps.table(part.weight_taps),
            depth=len(part.tap_places),
            first=(part.first_row * planes.width + part.first_column) * lanes,
            first_row=part.first_row,
            step=part.step,
            row_step=part.row_step,
            tiles=steps.table(starts),
            tile_count=len(starts) - 1,
            together=together,
            out_row=part.step * planes.width * lanes,
            out_column=part.column_step * lanes,
        )
    steps.append(lanewise_code(fmt, numbers).address("lanewise"), words, chunks)
