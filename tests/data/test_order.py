"""Orders are functions of their seed, and are what they claim to be."""

import numpy as np
import pytest

from twofold.data import order


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_a_permutation_holds_every_index_once(count):
    assert sorted(order.permutation(7, count).tolist()) == list(range(count))


def test_the_seed_alone_decides():
    assert np.array_equal(order.permutation(7, 100), order.permutation(7, 100))
    assert not np.array_equal(order.permutation(7, 100), order.permutation(8, 100))


@pytest.mark.parametrize("seed", [0, 7, (1 << 62) - 1, (1 << 64) - 1, -3])
def test_a_permutation_ranks_the_words_of_its_seed(seed):
    for count in (0, 1, 2, 100, 5000):
        wanted = np.argsort(order.words(seed, count), kind="stable")
        found = order.permutation(seed, count)
        assert found.dtype == np.int64 and np.array_equal(found, wanted)


def test_all_permutations_are_equally_likely():
    counts = {}
    for seed in range(1500):
        key = tuple(order.permutation(seed, 3).tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 6 and all(190 < count < 310 for count in counts.values())


@pytest.mark.parametrize("below", [1, 2, 10, 2**31, 2**40])
def test_draws_are_below_and_even(below):
    drawn = order.draws(3, 20_000, below)
    assert drawn.min() >= 0 and drawn.max() < below
    assert abs(drawn.mean() / below - (0.5 if below > 2 else (below - 1) / 2 / below)) < 0.06


@pytest.mark.parametrize("below", [1, 3, 2**32 - 1, 2**32 + 1, 2**62 - 57, 2**63 - 1])
def test_draws_are_the_high_half_of_the_product(below):
    expected = [int(word) * below >> 64 for word in order.words(5, 100)]
    assert order.draws(5, 100, below).tolist() == expected


def test_draws_reach_every_number():
    counts = np.bincount(order.draws(3, 20_000, 10), minlength=10)
    assert counts.min() > 1800 and counts.max() < 2200


def test_weighted_draws_follow_the_weights():
    weights = np.array([0.0, 1.0, 3.0, 0.0, 4.0, 0.0])
    shares = np.bincount(order.weighted(1, 40_000, weights), minlength=6) / 40_000
    assert np.allclose(shares, weights / 8, atol=0.01)
    assert shares[0] == shares[3] == shares[5] == 0


def test_weighted_once_takes_each_index_once():
    weights = np.array([1e-9, 0.0, 1.0, 1e9, 5.0])
    assert sorted(order.weighted_once(1, 4, weights).tolist()) == [0, 2, 3, 4]


def test_weighted_once_draws_one_after_the_other():
    weights = np.array([1.0, 2.0, 3.0])
    first = np.array([order.weighted_once(seed, 2, weights) for seed in range(1500)])
    shares = [np.mean((first == pair).all(1)) for pair in ([0, 1], [2, 1], [2, 0])]
    assert np.allclose(shares, [1 / 6 * 2 / 5, 1 / 2 * 2 / 3, 1 / 2 * 1 / 3], atol=0.04)


def test_derived_seeds_differ_and_are_seeds():
    seeds = {order.derive(5, number) for number in range(1000)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**63 for seed in seeds)
