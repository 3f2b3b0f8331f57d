"""The kernels of a row program: along rows, across strided rows, across short rows. Floor 6.

    along    vectors lie along the row; inputs have a stride from row to row
    abreast  the same for rows of at most 256 elements, two side by side
    across   rows are strided, (outer, n, inner); vectors lie across eight neighbouring rows
    narrow   rows are contiguous and have at most 32 elements; eight of them are turned into
             columns of a buffer, so that short rows fill the vectors too

All of them follow the order of order.py, so the bits agree.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, final

from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value
from twofold.lower.order import (
    BLOCK,
    LANES,
    WIDTH,
    Combine,
    Joiner,
    Values,
    Window,
    block_count,
    column_tree,
    each_window,
    eight_rows,
    load_eight,
    reduce_block,
    reduce_row,
    short_tree,
    store_eight,
    store_part,
)
from twofold.lower.rows import Let, Names, Pick, Reduce, RowProgram, Save, Store, run_phases
from twofold.lower.task import Task

NARROW = LANES  # rows up to this length are narrow: each lane has one element at most
LINE = 64  # bytes that a prefetch brings
ABREAST = 256  # rows up to this length wait for the ends of sums more than for arithmetic


def load_rows(program: RowProgram, task: str) -> int:
    """The address of a task of a program, compiled when it is first needed.

    A program's name must name all that it depends on.
    """
    return load(f"rows/{program.name}/{task}", partial(build_rows, program, task)).address(task)


def build_rows(program: RowProgram, task: str) -> Module:
    m = Module(task)
    DEFINE[task](m, program)
    return m


def job_numbers(task: Task, program: RowProgram) -> dict[str, Value]:
    """The job's numbers and the length of a row; floats as the program computes with them."""
    numbers = {name: task.words[name] for name in program.numbers}
    if program.lane != "f64":
        floats = [name for name, kind in program.numbers.items() if kind == "f64"]
        numbers |= {name: numbers[name].cast("fptrunc", program.lane) for name in floats}
    return numbers | {"n": task.n.cast("sitofp", program.lane), "length": task.n}


# ---- along: vectors lie along the row ------------------------------------------------------------


def define_along(m: Module, program: RowProgram) -> None:
    """Task `along`: rows are contiguous, and inputs have a stride from row to row."""
    task = Task(m, "along", program.words())
    f = task.f
    shared = job_numbers(task, program)
    lo, hi = task.share(task.outer)
    with f.loop(lo, hi) as index:
        run_phases(program, Along(task, program, [Row(task, program, index, shared)], reduce_row))
    f.ret()


