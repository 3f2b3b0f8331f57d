"""Datasets and their combinations."""

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from twofold.data import (
    ConcatDataset,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from twofold.data.dataset import split_sizes
from twofold.ops.tensor import wrap


class Squares(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index * index


def rows(count=4):
    return TensorDataset(wrap(np.arange(count * 2.0).reshape(count, 2)), wrap(np.arange(count)))


def test_tensor_dataset():
    x, y = rows()[2]
    assert x.array.tolist() == [4, 5] and y.array == 2 and len(rows()) == 4


def test_a_batch_at_once_equals_the_items():
    whole = rows().get_batch([3, 0, 3])
    assert whole[0].array.tolist() == [[6, 7], [0, 1], [6, 7]] and whole[1].array.tolist() == [
        3,
        0,
        3,
    ]


def test_a_batch_does_not_share_memory_with_the_dataset():
    data = rows()
    data.get_batch([0, 1])[0].array[:] = 9
    assert data.tensors[0].array[0, 0] == 0


def test_a_batch_of_bfloat16():
    values = dtypes.to_bfloat16(np.arange(3, dtype=np.float32))
    batch = TensorDataset(wrap(values)).get_batch([2, 1])[0]
    assert dtypes.to_float32(batch.array).tolist() == [2, 1]


def test_a_batch_out_of_range():
    with pytest.raises(IndexError):
        rows().get_batch([4])


def test_tensor_dataset_refuses():
    with pytest.raises(ShapeError, match="equally many rows"):
        TensorDataset(wrap(np.zeros((3, 2))), wrap(np.zeros(4)))
    with pytest.raises(ShapeError, match="equally many rows"):
        TensorDataset(wrap(np.zeros(())))
    with pytest.raises(DTypeError, match="argument 1 is no tensor"):
        TensorDataset(wrap(np.zeros(3)), [1, 2, 3])
    with pytest.raises(ArgumentError, match="no tensors"):
        TensorDataset()


def test_subset():
    subset = Subset(Squares(), [4, 1])
    assert len(subset) == 2 and subset[0] == 16 and subset.__getitems__([1, 0]) == [1, 16]
    assert not hasattr(subset, "get_batch")
    assert Subset(rows(), [3, 2]).get_batch([1])[1].array.tolist() == [2]


def test_concat():
    both = Squares() + Squares() + Subset(Squares(), [2])
    assert len(both) == 11
    assert [both[i] for i in range(11)] == [0, 1, 4, 9, 16, 0, 1, 4, 9, 16, 4]
    assert both[-1] == 4 and both[-11] == 0
    for index in (11, -12):
        with pytest.raises(IndexRangeError, match="index out of range"):
            both[index]
    with pytest.raises(ArgumentError):
        ConcatDataset([])
    with pytest.raises(ArgumentError, match="stream"):
        ConcatDataset([IterableDataset()])


def test_an_empty_part_of_a_concat():
    assert [*ConcatDataset([Subset(Squares(), []), Squares()])][:2] == [0, 1]


def test_methods_that_are_not_defined_say_so():
    with pytest.raises(NotImplementedError, match="not define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="not define __iter__"):
        iter(IterableDataset())


def test_random_split_parts_the_dataset():
    parts = random_split(range(10), [7, 3])
    assert [len(part) for part in parts] == [7, 3]
    assert sorted([*parts[0], *parts[1]]) == list(range(10))


@pytest.mark.parametrize(
    ("lengths", "count", "sizes"),
    [
        ([7, 3], 10, [7, 3]),
        ([0.7, 0.3], 10, [7, 3]),
        ([0.5, 0.5], 5, [3, 2]),
        ([1 / 3] * 3, 100, [34, 33, 33]),
        ([1.0], 3, [3]),
        ([1, 0], 1, [1, 0]),
        ([0.5, 0.5], 0, [0, 0]),
    ],
)
def test_split_sizes(lengths, count, sizes):
    assert split_sizes(lengths, count) == sizes


@pytest.mark.parametrize("lengths", [[5, 6], [0.5, 0.4], [11, -1]])
def test_split_refuses(lengths):
    with pytest.raises(ArgumentError):
        random_split(range(10), lengths)
