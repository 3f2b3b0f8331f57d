"""A reduction as data, and the tasks that carry it out block by block. Floor 6.

A Reduction says what to reduce, not where it lies. From it come four tasks with the same bits:

    rows      the reduced axis is contiguous
    segments  the reduced extent is made of several contiguous pieces (N and H*W of NCHW);
              `gathered` is its twin for short pieces
    narrow    rows of at most 32 elements, eight at a time
    columns   the reduced axis is strided and its neighbour is contiguous (columns.py)
    fold      joins the blocks of long extents

The work is split by results and blocks, so one long sum uses every thread.
"""

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace

from twofold.base.records import NamedTuple
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value
from twofold.lower.order import (
    BLOCK,
    LANES,
    WIDTH,
    Combine,
    Lanes,
    Window,
    define_fold,
    each_window_anywhere,
    eight_rows,
    load_eight,
    reduce_block,
    short_tree,
    store_eight,
)
from twofold.lower.task import Task

# (f, values by name) -> one value for each result; values are vectors or scalars.
Recipe = Callable[[Function, SimpleNamespace], Sequence[Value]]
# (f, results, divisor) -> what is stored; the divisor is an f64 of the job, e.g. n for a mean.
Finish = Callable[[Function, Sequence[Value], Value], Sequence[Value]]


# The sizes that each task is told, and what the second stride of an input steps over.
SIZES = {
    "rows": "outer n blocks divisor:f64",
    "narrow": "outer n blocks divisor:f64",
    "segments": "outer n blocks divisor:f64 length",
    "columns": "outer n inner blocks divisor:f64 stripe packed",
}
STEPS = {"rows": "none", "narrow": "none", "segments": "segment", "columns": "row"}


def as_is(f: Function, results: Sequence[Value], divisor: Value) -> Sequence[Value]:
    return results


NOTHING: Mapping[str, str] = {}


class Reduction(NamedTuple):
    """Several results reduced together from the same inputs.

    inputs   name: element type; one value for each reduced and kept index
    kept     name: element type; one value for each result (a mean to subtract)
    reduced  name: element type; one value for each reduced index (a row's scale)
    singles  name: element type; one value for all
    lane     the type in which partial results are held
    values   the recipe for what each result reduces, and then for each of `stores`
    stores   name: element type; what is stored for each reduced and kept index, by the tasks `rows`
             and `columns` alone
    finish   from the reduced values and the divisor to what is stored
    outs     the element types stored
    """

    name: str
    inputs: Mapping[str, str]
    lane: str
    combines: tuple[Combine, ...]
    values: Recipe
    outs: tuple[str, ...]
    finish: Finish = as_is
    kept: Mapping[str, str] = NOTHING
    reduced: Mapping[str, str] = NOTHING
    singles: Mapping[str, str] = NOTHING
    stores: Mapping[str, str] = NOTHING

    @property
    def elements(self) -> dict[str, str]:
        """What has an element for each reduced and kept index, read or written."""
        return {**self.inputs, **self.stores}

    def words(self, task: str) -> str:
        """The job words of one of the four tasks. With one block `part` is not used."""
        results = [f"part{i}:ptr" for i in range(len(self.combines))]
        results += [f"out{i}:ptr" for i in range(len(self.outs))]
        if task == "fold":
            return " ".join(["outer inner blocks divisor:f64", *results])
        step = STEPS[task]
        inputs = [f"{name}:ptr {name}_outer {name}_{step}" for name in self.elements]
        others = [f"{name}:ptr" for name in (*self.kept, *self.reduced, *self.singles)]
        return " ".join([SIZES[task], *inputs, *others, *results])


def spread(value: Value, width: int) -> Value:
    """The value as it is used beside vectors of that width."""
    return value.splat(width) if width > 1 else value


def store_results(
    task: Task, spec: Reduction, unit: Value, kept: Value, results: Sequence[Value]
) -> None:
    """Store partial results at part[unit], or, if there is one block, final ones at out[kept]."""
    f = task.f
    with f.if_(task.blocks.cmp("sle", 1)) as branch:
        finished = spec.finish(f, results, task.divisor)
        for i, (value, kind) in enumerate(zip(finished, spec.outs, strict=True)):
            task.words[f"out{i}"].at(kept, kind).store(value)
        branch.otherwise()
        for i, value in enumerate(results):
            task.words[f"part{i}"].at(unit, spec.lane).store(value)


