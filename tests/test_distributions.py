"""Distributions: densities, moments, entropies, divergences and gradients, against PyTorch; samples
against the moments.
"""

import numpy as np
import pytest
import twins
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold import distributions as D
from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.bind import bind
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap

# Distributions and values of their supports; G a second set of positive numbers.
SETUP = "D = T.distributions; G = g.flip(0); R = g / g.sum(-1, keepdim=True); "
SETUP += "N = D.Normal(f, g); M = (q + 3 * T.eye(4)); K = M @ M.mT + T.eye(4); Z = M.tril(); "
MADE = {
    "D.Normal(f, g)": "v",
    "D.Normal(0.5, 2.0)": "f",
    "D.HalfNormal(g)": "G",
    "D.Uniform(f, f + g)": "f + g * 0.3",
    "D.Exponential(g)": "G",
    "D.Laplace(f, g)": "v",
    "D.Cauchy(f, g)": "v",
    "D.Gumbel(f, g)": "v",
    "D.LogNormal(f, g)": "G",
    "D.Gamma(g, G)": "p",
    "D.Gamma(2.0, 3.0)": "g",
    "D.Chi2(g)": "p",
    "D.Beta(g, G)": "p",
    "D.Dirichlet(g)": "R",
    "D.StudentT(g * 5, f, G)": "v",
    "D.StudentT(3.0)": "f",
    "D.Bernoulli(p)": "b.float()",
    "D.Bernoulli(logits=f)": "c.float()",
    "D.Geometric(p)": "k.float()",
    "D.Geometric(logits=f)": "k.float()",
    "D.Binomial(6, p)": "k.float()",
    "D.Binomial(6, logits=f)": "k.float()",
    "D.NegativeBinomial(g * 3, p)": "k.float()",
    "D.NegativeBinomial(4, logits=f)": "k.float()",
    "D.Poisson(g)": "k.float()",
    "D.Categorical(p)": "k[:, 0] % 4",
    "D.Categorical(logits=f)": "(k % 4).T[:, :3]",
    "D.OneHotCategorical(p)": "T.eye(4)[k[:, 0] % 4]",
    "D.OneHotCategorical(logits=f)": "T.eye(4)[k[:, 0] % 4]",
    "D.Multinomial(7, p)": "T.tensor([2., 0, 4, 1])",
    "D.Multinomial(7, logits=f)": "T.tensor([2., 0, 4, 1])",
    "D.MultivariateNormal(v, K)": "f",
    "D.MultivariateNormal(f, scale_tril=Z)": "v",
    "D.MultivariateNormal(v, precision_matrix=K)": "f",
    "D.Independent(D.Normal(f, g), 1)": "v",
    "D.Independent(D.Bernoulli(p), 2)": "b.float()",
    "D.TransformedDistribution(D.Normal(f, g), D.AffineTransform(1.5, -2.0))": "v",
    "D.TransformedDistribution(N, [D.AffineTransform(v, G), D.SigmoidTransform()])": "p",
    "D.TransformedDistribution(D.Normal(f, g), D.TanhTransform())": "p",
    "D.TransformedDistribution(D.Normal(f, g), D.SoftplusTransform())": "g",
    "D.TransformedDistribution(D.Normal(f, g), [D.ExpTransform(), D.PowerTransform(2.0)])": "G",
    "D.TransformedDistribution(D.Normal(f[:, :3], g[:, :3]), D.StickBreakingTransform())": "R",
    "D.HalfCauchy(g)": "G",
    "D.FisherSnedecor(g * 5, G * 5)": "p",
    "D.FisherSnedecor(g, G)": "p",
    "D.Pareto(p, g * 3)": "p + G",
    "D.Pareto(p, g)": "p + G",
    "D.Weibull(g, G)": "p",
    "D.Kumaraswamy(p, p.flip(0))": "g * 0.4",
    "D.InverseGamma(g * 2, G)": "p",
    "D.LogisticNormal(f[:, :3], g[:, :3])": "R",
    "D.RelaxedBernoulli(T.tensor(0.7), p)": "p.flip(0)",
    "D.RelaxedBernoulli(T.tensor(1.5), logits=f)": "p.flip(0)",
    "D.RelaxedOneHotCategorical(T.tensor(0.7), p)": "R",
    "D.RelaxedOneHotCategorical(T.tensor(0.7), logits=f)": "R",
    "D.ContinuousBernoulli(p)": "p.flip(0)",
    "D.ContinuousBernoulli(p * 0.001 + 0.4995)": "p.flip(0)",
    "D.ContinuousBernoulli(logits=f)": "p",
    "D.VonMises(f, g)": "v",
    "D.VonMises(f, g * 20)": "v",
    "D.LowRankMultivariateNormal(v, q[:, :2], g[0])": "f",
    "D.LowRankMultivariateNormal(f, q[:, :1], g)": "v",
    "D.MixtureSameFamily(D.Categorical(p), D.Normal(f, g))": "f[:, 0]",
    "D.MixtureSameFamily(D.Categorical(p[0]), D.Independent(D.Normal(q, p[0]), 1))": "f",
    "D.MixtureSameFamily(D.Categorical(logits=v), D.Gamma(f.exp(), g))": "p[:, 0]",
    "D.TransformedDistribution(D.Normal(v, 1.0), D.ReshapeTransform((4,), (2, 2)))": "q[:2, :2]",
    "D.TransformedDistribution(N, D.CumulativeDistributionTransform(D.Normal(v, G)))": "p",
    "D.TransformedDistribution(N, D.StackTransform([D.ExpTransform()] * 4, 1))": "g",
}
PARTS = cases("mean  mode  variance  stddev  entropy()  batch_shape  event_shape  has_rsample")
PARTS += cases("expand((2, *X.batch_shape)).log_prob(x)  log_prob(x)  cdf(x)  icdf(p[0, 0])")
PARTS += cases("enumerate_support()  enumerate_support(False)  perplexity()  support.check(x)")
PAIRS = cases("""
D.Normal(f, g), D.Normal(v, G)  D.Laplace(f, g), D.Laplace(v, G)  D.Exponential(g), D.Exponential(G)
D.Uniform(f, f + g), D.Uniform(f - 1, f + 5)  D.Uniform(f, f + g), D.Uniform(f + 0.1, f + 5)
D.Cauchy(f, g), D.Cauchy(v, G)  D.Bernoulli(p), D.Bernoulli(logits=f)
D.Binomial(6, p), D.Binomial(6, logits=f)  D.Categorical(p), D.Categorical(logits=f)
D.OneHotCategorical(p), D.OneHotCategorical(logits=f)  D.Geometric(p), D.Geometric(logits=f)
D.Poisson(g), D.Poisson(G)  D.Gamma(g, G), D.Gamma(G, g)  D.Beta(g, G), D.Beta(G, p)
D.Dirichlet(g), D.Dirichlet(G)  D.MultivariateNormal(v, K), D.MultivariateNormal(f[0], scale_tril=Z)
D.Independent(D.Normal(f, g), 1), D.Independent(D.Normal(v, G), 1)
D.LogNormal(f, g), D.LogNormal(v, G)
D.Chi2(g), D.Gamma(G, g)  D.Normal(f, g), D.Bernoulli(p)  D.HalfNormal(g), D.HalfNormal(G)
D.Gumbel(f, g), D.Gumbel(v, G)  D.Pareto(p, g), D.Pareto(p.flip(0), G)
D.ContinuousBernoulli(p), D.ContinuousBernoulli(logits=f)  D.Uniform(f, f + g), D.Normal(v, G)
D.LowRankMultivariateNormal(v, q[:, :2], g[0]), D.LowRankMultivariateNormal(f, q[:, :1], g)
D.LowRankMultivariateNormal(v, q[:, :2], g[0]), D.MultivariateNormal(v, K)
D.MultivariateNormal(v, K), D.LowRankMultivariateNormal(v, q[:, :2], g[0])
D.Laplace(f, g), D.Normal(v, G)  D.Gamma(g, G), D.Exponential(p)  D.Exponential(p), D.Gamma(g, G)
""")
REFUSED = cases("""
D.Normal(f, -g)  D.Normal(f, g).log_prob(r)  D.Bernoulli(p).log_prob(g)  D.Bernoulli()
D.Bernoulli(p, f)  D.Categorical(p).log_prob(T.tensor(9))  D.Gamma(g, 1.0).log_prob(-g)
D.Dirichlet(g).log_prob(g)  D.MultivariateNormal(v)  D.MultivariateNormal(v, -K)  D.Poisson(-g)
D.Independent(D.Normal(f, g), 3)  D.Uniform(f, f + g).log_prob(f - 9)  D.Normal('a', 1.0)
D.Normal(f, -g, validate_args=False).mean  D.Beta(p, -p)  D.OneHotCategorical(p).log_prob(g)
D.MixtureSameFamily(D.Categorical(p), D.Normal(v[:3], g[0, :3]))  D.RelaxedBernoulli(T.tensor(1.0))
D.MixtureSameFamily(D.Normal(f, g), D.Normal(f, g))  D.LowRankMultivariateNormal(v, q[:2], g[0])
D.ReshapeTransform((4,), (3, 2))  D.Pareto(g, G).log_prob(g * 0.5)  D.Kumaraswamy(g, -g)
""")


