"""Windows over one plane, for depthwise convolution and for pooling. Floor 6.

A plane is copied with its border into a small buffer, its columns dealt out by the stride s: part q
holds the columns q, q + s, ... of every row. Then the numbers that neighbouring windows take at the
same place of the window are adjacent, whatever the stride: a vector of windows is a plain load.
"""

import numpy as np

from twofold.base.records import NamedTuple
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.conv_tables import Axis, Table, table
from twofold.lower.conv_tile import Format

NARROW = 4  # numbers below which they are copied one by one

UNFOLD = [("source", "ptr"), ("out", "ptr"), ("height", "i64"), ("width", "i64"), ("rows", "i64")]
UNFOLD += [("pitch", "i64"), ("top", "i64"), ("left", "i64"), ("step", "i64")]


class Unfolded(NamedTuple):
    """The buffer of a plane: `step` parts of `rows` rows of `pitch` numbers.

    origin    where the window of output (0, 0) begins
    row_step  from one row of outputs to the next
    """

    rows: int
    pitch: int
    step: int
    top: int
    left: int
    row_step: int

    @property
    def size(self) -> int:
        return self.step * self.rows * self.pitch


def unfolded(rows: Axis, columns: Axis, slack: int) -> Unfolded:
    """The buffer for these windows; vectors may read `slack` numbers beyond a row."""
    pitch = -(-columns.padded // columns.stride) + slack
    return Unfolded(
        rows.padded, pitch, columns.stride, rows.padding, columns.padding, rows.stride * pitch
    )


def tap_places(u: Unfolded, rows: Axis, columns: Axis) -> Table:
    """The offset of each place of a window, row after row, from the window's origin."""
    down = np.arange(rows.kernel) * rows.dilation * u.pitch
    along = np.arange(columns.kernel) * columns.dilation
    along = along % u.step * (u.rows * u.pitch) + along // u.step
    return table(np.add.outer(down, along))


def define_unfold(m: Module, fmt: Format) -> None:
    """Write a plane into its buffer. The border is not touched: it was filled before."""
    f = m.function("unfold", UNFOLD, internal=True, inline="never")
    source, out, height, width, rows, pitch, top, left, step = f.args
    part = rows * pitch
    with f.loop(0, height) as y:
        line = source.at(y * width, fmt.element)
        place = out.at((y + top) * pitch, fmt.element)

        def copy_all() -> None:
            copy_line(fmt, line, place.at(left, fmt.element), width)

        def deal_two() -> None:
            _deal_two(fmt, line, place, part, left, width)

        def deal() -> None:
            _deal(fmt, line, place, part, left, width, step)

        f.switch(step, {1: copy_all, 2: deal_two}, deal)


def copy_line(
    fmt: Format, line: Value, place: Value, count: Value, lanes: int | None = None
) -> None:
    """Copy numbers by vectors of `lanes`, or by narrower ones where there are fewer; the last one
    overlaps the one before."""
    f = line.function
    lanes = fmt.width if lanes is None else lanes
    kind = vector(fmt.element, lanes) if lanes >= NARROW else fmt.element

    def copy(at: Value) -> None:
        place.at(at, fmt.element).store(line.at(at, fmt.element).load(kind))

    if lanes < NARROW:
        with f.loop(0, count) as x:
            copy(x)
        return
    with f.if_(count.cmp("sge", lanes)) as branch:
        with f.loop(0, count - lanes, lanes) as x:
            copy(x)
        copy(count - lanes)
        branch.otherwise()
        copy_line(fmt, line, place, count, lanes // 2)


def _deal_two(
    fmt: Format, line: Value, place: Value, part: Value, left: Value, width: Value
) -> None:
    """Even columns to one part, odd ones to the other."""
    f = line.function
    targets = [
        place.at(((left + odd) & 1) * part + (left + odd) // 2, fmt.element) for odd in (0, 1)
    ]
    pairs = width // 2
    whole = (pairs // fmt.width) * fmt.width
    with f.loop(0, whole, fmt.width) as x:
        low = line.at(x * 2, fmt.element).load(fmt.vector)
        high = line.at(x * 2 + fmt.width, fmt.element).load(fmt.vector)
        for odd, target in enumerate(targets):
            mask = range(odd, 2 * fmt.width, 2)
            target.at(x, fmt.element).store(f.shuffle(low, high, mask))
    with f.loop(whole, pairs) as x:
        for odd, target in enumerate(targets):
            target.at(x, fmt.element).store(line.at(x * 2 + odd, fmt.element).load(fmt.element))
    with f.if_((width & 1).cmp("ne", 0)):
        targets[0].at(pairs, fmt.element).store(line.at(width - 1, fmt.element).load(fmt.element))


def _deal(
    fmt: Format, line: Value, place: Value, part: Value, left: Value, width: Value, step: Value
) -> None:
    """Columns to the parts in turn."""
    f = line.function
    turn = f.var("i64", left % step)
    target = f.var("i64", left // step)
    with f.loop(0, width) as x:
        value = line.at(x, fmt.element).load(fmt.element)
        place.at(turn.get() * part + target.get(), fmt.element).store(value)
        turn.set(turn.get() + 1)
        with f.if_(turn.get().cmp("eq", step)):
            turn.set(0)
            target.set(target.get() + 1)
