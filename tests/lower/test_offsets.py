"""Keys of every form, gather and scatter: NumPy's elements, in order, and never other memory."""

import numpy as np
import pytest

from twofold.base import dtypes
from twofold.base.errors import IndexRangeError
from twofold.lower import indexing
from twofold.ops.gather import GATHER, SCATTER
from twofold.ops.indexing import PUT, TAKE, Here, Slice
from twofold.runtime import faults

PLANNED = indexing  # importing the file registers its planners
KINDS = ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"]
FULL = Slice(None, None, None)
I = np.array([[0, -1, 2], [2, 2, 1]])
J = np.array([3, -4, 0])
KEYS = [
    ((Here(0),), (I,)),
    ((FULL, Here(0)), (I,)),
    ((Here(0), Here(1)), (I, J)),
    ((FULL, Here(0), Here(1)), (I, J)),
    ((Here(0), FULL, Here(1)), (I, J)),
    ((Here(0), Ellipsis, Here(1)), (I, J)),
    ((Here(0), Here(1), Ellipsis, None), (I, J)),
    ((Slice(None, None, -1), Here(0), Slice(1, 4, 2)), (J,)),
    ((Here(0), None, Slice(0, 2, None)), (I,)),
    ((1, Here(0)), (J,)),
    ((1, FULL, Here(0)), (J,)),
    ((Here(0), 2), (I,)),
    ((Here(0), Here(1), Here(2)), (I, J, I[:, :1])),
    ((Here(0), Here(1), Here(2), Ellipsis), (J, J, J)),
]
LAYOUTS = (lambda x: x, np.asfortranarray, lambda x: x[::-1, :, ::-1])


def numbers(shape, kind, seed=0):
    x = np.random.default_rng(seed).integers(0, 50, shape)
    return (x % 2 if kind == "bool" else x).astype(kind)


def same(got, want):
    assert got.shape == want.shape and got.dtype == want.dtype
    assert got.tobytes() == np.ascontiguousarray(want).tobytes()


@pytest.fixture(autouse=True)
def _no_faults():
    faults.clear()
    yield
    assert not faults.pending()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("key", "indices"), KEYS)
def test_keys_of_every_form_are_read(run, key, indices, kind):
    base = numbers((4, 4, 5), kind)
    for layout in LAYOUTS:
        x = layout(base)
        want = TAKE.ref(x, *indices, key=key)
        for chunks in (0, 1, 3):
            (got,) = run("take", [x, *indices], [(want.shape, kind)], chunks, key=key)
            same(got, want)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("key", "indices"), KEYS)
def test_keys_of_every_form_are_written_in_order(run, key, indices, kind, add):
    base = numbers((4, 4, 5), kind)
    shape = TAKE.ref(base, *indices, key=key).shape
    values = numbers(shape, kind, 1)
    attrs = {"key": key, "accumulate": add}
    for layout in LAYOUTS:
        x = layout(base)
        for given in (values, values[:1], values.reshape(-1)[0]):
            given = np.asarray(given)
            want = PUT.ref(np.array(x, order="C"), given, *indices, **attrs)
            for chunks in (0, 1, 3):
                (got,) = run("index_put", [x, given, *indices], [(x.shape, kind)], chunks, **attrs)
                same(got, want)


@pytest.mark.parametrize("index_kind", ["int64", "int32", "uint8"])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_gather_and_scatter_along_an_axis(run, dim, index_kind):
    base = numbers((5, 4, 6), "float32")
    shape = [3, 4, 5]
    shape[dim] = 7
    index = np.random.default_rng(0).integers(0, base.shape[dim], shape).astype(index_kind)
    source = numbers((7, 7, 7), "float32", 1)
    for layout in LAYOUTS:
        x, places, values = layout(base), layout(index), layout(source)
        want = GATHER.ref(x, places, dim=dim)
        for chunks in (0, 1, 3):
            (got,) = run("gather", [x, places], [(index.shape, "float32")], chunks, dim=dim)
            same(got, want)
            for how in ("", "sum", "prod", "amax", "amin"):
                attrs = {"dim": dim, "reduce": how}
                plain = [np.array(a, order="C") for a in (x, places, values)]
                right = SCATTER.ref(*plain, **attrs)
                (got,) = run(
                    "scatter", [x, places, values], [(x.shape, "float32")], chunks, **attrs
                )
                same(got, right)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["", "sum", "prod", "amax", "amin"])
