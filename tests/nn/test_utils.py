"""Parametrizations, weight and spectral norms, pruning, fusion, against PyTorch."""

import copy
import math

import numpy as np
import pytest
from layers import fill, state_of, torch

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, ShapeError

pytest.importorskip("torch.nn.utils.prune")

X = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
IMAGE = np.random.default_rng(4).normal(size=(2, 3, 6, 5)).astype(np.float32)


def both(text, change):
    """The same layer on both sides, with the same state after `change`."""
    theirs = eval(f"torch.nn.{text}", {"torch": torch})
    fill(theirs)
    made = []
    for t in (torch, twofold):
        layer = eval(f"t.nn.{text}", {"t": t})
        layer.load_state_dict({k: t.tensor(v) for k, v in state_of(theirs).items()})
        made.append(change(t, layer) or layer)
    return made


def close(a, b, rtol=1e-5):
    np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol, 1e-6)


def alike(theirs, ours, x):
    """The same state, outputs and gradients."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        close(value, ours.state_dict()[name])
    outs = [layer(t.tensor(x)) for t, layer in ((torch, theirs), (twofold, ours))]
    close(*outs)
    for out in outs:
        (out**2).sum().backward()
    for (name, a), (other, b) in zip(
        theirs.named_parameters(), ours.named_parameters(), strict=True
    ):
        assert name == other
        close(a.grad, b.grad, 1e-4)


LAYERS = [("Linear(3, 4)", X), ("Conv2d(3, 4, 2)", IMAGE)]


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize(("text", "x"), LAYERS)
def test_weight_norm(text, x, dim):
    new = both(text, lambda t, m: t.nn.utils.parametrizations.weight_norm(m, "weight", dim))
    alike(*new, x)
    old = nn.utils.weight_norm(eval(f"nn.{text}", {"nn": nn}), dim=dim)
    assert sorted(old.state_dict()) == ["bias", "weight_g", "weight_v"]
    before = old(twofold.tensor(x))
    close(before, nn.utils.remove_weight_norm(old)(twofold.tensor(x)))
    assert sorted(old.state_dict()) == ["bias", "weight"]


@pytest.mark.parametrize(("text", "x"), [*LAYERS, ("ConvTranspose2d(3, 4, 2)", IMAGE)])
def test_spectral_norm(text, x):
    theirs, ours = both(text, lambda t, m: t.nn.utils.parametrizations.spectral_norm(m))
    ours.load_state_dict({k: twofold.tensor(v) for k, v in state_of(theirs).items()})
    close(theirs.train()(torch.tensor(x)), ours.train()(twofold.tensor(x)))
    alike(theirs.eval(), ours.eval(), x)


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x):
        return x.triu()


def test_parametrizations_of_ones_own():
    layer = nn.Linear(3, 3)
    kept = copy.deepcopy(layer)
    nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    assert nn.utils.parametrize.is_parametrized(layer, "weight")
    close(layer.weight, layer.weight.mT)
    close(layer.weight.triu(), kept.weight.triu())
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    layer(twofold.tensor(X)).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None
    layer.weight = twofold.eye(3)
    close(layer.weight, twofold.eye(3))
    nn.utils.parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and list(layer.state_dict()) == ["bias", "weight"]
    with pytest.raises(ShapeError, match="weight changes"):
        nn.utils.parametrize.register_parametrization(layer, "weight", nn.Linear(3, 2))
    with pytest.raises(ArgumentError, match="no parameter or buffer scale"):
        nn.utils.parametrize.register_parametrization(layer, "scale", Symmetric())


PRUNING = [
    lambda p, m: p.l1_unstructured(m, "weight", 0.4),
    lambda p, m: p.l1_unstructured(m, "weight", 3),
    lambda p, m: p.ln_structured(m, "weight", 0.5, n=2, dim=0),
    lambda p, m: p.ln_structured(m, "weight", 1, n=1, dim=1),
    lambda p, m: p.ln_structured(p.l1_unstructured(m, "weight", 2), "weight", 1, n=2, dim=0),
    lambda p, m: p.global_unstructured([(m, "weight")], p.L1Unstructured, amount=5),
    lambda p, m: p.identity(m, "weight"),
]


@pytest.mark.parametrize("prune", PRUNING)
def test_pruning(prune):
    def change(t, layer):
        prune(t.nn.utils.prune, layer)

    theirs, ours = both("Linear(3, 4)", change)
    state = ours.state_dict()
    for name, value in theirs.state_dict().items():
        close(value, state[name])
    close(theirs(torch.tensor(X)), ours(twofold.tensor(X)))
    assert nn.utils.prune.is_pruned(ours)
    nn.utils.prune.remove(ours, "weight")
    assert sorted(ours.state_dict()) == ["bias", "weight"] and not nn.utils.prune.is_pruned(ours)


def test_random_pruning_prunes_as_many_as_told():
    layer = nn.utils.prune.random_unstructured(nn.Linear(10, 10), "weight", 0.3)
    assert (layer.weight == 0).sum() == 30
    nn.utils.prune.random_unstructured(layer, "weight", 0.5)
    assert (layer.weight == 0).sum() == 65
    rows = nn.utils.prune.random_structured(nn.Linear(10, 10), "weight", 4, dim=0)
    assert ((rows.weight == 0).all(1)).sum() == 4
    with pytest.raises(ArgumentError, match=r"amount is 1\.5"):
        nn.utils.prune.l1_unstructured(layer, "weight", 1.5)


@pytest.mark.parametrize(
    ("text", "x", "norm"),
    [
        ("Conv2d(3, 4, 2)", IMAGE, "BatchNorm2d"),
        ("Conv2d(3, 4, 2, bias=False)", IMAGE, "BatchNorm2d"),
        ("Linear(3, 4)", X, "BatchNorm1d"),
    ],
)
def test_fusion(text, x, norm):
    layer, after = eval(f"nn.{text}", {"nn": nn}), getattr(nn, norm)(4)
    after(twofold.randn(50, 4, *(3,) * (x.ndim - 2)) * 2 + 1)
    after.weight.data.uniform_(0.5, 2)
    fuse = nn.utils.fuse_linear_bn_eval if x.ndim == 2 else nn.utils.fuse_conv_bn_eval
    with pytest.raises(ArgumentError, match="evaluation mode"):
        fuse(layer, after)
    made = fuse(layer.eval(), after.eval())
    x = twofold.tensor(x)
    np.testing.assert_allclose(
        made(x).detach().numpy(), after(layer(x)).detach().numpy(), 1e-4, 1e-5
    )


def test_clipping_by_a_known_norm_scales_gradients_and_not_parameters():
    layer = twofold.nn.Linear(3, 2)
    layer(twofold.ones(4, 3)).sum().backward()
    weight, grad = layer.weight.detach().clone(), layer.weight.grad.clone()
    twofold.nn.utils.clip_grads_with_norm_(layer.parameters(), 0.5, twofold.tensor(5.0))
    assert (layer.weight == weight).all()
    np.testing.assert_allclose(layer.weight.grad, grad * 0.1, 1e-5)
    with pytest.raises(ArgumentError, match="the norm of the gradients is inf"):
        twofold.nn.utils.get_total_norm([grad * math.inf], error_if_nonfinite=True)


def test_the_older_spectral_norm_has_pytorchs_state():
    theirs = torch.nn.utils.spectral_norm(torch.nn.ConvTranspose2d(2, 3, 2))
    ours = nn.utils.spectral_norm(nn.ConvTranspose2d(2, 3, 2))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(state_of(theirs))
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 4)).astype(np.float32)
    for _ in range(3):
        want, got = theirs(torch.tensor(x)), ours(twofold.tensor(x))
        np.testing.assert_allclose(got.detach(), want.detach(), 1e-4, 1e-5)
    want.sum().backward()
    got.sum().backward()
    grads = ours.weight_orig.grad, theirs.weight_orig.grad
    np.testing.assert_allclose(*grads, 1e-3, 1e-4)
    ours.eval(), theirs.eval()
    want, got = theirs(torch.tensor(x)), ours(twofold.tensor(x))
    np.testing.assert_allclose(got.detach(), want.detach(), 1e-4, 1e-5)
    nn.utils.remove_spectral_norm(ours)
    assert list(ours.state_dict()) == ["bias", "weight"]
    np.testing.assert_allclose(ours(twofold.tensor(x)).detach(), want.detach(), 1e-4, 1e-5)