def define_abreast(m: Module, program: RowProgram) -> None:
    """Task `abreast`: as `along`, for rows of at most ABREAST elements, two at a time."""
    task = Task(m, "abreast", program.words())
    f = task.f
    shared = job_numbers(task, program)
    spare = {name: f.array(program.lane, ABREAST, align=64) for name in program.outs}
    lo, hi = task.share((task.outer + 1) // 2)
    with f.loop(lo, hi) as pair:
        first = pair * 2
        second = f.min(first + 1, task.outer - 1)
        pairs = [Row(task, program, index, shared) for index in (first, second)]
        # an odd last row is its own neighbour, whose outputs go elsewhere
        alone = first.cmp("eq", second)
        for name, place in spare.items():
            pairs[1].bases[name] = alone.select(place, pairs[1].bases[name])
        run_phases(program, Along(task, program, pairs, reduce_short))
    f.ret()


def reduce_short(
    f: Function, n: Value, combines: Sequence[Combine], lane: str, values: Values
) -> list[Value]:
    """reduce_row for rows of one block."""
    return reduce_block(f, f.const("i64", 0), n, combines, lane, values)


@final
class Row:
    """Where a contiguous row lies, and the numbers of it that are known."""

    def __init__(
        self, task: Task, program: RowProgram, index: Value, shared: Mapping[str, Value]
    ) -> None:
        words, lane = task.words, program.lane
        self.index = index
        self.bases = {
            name: words[name].at(index * words[f"{name}_row"], kind)
            for name, kind in program.rows.items()
        }
        self.bases |= {name: words[name].at(index * task.n, lane) for name in program.outs}
        self.bases |= {name: words[name] for name in program.places}
        self.numbers = dict(shared)
        for name, kind in program.each.items():
            self.numbers[name] = words[name].at(index, kind).load(kind)
        for name, kind in program.cyclic.items():
            self.numbers[name] = words[name].at(index % task.period, kind).load(kind)


@final
class Along:
    """One contiguous row, or several whose phases are written side by side."""

    def __init__(
        self, task: Task, program: RowProgram, rows: Sequence[Row], reduce: Callable[..., Any]
    ) -> None:
        self.task, self.program, self.f = task, program, task.f
        self.rows, self.reduce_rows = rows, reduce
        self.types = dict(program.rows) | dict.fromkeys(program.outs, program.lane)
        self.types |= program.places

    def _window(self, row: Row, window: Window) -> Names:
        def maker(name: str, kind: str) -> Callable[[], Value]:
            return lambda: window.load(row.bases[name], kind)

        makers = {name: maker(name, kind) for name, kind in self.types.items()}
        makers |= {name: partial(value.splat, window.width) for name, value in row.numbers.items()}
        makers["index"] = lambda: _index_in(self.f, window)
        return Names(makers)

    def reduce(self, phase: Reduce) -> None:
        f, lane = self.f, self.program.lane

        def values(window: Window) -> Sequence[Value]:
            made: list[Value] = []
            for row in self.rows:
                new = phase.values(f, self._window(row, window))
                if phase.keep is not None:
                    window.store(row.bases[phase.keep], new[0], lane)
                made += new
            return made

        combines = phase.combines * len(self.rows)
        results = iter(self.reduce_rows(f, self.task.n, combines, lane, values))
        for row in self.rows:
            row.numbers |= {name: next(results) for name in phase.names}

    def let(self, phase: Let) -> None:
        for row in self.rows:
            row.numbers[phase.name] = phase.value(self.f, known(row.numbers))

    def pick(self, phase: Pick) -> None:
        f, kind = self.f, self.types[phase.source]
        for row in self.rows:
            place = phase.place(f, known(row.numbers))
            found = f.var(kind, 0)
            with f.if_(self.task.n.cmp("sgt", 0)):
                found.set(row.bases[phase.source].at(place, kind).load(kind))
            row.numbers[phase.name] = found.get()

    def store(self, phase: Store) -> None:
        f, element = self.f, self.program.lane
        following = self._following()

        def body(window: Window, lane: int | Value) -> None:
            for base, kind in following:
                for at in range(0, window.width, LINE // TYPES[kind].size):
                    f.prefetch(base.at(window.index + at, kind))
            values = [phase.value(f, self._window(row, window)) for row in self.rows]
            for row, value in zip(self.rows, values, strict=True):
                window.store(row.bases[phase.out], value, element)

        each_window(f, f.const("i64", 0), self.task.n, body)

    def _following(self) -> list[tuple[Value, str]]:
        """Where the input of the rows after these begins: asked for while the last ones are stored,
        as a first pass over a row would wait for memory. Rows of many blocks would be gone again,
        and with several inputs there is too much of it.
        """
        program, task = self.program, self.task
        if len(program.rows) > 1 or not any(isinstance(p, Reduce) for p in program.phases):
            return []
        short = task.n.cmp("sle", BLOCK)
        ahead = {
            name: short.select(task.words[f"{name}_row"] * len(self.rows), 0)
            for name in program.rows
        }
        return [
            (row.bases[name].at(ahead[name], kind), kind)
            for row in self.rows
            for name, kind in program.rows.items()
        ]

    def save(self, phase: Save) -> None:
        for row in self.rows:
            value = phase.value(self.f, known(row.numbers))
            self.task.words[phase.out].at(row.index, self.program.lane).store(value)


def _index_in(f: Function, window: Window) -> Value:
    first = window.index.cast("trunc", "i32").splat(window.width)
    return first + f.iota(f"i32x{window.width}")


# ---- across: vectors lie across eight neighbouring rows ------------------------------------------


def define_across(m: Module, program: RowProgram) -> None:
    """Task `across`: everything is (outer, n, inner) and contiguous; rows run down the n axis."""
    task = Task(m, "across", program.words())
    f = task.f
    wide = {name: value.splat(WIDTH) for name, value in job_numbers(task, program).items()}
    lanes = lane_arrays(f, program)
    groups = (task.inner + (WIDTH - 1)) // WIDTH
    lo, hi = task.share(task.outer * groups)
    with f.loop(lo, hi) as unit:
        outer = unit // groups
        column = (unit % groups) * WIDTH
        left = task.inner - column
        with f.if_(left.cmp("sge", WIDTH)) as branch:
            run_phases(program, Across(task, program, outer, column, None, dict(wide), lanes))
            branch.otherwise()
            run_phases(program, Across(task, program, outer, column, left, dict(wide), lanes))
    f.ret()


def lane_arrays(f: Function, program: RowProgram) -> list[Value]:
    """32 lanes of eight rows, for as many results as one phase has."""
    most = max((len(p.combines) for p in program.phases if isinstance(p, Reduce)), default=0)
    return [f.array(program.lane, LANES * WIDTH, align=64) for _ in range(most)]


def known(numbers: Mapping[str, Value]) -> Names:
    """What a recipe sees of rows as wholes."""
    return Names({name: partial(numbers.__getitem__, name) for name in numbers})


def seen_at(
    task: Task, program: RowProgram, place: Value, numbers: Mapping[str, Value]
) -> dict[str, Callable[[], Value]]:
    """What a recipe sees at one place of eight rows, besides their elements."""

    def number(name: str, kind: str) -> Callable[[], Value]:
        return lambda: task.words[name].at(place, kind).load(kind).splat(WIDTH)

    makers = {name: number(name, kind) for name, kind in program.places.items()}
    makers |= {name: partial(numbers.__getitem__, name) for name in numbers}
    makers["index"] = lambda: place.cast("trunc", "i32").splat(WIDTH)
    return makers


@final
class Across:
    """Eight neighbouring rows, or the `count` that are left."""

    def __init__(
        self,
        task: Task,
        program: RowProgram,
        outer: Value,
        column: Value,
        count: Value | None,
        numbers: dict[str, Value],
        lanes: Sequence[Value],
    ) -> None:
        self.task, self.program, self.f = task, program, task.f
        self.lanes, self.numbers = lanes, numbers
        words = task.words
        zero = task.f.const("i64", 0)
        self.window = Window(task.f, zero, count)
        self.types = dict(program.rows) | dict.fromkeys(program.outs, program.lane)
        start = outer * task.n * task.inner + column
        self.bases = {name: words[name].at(start, kind) for name, kind in self.types.items()}
        self.kept = outer * task.inner + column
        for name, kind in program.each.items():
            numbers[name] = self.window.load(words[name].at(self.kept, kind), kind)

    def _at(self, place: Value) -> Names:
        offset = place * self.task.inner

        def element(name: str, kind: str) -> Callable[[], Value]:
            return lambda: self.window.load(self.bases[name].at(offset, kind), kind)

        makers = seen_at(self.task, self.program, place, self.numbers)
        makers |= {name: element(name, kind) for name, kind in self.types.items()}
        return Names(makers)

    def _store(self, out: str, place: Value, value: Value) -> None:
        lane = self.program.lane
        target = self.bases[out].at(place * self.task.inner, lane)
        if self.window.count is None:
            target.store(value)
        else:
            store_part(self.f, target, value, self.window.count, lane)

    def reduce(self, phase: Reduce) -> None:
        f, n = self.f, self.task.n
        wide = vector(self.program.lane, WIDTH)
        joiner = Joiner(f, phase.combines, [wide] * len(phase.combines))
        with f.loop(0, block_count(n)) as block:
            lo = block * BLOCK
            self._clear(phase)
            with f.loop(lo, f.min(lo + BLOCK, n)) as place:
                made = phase.values(f, self._at(place))
                if phase.keep is not None:
                    self._store(phase.keep, place, made[0])
                lane = (place & (LANES - 1)) * WIDTH
                for combine, base, new in zip(phase.combines, self.lanes, made, strict=False):
                    cell = base.at(lane, self.program.lane)
                    cell.store(combine.merge(f, cell.load(wide), new))
            joiner.push(block, self._trees(phase))
        for name, value in zip(phase.names, joiner.finish(), strict=True):
            self.numbers[name] = value

    def _clear(self, phase: Reduce) -> None:
        f, wide = self.f, vector(self.program.lane, WIDTH)
        with f.loop(0, LANES * WIDTH, WIDTH) as at:
            for combine, base in zip(phase.combines, self.lanes, strict=False):
                base.at(at, self.program.lane).store(f.const(wide, combine.neutral))

    def _trees(self, phase: Reduce) -> list[Value]:
        lane, wide = self.program.lane, vector(self.program.lane, WIDTH)

        def tree(combine: Combine, base: Value) -> Value:
            def cell(i: int) -> Value:
                return base.at(i * WIDTH, lane).load(wide)

            return column_tree(self.f, cell, combine.merge)

        return [tree(c, base) for c, base in zip(phase.combines, self.lanes, strict=False)]

    def let(self, phase: Let) -> None:
        self.numbers[phase.name] = phase.value(self.f, known(self.numbers))

    def pick(self, phase: Pick) -> None:
        f, task, source = self.f, self.task, phase.source
        place = phase.place(f, known(self.numbers))
        if source in self.program.places:
            kind, base = self.program.places[source], task.words[source]
        else:
            kind, base = self.types[source], self.bases[source]
            place = place * task.inner.splat(WIDTH) + f.iota(f"i64x{WIDTH}")
        exists = task.n.cmp("sgt", 0).splat(WIDTH)
        mask = exists if self.window.mask is None else self.window.mask & exists
        self.numbers[phase.name] = f.gather(base, place, vector(kind, WIDTH), mask)

    def store(self, phase: Store) -> None:
        with self.f.loop(0, self.task.n) as place:
            self._store(phase.out, place, phase.value(self.f, self._at(place)))

    def save(self, phase: Save) -> None:
        lane = self.program.lane
        value = phase.value(self.f, known(self.numbers))
        self.window.store(self.task.words[phase.out].at(self.kept, lane), value, lane)


# ---- narrow: eight short rows are turned into columns --------------------------------------------


def define_narrow(m: Module, program: RowProgram) -> None:
    """Task `narrow`: as `along`, for rows of at most NARROW elements."""
    task = Task(m, "narrow", program.words())
    f = task.f
    wide = {name: value.splat(WIDTH) for name, value in job_numbers(task, program).items()}
    lanes = lane_arrays(f, program)
    types = dict(program.rows) | dict.fromkeys(program.outs, program.lane)
    buffers = {name: f.array(kind, NARROW * WIDTH, align=64) for name, kind in types.items()}
    lo, hi = task.share((task.outer + (WIDTH - 1)) // WIDTH)
    with f.loop(lo, hi) as group:
        eight = Narrow(task, program, group * WIDTH, dict(wide), lanes, buffers)
        run_phases(program, eight)
        eight.write_outputs()
    f.ret()


@final
class Narrow:
    """Eight short rows from `first` on; where fewer are left, the last stands in for the rest."""

    def __init__(
        self,
        task: Task,
        program: RowProgram,
        first: Value,
        numbers: dict[str, Value],
        lanes: Sequence[Value],
        buffers: Mapping[str, Value],
    ) -> None:
        self.task, self.program, self.f = task, program, task.f
        self.first, self.numbers, self.lanes, self.buffers = first, numbers, lanes, buffers
        f, words = task.f, task.words
        self.left = task.outer - first
        rows = eight_rows(f, first, task.outer)
        for name, kind in program.each.items():
            numbers[name] = load_eight(f, [words[name].at(row, kind) for row in rows], kind)
        for name, kind in program.rows.items():
            starts = [words[name].at(row * words[f"{name}_row"], kind) for row in rows]
            with f.loop(0, task.n) as place:
                column = load_eight(f, [start.at(place, kind) for start in starts], kind)
                buffers[name].at(place * WIDTH, kind).store(column)

    def _at(self, place: Value) -> Names:
        def element(name: str, kind: str) -> Callable[[], Value]:
            source = self.buffers[name].at(place * WIDTH, kind)
            return lambda: source.load(vector(kind, WIDTH))

        makers = seen_at(self.task, self.program, place, self.numbers)
        makers |= {name: element(name, kind) for name, kind in self.program.rows.items()}
        makers |= {name: element(name, self.program.lane) for name in self.program.outs}
        return Names(makers)

    def reduce(self, phase: Reduce) -> None:
        f, n, lane = self.f, self.task.n, self.program.lane
        wide = vector(lane, WIDTH)
        with f.loop(0, n) as place:
            made = phase.values(f, self._at(place))
            if phase.keep is not None:
                self.buffers[phase.keep].at(place * WIDTH, lane).store(made[0])
            for combine, base, new in zip(phase.combines, self.lanes, made, strict=False):
                start = f.const(wide, combine.neutral)
                base.at(place * WIDTH, lane).store(combine.merge(f, start, new))
        for name, combine, base in zip(phase.names, phase.combines, self.lanes, strict=False):
            self.numbers[name] = short_tree(f, n, base, combine, lane)

    def let(self, phase: Let) -> None:
        self.numbers[phase.name] = phase.value(self.f, known(self.numbers))

    def pick(self, phase: Pick) -> None:
        f, task, source = self.f, self.task, phase.source
        place = phase.place(f, known(self.numbers))
        if source in self.program.places:
            kind, base = self.program.places[source], task.words[source]
        else:
            kind, base = self.program.rows[source], self.buffers[source]
            place = place * WIDTH + f.iota(f"i64x{WIDTH}")
        exists = task.n.cmp("sgt", 0).splat(WIDTH)
        self.numbers[phase.name] = f.gather(base, place, vector(kind, WIDTH), exists)

    def store(self, phase: Store) -> None:
        f, lane = self.f, self.program.lane
        with f.loop(0, self.task.n) as place:
            value = phase.value(f, self._at(place))
            self.buffers[phase.out].at(place * WIDTH, lane).store(value)

    def save(self, phase: Save) -> None:
        f, lane = self.f, self.program.lane
        value = phase.value(f, known(self.numbers))
        store_eight(f, self.task.words[phase.out].at(self.first, lane), value, self.left, lane)

    def write_outputs(self) -> None:
        """Turn the output rows back."""
        f, n, lane = self.f, self.task.n, self.program.lane
        for name in self.program.outs:
            target = self.task.words[name].at(self.first * n, lane)
            for r in range(WIDTH):
                source = self.buffers[name].at(r, lane)
                with f.if_(self.left.cmp("sgt", r)), f.loop(0, n) as place:
                    value = source.at(place * WIDTH, lane).load(lane)
                    target.at(place + n * r, lane).store(value)


DEFINE = {
    "along": define_along,
    "abreast": define_abreast,
    "across": define_across,
    "narrow": define_narrow,
}
