"""Modules as functions: per-sample gradients, ensembles, buffers."""

import numpy as np
import pytest

import twofold
from twofold import func, nn
from twofold.base.errors import ArgumentError, DTypeError, TwofoldError
from twofold.nn import functional as F


def mlp():
    return nn.Sequential(nn.Linear(6, 17), nn.Tanh(), nn.Linear(17, 9), nn.GELU(), nn.Linear(9, 3))


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3), nn.GroupNorm(2, 6), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3),
    )  # fmt: skip


CASES = {"mlp": (mlp, (6,)), "convnet": (convnet, (1, 8, 8))}


@pytest.fixture(params=CASES)
def case(request):
    make, shape = CASES[request.param]
    twofold.manual_seed(0)
    net = make()
    x, y = twofold.randn(11, *shape), twofold.randint(3, (11,))

    def loss(state, x, y):
        return F.cross_entropy(func.functional_call(net, state, (x.unsqueeze(0),)), y.unsqueeze(0))

    state = {name: p.detach() for name, p in net.named_parameters()}
    return net, loss, state, x, y


def test_per_sample_gradients_are_the_loop_bit_for_bit(case):
    _, loss, state, x, y = case
    found = func.vmap(func.grad(loss), (None, 0, 0))(state, x, y)
    for row in range(11):
        alone = func.grad(loss)(state, x[row], y[row])
        for name, g in alone.items():
            assert np.array_equal(found[name][row].numpy(), g.numpy()), name


def test_row_7_of_a_batch_is_that_row_alone(case):
    _, loss, state, x, y = case
    whole = func.vmap(func.grad(loss), (None, 0, 0))(state, x, y)
    alone = func.vmap(func.grad(loss), (None, 0, 0))(state, x[7:8], y[7:8])
    chunked = func.vmap(func.grad(loss), (None, 0, 0), chunk_size=4)(state, x, y)
    for name in state:
        assert np.array_equal(whole[name][7].numpy(), alone[name][0].numpy()), name
        assert np.array_equal(whole[name].numpy(), chunked[name].numpy()), name


def test_the_mean_of_per_sample_gradients_is_backward(case):
    net, loss, state, x, y = case
    found = func.vmap(func.grad(loss), (None, 0, 0))(state, x, y)
    F.cross_entropy(net(x), y).backward()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(found[name].mean(0).numpy(), p.grad.numpy(), 1e-4, 1e-6)


def test_parameters_that_are_tracked_give_gradients_with_a_history(case):
    net, loss, state, x, y = case
    tracked = dict(net.named_parameters())
    found = func.vmap(func.grad(loss), (None, 0, 0))(tracked, x, y)
    plain = func.vmap(func.grad(loss), (None, 0, 0))(state, x, y)
    total = sum((g * g).sum() for g in found.values())
    total.backward()
    again = func.grad(
        lambda s: sum(
            (g * g).sum() for g in func.vmap(func.grad(loss), (None, 0, 0))(s, x, y).values()
        )
    )(state)
    for name, p in tracked.items():
        np.testing.assert_allclose(found[name].detach().numpy(), plain[name].numpy(), 1e-4, 1e-6)
        np.testing.assert_allclose(p.grad.numpy(), again[name].numpy(), 1e-4, 1e-5)


def test_an_ensemble_is_its_models():
    models = [mlp() for _ in range(4)]
    parameters, buffers = func.stack_module_state(models)
    x = twofold.randn(5, 6)
    base = mlp()
    found = func.vmap(lambda p, b: func.functional_call(base, (p, b), (x,)))(parameters, buffers)
    for model, out in zip(models, found, strict=True):
        assert np.array_equal(model(x).detach().numpy(), out.detach().numpy())
    found.sum().backward()
    sum(m(x).sum() for m in models).backward()
    for row, model in enumerate(models):
        np.testing.assert_allclose(
            parameters["0.weight"].grad[row].numpy(), model[0].weight.grad.numpy(), 1e-5, 1e-6
        )


def test_batch_norm_by_its_own_moments_under_vmap():
    """Running statistics are written in place: refused, unless every lane has its own."""
    net = nn.BatchNorm1d(3)
    state = {name: p.detach() for name, p in net.named_parameters()}
    x = twofold.randn(4, 5, 3)
    with pytest.raises(ArgumentError, match="BatchNorm: batched buffers"):
        func.vmap(lambda x: func.functional_call(net, state, (x,)))(x)
    buffers = {k: b.expand(4, *b.shape).clone() for k, b in net.named_buffers()}
    found = func.vmap(lambda b, x: func.functional_call(net, (state, b), (x,)))(buffers, x)
    for row in range(4):
        alone = nn.BatchNorm1d(3)
        assert np.array_equal(alone(x[row]).detach().numpy(), found[row].numpy())
        np.testing.assert_allclose(
            alone.running_mean.numpy(), buffers["running_mean"][row].numpy(), 1e-6, 1e-7
        )
        np.testing.assert_allclose(
            alone.running_var.numpy(), buffers["running_var"][row].numpy(), 1e-6, 1e-7
        )


def test_batch_norm_trains_under_jvp():
    net, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    x, t = twofold.randn(5, 3), twofold.randn(5, 3)
    _, slope = func.jvp(lambda x: net(x), (x,), (t,))
    other(x)
    assert np.array_equal(net.running_mean.numpy(), other.running_mean.numpy())
    rows = func.jacrev(lambda x: F.batch_norm(x, None, None, training=True))(x)
    want = (rows.reshape(15, 15) @ t.reshape(15)).reshape(5, 3)
    np.testing.assert_allclose(slope.detach().numpy(), want.numpy(), 1e-3, 1e-4)


def test_functional_call_leaves_the_module_as_it_was():
    net = mlp()
    before = {k: p for k, p in net.named_parameters()}
    zeros = {k: twofold.zeros_like(p) for k, p in before.items()}
    assert func.functional_call(net, zeros, (twofold.ones(2, 6),)).abs().sum().item() == 0
    with pytest.raises(TwofoldError):
        func.functional_call(net, zeros, (twofold.ones(2, 5),))
    assert all(p is before[k] for k, p in net.named_parameters())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x))


def test_tied_weights_are_replaced_together():
    net, x = Tied(), twofold.ones(1, 3)
    new = {"a.weight": twofold.eye(3) * 2}
    assert func.functional_call(net, new, x).tolist() == [[4, 4, 4]]
    loose = func.functional_call(net, new, x, tie_weights=False)
    assert np.array_equal(loose.detach().numpy(), net.b(x * 2).detach().numpy())


def test_states_are_checked():
    net = mlp()
    state, x = dict(net.named_parameters()), twofold.ones(1, 6)
    with pytest.raises(ArgumentError, match="no parameter or buffer nope"):
        func.functional_call(net, {"nope": x}, x)
    with pytest.raises(ArgumentError, match="is not given"):
        func.functional_call(net, {}, x, strict=True)
    with pytest.raises(ArgumentError, match="several dicts"):
        func.functional_call(net, (state, state), x)
    with pytest.raises(DTypeError, match="is a float"):
        func.functional_call(net, {"0.bias": 1.0}, x)
    with pytest.raises(ArgumentError, match="of 2 classes"):
        func.stack_module_state([mlp(), nn.Linear(2, 2)])


def test_batch_norms_without_running_statistics_under_vmap():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert twofold.func.replace_all_batch_norm_modules_(net) is net
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    x = twofold.randn(5, 6, 3)
    made = twofold.func.vmap(net)(x)
    assert made.shape == (5, 6, 4) and made[2].equal(net(x[2]))
