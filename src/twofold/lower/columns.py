"""Reduce down columns: the reduced axis is strided, its neighbours lie side by side. Floor 6.

The 32 lanes of a block are 32 rows of accumulators for a stripe of columns, and a row of the input
is added to the row of its lane. So every column gets the order of order.py, and memory is read in
the order in which it lies. Where the columns are few and rows follow each other without gaps, 32
rows are treated as one long row ("packed"), so that narrow matrices use whole vectors as well.
"""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from twofold.codegen.target import host
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value
from twofold.lower.order import BLOCK, LANES, WIDTH, tree_in_place
from twofold.lower.partial import Reduction, load_singles, spread
from twofold.lower.task import Task

STRIPE_BYTES = 4096  # of columns at a time: 32 rows of them stay in the second level of cache
PAD = 16  # keeps the lanes of one column off the same cache set
FEW = 8  # rows whose tree is made without memory for lanes
ROUNDS = 4  # rows of one lane that are added in one visit of its accumulators


def define_columns(m: Module, spec: Reduction) -> None:
    """Task `columns`: inputs are (outer, n, inner), with strides for the first two axes."""
    task = Task(m, "columns", spec.words("columns"))
    f = task.f
    stripes = (task.inner + task.stripe - 1) // task.stripe
    pitch = task.packed.cmp("ne", 0).select(task.inner, task.stripe + PAD)
    room = LANES * (widest_stripe(spec.lane) + PAD)
    lanes = [f.array(spec.lane, room, align=64) for _ in spec.combines]
    first, last = task.share(task.outer * task.blocks * stripes)
    with f.loop(first, last) as unit:
        tile = _Tile(task, spec, unit, stripes, lanes, pitch)
        tile.clear_idle_lanes()
        tile.add_rows()
        tile.store()
    f.ret()


def define_few(m: Module, spec: Reduction) -> None:
    """Task `few`: as `columns`, for at most FEW rows: their tree is in registers.

    Lanes that get no row hold the neutral element, and what they are merged with stays as it is.
    """
    task = Task(m, "few", spec.words("columns"))
    f = task.f
    stripes = (task.inner + task.stripe - 1) // task.stripe
    singles = load_singles(task, spec)
    lo, hi = task.share(task.outer * stripes)
    with f.loop(lo, hi) as unit:
        outer, first = unit // stripes, unit % stripes * task.stripe
        width = f.min(task.inner - first, task.stripe)
        kept_at = outer * task.inner + first
        rows = [f.min(task.n - 1, row) for row in range(FEW)]
        starts = [
            {
                name: task.words[name].at(
                    outer * task.words[f"{name}_outer"] + row * task.words[f"{name}_row"] + first,
                    kind,
                )
                for name, kind in spec.inputs.items()
            }
            for row in rows
        ]
        scalars = [
            {
                name: task.words[name].at(outer * task.n + row, kind).load(kind)
                for name, kind in spec.reduced.items()
            }
            for row in rows
        ]

        def column(
            j: Value,
            lanes: int,
            starts: Any = starts,
            scalars: Any = scalars,
            kept_at: Value = kept_at,
        ) -> None:
            kept = {
                name: task.words[name].at(kept_at + j, kind).load(typed(kind, lanes))
                for name, kind in spec.kept.items()
            }
            kept |= {name: spread(value, lanes) for name, value in singles.items()}
            wide = typed(spec.lane, lanes)
            held: list[list[Value]] = [[] for _ in spec.combines]
            for row in range(FEW):
                names = {
                    name: starts[row][name].at(j, kind).load(typed(kind, lanes))
                    for name, kind in spec.inputs.items()
                }
                names |= {name: spread(value, lanes) for name, value in scalars[row].items()}
                made = spec.values(f, SimpleNamespace(**names, **kept))
                there = task.n.cmp("sgt", row)
                for lane, combine, value in zip(held, spec.combines, made, strict=True):
                    neutral = f.const(wide, combine.neutral)
                    lane.append(there.select(combine.merge(f, neutral, value), neutral))
            results = []
            for lane, combine in zip(held, spec.combines, strict=True):
                while len(lane) > 1:
                    half = len(lane) // 2
                    lane = [combine.merge(f, lane[e], lane[e + half]) for e in range(half)]
                results.append(lane[0])
            finished = spec.finish(f, results, task.divisor)
            for i, (value, kind) in enumerate(zip(finished, spec.outs, strict=True)):
                task.words[f"out{i}"].at(kept_at + j, kind).store(value)

        each_column(f, spec.lane, width, column)
    f.ret()


