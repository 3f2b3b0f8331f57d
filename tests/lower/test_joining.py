"""clone, cat and stack: the elements of NumPy's, for every size of element, layout and chunks."""

from __future__ import annotations

import numpy as np
import pytest

from twofold.lower import joining  # noqa: F401  (registers the planners)

DTYPES = ["bool", "uint8", "int16", "float16", "int32", "float32", "int64", "float64"]
LAYOUTS = {
    "plain": lambda x: x,
    "turned": lambda x: x.transpose(2, 0, 1),
    "reversed": lambda x: x[::-1, :, ::-1],
    "repeated": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "empty": lambda x: x[:, :0],
    "large": lambda x: np.tile(x, (3, 40, 5)),
}


def values(dtype, layout="plain", shape=(4, 3, 70)):
    random = np.random.default_rng(len(dtype) + len(layout))
    return LAYOUTS[layout](random.integers(0, 100, shape).astype(dtype))


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_clone(run, dtype, layout, chunks):
    x = values(dtype, layout)
    (made,) = run("clone", [x], [(x.shape, dtype)], chunks)
    np.testing.assert_array_equal(made, x)


@pytest.mark.parametrize("chunks", [1, 2, 7])
@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cat_and_stack(run, dtype, layout, dim, chunks):
    x = values(dtype, layout)
    parts = [x, np.take(x, [0] * (x.shape[dim] > 0), dim), x * 2 if dtype != "bool" else ~x]
    wanted = np.concatenate(parts, dim)
    (made,) = run("cat", parts, [(wanted.shape, dtype)], chunks, dim=dim, sizes=())
    np.testing.assert_array_equal(made, wanted)
    same = [parts[0], parts[2]]
    wanted = np.stack(same, dim)
    (made,) = run("cat", same, [(wanted.shape, dtype)], chunks, dim=dim)
    np.testing.assert_array_equal(made, wanted)


def test_many_parts(run):
    parts = [np.full((2, i % 4), i, "f4") for i in range(100)]
    wanted = np.concatenate(parts, 1)
    (made,) = run("cat", parts, [(wanted.shape, "float32")], 0, dim=1, sizes=())
    np.testing.assert_array_equal(made, wanted)
