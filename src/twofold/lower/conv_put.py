"""Write a tile of pixels and filters into the planes of the filters. Floor 6.

    put(results, places, rows, out, out_row, columns, finish, bias, words, offset, channel)

`results` is [rows][columns of the tile], a pixel a row, and pixel r of filter c goes to
out[places[r] + c * out_row]. What follows the convolution (conv_then.py) is done on the way: the
norm where the lanes are filters, the body where they are pixels.
"""

from __future__ import annotations

from collections.abc import Callable

from twofold.base.records import NamedTuple
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.conv_tile import ADD_BIAS, RELU, Format, entry
from twofold.lower.tile import transpose_square

PARAMS = [("results", "ptr"), ("places", "ptr"), ("rows", "i64"), ("out", "ptr")]
PARAMS += [("out_row", "i64"), ("columns", "i64"), ("finish", "i64"), ("bias", "ptr")]
PARAMS += [("words", "ptr"), ("offset", "i64"), ("channel", "i64")]


class Following(NamedTuple):
    """What is done to the results. `norm` gets a vector of filters, and the vectors of its numbers,
    which lie at the words 1, 2, ...; `body` a vector of pixels, and those of `others`, at the words
    behind them."""

    norm: Callable[[Value, list[Value]], Value] | None
    numbers: int
    body: Callable[[list[Value]], Value] | None
    others: int


NOTHING = Following(None, 0, None, 0)


def define_put(m: Module, fmt: Format, following: Following | None = None) -> None:
    """`put`; for this module alone where nothing follows."""
    alone = following is None
    f = m.function("put", PARAMS, internal=alone, inline="never" if alone else "auto")
    follow = following or NOTHING
    results, places, rows, out, out_row, columns, finish, bias, words, offset, channel = f.args
    with f.if_(finish.cmp("ne", 0)):
        for at in fmt.starts:
            _finish(f, fmt, at, (rows, columns), (finish, bias), results)
    count = 1 + follow.numbers + follow.others
    given = [words.at(i, "i64").load("ptr") for i in range(1, count)]
    others = [start.at(offset, fmt.element) for start in given[follow.numbers :]]
    for at in reversed(fmt.starts):
        mask = filters_mask(f, fmt, columns - at)
        starts = [start.at(channel + at, fmt.element) for start in given[: follow.numbers]]
        numbers = [f.masked_load(start, mask, fmt.vector) for start in starts]
        for low in range(0, fmt.rows, fmt.width):
            lines = _square(f, fmt, results, at, low)
            if follow.norm:
                lines = [follow.norm(line, numbers) for line in lines]
            square = _Square(at, low, transpose_square(f, lines))
            _put_square(f, fmt, square, [out, *others], (rows, columns, out_row), places, follow)


def filters_mask(f: Function, fmt: Format, count: Value) -> Value:
    """The lanes of a vector that are below `count`."""
    return f.iota(vector("i64", fmt.width)).cmp("slt", count.splat(fmt.width))


def _finish(
    f: Function,
    fmt: Format,
    at: int,
    sizes: tuple[Value, Value],
    wanted: tuple[Value, Value],
    results: Value,
) -> None:
    """Add the bias and clip at zero, as the tile does, for a vector of filters."""
    rows, columns = sizes
    finish, bias = wanted
    floor = (finish & RELU).cmp("ne", 0).select(f.const(fmt.vector, 0.0), float("-inf"))
    # -0.0 is what may be added without a change
    shift = f.var(fmt.vector, -0.0)
    with f.if_((finish & ADD_BIAS).cmp("ne", 0)):
        mask = filters_mask(f, fmt, columns - at)
        shift.set(f.masked_load(bias.at(at, fmt.element), mask, fmt.vector))
    with f.loop(0, rows) as row:
        place = results.at(row * fmt.columns + at, fmt.element)
        value = place.load(fmt.vector) + shift.get()
        place.store(value.cmp("ole", floor).select(floor, value))


class _Square(NamedTuple):
    """The results of `width` filters from `at` on, and of as many pixels from `low` on."""

    at: int
    low: int
    filters: list[Value]  # vectors of pixels


