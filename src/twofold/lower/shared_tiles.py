"""Tiles, blocks of tiles and panels as one module, which every kernel that multiplies calls.
Floor 6.

The code of tile.py is long. Written into each module that needs it, it would be compiled again for
products, for attention each way and for recurrent layers. Of its tiles only those are compiled that
a plan wants (variants.py).

    declare(m, tile, "block")               in a module: what it calls
    f.call("void", symbol(tile, "block"), ...)
    ready(tile, kinds)                      before that module is loaded; or by heights:
    want(tile, heights, columns)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twofold.codegen.compile import load, register_symbol
from twofold.ir.build import Module
from twofold.lower import tile as tiles
from twofold.lower.schedule import whenever
from twofold.lower.tile import (
    ALONG_PARAMS,
    BLOCK_PARAMS,
    KIND_PARAMS,
    MOVE_PARAMS,
    PACK_PARAMS,
    Tile,
)
from twofold.lower.variants import Variants

# `across` and `along` pack panels of as many columns as a tile has.
SHARED = {
    "tile": KIND_PARAMS,
    "move": MOVE_PARAMS,
    "block": BLOCK_PARAMS,
    "across": PACK_PARAMS,
    "along": ALONG_PARAMS,
}


def symbol(tile: Tile, name: str) -> str:
    """What a shared function is called in other modules."""
    return f"{name}_{tile.key.replace('/', '_')}"


def declare(m: Module, tile: Tile, *names: str) -> None:
    """Say that a module calls shared functions."""
    for name in names:
        m.extern(symbol(tile, name), "void", [type for _, type in SHARED[name]])


# Multiplications below which a product does not wait for its tiles: row by row it takes three to
# five times as long (0.7 ms instead of 0.15), and to compile a tile 5 to 10 ms.
PATIENT = 1 << 24


def want(tile: Tile, heights: Sequence[int], columns: int, work: int = PATIENT) -> None:
    """Have the tiles of these heights that write so many columns, panel by panel."""
    soon = work >= PATIENT

    def act(columns: int, *heights: int) -> None:
        ready(tile, tiles.kinds_for(tile, {*heights}, columns), PATIENT if soon else 0)

    whenever(act, columns, *heights)


def ready(tile: Tile, kinds: Iterable[int], work: int = PATIENT) -> None:
    """Load the shared functions, and tiles of these kinds, for modules that call them.

    work: how many multiplications are waiting for them
    """
    variants = _shared.get(tile)
    if variants is None or variants.code.failed:
        key = f"tiles/{tile.key}"
        code = load(key, lambda: build_tiles(tile))
        for name in SHARED:
            register_symbol(symbol(tile, name), code.address(name))
        count = tiles.kinds_of(tile) + 1
        variants = Variants(code, count, key, "tile", lambda kind: build_kind(tile, kind))
        _shared[tile] = variants
    variants.want(kinds, soon=work >= PATIENT)


_shared: dict[Tile, Variants] = {}


def build_kind(tile: Tile, kind: int) -> Module:
    """The module of one kind of tile. Exports tile."""
    m = Module(f"tile_{tile.element}")
    tiles.define_kind(m, tile, kind)
    return m


def build_tiles(tile: Tile) -> Module:
    """The module of a tile. Exports the functions of SHARED."""
    m = Module(f"tiles_{tile.element}")
    tiles.define_tiles(m, tile)
    tiles.define_move(m, tile)
    tiles.define_block(m, tile)
    tiles.define_pack_across(m, tile, "across", tile.columns, internal=False)
    tiles.define_pack_along(m, tile, "along", tile.columns, internal=False)
    return m
