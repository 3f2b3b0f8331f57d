"""Inputs of a program that its user has said to be frozen, and whether they still are. Floor 9.

Writes are seen by the version of a tensor. Memory that others may write to (`x.data`, `x.numpy()`)
is looked at anew after it was given; what is written to it later than at the next call is not seen.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, final

from twofold.ir.graph import Graph
from twofold.ops.tensor import Given, Leaves, Tensor, root_of


@final
class Frozen:
    """The tensors that a program found and does not write, with the versions that they had.

    numbers   which inputs they are
    """

    def __init__(self, graph: Graph, sources: Sequence[Any]) -> None:
        written = {into for into, _ in graph.updates}
        inputs = enumerate(zip(graph.inputs, sources, strict=True))
        found = [
            (number, source.key)
            for number, (given, source) in inputs
            if source.kind == "state" and isinstance(source.key, Tensor)
            if given.value not in written
        ]
        self.numbers = frozenset(number for number, _ in found)
        self.roots = [root_of(x) for _, x in found]
        Leaves.known.update(map(id, self.roots))
        self.versions: list[int] = []
        self.arrays: list[Any] = []

    def changed(self, arrays: Sequence[Any]) -> bool:
        """Whether one of them was written, or is another array, since this was asked before."""
        versions = [Given.times, *[x.version for x in self.roots]]
        now = [arrays[number] for number in self.numbers]
        same = len(now) == len(self.arrays) and all(map(operator.is_, now, self.arrays))
        if same and versions == self.versions:
            return False
        first = not self.arrays
        self.versions, self.arrays = versions, now
        return not first
