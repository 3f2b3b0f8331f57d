"""clone, cat and stack: the elements of NumPy's, for every size of element, layout and chunks."""

from __future__ import annotations

import numpy as np
import pytest

import twofold
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


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_words_of_several_arrays_lie_in_turn(dtype, count):
    for size in (1, 7, 8, 100, 40_001):
        parts = [values(dtype, shape=(size,)) for _ in range(count)]
        made = twofold.stack([twofold.tensor(part) for part in parts], -1).numpy()
        np.testing.assert_array_equal(made, np.stack(parts, -1))


def test_what_is_repeated_has_memory_of_its_own():
    x = twofold.arange(6).reshape(2, 3)
    one = twofold.arange(3).reshape(1, 3)
    made = [x.repeat(2, 2), one.repeat(1, 1), one.repeat(4, 1), x.repeat_interleave(2, 0)]
    made += [one.repeat_interleave(3, 0), one.repeat_interleave(1, 1)]
    copies = [part.numpy().copy() for part in made]
    for part, copy in zip(made, copies, strict=True):
        part += 1
        np.testing.assert_array_equal(part.numpy(), copy + 1)
    assert x.tolist() == [[0, 1, 2], [3, 4, 5]] and one.tolist() == [[0, 1, 2]]
