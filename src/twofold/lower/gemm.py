"""The kernel of matrix products: C[m, n] = A[m, k] B[k, n]. Floor 6. Planned by matmul.py.

Whatever the tile, the blocks, the batch, the strides or the threads, element (i, j) is
fma(a[i, k], b[k, j], ... fma(a[i, 0], b[0, j], +0.0)): work is only ever split over m, n and the
batch, and a block of k continues from what is in C. An epilogue (a bias, then an activation) is
applied to finished elements only, so its bits are those of the separate operations.

C is cut into *units* that threads claim from a counter. In a unit, for each block of k:

    for each block of rows of A:            packed, it stays in the second-level cache
        for each group of columns of B:     packed the first time; a panel stays in the first level
            for each panel: tiles           (tile.py)

A and B are read in place where packing would cost more than it saves.
"""

from __future__ import annotations

from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower import batch
from twofold.lower import tile as tiles
from twofold.lower.task import Task
from twofold.lower.tile import Tile

DIRECT, ACROSS, ALONG = 0, 1, 2  # how an operand is read: in place, or packed by one of two ways

# `rank` batch axes follow (batch.py). Sizes of units and blocks are in elements, of areas in bytes.
JOB = "a:ptr b:ptr c:ptr bias:ptr finish:ptr areas:ptr area_size area_b counter:ptr units down"
JOB += " unit_rows unit_columns block_rows block_columns block_k pack_a pack_b"
JOB += " m n k a_row a_step b_step b_column batches rank"
AXES = len(JOB.split())


def build_gemm(tile: Tile) -> Module:
    """The module of matrix products in one element type. Exports gemm and reset."""
    m = Module(f"gemm_{tile.element}")
    tiles.define_tiles(m, tile)
    tiles.define_move(m, tile)
    tiles.define_block(m, tile)
    for name, width in (("a", tile.rows), ("b", tile.columns)):
        tiles.define_pack_across(m, tile, f"panel_{name}", width)
        tiles.define_pack_along(m, tile, f"along_{name}", width)
        _define_pack(m, tile, name, width)
    _define_gemm(m, tile)
    _define_reset(m)
    return m


def _define_pack(m: Module, tile: Tile, name: str, width: int) -> None:
    """pack_a, pack_b(source, out, total, count, row, how): all panels of a block."""
    params = [*tiles.PACK_PARAMS, ("how", "i64")]
    f = m.function(f"pack_{name}", params, internal=True, inline="never")
    source, out, total, count, row, how = f.args
    with f.if_(how.cmp("eq", ALONG)) as branch:
        f.call("void", f"along_{name}", source, out, total, count, row)
        branch.otherwise()
        with f.loop(0, total, width) as i:
            start, panel = source.at(i * row, tile.element), out.at(i * count, tile.element)
            f.call("void", f"panel_{name}", start, panel, f.min(total - i, width), count, row)


