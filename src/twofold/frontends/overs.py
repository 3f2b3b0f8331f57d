"""What loops go over: ranges, rows of tensors, blocks of them, side by side or backwards. Floor 9.

These stand for Python's `range`, `enumerate`, `zip`, ... where sizes and tensors of a graph are
among what they are of; what Python can go over by itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, final

from twofold.base.symbols import ceil_div, is_symbol, maximum, same_size
from twofold.frontends.later import Later
from twofold.frontends.statements import decides, tested
from twofold.frontends.windows import counted
from twofold.ops.bind import bind, mode
from twofold.ops.convert import is_tensor
from twofold.ops.creation import arange
from twofold.ops.indexing import TAKE, Here
from twofold.ops.joining import Stacked, flip
from twofold.ops.movement import permute, reshape
from twofold.ops.source import zeros_of
from twofold.ops.splitting import chunk, split
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, wrap

Place = tuple[str, int]  # the file and the line of a loop


@final
class Range:
    """range(start, stop, step) whose numbers only a run knows; `place`: the loop over it."""

    place: Place | None = None

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self.start = start
        self.stop = stop
        self.step = step

    def __iter__(self) -> Iterator[int]:
        """Its numbers, which the program is then made for."""
        return iter(range(*map(int, (self.start, self.stop, self.step))))

    @property
    def by_value(self) -> bool:
        """Whether how many they are depends on a tensor's value."""
        return any(map(decides, (self.start, self.stop, self.step)))

    @property
    def size(self) -> Any:
        length = self.stop - self.start if self.step > 0 else self.start - self.stop
        if abs(self.step) == 1 and is_symbol(length):
            return length
        return maximum(ceil_div(length, abs(self.step)), 0)


