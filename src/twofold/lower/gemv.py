"""Products of a matrix and a vector: y[j] = chain over k of fma(x[k], w[j, k]). Floor 6.

The bits are those of the matrix product. What counts is to read w as fast as memory gives it:

along    w[:, k] is contiguous: some k at a time add their products to y, which stays in the cache
across   w[j, :] is contiguous: some rows at a time are transposed in registers, so that a vector
         holds one k of several rows and every lane is the chain of its own y
panels   w is kept as the panels of a tile (kept_panels.py), which are read from end to end

The tasks, a module each, serve x w, with w stored (K, N) or (N, K), and A x, for a batch of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower import batch
from twofold.lower.batch import Product, axis_words
from twofold.lower.caches import cache_sizes
from twofold.lower.near_rows import NEAR, define_near_dots
from twofold.lower.schedule import Step, Word
from twofold.lower.task import Task, arrange
from twofold.lower.tile import (
    LANE_BYTES,
    LINE,
    Tile,
    gather_column,
    load_columns,
    next_columns,
    transpose_inside,
)

# a is the vector, b the matrix; `stride` leads from k to k (along) or from j to j (across).
JOB = "a:ptr b:ptr y:ptr bias:ptr finish:ptr n k stride most unit parts row batches rank"
AXES = len(JOB.split())

PANELS = 4  # that are read side by side: enough chains, and few streams
TOGETHER = 8  # values of k that `along` adds in one pass
STRIPE = 2048  # elements of y that stay in the cache meanwhile
AHEAD = 512  # bytes of each row that are fetched meanwhile, where a vector is a cache line
# Vectors of rows that `across` reads at once, by the bytes of a vector. The chains of a vector wait
# for themselves, so there are several; but many rows miss the caches, and from memory few are best.
GROUPS = {16: (4, 2, 1), 32: (3, 2, 1), LINE: (2, 1)}
FETCHED = (
    128  # lines in all that are fetched ahead: with those in use, they stay in the first cache
)
SKEWED = 0  # for `most`: rows that share too few sets of the first cache
PHASES = 4
SEGMENT = 16  # lines that a part of the rows is behind the one before
SKEWED_AHEAD = 3  # lines that are fetched ahead, of every row
SETS, WAYS = 64, 8  # of the first-level cache
APART = 768  # bytes of k between two vectors of rows, where a vector is half a line


def gemv_code(tile: Tile, name: str) -> Code:
    """The code of matrix-vector products: "along" (and `sums`), "across" (and `dots`), "panels"."""
    return load(f"gemv/{name}/{tile.key}", lambda: build_gemv(tile, name))


def build_gemv(tile: Tile, name: str) -> Module:
    """The module of matrix-vector products one way, in one element type."""
    m = Module(f"gemv_{tile.element}")
    if name == "along":
        _define_sums(m, tile)
        _define_task(m, tile, name, "sums")
    elif name == "panels":
        _define_of_panels(m, tile)
        _define_task(m, tile, name, "of_panels")
    else:
        _define_dots(m, tile)
        _define_task(m, tile, name, "dots")
    return m


PARAMS = [("x", "ptr"), ("w", "ptr"), ("y", "ptr"), ("count", "i64"), ("k", "i64")]
PARAMS += [("stride", "i64"), ("most", "i64")]


def _define_task(m: Module, tile: Tile, name: str, function: str) -> None:
    """Each unit is one part of y for one matrix of the batch."""
    t = Task(m, name, JOB)
    f, e = t.f, tile.element
    low, high = t.share(t.batches * t.parts)
    with f.loop(low, high) as u:
        matrix, part = f.var("i64", u), f.var("i64", 0)
        with f.if_(t.parts.cmp("ne", 1)):
            matrix.set(u // t.parts)
            part.set(u % t.parts)
        x, w = batch.locate(t, ("a", "b"), e, matrix.get(), AXES)
        j = part.get() * t.unit
        count = f.min(t.unit, t.n - j)
        start = w.at(j, e) if name == "along" else w.at(j * t.stride, e)
        y = t.y.at(matrix.get() * t.n + j, e)
        if name == "along":
            f.memset(y, 0, count * tile.itemsize)
        f.call("void", function, x, start, y, count, t.k, t.stride, t.most)
        with f.if_(t.finish.cast("ptrtoint", "i64").cmp("ne", 0)):
            row, one = t.row.cmp("ne", 0), f.const("i64", 1)
            rows, columns = row.select(one, count), row.select(count, one)
            bias = row.select(t.bias.at(j, e), t.bias)
            f.call("void", t.finish, y, one, rows, columns, bias)


# ---- along ---------------------------------------------------------------------------------------


def _define_sums(m: Module, tile: Tile) -> None:
    """sums(x, w, y, count, k, stride, most): goes on from y; w[j, k] at w + k * stride + j."""
    f = m.function("sums", PARAMS, inline="never")
    count, k = f.args[3:5]
    whole = k // TOGETHER * TOGETHER
    with f.loop(0, count, STRIPE) as start:
        stop = f.min(start + STRIPE, count)
        with f.loop(0, whole, TOGETHER) as i:
            _add(f, tile, i, TOGETHER, start, stop)
        with f.loop(whole, k) as i:
            _add(f, tile, i, 1, start, stop)


def _add(f: Function, tile: Tile, k: Value, count: int, start: Value, stop: Value) -> None:
    """The products of `count` values of k, for y[start:stop]."""
    x, w, y, _, _, stride, _ = f.args
    e, wide = tile.element, 4 * tile.lanes
    whole = start + (stop - start) // wide * wide
    numbers = [x.at(k + u, e).load(e) for u in range(count)]
    vectors = [number.splat(tile.lanes) for number in numbers]
    lines = [w.at((k + u) * stride, e) for u in range(count)]
    with f.loop(start, whole, wide) as j:
        for q in range(0, wide, tile.lanes):
            for line in lines if tile.vector_bytes == LINE else ():
                f.prefetch(line.at(j + q, e).at(AHEAD, "i8"))
            place = y.at(j + q, e)
            total = place.load(tile.vector)
            for vector, line in zip(vectors, lines, strict=True):
                total = f.fma(vector, line.at(j + q, e).load(tile.vector), total)
            place.store(total)
    with f.loop(whole, stop) as j:
        total = y.at(j, e).load(e)
        for number, line in zip(numbers, lines, strict=True):
            total = f.fma(number, line.at(j, e).load(e), total)
        y.at(j, e).store(total)


# ---- panels --------------------------------------------------------------------------------------


def _define_of_panels(m: Module, tile: Tile) -> None:
    """of_panels(x, w, y, count, k, stride, most): panel by panel of `k` times a tile's columns."""
    f = m.function("of_panels", PARAMS, inline="never")
    count, wide = f.args[3], tile.columns
    whole = count // (PANELS * wide) * (PANELS * wide)
    with f.loop(0, whole, PANELS * wide) as j:
        for place, total in _panel_sums(f, tile, j, PANELS):
            place.store(total)
    numbers = f.iota(vector("i64", tile.lanes))
    with f.loop(whole, count, wide) as j:
        for v, (place, total) in enumerate(_panel_sums(f, tile, j, 1)):
            wanted = numbers.cmp("slt", (count - j - v * tile.lanes).splat(tile.lanes))
            f.masked_store(total, place, wanted)


