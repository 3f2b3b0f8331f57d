"""Lists that a loop of a graph fills: what a turn sees of one, and what it is after the loop.
Floor 9.

The loop stacks what its turns append; the list is a `Stacked` then, whose tensors are the rows of
one. What a list held before the loop comes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, final

from twofold.base.symbols import same_size
from twofold.frontends.arrays import CaptureError
from twofold.ops.joining import ONE_BY_ONE, Stacked, cat, flip, stack
from twofold.ops.movement import reshape
from twofold.ops.tensor import Tensor


def _refuse(problem: str) -> CaptureError:
    hint = "list.append, list.insert(0, x) and list[-1] inside of the loop"
    return CaptureError("compile", problem, hint=hint)


@final
class Collected(list[Any]):
    """A list as a turn sees it: it takes tensors, and knows its last one.

    added   what the turn has put into it, in order
    front   whether that comes before all else
    """

    __slots__ = ("added", "front", "last")

    def __init__(self, last: Any) -> None:
        super().__init__()
        self.added: list[Any] = []
        self.front = False
        self.last = last

    def append(self, x: Any) -> None:
        if self.front:
            raise _refuse("a loop fills a list from both ends")
        self.added.append(x)
        self.last = x

    def insert(self, place: Any, x: Any) -> None:
        if place != 0 or (self.added and not self.front):
            raise _refuse("a loop puts a tensor into the middle of a list")
        self.front = True
        self.added.insert(0, x)

    def __getitem__(self, index: Any) -> Any:
        if type(index) is not int or index != -1 or self.last is None or self.front:
            raise _refuse("a loop of a graph reads a list that it fills")
        return self.last


def _refused(self: Collected, *args: Any, **kwargs: Any) -> NoReturn:
    raise _refuse("a loop of a graph reads a list that it fills")


for _name in (*ONE_BY_ONE, "__bool__", "__len__"):
    if _name not in ("append", "insert"):
        setattr(Collected, _name, _refused)


def last_of(held: list[Any]) -> Any:
    """The last tensor of a list before a loop; None where it has none that could be carried."""
    if isinstance(held, Stacked):
        return held.whole[-1]  # type: ignore[index]
    return held[-1] if held and all(isinstance(x, Tensor) for x in held) else None


def filled(held: list[Any], parts: Sequence[Tensor], front: bool) -> list[Any]:
    """The list after a loop that has put these into it in each turn, stacked over the turns."""
    if not parts:
        return held
    new = _side_by_side(parts)
    if front:
        new = flip(new, 0)
    if not held:
        return Stacked(new)
    old = held.whole if isinstance(held, Stacked) else _stacked(held, new)
    if not _alike(old.array.shape[1:], new.array.shape[1:]) or old.dtype is not new.dtype:
        raise _refuse("a loop appends to a list that holds other things than it appends")
    return Stacked(cat([new, old] if front else [old, new]))


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
