"""The loss of connectionist temporal classification: the kernels against NumPy's recursion."""

from __future__ import annotations

import numpy as np
import pytest

import twofold
from twofold.ops.bind import bind
from twofold.ops.ctc import CTC, CTC_BACKWARD
from twofold.ops.tensor import wrap

# steps, batch, classes, labels
SIZES = [(6, 2, 4, 3), (1, 3, 5, 1), (50, 7, 20, 12), (30, 4, 30, 0), (9, 5, 3, 8)]


def given(steps, count, classes, labels, dtype):
    random = np.random.default_rng(steps)
    x = random.normal(size=(steps, count, classes))
    x = (x - np.log(np.exp(x).sum(-1, keepdims=True))).astype(dtype)
    targets = random.integers(0, classes, (count, labels))
    lengths, sizes = random.integers(0, steps + 1, count), random.integers(0, labels + 1, count)
    lengths[0] = steps
    g = random.normal(size=count).astype(dtype)
    g[1] = 0
    return g, x, targets, lengths, sizes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blank", [0, 2])
def test_losses_and_gradients_are_those_of_the_recursion(size, blank, dtype):
    g, *arrays = given(*size, dtype)
    near = {"float32": 1e-6, "float64": 1e-12}[dtype]
    wanted = CTC.ref(*arrays, blank=blank)
    with np.errstate(all="ignore"):
        slope = CTC_BACKWARD.ref(g, *arrays, blank=blank)
    before = twofold.get_num_threads()
    try:
        for threads in (1, 3):
            twofold.set_num_threads(threads)
            made = bind(CTC, tuple(map(wrap, arrays)), (blank,)).array
            np.testing.assert_allclose(made, wanted, near)
            back = bind(CTC_BACKWARD, tuple(map(wrap, (g, *arrays))), (blank,)).array
            np.testing.assert_allclose(back, slope, near, near)
    finally:
        twofold.set_num_threads(before)
    x, targets, *rest = arrays
    part = (x[:, 1:2], targets[1:2], *(numbers[1:2] for numbers in rest))
    alone = bind(CTC, tuple(map(wrap, part)), (blank,)).array
    np.testing.assert_array_equal(alone, made[1:2])
