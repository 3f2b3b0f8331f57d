"""Updates of parameters in parts, each as soon as its gradients are there. Floor 5.

An optimizer's step is one call over all parameters, which comes last: until then every gradient is
alive. Its rows know nothing of each other, so a large update becomes several, and each moves up to
where its last gradient is made and its old weights have been read. The memory of a gradient is free
then, and its elements are still near.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from twofold.base.symbols import is_symbol
from twofold.ir.graph import Call, Graph, replace
from twofold.ops.control import has_effect
from twofold.ops.update import UPDATE
from twofold.passes.groups import Groups

PART = 1 << 18  # elements of a parameter from which an update of its own is worth a kernel's start


def early_updates(graph: Graph) -> Graph:
    """The graph with large updates in parts, where they may stand first."""
    if not any(call.op is UPDATE for call in graph.calls):
        return graph
    split = replace(graph, [part for call in graph.calls for part in parts(call)])
    if len(split.calls) == len(graph.calls):
        return graph
    before = Groups(split).before
    places: list[tuple[int, int, Call]] = []
    effect = -1  # the last one so far: what may raise an error does so before anything is written
    for i, call in enumerate(split.calls):
        effect = i if has_effect(call) else effect
        last = max(before[i], default=-1)
        # behind the last call that it waits for, and behind what stood there before it
        places.append((max(last, effect) if call.op is UPDATE else i, i, call))
    return replace(graph, [call for _, _, call in sorted(places, key=lambda place: place[:2])])


def parts(call: Call) -> Iterator[Call]:
    """A call, or the parts of a large update."""
    if call.op is not UPDATE:
        yield call
        return
    _, _, width, written = call.attrs
    numbers, rows = call.inputs[0], call.inputs[1:]
    sizes = [prod(rows[at].shape) for at in range(0, len(rows), width)]
    if any(map(is_symbol, sizes)) or sum(sizes) < 2 * PART:
        yield call
        return
    outs = len(written)

    def part(chosen: list[int]) -> Call:
        given = [rows[row * width : (row + 1) * width] for row in chosen]
        made = [call.outs[row * outs : (row + 1) * outs] for row in chosen]
        inputs = (numbers, *(v for row in given for v in row))
        return call._replace(inputs=inputs, outs=tuple([v for row in made for v in row]))

    waiting: list[int] = []  # small ones, which go together
    for row, size in enumerate(sizes):
        if size >= PART:
            yield part([row])
            continue
        waiting.append(row)
        if sum(sizes[one] for one in waiting) >= PART:
            yield part(waiting)
            waiting = []
    if waiting:
        yield part(waiting)
