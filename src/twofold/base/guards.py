"""What a program was made for: questions about sizes, their answers, and what follows. Floor 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twofold.base import polynomials
from twofold.base.polynomials import TESTS, Atom, Polynomial, evaluate, is_polynomial
from twofold.base.records import NamedTuple


class Guard(NamedTuple):
    """A question that was asked of a symbol, and its answer.

    left, test, right   the question, as `left < right`; expressions
    holds               the answer that the program was made for
    where               the user's line that asked
    """

    left: Any
    test: str
    right: Any
    holds: bool
    where: str

    def key(self) -> tuple[Any, ...]:
        return self.left, self.test, self.right


class Guards:
    """Questions that were asked, by their expressions, and what follows from the answers."""

    def __init__(self) -> None:
        self.guards: dict[tuple[Any, ...], Guard] = {}
        self.least: tuple[tuple[Atom, int], ...] = ()  # sizes, and how small guards let them be

    def known(self, difference: Polynomial, test: str) -> bool | None:
        """The answer to `difference test 0` where it follows, from guards if need be."""
        answer = polynomials.known(difference, test)
        if answer is not None or not self.least:
            return answer
        higher = polynomials.raised(difference, self.least)
        return None if higher is None else polynomials.known(higher, test)

    def note(self, guard: Guard) -> None:
        self.guards[guard.key()] = guard
        if is_polynomial(guard.left) and is_polynomial(guard.right):
            difference = polynomials.add(guard.left, guard.right, -1)
            found = polynomials.least_by(difference, guard.test, guard.holds)
            least = dict(self.least)
            if found is not None and found[1] > least.get(found[0], 0):
                self.least = tuple(sorted({**least, found[0]: found[1]}.items()))

    def asked(self, difference: Polynomial, test: str) -> Guard | None:
        """The guard that `difference test 0` became; equal sides may stand either way."""
        around = (polynomials.add((), difference, -1),) if test == "==" else ()
        for way in (difference, *around):
            left, right = polynomials.sides(way)
            found = self.guards.get((left, test, right))
            if found is not None:
                return found
        return None

    def ordered(self, less: Any, more: Any) -> bool:
        """Whether less <= more is known: for all sizes, or by a question that was asked."""
        difference = polynomials.add(less, more, -1)
        if self.known(difference, "<=") is True:
            return True
        found = self.asked(difference, "<=")
        return found is not None and found.holds

    def equal(self, x: Any, y: Any) -> bool:
        """Whether a question was answered with: these are equal."""
        if not (is_polynomial(x) and is_polynomial(y)):
            return False
        found = self.asked(polynomials.add(x, y, -1), "==")
        return found is not None and found.holds


def guards_hold(guards: Sequence[Guard], values: Sequence[Any]) -> Guard | None:
    """The first guard that the values break, or None."""
    for guard in guards:
        left, right = evaluate(guard.left, values), evaluate(guard.right, values)
        if TESTS[guard.test](left, right) is not guard.holds:
            return guard
    return None
