"""DataLoader gives the right batches, and goes on exactly where it stopped."""

import io
import itertools

import numpy as np
import pytest

from twofold.base.errors import ArgumentError, DTypeError, StateError
from twofold.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)
from twofold.data.sampler import SequentialSampler
from twofold.ops.generators import Generator, manual_seed
from twofold.ops.random import rand
from twofold.ops.tensor import Tensor, wrap
from twofold.saving import load, save


class Numbers(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, index):
        return index


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(10))


def values(loader):
    return [batch.array.tolist() for batch in loader]


def rows(count=10):
    return TensorDataset(wrap(np.arange(count * 2.0).reshape(count, 2)), wrap(np.arange(count)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("data", [Numbers(), Stream(), range(10), list(range(10))])
def test_batches(data, workers):
    assert values(DataLoader(data, 4, num_workers=workers)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    full = DataLoader(data, 4, drop_last=True, num_workers=workers)
    assert values(full) == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("data", [Numbers(), Stream()])
def test_no_batches(data):
    assert list(DataLoader(data, batch_size=None)) == list(range(10))
    assert list(DataLoader(data, batch_size=None, num_workers=2)) == list(range(10))


def test_length():
    assert len(DataLoader(Numbers(), 4)) == 3
    assert len(DataLoader(Numbers(), 4, drop_last=True)) == 2
    assert len(DataLoader(Numbers(), batch_size=None)) == 10
    assert len(DataLoader(Numbers(), batch_sampler=[[1], [2]])) == 2
    with pytest.raises(TypeError):
        len(DataLoader(Stream(), 4))


def test_shuffle_gives_every_item_in_another_order_each_pass():
    loader = DataLoader(range(100), 7, shuffle=True)
    first, second = values(loader), values(loader)
    for batches in (first, second):
        assert sorted(itertools.chain(*batches)) == list(range(100))
    assert first != second


def test_samplers():
    assert values(DataLoader(Numbers(), 2, sampler=[3, 1, 4])) == [[3, 1], [4]]
    assert values(DataLoader(Numbers(), batch_sampler=[[3], [1, 4]])) == [[3], [1, 4]]


@pytest.mark.parametrize("workers", [0, 2])
def test_tensor_dataset_comes_whole(workers):
    batches = list(DataLoader(rows(), 4, num_workers=workers))
    assert [type(batch) for batch in batches] == [list] * 3
    assert np.array_equal(np.concatenate([b[0].array for b in batches]), rows().tensors[0].array)
    assert batches[2][1].array.tolist() == [8, 9]


def test_whole_batches_equal_collated_ones():
    items = [(wrap(x), wrap(y)) for x, y in zip(*(t.array for t in rows().tensors), strict=True)]
    for data in (rows(), Subset(rows(), [5, 1, 2, 2, 9])):
        order = data.indices if isinstance(data, Subset) else range(10)
        whole = list(DataLoader(data, 3))
        collated = list(DataLoader([items[i] for i in order], 3))
        for a, b in zip(whole, collated, strict=True):
            for x, y in zip(a, b, strict=True):
                assert x.array.tolist() == y.array.tolist() and x.dtype is y.dtype


def test_items_at_once():
    class AtOnce(Numbers):
        def __getitems__(self, indices):
            return [-index for index in indices]

    assert values(DataLoader(AtOnce(), 5)) == [[0, -1, -2, -3, -4], [-5, -6, -7, -8, -9]]


def test_collate_fn():
    assert list(DataLoader(Numbers(), 5, collate_fn=sum)) == [10, 35]
    assert list(DataLoader(rows(4), 2, collate_fn=len)) == [2, 2]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 2.0}, "batch_size"),
        ({"num_workers": -1}, "num_workers"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor"),
        ({"prefetch_factor": 2}, "needs workers"),
        ({"timeout": -1}, "timeout"),
        ({"shuffle": True, "sampler": [1]}, "excludes"),
        ({"batch_sampler": [[1]], "batch_size": 2}, "excludes"),
        ({"batch_sampler": [[1]], "drop_last": True}, "excludes"),
        ({"batch_size": None, "drop_last": True}, "excludes"),
        ({"multiprocessing_context": "fork"}, "needs workers"),
    ],
)
def test_refuses(options, problem):
    with pytest.raises(ArgumentError, match=problem):
        DataLoader(Numbers(), **options)


