"""Matrix products of whole numbers, which wrap around as sums do. Floor 6.

Each element is one chain over k. Whole numbers are rarely multiplied by matrices, so vectors along
a row of the result are all that is done for speed.
"""

from __future__ import annotations

from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.batch import axis_words, locate, product_of
from twofold.lower.schedule import Arg, In, Out, Plan, Step, Word, chunks_for
from twofold.lower.task import Task, arrange

WORDS = "a:ptr b:ptr c:ptr batches rank m n k a_row a_step b_step b_column"
WIDTH = 8


def build_product(element: str) -> Module:
    """Task `product`: rows of C[m, n] = A[m, k] B[k, n], of every matrix of a batch."""
    m = Module("whole_product")
    t = Task(m, "product", WORDS)
    f = t.f
    low, high = t.share(t.batches * t.m)
    with f.loop(low, high) as unit:
        a, b = locate(t, ("a", "b"), element, unit // t.m, len(WORDS.split()))
        row = a.at(unit % t.m * t.a_row, element)
        out = t.c.at(unit * t.n, element)
        whole = t.b_column.cmp("eq", 1).select(t.n // WIDTH * WIDTH, 0)
        with f.loop(0, whole, WIDTH) as j:
            _chain(t, element, row, b.at(j, element), out.at(j, element), WIDTH)
        with f.loop(whole, t.n) as j:
            _chain(t, element, row, b.at(j * t.b_column, element), out.at(j, element), 1)
    return m


def _chain(t: Task, element: str, row: Value, column: Value, out: Value, lanes: int) -> None:
    f = t.f
    kind = vector(element, lanes) if lanes > 1 else element
    total = f.var(kind, 0)
    with f.loop(0, t.k) as i:
        left = row.at(i * t.a_step, element).load(element)
        right = column.at(i * t.b_step, element).load(kind)
        total.set(total.get() + (left.splat(lanes) if lanes > 1 else left) * right)
    out.store(total.get())


def plan_whole(x: Arg, w: Arg, out: Type, threads: int) -> Plan:
    """A plan of x w for whole numbers of any strides."""
    if out.size == 0:
        return Plan(())
    p = product_of(x, w)
    words: dict[str, Word] = {"a": In(0), "b": In(1), "c": Out(0)}
    words |= {"batches": p.batches, "rank": len(p.axes), "m": p.m, "n": p.n, "k": p.k}
    words |= {"a_row": p.a_row, "a_step": p.a_step, "b_step": p.b_step, "b_column": p.b_column}
    element = out.dtype.loops
    code = load(f"whole_product/{element}", lambda: build_product(element))
    chunks = max(min(chunks_for(p.work, threads), p.batches * p.m), 1)
    job = (*arrange(WORDS, words), *axis_words(p.axes))
    return Plan((Step(code.address("product"), job, chunks),))
