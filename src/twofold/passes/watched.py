"""The pipeline with somebody looking on: CHECK verifies, DEBUG prints, VIEW writes pages. Floor 5.

TWOFOLD_CHECK=1   the graph is verified after the pipeline, and when it was captured
TWOFOLD_CHECK=2   after each pass
TWOFOLD_DEBUG=3   graphs before and after the pipeline are printed
TWOFOLD_DEBUG=7   every rewrite of every pass
TWOFOLD_VIEW=dir  a page, pass by pass
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from twofold.base.flags import flags
from twofold.ir.graph import Graph
from twofold.ir.graph_text import as_text
from twofold.passes.changes import Numbering, rewrites
from twofold.passes.verify import same_effects, verify
from twofold.passes.view import write_page


def optimize_watched(graph: Graph, passes: Sequence[Any]) -> Graph:
    """The graph after every pass, each seen by those who look on."""
    if flags.check:
        verify(graph)
    stages = [("captured", graph)]
    for one in passes:
        after = one.run(stages[-1][1])
        stages.append((one.name, after))
        if flags.check >= 2:
            verify(after, one.name)
            same_effects(stages[-2][1], after, one.name)
    last = stages[-1][1]
    if flags.check:
        verify(last, "the pipeline")
        same_effects(graph, last, "the pipeline")
    if len(passes) > 1:  # a single pass is somebody's question about a graph
        _tell(stages)
        if flags.view:
            write_page(flags.view, stages)
    return last


def _tell(stages: Sequence[tuple[str, Graph]]) -> None:
    if flags.debug >= 3:
        say("captured:", as_text(stages[0][1], lines=True))
    if flags.debug >= 7:
        numbering = Numbering(stages[0][1])
        rows = numbering.rows(stages[0][1])
        for name, graph in stages[1:]:
            before, rows = rows, numbering.rows(graph)
            for text in rewrites(before, rows):
                say(f"{name}: {text}")
    if flags.debug >= 3:
        say("after the passes:", as_text(stages[-1][1], lines=True))


def say(*lines: str) -> None:
    """To the standard error stream."""
    print(*lines, sep="\n", file=sys.stderr)
