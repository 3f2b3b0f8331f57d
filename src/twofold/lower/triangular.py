"""Systems with a triangle, and Cholesky's factor, for small matrices. Floor 6.

Each matrix of a batch is its own work; every element is one ascending chain of fma. Larger ones
are left to LAPACK, whose products of blocks are faster there.
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
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.faults import note
from twofold.lower.schedule import Arg, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.splice import Builder
from twofold.lower.strided import spread_strides
from twofold.lower.task import Task, arrange
from twofold.runtime import faults

SOLVE = "a:ptr b:ptr out:ptr record:ptr count n columns upper unit name"
CHOLESKY = "x:ptr out:ptr work:ptr record:ptr count n name"
LANES = 8
MOST = 128  # rows
FEW = 4  # rows of one number each that are computed side by side
Attrs = Mapping[str, Any]


def build_solve(element: str) -> Module:
    """Task `solve`: rows of out, the last one first where `upper`, from those before them, in that
    order.
    """
    m = Module(f"solve_triangular_{element}")
    t = Task(m, "solve", SOLVE)
    f, size = t.f, 4 if element == "f32" else 8
    upper = t.upper.cmp("ne", 0)
    low, high = t.share(t.count)
    with f.loop(low, high) as number:
        a = t.a.at(number * t.n * t.n, element)
        start = number * t.n * t.columns
        out = t.out.at(start, element)
        f.memcpy(out, t.b.at(start, element), t.n * t.columns * size)
        together = t.columns.cmp("eq", 1).select(t.n // FEW * FEW, 0)
        with f.loop(0, t.n) as step:
            first = step // FEW * FEW
            with f.if_(step.cmp("slt", together) & step.cmp("eq", first)):
                _several(t, a, out, element, first, upper)
            i = upper.select(t.n - 1 - step, step)
            factors, row = a.at(i * t.n, element), out.at(i * t.columns, element)
            with f.loop(step.cmp("slt", together).select(first, 0), step) as q:
                j = upper.select(t.n - 1 - q, q)
                factor = -factors.at(j, element).load(element)
                add_scaled(f, row, out.at(j * t.columns, element), factor, element, t.columns)
            with f.if_(t.unit.cmp("eq", 0)):
                pivot = factors.at(i, element).load(element)
                with f.if_(pivot.cmp("oeq", 0.0)):
                    note(f, t.record, faults.SINGULAR, i, i, i, t.name)
                with f.loop(0, t.columns) as k:
                    row.at(k, element).store(row.at(k, element).load(element) / pivot)
    f.ret()
    return m


def _several(t: Task, a: Value, out: Value, element: str, first: Value, upper: Value) -> None:
    """What the rows before `first` take from the next few, side by side, where they are numbers."""
    f = t.f
    places = [upper.select(t.n - 1 - (first + r), first + r) for r in range(FEW)]
    sums = [f.var(element, out.at(i, element).load(element)) for i in places]
    with f.loop(0, first) as q:
        j = upper.select(t.n - 1 - q, q)
        x = out.at(j, element).load(element)
        for i, total in zip(places, sums, strict=True):
            total.set(f.fma(-a.at(i * t.n + j, element).load(element), x, total.get()))
    for i, total in zip(places, sums, strict=True):
        out.at(i, element).store(total.get())


def add_scaled(
    f: Function, to: Value, source: Value, factor: Value, element: str, n: Value, start: Any = 0
) -> None:
    """to[k] = fma(factor, source[k], to[k]) for k from start to n."""
    whole = (n - start) // LANES * LANES + start
    kind, wide = vector(element, LANES), factor.splat(LANES)
    with f.loop(start, whole, LANES) as k:
        place = to.at(k, element)
        place.store(f.fma(wide, source.at(k, element).load(kind), place.load(kind)))
    with f.loop(whole, n) as k:
        place = to.at(k, element)
        place.store(f.fma(factor, source.at(k, element).load(element), place.load(element)))


def build_cholesky(element: str) -> Module:
    """Task `cholesky`: rows of `work` are columns of the factor, taken from those behind them."""
    m = Module(f"cholesky_{element}")
    t = Task(m, "cholesky", CHOLESKY)
    f = t.f
    low, high = t.share(t.count)
    work = t.work.at(t.chunk * t.n * t.n, element)
    with f.loop(low, high) as number:
        x, out = (p.at(number * t.n * t.n, element) for p in (t.x, t.out))
        with f.loop(0, t.n) as i, f.loop(0, i + 1) as j:
            work.at(j * t.n + i, element).store(x.at(i * t.n + j, element).load(element))
        with f.loop(0, t.n) as j:
            row = work.at(j * t.n, element)
            square = row.at(j, element).load(element)
            with f.if_(~square.cmp("ogt", 0.0)):
                note(f, t.record, faults.INDEFINITE, j, j, j, t.name)
            pivot = f.sqrt(square)
            with f.loop(j, t.n) as i:
                row.at(i, element).store(row.at(i, element).load(element) / pivot)
            row.at(j, element).store(pivot)
            with f.loop(j + 1, t.n) as r:
                factor = -row.at(r, element).load(element)
                add_scaled(f, work.at(r * t.n, element), row, factor, element, t.n, r)
        with f.loop(0, t.n) as i, f.loop(0, t.n) as j:
            below = f.var(element, 0.0)
            with f.if_(j.cmp("sle", i)):
                below.set(work.at(j * t.n + i, element).load(element))
            out.at(i * t.n + j, element).store(below.get())
    f.ret()
    return m


@schedule("solve_triangular")
def plan_solve(args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int) -> Any:
    """a f[..., n, n], b f[..., n, m] -> f[..., n, m]; attrs: upper, unit."""
    a, b, made = *args, outs[0]
    n, columns = made.shape[-2:]
    if a.dtype not in (dtypes.float32, dtypes.float64) or n > MOST or 0 in made.shape:
        return None
    build, batch = Builder(threads), made.shape[:-2]
    words: dict[str, Word] = {"out": Out(0), "record": faults.address(), "n": n, "columns": columns}
    for index, (name, arg) in enumerate((("a", a), ("b", b))):
        whole = (*batch, *arg.shape[-2:])
        words[name] = build.dense(Arg(whole, arg.dtype, spread_strides(arg, whole)), index)
    count, element = prod(batch), a.dtype.loops
    words |= {"count": count, "upper": int(attrs["upper"]), "unit": int(attrs["unit"])}
    words |= {"name": faults.number_of("solve_triangular")}
    code = load(f"triangular/solve/{element}", partial(build_solve, element))
    chunks = max(min(chunks_for(made.size * n, threads), count), 1)
    build.add(Step(code.address("solve"), arrange(SOLVE, words), chunks))
    return build.plan()


@schedule("cholesky")
def plan_cholesky(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan | None:
    """x f[..., n, n] -> the lower triangle f[..., n, n]."""
    x = args[0]
    n = x.shape[-1]
    if x.dtype not in (dtypes.float32, dtypes.float64) or n > MOST or not x.size:
        return None
    build, count, element = Builder(threads), prod(x.shape[:-2]), x.dtype.loops
    chunks = max(min(chunks_for(x.size * n // 4, threads), count), 1)
    words: dict[str, Word] = {"x": build.dense(x, 0), "out": Out(0), "record": faults.address()}
    words |= {"work": build.scratch(chunks * n * n, x.dtype.itemsize), "count": count, "n": n}
    words |= {"name": faults.number_of("cholesky")}
    code = load(f"triangular/cholesky/{element}", partial(build_cholesky, element))
    build.add(Step(code.address("cholesky"), arrange(CHOLESKY, words), chunks))
    return build.plan()
