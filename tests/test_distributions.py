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
D.Chi2(g), D.Gamma(G, g)  D.Normal(f, g), D.Bernoulli(p)
""")
REFUSED = cases("""
D.Normal(f, -g)  D.Normal(f, g).log_prob(r)  D.Bernoulli(p).log_prob(g)  D.Bernoulli()
D.Bernoulli(p, f)  D.Categorical(p).log_prob(T.tensor(9))  D.Gamma(g, 1.0).log_prob(-g)
D.Dirichlet(g).log_prob(g)  D.MultivariateNormal(v)  D.MultivariateNormal(v, -K)  D.Poisson(-g)
D.Independent(D.Normal(f, g), 3)  D.Uniform(f, f + g).log_prob(f - 9)  D.Normal('a', 1.0)
D.Normal(f, -g, validate_args=False).mean  D.Beta(p, -p)  D.OneHotCategorical(p).log_prob(g)
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
    ):
        y = transform(x)
        np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), 1e-5, 1e-6)
        forth, back = transform.log_abs_det_jacobian(x, y), transform.inv.log_abs_det_jacobian(y, x)
        np.testing.assert_allclose(forth.numpy(), -back.numpy(), 1e-5)


def test_texts():
    assert repr(D.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert repr(D.Categorical(P)) == "Categorical(probs: twofold.Size([3]))"


def test_errors_name_the_parameter():
    with pytest.raises(ArgumentError, match="scale does not satisfy"):
        D.Normal(0.0, -1.0)
    with pytest.raises(ShapeError, match="does not broadcast"):
        D.Normal(P, P).log_prob(twofold.ones(2))
