"""Run a graph on arrays, and remember its plan for inputs of each layout. Floor 7."""

from __future__ import annotations

import importlib
import math
import operator
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

import numpy as np

from twofold.base.errors import line_of
from twofold.base.flags import flags
from twofold.base.guards import Guard, guards_hold
from twofold.base.symbols import value_of
from twofold.base.traced import Untraceable
from twofold.codegen.compile import no_collector, together
from twofold.codegen.native import core
from twofold.exec.frozen import Store
from twofold.exec.graphs import Planner
from twofold.exec.layouts import Layout, Layouts
from twofold.exec.planned import Planned
from twofold.exec.structure import Structure, loose_symbols
from twofold.ir.graph import Call, Graph
from twofold.lower.schedule import Arg
from twofold.ops.control import Body
from twofold.passes.manager import chosen, optimize
from twofold.runtime import faults, memory, program
from twofold.runtime.entries import MOST_RESULTS
from twofold.runtime.threads import get_num_threads

if TYPE_CHECKING:  # what plans for further sizes alone need
    from twofold.exec.outline import Outline

record = faults.record()
# What only programs of many sizes need.
RECORDER, SHEET = "twofold.exec.recorder", "twofold.lower.sheet"
FIRST = 2  # sizes that are planned without an outline: most programs have no more
WORTH = 0.02  # seconds of planning before an outline is looked for, which takes as long
MOST_OUTLINES = 4  # that are tried to be found
MOST_ENTRIES = 64  # of one graph, which then starts again
MOST_PLANS = 512  # layouts that one graph is planned for; beyond that it starts again


