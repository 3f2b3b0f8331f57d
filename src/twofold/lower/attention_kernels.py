"""The kernels of attention, forward and backward, by blocks of 64 keys. Floor 6.

The order of every sum is defined in attention.py. Matrix products are the tiles of tile.py; what
happens to a row of scores in between is in attention_rows.py.
"""

from __future__ import annotations

from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower import batch, gemv
from twofold.lower import tile as tiles
from twofold.lower.attention_rows import (
    KEYS,
    NEVER,
    along_row,
    change,
    define_add_mask,
    define_steepen,
    define_weigh,
    width_of,
)
from twofold.lower.shared_tiles import declare, symbol
from twofold.lower.task import Task
from twofold.lower.tile import Tile

# Sizes count elements. `at_...` are places in an area, in elements too.
SIZES = "areas:ptr area_size causal queries keys depth width q_row k_row v_row mask_row mask_step"
SIZES += " block units batches rank"
# `dots` and `sums` are those of gemv.py, where there are blocks of a single query.
FORWARD = "q:ptr k:ptr v:ptr mask:ptr out:ptr lse:ptr at_k at_v at_top at_sum scale:{e} "
FORWARD += "dots:ptr sums:ptr " + SIZES
FORWARD_INPUTS = ("q", "k", "v", "mask")
BACKWARD = "q:ptr k:ptr v:ptr mask:ptr g:ptr lse:ptr delta:ptr dq:ptr dk:ptr dv:ptr g_row part"
BACKWARD += " at_slope at_kt at_vt at_k at_q at_g scale:{e} " + SIZES
BACKWARD_INPUTS = ("q", "k", "v", "mask", "g")
DELTA = "g:ptr out:ptr delta:ptr width g_row queries batches rank"

IN_FLIGHT = 2  # vectors of 16 bytes for a single query: keys may lie 4096 bytes apart

Size = tuple[Value, Value, Value]
Range = tuple[Value, Value]

# What a unit of the backward kernel is.
HEAD, QUERIES, KEYS_OF_HEAD = 0, 1, 2


def build_forward(tile: Tile) -> Module:
    """The module of attention's forward kernel in one element type. Exports attend."""
    m = Module(f"attention_{tile.element}")
    _define_products(m, tile)
    define_add_mask(m, tile)
    define_weigh(m, tile)
    _define_finish(m, tile)
    _define_attend(m, tile)
    return m


def build_backward(tile: Tile) -> Module:
    """The module of attention's gradient in one element type. Exports drop and descend."""
    m = Module(f"attention_backward_{tile.element}")
    _define_products(m, tile)
    define_add_mask(m, tile)
    define_steepen(m, tile)
    _define_drop(m, tile.element)
    _define_descend(m, tile)
    return m


# ---- products ------------------------------------------------------------------------------------

PRODUCT = [("a", "ptr"), ("a_row", "i64"), ("a_step", "i64"), ("b", "ptr"), ("c", "ptr")]
PRODUCT += [("c_row", "i64"), ("rows", "i64"), ("columns", "i64"), ("count", "i64")]
PRODUCT += [("resume", "i64")]


