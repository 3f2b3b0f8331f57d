"""Matrices, tails, divergences between kinds, constraints and the transforms that lead to them."""

import itertools
import math

import numpy as np
import pytest

import twofold
from twofold import distributions as D
from twofold.base.errors import ArgumentError, ShapeError
from twofold.distributions import constraints as C
from twofold.distributions.kl_mixed import DENSITIES, MOMENTS, known


def number(value, **options):
    return twofold.tensor(value, dtype=twofold.float64, **options)


@pytest.mark.parametrize("given", ["covariance_matrix", "precision_matrix"])
def test_a_sample_leaves_the_gradient_of_what_is_derived(given):
    """sample() records nothing, and is the first to ask for the factor that log_prob takes."""
    found = []
    for first in (False, True):
        matrix = number([[2.0, 0.5], [0.5, 1.0]], requires_grad=True)
        d = D.MultivariateNormal(number([0.0, 1.0]), **{given: matrix})
        if first:
            d.sample()
        d.log_prob(number([0.3, 0.2])).backward()
        found.append(matrix.grad)
    assert found[0].abs().sum() > 0 and (found[0] == found[1]).all()
    logits = number([0.3, -1.0], requires_grad=True)
    relaxed = D.RelaxedBernoulli(number(0.5), logits=logits)
    relaxed.sample()
    relaxed.rsample((3,)).sum().backward()
    assert (logits.grad != 0).all()


