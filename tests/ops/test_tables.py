"""Arrays that functions make of sizes: as they are eagerly, and as calls of graphs."""

import numpy as np
import pytest

import twofold
from twofold.base import dtypes
from twofold.ops.tables import MAKERS, TABLE, maker, table


@pytest.fixture
def squares():
    @maker
    def _squares(count):
        return np.arange(count) ** 2

    yield _squares
    del MAKERS["squares"]


def test_a_table_of_sizes_is_one_call(squares):
    def f(x):
        return table(squares, x.shape[0], shape=x.shape, dtype=dtypes.int64) + x

    compiled = twofold.compile(f)
    for n in (3, 5):
        assert compiled(twofold.zeros(n)).tolist() == [i * i for i in range(n)]
    assert len(compiled.all_programs()) == 1
    assert "table(maker='squares', args=(x_0,)" in str(compiled.graph(twofold.zeros(3)))


def test_a_table_of_another_shape_or_type_is_refused():
    for attrs in (("steps", (4, 1), (5,), dtypes.int64), ("steps", (4, 1), (4,), dtypes.int32)):
        with pytest.raises(ValueError, match="no table of"):
            TABLE.ref(**TABLE.keywords(attrs))
