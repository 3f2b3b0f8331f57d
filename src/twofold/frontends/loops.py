"""Loops that are rewritten: Python's over Python's values, a graph's over its tensors and sizes.
Floor 9. See frontends/syntax.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, final

from twofold.base.errors import in_python
from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol, same_size
from twofold.frontends import statements, syntax
from twofold.frontends.control import scan, while_loop
from twofold.frontends.later import TYPES, Later, number_of, type_of_number
from twofold.frontends.statements import (
    Probe,
    bool_,
    carried,
    decides,
    not_,
    nothing_like,
    refuse,
    tested,
    undefined,
)
from twofold.ops.bind import mode
from twofold.ops.compare import logical_and
from twofold.ops.convert import is_tensor
from twofold.ops.creation import arange
from twofold.ops.elementwise import cast
from twofold.ops.joining import Stacked
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, wrap

Here = tuple[str, int]  # the file and the line of a loop

# ---- loops ---------------------------------------------------------------------------------------


def while_(test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    """turn(*values) for as long as test(*values) is true."""
    frame = sys._getframe(1)
    here = frame.f_code.co_filename, frame.f_lineno
    while True:
        answer = test(*values)
        if decides(answer):
            return _while_in_graph(test, turn, values, names, here)
        if not answer:
            return values
        values = turn(*values)


def _while_in_graph(
    test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], here: Here
) -> Any:
    """A loop that values end. What of it no graph can hold Python runs, with all around it."""
    try:
        if _sets_first(values, here):
            if not bool_(test(*values)):
                return values
            values = _with_first(turn, values)
        return _turned_in_graph(test, turn, values, names)
    except Exception as error:
        in_python(error)
        raise


def _sets_first(values: tuple[Any, ...], here: Here) -> bool:
    """Whether a loop carries names that have their first value in it, as they are read after it:
    then it must turn once at least. Until that is known, it is only noted that there are such.
    """
    if not any(map(undefined, values)):
        return False
    if here not in mode.capture.sets_first:
        mode.capture.left.add(here)
        return False
    return True


def _with_first(turn: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, with zeros for those that have none before the first turn."""
    with Probe():
        made = turn(*values)
    return tuple(
        _zero_like(after) if undefined(x) and carried(after) else x
        for x, after in zip(values, made, strict=True)
    )


def _zero_like(x: Any) -> Any:
    return nothing_like(x) if isinstance(x, Tensor) else type_of_number(x)(0)


