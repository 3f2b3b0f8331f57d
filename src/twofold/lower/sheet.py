"""The task that computes a sheet: cells of whole numbers, and lines that compute them. Floor 6.

A line is five words: what is done, the cell of the result, two cells, and a line. A comparison that
does not hold goes on at that line. Numbers are of 64 bits; divisions round down, as Python's do.
"""

from __future__ import annotations

from functools import partial

from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module
from twofold.ir.values import Value, Var
from twofold.lower.task import Task

WORDS = "code:ptr cells:ptr begin"
LINE_WORDS = 5
STOPPED = 0  # the cell that says at which line it has stopped

ARITHMETIC = ("add", "sub", "mul", "floordiv", "mod", "min", "max", "f32", "f64")
COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "slt", "le": "sle", "gt": "sgt", "ge": "sge"}
OTHERWISE = {"eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "le": "gt", "gt": "le"}
CODES = {name: code for code, name in enumerate(("stop", "go", *ARITHMETIC, *COMPARISONS))}


def load_sheet() -> Code:
    """The task `compute`. Nothing waits for it."""
    return load("sheet", build_sheet, soon=False)


def build_sheet() -> Module:
    m = Module("sheet")
    t = Task(m, "compute", WORDS)
    f = t.f
    at = f.var("i64", t.begin)
    stop = f.var("i64", 0)
    with f.while_():
        line = t.code.at(at.get() * LINE_WORDS, "i64")
        op, to, a, b, other = (line.at(k, "i64").load("i64") for k in range(LINE_WORDS))
        left, right = t.cells.at(a, "i64").load("i64"), t.cells.at(b, "i64").load("i64")
        target = t.cells.at(to, "i64")
        after = f.var("i64", at.get() + 1)
        cases = {
            CODES["stop"]: partial(stop.set, 1),
            CODES["go"]: partial(after.set, other),
        }
        for name in ARITHMETIC:
            cases[CODES[name]] = partial(_compute, f, name, left, right, target, stop)
        for name, predicate in COMPARISONS.items():
            cases[CODES[name]] = partial(_compare, predicate, left, right, after, other)
        f.switch(op, cases)
        f.break_if(stop.get().cmp("ne", 0))
        at.set(after.get())
    t.cells.at(STOPPED, "i64").store(at.get())
    f.ret()
    return m


def _compare(predicate: str, a: Value, b: Value, after: Var, other: Value) -> None:
    after.set(a.cmp(predicate, b).select(after.get(), other))


def _compute(f: Function, name: str, a: Value, b: Value, target: Value, stop: Var) -> None:
    if name in ("floordiv", "mod"):
        with f.if_(b.cmp("eq", 0)) as branch:
            stop.set(1)
            branch.otherwise()
            target.store(_divided(name, a, b))
    elif name in ("f32", "f64"):
        bits = a.cast("sitofp", name).cast("bitcast", f"i{name[1:]}")
        target.store(bits if name == "f64" else bits.cast("zext", "i64"))
    elif name in ("min", "max"):
        target.store(f.min(a, b) if name == "min" else f.max(a, b))
    else:
        target.store({"add": a + b, "sub": a - b, "mul": a * b}[name])


def _divided(name: str, a: Value, b: Value) -> Value:
    rest = a.srem(b)
    off = rest.cmp("ne", 0) & (rest ^ b).cmp("slt", 0)  # it was rounded up
    if name == "mod":
        return off.select(rest + b, rest)
    return a.sdiv(b) - off.cast("zext", "i64")
