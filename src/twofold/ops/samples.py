"""Inputs that records give to their tests. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.ops.op import Sample

Samples = Callable[[Any], list[Sample]]

PAIRS = [((3, 4), (3, 4)), ((3, 1), (4,)), ((), (2,)), ((2, 0), (1,)), ((2, 3, 4), (3, 1))]
SINGLES = [(3, 4), (), (0, 2), (2, 1, 5), (33,)]
# Numbers on which kernels go wrong first.
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 3.5]
SPECIAL += [1e-40, -1e-40, 1e-8, 1e8, -1e8, 88.8, -88.8, 104.5, -104.5, 1e38, -1e38]


def pairs(random: Any) -> list[Sample]:
    """Operands of equal and of broadcast shapes, one of no axes, one of no elements."""
    return [Sample((values(random, a), values(random, b))) for a, b in PAIRS]


def singles(random: Any) -> list[Sample]:
    return [Sample((values(random, shape),)) for shape in SINGLES]


def values(random: Any, shape: tuple[int, ...]) -> Any:
    # away from 0, where division and its gradient would be too steep for finite differences
    return random.uniform(0.5, 2.0, shape) * random.choice([-1.0, 1.0], shape)


def hard_singles(random: Any) -> list[Sample]:
    """The singles, and the special numbers."""
    return [*singles(random), Sample((np.array(SPECIAL),), smooth=False)]


def hard_pairs(random: Any) -> list[Sample]:
    """The pairs, and every special number with every other."""
    special = np.array(SPECIAL)
    return [*pairs(random), Sample((special[:, None], special), smooth=False)]


def within(low: float, high: float, special: bool = True) -> Samples:
    """Singles between two numbers, where a function is defined or a gradient is tame."""

    def samples(random: Any) -> list[Sample]:
        made = [Sample((random.uniform(low, high, shape),)) for shape in SINGLES]
        return [*made, Sample((np.array(SPECIAL),), smooth=False)] if special else made

    return samples


def pairs_within(low: float, high: float, special: bool = True) -> Samples:
    def samples(random: Any) -> list[Sample]:
        uniform = random.uniform
        made = [Sample((uniform(low, high, a), uniform(low, high, b))) for a, b in PAIRS]
        hard = np.array(SPECIAL)
        return [*made, Sample((hard[:, None], hard), smooth=False)] if special else made

    return samples


def integers(random: Any) -> list[Sample]:
    """Whole numbers in one operand."""
    return [Sample((random.integers(0, 7, shape),)) for shape in SINGLES]


def integer_pairs(random: Any) -> list[Sample]:
    return [Sample((random.integers(0, 7, a), random.integers(1, 7, b))) for a, b in PAIRS]


def ties(random: Any) -> list[Sample]:
    """Whole numbers in two operands, many of them equal; not for finite differences."""
    drawn = [[random.integers(-2, 3, s).astype(float) for s in pair] for pair in PAIRS]
    made = [Sample(tuple(pair), smooth=False) for pair in drawn]
    special = np.array(SPECIAL)
    return [*made, Sample((special[:, None], special), smooth=False)]
