"""A captured graph that can be called. Floor 9.

A `Program` finds its inputs (the arguments, the tensors that the function used, fresh numbers from
Python), runs one native plan, and puts the results where the function would have: returned tensors,
`.grad` of leaves, memory written in place. The plan for inputs of known sizes is made once and
found
again by machine code.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np

from twofold.base import dtypes
from twofold.base.symbols import Guard, evaluate, guards_hold
from twofold.base.trees import Form, unflatten
from twofold.codegen.native import core
from twofold.exec.graphs import Planned, Planner, arg_of
from twofold.frontends.capture import Capture
from twofold.ir.graph import Graph
from twofold.ops.tensor import Tensor, root_of, wrap
from twofold.runtime import memory, program
from twofold.runtime.entries import MOST_OUTPUTS
from twofold.runtime.threads import get_num_threads


class GuardBroken(Exception):
    """The program was made for other answers than these inputs give."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(guard)
        self.guard = guard


class Leaf(NamedTuple):
    """What stands at one place of what the function returned.

    kind    "result": number `what` of the results; "argument": leaf `what` of the arguments;
            "object": `what` itself; "number": the expression `what`
    """

    kind: str
    what: Any


class Effect(NamedTuple):
    """A leaf's gradient after the call: a result by number, or None for forgotten.

    leaf    the tensor, or the number of the argument
    """

    leaf: Any
    result: int | None


class Answer(NamedTuple):
    """What the function gives back, and does to gradients, in terms of the graph's results."""

    form: Form
    leaves: tuple[Leaf, ...]
    effects: tuple[Effect, ...]
    checks: tuple[int, ...]


