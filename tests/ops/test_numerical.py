"""Slopes of samples, histograms, quantiles, few singular values, against PyTorch."""

import numpy as np
import pytest
from twins import cases, compare_all, compare_all_gradients, torch

import twofold

GRADIENTS = cases("""
T.gradient(f)  T.gradient(f, dim=1)  T.gradient(f, spacing=0.5)  T.gradient(f, edge_order=2)
T.gradient(f, spacing=(0.5, 2.0), edge_order=2)  T.gradient(d[0], spacing=(d[1].abs().cumsum(0),))
T.gradient(d, spacing=(d[:, 0].abs().cumsum(0), d[0].abs().cumsum(0)), edge_order=2)
T.gradient(d, dim=(0, 1))
T.gradient(f, dim=-1, spacing=(g[0].cumsum(0),))
""")
OTHERS = cases("""
T.gradient(i)  T.gradient(z, dim=1)  T.histogram(f, 4)  f.histogram(3, range=(-1., 1.))
T.histogram(f, g[0].cumsum(0) - 2)  T.histogram(f, 5, weight=g)  T.histogram(f, 5, density=True)
T.histogram(d, 4, range=(0., 0.))  T.histogram(s, 2)  T.gradient(f, edge_order=3)
T.gradient(f[:1], dim=0)  T.histogram(f, 0)
""")
QUANTILES = cases("""
f.quantile(0.3, 1, interpolation='lower')  f.quantile(0.3, 1, interpolation='higher')
f.quantile(0.3, 1, interpolation='midpoint')  f.quantile(0.3, 1, interpolation='nearest')
f.quantile(0.3, interpolation='cubic')  o.nanquantile(0.5, 1)  T.nanquantile(o, 0.3)
T.nanquantile(o, T.tensor([0.1, 0.9]), dim=0)  T.nanquantile(o, 0.5, 0, True)
T.nanquantile(f, T.tensor([0., 0.2, 1.]), dim=1, keepdim=True)  T.nanquantile(f * nan, 0.5, 1)
T.quantile(x, T.tensor([0.2, 0.4]), 1, keepdim=True)  f.nanquantile(0.7, interpolation='higher')
f.index_reduce(0, k[:, 0] % 3, g, 'prod')  f.index_reduce(1, k[:, 0] % 4, g[:, :3], 'mean')
f.index_reduce(0, k[:, 0] % 3, g, 'amax', include_self=False)
f.index_reduce(1, k[0] % 4, g, 'amin')  f.clone().index_reduce_(0, k[:, 0] % 3, g, 'amax')
f.index_reduce(0, k[:, 0] % 3, g, 'sum')
""")


@pytest.mark.parametrize("text", GRADIENTS)
def test_slopes_of_samples(text):
    compare_all([text])
    compare_all_gradients([text])


def test_others():
    compare_all(OTHERS + QUANTILES)
    compare_all_gradients([t for t in QUANTILES if "nan" not in t and "o." not in t])


@pytest.mark.parametrize("shape", [(40, 12), (12, 40), (3, 20, 8)])
def test_a_matrix_of_low_rank_is_its_few_singular_values(shape):
    rng = np.random.default_rng(0)
    *lead, rows, columns = shape
    a = rng.normal(size=(*lead, rows, 3)) @ rng.normal(size=(*lead, 3, columns))
    u, s, v = twofold.svd_lowrank(twofold.tensor(a), q=4)
    made = u.numpy() * s.numpy()[..., None, :] @ np.swapaxes(v.numpy(), -1, -2)
    np.testing.assert_allclose(made, a, atol=1e-10)
    wanted = torch.linalg.svdvals(torch.tensor(a))[..., :4].numpy()
    np.testing.assert_allclose(s.numpy(), wanted, atol=1e-9)


def test_principal_directions():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(200, 5)) * [9.0, 3.0, 0.1, 0.1, 0.1] + 50
    _, s, v = twofold.pca_lowrank(twofold.tensor(a), q=2)
    wanted = np.linalg.svd(a - a.mean(0))
    np.testing.assert_allclose(s.numpy(), wanted.S[:2], rtol=1e-6)
    np.testing.assert_allclose(np.abs(v.numpy()), np.abs(wanted.Vh[:2].T), atol=1e-4)
    with pytest.raises(ValueError, match="q=6"):
        twofold.svd_lowrank(twofold.ones(5, 9), 6)


@pytest.mark.parametrize(
    ("fill", "median"),
    [("log_normal_(1.0, 0.5)", np.e), ("cauchy_(2.0, 0.5)", 2.0), ("geometric_(0.3)", 2.0)],
)
def test_draws_in_place(fill, median):
    twofold.manual_seed(3)
    x = eval(f"twofold.empty(20001).{fill}")
    assert abs(x.median().item() - median) < 0.05
    y = eval(f"torch.empty(20001).{fill}", {"torch": torch})
    low, high = np.quantile(y.numpy(), [0.25, 0.75])
    np.testing.assert_allclose(np.quantile(x.numpy(), [0.25, 0.75]), [low, high], atol=0.1)