class _Tile:
    """One block of rows times one stripe of columns, at the time when its code is written."""

    def __init__(
        self,
        task: Task,
        spec: Reduction,
        unit: Value,
        stripes: Value,
        lanes: Sequence[Value],
        pitch: Value,
    ) -> None:
        f = task.f
        self.task, self.spec, self.lanes, self.pitch = task, spec, lanes, pitch
        self.first = (unit % stripes) * task.stripe
        rest = unit // stripes
        self.block = rest % task.blocks
        self.outer = rest // task.blocks
        self.row = self.block * BLOCK
        self.rows = f.min(task.n - self.row, f.const("i64", BLOCK))
        self.width = f.min(task.inner - self.first, task.stripe)
        self.kept = self.outer * task.inner + self.first
        self.bases = {
            name: task.words[name].at(
                self.outer * task.words[f"{name}_outer"]
                + self.row * task.words[f"{name}_row"]
                + self.first,
                kind,
            )
            for name, kind in spec.elements.items()
        }
        self.singles = load_singles(task, spec)
        reduced = self.outer * task.n + self.row
        self.bases |= {
            name: task.words[name].at(reduced, kind) for name, kind in spec.reduced.items()
        }

    def clear_idle_lanes(self) -> None:
        """Lanes that get no row hold the neutral element."""
        f = self.task.f
        with f.loop(f.min(self.rows, LANES), LANES) as lane:
            self._clear(lane * self.pitch, self.width)

    def _clear(self, start: Value, count: Value) -> None:
        f, lane = self.task.f, self.spec.lane
        for combine, base in zip(self.spec.combines, self.lanes, strict=True):
            neutral = f.const(lane, combine.neutral)
            with f.loop(0, count) as j:
                base.at(start + j, lane).store(neutral)

    def add_rows(self) -> None:
        """Row by row, up to ROUNDS rows of a lane at a time; packed, 32 rows as one of lane 0, the
        last of which may be of fewer.
        """
        task, f = self.task, self.task.f
        packed = task.packed.cmp("ne", 0)
        lanes = packed.select(f.const("i64", 1), f.const("i64", LANES))
        width = packed.select(task.inner * LANES, self.width)
        steps = {name: task.words[f"{name}_row"] * LANES for name in self.spec.elements}
        steps |= {name: f.const("i64", LANES) for name in self.spec.reduced}
        with f.loop(0, self.rows, LANES * ROUNDS) as base:
            fresh = base.cmp("eq", 0)
            with f.loop(0, f.min(self.rows - base, lanes)) as lane:
                row = base + lane
                left = self.rows - row
                starts = {
                    name: self.bases[name].at(row * task.words[f"{name}_row"], kind)
                    for name, kind in self.spec.elements.items()
                }
                starts |= {
                    name: self.bases[name].at(row, kind) for name, kind in self.spec.reduced.items()
                }
                end = packed.select(left * task.inner, width * ROUNDS)
                self._add(fresh, lane * self.pitch, width, end, left, packed, starts, steps)

    def _add(
        self,
        fresh: Value,
        at: Value,
        width: Value,
        end: Value,
        left: Value,
        packed: Value,
        starts: dict[str, Value],
        steps: dict[str, Value],
    ) -> None:
        """Add up to ROUNDS rows of `width`, `steps` apart, to the accumulators at `at`: those that
        begin within the `left` rows of the input, of `end` elements in all.
        """
        f = self.task.f
        whole = packed.select(left, left + (LANES - 1)) // LANES
        with f.if_(whole.cmp("sge", ROUNDS)) as branch:
            self._add_some(fresh, at, width, ROUNDS, starts, steps)
            branch.otherwise()
            with f.loop(0, (left + (LANES - 1)) // LANES) as q:
                moved = {
                    name: start.at(q * steps[name], self._kind(name))
                    for name, start in starts.items()
                }
                first = fresh & q.cmp("eq", 0)
                self._add_some(first, at, f.min(width, end - q * width), 1, moved, steps)

    def _kind(self, name: str) -> str:
        return self.spec.elements.get(name) or self.spec.reduced[name]

    def _add_some(
        self,
        fresh: Value,
        at: Value,
        width: Value,
        count: int,
        starts: dict[str, Value],
        steps: dict[str, Value],
    ) -> None:
        f, spec = self.task.f, self.spec
        rows = [
            {name: start.at(steps[name] * q, self._kind(name)) for name, start in starts.items()}
            for q in range(count)
        ]
        scalars = [
            {name: row[name].load(kind) for name, kind in spec.reduced.items()} for row in rows
        ]

        def add(j: Value, lanes: int) -> None:
            kept = {
                name: self.task.words[name].at(self.kept + j, kind).load(typed(kind, lanes))
                for name, kind in spec.kept.items()
            }
            kept |= {name: spread(value, lanes) for name, value in self.singles.items()}
            places = [base.at(at + j, spec.lane) for base in self.lanes]
            wide = typed(spec.lane, lanes)
            totals = [
                fresh.select(f.const(wide, combine.neutral), place.load(wide))
                for combine, place in zip(spec.combines, places, strict=True)
            ]
            for row, scalar in zip(rows, scalars, strict=True):
                names = {
                    name: row[name].at(j, kind).load(typed(kind, lanes))
                    for name, kind in spec.inputs.items()
                }
                names |= {name: spread(value, lanes) for name, value in scalar.items()}
                made = spec.values(f, SimpleNamespace(**names, **kept))
                new, stored = made[: len(totals)], made[len(totals) :]
                for (name, kind), value in zip(spec.stores.items(), stored, strict=True):
                    row[name].at(j, kind).store(value)
                totals = [
                    combine.merge(f, total, value)
                    for combine, total, value in zip(spec.combines, totals, new, strict=True)
                ]
            for place, total in zip(places, totals, strict=True):
                place.store(total)

        each_column(f, spec.lane, width, add)

    def store(self) -> None:
        """The tree over the lanes, column by column."""
        task, spec, f = self.task, self.spec, self.task.f
        single = task.blocks.cmp("sle", 1)
        part = (self.outer * task.blocks + self.block) * task.inner + self.first

        def finish(j: Value, lanes: int) -> None:
            wide = typed(spec.lane, lanes)
            results = []
            for combine, base in zip(spec.combines, self.lanes, strict=True):
                at = base.at(j, spec.lane)
                results.append(tree_in_place(f, at, self.pitch, wide, spec.lane, combine.merge))
            with f.if_(single) as branch:
                finished = spec.finish(f, results, task.divisor)
                for i, (value, kind) in enumerate(zip(finished, spec.outs, strict=True)):
                    task.words[f"out{i}"].at(self.kept + j, kind).store(value)
                branch.otherwise()
                for i, value in enumerate(results):
                    task.words[f"part{i}"].at(part + j, spec.lane).store(value)

        each_column(f, spec.lane, self.width, finish)


def typed(kind: str, lanes: int) -> str:
    return vector(kind, lanes) if lanes > 1 else kind


def each_column(f: Function, kind: str, count: Value, body: Callable[[Value, int], None]) -> None:
    """body(j, lanes) for so many columns: whole vectors, then eight, then one by one."""
    widths = {max(host().vector_bytes // TYPES[kind].size, WIDTH), WIDTH, 1}
    done = f.const("i64", 0)
    for lanes in sorted(widths, reverse=True):
        stop = count & -lanes
        with f.loop(done, stop, lanes) as j:
            body(j, lanes)
        done = stop


def widest_stripe(lane: str) -> int:
    """The most columns that are reduced together."""
    return STRIPE_BYTES // TYPES[lane].size


def stripe_for(spec: Reduction, inner: int, contiguous: bool) -> tuple[int, int]:
    """(columns in a stripe, packed or not) for rows of `inner` columns."""
    widest = widest_stripe(spec.lane)
    packed = contiguous and not (spec.kept or spec.reduced) and inner <= widest
    return (inner if packed else min(inner, widest)), int(packed)
