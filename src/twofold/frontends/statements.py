"""What rewritten statements call: Python's way for Python values, a graph's for its tensors.
Floor 9. See frontends/syntax.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, final

from twofold.base.errors import user_line
from twofold.base.symbols import is_symbol
from twofold.frontends import syntax
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.control import cond, scan, while_loop
from twofold.ops.bind import mode
from twofold.ops.compare import logical_and, logical_not, logical_or
from twofold.ops.creation import arange
from twofold.ops.joining import Stacked
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor


@final
class Undefined:
    """A name that has no value yet."""

    def __init__(self) -> None:
        self.line = user_line()

    def __bool__(self) -> bool:
        raise UnboundLocalError("a name is used before it has a value")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnboundLocalError(f"a name is used before it has a value: .{name}")


def value(get: Callable[[], Any]) -> Any:
    """The value of a name, or Undefined."""
    try:
        return get()
    except (NameError, UnboundLocalError):
        return Undefined()


def undefined(x: Any) -> bool:
    return type(x) is Undefined


def decides(x: Any) -> bool:
    """Whether a value is a tensor of the graph that is captured."""
    return mode.capture is not None and isinstance(x, Tensor) and is_unknown(x.array)


def carried(x: Any) -> bool:
    """Whether a value can be carried through a graph: a tensor or a number."""
    return isinstance(x, Tensor | bool | int | float) and not undefined(x)


def refuse(what: str, name: str, hint: str) -> CaptureError:
    return CaptureError("compile", f"{what}: {name!r}", hint=hint)


# ---- if ------------------------------------------------------------------------------------------


def if_(test: Any, yes: Any, no: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    """One of two blocks; the values of the names that they change."""
    if not decides(test):
        return (yes if test else no)(*values)
    made = []
    kinds: list[list[Any]] = []

    def branch(block: Any) -> Callable[[], Any]:
        def run() -> Any:
            results = block(*values)
            made.append(results)
            kinds.append([carried(x) for x in results])
            return [x for x, before in zip(results, values, strict=True) if _goes_on(x, before)]

        return run

    places = _both(branch(yes), branch(no), test, values, names, made)
    found = cond(test, *(_only(block, values, places, names, made) for block in (yes, no)))
    results = list(made[0])
    for place, x in zip(places, found, strict=True):
        results[place] = x
    return tuple(
        x if place in places or not undefined(x) else Undefined() for place, x in enumerate(results)
    )


def _goes_on(x: Any, before: Any) -> bool:
    return carried(x) and x is not before


def _both(
    yes: Any, no: Any, test: Any, values: Any, names: tuple[str, ...], made: list[Any]
) -> list[int]:
    """The places of names that a branch gives a new tensor or number. Raises CaptureError for a
    name that only one branch gives a value of another kind.
    """
    probe = _Probe()
    with probe:
        yes()
        no()
    places = []
    for place, (a, b, before) in enumerate(zip(*made, values, strict=True)):
        if a is before and b is before:
            continue
        if undefined(a) or undefined(b):
            continue  # a name of one branch alone has no value after it
        if (carried(a) and carried(b)) or _is_result(names[place], a, b):
            places.append(place)
        elif a is not b and a != b:
            raise refuse(
                "a branch on a tensor changes a name that is no tensor or number",
                names[place],
                "tensors and numbers in both branches, or a test that Python knows",
            )
    return places


def _is_result(name: str, a: Any, b: Any) -> bool:
    """Whether a name holds what a loop returns: a tensor in one branch, nothing in the other."""
    return name.startswith(syntax.VALUE) and (carried(a) or carried(b))


class _Probe:
    """Run branches to see what they change, and leave nothing of it in the graph."""

    def __enter__(self) -> None:
        capture = mode.capture
        self.calls = len(capture.calls)
        self.checks = len(capture.checks)
        self.streams, self.probing = dict(capture.streams), capture.probing
        capture.probing = True
        self.values = {id(s): (s, s.value, s.writes) for s in capture.given}

    def __exit__(self, *_: object) -> None:
        capture = mode.capture
        del capture.calls[self.calls :]
        del capture.checks[self.checks :]
        capture.streams, capture.probing = self.streams, self.probing
        for storage, before, writes in self.values.values():
            storage.value = before
            if storage.writes != writes:
                storage.writes += 1


def _only(
    block: Any, values: Any, places: list[int], names: tuple[str, ...], made: list[Any]
) -> Callable[[], Any]:
    def run() -> list[Tensor]:
        results = list(block(*values))
        for place in places:
            if results[place] is None:  # nothing is returned here
                results[place] = _nothing_like(next(r[place] for r in made if r[place] is not None))
        return [as_tensor(results[place], "if", names[place]) for place in places]

    return run


def _nothing_like(x: Any) -> Tensor:
    """Zeros that stand where a loop has returned nothing."""
    x = as_tensor(x, "return")
    return zeros_of(x.array.shape, x.array.dtype)


def if_return(test: Any, yes: Any, no: Any, values: tuple[Any, ...]) -> Any:
    """The function's result from one of two blocks that end it."""
    if not decides(test):
        return (yes if test else no)(*values)
    return cond(test, lambda: yes(*values), lambda: no(*values))


