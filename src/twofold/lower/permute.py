"""Copy a strided array with its axes in another order: the reductions' last resort. Floor 6."""

from collections.abc import Sequence
from functools import partial
from math import prod

from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.lower.schedule import Arg, Pointer, Step, chunks_for
from twofold.lower.task import Task

WORDS = "x:ptr out:ptr outer inner step rank"
OF_SIZE = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}


def build_permute(kind: str) -> Module:
    """Task `permute`: after its words, (size, stride) of each outer axis, the last one first."""
    m = Module("permute")
    task = Task(m, "permute", WORDS)
    f = task.f
    lo, hi = task.share(task.outer)
    table = task.job.at(len(WORDS.split()), "i64")
    with f.loop(lo, hi) as unit:
        rest = f.var("i64", unit)
        offset = f.var("i64", 0)
        with f.loop(0, task.rank) as axis:
            size = table.at(axis * 2, "i64").load("i64")
            stride = table.at(axis * 2 + 1, "i64").load("i64")
            offset.set(offset.get() + (rest.get() % size) * stride)
            rest.set(rest.get() // size)
        source = task.x.at(offset.get(), kind)
        target = task.out.at(unit * task.inner, kind)
        with f.loop(0, task.inner) as j:
            target.at(j, kind).store(source.at(j * task.step, kind).load(kind))
    return m


def permute_step(arg: Arg, order: Sequence[int], x: Pointer, out: Pointer, threads: int) -> Step:
    """A step that writes `arg`, found at x, to `out` with its axes in this order."""
    kind = OF_SIZE[arg.dtype.itemsize]
    task = load(f"permute/{kind}", partial(build_permute, kind)).address("permute")
    axes = [(arg.shape[axis], arg.strides[axis]) for axis in order]
    inner, step = axes[-1]
    outer = axes[:-1]
    table = [word for pair in reversed(outer) for word in pair]
    rows = prod(size for size, _ in outer)
    job = (x, out, rows, inner, step, len(outer), *table)
    return Step(task, job, min(rows, chunks_for(arg.size, threads)))
