"""Slices that move: x[i:i + 3], where i is what a loop of a graph counts, or a number of the
user's. Floor 9.

As long as such a slice lies within its axis it has the same size at every turn, and is a part of
the graph: the elements at i, i + 1, i + 2. Whether it does follows from where the loop begins and
ends; it is asked, as a guard, where that is not known for all sizes.
"""

from __future__ import annotations

from typing import Any

from twofold.base import dtypes
from twofold.base.polynomials import only_sizes
from twofold.base.records import NamedTuple
from twofold.base.symbols import expression, is_symbol
from twofold.frontends.noted import Again
from twofold.ops.bind import bind, mode
from twofold.ops.creation import arange
from twofold.ops.elementwise import add
from twofold.ops.indexing import ALL, TAKE, Here, axes_taken
from twofold.ops.tensor import Tensor, wrap


class Line(NamedTuple):
    """A number that a loop counts: `root * factor + offset`, for a root from `low` to `high`.

    place, step   the loop, if it is known, and what it counts by
    """

    root: Any
    low: Any
    high: Any
    place: Any = None
    step: int = 1
    factor: Any = 1
    offset: Any = 0


def counted(root: Any, start: Any, stop: Any, step: Any, place: Any = None) -> Line | None:
    """What a loop over range(start, stop, step) counts; None where its ends are not known."""
    if not all(map(_is_size, (start, stop, step))) or is_symbol(step) or step == 0:
        return None
    turns = (stop - start + step - (1 if step > 0 else -1)) // step
    last = start + (turns - 1) * step
    return Line(root, *((start, last) if step > 0 else (last, start)), place, step)


def moved(line: Line | None, by: Any) -> Line | None:
    """The line of a sum."""
    if line is None or not _is_size(by):
        return None
    return line._replace(offset=line.offset + by)


def lessened(line: Line | None, by: Any) -> Line | None:
    """The line of a difference."""
    return moved(line, -by) if _is_size(by) else None


def scaled(line: Line | None, by: Any) -> Line | None:
    """The line of a product."""
    if line is None or not _is_size(by) or not by >= 0:
        return None
    return line._replace(factor=line.factor * by, offset=line.offset * by)


def window(start: Any, stop: Any, size: Any) -> Tensor | None:
    """The positions that a slice of an axis names, i64[n]; None for a slice that does not move, or
    whose size is not the same wherever it lies.
    """
    line, end = getattr(start, "line", None), getattr(stop, "line", None)
    if line is not None and end is not None:
        same = line.root is end.root and _equal(line.factor, end.factor)
        count = end.offset - line.offset if same else None
        first = line.low * line.factor + line.offset
        last = line.high * line.factor + line.offset
        begin = start.tensor
    elif is_symbol(start) and start.whole and not only_sizes(start.expr) and stop is not None:
        count, first, last = stop - start, start, start
        begin = wrap(mode.capture.constant(start, dtypes.int64))
    else:
        return None
    if count is None or not _is_size(count) or not count > 0:
        return None
    fits = first >= 0 and _ordered(last + count, size)
    if not fits and line is not None and line.step > 1 and line.place is not None:
        capture = mode.capture
        if capture.decided.ends_of(line.place)[1] == 0 and not capture.unrolls:
            raise Again("peeled", (line.place, 0, 1))  # the last part may be a smaller one
    if not fits and not (first >= 0 and last + count <= size):
        return None
    made: Tensor = add(arange(count), begin)
    return made


def _is_size(x: Any) -> bool:
    """Whether it is a whole number that sizes alone decide."""
    return only_sizes(x.expr) and x.whole if is_symbol(x) else type(x) is int


def _ordered(x: Any, y: Any) -> bool:
    """Whether x <= y is known; nothing is asked."""
    if not is_symbol(x) and not is_symbol(y):
        return bool(x <= y)
    return bool((x if is_symbol(x) else y).table.ordered(expression(x), expression(y)))


def _equal(x: Any, y: Any) -> bool:
    if is_symbol(x) and is_symbol(y):
        return bool(x.expr == y.expr)
    return type(x) is type(y) and bool(x == y)


# ---- keys


def taken(x: Tensor, key: Any) -> tuple[Tensor, Any]:
    """The same part without slices that move: these are taken from x first."""
    parts = list(key) if isinstance(key, tuple) else [key]
    found = _windows(x, parts)
    for place, axis, positions in found:
        x = bind(TAKE, (x, positions), ((*(ALL,) * axis, Here(0)),))
        mode.capture.took(x)
        parts[place] = slice(None)
    return x, tuple(parts) if found else key


def positions(x: Tensor, key: Any) -> Any:
    """A key to be written, with the positions of a slice that moves. Numbers may stand beside it,
    which are read side by side with these.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    found = _windows(x, parts)
    for place, _, places in found:
        slices = slice | type(None) | type(...)
        numbers = [k for k, part in enumerate(parts) if not isinstance(part, slices)]
        arrays = [k for k in numbers if getattr(parts[k], "ndim", 0)]
        if arrays or any(abs(k - place) > 1 for k in numbers):
            return key
        parts[place] = places
    return tuple(parts) if found else key


def _windows(x: Tensor, parts: list[Any]) -> list[tuple[int, int, Tensor]]:
    """The slices of a key that move: their places in it, their axes, and their positions."""
    found, axis = [], 0
    for place, part in enumerate(parts):
        if part is Ellipsis:
            axis = x.array.ndim - sum(axes_taken(p) for p in parts[place + 1 :])
            continue
        if isinstance(part, slice) and part.step in (None, 1) and axis < x.array.ndim:
            places = window(part.start, part.stop, x.array.shape[axis])
            if places is not None:
                found.append((place, axis, places))
        axis += axes_taken(part)
    return found
