"""One program for all sizes: random ones, 0 and 1 among them, with the bits of eager."""

import numpy as np
import pytest
from twice import compare

import twofold
from twofold import nn

F = nn.functional
ROUNDS = 50
CASES = {}


def case(*shapes, least=0, labels=None):
    """A function of tensors whose sizes are numbers, or names of random sizes from `least` on."""

    def enter(function):
        CASES[function.__name__] = function, shapes, least, labels
        return function

    return enter


def sizes_of(random, shapes, least, number):
    """Random sizes; the second and third round take 0 and 1 where they may be."""
    names = sorted({n for shape in shapes for n in shape if isinstance(n, str)})
    if number in (1, 2):
        return dict.fromkeys(names, max(least, number - 1))
    return {name: int(random.integers(least, 9)) for name in names}


def tensors(random, shapes, sizes):
    made = []
    for shape in shapes:
        array = random.normal(size=tuple(sizes.get(n, n) for n in shape)).astype(np.float32)
        made.append(twofold.tensor(array, requires_grad=True))
    return tuple(made)


def differentiated(function):
    """The function, which also puts gradients into `.grad` of what it is given."""

    def step(*xs):
        made = function(*xs)
        outs = made if isinstance(made, tuple | list) else (made,)
        total = sum((y * y).sum() for y in outs if y.requires_grad)
        if isinstance(total, twofold.Tensor):
            total.backward()
        return made

    return step


@case(("n", 5))
def mlp(x):
    return LAYERS["MLP"](x)


@case(("n", 3, "h", "w"), least=3)
def convnet(x):
    return LAYERS["CONVNET"](x)


@case(("n", "t", 8), least=1)
def transformer(x):
    return LAYERS["TRANSFORMER"](x)


@case(("n", "t", 8), least=1)
def attention(x):
    q, k, v = x.split(8, -1)[0], x * 2, x + 1
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


@case(("n", "t"))
def embedding(x):
    return LAYERS["TABLE"]((x.detach() * 7).long().clamp(0, 9))


@case((4, "n", 5), least=1)
def lstm(x):
    return LAYERS["LSTM"](x)[0]


@case(("n", "m"))
def reshapes(x):
    return x.reshape(-1), x.flatten(), x.view(x.shape[1], x.shape[0]), x.t().reshape(-1, 1), x[None]


@case(("n", 6))
def cuts(x):
    return *x.split(4, 1), *x.chunk(3, 1), *x.tensor_split(4, 0), x[1:], x[:-1], x[::2], x[..., 1:3]


