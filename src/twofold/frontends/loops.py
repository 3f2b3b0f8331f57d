"""Loops that are rewritten: Python's over Python's values, a graph's over its tensors and sizes.
Floor 9. See frontends/syntax.py.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType, ModuleType
from typing import Any, final

from twofold.base.errors import in_python
from twofold.base.symbols import is_symbol, maximum, minimum, same_size
from twofold.frontends import statements, syntax
from twofold.frontends.carries import Carries, grouped, is_group, slots_of, whole
from twofold.frontends.collected import Collected, filled, last_of
from twofold.frontends.control import scan, while_loop
from twofold.frontends.later import Later
from twofold.frontends.moving import as_seen, plainly, with_places, without_places
from twofold.frontends.noted import Again
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
from twofold.frontends.windows import counted
from twofold.ops.bind import mode
from twofold.ops.compare import logical_and
from twofold.ops.convert import is_tensor
from twofold.ops.creation import arange
from twofold.ops.joining import Stacked
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor

Here = tuple[str, int]  # the file and the line of a loop

# ---- loops ---------------------------------------------------------------------------------------


def while_(test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    """turn(*values) for as long as test(*values) is true."""
    frame = sys._getframe(1)
    here = frame.f_code.co_filename, frame.f_lineno
    capture = mode.capture
    if capture is not None and here in capture.decided.as_while and not capture.unrolls:
        return _while_in_graph(test, turn, values, names, here)
    while True:
        asked = 0 if capture is None else len(capture.table.guards)
        answer = test(*values)
        if decides(answer):
            return _while_in_graph(test, turn, values, names, here)
        if capture is not None and len(capture.table.guards) > asked and not capture.unrolls:
            raise Again("as_while", here)  # a size ends it
        if not answer:
            return values
        values = turn(*values)


def _while_in_graph(
    test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], here: Here
) -> Any:
    """A loop that values end. What of it no graph can hold Python runs, with all around it."""

    def run(turn: Any, values: tuple[Any, ...], names: tuple[str, ...], look: Any) -> Any:
        return _turned_in_graph(lambda *given: look(test, given), turn, values, names)

    try:
        if _sets_first(values, here):
            if not bool_(test(*values)):
                return values
            values = _with_first(turn, values)
        if here not in mode.capture.decided.with_places:
            return without_places(here, lambda: run(turn, values, names, plainly))
        return with_places(turn, lambda turn: turn(*values), values, names, run)
    except Exception as error:
        in_python(error)
        raise


def _sets_first(values: tuple[Any, ...], here: Here) -> bool:
    """Whether a loop carries names that have their first value in it, as they are read after it:
    then it must turn once at least. Until that is known, it is only noted that there are such.
    """
    if not any(map(undefined, values)):
        return False
    if here not in mode.capture.decided.sets_first:
        mode.capture.decided.left.add(here)
        return False
    return True


def _with_first(turn: Any, values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, with zeros for those that have none before the first turn."""
    with Probe():
        made = turn(*values)
    return tuple(
        nothing_like(after) if undefined(x) and carried(after) else x
        for x, after in zip(values, made, strict=True)
    )


