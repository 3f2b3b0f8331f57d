"""Comprehensions that are rewritten, and what takes their items at once: sum, max, any. Floor 9.
See frontends/syntax.py.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

from twofold.base.symbols import is_symbol, maximum, minimum
from twofold.frontends import loops, overs, statements, syntax
from twofold.frontends.later import Later
from twofold.frontends.loops import Here, in_parts, scan_in_graph, some_of
from twofold.frontends.overs import by_value, in_graph, rows_of
from twofold.frontends.statements import bool_, choose
from twofold.ops.joining import Stacked, in_turn, stack
from twofold.ops.movement import reshape
from twofold.ops.tensor import Tensor


def _here(frame: FrameType) -> Here:
    return frame.f_code.co_filename, frame.f_lineno


def _turns(over: Any) -> bool:
    """Whether a comprehension is a loop of the graph."""
    return in_graph(over) and not by_value(over)


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


def mapped(function: Any, map_: Any, each: Any, over: Any) -> Any:
    """list(map(each, over)), or a tuple of it; of whatever has these names here."""
    if map_ is not map or function not in (list, tuple):
        return function(map_(each, over))
    made = _listed(over, each, sys._getframe(1))
    return made if isinstance(made, Stacked) else function(made)


def _listed(over: Any, each: Callable[[Any], Any], frame: FrameType) -> list[Any]:
    over = rows_of(over)
    if not _turns(over):
        return [each(x) for x in over]

    def turn(item: Any, into: list[Any]) -> tuple[Any, ...]:
        into.append(each(item))
        return (into,)

    return in_parts(over, turn, ([],), ("list",), _here(frame), scan_in_graph)[0]  # type: ignore[no-any-return]


def nested(over: Any, each: Callable[[Any], Any]) -> list[Any]:
    """[y for x in over for y in each(x)]."""
    over = rows_of(over)
    if not _turns(over):
        parts = [each(x) for x in over]
        if parts and all(type(part) is Stacked and not part.rest for part in parts):
            return Stacked(in_turn([part.whole for part in parts]), parts[0].numbers)
        return [y for part in parts for y in part]
    numbers: list[bool] = []

    def inner(x: Any) -> Tensor:
        part = each(x)
        numbers.append(isinstance(part, Stacked) and part.numbers)
        whole = part.whole if isinstance(part, Stacked) and not part.rest else None
        return stack(part) if whole is None else whole

    made: Any = _listed(over, inner, sys._getframe(1))
    shape = made.whole.array.shape
    return Stacked(reshape(made.whole, (shape[0] * shape[1], *shape[2:])), numbers[-1])


def picked(over: Any, test: Callable[[Any], Any]) -> Any:
    """(x for x in over if test(x)). In a graph how many there are is computed before each run."""
    over = rows_of(over)
    if not _turns(over):
        return _tested(over, test)
    return some_of(over, test, _here(sys._getframe(1)))


def _tested(over: Any, test: Callable[[Any], Any]) -> Iterator[Any]:
    return (x for x in over if test(x))


def summed(function: Any, over: Any, *start: Any) -> Any:
    """sum(over, *start); of whatever has that name here."""
    if function is not sum or len(start) > 1 or not _turns(rows_of(over)):
        return function(over, *start)
    return _sum(over, lambda x: x, start, _here(sys._getframe(1)))


def sum_of(function: Any, over: Any, each: Callable[[Any], Any], *start: Any) -> Any:
    """sum((each(x) for x in over), *start); of whatever has that name here."""
    over = rows_of(over)
    if function is not sum or len(start) > 1 or not _turns(over):
        return function((each(x) for x in over), *start)
    return _sum(over, each, start, _here(sys._getframe(1)))


def _sum(over: Any, each: Callable[[Any], Any], start: tuple[Any, ...], here: Here) -> Any:
    add = lambda item, total: (total + each(item),)  # noqa: E731
    return in_parts(rows_of(over), add, start or (0,), ("sum",), here, scan_in_graph)[0]


def extreme_of(function: Any, over: Any, each: Callable[[Any], Any], *more: Any) -> Any:
    """max(each(x) for x in over), or min; of whatever has that name here."""
    over = rows_of(over)
    if more or (function is not max and function is not min):
        return function((each(x) for x in over), *more)
    if _turns(over):
        return _extreme(function, over, each, _here(sys._getframe(1)))
    return extreme(function, [each(x) for x in over])


def _extreme(function: Any, over: Any, each: Callable[[Any], Any], here: Here) -> Any:
    """max or min in a loop of the graph, by the comparisons that Python's own makes."""
    size = overs.size_of(over)
    if not size > 0:
        return function([])  # Python's error

    def turn(item: Any, best: Any) -> tuple[Any, ...]:
        found = each(item)
        better = found > best if function is max else found < best
        return (choose(better, lambda: found, lambda: best),)

    first = each(overs.at(over, 0))
    return in_parts(overs.section(over, 1, size), turn, (first,), ("best",), here, scan_in_graph)[0]


def extreme(function: Any, *given: Any) -> Any:
    """max(*given), or min: of sizes, which are not asked which is the largest, a size."""
    known = function is max or function is min
    if known and len(given) == 1 and _turns(rows_of(given[0])):
        return _extreme(function, rows_of(given[0]), lambda x: x, _here(sys._getframe(1)))
    parts = given[0] if len(given) == 1 and type(given[0]) in (list, tuple) else given
    sizes = all((is_symbol(x) and x.whole) or type(x) is int for x in parts)
    if not sizes or not known or not any(map(is_symbol, parts)):
        return function(*given)
    return functools.reduce(maximum if function is max else minimum, parts)


def all_of(function: Any, over: Any, each: Callable[[Any], Any]) -> Any:
    """any(each(x) for x in over), or all; of whatever has that name here."""
    over = rows_of(over)
    if not _turns(over) or (function is not any and function is not all):
        return function(each(x) for x in over)
    flags: Any = _listed(over, lambda x: bool_(each(x)), sys._getframe(1))
    whole = flags.whole
    return Later(bool, whole.any() if function is any else whole.all())


def install() -> None:
    """Give rewritten code what it calls, by name: what is here, and beneath."""
    called = ModuleType("rewritten")
    for part in (statements, overs, loops):
        called.__dict__.update(vars(part))
    called.__dict__.update(globals())
    syntax.install(called)
