"""The first few of long rows are what a whole sort puts first."""

import numpy as np
import pytest

import twofold

RANDOM = np.random.default_rng(5)
ROWS = {
    "floats": RANDOM.normal(size=(3, 2000)).astype(np.float32),
    "ties": RANDOM.integers(0, 5, (3, 2000)).astype(np.float32),
    "doubles": RANDOM.normal(size=(2, 1500)),
    "whole": RANDOM.integers(-9, 9, (4, 1030)),
    "bytes": RANDOM.integers(0, 255, (4, 1030)).astype(np.uint8),
    "rising": np.arange(4096, dtype=np.float32)[None],
    "falling": -np.arange(4096, dtype=np.float32)[None],
    "not numbers": np.where(RANDOM.random((2, 900)) < 0.1, np.nan, -0.0).astype(np.float32),
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("k", [1, 3, 17, 56, 64])
@pytest.mark.parametrize("largest", [True, False])
def test_the_first_few_stand_first_in_a_sort(name, k, largest):
    x = twofold.tensor(ROWS[name])
    values, places = x.topk(k, largest=largest)
    wanted, where = x.sort(descending=largest, stable=True)
    assert places.tolist() == where[:, :k].tolist()
    assert values.numpy().tobytes() == np.ascontiguousarray(wanted.numpy()[:, :k]).tobytes()


def test_along_the_first_axis():
    x = twofold.tensor(ROWS["ties"].T.copy())
    values, places = x.topk(4, 0)
    assert places.tolist() == x.sort(0, descending=True, stable=True).indices[:4].tolist()
    assert values.shape == (4, 3)