def texts(made):
    value = MADE[made]
    return [f"{SETUP}x = {value}; X = {made}; X.{part}" for part in PARTS]


@pytest.mark.parametrize("made", MADE)
def test_parts(made, monkeypatch):
    monkeypatch.setitem(twins.TOLERANCE, "float32", 3e-5)
    monkeypatch.setattr(twins, "REFUSED", (*twins.REFUSED, NotImplementedError))
    compare_all(texts(made))
    monkeypatch.setitem(twins.TOLERANCE, "float32", 3e-4)
    compare_all_gradients(texts(made))


@pytest.mark.parametrize("pair", PAIRS)
def test_divergences(pair, monkeypatch):
    monkeypatch.setitem(twins.TOLERANCE, "float32", 1e-4)
    monkeypatch.setattr(twins, "REFUSED", (*twins.REFUSED, NotImplementedError))
    compare_all([f"{SETUP}D.kl_divergence({pair})"])
    compare_all_gradients([f"{SETUP}D.kl_divergence({pair})"])


def test_refusals():
    # PyTorch's compiler, which another test may have imported, turns its checks off.
    twins.torch.distributions.Distribution.set_default_validate_args(True)
    compare_all([SETUP + text for text in REFUSED])


P = twofold.tensor([0.2, 0.5, 0.3])
SAMPLED = [
    D.Normal(1.0, 2.0),
    D.HalfNormal(2.0),
    D.Uniform(-1.0, 2.0),
    D.Exponential(0.5),
    D.Laplace(1.0, 0.7),
    D.Gumbel(0.3, 1.2),
    D.LogNormal(0.1, 0.4),
    D.Gamma(0.4, 2.0),
    D.Gamma(3.5, 0.5),
    D.Chi2(3.0),
    D.Beta(0.5, 2.0),
    D.Dirichlet(P * 6),
    D.StudentT(9.0, 1.0, 2.0),
    D.Bernoulli(0.3),
    D.Geometric(0.3),
    D.Binomial(9, 0.7),
    D.Binomial(200, 0.2),
    D.NegativeBinomial(4.0, 0.4),
    D.Poisson(3.0),
    D.Poisson(900.0),
    D.OneHotCategorical(P),
    D.Multinomial(5, P),
    D.MultivariateNormal(P, twofold.tensor([[2.0, 0.3, 0], [0.3, 1, 0.2], [0, 0.2, 0.5]])),
    D.Independent(D.Normal(P, P), 1),
    D.FisherSnedecor(4.0, 40.0),
    D.Pareto(1.0, 20.0),
    D.Weibull(1.5, 2.0),
    D.Kumaraswamy(2.0, 3.0),
    D.InverseGamma(20.0, 3.0),
    D.ContinuousBernoulli(0.2),
    D.ContinuousBernoulli(0.5),
    D.LowRankMultivariateNormal(P, twofold.tensor([[1.0], [0.5], [-0.3]]), P),
    D.MixtureSameFamily(D.Categorical(P), D.Normal(P * 9, P)),
    D.MixtureSameFamily(
        D.Categorical(P), D.Independent(D.Normal(twofold.arange(6.0).reshape(3, 2), 0.3), 1)
    ),
]


