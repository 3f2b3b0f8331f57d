"""Row programs: what a row goes through, as data, and the two kernels that are made of it. Floor 6.

A row is what lies along one axis. A program is a list of phases:

    Reduce(names, combines, values, keep)   results over the row, in the order of order.py;
                                            the first of the values may be kept as an output row
    Let(name, value)                        a number for each row, from numbers that are known
    Store(out, value)                       an output row
    Save(out, value)                        a number for each row, as an output

Each expression is a recipe `(f, v) -> Value` where v has, by name: the input rows, the outputs
stored so far, one number for each place of the row (`places`), the numbers of the row, the job's
numbers, `n` and `length` (the row's, as a float and as i64), `index` (the place in the row, i32).

Task `along` is for rows that are contiguous: vectors lie along the row. Task `across` is for rows
that are strided, (outer, n, inner): vectors lie across eight neighbouring rows. The bits agree.

    SOFTMAX = RowProgram("softmax", "f32", {"x": "f32"}, outs=("y",), phases=(
        Reduce(("top",), (PEAK,), lambda f, v: (v.x,)),
        Reduce(("total",), (SUM,), lambda f, v: (exp(f, v.x - v.top),), keep="y"),
        Let("scale", lambda f, v: 1.0 / v.total),
        Store("y", lambda f, v: v.y * v.scale),
    ))
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, final

from twofold.codegen.compile import Code, load
from twofold.ir.build import Function, Module, Value
from twofold.ir.loops import vector
from twofold.lower.order import (
    BLOCK,
    LANES,
    WIDTH,
    Combine,
    Joiner,
    Window,
    block_count,
    column_tree,
    each_window,
    reduce_row,
    store_part,
)
from twofold.lower.task import Task


@final
class Names:
    """What a recipe sees: values by name, computed when first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Value]]) -> None:
        self.__dict__["_makers"] = makers

    def __getattr__(self, name: str) -> Value:
        try:
            maker = self.__dict__["_makers"][name]
        except KeyError:
            raise AttributeError(f"the row program has no {name!r} here") from None
        value: Value = maker()
        self.__dict__[name] = value
        return value


One = Callable[[Function, Any], Value]
Several = Callable[[Function, Any], Sequence[Value]]


@dataclass(frozen=True)
class Reduce:
    names: tuple[str, ...]
    combines: tuple[Combine, ...]
    values: Several
    keep: str | None = None


@dataclass(frozen=True)
class Let:
    name: str
    value: One


@dataclass(frozen=True)
class Pick:
    """A number of the row: the element of `source` at a place of the row; 0 if the row is empty."""

    name: str
    source: str
    place: One


@dataclass(frozen=True)
class Store:
    out: str
    value: One


@dataclass(frozen=True)
class Save:
    out: str
    value: One


Phase = Reduce | Let | Pick | Store | Save


@dataclass(frozen=True)
class RowProgram:
    """A row program. All mappings are name: element type; `lane` is the type it computes in.

    rows     inputs of the rows' shape          places   one number for each place of the row
    each     one number for each row            cyclic   row r has number r mod `period` (channels)
    numbers  of the job: i64, or f64 that become `lane`
    outs     outputs of the rows' shape         saves    outputs of one number for each row
    """

    name: str
    lane: str
    rows: Mapping[str, str]
    phases: tuple[Phase, ...]
    places: Mapping[str, str] = field(default_factory=dict)
    each: Mapping[str, str] = field(default_factory=dict)
    cyclic: Mapping[str, str] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)
    outs: tuple[str, ...] = ()
    saves: tuple[str, ...] = ()

    def words(self) -> str:
        """The job words of both tasks. `x_row` is the stride from row to row, for `along`."""
        pointers = (*self.places, *self.each, *self.cyclic, *self.outs, *self.saves)
        words = ["outer n inner", "period" if self.cyclic else ""]
        words += [f"{name}:ptr {name}_row" for name in self.rows]
        words += [f"{name}:ptr" for name in pointers]
        words += [f"{name}:{kind}" for name, kind in self.numbers.items()]
        return " ".join(words)


class Kernel(Protocol):
    """One of the two ways to write a program down."""

    def reduce(self, phase: Reduce) -> None: ...
    def let(self, phase: Let) -> None: ...
    def pick(self, phase: Pick) -> None: ...
    def store(self, phase: Store) -> None: ...
    def save(self, phase: Save) -> None: ...


WRITE: dict[type, Callable[[Any, Any], None]] = {
    Reduce: lambda kernel, phase: kernel.reduce(phase),
    Let: lambda kernel, phase: kernel.let(phase),
    Pick: lambda kernel, phase: kernel.pick(phase),
    Store: lambda kernel, phase: kernel.store(phase),
    Save: lambda kernel, phase: kernel.save(phase),
}


def run_phases(program: RowProgram, kernel: Kernel) -> None:
    for phase in program.phases:
        WRITE[type(phase)](kernel, phase)


def load_rows(program: RowProgram) -> Code:
    """The code of a program, tasks `along` and `across`. Its name must name all it depends on."""
    return load(f"rows/{program.name}", partial(build_rows, program))