def load_singles(task: Task, spec: Reduction) -> dict[str, Value]:
    """The values that serve every element."""
    return {name: task.words[name].load(kind) for name, kind in spec.singles.items()}


def define_rows(m: Module, spec: Reduction) -> None:
    """Task `rows`: the reduced axis is contiguous; each input has a stride from row to row."""
    task = Task(m, "rows", spec.words("rows"))
    f = task.f
    first, last = task.share(task.outer * task.blocks)
    with f.loop(first, last) as unit:
        row = unit // task.blocks
        lo = (unit % task.blocks) * BLOCK
        hi = f.min(lo + BLOCK, task.n)
        bases = {
            name: task.words[name].at(row * task.words[f"{name}_outer"], kind)
            for name, kind in spec.elements.items()
        }
        bases |= {name: task.words[name] for name in spec.reduced}
        values = _values_in(task, spec, row, bases)
        results = reduce_block(f, lo, hi, spec.combines, spec.lane, values)
        store_results(task, spec, unit, row, results)
    f.ret()


def _values_in(
    task: Task, spec: Reduction, row: Value, bases: Mapping[str, Value]
) -> Callable[[Window], Sequence[Value]]:
    """The recipe over windows of a row whose elements lie at `bases`."""
    f = task.f
    kept = {name: task.words[name].at(row, kind).load(kind) for name, kind in spec.kept.items()}
    kept |= load_singles(task, spec)
    moving = {**spec.inputs, **spec.reduced}
    count = len(spec.combines)

    def values(window: Window) -> Sequence[Value]:
        loaded = {name: window.load(bases[name], kind) for name, kind in moving.items()}
        loaded |= {name: value.splat(window.width) for name, value in kept.items()}
        made = spec.values(f, SimpleNamespace(**loaded))
        for (name, kind), value in zip(spec.stores.items(), made[count:], strict=True):
            window.store(bases[name], value, kind)
        return made[:count]

    return values


