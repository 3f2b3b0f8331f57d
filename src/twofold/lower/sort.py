"""Sorting rows: sort, topk, medians and modes. Floor 6.

Elements become keys, whole numbers whose order as unsigned ones is the order wanted: NaN above
everything, -0 like 0; for a descending order every bit is turned. A key stands beside its place,
the two in one word where the element has at most 32 bits. Rows are then sorted by digits of 8 bits,
the last digit first, which keeps equal keys in their order (LSD radix sort, Seward 1954); digits
that all keys share are skipped, and short rows are sorted by insertion. The order does not depend
on anything else, so it is the same in any number of chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import prod
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES
from twofold.ir.values import Value
from twofold.lower.elements import HELD
from twofold.lower.move import move_step
from twofold.lower.schedule import Arg, Out, Plan, Pointer, Step, chunks_for, schedule
from twofold.lower.splice import HALVES, Builder
from twofold.lower.strided import dense_strides
from twofold.lower.task import Task

Args = tuple[Arg, ...]
Outs = tuple[Type, ...]
Attrs = Mapping[str, Any]

SORT = "x:ptr values:ptr places:ptr work:ptr rows n k"
MIDDLE = "values:ptr places:ptr out:ptr rows n"
SHORT = 24  # elements that are sorted by insertion
FEW, FEWER = 64, 16  # the first k are looked for alone up to so many, and up to this part of a row
DIGIT = 8  # bits
LOW = (1 << 32) - 1


# ---- keys ----------------------------------------------------------------------------------------


def words_of(dtype: DType) -> int:
    """How many words an element takes while it is sorted: key and place in one, or in two."""
    return 1 if TYPES[HELD[dtype].stored].size <= 4 else 2


def key_of(f: Function, x: Value, dtype: DType, descending: bool) -> Value:
    """The key of an element as memory holds it: i64, below 2**32 for narrow types."""
    bits = 64 if words_of(dtype) == 2 else 32
    if dtype.is_floating_point:
        key = _float_key(HELD[dtype].widen(f, x), bits)
    elif dtype.is_signed:
        wide = x if x.type == "i64" else x.cast("sext", "i64")
        key = wide ^ -(1 << 63) if bits == 64 else wide + (1 << 8 * dtype.itemsize - 1)
    else:
        key = x if x.type == "i64" else x.cast("zext", "i64")
    if not descending:
        return key
    return ~key if bits == 64 else key ^ LOW


def _float_key(x: Value, bits: int) -> Value:
    """Positive numbers above negative ones, whose bits are turned."""
    sign = -(1 << bits - 1)
    raw = (x + 0.0).cast("bitcast", f"i{bits}")  # -0 + 0 = 0
    key = raw.cmp("slt", 0).select(~raw, raw ^ sign)
    key = x.cmp("uno", x).select(-1, key)
    return key if bits == 64 else key.cast("zext", "i64")


# ---- rows in order -------------------------------------------------------------------------------


class _Sort:
    """The task `sort`, while it is written."""

    def __init__(self, m: Module, dtype: DType, descending: bool, few: bool) -> None:
        self.few = few
        self.dtype, self.descending = dtype, descending
        self.words = words_of(dtype)
        self.digits = TYPES[HELD[dtype].stored].size
        if dtype in HALVES:
            self.digits = 4
        self.t = Task(m, "sort", SORT)
        self.f = self.t.f
        self.counts = self.f.array("i64", self.digits << DIGIT)
        self.base = 32 if self.words == 1 else 0  # where the key's bits begin

    def write(self) -> None:
        f, t = self.f, self.t
        low, high = t.share(t.rows)
        size = (t.k if self.few else t.n) * self.words
        with f.loop(low, high) as row:
            here = f.var("ptr", t.work.at(row * size * 2, "i64"))
            there = f.var("ptr", t.work.at(row * size * 2 + size, "i64"))
            x = t.x.at(row * t.n, HELD[self.dtype].stored)
            if self.few:
                self.best(x, here.get())
            else:
                self.whole(x, here, there)
            self.give(x, here.get(), row)

    def whole(self, x: Value, here: Any, there: Any) -> None:
        """Sort a row."""
        f, t = self.f, self.t
        self.keys(x, here.get(), t.n)
        with f.if_(t.n.cmp("sle", SHORT)) as branch:
            self.insert(here.get(), t.n)
            branch.otherwise()
            self.count(here.get())
            for digit in range(self.digits):
                self.turn(here, there, digit)

    def best(self, x: Value, work: Value) -> None:
        """The first k of a row, in order: each further element that is before the last of them is
        put among them."""
        f, t = self.f, self.t
        self.keys(x, work, t.k)
        self.insert(work, t.k)
        last = t.k - 1
        worst = f.var("i64", self.load(work, last)[0])
        with f.loop(t.k, t.n) as i:
            words = self.words_at(x, i)
            with f.if_(words[0].cmp("ult", worst.get())):
                self.put(work, last, words)
                worst.set(self.load(work, last)[0])

    def words_at(self, x: Value, i: Value) -> list[Value]:
        """The words of an element of a row: its key and its place."""
        stored = HELD[self.dtype].stored
        key = key_of(self.f, x.at(i, stored).load(stored), self.dtype, self.descending)
        return [(key << 32) | i] if self.words == 1 else [key, i]

    def keys(self, x: Value, work: Value, count: Value) -> None:
        with self.f.loop(0, count) as i:
            self.store(work, i, self.words_at(x, i))

    def insert(self, work: Value, count: Value) -> None:
        with self.f.loop(1, count) as i:
            self.put(work, i, self.load(work, i))

    def put(self, work: Value, end: Value, moved: Sequence[Value]) -> None:
        """Put an element in its place before `end`, whose element is overwritten."""
        f = self.f
        j = f.var("i64", end)
        with f.while_():
            f.break_if(j.get().cmp("eq", 0))
            before = self.load(work, j.get() - 1)
            f.break_if(before[0].cmp("ule", moved[0]))
            self.store(work, j.get(), before)
            j.set(j.get() - 1)
        self.store(work, j.get(), moved)

    def load(self, work: Value, i: Value) -> list[Value]:
        place = work.at(i * self.words, "i64")
        return [place.at(k, "i64").load("i64") for k in range(self.words)]

    def store(self, work: Value, i: Value, words: Sequence[Value]) -> None:
        place = work.at(i * self.words, "i64")
        for k, word in enumerate(words):
            place.at(k, "i64").store(word)

    def digit(self, word: Value, digit: int) -> Value:
        """Where the counter of a word's digit lies."""
        value = word.lshr(self.base + digit * DIGIT) & ((1 << DIGIT) - 1)
        return self.counts.at(value + (digit << DIGIT), "i64")

    def count(self, work: Value) -> None:
        """How often each digit occurs, in each of its places."""
        f, t = self.f, self.t
        f.memset(self.counts, 0, 8 * self.digits << DIGIT)
        with f.loop(0, t.n) as i:
            word = work.at(i * self.words, "i64").load("i64")
            for digit in range(self.digits):
                place = self.digit(word, digit)
                place.store(place.load("i64") + 1)

    def turn(self, here: Any, there: Any, digit: int) -> None:
        """Put the elements in the order of one digit, unless all have the same."""
        f, t = self.f, self.t
        first = here.get().load("i64")
        with f.if_(self.digit(first, digit).load("i64").cmp("ne", t.n)):
            total = f.var("i64", 0)
            with f.loop(digit << DIGIT, (digit + 1) << DIGIT) as i:
                place = self.counts.at(i, "i64")
                count = place.load("i64")
                place.store(total.get())
                total.set(total.get() + count)
            source, target = here.get(), there.get()
            with f.loop(0, t.n) as i:
                words = self.load(source, i)
                place = self.digit(words[0], digit)
                at = place.load("i64")
                place.store(at + 1)
                self.store(target, at, words)
            here.set(target)
            there.set(source)

    def give(self, x: Value, work: Value, row: Value) -> None:
        """The first k elements, and where they stood."""
        f, t, stored = self.f, self.t, HELD[self.dtype].stored
        with f.loop(0, t.k) as i:
            words = self.load(work, i)
            place = words[0] & LOW if self.words == 1 else words[1]
            t.places.at(row * t.k + i, "i64").store(place)
            t.values.at(row * t.k + i, stored).store(x.at(place, stored).load(stored))


