"""Copies as operations: clone, and tensors joined along an axis (cat, stack). Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.lower.copy import KINDS, contiguous_step
from twofold.lower.schedule import (
    Arg,
    Count,
    In,
    Out,
    Plan,
    Step,
    Word,
    chunks_for,
    schedule,
    turned,
)
from twofold.lower.task import Task, arrange
from twofold.runtime.program import Pattern

# After these words come (address, bytes of a row) of each part.
JOIN = "out:ptr rows row count"
BYTES = 4  # of work, that count as one
WORD = 8  # bytes: rows of parts up to here are moved as a word, not as a row
LANES = 8


def build_join() -> Module:
    """join: each row of the output is a row of every part, one after the other."""
    m = Module("join")
    t = Task(m, "join", JOIN)
    f = t.f
    table = t.job.at(len(JOIN.split()), "i64")
    few = t.rows.cmp("slt", t.chunks)  # then each chunk copies a piece of every row of every part
    low, high = t.share(t.rows)
    with f.loop(few.select(0, low), few.select(t.rows, high)) as row:
        at = f.var("ptr", t.out.at(row * t.row, "i8"))
        with f.loop(0, t.count) as i:
            source, size = (
                table.at(i * 2, "ptr").load("ptr"),
                table.at(i * 2 + 1, "i64").load("i64"),
            )
            start, stop = t.share(size)
            begin, end = few.select(start, 0), few.select(stop, size)
            f.memcpy(at.get().at(begin, "i8"), source.at(row * size + begin, "i8"), end - begin)
            at.set(at.get().at(size, "i8"))
    f.ret()
    return m


def build_words(kind: str) -> Module:
    """join: rows of the output are a word of every part; of two parts eight rows at a time."""
    m = Module(f"join_{kind}")
    t = Task(m, "join", JOIN)
    f = t.f
    table = t.job.at(len(JOIN.split()), "i64")
    low, high = t.share(t.rows)
    with f.if_(t.count.cmp("eq", 2)):
        first, second = (table.at(2 * i, "ptr").load("ptr") for i in range(2))
        whole = low + (high - low) // LANES * LANES
        many = vector(kind, LANES)
        turns = [k // 2 + LANES * (k % 2) for k in range(2 * LANES)]
        with f.loop(low, whole, LANES) as row:
            a, b = (part.at(row, kind).load(many) for part in (first, second))
            t.out.at(row * 2, kind).store(f.shuffle(a, b, turns))
        with f.loop(whole, high) as row:
            for k, part in enumerate((first, second)):
                t.out.at(row * 2 + k, kind).store(part.at(row, kind).load(kind))
        f.ret()
    with f.loop(low, high) as row:
        at = t.out.at(row * t.count, kind)
        with f.loop(0, t.count) as i:
            source = table.at(i * 2, "ptr").load("ptr")
            at.at(i, kind).store(source.at(row, kind).load(kind))
    f.ret()
    return m


@schedule("clone")
def plan_clone(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan:
    """One input, in C order."""
    if not outs[0].size:
        return Plan(())
    return Plan((contiguous_step(args[0], In(0), Out(0), threads),))


def pattern_clone(types: tuple[Type, ...], outs: tuple[Type, ...]) -> Pattern | None:
    """The same for a contiguous input of any shape, which is one row."""
    dtype = types[0].dtype
    if dtype.itemsize not in KINDS:
        return None
    job = (In(0), Out(0), 1, 1, Count(), 0, 1, 0, 0)  # as in `contiguous_step`
    task = contiguous_step(Arg((1,), dtype, (1,)), In(0), Out(0), 1).task
    return Pattern((dtype.numpy,), (dtype.numpy,), Plan((Step(task, job, 1),)))


@schedule("cat")
def plan_cat(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan:
    """Inputs that differ along `dim` alone; stack: of one shape, along a new axis `dim`."""
    out, dim = outs[0], int(attrs["dim"])
    if not out.size:
        return Plan(())
    rows = prod(out.shape[:dim])
    sizes = [arg.size // rows * out.dtype.itemsize for arg in args]
    words: dict[str, Word] = {"out": Out(0), "rows": rows, "row": sum(sizes), "count": len(args)}
    table = [word for i, size in enumerate(sizes) for word in (In(i), size)]
    alike = sizes[0] <= WORD and all([size == sizes[0] for size in sizes])
    kind = KINDS.get(int(sizes[0])) if alike else None
    chunks = chunks_for(rows * sum(sizes) // BYTES, threads)
    if kind is None:
        task = load("join", build_join).address("join")
    else:
        task = load(f"join/{kind}", lambda: build_words(kind)).address("join")
    job = (*arrange(JOIN, words), *table)
    return Plan((Step(task, job, chunks),), contiguous=turned(args))
