"""The joint norm of many gradients in one call. Floor 6.

    total_norm([g0, g1, ...], 2.0)

The norm of each tensor is the root of the sum of squares in the order of order.py; the total is the
norm of these norms, in the same order. `math.inf` gives the largest absolute value of all.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.base.dtypes import float32, float64
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.optim import FLOATS, UnlikeLayouts, arg_of, flat_length
from twofold.lower.order import (
    BLOCK,
    MAX,
    SUM,
    Combine,
    Window,
    define_fold,
    reduce_block,
    reduce_row,
)
from twofold.lower.schedule import (
    Arg,
    In,
    Out,
    Plan,
    Scratch,
    Step,
    Word,
    chunks_for,
    schedule,
)
from twofold.lower.strided import dense_strides
from twofold.lower.task import Task
from twofold.runtime.program import add_plan, make_entry, run_plan
from twofold.runtime.threads import get_num_threads

Array = npt.NDArray[Any]

ROW = 3  # words of a tensor: its address, its length, the number of its first block
WORDS = "count blocks parts:ptr norms:ptr out:ptr"


def _norm_parts(order: float) -> tuple[Combine, Any, Any]:
    """How elements are combined, what of an element, and what at the end."""
    if order == math.inf:
        return MAX, lambda f, x: f.abs(x), lambda f, x: x
    if order == 2.0:
        return SUM, lambda f, x: x * x, lambda f, x: f.sqrt(x)
    if order == 1.0:
        return SUM, lambda f, x: f.abs(x), lambda f, x: x
    raise ValueError(f"no kernel for the norm of order {order}: 1, 2 or inf")


def build_norm(order: float, lane: str) -> Module:
    """Tasks `blocks`, over the blocks of all tensors, and `finish`."""
    m = Module("grad_norm")
    combine, of_element, at_end = _norm_parts(order)
    define_fold(m, "fold", combine, lane)
    _define_blocks(m, combine, of_element, lane)
    task = Task(m, "finish", WORDS)
    f = task.f
    table = task.job.at(len(WORDS.split()), "i64")
    with f.loop(0, task.count) as index:
        row = table.at(index * ROW, "i64")
        length = row.at(1, "i64").load("i64")
        part = task.parts.at(row.at(2, "i64").load("i64"), lane)
        norm = f.var(lane, combine.neutral if combine is SUM else 0.0)
        with f.if_(length.cmp("sgt", 0)):
            f.call("void", "fold", part, (length + (BLOCK - 1)) // BLOCK, 1, 0, 1)
            norm.set(part.load(lane))
        task.norms.at(index, lane).store(at_end(f, norm.get()))

    def values(window: Window) -> Sequence[Value]:
        return (of_element(f, window.load(task.norms, lane)),)

    (total,) = reduce_row(f, task.count, (combine,), lane, values)
    task.out.store(at_end(f, total))
    return m


def _define_blocks(m: Module, combine: Combine, of_element: Any, lane: str) -> None:
    task = Task(m, "blocks", WORDS)
    f: Function = task.f
    table = task.job.at(len(WORDS.split()), "i64")
    lo, hi = task.share(task.blocks)
    with f.loop(0, task.count) as index:
        row = table.at(index * ROW, "i64")
        base, length, start = (
            row.at(i, "i64").load(t) for i, t in enumerate(("ptr", "i64", "i64"))
        )
        count = (length + (BLOCK - 1)) // BLOCK
        begin = f.max(lo - start, f.const("i64", 0))
        with f.loop(begin, f.min(hi - start, count)) as block:
            first = block * BLOCK

            def values(window: Window, base: Value = base) -> Sequence[Value]:
                return (of_element(f, window.load(base, lane)),)

            stop = f.min(first + BLOCK, length)
            (result,) = reduce_block(f, first, stop, (combine,), lane, values)
            task.parts.at(start + block, lane).store(result)
    f.ret()


def plan_norm(order: float, args: Sequence[Arg], threads: int) -> Plan:
    """The plan for one output, the total, from the gradients. Raises UnlikeLayouts."""
    lane = FLOATS[args[0].dtype.name]
    words: list[Word] = []
    blocks = 0
    for index, arg in enumerate(args):
        length = flat_length((arg,))
        if length is None or arg.dtype is not args[0].dtype or not arg.contiguous:
            raise UnlikeLayouts(f"norm: tensor {index} is not contiguous or of another type")
        words += [In(index), length, blocks]
        blocks += -(-length // BLOCK)
    size = args[0].dtype.itemsize
    norms = blocks * size
    job = (len(args), blocks, Scratch(0), Scratch(norms), Out(0), *words)
    code = load(f"grad_norm/{order}/{lane}", partial(build_norm, order, lane))
    chunks = max(1, min(blocks, chunks_for(blocks * BLOCK, threads)))
    steps = (Step(code.address("blocks"), job, chunks), Step(code.address("finish"), job, 1))
    return Plan(steps, norms + len(args) * size)


@schedule("total_norm")
def _plan_in_graph(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """Tensors of one type; attr order."""
    if any(a.dtype is not args[0].dtype or a.dtype.name not in FLOATS for a in args):
        return None
    lying = tuple(Arg(a.shape, a.dtype, dense_strides(a.shape)) for a in args)
    plan = plan_norm(attrs["order"], lying, threads)
    scattered = tuple(i for i, a in enumerate(args) if not a.contiguous)
    return Plan(plan.steps, plan.scratch, scattered, plan.keep)


@cache
def _entry(order: float) -> Any:
    def miss(entry: Any, *arrays: Array) -> Any:
        plan = plan_norm(order, [*map(arg_of, arrays)], get_num_threads())
        outs = (Type((), float64 if arrays[0].itemsize == 8 else float32),)
        add_plan(entry, arrays, outs, plan)
        return run_plan(plan, outs, arrays)

    return make_entry(miss)


def total_norm(gradients: Sequence[Array], order: float = 2.0) -> Array:
    """The norm of order 1, 2 or inf of one or more arrays of one float type: a 0-d array."""
    return np.asarray(_entry(order)(*map(np.ascontiguousarray, gradients)))