def _put_square(
    f: Function,
    fmt: Format,
    square: _Square,
    planes: list[Value],
    sizes: tuple[Value, Value, Value],
    places: Value,
    following: Following,
) -> None:
    """Write to the first plane, run by run of pixels whose places are adjacent; read the others."""
    rows, columns, out_row = sizes
    low, end = square.low, f.min(rows, square.low + fmt.width)
    begin, stop = f.var("i64", low), f.var("i64", end)
    with f.while_():
        f.break_if(begin.get().cmp("sge", end))
        first = begin.get()
        place = entry(places, first)
        stop.set(end)
        with f.if_((entry(places, end - 1) - place).cmp("ne", end - 1 - first)):
            stop.set(first + 1)
            with f.while_():
                f.break_if(stop.get().cmp("sge", end))
                ahead = stop.get() - first
                f.break_if((entry(places, stop.get()) - place).cmp("ne", ahead))
                stop.set(stop.get() + 1)
        last = stop.get()
        lane = f.iota(vector("i64", fmt.width))
        mask = lane.cmp("sge", (first - low).splat(fmt.width))
        mask = mask & lane.cmp("slt", (last - low).splat(fmt.width))
        whole = (last - first).cmp("eq", min(fmt.rows - low, fmt.width))
        corner = place - (first - low)
        # what has no filter is written where the last filter's results will be, and before them
        for number, line in reversed(list(enumerate(square.filters))):
            filter = f.min(columns - 1, square.at + number)
            here = [plane.at(corner + filter * out_row, fmt.element) for plane in planes]
            value = line
            if following.body:
                read = [f.masked_load(plane, mask, fmt.vector) for plane in here[1:]]
                value = following.body([line, *read])
            _store(f, fmt, value, here[0], mask, whole, low)
            for plane in here:  # what the next tile comes to
                f.prefetch(plane.at(fmt.rows, fmt.element), locality=2)
        begin.set(last)


def _store(
    f: Function, fmt: Format, value: Value, place: Value, mask: Value, whole: Value, low: int
) -> None:
    """The lanes of the mask; `whole` says that they are all of the rows from `low` on."""
    if fmt.masked:
        f.masked_store(value, place, mask)
        return
    with f.if_(whole) as branch:
        _store_first(f, fmt, value, place, min(fmt.rows - low, fmt.width))
        branch.otherwise()
        f.masked_store(value, place, mask)


def _store_first(f: Function, fmt: Format, value: Value, place: Value, count: int) -> None:
    """The first lanes of a vector, in parts of powers of two."""
    at = 0
    while at < count:
        size = 1 << ((count - at).bit_length() - 1)
        part = range(at, at + size)
        piece = f.extract(value, at) if size == 1 else f.shuffle(value, None, part)
        place.at(at, fmt.element).store(piece)
        at += size


def put_turned(f: Function, fmt: Format, tile: Value, out: Value, pitch: Value) -> None:
    """Write a full tile turned: out[column * pitch + row] = tile[row][column]."""
    lane = f.iota(vector("i64", fmt.width))
    for at in fmt.starts:
        for low in range(0, fmt.rows, fmt.width):
            count = min(fmt.rows - low, fmt.width)
            lines = _square(f, fmt, tile, at, low)
            mask = lane.cmp("slt", count)
            for number, line in enumerate(transpose_square(f, lines)):
                place = out.at(pitch * (at + number) + low, fmt.element)
                if fmt.masked:
                    f.masked_store(line, place, mask)
                else:
                    _store_first(f, fmt, line, place, count)


def _square(f: Function, fmt: Format, tile: Value, at: int, low: int) -> list[Value]:
    """`width` rows of a tile from `low` on, and as many of its columns; zeros behind the rows."""
    lines = []
    for row in range(low, low + fmt.width):
        line = tile.at(row * fmt.columns + at, fmt.element)
        lines.append(line.load(fmt.vector) if row < fmt.rows else f.const(fmt.vector, 0.0))
    return lines