class GuardBroken(Exception):
    """The program was made for other answers than these inputs give."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard)
        self.guard = guard


class _Here(threading.local):
    """The values of the symbols in the call that this thread makes."""

    values: Sequence[Any] = ()


@final
class Runner:
    """A graph behind an entry of machine code, which knows the plans of the layouts it has met.

    sizes   where each symbol is a size of an input: the input's number and the axis of each; the
            values need not be given then
    checks  the numbers of the results that tell, if they are true, that a check has failed: then
            nothing is written, and the other results are of no use
    frozen  the numbers of the inputs that stay as they are until `thaw` is called
    """

    def __init__(
        self,
        graph: Graph,
        sizes: Sequence[tuple[int, int]] | None = None,
        checks: Sequence[int] = (),
        frozen: frozenset[int] = frozenset(),
    ) -> None:
        self.store = Store(frozen) if frozen else None
        self.structure = Structure(graph, [graph.results[i] for i in checks])
        self.graph = graph = self.structure.graph
        self.sizes = sizes
        self.planned: dict[tuple[Any, ...], Planned] = {}
        self.layouts = Layouts()
        self.many = len(graph.results) > MOST_RESULTS
        updated = {into for into, _ in graph.updates}
        self.written = [i for i, given in enumerate(graph.inputs) if given.value in updated]
        self.here = _Here()
        self.errors: list[BaseException] = []  # what Python steps of the plans have raised
        core.begin()
        self.entry: Any = self.begin
        # Layouts alone tell no plan where symbols have values besides: each has an entry then.
        self.loose, self.used = loose_symbols(graph)
        self.held: set[tuple[Any, ...]] = set()  # layouts and values for which the guards hold
        self.entries: dict[tuple[Any, ...], Any] = {}

    def run(self, arrays: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
        """The results for inputs, in the graph's order, and the values of its symbols.

        Raises GuardBroken where the graph does not hold for them.
        """
        self.here.values = values
        entry = self.entry if not self.loose else self.entry_for(arrays, values)
        if self.many:
            planned = self.plan(tuple(map(_plain, arrays)), self.values(arrays))
            made: Any = tuple([memory.empty(out.shape, out.dtype.numpy) for out in planned.outs])
            entry(*arrays, *made)
        else:
            made = entry(*arrays)
        if self.errors:
            raise self.errors.pop()
        if record[0]:
            faults.check()
        if type(made) is tuple:
            return made
        return () if made is None else (made,)

    def begin(self, *arrays: Any) -> Any:
        """The first run."""
        self.entry = self.new_entry(arrays)
        return self.entry(*arrays)

    def new_entry(self, arrays: Sequence[Any]) -> Any:
        """An entry. A run is planned before it is asked for what runs it: both may have to be
        compiled.
        """
        plain = tuple(map(_plain, arrays[: len(self.graph.inputs)]))
        self.plan(plain, self.values(arrays))
        core.start()
        return program.make_entry(self.miss)

    def entry_for(self, arrays: Sequence[Any], values: Sequence[Any]) -> Any:
        """The entry for these values of the loose symbols."""
        key = tuple([values[number] for number in self.loose])
        found = self.entries.get(key)
        if found is None:
            if len(self.entries) >= MOST_ENTRIES:
                self.entries.clear()
            found = self.entries[key] = self.new_entry(arrays)
        return found

    def values(self, arrays: Sequence[Any]) -> Sequence[Any]:
        """The values of the symbols in the call that this thread makes."""
        if self.sizes is None:
            return self.here.values
        return [arrays[index].shape[axis] for index, axis in self.sizes]

    def miss(self, entry: Any, *arrays: Any) -> Any:
        """Plan for inputs of layouts that are new, run that, and teach the entry."""
        values = self.values(arrays)
        plain = tuple(map(_plain, arrays))
        layouts = self.layouts.of(plain)
        count = len(self.graph.inputs)
        planned = self.plan(plain[:count], values, layouts[:count])
        outs = () if self.many else planned.outs
        if flags.debug >= 2:  # the entry learns nothing, so that every run is told of
            return self.told(planned, plain, outs, values)
        words = [layout.words for layout in layouts]
        known = program.add_plan(entry, plain, outs, planned.plan, words)
        if known and all(map(operator.is_, plain, arrays)):
            return self.entry_for(arrays, values)(*arrays) if self.loose else self.entry(*arrays)
        made = program.run_plan(planned.plan, outs, plain)
        for index in self.written:
            if plain[index] is not arrays[index]:
                arrays[index][...] = plain[index]
        return made

    def told(self, planned: Planned, arrays: Any, outs: Any, values: Sequence[Any]) -> Any:
        """Run a plan kernel by kernel, and print the time and the bytes of each."""
        made = [memory.empty(out.shape, out.dtype.numpy) for out in outs]
        seconds = program.time_steps(planned.plan, list(arrays), made)
        total = sum(seconds)
        rows = _kernels(planned, seconds)
        print(f"{self.graph.name}: {total * 1e6:.1f} us, {len(rows)} kernels", file=sys.stderr)
        for call, duration in rows:
            size = bytes_of(call, values)
            row = f"{duration * 1e6:10.1f} us {size:12d} bytes  {call.op.name:<24}"
            print(f"{row} {line_of(call.where)}", file=sys.stderr)
        return tuple(made) if len(made) != 1 else made[0]

    def timed(
        self, arrays: Sequence[Any], values: Sequence[Any]
    ) -> tuple[tuple[Any, ...], list[tuple[Call, float]]]:
        """The results, and the seconds that each kernel took, entered one by one."""
        ready = [_plain(a) for a in arrays]
        planned = self.plan(ready, values)
        outs = [memory.empty(out.shape, out.dtype.numpy) for out in planned.outs]
        plan = planned.plan
        if self.many:
            seconds = program.time_steps(plan, [*ready, *outs], [])
        else:
            seconds = program.time_steps(plan, ready, outs)
        if self.errors:
            raise self.errors.pop()
        return tuple(outs), _kernels(planned, seconds)

    def plan(
        self, arrays: Sequence[Any], values: Sequence[Any], layouts: Sequence[Layout] | None = None
    ) -> Planned:
        """The plan for inputs that kernels can read. Raises GuardBroken."""
        threads = get_num_threads()
        layouts = self.layouts.of(arrays) if layouts is None else layouts
        numbers = [layout.number for layout in layouts]
        key = (threads, *[values[number] for number in self.used], *numbers)
        found = self.planned.get(key)
        if found is None or self.loose != self.used:
            self.ask_guards(values, numbers)
        if found is None:
            args: Any = [layout.arg for layout in layouts]
            if self.store is None:
                found = self.new_plan(args, values, threads, None)
            else:
                core.start()  # what is kept takes memory, and is made, while a run is planned
                with self.store.lock:
                    store = self.store if self.store.takes_more(arrays) else None
                    found = self.new_plan(args, values, threads, store)
                    self.store.fill(arrays)
            if self.many:
                found = _outs_given(found, len(arrays))
            if len(self.planned) >= MOST_PLANS:
                self.planned.clear()
            self.planned[key] = found
        return found

    def ask_guards(self, values: Sequence[Any], layouts: list[int]) -> None:
        """Raise GuardBroken where the graph does not hold for these values and layouts."""
        known = (*[values[number] for number in self.loose], *layouts)
        if known in self.held:
            return
        broken = guards_hold(self.graph.guards, values)
        if broken is not None:
            raise GuardBroken(broken)
        if len(self.held) >= MOST_PLANS:
            self.held.clear()
        self.held.add(known)

    def new_plan(
        self, args: Sequence[Arg], values: Sequence[Any], threads: int, store: Store | None
    ) -> Planned:
        structure = self.structure
        try:
            with no_collector():
                found = self.by_outline(args, values, threads) if store is None else None
                if found is not None:
                    return found
                began = time.thread_time()
                with together():
                    given = (structure, args, values, threads, self.errors)
                    made = Planner(*given, store=store).plan()
                if structure.plans > 1:  # the first time planners are imported, too
                    structure.spent += time.thread_time() - began
                return made
        except BaseException:
            self.structure.forget()
            raise

    def by_outline(
        self, args: Sequence[Arg], values: Sequence[Any], threads: int
    ) -> Planned | None:
        """The plan by what is known of plans for other sizes. None where nothing is."""
        structure = self.structure
        if flags.check >= 3 or not structure.lock.acquire(blocking=False):
            return None  # (another thread writes into its cells)
        try:
            outlines = structure.outlines.setdefault(threads, [])
            with together():
                for number, outline in enumerate(outlines):
                    found: Planned | None = outline.plan(args, values)
                    if found is not None:
                        outlines.insert(0, outlines.pop(number))
                        return found
                made = self.new_outline(args, values, threads)
                if made is None:
                    return None
                outlines.insert(0, made)
                return made.plan(args, values)
        finally:
            structure.lock.release()

    def new_outline(
        self, args: Sequence[Arg], values: Sequence[Any], threads: int
    ) -> Outline | None:
        """A further outline, once some sizes have been planned without one; None where the planner
        cannot be traced.
        """
        structure = self.structure
        structure.plans += 1
        if structure.plans < FIRST or structure.sought >= MOST_OUTLINES:
            return None
        task = importlib.import_module(SHEET).load_sheet()
        if structure.plans == FIRST or task.job is not None:  # it is compiled meanwhile
            return None
        if structure.spent < WORTH:
            return None
        structure.spent = 0.0
        structure.plans = 0
        structure.sought += 1
        try:
            recorder = importlib.import_module(RECORDER)
            traced = recorder.Recorder(structure, args, values, threads)
            given = (structure, traced.args, traced.values, threads, self.errors)
            return Planner(*given, recorder=traced).outline()
        except Untraceable:
            return None

    def thaw(self, arrays: Sequence[Any]) -> None:
        """Make anew what was kept of the frozen inputs, which these are now."""
        if self.store is not None:
            self.store.fill(tuple(map(_plain, arrays)), again=True)


def make_body(graph: Graph, passes: Any = None) -> Body:
    """A branch, or the body of a loop, of a graph."""
    runner: list[Runner] = []

    def run(arrays: Sequence[Any], sizes: Sequence[Any]) -> tuple[Any, ...]:
        if not runner:
            runner.append(Runner(optimize(graph, chosen(passes))))
        return runner[0].run(arrays, sizes)

    body = Body(graph, run)
    body.passes = passes
    return body


def _kernels(planned: Planned, seconds: Sequence[float]) -> list[tuple[Call, float]]:
    """The kernels' times, without the steps that only look whether the program ends."""
    rows = zip(planned.plan.steps, planned.steps, seconds, strict=True)
    return [(call, duration) for step, call, duration in rows if step.chunks >= 0]


def bytes_of(call: Call, values: Sequence[Any]) -> int:
    """The bytes that a call reads and writes."""
    shapes = [(value_of(v.shape, values), v.dtype.itemsize) for v in (*call.inputs, *call.outs)]
    return sum(math.prod(shape) * size for shape, size in shapes)


def _plain(array: Any) -> Any:
    """The array where kernels can read it, else an aligned copy."""
    flags = array.flags
    if flags.aligned and (flags.forc or not any([s % array.itemsize for s in array.strides])):
        return array
    return np.array(array, order="C")


def _outs_given(planned: Planned, inputs: int) -> Planned:
    """The plan with its outputs taken as further inputs: for more than entries make."""
    old = planned.plan
    steps = old.steps
    assert isinstance(steps, program.Coded)  # of a graph
    given = program.Coded(steps.heads, steps.words, steps.patches, inputs + len(planned.outs))
    plan = program.Plan(given, old.scratch, old.contiguous, old.keep, old.long)
    return planned._replace(plan=plan)
