"""Planes turned into lanes and back: a vector holds some channels of one pixel. Floor 6.

What each channel does for itself is then done to whole vectors, however small the planes are. Two
functions of a module, for `width` channels at a time:

    turn_in(source, lines, first, count, places, base, out)
        out[places[p] - base] = the channels of pixel p, for `count` pixels from `first` on; lane i
        is read from the plane that begins at source[lines[i]]
    turn_out(values, out, plane, channels, count)
        out[c * plane + p] = values[p][c], for `count` pixels and the first channels
"""

from functools import lru_cache

import numpy as np

from twofold.base.records import NamedTuple
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.caches import cache_sizes
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import CACHED, Geometry, Table, table
from twofold.lower.conv_tile import Format, entry
from twofold.lower.schedule import Pointer, Word
from twofold.lower.task import Task
from twofold.lower.tile import transpose_square

TURN_IN = [("source", "ptr"), ("lines", "ptr"), ("first", "i64"), ("count", "i64")]
TURN_IN += [("places", "ptr"), ("base", "i64"), ("out", "ptr")]
TURN_OUT = [("values", "ptr"), ("out", "ptr"), ("plane", "i64"), ("channels", "i64")]
TURN_OUT += [("count", "i64")]


def define_turn_in(m: Module, fmt: Format) -> None:
    f = m.function("turn_in", TURN_IN, internal=True, inline="never")
    source, lines, first, count, places, base, out = f.args
    starts = [source.at(entry(lines, lane) + first, fmt.element) for lane in range(fmt.width)]
    there = places.at(first, "i64")

    def write(pixel: Value, value: Value) -> None:
        out.at(entry(there, pixel) - base, fmt.element).store(value)

    whole = count // fmt.width * fmt.width
    with f.loop(0, whole, fmt.width) as pixel:
        rows = [start.at(pixel, fmt.element).load(fmt.vector) for start in starts]
        for ahead, value in enumerate(transpose_square(f, rows)):
            write(pixel + ahead, value)
    with f.if_(whole.cmp("ne", count)):
        square = f.array(fmt.element, fmt.width * fmt.width, 64)
        mask = _first(f, fmt, count - whole)
        rows = [f.masked_load(start.at(whole, fmt.element), mask, fmt.vector) for start in starts]
        for ahead, value in enumerate(transpose_square(f, rows)):
            square.at(ahead * fmt.width, fmt.element).store(value)
        with f.loop(whole, count) as pixel:
            here = square.at((pixel - whole) * fmt.width, fmt.element)
            write(pixel, here.load(fmt.vector))


def define_turn_out(m: Module, fmt: Format) -> None:
    f = m.function("turn_out", TURN_OUT, internal=True, inline="never")
    values, out, plane, channels, count = f.args
    # what has no channel is written where the last channel's numbers will be, and before them
    planes = [out.at(f.min(channels - 1, lane) * plane, fmt.element) for lane in range(fmt.width)]

    def square(pixel: Value) -> list[tuple[Value, Value]]:
        here = values.at(pixel * fmt.width, fmt.element)
        rows = [here.at(row * fmt.width, fmt.element).load(fmt.vector) for row in range(fmt.width)]
        starts = [start.at(pixel, fmt.element) for start in planes]
        return list(zip(starts, transpose_square(f, rows), strict=True))[::-1]

    whole = count // fmt.width * fmt.width
    with f.loop(0, whole, fmt.width) as pixel:
        for place, value in square(pixel):
            place.store(value)
    with f.if_(whole.cmp("ne", count)):
        mask = _first(f, fmt, count - whole)
        for place, value in square(whole):
            f.masked_store(value, place, mask)


def _first(f: Function, fmt: Format, count: Value) -> Value:
    return f.iota(vector("i64", fmt.width)).cmp("slt", count.splat(fmt.width))


# ---- bands of planes -----------------------------------------------------------------------------

# The words of what turn_band reads: planes of height x width, `top` rows of zeros above them; in a
# buffer of in_rows rows of row_size elements each, at `places`.
BAND = "source:ptr lines:ptr source_unit height width top in_rows row_size places:ptr "
BAND += "bands band_step "

# Of the second cache, what a band may take.
SHARE = 2


