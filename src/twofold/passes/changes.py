"""What a pass has changed, call by call. Floor 5.

Values stay themselves from pass to pass, so their numbers are given once and kept: a call that is
there before and after is the same row.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import NamedTuple, final

from twofold.base.errors import line_of
from twofold.ir.graph import Call, Graph, Value
from twofold.ir.graph_text import call_text, names_of


class Row(NamedTuple):
    """One row of a graph's text: a call and the user's line, or what it returns and updates."""

    text: str
    line: str


class Change(NamedTuple):
    """Rows that stand before and after a pass at one place; `same` where they are equal."""

    before: tuple[Row, ...]
    after: tuple[Row, ...]
    same: bool


@final
class Numbering:
    """Names of values that stay through all passes of a pipeline."""

    def __init__(self, graph: Graph) -> None:
        self.names = names_of(graph)
        self.count = sum(len(call.outs) for call in graph.calls)

    def add(self, graph: Graph) -> None:
        """Names for the values that a pass has made."""
        for call in graph.calls:
            for value in call.outs:
                if value not in self.names:
                    self.names[value] = f"%{self.count}"
                    self.count += 1

    def name(self, value: Value) -> str:
        return self.names.get(value, f"%unknown{value.number}")

    def rows(self, graph: Graph) -> list[Row]:
        """The graph's calls, results and updates."""
        self.add(graph)
        made = [Row(call_text(call, self.names), _line(call)) for call in graph.calls]
        made.append(Row(f"return {', '.join(map(self.name, graph.results))}".rstrip(), ""))
        made += [Row(f"update {self.name(i)} = {self.name(n)}", "") for i, n in graph.updates]
        return made


def _line(call: Call) -> str:
    return "" if call.where is None else line_of(call.where)


def changes(before: list[Row], after: list[Row]) -> Iterator[Change]:
    """Both texts side by side."""
    texts = [row.text for row in before], [row.text for row in after]
    matcher = difflib.SequenceMatcher(None, *texts, autojunk=False)
    for kind, i, j, k, n in matcher.get_opcodes():
        yield Change(tuple(before[i:j]), tuple(after[k:n]), kind == "equal")


def rewrites(before: list[Row], after: list[Row]) -> Iterator[str]:
    """Every row that went, and every one that came, with the user's line."""
    for change in changes(before, after):
        if not change.same:
            yield from (f"- {row.text}    {row.line}".rstrip() for row in change.before)
            yield from (f"+ {row.text}    {row.line}".rstrip() for row in change.after)
