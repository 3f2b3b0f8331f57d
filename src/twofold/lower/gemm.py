"""The kernel of matrix products: C[m, n] = A[m, k] B[k, n]. Floor 6. Planned by matmul.py.

Whatever the tile, the blocks, the batch, the strides or the threads, element (i, j) is
fma(a[i, k], b[k, j], ... fma(a[i, 0], b[0, j], +0.0)): work is only ever split over m, n and the
batch, and a block of k continues from what is in C. An epilogue (a bias, then an activation) is
applied to finished elements only, so its bits are those of the separate operations.

C is cut into *units* that threads claim from a counter. In a unit, for each block of k:

    for each block of rows of A:            packed, it stays in the second-level cache
        for each group of columns of B:     packed the first time; a panel stays in the first level
            for each panel: tiles           (tile.py)

A and B are read in place where packing would cost more than it saves, and B where it is kept as
panels (kept_panels.py). `apart` is the way from one column of B to the next in the row it is read
from: 1, or all of k for a column of panels.
"""

from __future__ import annotations

from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower import batch
from twofold.lower import tile as tiles
from twofold.lower.shared_tiles import declare, symbol
from twofold.lower.task import Task
from twofold.lower.tile import Tile

DIRECT, ACROSS, ALONG = 0, 1, 2  # how an operand is read: in place, or packed by one of two ways

# `rank` batch axes follow (batch.py). Sizes of units and blocks are in elements, of areas in bytes.
JOB = "a:ptr b:ptr c:ptr bias:ptr finish:ptr areas:ptr area_size area_b counter:ptr units down"
JOB += " unit_rows unit_columns block_rows block_columns block_k pack_a pack_b"
JOB += " m n k a_row a_step b_step b_column apart tall turned area_c batches rank"
AXES = len(JOB.split())
HALF = 32  # bits of the counter


def build_gemm(tile: Tile) -> Module:
    """The module of matrix products in one element type. Exports gemm and reset."""
    m = Module(f"gemm_{tile.element}")
    declare(m, tile, "block", "across", "along")
    tiles.define_turn(m, tile)
    tiles.define_pack_across(m, tile, "across_a", tile.rows)
    tiles.define_pack_along(m, tile, "along_a", tile.rows)
    _define_pack(m, tile, "a", tile.rows, "across_a", "along_a")
    shared = symbol(tile, "across"), symbol(tile, "along")
    _define_pack(m, tile, "b", tile.columns, *shared)
    _define_gemm(m, tile)
    _define_reset(m)
    return m


def _define_pack(m: Module, tile: Tile, name: str, width: int, across: str, along: str) -> None:
    """pack_a, pack_b(source, out, total, count, row, apart, how): all panels of a block."""
    params = [*tiles.PACK_PARAMS, ("apart", "i64"), ("how", "i64")]
    f = m.function(f"pack_{name}", params, internal=True, inline="never")
    source, out, total, count, row, apart, how = f.args
    with f.if_(how.cmp("eq", ALONG)) as branch:
        f.call("void", along, source, out, total, count, row, apart)
        branch.otherwise()
        panel = f.var("ptr", out)
        with f.loop(0, total, apart) as i:
            given = (source.at(i * row, tile.element), panel.get(), f.min(total - i, apart))
            f.call("void", across, *given, count, row)
            panel.set(panel.get().at(count * width, tile.element))


