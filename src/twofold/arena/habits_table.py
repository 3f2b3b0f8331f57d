"""The behaviours of frameworks as a table: on the page and on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from twofold.arena import registry
from twofold.arena.habits import BEHAVIOURS
from twofold.arena.summary import Record

MARKS = {True: ("yes", "✓"), False: ("no", "✗"), None: ("soft", "–")}


def habits_section(report: Record) -> Iterator[str]:
    """For the page: a mark in each cell, and the evidence below."""
    found = report.get("behaviours")
    if not found:
        return
    heads = "".join(f"<th>{escape(registry.title(each['framework']))}</th>" for each in found)
    yield "<h2>Besides speed</h2>"
    yield '<p class="soft">Tried, not claimed: the evidence opens with each line.</p>'
    lines = []
    for name, meaning in BEHAVIOURS.items():
        cells, evidence = "", ""
        for each in found:
            seen = each["behaviours"][name]
            kind, mark = MARKS[seen["good"]]
            cells += f'<td class="{kind}">{mark}</td>'
            who = escape(registry.title(each["framework"]))
            evidence += f"<p><b>{who}</b></p><pre>{escape(seen['evidence'])}</pre>"
        lines.append(
            f"<tr><td><details><summary>{escape(meaning)}</summary>{evidence}</details></td>"
            f"{cells}</tr>"
        )
    yield f'<div class="card table"><table><tr><th></th>{heads}</tr>{"".join(lines)}</table></div>'


def habits_lines(report: Record) -> Iterator[str]:
    """For the terminal."""
    found = report.get("behaviours")
    if not found:
        return
    yield ""
    yield f"{'BESIDES SPEED':<50}" + "".join(f"{each['framework']:>12}" for each in found)
    for name, meaning in BEHAVIOURS.items():
        marks = [MARKS[each["behaviours"][name]["good"]] for each in found]
        yield f"{meaning:<50}" + "".join(f"{kind if kind != 'soft' else '-':>12}"
                                         for kind, _ in marks)  # fmt: skip
