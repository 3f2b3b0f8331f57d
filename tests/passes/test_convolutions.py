"""What follows a convolution, inside of it: one call, the same bits."""

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.lower import conv_product

# channels, filters, size, kernel, stride, padding, groups: tiles of pixels, of filters, depthwise
LAYERS = {
    "many pixels": (16, 40, 23, 3, 1, 1, 1),
    "tiny images": (40, 70, 5, 3, 1, 1, 1),
    "strided": (24, 33, 17, 3, 2, 1, 1),
    "pointwise": (70, 48, 9, 1, 1, 0, 1),
    "few channels": (3, 20, 30, 7, 2, 3, 1),
    "groups": (32, 64, 11, 3, 1, 1, 2),
    "depthwise": (16, 16, 12, 3, 1, 1, 16),
}


class Block(nn.Module):
    """conv -> batch_norm -> + x -> relu, each where it is wanted."""

    def __init__(self, name, bias, normal, residual):
        super().__init__()
        inside, out, _, kernel, stride, padding, groups = LAYERS[name]
        self.conv = nn.Conv2d(inside, out, kernel, stride, padding, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(out) if normal else None
        self.residual = residual
        if normal:
            with twofold.no_grad():
                for value in (self.norm.weight, self.norm.bias, self.norm.running_mean):
                    value.copy_(twofold.randn(out))
                self.norm.running_var.copy_(twofold.rand(out) + 0.5)

    def forward(self, x, other):
        y = self.conv(x)
        y = y if self.norm is None else self.norm(y)
        return F.relu(y + other) if self.residual else F.relu(y)


def names(f, *args):
    return [call.op.name for call in f.graph(*args).calls]


def bits(*values):
    return [value.detach().numpy().tobytes() for value in values]


def given(model, name, batch, dtype=twofold.float32):
    inside, _, size, *_ = LAYERS[name]
    x = twofold.randn(batch, inside, size, size, dtype=dtype)
    return x, twofold.randn(model.conv(x).shape, dtype=dtype)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    ("bias", "normal", "residual"),
    [(True, False, False), (False, True, False), (False, True, True), (True, True, True)],
)
def test_a_block_is_one_call_with_the_bits_of_its_parts(name, bias, normal, residual):
    model = Block(name, bias, normal, residual).eval()
    with twofold.no_grad():
        f = twofold.compile(model.forward)
        for batch in (3, 1, 0, 8):
            x, other = given(model, name, batch)
            assert bits(f(x, other)) == bits(model(x, other))
        assert names(f, x, other) == ["conv_then"]
        assert len(f.programs) == 1  # sizes are symbols


@pytest.mark.parametrize("dtype", [twofold.float32, twofold.float64])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("blocks", [0, 1000])
@pytest.mark.parametrize("depth", [50, 1000])
def test_every_kernel_does_it(dtype, turned, blocks, depth, monkeypatch):
    monkeypatch.setattr(conv_product, "prefers_turned", lambda *_: turned)
    monkeypatch.setattr(conv_product, "MANY_BLOCKS", blocks)
    monkeypatch.setattr(conv_product, "TURNED_DEPTH_BLOCK", depth)
    monkeypatch.setattr(conv_product, "DEPTH_BLOCK", depth)
    for name in ("many pixels", "tiny images", "groups"):
        model = Block(name, True, True, True).to(dtype).eval()
        with twofold.no_grad():
            x, other = given(model, name, 5, dtype)
            f = twofold.compile(model.forward)
            assert bits(f(x, other)) == bits(model(x, other))
            assert bits(f(x, other)[2]) == bits(f(x[2:3], other[2:3]))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(threads):
    model = Block("many pixels", True, True, True).eval()
    before = twofold.get_num_threads()
    with twofold.no_grad():
        x, other = given(model, "many pixels", 4)
        wanted = bits(model(x, other))
        try:
            twofold.set_num_threads(threads)
            assert bits(twofold.compile(model.forward)(x, other)) == wanted
        finally:
            twofold.set_num_threads(before)


def test_the_graph_of_a_residual_network(golden):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.one = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1)
            self.two = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.norm, self.short = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1, bias=False)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.stem(x)), 2)
            y = F.relu(self.norm(self.one(x)))
            return F.relu(self.two(y) + self.short(x))

    model = Net().eval()
    f = twofold.compile(model.forward)
    with twofold.no_grad():
        x = twofold.randn(2, 3, 10, 10)
        assert bits(f(x)) == bits(model(x))
        # the sum is done where both of its parts are known
        golden("graphs/residual", str(f.graph(x)))


