"""Copies that feed the tiles: zero borders, panels of pixels, panels of channels. Floor 6.

A panel is [k][columns]: what one tile multiplies its rows with. Panels of pixels are packed from
runs (see conv_tables); panels of channels hold `columns` channels of every position together.
"""

from collections.abc import Callable

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tile import Format, calling, entry, quads
from twofold.lower.planes import copy_line
from twofold.lower.schedule import Out, Pointer
from twofold.lower.task import Task
from twofold.lower.tile import load_columns, transpose_square

EACH = "task:ptr count size"
CLEAR = "out:ptr size"
PAD = "source:ptr out:ptr items together bands height width out_height out_width top left"
LANES = "source:ptr out:ptr outer channels height width out_height out_width top left "
LANES += "source_group source_outer panels items"


def copy_code(fmt: Format) -> Code:
    return load(f"conv/copy/{fmt.key}", lambda: _build(fmt))


def _build(fmt: Format) -> Module:
    m = Module(f"conv_copy_{fmt.element}")
    define_pad(m, fmt)
    define_lanes(m, fmt)
    define_clear(m, fmt)
    define_each(m)
    return m


def run_codes(fmt: Format) -> dict[tuple[int, bool], int]:
    """The number of each kind of run: (elements, whether every second element) -> code."""
    widths = [1 << n for n in range(fmt.columns.bit_length())]
    kinds = [(width, False) for width in widths]
    kinds += [(width, True) for width in widths[1:-1]]
    return {kind: code for code, kind in enumerate(kinds)}


def define_runs(m: Module, fmt: Format) -> None:
    """run0, run1, ...: copy one run of the source, for every k, to its place in the panel."""
    for (width, strided), code in run_codes(fmt).items():
        _define_run(m, fmt, code, width, strided)


def _define_run(m: Module, fmt: Format, code: int, width: int, strided: bool) -> None:
    params = [("source", "ptr"), ("steps", "ptr"), ("out", "ptr"), ("count", "i64")]
    f = m.function(f"run{code}", params, internal=True, inline="never")
    source, steps, out, count = f.args
    copy = _copy_strided if strided else _copy_run
    with f.loop(0, count) as k:
        start = source.at(entry(steps, k), fmt.element)
        copy(f, fmt, width, start, out.at(k * fmt.columns, fmt.element))


def _copy_run(f: Function, fmt: Format, width: int, start: Value, out: Value) -> None:
    part = min(width, fmt.width)
    kind = f"{fmt.element}x{part}" if part > 1 else fmt.element
    for first in range(0, width, part):
        out.at(first, fmt.element).store(start.at(first, fmt.element).load(kind))


def _copy_strided(f: Function, fmt: Format, width: int, start: Value, out: Value) -> None:
    """Every second element. The second load ends at the last one: nothing beyond is touched."""
    kind = f"{fmt.element}x{width}"
    low = start.load(kind)
    high = start.at(width - 1, fmt.element).load(kind)
    mask = [*range(0, width, 2), *range(width + 1, 2 * width, 2)]
    out.store(f.shuffle(low, high, mask))


def call_run(f: Function, fmt: Format, code: Value, *args: Value | int) -> None:
    codes = run_codes(fmt).values()
    f.switch(code, {number: calling(f, f"run{number}", *args) for number in codes})


def define_each(m: Module) -> None:
    """Run one task for several jobs, which follow each other in memory."""
    t = Task(m, "conv_each", EACH)
    f = t.f
    job, chunk, chunks = f.args
    with f.loop(0, t.count) as index:
        words = job.at(len(EACH.split()) + index * t.size, "i64")
        f.call("void", t.task, words, chunk, chunks)


def define_clear(m: Module, fmt: Format) -> None:
    """Fill with zeros."""
    t = Task(m, "conv_clear", CLEAR)
    low, high = t.share(t.size)
    t.f.memset(t.out.at(low, fmt.element), 0, (high - low) * fmt.itemsize)