def build_sort(dtype: DType, descending: bool, few: bool) -> Module:
    m = Module("sort")
    _Sort(m, dtype, descending, few).write()
    return m


def sort_step(
    build: Builder,
    dtype: DType,
    x: Pointer,
    values: Pointer,
    places: Pointer,
    rows: int,
    n: int,
    k: int,
    descending: bool,
) -> None:
    """The step that sorts contiguous rows and gives the first k of each."""
    few = k <= FEW and n >= FEWER * k
    work = build.scratch(2 * rows * (k if few else n) * words_of(dtype), 8)
    name = f"sort/{dtype.short}/{descending}/{'few' if few else 'all'}"
    code = load(name, partial(build_sort, dtype, descending, few))
    chunks = max(min(chunks_for(4 * rows * n, build.threads), rows), 1)
    build.add(Step(code.address("sort"), (x, values, places, work, rows, n, k), chunks))


# ---- planners of sort and topk -------------------------------------------------------------------


def _ranked(args: Args, outs: Outs, dim: int, k: int, descending: bool, threads: int) -> Plan:
    arg, made = args[0], outs[0]
    build = Builder(threads)
    if made.size == 0:
        return build.plan()
    axes = [*(axis for axis in range(len(arg.shape)) if axis != dim), dim]
    n = arg.shape[dim]
    last = dim == len(arg.shape) - 1
    rows = arg.size // n
    x = rows_at(build, arg, axes)
    sizes = [made.shape[axis] for axis in axes]
    places: list[Pointer] = [Out(0), Out(1)]
    if not last:
        places = [build.scratch(made.size, out.dtype.itemsize) for out in outs]
    sort_step(build, arg.dtype, x, places[0], places[1], rows, n, k, descending)
    if not last:
        strides = dense_strides(made.shape)
        for index, (out, place) in enumerate(zip(outs, places, strict=True)):
            there = [strides[axis] for axis in axes]
            step = move_step(
                sizes, dense_strides(sizes), there, out.dtype, place, Out(index), threads
            )
            if step is not None:
                build.add(step)
    return build.plan()


