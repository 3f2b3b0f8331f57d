"""argmax and argmin: the first place, NaN above all, in every layout."""

import numpy as np
import pytest

from twofold.lower import arg_reduce  # noqa: F401  (registers the planners)

TYPES = ["float32", "float64", "int8", "uint8", "int16", "int32", "int64"]
EXTENTS = (1, 2, 7, 8, 31, 32, 33, 100, 4096, 4097, 9000)


def values(shape, dtype, seed=0):
    """Few different ones, so that the first place matters."""
    random = np.random.default_rng(seed)
    low = 0 if dtype == "uint8" else -5
    return np.asarray(random.integers(low, 6, shape), dtype)


def reference(name, x, dim):
    kept = [axis for axis in range(x.ndim) if axis not in dim]
    rows = x.transpose(*kept, *dim).reshape(*(x.shape[axis] for axis in kept), -1)
    return np.asarray(getattr(np, name)(rows, axis=-1))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_rows_and_columns(run, name, dtype):
    for n in EXTENTS:
        x = values((11, n), dtype)
        for array, dim in ((x, 1), (np.ascontiguousarray(x.T), 0)):
            want = reference(name, array, (dim,))
            for chunks in (1, 3):
                got = run(name, [array], [(want.shape, "int64")], chunks, dim=(dim,))[0]
                assert np.array_equal(got, want), (n, dim)


def test_axes_strides_and_values(run):
    shape = (3, 4, 5, 40)
    for x in (values(shape, "float32"), np.asfortranarray(values(shape, "float32"))):
        for dim in ((0,), (1,), (2,), (3,), (0, 1, 2, 3), (1, 2), (0, 2)):
            want = reference("argmax", x, dim)
            got = run("argmax", [x], [(want.shape, "int64")], dim=dim)[0]
            assert np.array_equal(got, want), dim
            outs = [(want.shape, "float32"), (want.shape, "int64")]
            best, place = run("argmax", [x], outs, dim=dim)
            assert np.array_equal(place, want) and np.array_equal(best, x.max(axis=dim))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_nan_and_infinities(run, name):
    for n in (3, 40, 5000):
        x = values((6, n), "float32")
        x[0, [n // 2, n - 1]] = np.nan
        x[1] = -np.inf
        x[2] = np.inf
        x[3] = np.nan
        x[4, 1:] = -np.inf
        x[5, : n - 1] = np.inf
        for array, dim in ((x, 1), (np.ascontiguousarray(x.T), 0)):
            got = run(name, [array], [((6,), "int64")], dim=(dim,))[0]
            assert np.array_equal(got, reference(name, array, (dim,))), n


def test_whole_number_limits(run):
    for dtype in ("int8", "uint8", "int64"):
        facts = np.iinfo(dtype)
        x = np.array([[facts.min] * 9, [facts.max] * 9], dtype)
        for name in ("argmax", "argmin"):
            assert (run(name, [x], [((2,), "int64")], dim=(1,))[0] == 0).all()


def test_empty(run):
    x = np.zeros((0, 4), np.float32)
    assert run("argmax", [x], [((0,), "int64")], dim=(1,))[0].shape == (0,)
