"""The tensors that a program writes in place, and who else has their memory. Floor 9."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from twofold.frontends.inputs import shared, unwritable
from twofold.frontends.noted import Source
from twofold.ir.graph import Graph
from twofold.ops.tensor import Exchanged, Tensor, root_of


@final
class Overwritten:
    """What a program writes of its inputs.

    places     the numbers of these inputs
    arguments  the arguments among them, by their numbers
    states     the tensors among them that the function found
    """

    def __init__(self, graph: Graph, sources: Sequence[Source]) -> None:
        updated = {into for into, _ in graph.updates}
        self.sources = sources
        self.places = [n for n, given in enumerate(graph.inputs) if given.value in updated]
        kinds = [sources[place] for place in self.places]
        self.states = [x for kind, x in kinds if kind == "state" and isinstance(x, Tensor)]
        self.arguments = [key for kind, key in kinds if kind == "argument"]
        found = enumerate(sources) if self.arguments else ()
        self._found = [place for place, source in found if source.kind == "state"]
        self._touched = _touched(graph, sources, self.arguments)
        self._looked = -1  # at what is written: what follows is of then
        self._held: set[int] = set()  # their arrays
        self._owned = False  # whether each has its memory for itself

    def check(self, leaves: Sequence[Any], arrays: list[Any]) -> None:
        """Raise ArgumentError for an argument that lies in memory which the program writes as that
        of another tensor: what it reads there would be old or new by chance. So for memory that may
        not be written; ShapeError for memory in which several elements are one.
        """
        if self._looked != Exchanged.times:
            written = [arrays[place] for place in self.places]
            self._held = {id(array) for array in written}
            kinds = [self.sources[place].kind for place in self.places]
            self._owned = all(kind == "state" for kind in kinds)
            self._owned = self._owned and all(array.base is None for array in written)
            for array in written:
                _check_writable(array)
            self._looked = Exchanged.times
        for key in self.arguments:
            if not leaves[key].array.flags.carray:
                _check_writable(leaves[key].array)
        for key in self._touched:
            array = leaves[key].array
            if array.base is None and self._owned and id(array) not in self._held:
                continue
            for place in self.places:
                other = arrays[place]
                own = self.sources[place] == Source("argument", key)
                if not own and (array is other or np.may_share_memory(array, other)):
                    raise shared(leaves[key], other)

        for key in self.arguments:
            array = leaves[key].array
            for place in self._found:
                if np.may_share_memory(array, arrays[place]):
                    raise shared(leaves[key], arrays[place])

    def count(self, leaves: Sequence[Any]) -> None:
        """Count a write in each, as an operation in place does."""
        for x in self.states:
            if x.base is not None:
                x = x.base
            x.version += 1
        for key in self.arguments:
            root_of(leaves[key]).version += 1


def _check_writable(array: Any) -> None:
    error = unwritable(array)
    if error is not None:
        raise error


def _touched(graph: Graph, sources: Sequence[Source], written: list[Any]) -> list[Any]:
    """The arguments whose values the program reads or writes; not one that is only replaced."""
    read = {value for call in graph.calls for value in call.inputs} | set(graph.results)
    read |= {value for _, value in graph.updates}
    given = zip(graph.inputs, sources, strict=True)
    keys = [s.key for one, s in given if s.kind == "argument" and one.value in read]
    return [*keys, *(key for key in written if key not in keys)]
