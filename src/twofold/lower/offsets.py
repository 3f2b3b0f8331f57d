"""Elements named by numbers: offsets are computed from indices, then read or written at. Floor 6.

Whatever the key, the part of x that it names is (outer, places, inner): `find` and `along` turn
indices into one offset for each place, `pick` reads there, `put` writes or combines there. Places
are written in ascending order, whatever the number of chunks: these split the outer or the inner
axes, whose elements are others. An index beyond its axis is noted (runtime/faults.py) and counts as
0, so that no other memory is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.copy import KINDS
from twofold.lower.elements import HELD
from twofold.lower.faults import note
from twofold.lower.schedule import Pointer, Step, Word, chunks_for
from twofold.lower.splice import Builder
from twofold.lower.task import Task
from twofold.ops import scalars
from twofold.ops.op import OPS
from twofold.runtime import faults

FIND = "out:ptr record:ptr n count wraps"
ALONG = "x:ptr index:ptr out:ptr record:ptr rows columns size stride step rank"
PICK = "x:ptr offsets:ptr out:ptr outer places inner dense outer_rank inner_rank"
PUT = "values:ptr offsets:ptr out:ptr outer places inner dense outer_rank inner_rank by_inner"
WIDTH = 8  # elements that are written together; chunks split the inner axes in whole ones
Axes = Sequence[tuple[int, int]]  # sizes and strides, in elements


class Named(NamedTuple):
    """The part of an array that a key names: strides in elements, the place of each in bytes."""

    offset: int
    outer: Axes
    inner: Axes


class Index(NamedTuple):
    """One index: where its numbers lie (i64), and the axis that they name."""

    place: Word
    size: int
    stride: int


# ---- from indices to offsets ---------------------------------------------------------------------


def checked(t: Task, number: Value, size: Value, wraps: Value) -> Value:
    """The position that an index names, 0 where there is none."""
    f = t.f
    position = (number.cmp("slt", 0) & wraps.cmp("ne", 0)).select(number + size, number)
    bad = position.cmp("uge", size)
    with f.if_(bad):
        note(f, t.record, faults.RANGE, number, -(size & -wraps), size - 1)
    return bad.select(0, position)


def build_find() -> Module:
    """Task `find`: the offsets of n places by several indices, (place, size, stride) each."""
    m = Module("find")
    t = Task(m, "find", FIND)
    f = t.f
    table = t.job.at(len(FIND.split()), "i64")
    low, high = t.share(t.n)
    with f.loop(low, high) as i:
        total = f.var("i64", 0)
        with f.loop(0, t.count) as k:
            words = table.at(k * 3, "i64")
            number = words.load("ptr").at(i, "i64").load("i64")
            size, stride = (words.at(j, "i64").load("i64") for j in (1, 2))
            total.set(total.get() + checked(t, number, size, t.wraps) * stride)
        t.out.at(i, "i64").store(total.get())
    return m


def find_offsets(build: Builder, indices: Sequence[Index], n: int, wraps: bool) -> Pointer:
    """A step that finds n offsets, and where they then lie."""
    place = build.scratch(n, 8)
    table = [word for index in indices for word in index]
    job = (place, faults.address(), n, len(indices), int(wraps), *table)
    code = load("offsets/find", build_find)
    build.add(Step(code.address("find"), job, chunks_for(n, build.threads)))
    return place


class Along(NamedTuple):
    """An index of x's rank, which replaces the coordinate `dim` of its own place; x's sizes and
    strides."""

    place: Word
    shape: Sequence[int]
    dim: int
    sizes: Sequence[int]
    strides: Sequence[int]


def build_along(kind: str | None) -> Module:
    """Task `along`: offsets by an index of x's rank, or (with a kind) the elements there."""
    m = Module("along")
    t = Task(m, "along", ALONG)
    f = t.f
    table = t.job.at(len(ALONG.split()), "i64")
    low, high = t.share(t.rows)
    with f.loop(low, high) as row:
        start = decoded(t, table, t.rank, row)
        numbers = t.index.at(row * t.columns, "i64")
        out = t.out.at(row * t.columns, kind or "i64")
        with f.loop(0, t.columns) as j:
            number = numbers.at(j, "i64").load("i64")
            position = checked(t, number, t.size, f.const("i64", 0))
            offset = start + j * t.step + position * t.stride
            if kind is None:
                out.at(j, "i64").store(offset)
            else:
                out.at(j, kind).store(t.x.at(offset, kind).load(kind))
    return m


def along_offsets(build: Builder, along: Along) -> Pointer:
    """A step that finds the offset of each element of an index along an axis."""
    place = build.scratch(prod(along.shape), 8)
    _add_along(build, along, None, 0, place)
    return place