def _turned_in_graph(test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    if any(map(is_group, values)):
        return grouped(
            turn,
            values,
            names,
            lambda turn, values, names, whole: _turned_in_graph(
                lambda *given: test(*whole(given)), turn, values, names
            ),
        )
    values = _with_results(turn, values, names)
    places = _carried_places(values, names)
    slots = slots_of(values, places, names, lambda given: turn(*given))
    carries = Carries(values, slots)

    def turned(*carry: Any) -> tuple[Any, ...]:
        return carries.turn(carry, lambda given: (turn(*given), []))[0]

    def going(*carry: Any) -> Any:
        return tested(test(*whole(values, slots, carry)))

    found = carries.build(lambda: _proven(lambda: while_loop(going, turned, carries.start)))
    return tuple(carries.done(found))


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

    def __iter__(self) -> Iterator[int]:
        """Its numbers, which the program is then made for."""
        return iter(range(*map(int, (self.start, self.stop, self.step))))


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
    if isinstance(part, Stacked):
        return part.item(item)
    if not isinstance(part, Range):
        return item
    return Later(int, item).on(counted(item, part.start, part.stop, part.step))


def _rows_of(over: Any) -> Any:
    """What a loop goes over, where a list that a loop has filled is its tensor; numbers stay."""
    return over.whole if isinstance(over, Stacked) and not over.numbers else over


def _size_of(over: Any) -> Any:
    """How many items a graph's tensor, range or rows have; None for what Python goes over."""
    if mode.capture is None or mode.capture.unrolls:
        return None
    if isinstance(over, Rows):
        return over.size
    if isinstance(over, Stacked):
        return over.whole.array.shape[0]
    if isinstance(over, Range) and not _by_value(over) and over.step == 1:
        return over.stop - over.start
    if decides(over) and isinstance(over, Tensor) and is_symbol(over.array.shape[0]):
        return over.array.shape[0]
    return None


def enumerate_(over: Any, start: Any = 0) -> Any:
    """enumerate(over, start)."""
    over = _rows_of(over)
    size = _size_of(over)
    if size is None:
        return enumerate(over, start)
    return Rows((Range(start, start + size, 1), over), size)


def zip_(*overs: Any, strict: bool = False) -> Any:
    """zip(*overs, strict=strict)."""
    overs = tuple(map(_rows_of, overs))
    sizes = [_size_of(over) for over in overs]
    if not sizes or any(n is None or not same_size(n, sizes[0]) for n in sizes):
        return zip(*overs, strict=strict)
    return Rows(overs, sizes[0])


def reversed_(over: Any) -> Any:
    """reversed(over)."""
    if isinstance(over, Range) and over.step == 1:
        return Range(over.stop - 1, over.start - 1, -1)
    if isinstance(over, Stacked):
        return over[::-1]
    return reversed(over)


def list_(*over: Any) -> Any:
    """list(over)."""
    first: Any = over[0] if len(over) == 1 else None
    counts = isinstance(first, Range) and not _by_value(first) and first.step == 1
    if counts and mode.capture.listed(first.stop - first.start):
        return Stacked(_items(first), numbers=True)
    return first if isinstance(first, Stacked) else list(*over)


def unbind_(x: Any, *dims: Any, **named: Any) -> Any:
    """x.unbind(*dims); the rows of a tensor of a graph are gone over as they are."""
    first = dims in ((), (0,)) and named in ({}, {"dim": 0})
    rows = first and isinstance(x, Tensor) and _size_of(x) is not None
    return x if rows else x.unbind(*dims, **named)


def _at(source: Any, i: Any) -> Any:
    """Item i of what a loop goes over."""
    if isinstance(source, Rows):
        return tuple([_at(part, i) for part in source.parts])
    return source.start + i if isinstance(source, Range) else source[i]


def for_(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], stop: int | None
) -> Any:
    """turn(item, *values) for each item; `stop` is the place of the flag that ends the loop."""
    frame = sys._getframe(1)
    here = frame.f_code.co_filename, frame.f_lineno
    if type(over) is range and mode.capture is not None and here in mode.capture.decided.as_while:
        over = Range(over.start, over.stop, over.step)
    over = _rows_of(over)
    in_graph = _in_graph(over)
    if in_graph and stop is None and not _by_value(over):
        return _for_in_graph(over, turn, values, names, here)
    if in_graph:
        return _for_as_while(over, turn, values, names, stop, here)
    for item in over:
        values = turn(item, *values)
        if stop is not None:
            if decides(values[stop]):
                if type(over) is range:
                    raise Again("as_while", here)
                error = refuse(
                    "a tensor breaks a loop over Python values", names[stop], "range(n) of a size"
                )
                in_python(error)
                raise error
            if values[stop]:
                break
    return values


def listed(over: Any, each: Callable[[Any], Any]) -> list[Any]:
    """[each(x) for x in over]."""
    return _listed(over, each, sys._getframe(1))


def list_of(function: Any, over: Any, each: Callable[[Any], Any], *more: Any) -> Any:
    """list(each(x) for x in over), or a tuple of them; of whatever has that name here."""
    if function not in (list, tuple) or more:
        return function((each(x) for x in over), *more)
    made = _listed(over, each, sys._getframe(1))
    return made if isinstance(made, Stacked) else function(made)


tuple_of = list_of


def _listed(over: Any, each: Callable[[Any], Any], frame: FrameType) -> list[Any]:
    over = _rows_of(over)
    if not _in_graph(over) or _by_value(over):
        return [each(x) for x in over]

    def turn(item: Any, into: list[Any]) -> tuple[Any, ...]:
        into.append(each(item))
        return (into,)

    here = frame.f_code.co_filename, frame.f_lineno
    return _scan_in_graph(over, turn, ([],), ("list",), here)[0]  # type: ignore[no-any-return]


