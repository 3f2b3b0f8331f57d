"""argmax and argmin: the place of the first largest or smallest element. Floor 6.

A NaN is larger and smaller than everything, as in PyTorch; the first one wins. The answer does not
depend on any order, so lanes and blocks only have to keep the smallest place among equals. With two
outputs the planners give the values as well.
"""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector, with_element
from twofold.ir.values import Value
from twofold.lower.order import (
    BLOCK,
    LANES,
    WIDTH,
    Window,
    each_window,
    eight_rows,
    load_eight,
    store_eight,
)
from twofold.lower.reduce import Planning, limits
from twofold.lower.schedule import Arg, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.task import Task, arrange

Pair = tuple[Value, Value]  # values and their places

NOWHERE = 2**31 - 1
RESULTS = "values:ptr out:ptr"
ROWS = f"outer n blocks step x:ptr best:ptr place:ptr {RESULTS}"
COLUMNS = f"outer n inner outer_step step x:ptr {RESULTS}"
COLUMN_WIDTH = 2 * WIDTH


class Search(NamedTuple):
    """What is looked for: `better` is the strict comparison, `worst` what everything beats."""

    name: str
    element: str
    integer: str
    better: str
    worst: int | float

    @property
    def key(self) -> str:
        return f"{self.name}/{self.element}/{self.better}"

    def wins(self, challenger: Value, holder: Value) -> Value:
        """Whether a later value replaces an earlier one."""
        if not TYPES[challenger.type].is_float:
            return challenger.cmp(self.better, holder)
        return challenger.cmp("u" + self.better[1:], holder) & holder.cmp("ord", holder)

    def join(self, a: Pair, b: Pair) -> Pair:
        """The better of two; among equals, and among NaN, the smaller place."""
        same = self._equal(a[0], b[0]) & b[1].cmp("slt", a[1])
        take = self.wins(b[0], a[0]) | same
        return take.select(b[0], a[0]), take.select(b[1], a[1])

    def _equal(self, a: Value, b: Value) -> Value:
        if not TYPES[a.type].is_float:
            return a.cmp("eq", b)
        return a.cmp("oeq", b) | (a.cmp("uno", a) & b.cmp("uno", b))


@cache
def search_for(name: str, dtype: DType) -> Search:
    """argmax or argmin over an element type."""
    largest = name == "argmax"
    integer = "i64" if dtype.itemsize == 8 else "i32"
    if dtype.is_floating_point:
        worst = float("-inf") if largest else float("inf")
        return Search(name, dtype.loops, integer, "ogt" if largest else "olt", worst)
    sign = "s" if dtype.is_signed else "u"
    lowest, highest = limits(dtype)
    better = sign + ("gt" if largest else "lt")
    return Search(name, dtype.loops, integer, better, lowest if largest else highest)


def load_search(search: Search, task: str) -> int:
    """The address of a task, compiled when it is first needed."""

    def build() -> Module:
        m = Module(task)
        DEFINE[task](m, search)
        return m

    return load(f"arg/{search.key}/{task}", build).address(task)


def store_result(task: Task, search: Search, at: Value, value: Value, place: Value) -> None:
    """Both results; a null pointer says that the values are not wanted."""
    f = task.f
    task.out.at(at, "i64").store(place)
    with f.if_(task.values.cast("ptrtoint", "i64").cmp("ne", 0)):
        task.values.at(at, search.element).store(value)


# ---- along contiguous rows -----------------------------------------------------------------------


def define_rows(m: Module, search: Search) -> None:
    """Task `rows`: one block of one row; with one block the results are final."""
    task = Task(m, "rows", ROWS)
    f = task.f
    lo, hi = task.share(task.outer * task.blocks)
    with f.loop(lo, hi) as unit:
        row = unit // task.blocks
        first = (unit % task.blocks) * BLOCK
        base = task.x.at(row * task.step + first, search.element)
        count = f.min(task.n - first, f.const("i64", BLOCK))
        value, place = search_block(f, search, base, count)
        with f.if_(task.blocks.cmp("sle", 1)) as branch:
            store_result(task, search, row, value, place)
            branch.otherwise()
            task.best.at(unit, search.element).store(value)
            task.place.at(unit, "i64").store(place + first)
    f.ret()