def pick_along(build: Builder, along: Along, dtype: DType, x: Pointer, out: Pointer) -> None:
    """A step that reads the elements which an index names along an axis."""
    _add_along(build, along, KINDS[dtype.itemsize], x, out)


def _add_along(build: Builder, along: Along, kind: str | None, x: Word, out: Word) -> None:
    place, shape, dim, sizes, strides = along
    steps = [0 if axis == dim else strides[axis] for axis in range(len(shape))]
    rest = [word for axis in reversed(range(len(shape) - 1)) for word in (shape[axis], steps[axis])]
    rows = prod(shape[:-1])
    job = (x, place, out, faults.address(), rows, shape[-1], sizes[dim], strides[dim], steps[-1])
    code = load(f"offsets/along/{kind}", lambda: build_along(kind))
    chunks = max(min(chunks_for(prod(shape), build.threads), rows), 1)
    build.add(Step(code.address("along"), (*job, len(shape) - 1, *rest), chunks))


def decoded(t: Task, table: Value, rank: Value, number: Value) -> Value:
    """The offset of element `number` along axes of (size, stride), the last one first."""
    f = t.f
    rest, total = f.var("i64", number), f.var("i64", 0)
    with f.loop(0, rank) as axis:
        size, stride = (table.at(axis * 2 + k, "i64").load("i64") for k in range(2))
        above = rest.get() // size
        total.set(total.get() + (rest.get() - above * size) * stride)
        rest.set(above)
    return total.get()


# ---- reading -------------------------------------------------------------------------------------


