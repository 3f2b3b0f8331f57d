"""Rows that wait for their own sums, written by hand, as row programs. Floor 6.

A softmax or a layer norm in single operations becomes what rows.py describes: reductions over a
row, numbers of the row, rows that are stored, all while the row is near. What is dear and read
after a reduction (exp(x - top)) waits in one of the rows that are results.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from twofold.codegen.cache import digest
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.bodies import COMBINES, EACH, KEPT, REDUCED, SINGLE, Whole, spread_of
from twofold.lower.elements import HELD
from twofold.lower.row_plan import Sizes, row_step, row_stride
from twofold.lower.rows import Let, Phase, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, In, Out, Plan, Word
from twofold.lower.splice import Builder
from twofold.lower.strided import spread_strides

FEW = 16384  # elements that one thread does anyway


def plan_fused_rows(whole: Whole, results: Sequence[int], threads: int) -> Plan | None:
    """A plan by rows; None where they are not the last axes, of other types, or too few."""
    rank = len(whole.shape)
    if whole.axes != tuple(range(rank - len(whole.axes), rank)) or not whole.axes:
        return None
    outer = prod(whole.shape[: whole.axes[0]])
    if outer < 2 * threads and outer * whole.n > FEW:
        return None
    lane = _lane(whole, results)
    phases = None if lane is None else _Phases(whole, results).write()
    if phases is None or lane is None:
        return None
    build = Builder(threads)
    places: dict[str, Word] = {}
    strides: dict[str, int] = {}
    kinds: dict[str, dict[str, str]] = {EACH: {}, KEPT: {}, REDUCED: {}, SINGLE: {}}
    for i in whole.needs([*results, *whole.reductions]):
        if i >= whole.first:
            continue
        arg, name = whole.args[i], f"x{i}"
        kind = spread_of(arg.shape, whole.shape, whole.axes)
        if kind is None:
            return None
        spread = Arg(whole.shape, arg.dtype, spread_strides(arg, whole.shape))
        stride = row_stride(spread, whole.axes) if kind == EACH else None
        places[name] = In(i) if stride is not None else build.dense(arg, i)
        if kind == EACH:
            strides[name] = whole.n if stride is None else stride
        kinds[kind][name] = HELD[arg.dtype].stored
    rows = [f"r{i}" for i in results if not whole.left[i]]
    saves = [f"r{i}" for i in results if whole.left[i]]
    places |= {f"r{i}": Out(k) for k, i in enumerate(results)}
    if not kinds[EACH]:
        return None
    text = f"{whole.text()} {list(results)} {sorted(places)} {kinds}"
    program = RowProgram(
        f"fused/{digest(text)}",
        lane,
        kinds[EACH],
        tuple(phases),
        places=kinds[REDUCED],
        each=kinds[KEPT],
        cyclic=kinds[SINGLE],
        outs=tuple(rows),
        saves=tuple(saves),
    )
    sizes = Sizes(outer, whole.n, 1, 1)
    for step in row_step(program, sizes, places, threads, strides=strides):
        build.add(step)
    return build.plan()


def _lane(whole: Whole, results: Sequence[int]) -> str | None:
    """The one type of everything that is reduced or stored, if it is a float's."""
    made = {whole.types[i].dtype for i in (*whole.reductions, *results)}
    made |= {whole.types[whole.operand(i)].dtype for i in whole.reductions}
    names = {d.loops for d in made}
    if len(made) != 1 or not names <= {"f32", "f64"} or not whole.alike:
        return None
    if any(whole.types[i].shape != whole.shape for i in results if not whole.left[i]):
        return None
    return names.pop()