def summed(function: Any, over: Any, *start: Any) -> Any:
    """sum(over, *start); of whatever has that name here."""
    if function is not sum or not isinstance(over, Stacked):
        return function(over, *start)
    frame = sys._getframe(1)
    return _sum(over, lambda x: x, start, (frame.f_code.co_filename, frame.f_lineno))


def sum_of(function: Any, over: Any, each: Callable[[Any], Any], *start: Any) -> Any:
    """sum((each(x) for x in over), *start); of whatever has that name here."""
    over = _rows_of(over)
    if function is not sum or len(start) > 1 or not _in_graph(over) or _by_value(over):
        return function((each(x) for x in over), *start)
    frame = sys._getframe(1)
    return _sum(over, each, start, (frame.f_code.co_filename, frame.f_lineno))


def extreme_of(function: Any, over: Any, each: Callable[[Any], Any], *more: Any) -> Any:
    """max(each(x) for x in over), or min; of whatever has that name here."""
    over = _rows_of(over)
    known = function is max or function is min
    if not known or more or _in_graph(over) or _by_value(over):
        return function((each(x) for x in over), *more)
    return extreme(function, [each(x) for x in over])


def extreme(function: Any, *given: Any) -> Any:
    """max(*given), or min: of sizes, which are not asked which is the largest, a size."""
    parts = given[0] if len(given) == 1 and type(given[0]) in (list, tuple) else given
    sizes = all((is_symbol(x) and x.whole) or type(x) is int for x in parts)
    if not sizes or (function is not max and function is not min) or not any(map(is_symbol, parts)):
        return function(*given)
    return functools.reduce(maximum if function is max else minimum, parts)


def _sum(over: Any, each: Callable[[Any], Any], start: tuple[Any, ...], here: Here) -> Any:
    add = lambda item, total: (total + each(item),)  # noqa: E731
    return _scan_in_graph(_rows_of(over), add, start or (0,), ("sum",), here)[0]


def _in_graph(over: Any) -> bool:
    return isinstance(over, Range | Rows) or _size_of(over) is not None


def _by_value(over: Any) -> bool:
    """Whether how often a loop turns depends on a tensor's value."""
    return isinstance(over, Range) and any(map(decides, (over.start, over.stop, over.step)))


def _items(over: Any) -> Any:
    if isinstance(over, Rows):
        return [_items(part) for part in over.parts]
    if isinstance(over, Stacked):
        return over.whole
    return arange(over.start, over.stop, over.step) if isinstance(over, Range) else over


def _for_in_graph(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], here: Here
) -> Any:
    def run(turn: Any, values: tuple[Any, ...], names: tuple[str, ...], _: Any) -> Any:
        return _scan_in_graph(over, turn, values, names, here)

    if here not in mode.capture.decided.with_places:
        return without_places(here, lambda: run(turn, values, names, plainly))
    item = _item_of(over, _like_item(_items(over)))
    once = lambda turn: turn(item, *as_seen(values, last_of))  # noqa: E731
    return with_places(turn, once, values, names, run)


