"""NumPy's and Python's functions of sizes in a compiled function: as eagerly, whatever the size."""

import math

import numpy as np
import pytest

import twofold


def root(x):
    return x / np.sqrt(x.shape[0]) + x / math.sqrt(x.shape[0])


def whole(x):
    return x.view(int(x.size(0)), -1) * int(x.size(1)) / float(x.size(0))


def arithmetic(x):
    return x * (np.float64(2.0) * x.shape[0]) + np.power(0.5, x.shape[0]) - np.abs(3 - x.shape[0])


def extremes(x):
    return x[: np.minimum(x.shape[0], 3)] * np.maximum(x.shape[0], 3)


def product(x):
    return x.view(np.prod(x.shape))


def logarithm(x):
    return x[: int(np.ceil(np.log(x.shape[0])))] * np.floor(x.shape[0] / 2).astype(int).item()


def short(x):
    return x * (x.shape[0] * np.float32(0.1))


def positions(x):
    return twofold.from_numpy(np.arange(x.shape[0])).float() + x[:, 0]


def grid(x):
    rows, columns = np.meshgrid(np.arange(x.shape[0]), np.arange(x.shape[1]), indexing="ij")
    return twofold.tensor(rows * columns) + x


def rows(x):
    return x[np.arange(x.shape[0] - 1)] + twofold.tensor(np.array([x.shape[0], 0.5])).sum()


ONCE = (root, whole, arithmetic, extremes, product)
BY_SIZE = (logarithm, short, positions, grid, rows)


@pytest.mark.parametrize("function", (*ONCE, *BY_SIZE), ids=lambda f: f.__name__)
def test_as_eagerly(function):
    compiled = twofold.compile(function)
    for n in (6, 9, 4):
        x = twofold.arange(n * 4.0).view(n, 4)
        found, wanted = compiled(x), function(x)
        assert found.dtype is wanted.dtype
        assert twofold.equal(found, wanted)
    assert twofold.explain(compiled).compiles == (1 if function in ONCE else 3)


def test_an_array_of_objects_is_refused_outside_of_a_graph():
    with pytest.raises(TypeError, match="object has no tensor type"):
        twofold.tensor(np.array([1, 2], dtype=object))
