"""Indices that are compared with their range while they are copied. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.core import any_lane
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.lower.schedule import Arg, In, Out, Plan, Step, schedule
from twofold.lower.task import Task

WORDS = "x:ptr out:ptr bad:ptr count low high inside skipping skip"
LANES = 8


def build_check() -> Module:
    """out = x, with what is outside of [low, high) replaced by `inside`; bad: whether any was."""
    m = Module("check_range")
    t = Task(m, "check", WORDS)
    f = t.f
    _fast(t)
    found = f.var("i64", 0)
    with f.loop(0, t.count) as i:
        x = t.x.at(i, "i64").load("i64")
        outside = x.cmp("slt", t.low) | x.cmp("sge", t.high)
        skipped = t.skipping.cmp("ne", 0) & x.cmp("eq", t.skip)
        wrong = outside & ~skipped
        t.out.at(i, "i64").store(wrong.select(t.inside, x))
        found.set(found.get() | wrong.cast("zext", "i64"))
    t.bad.store(found.get().cast("trunc", "i8"))
    f.ret()
    return m


def _fast(t: Task) -> None:
    """Copy several at a time, and be done where none is outside; else each is looked at."""
    f, kind = t.f, vector("i64", LANES)
    whole = t.skipping.cmp("eq", 0).select(t.count // LANES * LANES, 0)
    wrong = f.var(kind, 0)
    low, span = t.low.splat(LANES), (t.high - t.low).splat(LANES)
    with f.loop(0, whole, LANES) as i:
        x = t.x.at(i, "i64").load(kind)
        t.out.at(i, "i64").store(x)
        outside = (x - low).cmp("uge", span)
        wrong.set(wrong.get() | outside.cast("zext", kind))
    with f.if_(whole.cmp("sgt", 0) & ~any_lane(f, wrong.get().cmp("ne", 0))):
        bad = f.var("i1", False)
        with f.loop(whole, t.count) as i:
            x = t.x.at(i, "i64").load("i64")
            t.out.at(i, "i64").store(x)
            bad.set(bad.get() | (x - t.low).cmp("uge", t.high - t.low))
        with f.if_(~bad.get()):
            t.bad.store(f.const("i8", 0))
            f.ret()


@schedule("check_range")
def plan_check(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """A plan for int64 indices of any layout."""
    if args[0].dtype is not dtypes.int64:
        return None
    low, high, skip = int(attrs["low"]), int(attrs["high"]), attrs["skip"]
    task = load("check_range", build_check).address("check")
    words = (low, high, max(low, 0), int(skip is not None), 0 if skip is None else int(skip))
    contiguous = () if args[0].contiguous else (0,)
    job = (In(0), Out(0), Out(1), prod(args[0].shape), *words)
    return Plan((Step(task, job),), contiguous=contiguous)