PAD_PARAMS = [("source", "ptr"), ("out", "ptr"), ("planes", "i64"), ("height", "i64")]
PAD_PARAMS += [("width", "i64"), ("out_height", "i64"), ("out_width", "i64")]
PAD_PARAMS += [("top", "i64"), ("left", "i64")]


def define_inner(m: Module, fmt: Format) -> None:
    """pad_inner: copy planes into larger planes, whose borders are zeros already."""
    f = m.function("pad_inner", PAD_PARAMS, internal=True, inline="never")
    source, out, planes, height, width, out_height, out_width, top, left = f.args
    with f.loop(0, planes) as plane, f.loop(0, height) as y:
        line = source.at((plane * height + y) * width, fmt.element)
        row = plane * out_height + y + top
        copy_line(fmt, line, out.at(row * out_width + left, fmt.element), width)


def define_pad(m: Module, fmt: Format) -> None:
    """Copy planes into larger planes of zeros. The work is shared by bands of rows, each of
    `together` planes.
    """
    define_inner(m, fmt)
    t = Task(m, "conv_pad", PAD)
    f = t.f
    out_size = t.out_height * t.out_width
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        band = item % t.bands
        first, last = (edge * t.out_height // t.bands for edge in (band, band + 1))
        begin = f.min(f.max(first - t.top, 0), t.height)
        end = f.min(f.max(last - t.top, 0), t.height)
        sizes = (end - begin, t.width, t.out_height, t.out_width, begin + t.top, t.left)
        start = item // t.bands * t.together
        with f.loop(start, start + t.together) as plane:
            source = t.source.at((plane * t.height + begin) * t.width, fmt.element)
            out = t.out.at(plane * out_size, fmt.element)
            here = out.at(first * t.out_width, fmt.element)
            f.memset(here, 0, (last - first) * t.out_width * fmt.itemsize)
            f.call("void", "pad_inner", source, out, 1, *sizes)


def define_lanes(m: Module, fmt: Format) -> None:
    """[outer][channel][height][width] -> [channel / columns][outer][...][columns], for every group.

    The planes get a border of zeros. Columns without a channel repeat the last one. The work is
    shared by (group, panel, outer).
    """
    t = Task(m, "conv_lanes", LANES)
    f = t.f
    out_size = t.out_height * t.out_width * fmt.columns
    size = t.height * t.width
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        panel, outer = item // t.outer, item % t.outer
        group = panel // t.panels
        channel = (panel % t.panels) * fmt.columns
        source = t.source.at(group * t.source_group + outer * t.source_outer, fmt.element)
        out = t.out.at(item * out_size, fmt.element)
        with f.if_((t.out_height * t.out_width).cmp("ne", size)):
            f.memset(out, 0, out_size * fmt.itemsize)
        with f.loop(0, t.height) as y:
            line = source.at(y * t.width, fmt.element)
            corner = (y + t.top) * t.out_width + t.left
            place = out.at(corner * fmt.columns, fmt.element)
            for first in fmt.starts:
                places = [channel + (first + lane) for lane in range(fmt.width)]
                lanes = [f.min(lane, t.channels - 1) for lane in places]
                lines = [line.at(lane * size, fmt.element) for lane in lanes]
                _turn_lines(f, fmt, t.width, lines, place.at(first, fmt.element))


def define_lane_panel(m: Module, fmt: Format) -> None:
    """lane_panel: one panel of conv_lanes without a border, from `channel` on."""
    params = [("source", "ptr"), ("out", "ptr"), ("channel", "i64"), ("channels", "i64")]
    params += [("outer", "i64"), ("outer_step", "i64"), ("size", "i64")]
    f = m.function("lane_panel", params, internal=True, inline="never")
    source, out, channel, channels, outer, outer_step, size = f.args
    with f.loop(0, outer) as index:
        line = source.at(index * outer_step, fmt.element)
        place = out.at(index * size * fmt.columns, fmt.element)
        for first in fmt.starts:
            places = [channel + (first + lane) for lane in range(fmt.width)]
            lanes = [f.min(lane, channels - 1) for lane in places]
            lines = [line.at(lane * size, fmt.element) for lane in lanes]
            _turn_lines(f, fmt, size, lines, place.at(first, fmt.element))


def _turn_lines(f: Function, fmt: Format, width: Value, lines: list[Value], place: Value) -> None:
    """A vector of channels of a line, side by side at every position."""
    side = quads(fmt)
    squares, whole = width // fmt.width * fmt.width, width // side * side

    def write(x: Value, columns: list[Value]) -> None:
        for ahead, column in enumerate(columns):
            place.at((x + ahead) * fmt.columns, fmt.element).store(column)

    with f.loop(0, squares, fmt.width) as x:
        square = [line.at(x, fmt.element).load(fmt.vector) for line in lines]
        write(x, transpose_square(f, square))
    with f.loop(squares, whole, side) as x:
        write(x, load_columns(f, fmt.tile, [line.at(x, fmt.element) for line in lines]))
    with f.loop(whole, width) as x:
        for lane, line in enumerate(lines):
            value = line.at(x, fmt.element).load(fmt.element)
            place.at(x * fmt.columns + lane, fmt.element).store(value)


# ---- steps of plans ------------------------------------------------------------------------------


def each_task(fmt: Format) -> Callable[[], int]:
    """For Steps.add_each."""
    return lambda: copy_code(fmt).address("conv_each")


class Planes(NamedTuple):
    """Planes and their border: (size, zeros before, size with zeros) of rows and of columns."""

    rows: tuple[int, int, int]
    columns: tuple[int, int, int]

    @property
    def out_size(self) -> int:
        return self.rows[2] * self.columns[2]

    @property
    def bordered(self) -> bool:
        return self.out_size != self.rows[0] * self.columns[0]

    @property
    def words(self) -> dict[str, int]:
        (height, top, out_height), (width, left, out_width) = self
        sizes = {"height": height, "width": width, "top": top, "left": left}
        return sizes | {"out_height": out_height, "out_width": out_width}


def flat(size: int) -> Planes:
    """Planes without a border, as one row."""
    return Planes((1, 0, 1), (size, 0, size))


def add_clear(steps: Steps, fmt: Format, size: int) -> None:
    """Out(0) = zeros."""
    chunks = steps.chunks(size, elements=size)
    steps.add(copy_code(fmt).address("conv_clear"), CLEAR, chunks, out=Out(0), size=size)


def add_pad(
    steps: Steps, fmt: Format, source: Pointer, count: int, planes: Planes, images: int = 0
) -> Pointer:
    """Planes with their border, in scratch memory. If they are of so many `images` that are cut
    into bands by what comes next, they are cut so here too: each thread then finds its own rows in
    its cache.
    """
    size = count * planes.out_size
    out = steps.scratch(size)
    wanted = steps.chunks(count * planes.rows[2], elements=size)
    together, bands = 1, 1
    if 0 < images < wanted:
        together, bands = count // images, min(-(-wanted // images), planes.rows[2])
    items = count // together * bands
    words = {"source": source, "out": out, "items": items, "together": together, "bands": bands}
    chunks = max(1, min(wanted, items))
    steps.add(copy_code(fmt).address("conv_pad"), PAD, chunks, **words, **planes.words)
    return out


def add_lanes(
    steps: Steps,
    fmt: Format,
    source: Pointer,
    shape: tuple[int, int, int],
    planes: Planes,
    moves: tuple[int, int],
) -> Pointer:
    """Panels of the channels of (groups, outer, channels) planes; those of frozen weights stay.

    `moves` are from one group, and from one outer, to the next.
    """
    groups, outer, channels = shape
    panels = -(-channels // fmt.columns)
    items = groups * panels * outer
    size = items * planes.out_size * fmt.columns
    out = steps.weights(size)
    steps.add(
        copy_code(fmt).address("conv_lanes"),
        LANES,
        steps.chunks(items, elements=size),
        source=source,
        out=out,
        outer=outer,
        channels=channels,
        source_group=moves[0],
        source_outer=moves[1],
        panels=panels,
        items=items,
        **planes.words,
    )
    return out
