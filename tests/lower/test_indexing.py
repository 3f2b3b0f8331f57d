"""Rows by number: kernels against NumPy, order of additions, threads."""

import numpy as np
import pytest

import twofold
from twofold.ops.bind import bind
from twofold.ops.indexing import PUT, TAKE, Here, Slice
from twofold.ops.tensor import wrap

ALL = Slice(None, None, None)
KEYS = [(Here(0),), (ALL, Here(0)), (ALL, ALL, Here(0))]


def place(key, index):
    return (slice(None),) * (len(key) - 1) + (index,)


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "i2", "?", "c8"])
def test_take_is_numpys(random, key, dtype):
    x = random.integers(0, 100, (6, 7, 5)).astype(dtype)
    for index in (np.array([[0, 4], [-1, 2]]), np.zeros((0,), np.int64), np.array([3])):
        found = bind(TAKE, (wrap(x), wrap(index)), (key,)).array
        wanted = x[place(key, index)]
        assert found.shape == wanted.shape and (found == wanted).all()


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("accumulate", [False, True])
def test_put_writes_in_ascending_order(random, key, accumulate):
    x = random.normal(size=(6, 7, 5)).astype(np.float32)
    index = np.array([1, 3, 1, -1, 1])
    values = random.normal(size=x[place(key, index)].shape).astype(np.float32)
    found = bind(PUT, (wrap(x), wrap(values), wrap(index)), (key, accumulate)).array
    wanted = x.copy()
    for number, row in enumerate(index):
        part = values[place(key, number)]
        at = place(key, row)
        wanted[at] = wanted[at] + part if accumulate else part
    assert found.tobytes() == wanted.tobytes()


def test_threads_do_not_change_a_bit(random):
    table = wrap(np.zeros((10, 3001), np.float32))
    index, values = (
        wrap(random.integers(0, 10, 40)),
        wrap(random.normal(size=(40, 3001)).astype(np.float32)),
    )
    before = twofold.get_num_threads()
    try:
        made = []
        for count in (1, 2, 3, 8):
            twofold.set_num_threads(count)
            made.append(bind(PUT, (table, values, index), ((Here(0),), True)).array.tobytes())
    finally:
        twofold.set_num_threads(before)
    assert len(set(made)) == 1


def test_inputs_may_be_strided(random):
    x = random.normal(size=(8, 6)).astype(np.float32).T
    index = np.arange(10)[::3]
    assert (
        bind(TAKE, (wrap(x[:, ::2]), wrap(index % 6)), ((Here(0),),)).array == x[:, ::2][index % 6]
    ).all()
