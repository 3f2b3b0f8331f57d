"""`twofold.explain(f)`: everything that was decided about a compiled function. Floor 9."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from twofold.base.errors import ArgumentError, line_of
from twofold.base.records import NamedTuple
from twofold.exec.control import structure_of
from twofold.frontends.compiled import Compiled, compiled_in
from twofold.frontends.peak import Need, name_of, peak_of
from twofold.frontends.program import Program
from twofold.frontends.trace import write_trace
from twofold.ir.graph import Call, Graph
from twofold.ops.control import bodies
from twofold.ops.fused import Body


class Guarded(NamedTuple):
    """A question about a size or a number that a program was made for."""

    question: str
    holds: bool
    where: str

    def __str__(self) -> str:
        return f"{self.question} is {self.holds}    {self.where}"


class Kernel(NamedTuple):
    """A call of a program that runs, how often, the user's line, and its time.

    seconds   what all of them took when `profile` last called the program; None if it never did
    """

    name: str
    count: int  # type: ignore[assignment]
    where: str
    seconds: float | None = None

    def __str__(self) -> str:
        took = "" if self.seconds is None else f"{self.seconds * 1e6:10.1f} us "
        return f"{took}{self.count:4d} {self.name:<24} {self.where}"


class Explanation(NamedTuple):
    """What is known of a compiled function. `print` shows it as a report.

    compiles     programs that were made
    signatures   for each the types of its inputs
    retraces     why each was made
    guards       what the programs hold for
    layouts      sizes that plans were made for: no compilation, some milliseconds each
    kernels      the calls of the newest program: the longest first where they were timed, else
                 the commonest
    fused        the bodies of its fused calls
    python       what runs as Python before each call, in order
    peak_bytes   the memory of intermediate values, for the sizes that needed most
    owners       who needed it: bytes, operation and line
    unsupported  operations without a kernel, which call back into Python
    asked        where values decide on sizes, or on the program: computed before each call
    frozen_bytes what is kept from call to call of what was made of frozen tensors
    as_python    why there are arguments for which the function runs as Python, without a program
    """

    compiles: int
    signatures: tuple[str, ...]
    retraces: tuple[str, ...]
    guards: tuple[Guarded, ...]
    layouts: int
    kernels: tuple[Kernel, ...]
    fused: tuple[str, ...]
    python: tuple[str, ...]
    peak_bytes: int
    owners: tuple[Need, ...]
    unsupported: tuple[str, ...]
    asked: tuple[str, ...] = ()
    frozen_bytes: int = 0
    as_python: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(_report(self))


def explain(function: Any) -> Explanation:
    """What was captured, guarded, fused and planned. Raises ArgumentError for other functions."""
    compiled = _known("explain", function)
    programs = compiled.all_programs()
    plans = [planned for p in programs for planned in p.runner.planned.values()]
    largest = max(plans, key=lambda p: p.arena, default=None)
    newest = programs[-1] if programs else None
    return Explanation(
        len(programs),
        tuple(_signature(p) for p in programs),
        tuple(compiled.retraces),
        tuple(dict.fromkeys(g for p in programs for g in _guards(p))),
        len(plans),
        _kernels(newest),
        _fused(newest),
        tuple(host.what for host in newest.hosts) if newest else (),
        largest.arena if largest else 0,
        peak_of(largest).owners if largest else (),
        tuple(dict.fromkeys(call.op.name for p in plans for call in p.in_python)),
        tuple(dict.fromkeys(asked.where for p in programs for asked in p.asked)),
        sum(p.runner.store.bytes for p in programs if p.runner.store is not None),
        tuple(dict.fromkeys([*map(str, compiled.in_python.values()), *compiled.in_python_once])),
    )


def _known(asked: str, function: Any) -> Compiled:
    compiled = compiled_in(function)
    if compiled is None:
        raise ArgumentError(
            asked, "this function is not compiled", hint="f = twofold.compile(f), and call it"
        )
    return compiled


def _signature(program: Program) -> str:
    given = [i for i in program.graph.inputs if i.kind == "argument"]
    return ", ".join(f"{i.name}: {i.value.type}" for i in given)


def _guards(program: Program) -> Iterator[Guarded]:
    table = program.graph.table
    for guard in program.graph.guards:
        question = f"{table.text(guard.left)} {guard.test} {table.text(guard.right)}"
        yield Guarded(question, guard.holds, guard.where)


def _kernels(program: Program | None) -> tuple[Kernel, ...]:
    if program is None:
        return ()
    calls = [c for c in _calls(program.graph) if not c.op.view and c.inputs]
    counts = Counter((c.op.name, line_of(c.where)) for c in calls)
    times: Counter[tuple[str, str]] = Counter()
    for call, seconds in program.seconds:
        times[call.op.name, line_of(call.where)] += seconds  # type: ignore[assignment]
    order = sorted(counts, key=lambda kind: (-times[kind], -counts[kind]))
    timed = bool(program.seconds)
    return tuple(Kernel(*k[:1], counts[k], k[1], times[k] if timed else None) for k in order)


def _calls(graph: Graph) -> Iterator[Call]:
    """The calls of a graph; those of a branch or a body follow the call that runs it."""
    for call in graph.calls:
        yield call
        for body in bodies(call):
            yield from _calls(structure_of(body).graph)


def _fused(program: Program | None) -> tuple[str, ...]:
    calls = _calls(program.graph) if program else ()
    firsts = [call.attrs[0] for call in calls if call.attrs]
    return tuple(str(first) for first in firsts if isinstance(first, Body))


def _report(e: Explanation) -> Iterator[str]:
    programs = "1 program" if e.compiles == 1 else f"{e.compiles} programs"
    layouts = "1 layout" if e.layouts == 1 else f"{e.layouts} layouts"
    yield f"{programs}, {layouts} planned, {e.peak_bytes} bytes at the peak"
    if e.frozen_bytes:
        yield f"{e.frozen_bytes} bytes made of frozen tensors, and kept"
    for signature, reason in zip(e.signatures, e.retraces, strict=False):
        yield f"  ({signature})    {reason}"
    reasons = (text.replace("\n", "\n  ") for text in e.as_python)
    yield from _section("runs as Python, without a program", tuple(reasons))
    yield from _section("guards", e.guards)
    yield from _section("Python before each call", e.python)
    yield from _section("values that decide, computed before each call", e.asked)
    timed = any(k.seconds is not None for k in e.kernels)
    title = "kernels" if timed else "kernels (after twofold.profile(f, ...) with the time of each)"
    yield from _section(title, e.kernels)
    yield from _section("fused", e.fused)
    yield from _section("memory at the peak", e.owners)
    yield from _section("without a kernel: these call back into Python", e.unsupported)


def _section(title: str, rows: Any) -> Iterator[str]:
    if rows:
        yield f"{title}:"
        yield from (f"  {row}" for row in rows)


def profile(function: Any, *args: Any, trace: Any = None, **kwargs: Any) -> str:
    """Call a compiled function or module once, kernel by kernel; a table of where its time went.

    `explain` then tells these times too. Raises ArgumentError for what is not compiled.

    trace: a path, to write the same as a Chrome trace (chrome://tracing, ui.perfetto.dev): one row
    for kernels, one for your lines, one for modules.
    """
    compiled = _known("profile", function)
    program, leaves = compiled.program(args, kwargs)
    rows = program.profile(leaves)
    if trace is not None:
        write_trace(trace, rows, program.values(leaves))
    total = sum(seconds for _, seconds in rows)
    times: Counter[tuple[str, str]] = Counter()
    for call, seconds in rows:
        times[name_of(call), line_of(call.where)] += seconds  # type: ignore[assignment]
    lines = [f"{total * 1e6:10.1f} us in {len(rows)} kernels"]
    for (name, where), seconds in times.most_common():
        lines.append(f"{seconds * 1e6:10.1f} us {100 * seconds / total:5.1f}% {name:<40} {where}")
    return "\n".join(lines)
