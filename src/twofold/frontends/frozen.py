"""Inputs of a program that its user has said to be frozen, and whether they still are. Floor 9.

Writes are seen by the version of a tensor. Memory that others may write to (`x.data`, `x.numpy()`)
is looked at anew after it was given; what is written to it later than at the next call is not seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

from twofold.ir.graph import Graph
from twofold.ops.tensor import Exchanged, Given, Leaves, Tensor, root_of


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
        self.seen: list[int] = []
        self.running = 0
        self.turn = threading.Condition()

    @contextmanager
    def settled(self, arrays: Sequence[Any], thaw: Callable[[Any], None]) -> Iterator[None]:
        """Within, what was kept is of these arrays: `thaw` makes it anew if one was written, or is
        another, since the last run, after those that run in other threads are done.
        """
        with self.turn:
            while (now := self.now()) != self.seen:
                if self.running:
                    self.turn.wait()
                    continue
                thaw(arrays)
                self.seen = now
            self.running += 1
        try:
            yield
        finally:
            with self.turn:
                self.running -= 1
                self.turn.notify_all()

    def now(self) -> list[int]:
        """What tells of a write, and of another array."""
        return [Given.times, Exchanged.times, *[x.version for x in self.roots]]