def choose(test: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """A conditional expression."""
    if not decides(test):
        return yes() if test else no()
    return cond(test, yes, no)


# ---- truth ---------------------------------------------------------------------------------------


def not_(x: Any) -> Any:
    return logical_not(x) if decides(x) else not x


def and_(x: Any, more: Callable[[], Any]) -> Any:
    """x and more(); both are computed where a tensor of the graph decides."""
    if not decides(x):
        if not x:
            return x
        return more()
    y = more()
    return logical_and(x, as_tensor(y, "and"))


def or_(x: Any, more: Callable[[], Any]) -> Any:
    if not decides(x):
        if x:
            return x
        return more()
    y = more()
    return logical_or(x, as_tensor(y, "or"))


def assert_(test: Any, message: Callable[[], Any]) -> None:
    """An assertion; one on a tensor of the graph is checked at each run."""
    if decides(test):
        text = message()
        mode.capture.demand(test, lambda: AssertionError(text) if text else AssertionError())
    elif not test:
        text = message()
        raise AssertionError(text) if text is not None else AssertionError()


# ---- loops ---------------------------------------------------------------------------------------


def while_(test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    """turn(*values) for as long as test(*values) is true."""
    while True:
        answer = test(*values)
        if decides(answer):
            return _while_in_graph(test, turn, values, names)
        if not answer:
            return values
        values = turn(*values)


def _while_in_graph(test: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    values = _with_results(turn, values, names)
    places = _carried_places(values, names)
    start = tuple(as_tensor(values[p], "while", names[p]) for p in places)

    def whole(carry: tuple[Any, ...]) -> list[Any]:
        made = list(values)
        for place, x in zip(places, carry, strict=True):
            made[place] = x
        return made

    def turned(*carry: Any) -> tuple[Any, ...]:
        made = turn(*whole(carry))
        return tuple(_like(made[p], x, names[p]) for p, x in zip(places, carry, strict=True))

    found = while_loop(lambda *carry: test(*whole(carry)), turned, start)
    return _after(values, places, found)


def _with_results(turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> tuple[Any, ...]:
    """The values, with zeros for what a loop will return where it returns from its middle."""
    open_ = [i for i, name in enumerate(names) if name.startswith(syntax.VALUE)]
    if not any(values[i] is None for i in open_):
        return values
    with _Probe():
        made = turn(*values)
    like = [
        _nothing_like(made[i]) if i in open_ and made[i] is not None else x
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


def _like(x: Any, before: Tensor, name: str) -> Tensor:
    made = as_tensor(x, "loop", name)
    return made if made.dtype is before.dtype else made.to(before.dtype)  # type: ignore[attr-defined, no-any-return]


def _after(values: tuple[Any, ...], places: list[int], found: Any) -> tuple[Any, ...]:
    made = list(values)
    for place, x in zip(places, found, strict=True):
        made[place] = x
    return tuple(made)


@final
class Range:
    """range(start, stop, step) whose numbers only a run knows."""

    def __init__(self, start: Any, stop: Any, step: Any) -> None:
        self.start = start
        self.stop = stop
        self.step = step


def range_(*args: Any) -> Any:
    """range(...), of symbols and tensors too."""
    if not any(is_symbol(a) or decides(a) for a in args):
        return range(*(int(a) if isinstance(a, Tensor) else a for a in args))
    start, stop, step = {1: lambda n: (0, n, 1), 2: lambda a, b: (a, b, 1)}.get(
        len(args), lambda *a: a
    )(*args)
    return Range(start, stop, step)


def append(target: Any, x: Any) -> None:
    """target.append(x), also in the body of a loop of a graph."""
    if _collecting and isinstance(target, list) and id(target) in _collecting[-1]:
        _collecting[-1][id(target)].append(x)
    else:
        target.append(x)


_collecting: list[dict[int, list[Any]]] = []


def for_(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], stop: int | None
) -> Any:
    """turn(item, *values) for each item; `stop` is the place of the flag that ends the loop."""
    in_graph = isinstance(over, Range) or (decides(over) and is_symbol(over.array.shape[0]))
    if in_graph and stop is None and not _by_value(over):
        return _scan_in_graph(over, turn, values, names)
    if in_graph:
        return _for_as_while(over, turn, values, names, stop)
    for item in over:
        values = turn(item, *values)
        if stop is not None:
            if decides(values[stop]):
                raise refuse(
                    "a tensor breaks a loop over Python values", names[stop], "range(n) of a size"
                )
            if values[stop]:
                break
    return values


def _by_value(over: Any) -> bool:
    """Whether how often a loop turns depends on a tensor's value."""
    return isinstance(over, Range) and any(map(decides, (over.start, over.stop, over.step)))


def _items(over: Any) -> Tensor:
    return arange(over.start, over.stop, over.step) if isinstance(over, Range) else over


def _scan_in_graph(over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...]) -> Any:
    lists = [i for i, x in enumerate(values) if isinstance(x, list)]
    places = _carried_places(tuple(None if i in lists else x for i, x in enumerate(values)), names)
    start = tuple(as_tensor(values[p], "for", names[p]) for p in places)
    if any(values[i] for i in lists):
        raise refuse("a loop appends to a list that is not empty", names[lists[0]], "a new list")

    def body(carry: tuple[Any, ...], item: Any) -> Any:
        made = list(values)
        for place, x in zip(places, carry, strict=True):
            made[place] = x
        _collecting.append({id(values[i]): [] for i in lists})
        try:
            results = turn(item, *made)
            appended = [_collecting[-1][id(values[i])] for i in lists]
        finally:
            _collecting.pop()
        after = tuple(_like(results[p], x, names[p]) for p, x in zip(places, carry, strict=True))
        return after, appended

    found, stacks = scan(body, start, _items(over))
    made = list(_after(values, places, found))
    for place, parts in zip(lists, stacks, strict=True):
        if parts:
            made[place] = Stacked(_joined(parts))
    return tuple(made)


def _joined(parts: list[Tensor]) -> Tensor:
    """What several appends a turn put into a list, in their order, along the first axis."""
    if len(parts) == 1:
        return parts[0]
    raise refuse("a loop appends to a list several times a turn", "append", "one append a turn")


def _for_as_while(
    over: Any, turn: Any, values: tuple[Any, ...], names: tuple[str, ...], stop: int | None
) -> Any:
    """A loop whose end depends on values, as one that counts."""
    if not isinstance(over, Range):
        over, source = Range(0, over.array.shape[0], 1), over
        item: Callable[[Any], Any] = lambda i: source[i]  # noqa: E731
    else:
        item = lambda i: i  # noqa: E731
    count = len(values)
    begin = as_tensor(over.start, "for") if not is_symbol(over.start) else over.start

    def test(*carry: Any) -> Any:
        i = carry[count]
        going = i < over.stop if not isinstance(over.step, int) or over.step > 0 else i > over.stop
        return (
            going
            if stop is None
            else logical_and(going, logical_not(as_tensor(carry[stop], "break")))
        )

    def turned(*carry: Any) -> tuple[Any, ...]:
        i = carry[count]
        return (*turn(item(i), *carry[:count]), i + over.step)

    start = (*values, arange(1)[0] * 0 + begin)  # type: ignore[index]
    return _while_in_graph(test, turned, start, (*names, "range"))[:count]


syntax.install(sys.modules[__name__])
