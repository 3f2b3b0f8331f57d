"""Draws by rejection: the kernels give NumPy's numbers, whatever the threads and the neighbours."""

from __future__ import annotations

import numpy as np
import pytest

import twofold
from twofold.ops.bind import bind
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap

STATE = np.array([7, 1, 3], np.uint64)
NAMES = ("random_gamma", "random_poisson", "random_binomial")


def parameters(name, count, dtype=np.float64):
    """Small and large means, and what has no draw."""
    rng = np.random.default_rng(0)
    spread = 10 ** rng.uniform(-2, 4, count)
    spread[:2] = 0.0, np.nan
    if name == "random_gamma":
        return (spread.astype(dtype),)
    if name == "random_poisson":
        spread[2] = np.inf
        return (np.nan_to_num(spread, posinf=np.inf).astype(dtype),)
    chances = rng.random(count)
    chances[2:5] = 0.0, 1.0, np.nan
    return np.floor(spread).astype(dtype), chances.astype(dtype)


def drawn(name, *given):
    return bind(OPS[name], (wrap(STATE), *map(wrap, given))).numpy()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_draw_what_numpy_draws(name, dtype):
    given = parameters(name, 1003, dtype)
    with np.errstate(all="ignore"):
        wanted = OPS[name].ref(STATE, *given)
    np.testing.assert_allclose(drawn(name, *given), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_an_element_is_its_own(name):
    given = parameters(name, 20_003)
    threads = twofold.get_num_threads()
    whole = drawn(name, *given)
    twofold.set_num_threads(1)
    try:
        alone = drawn(name, *given)
    finally:
        twofold.set_num_threads(threads)
    np.testing.assert_array_equal(whole, alone)
    np.testing.assert_array_equal(drawn(name, *[x[:5] for x in given]), whole[:5])
    wide = [np.repeat(x, 2)[::2] for x in given]
    np.testing.assert_array_equal(drawn(name, *wide), whole)


@pytest.mark.parametrize("alpha", [0.05, 0.7, 1.0, 30.0])
def test_gamma_numbers_are_distributed_as_gamma(alpha):
    stats = pytest.importorskip("scipy.stats")
    (x,) = (drawn("random_gamma", np.full(100_000, alpha)),)
    assert stats.kstest(x, stats.gamma(alpha).cdf).pvalue > 1e-3


def fits(x, distribution):
    """The p-value of the chi-squared test on counts."""
    stats = pytest.importorskip("scipy.stats")
    low, high = int(x.min()), int(x.max())
    counts = np.bincount(x.astype(int) - low)
    wanted = distribution.pmf(np.arange(low, high + 1)) * x.size
    often = wanted > 20
    counts = np.append(counts[often], x.size - counts[often].sum())
    wanted = np.append(wanted[often], x.size - wanted[often].sum())
    return stats.chisquare(counts, wanted).pvalue


@pytest.mark.parametrize("rate", [0.2, 9.9, 10.0, 60.0, 3000.0])
def test_poisson_numbers_are_distributed_as_poisson(rate):
    stats = pytest.importorskip("scipy.stats")
    x = drawn("random_poisson", np.full(100_000, rate))
    assert fits(x, stats.poisson(rate)) > 1e-3


@pytest.mark.parametrize(("count", "prob"), [(10, 0.3), (40, 0.7), (1000, 0.5), (90_000, 0.01)])
def test_binomial_numbers_are_distributed_as_binomial(count, prob):
    stats = pytest.importorskip("scipy.stats")
    x = drawn("random_binomial", np.full(100_000, float(count)), np.full(100_000, prob))
    assert fits(x, stats.binom(count, prob)) > 1e-3


def test_counts_and_chances_broadcast():
    made = twofold.binomial(twofold.tensor([[9.0], [0.0]]), twofold.tensor([1.0, 0.0, 0.5]))
    assert made.shape == (2, 3)
    assert made[:, :2].tolist() == [[9.0, 0.0], [0.0, 0.0]]


def test_gamma_samples_move_as_the_distribution_function_says():
    rng = np.random.default_rng(0)
    a = 10 ** rng.uniform(-1, 3, 400)
    x = rng.gamma(a)
    a, x = a[x > 1e-3], x[x > 1e-3]
    made = bind(OPS["gamma_sample_slope"], (wrap(a), wrap(x))).numpy()
    np.testing.assert_allclose(made, OPS["gamma_sample_slope"].ref(a, x), rtol=1e-11)
    # at x + slope * h the distribution of a + h has come as far as that of a at x
    h = 1e-6 * a
    there, here = OPS["gammainc"].ref(a + h, x + made * h), OPS["gammainc"].ref(a - h, x - made * h)
    still = np.minimum(there, 1 - there)
    assert np.all(np.abs(there - here) < 1e-6 * np.maximum(still, 1e-6))


def test_samples_of_large_shapes_move_smoothly():
    a = np.array([99_999.0, 100_001.0])
    x = a + 2 * np.sqrt(a)
    below, above = bind(OPS["gamma_sample_slope"], (wrap(a), wrap(x))).numpy()
    assert abs(below - above) < 1e-7


def test_incomplete_gamma_functions_at_their_ends():
    ends = np.array([-1.0, 0.0, 1e-300, 0.5, 1.0, 3.0, 40.0, np.inf, np.nan])
    a, x = map(np.ravel, np.meshgrid(ends, ends))
    for name in ("gammainc", "gammaincc"):
        made = bind(OPS[name], (wrap(a), wrap(x))).numpy()
        np.testing.assert_allclose(made, OPS[name].ref(a, x), rtol=1e-9)