def search_block(f: Function, search: Search, base: Value, count: Value) -> Pair:
    """The best of base[0 .. count-1] and its place, lane by lane and then between the lanes."""
    groups = LANES // WIDTH
    best = [f.var(vector(search.element, WIDTH), search.worst) for _ in range(groups)]
    place = [f.var(vector(search.integer, WIDTH), NOWHERE) for _ in range(groups)]

    def step(window: Window, lane: int | Value) -> None:
        new = window.load(base, search.element)
        at = _places(f, search, window)
        for offset in range(0, window.width, WIDTH):
            # which lane is of no consequence here; what is left at the end goes to the first ones
            group = (lane + offset) // WIDTH if isinstance(lane, int) else 0
            part = range(offset, offset + WIDTH)

            def of(v: Value, part: range = part) -> Value:
                return v if window.width == WIDTH else f.shuffle(v, None, part)

            value, index = of(new), of(at)
            take = search.wins(value, best[group].get())
            take = take if window.mask is None else take & of(window.mask)
            best[group].set(take.select(value, best[group].get()))
            place[group].set(take.select(index, place[group].get()))

    each_window(f, f.const("i64", 0), count, step)
    pairs = [(b.get(), p.get()) for b, p in zip(best, place, strict=True)]
    while len(pairs) > 1:
        pairs = [search.join(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True)]
    value, at = _join_lanes(f, search, pairs[0])
    # where nothing beat the start value all are equal to it, and the first place is the answer
    return value, at.cmp("eq", NOWHERE).select(0, at)


def _places(f: Function, search: Search, window: Window) -> Value:
    first = window.index
    if search.integer != "i64":
        first = first.cast("trunc", search.integer)
    return first.splat(window.width) + f.iota(vector(search.integer, window.width))


def _join_lanes(f: Function, search: Search, pair: Pair) -> Pair:
    lanes = WIDTH
    while lanes > 1:
        lanes //= 2
        low = f.shuffle(pair[0], None, range(lanes)), f.shuffle(pair[1], None, range(lanes))
        rest = range(lanes, 2 * lanes)
        high = f.shuffle(pair[0], None, rest), f.shuffle(pair[1], None, rest)
        pair = search.join(low, high)
    value, at = f.extract(pair[0], 0), f.extract(pair[1], 0)
    return value, at if search.integer == "i64" else at.cast("sext", "i64")


