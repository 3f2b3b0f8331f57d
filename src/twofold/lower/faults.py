"""Kernels that look for numbers which others must not be given. Floor 6.

    within    whole numbers from `low` to `high`
    nonzero   whole numbers other than 0

What they find first they note in the record of runtime/faults.py.
"""

from __future__ import annotations

from twofold.base.dtypes import DType
from twofold.codegen.compile import load
from twofold.codegen.vmath.core import any_lane
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.elements import HELD, in_memory
from twofold.lower.schedule import Arg, Pointer, Step, Word, chunks_for
from twofold.lower.task import Task, arrange
from twofold.runtime import faults

WORDS = "x:ptr record:ptr n low high name"
LANES = 8


def note(f: Function, record: Value, kind: int, *words: Value) -> None:
    """Write a fault into the record, unless there is one: the number, the least and the largest
    that were allowed, and which operation it was (0: the caller knows).
    """
    _, first = f.cas(record, 0, kind)
    with f.if_(first):
        for place, word in enumerate(words, 1):
            record.at(place, "i64").store(word)


def as_word(f: Function, x: Value, dtype: DType) -> Value:
    """A whole number, as memory holds it, as i64."""
    x = HELD[dtype].widen(f, x)
    return x if x.type == "i64" else x.cast("sext", "i64")


def build(dtype: DType) -> Module:
    """The tasks `within` and `nonzero` over contiguous numbers of a type."""
    m = Module("faults")
    for name, kind in (("within", faults.RANGE), ("nonzero", faults.DIVISION)):
        _define(m, name, kind, dtype)
    return m


def _define(m: Module, name: str, kind: int, dtype: DType) -> None:
    t = Task(m, name, WORDS)
    f, stored = t.f, HELD[dtype].stored
    low, high = t.share(t.n)
    whole = low + (high - low) // LANES * LANES
    with f.loop(low, whole, LANES) as i:
        x = HELD[dtype].widen(f, t.x.at(i, stored).load(in_memory(dtype, LANES)))
        wide = x if x.type == f"i64x{LANES}" else x.cast("sext", f"i64x{LANES}")
        if name == "within":
            bad = wide.cmp("slt", t.low.splat(LANES)) | wide.cmp("sgt", t.high.splat(LANES))
        else:
            bad = wide.cmp("eq", 0)
        with f.if_(any_lane(f, bad)), f.loop(i, i + LANES) as j:
            _look(t, kind, dtype, j)
    with f.loop(whole, high) as i:
        _look(t, kind, dtype, i)


def _look(t: Task, kind: int, dtype: DType, i: Value) -> None:
    f = t.f
    x = as_word(f, t.x.at(i, HELD[dtype].stored).load(HELD[dtype].stored), dtype)
    bad = x.cmp("slt", t.low) | x.cmp("sgt", t.high) if kind == faults.RANGE else x.cmp("eq", 0)
    with f.if_(bad):
        note(f, t.record, kind, x, t.low, t.high, t.name)


def check_step(
    task: str, name: str, arg: Arg, place: Pointer, threads: int, low: int = 0, high: int = 0
) -> Step:
    """The step that looks at whole numbers which lie in C order at a place."""
    code = load(f"faults/{arg.dtype.short}", lambda: build(arg.dtype))
    words: dict[str, Word] = {"x": place, "record": faults.address(), "n": arg.size}
    words |= {"low": low, "high": high, "name": faults.number_of(name)}
    return Step(code.address(task), arrange(WORDS, words), chunks_for(arg.size, threads))
