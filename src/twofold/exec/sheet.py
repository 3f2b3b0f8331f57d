"""Arithmetic on whole numbers that machine code does: cells, and lines that compute them. Floor 7.

A `Sheet` takes what is on tapes (base/traced.py). `run` goes from line to line until one stops it:
where a condition does not hold the block of lines is left for the line that was told for that.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from twofold.base.records import NamedTuple
from twofold.base.traced import Tape, Traced
from twofold.lower.sheet import CODES, LINE_WORDS, OTHERWISE, STOPPED, load_sheet

Numbers = npt.NDArray[np.int64]
TASK = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
WORD = (1 << 64) - 1


class Block(NamedTuple):
    """Lines of one tape: where they begin, and the cells of the values on it."""

    begin: int
    cells: dict[int, int]


def signed(number: int) -> int:
    """A word as a signed number."""
    number &= WORD
    return number - (1 << 64) if number >> 63 else number


@final
class Sheet:
    """Cells and lines. Cell 0 says where a run has stopped."""

    def __init__(self, room: int = 1024) -> None:
        self.cells: Numbers = np.zeros(room, np.int64)
        self.taken = STOPPED + 1
        self.code: Numbers = np.zeros((room, LINE_WORDS), np.int64)
        self.lines = 0
        self.constants: dict[int, int] = {}
        self.temporary = (0, 0)  # cells that every block may use: where they begin, how many
        self.task: Callable[[int, int, int], None] | None = None
        self.job = (ctypes.c_int64 * 3)()
        self.job_at = ctypes.addressof(self.job)
        self.moved = True  # cells or lines, since the last run

    # ---- cells

    def take(self, count: int) -> int:
        """New cells, one after the other: the first."""
        begin = self.taken
        self.taken += count
        while self.taken > len(self.cells):
            self.cells = np.concatenate([self.cells, np.zeros_like(self.cells)])
            self.moved = True
        return begin

    def constant(self, number: int) -> int:
        """A cell with this number."""
        found = self.constants.get(number)
        if found is None:
            found = self.constants[number] = self.take(1)
            self.cells[found] = signed(number)
        return found

    def shared(self, count: int) -> int:
        """Cells whose values nobody wants after the block."""
        begin, room = self.temporary
        if count > room:
            begin = self.take(2 * count)
            self.temporary = begin, 2 * count
        return begin

    # ---- lines

    def add(self, words: Any) -> int:
        """New lines, as their words one after the other: the first one's number."""
        begin = self.lines
        if not isinstance(words, np.ndarray):  # (an array of Python's takes a list in less time)
            words = np.frombuffer(array("q", words), np.int64)
        made = words.reshape(-1, LINE_WORDS)
        self.lines += len(made)
        while self.lines > len(self.code):
            self.code = np.concatenate([self.code, np.zeros_like(self.code)])
            self.moved = True
        self.code[begin : self.lines] = made
        return begin

    def stop(self) -> int:
        """A line that ends a run."""
        return self.add((CODES["stop"], 0, 0, 0, 0))

    def go(self, line: int) -> int:
        """A line that goes on at another one."""
        return self.add((CODES["go"], 0, 0, 0, line))

    def go_from(self, line: int, to: int) -> None:
        """Have this `go` lead elsewhere."""
        self.code[line, LINE_WORDS - 1] = to

    def block(
        self, tape: Tape, given: Sequence[int], wanted: dict[int, int] | None, other: int
    ) -> Block:
        """The lines of a tape whose numbers are in the cells `given`.

        wanted  the cells for some of its values; None: all have cells of their own
        other   the line to go on with where a condition does not hold
        """
        place, count = len(given), tape.count - len(given)
        targets = wanted or {}
        spare = self.take(count) if wanted is None else self.shared(count)
        cells: dict[Any, int] = dict(enumerate(given))
        words: list[int] = []
        for operation, left, right, answer in tape.lines:
            for x in (left, right):
                if x not in cells:
                    cells[x] = self.constant(x[0])
            if answer is not None:
                asked = operation if answer else OTHERWISE[operation]
                words += (CODES[asked], 0, cells[left], cells[right], other)
                continue
            cell = targets.get(place)
            if cell is None:
                cell, spare = spare, spare + 1
            words += (CODES[operation], cell, cells[left], cells[right], 0)
            cells[place] = cell
            place += 1
        return Block(self.add(words), cells)

    def copy(self, source: int, to: int) -> tuple[int, ...]:
        """The words of a line that copies a cell."""
        return (CODES["add"], to, source, self.constant(0), 0)

    # ---- use

    def run(self, begin: int) -> int:
        """Compute from a line on; the line that has stopped it."""
        if self.task is None:
            code = load_sheet()
            code.ready()
            self.task = TASK(code.address("compute"))
        if self.moved:
            self.job[:2] = [self.code.ctypes.data, self.cells.ctypes.data]
            self.moved = False
        self.job[2] = begin
        self.task(self.job_at, 0, 1)
        return int(self.cells[STOPPED])


def numbers_at(tape: Tape, numbers: Sequence[Any]) -> dict[int, int]:
    """The places of the traced ones among some numbers: what is computed on the tape, each with the
    first position that it has.
    """
    found: dict[int, int] = {}
    given = len(tape.numbers)
    for position, x in enumerate(numbers):
        if type(x) is Traced and x.place >= given:
            found.setdefault(x.place, position)
    return found
