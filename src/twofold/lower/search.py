"""Searching by halves in what is sorted: searchsorted, isin. Floor 6.

Elements are compared by their keys (sort.py): NaN above everything, -0 like 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import prod
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower.elements import HELD
from twofold.lower.schedule import Arg, Out, Plan, Step, chunks_for, schedule
from twofold.lower.sort import key_of, sort_step
from twofold.lower.splice import HALVES, Builder, through
from twofold.lower.task import Task

Args = tuple[Arg, ...]
Outs = tuple[Type, ...]
Attrs = Mapping[str, Any]

SEARCH = "row:ptr values:ptr out:ptr rows n count"


def _find(t: Task, start: Value, wanted: Value, dtype: DType, right: bool) -> Value:
    """How many elements of a sorted row come before a key."""
    f, stored = t.f, HELD[dtype].stored
    first, last = f.var("i64", 0), f.var("i64", t.n)
    with f.while_():
        a, b = first.get(), last.get()
        f.break_if(a.cmp("sge", b))
        middle = (a + b).lshr(1)
        key = key_of(f, start.at(middle, stored).load(stored), dtype, False)
        before = key.cmp("ule" if right else "ult", wanted)
        first.set(before.select(middle + 1, a))
        last.set(before.select(b, middle))
    return first.get()


def build_search(dtype: DType, right: bool, out: DType) -> Module:
    """Task `search`: how many elements of a sorted row come before each value."""
    m = Module("search")
    t = Task(m, "search", SEARCH)
    f, stored, made = t.f, HELD[dtype].stored, HELD[out].stored
    low, high = t.share(t.rows * t.count)
    with f.loop(low, high) as place:
        start = t.row.at((place // t.count) * t.n, stored)
        wanted = key_of(f, t.values.at(place, stored).load(stored), dtype, False)
        found = _find(t, start, wanted, dtype, right)
        t.out.at(place, made).store(found if made == "i64" else found.cast("trunc", made))
    return m


@schedule("searchsorted")
def plan_search(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan | None:
    """sorted rows, values -> their places. One row serves all values."""
    rows, values = args
    if rows.dtype in HALVES:
        return through(plan_search, HALVES, args, outs, attrs, threads)
    build = Builder(threads)
    if values.size == 0:
        return build.plan()
    n = rows.shape[-1]
    count = 1 if len(rows.shape) == 1 else prod(rows.shape[:-1])
    out, right = outs[0].dtype, attrs["right"]
    name = f"search/{rows.dtype.short}/{right}/{out.short}"
    code = load(name, partial(build_search, rows.dtype, right, out))
    job = (build.dense(rows, 0), build.dense(values, 1), Out(0), count, n, values.size // count)
    build.add(Step(code.address("search"), job, chunks_for(values.size * 8, threads)))
    return build.plan()


def build_member(dtype: DType, invert: bool) -> Module:
    """Task `member`: whether each value stands in a sorted row. A NaN stands in none."""
    m = Module("member")
    t = Task(m, "member", SEARCH)
    f, held = t.f, HELD[dtype]
    low, high = t.share(t.count)
    with f.loop(low, high) as place:
        value = t.values.at(place, held.stored).load(held.stored)
        wanted = key_of(f, value, dtype, False)
        at = _find(t, t.row, wanted, dtype, False)
        inside = f.var("i1", False)
        with f.if_(at.cmp("slt", t.n)):
            found = t.row.at(at, held.stored).load(held.stored)
            inside.set(key_of(f, found, dtype, False).cmp("eq", wanted))
        answer = inside.get()
        if dtype.is_floating_point:
            number = held.widen(f, value)
            answer = answer & number.cmp("ord", number)
        answer = answer ^ 1 if invert else answer
        t.out.at(place, "i8").store(answer.cast("zext", "i8"))
    return m


@schedule("isin")
def plan_isin(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x, values -> whether each element of x is one of the values."""
    x, values = args
    build = Builder(threads)
    if x.size == 0:
        return build.plan()
    n, dtype, invert = values.size, x.dtype, bool(attrs["invert"])
    row = build.scratch(n, dtype.itemsize)
    places = build.scratch(n, 8)
    if n:
        sort_step(build, dtype, build.dense(values, 1), row, places, 1, n, n, False)
    name = f"member/{dtype.short}/{invert}"
    code = load(name, partial(build_member, dtype, invert))
    job = (row, build.dense(x, 0), Out(0), 1, n, x.size)
    build.add(Step(code.address("member"), job, chunks_for(x.size * 8, threads)))
    return build.plan()