def test_scatter_in_every_type(run, kind, how):
    x, source = numbers((6, 5), kind), numbers((6, 9), kind, 1)
    index = np.random.default_rng(0).integers(0, 5, (6, 9))
    attrs = {"dim": 1, "reduce": how}
    wide = "float32" if kind == "float16" and how else kind
    if how == "prod" and kind != "bool":  # nothing overflows
        source = source % 2 + source.dtype.type(1)
    want = SCATTER.ref(x.astype(wide), index, source.astype(wide), **attrs).astype(kind)
    (got,) = run("scatter", [x, index, source], [(x.shape, kind)], **attrs)
    same(got, want)


def test_repeated_places_are_added_in_order(run):
    """Float sums whose value tells the order."""
    values = np.array([1e8, 1.0, -1e8, 1.0, 3.0, 1e8, -1e8, 2.0], np.float32)
    index = np.zeros(8, np.int64)
    want = np.float32(0)
    for value in values:
        want = np.float32(want + value)
    x = np.zeros((1,), np.float32)
    (got,) = run(
        "index_put", [x, values, index], [((1,), "float32")], key=(Here(0),), accumulate=True
    )
    assert got[0] == want
    (got,) = run("scatter", [x, index, values], [((1,), "float32")], dim=0, reduce="sum")
    assert got[0] == want


@pytest.mark.parametrize("bad", [4, -5, 2**40, -(2**62)])
def test_an_index_out_of_range_is_noted_and_touches_nothing(run, bad):
    x = numbers((4, 4, 5), "float32")
    wrong = np.array([1, bad, 2])
    for key in ((Here(0),), (FULL, Here(0)), (FULL, Here(0), Slice(0, 5, 2))):
        shape = TAKE.ref(x, np.array([1, 0, 2]), key=key).shape
        run("take", [x, wrong], [(shape, "float32")], key=key)
        with pytest.raises(IndexRangeError, match=f"take: index {bad} is out of range"):
            faults.check("take")
        values = numbers(shape, "float32")
        for add in (False, True):
            attrs = {"key": key, "accumulate": add}
            run("index_put", [x, values, wrong], [(x.shape, "float32")], **attrs)
            with pytest.raises(IndexRangeError, match="-4 to 3"):
                faults.check("index_put")


def test_gather_takes_no_negative_index(run):
    x = numbers((3, 4), "float32")
    index = np.array([[0, -1]])
    run("gather", [x, index], [((1, 2), "float32")], dim=1)
    with pytest.raises(IndexRangeError, match="0 to 3"):
        faults.check("gather")
    run("scatter", [x, index, x], [(x.shape, "float32")], dim=1, reduce="sum")
    with pytest.raises(IndexRangeError, match="0 to 3"):
        faults.check("scatter")


def test_nothing_is_read_of_an_axis_of_no_elements(run):
    x = np.zeros((0, 3), np.float32)
    (got,) = run("take", [x, np.array([0, 1])], [((2, 3), "float32")], key=(Here(0),))
    assert (got == 0).all()
    with pytest.raises(IndexRangeError, match="the axis has size 0"):
        faults.check("take")


def test_the_first_fault_is_kept(run):
    x = numbers((4,), "float32")
    run("take", [x, np.array([7])], [((1,), "float32")], key=(Here(0),))
    run("take", [x, np.array([9])], [((1,), "float32")], key=(Here(0),))
    with pytest.raises(IndexRangeError, match="index 7"):
        faults.check("take")


def test_halves_are_added_in_float32(run):
    x = np.zeros((1,), np.float16)
    values = np.full(4096, 1.0, np.float16)  # in float16, 2048 + 1 is 2048
    index = np.zeros(4096, np.int64)
    (got,) = run("scatter", [x, index, values], [((1,), "float16")], dim=0, reduce="sum")
    assert got[0] == 4096
    assert dtypes.of(got.dtype) is dtypes.float16
