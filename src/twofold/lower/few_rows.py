"""Products of 2 to 6 rows with weights stored (N, K): C[i, j] = sum over k of a[i, k] w[j, k].

To pack the weights for a tile would take longer than the product. As in gemv.py (`across`) some of
their rows at a time are turned in registers, so that a vector holds one k of several rows; every
row of A uses it before the next one is made. Each element is one ascending chain of fma over k, so
the bits are those of any product. For vectors of 32 bytes. Floor 6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower import batch
from twofold.lower.batch import Product, axis_words
from twofold.lower.gemv import WAYS, lines_held
from twofold.lower.schedule import Step, Word, smaller
from twofold.lower.task import Task, arrange
from twofold.lower.tile import LANE_BYTES, LINE, Tile, gather_column, load_columns

JOB = "a:ptr b:ptr c:ptr bias:ptr finish:ptr m n k a_row stride pairs unit parts batches rank"
AXES = len(JOB.split())
MOST = 6  # rows of A
PAIRS = 4  # rows of A up to which two vectors of rows of B are read at once
UNIT = 32  # columns of C; a part begins at a multiple


def serves(tile: Tile, p: Product) -> bool:
    """Whether this is a product for these kernels."""
    stored = p.a_step == 1 and p.b_step == 1 and p.b_column > 1
    return stored and tile.vector_bytes == 2 * LANE_BYTES and 2 <= p.m <= MOST and p.n >= tile.lanes


def plan_few(
    tile: Tile, p: Product, a: Word, b: Word, words: dict[str, Word], threads: int
) -> tuple[Step, ...]:
    """The step of a product that `serves` takes."""
    rows = next(count for count in range(2, MOST + 1) if p.m == count)
    chunks = smaller(threads, p.batches * p.n)
    unit = -(-p.n // -(-chunks // p.batches))
    unit = -(-unit // UNIT) * UNIT
    words.update(a=a, b=b, m=rows, n=p.n, k=p.k, a_row=p.a_row, stride=p.b_column)
    pairs = rows <= PAIRS and lines_held(p.b_column * tile.itemsize) > 2 * WAYS
    words.update(pairs=int(pairs), unit=unit, parts=-(-p.n // unit))
    job = arrange(JOB, words) + axis_words(p.axes)
    return (Step(few_code(tile, rows).address("few"), job, chunks),)


def few_code(tile: Tile, rows: int) -> Code:
    """The code for so many rows of A."""
    return load(f"few/{rows}/{tile.key}", lambda: build_few(tile, rows))


def build_few(tile: Tile, rows: int) -> Module:
    """The task `few`: each unit is one part of the columns of C for one matrix of the batch."""
    m = Module(f"few_{tile.element}")
    counts = (2, 1) if rows <= PAIRS else (1,)
    for groups in counts:
        _define_block(m, tile, rows, groups)
    t = Task(m, "few", JOB)
    f, e, lanes = t.f, tile.element, tile.lanes
    low, high = t.share(t.batches * t.parts)
    spare = f.array(e, rows * lanes, LINE)
    with f.loop(low, high) as u:
        a, b = batch.locate(t, ("a", "b"), e, u // t.parts, AXES)
        j = u % t.parts * t.unit
        count = f.min(t.unit, t.n - j)
        c = t.c.at(u // t.parts * (t.n * rows) + j, e)
        done = f.var("i64", 0)
        for groups in counts:
            wide = groups * lanes
            with f.if_(t.pairs.cmp("ne", 0) if groups == 2 else f.const("i1", True)):
                stop = done.get() + (count - done.get()) // wide * wide
                with f.loop(done.get(), stop, wide) as at:
                    given = (a, t.a_row, b.at((j + at) * t.stride, e), t.stride, t.k)
                    f.call("void", f"block{groups}", *given, c.at(at, e), t.n)
                done.set(stop)
        rest = count - done.get()
        with f.if_(rest.cmp("ne", 0)):  # the last vector, of which only what is new is written
            first = t.n - lanes
            given = (a, t.a_row, b.at(first * t.stride, e), t.stride, t.k)
            f.call("void", "block1", *given, spare, f.const("i64", lanes))
            with f.loop(0, rows) as i:
                new = spare.at((i + 1) * lanes - rest, e)
                f.memcpy(c.at(i * t.n + done.get(), e), new, rest * tile.itemsize)
        with f.if_(t.finish.cast("ptrtoint", "i64").cmp("ne", 0)):
            f.call("void", t.finish, c, t.n, t.m, count, t.bias.at(j, e))
    return m


def _define_block(m: Module, tile: Tile, rows: int, groups: int) -> None:
    """block2, block1(a, a_row, b, stride, k, c, c_row): `groups` vectors of columns of C.

    Meanwhile the rows of B behind them are fetched, from end to end.
    """
    e, lanes, width = tile.element, tile.lanes, LANE_BYTES // tile.itemsize
    params = [("a", "ptr"), ("a_row", "i64"), ("b", "ptr"), ("stride", "i64"), ("k", "i64")]
    params += [("c", "ptr"), ("c_row", "i64")]
    f = m.function(f"block{groups}", params, internal=True, inline="never")
    a, a_row, b, stride, k, c, c_row = f.args
    whole = k // width * width
    chains = [[f.var(tile.vector, 0.0) for _ in range(groups)] for _ in range(rows)]
    starts = [f.var("ptr", a.at(a_row * i, e)) for i in range(0, rows, 3)]
    lines = [f.var("ptr", b.at(stride * r, e)) for r in range(0, groups * lanes, 4)]
    turns = f.max(whole // width, 1)
    ahead = stride * (groups * lanes * tile.itemsize) // turns
    fetched = f.var("ptr", b.at(stride * (groups * lanes), e))

    def add(count: int, read: Callable[[Sequence[Value]], list[Value]]) -> None:
        """The next `count` values of k."""
        sources = [line.get().at(stride * r, e) for line in lines for r in range(4)]
        numbers = [starts[i // 3].get().at(a_row * (i % 3), e) for i in range(rows)]
        columns = [read(sources[g * lanes : (g + 1) * lanes]) for g in range(groups)]
        for u in range(count):
            for number, row in zip(numbers, chains, strict=True):
                spread = number.at(u, e).load(e).splat(lanes)
                for column, chain in zip(columns, row, strict=True):
                    chain.set(f.fma(spread, column[u], chain.get()))
        for pointer in (*starts, *lines):
            pointer.set(pointer.get().at(count, e))

    with f.loop(0, whole, width):
        for line in range(0, groups * lanes * LANE_BYTES, LINE):
            f.prefetch(fetched.get().at(line, "i8"), locality=2)
        fetched.set(fetched.get().at(ahead, "i8"))
        add(width, lambda places: load_columns(f, tile, places))
    with f.loop(whole, k):
        add(1, lambda places: [gather_column(f, tile, places)])
    for i, row in enumerate(chains):
        for g, chain in enumerate(row):
            c.at(c_row * i + g * lanes, e).store(chain.get())
