"""The pipeline: which passes run, in one list. Floor 5.

A pass is a name and a function from Graph to Graph that keeps the meaning to the last bit. Users
may give a list of their own: `twofold.compile(f, passes=[*PIPELINE, mine])`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.base.records import NamedTuple
from twofold.ir.graph import Graph
from twofold.passes.cleanup import common, prune, unread
from twofold.passes.convolutions import convolutions
from twofold.passes.epilogue import epilogues
from twofold.passes.fuse import fuse
from twofold.passes.prologue import prologues
from twofold.passes.reductions import reductions
from twofold.passes.simplify import simplify
from twofold.passes.updates import early_updates
from twofold.passes.watched import optimize_watched, wanted


class Pass(NamedTuple):
    """One step of the pipeline."""

    name: str
    run: Callable[[Graph], Graph]


PIPELINE = (
    Pass("prune", prune),
    Pass("common", common),
    Pass("simplify", simplify),
    Pass("common", common),
    Pass("prune", prune),
    Pass("epilogues", epilogues),
    Pass("fuse", fuse),
    Pass("convolutions", convolutions),
    Pass("prologues", prologues),
    Pass("reductions", reductions),
    Pass("updates", early_updates),
    Pass("prune", prune),
    Pass("unread", unread),
)


def optimize(graph: Graph, passes: Sequence[Pass] = PIPELINE) -> Graph:
    """The graph after every pass."""
    if wanted():
        return optimize_watched(graph, passes)
    for one in passes:
        graph = one.run(graph)
    return graph
