"""Buffers that are alive together never overlap, whichever way they were laid out."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.exec import stacks

lives = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), min_size=45, max_size=90)


def apart(sizes, lives, offsets, top):
    for i, (first, last) in enumerate(lives):
        assert offsets[i] % stacks.ALIGN == 0 and offsets[i] + sizes[i] <= top
        for j in range(i):
            if lives[j][0] <= last and first <= lives[j][1]:
                assert offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]


@settings(deadline=None, max_examples=40)
@given(lives, st.data())
def test_sizes_that_change(spans, data):
    alive = tuple((first, first + more) for first, more in spans)
    known = {}
    for _ in range(3):
        sizes = [data.draw(st.sampled_from([0, 1, 64, 100, 4000])) for _ in alive]
        offsets, top = stacks.arrange(sizes, alive, known)
        apart(sizes, alive, offsets, top)
        anew = stacks.largest_first([max(-(-s // 64), 1) * 64 for s in sizes], alive)[1]
        stack = known[alive]
        least = stack.least([max(-(-s // 64), 1) * 64 for s in sizes])
        assert top == anew or top <= stack.loose * stacks.LOOSER * least
    assert list(known) == [alive]


def test_an_order_is_kept_for_larger_sizes(monkeypatch):
    alive = tuple((i, i + 3) for i in range(100))
    known = {}
    stacks.arrange([64 * (i % 7 + 1) for i in range(100)], alive, known)
    monkeypatch.setattr(stacks, "largest_first", lambda *_: pytest.fail("laid out anew"))
    for scale in (640, 6400):
        sizes = [scale * (i % 7 + 1) for i in range(100)]
        apart(sizes, alive, *stacks.arrange(sizes, alive, known))


def test_an_order_that_wastes_memory_is_given_up():
    rng = random.Random(3)
    alive = tuple((first, first + rng.randrange(12)) for first in range(60))
    known = {}
    first, second = ([rng.choice([64, 6400, 64_000]) for _ in alive] for _ in range(2))
    stacks.arrange(first, alive, known)
    before = known[alive].offsets
    wasteful = known[alive].again(second)[1]
    _, top = stacks.arrange(second, alive, known)
    assert top < wasteful and known[alive].offsets != before


def test_nothing_takes_no_memory():
    assert stacks.arrange([], (), {}) == ([], 0)
