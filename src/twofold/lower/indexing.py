"""Elements read and written by number: take, index_put, gather, scatter. Floor 6.

Embeddings and index_select, which name whole rows, have kernels of their own: the key is any number
of full slices and then one tensor of indices, so that x is (outer, rows, inner) and the indexed
part (outer, count, inner). Every other key goes by offsets.py. Rows are written, or added, in
ascending order of the indices' places, whatever the number of chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower.copy import KINDS
from twofold.lower.move import part_of
from twofold.lower.offsets import (
    Along,
    Index,
    Named,
    along_offsets,
    checked,
    find_offsets,
    pick,
    pick_along,
    put,
)
from twofold.lower.scattering import scatter
from twofold.lower.schedule import (
    Arg,
    In,
    Out,
    Plan,
    Pointer,
    Step,
    Word,
    chunks_for,
    schedule,
    turned,
)
from twofold.lower.splice import HALVES, Builder, through
from twofold.lower.strided import dense_strides, spread_strides
from twofold.lower.task import Task, arrange
from twofold.runtime import faults

Args = tuple[Arg, ...]
Outs = tuple[Type, ...]
Attrs = Mapping[str, Any]
Sizes = Sequence[int]
FULL = slice(None)
WORDS = "x:ptr out:ptr index:ptr record:ptr outer rows count inner"
WIDTH = 8  # elements that one addition handles; chunks split rows in whole ones


def split_key(shape: tuple[int, ...], key: tuple[Any, ...]) -> tuple[int, int, int] | None:
    """(outer, rows, inner) for a key of full slices and one index tensor, else None. `...` stands
    for such slices."""
    tensors = [i for i, part in enumerate(key) if type(part).__name__ == "Here"]
    slices = [part for part in key if part is not ... and type(part).__name__ != "Here"]
    if len(tensors) != 1 or any(part != (None, None, None) for part in slices):
        return None
    at = tensors[0]
    if ... in key[:at]:
        at += len(shape) - len(key)
    return prod(shape[:at]), shape[at], prod(shape[at + 1 :])


def _row(t: Task, place: Value) -> Value:
    """The row that the index at `place` names; negative numbers count from the end."""
    return checked(t, t.index.at(place, "i64").load("i64"), t.rows, t.f.const("i64", 1))


def build_take(size: int) -> Module:
    """out[o, i, :] = x[o, index[i], :], elements of `size` bytes."""
    m = Module(f"take_{size}")
    t = Task(m, "take", WORDS)
    f, kind = t.f, KINDS[size]
    lo, hi = t.share(t.outer * t.count)
    each = f.max(t.count, 1)
    start, stop = lo // each, (hi + each - 1) // each
    with f.if_(t.inner.cmp("eq", 1)) as single:
        with f.loop(start, stop, TOGETHER) as outer:
            _take_elements(t, kind, outer, f.min(outer + TOGETHER, stop), lo, hi)
        single.otherwise()
        with f.loop(start, stop) as outer:
            first = f.max(lo - outer * t.count, 0)
            last = f.min(hi - outer * t.count, t.count)
            source = t.x.at(outer * t.rows * t.inner, kind)
            target = t.out.at(outer * t.count * t.inner, kind)
            with f.loop(first, last) as i:
                row = source.at(_row(t, i) * t.inner, kind)
                f.memcpy(target.at(i * t.inner, kind), row, t.inner * size)
    f.ret()
    return m


TOGETHER = 16  # rows that share the places which the indices name,
PLACES = 1024  # of so many indices at a time


def _take_elements(t: Task, kind: str, start: Value, stop: Value, low: Value, high: Value) -> None:
    """The rows `start` to `stop` of single elements, as far as this chunk's part goes: each index
    is looked at once for all of them."""
    f = t.f
    places = f.array("i64", PLACES)
    with f.loop(0, t.count, PLACES) as begin:
        end = f.min(begin + PLACES, t.count)
        with f.loop(begin, end) as i:
            places.at(i - begin, "i64").store(_row(t, i))
        with f.loop(start, stop) as outer:
            source, target = t.x.at(outer * t.rows, kind), t.out.at(outer * t.count, kind)
            first = f.max(low - outer * t.count, begin)
            last = f.max(f.min(high - outer * t.count, end), first)
            whole = first + (last - first) // 4 * 4
            for i0, i1, many in ((first, whole, 4), (whole, last, 1)):
                with f.loop(i0, i1, many) as i:
                    here = [places.at(i - begin + k, "i64").load("i64") for k in range(many)]
                    values = [source.at(place, kind).load(kind) for place in here]
                    for k, value in enumerate(values):
                        target.at(i + k, kind).store(value)


def build_put(element: str, add: bool) -> Module:
    """out[o, index[i], :] = (or +=) x[o, i, :]; out already holds what is not written."""
    m = Module(f"put_{element}_{'add' if add else 'set'}")
    t = Task(m, "put", WORDS)
    f = t.f
    units = (t.inner + (WIDTH - 1)) // WIDTH
    # Chunks share the outer axes, or the inner ones: rows of one index are always one chunk's.
    by_outer = t.outer.cmp("sge", units)
    lo, hi = t.share(by_outer.select(t.outer, units))
    start, stop = by_outer.select(0, lo * WIDTH), f.min(by_outer.select(units, hi) * WIDTH, t.inner)
    whole = start + ((stop - start) // WIDTH) * WIDTH
    vector = f"{element}x{WIDTH}"

    def put(place: Value, value: Value) -> None:
        place.store(place.load(value.type) + value if add else value)

    with f.loop(by_outer.select(lo, 0), by_outer.select(hi, t.outer)) as outer:
        sources = t.x.at(outer * t.count * t.inner, element)
        targets = t.out.at(outer * t.rows * t.inner, element)
        with f.if_(t.inner.cmp("eq", 1)) as single:
            with f.loop(0, t.count) as i:
                put(targets.at(_row(t, i), element), sources.at(i, element).load(element))
            single.otherwise()
            with f.loop(0, t.count) as i:
                source = sources.at(i * t.inner, element)
                target = targets.at(_row(t, i) * t.inner, element)
                for first, last, kind, step in (
                    (start, whole, vector, WIDTH),
                    (whole, stop, element, 1),
                ):
                    with f.loop(first, last, step) as j:
                        put(target.at(j, element), source.at(j, element).load(kind))
    f.ret()
    return m


def _job(sizes: tuple[int, int, int], count: int, **pointers: Word) -> tuple[Word, ...]:
    outer, rows, inner = sizes
    values: dict[str, Word] = {"outer": outer, "rows": rows, "count": count, "inner": inner}
    return arrange(WORDS, values | pointers | {"record": faults.address()})


def _rows_alone(args: Args, key: Any, indices: tuple[Arg, ...]) -> tuple[int, int, int] | None:
    """(outer, rows, inner) where one index of i64 names whole rows of a real type."""
    x = args[0]
    sizes = split_key(x.shape, key)
    fits = len(indices) == 1 and x.size and x.dtype.itemsize in KINDS
    return sizes if fits and indices[0].dtype is dtypes.int64 else None


@schedule("take")
def plan_take(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x, indices -> the elements; attrs: key."""
    x, indices, made = args[0], args[1:], outs[0]
    sizes = _rows_alone(args, attrs["key"], indices)
    if sizes is not None:
        size = x.dtype.itemsize
        task = load(f"take/{size}", lambda: build_take(size)).address("take")
        job = _job(sizes, indices[0].size, x=In(0), out=Out(0), index=In(1))
        copies = turned((x, *indices))
        return Plan((Step(task, job, chunks_for(made.size, threads)),), contiguous=copies)
    build = Builder(threads)
    part, tables, shape = named(x.shape, x.strides, x.dtype, attrs["key"], indices)
    offsets = _offsets(build, indices, 1, tables, shape)
    if x.size:
        pick(build, x.dtype, In(0, part.offset), Out(0), offsets, part, prod(shape))
    elif made.size:
        build.fill(made, 0)
    return build.plan()


