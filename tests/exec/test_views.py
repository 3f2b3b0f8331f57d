"""Layouts of views by arithmetic are those that NumPy tells."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold.base import dtypes
from twofold.exec.layouts import RULES, stood_in, view_of
from twofold.lower.schedule import Arg
from twofold.ops.indexing import VIEW, Slice
from twofold.ops.movement import EXPAND, PERMUTE, RESHAPE, viewable
from twofold.ops.splitting import SPLIT

sizes = st.integers(1, 4)
strides = st.integers(-3, 60)
bounds = st.none() | st.integers(-5, 5)
parts = st.one_of(
    st.integers(-4, 3), st.builds(Slice, bounds, bounds, st.sampled_from([None, 1, 2, 3, -1]))
)


@st.composite
def args(draw):
    shape = tuple(draw(st.lists(sizes, max_size=4)))
    return Arg(shape, dtypes.float32, tuple(draw(strides) for _ in shape))


def same(op, arg, count=1, **keywords):
    kinds = [dtypes.float32] * count
    assert view_of(op, arg, keywords, kinds) == stood_in(op, arg, keywords, kinds)


@settings(deadline=None, max_examples=200)
@given(args(), st.data())
def test_permutations(arg, data):
    same(PERMUTE, arg, dims=tuple(data.draw(st.permutations(range(len(arg.shape))))))


@settings(deadline=None, max_examples=200)
@given(args(), st.data())
def test_repetitions(arg, data):
    more = tuple(data.draw(st.lists(st.integers(1, 3), max_size=2)))
    grown = tuple(data.draw(st.integers(0, 3)) if n == 1 else n for n in arg.shape)
    same(EXPAND, arg, shape=(*more, *grown))


@settings(deadline=None, max_examples=400)
@given(args(), st.data())
def test_keys(arg, data):
    key = tuple(
        data.draw(st.integers(-size, size - 1) if data.draw(st.booleans()) else parts)
        for size in arg.shape[: data.draw(st.integers(0, len(arg.shape)))]
    )
    if any(type(k) is int and not -n <= k < n for k, n in zip(key, arg.shape, strict=False)):
        with pytest.raises(IndexError):
            view_of(VIEW, arg, {"key": key}, [dtypes.float32])
        return
    parted = [*key]
    for more in data.draw(st.lists(st.just(None), max_size=3)):
        parted.insert(data.draw(st.integers(0, len(parted))), more)
    if data.draw(st.booleans()):
        parted.insert(data.draw(st.integers(0, len(parted))), Ellipsis)
    try:
        wanted = stood_in(VIEW, arg, {"key": tuple(parted)}, [dtypes.float32])
    except IndexError:  # what stands behind the dots is of the last axes
        assert Ellipsis in parted
        assert RULES["index"](arg, key=tuple(parted)) is None
    else:
        assert view_of(VIEW, arg, {"key": tuple(parted)}, [dtypes.float32]) == wanted


@settings(deadline=None, max_examples=200)
@given(args(), st.data())
def test_parts(arg, data):
    if not arg.shape:
        return
    dim = data.draw(st.integers(0, len(arg.shape) - 1))
    edges = sorted(data.draw(st.lists(st.integers(0, arg.shape[dim]), max_size=3)))
    sizes = tuple(b - a for a, b in pairwise((0, *edges, arg.shape[dim])))
    same(SPLIT, arg, len(sizes), dim=dim, sizes=sizes)


@settings(deadline=None, max_examples=600)
@given(st.lists(sizes, max_size=4), st.data())
def test_other_shapes(shape, data):
    """Arrays that are a part of another one, or turned, seen in shapes that take no copy."""
    cut = np.empty([n + data.draw(st.integers(0, 1)) for n in shape], np.float32)
    part = cut[tuple(slice(n) for n in shape)]
    if data.draw(st.booleans()):
        part = part.transpose(data.draw(st.permutations(range(len(shape)))))
    arg = Arg(part.shape, dtypes.float32, tuple(s // 4 for s in part.strides))
    wanted, left = [], part.size
    while left > 1:
        wanted.append(data.draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= wanted[-1]
        if len(wanted) > 6:
            return
    wanted += [1] * data.draw(st.integers(0, 2))
    if viewable(arg.shape, arg.strides, wanted):
        same(RESHAPE, arg, shape=tuple(wanted))


def test_other_keys_are_asked_of_numpy():
    arg = Arg((3, 4), dtypes.float32, (4, 1))
    asked = []
    op = SimpleNamespace(name="index", ref=lambda x, *, key: asked.append(key) or x[key])
    for key in [(Slice(None, None, -1),), (Slice(0, 0, 1),)]:
        assert RULES["index"](arg, key=key) is None
        view_of(op, arg, {"key": tuple(slice(*k) for k in key)}, [dtypes.float32])
    assert len(asked) == 2
    assert view_of(op, arg, {"key": (np.int64(1),)}, [dtypes.float32])[0][0] == 16
