"""What a planner decides as the steps of one plan, for the sizes at hand. Floor 7.

`Steps` takes down what a `Planner` (exec/graphs.py) decides: plans of calls, copies, constants, and
where the program ends. A `Recorder` (exec/recorder.py) takes down the same for any sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from twofold.base.types import Type
from twofold.exec.constants import computed
from twofold.exec.found import INPUT, Found, Part
from twofold.exec.planned import Pending
from twofold.exec.structure import Known, Place
from twofold.ir.graph import Call
from twofold.lower.move import move_step
from twofold.lower.schedule import Arg

if TYPE_CHECKING:  # a planner makes these: an import that runs would be a ring
    from twofold.exec.graphs import Planner


@final
class Steps:
    """The steps of a planner."""

    def __init__(self, planner: Planner) -> None:
        self.planner = planner

    def admit(self, strange: bool) -> None:
        """Take a call; strange: one that is no kernel."""

    def found(self, known: Known, args: Sequence[Arg], outs: Sequence[Type]) -> Found | None:
        """A call's own plan."""
        planner = self.planner
        keywords, key = planner.attrs_of(known)
        return planner.structure.plan_of(known, key, args, outs, keywords, planner.threads)

    def join(self, found: Found, sources: list[Any], call: Call) -> None:
        """Add a call's own plan, with its pointers turned into places: inputs, outputs, scratch."""
        planner, ins = self.planner, sources[0]
        store, late = planner.store, found.parts
        if found.early and store is not None:
            early = [part for part in found.parts if part.early]
            key = tuple(
                [(p, *[ins[n] for _, kind, n, _ in p.spots if kind == INPUT]) for p in early]
            )
            room, new = store.room(key, found.frozen)
            sources.append([Place(room, 0, ins[0].arg)])
            if new:
                store.add([pending(p, sources, call).resolved([]) for p in early], found.keep)
            late = tuple([part for part in found.parts if not part.early])
        planner.steps += [pending(part, sources, call) for part in late]

    def copy(self, call: Call, place: Place, into: Place) -> None:
        """Add a step that copies what has elements."""
        self.planner.steps.append(copying(call, place, into, self.planner.threads))

    def end_if(self, bytes_: Sequence[Place], call: Call) -> None:
        """Add the step that ends the program where one of these bytes is set."""
        spots = [(i, place, 0) for i, place in enumerate(bytes_)]
        job = (0,) * len(spots)
        self.planner.steps.append(Pending(0, job, spots, -len(spots), call))

    def constant(
        self, planner: Planner, number: int, known: Known, places: Sequence[Place]
    ) -> None:
        """Compute what depends on nothing but the sizes, or a view of it; once, if not on them
        either.
        """
        call, constants = known.call, planner.structure.constants
        several = constants.get(number)
        if several is None:
            arrays, keywords = [place.base for place in places], planner.attrs_of(known)[0]
            if call.op.view:
                made = call.op.ref(*arrays, **keywords)
                several = made if isinstance(made, tuple) else (made,)
            else:
                several = computed(call, arrays, keywords, planner.values)
            if known.fixed and not call.inputs:
                constants[number] = several
        planner.settle(call, several)
        planner.keep += several  # a view may be a copy


def pending(part: Part, sources: Any, call: Call) -> Pending:
    """A step of a call's plan, with places for its pointers."""
    spots = [(at, sources[kind][index], more) for at, kind, index, more in part.spots]
    return Pending(part.task, part.job, spots, part.chunks, call)


@final
class _Pointing:
    """A place that passes for a pointer of a planner."""

    __slots__ = ("place",)

    def __init__(self, place: Place) -> None:
        self.place = place


def copying(call: Call, place: Place, into: Place, threads: int) -> Pending:
    """The step that copies what has elements."""
    arg = place.arg
    source: Any = _Pointing(place)
    target: Any = _Pointing(into)
    step = move_step(arg.shape, arg.strides, into.arg.strides, arg.dtype, source, target, threads)
    assert step is not None  # there are elements
    words: Any = step.job
    spots = [(i, w.place, 0) for i, w in enumerate(words) if isinstance(w, _Pointing)]
    job = tuple([0 if isinstance(w, _Pointing) else w for w in words])
    return Pending(step.task, job, spots, step.chunks, call)
