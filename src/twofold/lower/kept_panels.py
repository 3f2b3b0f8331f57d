"""Weights of a product as the panels that its tile reads: made once, where weights are frozen.
Floor 6.

    out[panel, k, j] = w[k, panel * columns + j]    the columns of a tile side by side, all of k

What a panel lacks in columns is anything: C has no such columns.
"""

from __future__ import annotations

from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.lower.batch import Product
from twofold.lower.schedule import Frozen, Step, Word, chunks_for
from twofold.lower.shared_tiles import declare, ready, symbol
from twofold.lower.task import Task, arrange
from twofold.lower.tile import Tile

JOB = "w:ptr out:ptr k n row across"


def build_panels(tile: Tile) -> Module:
    """The module whose task `panels` makes them of weights stored (K, N), or (N, K): `across`."""
    m = Module(f"panels_{tile.element}")
    declare(m, tile, "across", "along")
    t = Task(m, "panels", JOB)
    f, wide = t.f, tile.columns
    low, high = t.share((t.n + (wide - 1)) // wide)
    with f.loop(low, high) as panel:
        out = t.out.at(panel * t.k * wide, tile.element)
        width = f.min(t.n - panel * wide, wide)
        with f.if_(t.across.cmp("ne", 0)) as branch:
            source = t.w.at(panel * wide * t.row, tile.element)
            f.call("void", symbol(tile, "across"), source, out, width, t.k, t.row)
            branch.otherwise()
            source = t.w.at(panel * wide, tile.element)
            f.call("void", symbol(tile, "along"), source, out, width, t.k, t.row, wide)
    f.ret()
    return m


def can_keep(p: Product) -> bool:
    """Whether weights can be kept so: one matrix for all rows, of more than a column of panels."""
    return p.batches == 1 and p.n > 1 and p.k > 1


def read_kept(tile: Tile, p: Product) -> Product:
    """The same product, whose weights are read from their panels."""
    return p._replace(b_step=tile.columns, b_column=p.k)


def panels_bytes(tile: Tile, p: Product) -> int:
    return -(-p.n // tile.columns) * tile.columns * p.k * tile.itemsize


def panels_step(tile: Tile, p: Product, weights: Word, threads: int) -> Step:
    """The step that fills the first `panels_bytes` of what the program keeps."""
    ready(tile, ())
    across = p.b_step == 1 and p.b_column != 1
    words: dict[str, Word] = {"w": weights, "out": Frozen(), "k": p.k, "n": p.n}
    words.update(row=p.b_column if across else p.b_step, across=int(across))
    code = load(f"panels/{tile.key}", lambda: build_panels(tile))
    return Step(code.address("panels"), arrange(JOB, words), chunks_for(p.k * p.n, threads))