def turn_band(t: Task, fmt: Format, which: tuple[Value, Value, Value], pixels: Value) -> None:
    """The rows that (image, first channel, band) reads; those above and below the image are zeros.
    The border at the sides is not written.
    """
    f = t.f
    image, channel, band = which
    top = band * t.band_step - t.top  # the image's row that is the first of the buffer
    begin = f.min(f.max(top, 0), t.height)
    end = f.max(f.min(top + t.in_rows, t.height), begin)
    with f.if_(t.bands.cmp("ne", 1)):
        size = t.row_size * fmt.itemsize
        above, below = (f.max(f.min(edge - top, t.in_rows), 0) for edge in (begin, end))
        f.memset(pixels, 0, above * size)
        f.memset(pixels.at(below * t.row_size, fmt.element), 0, (t.in_rows - below) * size)
    source = t.source.at(image * t.source_unit, fmt.element)
    first, count = begin * t.width, (end - begin) * t.width
    given = (source, t.lines.at(channel, "i64"), first, count)
    base = (top + t.top) * t.row_size
    f.call("void", "turn_in", *given, t.places, base, pixels)


class Rows(NamedTuple):
    """How the planes that are read lie in the buffer: columns dealt out to `deal` parts of a row,
    each of `pitch` vectors. A band of results advances by `advance` rows for every `per` of its
    own, and reads `halo` more; an image has `unit` elements.
    """

    height: int
    width: int
    top: int
    left: int
    deal: int
    pitch: int
    advance: int
    per: int
    halo: int
    unit: int

    def step(self, band_rows: int) -> int:
        return -(-band_rows // self.per) * self.advance

    def size(self, band_rows: int, lanes: int) -> int:
        """Elements of the buffer."""
        return (self.step(band_rows) + self.halo) * self.deal * self.pitch * lanes

    def bands(self, fmt: Format, height: int, width: int) -> int:
        """How many bands of results it takes, for each to stay in the second cache."""
        line = self.deal * self.pitch * fmt.width
        room = cache_sizes().second // (SHARE * fmt.itemsize) - self.halo * line
        most = int(room / (line * self.advance / self.per + width * fmt.width))
        return -(-height // max(most, 1))


def band_words(
    steps: Steps,
    source: Pointer,
    rows: Rows,
    lines: Table,
    band_rows: int,
    bands: int,
    lanes: int,
) -> dict[str, Word]:
    return {
        "source": source,
        "lines": steps.table(lines),
        "source_unit": rows.unit,
        "height": rows.height,
        "width": rows.width,
        "top": rows.top,
        "in_rows": rows.step(band_rows) + rows.halo,
        "row_size": rows.deal * rows.pitch * lanes,
        "places": steps.table(_places(rows, lanes)),
        "bands": bands,
        "band_step": rows.step(band_rows),
    }


@lru_cache(CACHED)
def _places(rows: Rows, lanes: int) -> Table:
    """Where each pixel of a plane goes in the buffer of a whole image."""
    column = np.arange(rows.width) + rows.left
    along = column % rows.deal * rows.pitch + column // rows.deal
    down = (np.arange(rows.height) + rows.top) * (rows.deal * rows.pitch)
    return table(np.add.outer(down, along) * lanes)


def forward_rows(g: Geometry, deal: int) -> Rows:
    """The rows of x, for bands of rows of y."""
    r, c = g.rows, g.columns
    halo = (r.kernel - 1) * r.dilation + 1 - r.stride
    pitch, unit = -(-c.padded // deal), g.channels * g.plane
    return Rows(r.size, c.size, r.padding, c.padding, deal, pitch, r.stride, 1, halo, unit)


@lru_cache(CACHED)
def lines_of(channels: int, size: int, lanes: int) -> Table:
    """Where the plane of each channel begins; lanes that have none read the last one."""
    every = np.arange(-(-channels // lanes) * lanes)
    return table(np.minimum(every, channels - 1) * size)


@lru_cache(CACHED)
def sources_of(g: Geometry, lanes: int) -> Table:
    """Where the plane of x begins that the filter of each lane reads, if it reads one alone or is
    one of as many as the channels of its group."""
    alone = 1 if g.group_channels == g.group_filters else g.group_filters
    return table(lines_of(g.filters, 1, lanes) // alone * g.plane)


def takes_lanes(g: Geometry, fmt: Format) -> bool:
    """Whether every filter sees one channel alone, and they fill at least half a vector."""
    return g.group_channels == 1 < g.groups and 2 * g.filters >= fmt.width
