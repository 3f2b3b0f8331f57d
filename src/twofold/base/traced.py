"""Whole numbers that remember how they were computed. Floor 0.

    tape = Tape([3, 128])
    rows, columns = tape.numbers
    words = plan(rows, columns)          ordinary Python, on numbers that are traced

What Python only computes with becomes arithmetic on the tape, and what it decides by a condition: a
comparison that comes out as it did, or, where Python needs the number itself (an index, a range, a
text), that the number is the same. So for other numbers of which all conditions hold, arithmetic
alone gives the words that the function would give (exec/sheet.py does it).

A traced number has no hash: nothing that outlives the call may be kept under it, or hold it. Where
a number decides on what is made, and not only on words, `int(number)` says so. lower/schedule.py
has what planners do with numbers that may be traced.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, final


class Untraceable(Exception):
    """A traced number stands where it may outlive the call, or where it is no whole number any
    more.
    """


# What is done with two values, each its number on the tape or (constant,); and the answer of a
# comparison, which is a condition, or None.
Line = tuple[str, Any, Any, bool | None]


@final
class Traced:
    """A whole number, and its place among the values of a tape."""

    __slots__ = ("place", "tape", "value")

    def __init__(self, tape: Tape, place: int, value: int) -> None:
        self.tape, self.place, self.value = tape, place, value

    def __index__(self) -> int:
        self.tape.decide("eq", self, self.value)
        return self.value

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.__index__())

    def __bool__(self) -> bool:
        return bool(self.tape.decide("ne", self, 0))

    def __hash__(self) -> NoReturn:
        raise Untraceable("a traced number as a key")

    def __str__(self) -> str:
        return str(self.__index__())

    def __repr__(self) -> str:
        return f"traced {self.value}"

    def _fraction(self, *_: Any) -> NoReturn:
        raise Untraceable("a fraction of a traced number")

    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _fraction

    def bit_length(self) -> int:
        return self.__index__().bit_length()

    def __neg__(self) -> Any:
        return self.tape.compute("sub", 0, self)

    def __abs__(self) -> Any:
        return self if self.tape.decide("ge", self, 0) else -self


COMPUTED = ("add", "sub", "mul", "floordiv", "mod")
DECIDED = ("eq", "ne", "lt", "le", "gt", "ge")
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: getattr(operator, name) for name in (*COMPUTED, *DECIDED)},
    "min": min,
    "max": max,
}


def _computed(name: str) -> tuple[Any, Any]:
    function = FUNCTIONS[name]

    def forward(self: Traced, other: Any) -> Any:
        tape = self.tape
        place = other.place if type(other) is Traced else (other,)
        found = tape.known.get((name, self.place, place))
        return tape.compute(name, self, other, function) if found is None else found

    def backward(self: Traced, other: Any) -> Any:
        return self.tape.compute(name, other, self)

    return forward, backward


def _decided(name: str) -> Any:
    def ask(self: Traced, other: Any) -> Any:
        return self.tape.decide(name, self, other)

    return ask


for _name in COMPUTED:
    _forward, _backward = _computed(_name)
    setattr(Traced, f"__{_name}__", _forward)
    setattr(Traced, f"__r{_name}__", _backward)
for _name in DECIDED:
    setattr(Traced, f"__{_name}__", _decided(_name))


# Arithmetic that changes nothing: with this constant on the right (or, where it may be, the left).
NOTHING = {("add", 0), ("sub", 0), ("mul", 1), ("floordiv", 1)}
TURNED = ("add", "mul")


@final
class Tape:
    """What is computed of some numbers, as it happens.

    acts   what `whenever` was given: a function and numbers, some of them traced
    """

    def __init__(self, given: Sequence[int]) -> None:
        self.count = len(given)
        self.numbers = [Traced(self, place, value) for place, value in enumerate(given)]
        self.lines: list[Line] = []
        self.known: dict[tuple[str, Any, Any], Any] = {}
        self.acts: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def compute(self, operation: str, left: Any, right: Any, function: Any = None) -> Any:
        """The result, traced."""
        a, b = _place(left), _place(right)
        if a is None or b is None:
            return NotImplemented
        if type(b) is tuple and (operation, b[0]) in NOTHING:
            return left
        if type(a) is tuple and operation in TURNED and (operation, a[0]) in NOTHING:
            return right
        found = self.known.get((operation, a, b))
        if found is None:
            value = (function or FUNCTIONS[operation])(_value(left), _value(right))
            found = Traced(self, self.count, value)
            self.count += 1
            self.lines.append((operation, a, b, None))
            self.known[operation, a, b] = found
        return found

    def decide(self, operation: str, left: Any, right: Any) -> Any:
        """The answer, which becomes a condition."""
        a, b = _place(left), _place(right)
        if a is None or b is None:
            return NotImplemented
        found = self.known.get((operation, a, b))
        if found is None:
            found = bool(FUNCTIONS[operation](_value(left), _value(right)))
            self.known[operation, a, b] = found
            if a != b:
                self.lines.append((operation, a, b, found))
        return found


def _place(x: Any) -> Any:
    """A number's place on the tape, or the number in a tuple; None for what is no number."""
    if type(x) is Traced:
        return x.place
    if isinstance(x, int):
        return (int(x),)
    if isinstance(x, float):
        raise Untraceable("a traced number beside a fraction")
    return None


def _value(x: Any) -> Any:
    return x.value if type(x) is Traced else x


def number_of(x: Any) -> Any:
    """The number at hand, of which nothing may be decided."""
    return _value(x)
