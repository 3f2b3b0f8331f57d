"""One program for fifty batches and lengths of a transformer's training step."""

import random

import pytest

import twofold
import twofold.nn.functional as F
from twofold import nn, optim


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x):
        b, t, c = x.shape
        parts = self.qkv(self.first(x)).split(c, -1)
        q, k, v = (p.view(b, t, self.heads, c // self.heads).transpose(1, 2) for p in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.second(x))


class Language(nn.Module):
    def __init__(self, words=17, width=12, longest=20):
        super().__init__()
        self.words = words
        self.token, self.place = nn.Embedding(words, width), nn.Embedding(longest, width)
        self.blocks = nn.ModuleList([Block(width, 2) for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words)

    def forward(self, x):
        h = self.token(x) + self.place(twofold.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def training(compiled):
    twofold.manual_seed(0)
    model = Language()
    opt = optim.AdamW(model.parameters(), lr=1e-2)
    schedule = optim.lr_scheduler.StepLR(opt, 10, 0.5)

    def step(x, y):
        opt.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits.view(-1, model.words), y.view(-1))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        schedule.step()
        return loss

    return (twofold.compile(step) if compiled else step), model, opt


def test_fifty_shapes_are_one_program():
    (step, model, opt), (plain, other, _) = training(True), training(False)
    generator = random.Random(0)
    shapes = [(generator.randint(1, 5), generator.randint(1, 20)) for _ in range(46)]
    for shape in [*shapes, (1, 1), (5, 5), (1, 20), (5, 1)]:
        x, y = twofold.randint(0, 17, shape), twofold.randint(0, 17, shape)
        assert step(x, y).item() == plain(x, y).item()
    assert len(step.all_programs()) == 1
    assert opt.param_groups[0]["lr"] == 1e-2 * 0.5**5
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def test_einsum_where_a_size_is_one_after_all():
    f = twofold.compile(lambda a, b: twofold.einsum("ijb,jbd->ibd", a, b))
    for batch in (1, 2):
        a, b = twofold.randn(3, 4, batch), twofold.randn(4, 2, 5)
        wanted = twofold.einsum("ijb,jbd->ibd", a, b)
        assert (f(a, b) == wanted).all() and tuple(wanted.shape) == (3, 2, 5)


def test_sizes_in_a_new_tensor():
    f = twofold.compile(lambda x: twofold.tensor([x.shape[0], [x.shape[1] * 2, 7][0]]) + 1)
    for shape in ((2, 3), (4, 3)):
        assert f(twofold.ones(*shape)).tolist() == [shape[0] + 1, 7]


def test_windows_of_unequal_sizes_are_one_program():
    def f(x):
        return F.adaptive_avg_pool2d(x, (2, 3)), F.adaptive_avg_pool1d(x[:, 0].double(), 9)

    compiled = twofold.compile(f)
    for n in (7, 11, 13, 17):
        x = twofold.arange(2.0 * n * (n + 3)).reshape(2, 1, n, n + 3).sin()
        for made, wanted in zip(compiled(x), f(x), strict=True):
            assert twofold.equal(made, wanted)
    assert len(compiled.all_programs()) == 1


def same_for(function, *calls):
    """Results and slopes of one program, to the last bit (and sign), are eager's for all calls."""
    compiled = twofold.compile(function)
    for args in calls:
        found = []
        for call in (compiled, function):
            leaves = [x.detach().clone().requires_grad_() for x in args]
            made = call(*leaves)
            (made * made).sum().backward()
            grads = [x.grad for x in leaves]
            found.append([x.detach().numpy().tobytes() for x in (made, *grads) if x is not None])
            shape = made.shape
        assert found[0] == found[1], shape
    return len(compiled.all_programs())


IMAGES = [(2, 3, 8, 8), (1, 3, 12, 4), (3, 1, 5, 7), (1, 1, 1, 2)]
POOLS = {
    "avg of all": lambda x, y: F.avg_pool2d(x, x.shape[-2:]),
    "avg with padding": lambda x, y: F.avg_pool2d(x, (x.size(2), 2), stride=1, padding=(0, 1)),
    "avg along a line": lambda x, y: F.avg_pool1d(x[:, :, 0], x.size(3)),
    "max of rows": lambda x, y: F.max_pool2d(x, (x.size(2), 1)),
    "adaptive": lambda x, y: F.adaptive_avg_pool2d(x, (3, 5)),
    "adaptive by another": lambda x, y: F.adaptive_avg_pool2d(x, (y.size(2), y.size(3))),
    "pyramid": lambda x, y: twofold.cat(
        [F.adaptive_avg_pool2d(x, k).flatten(1) for k in (1, 2, 3)], 1
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_windows_as_large_as_images_are_one_program(name):
    calls = [(twofold.randn(*n), twofold.randn(1, 1, 9 + i, 13)) for i, n in enumerate(IMAGES[:3])]
    assert same_for(POOLS[name], *calls) == 1


MODES = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")
RESIZED = {
    "by a factor": lambda x, y, mode: F.interpolate(x, scale_factor=2, mode=mode),
    "to twice the size": lambda x, y, mode: F.interpolate(
        x, size=(x.shape[2] * 2, x.shape[3] * 2), mode=mode
    ),
    "to another's size": lambda x, y, mode: F.interpolate(x, size=y.shape[-2:], mode=mode),
    "to a known size": lambda x, y, mode: F.interpolate(x, size=(10, 6), mode=mode),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", RESIZED)
def test_images_of_any_size_are_resized_by_one_program(name, mode):
    calls = [(twofold.randn(*n), twofold.randn(1, 1, 9 + i, 13)) for i, n in enumerate(IMAGES)]
    assert same_for(lambda x, y: RESIZED[name](x, y, mode), *calls) == 1


def test_smooth_images_and_bytes_are_resized_by_one_program():
    def f(x):
        size = (x.shape[2] // 2, x.shape[3] * 2)
        smooth = F.interpolate(x, size=size, mode="bilinear", antialias=True)
        corners = F.interpolate(x, size=size, mode="bicubic", align_corners=True)
        whole = F.interpolate((x * 50 + 99).to(twofold.uint8), size=size, mode="bilinear")
        return smooth * corners + whole

    assert same_for(f, *[(twofold.randn(*n),) for n in ((1, 2, 8, 9), (2, 1, 5, 7))]) == 1


def test_a_picture_joined_with_one_of_half_its_size_is_one_program():
    def f(x):
        small = F.avg_pool2d(x, 2)
        return twofold.cat([x, F.interpolate(small, scale_factor=2, mode="bilinear")], 1)

    assert same_for(f, *[(twofold.randn(1, 2, 4, n),) for n in (4, 8, 6)]) == 1


def test_an_infinity_stays_in_its_window():
    x = twofold.tensor([[[float("inf"), 1.0, 2.0, 3.0, 5.0]]])
    assert F.adaptive_avg_pool1d(x, 2)[0, 0, 1] == 10 / 3
    assert F.adaptive_avg_pool1d(x, 2)[0, 0, 0] == float("inf")


@pytest.mark.parametrize("count", (1, 2, 3, 5, 7))
def test_means_of_windows_are_those_of_any_size(count):
    compiled = twofold.compile(lambda x, y: F.adaptive_avg_pool1d(x, y.shape[0]))
    for size in (1, 2, 6, 7, 9, 70):
        x = twofold.randn(1, 2, size)
        x[0, 0, :2] = -0.0
        found = []
        for f in (compiled, lambda x, y: F.adaptive_avg_pool1d(x, y.shape[0])):
            leaf = x.clone().requires_grad_()
            made = f(leaf, twofold.ones(count))
            made.backward(twofold.full(made.shape, -0.0))
            found.append((made.detach().numpy().tobytes(), leaf.grad.numpy().tobytes()))
        assert found[0] == found[1], size
