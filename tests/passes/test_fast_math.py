"""compile(f, fast_math=True): other sums, of the same accuracy; never without being asked."""

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, padding=1)
        self.second = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(32)
        self.last = nn.Conv2d(32, 32, 3, stride=2)

    def forward(self, x):
        x = self.first(x).relu()
        return self.last((self.norm(self.second(x)) + x).relu())


def names(f, *args):
    return [call.op.name for call in f.graph(*args).calls]


def near(a, b, tolerance=2e-6):
    return bool((a - b).abs().max() <= tolerance * b.abs().max())


def test_inference_is_near_eager_and_uses_other_sums():
    twofold.manual_seed(0)
    model = Net().eval()
    with twofold.no_grad():
        for value in (model.norm.running_mean, model.norm.running_var):
            value.copy_(twofold.rand(32) + 0.5)
        fast = twofold.compile(model.forward, fast_math=True)
        for batch, size in ((4, 32), (1, 45), (6, 20)):
            x = twofold.randn(batch, 3, size, size)
            assert near(fast(x), model(x))
            assert not twofold.equal(fast(x), model(x))
        assert names(fast, x).count("conv_fast") == 2
        assert names(fast, x).count("conv") == 1
    assert twofold.explain(fast).compiles == 1


def test_a_module_is_compiled_so_too():
    model = nn.Conv2d(32, 32, 3, padding=1)
    fast = twofold.compile(model, fast_math=True)
    x = twofold.randn(4, 32, 32, 32)
    assert near(fast(x).detach(), model(x).detach())
    assert not twofold.equal(fast(x), model(x))


def test_without_it_bits_are_those_of_eager():
    model = Net()
    x = twofold.randn(4, 3, 32, 32)
    for plain in (twofold.compile(model.forward), twofold.compile(model.forward, fast_math=False)):
        assert "conv_fast" not in names(plain, x)


def test_training_follows_the_plain_program():
    def training(**options):
        twofold.manual_seed(3)
        model = Net()
        optimizer = optim.SGD(model.parameters(), lr=0.05)

        @twofold.compile(**options)
        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x).mean((2, 3)), y)
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    x, y = twofold.randn(8, 3, 24, 24), twofold.randint(0, 32, (8,))
    (plain, step), (fast, fast_step) = training(), training(fast_math=True)
    for _ in range(3):
        loss, fast_loss = step(x, y), fast_step(x, y)
    assert fast_loss.item() == pytest.approx(loss.item(), rel=1e-5)
    called = names(fast_step, x, y)
    assert called.count("conv_fast") == 2
    assert called.count("conv_input_grad_fast") == 1
    for a, b in zip(fast.parameters(), plain.parameters(), strict=True):
        assert near(a.detach(), b.detach(), 1e-4)


def test_float64_is_left_alone():
    model = nn.Conv2d(32, 32, 3, padding=1).double()
    fast = twofold.compile(model.forward, fast_math=True)
    x = twofold.randn(2, 32, 24, 24, dtype=twofold.float64)
    assert twofold.equal(fast(x), model(x))
    assert "conv_fast" not in names(fast, x)
