"""One row times weights stored (N, K) that the caches hold: many rows of weights at once. Floor 6.

A row of weights is one chain, so that what counts is how many are under way: here as many vectors
of rows as registers take, of 32 bytes each. Part of gemv.py (`across`).
"""

from __future__ import annotations

from twofold.ir.build import Module
from twofold.lower.tile import LANE_BYTES, LINE, Tile, next_columns

NEAR = 3  # vectors of rows: with four, numbers leave the registers


def define_near_dots(m: Module, tile: Tile, name: str) -> None:
    """near, far(x, w, y, k, stride): NEAR vectors of rows; `stride` counts bytes.

    No hardware follows so many rows, so their next lines are fetched, a quarter of the rows at each
    of the turns that a line lasts; `far` fetches the rows behind too, from end to end, into the
    second cache.
    """
    e, lanes, width = tile.element, tile.lanes, LANE_BYTES // tile.itemsize
    params = [("x", "ptr"), ("w", "ptr"), ("y", "ptr"), ("k", "i64"), ("stride", "i64")]
    f = m.function(name, params, internal=True, inline="never")
    x, w, y, k, stride = f.args
    high, turns = NEAR * lanes, LINE // LANE_BYTES
    line, whole = k // (turns * width) * (turns * width), k // width * width
    chains = [f.var(tile.vector, 0.0) for _ in range(NEAR)]
    starts = [f.var("ptr", w.at(stride * r, "i8")) for r in range(0, high, 4)]
    number, apart = f.var("ptr", x), f.var("i64", stride)  # as in `lines`
    fetched = f.var("ptr", w.at(LINE, "i8"))
    behind = f.var("ptr", w.at(stride * high, "i8"))
    ahead = stride * high // f.max(whole // width, 1)

    def add(count: int, some: int = 0) -> None:
        """The next `count` values of k, fetching lines of `some` rows."""
        step = apart.get()
        apart.set(f.min(step, stride))
        rows = [start.get().at(step * r, "i8") for start in starts for r in range(4)]
        for r in range(some):
            f.prefetch(fetched.get().at(step * r, "i8"))
        fetched.set(fetched.get().at(step * some, "i8"))
        for place in range(0, high * LANE_BYTES, LINE) if name == "far" else ():
            f.prefetch(behind.get().at(place, "i8"), locality=2)
        behind.set(behind.get().at(ahead, "i8"))
        numbers = [number.get().at(u, e).load(e).splat(lanes) for u in range(count)]
        for g, chain in enumerate(chains):
            columns = next_columns(f, tile, rows[g * lanes : (g + 1) * lanes], count)
            for spread, column in zip(numbers, columns, strict=True):
                chain.set(f.fma(spread, column, chain.get()))
        for pointer in (*starts, number):
            pointer.set(pointer.get().at(count, e))

    with f.loop(0, line, turns * width):
        with f.loop(0, turns):
            add(width, high // turns)
        fetched.set(fetched.get().at(LINE - stride * high, "i8"))
    with f.loop(line, whole, width):
        add(width)
    with f.loop(whole, k):
        add(1)
    for g, chain in enumerate(chains):
        y.at(g * lanes, e).store(chain.get())
