"""What rewritten statements call: Python's way for Python values, a graph's for its tensors.
Floor 9. See frontends/syntax.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, final

from twofold.base.dtypes import float64, int64
from twofold.base.errors import user_line
from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol
from twofold.frontends import syntax
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.control import cond, scan, while_loop
from twofold.frontends.effects import text
from twofold.frontends.later import TYPES, Later, is_later, number_of, type_of_number
from twofold.ops.bind import mode, recording
from twofold.ops.compare import logical_and, logical_not, logical_or
from twofold.ops.creation import arange
from twofold.ops.elementwise import cast
from twofold.ops.joining import Stacked
from twofold.ops.rounding import trunc
from twofold.ops.rules import as_tensor
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor, wrap


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
    """Whether a value is a tensor of the graph that is captured, or a number of it; or a tensor
    from outside, whose values may change.
    """
    if mode.capture is None:
        return False
    if not isinstance(x, Tensor):
        return is_later(x)
    return is_unknown(x.array) or mode.capture.reads_outside(x.array)


def tested(x: Any) -> Any:
    """What decides, as a tensor."""
    return x.tensor if is_later(x) else x


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
    test = tested(test)
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
        self.written, capture.written = capture.written, []

    def __exit__(self, *_: object) -> None:
        capture = mode.capture
        del capture.calls[self.calls :]
        del capture.checks[self.checks :]
        capture.streams, capture.probing = self.streams, self.probing
        for storage, before in reversed(capture.written):
            storage.write(before)
        capture.written = self.written


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
    return cond(tested(test), lambda: yes(*values), lambda: no(*values))


def choose(test: Any, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """A conditional expression."""
    if not decides(test):
        return yes() if test else no()
    return cond(tested(test), yes, no)


# ---- truth ---------------------------------------------------------------------------------------


def int_(x: Any = 0, *more: Any) -> Any:
    """int(x)."""
    if more or not decides(x):
        return int(x, *more)
    x = x if is_later(x) else x.item()
    if x.kind is float:
        with recording(False):
            return Later(int, cast(trunc(x.tensor), int64))
    return Later(int, number_of(x)) if x.kind is bool else x


def float_(x: Any = 0.0) -> Any:
    """float(x)."""
    if not decides(x):
        return float(x)
    x = x if is_later(x) else x.item()
    return x if x.kind is float else Later(float, cast(x.tensor, float64))


def bool_(x: Any = False) -> Any:
    """bool(x)."""
    if not decides(x):
        return bool(x)
    x = x if is_later(x) else x.item()
    return x if x.kind is bool else x != 0


def len_(x: Any) -> Any:
    """len(x)."""
    return x.array.shape[0] if decides(x) and x.array.ndim else len(x)


def not_(x: Any) -> Any:
    return logical_not(tested(x)) if decides(x) else not x


def and_(x: Any, more: Callable[[], Any]) -> Any:
    """x and more(); both are computed where a tensor of the graph decides."""
    if not decides(x):
        if not x:
            return x
        return more()
    y = more()
    return logical_and(tested(x), as_tensor(tested(y), "and"))


def or_(x: Any, more: Callable[[], Any]) -> Any:
    if not decides(x):
        if x:
            return x
        return more()
    y = more()
    return logical_or(tested(x), as_tensor(tested(y), "or"))


def raise_if(test: Any, error: Callable[[], Any]) -> None:
    """if test: raise error(); where a tensor of the graph decides, it is looked at in each run."""
    if not decides(test):
        if test:
            raise error()
        return
    made = error()
    mode.capture.demand(logical_not(tested(test)), lambda: made)


def assert_(test: Any, message: Callable[[], Any]) -> None:
    """An assertion; one on a tensor of the graph is checked at each run."""
    if decides(test):
        text = message()
        mode.capture.demand(
            tested(test), lambda: AssertionError(text) if text else AssertionError()
        )
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
        made = as_tensor(x, "loop", self.name)
        return made if made.dtype is before.dtype else made.to(before.dtype)  # type: ignore[attr-defined, no-any-return]


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
        with _Probe():
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
            with _Probe():
                build()
        finally:
            _trying.pop()
    return build()


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
    in_graph = isinstance(over, Range)
    if decides(over) and is_symbol(over.array.shape[0]) and not mode.capture.unrolls:
        in_graph = True
    if in_graph and stop is None and not _by_value(over):
        return _scan_in_graph(over, turn, values, names)
    if in_graph:
        return _for_as_while(over, turn, values, names, stop)
    for item in over:
        values = turn(item, *values)
        if stop is not None:
            if decides(values[stop]):
                if type(over) is range:
                    raise AsWhile(here)
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
    if any(values[i] for i in lists):
        raise refuse("a loop appends to a list that is not empty", names[lists[0]], "a new list")

    def collected(item: Any, given: Sequence[Any]) -> tuple[Any, list[Any]]:
        _collecting.append({id(values[i]): [] for i in lists})
        try:
            results = turn(Later(int, item) if isinstance(over, Range) else item, *given)
            return results, [_collecting[-1][id(values[i])] for i in lists]
        finally:
            _collecting.pop()

    items = _items(over)
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


def _like_item(items: Tensor) -> Tensor:
    """A tensor like one row, to see what a turn makes of it."""
    return zeros_of(tuple(items.array.shape[1:]), items.array.dtype)


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
    begin = over.start if not isinstance(over.start, Tensor) else over.start.item()  # type: ignore[attr-defined]
    if stop is not None and isinstance(over, Range) and undefined(values[0]):
        values = (begin, *values[1:])  # the last item is known after the loop

    def test(*carry: Any) -> Any:
        i = carry[count]
        end = over.stop.item() if isinstance(over.stop, Tensor) else over.stop
        going = tested(i < end if not isinstance(over.step, int) or over.step > 0 else i > end)
        return going if stop is None else logical_and(going, not_(carry[stop]))

    def turned(*carry: Any) -> tuple[Any, ...]:
        i = carry[count]
        return (*turn(item(i), *carry[:count]), i + over.step)

    start = (*values, begin)
    return _while_in_graph(test, turned, start, (*names, "range"))[:count]


f_string = text  # what rewritten f-strings call
syntax.install(sys.modules[__name__])