def build_rows(program: RowProgram) -> Module:
    m = Module(program.name)
    define_along(m, program)
    if not program.cyclic:
        define_across(m, program)
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
    with f.loop(lo, hi) as row:
        run_phases(program, Along(task, program, row, dict(shared)))
    f.ret()


@final
class Along:
    """One contiguous row."""

    def __init__(
        self, task: Task, program: RowProgram, row: Value, numbers: dict[str, Value]
    ) -> None:
        self.task, self.program, self.row = task, program, row
        self.f = task.f
        words = task.words
        self.types = dict(program.rows) | dict.fromkeys(program.outs, program.lane)
        self.bases = {
            name: words[name].at(row * words[f"{name}_row"], kind)
            for name, kind in program.rows.items()
        }
        self.bases |= {name: words[name].at(row * task.n, program.lane) for name in program.outs}
        self.moving = self.types | dict(program.places)
        self.sources = self.bases | {name: words[name] for name in program.places}
        self.numbers = numbers
        for name, kind in program.each.items():
            numbers[name] = words[name].at(row, kind).load(kind)
        for name, kind in program.cyclic.items():
            numbers[name] = words[name].at(row % task.period, kind).load(kind)

    def _window(self, window: Window) -> Names:
        def maker(name: str, kind: str) -> Callable[[], Value]:
            return lambda: window.load(self.sources[name], kind)

        makers = {name: maker(name, kind) for name, kind in self.moving.items()}
        makers |= {name: partial(value.splat, window.width) for name, value in self.numbers.items()}
        makers["index"] = lambda: _index_in(self.f, window)
        return Names(makers)

    def _row(self) -> Names:
        return Names({name: partial(self.numbers.__getitem__, name) for name in self.numbers})

    def reduce(self, phase: Reduce) -> None:
        f, lane = self.f, self.program.lane

        def values(window: Window) -> Sequence[Value]:
            made = phase.values(f, self._window(window))
            if phase.keep is not None:
                window.store(self.bases[phase.keep], made[0], lane)
            return made

        results = reduce_row(f, self.task.n, phase.combines, lane, values)
        self.numbers |= dict(zip(phase.names, results, strict=True))

    def let(self, phase: Let) -> None:
        self.numbers[phase.name] = phase.value(self.f, self._row())

    def pick(self, phase: Pick) -> None:
        kind = self.moving[phase.source]
        place = phase.place(self.f, self._row())
        found = self.f.var(kind, 0)
        with self.f.if_(self.task.n.cmp("sgt", 0)):
            found.set(self.sources[phase.source].at(place, kind).load(kind))
        self.numbers[phase.name] = found.get()

    def store(self, phase: Store) -> None:
        f, lane = self.f, self.program.lane

        def body(window: Window, group: int) -> None:
            value = phase.value(f, self._window(window))
            window.store(self.bases[phase.out], value, lane)

        each_window(f, f.const("i64", 0), self.task.n, body)

    def save(self, phase: Save) -> None:
        value = phase.value(self.f, self._row())
        self.task.words[phase.out].at(self.row, self.program.lane).store(value)


def _index_in(f: Function, window: Window) -> Value:
    first = window.index.cast("trunc", "i32").splat(window.width)
    return first + f.iota(f"i32x{window.width}")


# ---- across: vectors lie across eight neighbouring rows ------------------------------------------


def define_across(m: Module, program: RowProgram) -> None:
    """Task `across`: everything is (outer, n, inner) and contiguous; rows run down the n axis."""
    task = Task(m, "across", program.words())
    f = task.f
    wide = {name: value.splat(WIDTH) for name, value in job_numbers(task, program).items()}
    most = max((len(p.combines) for p in program.phases if isinstance(p, Reduce)), default=0)
    lanes = [f.array(program.lane, LANES * WIDTH, align=64) for _ in range(most)]
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
        words = self.task.words
        offset = place * self.task.inner

        def element(name: str, kind: str) -> Callable[[], Value]:
            return lambda: self.window.load(self.bases[name].at(offset, kind), kind)

        def number(name: str, kind: str) -> Callable[[], Value]:
            return lambda: words[name].at(place, kind).load(kind).splat(WIDTH)

        makers = {name: element(name, kind) for name, kind in self.types.items()}
        makers |= {name: number(name, kind) for name, kind in self.program.places.items()}
        makers |= {name: partial(self.numbers.__getitem__, name) for name in self.numbers}
        makers["index"] = lambda: place.cast("trunc", "i32").splat(WIDTH)
        return Names(makers)

    def _rows(self) -> Names:
        return Names({name: partial(self.numbers.__getitem__, name) for name in self.numbers})

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
        self.numbers[phase.name] = phase.value(self.f, self._rows())

    def pick(self, phase: Pick) -> None:
        f, task, source = self.f, self.task, phase.source
        place = phase.place(f, self._rows())
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
        value = phase.value(self.f, self._rows())
        self.window.store(self.task.words[phase.out].at(self.kept, lane), value, lane)
