"""Bodies of fused operations that have reductions: what each value is, and what it is made of.
Floor 6.

Values are named by numbers, as steps name them: the inputs first, then the result of each step. A
value is an element of the whole, a number that a reduction leaves (or made of such), or one number
everywhere. Its level is how many reductions it waits for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Any, final

from twofold.base.types import Type
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.elements import HELD
from twofold.lower.fused import step_value
from twofold.lower.order import MAX, MIN, SUM
from twofold.lower.reduce import axes_from
from twofold.lower.schedule import Arg
from twofold.ops.fused import Body

COMBINES = {"sum": SUM, "sum_to_one": SUM, "mean": SUM, "amax": MAX, "amin": MIN}
# What is done again sooner than kept: it costs less than to write and read its result.
CHEAP = frozenset(
    ("full", "add", "sub", "mul", "neg", "abs", "square", "cast", "where", "relu", "maximum")
    + ("minimum", "eq", "ne", "lt", "le", "gt", "ge", "logical_not", "logical_and", "logical_or")
)


@final
class Whole:
    """A body with inputs of known layouts.

    shape, axes    of what is reduced, and which axes
    types, level   by the value's number
    """

    def __init__(self, args: Sequence[Arg], body: Sequence[Any]) -> None:
        self.args = args
        self.body = body
        self.first = len(args)
        self.types = [Type(a.shape, a.dtype) for a in args]
        self.level = [0] * self.first
        self.left = [False] * self.first  # what a reduction leaves
        self.everywhere = [False] * self.first
        self.shape: tuple[int, ...] = ()
        self.axes: tuple[int, ...] = ()
        self.alike = True  # whether all reductions are over the same axes of one shape
        for step in body:
            self._add(step)
        # A sum of one element is a copy for sum_to_one alone: -0.0 stays -0.0.
        copies = self.n == 1 and any(step.op.name == "sum_to_one" for step in body)
        self.alike = self.alike and not copies

    def _add(self, step: Any) -> None:
        given = [self.types[a] for a in step.args]
        made = step.op.infer(*given, **step.op.keywords(step.attrs))
        level = max((self.level[a] for a in step.args), default=0)
        here = [a for a in step.args if not self.everywhere[a]]
        if step.op.name in COMBINES:
            level += 1
            shape = given[0].shape
            axes = axes_from(step.op.keywords(step.attrs), len(shape))
            first = not any(self.left)
            self.alike = self.alike and (first or (shape, axes) == (self.shape, self.axes))
            self.shape, self.axes = shape, axes
        elif all(self.left[a] for a in here):
            self.alike = self.alike and all(made.size == self.types[a].size for a in here)
        elif not all(self._in_line(a) for a in here if self.left[a]):
            self.alike = False
        self.types.append(made)
        self.level.append(level)
        self.everywhere.append(not here)
        self.left.append(
            step.op.name in COMBINES or (bool(here) and all(self.left[a] for a in here))
        )

    def _in_line(self, value: int) -> bool:
        """Whether what a reduction has left is broadcast along the axes that were reduced. A row's
        number without that axis is another column's: x * x.sum(1) of a square x.
        """
        shape = self.types[value].shape
        kept = tuple([1 if i in self.axes else n for i, n in enumerate(self.shape)])
        return (1,) * (len(kept) - len(shape)) + tuple(shape) == kept

    @property
    def n(self) -> int:
        """How many elements go into each result."""
        return prod([self.shape[axis] for axis in self.axes])

    def step(self, value: int) -> Any:
        """The step that makes a value; None for an input."""
        return self.body[value - self.first] if value >= self.first else None

    def is_reduction(self, value: int) -> bool:
        return value >= self.first and self.body[value - self.first].op.name in COMBINES

    @property
    def reductions(self) -> list[int]:
        return [i for i in range(self.first, len(self.types)) if self.is_reduction(i)]

    def operand(self, reduction: int) -> int:
        """The value that is reduced."""
        return int(self.step(reduction).args[0])

    def needs(self, values: Iterable[int], known: Iterable[int] = ()) -> list[int]:
        """All values that these are made of, themselves too, in order; `known` are made already."""
        stop, found, waiting = set(known), set(), list(values)
        while waiting:
            value = waiting.pop()
            if value in found:
                continue
            found.add(value)
            if value not in stop and value >= self.first:
                waiting += self.step(value).args
        return sorted(found)

    def is_cheap(self, value: int, known: Iterable[int] = ()) -> bool:
        """Whether a value is sooner computed again, from inputs, what reductions leave and `known`
        values, than kept.
        """
        known = {*known, *(v for v, left in enumerate(self.left) if left)}
        made = [v for v in self.needs([value], known) if v >= self.first and v not in known]
        return all(self.step(v).op.name in CHEAP for v in made)

    def evaluate(
        self, f: Function, wanted: Sequence[int], given: Mapping[int, Value]
    ) -> list[Value]:
        """Values as their types are held, from given ones."""
        known: list[Any] = [None] * len(self.types)
        for number, value in given.items():
            known[number] = value
        types = [t.dtype for t in self.types]
        like = next(iter(given.values())).type
        for made in self.needs(wanted, given):
            if known[made] is None:
                known[made] = step_value(f, self.step(made), known, types, like)
        return [known[i] for i in wanted]

    def loaded(self, f: Function, names: Any, inputs: Iterable[int]) -> dict[int, Value]:
        """Inputs by number, from the elements that a kernel has loaded as x0, x1, ..."""
        return {i: HELD[self.types[i].dtype].widen(f, getattr(names, f"x{i}")) for i in inputs}

    def part(self, inputs: Iterable[int], wanted: Sequence[int]) -> tuple[list[int], Any, Any]:
        """The body that makes values of known ones: its inputs, its steps, and where in it they
        are.
        """
        known = set(inputs)
        needed = self.needs(wanted, known)
        given = [v for v in needed if v in known or v < self.first]
        places = {v: i for i, v in enumerate(given)}
        steps = []
        for v in needed:
            if v not in places:
                step = self.step(v)
                steps.append(step._replace(args=tuple([places[a] for a in step.args])))
                places[v] = len(given) + len(steps) - 1
        return given, Body(steps), tuple([places[v] for v in wanted])

    def text(self) -> str:
        """What tells one body from another, for the names of kernels."""
        return f"{self.body} {[t.dtype.short for t in self.types]}"


# How an input is spread over the whole: an element each, one for each result, one for each reduced
# index, or one for all.
EACH, KEPT, REDUCED, SINGLE = "inputs", "kept", "reduced", "singles"


def spread_of(shape: Sequence[int], whole: Sequence[int], axes: Sequence[int]) -> str | None:
    """How an input is spread; None for any other way."""
    if prod(shape) == 1:
        return SINGLE
    missing = len(whole) - len(shape)
    own = (1,) * missing + tuple(shape)
    if own == tuple(whole):
        return EACH
    kept = [axis for axis in range(len(whole)) if axis not in axes]
    for kind, there, away in ((KEPT, kept, axes), (REDUCED, axes, kept)):
        if all(own[i] == whole[i] for i in there) and all(own[i] == 1 for i in away):
            return kind
    return None
