"""Samplers give the right indices, and a pass can be repeated from its state."""

import numpy as np
import pytest

from twofold.base.errors import ArgumentError
from twofold.data import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from twofold.data import sampler as samplers
from twofold.ops.tensor import wrap

TEN = range(10)


def test_sequential():
    assert list(SequentialSampler(TEN)) == list(TEN) and len(SequentialSampler(TEN)) == 10


def test_random_gives_every_index_once_in_another_order_each_time():
    sampler = RandomSampler(range(50))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second and len(sampler) == 50
    assert all(type(index) is int for index in first)


def test_random_with_more_samples_than_items_goes_round():
    drawn = list(RandomSampler(TEN, num_samples=25))
    assert len(drawn) == 25 and sorted(drawn[:10]) == sorted(drawn[10:20]) == list(TEN)
    assert drawn[:10] != drawn[10:20] and len(set(drawn[20:])) == 5


def test_random_with_replacement():
    drawn = list(RandomSampler(TEN, replacement=True, num_samples=1000))
    assert len(drawn) == 1000 and set(drawn) == set(TEN)
    with pytest.raises(ArgumentError, match="the dataset is empty"):
        list(RandomSampler([], replacement=True, num_samples=3))


def test_nothing_to_sample():
    assert list(RandomSampler([])) == list(SubsetRandomSampler([])) == []
    assert list(WeightedRandomSampler([0.0], 0)) == []


def test_indices_come_through_whole_when_there_are_many(monkeypatch):
    monkeypatch.setattr(samplers, "CHUNK", 7)
    assert sorted(RandomSampler(range(100))) == list(range(100))


def test_subset():
    drawn = list(SubsetRandomSampler([3, 5, 8]))
    assert sorted(drawn) == [3, 5, 8]


def test_weighted():
    sampler = WeightedRandomSampler(wrap(np.array([0, 1, 0, 1], np.float32)), 100)
    assert set(sampler) == {1, 3} and len(sampler) == 100
    assert sorted(WeightedRandomSampler([1, 2, 3], 3, replacement=False)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("weights", "count", "replacement", "problem"),
    [
        ([1, -1], 1, True, "negative"),
        ([1, float("nan")], 1, True, "not finite"),
        ([[1, 2]], 1, True, "not a row"),
        ([0, 0], 1, True, "every weight is zero"),
        ([1, 0], 2, False, "more samples"),
        ([1], -1, True, "no count"),
    ],
)
def test_weighted_refuses(weights, count, replacement, problem):
    with pytest.raises(ArgumentError, match=problem):
        WeightedRandomSampler(weights, count, replacement)


def test_batches():
    assert list(BatchSampler(TEN, 4, False)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(BatchSampler(TEN, 4, True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(BatchSampler(TEN, 4, False)) == 3 and len(BatchSampler(TEN, 4, True)) == 2
    for size in (0, -1, 2.5, True):
        with pytest.raises(ArgumentError, match="batch_size"):
            BatchSampler(TEN, size, False)


MADE = {
    "random": lambda: RandomSampler(TEN),
    "replacement": lambda: RandomSampler(TEN, replacement=True),
    "subset": lambda: SubsetRandomSampler(TEN),
    "weighted": lambda: WeightedRandomSampler([1.0] * 10, 10),
    "batches": lambda: BatchSampler(RandomSampler(TEN), 3, False),
}


@pytest.mark.parametrize("name", MADE)
def test_a_pass_repeats_from_its_state(name):
    sampler, other = MADE[name](), MADE[name]()
    iterator = iter(sampler)  # the seed is drawn here, before the first index
    other.load_state_dict(sampler.state_dict())
    expected = list(iterator)
    assert list(other) == expected
    assert list(other) != expected
