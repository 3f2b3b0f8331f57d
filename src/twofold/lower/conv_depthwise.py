"""Depthwise convolution, where a filter sees one channel, and its gradient by input. Floor 6.

The chains are those of the other kernels: over the places of the window, ascending. Here a vector
is neighbouring pixels of one plane, and a strip is some rows of them. The work is shared by planes.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower.conv_pack import add_clear
from twofold.lower.conv_steps import Steps, moved
from twofold.lower.conv_tables import (
    Axis,
    Geometry,
    Phase,
    Table,
    arange,
    axis_phases,
    border,
    table,
)
from twofold.lower.conv_tile import ADD_BIAS, RELU, Format, arrange, entry, relu
from twofold.lower.planes import Unfolded, define_unfold, tap_places, unfolded
from twofold.lower.schedule import In, Out, Pointer, Word
from twofold.lower.task import Task, read_words

# A strip: rows and vectors. Eight chains hide the latency of an fma.
STRIP_ROWS = 4
STRIPS = ((STRIP_ROWS, 2), (STRIP_ROWS, 1), (1, 1))

# Planes beyond this are left to the kernels that do not buffer a whole one.
MOST_PLANE = 1 << 17

DEPTHWISE = "source:ptr weights:ptr weight_size bias:ptr finish planes multiplier channels "
DEPTHWISE += "height width buffer_rows pitch top left step row_step buffer:ptr buffer_size parts"
# Follow the words above, for each part.
PART = "taps:ptr weight_taps:ptr depth rows columns out:ptr out_plane out_row out_column"

STRIP = [("source", "ptr"), ("row_step", "i64"), ("taps", "ptr"), ("weights", "ptr")]
STRIP += [("weight_taps", "ptr"), ("depth", "i64"), ("out", "ptr"), ("out_row", "i64")]
STRIP += [("finish", "i64"), ("bias", "ptr")]


def depthwise_code(fmt: Format) -> Code:
    return load(f"conv/depthwise/{fmt.key}", lambda: _build(fmt))


def _build(fmt: Format) -> Module:
    m = Module(f"conv_depthwise_{fmt.element}")
    define_unfold(m, fmt)
    for rows, vectors in STRIPS:
        _define_strip(m, fmt, rows, vectors)
    _define_depthwise(m, fmt)
    return m


def _define_strip(m: Module, fmt: Format, rows: int, vectors: int) -> None:
    """The chains of some rows of some vectors of pixels."""
    f = m.function(f"strip{rows}x{vectors}", STRIP, internal=True, inline="never")
    source, row_step, taps, weights, weight_taps, depth, out, out_row, finish, bias = f.args
    places = [(row, vector * fmt.width) for row in range(rows) for vector in range(vectors)]
    chains = [f.var(fmt.vector, 0.0) for _ in places]
    with f.loop(0, depth) as k:
        weight = weights.at(entry(weight_taps, k), fmt.element).load(fmt.element)
        spread = weight.splat(fmt.width)
        start = source.at(entry(taps, k), fmt.element)
        for (row, column), chain in zip(places, chains, strict=True):
            value = start.at(row_step * row + column, fmt.element).load(fmt.vector)
            chain.set(f.fma(spread, value, chain.get()))
    with f.if_((finish & ADD_BIAS).cmp("ne", 0)):
        shift = bias.load(fmt.element).splat(fmt.width)
        for chain in chains:
            chain.set(chain.get() + shift)
    with f.if_((finish & RELU).cmp("ne", 0)):
        for chain in chains:
            chain.set(relu(chain.get()))
    for (row, column), chain in zip(places, chains, strict=True):
        out.at(out_row * row + column, fmt.element).store(chain.get())


class _Part(NamedTuple):
    """The words of one part."""

    taps: Value
    weight_taps: Value
    depth: Value
    rows: Value
    columns: Value
    out: Value
    out_plane: Value
    out_row: Value
    out_column: Value


class _Filter(NamedTuple):
    """A filter in use: where it reads, its weights, and its plane of results."""

    source: Value
    weights: Value
    bias: Value
    out: Value


def _define_depthwise(m: Module, fmt: Format) -> None:
    t = Task(m, "depthwise", DEPTHWISE)
    f = t.f
    corner = f.array(fmt.element, STRIP_ROWS * fmt.width, 32)
    buffer = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    f.memset(buffer, 0, t.buffer_size * fmt.itemsize)
    low, high = t.share(t.planes)
    with f.loop(low, high) as number:
        source = t.source.at(number * t.height * t.width, fmt.element)
        sizes = (t.height, t.width, t.buffer_rows, t.pitch, t.top, t.left, t.step)
        f.call("void", "unfold", source, buffer, *sizes)
        with f.loop(0, t.parts) as index, f.loop(0, t.multiplier) as turn:
            words = len(DEPTHWISE.split()) + index * len(PART.split())
            part = read_words(_Part, f.args[0].at(words, "i64"), PART)
            name = (number % t.channels) * t.multiplier + turn
            plane = number * t.multiplier + turn
            filter = _Filter(
                buffer,
                t.weights.at(name * t.weight_size, fmt.element),
                t.bias.at(name, fmt.element),
                part.out.at(plane * part.out_plane, fmt.element),
            )
            _write_plane(t, fmt, part, filter, corner)


def _write_plane(t: Task, fmt: Format, part: _Part, filter: _Filter, corner: Value) -> None:
    """All strips of a plane. The last of a row or column overlaps the one before."""
    f = t.f
    height = part.rows.cmp("sge", STRIP_ROWS).select(f.const("i64", STRIP_ROWS), 1)
    adjacent = part.out_column.cmp("eq", 1) & part.columns.cmp("sge", fmt.width)
    wide = adjacent & part.columns.cmp("sge", 2 * fmt.width) & height.cmp("ne", 1)
    step = wide.select(f.const("i64", 2 * fmt.width), fmt.width)
    with f.loop(0, part.rows, height) as y, f.loop(0, part.columns, step) as x:
        row = f.min(y, part.rows - height)
        last = f.max(part.columns - step, 0)
        column = adjacent.select(f.min(x, last), x)
        out = filter.out.at(row * part.out_row + column * part.out_column, fmt.element)
        kind = adjacent.select(step, 0) + height

        def strip(rows: int, vectors: int, target: Value, pitch: Value | int) -> None:
            start = filter.source.at(row * t.row_step + column, fmt.element)
            weights = (part.taps, filter.weights, part.weight_taps, part.depth)
            name = f"strip{rows}x{vectors}"
            rest = (target, pitch, t.finish, filter.bias)
            f.call("void", name, start, t.row_step, *weights, *rest)

        def apart(rows: int) -> None:
            strip(rows, 1, corner, fmt.width)
            count = f.min(part.columns - column, fmt.width)
            with f.loop(0, rows) as line:
                values = corner.at(line * fmt.width, fmt.element)
                place = out.at(line * part.out_row, fmt.element)
                _spread_line(fmt, values, place, part.out_column, count)

        shapes = {rows + vectors * fmt.width: (rows, vectors) for rows, vectors in STRIPS}
        whole = {key: partial(strip, *shape, out, part.out_row) for key, shape in shapes.items()}
        parts = {rows: partial(apart, rows) for rows in (STRIP_ROWS, 1)}
        f.switch(kind, whole | parts)


def _spread_line(fmt: Format, values: Value, out: Value, step: Value, count: Value) -> None:
    """Write up to a vector of numbers, `step` apart from each other."""
    f = values.function
    with f.if_(count.cmp("eq", fmt.width)) as branch:
        vector = values.load(fmt.vector)
        for lane in range(fmt.width):
            out.at(step * lane, fmt.element).store(f.extract(vector, lane))
        branch.otherwise()
        with f.loop(0, count) as index:
            value = values.at(index, fmt.element).load(fmt.element)
            out.at(index * step, fmt.element).store(value)


# ---- the plan ------------------------------------------------------------------------------------


def is_depthwise(g: Geometry) -> bool:
    """Whether every filter sees one channel alone, in planes of a moderate size."""
    alone = g.group_channels == 1 and g.groups > 1
    return alone and max(g.padded_plane, g.pixels) <= MOST_PLANE


class Taps(NamedTuple):
    """The places of a window in the buffer, and the numbers of their weights."""

    places: Table
    weights: Table


class Target(NamedTuple):
    """Planes of results: their size, and how they lie in memory."""

    rows: int
    columns: int
    plane: int
    row: int
    column: int
    first: int = 0


class Reading(NamedTuple):
    """What planes are read, and by which weights.

    planes      (count, height, width)
    weights     where they are, and how many a filter has
    channels    planes after which the filters repeat
    multiplier  filters of a plane
    """

    source: Pointer
    planes: tuple[int, int, int]
    weights: tuple[Word, int]
    channels: int = 1
    multiplier: int = 1
    bias: Word = 0
    finish: int = 0


class Part(NamedTuple):
    """Some results of every plane."""

    taps: Taps
    target: Target


def add_planes(
    steps: Steps, fmt: Format, read: Reading, u: Unfolded, parts: Sequence[Part]
) -> None:
    """Out(0) = all these parts, read from planes unfolded in this way."""
    count, height, width = read.planes
    outs = [count * read.multiplier * p.target.rows * p.target.columns for p in parts]
    fma = sum(n * len(part.taps.places) for n, part in zip(outs, parts, strict=True))
    chunks = steps.chunks(count, fma=fma, elements=sum(outs))
    buffer_size = -(-u.size // 16) * 16 + 16
    words = arrange(
        DEPTHWISE,
        source=read.source,
        weights=read.weights[0],
        weight_size=read.weights[1],
        bias=read.bias,
        finish=read.finish,
        planes=count,
        multiplier=read.multiplier,
        channels=read.channels,
        height=height,
        width=width,
        buffer_rows=u.rows,
        pitch=u.pitch,
        top=u.top,
        left=u.left,
        step=u.step,
        row_step=u.row_step,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        parts=len(parts),
    )
    for part in parts:
        words += _part_words(steps, fmt, part)
    steps.append(depthwise_code(fmt).address("depthwise"), words, chunks)


def _part_words(steps: Steps, fmt: Format, part: Part) -> tuple[Word, ...]:
    taps, target = part
    return arrange(
        PART,
        taps=steps.table(taps.places),
        weight_taps=steps.table(taps.weights),
        depth=len(taps.places),
        rows=target.rows,
        columns=target.columns,
        out=moved(Out(0), target.first, fmt.itemsize),
        out_plane=target.plane,
        out_row=target.row,
        out_column=target.column,
    )


def add_windows(steps: Steps, fmt: Format, read: Reading, rows: Axis, columns: Axis) -> None:
    """Out(0) = every window of the planes, its places ascending."""
    u = unfolded(rows, columns, fmt.width)
    taps = Taps(tap_places(u, rows, columns), arange(rows.kernel * columns.kernel))
    target = Target(rows.out, columns.out, rows.out * columns.out, columns.out, 1)
    add_planes(steps, fmt, read, u, [Part(taps, target)])


def add_depthwise_forward(steps: Steps, fmt: Format, g: Geometry, bias: Word, finish: int) -> None:
    """Out(0) = the depthwise convolution of In(0) with In(1)."""
    planes = (g.batch * g.channels, g.rows.size, g.columns.size)
    rest = (g.channels, g.group_filters, bias, finish)
    add_windows(steps, fmt, Reading(In(0), planes, (In(1), g.taps), *rest), g.rows, g.columns)


def _phase_part(
    u: Unfolded, rows: Axis, columns: Axis, row: Phase, column: Phase, backwards: bool
) -> Part:
    """The gradient by the input at the places of one phase of strides."""
    down = (np.array(row.shifts) + u.top) * u.pitch
    places = table(np.add.outer(down, np.array(column.shifts) + u.left))
    numbers = table(np.add.outer(np.array(row.taps) * columns.kernel, np.array(column.taps)))
    if backwards:
        places, numbers = table(places[::-1]), table(numbers[::-1])
    first = row.first * columns.size + column.first
    plane = rows.size * columns.size
    steepness = rows.stride * columns.size
    target = Target(row.size, column.size, plane, steepness, columns.stride, first)
    return Part(Taps(places, numbers), target)


def add_gradient(
    steps: Steps,
    fmt: Format,
    axes: tuple[Axis, Axis],
    count: int,
    source: Pointer,
    weights: tuple[Word, int],
    channels: int = 1,
    backwards: bool = False,
) -> None:
    """Out(0) = the gradient by the input, of `count` planes.

    Places of the window are taken in ascending order, or `backwards`: in that of the outputs.
    """
    rows, columns = axes
    pairs = [(a, b) for a in axis_phases(rows) for b in axis_phases(columns)]
    reached = [(a, b) for a, b in pairs if a.taps and b.taps]
    if len(reached) < len(pairs):
        add_clear(steps, fmt, count * rows.size * columns.size)
    (_, top, out_height), (_, left, out_width) = border(rows), border(columns)
    pitch = out_width + fmt.width
    u = Unfolded(out_height, pitch, 1, top, left, pitch)
    read = Reading(source, (count, rows.out, columns.out), weights, channels)
    parts = [_phase_part(u, rows, columns, *phase, backwards) for phase in reached]
    add_planes(steps, fmt, read, u, parts)