def _define_gemm(m: Module, tile: Tile) -> None:
    """The task: take units until there are none left; each chunk packs into an area of its own."""
    t = Task(m, "gemm", JOB)
    f = t.f
    area = t.areas.at(t.chunk * t.area_size, "i8")
    within = t.units // t.batches
    taken = f.var("i64", 0)
    with f.while_():
        with f.if_(t.chunks.cmp("eq", 1)) as branch:
            taken.set(taken.get() + 1)
            branch.otherwise()
            taken.set(f.atomic("add", t.counter, f.const("i64", 1)) + 1)
        u = taken.get() - 1
        f.break_if(u.cmp("sge", t.units))
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
        self.area_a, self.area_b = area, area.at(t.area_b, "i8")
        self.i, self.j = place % t.down * t.unit_rows, place // t.down * t.unit_columns
        self.rows = f.min(t.unit_rows, t.m - self.i)
        self.columns = f.min(t.unit_columns, t.n - self.j)
        self.packs_a, self.packs_b = t.pack_a.cmp("ne", DIRECT), t.pack_b.cmp("ne", DIRECT)

    def write(self, a: Value, b: Value, c: Value) -> None:
        """All of k, block by block. The first block also runs where there is no k: it stores 0."""
        t, f, e = self.t, self.f, self.e
        a, b = a.at(self.i * t.a_row, e), b.at(self.j * t.b_column, e)
        c = c.at(self.i * t.n + self.j, e)
        with f.loop(0, f.max(t.k, 1), t.block_k) as k:
            self.count = f.min(t.block_k, t.k - k)
            self.resume = k.cmp("ne", 0).cast("zext", "i64")
            last = (k + self.count).cmp("eq", t.k)
            self.finishes = t.finish.cast("ptrtoint", "i64").cmp("ne", 0) & last
            self._rows(a.at(k * t.a_step, e), b.at(k * t.b_step, e), c)

    def _rows(self, a: Value, b: Value, c: Value) -> None:
        """The blocks of rows of A."""
        t, f, e = self.t, self.f, self.e
        stride = t.pack_a.cmp("eq", ACROSS).select(t.a_row, t.a_step)
        with f.loop(0, self.rows, t.block_rows) as i:
            self.height = f.min(t.block_rows, self.rows - i)
            here = a.at(i * t.a_row, e)
            with f.if_(self.packs_a):
                given = (here, self.area_a, self.height, self.count, stride, t.pack_a)
                f.call("void", "pack_a", *given)
            self.a = (
                self.packs_a.select(self.area_a, here),
                self.packs_a.select(self.count, t.a_row),
                self.packs_a.select(1, t.a_row),
                self.packs_a.select(self.tile.rows, t.a_step),
            )
            self._columns(i.cmp("eq", 0), b, c.at(i * t.n, e))

    def _columns(self, first: Value, b: Value, c: Value) -> None:
        """The groups of columns of B, packed at the first rows, and their panels."""
        t, f, e = self.t, self.f, self.e
        stride = t.pack_b.cmp("eq", ACROSS).select(t.b_column, t.b_step)
        with f.loop(0, self.columns, t.block_columns) as j:
            stop = f.min(j + t.block_columns, self.columns)
            with f.if_(t.pack_b.cmp("eq", ACROSS) & first):
                here, out = b.at(j * t.b_column, e), self.area_b.at(j * self.count, e)
                f.call("void", "pack_b", here, out, stop - j, self.count, stride, t.pack_b)
            with f.loop(j, stop, self.tile.columns) as p:
                width = f.min(stop - p, self.tile.columns)
                self._panel(p, width, b.at(p, e), c.at(p, e), first)

    def _panel(self, j: Value, width: Value, b: Value, c: Value, first: Value) -> None:
        """One panel of B: packed, in place, or (its last columns) packed here as reading would
        touch what lies behind B."""
        t, f, tile, e = self.t, self.f, self.tile, self.e
        whole = width.cmp("eq", tile.columns)
        start, step = f.var("ptr", b), f.var("i64", t.b_step)
        done = f.var("i64", 0)
        along = t.pack_b.cmp("eq", ALONG)
        with f.if_(self.packs_b | ~whole):
            start.set(self.packs_b.select(self.area_b.at(j * self.count, e), self.area_b))
            step.set(tile.columns)
        with f.if_(first & along & whole & self.height.cmp("sge", tile.rows)) as branch:
            a, _, *a_layout = self.a
            given = (a, *a_layout, b, t.b_step, c, t.n, self.count, self.resume, start.get())
            f.call("void", "tile_and_pack", *given)
            done.set(tile.rows)
            branch.otherwise()
            with f.if_((first & along) | (~self.packs_b & ~whole)):
                f.call("void", "along_b", b, start.get(), width, self.count, t.b_step)
        out = (c, t.n, self.height, width)
        a, a_panel, *a_layout = self.a
        rest = (c.at(done.get() * t.n, e), t.n, self.height - done.get(), width)
        a = a.at(done.get() * a_panel, e)
        more = (*rest, self.count, self.resume)
        f.call("void", "block", a, a_panel, *a_layout, start.get(), step.get(), *more)
        with f.if_(self.finishes):
            f.call("void", t.finish, *out, t.bias.at(self.j + j, self.e))


def _define_reset(m: Module) -> None:
    """reset(job): no unit is claimed yet."""
    t = Task(m, "reset", "counter:ptr")
    t.counter.store(t.f.const("i64", 0))