def _define_gemm(m: Module, tile: Tile) -> None:
    """The task: take units until there are none left; each chunk packs into an area of its own.

    Chunks of even number take units from the first on, the others from the last on, as chunks
    themselves are taken (pool.py): the counter's halves say how many are taken from either end.
    """
    t = Task(m, "gemm", JOB)
    f = t.f
    area = t.areas.at(t.chunk * t.area_size, "i8")
    within = t.units // t.batches
    from_last = (t.chunk & 1).cmp("ne", 0)
    one = from_last.select(f.const("i64", 1 << HALF), 1)
    taken = f.var("i64", -1)
    with f.while_():
        with f.if_(t.chunks.cmp("eq", 1)) as branch:
            taken.set(taken.get() + 1)
            branch.otherwise()
            taken.set(f.atomic("add", t.counter, one))
        low, high = taken.get() & ((1 << HALF) - 1), taken.get().lshr(HALF)
        f.break_if((low + high).cmp("sge", t.units))
        u = from_last.select(t.units - 1 - high, low)
        matrix, place = f.var("i64", u), f.var("i64", 0)
        with f.if_(within.cmp("ne", 1)):
            matrix.set(u // within)
            place.set(u % within)
        a, b = batch.locate(t, ("a", "b"), tile.element, matrix.get(), AXES)
        c = t.c.at(matrix.get() * (t.m * t.n), tile.element)
        _Unit(t, tile, area, place.get()).write(a, b, c)


class _Unit:
    """The statements for one unit of C."""

    def __init__(self, t: Task, tile: Tile, area: Value, place: Value) -> None:
        f = t.f
        self.t, self.f, self.tile, self.e = t, f, tile, tile.element
        self.area_a, self.area_b, self.area_c = (
            area,
            area.at(t.area_b, "i8"),
            area.at(t.area_c, "i8"),
        )
        self.i, self.j = place % t.down * t.unit_rows, place // t.down * t.unit_columns
        self.rows = f.min(t.unit_rows, t.m - self.i)
        self.columns = f.min(t.unit_columns, t.n - self.j)
        self.packs_a, self.packs_b = t.pack_a.cmp("ne", DIRECT), t.pack_b.cmp("ne", DIRECT)
        self.turned = t.turned.cmp("ne", 0)
        self.pitch = self.turned.select(t.unit_columns, t.n)

    def write(self, a: Value, b: Value, c: Value) -> None:
        """All of k, block by block. The first block also runs where there is no k: it stores 0."""
        t, f, e = self.t, self.f, self.e
        a, b = a.at(self.i * t.a_row, e), b.at(self.j * t.b_column, e)
        here = self.turned.select(self.area_c, c.at(self.i * t.n + self.j, e))
        finishes = t.finish.cast("ptrtoint", "i64").cmp("ne", 0)
        with f.loop(0, f.max(t.k, 1), t.block_k) as k:
            self.count = f.min(t.block_k, t.k - k)
            self.resume = k.cmp("ne", 0).cast("zext", "i64")
            last = (k + self.count).cmp("eq", t.k)
            self.finishes = finishes & last & ~self.turned
            self._rows(a.at(k * t.a_step, e), b.at(k * t.b_step, e), here)
        with f.if_(self.turned):
            out = (c.at(self.j * t.m + self.i, e), t.m)
            f.call("void", "turn", here, self.pitch, *out, self.rows, self.columns)
            with f.if_(finishes):
                f.call("void", t.finish, *out, self.columns, self.rows, t.bias.at(self.i, e))

    def _rows(self, a: Value, b: Value, c: Value) -> None:
        """The blocks of rows of A."""
        t, f, e = self.t, self.f, self.e
        stride = t.pack_a.cmp("eq", ACROSS).select(t.a_row, t.a_step)
        with f.loop(0, self.rows, t.block_rows) as i:
            self.height = f.min(t.block_rows, self.rows - i)
            here = a.at(i * t.a_row, e)
            with f.if_(self.packs_a):
                given = (here, self.area_a, self.height, self.count, stride, t.tall, t.pack_a)
                f.call("void", "pack_a", *given)
            self.a = (
                self.packs_a.select(self.area_a, here),
                self.packs_a.select(self.count * self.tile.rows, t.a_row * t.tall),
                self.packs_a.select(1, t.a_row),
                self.packs_a.select(self.tile.rows, t.a_step),
            )
            self._columns(i.cmp("eq", 0), b, c.at(i * self.pitch, e))

    def _columns(self, first: Value, b: Value, c: Value) -> None:
        """The groups of columns of B, packed at the first rows, and their panels."""
        t, f, e, wide = self.t, self.f, self.e, self.tile.columns
        stride = t.pack_b.cmp("eq", ACROSS).select(t.b_column, t.b_step)
        with f.loop(0, self.columns, t.block_columns) as j:
            stop = f.min(j + t.block_columns, self.columns)
            with f.if_(self.packs_b & first):
                here, out = b.at(j * t.b_column, e), self.area_b.at(j * self.count, e)
                f.call("void", "pack_b", here, out, stop - j, self.count, stride, wide, t.pack_b)
            with f.loop(j, stop, wide) as p:
                self._panel(p, f.min(stop - p, wide), b.at(p * t.apart, e), c.at(p, e), first)

    def _panel(self, j: Value, width: Value, b: Value, c: Value, first: Value) -> None:
        """One panel of B: packed, in place, or (its last columns) packed here as reading would
        touch what lies behind B."""
        t, f, tile, e = self.t, self.f, self.tile, self.e
        whole = width.cmp("eq", tile.columns)
        start, step = f.var("ptr", b), f.var("i64", t.b_step)
        with f.if_(self.packs_b | ~whole):
            start.set(self.packs_b.select(self.area_b.at(j * self.count, e), self.area_b))
            step.set(tile.columns)
        with f.if_(~self.packs_b & ~whole & first):
            last = (start.get(), width, self.count, t.b_step, tile.columns)
            f.call("void", symbol(tile, "along"), b, *last)
        size = (self.height, width)
        given = (start.get(), step.get(), c, self.pitch, t.tall, *size, self.count, self.resume)
        f.call("void", symbol(tile, "block"), *self.a, *given)
        with f.if_(self.finishes):
            f.call("void", t.finish, c, t.n, *size, t.bias.at(self.j + j, e))


def _define_reset(m: Module) -> None:
    """reset(job): no unit is claimed yet."""
    t = Task(m, "reset", "counter:ptr")
    t.counter.store(t.f.const("i64", 0))