def test_what_is_read_elsewhere_stays():
    conv, norm = nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6).eval()
    x = twofold.randn(2, 4, 8, 8)

    def norm_and_before(x):
        y = conv(x)
        return norm(y), y

    def relu_and_before(x):
        y = norm(conv(x))
        return F.relu(y), y

    def twice(x):
        y = conv(x)
        return y * y.sigmoid()

    def sum_as_well(x):
        y = norm(conv(x))
        return F.relu(y), y.sum()

    wanted = [
        (norm_and_before, ["conv", "batch_norm_inference"]),
        (relu_and_before, ["conv_then", "relu"]),
        (twice, ["conv_then"]),
        (sum_as_well, ["conv_then", "relu", "sum"]),
    ]
    with twofold.no_grad():
        for f, expected in wanted:
            g = twofold.compile(f)
            assert names(g, x) == expected, f.__name__
            made, again = f(x), g(x)
            pairs = (made, again) if isinstance(made, tuple) else ((made,), (again,))
            assert bits(*pairs[0]) == bits(*pairs[1]), f.__name__


def test_what_is_made_later_or_has_another_shape_stays():
    conv = nn.Conv2d(4, 6, 3)
    x = twofold.randn(2, 4, 8, 8)
    shift = twofold.randn(6, 1, 1)
    with twofold.no_grad():
        later = twofold.compile(lambda x: conv(x) + conv(x).sum())  # common: one conv, read twice
        assert "conv" in names(later, x)
        spread = twofold.compile(lambda x: conv(x) + shift)
        assert names(spread, x)[0] == "conv"
        assert bits(spread(x)) == bits(conv(x) + shift)
        other = twofold.compile(lambda x: conv(x) + (x * 2)[:, :1, :6, :6].exp().expand(2, 6, 6, 6))
        assert bits(other(x)) == bits(conv(x) + (x * 2)[:, :1, :6, :6].exp().expand(2, 6, 6, 6))


def test_halves_stay_as_they_are():
    conv, norm = nn.Conv2d(4, 6, 3).half(), nn.BatchNorm2d(6).half().eval()
    x = twofold.randn(2, 4, 8, 8).half()
    with twofold.no_grad():
        f = twofold.compile(lambda x: F.relu(norm(conv(x))))
        assert names(f, x)[0] == "conv"
        assert bits(f(x)) == bits(F.relu(norm(conv(x))))


def test_nan_and_minus_zero_pass_through():
    conv = nn.Conv2d(1, 1, 1, bias=False)
    with twofold.no_grad():
        conv.weight.copy_(twofold.tensor([[[[-1.0]]]]))
        x = twofold.tensor([[[[float("nan"), 0.0, -2.0], [3.0, float("inf"), -0.0]]]])
        f = twofold.compile(lambda x: F.relu(conv(x)))
        assert bits(f(x)) == bits(F.relu(conv(x)))


def test_the_norm_follows_what_is_written_into_its_moments():
    model = Block("tiny images", False, True, False).eval()
    f = twofold.compile(model.forward)
    with twofold.no_grad():
        x, other = given(model, "tiny images", 2)
        before = bits(f(x, other))
        model.norm.running_mean.add_(1.0)
        model.conv.weight.mul_(0.5)
        assert bits(f(x, other)) == bits(model(x, other)) != before


def test_a_training_step_keeps_its_bits():
    def make():
        twofold.manual_seed(4)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3),
            nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.Tanh(), nn.Flatten(),
            nn.Linear(24 * 9, 5),
        )  # fmt: skip

    def step_of(model):
        optimizer = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    eager, captured = make(), make()
    one, other = step_of(eager), twofold.compile(step_of(captured))
    for n in (8, 3, 8):
        x, y = twofold.randn(n, 1, 14, 14), twofold.randint(0, 5, (n,))
        assert one(x, y).item() == other(x, y).item()
    for a, b in zip(eager.parameters(), captured.parameters(), strict=True):
        assert bits(a) == bits(b)
    assert names(other, x, y).count("conv_then") == 2


def test_the_reference_agrees():
    from twofold.ops.fused import CONV_THEN

    model = Block("tiny images", True, True, True).eval()
    f = twofold.compile(model.forward)
    with twofold.no_grad():
        x, other = given(model, "tiny images", 2)
        (call,) = f.graph(x, other).calls
        norm = model.norm
        rest = [norm.running_mean, norm.running_var, norm.weight, norm.bias, other]
        arrays = [v.detach().numpy() for v in (x, model.conv.weight, model.conv.bias, *rest)]
        assert call.op is CONV_THEN
        found = CONV_THEN.ref(*arrays, **CONV_THEN.keywords(call.attrs))
        np.testing.assert_allclose(found, f(x, other).numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [4, 9, 40])
def test_places_of_a_maximum_that_nobody_reads_are_not_made(kernel, size):
    x = twofold.randn(2, 3, size, size)
    x[0, 0, 1, 1] = float("nan")
    x[0, 1] = 0.0
    x[0, 1, 2] = -0.0

    def values(x):
        return F.max_pool2d(x, kernel, 2, kernel // 2)

    with twofold.no_grad():
        f = twofold.compile(values)
        assert names(f, x) == ["max_pool_values"]
        assert bits(f(x)) == bits(values(x))
        both = twofold.compile(
            lambda x: F.max_pool2d(x, kernel, 2, kernel // 2, return_indices=True)
        )
        assert names(both, x)[0].startswith("max_pool") and "max_pool_values" not in names(both, x)
