"""Positions of what is not zero, as many as a graph is told."""

import numpy as np
import pytest

import twofold as T


@pytest.mark.parametrize("shape", [(3, 4), (7,), (2, 3, 2), (0, 3), ()])
def test_positions_of_a_fixed_number(shape):
    x = np.random.default_rng(1).integers(0, 2, shape)
    found = np.argwhere(x) if shape else np.zeros((int(x), 0), np.int64)
    compiled = T.compile(lambda x: T.nonzero_static(x, size=5, fill_value=-7))
    for size, fill in ((0, -1), (2, -1), (5, -7), (20, 3)):
        wanted = np.full((size, len(shape)), fill)
        wanted[: len(found)] = found[:size]
        made = T.nonzero_static(T.from_numpy(x), size=size, fill_value=fill)
        np.testing.assert_array_equal(made.numpy(), wanted)
        if size == 5:
            np.testing.assert_array_equal(compiled(T.from_numpy(x)).numpy(), wanted)
    with pytest.raises(ValueError, match="size is -1"):
        T.nonzero_static(T.from_numpy(x), size=-1)
