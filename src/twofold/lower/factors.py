"""LU factors: elimination with the largest pivot of each column, matrix by matrix. Floor 6.

Each matrix of a batch is its own work, so that its factors do not depend on the others. The steps
are those of ops/decompose.py, and so are the bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.splice import Builder
from twofold.lower.task import Task, arrange

WORDS = "x:ptr lower:ptr upper:ptr order:ptr work:ptr count rows columns inner"
PIVOTS = "order:ptr out:ptr work:ptr count rows inner"
LANES = 8


def build_lu(element: str) -> Module:
    """Task `lu`: x[rows, columns] -> lower[rows, inner], upper[inner, columns], order[rows]."""
    m = Module(f"lu_{element}")
    t = Task(m, "lu", WORDS)
    f, size = t.f, TYPES[element].size
    low, high = t.share(t.count)
    with f.loop(low, high) as number:
        start = number * t.rows * t.columns
        work, order = t.work.at(start, element), t.order.at(number * t.rows, "i64")
        f.memcpy(work, t.x.at(start, element), t.rows * t.columns * size)
        with f.loop(0, t.rows) as i:
            order.at(i, "i64").store(i)
        with f.loop(0, t.inner) as k:
            _exchange(t, work, order, element, k)
            _eliminate(t, work, element, k)
        _give(t, work, element, number)
    f.ret()
    return m


def _exchange(t: Task, work: Value, order: Value, element: str, k: Value) -> None:
    """Bring the row with the largest element of column k, the first of several, to row k."""
    f = t.f
    best = f.var("i64", k)
    size = f.var(element, f.abs(work.at(k * t.columns + k, element).load(element)))
    with f.loop(k + 1, t.rows) as i:
        here = f.abs(work.at(i * t.columns + k, element).load(element))
        more = here.cmp("ogt", size.get())
        best.set(more.select(i, best.get()))
        size.set(more.select(here, size.get()))
    with f.if_(best.get().cmp("ne", k)):
        first, second = work.at(k * t.columns, element), work.at(best.get() * t.columns, element)
        with f.loop(0, t.columns) as j:
            _swap(first.at(j, element), second.at(j, element), element)
        _swap(order.at(k, "i64"), order.at(best.get(), "i64"), "i64")


def _swap(a: Value, b: Value, kind: str) -> None:
    x, y = a.load(kind), b.load(kind)
    a.store(y)
    b.store(x)


def _eliminate(t: Task, work: Value, element: str, k: Value) -> None:
    """Take multiples of row k from those below it; the factors stay where zeros would be."""
    f = t.f
    source = work.at(k * t.columns, element)
    pivot = source.at(k, element).load(element)
    pivot = pivot.cmp("oeq", 0.0).select(1.0, pivot)
    with f.loop(k + 1, t.rows) as i:
        target = work.at(i * t.columns, element)
        factor = target.at(k, element).load(element) / pivot
        target.at(k, element).store(factor)
        _subtract(f, target, source, factor, element, k + 1, t.columns)


def _subtract(
    f: Function, target: Value, source: Value, factor: Value, element: str, low: Value, high: Value
) -> None:
    """target[j] -= factor * source[j] for j from low to high, each product rounded."""
    whole = low + (high - low) // LANES * LANES
    kind, wide = f"{element}x{LANES}", factor.splat(LANES)
    with f.loop(low, whole, LANES) as j:
        place = target.at(j, element)
        place.store(place.load(kind) - wide * source.at(j, element).load(kind))
    with f.loop(whole, high) as j:
        place = target.at(j, element)
        place.store(place.load(element) - factor * source.at(j, element).load(element))


def _give(t: Task, work: Value, element: str, number: Value) -> None:
    """The two triangles, each with its zeros and ones."""
    f = t.f
    lower = t.lower.at(number * t.rows * t.inner, element)
    upper = t.upper.at(number * t.inner * t.columns, element)
    with f.loop(0, t.rows) as i:
        row = work.at(i * t.columns, element)
        with f.loop(0, t.inner) as j:
            value = j.cmp("slt", i).select(row.at(j, element).load(element), 0.0)
            lower.at(i * t.inner + j, element).store(j.cmp("eq", i).select(1.0, value))
    with f.loop(0, t.inner) as i:
        row = work.at(i * t.columns, element)
        with f.loop(0, t.columns) as j:
            value = j.cmp("sge", i).select(row.at(j, element).load(element), 0.0)
            upper.at(i * t.columns + j, element).store(value)


@schedule("lu")
def plan_lu(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """x f[..., n, m] -> L f[..., n, k], U f[..., k, m], order i64[..., n]."""
    x = args[0]
    if x.dtype not in (dtypes.float32, dtypes.float64):
        return None
    build = Builder(threads)
    (rows, columns), count = x.shape[-2:], prod(x.shape[:-2])
    if not x.size:
        return None
    element, inner = x.dtype.loops, min(rows, columns)
    code = load(f"factors/lu/{element}", partial(build_lu, element))
    words: dict[str, Word] = {"x": build.dense(x, 0), "lower": Out(0), "upper": Out(1)}
    words |= {"order": Out(2), "work": build.scratch(x.size, x.dtype.itemsize)}
    words |= {"count": count, "rows": rows, "columns": columns, "inner": inner}
    chunks = max(min(chunks_for(x.size * inner, threads), count), 1)
    build.add(Step(code.address("lu"), arrange(WORDS, words), chunks))
    return build.plan()


def build_pivots() -> Module:
    """Task `pivots`: order[rows] -> the exchanges i32[inner], from 1, that make it."""
    m = Module("lu_pivots")
    t = Task(m, "pivots", PIVOTS)
    f = t.f
    low, high = t.share(t.count)
    with f.loop(low, high) as number:
        order, now = (p.at(number * t.rows, "i64") for p in (t.order, t.work))
        with f.loop(0, t.rows) as i:
            now.at(i, "i64").store(i)
        with f.loop(0, t.inner) as k:
            wanted, at = order.at(k, "i64").load("i64"), f.var("i64", 0)
            with f.loop(0, t.rows) as i:
                with f.if_(now.at(i, "i64").load("i64").cmp("eq", wanted)):
                    at.set(i)
                f.break_if(at.get().cmp("ne", 0))
            now.at(at.get(), "i64").store(now.at(k, "i64").load("i64"))
            now.at(k, "i64").store(wanted)
            made = (at.get() + 1).cast("trunc", "i32")
            t.out.at(number * t.inner + k, "i32").store(made)
    f.ret()
    return m


@schedule("lu_pivots")
def plan_pivots(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """order i64[..., n] -> pivots i32[..., k]."""
    order = args[0]
    if order.dtype is not dtypes.int64 or not outs[0].size:
        return None
    build = Builder(threads)
    code = load("factors/lu_pivots", build_pivots)
    rows, count = order.shape[-1], prod(order.shape[:-1])
    words: dict[str, Word] = {"order": build.dense(order, 0), "out": Out(0)}
    words |= {"work": build.scratch(order.size, 8), "count": count, "rows": rows}
    words |= {"inner": outs[0].shape[-1]}
    chunks = max(min(chunks_for(order.size * rows, threads), count), 1)
    build.add(Step(code.address("pivots"), arrange(PIVOTS, words), chunks))
    return build.plan()
