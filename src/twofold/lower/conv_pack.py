"""Copies that feed the tiles: zero borders, panels of pixels, panels of channels. Floor 6.

A panel is [k][columns]: what one tile multiplies its rows with. Panels of pixels are packed from
runs (see conv_tables); panels of channels hold `columns` channels of every position together.
"""

from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.conv_tile import Format, calling, entry, quads, transpose
from twofold.lower.planes import copy_line
from twofold.lower.task import Task

CLEAR = "out:ptr size"
PAD = "source:ptr out:ptr planes height width out_height out_width top left"
LANES = "source:ptr out:ptr outer channels size source_group source_outer panels items"


def copy_code(fmt: Format) -> Code:
    return load(f"conv/copy/{fmt.element}", lambda: _build(fmt))


def _build(fmt: Format) -> Module:
    m = Module(f"conv_copy_{fmt.element}")
    define_pad(m, fmt)
    define_lanes(m, fmt)
    define_clear(m, fmt)
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


def define_clear(m: Module, fmt: Format) -> None:
    """Fill with zeros."""
    t = Task(m, "conv_clear", CLEAR)
    low, high = t.share(t.size)
    t.f.memset(t.out.at(low, fmt.element), 0, (high - low) * fmt.itemsize)


def define_pad(m: Module, fmt: Format) -> None:
    """Copy planes into larger planes of zeros. The work is shared by planes."""
    t = Task(m, "conv_pad", PAD)
    f = t.f
    out_size = t.out_height * t.out_width
    low, high = t.share(t.planes)
    with f.loop(low, high) as plane:
        source = t.source.at(plane * t.height * t.width, fmt.element)
        out = t.out.at(plane * out_size, fmt.element)
        f.memset(out, 0, out_size * fmt.itemsize)
        with f.loop(0, t.height) as y:
            line = source.at(y * t.width, fmt.element)
            place = out.at((y + t.top) * t.out_width + t.left, fmt.element)
            copy_line(fmt, line, place, t.width)


def define_lanes(m: Module, fmt: Format) -> None:
    """[outer][channel][size] -> [channel / columns][outer][size][columns], for every group.

    Columns without a channel repeat the last one. The work is shared by (group, panel, outer).
    """
    t = Task(m, "conv_lanes", LANES)
    f = t.f
    side = quads(fmt)
    kind = vector(fmt.element, side)
    whole = (t.size // side) * side
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        panel = item // t.outer
        outer = item % t.outer
        group = panel // t.panels
        channel = (panel % t.panels) * fmt.columns
        source = t.source.at(group * t.source_group + outer * t.source_outer, fmt.element)
        out = t.out.at(item * t.size * fmt.columns, fmt.element)
        for first in range(0, fmt.columns, side):
            lanes = [f.min(channel + (first + lane), t.channels - 1) for lane in range(side)]
            lines = [source.at(lane * t.size, fmt.element) for lane in lanes]
            place = out.at(first, fmt.element)
            with f.loop(0, whole, side) as x:
                square = [line.at(x, fmt.element).load(kind) for line in lines]
                for ahead, column in enumerate(transpose(f, square)):
                    place.at((x + ahead) * fmt.columns, fmt.element).store(column, 16)
            with f.loop(whole, t.size) as x:
                for lane, line in enumerate(lines):
                    value = line.at(x, fmt.element).load(fmt.element)
                    place.at(x * fmt.columns + lane, fmt.element).store(value)
