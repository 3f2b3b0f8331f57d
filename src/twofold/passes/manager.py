"""The pipeline: which passes run, in one list. Floor 5.

A pass is a name and a function from Graph to Graph that keeps the meaning to the last bit. Users
may give a list of their own: `twofold.compile(f, passes=[*PIPELINE, mine])`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.base.flags import flags
from twofold.base.records import NamedTuple
from twofold.ir.graph import Graph
from twofold.passes.cleanup import common, prune, unread
from twofold.passes.convolutions import convolutions
from twofold.passes.epilogue import epilogues
from twofold.passes.fast_math import fast_math
from twofold.passes.fuse import fuse
from twofold.passes.prologue import prologues
from twofold.passes.reductions import reductions
from twofold.passes.simplify import simplify
from twofold.passes.updates import early_updates


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

WATCHED = "twofold.passes.watched"  # imported where somebody looks on

# What is done besides where the user asks for it.
FAST_MATH = Pass("fast_math", fast_math)


def chosen(passes: Any) -> tuple[Pass, ...]:
    """The passes of a caller's list; None is the pipeline. Raises ArgumentError for others."""
    if passes is None:
        return PIPELINE
    hint = 'passes=[Pass("a name", function), *PIPELINE]'
    if not isinstance(passes, Iterable):
        raise ArgumentError("compile", f"passes is {passes!r}, not a list", hint=hint)
    found = tuple(passes)
    for i, one in enumerate(found):
        if not isinstance(one, Pass):
            problem = f"passes[{i}] is a {type(one).__name__}, not a Pass"
            raise ArgumentError("compile", problem, hint=hint)
    return found


def optimize(graph: Graph, passes: Sequence[Pass] = PIPELINE) -> Graph:
    """The graph after every pass. Raises ArgumentError where a pass gives no graph."""
    if flags.check or flags.view or flags.debug >= 3:
        watched: Graph = importlib.import_module(WATCHED).optimize_watched(graph, passes)
        return watched
    for one in passes:
        made: Any = one.run(graph)
        if not isinstance(made, Graph):
            problem = f"the pass {one.name!r} gives a {type(made).__name__}, not a Graph"
            raise ArgumentError("compile", problem, hint="return graph, or replace(graph, calls)")
        graph = made
    return graph