def build_pick(kind: str) -> Module:
    """Task `pick`: out[o, p, i] = x[outer offset + offsets[p] + inner offset]."""
    m = Module("pick")
    t = Task(m, "pick", PICK)
    f = t.f
    outer_table = t.job.at(len(PICK.split()), "i64")
    inner_table = outer_table.at(t.outer_rank * 2, "i64")
    low, high = t.share(t.outer * t.places)
    with f.if_(t.inner.cmp("eq", 1) & t.outer.cmp("eq", 1)):
        with f.loop(low, high) as unit:
            offset = t.offsets.at(unit, "i64").load("i64")
            t.out.at(unit, kind).store(t.x.at(offset, kind).load(kind))
        f.ret()
    outer, place = f.var("i64", low // t.places), f.var("i64", low % t.places)
    base = f.var("i64", decoded(t, outer_table, t.outer_rank, low // t.places))
    with f.loop(low, high) as unit:
        here = t.x.at(base.get() + t.offsets.at(place.get(), "i64").load("i64"), kind)
        there = t.out.at(unit * t.inner, kind)
        with f.if_(t.dense.cmp("ne", 0) & t.inner.cmp("sge", 16)) as branch:
            f.memcpy(there, here, t.inner * BYTES[kind])
            branch.otherwise()
            with f.loop(0, t.inner) as i:
                there.at(i, kind).store(_inner(t, inner_table, here, i, kind).load(kind))
        place.set(place.get() + 1)
        with f.if_(place.get().cmp("eq", t.places)):
            place.set(0)
            outer.set(outer.get() + 1)
            base.set(decoded(t, outer_table, t.outer_rank, outer.get()))
    return m


def _inner(t: Task, table: Value, start: Value, i: Value, kind: str) -> Value:
    """Where inner element i lies; a dense part needs no table."""
    f = t.f
    offset = f.var("i64", i)
    with f.if_(t.dense.cmp("eq", 0)):
        offset.set(decoded(t, table, t.inner_rank, i))
    return start.at(offset.get(), kind)


def pick(
    build: Builder, dtype: DType, x: Pointer, out: Pointer, offsets: Word, part: Named, n: int
) -> None:
    """A step that reads n places."""
    outer, inner = _joined(part.outer), _joined(part.inner)
    sizes = _sizes(outer, inner, n)
    if 0 in sizes:
        return
    kind = KINDS[dtype.itemsize]
    job = (x, offsets, out, *sizes, int(_is_dense(inner)), len(outer), len(inner))
    chunks = min(chunks_for(prod(sizes), build.threads), sizes[0] * n)
    code = load(f"offsets/pick/{kind}", lambda: build_pick(kind))
    build.add(Step(code.address("pick"), (*job, *_table(outer), *_table(inner)), chunks))


# ---- writing -------------------------------------------------------------------------------------

Combine = Callable[[Any, Value, Value], Value]
COMBINE: dict[str, Combine] = {
    "sum": scalars.add,
    "prod": scalars.mul,
    "amax": lambda f, x, y: OPS["maximum"].lower(f, x, y),
    "amin": lambda f, x, y: OPS["minimum"].lower(f, x, y),
}


def build_put(kind: str, how: str, dtype: DType | None) -> Module:
    """Task `put`: out[outer offset + offsets[p] + inner offset] becomes, or is combined with,
    values[o, p, i]."""
    m = Module("put")
    t = Task(m, "put", PUT)
    f = t.f
    outer_table = t.job.at(len(PUT.split()), "i64")
    inner_table = outer_table.at(t.outer_rank * 2, "i64")
    with f.if_(t.inner.cmp("eq", 1) & t.outer.cmp("eq", 1)):
        with f.if_(t.chunk.cmp("eq", 0)), f.loop(0, t.places) as p:
            there = t.out.at(t.offsets.at(p, "i64").load("i64"), kind)
            combine_into(f, how, dtype, there, t.values.at(p, kind), kind)
        f.ret()
    by_inner = t.by_inner.cmp("ne", 0)
    groups = (t.inner + (WIDTH - 1)) // WIDTH
    low, high = t.share(by_inner.select(groups, t.outer))
    first, last = by_inner.select(0, low), by_inner.select(t.outer, high)
    start = by_inner.select(low * WIDTH, 0)
    stop = by_inner.select(f.min(high * WIDTH, t.inner), t.inner)
    whole = start + (stop - start) // WIDTH * WIDTH
    with f.loop(first, last) as o:
        base = decoded(t, outer_table, t.outer_rank, o)
        with f.loop(0, t.places) as p:
            there = t.out.at(base + t.offsets.at(p, "i64").load("i64"), kind)
            here = t.values.at((o * t.places + p) * t.inner, kind)
            begin = f.var("i64", start)
            with f.if_(t.dense.cmp("ne", 0)):
                with f.loop(start, whole, WIDTH) as i:
                    combine_into(
                        f, how, dtype, there.at(i, kind), here.at(i, kind), vector(kind, WIDTH)
                    )
                begin.set(whole)
            with f.loop(begin.get(), stop) as i:
                place = _inner(t, inner_table, there, i, kind)
                combine_into(f, how, dtype, place, here.at(i, kind), kind)
    return m


def combine_into(
    f: Any, how: str, dtype: DType | None, there: Value, here: Value, kind: str
) -> None:
    """Write what lies `here`, or combine it with what lies `there`."""
    value = here.load(kind)
    if dtype is not None:
        held = HELD[dtype]
        joined = COMBINE[how](f, held.widen(f, there.load(kind)), held.widen(f, value))
        value = held.narrow(f, joined)
    there.store(value)


def put(
    build: Builder,
    dtype: DType,
    values: Pointer,
    out: Pointer,
    offsets: Word,
    part: Named,
    n: int,
    how: str = "",
) -> None:
    """A step that writes n places, or combines them: sum, prod, amax or amin."""
    outer, inner = _joined(part.outer), _joined(part.inner)
    sizes = _sizes(outer, inner, n)
    if 0 in sizes:
        return
    by_inner = sizes[0] == 1
    kind = HELD[dtype].stored if how else KINDS[dtype.itemsize]
    flags = (int(_is_dense(inner)), len(outer), len(inner), int(by_inner))
    most = -(-sizes[2] // WIDTH) if by_inner else sizes[0]
    chunks = min(chunks_for(prod(sizes), build.threads), most)
    combined = dtype if how else None
    name = f"offsets/put/{kind}/{how}/{combined.short if combined else ''}"
    code = load(name, lambda: build_put(kind, how, combined))
    job = (values, offsets, out, *sizes, *flags, *_table(outer), *_table(inner))
    build.add(Step(code.address("put"), job, chunks))


def put_offsets(
    build: Builder, dtype: DType, values: Pointer, out: Pointer, offsets: Word, n: int
) -> None:
    """A step that writes n single elements at offsets."""
    put(build, dtype, values, out, offsets, Named(0, (), ()), n)


BYTES = {kind: size for size, kind in KINDS.items()}


def _joined(axes: Axes) -> list[tuple[int, int]]:
    """Axes without those of size 1; neighbours that are walked as one are one."""
    made: list[tuple[int, int]] = []
    for size, stride in axes:
        if size == 1:
            continue
        if made and made[-1][1] == size * stride:
            made[-1] = (made[-1][0] * size, stride)
        else:
            made.append((size, stride))
    return made


def _is_dense(inner: Axes) -> bool:
    return not inner or (len(inner) == 1 and inner[0][1] == 1)


def _sizes(outer: Axes, inner: Axes, n: int) -> tuple[int, int, int]:
    return prod([size for size, _ in outer]), n, prod([size for size, _ in inner])


def _table(axes: Axes) -> list[Word]:
    return [word for axis in reversed(axes) for word in axis]
