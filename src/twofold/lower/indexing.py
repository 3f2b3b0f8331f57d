"""Rows read and written by number: embeddings, index_select, and their gradients. Floor 6.

The key is any number of full slices and then one tensor of indices, so that x is (outer, rows,
inner) and the
indexed part (outer, count, inner). Rows are written, or added, in ascending order of the indices'
places,
whatever the number of chunks: they split `inner` or `outer`, never the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, In, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.task import Task, arrange

WORDS = "x:ptr out:ptr index:ptr outer rows count inner"
WIDTH = 8  # elements that one addition handles; chunks split rows in whole ones


def split_key(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[int, int, int] | None:
    """(outer, rows, inner) for a key of full slices and one index tensor, else None."""
    at = next((i for i, part in enumerate(key) if type(part).__name__ == "Here"), len(key))
    if at != len(key) - 1 or any(part != (None, None, None) for part in key[:at]):
        return None
    return prod(shape[:at]), shape[at], prod(shape[at + 1 :])


def _row(t: Task, place: Value) -> Value:
    """The row that the index at `place` names; negative numbers count from the end."""
    number = t.index.at(place, "i64").load("i64")
    return number.cmp("slt", 0).select(number + t.rows, number)


def build_take(size: int) -> Module:
    """out[o, i, :] = x[o, index[i], :], elements of `size` bytes."""
    m = Module(f"take_{size}")
    t = Task(m, "take", WORDS)
    f = t.f
    lo, hi = t.share(t.outer * t.count)
    width = t.inner * size
    with f.loop(lo, hi) as place:
        outer, i = place // t.count, place % t.count
        source = t.x.at((outer * t.rows + _row(t, i)) * width, "i8")
        f.memcpy(t.out.at(place * width, "i8"), source, width)
    f.ret()
    return m


def build_put(element: str, add: bool) -> Module:
    """out[o, index[i], :] = (or +=) x[o, i, :]; out already holds what is not written."""
    m = Module(f"put_{element}_{'add' if add else 'set'}")
    t = Task(m, "put", WORDS)
    f = t.f
    units = (t.inner + (WIDTH - 1)) // WIDTH
    lo, hi = t.share(units)
    start, stop = lo * WIDTH, f.min(hi * WIDTH, t.inner)
    whole = start + ((stop - start) // WIDTH) * WIDTH
    vector = f"{element}x{WIDTH}"
    with f.loop(0, t.outer) as outer, f.loop(0, t.count) as i:
        source = t.x.at((outer * t.count + i) * t.inner, element)
        target = t.out.at((outer * t.rows + _row(t, i)) * t.inner, element)
        for first, last, kind, step in ((start, whole, vector, WIDTH), (whole, stop, element, 1)):
            with f.loop(first, last, step) as j:
                place = target.at(j, element)
                value = source.at(j, element).load(kind)
                place.store(place.load(kind) + value if add else value)
    f.ret()
    return m


def build_copy() -> Module:
    """out = x, bytes."""
    m = Module("copy_bytes")
    t = Task(m, "copy", "x:ptr out:ptr size")
    lo, hi = t.share(t.size)
    t.f.memcpy(t.out.at(lo, "i8"), t.x.at(lo, "i8"), hi - lo)
    t.f.ret()
    return m


def _job(sizes: tuple[int, int, int], count: int, **pointers: Word) -> tuple[Word, ...]:
    outer, rows, inner = sizes
    values: dict[str, Word] = {"outer": outer, "rows": rows, "count": count, "inner": inner}
    return arrange(WORDS, values | pointers)


@schedule("take")
def plan_take(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """x, index -> the rows; attrs: key."""
    sizes = split_key(args[0].shape, attrs["key"])
    if sizes is None or len(args) != 2:
        return None
    size = args[0].dtype.itemsize
    task = load(f"take/{size}", lambda: build_take(size)).address("take")
    count = args[1].size
    job = _job(sizes, count, x=In(0), out=Out(0), index=In(1))
    return Plan((Step(task, job, chunks_for(outs[0].size, threads)),), contiguous=(0, 1))


@schedule("index_put")
def plan_put(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """x, values, index -> x with rows written or added; attrs: key, accumulate."""
    x, values = args[:2]
    sizes = split_key(x.shape, attrs["key"])
    wanted = None if sizes is None else sizes[0] * args[2].size * sizes[2]
    plain = x.dtype in (dtypes.float32, dtypes.float64) and values.dtype is x.dtype
    if sizes is None or len(args) != 3 or values.size != wanted or not plain:
        return None
    element, add = x.dtype.loops, bool(attrs["accumulate"])
    put = load(f"put/{element}/{add}", lambda: build_put(element, add)).address("put")
    copy = load("copy/bytes", build_copy).address("copy")
    size = x.size * x.dtype.itemsize
    first = Step(
        copy,
        arrange("x:ptr out:ptr size", {"x": In(0), "out": Out(0), "size": size}),
        chunks_for(x.size, threads),
    )
    job = _job(sizes, args[2].size, x=In(1), out=Out(0), index=In(2))
    return Plan((first, Step(put, job, chunks_for(values.size, threads))), contiguous=(0, 1, 2))
