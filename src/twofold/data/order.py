"""Orders and draws that are a function of one seed: what shuffling is made of. Floor 11.

A pass over the data must be repeatable from its seed alone, on any machine and with any number of
workers, so nothing here depends on a generator's hidden state or on rounding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.ops.bind import execute, mode
from twofold.ops.draws import PERMUTATION, random_words

HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
ALL = 0xFFFFFFFFFFFFFFFF
Indices = npt.NDArray[np.int64]


def permutation(seed: int, count: int) -> Indices:
    """The whole numbers below `count`, shuffled: sorted by random keys, equal keys in order."""
    if mode.capture is None:  # the same by a kernel
        state = np.array([seed & ALL, 0, 0], np.uint64)
        return execute(PERMUTATION, [state], (count,))  # type: ignore[no-any-return]
    order: Indices = np.argsort(words(seed, count), kind="stable")
    return order


def draws(seed: int, count: int, below: int) -> Indices:
    """`count` whole numbers below `below`, with repetition; the bias is under below / 2^64.

    Each is the high half of the 128-bit product word * below (D. Lemire, "Fast random integer
    generation in an interval", 2019), put together from products of 32-bit halves.
    """
    drawn = words(seed, count)
    high, low = drawn >> HALF, drawn & LOW
    below_high, below_low = np.uint64(below >> 32), np.uint64(below & 0xFFFFFFFF)
    middle = (low * below_low >> HALF) + low * below_high
    carry = high * below_low + (middle & LOW)
    found: Indices = (high * below_high + (middle >> HALF) + (carry >> HALF)).astype(np.int64)
    return found


def weighted(seed: int, count: int, weights: npt.NDArray[np.float64]) -> Indices:
    """`count` indices with repetition, each as likely as its weight says."""
    edges = np.cumsum(weights)
    points = uniform(seed, count) * edges[-1]
    found = np.searchsorted(edges, points, side="right")
    places: Indices = np.minimum(found, last_positive(weights))
    return places


def weighted_once(seed: int, count: int, weights: npt.NDArray[np.float64]) -> Indices:
    """`count` different indices, drawn one after the other by weight.

    Draws in rounds: a round's repeated indices are dropped, then what was drawn weighs nothing.
    """
    left = np.array(weights, np.float64)
    chosen: list[Indices] = []
    missing, turn = count, 0
    while missing:
        drawn = weighted(derive(seed, turn), missing, left)
        first = np.sort(np.unique(drawn, return_index=True)[1])
        chosen.append(drawn[first])
        left[chosen[-1]] = 0.0
        missing -= len(first)
        turn += 1
    return np.concatenate(chosen) if chosen else np.empty(0, np.int64)


def last_positive(weights: npt.NDArray[np.float64]) -> Any:
    return np.flatnonzero(weights)[-1]


def uniform(seed: int, count: int) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1), 53 random bits each."""
    return (words(seed, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def derive(seed: int, number: int) -> int:
    """Another seed, for the number-th use of this one."""
    return int(words(seed, 1, stream=number + 1)[0] >> np.uint64(1))


def words(seed: int, count: int, stream: int = 0) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words: a function of seed, stream and position alone."""
    halves = random_words(2 * count, seed, stream, 0).astype(np.uint64)
    return (halves[0::2] << HALF) | halves[1::2]