def _scan_in_graph(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], here: Here
) -> Any:
    if any(x is None for x in values):
        over, values = _after_first(over, turn, values)
        if over is None:
            return values
    if any(map(is_group, values)):
        scanned = lambda turn, values, names, _: _scan_in_graph(  # noqa: E731
            over, turn, values, names, here
        )
        return grouped(turn, values, names, scanned)
    lists = [i for i, x in enumerate(values) if isinstance(x, list)]
    count, lasts = len(values), {i: last_of(values[i]) for i in lists}
    known = [i for i in lists if lasts[i] is not None]
    values = (*values, *[lasts[i] for i in known])
    names = (*names, *[names[i] for i in known])

    def free() -> tuple[Any, ...]:
        return tuple([None if i in lists else x for i, x in enumerate(values)])

    front: dict[int, bool] = {}
    numbers: dict[int, bool] = {}

    def collected(item: Any, given: Sequence[Any]) -> tuple[Any, list[Any]]:
        own = list(given[:count])
        now = dict(zip(known, given[count:], strict=True))
        into = {i: Collected(now.get(i)) for i in lists}
        for i, one in into.items():
            own[i] = one
        results = list(turn(_item_of(over, item), *own))
        for i, one in into.items():
            if getattr(results[i], "root", None) is not one:
                raise refuse("a loop puts another list in the place of one", names[i], "append")
            into[i] = results[i]
            front[i], numbers[i] = results[i].front, results[i].numbers
        return (*results, *[into[i].last for i in known]), [into[i].added for i in lists]

    items = _items(over)
    places = _carried_places(free(), names)
    if _sets_first(values, here):
        if not _first_of(items).array.shape[0] > 0:
            return values[:count]
        values = _with_first(lambda *given: collected(_like_item(items), given)[0], values)
        places = _carried_places(free(), names)
    slots = slots_of(values, places, names, lambda given: collected(_like_item(items), given)[0])
    become = [slot.kind is None and not isinstance(values[slot.place], Tensor) for slot in slots]
    if any(become) and not _first_of(items).array.shape[0] > 0:
        return values[:count]  # without turns, what becomes a tensor stays a number
    carries = Carries(values, slots)

    def body(carry: tuple[Any, ...], item: Any) -> Any:
        return carries.turn(carry, lambda given: collected(item, given))

    found, stacks = carries.build(lambda: _proven(lambda: scan(body, carries.start, items)))
    made = carries.done(found)[:count]
    for place, parts in zip(lists, stacks, strict=True):
        made[place] = filled(values[place], parts, front[place], numbers[place])
    return tuple(made)


def _after_first(over: Any, turn: Any, values: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """What a loop goes over yet, and the values, where names that are None before it get a tensor
    or a number in its first turn: that one is run on its own. Nothing is left where there are no
    items.
    """
    items = _items(over)
    lists = [i for i, x in enumerate(values) if isinstance(x, list)]
    given = [Collected(last_of(x)) if i in lists else x for i, x in enumerate(values)]
    with Probe():
        made = turn(_item_of(over, _like_item(items)), *given)
    found = [y for x, y in zip(values, made, strict=True) if x is None]
    if not any(carried(y) or is_group(y) for y in found):
        return over, values
    if not _first_of(items).array.shape[0] > 0:
        return None, values
    return _rest_of(over), turn(_at(over, 0), *values)


def _rest_of(over: Any) -> Any:
    """What a loop goes over after the first item."""
    if isinstance(over, Rows):
        return Rows([_rest_of(part) for part in over.parts], over.size - 1)
    if isinstance(over, Range):
        return Range(over.start + over.step, over.stop, over.step)
    return over[1:]


def _like_item(items: Any) -> Any:
    """A tensor like one row, to see what a turn makes of it."""
    if isinstance(items, list):
        return [_like_item(part) for part in items]
    return zeros_of(tuple(items.array.shape[1:]), items.array.dtype)


def _first_of(items: Any) -> Tensor:
    return _first_of(items[0]) if isinstance(items, list) else items


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
        counts = over
        item = lambda i: _counted(i, counts)  # noqa: E731
    count = len(values)
    begin = over.start.item() if is_tensor(over.start) else over.start
    if stop is not None and isinstance(over, Range) and undefined(values[0]):
        values = (begin, *values[1:])  # the last item is known after the loop

    def test(*carry: Any) -> Any:
        i = carry[count]
        end = over.stop.item() if is_tensor(over.stop) else over.stop
        going = tested(i < end if not isinstance(over.step, int) or over.step > 0 else i > end)
        return going if stop is None else logical_and(going, tested(not_(carry[stop])))

    def turned(*carry: Any) -> tuple[Any, ...]:
        i = carry[count]
        return (*turn(item(i), *carry[:count]), i + over.step)

    start = (*values, begin)
    ends = (begin, over.stop, over.step)
    if all(type(x) is int for x in ends) and range(*ends) and _sets_first(start, here):
        start = _with_first(turned, start)  # it turns, whatever its flag will be
    return _while_in_graph(test, turned, start, (*names, "range"), here)[:count]


def _counted(i: Any, over: Range) -> Any:
    """What a loop counts that may end before its range does."""
    if type(i) is not Later:
        return i
    return Later(int, i.tensor).on(counted(i, over.start, over.stop, over.step))


def install() -> None:
    """Give rewritten code what it calls, by name: what is here, and in statements.py."""
    called = ModuleType("rewritten")
    called.__dict__.update(vars(statements))
    called.__dict__.update(globals())
    syntax.install(called)
