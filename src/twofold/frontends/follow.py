"""Sizes that follow from others, by what a graph demands to be equal. Floor 9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

from twofold.base.polynomials import evaluate, symbols_of


@final
class Equality:
    """Two expressions of sizes that are equal."""

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right
        self.symbols = {number for _, number in symbols_of(left) | symbols_of(right)}
        self.count = max(self.symbols, default=-1) + 1

    def solved(self, number: int, known: Mapping[int, int]) -> dict[int, int]:
        """The value of the symbol that is not known, where it is a sum with whole factors."""
        values = [known.get(place, 0) for place in range(self.count)]

        def difference(value: int) -> int:
            values[number] = value
            return int(evaluate(self.left, values) - evaluate(self.right, values))

        first = difference(0)
        slope = difference(1) - first
        value = -first // slope if slope else 0
        return {number: value} if value >= 0 and difference(value) == 0 else {}


def follow(known: dict[int, int], equalities: Sequence[Equality]) -> None:
    """Add to the sizes that are known, by the numbers of their symbols, what follows from them."""
    open_ = [each for each in equalities if not each.symbols <= known.keys()]
    for _ in open_:  # one leads to the next
        for each in open_:
            missing = each.symbols - known.keys()
            if len(missing) == 1:
                known |= each.solved(missing.pop(), known)