def _turned_in_graph(test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    values = _with_results(turn, values, names)
    places = _carried_places(values, names)
    slots = _slots(values, places, names, lambda given: turn(*given))

    def turned(*carry: Any) -> tuple[Any, ...]:
        made = turn(*_whole(values, slots, carry))
        return tuple(slot.kept(made[slot.place], x) for slot, x in zip(slots, carry, strict=True))

    def going(*carry: Any) -> Any:
        return tested(test(*_whole(values, slots, carry)))

    start = tuple(slot.start for slot in slots)
    found = _proven(lambda: while_loop(going, turned, start))
    return _whole(values, slots, found)


class Slot(NamedTuple):
    """One name that a loop carries.

    kind    int, float or bool where it is a Python number; None for a tensor
    start   its value before the loop
    """

    place: int
    name: str
    kind: Any
    start: Tensor

    def kept(self, x: Any, before: Tensor) -> Tensor:
        """The value after a turn, of the type that it had before."""
        if self.kind is not None and not isinstance(x, Tensor):
            return cast(number_of(x), before.dtype)
        made: Any = as_tensor(x, "loop", self.name)
        return made if made.dtype is before.dtype else made.to(before.dtype)  # type: ignore[no-any-return]


def _whole(values: tuple[Any, ...], slots: Sequence[Slot], carry: Any) -> tuple[Any, ...]:
    """The values with what a loop carries in its places."""
    made = list(values)
    for slot, x in zip(slots, carry, strict=True):
        made[slot.place] = x if slot.kind is None else Later(slot.kind, x)
    return tuple(made)


def _slots(
    values: tuple[Any, ...], places: list[int], names: tuple[str, ...], turn: Callable[[Any], Any]
) -> list[Slot]:
    """What a loop carries. A number is as wide as what a turn makes of it, or a tensor."""
    slots = [_slot(values[p], p, names[p], None) for p in places]
    for _ in range(3):
        if all(slot.kind is None for slot in slots):
            break
        with Probe():
            made = turn(_whole(values, slots, [slot.start for slot in slots]))
        wider = [
            _slot(values[s.place], s.place, s.name, made[s.place]) if s.kind is not None else s
            for s in slots
        ]
        same = all(a.kind is b.kind for a, b in zip(slots, wider, strict=True))
        slots = wider
        if same:
            break
    return slots


def _slot(x: Any, place: int, name: str, after: Any) -> Slot:
    if isinstance(x, Tensor):
        return Slot(place, name, None, x)
    if isinstance(after, Tensor):
        shape, dtype = after.array.shape, after.dtype
        return Slot(place, name, None, wrap(mode.capture.filled(tuple(shape), x, dtype)))
    kinds = [type_of_number(n) for n in (x, after) if n is not None and carried(n)]
    kind = max(kinds, key=(bool, int, float).index)
    return Slot(place, name, kind, cast(number_of(x), TYPES[kind]))


_trying: list[None] = []


def _proven(build: Callable[[], Any]) -> Any:
    """build(), after it was built once and thrown away. A turn that leaves something for the next
    one in a place that the loop does not carry (an item of a list, an attribute) then finds what
    is gone, which is refused. Inside of what is thrown away nothing else needs to be proven.
    """
    if not _trying:
        _trying.append(None)
        try:
            with Probe():
                build()
        finally:
            _trying.pop()
    return build()


def _with_results(turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values, with zeros for what a loop will return where it returns from its middle."""
    open_ = [i for i, name in enumerate(names) if name.startswith(syntax.VALUE)]
    if not any(values[i] is None for i in open_):
        return values
    with Probe():
        made = turn(*values)
    like = [
        nothing_like(made[i]) if i in open_ and made[i] is not None else x
        for i, x in enumerate(values)
    ]
    return tuple(like)


def _carried_places(values: tuple[Any, ...], names: tuple[str, ...]) -> list[int]:
    """The names that a loop carries. One without a value before the loop is the body's own."""
    for x, name in zip(values, names, strict=True):
        if not carried(x) and not undefined(x) and x is not None:
            raise refuse(
                "a loop on tensors changes a name that is no tensor or number",
                name,
                "tensors and numbers; append to lists in a for loop",
            )
    return [i for i, x in enumerate(values) if carried(x)]


@final
class Range:
    """range(start, stop, step) whose numbers only a run knows."""

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self.start = start
        self.stop = stop
        self.step = step


def range_(*args: Any) -> Any:
    """range(...), of symbols and tensors too."""
    args = tuple(map(tested, args))
    sizes = [is_symbol(a) for a in args]
    by_value = any(map(decides, args))
    if not by_value and (not any(sizes) or mode.capture.unrolls):
        return range(*(int(a) if is_tensor(a) else a for a in args))
    start, stop, step = {1: (0, *args, 1), 2: (*args, 1)}.get(len(args), args)
    return Range(start, stop, step)


@final
class Rows:
    """What enumerate and zip of tensors and ranges of a graph give: their items side by side."""

    def __init__(self, parts: Sequence[Any], size: Any) -> None:
        self.parts = parts
        self.size = size

    def item(self, items: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(map(_item_of, self.parts, items))


def _item_of(part: Any, item: Any) -> Any:
    """An item of one part from a row of its tensor."""
    if isinstance(part, Rows):
        return part.item(item)
    return Later(int, item) if isinstance(part, Range) else item


def _size_of(over: Any) -> Any:
    """How many items a graph's tensor, range or rows have; None for what Python goes over."""
    if mode.capture is None or mode.capture.unrolls:
        return None
    if isinstance(over, Rows):
        return over.size
    if isinstance(over, Range) and not _by_value(over) and over.step == 1:
        return over.stop - over.start
    if decides(over) and isinstance(over, Tensor) and is_symbol(over.array.shape[0]):
        return over.array.shape[0]
    return None


def enumerate_(over: Any, start: Any = 0) -> Any:
    """enumerate(over, start)."""
    size = _size_of(over)
    if size is None:
        return enumerate(over, start)
    return Rows((Range(start, start + size, 1), over), size)


def zip_(*overs: Any, strict: bool = False) -> Any:
    """zip(*overs, strict=strict)."""
    sizes = [_size_of(over) for over in overs]
    if not sizes or any(n is None or not same_size(n, sizes[0]) for n in sizes):
        return zip(*overs, strict=strict)
    return Rows(overs, sizes[0])


def reversed_(over: Any) -> Any:
    """reversed(over)."""
    if isinstance(over, Range) and over.step == 1:
        return Range(over.stop - 1, over.start - 1, -1)
    return reversed(over)


def unbind_(x: Any, *dims: Any, **named: Any) -> Any:
    """x.unbind(*dims); the rows of a tensor of a graph are gone over as they are."""
    first = dims in ((), (0,)) and named in ({}, {"dim": 0})
    rows = first and isinstance(x, Tensor) and _size_of(x) is not None
    return x if rows else x.unbind(*dims, **named)


def append(target: Any, x: Any) -> None:
    """target.append(x), also in the body of a loop of a graph."""
    if _collecting and isinstance(target, list) and id(target) in _collecting[-1]:
        _collecting[-1][id(target)].append(x)
    else:
        target.append(x)


_collecting: list[dict[int, list[Any]]] = []


def _at(source: Any, i: Any) -> Any:
    """Item i of what a loop goes over."""
    if isinstance(source, Rows):
        return tuple([_at(part, i) for part in source.parts])
    return source.start + i if isinstance(source, Range) else source[i]


class AsWhile(BaseException):
    """A loop over a range of Python's ends by a value: it must be captured as a loop."""

    def __init__(self, place: tuple[str, int]) -> None:
        super().__init__(place)
        self.place = place


def for_(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], stop: int | None
) -> Any:
    """turn(item, *values) for each item; `stop` is the place of the flag that ends the loop."""
    frame = sys._getframe(1)
    here = frame.f_code.co_filename, frame.f_lineno
    if type(over) is range and mode.capture is not None and here in mode.capture.as_while:
        over = Range(over.start, over.stop, over.step)
    if isinstance(over, Stacked):
        over = over.whole
    in_graph = isinstance(over, Range | Rows) or _size_of(over) is not None
    if in_graph and stop is None and not _by_value(over):
        return _scan_in_graph(over, turn, values, names, here)
    if in_graph:
        return _for_as_while(over, turn, values, names, stop, here)
    for item in over:
        values = turn(item, *values)
        if stop is not None:
            if decides(values[stop]):
                if type(over) is range:
                    raise AsWhile(here)
                error = refuse(
                    "a tensor breaks a loop over Python values", names[stop], "range(n) of a size"
                )
                in_python(error)
                raise error
            if values[stop]:
                break
    return values


def _by_value(over: Any) -> bool:
    """Whether how often a loop turns depends on a tensor's value."""
    return isinstance(over, Range) and any(map(decides, (over.start, over.stop, over.step)))


def _items(over: Any) -> Any:
    if isinstance(over, Rows):
        return [_items(part) for part in over.parts]
    return arange(over.start, over.stop, over.step) if isinstance(over, Range) else over


def _scan_in_graph(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], here: Here
) -> Any:
    lists = [i for i, x in enumerate(values) if isinstance(x, list)]
    places = _carried_places(tuple(None if i in lists else x for i, x in enumerate(values)), names)
    if any(values[i] for i in lists):
        raise refuse("a loop appends to a list that is not empty", names[lists[0]], "a new list")

    def collected(item: Any, given: Sequence[Any]) -> tuple[Any, list[Any]]:
        _collecting.append({id(values[i]): [] for i in lists})
        try:
            results = turn(_item_of(over, item), *given)
            return results, [_collecting[-1][id(values[i])] for i in lists]
        finally:
            _collecting.pop()

    items = _items(over)
    if _sets_first(values, here):
        if not _first_of(items).array.shape[0] > 0:
            return values
        values = _with_first(lambda *given: collected(_like_item(items), given)[0], values)
        places = _carried_places(
            tuple(None if i in lists else x for i, x in enumerate(values)), names
        )
    slots = _slots(values, places, names, lambda given: collected(_like_item(items), given)[0])

    def body(carry: tuple[Any, ...], item: Any) -> Any:
        results, appended = collected(item, _whole(values, slots, carry))
        after = [slot.kept(results[slot.place], x) for slot, x in zip(slots, carry, strict=True)]
        return tuple(after), appended

    start = tuple(slot.start for slot in slots)
    found, stacks = _proven(lambda: scan(body, start, items))
    made = list(_whole(values, slots, found))
    for place, parts in zip(lists, stacks, strict=True):
        if parts:
            made[place] = Stacked(_joined(parts))
    return tuple(made)


def _like_item(items: Any) -> Any:
    """A tensor like one row, to see what a turn makes of it."""
    if isinstance(items, list):
        return [_like_item(part) for part in items]
    return zeros_of(tuple(items.array.shape[1:]), items.array.dtype)


def _first_of(items: Any) -> Tensor:
    return _first_of(items[0]) if isinstance(items, list) else items


def _joined(parts: list[Tensor]) -> Tensor:
    """What several appends a turn put into a list, in their order, along the first axis."""
    if len(parts) == 1:
        return parts[0]
    raise refuse("a loop appends to a list several times a turn", "append", "one append a turn")


def _for_as_while(
    over: Any,
    turn: Any,
    values: tuple[Any, ...],
    names: tuple[str, ...],
    stop: int | None,
    here: Here,
) -> Any:
    """A loop whose end depends on values, as one that counts."""
    if not isinstance(over, Range):
        over, source = Range(0, _size_of(over), 1), over
        item: Callable[[Any], Any] = lambda i: _at(source, i)  # noqa: E731
    else:
        item = lambda i: i  # noqa: E731
    count = len(values)
    begin = over.start.item() if is_tensor(over.start) else over.start
    if stop is not None and isinstance(over, Range) and undefined(values[0]):
        values = (begin, *values[1:])  # the last item is known after the loop

    def test(*carry: Any) -> Any:
        i = carry[count]
        end = over.stop.item() if is_tensor(over.stop) else over.stop
        going = tested(i < end if not isinstance(over.step, int) or over.step > 0 else i > end)
        return going if stop is None else logical_and(going, not_(carry[stop]))

    def turned(*carry: Any) -> tuple[Any, ...]:
        i = carry[count]
        return (*turn(item(i), *carry[:count]), i + over.step)

    start = (*values, begin)
    ends = (begin, over.stop, over.step)
    if all(type(x) is int for x in ends) and range(*ends) and _sets_first(start, here):
        start = _with_first(turned, start)  # it turns, whatever its flag will be
    return _while_in_graph(test, turned, start, (*names, "range"), here)[:count]


_called = ModuleType("rewritten")  # what rewritten code calls, by name
_called.__dict__.update(vars(statements))
_called.__dict__.update(globals())
syntax.install(_called)