PARTS = {  # one of each kind, and where its density is integrated
    "Beta": (D.Beta(number(2.5), number(1.5)), (0, 1)),
    "Gamma": (D.Gamma(number(2.5), number(1.5)), (0, 40)),
    "Exponential": (D.Exponential(number(1.3)), (0, 40)),
    "Gumbel": (D.Gumbel(number(0.3), number(0.8)), (-10, 40)),
    "Laplace": (D.Laplace(number(0.2), number(0.7)), (-30, 30)),
    "Normal": (D.Normal(number(0.4), number(0.6)), (-10, 10)),
    "Uniform": (D.Uniform(number(0.25), number(0.75)), (0.25, 0.75)),
    "Pareto": (D.Pareto(number(0.5), number(6.0)), (0.5, 60)),
    "ContinuousBernoulli": (D.ContinuousBernoulli(number(0.3)), (0, 1)),
}
PAIRS = [
    (a, b)
    for a, b in itertools.product(PARTS, PARTS)
    if known(getattr(D, a), getattr(D, b)) and a != b
]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_divergences_are_the_integrals_that_they_stand_for(a, b):
    p, (low, high) = PARTS[a]
    q = PARTS[b][0]
    x = number(low) + (high - low) * (twofold.arange(400_000).double() + 0.5) / 400_000
    inside = q.support.check(x)
    density = p.log_prob(x).exp()
    got = D.kl_divergence(p, q).item()
    if (density * ~inside).max() > 1e-9:
        assert got == math.inf
        return
    rest = p.log_prob(x) - q.log_prob(x.where(inside, x[len(x) // 2]))
    want = ((density * rest).where(density > 0, 0.0).sum() * (high - low) / len(x)).item()
    assert got == pytest.approx(want, rel=2e-3, abs=2e-3)


def test_divergences_are_infinite_where_something_cannot_be():
    one = number(1.0)
    for p, q in (
        (D.Uniform(-one, one), D.Exponential(one)),
        (D.Uniform(one, 3 * one), D.Uniform(one, 2 * one)),
        (D.Beta(one, one), D.Uniform(one / 4, one / 2)),
        (D.Pareto(one, one), D.Normal(one, one)),
        (D.Poisson(one), D.Bernoulli(one / 2)),
    ):
        assert D.kl_divergence(p, q).item() == math.inf
    assert len(MOMENTS) == len(DENSITIES) == len(PARTS)


TO = {
    "real": C.real,
    "vector": C.real_vector,
    "positive": C.positive,
    "above": C.greater_than_eq(1.5),
    "below": C.less_than(2.0),
    "unit": C.unit_interval,
    "interval": C.interval(-1.0, 2.0),
    "half_open": C.half_open_interval(1.0, 3.0),
    "simplex": C.simplex,
    "corr": C.corr_cholesky,
    "pairs": C.independent(C.positive, 1),
    "cat": C.cat([C.positive, C.real], 1, [2, 4]),
    "stack": C.stack([C.positive] * 3 + [C.unit_interval] * 3, 1),
}


@pytest.mark.parametrize("name", TO)
@pytest.mark.parametrize("registry", [D.biject_to, D.transform_to])
def test_transforms_lead_to_their_constraint_and_back(name, registry):
    constraint, transform = TO[name], registry(TO[name])
    x = number(np.random.default_rng(0).normal(size=(3, 6)))
    y = transform(x)
    assert constraint.check(y).all()
    again = transform(transform.inv(y))
    np.testing.assert_allclose(again, y, 1e-7, 1e-9)
    if name in ("real", "positive", "interval"):
        slope = transform.log_abs_det_jacobian(x, y)
        step = (transform(x + 1e-6) - transform(x - 1e-6)) / 2e-6
        np.testing.assert_allclose(slope, step.abs().log(), 1e-6, 1e-6)


def test_the_volume_of_correlations():
    """log |d y / d x| of the numbers below the diagonal against finite differences."""
    transform, x = D.CorrCholeskyTransform(), number([0.3, -0.8, 0.5, 0.1, 0.9, -0.4])
    rows, columns = np.tril_indices(4, -1)
    base = np.asarray(transform(x))
    assert transform.forward_shape((6,)) == (4, 4) and transform.inverse_shape((4, 4)) == (6,)
    jacobian = np.zeros((6, 6))
    for i in range(6):
        step = np.zeros(6)
        step[i] = 1e-6
        moved = np.asarray(transform(x + number(step))) - np.asarray(transform(x - number(step)))
        jacobian[:, i] = moved[rows, columns] / 2e-6
    want = np.log(abs(np.linalg.det(jacobian)))
    got = transform.log_abs_det_jacobian(x, number(base)).item()
    assert got == pytest.approx(want, abs=1e-6)
    with pytest.raises(ShapeError, match="do not fill a triangle"):
        transform(number([1.0, 2.0]))


def test_matrices_that_are_no_members():
    bad = number([[1.0, 0.2], [0.2, 1.0]])
    assert not C.corr_cholesky.check(bad) and C.positive_definite.check(bad)
    assert C.symmetric.check(bad) and C.square.check(bad) and not C.lower_triangular.check(bad)
    assert not C.square.check(number([[1.0, 2.0]])) and not C.symmetric.check(number([[1.0, 2.0]]))
    assert C.positive_semidefinite.check(number([[0.0, 0.0], [0.0, 1.0]]))
    mixed = C.MixtureSameFamilyConstraint(C.interval(number([0.0, 1.0]), number([3.0, 4.0])))
    assert mixed.check(number([0.5, 2.0, 3.5])).tolist() == [False, True, False]
    assert str(C.real_vector) == "IndependentConstraint(Real(), 1)"
    with pytest.raises(NotImplementedError, match="no transform"):
        D.biject_to(C.boolean)


def test_samples_of_matrices():
    twofold.manual_seed(0)
    v = number([[1.5, 0.4], [0.4, 0.8]])
    wishart = D.Wishart(number(5.0), covariance_matrix=v)
    x = wishart.sample((4000,))
    assert x.shape == (4000, 2, 2) and C.positive_definite.check(x).all()
    np.testing.assert_allclose(x.mean(0), wishart.mean, 0.1)
    np.testing.assert_allclose(x.var(0), wishart.variance, 0.2)
    surprise = -wishart.log_prob(x).mean().item()
    assert surprise == pytest.approx(wishart.entropy().item(), abs=0.1)
    lower = D.LKJCholesky(3, number([0.5, 4.0])).sample((2000,))
    assert lower.shape == (2000, 2, 3, 3) and C.corr_cholesky.check(lower).all()
    spread = (lower @ lower.mT)[..., 2, 0].var(0)  # of r: 1 / (2 concentration + 2)
    np.testing.assert_allclose(spread, [1 / 3, 1 / 10], 0.15)


def test_the_tail_is_its_own_inverse():
    d = D.GeneralizedPareto(number(1.0), number(0.5), number([-0.4, 0.0, 0.3]))
    u = number([[0.1], [0.5], [0.9]])
    np.testing.assert_allclose(d.cdf(d.icdf(u)), u.expand(3, 3), 1e-12)
    x = d.icdf(u)
    slope = (d.cdf(x + 1e-6) - d.cdf(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(d.log_prob(x), slope.log(), 1e-6, 1e-8)
    assert d.support.upper_bound.tolist() == [2.25, math.inf, math.inf]


def test_what_cannot_be():
    with pytest.raises(ArgumentError, match="dim = 1"):
        D.LKJCholesky(1)
    with pytest.raises(ArgumentError, match="2 matrices are given"):
        D.Wishart(3.0, number([[1.0]]), number([[1.0]]))
    with pytest.raises(ArgumentError, match="df = "):
        D.Wishart(number(0.5), number([[1.0, 0.0], [0.0, 1.0]]))


def test_densities_as_in_pytorch():
    torch = pytest.importorskip("torch", reason="the answers come from PyTorch")
    r = np.random.default_rng(1)
    a = r.normal(size=(2, 3, 3))
    v = a @ a.transpose(0, 2, 1) + 3 * np.eye(3)
    for name in ("covariance_matrix", "precision_matrix", "scale_tril"):
        given = np.linalg.cholesky(v) if name == "scale_tril" else v
        theirs = torch.distributions.Wishart(
            torch.tensor([4.0, 5.0]), **{name: torch.tensor(given)}
        )
        ours = D.Wishart(number([4.0, 5.0]), **{name: number(given)})
        np.testing.assert_allclose(ours.log_prob(number(v)), theirs.log_prob(torch.tensor(v)), 1e-6)
        np.testing.assert_allclose(ours.entropy(), theirs.entropy(), 1e-6)
        np.testing.assert_allclose(ours.mode, theirs.mode, 1e-6)
    theirs = torch.distributions.LKJCholesky(3, torch.tensor([0.7, 2.0]).double())
    x = theirs.sample()
    ours = D.LKJCholesky(3, number([0.7, 2.0])).log_prob(number(x.numpy()))
    np.testing.assert_allclose(ours, theirs.log_prob(x), 1e-5)
