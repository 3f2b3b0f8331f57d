"""A page for each program, pass by pass: `TWOFOLD_VIEW=folder`. Floor 5.

The page holds all that it needs: open it in any browser. `index.html` lists the pages of a folder.
"""

from __future__ import annotations

import html
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from twofold.ir.graph import Graph
from twofold.ir.graph_text import guards_text
from twofold.passes.changes import Change, Numbering, Row, changes

_pages = itertools.count(1)
STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em; color: #1d2330; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin: 2em 0 .3em; }
table { border-collapse: collapse; width: 100%; table-layout: fixed; }
td { font: 12px/1.5 ui-monospace, monospace; vertical-align: top; padding: 0 .6em;
     overflow-wrap: anywhere; white-space: pre-wrap; width: 50%; }
td.one { width: auto; }
td.went { background: #ffe3e0; } td.came { background: #ddf5df; }
small { color: #6b7385; display: block; padding-left: 2em; }
nav a { margin-right: 1em; } p.facts { color: #414a5c; }
@media (prefers-color-scheme: dark) {
  body { color: #d9deea; background: #14171f; } a { color: #8ab4ff; }
  td.went { background: #4a2321; } td.came { background: #1f3f25; }
  small, p.facts { color: #98a2b8; }
}
"""


def write_page(folder: str, stages: Sequence[tuple[str, Graph]]) -> Path:
    """The page of a pipeline: what was captured, and the graph after each pass by name."""
    there = Path(folder)
    there.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W", "_", stages[0][1].name) or "graph"
    path = there / f"{next(_pages):03}-{name}.html"
    path.write_text("\n".join(page(stages)), encoding="utf-8")
    pages = sorted(p.name for p in there.glob("[0-9]*-*.html"))
    links = [f'<li><a href="{html.escape(p)}">{html.escape(p[:-5])}</a></li>' for p in pages]
    index = [*_head("Programs"), "<ol>", *links, "</ol>", "</html>"]
    (there / "index.html").write_text("\n".join(index), encoding="utf-8")
    return path


def page(stages: Sequence[tuple[str, Graph]]) -> Iterator[str]:
    """The lines of the page."""
    first, last = stages[0][1], stages[-1][1]
    numbering = Numbering(first)
    texts = [numbering.rows(graph) for _, graph in stages]
    yield from _head(f"Program {first.name}")
    yield f'<p class="facts">{len(first.calls)} calls, then {len(last.calls)}</p>'
    yield "<nav>"
    yield from (f'<a href="#p{n}">{html.escape(name)}</a>' for n, (name, _) in enumerate(stages))
    yield '<a href="#lines">your lines</a></nav>'
    yield "<h2>Inputs</h2><table>"
    updated = {into for into, _ in first.updates}
    for given in first.inputs:
        star = ", written" if given.value in updated else ""
        yield _row(f"{numbering.name(given.value)}: {given.value.type}    {given.kind}{star}")
    yield from (_row(f"guard: {text}") for text in guards_text(last.guards, last.table))
    yield "</table>"
    yield f'<h2 id="p0">{html.escape(stages[0][0])}</h2><table>'
    yield from (f'<tr><td class="one">{_cell(row)}</td></tr>' for row in texts[0])
    yield "</table>"
    for n in range(1, len(stages)):
        found = list(changes(texts[n - 1], texts[n]))
        went = sum(len(c.before) for c in found if not c.same)
        came = sum(len(c.after) for c in found if not c.same)
        told = f"{went} rows went, {came} came" if went or came else "no change"
        yield f'<h2 id="p{n}">{html.escape(stages[n][0])}: {told}</h2>'
        if went or came:
            yield "<table><tr><th>before</th><th>after</th></tr>"
            yield from (row for change in found for row in _change(change))
            yield "</table>"
    yield '<h2 id="lines">Your lines: calls before and after</h2><table>'
    before = Counter(row.line for row in texts[0] if row.line)
    after = Counter(row.line for row in texts[-1] if row.line)
    yield from (_row(f"{count:4} {after[line]:4}  {line}") for line, count in before.items())
    yield "</table></html>"


def _head(title: str) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><meta charset="utf-8">'
    yield f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    yield f"<h1>{html.escape(title)}</h1>"


def _row(text: str) -> str:
    return f'<tr><td class="one">{html.escape(text)}</td></tr>'


def _change(change: Change) -> Iterator[str]:
    for left, right in itertools.zip_longest(change.before, change.after):
        went = "" if change.same or left is None else ' class="went"'
        came = "" if change.same or right is None else ' class="came"'
        yield f"<tr><td{went}>{_cell(left)}</td><td{came}>{_cell(right)}</td></tr>"


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    line = f"<small>{html.escape(row.line)}</small>" if row.line else ""
    return html.escape(row.text) + line
