"""Data as pipes."""

import pytest

from twofold.base.errors import ArgumentError
from twofold.utils.data import DataLoader, IterDataPipe, functional_datapipe
from twofold.utils.data.datapipes.iter import IterableWrapper
from twofold.utils.data.datapipes.map import SequenceWrapper


def test_streams_are_built_upon_streams():
    pipe = IterableWrapper(range(10)).map(lambda x: x * 2).filter(lambda x: x % 4 == 0)
    assert list(pipe) == [0, 4, 8, 12, 16] == list(pipe)
    assert list(pipe.batch(2)) == [[0, 4], [8, 12], [16]]
    assert list(pipe.batch(2, drop_last=True).unbatch()) == [0, 4, 8, 12]
    with pytest.raises(TypeError):
        len(pipe)
    ten = IterableWrapper(range(10))
    assert len(ten.batch(3)) == 4 and len(ten.map(str)) == 10
    shuffled = ten.shuffle(buffer_size=3).set_seed(1)
    assert sorted(shuffled) == list(range(10)) and list(ten.shuffle().set_shuffle(False))[3] == 3
    shard = ten.sharding_filter()
    shard.apply_sharding(3, 1)
    assert list(shard) == [1, 4, 7] and len(shard) == 3


def test_streams_come_together_and_apart():
    a, b = IterableWrapper([1, 2, 3]), IterableWrapper(["x", "y"])
    assert list(a.zip(b)) == [(1, "x"), (2, "y")] and list(a.mux(b)) == [1, "x", 2, "y"]
    assert list(a.concat(b)) == [1, 2, 3, "x", "y"] and len(a.concat(b)) == 5
    odd, even = IterableWrapper(range(5)).demux(2, lambda x: (x + 1) % 2)
    assert (list(odd), list(even)) == ([1, 3], [0, 2, 4])
    assert [list(pipe) for pipe in a.fork(2)] == [[1, 2, 3]] * 2
    assert list(IterableWrapper(range(5)).groupby(lambda x: x % 2, group_size=2)) == [
        [0, 2],
        [1, 3],
        [4],
    ]
    rows = IterableWrapper([(1, 2), (3, 4)]).map(lambda x: -x, input_col=1)
    assert list(rows) == [(1, -2), (3, -4)]
    assert next(iter(rows.batch(2).collate()))[0].tolist() == [1, 3]


def test_maps_and_pipes_of_one_s_own():
    pipe = SequenceWrapper([3, 1, 2]).map(lambda x: x * 10)
    assert pipe[1] == 10 and len(pipe) == 3 and pipe.batch(2)[1] == [20]
    assert sorted(pipe.shuffle().set_seed(0)) == [10, 20, 30] and pipe.concat(pipe)[4] == 10
    assert pipe.zip(pipe)[0] == (30, 30)

    @functional_datapipe("doubled")
    class Doubled(IterDataPipe):
        def __init__(self, source):
            self.source = source

        def __iter__(self):
            return (2 * x for x in self.source)

    assert list(IterableWrapper([1, 2]).doubled()) == [2, 4]
    loader = DataLoader(IterableWrapper(range(4)).doubled(), batch_size=2)
    assert [batch.tolist() for batch in loader] == [[0, 2], [4, 6]]
    with pytest.raises(AttributeError, match="halved"):
        pipe.halved()
    with pytest.raises(ArgumentError, match="doubled"):
        functional_datapipe("doubled")(Doubled)