def _panel_sums(f: Function, tile: Tile, j: Value, panels: int) -> list[tuple[Value, Value]]:
    """The sums of some panels from column j on, and where they belong."""
    x, w, y, _, k = f.args[:5]
    e, lanes, vectors = tile.element, tile.lanes, range(tile.vectors)
    size = k * tile.columns
    lines = [f.var("ptr", w.at(j * k + size * p, e)) for p in range(panels)]
    chains = [[f.var(tile.vector, 0.0) for _ in vectors] for _ in lines]
    with f.loop(0, k) as i:
        number = x.at(i, e).load(e).splat(lanes)
        for line, row in zip(lines, chains, strict=True):
            for v, chain in enumerate(row):
                part = line.get().at(v * lanes, e).load(tile.vector)
                chain.set(f.fma(number, part, chain.get()))
            line.set(line.get().at(tile.columns, e))
    columns = range(0, panels * tile.columns, lanes)
    sums = [chain.get() for row in chains for chain in row]
    return [(y.at(j + at, e), total) for at, total in zip(columns, sums, strict=True)]


# ---- across --------------------------------------------------------------------------------------


def _define_dots(m: Module, tile: Tile) -> None:
    """dots(x, w, y, count, k, stride, most): w[j, k] at w + j * stride + k; `most` at once."""
    lines, phased = tile.vector_bytes == LINE, tile.vector_bytes == 2 * LANE_BYTES
    if phased:
        _define_phased_dots(m, tile)
        for name in ("near", "far"):
            define_near_dots(m, tile, name)
    for groups in (1,) if lines else GROUPS[tile.vector_bytes]:
        if not phased or groups < NEAR:
            _define_group_dots(m, tile, groups)
    if lines:
        _define_skewed_dots(m, tile)
    for groups in GROUPS[LINE] if lines else ():
        _define_line_dots(m, tile, groups)
    f = m.function("dots", PARAMS, inline="never")
    x, w, y, count, k, stride, most = f.args
    e, lanes = tile.element, tile.lanes
    rows = [stride * r for r in range(1, lanes)]
    turns = f.max(k // (LANE_BYTES // tile.itemsize), 1)
    done = f.var("i64", 0)
    if lines:
        many = PHASES * lanes // 2
        segment = SEGMENT * lanes
        whole = (k % segment).cmp("eq", 0) & k.cmp("sge", PHASES * segment)
        with f.if_(most.cmp("eq", SKEWED) & whole):
            blocks = count // many
            f.call("void", "skewed", x, w, y, k, stride * tile.itemsize, blocks)
            done.set(blocks * many)
    if phased:
        with f.if_(most.cmp("eq", SKEWED)):
            blocks = count // lanes
            f.call("void", "phased", x, w, y, k, stride * tile.itemsize, blocks)
            done.set(blocks * lanes)
    for groups in GROUPS[tile.vector_bytes]:
        many = groups * lanes
        stop = done.get() + (count - done.get()) // many * many
        ahead = stride * (many * tile.itemsize) // turns
        fits = most.cmp("sge", groups)
        if groups == 1:
            fits = fits | most.cmp("eq", SKEWED)
        with f.if_(fits):
            with f.loop(done.get(), stop, many) as j:
                place = (w.at(j * stride, e), y.at(j, e))
                if lines:
                    f.call("void", f"lines{groups}", x, *place, k, stride * tile.itemsize)
                elif phased and groups == NEAR:
                    with f.if_(most.cmp("eq", NEAR)) as branch:
                        f.call("void", "near", x, *place, k, stride * tile.itemsize)
                        branch.otherwise()
                        f.call("void", "far", x, *place, k, stride * tile.itemsize)
                else:
                    f.call("void", f"dots{groups}", x, *place, k, ahead, *rows)
            done.set(stop)
    rest, start = count - done.get(), done.get()
    with f.if_(rest.cmp("ne", 0)):  # the last row stands in for those behind it
        rows = [f.min(rest - 1, r) * stride for r in range(1, lanes)]
        group = f.array(e, lanes)
        f.call("void", "dots1", x, w.at(start * stride, e), group, k, 0, *rows)
        f.memcpy(y.at(start, e), group, rest * tile.itemsize)


def _define_group_dots(m: Module, tile: Tile, groups: int) -> None:
    """dots3, dots2, dots1(x, w, y, k, ahead, row1, ...): so many groups, whose chains overlap.

    The rows of a group begin at 0, row1, row2, ... from it. Meanwhile the rows behind these groups
    are fetched, some lines at every turn, `ahead` bytes further: no hardware follows so many rows.
    """
    e, lanes, width = tile.element, tile.lanes, LANE_BYTES // tile.itemsize
    params = [("x", "ptr"), ("w", "ptr"), ("y", "ptr"), ("k", "i64"), ("ahead", "i64")]
    params += [(f"row{r}", "i64") for r in range(1, lanes)]
    f = m.function(f"dots{groups}", params, internal=True, inline="never")
    x, w, y, k, ahead, *distances = f.args
    jump = distances[0] * lanes
    whole = k // width * width
    chains = [f.var(tile.vector, 0.0) for _ in range(groups)]

    def add(i: Value, count: int) -> None:
        numbers = [x.at(i + u, e).load(e).splat(lanes) for u in range(count)]
        first = w.at(i, e)
        for chain in chains:
            rows = [first, *(first.at(distance, e) for distance in distances)]
            columns = next_columns(f, tile, rows, count)
            for number, column in zip(numbers, columns, strict=True):
                chain.set(f.fma(number, column, chain.get()))
            first = first.at(jump, e)

    fetches = tile.vector_bytes == LANE_BYTES or (tile.vector_bytes < LINE and groups == 2)
    fetched = f.var("ptr", w.at(jump * groups, e))
    with f.loop(0, whole, width) as i:
        if fetches:
            for start in range(0, groups * lanes * LANE_BYTES, LINE):
                f.prefetch(fetched.get().at(start, "i8"), locality=2)
            fetched.set(fetched.get().at(ahead, "i8"))
        add(i, width)
    with f.loop(whole, k) as i:
        add(i, 1)
    for g, chain in enumerate(chains):
        y.at(g * lanes, e).store(chain.get())


def _define_phased_dots(m: Module, tile: Tile) -> None:
    """phased(x, w, y, k, stride, blocks): vectors of rows whose lines would fall into the same sets
    of the first cache if they were read side by side; `stride` counts bytes.

    Two vectors of rows at a time, as chains of one would wait for each other. The second is APART
    behind the first, so that they read other sets: it begins with sums that nobody reads, and each
    goes on to the next rows as soon as its own are done.
    """
    e, lanes, width = tile.element, tile.lanes, LANE_BYTES // tile.itemsize
    params = [("x", "ptr"), ("w", "ptr"), ("y", "ptr"), ("k", "i64"), ("stride", "i64")]
    f = m.function("phased", [*params, ("blocks", "i64")], internal=True, inline="never")
    x, w, y, k, stride, blocks = f.args
    whole = k // width * width
    phases = [_Phase(f, tile, x, w, f.min(whole, at)) for at in (0, APART // tile.itemsize)]
    fresh, done = f.var("i64", 0), f.var("i64", 0)
    ahead = stride * (2 * lanes) // f.max(whole // width, 1)
    fetched = f.var("ptr", w.at(stride * (2 * lanes), "i8"))
    apart = f.var("i64", stride)  # as in `lines`

    def add(phase: _Phase, rows: Sequence[Value], count: int) -> None:
        columns = next_columns(f, tile, rows, count)
        for u, column in enumerate(columns):
            number = phase.number.get().at(u, e).load(e).splat(lanes)
            phase.chain.set(f.fma(number, column, phase.chain.get()))
        phase.number.set(phase.number.get().at(count, e))
        phase.row.set(phase.row.get().at(count, e))

    with f.while_():
        f.break_if(done.get().cmp("sge", blocks))
        for phase in phases:
            with f.if_(phase.left.get().cmp("eq", 0)):
                block = phase.block.get()
                with f.if_(block.cmp("sge", 0)):
                    with f.loop(whole, k):
                        first = phase.row.get()
                        add(phase, [first.at(stride * r, "i8") for r in range(lanes)], 1)
                    y.at(block * lanes, e).store(phase.chain.get())
                    done.set(done.get() + 1)
                begun = fresh.get().cmp("slt", blocks)
                phase.block.set(begun.select(fresh.get(), -1))
                phase.row.set(begun.select(w.at(fresh.get() * stride * lanes, "i8"), w))
                fresh.set(fresh.get() + 1)
                phase.number.set(x)
                phase.left.set(whole)
                phase.chain.set(f.const(tile.vector, 0.0))
        turn = f.min(phases[0].left.get(), phases[1].left.get())
        for phase in phases:
            phase.left.set(phase.left.get() - turn)
        with f.loop(0, turn, width):
            step = apart.get()
            apart.set(f.min(step, stride))
            for line in range(0, 2 * lanes * LANE_BYTES, LINE):
                f.prefetch(fetched.get().at(line, "i8"), locality=2)
            fetched.set(fetched.get().at(ahead, "i8"))
            for phase in phases:
                first = phase.row.get()
                add(phase, [first.at(step * r, "i8") for r in range(lanes)], width)


class _Phase:
    """Where one vector of rows of `phased` is: nowhere (block -1) before its first."""

    def __init__(self, f: Function, tile: Tile, x: Value, w: Value, left: Value) -> None:
        self.block = f.var("i64", -1)
        self.number, self.row = f.var("ptr", x), f.var("ptr", w)
        self.left = f.var("i64", left)  # values of k, in whole parts
        self.chain = f.var(tile.vector, 0.0)


# ---- across, by lines ----------------------------------------------------------------------------


def _define_line_dots(m: Module, tile: Tile, groups: int) -> None:
    """lines2, lines1(x, w, y, k, stride): so many groups, 32 bytes of each row at every turn.

    No hardware follows so many rows, so they are fetched by blocks of some lines: at each turn some
    rows of the block that follows, from end to end; behind the last block that is the first of the
    rows below. `stride` counts bytes.
    """
    e, lanes, width = tile.element, tile.lanes, LANE_BYTES // tile.itemsize
    params = [("x", "ptr"), ("w", "ptr"), ("y", "ptr"), ("k", "i64"), ("stride", "i64")]
    f = m.function(f"lines{groups}", params, internal=True, inline="never")
    x, w, y, k, stride = f.args
    high, turn = groups * lanes, lanes // 2
    deep = min(FETCHED // high, high // 2)  # lines of a row in a block
    block = deep * lanes
    aligned = -w.cast("ptrtoint", "i64") & (LINE // 2 - 1)
    before = f.min(aligned // tile.itemsize, k)
    whole, fours = k - (k - before) % turn, k - (k - before) % width
    chains = [f.var(tile.vector, 0.0) for _ in range(groups)]
    # A pointer for some rows and the distance between rows, as each row's is too many to hold: LLVM
    # would hold them if it knew that the distance stays.
    starts = [f.var("ptr", w.at(stride * r, "i8")) for r in range(0, high, width)]
    number, fetched, apart = f.var("ptr", x), f.var("ptr", w), f.var("i64", stride)

    def add(count: int, read: Callable[[Sequence[Value]], list[Value]]) -> None:
        """The next `count` values of k, for which `read` gives the columns of a group's rows."""
        step = apart.get()
        apart.set(f.min(step, stride))
        rows = [s.get().at(step * r, "i8") for s in starts for r in range(width)]
        for g, chain in enumerate(chains):
            for u, column in enumerate(read(rows[g * lanes : (g + 1) * lanes])):
                spread = number.get().at(u, e).load(e).splat(lanes)
                chain.set(f.fma(spread, column, chain.get()))
        for pointer in (*starts, number):
            pointer.set(pointer.get().at(count, e))

    def add_few(low: Value | int, middle: Value, high: Value) -> None:
        """The values of k in [low, high), those below `middle` in fours."""
        with f.loop(low, middle, width):
            add(width, lambda rows: load_columns(f, tile, rows))
        with f.loop(middle, high):
            add(1, lambda rows: [gather_column(f, tile, rows)])

    add_few(0, before // width * width, before)
    with f.loop(before, whole, block) as begin:
        behind = (begin + block).cmp("sge", whole)
        fetched.set(behind.select(w.at(stride * high, "i8"), w.at(begin + block, e)))
        with f.loop(begin, f.min(begin + block, whole), turn):
            for _ in range(high // (2 * deep)):
                for line in range(0, deep * LINE, LINE):
                    f.prefetch(fetched.get().at(line, "i8"))
                fetched.set(fetched.get().at(stride, "i8"))
            add(turn, lambda rows: _load_half(f, tile, rows))
    add_few(whole, fours, k)
    for g, chain in enumerate(chains):
        y.at(g * lanes, e).store(chain.get())


def _define_skewed_dots(m: Module, tile: Tile) -> None:
    """skewed(x, w, y, k, stride, blocks): for rows whose lines would fall into the same
    sets of the first cache if they were read side by side.

    A block is PHASES parts of rows. Each part is a segment of k behind the one before, so that they
    read other sets, and goes on to the next block without waiting: its lanes begin and end when its
    own k does. A segment divides k. `stride` counts bytes.
    """
    e, lanes, width = tile.element, tile.lanes, LANE_BYTES // tile.itemsize
    params = [("x", "ptr"), ("w", "ptr"), ("y", "ptr"), ("k", "i64"), ("stride", "i64")]
    f = m.function("skewed", [*params, ("blocks", "i64")], internal=True, inline="never")
    x, w, y, k, stride, blocks = f.args
    segment = SEGMENT * lanes
    part = lanes // 2  # rows: a vector holds two parts
    within = k // segment
    total = within * blocks
    sums = f.array(e, PHASES * part, LINE)
    # a mask that LLVM does not know, or it shuffles where loads can merge
    second = f.iota(vector("i64", lanes)).cmp("sge", f.min(k, part).splat(lanes))
    apart = f.var("i64", stride)  # as in `lines`
    with f.loop(0, total + (PHASES - 1)) as turn:
        starts, numbers = [], []
        for phase in range(PHASES):
            at, row = _skewed_place(f, turn - phase, total, within, PHASES * part)
            with f.if_(at.cmp("eq", 0)):
                f.memset(sums.at(phase * part, e), 0, part * tile.itemsize)
            start = w.at(stride * (row + phase * part), "i8").at(at * segment, e)
            starts += [f.var("ptr", start.at(stride * r, "i8")) for r in range(0, part, width)]
            numbers.append(f.var("ptr", x.at(at * segment, e)))
        chains = [f.var(tile.vector, sums.at(g, e).load(tile.vector)) for g in _groups(tile)]
        with f.loop(0, segment, part):
            step = apart.get()
            apart.set(f.min(step, stride))
            rows = [start.get().at(step * r, "i8") for start in starts for r in range(width)]
            for g, chain in zip(_groups(tile), chains, strict=True):
                pair = numbers[g // part : g // part + 2]
                for u, column in enumerate(_load_half(f, tile, rows[g : g + lanes])):
                    low, high = (number.get().at(u, e).load(e).splat(lanes) for number in pair)
                    chain.set(f.fma(second.select(high, low), column, chain.get()))
            for row in rows:
                f.prefetch(row.at(SKEWED_AHEAD * LINE, "i8"))
            for pointer in (*starts, *numbers):
                pointer.set(pointer.get().at(part, e))
        for g, chain in zip(_groups(tile), chains, strict=True):
            sums.at(g, e).store(chain.get())
        for phase in range(PHASES):
            number = turn - phase
            at, row = _skewed_place(f, number, total, within, PHASES * part)
            inside = number.cmp("sge", 0) & number.cmp("slt", total)
            with f.if_(inside & (at + 1).cmp("eq", within)):
                f.memcpy(
                    y.at(row + phase * part, e), sums.at(phase * part, e), part * tile.itemsize
                )


def _groups(tile: Tile) -> range:
    """The first rows of the vectors of a skewed block."""
    return range(0, PHASES * tile.lanes // 2, tile.lanes)


def _skewed_place(
    f: Function, number: Value, total: Value, within: Value, rows: int
) -> tuple[Value, Value]:
    """The segment of the row, and the first row of the block, of a part's turn. Before its first
    turn and after its last one any will do, as nobody reads the sums."""
    inside = number.cmp("sge", 0) & number.cmp("slt", total)
    number = inside.select(number, 0)
    return number % within, number // within * rows


def _load_half(f: Function, tile: Tile, rows: Sequence[Value]) -> list[Value]:
    """From the addresses of `lanes` rows: 32 bytes of k, vector k holding those of every row."""
    width, half = LANE_BYTES // tile.itemsize, tile.lanes // 2
    sides: tuple[list[Value], list[Value]] = ([], [])
    for r in range(width):
        a, b, c, d = (row.load(vector(tile.element, half)) for row in rows[r::width])
        first, second = f.shuffle(a, b, range(tile.lanes)), f.shuffle(c, d, range(tile.lanes))
        for odd, side in enumerate(sides):
            lanes = [part * width + i for part in range(odd, 8, 2) for i in range(width)]
            side.append(f.shuffle(first, second, lanes))
    return [column for side in sides for column in transpose_inside(f, side, width)]


# ---- planning ------------------------------------------------------------------------------------


def plan_gemv(
    tile: Tile, p: Product, a: Word, b: Word, words: dict[str, Word], threads: int, kept: bool
) -> tuple[Step, ...]:
    """The step of a product with m = 1, or with n = 1, which is the same turned. `kept`: B is kept
    as panels, and m = 1.
    """
    row = p.m == 1
    n, column, step = (p.n, p.b_column, p.b_step) if row else (p.m, p.a_row, p.a_step)
    axes = p.axes if row else tuple((size, b, a) for size, a, b in p.axes)
    across = step == 1 and column != 1
    chunks = min(threads, p.batches * n)
    parts = -(-chunks // p.batches)
    unit = -(-n // parts)
    unit = max(-(-unit // 32) * 32, 1)
    words.update(a=a if row else b, b=b if row else a, y=words.pop("c"), n=n, k=p.k)
    stride = p.k if kept else column if across else step
    words.update(stride=stride, most=_most_groups(tile, column, n))
    words.update(unit=unit, parts=-(-n // unit), row=int(row))
    name = "panels" if kept else "across" if across else "along"
    job = arrange(JOB, words) + axis_words(axes)
    return (Step(gemv_code(tile, name).address(name), job, chunks),)


def _most_groups(tile: Tile, stride: int, rows: int) -> int:
    """How many groups at once. Few where the rows are a high power of two apart, so that their
    lines share few cache sets; and where the matrix comes from memory, which likes few rows unless
    they are fetched before. One more than there are: all, and the rows behind are fetched."""
    many, few = GROUPS[tile.vector_bytes][:2]
    distance = abs(stride) * tile.itemsize
    held = lines_held(distance)
    if tile.vector_bytes == LINE:
        return many if held >= many * tile.lanes else SKEWED
    if held > 2 * WAYS:
        caches, size = cache_sizes(), rows * distance
        far = many + (tile.vector_bytes > LANE_BYTES and size > caches.second)
        return far if size <= caches.third else few
    return SKEWED if tile.vector_bytes == 2 * LANE_BYTES and tile.lanes == WAYS else few


def lines_held(distance: int) -> int:
    """How many lines that are so many bytes apart the first cache has room for."""
    held = WAYS * SETS
    return held // math.gcd(distance // LINE, SETS) if distance % LINE == 0 else held


def groups_of(tile: Tile, vectors: int) -> int:
    """Groups that are as many rows as so many vectors of 16 bytes."""
    return max(vectors * LANE_BYTES // tile.vector_bytes, 1)