def _define_products(m: Module, tile: Tile) -> None:
    """product(...): C = A times packed B, and turn, the one way to pack; `along` is the other."""
    declare(m, tile, "block", "across", "along")
    f = m.function("turn", tiles.PACK_PARAMS, internal=True, inline="never")
    source, out, total, count, row = f.args
    with f.loop(0, total, tile.columns) as j:
        start, panel = source.at(j * row, tile.element), out.at(j * count, tile.element)
        f.call(
            "void", symbol(tile, "across"), start, panel, f.min(total - j, tile.columns), count, row
        )
    f = m.function("product", PRODUCT, internal=True, inline="never")
    a, a_row, a_step, b, c, c_row, rows, columns, count, resume = f.args
    tiles_down = f.max((rows + (tile.rows - 1)) // tile.rows, 1)
    tall = (rows + (tiles_down - 1)) // tiles_down
    with f.loop(0, columns, tile.columns) as j:
        panel, place = b.at(j * count, tile.element), c.at(j, tile.element)
        size = (tall, rows, f.min(columns - j, tile.columns), count)
        layout = (a, a_row * tall, a_row, a_step, panel, tile.columns)
        f.call("void", symbol(tile, "block"), *layout, place, c_row, *size, resume)


class _Block:
    """The statements that every block of scores begins with."""

    def __init__(self, t: Task, tile: Tile, area: Value) -> None:
        self.t, self.f, self.e, self.tile = t, t.f, tile.element, tile
        self.scores = area
        self.masked = t.mask.cast("ptrtoint", "i64").cmp("ne", 0)
        self.factor = self.masked.select(1.0, t.scale)

    def product(self, *given: Value | int) -> None:
        self.f.call("void", "product", *given)

    def score(self, a: Value, a_row: Value, packed: Value, out: Value, size: Size) -> None:
        """out = A times packed columns, one for each key."""
        rows, keys, count = size
        columns = tiles.round_up(keys, self.tile.columns)
        self.product(a, a_row, 1, packed, out, KEYS, rows, columns, count, 0)

    def window(self, i: Value, j: Value, rows: Value, keys: Value) -> tuple[Value, ...]:
        """The arguments that say which keys the rows of the block at (i, j) see."""
        causal = self.t.causal.cmp("ne", 0)
        reach = causal.select(i - j + 1, KEYS)
        return self.scores, rows, keys, reach, self.t.causal

    def add_mask(self, mask: Value, i: Value, j: Value, window: tuple[Value, ...]) -> None:
        t, f = self.t, self.f
        with f.if_(self.masked):
            place = mask.at(i * t.mask_row + j * t.mask_step, self.e)
            f.call("void", "add_mask", *window, t.scale, place, t.mask_row, t.mask_step)


# ---- forward -------------------------------------------------------------------------------------


def _define_attend(m: Module, tile: Tile) -> None:
    """The task. A unit is a block of queries of one matrix of the batch."""
    words = FORWARD.format(e=tile.element)
    t = Task(m, "attend", words)
    f, e = t.f, tile.element
    area = t.areas.at(t.chunk * t.area_size, "i8")
    at_k, at_v, tops, sums = (area.at(x, e) for x in (t.at_k, t.at_v, t.at_top, t.at_sum))
    b, in_flight = _Block(t, tile, area), gemv.groups_of(tile, IN_FLIGHT)
    within = t.units // t.batches
    with f.loop(t.chunk, t.units, t.chunks) as u:
        matrix, i = u // within, u % within * t.block
        q, k, v, mask = batch.locate(t, FORWARD_INPUTS, e, matrix, len(words.split()))
        rows = f.min(t.queries - i, t.block)
        out = t.out.at((matrix * t.queries + i) * t.width, e)
        lse = t.lse.at(matrix * t.queries + i, e)
        with f.loop(0, rows) as r:
            tops.at(r, e).store(f.const(e, NEVER))
            sums.at(r, e).store(f.const(e, 0.0))
        stop = t.causal.cmp("ne", 0).select(f.min(i + rows, t.keys), t.keys)
        with f.loop(0, stop, KEYS) as j:
            keys = f.min(t.keys - j, KEYS)
            goes_on = j.cmp("ne", 0).cast("zext", "i64")
            here, k_here, v_here = q.at(i * t.q_row, e), k.at(j * t.k_row, e), v.at(j * t.v_row, e)
            one = rows.cmp("eq", 1) & t.dots.cast("ptrtoint", "i64").cmp("ne", 0)
            with f.if_(one) as branch:
                f.call("void", t.dots, here, k_here, area, keys, t.depth, t.k_row, in_flight)
                branch.otherwise()
                f.call("void", "turn", k_here, at_k, keys, t.depth, t.k_row)
                wide = tile.columns
                f.call("void", symbol(tile, "along"), v_here, at_v, t.width, keys, t.v_row, wide)
                b.score(here, t.q_row, at_k, area, (rows, keys, t.depth))
            window = b.window(i, j, rows, keys)
            b.add_mask(mask, i, j, window)
            f.call("void", "weigh", *window, b.factor, tops, sums, out, t.width, goes_on)
            with f.if_(one) as branch:
                with f.if_(j.cmp("eq", 0)):
                    f.memset(out, 0, t.width * tile.itemsize)
                f.call("void", t.sums, area, v_here, out, t.width, keys, t.v_row, in_flight)
                branch.otherwise()
                b.product(area, KEYS, 1, at_v, out, t.width, rows, t.width, keys, goes_on)
        f.call("void", "finish", tops, sums, out, lse, rows, t.width)


def _define_finish(m: Module, tile: Tile) -> None:
    """finish(tops, sums, out, lse, rows, width): out / sum, lse = top + log(sum)."""
    params = [("tops", "ptr"), ("sums", "ptr"), ("out", "ptr"), ("lse", "ptr")]
    params += [("rows", "i64"), ("width", "i64")]
    f = m.function("finish", params, internal=True, inline="never")
    tops, sums, out, lse, rows, size = f.args
    e, width = tile.element, width_of(tile)
    kind = vector(e, width)
    with f.loop(0, rows) as r:
        row, total = out.at(r * size, e), sums.at(r, e).load(e)
        none, spread = total.cmp("oeq", 0.0).splat(width), total.splat(width)

        def divide(j: Value, mask: Value | None, row: Value = row, of: Value = spread) -> None:
            change(f, kind, row.at(j, e), mask, lambda x: none.select(0.0, x / of))

        along_row(f, tile, size, divide)
    with f.loop(0, rows) as r:
        total, top = sums.at(r, e).load(e), tops.at(r, e).load(e)
        lse.at(r, e).store(total.cmp("oeq", 0.0).select(NEVER, top + log(f, total)))


# ---- backward ------------------------------------------------------------------------------------


def _define_drop(m: Module, e: str) -> None:
    """drop(job): delta = the product of a row of g with its row of the output, ascending."""
    t = Task(m, "drop", DELTA)
    f = t.f
    low, high = t.share(t.batches * t.queries)
    with f.loop(low, high) as u:
        matrix, i = u // t.queries, u % t.queries
        (g,) = batch.locate(t, ("g",), e, matrix, len(DELTA.split()))
        g, out = g.at(i * t.g_row, e), t.out.at(u * t.width, e)
        total = f.var(e, 0.0)
        with f.loop(0, t.width) as j:
            total.set(f.fma(g.at(j, e).load(e), out.at(j, e).load(e), total.get()))
        t.delta.at(u, e).store(total.get())


def _define_descend(m: Module, tile: Tile) -> None:
    """The task. A unit is a matrix of the batch; or a block of its queries, for dq alone; or a
    block of its keys, for dk and dv alone. All go through keys outside, queries inside, ascending.
    """
    words = BACKWARD.format(e=tile.element)
    t = Task(m, "descend", words)
    f = t.f
    within = t.units // t.batches
    with f.loop(t.chunk, t.units, t.chunks) as u:
        matrix, part = u // within, u % within
        inputs = batch.locate(t, BACKWARD_INPUTS, tile.element, matrix, len(words.split()))
        _Descent(t, tile, matrix, inputs).write(part)


class _Descent(_Block):
    """The statements for one unit of the backward kernel."""

    def __init__(self, t: Task, tile: Tile, matrix: Value, inputs: list[Value]) -> None:
        super().__init__(t, tile, t.areas.at(t.chunk * t.area_size, "i8"))
        e, queries, keys = self.e, matrix * t.queries, matrix * t.keys
        self.q, self.k, self.v, self.mask, self.g = inputs
        self.lse, self.delta = t.lse.at(queries, e), t.delta.at(queries, e)
        self.dq = t.dq.at(queries * t.depth, e)
        self.dk, self.dv = t.dk.at(keys * t.depth, e), t.dv.at(keys * t.width, e)
        places = (t.at_slope, t.at_kt, t.at_vt, t.at_k, t.at_q, t.at_g)
        self.slopes, self.kt, self.vt, *more = (self.scores.at(x, e) for x in places)
        self.packed_k, self.packed_q, self.packed_g = more
        self.wants_q = t.part.cmp("ne", KEYS_OF_HEAD)
        self.wants_kv = t.part.cmp("ne", QUERIES)

    def _range(self, all_in: int, part: Value, block: Value | int, total: Value) -> Range:
        """Where a unit begins and ends: one block if the units are blocks of this, else all."""
        alone = self.t.part.cmp("eq", all_in)
        start = alone.select(part * block, 0)
        return start, alone.select(self.f.min(start + block, total), total)

    def write(self, part: Value) -> None:
        t, f, e = self.t, self.f, self.e
        queries = self._range(QUERIES, part, t.block, t.queries)
        keys = self._range(KEYS_OF_HEAD, part, KEYS, t.keys)
        size = self.tile.itemsize
        with f.if_(self.wants_q):
            count = (queries[1] - queries[0]) * t.depth * size
            f.memset(self.dq.at(queries[0] * t.depth, e), 0, count)
        with f.if_(self.wants_kv):
            for place, width in ((self.dk, t.depth), (self.dv, t.width)):
                count = (keys[1] - keys[0]) * width * size
                f.memset(place.at(keys[0] * width, e), 0, count)
        low, high = keys
        with f.loop(low, high, KEYS) as j:
            self._keys(j, f.min(t.keys - j, KEYS), queries)

    def _keys(self, j: Value, keys: Value, queries: Range) -> None:
        t, f, e = self.t, self.f, self.e
        k, v = self.k.at(j * t.k_row, e), self.v.at(j * t.v_row, e)
        f.call("void", "turn", k, self.kt, keys, t.depth, t.k_row)
        f.call("void", "turn", v, self.vt, keys, t.width, t.v_row)
        along, wide = symbol(self.tile, "along"), self.tile.columns
        with f.if_(self.wants_q):
            f.call("void", along, k, self.packed_k, t.depth, keys, t.k_row, wide)
        low, high = queries
        with f.loop(low, high, t.block) as i:
            rows = f.min(t.queries - i, t.block)
            with f.if_(t.causal.cmp("eq", 0) | (i + rows).cmp("sgt", j)):  # else nothing is seen
                self._pair(i, j, rows, keys)

    def _pair(self, i: Value, j: Value, rows: Value, keys: Value) -> None:
        t, f, e = self.t, self.f, self.e
        q, g = self.q.at(i * t.q_row, e), self.g.at(i * t.g_row, e)
        self.score(q, t.q_row, self.kt, self.scores, (rows, keys, t.depth))
        self.score(g, t.g_row, self.vt, self.slopes, (rows, keys, t.width))
        window = self.window(i, j, rows, keys)
        self.add_mask(self.mask, i, j, window)
        more = (self.slopes, self.lse.at(i, e), self.delta.at(i, e))
        f.call("void", "steepen", *window, self.factor, t.scale, *more)
        along, wide = symbol(self.tile, "along"), self.tile.columns
        with f.if_(self.wants_kv):
            f.call("void", along, g, self.packed_g, t.width, rows, t.g_row, wide)
            out = (self.dv.at(j * t.width, e), t.width, keys, t.width, rows, 1)
            self.product(self.scores, 1, KEYS, self.packed_g, *out)
            f.call("void", along, q, self.packed_q, t.depth, rows, t.q_row, wide)
            out = (self.dk.at(j * t.depth, e), t.depth, keys, t.depth, rows, 1)
            self.product(self.slopes, 1, KEYS, self.packed_q, *out)
        with f.if_(self.wants_q):
            out = (self.dq.at(i * t.depth, e), t.depth, rows, t.depth, keys, 1)
            self.product(self.slopes, KEYS, 1, self.packed_k, *out)