class _Phases:
    """The phases of a body, while they are written."""

    def __init__(self, whole: Whole, results: Sequence[int]) -> None:
        self.whole, self.results = whole, results
        self.rows = [i for i in results if not whole.left[i]]
        self.waits: dict[int, str] = {}  # value: the row of a result that it waits in
        self.phases: list[Phase] = []

    def write(self) -> list[Phase] | None:
        """All phases; None where a dear value has no row to wait in."""
        whole = self.whole
        for level in range(max(whole.level)):
            reductions = [i for i in whole.reductions if whole.level[i] == level + 1]
            keep = self.keep(level, reductions)
            if keep is None:
                return None
            self.reduce(reductions, keep)
            self.numbers(level)
        done = [i for i in self.rows if i in self.waits and self.waits[i] == f"r{i}"]
        order = sorted(self.rows, key=lambda i: f"r{i}" in self.waits.values())
        for at, i in enumerate(order):
            if i in done:
                continue
            if any(self.reads(other, f"r{i}") for other in order[at + 1 :] if other not in done):
                return None
            self.phases.append(Store(f"r{i}", self.recipe(i)))
        for i in self.results:
            if whole.left[i]:
                self.phases.append(Save(f"r{i}", self.recipe(i)))
        return self.phases

    def keep(self, level: int, reductions: list[int]) -> str | None:
        """The row that the first operand waits in, "" for none; None if another must wait."""
        whole = self.whole
        dear = [v for v in self.crossing(level) if not whole.is_cheap(v, self.waits)]
        if not dear:
            return ""
        free = [i for i in self.rows if f"r{i}" not in self.waits.values()]
        for value in [whole.operand(i) for i in reductions]:
            known = {*self.waits, value}
            if not free or not all(whole.is_cheap(v, known) for v in dear):
                continue
            if value in self.rows and value not in free:
                return None
            name = f"r{value if value in free else free[0]}"
            first = next(i for i in reductions if whole.operand(i) == value)
            reductions.insert(0, reductions.pop(reductions.index(first)))
            self.waits[value] = name
            return name
        return None

    def crossing(self, level: int) -> list[int]:
        """Elements that are known at a level and read above it, or stored."""
        whole = self.whole
        found = []
        needed = whole.needs([*self.results, *whole.reductions])
        for v in needed:
            early = v >= whole.first and whole.level[v] <= level
            if not early or whole.left[v] or whole.everywhere[v] or v in self.waits:
                continue
            later = v in self.rows
            for r in needed:
                if r >= whole.first and v in whole.step(r).args:
                    later |= whole.level[r] > level + whole.is_reduction(r)
            if later:
                found.append(v)
        return found

    def reduce(self, reductions: list[int], keep: str) -> None:
        whole = self.whole
        operands = [whole.operand(i) for i in reductions]
        waits = {v: name for v, name in self.waits.items() if name != keep}

        def values(f: Function, names: Any) -> Sequence[Value]:
            return whole.evaluate(f, operands, self.given(f, names, operands, waits))

        combines = tuple([COMBINES[whole.step(i).op.name] for i in reductions])
        names = tuple([f"v{i}" for i in reductions])
        self.phases.append(Reduce(names, combines, values, keep or None))
        for i in reductions:
            if whole.step(i).op.name == "mean":
                self.phases.append(Let(f"v{i}", _divided(f"v{i}")))

    def numbers(self, level: int) -> None:
        """What is made of the numbers of a row alone."""
        whole = self.whole
        for v in whole.needs([*self.results, *whole.reductions]):
            here = v >= whole.first and whole.left[v] and whole.level[v] == level + 1
            if here and not whole.is_reduction(v):
                self.phases.append(Let(f"v{v}", self.recipe(v)))

    def recipe(self, value: int) -> Any:
        whole, waits = self.whole, dict(self.waits)

        def made(f: Function, names: Any) -> Value:
            return whole.evaluate(f, [value], self.given(f, names, [value], waits))[0]

        return made

    def given(
        self, f: Function, names: Any, wanted: Sequence[int], waits: dict[int, str]
    ) -> dict[int, Value]:
        """The values that recipes begin with: inputs, rows that wait, numbers of the row."""
        whole = self.whole
        found: dict[int, Value] = {}
        stop = [*waits, *(v for v in range(len(whole.types)) if whole.left[v])]
        for v in whole.needs(wanted, stop):
            if v in waits:
                found[v] = getattr(names, waits[v])
            elif v < whole.first:
                found[v] = HELD[whole.types[v].dtype].widen(f, getattr(names, f"x{v}"))
            elif whole.left[v]:
                number = _name(names, v)
                if number is not None:
                    found[v] = number
                else:
                    found |= self.given(f, names, list(whole.step(v).args), waits)
        return found

    def reads(self, value: int, row: str) -> bool:
        """Whether a result is made of what waits in a row."""
        left = [v for v, is_left in enumerate(self.whole.left) if is_left]
        needed = self.whole.needs([value], [*self.waits, *left])
        return any(self.waits.get(v) == row for v in needed)


def _name(names: Any, value: int) -> Any:
    try:
        return getattr(names, f"v{value}")
    except AttributeError:
        return None


def _divided(name: str) -> Any:
    """A sum as a mean: what rows.py calls n is exact in the lane's type or rounded as NumPy's."""
    return lambda f, names: getattr(names, name) / names.n
