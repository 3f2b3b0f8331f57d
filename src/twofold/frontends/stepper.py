"""A program run call by call on the kernels that it runs as a whole. Floor 9.

Every call is a kernel's own run on arrays that stay, so that one can look between them. Memory that
the program writes is written when all calls are done: whoever stops before changes nothing. The
results are the program's, bit for bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, TwofoldError, line_of
from twofold.base.symbols import value_of
from twofold.exec.eager import execute
from twofold.exec.runner import Runner
from twofold.frontends.compiled import Compiled, compiled_in
from twofold.frontends.decorator import compile
from twofold.frontends.program import Program
from twofold.ir.graph import Call, Graph, Input, Value
from twofold.ir.graph_text import names_of
from twofold.ops.bind import ITEM
from twofold.ops.fused import FUSED, FUSED_REDUCE


class NotANumberError(TwofoldError, FloatingPointError):
    """A NaN that an operation made of numbers."""


class Statistics(NamedTuple):
    """What one looks at of an array first. Extremes and mean are those of the finite elements."""

    type: str
    low: float
    high: float
    mean: float
    nans: int
    infinities: int

    def __str__(self) -> str:
        numbers = f"min {self.low:.6g}, max {self.high:.6g}, mean {self.mean:.6g}"
        return f"{self.type}, {numbers}, {self.nans} NaN, {self.infinities} inf"


def statistics(array: Any) -> Statistics:
    """Those of an array of numbers of any type."""
    dtype = dtypes.of(array.dtype)
    kind = f"{dtype.short}[{', '.join(map(str, array.shape))}]"
    numbers = _numbers(array).reshape(-1)
    finite = numbers[np.isfinite(numbers)]
    nans = int(np.isnan(numbers).sum())
    others = numbers.size - finite.size - nans
    if not finite.size:
        return Statistics(kind, np.nan, np.nan, np.nan, nans, others)
    return Statistics(
        kind, float(finite.min()), float(finite.max()), float(finite.mean()), nans, others
    )


def _numbers(array: Any) -> Any:
    dtype = dtypes.of(array.dtype)
    if dtype is dtypes.bfloat16:
        array = dtypes.to_float32(array)
    return np.abs(array) if dtype.kind == "c" else np.asarray(array, np.float64)


def has_nan(array: Any) -> bool:
    dtype = dtypes.of(array.dtype)
    if dtype.kind not in "fc" and dtype is not dtypes.bfloat16:
        return False
    return bool(np.isnan(_numbers(array)).any())


def compiled_of(function: Any) -> Compiled:
    """The compiled function behind a function, a module, or what `compile` made of them."""
    return compiled_in(function) or compiled_in(compile(function))  # type: ignore[return-value]


def program_for(compiled: Compiled, args: Any, kwargs: Any) -> tuple[Program, list[Any]]:
    """The program that serves these arguments, made where there is none; and their leaves."""
    return compiled.program(args, kwargs)


@final
class Stepper:
    """One run of a program, which stands before call number `at`.

    optimized   whether it runs the calls after the passes, or as they were captured
    """

    def __init__(self, program: Program, leaves: Sequence[Any], *, optimized: bool = True) -> None:
        self.program = program
        self.leaves = leaves
        self.graph: Graph = program.graph if optimized else program.plain_graph
        self.values = program.values(leaves)
        self.inputs = program.arrays(leaves, self.values)
        self.names = names_of(self.graph)
        written = {into for into, _ in self.graph.updates}
        self.known: dict[Value, Any] = {
            given.value: array.copy() if given.value in written else array
            for given, array in zip(self.graph.inputs, self.inputs, strict=True)
        }
        self.at = 0

    @property
    def call(self) -> Call | None:
        """The call that is next, or None at the end."""
        return self.graph.calls[self.at] if self.at < len(self.graph.calls) else None

    @property
    def line(self) -> str:
        """The user's line of the next call."""
        return line_of(self.call.where) if self.call else ""

    def step(self) -> tuple[Any, ...]:
        """Run the next call; its outputs."""
        call = self.graph.calls[self.at]
        arrays = [self.known[v] for v in call.inputs]
        made = self.run(call, arrays)
        self.known.update(zip(call.outs, made, strict=True))
        self.at += 1
        return made

    def run(self, call: Call, arrays: list[Any]) -> tuple[Any, ...]:
        if call.op is ITEM:
            return (arrays[0][call.attrs[0]],)
        if call.op.writes is not None:
            return self.write(call, arrays)
        made = execute(call.op, arrays, value_of(call.attrs, self.values))
        return made if isinstance(made, tuple) else (made,)

    def write(self, call: Call, arrays: list[Any]) -> tuple[Any, ...]:
        """A call that works in place, on copies of what it writes."""
        places = call.op.writes(len(call.outs), call.attrs)
        arrays = [a.copy() if i in places else a for i, a in enumerate(arrays)]
        inputs = tuple(Input(Value(v.shape, v.dtype), "argument", "x") for v in call.inputs)
        alone = call._replace(inputs=tuple(i.value for i in inputs))
        updates = tuple(
            (inputs[place].value, out) for place, out in zip(places, call.outs, strict=True)
        )
        graph = Graph("alone", inputs, (alone,), (), updates, self.graph.table)
        Runner(graph).run(arrays, self.values)
        return tuple(arrays[place] for place in places)

    def finish(self) -> Any:
        """Run what is left, and deliver what the program would have."""
        while self.call is not None:
            self.step()
        made = tuple(np.array(self.known[value]) for value in self.graph.results)
        news = [(into, np.array(self.known[new])) for into, new in self.graph.updates]
        places = {given.value: place for place, given in enumerate(self.graph.inputs)}
        if self.program.checks:
            self.program.check(self.inputs, made)
        for into, new in news:
            self.inputs[places[into]][...] = new
        return self.program.give(self.leaves, self.values, self.inputs, made)

    # ---- looking

    def find(self, name: str) -> Any:
        """The array of a value by its name in the graph's text; None where it is not made yet.
        Raises ArgumentError for a name that does not occur.
        """
        for value, known in self.names.items():
            if known == name:
                return self.known.get(value)
        raise ArgumentError("debug", f"nothing is called {name}", hint="args, or graph")

    def born(self, call: Call) -> bool:
        """Whether the call, which has run, made a NaN of inputs without any."""
        if not any(has_nan(self.known[v]) for v in call.outs):
            return False
        return not any(has_nan(self.known[v]) for v in call.inputs)

    def facts(self, call: Call) -> Iterator[tuple[str, Statistics]]:
        """The statistics of what the call reads."""
        for value in dict.fromkeys(call.inputs):
            yield self.names[value], statistics(self.known[value])

    def error(self, call: Call) -> NotANumberError:
        """That the call has made a NaN: the operation, its inputs, the line and the module."""
        facts: dict[str, Any] = {name: str(facts) for name, facts in self.facts(call)}
        made = next(v for v in call.outs if has_nan(self.known[v]))
        facts["result"] = statistics(self.known[made])
        name = self.culprit(call)
        error = NotANumberError(name, "the first NaN was made here, of numbers", **facts)
        error.where = line_of(call.where)
        error.path = call.module
        return error

    def culprit(self, call: Call) -> str:
        """The operation that made it: in a fused call the first step whose result has one."""
        if call.op not in (FUSED, FUSED_REDUCE):
            return str(call.op.name)
        known = [self.known[v] for v in call.inputs]
        for step in value_of(call.attrs, self.values)[0]:
            with np.errstate(all="ignore"):
                made = step.op.ref(*[known[a] for a in step.args], **step.op.keywords(step.attrs))
            known.append(np.asarray(made))
            if has_nan(known[-1]):
                return f"{step.op.name} (fused)"
        return str(call.op.name)


def nan_watch(function: Any) -> Any:
    """The function, run call by call, such that the first NaN raises NotANumberError with the
    operation that made it, its inputs' extremes, the user's line and the module. Arguments and
    parameters that hold NaN are errors too. Nothing has been written then.

    >>> twofold.nan_watch(step)(x, y)
    """
    compiled = compiled_of(function)

    def watched(*args: Any, **kwargs: Any) -> Any:
        program, leaves = program_for(compiled, args, kwargs)
        stepper = Stepper(program, leaves, optimized=False)
        for given in stepper.graph.inputs:
            array = stepper.known[given.value]
            if has_nan(array):
                problem = f"{given.name} holds NaN before anything is computed"
                raise NotANumberError("nan_watch", problem, value=statistics(array))
        while (call := stepper.call) is not None:
            stepper.step()
            if stepper.born(call):
                raise stepper.error(call)
        return stepper.finish()

    return watched
