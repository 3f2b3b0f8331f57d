"""Lists that a loop of a graph fills: what a turn sees of one, and what it is after the loop.
Floor 9.

The loop stacks what its turns append; the list is a `Stacked` then, whose tensors are the rows of
one. What a list held before the loop comes before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, final

from twofold.base.polynomials import only_sizes
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
    root    the list that the turn began with, of which this is that or a sum
    """

    __slots__ = ("added", "front", "last", "root")

    def __init__(self, last: Any) -> None:
        super().__init__()
        self.added: list[Any] = []
        self.front = False
        self.last = last
        self.root = self

    def append(self, x: Any) -> None:
        _check_tensor(x)
        if self.front:
            raise _refuse("a loop fills a list from both ends")
        self.added.append(x)
        self.last = x

    def extend(self, xs: Any) -> None:
        for x in xs:
            self.append(x)

    def __iadd__(self, xs: Any) -> Collected:  # type: ignore[override, misc]
        self.extend(xs)
        return self

    def __add__(self, xs: Any) -> Collected:  # type: ignore[override]
        made = self.twin()
        made.extend(xs)
        return made

    def __radd__(self, xs: Any) -> Collected:
        made = self.twin()
        for x in reversed(xs):
            made.insert(0, x)
        return made

    def twin(self) -> Collected:
        made = Collected(self.last)
        made.added, made.front, made.root = list(self.added), self.front, self.root
        return made

    def insert(self, place: Any, x: Any) -> None:
        _check_tensor(x)
        if place != 0 or (self.added and not self.front):
            raise _refuse("a loop puts a tensor into the middle of a list")
        self.front = True
        self.added.insert(0, x)

    def __getitem__(self, index: Any) -> Any:
        if type(index) is not int or index != -1 or self.last is None or self.front:
            raise _refuse("a loop of a graph reads a list that it fills")
        return self.last


def _check_tensor(x: Any) -> None:
    if not isinstance(x, Tensor):
        raise _refuse(f"a loop appends a {type(x).__name__} to a list, which is no tensor")


def _refused(self: Collected, *args: Any, **kwargs: Any) -> NoReturn:
    raise _refuse("a loop of a graph reads a list that it fills")


for _name in (*ONE_BY_ONE, "__bool__", "__len__"):
    if _name not in ("append", "extend", "insert", "__add__", "__iadd__", "__radd__"):
        setattr(Collected, _name, _refused)


def repeated(given: list[Any], count: Any) -> Any:
    """[x, y] * n for tensors of one shape and type, and a size n; NotImplemented for others."""
    first = given[0] if given else None
    if not isinstance(first, Tensor) or not count.whole or not only_sizes(count.expr):
        return NotImplemented
    like = first.array.shape, first.dtype
    for x in given:
        same = isinstance(x, Tensor) and x.dtype is like[1] and _alike(x.array.shape, like[0])
        if not same:
            return NotImplemented
    rows = stack(given).unsqueeze(0)  # type: ignore[attr-defined]
    shape = rows.array.shape
    whole = rows.expand((count, *shape[1:]))
    return Stacked(reshape(whole, (count * len(given), *shape[2:])))


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
