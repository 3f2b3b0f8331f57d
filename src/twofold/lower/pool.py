"""Pooling over windows of a plane: its kernels and planners. Floor 6.

    max_pool            x -> values, and (if wanted) the place of each in its plane, row after row
    max_pool_backward   g, places -> g added at the places, in ascending order of the windows
    avg_pool            x -> the sum of each window, places ascending, divided by its count
    avg_pool_backward   g -> g / count, added to each place of the window, windows ascending

Attributes: kernel, stride, padding and (max) dilation, two numbers each; count_include_pad for avg;
ceil_mode is seen from the sizes; `size` of the plane for the backward ones.

A NaN wins its window, the last one if there are more; else the first of equals, as in PyTorch.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.conv_depthwise import Reading, add_gradient, add_windows
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Axis, Table, table
from twofold.lower.conv_tile import FORMATS, Format, entry
from twofold.lower.planes import Unfolded, define_unfold, tap_places, unfolded
from twofold.lower.schedule import Arg, In, Out, Plan, Pointer, schedule
from twofold.lower.task import Task

Attrs = Mapping[str, Any]
Args = tuple[Arg, ...]
Outs = tuple[Type, ...]

MAX = "source:ptr values:ptr indices:ptr planes height width buffer_rows pitch top left step "
MAX += "row_step taps:ptr tap_index:ptr depth rows columns first_rows:ptr first_columns:ptr "
MAX += "first row_jump column_jump buffer:ptr buffer_size"
PAIRS = "source:ptr values:ptr indices:ptr planes height width rows columns"
SCATTER = "source:ptr indices:ptr out:ptr planes count plane"
DIVIDE = "source:ptr out:ptr planes rows columns row_counts:ptr column_counts:ptr"

# Vectors of windows that are looked through at a time.
TOGETHER = 4

WINDOW = [("start", "ptr"), ("taps", "ptr"), ("tap_index", "ptr"), ("depth", "i64")]
WINDOW += [("first", "ptr"), ("first_row", "i64"), ("place", "i64"), ("jump", "i64")]
WINDOW += [("values", "ptr"), ("indices", "ptr")]


def max_code(fmt: Format) -> Code:
    return load(f"pool/max/{fmt.element}", lambda: _build_max(fmt))


def sum_code(fmt: Format) -> Code:
    return load(f"pool/sum/{fmt.element}", lambda: _build_sum(fmt))


def _build_max(fmt: Format) -> Module:
    m = Module(f"pool_max_{fmt.element}")
    define_unfold(m, fmt)
    _define_window(m, fmt)
    for count in (1, TOGETHER):
        _define_largest(m, fmt, count)
    _define_max(m, fmt)
    for width in (fmt.width, fmt.width // 2):
        _define_pairs(m, fmt, width)
    return m


def _build_sum(fmt: Format) -> Module:
    m = Module(f"pool_sum_{fmt.element}")
    _define_scatter(m, fmt)
    _define_divide(m, fmt)
    return m


# ---- maximum -------------------------------------------------------------------------------------


def index_element(fmt: Format) -> str:
    """Whole numbers as wide as the element."""
    return f"i{8 * fmt.itemsize}"


def _better(v: Value, best: Value) -> Value:
    return v.cmp("ogt", best) | v.cmp("uno", v)


def _store_indices(f: Function, fmt: Format, index: Value, lanes: int, out: Value) -> None:
    """Write places as 64-bit numbers, if they are wanted."""
    with f.if_(out.cast("ptrtoint", "i64").cmp("ne", 0)):
        wide = index.cast("sext", vector("i64", lanes)) if fmt.itemsize < 8 else index
        half = max(lanes // 2, 2)
        for first in range(0, lanes, half):
            part = f.shuffle(wide, None, range(first, first + half))
            out.at(first, "i64").store(part)


def _define_window(m: Module, fmt: Format) -> None:
    """The largest of each window, for a vector of windows."""
    f = m.function("window", WINDOW, internal=True, inline="never")
    start, taps, tap_index, depth, first, first_row, place, jump, values, indices = f.args
    kind = vector(index_element(fmt), fmt.width)

    def spread(number: Value) -> Value:
        narrow = number.cast("trunc", "i32") if fmt.itemsize < 8 else number
        return narrow.splat(fmt.width)

    best = f.var(fmt.vector, float("-inf"))
    index = f.var(kind, first.load(kind) + spread(first_row))
    with f.loop(0, depth) as k:
        value = start.at(entry(taps, k), fmt.element).load(fmt.vector)
        better = _better(value, best.get())
        best.set(better.select(value, best.get()))
        index.set(better.select(spread(entry(tap_index, k)), index.get()))
    values.store(best.get())
    places = index.get() + spread(place) + spread(jump) * f.iota(kind)
    _store_indices(f, fmt, places, fmt.width, indices)


def _define_largest(m: Module, fmt: Format, count: int) -> None:
    """The largest of each window of a row, of `count` vectors of windows at a time; the last ones
    overlap those before."""
    params = [("start", "ptr"), ("taps", "ptr"), ("depth", "i64"), ("values", "ptr")]
    f = m.function(f"largest{count}", [*params, ("columns", "i64")], internal=True)
    start, taps, depth, values, columns = f.args
    together = count * fmt.width
    last = f.max(columns - together, 0)
    with f.loop(0, columns, together) as step:
        x = f.min(step, last)
        windows = start.at(x, fmt.element)
        best = [f.var(fmt.vector, float("-inf")) for _ in range(count)]
        with f.loop(0, depth) as k:
            tap = windows.at(entry(taps, k), fmt.element)
            for index, one in enumerate(best):
                value = tap.at(index * fmt.width, fmt.element).load(fmt.vector)
                one.set(_better(value, one.get()).select(value, one.get()))
        for index, one in enumerate(best):
            values.at(x + index * fmt.width, fmt.element).store(one.get())


def _define_max(m: Module, fmt: Format) -> None:
    t = Task(m, "max_pool", MAX)
    f = t.f
    corner = f.array(fmt.element, fmt.width, 32)
    corner_indices = f.array("i64", fmt.width, 32)
    buffer = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    lowest = f.const(fmt.vector, float("-inf"))
    with f.loop(0, t.buffer_size, fmt.width) as i:
        buffer.at(i, fmt.element).store(lowest)
    wanted = t.indices.cast("ptrtoint", "i64").cmp("ne", 0)
    narrow = t.columns.cmp("slt", fmt.width)
    last = f.max(t.columns - fmt.width, 0)
    low, high = t.share(t.planes)
    with f.loop(low, high) as plane:
        source = t.source.at(plane * t.height * t.width, fmt.element)
        sizes = (t.height, t.width, t.buffer_rows, t.pitch, t.top, t.left, t.step)
        f.call("void", "unfold", source, buffer, *sizes)
        with f.if_(~wanted):
            with f.loop(0, t.rows) as y:
                values = t.values.at((plane * t.rows + y) * t.columns, fmt.element)
                row = buffer.at(y * t.row_step, fmt.element)
                place = narrow.select(corner, values)
                given = (row, t.taps, t.depth, place, t.columns)
                with f.if_(t.columns.cmp("sge", TOGETHER * fmt.width)) as branch:
                    f.call("void", f"largest{TOGETHER}", *given)
                    branch.otherwise()
                    f.call("void", "largest1", *given)
                with f.if_(narrow):
                    f.memcpy(values, corner, t.columns * fmt.itemsize)
            f.continue_if(f.const("i1", 1))
        with f.loop(0, t.rows) as y, f.loop(0, t.columns, fmt.width) as step:
            x = f.min(step, last)
            target = (plane * t.rows + y) * t.columns + x
            values = t.values.at(target, fmt.element)
            indices = t.indices.at(target, "i64")
            f.call(
                "void",
                "window",
                buffer.at(y * t.row_step + x, fmt.element),
                t.taps,
                t.tap_index,
                t.depth,
                t.first_columns.at(x, index_element(fmt)),
                entry(t.first_rows, y),
                t.first + y * t.row_jump + x * t.column_jump,
                t.column_jump,
                narrow.select(corner, values),
                narrow.select(corner_indices, indices),
            )
            with f.if_(narrow):
                f.memcpy(values, corner, t.columns * fmt.itemsize)
                f.memcpy(indices, corner_indices, t.columns * 8)


def _define_pairs(m: Module, fmt: Format, lanes: int) -> None:
    """Windows of 2 x 2, side by side, read in place."""
    t = Task(m, f"max_pairs{lanes}", PAIRS)
    f = t.f
    kind = vector(index_element(fmt), lanes)
    wanted = t.indices.cast("ptrtoint", "i64").cmp("ne", 0)
    low, high = t.share(t.planes * t.rows)
    with f.loop(low, high) as line, f.loop(0, t.columns, lanes) as step:
        x = f.min(step, t.columns - lanes)
        place = (line % t.rows) * 2 * t.width + x * 2
        plane = t.source.at((line // t.rows) * t.height * t.width, fmt.element)
        source = plane.at(place, fmt.element)
        taps = [
            tap
            for row in (source, source.at(t.width, fmt.element))
            for tap in _even_odd(f, row, fmt, lanes)
        ]
        best = taps[0]
        index = f.const(kind, 0)
        offsets = [t.width, t.width + 1]
        steps = [f.const(kind, 1), *[_narrow(fmt, offset).splat(lanes) for offset in offsets]]
        for value, offset in zip(taps[1:], steps, strict=True):
            better = _better(value, best)
            best = better.select(value, best)
            index = better.select(offset, index)
        target = line * t.columns + x
        t.values.at(target, fmt.element).store(best)
        index = index + _narrow(fmt, place).splat(lanes) + f.iota(kind) * 2
        indices = wanted.select(t.indices.at(target, "i64"), f.null())
        _store_indices(f, fmt, index, lanes, indices)


def _narrow(fmt: Format, number: Value) -> Value:
    return number.cast("trunc", "i32") if fmt.itemsize < 8 else number


def _even_odd(f: Function, row: Value, fmt: Format, lanes: int) -> list[Value]:
    """The even and the odd of 2 * lanes numbers."""
    kind = vector(fmt.element, lanes)
    low, high = row.load(kind), row.at(lanes, fmt.element).load(kind)
    return [f.shuffle(low, high, range(odd, 2 * lanes, 2)) for odd in (0, 1)]


# ---- sums ----------------------------------------------------------------------------------------


def _define_scatter(m: Module, fmt: Format) -> None:
    """Add numbers at places of a plane of zeros, one after the other."""
    t = Task(m, "pool_scatter", SCATTER)
    f = t.f
    low, high = t.share(t.planes)
    with f.loop(low, high) as plane:
        out = t.out.at(plane * t.plane, fmt.element)
        f.memset(out, 0, t.plane * fmt.itemsize)
        with f.loop(0, t.count) as i:
            at = plane * t.count + i
            index = entry(t.indices, at)
            f.continue_if(index.cmp("uge", t.plane))
            place = out.at(index, fmt.element)
            place.store(place.load(fmt.element) + t.source.at(at, fmt.element).load(fmt.element))


def _define_divide(m: Module, fmt: Format) -> None:
    """out = source / (count of the row * count of the column)."""
    t = Task(m, "pool_divide", DIVIDE)
    f = t.f
    whole = (t.columns // fmt.width) * fmt.width
    low, high = t.share(t.planes * t.rows)
    with f.loop(low, high) as line:
        source = t.source.at(line * t.columns, fmt.element)
        out = t.out.at(line * t.columns, fmt.element)
        count = t.row_counts.at(line % t.rows, fmt.element).load(fmt.element)

        def divide(x: Value, kind: str, rows: Value) -> None:
            divisor = rows * t.column_counts.at(x, fmt.element).load(kind)
            out.at(x, fmt.element).store(source.at(x, fmt.element).load(kind) / divisor)

        with f.loop(0, whole, fmt.width) as x:
            divide(x, fmt.vector, count.splat(fmt.width))
        with f.loop(whole, t.columns) as x:
            divide(x, fmt.element, count)


# ---- the plans -----------------------------------------------------------------------------------


def window_axes(size: tuple[int, ...], out: tuple[int, ...], attrs: Attrs) -> tuple[Axis, Axis]:
    """The two directions of pooling planes of this size."""
    names = ("stride", "padding", "dilation")
    settings = [attrs.get(name, (1, 1)) for name in names]
    rows, columns = zip(size[-2:], attrs["kernel"], out[-2:], *settings, strict=True)
    return Axis(*rows), Axis(*columns)


class _MaxTables(NamedTuple):
    buffer: Unfolded
    taps: Table
    tap_index: Table
    first_rows: Table
    first_columns: npt.NDArray[Any]


def first_taps(axis: Axis) -> Table:
    """For each window, how far its first place inside is from its beginning."""
    start = np.arange(axis.out) * axis.stride - axis.padding
    return table(np.maximum(0, -(start // axis.dilation)) * axis.dilation)


@lru_cache(512)
def _max_tables(rows: Axis, columns: Axis, fmt: Format) -> _MaxTables:
    u = unfolded(rows, columns, fmt.width)
    down = np.arange(rows.kernel) * rows.dilation * columns.size
    index = np.add.outer(down, np.arange(columns.kernel) * columns.dilation)
    first = np.zeros(columns.out + fmt.width, f"i{fmt.itemsize}")
    first[: columns.out] = first_taps(columns)
    first_rows = table(first_taps(rows) * columns.size)
    return _MaxTables(u, tap_places(u, rows, columns), table(index), first_rows, first)


def _begin(args: Args, threads: int) -> tuple[Steps, Format, tuple[int, ...]]:
    fmt = FORMATS[args[0].dtype.name]
    strided = tuple(index for index, arg in enumerate(args) if not arg.contiguous)
    return Steps(threads, fmt.itemsize), fmt, strided


def _are_pairs(rows: Axis, columns: Axis, fmt: Format) -> bool:
    """Whether the windows are 2 x 2, side by side, and all inside."""
    plain = all(axis[1] == axis[3] == 2 and not axis.padding for axis in (rows, columns))
    inside = all(2 * axis.out <= axis.size for axis in (rows, columns))
    single = rows.dilation == columns.dilation == 1
    return plain and inside and single and 2 * columns.out >= fmt.width


@schedule("max_pool")
def plan_max_pool(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """The largest of each window, and where it is."""
    steps, fmt, strided = _begin(args, threads)
    if outs[0].size == 0:
        return steps.finish(strided)
    shape = args[0].shape
    rows, columns = window_axes(shape, outs[0].shape, attrs)
    planes = outs[0].size // (rows.out * columns.out)
    work = outs[0].size * rows.kernel * columns.kernel
    sizes = {"planes": planes, "height": rows.size, "width": columns.size}
    sizes |= {"rows": rows.out, "columns": columns.out}
    data = {"source": In(0), "values": Out(0), "indices": Out(1) if len(outs) > 1 else 0}
    if _are_pairs(rows, columns, fmt):
        lanes = fmt.width if columns.out >= fmt.width else fmt.width // 2
        task = max_code(fmt).address(f"max_pairs{lanes}")
        chunks = steps.chunks(planes * rows.out, elements=work)
        steps.add(task, PAIRS, chunks, **data, **sizes)
        return steps.finish(strided)
    tables = _max_tables(rows, columns, fmt)
    u = tables.buffer
    chunks = steps.chunks(planes, elements=work)
    buffer_size = -(-u.size // 16) * 16 + 16
    steps.add(
        max_code(fmt).address("max_pool"),
        MAX,
        chunks,
        **data,
        **sizes,
        buffer_rows=u.rows,
        pitch=u.pitch,
        top=u.top,
        left=u.left,
        step=u.step,
        row_step=u.row_step,
        taps=steps.table(tables.taps),
        tap_index=steps.table(tables.tap_index),
        depth=len(tables.taps),
        first_rows=steps.table(tables.first_rows),
        first_columns=steps.table(tables.first_columns),
        first=-(rows.padding * columns.size + columns.padding),
        row_jump=rows.stride * columns.size,
        column_jump=columns.stride,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
    )
    return steps.finish(strided)


@schedule("max_pool_backward")
def plan_max_pool_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """g at the places that won."""
    steps, fmt, strided = _begin(args, threads)
    height, width = outs[0].shape[-2:]
    plane = height * width
    if outs[0].size == 0:
        return steps.finish(strided)
    planes = outs[0].size // plane
    count = args[0].size // planes
    steps.add(
        sum_code(fmt).address("pool_scatter"),
        SCATTER,
        steps.chunks(planes, elements=outs[0].size + args[0].size),
        source=In(0),
        indices=In(1),
        out=Out(0),
        planes=planes,
        count=count,
        plane=plane,
    )
    return steps.finish(strided)


@lru_cache(512)
def _counts(axis: Axis, include_padding: bool, fmt: Format) -> npt.NDArray[Any]:
    """How many places of each window count along an axis, as numbers of the element type."""
    start = np.arange(axis.out) * axis.stride - axis.padding
    stop = np.minimum(start + axis.kernel, axis.size + axis.padding)
    if not include_padding:
        start, stop = np.maximum(start, 0), np.minimum(stop, axis.size)
    return np.ascontiguousarray(stop - start, f"f{fmt.itemsize}")


@lru_cache(512)
def _ones(count: int, fmt: Format) -> npt.NDArray[Any]:
    return np.ones(count, f"f{fmt.itemsize}")


def _add_divide(
    steps: Steps, fmt: Format, source: Pointer, out: Pointer, planes: int, axes: Any, include: bool
) -> None:
    rows, columns = axes
    lines = planes * rows.out
    steps.add(
        sum_code(fmt).address("pool_divide"),
        DIVIDE,
        steps.chunks(lines, elements=2 * lines * columns.out),
        source=source,
        out=out,
        planes=planes,
        rows=rows.out,
        columns=columns.out,
        row_counts=steps.table(_counts(rows, include, fmt)),
        column_counts=steps.table(_counts(columns, include, fmt)),
    )


@schedule("avg_pool")
def plan_avg_pool(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """The mean of each window: the depthwise kernel with weights of 1, then a division."""
    steps, fmt, strided = _begin(args, threads)
    if outs[0].size == 0:
        return steps.finish(strided)
    axes = rows, columns = window_axes(args[0].shape, outs[0].shape, attrs)
    planes = outs[0].size // (rows.out * columns.out)
    sizes = (planes, rows.size, columns.size)
    ones = (steps.table(_ones(rows.kernel * columns.kernel, fmt)), 0)
    add_windows(steps, fmt, Reading(In(0), sizes, ones), rows, columns)
    include = bool(attrs.get("count_include_pad", True))
    _add_divide(steps, fmt, Out(0), Out(0), planes, axes, include)
    return steps.finish(strided)


@schedule("avg_pool_backward")
def plan_avg_pool_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """The gradient of avg_pool: the depthwise gradient with weights of 1, of g / count."""
    steps, fmt, strided = _begin(args, threads)
    if outs[0].size == 0:
        return steps.finish(strided)
    axes = rows, columns = window_axes(outs[0].shape, args[0].shape, attrs)
    planes = outs[0].size // (rows.size * columns.size)
    shares = steps.scratch(args[0].size)
    include = bool(attrs.get("count_include_pad", True))
    _add_divide(steps, fmt, In(0), shares, planes, axes, include)
    ones = (steps.table(_ones(rows.kernel * columns.kernel, fmt)), 0)
    add_gradient(steps, fmt, axes, planes, shares, ones, backwards=True)
    return steps.finish(strided)
