"""Sorting, medians and searching: NumPy's stable order, NaN last, in every element type."""

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.lower import search, sort

PLANNED = (search, sort)  # importing a file registers its planners

KINDS = ["bool", "uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float16"]
KINDS += ["float32", "float64"]
SIZES = [0, 1, 2, 3, 23, 24, 25, 26, 100, 1000]


def numbers(shape, kind, seed=0):
    random = np.random.default_rng(seed)
    if kind == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if "int" in kind:
        info = np.iinfo(kind)
        x = random.integers(info.min, info.max, shape, kind, endpoint=True)
        x.flat[:: max(x.size // 5, 1)] = info.min
        x.flat[1 :: max(x.size // 4, 1)] = info.max
        return x
    x = np.round(random.normal(size=shape) * 20) / 4
    x.flat[:: max(x.size // 7, 1)] = np.nan
    x.flat[1 :: max(x.size // 6, 1)] = -0.0
    x.flat[2 :: max(x.size // 6, 1)] = 0.0
    x.flat[3 :: max(x.size // 9, 1)] = np.inf
    x.flat[4 :: max(x.size // 9, 1)] = -np.inf
    return x.astype(kind)


def order_of(x, axis, descending):
    if not descending:
        return np.argsort(x, axis, kind="stable")
    flipped = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
    return x.shape[axis] - 1 - flipped


def same(got, want):
    assert got.dtype == want.dtype and got.tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_in_stable_order(run, kind, descending):
    for n in SIZES:
        x = numbers((5, n), kind, n)
        order = order_of(x, 1, descending)
        outs = [((5, n), kind), ((5, n), "int64")]
        for chunks in (0, 1, 3):
            values, places = run("sort", [x], outs, chunks, dim=1, descending=descending)
            assert (places == order).all(), n
            same(values, np.take_along_axis(x, order, 1))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_and_layout(run, axis):
    base = numbers((7, 30, 6), "float32")
    for x in (base, base[::-1, ::2], base.transpose(1, 2, 0)):
        order = order_of(x, axis, False)
        outs = [(x.shape, "float32"), (x.shape, "int64")]
        values, places = run("sort", [x], outs, dim=axis, descending=False)
        assert (places == order).all()
        same(values, np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("kind", ["uint8", "int64", "float32", "float64"])
def test_the_first_of_the_order(run, kind, largest):
    x = numbers((6, 40), kind)
    for axis, k in ((1, 1), (1, 7), (0, 6), (1, 0)):
        order = np.take(order_of(x, axis, largest), range(k), axis)
        outs = [(order.shape, kind), (order.shape, "int64")]
        values, places = run("topk", [x], outs, dim=axis, k=k, largest=largest)
        assert (places == order).all()
        same(values, np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("kind", ["bool", "int32", "float32", "float64"])
def test_medians(run, kind):
    for n in (1, 2, 25, 26):
        x = numbers((4, n, 3), kind, n)
        rows = x.transpose(0, 2, 1).reshape(12, n)
        order = np.argsort(rows, 1, kind="stable")
        ordered = np.take_along_axis(rows, order, 1)
        nan = ordered != ordered
        count = n - nan.sum(1)
        pick = np.where(count == n, (n - 1) // 2, np.minimum(count, n - 1))[:, None]
        attrs = {"dim": (1,), "keepdim": False}
        (places,) = run("median_place", [x], [((4, 3), "int64")], **attrs)
        assert (places.ravel() == np.take_along_axis(order, pick, 1)[:, 0]).all()
        (values,) = run("median", [x], [((4, 3), kind)], **attrs)
        same(values.ravel(), np.take_along_axis(ordered, pick, 1)[:, 0])
        (values,) = run("nanmedian", [x], [((4, 3), kind)], **attrs)
        pick = np.maximum((count - 1) // 2, 0)[:, None]
        same(values.ravel(), np.take_along_axis(ordered, pick, 1)[:, 0])


@pytest.mark.parametrize("out", ["int64", "int32"])
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_searching(run, kind, right, out):
    side = "right" if right else "left"
    attrs = {"right": right, "dtype": dtypes.by_name(out)}
    for n in (0, 1, 50):
        row, values = np.sort(numbers((n,), kind)), numbers((4, 15), kind, 1)
        (got,) = run("searchsorted", [row, values], [((4, 15), out)], **attrs)
        assert (got == np.searchsorted(row, values, side)).all()
    rows, values = np.sort(numbers((4, 9), kind), 1), numbers((4, 15), kind, 1)
    (got,) = run("searchsorted", [rows, values[:, ::-1]], [((4, 15), out)], **attrs)
    want = [np.searchsorted(r, v, side) for r, v in zip(rows, values[:, ::-1], strict=True)]
    assert (got == np.array(want)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_members(run, kind):
    x, values = numbers((9, 7), kind), numbers((2, 3), kind, 1)
    for given in (values, values[:, :0], x[:3]):
        for invert in (False, True):
            (got,) = run("isin", [x, given], [((9, 7), "bool")], invert=invert)
            assert (got == np.isin(x, given, invert=invert)).all()