@case(("n", "m"))
def slices_by_sizes(x):
    n, m = x.shape
    return (
        x[: n // 2],
        x[n // 2 :],
        x[:, : m // 3],
        x.narrow(1, 0, m // 2),
        x[n - n // 2 :],
        x.flip(0),
    )


@case(("n", "m"), least=2)
def halves(x):
    return x.chunk(2, 1)


@case(("n", "m"), ("n", "k"))
def joined(x, y):
    both = twofold.cat([x, y], 1)
    return both, twofold.stack([x, x * 2]), both.sum(1), twofold.cat([both, both], 0)


@case(("n", "m"))
def padded(x):
    n, m = x.shape
    return F.pad(x, (1, 2)), F.pad(x, (m, n)), F.pad(x, (0, 0, 3, 0), value=2.0)


@case(("n", "m"), least=1)
def statistics(x):
    return x.mean(), x.mean(0), x.var(1, correction=0), x.std(0, correction=0), x.norm(), x.amax(0)


@case(("n", "m"))
def sums(x):
    return x.sum(), x.sum(0), x.prod(1), x.cumsum(1), x.logsumexp(0), x.mean(1), x.norm(dim=1)


@case(("n", "m"), least=1)
def softmaxes(x):
    return x.softmax(-1), x.log_softmax(0), F.layer_norm(x, (x.shape[1],)), F.normalize(x)


@case(("n", "m"))
def ranges(x):
    n, m = x.shape
    i, j = twofold.arange(n), twofold.arange(m)
    return x + j, x * i[:, None], i * 2 + n, twofold.arange(1, n + 3, 2), x / max(1, 2) * n


@case(("n", "n2"))
def masks(x):
    mask = twofold.arange(x.shape[1])[None] <= twofold.arange(x.shape[0])[:, None]
    return x.masked_fill(~mask, 0.0), twofold.where(mask, x, x * 2), x.tril(), x.triu(1), mask


@case(("n", "m"), ("m", "k"))
def products(x, y):
    return (
        x @ y,
        twofold.einsum("nm,mk->kn", x, y),
        (x @ y).t(),
        x.t() @ x,
        twofold.outer(x[:, 0:1].sum(1), y.sum(0)),
    )


@case(("n", "m"), ("m",), ("n", "m"))
def broadcasts(x, row, y):
    return x + row, x * y - row[None], x.expand(2, -1, -1), x - y.sum(1, keepdim=True), x * ROW


@case(("b", "n", "m"), least=1)
def moved(x):
    y = x.permute(2, 0, 1)
    return (
        y,
        y.reshape(y.shape[0], -1),
        x.transpose(1, 2) @ x,
        x.movedim(0, 2).contiguous(),
        x.unsqueeze(1),
        x.repeat(1, 2, 1),
        x.roll(1, 1),
    )


@case(("n", "m"))
def made(x):
    return (
        twofold.zeros(x.shape) + x,
        x.new_ones(x.shape[1]),
        twofold.full((x.shape[0], 2), 3.0),
        twofold.eye(x.shape[0]),
        twofold.zeros_like(x),
        twofold.linspace(0, 1, x.shape[0] + 2),
    )


@case(("n", "m"), least=1)
def gathered(x):
    i = twofold.arange(x.shape[0]) % x.shape[1]
    return (
        x.gather(1, i[:, None]),
        x[twofold.arange(x.shape[0]), i],
        x.index_select(1, i),
        F.one_hot(i, 9),
        x.sort(1).values,
        x.topk(1).values,
    )


@case(("n", 4))
def losses(x):
    y = twofold.arange(x.shape[0]) % 4
    return (
        F.cross_entropy(x, y, reduction="sum"),
        F.mse_loss(x, x * 0.5, reduction="sum"),
        F.nll_loss(x.log_softmax(1), y, reduction="none"),
    )


@case(("n", 4, "l"), least=2)
def normalised(x):
    return LAYERS["NORM"](x), F.group_norm(x, 2), F.instance_norm(x)


@case(("n", "m"))
def written(x):
    y = x * 1
    y[1:] += 1
    y[:, :2] = 0
    y[y > 1] = 0.5
    return y, y.t()


@case(("n", "m"))
def drawn(x):
    return F.dropout(x, 0.5), x + twofold.randn(x.shape), twofold.rand_like(x)


def layers():
    twofold.manual_seed(1)
    return {
        "MLP": nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)),
        "CONVNET": nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        "TRANSFORMER": nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval(),
        "TABLE": nn.Embedding(10, 4),
        "LSTM": nn.LSTM(5, 6),
        "NORM": nn.BatchNorm1d(4).eval(),
    }


LAYERS = layers()
ROW = twofold.randn(1, 1)


@pytest.mark.parametrize("name", CASES)
def test_one_program_for_all_sizes(name):
    function, shapes, least, _ = CASES[name]
    random = np.random.default_rng(7)
    compiled = twofold.compile(differentiated(function))
    for number in range(ROUNDS):
        sizes = sizes_of(random, shapes, least, number)
        state = random.bit_generator.state

        def call(sizes=sizes, state=state):
            random.bit_generator.state = state
            return tensors(random, shapes, sizes)

        compare(differentiated(function), [call], compiled)
    programs = compiled.all_programs()
    asked = [
        f"{p.graph.table.text(g.left)} {g.test} {p.graph.table.text(g.right)}: {g.holds}"
        for p in programs
        for g in p.graph.guards
    ]
    assert len(programs) == 1, asked
