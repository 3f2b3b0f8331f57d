"""What follows a product on the elements that are finished: a bias, an activation. Floor 6.

finish(c, c_row, rows, columns, bias): c = activation(c + bias[column]), in the tile's cache lines.
It is a module of its own, called through a pointer, so that a product is compiled once for all of
them. The activation is the operation's own recipe, so the bits are those of the separate steps.
"""

from __future__ import annotations

from typing import Any

from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.tile import Tile
from twofold.ops.op import OPS

PARAMS = [("c", "ptr"), ("c_row", "i64"), ("rows", "i64"), ("columns", "i64"), ("bias", "ptr")]


def load_epilogue(tile: Tile, bias: bool, activation: str | None) -> int:
    """The address of the epilogue, or 0 where nothing is to be done."""
    if not bias and activation is None:
        return 0
    key = f"epilogue/{tile.element}/{tile.vector_bytes}/{'bias' if bias else 'plain'}/{activation}"
    return load(key, lambda: build_epilogue(tile, bias, activation)).address("finish")


def build_epilogue(tile: Tile, bias: bool, activation: str | None) -> Module:
    m = Module(f"epilogue_{tile.element}")
    f = m.function("finish", PARAMS)
    c, c_row, rows, columns, added = f.args
    e, lanes = tile.element, tile.lanes
    whole = columns // lanes * lanes
    mask = f.iota(vector("i64", lanes)).cmp("slt", (columns - whole).splat(lanes))

    def finish(x: Value, j: Value, part: bool) -> Value:
        if bias:
            place = added.at(j, e)
            x = x + (f.masked_load(place, mask, tile.vector) if part else place.load(tile.vector))
        return x if activation is None else _activate(f, activation, x)

    with f.loop(0, rows) as i:
        line = c.at(i * c_row, e)
        with f.loop(0, whole, lanes) as j:
            place = line.at(j, e)
            place.store(finish(place.load(tile.vector), j, False))
        with f.if_(whole.cmp("ne", columns)):
            place = line.at(whole, e)
            x = f.masked_load(place, mask, tile.vector)
            f.masked_store(finish(x, whole, True), place, mask)
    return m


def _activate(f: Function, name: str, x: Value) -> Value:
    op: Any = OPS[name]
    if not callable(op.lower):
        raise ValueError(f"{name} has no recipe")
    result: Value = op.lower(f, x, **op.defaults)
    return result
