"""Tiles, blocks of tiles and panels as one module, which every kernel that multiplies calls.
Floor 6.

The code of tile.py is long. Written into each module that needs it, it would be compiled again for
products, for attention each way and for recurrent layers.

    declare(m, tile, "block")               in a module: what it calls
    f.call("void", symbol(tile, "block"), ...)
    ready(tile)                             before that module is loaded
"""

from __future__ import annotations

from functools import cache

from twofold.codegen.compile import load, register_symbol
from twofold.ir.build import Module
from twofold.lower import tile as tiles
from twofold.lower.tile import BLOCK_PARAMS, MOVE_PARAMS, PACK_PARAMS, TILE_PARAMS, Tile

# `across` and `along` pack panels of as many columns as a tile has.
SHARED = {
    "tile": [("kind", "i64"), *TILE_PARAMS],
    "move": MOVE_PARAMS,
    "block": BLOCK_PARAMS,
    "across": PACK_PARAMS,
    "along": PACK_PARAMS,
}


def symbol(tile: Tile, name: str) -> str:
    """What a shared function is called in other modules."""
    return f"{name}_{tile.key.replace('/', '_')}"


def declare(m: Module, tile: Tile, *names: str) -> None:
    """Say that a module calls shared functions."""
    for name in names:
        m.extern(symbol(tile, name), "void", [type for _, type in SHARED[name]])


@cache
def ready(tile: Tile) -> None:
    """Load the shared functions, for modules that call them."""
    code = load(f"tiles/{tile.key}", lambda: build_tiles(tile))
    for name in SHARED:
        register_symbol(symbol(tile, name), code.address(name))


def build_tiles(tile: Tile) -> Module:
    """The module of a tile. Exports the functions of SHARED."""
    m = Module(f"tiles_{tile.element}")
    tiles.define_tiles(m, tile)
    tiles.define_move(m, tile)
    tiles.define_block(m, tile)
    tiles.define_pack_across(m, tile, "across", tile.columns, internal=False)
    tiles.define_pack_along(m, tile, "along", tile.columns, internal=False)
    return m