@pytest.mark.parametrize("made", SAMPLED, ids=lambda d: type(d).__name__)
def test_samples_have_the_moments(made):
    twofold.manual_seed(11)
    x = made.sample((40000,))
    assert x.shape == (40000, *made.batch_shape, *made.event_shape) and not x.requires_grad
    numbers = x.double().numpy()
    mean, deviation = made.mean.double().numpy(), made.stddev.double().numpy()
    assert (np.abs(numbers.mean(0) - mean) < 5 * deviation / 200).all()
    np.testing.assert_allclose(numbers.std(0), deviation, rtol=0.06)
    assert bool(made.support.check(x[:100]).all()) if made.support is not None else True
    twofold.manual_seed(11)
    np.testing.assert_array_equal(made.sample((40000,)).numpy(), x.numpy())


def test_categorical_samples_have_the_probabilities():
    twofold.manual_seed(3)
    x = D.Categorical(P.expand(2, 3)).sample((30000,))
    assert x.shape == (30000, 2)
    np.testing.assert_allclose(np.bincount(x[:, 1].numpy()) / 30000, P.numpy(), atol=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: D.Normal(a, a),
        lambda a: D.Exponential(a),
        lambda a: D.Laplace(a, a),
        lambda a: D.Gamma(a, 2.0),
        lambda a: D.Beta(a, 2 * a),
        lambda a: D.StudentT(a * 4, a, a),
        lambda a: D.LogNormal(a, 0.3),
        lambda a: D.Uniform(a, 3 * a),
    ],
)
def test_the_gradient_of_the_mean_of_samples_is_that_of_the_mean(make):
    twofold.manual_seed(2)
    a = twofold.tensor(1.3, requires_grad=True)
    (wanted,) = twofold.autograd.grad(make(a).mean, a)
    (found,) = twofold.autograd.grad(make(a).rsample((40000,)).mean(), a)
    assert abs(wanted.item() - found.item()) < 0.06


