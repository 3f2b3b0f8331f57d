"""Where a program's time went, as a Chrome trace. Floor 9.

Kernels run one after the other, each on all threads that it wants, so there is one row of them; the
rows below show the user's lines and the modules that they belong to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from twofold.base.atomic import atomic
from twofold.base.errors import line_of
from twofold.base.symbols import value_of
from twofold.exec.runner import bytes_of
from twofold.ir.graph import Call

KERNELS, LINES, MODULES = 1, 2, 3
ROWS = {KERNELS: "kernels", LINES: "lines", MODULES: "modules"}


def write_trace(path: Any, rows: Sequence[tuple[Call, float]], values: Sequence[Any]) -> None:
    """Write calls and their seconds, in the order in which they ran."""
    made = {"traceEvents": list(events(rows, values)), "displayTimeUnit": "ms"}
    with atomic(path) as file:
        file.write(json.dumps(made).encode())


def events(rows: Sequence[tuple[Call, float]], values: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """The records of a trace."""
    process = os.getpid()
    for row, name in ROWS.items():
        title = {"name": name}
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": row, "args": title}
    spans = []
    at = 0.0
    for call, seconds in rows:
        spans.append((call, at, seconds))
        at += seconds
    for call, start, seconds in spans:
        args: dict[str, Any] = {
            "line": line_of(call.where),
            "module": ".".join(call.module),
            "bytes": bytes_of(call, values),
            "shapes": [str(list(value_of(v.shape, values))) for v in call.inputs],
        }
        yield _span(call.op.name, KERNELS, process, start, seconds, args)
    yield from _joined(spans, LINES, process, lambda call: line_of(call.where))
    yield from _joined(spans, MODULES, process, lambda call: ".".join(call.module))


def _joined(spans: Any, row: int, process: int, name: Any) -> Iterator[dict[str, Any]]:
    """One span for neighbours of one name; none for those without."""
    for key, group in groupby(spans, lambda span: name(span[0])):
        inside = list(group)
        first, last = inside[0], inside[-1]
        if key:
            yield _span(key, row, process, first[1], last[1] + last[2] - first[1], {})


def _span(
    name: str, row: int, process: int, start: float, seconds: float, args: Any
) -> dict[str, Any]:
    times = {"ts": start * 1e6, "dur": seconds * 1e6}
    return {"ph": "X", "name": name, "pid": process, "tid": row, **times, "args": args}
