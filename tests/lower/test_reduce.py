"""Reductions: the order bit for bit, in every layout, chunking and element type."""

from math import prod

import numpy as np
import pytest

import twofold
from twofold.lower import reduce  # noqa: F401  (registers the planners)
from twofold.lower.layout import find_layout

EXTENTS = (0, 1, 2, 7, 8, 31, 32, 33, 100, 4095, 4096, 4097, 8193, 100_000)
OPS = ("sum", "prod", "max", "min")


def numbers(shape, dtype="float32", seed=0):
    """Of many magnitudes, so that another order gives other bits."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(shape) * 10.0 ** random.uniform(-3, 3, shape)
    return np.asarray(x, dtype)


def near_one(shape, dtype="float32"):
    return (1 + np.random.default_rng(1).uniform(-1e-3, 1e-3, shape)).astype(dtype)


def sample(op, shape, dtype="float32"):
    return near_one(shape, dtype) if op == "prod" else numbers(shape, dtype)


def reduced_shape(shape, dim):
    return tuple(size for axis, size in enumerate(shape) if axis not in dim)


def test_models_agree(model, slow_model, same_bits):
    for n in (0, 1, 31, 33, 4097, 9000):
        x = numbers(n)
        assert same_bits(model(x), np.float32(slow_model(x, "sum", np.float32)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", OPS)
def test_rows_and_columns_follow_the_order(run, model, same_bits, op, dtype):
    for n in EXTENTS:
        x = sample(op, (11, n), dtype)
        want = model(x, op)
        for chunks in (1, 2, 3, 8):
            got = run(op, [x], [((11,), dtype)], chunks, dim=(1,))[0]
            assert same_bits(got, want), (n, chunks)
            down = np.ascontiguousarray(x.T)
            got = run(op, [down], [((11,), dtype)], chunks, dim=(0,))[0]
            assert same_bits(got, want), ("columns", n, chunks)


@pytest.mark.parametrize("inner", [1, 2, 5, 8, 16, 31, 257, 511, 513, 1024, 1025, 1100])
def test_columns_of_every_width(run, model, same_bits, inner):
    for outer, n in ((1, 33), (1, 200), (2, 5), (2, 4100), (3, 1)):
        x = numbers((outer, n, inner))
        want = model(np.moveaxis(x, 1, 2))
        for chunks in (1, 3):
            got = run("sum", [x], [((outer, inner), "float32")], chunks, dim=(1,))[0]
            assert same_bits(got, want), (outer, n, chunks)


@pytest.mark.parametrize(
    ("shape", "dim"),
    [
        ((), ()),
        ((5,), ()),
        ((1, 1), (0, 1)),
        ((4, 1, 6), (1,)),
        ((3, 4, 5), (0, 1, 2)),
        ((3, 4, 5), (0, 2)),
        ((3, 4, 5), (0, 1)),
        ((3, 4, 5), (1, 2)),
        ((2, 3, 4, 5), (1, 3)),
        ((2, 3, 4, 5), (0, 2)),
        ((2, 3, 4, 5), (0, 3)),
        ((2, 3, 4, 5), (0, 2, 3)),
        ((2, 3, 40, 50), (0, 2, 3)),
        ((7, 2, 29, 31), (0, 2, 3)),
        ((0, 3), (0,)),
        ((0, 3), (1,)),
        ((3, 0, 2), (0, 1)),
        ((2, 3, 4, 5, 6), (0, 2, 4)),
        ((2, 3, 4, 5, 6), (1, 3)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F", "flipped", "sliced", "repeated"])
def test_axes_and_strides(run, model, same_bits, shape, dim, order):
    x = laid_out(shape, order)
    kept = [axis for axis in range(len(shape)) if axis not in dim]
    out = reduced_shape(shape, dim)
    n = prod(shape[axis] for axis in dim)
    rows = np.ascontiguousarray(x.transpose(*kept, *dim)).reshape((*out, n))
    for chunks in (1, 3):
        got = run("sum", [x], [(out, "float32")], chunks, dim=dim)[0]
        assert same_bits(got, np.asarray(model(rows)))


def laid_out(shape, order):
    if order == "F":
        return np.asfortranarray(numbers(shape))
    if order == "flipped":
        return numbers(shape)[(..., *(slice(None, None, -1) for _ in shape))]
    if order == "sliced":
        return numbers([s * 2 + 1 for s in shape])[(..., *(slice(0, 2 * s, 2) for s in shape))]
    if order == "repeated" and shape:
        return np.broadcast_to(numbers((*shape[:-1], 1)), shape)
    return numbers(shape)


def test_layouts_that_need_no_copy():
    def kind(shape, strides, axes):
        found = find_layout(shape, strides, axes)
        return found and found.kind

    assert kind((8, 9), (9, 1), (1,)) == "rows"
    assert kind((8, 9), (9, 1), (0,)) == "columns"
    assert kind((9, 8), (1, 9), (0,)) == "rows"
    assert kind((9, 8), (1, 9), (1,)) == "columns"
    assert kind((8, 5), (9, 1), (1,)) == "rows"
    assert kind((4, 5, 6), (30, 6, 1), (1,)) == "columns"
    assert kind((4, 5, 6), (30, 6, 1), (0, 2)) == "segments"
    assert kind((4, 5, 6, 7), (210, 42, 7, 1), (0, 2, 3)) == "segments"
    assert kind((4, 5, 6), (1, 4, 20), (1,)) is None
    assert kind((4, 5, 6, 7), (210, 42, 7, 1), (0, 2)) is None


def test_rows_do_not_depend_on_their_neighbours(run, same_bits):
    x = numbers((50, 777))
    whole = run("sum", [x], [((50,), "float32")], dim=(1,))[0]
    for k in (0, 17, 49):
        alone = run("sum", [x[k : k + 1].copy()], [((1,), "float32")], dim=(1,))[0]
        assert same_bits(alone, whole[k : k + 1])


def test_plan_splits_long_rows(run, model, same_bits):
    x = numbers(1_000_003)
    got = run("sum", [x], [((), "float32")], threads=8, dim=(0,))[0]
    assert same_bits(got, np.asarray(model(x)))


def test_float64_is_accurate(run):
    x = numbers((3, 30_000), "float64")
    exact = np.array([float(np.sum(row.astype(np.longdouble))) for row in x])
    got = run("sum", [x], [((3,), "float64")], dim=(1,))[0]
    np.testing.assert_allclose(got, exact, rtol=1e-13)


@pytest.mark.parametrize("op", ["max", "min"])
def test_nan_and_infinities(run, op):
    for n in (1, 5, 33, 5000):
        for place in {0, n // 2, n - 1}:
            x = numbers((2, n))
            x[0, place] = np.nan
            for array, dim in ((x, (1,)), (np.ascontiguousarray(x.T), (0,))):
                got = run(op, [array], [((2,), "float32")], dim=dim)[0]
                assert np.isnan(got[0]) and got[1] == getattr(np, op)(x[1])
    x = np.full((2, 40), -np.inf, np.float32)
    assert (run(op, [x], [((2,), "float32")], dim=(1,))[0] == -np.inf).all()


def test_negative_zero_sums_to_zero(run):
    x = np.full((3, 40), -0.0, np.float32)
    for dim in ((0,), (1,)):
        got = run("sum", [x], [(reduced_shape(x.shape, dim), "float32")], dim=dim)[0]
        assert not np.signbit(got).any()


@pytest.mark.parametrize("op", ["any", "all"])
@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int32", "int64", "float32", "float64", "float16"]
)
def test_logical(run, op, dtype):
    random = np.random.default_rng(3)
    reference = getattr(np, op)
    for shape in ((4, 0), (4, 1), (4, 33), (4, 5000)):
        for density in (0.0, 0.5, 1.0):
            x = (random.uniform(size=shape) < density).astype(dtype)
            for dim in ((0,), (1,), (0, 1)):
                out = reduced_shape(shape, dim)
                got = run(op, [x], [(out, "bool")], dim=dim)[0]
                assert np.array_equal(got, reference(x, axis=dim))
    assert run("any", [np.array([-0.0], np.float32)], [((), "bool")], dim=(0,))[0] == False  # noqa: E712
    assert run("any", [np.array([np.nan], np.float32)], [((), "bool")], dim=(0,))[0] == True  # noqa: E712


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64"])
def test_whole_numbers(run, dtype):
    random = np.random.default_rng(4)
    high = 2 if dtype == "bool" else 100
    x = random.integers(0 if dtype in ("bool", "uint8") else -100, high, (5, 4500)).astype(dtype)
    for dim in ((0,), (1,), (0, 1)):
        out = reduced_shape(x.shape, dim)
        assert np.array_equal(run("sum", [x], [(out, "int64")], dim=dim)[0], x.sum(dim, np.int64))
        for op in ("max", "min"):
            got = run(op, [x], [(out, dtype)], dim=dim)[0]
            assert np.array_equal(got, getattr(np, op)(x, axis=dim))


def test_unsigned_large_values(run):
    x = np.array([[200, 3, 255], [0, 1, 128]], np.uint8)
    assert run("max", [x], [((2,), "uint8")], dim=(1,))[0].tolist() == [255, 128]
    assert run("min", [x], [((2,), "uint8")], dim=(1,))[0].tolist() == [3, 0]


def test_halves_are_summed_in_float32(run, model):
    x = numbers((3, 5000)).astype(np.float16)
    got = run("sum", [x], [((3,), "float16")], dim=(1,))[0]
    with np.errstate(over="ignore"):
        assert np.array_equal(got, model(x.astype(np.float32)).astype(np.float16))


@pytest.mark.parametrize("correction", [0, 1, 2.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_mean_and_variance(run, model, same_bits, dtype, correction):
    for shape, dim in (
        ((3, 100), (1,)),
        ((100, 3), (0,)),
        ((5, 3, 7, 9), (0, 2, 3)),
        ((1, 3), (0,)),
        ((20, 10), (1,)),
        ((9, 32), (1,)),
    ):
        x = numbers(shape, dtype)
        kept = [axis for axis in range(x.ndim) if axis not in dim]
        rows = np.ascontiguousarray(x.transpose(*kept, *dim)).reshape(
            -1, prod(shape[axis] for axis in dim)
        )
        n = rows.shape[1]
        one = np.dtype(dtype).type
        with np.errstate(all="ignore"):
            mean = model(rows) / one(n)
            apart = rows - mean[:, None]
            want = model(apart * apart) / one(max(0.0, n - correction))
        for chunks in (1, 3):
            outs = [((len(rows),), dtype)] * 2
            var, average = run("var_mean", [x], outs, chunks, dim=dim, correction=correction)
            assert same_bits(average, mean)
            assert same_bits(var, want)
            alone = run("var", [x], outs[:1], chunks, dim=dim, correction=correction)[0]
            assert same_bits(alone, want)
            assert same_bits(run("mean", [x], outs[:1], chunks, dim=dim)[0], mean)


def test_mean_of_nothing(run):
    x = np.zeros((3, 0), np.float32)
    assert np.isnan(run("mean", [x], [((3,), "float32")], dim=(1,))[0]).all()
    assert np.isnan(run("var", [x], [((3,), "float32")], dim=(1,), correction=1)[0]).all()


def test_agrees_with_torch(run):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(5).standard_normal((6, 50, 40)).astype(np.float32)
    for dim in ((0,), (1,), (2,), (0, 2)):
        out = [(reduced_shape(x.shape, dim), "float32")]
        want = torch.from_numpy(x).var(dim, correction=1).numpy()
        np.testing.assert_allclose(run("var", [x], out, dim=dim, correction=1)[0], want, rtol=1e-5)
        want = torch.from_numpy(x).sum(dim).numpy()
        np.testing.assert_allclose(run("sum", [x], out, dim=dim)[0], want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("inner", [1, 3, 8, 17, 100, 1500])
def test_few_rows_have_the_bits_of_the_same_numbers_along_a_row(dtype, inner):
    for n in range(1, 11):
        x = numbers((3, n, inner), dtype)
        x[0, :, 0] = -0.0
        down = twofold.tensor(x)
        along = twofold.tensor(np.ascontiguousarray(x.transpose(0, 2, 1)))
        for op in ("sum", "prod", "amax", "mean", "var"):
            if dtype == "int64" and op in ("mean", "var"):
                continue
            made, wanted = getattr(down, op)(1), getattr(along, op)(2)
            assert made.numpy().tobytes() == wanted.numpy().tobytes(), (op, n)
