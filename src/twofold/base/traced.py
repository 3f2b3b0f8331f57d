"""Whole numbers that remember how they were computed. Floor 0.

    tape = Tape([3, 128])
    rows, columns = tape.numbers
    words = plan(rows, columns)                    ordinary Python, on numbers that are traced
    made = tape.formula(words)                     what it computed, and what it decided
    made([5, 128])                                 the words for other numbers, or None

What Python only computes with becomes arithmetic, and what it decides by becomes a condition: a
comparison that comes out as it did, or, where Python needs the number itself (an index, a range, a
text), that the number is the same. So a formula gives what the function would, or None.

A traced number has no hash: nothing that outlives the call may be kept under it, or hold it. Where
a number decides on what is made, and not only on words, `int(number)` says so; and what has to be
done for the numbers at hand, `whenever(act, *numbers)` does, for each use of the formula too. Fewer
formulas are wanted where Python decides less: `smaller(a, b)` is arithmetic, `min(a, b)` is not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, final

Operation = Callable[[Any, Any], Any]
Line = tuple[Operation, int, int]  # an operation on two values by their places


class Untraceable(Exception):
    """A traced number stands where it may outlive the call."""


def smaller(a: int, b: int) -> int:
    """min(a, b), as arithmetic and not as a decision."""
    if type(a) is Traced or type(b) is Traced:
        return _tape_of(a, b).compute(min, a, b)  # type: ignore[no-any-return]
    return a if a <= b else b


def larger(a: int, b: int) -> int:
    """max(a, b), as arithmetic and not as a decision."""
    if type(a) is Traced or type(b) is Traced:
        return _tape_of(a, b).compute(max, a, b)  # type: ignore[no-any-return]
    return a if a >= b else b


def _tape_of(a: Any, b: Any) -> Tape:
    return (a if type(a) is Traced else b).tape  # type: ignore[no-any-return]


@final
class Traced:
    """A whole number, and its place among the values of a tape."""

    __slots__ = ("place", "tape", "value")

    def __init__(self, tape: Tape, place: int, value: int) -> None:
        self.tape, self.place, self.value = tape, place, value

    def __index__(self) -> int:
        self.tape.decide(operator.eq, self, self.value)
        return self.value

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.__index__())

    def __bool__(self) -> bool:
        return self.tape.decide(operator.ne, self, 0)

    def __hash__(self) -> NoReturn:  # type: ignore[override]
        raise Untraceable("a traced number as a key")

    def __str__(self) -> str:
        return str(self.__index__())

    def __repr__(self) -> str:
        return f"traced {self.value}"

    def __neg__(self) -> Any:
        return self.tape.compute(operator.sub, 0, self)


def _computed(operation: Operation) -> tuple[Any, Any]:
    def forward(self: Traced, other: Any) -> Any:
        return self.tape.compute(operation, self, other)

    def backward(self: Traced, other: Any) -> Any:
        return self.tape.compute(operation, other, self)

    return forward, backward


def _decided(operation: Operation) -> Any:
    def ask(self: Traced, other: Any) -> Any:
        return self.tape.decide(operation, self, other)

    return ask


COMPUTED = ("add", "sub", "mul", "floordiv", "mod")
DECIDED = ("eq", "ne", "lt", "le", "gt", "ge")
for _name in COMPUTED:
    _forward, _backward = _computed(getattr(operator, _name))
    setattr(Traced, f"__{_name}__", _forward)
    setattr(Traced, f"__r{_name}__", _backward)
for _name in DECIDED:
    setattr(Traced, f"__{_name}__", _decided(getattr(operator, _name)))


@final
class Tape:
    """What is computed of some numbers, as it happens."""

    def __init__(self, given: Sequence[int]) -> None:
        self.count = len(given)
        self.numbers = [Traced(self, place, value) for place, value in enumerate(given)]
        self.constants: dict[int, int] = {}
        self.lines: list[tuple[Operation, Any, Any]] = []
        self.known: dict[tuple[Operation, Any, Any], Any] = {}
        self.decided: dict[tuple[Operation, Any, Any], bool] = {}
        self.acts: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def compute(self, operation: Operation, left: Any, right: Any) -> Any:
        """The result, traced."""
        a, b = _place(left), _place(right)
        if a is None or b is None:
            return NotImplemented
        if operation is operator.mul and ONE in (a, b):
            return left if b == ONE else right
        if operation is operator.add and ZERO in (a, b):
            return left if b == ZERO else right
        found = self.known.get((operation, a, b))
        if found is None:
            value = operation(_value(left), _value(right))
            found = Traced(self, self.count + len(self.lines), value)
            self.lines.append((operation, a, b))
            self.known[operation, a, b] = found
        return found

    def decide(self, operation: Operation, left: Any, right: Any) -> bool:
        """The answer, which becomes a condition."""
        a, b = _place(left), _place(right)
        if a is None or b is None:
            return NotImplemented
        found = self.decided.get((operation, a, b))
        if found is None:
            found = bool(operation(_value(left), _value(right)))
            if a != b:
                self.decided[operation, a, b] = found
        return found

    def formula(self, wanted: Sequence[Any]) -> Formula:
        """What gives `wanted`, of which some are traced, for other numbers."""
        return Formula(self, wanted)


def _place(x: Any) -> Any:
    """The place of a value: a number; of a constant (itself,)."""
    if type(x) is Traced:
        return x.place
    return (int(x),) if isinstance(x, int) else None


def _value(x: Any) -> Any:
    return x.value if type(x) is Traced else x


ZERO, ONE = (0,), (1,)


@final
class Formula:
    """Arithmetic and conditions, for any numbers."""

    __slots__ = ("acts", "answers", "asked", "constants", "lines", "template", "wanted")

    def __init__(self, tape: Tape, wanted: Sequence[Any]) -> None:
        """Constants stand behind the given numbers, results behind these."""
        constants: dict[int, int] = {}
        count = tape.count
        pairs = [(a, b) for _, a, b in (*tape.lines, *tape.decided)]
        for place in [place for pair in pairs for place in pair if type(place) is tuple]:
            constants.setdefault(place[0], len(constants))
        more = len(constants)

        def settled(place: Any) -> int:
            if type(place) is tuple:
                return count + constants[place[0]]
            return int(place) if place < count else int(place) + more

        lines = [*tape.lines, *tape.decided]
        self.constants = tuple(constants)
        self.lines = [(operation, settled(a), settled(b)) for operation, a, b in lines]
        end = count + more + len(tape.lines)
        self.asked = end
        self.answers = list(tape.decided.values())
        self.template = [0 if type(x) is Traced else x for x in wanted]
        self.wanted = [(i, settled(x.place)) for i, x in enumerate(wanted) if type(x) is Traced]
        self.acts = [
            (act, [(x,) if type(x) is not Traced else settled(x.place) for x in given], set())
            for act, given in tape.acts
        ]

    def __call__(self, given: Sequence[int]) -> list[Any] | None:
        """The wanted numbers; None where something would have been decided otherwise."""
        values = [*given, *self.constants]
        add = values.append
        try:
            for operation, a, b in self.lines:
                add(operation(values[a], values[b]))
        except ZeroDivisionError:
            return None
        if values[self.asked :] != self.answers:
            return None
        for act, places, known in self.acts:
            numbers = (*[place[0] if type(place) is tuple else values[place] for place in places],)
            if numbers not in known:
                act(*numbers)
                known.add(numbers)
        made = self.template.copy()
        for i, place in self.wanted:
            made[i] = values[place]
        return made


def applied(function: Callable[[Any, Any], int], number: Any, known: Any) -> int:
    """function(number, known), which a formula computes anew."""
    if type(number) is not Traced:
        return function(number, known)
    return number.tape.compute(_Applied(function, known), number, 0)  # type: ignore[no-any-return]


class _Applied:
    """A function of one number, as an operation."""

    __slots__ = ("function", "known")

    def __init__(self, function: Callable[[Any, Any], int], known: Any) -> None:
        self.function, self.known = function, known

    def __call__(self, number: int, _: int) -> int:
        return self.function(number, self.known)


def whenever(act: Callable[..., None], *given: Any) -> None:
    """Do this now, and whenever a formula that comes of it is used for other numbers given here."""
    tape = next((x.tape for x in given if type(x) is Traced), None)
    if tape is not None:
        tape.acts.append((act, given))
    act(*[_value(x) for x in given])
