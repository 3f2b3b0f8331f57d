"""Where the buffers of an outline lie, by lines of its sheet. Floor 7.

The order of the buffers is the one that they had for some sizes (exec/stacks.py): each begins where
the highest of those directly beneath it ends. Where that takes more memory than to lay them out
anew would, another order is found, and other lines.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from twofold.exec.sheet import Sheet
from twofold.exec.stacks import ALIGN, LOOSER, Lives, Stack, in_whole_lines, largest_first
from twofold.lower.sheet import CODES, LINE_WORDS

MOST_ORDERS = 64  # of one outline: from then on buffers are laid out by Python


@final
class Heap:
    """The arena of an outline: `lives` of its buffers; sizes and places are in cells.

    places  the first of the cells of the buffers' places
    """

    def __init__(self, sheet: Sheet, lives: Lives) -> None:
        count = len(lives)
        self.lives = lives
        self.places = sheet.take(count)
        self.sizes = sheet.take(count)  # in whole lines
        self.ends = sheet.take(count)
        self.top = sheet.take(1)
        self.stack = Stack(lives) if lives else None
        self.begin = -1
        self.orders = 0

    def arrange(self, sheet: Sheet, sizes: Any) -> int:
        """Find a place for each buffer of these sizes: the bytes of all."""
        stack, count = self.stack, len(self.lives)
        if stack is None:
            return 0
        whole = np.maximum(-(-sizes // ALIGN), 1) * ALIGN
        least = stack.least(whole)
        if self.begin >= 0:
            sheet.cells[self.sizes : self.sizes + count] = whole
            sheet.cells[self.places : self.places + count] = sheet.cells[self.top] = 0
            sheet.run(self.begin)
            top = int(sheet.cells[self.top])
            if top <= stack.loose * LOOSER * least:
                return top
        offsets, top = largest_first(in_whole_lines(sizes.tolist()), self.lives)
        sheet.cells[self.places : self.places + count] = offsets
        if self.orders < MOST_ORDERS:
            self.orders += 1
            stack.keep(offsets, top / least)
            self.begin = self.write(sheet, stack, offsets)
        return top

    def write(self, sheet: Sheet, stack: Stack, offsets: list[int]) -> int:
        """The lines of an order: the first one. Of each buffer there is a line for each that lies
        directly beneath it, then those for its end and for the end of all.
        """
        count = len(offsets)
        at, index = np.array(offsets), np.arange(count)
        together = stack.firsts[:, None] < stack.ends
        lower = (together & together.T & (at[:, None] > at)).astype(np.float32)
        above, beneath = np.nonzero((lower > 0) & (lower @ lower == 0))
        turn = np.empty(count, np.int64)
        turn[np.argsort(at, kind="stable")] = index
        rows = np.concatenate([above, index, index])
        places, ends = self.places + rows, self.ends + rows
        lines = np.zeros((len(rows), LINE_WORDS), np.int64)
        pairs = len(above)
        most, more = CODES["max"], CODES["add"]
        lines[:, 0] = np.repeat([most, more, most], [pairs, count, count])
        top = np.full(count, self.top)
        lines[:, 1] = np.concatenate([places[:pairs], ends[pairs : pairs + count], top])
        lines[:, 2] = np.concatenate([places[: pairs + count], top])
        lines[:, 3] = np.concatenate([self.ends + beneath, self.sizes + index, self.ends + index])
        stage = np.repeat([0, 1, 2], [pairs, count, count])
        begin = sheet.add(lines[np.argsort(turn[rows] * 3 + stage, kind="stable")])
        sheet.stop()
        return begin
