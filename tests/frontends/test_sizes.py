"""One program for fifty batches and lengths of a transformer's training step."""

import random

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