def test_a_gamma_sample_moves_with_its_shape_as_in_pytorch():
    a = np.array([0.1, 0.4, 1.0, 2.5, 9.0, 40.0])
    x = np.array([0.02, 0.9, 0.3, 4.0, 7.0, 47.0])
    made = bind(OPS["gamma_sample_slope"], (wrap(a), wrap(x))).numpy()
    wanted = twins.torch._standard_gamma_grad(twins.torch.tensor(a), twins.torch.tensor(x))
    np.testing.assert_allclose(made, wanted.numpy(), 3e-3)


def test_a_sample_depends_on_its_own_place_alone():
    rates = twofold.linspace(0.3, 5, 7)
    draws = []
    for part in (rates, rates[:3]):
        twofold.manual_seed(5)
        draws.append(D.Gamma(part, 1.0).sample().numpy()[:3])
    np.testing.assert_array_equal(*draws)


def test_transforms_undo_themselves():
    x = twofold.tensor([[0.3, -0.7, 1.2]])
    for transform in (
        D.ExpTransform(),
        D.SigmoidTransform(),
        D.TanhTransform(),
        D.SoftplusTransform(),
        D.AffineTransform(1.0, -2.0),
        D.StickBreakingTransform(),
        D.ComposeTransform([D.AffineTransform(0.5, 2.0), D.ExpTransform()]),
        D.IndependentTransform(D.ExpTransform(), 1),
        D.ReshapeTransform((3,), (3, 1)),
        D.CatTransform([D.ExpTransform(), D.TanhTransform()], dim=-1, lengths=[2, 1]),
        D.StackTransform([D.ExpTransform(), D.TanhTransform(), D.SigmoidTransform()], dim=1),
        D.CumulativeDistributionTransform(D.Normal(0.3, 1.5)),
    ):
        y = transform(x)
        np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), 1e-5, 1e-6)
        forth, back = transform.log_abs_det_jacobian(x, y), transform.inv.log_abs_det_jacobian(y, x)
        np.testing.assert_allclose(forth.numpy(), -back.numpy(), 1e-5)