@final
class Program:
    """A graph with its sources and its answer."""

    def __init__(self, capture: Capture, graph: Graph, answer: Answer) -> None:
        self.graph = graph
        self.answer = answer
        self.sources = capture.sources
        self.hosts = capture.hosts
        self.checks = capture.checks
        self.symbols = capture.symbols
        self.grads = [g for g in capture.grads.values() if g.matters]
        self.modules = list(capture.modules.values())
        self.planned: dict[tuple[Any, ...], Planned] = {}
        self.many = len(graph.results) > MOST_OUTPUTS
        self.lock = threading.Lock()
        updated = {into for into, _ in graph.updates}
        self.updated = [
            source
            for given, source in zip(graph.inputs, self.sources, strict=True)
            if given.value in updated
        ]
        core.start()
        self.entry = program.make_entry(self.miss)

    # ---- does it fit?

    def fits(self) -> bool:
        """Whether what the function looked at besides its arguments is as it was."""
        for grad in self.grads:
            if (grad.leaf.grad is None) is not (grad.before is None):
                return False
        return all(module.training is training for module, training in self.modules)

    # ---- a call

    def __call__(self, leaves: Sequence[Any]) -> Any:
        values = [_size(leaves, symbol) for symbol in self.symbols]
        hosted = [host.run() for host in self.hosts]
        arrays = [self.find(source, leaves, values, hosted) for source in self.sources]
        made = self.run(arrays, values)
        if self.checks:
            self.check(arrays, made)
        return self.give(leaves, values, made)

    def check(self, arrays: list[Any], made: tuple[Any, ...]) -> None:
        """Raise the error of the first index that was out of its range."""
        for check, result in zip(self.checks, self.answer.checks, strict=True):
            if made[result]:
                error = check.error(self.first_outside(check, arrays))
                error.where = check.line  # type: ignore[attr-defined]
                raise error

    def first_outside(self, check: Any, arrays: list[Any]) -> Any:
        """The first index out of range, where the indices are an input."""
        for given, array in zip(self.graph.inputs, arrays, strict=True):
            if given.value is check.index:
                wrong = (array < check.low) | (array >= check.high)
                wrong &= array != check.skip
                return int(array[wrong].flat[0])
        return "(computed)"

    def find(self, source: Any, leaves: Sequence[Any], values: list[Any], hosted: list[Any]) -> Any:
        """The array of one input."""
        kind, key = source
        if kind == "argument":
            return leaves[key].array
        if kind == "state":
            return key.array if isinstance(key, Tensor) else key
        if kind == "grad":
            return key.grad.array
        if kind == "number":
            expr, dtype = key
            return number_array(evaluate(expr, values), dtype)
        host, place, dtype = key
        found = hosted[host] if place is None else hosted[host][place]
        return number_array(found, dtype)

    def run(self, arrays: list[Any], values: list[Any]) -> tuple[Any, ...]:
        """The results as arrays."""
        if not self.many:
            made = self.entry(*arrays)
            return made if isinstance(made, tuple) else () if made is None else (made,)
        planned = self.plan(arrays, values)
        outs = [memory.empty(out.shape, out.dtype.numpy) for out in planned.outs]
        self.entry(*arrays, *outs)
        return tuple(outs)

    def miss(self, entry: Any, *arrays: Any) -> Any:
        """Plan for inputs of layouts that are new, run that, and teach the entry."""
        count = len(self.graph.inputs)
        planned = self.plan(arrays[:count], self.values_of(arrays))
        outs = () if self.many else planned.outs
        plain = tuple(map(_plain, arrays))
        program.add_plan(entry, plain, outs, planned.plan)
        made = program.run_plan(planned.plan, outs, plain)
        if planned.errors:
            raise planned.errors.pop()
        return made

    def peak(self, leaves: Sequence[Any]) -> int:
        """The bytes of the arena for these arguments."""
        values = [_size(leaves, symbol) for symbol in self.symbols]
        hosted: Any = [[0] * 16] * len(self.hosts)
        arrays = [self.find(source, leaves, values, hosted) for source in self.sources]
        return self.plan(arrays, values).arena

    def values_of(self, arrays: Sequence[Any]) -> list[Any]:
        """The values of the symbols, by the arrays of the arguments."""
        places = {s.key: i for i, s in enumerate(self.sources) if s.kind == "argument"}
        values: list[Any] = []
        for key, axis in self.symbols:
            values.append(None if axis is None else arrays[places[key]].shape[axis])
        return values

    def plan(self, arrays: Sequence[Any], values: list[Any]) -> Planned:
        """The plan for these inputs. Raises GuardBroken where the program does not hold."""
        key = (get_num_threads(), *[(a.shape, a.strides) for a in arrays])
        found = self.planned.get(key)
        if found is None:
            broken = guards_hold(self.graph.guards, values)
            if broken is not None:
                raise GuardBroken(broken)
            args = [arg_of(_plain(a)) for a in arrays]
            found = Planner(self.graph, args, values, get_num_threads()).plan()
            if self.many:
                found = _outs_given(found, len(arrays))
            self.planned[key] = found
        return found

    # ---- the answer

    def give(self, leaves: Sequence[Any], values: list[Any], made: tuple[Any, ...]) -> Any:
        for kind, key in self.updated:
            x = leaves[key] if kind == "argument" else key
            if isinstance(x, Tensor):
                root_of(x).version += 1
        for leaf, result in self.answer.effects:
            x = leaf if isinstance(leaf, Tensor) else leaves[leaf]
            x.grad = None if result is None else wrap(made[result])
        tensors: dict[int, Tensor] = {}
        given = [self.leaf(one, leaves, values, made, tensors) for one in self.answer.leaves]
        return unflatten(given, self.answer.form)

    @staticmethod
    def leaf(one: Leaf, leaves: Sequence[Any], values: list[Any], made: Any, tensors: Any) -> Any:
        if one.kind == "result":
            if one.what not in tensors:
                tensors[one.what] = wrap(made[one.what])
            return tensors[one.what]
        if one.kind == "argument":
            return leaves[one.what]
        return evaluate(one.what, values) if one.kind == "number" else one.what


def _size(leaves: Sequence[Any], symbol: tuple[Any, int | None]) -> Any:
    key, axis = symbol
    return leaves[key] if axis is None else leaves[key].array.shape[axis]


def number_array(value: Any, dtype: Any) -> Any:
    """An array of a number, or of numbers, that Python computed."""
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16(np.array(value, np.float32))
    return np.array(value, dtype.numpy)


def _plain(array: Any) -> Any:
    """The array where kernels can read it, else an aligned copy."""
    if array.flags.aligned and all(s % array.itemsize == 0 for s in array.strides):
        return array
    return np.array(array, order="C")


def _outs_given(planned: Planned, inputs: int) -> Planned:
    """The plan with its outputs taken as further inputs: for more than entries make."""
    steps = tuple(
        program.Step(
            step.task,
            tuple(
                program.In(inputs + w.index, w.offset) if isinstance(w, program.Out) else w
                for w in step.job
            ),
            step.chunks,
        )
        for step in planned.plan.steps
    )
    plan = program.Plan(steps, planned.plan.scratch, planned.plan.contiguous, planned.plan.keep)
    return planned._replace(plan=plan)
