"""What is known of a number that a loop of a graph counts: in which range it is. Floor 9.

`i == 0` or `i < n - 1` is one answer in all turns but the first or the last ones. Where the loop
cannot be captured as it is, those turns are taken by themselves, and the others have that answer.
"""

from __future__ import annotations

from typing import Any

from twofold.base.symbols import expression, is_symbol
from twofold.frontends.windows import Line
from twofold.ops.bind import mode

MOST = 3  # turns at an end that are taken by themselves


def answer(line: Line, test: str, other: Any) -> bool | None:
    """Whether what is counted is less than a size ("<"), or equal to it ("=="), in every turn; None
    where that differs, or is not known.
    """
    if not _is_whole(other):
        return None
    low = line.low * line.factor + line.offset
    high = line.high * line.factor + line.offset
    if test == "<":
        if _less(high, other):
            return True
        if _less(other, low + 1):
            return False
    elif _less(high, other) or _less(other, low):
        return False
    _note(line, test, other - line.offset)
    return None


def _is_whole(x: Any) -> bool:
    return x.whole if is_symbol(x) else type(x) is int


def _less(a: Any, b: Any) -> bool:
    """Whether a < b is known of sizes; nothing is asked."""
    if not is_symbol(a) and not is_symbol(b):
        return bool(a < b)
    table = (a if is_symbol(a) else b).table
    return bool(table.ordered(expression(a + 1), expression(b)))


def _note(line: Line, test: str, other: Any) -> None:
    """Note how many turns at an end of the loop have an answer of their own."""
    if line.place is None or line.factor != 1 or line.step not in (1, -1):
        return
    extra = 1 if test == "==" else 0
    before, after = other - line.low + extra, line.high - other + 1
    first = before if type(before) is int and 0 < before <= MOST else 0
    last = after if not first and type(after) is int and 0 < after <= MOST else 0
    if line.step < 0:
        first, last = last, first
    edges = mode.capture.decided.edges
    known = edges.get(line.place, (0, 0))
    edges[line.place] = max(first, known[0]), max(last, known[1])