def test_the_mode_has_the_highest_density():
    """PyTorch's formula for the mode of Kumaraswamy is nan above 1."""
    made = D.Kumaraswamy(twofold.tensor([1.5, 3.0]), twofold.tensor([2.0, 4.0]))
    x = twofold.linspace(0.001, 0.999, 999).unsqueeze(-1)
    best = x[made.log_prob(x.expand(999, 2)).argmax(0)].squeeze(-1)
    np.testing.assert_allclose(made.mode.numpy(), best.numpy(), atol=2e-3)


def test_angles_lie_around_their_place():
    """Moments of a circular distribution: the mean direction, and 1 - its length."""
    twofold.manual_seed(4)
    made = D.VonMises(twofold.tensor([0.5, -3.0, 1.0]), twofold.tensor([4.0, 0.7, 1e-3]))
    x = made.sample((60000,)).double().numpy()
    assert np.abs(x).max() <= np.pi + 1e-6
    mean = np.exp(1j * x).mean(0)
    np.testing.assert_allclose(1 - np.abs(mean), made.variance.numpy(), atol=0.02)
    np.testing.assert_allclose(np.angle(mean)[:2], made.loc.numpy()[:2], atol=0.03)


def test_relaxed_samples_are_yes_as_often_as_the_strict_ones():
    twofold.manual_seed(4)
    x = D.RelaxedBernoulli(twofold.tensor(0.3), twofold.tensor([0.2, 0.7])).rsample((30000,))
    np.testing.assert_allclose((x > 0.5).float().mean(0).numpy(), [0.2, 0.7], atol=0.02)
    y = D.RelaxedOneHotCategorical(twofold.tensor(0.3), P).rsample((30000,))
    np.testing.assert_allclose(y.sum(-1).numpy(), np.ones(30000), 1e-5)
    np.testing.assert_allclose(np.bincount(y.argmax(-1).numpy()) / 30000, P.numpy(), atol=0.02)


def test_matrices_of_numbers_become_positive_definite():
    x = twofold.tensor([[0.3, 9.0], [-0.7, 1.2]])
    lower, whole = D.LowerCholeskyTransform()(x), D.PositiveDefiniteTransform()(x)
    assert bool(D.constraints.lower_cholesky.check(lower))
    assert bool(D.constraints.positive_definite.check(whole))
    np.testing.assert_allclose((lower @ lower.mT).numpy(), whole.numpy(), 1e-6)
    for transform, made in (
        (D.LowerCholeskyTransform(), lower),
        (D.PositiveDefiniteTransform(), whole),
    ):
        np.testing.assert_allclose(transform.inv(made).numpy(), x.tril().numpy(), 1e-5)


def test_texts():
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(D.Categorical(P)) == "Categorical(probs: twofold.Size([3]))"


def test_errors_name_the_parameter():
    with pytest.raises(ArgumentError, match="scale does not satisfy"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ShapeError, match="does not broadcast"):
        D.Normal(P, P).log_prob(twofold.ones(2))


def test_a_cache_gives_back_what_rounding_took():
    """Policies squashed by tanh take the log-probability of their own samples."""
    normal = D.Normal(twofold.tensor([9.0, 30.0]), 0.5)
    for cache_size in (0, 1):
        squash = D.TanhTransform(cache_size=cache_size)
        made = D.TransformedDistribution(
            normal, [squash, D.AffineTransform(0.0, 1.0, cache_size=1)]
        )
        action = made.rsample()
        assert bool(made.log_prob(action).isfinite().all()) == bool(cache_size)
    x = twofold.tensor([20.0])
    for transform in (
        D.ComposeTransform([squash]),
        D.IndependentTransform(squash, 1),
        squash.inv.inv,
    ):
        assert transform.inv(transform(x)).tolist() == [20.0]
        assert transform.inv(twofold.tensor([0.0])).tolist() == [0.0]
    assert squash.with_cache(1) is squash and squash.with_cache(0).inv(squash(x)).isinf()
    with pytest.raises(ValueError, match="0 or 1"):
        D.ExpTransform(cache_size=2)


