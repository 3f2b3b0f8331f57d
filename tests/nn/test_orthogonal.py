"""Orthogonal weights, the adaptive softmax, buffers by assignment, and modules put elsewhere."""

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.nn.utils.parametrizations import orthogonal

MAPS = ("matrix_exp", "cayley", "householder")


def away(w):
    """How far the shorter side's vectors are from orthonormal."""
    w = w if w.shape[-2] >= w.shape[-1] else w.mT
    return (w.mT @ w - twofold.eye(w.shape[-1], dtype=w.dtype)).abs().max().item()


@pytest.mark.parametrize("form", MAPS)
@pytest.mark.parametrize("sizes", [(4, 4), (3, 5), (5, 3)])
def test_weights_stay_orthogonal_while_they_learn(form, sizes):
    twofold.manual_seed(0)
    layer = orthogonal(nn.Linear(*sizes, bias=False).double(), orthogonal_map=form)
    first = layer.weight.detach().clone()
    x = twofold.randn(8, sizes[0], dtype=twofold.float64)
    opt = twofold.optim.SGD(layer.parameters(), lr=0.1)
    before = (layer(x) - 1).square().mean()
    for _ in range(5):
        opt.zero_grad()
        loss = (layer(x) - 1).square().mean()
        loss.backward()
        opt.step()
    assert away(first) < 1e-12 and away(layer.weight) < 1e-12
    assert loss < before and (layer.weight - first).abs().max() > 1e-3


@pytest.mark.parametrize("form", MAPS)
def test_the_map_is_pytorchs(form):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.utils.parametrizations.orthogonal(
        torch.nn.Linear(3, 5, bias=False).double(), orthogonal_map=form
    )
    ours = orthogonal(nn.Linear(3, 5, bias=False).double(), orthogonal_map=form)
    state = theirs.state_dict()
    values = np.random.default_rng(0).standard_normal((5, 3)) / 3 - np.eye(5, 3)
    if form == "householder":
        np.fill_diagonal(values, [-1, 1, -1])
    state["parametrizations.weight.original"] = torch.from_numpy(values)
    theirs.load_state_dict(state)
    ours.load_state_dict({k: twofold.from_numpy(v.numpy()) for k, v in state.items()})
    found = []
    for layer in (ours, theirs):
        (layer.weight * layer.weight.detach().cumsum(0)).sum().backward()
        original = layer.parametrizations.weight.original
        found.append([layer.weight.detach().numpy(), original.grad.numpy()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_assigned_weights_are_what_is_read():
    layer = orthogonal(nn.Linear(3, 3).double())
    turn = twofold.tensor(
        [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=twofold.float64
    )
    layer.weight = turn
    np.testing.assert_allclose(layer.weight.detach().numpy(), turn.numpy(), atol=1e-12)


def test_orthogonal_refuses_what_it_cannot_do():
    with pytest.raises(twofold.TwofoldError, match="not known"):
        orthogonal(nn.Linear(2, 2), orthogonal_map="polar")
    with pytest.raises(twofold.TwofoldError, match="a matrix is wanted"):
        orthogonal(nn.Linear(2, 2), "bias")
    with pytest.raises(twofold.TwofoldError, match="is not inverted"):
        orthogonal(nn.Linear(2, 2), use_trivialization=False).weight = twofold.eye(2)


def both_adaptive(**options):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], 2.0, **options).double()
    ours = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], 2.0, **options).double()
    state = {k: twofold.from_numpy(v.numpy().copy()) for k, v in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return ours, theirs, torch


@pytest.mark.parametrize("labels", [range(20), [1, 3, 0], [19], 12])
@pytest.mark.parametrize("head_bias", [False, True])
def test_adaptive_softmax_is_pytorchs(labels, head_bias):
    ours, theirs, torch = both_adaptive(head_bias=head_bias)
    y = np.array(list(labels) if not isinstance(labels, int) else labels)
    values = np.random.default_rng(0).standard_normal((*y.shape, 8))
    found = []
    for layer, t in ((ours, twofold), (theirs, torch)):
        x = t.from_numpy(values).requires_grad_()
        made = layer(x, t.from_numpy(y) if y.ndim else t.tensor(int(y)))
        made.loss.backward()
        rows = x.detach().reshape(-1, 8)
        grads = [p.grad.numpy() for p in layer.parameters() if p.grad is not None]
        parts = [made.output, layer.log_prob(rows), layer.predict(rows)]
        found.append([p.detach().numpy() for p in parts] + [x.grad.numpy(), *grads])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_adaptive_softmax_refuses():
    with pytest.raises(twofold.TwofoldError, match="do not rise"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 20, [10, 4])
    layer = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4])
    with pytest.raises(IndexError, match="a target is no class"):
        layer(twofold.randn(2, 8), twofold.tensor([1, 20]))
    with pytest.raises(twofold.TwofoldError, match="one row for each"):
        layer(twofold.randn(2, 8), twofold.tensor([1, 2, 3]))


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.total = nn.Buffer(twofold.zeros(2))
        self.last = nn.Buffer(twofold.zeros(2), persistent=False)

    def forward(self, x):
        self.total += x
        return self.total


def test_assigned_buffers_are_buffers():
    module = Counter()
    assert [n for n, _ in module.named_buffers()] == ["total", "last"]
    assert list(module.state_dict()) == ["total"]
    module(twofold.ones(2))
    assert module.total.tolist() == [1.0, 1.0]
    assert isinstance(nn.Buffer(twofold.ones(1)), twofold.Tensor)


def test_submodules_are_exchanged_and_compiled_in_place():
    net = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    net.set_submodule("1.1", nn.Tanh())
    assert isinstance(net[1][1], nn.Tanh)
    with pytest.raises(AttributeError):
        net.set_submodule("1.7", nn.Tanh(), strict=True)
    x = twofold.randn(3, 2)
    wanted, names = net(x), list(net.state_dict())
    net.compile()
    assert (net(x) == wanted).all() and list(net.state_dict()) == names
    net.to_empty(device="cpu")
    assert net[0].weight.shape == (2, 2)
