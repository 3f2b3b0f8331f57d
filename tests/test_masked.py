"""Masked reductions: those of the elements that a mask names, row by row in NumPy."""

import numpy as np
import pytest

import twofold as T
from twofold import masked

R = np.random.default_rng(3)
X = R.normal(size=(4, 5))
MASK = R.random((4, 5)) < 0.5
MASK[:, 0] = True  # an element in each row at least
ROWS = [x[m] for x, m in zip(X, MASK, strict=True)]
REDUCTIONS = {
    "sum": np.sum,
    "prod": np.prod,
    "amax": np.max,
    "amin": np.min,
    "mean": np.mean,
    "median": lambda x: np.sort(x)[(len(x) - 1) // 2],
    "logsumexp": lambda x: np.log(np.exp(x).sum()),
    "norm": np.linalg.norm,
    "var": lambda x: np.var(x, ddof=1) if len(x) > 1 else np.nan,
    "std": lambda x: np.std(x, ddof=1) if len(x) > 1 else np.nan,
}


def tensors():
    return T.from_numpy(X.copy()), T.from_numpy(MASK)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_is_that_of_the_elements_named(name):
    x, mask = tensors()
    wanted = np.array([REDUCTIONS[name](row) for row in ROWS])
    made = getattr(masked, name)(x, dim=1, mask=mask)
    np.testing.assert_allclose(made.numpy(), wanted, 1e-12)
    kept = T.compile(lambda x, m: getattr(masked, name)(x, dim=1, mask=m, keepdim=True))(x, mask)
    np.testing.assert_array_equal(kept.numpy()[:, 0], made.numpy())


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "logsumexp", "norm", "std"])
def test_nothing_flows_to_what_is_left_out(name):
    x, mask = tensors()
    x.requires_grad_()
    made = getattr(masked, name)(x, dim=1, mask=mask)
    by = T.autograd.grad(made[MASK.sum(1) > 1].sum(), x)[0].numpy()
    assert (by[~MASK] == 0).all() and (by[MASK.sum(1) > 1][:, 0] != 0).all()


@pytest.mark.parametrize("name, sign", [("softmax", 1), ("softmin", -1), ("log_softmax", 1)])
def test_shares_are_of_the_elements_named(name, sign):
    x, mask = tensors()
    made = getattr(masked, name)(x, 1, mask=mask).numpy()
    made = np.exp(made) if name == "log_softmax" else made
    for row, values, there in zip(made, ROWS, MASK, strict=True):
        weights = np.exp(sign * values)
        np.testing.assert_allclose(row[there], weights / weights.sum(), 1e-12)
        assert (row[~there] == 0).all()


def test_places_and_runs():
    x, mask = tensors()
    wide = np.where(MASK, X, -np.inf)
    assert masked.argmax(x, 1, mask=mask).tolist() == wide.argmax(1).tolist()
    assert masked.argmin(x, 1, mask=mask).tolist() == np.where(MASK, X, np.inf).argmin(1).tolist()
    sums = np.where(MASK, X, 0).cumsum(1)
    np.testing.assert_allclose(masked.cumsum(x, 1, mask=mask).numpy(), sums, 1e-12)
    products = np.where(MASK, X, 1).cumprod(1)
    np.testing.assert_allclose(masked.cumprod(x, 1, mask=mask).numpy(), products, 1e-12)
    made = masked.normalize(x, 2.0, 1, mask=mask).numpy()
    np.testing.assert_allclose((made**2).sum(1), 1, 1e-12)
    both = masked.logaddexp(x, x, input_mask=mask)
    np.testing.assert_allclose(both.numpy(), X + MASK * np.log(2.0), 1e-12)


def test_masks_broadcast_and_are_checked():
    x, mask = tensors()
    first = T.tensor([True, False, True, False, False])
    np.testing.assert_allclose(masked.sum(x, 1, mask=first).numpy(), X[:, [0, 2]].sum(1), 1e-12)
    assert masked.sum(x).item() == x.sum().item()
    with pytest.raises(ValueError, match="does not broadcast"):
        masked.sum(x, mask=mask[:, :2])
    with pytest.raises(TypeError, match="mask is int64"):
        masked.mean(x, mask=mask.long())
    assert masked.amax(T.tensor([3, 4]), mask=T.tensor([False, False])).item() == -(2**63)
    with pytest.raises(ValueError, match="leaves nothing"):
        masked.median(T.tensor([3, 4]), mask=T.tensor([False, False]))
