"""Copy a strided array of any element size to C order. Floor 6.

The array is seen as planes: the innermost axis of the copy, and the axis that lies densest in the
source. Where that is another one, small tiles are turned in registers, so that both sides are read
and written in whole cache lines.
"""

from __future__ import annotations

from math import prod

from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, Step, Word, chunks_for, larger, smaller
from twofold.lower.task import Task

WORTH_TURNING = 1 << 14  # elements from which a transposed input is first turned as a whole
TILE = 64  # rows that are copied together; as many elements of the source lie side by side
VECTOR = 16  # bytes of the vectors that are turned
WIDE = 32  # bytes of the vectors in which a row is repeated or turned round
COLUMNS = 16  # that are turned together, at least
HEADER = "source:ptr out:ptr planes rows columns row_step column_step out_step rank"
KINDS = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}


def turnable(arg: Arg) -> bool:
    """Whether another axis than the last lies densest in memory, so that a copy turns tiles."""
    return arg.dtype.itemsize in KINDS and _dense_axis(*_joined(arg)) is not None


def _joined(arg: Arg) -> tuple[list[int], list[int]]:
    """Sizes and strides without axes of size 1; neighbours that are walked as one are one."""
    sizes: list[int] = []
    strides: list[int] = []
    for size, stride in zip(arg.shape, arg.strides, strict=True):
        if size == 1:
            continue
        if sizes and strides[-1] == size * stride:
            sizes[-1] *= size
            strides[-1] = stride
        else:
            sizes.append(size)
            strides.append(stride)
    return sizes or [1], strides or [1]


def _dense_axis(sizes: list[int], strides: list[int]) -> int | None:
    """The axis of stride 1, if it is not the last one and both are long enough for tiles."""
    if abs(strides[-1]) <= 1 or sizes[-1] < 8:
        return None
    found = [axis for axis, stride in enumerate(strides[:-1]) if stride == 1 and sizes[axis] >= 8]
    return found[0] if found else None


