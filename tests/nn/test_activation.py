"""Activations as modules and functions against PyTorch, in place too."""

import pickle

import numpy as np
import pytest
from layers import Case, compare, torch

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, GradientError

F = nn.functional

LAYERS = [
    "nn.ReLU()",
    "nn.ReLU(inplace=True)",
    "nn.ReLU(True)",
    "nn.ReLU6()",
    "nn.ReLU6(True)",
    "nn.LeakyReLU()",
    "nn.LeakyReLU(0.3, True)",
    "nn.ELU(1.5)",
    "nn.ELU(inplace=True)",
    "nn.SELU()",
    "nn.SELU(True)",
    "nn.CELU(0.7)",
    "nn.GELU()",
    "nn.GELU(approximate='tanh')",
    "nn.SiLU()",
    "nn.SiLU(inplace=True)",
    "nn.Mish()",
    "nn.Softplus(2.0, 1.5)",
    "nn.Softsign()",
    "nn.Sigmoid()",
    "nn.LogSigmoid()",
    "nn.Tanh()",
    "nn.Tanhshrink()",
    "nn.Hardtanh(-0.5, 0.7)",
    "nn.Hardtanh(inplace=True)",
    "nn.Hardsigmoid()",
    "nn.Hardswish()",
    "nn.Hardshrink(0.4)",
    "nn.Softshrink()",
    "nn.Threshold(0.1, 20)",
    "nn.Softmax(dim=1)",
    "nn.Softmax()",
    "nn.LogSoftmax(dim=-1)",
    "nn.Softmin(dim=0)",
    "nn.GLU()",
    "nn.GLU(0)",
    "nn.PReLU()",
]
CASES = [
    Case(layer, ((4, 6),)) for layer in LAYERS if "inplace" not in layer and "True" not in layer
]
CASES += [Case("nn.Sequential(nn.Tanhshrink(), " + layer + ")", ((4, 6),)) for layer in LAYERS]
CASES += [Case(layer, ((0, 6),)) for layer in LAYERS if "True" not in layer and "Soft" not in layer]
CASES += [
    Case("nn.PReLU(6)", ((4, 6),)),
    Case("nn.PReLU(3, init=0.1)", ((2, 3, 4, 5),)),
    Case("nn.RReLU()", ((4, 6),), train=False),
    Case("nn.Softmax2d()", ((2, 3, 4, 5),)),
    Case("nn.Softmax2d()", ((3, 4, 5),)),
    Case("nn.Softmax(dim=1)", ((2, 3, 4),)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_in_pytorch(case):
    compare(case)


FUNCTIONS = [
    ("relu", ()),
    ("relu6", ()),
    ("elu", (1.3,)),
    ("selu", ()),
    ("celu", (1.3,)),
    ("leaky_relu", (0.2,)),
    ("hardtanh", (-0.5, 0.7)),
    ("hardsigmoid", ()),
    ("hardswish", ()),
    ("silu", ()),
    ("mish", ()),
    ("threshold", (0.1, 0.5)),
]


@pytest.mark.parametrize(("name", "options"), FUNCTIONS)
@pytest.mark.parametrize("last", [False, True])
def test_in_place(name, options, last):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    def run(t):
        leaf = t.tensor(x, requires_grad=True)
        h = leaf * 2
        function = getattr(t.nn.functional, name)
        y = function(h, *options, True) if last else function(h, *options, inplace=True)
        assert y is h
        (y * y).sum().backward()
        return y.detach().numpy(), leaf.grad.numpy()

    for ours, theirs in zip(run(twofold), run(torch), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_leaf_is_not_written():
    x = twofold.ones(3, requires_grad=True)
    with pytest.raises(GradientError, match="leaf"):
        nn.ReLU(inplace=True)(x)


def test_rrelu_draws_slopes():
    twofold.manual_seed(0)
    y = nn.RReLU(0.1, 0.3)(-twofold.ones(1000))
    assert -0.3 <= y.min().item() < -0.28 and -0.12 < y.max().item() <= -0.1
    with pytest.raises(ArgumentError, match="above"):
        F.rrelu(y, 0.5, 0.1)


def test_gumbel_softmax_samples_the_classes():
    twofold.manual_seed(0)
    logits = twofold.tensor([[0.0, 1.0, 2.0]]).expand(20000, 3).clone().requires_grad_()
    hard = F.gumbel_softmax(logits, hard=True)
    assert set(hard.detach().numpy().round(6).ravel().tolist()) == {0.0, 1.0}
    frequencies = hard.detach().numpy().mean(0)
    np.testing.assert_allclose(frequencies, [0.09, 0.2447, 0.6652], atol=0.015)
    (hard * twofold.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert logits.grad.abs().sum().item() > 0
    soft = F.gumbel_softmax(logits, tau=0.5)
    np.testing.assert_allclose(soft.detach().numpy().sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: nn.ReLU(slope=1), "unexpected keyword argument 'slope'"),
        (lambda: nn.ReLU(True, 1), "takes 1 arguments but 2"),
        (lambda: nn.Threshold(1), "needs the argument 'value'"),
        (lambda: nn.GELU(inplace=True), "unexpected keyword argument 'inplace'"),
    ],
)
def test_wrong_options(make, problem):
    with pytest.raises(TypeError, match=problem):
        make()


def test_activations_are_pickled_by_their_public_names():
    for function in (F.relu, twofold.relu, F.gelu, F.silu, F.elu, F.softplus, twofold.tanh):
        assert pickle.loads(pickle.dumps(function)) is function
    layer = nn.TransformerEncoderLayer(4, 2, 8)
    assert repr(pickle.loads(pickle.dumps(layer))) == repr(layer)


def test_prelu_of_a_number():
    assert nn.PReLU()(twofold.tensor(-2.0)).shape == ()
