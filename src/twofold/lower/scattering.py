"""Elements written or combined at an index along one axis, in one pass. Floor 6.

    scatter    out[.., index[i], ..] becomes, or is combined with, values[i]

Places are written in ascending order, whatever the number of chunks: these share the rows of the
index where it names places within a row, else its columns, of which no two name the same place.
"""

from __future__ import annotations

from math import prod

from twofold.base.dtypes import DType
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.lower.copy import KINDS
from twofold.lower.elements import HELD
from twofold.lower.offsets import Along, checked, combine_into, decoded
from twofold.lower.schedule import Pointer, Step, chunks_for
from twofold.lower.splice import Builder
from twofold.lower.task import Task
from twofold.runtime import faults

WORDS = "out:ptr index:ptr values:ptr record:ptr rows columns size stride step rank by_columns"
GROUP = 16  # columns that stay together: a line of memory


def build_scatter(kind: str, how: str, dtype: DType | None) -> Module:
    """Task `scatter`: values at the places of an index along an axis."""
    m = Module("scatter")
    t = Task(m, "scatter", WORDS)
    f = t.f
    table = t.job.at(len(WORDS.split()), "i64")
    by_columns = t.by_columns.cmp("ne", 0)
    groups = (t.columns + (GROUP - 1)) // GROUP
    low, high = t.share(by_columns.select(groups, t.rows))
    first, last = by_columns.select(0, low), by_columns.select(t.rows, high)
    start = by_columns.select(low * GROUP, 0)
    stop = by_columns.select(f.min(high * GROUP, t.columns), t.columns)
    with f.loop(first, last) as row:
        base = decoded(t, table, t.rank, row)
        numbers = t.index.at(row * t.columns, "i64")
        values = t.values.at(row * t.columns, kind)
        with f.loop(start, stop) as j:
            position = checked(t, numbers.at(j, "i64").load("i64"), t.size, f.const("i64", 0))
            there = t.out.at(base + j * t.step + position * t.stride, kind)
            combine_into(f, how, dtype, there, values.at(j, kind), kind)
    return m


def scatter(
    build: Builder, along: Along, dtype: DType, values: Pointer, out: Pointer, how: str
) -> None:
    """A step that writes, or combines (sum, prod, amax, amin), values at an index along an axis."""
    place, shape, dim, sizes, strides = along
    shape, sizes, strides = (tuple(s) or (1,) for s in (shape, sizes, strides))
    last = len(shape) - 1
    steps = [0 if axis == dim else strides[axis] for axis in range(len(shape))]
    table = [word for axis in reversed(range(last)) for word in (shape[axis], steps[axis])]
    kind = HELD[dtype].stored if how else KINDS[dtype.itemsize]
    combined = dtype if how else None
    name = f"scatter/{kind}/{how}/{combined.short if combined else ''}"
    code = load(name, lambda: build_scatter(kind, how, combined))
    rows, by_columns = prod(shape[:-1]), dim != last
    head = (out, place, values, faults.address(), rows, shape[-1], sizes[dim], strides[dim])
    job = (*head, steps[-1], last, int(by_columns), *table)
    most = -(-shape[-1] // GROUP) if by_columns else rows
    chunks = max(min(chunks_for(prod(shape), build.threads), most), 1)
    build.add(Step(code.address("scatter"), job, chunks))