def contiguous_step(arg: Arg, source: Word, out: Word, threads: int) -> Step:
    """A step that copies `arg`, found at `source`, to `out` in C order."""
    sizes, strides = _joined(arg)
    size = arg.dtype.itemsize
    if size == 16:  # two words of 8 bytes
        sizes, strides = [*sizes, 2], [*(2 * s for s in strides), 1]
        size = 8
    kind = KINDS[size]
    dense = _dense_axis(sizes, strides)
    turned = dense is not None
    # rows: the axis that is dense in the source (or the one before the last); columns: the last
    rows_axis = dense if dense is not None else len(sizes) - 2
    out_steps = [prod(sizes[axis + 1 :]) for axis in range(len(sizes))]
    rows, row_step, out_step = 1, 0, 0
    rest = list(range(len(sizes) - 1))
    if rows_axis >= 0:
        rows, row_step, out_step = sizes[rows_axis], strides[rows_axis], out_steps[rows_axis]
        rest.remove(rows_axis)
    walks = list(zip(sizes, strides, out_steps, strict=True))
    table = [word for axis in reversed(rest) for word in walks[axis]]
    planes = prod(sizes[axis] for axis in rest)
    blocks = -(-rows // TILE)
    job = (source, out, planes, rows, sizes[-1], row_step, strides[-1], out_step, len(rest), *table)
    name = "turn" if turned else "copy"
    code = load(f"{name}/{kind}", lambda: build_copy(name, kind))
    chunks = smaller(chunks_for(arg.size, threads), planes * blocks)
    return Step(code.address(name), job, larger(chunks, 1))


# ---- kernels -------------------------------------------------------------------------------------


def build_copy(name: str, kind: str) -> Module:
    """One of the tasks `copy` and `turn`, for elements of one size."""
    m = Module(name)
    _Copy(m, name, kind).write()
    return m


class _Copy:
    """One of the tasks, while it is written. After its words come (size, stride, stride in the
    output) of each outer axis, the last one first."""

    def __init__(self, m: Module, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.t = Task(m, name, HEADER)
        self.f = self.t.f

    def write(self) -> None:
        """A unit of work is a block of rows of one plane."""
        f, t = self.f, self.t
        blocks = (t.rows + (TILE - 1)) // TILE
        low, high = t.share(t.planes * blocks)
        with f.loop(low, high) as unit:
            source, out = self.plane(unit // blocks)
            first = unit % blocks * TILE
            last = f.min(first + TILE, t.rows)
            if self.name == "turn":
                self.turn(source, out, first, last)
            else:
                self.rows(source, out, first, last)

    def plane(self, number: Value) -> tuple[Value, Value]:
        """Where a plane begins in the source and in the output."""
        f, t = self.f, self.t
        table = t.job.at(len(HEADER.split()), "i64")
        rest = f.var("i64", number)
        here, there = f.var("i64", 0), f.var("i64", 0)
        with f.loop(0, t.rank) as axis:
            size, step, out_step = (table.at(axis * 3 + k, "i64").load("i64") for k in range(3))
            index = rest.get() % size
            rest.set(rest.get() // size)
            here.set(here.get() + index * step)
            there.set(there.get() + index * out_step)
        return t.source.at(here.get(), self.kind), t.out.at(there.get(), self.kind)

    def rows(self, source: Value, out: Value, first: Value, last: Value) -> None:
        f, t, kind = self.f, self.t, self.kind
        whole = t.columns // 4 * 4
        with f.loop(first, last) as row:
            here = source.at(row * t.row_step, kind)
            there = out.at(row * t.out_step, kind)
            with f.if_(t.column_step.cmp("eq", 1) & t.columns.cmp("sge", 16)) as dense:
                f.memcpy(there, here, t.columns * SIZES[kind])
                dense.otherwise()
                done = f.var("i64", 0)
                with f.if_(t.column_step.cmp("eq", 0)):
                    done.set(self.repeated(here, there))
                with f.if_(t.column_step.cmp("eq", -1)):
                    done.set(self.backwards(here, there))
                with f.loop(done.get(), whole, 4) as i:
                    values = [here.at((i + k) * t.column_step, kind).load(kind) for k in range(4)]
                    for k, value in enumerate(values):
                        there.at(i + k, kind).store(value)
                self.elements(here, there, whole)

    def repeated(self, here: Value, there: Value) -> Value:
        """One element along a row, by vectors; up to where."""
        lanes = WIDE // SIZES[self.kind]
        end = self.t.columns // lanes * lanes
        value = here.load(self.kind).splat(lanes)
        with self.f.loop(0, end, lanes) as i:
            there.at(i, self.kind).store(value)
        return end

    def backwards(self, here: Value, there: Value) -> Value:
        """A row that lies the other way round, by vectors; up to where."""
        f, kind = self.f, self.kind
        lanes = WIDE // SIZES[kind]
        end = self.t.columns // lanes * lanes
        with f.loop(0, end, lanes) as i:
            found = here.at(-i - (lanes - 1), kind).load(vector(kind, lanes))
            there.at(i, kind).store(f.shuffle(found, None, range(lanes - 1, -1, -1)))
        return end

    def elements(self, here: Value, there: Value, begin: Value) -> None:
        """One row from column `begin` on, element by element."""
        f, t, kind = self.f, self.t, self.kind
        with f.loop(begin, t.columns) as i:
            there.at(i, kind).store(here.at(i * t.column_step, kind).load(kind))

    def turn(self, source: Value, out: Value, first: Value, last: Value) -> None:
        """Rows lie side by side in the source: tiles of lanes x lanes elements are turned, several
        beside each other, so that longer pieces of lines are written."""
        f, t, kind = self.f, self.t, self.kind
        lanes = VECTOR // SIZES[kind]
        width = max(lanes, COLUMNS)
        columns = t.columns // width * width
        rows = first + (last - first) // lanes * lanes
        with f.loop(0, columns, width) as c:
            with f.loop(first, rows, lanes) as r:
                for tile in range(0, width, lanes):
                    self.tile(source, out, r, c + tile, lanes)
            with f.loop(rows, last) as r:
                for k in range(width):
                    value = source.at(r + (c + k) * t.column_step, kind).load(kind)
                    out.at(r * t.out_step + c + k, kind).store(value)
        with f.loop(first, last) as r:
            self.elements(source.at(r, kind), out.at(r * t.out_step, kind), columns)

    def tile(self, source: Value, out: Value, r: Value, c: Value, lanes: int) -> None:
        f, t, kind = self.f, self.t, self.kind
        here = source.at(r + c * t.column_step, kind)
        side = vector(kind, lanes)
        loaded = [here.at(t.column_step * k, kind).load(side) for k in range(lanes)]
        for k, row in enumerate(transpose(f, loaded)):
            out.at((r + k) * t.out_step + c, kind).store(row)


SIZES = {kind: size for size, kind in KINDS.items()}


def transpose(f: Function, rows: list[Value]) -> list[Value]:
    """The columns of as many vectors as each has lanes: perfect shuffles, log2(lanes) times."""
    lanes = len(rows)
    low = [k // 2 + (k % 2) * lanes for k in range(lanes)]
    high = [place + lanes // 2 for place in low]
    for _ in range(lanes.bit_length() - 1):
        pairs = [(rows[k], rows[k + lanes // 2]) for k in range(lanes // 2)]
        rows = [f.shuffle(a, b, mask) for a, b in pairs for mask in (low, high)]
    return rows
