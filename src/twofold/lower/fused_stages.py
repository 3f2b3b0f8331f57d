"""A body with reductions in stages: each is what can be done before the next reduction. Floor 6.

For what fits into no kernel as a whole. Between stages values lie in scratch memory; what is cheap
is computed again instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from twofold.base.types import Type
from twofold.lower.bodies import Whole
from twofold.lower.schedule import Arg, In, Out, Plan, Pointer, find_planner
from twofold.lower.splice import Builder
from twofold.lower.strided import dense_strides
from twofold.ops.fused import Body

# (body, results, threads) -> its plan as one kernel, if there is one
One = Callable[[Whole, Sequence[int], int], Plan | None]


def plan_stages(whole: Whole, results: Sequence[int], threads: int, one: One) -> Plan:
    """A plan of the body in stages."""
    work = _Stages(whole, results, threads, one)
    for level in range(max(whole.level)):
        work.stage(level)
    work.elementwise([v for v in results if v not in work.places])
    return work.build.plan()


def _up(numbers: Iterable[int]) -> tuple[int, ...]:
    return tuple([n + 1 for n in numbers])


def _shifted(step: Any) -> Any:
    """A step of a body with one more input before all others."""
    return step._replace(args=_up(step.args))


@final
class _Stages:
    """A plan under construction: where values lie that were made."""

    def __init__(self, whole: Whole, results: Sequence[int], threads: int, one: One) -> None:
        self.whole, self.results, self.threads, self.one = whole, results, threads, one
        self.build = Builder(threads)
        self.places: dict[int, Pointer] = {i: In(i) for i in range(whole.first)}
        self.args: dict[int, Arg] = dict(enumerate(whole.args))

    def stage(self, level: int) -> None:
        """The reductions that wait for `level` others, with what they need and what follows."""
        whole = self.whole
        reductions = [i for i in whole.reductions if whole.level[i] == level + 1]
        readers = self.readers()
        left = [v for v in whole.needs(self.results) if whole.left[v]]
        left = [v for v in left if whole.level[v] == level + 1 and self.is_read(v, readers)]
        kept = [v for v in self.crossing(level, readers) if v not in left]
        given, body, places = whole.part(self.places, [*left, *kept])
        part = Whole([self.args[v] for v in given], body)
        plan = self.one(part, places, self.threads)
        if plan is None:
            self.apart(reductions, kept)
            self.elementwise([v for v in left if v not in self.places])
        else:
            self.splice(plan, given, [*left, *kept])

    def readers(self) -> dict[int, list[int]]:
        """Which steps read each value, by the number of what they make."""
        found: dict[int, list[int]] = {}
        for v in self.whole.needs(self.results):
            for a in () if v < self.whole.first else self.whole.step(v).args:
                found.setdefault(a, []).append(v)
        return found

    def is_read(self, value: int, readers: dict[int, list[int]]) -> bool:
        """Whether what a reduction leaves is wanted, or read by more than its own stage."""
        whole = self.whole
        return value in self.results or any(
            not whole.left[r] or whole.level[r] > whole.level[value] for r in readers.get(value, ())
        )

    def crossing(self, level: int, readers: dict[int, list[int]]) -> list[int]:
        """Elements that are made in this stage and kept: wanted, or dear and read later."""
        whole = self.whole
        found = []
        for v in whole.needs(self.results):
            early = whole.level[v] <= level and not whole.left[v] and not whole.everywhere[v]
            if v in self.places or not early:
                continue
            later = any(
                (whole.level[r] > level and r not in whole.reductions) or whole.level[r] > level + 1
                for r in readers.get(v, ())
            )
            if v in self.results or (later and not whole.is_cheap(v, self.places)):
                found.append(v)
        return found

    def apart(self, reductions: Sequence[int], kept: Sequence[int]) -> None:
        """The operands, then each reduction by the planner of its own."""
        whole = self.whole
        operands = [whole.operand(i) for i in reductions]
        self.elementwise([v for v in dict.fromkeys([*operands, *kept]) if v not in self.places])
        for i, operand in zip(reductions, operands, strict=True):
            op, attrs = whole.step(i).op, whole.step(i).attrs
            made = (whole.types[i],)
            planner = find_planner(op.lower)
            plan = planner((self.args[operand],), made, op.keywords(attrs), self.threads)
            assert plan is not None  # a reduction of elements that are held
            self.splice(plan, [operand], [i])

    def elementwise(self, wanted: Sequence[int]) -> None:
        """Values of one shape each, as one kernel for each shape."""
        shapes: dict[tuple[int, ...], list[int]] = {}
        for v in wanted:
            shapes.setdefault(self.whole.types[v].shape, []).append(v)
        for several in shapes.values():
            given, body, places = self.whole.part(self.places, several)
            args = tuple([self.args[v] for v in given])
            if not given:  # made of numbers alone; a kernel has as many lanes as what it reads
                given, body, places = [0], Body([_shifted(step) for step in body]), _up(places)
                args = (Arg((), self.args[0].dtype, ()),)
            made = tuple([self.whole.types[v] for v in several])
            attrs: dict[str, Any] = {"body": body, "outs": places}
            plan = find_planner("fused")(args, made, attrs, self.threads)
            assert plan is not None  # all values are held
            self.splice(plan, given, several)

    def splice(self, plan: Plan, given: Sequence[int], made: Sequence[int]) -> None:
        """Add a plan; what it makes lies in the results or in scratch memory."""
        assert not plan.contiguous
        outs: dict[int, Pointer] = {}
        for k, v in enumerate(made):
            type_: Type = self.whole.types[v]
            wanted = v in self.results
            outs[k] = (
                Out(self.results.index(v))
                if wanted
                else self.build.scratch(type_.size, type_.dtype.itemsize)
            )
            self.args[v] = Arg(type_.shape, type_.dtype, dense_strides(type_.shape))
        self.build.splice(plan, {k: self.places[v] for k, v in enumerate(given)}, outs)
        self.places |= {v: outs[k] for k, v in enumerate(made)}
