"""Scans: one ascending chain, whatever the layout and the number of chunks."""

import numpy as np
import pytest

from twofold.lower import scan  # noqa: F401  (registers the planners)

SHAPES = [
    ((), 0),
    ((1,), 0),
    ((7, 33), 1),
    ((33, 7), 0),
    ((2, 50, 9), 1),
    ((9, 1), 1),
    ((4, 5000), 1),
]
SHAPES += [((3, 4, 8), 1), ((5, 3), 0)]
ORDINARY = {"cumsum": np.cumsum, "cumprod": np.cumprod}


def values(shape, dtype, seed=0):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return np.asarray(random.standard_normal(shape), dtype)
    return np.asarray(random.integers(0, 5, shape), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_sums_and_products(run, same_bits, name, dtype):
    for shape, dim in SHAPES:
        x = values(shape, dtype)
        want = ORDINARY[name](x, axis=dim, dtype=dtype).reshape(shape)
        for chunks in (1, 2, 3, 8):
            got = run(name, [x], [(shape, dtype)], chunks, dim=dim)[0]
            assert same_bits(got, want), (shape, dim)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "int64"])
@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_extremes(run, name, dtype):
    for shape, dim in SHAPES:
        # few different numbers: the last place of equal ones counts
        x = np.round(values(shape, "float64") * 2).astype(dtype)
        want, place = running_extreme(name, x, dim)
        for chunks in (1, 3):
            outs = [(shape, dtype), (shape, "int64")]
            got, at = run(name, [x], outs, chunks, dim=dim)
            assert np.array_equal(got, want) and np.array_equal(at, place), (shape, dim)


def running_extreme(name, x, dim):
    """The meaning, one element at a time."""
    worse = np.less if name == "cummax" else np.greater
    rows = np.moveaxis(x[None], dim + 1 if x.ndim else 0, -1)
    values, places = rows.copy(), np.zeros(rows.shape, np.int64)
    for i in range(1, rows.shape[-1]):
        new, old = rows[..., i], values[..., i - 1]
        take = (
            np.isnan(new) | ~(worse(new, old) | np.isnan(old))
            if x.dtype.kind == "f"
            else ~worse(new, old)
        )
        values[..., i] = np.where(take, new, old)
        places[..., i] = np.where(take, i, places[..., i - 1])
    back = [np.moveaxis(a, -1, dim + 1 if x.ndim else 0)[0] for a in (values, places)]
    return back[0].reshape(x.shape), back[1].reshape(x.shape)


def test_extremes_with_nan_agree_with_torch(run):
    torch = pytest.importorskip("torch")
    x = np.round(values((6, 40), "float32") * 2)
    x[1, 5] = x[1, 9] = x[2, 0] = x[3, 39] = np.nan
    x[4] = -np.inf
    for name in ("cummax", "cummin"):
        for array, dim in ((x, 1), (np.ascontiguousarray(x.T), 0)):
            want = getattr(torch, name)(torch.from_numpy(array), dim)
            outs = [(array.shape, "float32"), (array.shape, "int64")]
            got, at = run(name, [array], outs, dim=dim)
            assert np.array_equal(got, want.values.numpy(), equal_nan=True)
            assert np.array_equal(at, want.indices.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logcumsumexp(run, same_bits, dtype):
    for shape, dim in SHAPES:
        x = values(shape, dtype) * 5
        want = np.logaddexp.accumulate(np.asarray(x, np.float64).reshape(shape or (1,)), axis=dim)
        got = run("logcumsumexp", [x], [(shape, dtype)], dim=dim)[0]
        tolerance = 1e-5 if dtype == "float32" else 1e-13
        np.testing.assert_allclose(got, want.reshape(shape), rtol=tolerance, atol=tolerance)
        if len(shape) == 2:
            turned = run("logcumsumexp", [x.T.copy()], [(shape[::-1], dtype)], dim=1 - dim)[0]
            assert same_bits(turned.T.copy(), got)
    inf, nan = np.inf, np.nan
    x = np.array(
        [[-inf, -inf, 0, 1], [inf, -inf, inf, 0], [0, nan, 1, 2], [-inf, 1, -inf, inf]], dtype
    )
    got = run("logcumsumexp", [x], [(x.shape, dtype)], dim=1)[0]
    assert got[0, 1] == -inf and got[0, 2] == 0 and (got[1] == inf).all()
    assert got[2, 0] == 0 and np.isnan(got[2, 1:]).all()
    assert got[3, 1] == 1 and got[3, 2] == 1 and got[3, 3] == inf


def test_strided_and_empty(run, same_bits):
    x = values((6, 10), "float32")
    want = run("cumsum", [x], [((6, 10), "float32")], dim=1)[0]
    assert same_bits(run("cumsum", [np.asfortranarray(x)], [((6, 10), "float32")], dim=1)[0], want)
    for shape in ((0,), (0, 3), (3, 0)):
        x = np.zeros(shape, np.float32)
        assert run("cumsum", [x], [(shape, "float32")], dim=0)[0].shape == shape
