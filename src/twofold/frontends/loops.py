"""Loops that are rewritten: Python's over Python's values, a graph's over its tensors and sizes.
Floor 9. See frontends/syntax.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from twofold.base.errors import in_python
from twofold.base.symbols import minimum
from twofold.frontends import syntax
from twofold.frontends.carries import Carries, grouped, is_group, slots_of, whole
from twofold.frontends.collected import MOST_CARRIED, Collected, Deeper, filled, lasts_of, seen
from twofold.frontends.control import scan, while_loop
from twofold.frontends.filtered import BEFORE, UNTIL, WHERE
from twofold.frontends.later import Later
from twofold.frontends.moving import as_seen, plainly, with_places, without_places
from twofold.frontends.noted import Again
from twofold.frontends.overs import (
    Range,
    at,
    by_value,
    ends,
    first_of,
    in_graph,
    item_of,
    like_item,
    picked,
    placed,
    rows_of,
    section,
    size_of,
    tensors_of,
)
from twofold.frontends.statements import (
    Probe,
    bool_,
    carried,
    decides,
    len_,
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


def for_(
    over: Any,
    turn: Any,
    values: tuple[Any, ...],
    names: tuple[str, ...],
    stop: int | None,
    *some: Any,
) -> Any:
    """turn(item, *values) for each item; `stop` is the place of the flag that ends the loop.

    some: where the loop may be one of some items, the test of an item, the turn of one of them,
    what the last item gives names, and which items those are (frontends/filtered.py).
    """
    frame = sys._getframe(1)
    here = frame.f_code.co_filename, frame.f_lineno
    if type(over) is range and mode.capture is not None and here in mode.capture.decided.as_while:
        over = Range(over.start, over.stop, over.step)
    over = rows_of(over)
    if in_graph(over):
        if some and size_of(over) is not None and here in mode.capture.decided.some:
            return _for_some(over, some, values, names, here)
        try:
            if stop is None and not by_value(over):
                return in_parts(over, turn, values, names, here, _for_in_graph)
            return _for_as_while(over, turn, values, names, stop, here)
        except Exception:
            capture = mode.capture
            known = bool(some) and size_of(over) is not None and capture.outer is None
            if known and not capture.probing and here not in capture.decided.some:
                raise Again("some", here) from None
            raise
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


def _for_some(
    over: Any, some: Any, values: tuple[Any, ...], names: tuple[str, ...], here: Here
) -> Any:
    """A loop over some items, by a test of each."""
    test, turn, last, which = some
    chosen = some_of(over, test, here, which)
    values = in_parts(chosen, turn, values, names, here, _for_in_graph)
    size, count = size_of(over), size_of(chosen)
    if not size > 0:
        return values
    ends = {WHERE: size - 1, BEFORE: minimum(count, size - 1), UNTIL: count - 1}
    return last(at(over, ends[which]), *values)


def some_of(over: Any, test: Callable[[Any], Any], here: Here, which: str = WHERE) -> Any:
    """Some items, by a test of each: how many there are is computed before each run."""

    def turn(item: Any, into: list[Any]) -> tuple[Any, ...]:
        into.append(bool_(test(item)))
        return (into,)

    streams = dict(mode.capture.streams)
    flags = in_parts(over, turn, ([],), ("list",), here, scan_in_graph)[0].whole
    if streams != mode.capture.streams:  # its draws would come before all those of the loop
        raise refuse("a test of items draws random numbers", "if", "draw them all before the loop")
    if which != WHERE:
        count = flags.cumsum(0)
        flags = count == 0 if which == BEFORE else (count - flags.long()) == 0
    return picked(over, flags)


def in_parts(
    over: Any,
    turn: Any,
    values: tuple[Any, ...],
    names: tuple[str, ...],
    here: Here,
    run: Callable[..., Any],
) -> Any:
    """run(over, turn, values, names, here, more), a loop of the graph, without the turns at its
    beginning and its end that are taken by themselves; `more`: whether some follow.
    """
    over, decided = placed(over, here), mode.capture.decided
    first, last = decided.ends_of(here)
    last = max(last, ends(over))
    size = size_of(over)
    if size is None or not (first or last):
        return _or_apart(here, lambda: run(over, turn, values, names, here, False))
    taken = 0
    while taken < first or not size >= first + last:
        if not size > taken:
            return values
        values = turn(at(over, taken), *values)
        taken += 1
    middle = section(over, first, size - last)
    values = _or_apart(here, lambda: run(middle, turn, values, names, here, last > 0))
    for back in range(last, 0, -1):
        values = turn(at(over, size - back), *values)
    return values


def _or_apart(here: Here, run: Callable[[], Any]) -> Any:
    """run(), a loop of the graph. Where it cannot be one, and its first or last turns differ from
    the others, these are taken by themselves.
    """
    try:
        return run()
    except Exception:
        capture = mode.capture
        known, found = capture.decided.ends_of(here), capture.decided.edges.get(here, (0, 0))
        if not capture.unrolls and (found[0] > known[0] or found[1] > known[1]):
            raise Again("peeled", (here, *found)) from None
        raise


def _for_in_graph(
    over: Any,
    turn: Any,
    values: tuple[Any, ...],
    names: tuple[str, ...],
    here: Here,
    more: bool = False,
) -> Any:
    def run(turn: Any, values: tuple[Any, ...], names: tuple[str, ...], _: Any) -> Any:
        return scan_in_graph(over, turn, values, names, here, more)

    if here not in mode.capture.decided.with_places:
        return without_places(here, lambda: run(turn, values, names, plainly))
    item = item_of(over, like_item(tensors_of(over)))
    once = lambda turn: turn(item, *as_seen(values))  # noqa: E731
    return with_places(turn, once, values, names, run)


def scan_in_graph(
    over: Any,
    turn: Any,
    values: tuple[Any, ...],
    names: tuple[str, ...],
    here: Here,
    more: bool = False,
) -> Any:
    """A loop of which each turn has a row; `more`: whether the last turns come after it."""
    if any(x is None for x in values):
        over, values = _after_first(over, turn, values)
        if over is None:
            return values
    if any(map(is_group, values)):
        scanned = lambda turn, values, names, _: scan_in_graph(  # noqa: E731
            over, turn, values, names, here, more
        )
        return grouped(turn, values, names, scanned)
    depths: dict[int, int] = {}
    while True:
        try:
            return _scanned(over, turn, values, names, here, more, depths)
        except Deeper as need:
            place, found = need.root.number, need.depth
            if found > MOST_CARRIED or len(lasts_of(values[place], found)) < found:
                raise refuse(
                    "a loop reads a list further back than it goes", names[place], ""
                ) from None
            depths[place] = found


def _scanned(
    over: Any,
    turn: Any,
    values: tuple[Any, ...],
    names: tuple[str, ...],
    here: Here,
    more: bool,
    depths: dict[int, int],
) -> Any:
    """The same; `depths`: how many tensors at the ends of lists it carries, where not one."""
    lists = [i for i, x in enumerate(values) if isinstance(x, list)]
    count, lasts = len(values), {i: lasts_of(values[i], depths.get(i, 1)) for i in lists}
    sizes = {i: len_(values[i]) for i in lists}
    values = (*values, *[x for i in lists for x in lasts[i]])
    names = (*names, *[names[i] for i in lists for _ in lasts[i]])

    def free() -> tuple[Any, ...]:
        return tuple([None if i in lists else x for i, x in enumerate(values)])

    front: dict[int, bool] = {}
    numbers: dict[int, bool] = {}

    def collected(item: Any, given: Sequence[Any]) -> tuple[Any, list[Any]]:
        own = list(given[:count])
        rest = iter(given[count:])
        into = {i: Collected([next(rest) for _ in lasts[i]], sizes[i], here) for i in lists}
        for i, one in into.items():
            own[i] = one
            one.number = i
        results = list(turn(item_of(over, item), *own))
        for i, one in into.items():
            if getattr(results[i], "root", None) is not one:
                raise refuse("a loop puts another list in the place of one", names[i], "append")
            into[i] = results[i]
            front[i], numbers[i] = results[i].front, results[i].numbers
            if one.steps and len(results[i].given) != 1:
                raise refuse("a loop reads a list that grows by other steps", names[i], "")
        last = [x for i in lists for x in into[i].ending(len(lasts[i]))]
        return (*results, *last), [into[i].added for i in lists]

    items = tensors_of(over)
    places = _carried_places(free(), names)
    if _sets_first(values, here):
        if not more and not first_of(items).array.shape[0] > 0:
            return values[:count]
        values = _with_first(lambda *given: collected(like_item(items), given)[0], values)
        places = _carried_places(free(), names)
    slots = slots_of(values, places, names, lambda given: collected(like_item(items), given)[0])
    become = [slot.kind is None and not isinstance(values[slot.place], Tensor) for slot in slots]
    if any(become) and not more and not first_of(items).array.shape[0] > 0:
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
    items = tensors_of(over)
    lists = [i for i, x in enumerate(values) if isinstance(x, list)]
    given = [seen(x) if i in lists else x for i, x in enumerate(values)]
    with Probe():
        made = turn(item_of(over, like_item(items)), *given)
    found = [y for x, y in zip(values, made, strict=True) if x is None]
    if not any(carried(y) or is_group(y) for y in found):
        return over, values
    if not first_of(items).array.shape[0] > 0:
        return None, values
    return section(over, 1, size_of(over)), turn(at(over, 0), *values)


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
        over, source = Range(0, size_of(over), 1), over
        item: Callable[[Any], Any] = lambda i: at(source, i)  # noqa: E731
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
