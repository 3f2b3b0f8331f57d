"""Lists that a loop of a graph fills: what a turn sees of one, and what it is after the loop.
Floor 9.

The loop stacks what its turns append; the list is a `Stacked` then, whose tensors are the rows of
one. What a list held before the loop comes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, final

from twofold.base.symbols import is_symbol, same_size
from twofold.frontends.arrays import CaptureError
from twofold.frontends.later import is_later, number_of
from twofold.ops.bind import mode
from twofold.ops.joining import ONE_BY_ONE, Stacked, flip, in_turn, stack
from twofold.ops.movement import reshape
from twofold.ops.tensor import Tensor


def _refuse(problem: str) -> CaptureError:
    hint = "list.append, list.insert(0, x) and list[-1] inside of the loop"
    return CaptureError("compile", problem, hint=hint)


def is_number(x: Any) -> bool:
    """Whether it is a Python number, or stands for one."""
    return is_later(x) or is_symbol(x) or type(x) in (bool, int, float)


@final
class Collected(list[Any]):
    """A list as a turn sees it: it takes tensors, and knows its last ones.

    lasts   those that it ends with before the turn, as many as the loop carries
    size    how many it has then, of what a loop counts that begins with it; None for no such
    place   that loop
    added   what the turn has put into it, in order
    given   the same, numbers as they are
    front   whether that comes before all else
    root    the list that the turn began with, of which this is that or a sum
    numbers whether it holds numbers
    number  which one it is of the loop's
    steps   whether it was read by what the loop counts: then each turn must put one into it
    """

    __slots__ = (
        "added",
        "front",
        "given",
        "lasts",
        "number",
        "numbers",
        "place",
        "root",
        "size",
        "steps",
    )

    def __init__(self, lasts: Sequence[Any], size: Any = None, place: Any = None) -> None:
        super().__init__()
        self.lasts = tuple(lasts)
        self.size = size
        self.place = place
        self.added: list[Any] = []
        self.given: list[Any] = []
        self.front = False
        self.root = self
        self.numbers = False
        self.steps = False
        self.number = 0

    def append(self, x: Any) -> None:
        if self.front:
            raise _refuse("a loop fills a list from both ends")
        self.added.append(self.part(x))
        self.given.append(x)

    def part(self, x: Any) -> Tensor:
        """A tensor, or a number as one, that the list is to hold."""
        number = is_number(x)
        if not number and not isinstance(x, Tensor):
            raise _refuse(f"a loop appends a {type(x).__name__} to a list, which is no tensor")
        if number is not self.numbers and self.added:
            raise _refuse("a loop appends numbers and tensors to a list")
        self.numbers = number
        return number_of(x) if number else x

    def extend(self, xs: Any) -> None:
        for x in xs:
            self.append(x)

    def __iadd__(self, xs: Any) -> Collected:
        self.extend(xs)
        return self

    def __add__(self, xs: Any) -> Collected:
        made = self.twin()
        made.extend(xs)
        return made

    def __radd__(self, xs: Any) -> Collected:
        made = self.twin()
        for x in reversed(xs):
            made.insert(0, x)
        return made

    def twin(self) -> Collected:
        made = Collected(self.lasts, self.size, self.place)
        made.added, made.front, made.root = list(self.added), self.front, self.root
        made.given, made.numbers, made.steps = list(self.given), self.numbers, self.steps
        return made

    def insert(self, place: Any, x: Any) -> None:
        if place != 0 or (self.added and not self.front):
            raise _refuse("a loop puts a tensor into the middle of a list")
        self.front = True
        self.added.insert(0, self.part(x))

    def __getitem__(self, index: Any) -> Any:
        back = None if self.front or self.numbers else self.back(index)
        if back is None:
            raise _refuse("a loop of a graph reads a list that it fills")
        held = [*self.lasts, *self.given]
        if back > len(held):
            raise Deeper(self.root, back - len(self.given))
        return held[-back]

    def back(self, index: Any) -> int | None:
        """How far from the end an index is; None where that differs from turn to turn."""
        if type(index) is int:
            return -index if index < 0 else None
        line: Any = getattr(index, "line", None)
        known = line is not None and self.size is not None and line.place == self.place is not None
        if not known or line.factor != 1 or line.step != 1:
            return None
        back = self.size + len(self.given) - (line.low + line.offset)
        self.root.steps = True
        return back if type(back) is int and back > 0 else None

    def ending(self, count: int) -> list[Any]:
        """What it ends with after the turn."""
        return [*self.lasts, *self.given][-count:] if count else []


class Deeper(Exception):
    """A turn reads a list further from its end than the loop carries."""

    def __init__(self, root: Collected, depth: int) -> None:
        super().__init__(depth)
        self.root = root
        self.depth = depth


def _refused(self: Collected, *args: Any, **kwargs: Any) -> NoReturn:
    raise _refuse("a loop of a graph reads a list that it fills")


for _name in (*ONE_BY_ONE, "__bool__", "__len__"):
    if _name not in ("append", "extend", "insert", "__add__", "__iadd__", "__radd__"):
        setattr(Collected, _name, _refused)


def repeated(given: list[Any], count: Any) -> Any:
    """[x, y] * n for tensors of one shape and type, or numbers of one, and a size n; NotImplemented
    for others.
    """
    if not given or mode.capture is None:
        return NotImplemented
    numbers = all(map(is_number, given))
    parts = [number_of(x) for x in given] if numbers else given
    like = parts[0]
    for x in parts:
        if not isinstance(x, Tensor) or not _same_rows(x, like):
            return NotImplemented
    if not mode.capture.listed(count):
        return NotImplemented
    rows = stack(parts).unsqueeze(0)  # type: ignore[attr-defined]
    shape = rows.array.shape
    whole = rows.expand((count, *shape[1:]))
    return Stacked(reshape(whole, (count * len(parts), *shape[2:])), numbers)


def _same_rows(x: Tensor, y: Any) -> bool:
    return x.dtype is y.dtype and _alike(x.array.shape, y.array.shape)


MOST_CARRIED = 8  # tensors at the end of a list


def lasts_of(held: list[Any], count: int = 1) -> list[Any]:
    """The last tensors of a list before a loop, in their order; nothing where it has not as many
    that could be carried.
    """
    if isinstance(held, Stacked):
        known = not held.numbers and not held.rest
        return [held.whole[-k] for k in range(count, 0, -1)] if known else []  # type: ignore[index]
    return held[-count:] if len(held) >= count and all(isinstance(x, Tensor) for x in held) else []


def seen(held: list[Any]) -> Collected:
    """A list before a loop as a turn sees it that is thrown away."""
    if isinstance(held, Stacked):
        return Collected(lasts_of(held))
    return Collected(lasts_of(held, min(len(held), MOST_CARRIED)))


def filled(
    held: list[Any], parts: Sequence[Tensor], front: bool, numbers: bool = False
) -> list[Any]:
    """The list after a loop that has put these into it in each turn, stacked over the turns."""
    if not parts:
        return held
    if isinstance(held, Stacked) and held.rest:
        raise held.refuse()
    new = _side_by_side(parts)
    if front:
        new = flip(new, 0)
    if not held:
        return Stacked(new, numbers)
    if numbers or (isinstance(held, Stacked) and held.numbers):
        raise _refuse("a loop appends numbers to a list that holds some")
    old = held.whole if isinstance(held, Stacked) else _stacked(held, new)
    if not _alike(old.array.shape[1:], new.array.shape[1:]) or old.dtype is not new.dtype:
        raise _refuse("a loop appends to a list that holds other things than it appends")
    return Stacked(in_turn([new, old] if front else [old, new]))


def _stacked(held: list[Any], like: Tensor) -> Tensor:
    fits = [isinstance(x, Tensor) and _alike(x.array.shape, like.array.shape[1:]) for x in held]
    if not all(fits):
        raise _refuse("a loop appends to a list that holds other things than it appends")
    return stack(held)


def _alike(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return len(a) == len(b) and all(same_size(n, m) for n, m in zip(a, b, strict=True))


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """What several appends a turn put into a list, in their order, along the first axis."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    shape, dtype = first.array.shape, first.dtype
    if any(not _alike(x.array.shape, shape) or x.dtype is not dtype for x in parts):
        raise _refuse("a loop appends tensors of several shapes or types to a list")
    return reshape(stack(parts, 1), (shape[0] * len(parts), *shape[1:]))
