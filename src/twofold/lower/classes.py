"""Classes drawn by their weights, with and without replacement. Floor 6.

With replacement a row's weights are added up in ascending order, and each uniform number finds the
first sum beyond its share of the whole. Without it each class has an exponential clock (Efraimidis,
Spirakis 2006), and those that ring first are sorted out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.core import INF
from twofold.codegen.vmath.logarithm import log1p
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.sort import sort_step
from twofold.lower.splice import Builder
from twofold.lower.task import Task, arrange

PICK = "weights:ptr u:ptr sums:ptr out:ptr rows classes count"
CLOCKS = "weights:ptr u:ptr out:ptr n"
LANES = 8


def build_pick() -> Module:
    """Task `pick`: for each u the first class whose sum is more than u times that of all."""
    m = Module("pick_classes")
    t = Task(m, "pick", PICK)
    f = t.f
    low, high = t.share(t.rows)
    with f.loop(low, high) as row:
        weights, sums = (p.at(row * t.classes, "f64") for p in (t.weights, t.sums))
        total = f.var("f64", 0.0)
        with f.loop(0, t.classes) as i:
            weight = weights.at(i, "f64").load("f64")
            # the first one as it is: 0 + -0 would be another
            total.set(i.cmp("eq", 0).select(weight, total.get() + weight))
            sums.at(i, "f64").store(total.get())
        with f.loop(0, t.count) as j:
            place = row * t.count + j
            wanted = t.u.at(place, "f64").load("f64") * total.get()
            first, left = f.var("i64", 0), f.var("i64", t.classes)
            with f.while_():
                f.break_if(left.get().cmp("eq", 0))
                half = left.get().lshr(1)
                beyond = sums.at(first.get() + half, "f64").load("f64").cmp("ogt", wanted)
                first.set(beyond.select(first.get(), first.get() + half + 1))
                left.set(beyond.select(half, left.get() - half - 1))
            t.out.at(place, "i64").store(f.min(first.get(), t.classes - 1))
    f.ret()
    return m


def build_clocks() -> Module:
    """Task `clocks`: -log(1 - u) / weight, infinite where the weight is 0."""
    m = Module("clocks")
    t = Task(m, "clocks", CLOCKS)
    f = t.f
    low, high = t.share((t.n + (LANES - 1)) // LANES)
    stop = f.min(high * LANES, t.n)
    whole = low * LANES + (stop - low * LANES) // LANES * LANES

    def write(i: Value, kind: str) -> None:
        weight, u = (p.at(i, "f64").load(kind) for p in (t.weights, t.u))
        clock = -log1p(f, -u) / weight
        t.out.at(i, "f64").store(weight.cmp("ogt", 0.0).select(clock, INF))

    with f.loop(low * LANES, whole, LANES) as i:
        write(i, vector("f64", LANES))
    with f.loop(whole, stop) as i:
        write(i, "f64")
    f.ret()
    return m


@schedule("random_classes")
def plan_classes(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """weights f64[N, C], u -> i64[N, count]; attrs: count, replacement."""
    weights, u = args
    if weights.dtype is not dtypes.float64 or u.dtype is not dtypes.float64:
        return None
    build = Builder(threads)
    (rows, classes), count = weights.shape, outs[0].shape[1]
    if not outs[0].size:
        return build.plan()
    places: dict[str, Word] = {"weights": build.dense(weights, 0), "u": build.dense(u, 1)}
    n = rows * classes
    if attrs["replacement"]:
        words: dict[str, Word] = places | {"sums": build.scratch(n, 8), "out": Out(0), "rows": rows}
        code = load("classes/pick", build_pick)
        job = arrange(PICK, words | {"classes": classes, "count": count})
        chunks = max(min(chunks_for(n + 16 * u.size, threads), rows), 1)
        build.add(Step(code.address("pick"), job, chunks))
        return build.plan()
    clocks = build.scratch(n, 8)
    code = load("classes/clocks", build_clocks)
    job = arrange(CLOCKS, places | {"out": clocks, "n": n})
    build.add(Step(code.address("clocks"), job, chunks_for(8 * n, threads)))
    ordered = build.scratch(rows * count, 8)
    sort_step(build, dtypes.float64, clocks, ordered, Out(0), rows, classes, count, False)
    return build.plan()