@schedule("index_put")
def plan_put(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan | None:
    """x, values, indices -> x with values written or added; attrs: key, accumulate."""
    x, values, indices, made = args[0], args[1], args[2:], outs[0]
    add = bool(attrs["accumulate"])
    if add and x.dtype in HALVES:
        return through(plan_put, HALVES, args, outs, attrs, threads)
    build = Builder(threads)
    build.add_copy(x, made)
    sizes = _rows_alone(args, attrs["key"], indices)
    count = 0 if sizes is None else sizes[0] * indices[0].size * sizes[2]
    if sizes is not None and x.dtype in (dtypes.float32, dtypes.float64) and values.size == count:
        element = x.dtype.loops
        task = load(f"put/{element}/{add}", lambda: build_put(element, add)).address("put")
        places = {"x": build.dense(values, 1), "index": build.dense(indices[0], 2)}
        job = _job(sizes, indices[0].size, out=Out(0), **places)
        build.add(Step(task, job, chunks_for(values.size, threads)))
        return build.plan()
    part, tables, shape = named(x.shape, dense_strides(x.shape), x.dtype, attrs["key"], indices)
    offsets = _offsets(build, indices, 2, tables, shape)
    sides = [[size for size, _ in axes] for axes in (part.outer, part.inner)]
    whole = (*sides[0], *shape, *sides[1])
    given = build.dense(Arg(whole, values.dtype, spread_strides(values, whole)), 1)
    if x.size:
        how = "sum" if add else ""
        put(build, x.dtype, given, Out(0, part.offset), offsets, part, prod(shape), how)
    return build.plan()


def named(
    shape: Sizes, strides: Sizes, dtype: DType, key: Any, indices: tuple[Arg, ...]
) -> tuple[Named, list[tuple[int, int, int]], tuple[int, ...]]:
    """What a key of any form names: the part, for each index (its number, size and stride of its
    axis), and the shape that the indices have together.

    By NumPy's rule numbers count as indices beside tensors; if all of these stand together, their
    axes come where they stood, else first.
    """
    taken = sum(part is not None and part is not Ellipsis for part in key)
    rest = (FULL,) * (len(shape) - taken)
    spread: list[Any] = [p for part in key for p in (rest if part is Ellipsis else (part,))]
    if Ellipsis not in key:
        spread += rest
    basic = tuple([None if p is None else _slice(p) for p in spread])
    view = part_of(lambda x: x[basic], shape, strides, dtype)
    offset = view.offset
    places = [i for i, p in enumerate(spread) if p is not None and not _is_slice(p)]
    together = places[-1] - places[0] == len(places) - 1
    if Ellipsis in key and not rest:  # it stands between, with no axis of its own
        together = together and _stand_together(key)
    tables: list[tuple[int, int, int]] = []
    outer: list[tuple[int, int]] = []
    inner: list[tuple[int, int]] = []
    for i, p in enumerate(spread):
        size, stride = view.shape[i], view.strides[i]
        if i not in places:
            (outer if together and i < places[0] else inner).append((size, stride))
        elif isinstance(p, int):
            offset += (p % size) * stride * dtype.itemsize
        else:
            tables.append((p.number, size, stride))
    together_shape = np.broadcast_shapes(*[index.shape for index in indices])
    return Named(offset, tuple(outer), tuple(inner)), tables, together_shape


def _slice(part: Any) -> slice:
    """A part of a key as NumPy takes it; indices stand for their whole axis."""
    if isinstance(part, slice):
        return part
    return slice(*part) if _is_slice(part) else FULL


def _is_slice(part: Any) -> bool:
    return isinstance(part, slice) or type(part).__name__ == "Slice"


def _stand_together(key: Any) -> bool:
    """Whether no slice, None or ... stands between the indices of a key."""
    places = [
        i for i, p in enumerate(key) if p is not None and p is not Ellipsis and not _is_slice(p)
    ]
    return places[-1] - places[0] == len(places) - 1


def _offsets(
    build: Builder, indices: tuple[Arg, ...], first: int, tables: Any, shape: tuple[int, ...]
) -> Pointer:
    found = []
    for number, size, stride in tables:
        arg = indices[number]
        whole = Arg(shape, arg.dtype, spread_strides(arg, shape))
        place = build.cast(whole, In(first + number), dtypes.int64)
        found.append(Index(place, size, stride))
    return find_offsets(build, found, prod(shape), wraps=True)


# ---- along one axis ------------------------------------------------------------------------------


@schedule("gather")
def plan_gather(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x, index -> x at the index along an axis."""
    x, index = args
    build = Builder(threads)
    if index.size == 0:
        return build.plan()
    place = build.cast(index, In(1), dtypes.int64)
    along = Along(place, index.shape, attrs["dim"], x.shape, x.strides)
    if x.size:
        pick_along(build, along, x.dtype, In(0), Out(0))
    else:
        along_offsets(build, along)
    return build.plan()


@schedule("scatter")
def plan_scatter(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan | None:
    """x, index, source -> x with the source written or combined at the index along an axis."""
    x, index, source = args
    how = attrs["reduce"]
    if how and x.dtype in HALVES:
        return through(plan_scatter, HALVES, args, outs, attrs, threads)
    build = Builder(threads)
    build.add_copy(x, outs[0])
    if index.size == 0:
        return build.plan()
    place = build.cast(index, In(1), dtypes.int64)
    strides = dense_strides(x.shape)
    along = Along(place, index.shape, attrs["dim"], x.shape, strides)
    given = build.dense(Arg(index.shape, source.dtype, source.strides), 2)
    if x.size:
        scatter(build, along, x.dtype, given, Out(0), how)
    else:
        along_offsets(build, along)
    return build.plan()