def define_narrow(m: Module, search: Search) -> None:
    """Task `narrow`: as `rows`, for rows of few elements; vectors lie across eight rows."""
    task = Task(m, "narrow", ROWS)
    f, element = task.f, search.element
    lo, hi = task.share((task.outer + (WIDTH - 1)) // WIDTH)
    with f.loop(lo, hi) as group:
        first = group * WIDTH
        rows = eight_rows(f, first, task.outer)
        starts = [task.x.at(row * task.step, element) for row in rows]
        best = f.var(vector(element, WIDTH), load_eight(f, starts, element))
        place = f.var(vector(search.integer, WIDTH), 0)
        with f.loop(1, task.n) as at:
            value = load_eight(f, [start.at(at, element) for start in starts], element)
            index = at if search.integer == "i64" else at.cast("trunc", search.integer)
            take = search.wins(value, best.get())
            best.set(take.select(value, best.get()))
            place.set(take.select(index.splat(WIDTH), place.get()))
        found = place.get()
        if search.integer != "i64":
            found = found.cast("sext", vector("i64", WIDTH))
        left = task.outer - first
        store_eight(f, task.out.at(first, "i64"), found, left, "i64")
        with f.if_(task.values.cast("ptrtoint", "i64").cmp("ne", 0)):
            store_eight(f, task.values.at(first, element), best.get(), left, element)
    f.ret()


def define_join(m: Module, search: Search) -> None:
    """Task `join`: the best of a row's blocks, which come in ascending order."""
    task = Task(m, "join", ROWS)
    f = task.f
    lo, hi = task.share(task.outer)
    with f.loop(lo, hi) as row:
        start = row * task.blocks
        best = f.var(search.element, task.best.at(start, search.element).load(search.element))
        place = f.var("i64", task.place.at(start, "i64").load("i64"))
        with f.loop(1, task.blocks) as block:
            value = task.best.at(start + block, search.element).load(search.element)
            take = search.wins(value, best.get())
            best.set(take.select(value, best.get()))
            at = task.place.at(start + block, "i64").load("i64")
            place.set(take.select(at, place.get()))
        store_result(task, search, row, best.get(), place.get())
    f.ret()


# ---- down columns --------------------------------------------------------------------------------


def define_columns(m: Module, search: Search) -> None:
    """Task `columns`: inputs are (outer, n, inner); vectors lie across the columns."""
    task = Task(m, "columns", COLUMNS)
    f = task.f
    groups = (task.inner + (COLUMN_WIDTH - 1)) // COLUMN_WIDTH
    lo, hi = task.share(task.outer * groups)
    with f.loop(lo, hi) as unit:
        outer = unit // groups
        first = (unit % groups) * COLUMN_WIDTH
        stop = f.min(first + COLUMN_WIDTH, task.inner)
        with f.if_((stop - first).cmp("eq", COLUMN_WIDTH)) as branch:
            _search_down(task, search, outer, first, COLUMN_WIDTH)
            branch.otherwise()
            with f.loop(first, stop) as column:
                _search_down(task, search, outer, column, 1)
    f.ret()


def _search_down(task: Task, search: Search, outer: Value, column: Value, width: int) -> None:
    f = task.f
    kind = vector(search.element, width) if width > 1 else search.element
    index = with_element(kind, search.integer)
    base = task.x.at(outer * task.outer_step + column, search.element)
    best, place = f.var(kind, base.load(kind)), f.var(index, 0)
    with f.loop(1, task.n) as row:
        value = base.at(row * task.step, search.element).load(kind)
        at = row if search.integer == "i64" else row.cast("trunc", search.integer)
        take = search.wins(value, best.get())
        best.set(take.select(value, best.get()))
        place.set(take.select(at.splat(width) if width > 1 else at, place.get()))
    found = place.get()
    if search.integer != "i64":
        found = found.cast("sext", with_element(kind, "i64"))
    store_result(task, search, outer * task.inner + column, best.get(), found)


DEFINE = {
    "rows": define_rows,
    "narrow": define_narrow,
    "join": define_join,
    "columns": define_columns,
}


# ---- planners ------------------------------------------------------------------------------------


def _plan(
    name: str, args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """Input x; attr dim; output the places (i64), or values and places. Not for bfloat16."""
    if args[0].dtype.name == "bfloat16":
        return None
    work = Planning(args[0], attrs, threads, ("rows", "columns"))
    layout = work.layout
    search = search_for(name, args[0].dtype)
    values, places = (Out(0), Out(1)) if len(outs) == 2 else (0, Out(0))
    words: dict[str, Word] = {"x": work.place, "values": values, "out": places}
    words |= {"outer": layout.outer, "n": layout.n}
    if layout.outer * layout.inner * layout.n == 0:
        return Plan(())
    chunks = chunks_for(args[0].size, threads)
    if layout.kind == "columns":
        words |= {"inner": layout.inner, "outer_step": layout.steps[0], "step": layout.steps[1]}
        units = layout.outer * -(-layout.inner // COLUMN_WIDTH)
        job = arrange(COLUMNS, words)
        work.steps.append(Step(load_search(search, "columns"), job, min(units, chunks)))
        return work.plan()
    blocks = -(-layout.n // BLOCK)
    units = layout.outer * blocks
    words |= {"blocks": blocks, "step": layout.steps[0], "best": 0, "place": 0}
    if blocks > 1:
        words["best"] = work.workspace.take(units * args[0].dtype.itemsize)
        words["place"] = work.workspace.take(units * 8)
    job = arrange(ROWS, words)
    if layout.n <= LANES and layout.outer >= WIDTH:
        task, units = "narrow", -(-layout.outer // WIDTH)
        return Plan(
            (*work.steps, Step(load_search(search, task), job, min(units, chunks))),
            work.workspace.size,
        )
    work.steps.append(Step(load_search(search, "rows"), job, min(units, chunks)))
    if blocks > 1:
        work.steps.append(Step(load_search(search, "join"), job, 1))
    return work.plan()


for _name in ("argmax", "argmin"):
    schedule(_name)(partial(_plan, _name))
