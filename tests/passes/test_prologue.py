"""Elementwise operations within softmax and layer_norm: one call, the same bits."""

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

ROWS = {
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "layer_norm": lambda x: F.layer_norm(x, x.shape[-1:]),
}
SHAPES = [(3, 1000), (7, 50), (40, 9), (9, 256), (2, 5000), (1, 4097), (5, 3, 8), (0, 4), (6,)]


def names(f, *args):
    return [call.op.name for call in f.graph(*args).calls]


def bits(x):
    return x.detach().numpy().tobytes()


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("dtype", [twofold.float32, twofold.float64])
def test_elements_are_computed_while_rows_are_read(name, dtype):
    rows = ROWS[name]

    def f(x, y):
        return rows(F.gelu(x) * y + x), rows(x.exp())

    compiled = twofold.compile(f)
    for shape in SHAPES:
        x, y = twofold.randn(shape, dtype=dtype), twofold.randn(shape, dtype=dtype)
        with twofold.no_grad():
            assert names(compiled, x, y) == [f"{name}_of"] * 2
            for got, want in zip(compiled(x, y), f(x, y), strict=True):
                assert bits(got) == bits(want), shape


@pytest.mark.parametrize("shape", [(4, 33), (30, 10)])
def test_layer_norm_keeps_weight_and_bias(shape):
    w, b = twofold.randn(shape[1]), twofold.randn(shape[1])
    for affine in ((), (w,), (w, b)):

        def f(x, r, affine=affine):
            return F.layer_norm(x + r, shape[1:], *affine)

        compiled = twofold.compile(f)
        x, r = twofold.randn(shape), twofold.randn(shape)
        assert names(compiled, x, r) == ["layer_norm_of"]
        assert twofold.explain(compiled).fused == ("[add(#0, #1)]",)
        assert bits(compiled(x, r)) == bits(f(x, r))
        assert bits(compiled(x.T.contiguous().T, r)) == bits(f(x, r))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_every_axis_and_layout(dim):
    def f(x):
        return F.softmax(F.silu(x), dim)

    compiled = twofold.compile(f)
    x = twofold.randn(5, 40, 6)
    for given in (x, x.transpose(0, 2), x[:, ::2], x[1:2].expand(4, 40, 6)):
        assert names(compiled, given) == ["softmax_of"]
        assert bits(compiled(given)) == bits(f(given))


@pytest.mark.parametrize("scale", [lambda x: x * 0.125, lambda x: 1 / x, lambda x: x * x])
def test_numbers_are_part_of_the_rows(scale):
    def f(x):
        return F.log_softmax(scale(x), -1)

    compiled = twofold.compile(f)
    for given in (twofold.randn(7, 33), twofold.randn(2, 3, 8)):
        assert names(compiled, given) == ["log_softmax_of"]
        assert bits(compiled(given)) == bits(f(given))


def test_what_is_read_elsewhere_or_differs_stays():
    x, row = twofold.randn(4, 5), twofold.randn(5)

    def both(x):
        y = x.exp()
        return F.softmax(y, -1), y

    assert names(twofold.compile(both), x) == ["exp", "softmax"]
    assert names(twofold.compile(lambda x, r: F.softmax(x + r, -1)), x, row) == ["add", "softmax"]
    half = twofold.compile(lambda x: F.softmax(x.exp(), -1))
    assert "softmax_of" not in names(half, x.half())
    assert bits(half(x.half())) == bits(F.softmax(x.half().exp(), -1))


def test_what_is_written_over_is_read_before():
    w = twofold.randn(4, 5)
    start = w.clone()

    def f(x):
        y = w.exp()
        w.add_(x)
        return F.softmax(y, -1)

    x = twofold.randn(4, 5)
    got = twofold.compile(f)(x)
    assert bits(got) == bits(F.softmax(start.exp(), -1))
    assert bits(w) == bits(start + x)


def test_a_training_step_keeps_its_bits():
    def step_of(model):
        optimizer = optim.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            h = F.layer_norm(x + model(x), (8,))
            loss = F.mse_loss(F.softmax(F.gelu(h) * y, -1), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    def make():
        twofold.manual_seed(0)
        return nn.Linear(8, 8)

    eager, captured = make(), make()
    one, other = step_of(eager), twofold.compile(step_of(captured))
    for seed in range(3):
        twofold.manual_seed(seed)
        x, y = twofold.randn(6, 8), twofold.randn(6, 8)
        assert bits(one(x, y)) == bits(other(x, y))
    assert bits(eager.weight) == bits(captured.weight)