def test_refuses_for_streams_and_types():
    for options in ({"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}):
        with pytest.raises(ArgumentError, match="stream"):
            DataLoader(Stream(), **options)
    with pytest.raises(DTypeError, match="timeout"):
        DataLoader(Numbers(), timeout="1")


# Going on where it stopped


class Odd(Sampler):
    """A sampler of the user's, without a state."""

    def __iter__(self):
        return iter([1, 3, 5, 7, 9])

    def __len__(self):
        return 5


LOADERS = {
    "shuffled": lambda w: DataLoader(range(23), 3, shuffle=True, num_workers=w),
    "in order": lambda w: DataLoader(range(23), 3, num_workers=w),
    "drop last": lambda w: DataLoader(range(23), 3, shuffle=True, drop_last=True, num_workers=w),
    "rows": lambda w: DataLoader(rows(23), 3, shuffle=True, num_workers=w, collate_fn=None),
    "weighted": lambda w: DataLoader(
        range(23), 3, sampler=WeightedRandomSampler(range(23), 20), num_workers=w
    ),
    "batch sampler": lambda w: DataLoader(
        range(23), batch_sampler=BatchSampler(RandomSampler(range(23)), 4, False), num_workers=w
    ),
    "own sampler": lambda w: DataLoader(range(23), sampler=Odd(), num_workers=w),
    "sequential": lambda w: DataLoader(
        range(23), sampler=SequentialSampler("abcde"), num_workers=w
    ),
    "items": lambda w: DataLoader(range(9), None, shuffle=True, num_workers=w),
    "stream": lambda w: DataLoader(Stream(), 3, num_workers=w),
    "stream of items": lambda w: DataLoader(Stream(), None, num_workers=w),
}


def shown(batch):
    if isinstance(batch, list):
        return [shown(part) for part in batch]
    return batch.array.tolist() if isinstance(batch, Tensor) else batch


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", LOADERS)
def test_the_rest_is_the_same_after_stopping_at_any_batch(name, workers):
    make = LOADERS[name]
    states, batches = [], []
    loader = make(workers)
    iterator = iter(loader)
    states.append(loader.state_dict())
    for batch in iterator:
        batches.append(shown(batch))
        states.append(loader.state_dict())
    for given, state in enumerate(states):
        other = make(2 - workers)  # the number of workers may change
        other.load_state_dict(through_a_file(state))
        assert other.state_dict() == state
        assert [shown(batch) for batch in other] == batches[given:], given


def through_a_file(state):
    file = io.BytesIO()
    save(state, file)
    return load(io.BytesIO(file.getvalue()))


def test_stopping_twice_in_one_pass():
    loader = DataLoader(range(50), 5, shuffle=True)
    expected = []
    iterator = iter(loader)
    for _ in range(3):
        expected.append(shown(next(iterator)))
    state = loader.state_dict()
    expected += [shown(batch) for batch in iterator]

    second = DataLoader(range(50), 5, shuffle=True)
    second.load_state_dict(state)
    for turn, batch in enumerate(second):
        assert shown(batch) == expected[3 + turn]
        if turn == 2:
            break
    third = DataLoader(range(50), 5, shuffle=True)
    third.load_state_dict(second.state_dict())
    assert [shown(batch) for batch in third] == expected[6:]


def test_breaking_off_and_beginning_anew_starts_a_new_pass():
    loader = DataLoader(range(10), 2)
    next(iter(loader))
    assert len(list(loader)) == 5


def test_a_state_between_passes_begins_a_new_one():
    loader = DataLoader(range(40), 4, shuffle=True)
    first = values(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["batch"], state["running"]) == (1, 0, False)
    loader.load_state_dict(state)
    assert values(loader) != first
    assert loader.epoch == 2


def test_a_state_of_other_data_is_refused():
    state = DataLoader(range(10), 2).state_dict()
    for other in (DataLoader(range(11), 2), DataLoader(range(10), 3)):
        with pytest.raises(StateError, match="other data or batches"):
            other.load_state_dict(state)
    with pytest.raises(StateError, match="not the state"):
        DataLoader(range(10), 2).load_state_dict({"batch": 3})
    with pytest.raises(StateError, match="not the state"):
        DataLoader(range(10), 2).load_state_dict(None)


def test_a_generator_makes_every_pass_repeatable_and_is_part_of_the_state():
    def make():
        return DataLoader(range(30), 4, shuffle=True, generator=Generator().manual_seed(5))

    loader, other = make(), make()
    expected = [values(loader), values(loader), values(loader)]
    assert [values(other), values(other)] == expected[:2]
    assert expected[0] != expected[1]

    stopped = make()
    values(stopped)
    iterator = iter(stopped)
    head = [shown(next(iterator)) for _ in range(3)]
    assert head == expected[1][:3]
    again = make()
    again.load_state_dict(through_a_file(stopped.state_dict()))
    assert values(again) == expected[1][3:] and values(again) == expected[2]


def test_the_default_generator_decides_when_none_is_given():
    loader = DataLoader(range(30), 4, shuffle=True)
    manual_seed(3)
    first = values(loader)
    manual_seed(3)
    assert values(loader) == first != values(loader)


class Noisy(Dataset):
    """Adds noise to its items, as an augmentation does."""

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return index + rand(2)


class NoisyStream(IterableDataset):
    def __iter__(self):
        return (index + rand(2) for index in range(24))


def noisy(kind, workers):
    return DataLoader(kind(), 4, num_workers=workers, generator=Generator(seed=1))


@pytest.mark.parametrize("kind", [Noisy, NoisyStream])
def test_augmentation_does_not_depend_on_the_workers(kind):
    expected = values(noisy(kind, 0))
    assert len({str(batch) for batch in expected}) == 6
    for workers in (1, 3):
        assert values(noisy(kind, workers)) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_augmentation_goes_on_as_it_would_have(workers):
    loader = noisy(Noisy, workers)
    iterator = iter(loader)
    head = [shown(next(iterator)) for _ in range(2)]
    state = through_a_file(loader.state_dict())
    iterator.close()
    again = noisy(Noisy, workers)
    again.load_state_dict(state)
    two_passes = noisy(Noisy, 0)
    assert head + values(again) == values(two_passes)
    assert values(again) == values(two_passes)


def test_augmentation_differs_from_pass_to_pass():
    loader = noisy(Noisy, 2)
    assert values(loader) != values(loader)


def test_the_users_own_draws_do_not_change_what_the_workers_draw():
    manual_seed(3)
    loader = DataLoader(Noisy(), 4, num_workers=2)
    first = values(loader)
    manual_seed(3)
    assert [(rand(3), batch.array.tolist())[1] for batch in loader] == first
