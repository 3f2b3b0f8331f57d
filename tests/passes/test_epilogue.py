"""Activations within products: one call, the same bits."""

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

ACTIVATIONS = [F.relu, F.sigmoid, F.tanh, F.gelu, F.silu]


def names(f, *args):
    return [call.op.name for call in f.graph(*args).calls]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [twofold.float32, twofold.float64])
@pytest.mark.parametrize("shape", [(1, 9), (33, 17), (3, 5, 8), (130, 70), (0, 4), (6,)])
def test_a_layer_and_its_activation_are_one_call(activation, dtype, shape):
    layer = nn.Linear(shape[-1], 37).to(dtype)
    x = twofold.randn(shape, dtype=dtype)
    with twofold.no_grad():
        f = twofold.compile(lambda x: activation(layer(x)))
        assert names(f, x) == ["linear_then"]
        assert f(x).numpy().tobytes() == activation(layer(x)).numpy().tobytes()


def test_what_is_read_elsewhere_stays():
    x, w = twofold.randn(4, 5), twofold.randn(5, 6)

    def f(x, w):
        y = x @ w
        return y.relu(), y

    compiled = twofold.compile(f)
    assert names(compiled, x, w) == ["matmul", "relu"]
    assert names(twofold.compile(lambda x, w: (x @ w).relu()), x, w) == ["matmul_then"]
    for a, b in zip(compiled(x, w), f(x, w), strict=True):
        assert a.numpy().tobytes() == b.numpy().tobytes()


def test_attributes_and_halves_stay():
    x, w = twofold.randn(4, 5), twofold.randn(5, 6)
    f = twofold.compile(lambda x, w: F.gelu(x @ w, approximate="tanh"))
    assert "matmul" in names(f, x, w)
    half = twofold.compile(lambda x, w: (x @ w).tanh())
    assert "matmul" in names(half, x.half(), w.half())
    assert half(x.half(), w.half()).tolist() == (x.half() @ w.half()).tanh().tolist()


def test_nan_and_minus_zero_pass_through_relu():
    x = twofold.tensor([[float("nan"), 1.0], [-0.0, -0.0], [float("-inf"), 0.0]])
    w = twofold.eye(2)
    f = twofold.compile(lambda x, w: (x @ w).relu())
    assert f(x, w).numpy().tobytes() == (x @ w).relu().numpy().tobytes()


def test_a_training_step_keeps_its_bits():
    def step_of(model):
        optimizer = optim.Adam(model.parameters(), lr=1e-2)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def make():
        twofold.manual_seed(3)
        return nn.Sequential(
            nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 5)
        )

    eager, captured = make(), make()
    one, other = step_of(eager), twofold.compile(step_of(captured))
    for n in (8, 3, 8):
        x, y = twofold.randn(n, 20), twofold.randint(0, 5, (n,))
        assert one(x, y).item() == other(x, y).item()
    for a, b in zip(eager.parameters(), captured.parameters(), strict=True):
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    assert names(other, x, y).count("linear_then") == 2