def rows_at(build: Builder, arg: Arg, axes: Sequence[int]) -> Pointer:
    """Where input 0 lies with its axes in this order, C order: itself, or a copy."""
    shape = tuple([arg.shape[axis] for axis in axes])
    return build.dense(Arg(shape, arg.dtype, tuple([arg.strides[axis] for axis in axes])), 0)


@schedule("sort")
def plan_sort(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x -> its elements in order along an axis, and where they stood."""
    dim = attrs["dim"]
    n = args[0].shape[dim]
    return _ranked(args, outs, dim, n, attrs["descending"], threads)


@schedule("topk")
def plan_topk(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """x -> the first k in order along an axis, and where they stood."""
    return _ranked(args, outs, attrs["dim"], attrs["k"], attrs["largest"], threads)


# ---- medians and modes ---------------------------------------------------------------------------


def build_middle(name: str, dtype: DType) -> Module:
    """Task `middle`: of sorted rows the middle element (of two the lower) or its place; the first
    NaN, if there is one, except in nanmedian."""
    m = Module("middle")
    t = Task(m, "middle", MIDDLE)
    f, held = t.f, HELD[dtype]
    low, high = t.share(t.rows)
    with f.loop(low, high) as row:
        start = row * t.n
        count = f.var("i64", t.n)  # of those that are not NaN, which stand last
        if dtype.is_floating_point:
            with f.while_():
                now = count.get()
                f.break_if(now.cmp("eq", 0))
                x = held.widen(f, t.values.at(start + now - 1, held.stored).load(held.stored))
                f.break_if(x.cmp("ord", x))
                count.set(now - 1)
        middle = f.max(count.get() - 1, 0).lshr(1)
        if name != "nanmedian":
            middle = count.get().cmp("eq", t.n).select(middle, count.get())
        if name == "median_place":
            t.out.at(row, "i64").store(t.places.at(start + middle, "i64").load("i64"))
        else:
            value = t.values.at(start + middle, held.stored).load(held.stored)
            t.out.at(row, held.stored).store(value)
    return m


def build_mode(dtype: DType) -> Module:
    """Task `middle`: of sorted rows where the commonest element stands: of equal ones the last, of
    several commonest ones the smallest."""
    m = Module("mode")
    t = Task(m, "middle", MIDDLE)
    f, held = t.f, HELD[dtype]
    low, high = t.share(t.rows)
    with f.loop(low, high) as row:
        values = t.values.at(row * t.n, held.stored)
        length, longest = f.var("i64", 0), f.var("i64", 0)
        best = f.var("i64", 0)
        before = f.var(held.stored, values.load(held.stored))
        with f.loop(0, t.n) as i:
            now = values.at(i, held.stored).load(held.stored)
            first, second = held.widen(f, before.get()), held.widen(f, now)
            same = first.cmp("oeq" if dtype.is_floating_point else "eq", second)
            length.set(same.select(length.get() + 1, 1))
            before.set(now)
            more = length.get().cmp("sgt", longest.get())
            longest.set(more.select(length.get(), longest.get()))
            best.set(more.select(i, best.get()))
        place = t.places.at(row * t.n + best.get(), "i64").load("i64")
        t.out.at(row, "i64").store(place)
    return m


def _median(name: str, args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    arg, made = args[0], outs[0]
    dims = attrs["dim"]
    axes = [*(axis for axis in range(len(arg.shape)) if axis not in dims), *dims]
    n = prod([arg.shape[axis] for axis in dims])
    build = Builder(threads)
    if n == 0 or made.size == 0:
        build.fill(made, 0)
        return build.plan()
    rows = arg.size // n
    x = rows_at(build, arg, axes)
    values = build.scratch(arg.size, arg.dtype.itemsize)
    places = build.scratch(arg.size, 8)
    sort_step(build, arg.dtype, x, values, places, rows, n, n, False)
    make = build_mode if name == "mode_place" else partial(build_middle, name)
    code = load(f"middle/{name}/{arg.dtype.short}", partial(make, arg.dtype))
    job = (values, places, Out(0), rows, n)
    build.add(Step(code.address("middle"), job, max(min(chunks_for(rows, threads), rows), 1)))
    return build.plan()


for _name in ("median_place", "mode_place", "median", "nanmedian"):
    schedule(_name)(partial(_median, _name))