@final
class Rows:
    """What enumerate and zip of tensors and ranges of a graph give: their items side by side."""

    def __init__(self, parts: Sequence[Any], size: Any) -> None:
        self.parts = parts
        self.size = size

    def item(self, items: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(map(item_of, self.parts, items))

    def __iter__(self) -> Iterator[Any]:
        """The items, for whose number the program is then made."""
        return iter([at(self, i) for i in range(int(self.size))])


@final
class Blocks:
    """What split and chunk of a tensor give, as many as a size says: blocks of one size, and a
    last one, which may be smaller.

    rows   the blocks but the last, along a new first axis
    last   the last one
    """

    def __init__(self, rows: Tensor, last: Tensor) -> None:
        self.rows = rows
        self.last = last

    @property
    def size(self) -> Any:
        return self.rows.array.shape[0] + 1

    def __iter__(self) -> Iterator[Any]:
        return iter([at(self, i) for i in range(int(self.size))])


def range_(*args: Any) -> Any:
    """range(...), of symbols and tensors too."""
    args = tuple(map(tested, args))
    sizes = [is_symbol(a) for a in args]
    by_value = any(map(decides, args))
    if not by_value and (not any(sizes) or mode.capture.unrolls):
        return range(*(int(a) if is_tensor(a) else a for a in args))
    start, stop, step = {1: (0, *args, 1), 2: (*args, 1)}.get(len(args), args)
    return Range(start, stop, step)


def item_of(part: Any, item: Any) -> Any:
    """An item of one part from a row of its tensor."""
    if isinstance(part, Rows | Stacked):
        return part.item(item)
    if not isinstance(part, Range):
        return item
    return Later(int, item).on(counted(item, part.start, part.stop, part.step, part.place))


def rows_of(over: Any) -> Any:
    """What a loop goes over, where a list that a loop has filled is its tensor; numbers stay."""
    if not isinstance(over, Stacked) or over.numbers or len(over.rest) > 1:
        return over
    return Blocks(over.whole, over.rest[0]) if over.rest else over.whole


def size_of(over: Any) -> Any:
    """How many items a graph's tensor, range or rows have; None for what Python goes over."""
    if mode.capture is None or mode.capture.unrolls:
        return None
    if isinstance(over, Rows | Blocks):
        return over.size
    if isinstance(over, Stacked):
        return None if over.rest else over.whole.array.shape[0]
    if isinstance(over, Range) and not over.by_value and not is_symbol(over.step) and over.step:
        return over.size
    if not isinstance(over, Tensor) or not over.array.ndim:
        return None
    known = decides(over) or stands_in(over.array)
    return over.array.shape[0] if known and is_symbol(over.array.shape[0]) else None


def enumerate_(over: Any, start: Any = 0) -> Any:
    """enumerate(over, start)."""
    over = rows_of(over)
    size = size_of(over)
    if size is None:
        return enumerate(over, start)
    return Rows((Range(start, start + size, 1), over), size)


def zip_(*overs: Any, strict: bool = False) -> Any:
    """zip(*overs, strict=strict)."""
    overs = tuple(map(rows_of, overs))
    sizes = [size_of(over) for over in overs]
    if not sizes or any(n is None or not same_size(n, sizes[0]) for n in sizes):
        return zip(*overs, strict=strict)
    return Rows(overs, sizes[0])


def reversed_(over: Any) -> Any:
    """reversed(over)."""
    over = rows_of(over)
    if isinstance(over, Range) and over.step == 1:
        return Range(over.stop - 1, over.start - 1, -1)
    if isinstance(over, Stacked):
        return over[::-1]
    if isinstance(over, Rows) and not any(isinstance(part, Blocks) for part in over.parts):
        return Rows(tuple(map(reversed_, over.parts)), over.size)
    if isinstance(over, Tensor) and size_of(over) is not None:
        return flip(over, 0)
    return reversed(list(over) if isinstance(over, Range | Rows | Blocks) else over)


def items_(over: Any) -> Any:
    """list(over) where a loop goes over it: what nobody else sees is no list."""
    return over if in_graph(over) else list(over)


def list_(*over: Any) -> Any:
    """list(over)."""
    first: Any = over[0] if len(over) == 1 else None
    size = size_of(first) if isinstance(first, Range | Tensor) else None
    if size is not None and getattr(first, "step", 1) == 1 and mode.capture.listed(size):
        return Stacked(tensors_of(first), numbers=isinstance(first, Range))
    return first if isinstance(first, Stacked) else list(*over)


def unbind_(x: Any, *dims: Any, **named: Any) -> Any:
    """x.unbind(*dims), or torch.unbind; the rows of a tensor of a graph are gone over as they
    are.
    """
    if not isinstance(x, Tensor):
        return _of_module(unbind_, x.unbind, dims, named)
    dim = dims[0] if len(dims) == 1 and not named else named.get("dim", 0)
    if len(dims) + len(named) <= 1 and type(dim) is int and -x.array.ndim <= dim < x.array.ndim:
        turned = _first(x, dim % x.array.ndim)
        if size_of(turned) is not None:
            return turned
    return x.unbind(*dims, **named)  # type: ignore[attr-defined]


def _of_module(helper: Any, function: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """A function of tensors that is called by its module: torch.split(x, 3)."""
    word = next((w for w in ("input", "tensor") if w in named), "")
    x = args[0] if args else named.get(word)
    if not isinstance(x, Tensor):
        return function(*args, **named)
    return helper(x, *args[1:], **{w: y for w, y in named.items() if w != word})


def _first(x: Any, axis: int) -> Any:
    """x with one of its axes before all others."""
    rest = [k for k in range(x.array.ndim) if k != axis]
    return permute(x, (axis, *rest)) if axis else x


def split_(x: Any, *args: Any, **named: Any) -> Any:
    """x.split(size, dim), or torch.split."""
    if not isinstance(x, Tensor):
        return _of_module(split_, x.split, args, named)
    size, dim = _two(args, named, "split_size_or_sections", "split_size")
    found = _blocks(x, size, dim) if isinstance(size, int) else None
    return split(x, *args, **named) if found is None else found


def chunk_(x: Any, *args: Any, **named: Any) -> Any:
    """x.chunk(chunks, dim), or torch.chunk."""
    if not isinstance(x, Tensor):
        return _of_module(chunk_, x.chunk, args, named)
    chunks, dim = _two(args, named, "chunks")
    found = None
    if type(chunks) is int and chunks > 0 and _cuts(x, dim) and x.array.shape[dim] > 0:
        found = _blocks(x, ceil_div(x.array.shape[dim], chunks), dim)
    return chunk(x, *args, **named) if found is None else found


def _two(args: tuple[Any, ...], named: dict[str, Any], *words: str) -> tuple[Any, Any]:
    """A first argument, which may have one of these names, and `dim`."""
    first = args[0] if args else next((named[w] for w in words if w in named), None)
    return first, args[1] if len(args) > 1 else named.get("dim", 0)


def _cuts(x: Tensor, dim: Any) -> bool:
    """Whether an axis has a size that is a symbol."""
    ndim = x.array.ndim
    known = mode.capture is not None and not mode.capture.unrolls and type(dim) is int
    return bool(known and -ndim <= dim < ndim and is_symbol(x.array.shape[dim]))


def _blocks(x: Tensor, size: Any, dim: Any) -> Blocks | None:
    """The blocks of a size along an axis whose size is a symbol."""
    if not _cuts(x, dim) or not (is_symbol(size) or size > 0):
        return None
    axis, shape = dim % x.array.ndim, x.array.shape
    full = maximum(shape[axis] - 1, 0) // size
    before, last = split(x, [full * size, shape[axis] - full * size], axis)
    rows = reshape(before, (*shape[:axis], full, size, *shape[axis + 1 :]))
    return Blocks(_first(rows, axis), last)


def in_graph(over: Any) -> bool:
    return isinstance(over, Range | Rows | Blocks) or size_of(over) is not None


def by_value(over: Any) -> bool:
    """Whether how often a loop turns depends on a tensor's value."""
    return isinstance(over, Range) and over.by_value


def placed(over: Any, place: Place) -> Any:
    """What a loop goes over, whose counters know the loop."""
    if isinstance(over, Range):
        made = Range(over.start, over.stop, over.step)
        made.place = place
        return made
    return Rows([placed(x, place) for x in over.parts], over.size) if type(over) is Rows else over


def ends(over: Any) -> int:
    """How many items at its end are other ones than those before: 1 of blocks, else 0."""
    if isinstance(over, Rows):
        return max(map(ends, over.parts))
    return int(isinstance(over, Blocks))


def at(over: Any, i: Any) -> Any:
    """Item i of what a loop goes over; of blocks the last one, or one before that."""
    if isinstance(over, Rows):
        return tuple([at(part, i) for part in over.parts])
    if isinstance(over, Blocks):
        same = is_symbol(i) and i.expr == getattr(over.size - 1, "expr", None)
        return over.last if same or bool(i == over.size - 1) else over.rows[i]  # type: ignore[index]
    return over.start + over.step * i if isinstance(over, Range) else over[i]


def section(over: Any, low: Any, high: Any) -> Any:
    """The items from `low` to `high`, which is not among them; of blocks none is the last."""
    if isinstance(over, Rows):
        return Rows([section(part, low, high) for part in over.parts], high - low)
    if isinstance(over, Range):
        made = Range(over.start + over.step * low, over.start + over.step * high, over.step)
        made.place = over.place
        return made
    source: Any = over.rows if isinstance(over, Blocks) else over
    return source[low:high]


def tensors_of(over: Any) -> Any:
    """What a loop goes over as tensors, of which each turn has a row."""
    if isinstance(over, Rows):
        return [tensors_of(part) for part in over.parts]
    if isinstance(over, Stacked):
        return over.whole
    return arange(over.start, over.stop, over.step) if isinstance(over, Range) else over


def like_item(items: Any) -> Any:
    """A tensor like one row, to see what a turn makes of it."""
    if isinstance(items, list):
        return [like_item(part) for part in items]
    return zeros_of(tuple(items.array.shape[1:]), items.array.dtype)


def first_of(items: Any) -> Tensor:
    return first_of(items[0]) if isinstance(items, list) else items


def picked(over: Any, flags: Tensor) -> Any:
    """The items at which a mask of all of them is true: how many is computed before each run."""
    array: Any = flags.array
    hint = "a value that counts for nothing (zeros, -inf) in place of what is left out"
    (places,) = mode.capture.places_of(array, "how many items a condition leaves", hint)
    return _picked(over, wrap(places))


def _picked(over: Any, places: Tensor) -> Any:
    if isinstance(over, Rows):
        return Rows([_picked(part, places) for part in over.parts], places.array.shape[0])
    if isinstance(over, Range):
        numbers = places if over.step == 1 else places * over.step
        return Stacked(numbers + over.start, numbers=True)
    numbers = isinstance(over, Stacked) and over.numbers
    made = bind(TAKE, (tensors_of(over), places), ((Here(0),),))
    return Stacked(made, numbers=True) if numbers else made