def test_distributions_of_the_user_expand_as_they_are():
    class Diagonal(D.Independent):
        def __init__(self, loc, scale):
            super().__init__(D.Normal(loc, scale), 1)

        def expand(self, batch_shape, new=None):
            new = self._get_checked_instance(Diagonal, new)
            return super().expand(batch_shape, new)

    class Other(D.Normal):
        def __init__(self, loc):
            super().__init__(loc, 1.0)

        @D.constraints.dependent_property(is_discrete=False, event_dim=0)
        def support(self):
            return D.constraints.half_open_interval(self.loc - 9, self.loc + 9)

    made = Diagonal(twofold.zeros(3), twofold.ones(3)).expand((2,))
    assert type(made) is Diagonal and made.batch_shape == (2,) and made.event_shape == (3,)
    assert made.log_prob(twofold.zeros(2, 3)).shape == (2,)
    other = Other(twofold.zeros(2))
    with pytest.raises(NotImplementedError, match="does not define expand"):
        other._get_checked_instance(D.Normal)
    assert D.constraints.is_dependent(Other.support)
    with pytest.raises(ValueError, match="support"):
        other.log_prob(twofold.tensor([0.0, 9.0]))


def test_checks_of_arguments_are_turned_off_for_all(monkeypatch):
    monkeypatch.setattr(D.Distribution, "_validate_args", False)
    assert D.Normal(0.0, twofold.tensor([-1.0])).scale.tolist() == [-1.0]
    with pytest.raises(ValueError, match="scale"):
        D.Normal(0.0, twofold.tensor([-1.0]), validate_args=True)
    D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError, match="scale"):
        D.Normal(0.0, twofold.tensor([-1.0]))


def test_matrices_have_their_constraints():
    m = twofold.tensor([[1.0, 0.0], [0.6, 0.8]])
    check = D.constraints
    assert check.corr_cholesky.check(m) and not check.corr_cholesky.check(2 * m)
    assert check.symmetric.check(m @ m.mT) and not check.symmetric.check(m)
    assert check.positive_semidefinite.check(twofold.zeros(2, 2))
    assert not check.positive_semidefinite.check(-twofold.eye(2))


def test_counts_that_differ_have_no_one_list_of_values():
    counts = twofold.tensor([2.0, 3.0])
    with pytest.raises(ArgumentError, match="the counts differ"):
        twofold.distributions.Binomial(counts, probs=twofold.tensor([0.5, 0.5])).enumerate_support()


def test_cdf_of_gamma_by_its_concentration():
    value = twofold.tensor([0.7, 2.0, 8.0], dtype=twofold.float64)
    given = {"Gamma": ([0.5, 2.0, 9.0], [3.0, 0.7, 1.0]), "Chi2": ([3.0, 8.0, 1.0],)}
    for name, numbers in (given | {"InverseGamma": given["Gamma"]}).items():
        tracked = [twofold.tensor(x, dtype=twofold.float64, requires_grad=True) for x in numbers]
        cdf = lambda *x, name=name: getattr(twofold.distributions, name)(*x).cdf(value)  # noqa: E731
        assert twofold.autograd.gradcheck(cdf, tracked, atol=1e-6, rtol=1e-4)
        plain = cdf(*[x.detach() for x in tracked])
        assert cdf(*tracked).tolist() == plain.tolist()
        assert twofold.compile(cdf)(*tracked).tolist() == plain.tolist()
    at_zero = twofold.distributions.Gamma(tracked[0], 1.0).cdf(
        twofold.zeros(3, dtype=twofold.float64)
    )
    at_zero.sum().backward()
    assert at_zero.tolist() == [0.0] * 3 and twofold.isfinite(tracked[0].grad).all()


def test_shares_never_are_zero_or_one_and_lead_back_in_float64():
    far = twofold.tensor([-800.0, 40.0], dtype=twofold.float64)
    to_unit, to_simplex = D.SigmoidTransform(), D.StickBreakingTransform()
    shares = to_unit(far)
    assert 0 < shares[0].item() < 1e-300 and 1 - 1e-15 < shares[1].item() < 1
    near = twofold.tensor([30.0], dtype=twofold.float64)
    assert abs(to_unit.inv(to_unit(near)).item() - 30) < 0.05  # 1 - share has few digits
    assert bool((to_simplex(far) > 0).all())
