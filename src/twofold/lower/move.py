"""Move elements from any layout to any other: copies, joins and turns are made of it. Floor 6.

A walk is (sizes, strides in the source, strides in the output). Where the output is written in
order, copy.py does it, by tiles; else rows are written one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.codegen.compile import load
from twofold.ir.build import Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value
from twofold.lower.copy import KINDS, contiguous_step
from twofold.lower.schedule import Arg, Step, Word, chunks_for, larger, smaller
from twofold.lower.strided import dense_strides
from twofold.lower.task import Task

WORDS = "source:ptr out:ptr rows columns step out_step rank"
Sizes = Sequence[int]
FEW = 16  # elements of a row that are copied one by one


class Part(NamedTuple):
    """A part of an array: how far in (bytes) it begins, and its layout, strides in elements."""

    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def part_of(view: Callable[[Any], Any], shape: Sizes, strides: Sizes, dtype: DType) -> Part:
    """Where the elements lie of a NumPy view of an array with this layout.

    The array that `view` is given is never read: it stands on one element.
    """
    size = dtype.itemsize
    memory = np.empty(1, dtype.numpy)
    whole = np.lib.stride_tricks.as_strided(memory, tuple(shape), [s * size for s in strides])
    made = view(whole)
    offset = made.__array_interface__["data"][0] - memory.ctypes.data if made.size else 0
    return Part(offset, made.shape, tuple([s // made.itemsize for s in made.strides]))


def move_step(
    sizes: Sizes,
    strides: Sizes,
    out_strides: Sizes,
    dtype: DType,
    source: Word,
    out: Word,
    threads: int,
    add: bool = False,
) -> Step | None:
    """The step that moves the elements of a walk, or adds them; None where there are none."""
    n, size = prod(sizes), dtype.itemsize
    if n == 0:
        return None
    if not add and tuple(out_strides) == dense_strides(sizes):
        return contiguous_step(Arg(tuple(sizes), dtype, tuple(strides)), source, out, threads)
    if size == 16:  # two words of 8 bytes
        sizes = [*sizes, 2]
        strides, out_strides = ([*(2 * s for s in x), 1] for x in (strides, out_strides))
        size = 8
    axes = joined(sizes, strides, out_strides)
    *rest, (columns, step, out_step) = axes
    rows = prod([axis[0] for axis in rest])
    table = [word for axis in reversed(rest) for word in axis]
    job = (source, out, rows, columns, step, out_step, len(rest), *table)
    kind = dtype.loops if add else KINDS[size]
    code = load(f"move/{kind}/{add}", lambda: build_move(kind, add))
    chunks = 1 if 0 in out_strides else larger(smaller(chunks_for(n, threads), rows), 1)
    return Step(code.address("move"), job, chunks)


def joined(sizes: Sizes, strides: Sizes, out_strides: Sizes) -> list[tuple[int, int, int]]:
    """The walk without axes of size 1; neighbours that are walked as one are one."""
    axes: list[tuple[int, int, int]] = []
    for size, step, out_step in zip(sizes, strides, out_strides, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1:] == (size * step, size * out_step):
            axes[-1] = (axes[-1][0] * size, step, out_step)
        else:
            axes.append((size, step, out_step))
    return axes or [(1, 1, 1)]


def build_move(kind: str, add: bool) -> Module:
    """Task `move`: after its words come (size, stride, stride in the output) of each outer axis,
    the last one first."""
    m = Module("move")
    t = Task(m, "move", WORDS)
    f = t.f
    table = t.job.at(len(WORDS.split()), "i64")
    low, high = t.share(t.rows)
    with f.loop(low, high) as row:
        rest = f.var("i64", row)
        here, there = f.var("i64", 0), f.var("i64", 0)
        with f.loop(0, t.rank) as axis:
            size, step, out_step = (table.at(axis * 3 + k, "i64").load("i64") for k in range(3))
            above = rest.get() // size
            index = rest.get() - above * size
            rest.set(above)
            here.set(here.get() + index * step)
            there.set(there.get() + index * out_step)
        source, out = t.source.at(here.get(), kind), t.out.at(there.get(), kind)
        dense = t.step.cmp("eq", 1) & t.out_step.cmp("eq", 1)
        if add:
            _add(t, source, out, kind, dense)
        else:
            dense = dense & t.columns.cmp("sge", FEW)
            with f.if_(dense) as branch:
                f.memcpy(out, source, t.columns * BYTES[kind])
                branch.otherwise()
                _strided(t, source, out, kind, add=False)
    return m


def _add(t: Task, source: Value, out: Value, kind: str, dense: Value) -> None:
    """One row added, in vectors where its elements lie side by side in both."""
    f = t.f
    done = f.var("i64", 0)
    if kind in ("f32", "f64"):
        lanes = VECTOR // TYPES[kind].size
        wide = vector(kind, lanes)
        with f.if_(dense):
            done.set(t.columns // lanes * lanes)
            with f.loop(0, done.get(), lanes) as i:
                place = out.at(i, kind)
                place.store(place.load(wide) + source.at(i, kind).load(wide))
    _strided(t, source, out, kind, add=True, first=done.get())


def _strided(
    t: Task, source: Value, out: Value, kind: str, add: bool, first: Value | int = 0
) -> None:
    """One row from `first` on, four elements at a time: all are read before one is written."""
    f = t.f
    whole = first + (t.columns - first) // 4 * 4
    for low, high, count in ((first, whole, 4), (whole, t.columns, 1)):
        with f.loop(low, high, count) as i:
            values = [source.at((i + k) * t.step, kind).load(kind) for k in range(count)]
            for k, value in enumerate(values):
                place = out.at((i + k) * t.out_step, kind)
                place.store(place.load(kind) + value if add else value)


BYTES = {kind: size for size, kind in KINDS.items()}


# ---- one value everywhere ------------------------------------------------------------------------

FILL_WORDS = "value:ptr out:ptr n"
VECTOR = 32  # bytes that are stored at once


def fill_step(value: Word, dtype: DType, out: Word, n: int, threads: int) -> Step | None:
    """The step that writes the element at `value` everywhere; None where there is nowhere."""
    if n == 0:
        return None
    size, count = dtype.itemsize, n
    code = load(f"fill/{size}", lambda: build_fill(size))
    return Step(code.address("fill"), (value, out, count), chunks_for(n, threads))


def build_fill(size: int) -> Module:
    """Task `fill` for elements of so many bytes; those of 16 are two words."""
    m = Module("fill")
    t = Task(m, "fill", FILL_WORDS)
    f = t.f
    kind = KINDS[min(size, 8)]
    words = [t.value.at(k, kind).load(kind) for k in range(max(size // 8, 1))]
    lanes = VECTOR // BYTES[kind]
    filled = words[0].splat(lanes)
    if len(words) == 2:
        filled = f.shuffle(filled, words[1].splat(lanes), [k % 2 * lanes for k in range(lanes)])
    per = len(words)
    low, high = t.share(t.n)
    first, last = low * per, high * per
    whole = first + (last - first) // lanes * lanes
    with f.loop(first, whole, lanes) as i:
        t.out.at(i, kind).store(filled)
    with f.loop(whole, last, per) as i:
        for k, word in enumerate(words):
            t.out.at(i + k, kind).store(word)
    return m
