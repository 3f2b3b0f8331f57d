"""Where the buffers of a plan lie in its arena: those alive at once do not overlap. Floor 7.

    offsets, size = arrange(sizes, lives, known)

The largest first, each at the lowest place that is free while it lives. A graph is planned for many
sizes, and what is alive together seldom changes with them. So of a second plan only the order is
taken from the first one: whose buffer lies above whose. Each begins where the highest of those
directly beneath it ends, which is right for any sizes, in a tenth of the time. Where that takes
more memory than the first way would, buffers are laid out anew.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Any, final

import numpy as np

ALIGN = 64
LOOSER = 1.03  # how much more of the least possible memory an order may take than when it was made
MOST_KNOWN = 64
FEW, MANY = 40, 4096  # buffers: fewer are laid out anew as soon; of more, pairs take much memory

Lives = tuple[tuple[int, int], ...]  # of each buffer the first and the last call that need it


@final
class Stack:
    """An order of buffers with these lives, as it was for some sizes.

    loose   the arena's size over the least possible one
    order   the buffers from the lowest on, each with those directly beneath it
    """

    __slots__ = ("ends", "firsts", "loose", "offsets", "order")

    def __init__(self, lives: Lives) -> None:
        self.firsts = np.array([first for first, _ in lives])
        self.ends = np.array([last + 1 for _, last in lives])
        self.loose = 0.0
        self.offsets: list[int] = []
        self.order: list[tuple[int, list[int]]] = []

    def least(self, sizes: Any) -> float:
        """The bytes that are alive at once, at most."""
        count = int(self.ends.max()) + 1
        begun = np.bincount(self.firsts, sizes, count)
        return float(np.cumsum(begun - np.bincount(self.ends, sizes, count)).max())

    def keep(self, offsets: list[int], loose: float) -> None:
        self.offsets, self.loose, self.order = offsets, loose, []

    def again(self, sizes: Sequence[int]) -> tuple[list[int], int]:
        """Offsets in the same order, for other sizes."""
        # (another thread may lay the same buffers out anew meanwhile)
        order = self.order = self.order or self.found_order()
        offsets, ends, top = [0] * len(sizes), [0] * len(sizes), 0
        for index, beneath in order:
            at = 0
            for other in beneath:
                if ends[other] > at:
                    at = ends[other]
            offsets[index] = at
            at += sizes[index]
            ends[index] = at
            if at > top:
                top = at
        return offsets, top

    def found_order(self) -> list[tuple[int, list[int]]]:
        """Each buffer with those beneath it, without those that lie beneath one of these."""
        together = self.firsts[:, None] < self.ends
        together &= together.T
        at = np.array(self.offsets)
        beneath = together & (at[:, None] > at)
        rows = np.packbits(beneath, axis=1, bitorder="little")
        masks = [int.from_bytes(row.tobytes(), "little") for row in rows]
        order = []
        for index in np.argsort(at, kind="stable").tolist():
            others = np.flatnonzero(beneath[index]).tolist()
            covered = 0
            for other in others:
                covered |= masks[other]
            order.append((index, [other for other in others if not covered >> other & 1]))
        return order


def arrange(sizes: Sequence[int], lives: Lives, known: dict[Lives, Stack]) -> tuple[list[int], int]:
    """An offset for each buffer, and the size of the arena.

    sizes   bytes
    known   what earlier calls have found for the same graph
    """
    sizes = in_whole_lines(sizes)
    if not FEW <= len(sizes) <= MANY:
        return largest_first(sizes, lives)
    stack = known.get(lives)
    if stack is None:
        if len(known) >= MOST_KNOWN:
            known.clear()
        stack = known[lives] = Stack(lives)
    least = stack.least(sizes)
    if stack.offsets:
        offsets, top = stack.again(sizes)
        if top <= stack.loose * LOOSER * least:
            return offsets, top
    offsets, top = largest_first(sizes, lives)
    stack.keep(offsets, top / least)
    return offsets, top


def in_whole_lines(sizes: Sequence[int]) -> list[int]:
    """Bytes in multiples of 64. What has no bytes now has a place too: it may have some the next
    time.
    """
    return [-(-size // ALIGN) * ALIGN or ALIGN for size in sizes]


def largest_first(sizes: Sequence[int], lives: Lives) -> tuple[list[int], int]:
    """The largest first, each at the lowest place that is free while it lives."""
    offsets, top = [0] * len(sizes), 0
    placed: list[Any] = []  # by where they begin: begin, end, first, last
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        size, (first, last) = sizes[index], lives[index]
        at = 0
        for begin, end, since, until in placed:
            if since <= last and until >= first:
                if begin - at >= size:
                    break
                if end > at:
                    at = end
        offsets[index] = at
        top = max(top, at + size)
        insort(placed, (at, at + size, first, last))
    return offsets, top
