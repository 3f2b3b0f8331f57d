"""Reductions over runs of slices, and products in groups."""

import math

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F

WAYS = ("sum", "mean", "max", "min", "prod")
RUNS = {
    "rows": ((5, 2), 0, [2, 0, 3]),
    "batches": ((2, 3, 2), 1, [[1, 2], [3, 0]]),
    "vector": ((5,), 0, [4, 1]),
}


@pytest.mark.parametrize("reduce", WAYS)
@pytest.mark.parametrize("initial", [None, 1.5])
@pytest.mark.parametrize("name", RUNS)
def test_runs_are_pytorchs(name, reduce, initial):
    torch = pytest.importorskip("torch")
    shape, axis, lengths = RUNS[name]
    numbers = np.random.default_rng(0).standard_normal(shape)
    made = []
    for T in (torch, twofold):
        x = T.tensor(numbers, requires_grad=True)
        options = {"lengths": T.tensor(lengths), "axis": axis, "initial": initial}
        y = T.segment_reduce(x, reduce, **options)
        T.nan_to_num(y, 0, 0, 0).sin().sum().backward()
        made.append((y.detach().numpy(), x.grad.numpy()))
        if axis == 0:
            offsets = T.tensor([0, *np.cumsum(lengths)])
            again = T.segment_reduce(x, reduce, offsets=offsets, initial=initial)
            np.testing.assert_array_equal(again.detach().numpy(), made[-1][0])
    for want, got in zip(*made, strict=True):
        np.testing.assert_allclose(got, want, 1e-10)


def test_runs_by_hand_and_their_mistakes():
    x = twofold.tensor([1.0, 2.0, 4.0])
    lengths = twofold.tensor([2, 0, 1])
    assert twofold.segment_reduce(x, "sum", lengths=lengths).tolist() == [3, 0, 4]
    assert twofold.segment_reduce(x, "max", lengths=lengths).tolist() == [2, -math.inf, 4]
    short = twofold.tensor([1, 1])
    assert twofold.segment_reduce(x, "mean", lengths=short, unsafe=True).tolist() == [1, 2]
    for wrong in (short, twofold.tensor([4, -1])):
        with pytest.raises(ValueError, match="segment_reduce"):
            twofold.segment_reduce(x, "sum", lengths=wrong)
    with pytest.raises(ValueError, match="reduce='median' is not known"):
        twofold.segment_reduce(x, "median", lengths=lengths)
    with pytest.raises(ValueError, match="the runs are not told"):
        twofold.segment_reduce(x, "sum")


def test_compiled_runs_are_those_of_each_call():
    f = twofold.compile(lambda x, n: twofold.segment_reduce(x, "max", lengths=n))
    for lengths in ([2, 3], [0, 5], [1, 1], [3]):
        x, n = twofold.randn(sum(lengths), 2), twofold.tensor(lengths)
        assert f(x, n).equal(twofold.segment_reduce(x, "max", lengths=n))


def test_groups_are_products_one_by_one():
    a, b = twofold.randn(6, 4), twofold.randn(3, 4, 5)
    ends = twofold.tensor([2, 2, 5])
    made = F.grouped_mm(a, b, offs=ends)
    assert made[:2].equal(a[:2] @ b[0]) and made[2:5].equal(a[2:5] @ b[2])
    assert made[5].tolist() == [0] * 5
    assert twofold.compile(lambda a, b, n: F.grouped_mm(a, b, offs=n))(a, b, ends).equal(made)
    wide = F.grouped_mm(b, twofold.eye(5), offs=twofold.tensor([1, 3, 5]))
    assert wide[:, 1:3].equal(b[1][:, 1:3])
    split = F.grouped_mm(a, a[:4], offs=twofold.tensor([1, 4]))
    assert split.shape == (2, 6, 4) and split[0].equal(a[:, :1] @ a[:1])
    assert F.grouped_mm(b, b.mT, out_dtype=twofold.float64).dtype == twofold.float64
    with pytest.raises(ValueError, match="where do the groups end"):
        F.grouped_mm(a, b)
    with pytest.raises(ValueError, match="inner sizes differ"):
        F.grouped_mm(a, b.mT, offs=ends)