def define_narrow(m: Module, spec: Reduction) -> None:
    """Task `narrow`: as `rows`, for n up to 32; vectors lie across eight rows."""
    task = Task(m, "narrow", spec.words("narrow"))
    f, words = task.f, task.words
    cells = [f.array(spec.lane, LANES * WIDTH, align=64) for _ in spec.combines]
    wide = vector(spec.lane, WIDTH)
    lo, hi = task.share((task.outer + (WIDTH - 1)) // WIDTH)
    with f.loop(lo, hi) as group:
        first = group * WIDTH
        rows = eight_rows(f, first, task.outer)
        starts = {
            name: [words[name].at(row * words[f"{name}_outer"], kind) for row in rows]
            for name, kind in spec.inputs.items()
        }
        kept = {
            name: load_eight(f, [words[name].at(row, kind) for row in rows], kind)
            for name, kind in spec.kept.items()
        }
        kept |= {name: value.splat(WIDTH) for name, value in load_singles(task, spec).items()}
        with f.loop(0, task.n) as place:
            names = {
                name: load_eight(f, [start.at(place, kind) for start in starts[name]], kind)
                for name, kind in spec.inputs.items()
            }
            names |= {
                name: words[name].at(place, kind).load(kind).splat(WIDTH)
                for name, kind in spec.reduced.items()
            }
            new = spec.values(f, SimpleNamespace(**names, **kept))
            for combine, base, value in zip(spec.combines, cells, new, strict=True):
                merged = combine.merge(f, f.const(wide, combine.neutral), value)
                base.at(place * WIDTH, spec.lane).store(merged)
        results = [
            short_tree(f, task.n, base, combine, spec.lane)
            for base, combine in zip(cells, spec.combines, strict=True)
        ]
        finished = spec.finish(f, results, task.divisor)
        for i, (value, kind) in enumerate(zip(finished, spec.outs, strict=True)):
            store_eight(f, words[f"out{i}"].at(first, kind), value, task.outer - first, kind)
    f.ret()


def define_segments(m: Module, spec: Reduction) -> None:
    """Task `segments`: a row is `n / length` contiguous pieces; blocks run across their borders."""
    task = Task(m, "segments", spec.words("segments"))
    f = task.f
    first, last = task.share(task.outer * task.blocks)
    with f.loop(first, last) as unit:
        row = unit // task.blocks
        lo = (unit % task.blocks) * BLOCK
        hi = f.min(lo + BLOCK, task.n)
        lanes = Lanes(f, spec.combines, spec.lane)
        with f.loop(lo // task.length, (hi + task.length - 1) // task.length) as piece:
            start = piece * task.length
            bases = {
                name: _piece(task, name, kind, row, piece) for name, kind in spec.inputs.items()
            }
            values = _values_in(task, spec, row, bases)
            each_window_anywhere(
                f,
                f.max(start, lo),
                f.min(start + task.length, hi),
                lambda window, first: lanes.add(window, first, values(window)),
                lanes,
            )
        store_results(task, spec, unit, row, lanes.results())
    f.ret()


def _piece(task: Task, name: str, kind: str, row: Value, piece: Value) -> Value:
    """Where element 0 of the row would lie if the whole row went on as this piece does."""
    base = task.words[name].at(row * task.words[f"{name}_outer"], kind)
    return base.at(piece * (task.words[f"{name}_segment"] - task.length), kind)


def define_gathered(m: Module, spec: Reduction) -> None:
    """Task `gathered`: segments again, for short pieces; a block is put together in a buffer."""
    task = Task(m, "gathered", spec.words("segments"))
    f = task.f
    buffers = {name: f.array(kind, BLOCK, align=64) for name, kind in spec.inputs.items()}
    first, last = task.share(task.outer * task.blocks)
    with f.loop(first, last) as unit:
        row = unit // task.blocks
        lo = (unit % task.blocks) * BLOCK
        hi = f.min(lo + BLOCK, task.n)
        with f.loop(lo // task.length, (hi + task.length - 1) // task.length) as piece:
            start = f.max(piece * task.length, lo)
            count = f.min((piece + 1) * task.length, hi) - start
            for name, kind in spec.inputs.items():
                source = _piece(task, name, kind, row, piece).at(start, kind)
                target = buffers[name].at(start - lo, kind)
                f.memcpy(target, source, count * TYPES[kind].size)
        values = _values_in(task, spec, row, buffers)
        size = hi - lo
        zero = f.const("i64", 0)
        results = reduce_block(f, zero, size, spec.combines, spec.lane, values)
        store_results(task, spec, unit, row, results)
    f.ret()


def define_folds(m: Module, spec: Reduction) -> None:
    """Task `fold`: join the blocks part[outer, block, inner], finish, to out[outer, inner]."""
    folds = [f"fold_{combine.name}" for combine in spec.combines]
    for name, combine in dict(zip(folds, spec.combines, strict=True)).items():
        define_fold(m, name, combine, spec.lane)
    task = Task(m, "fold", spec.words("fold"))
    f = task.f
    lo, hi = task.share(task.outer * task.inner)
    with f.loop(lo // task.inner, (hi + task.inner - 1) // task.inner) as outer:
        first = outer * task.inner
        start = f.max(lo - first, f.const("i64", 0))
        stop = f.min(hi - first, task.inner)
        parts = [
            task.words[f"part{i}"].at(first * task.blocks, spec.lane)
            for i in range(len(spec.combines))
        ]
        for name, part in zip(folds, parts, strict=True):
            f.call("void", name, part, task.blocks, task.inner, start, stop)
        with f.loop(start, stop) as j:
            results = [part.at(j, spec.lane).load(spec.lane) for part in parts]
            finished = spec.finish(f, results, task.divisor)
            for i, (value, kind) in enumerate(zip(finished, spec.outs, strict=True)):
                task.words[f"out{i}"].at(first + j, kind).store(value)
    f.ret()
