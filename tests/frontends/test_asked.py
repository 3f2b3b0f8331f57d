"""Sizes, numbers and choices that values decide: computed before each run of a program."""

import math

import pytest
from programs import agree

import twofold
import twofold.nn.functional as F
from twofold import nn, optim
from twofold.frontends.arrays import CaptureError


def xs(*shape):
    return twofold.randn(*shape)


def both_sides(x, z):
    y = twofold.zeros_like(x)
    mask = x > 0
    y[mask] = x[mask]
    return y


def of_an_expression(x, z):
    y = x.clone()
    mask = x > 0
    y[mask] = x[mask] * 2 + z[mask].exp()
    return y


def numbers(x, z):
    y = x.clone()
    y[y < 0] = 0
    y[y > 1] = z.mean()
    return y


def in_place(x, z):
    y = x.clone()
    y[x > 0] += 1
    y[x < 0] *= z[x < 0]
    return y


def rows(x, z):
    y = x.clone()
    mask = x[:, 0] > 0
    y[mask] = z[mask]
    y[~mask] = z[0]
    y[mask, 1] = 2.0
    y[~mask, 0] -= 1
    return y


def reductions(x, z):
    picked = x[x > 0]
    return picked.sum(), picked.mean(), picked.max(), picked.std(), picked.numel(), picked


def two_masks(x, z):
    first = x[z[:, 0] > 0]
    return first[first[:, 0] < 0.5].sum(0), first.shape


def places(x, z):
    i = (x > 0).nonzero()
    rows, columns = twofold.where(z > 0)
    return i, x[i[:, 0]].sum(0), rows, columns, twofold.masked_select(x, z > 0).mean()


def a_loss_of_a_part(x, z):
    mask = z > 0
    return F.mse_loss(x[mask], z[mask]), F.cross_entropy(x[mask[:, 0]], z[mask[:, 0]].argmax(1))


def a_vector_of_values(x, z):
    y = x.clone()
    count = (x > 0).sum()
    y[x > 0] = twofold.arange(int(count)).float()
    return y, z.flatten()[: int(count)]


@pytest.mark.parametrize(
    "function",
    [both_sides, of_an_expression, numbers, in_place, rows, reductions, two_masks, places]
    + [a_loss_of_a_part, a_vector_of_values],
)
def test_masks(function):
    def program(compile):
        f = compile(function)
        return [f(xs(n, 3), xs(n, 3)) for n in (5, 40, 7)]

    (compiled,) = agree(program, most=2)
    assert function in (numbers, both_sides) or twofold.explain(compiled).asked


def test_a_mask_that_picks_nothing_or_all():
    def program(compile):
        f = compile(lambda x: (x[x > 0].sum(), x[x > 0] * 2))
        return f(xs(4)), f(-twofold.ones(3)), f(twofold.ones(1)), f(twofold.ones(0)), f(xs(4))

    agree(program)


def test_a_mask_and_other_sizes_are_one_program():
    compiled = twofold.compile(lambda x: x[x > 0].mean())
    for n in (5, 9, 100, 6000):
        x = xs(n)
        assert twofold.equal(compiled(x), x[x > 0].mean())
    assert twofold.explain(compiled).compiles == 1


def test_masks_from_outside_are_those_of_each_run():
    mask = twofold.tensor([True, False, True, True])

    def program(compile):
        f = compile(lambda x: x[mask] * 2)
        mask.copy_(twofold.tensor([True, False, True, True]))
        found = [f(xs(4))]
        mask.logical_not_()
        return [*found, f(xs(4)), f(xs(4, 2))]

    agree(program, most=2)


def training(compile, options=()):
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    schedule = optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

    def step(x, labels):
        optimizer.zero_grad()
        out = model(x)
        keep = labels >= 0
        sure = out.max(1).values > 0
        loss = F.cross_entropy(out[keep], labels[keep]) + out[sure].pow(2).sum() * 0.1
        loss.backward()
        optimizer.step()
        schedule.step()
        return loss, keep.sum().item()

    step = compile(step)
    losses = [step(xs(n, 3), twofold.randint(-1, 2, (n,))) for n in (8, 8, 5, 20)]
    return losses, model.state_dict(), list(model.parameters()), optimizer.state_dict()


def test_a_training_step_that_leaves_rows_out():
    agree(training, most=2)


def test_gradients_outside():
    def program(compile):
        model = nn.Linear(3, 3)
        f = compile(lambda x: model(x)[x > 0])
        for n in (4, 7):
            f(xs(n, 3)).pow(2).sum().backward()
        return list(model.parameters())

    agree(program)


def test_a_mask_from_before_picks_in_a_branch():
    def f(x, y):
        mask = x > 0
        if mask.any():
            return (x[mask] - y[mask]).abs().mean()
        return y.mean()

    def program(compile):
        g = compile(f)
        return [g(x, xs(5)) for x in (xs(5), -twofold.ones(5), twofold.ones(5))]

    agree(program)


def test_a_mask_made_in_a_loop_is_refused_with_a_way_out():
    def f(x):
        while x.sum() < 10:
            x = x + x[x > 0].mean()
        return x

    with pytest.raises(CaptureError, match="as many elements as a mask has true ones") as told:
        twofold.compile(f, fullgraph=True)(twofold.ones(3))
    assert "test_asked.py" in str(told.value)
    assert "twofold.where(mask" in str(told.value)


def test_an_error_tells_as_eager_does():
    def f(x, i):
        return x[i][x[i] > 0]

    for g in (f, twofold.compile(f)):
        assert g(xs(4), twofold.tensor([1, 3])) is not None
        with pytest.raises(IndexError, match="index 9 is out of range"):
            g(xs(4), twofold.tensor([1, 9]))


# ---- numbers -------------------------------------------------------------------------------------

SCALE = twofold.tensor(4.0)
COUNT = twofold.tensor(3)
PAIR = twofold.tensor([1, 2])
LIST = [1.0, 2.0, 3.0, 4.0, 5.0]

OUTSIDE = {
    "a root": lambda x: x * math.sqrt(SCALE),
    "a power": lambda x: x * 2 ** SCALE.item(),
    "a text": lambda x: {str(COUNT.item()): x, int(SCALE): x * 2},
    "an index of a list": lambda x: x * LIST[COUNT],
    "a key": lambda x: {2: x, 3: x * 2, 4: x * 3}[COUNT.item()],
    "a list": lambda x: x.reshape(*PAIR.tolist(), -1),
    "an array": lambda x: x * PAIR.numpy()[1],
    "numpy": lambda x: x * float(PAIR.numpy().sum()),
    "rounded": lambda x: x * round(SCALE.item()) + int(SCALE) // 2,
    "a part": lambda x: x[: int(COUNT)],
    "a size": lambda x: x.sum() + twofold.zeros(COUNT.item()),
    "turns": lambda x: [x * i for i in range(int(COUNT))],
    "items": lambda x: [x * i for i in range(2) if PAIR[i] > 1],
    "any": lambda x: x if any(PAIR > 1) else -x,
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_numbers_from_outside_are_those_of_each_run(name):
    def program(compile):
        f = compile(OUTSIDE[name])
        found = []
        for scale, count, pair in ((4.0, 3, [1, 2]), (2.0, 2, [2, 3]), (4.0, 3, [1, 2])):
            SCALE.fill_(scale)
            COUNT.fill_(count)
            PAIR.copy_(twofold.tensor(pair))
            found.append(f(twofold.arange(12) * 0.5))
        return found

    agree(program, most=2)


def test_a_size_from_outside_makes_one_program():
    compiled = twofold.compile(lambda x: x[: int(COUNT)] * 2)
    for n in (1, 2, 5, 0):
        COUNT.fill_(n)
        assert compiled(xs(6)).shape == (n,)
    COUNT.fill_(3)
    assert twofold.explain(compiled).compiles == 1


def test_a_number_that_the_function_writes_is_not_known():
    count = twofold.tensor(1)

    @twofold.compile(fullgraph=True)
    def f(x):
        count.add_(1)
        return x * {1.0: 2.0}[count.item() * 0.5]

    with pytest.raises(CaptureError, match="Python wants this float"):
        f(xs(2))
    assert count.item() == 1


def test_many_values_are_left_to_python_in_the_end():
    COUNT.fill_(0)
    compiled = twofold.compile(lambda x: x * LIST[COUNT % 5] + sum(range(COUNT.item())))
    for n in range(40):
        assert twofold.equal(
            compiled(twofold.ones(2)), twofold.ones(2) * LIST[n % 5] + sum(range(n))
        )
        COUNT.add_(1)
    COUNT.fill_(3)
    report = twofold.explain(compiled)
    assert report.compiles == 32
    (told,) = report.as_python
    assert "decides by values" in told and "test_asked.py" in told


# ---- choices -------------------------------------------------------------------------------------


class ActNorm(nn.Module):
    """A layer that begins by looking at its first batch."""

    def __init__(self, count):
        super().__init__()
        self.loc = nn.Parameter(twofold.zeros(count))
        self.scale = nn.Parameter(twofold.ones(count))
        self.register_buffer("initialized", twofold.tensor(0))

    def forward(self, x):
        if self.initialized == 0:
            self.loc.data = -x.mean(0)
            self.scale.data.copy_(1 / x.std(0))
            self.initialized = twofold.tensor(1)
        return self.scale * (x + self.loc)


def test_a_first_batch_sets_parameters_and_buffers():
    def program(compile):
        model = nn.Sequential(ActNorm(3), nn.Linear(3, 1))
        optimizer = optim.Adam(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss

        step = compile(step)
        return [step(xs(8, 3)) for _ in range(4)], model.state_dict(), list(model.parameters())

    agree(program)


def test_a_function_that_returns_nothing_for_some_values():
    def program(compile):
        counts = twofold.zeros(2)

        def f(x):
            if x.sum() > 1:
                counts[0] += 1
                return
            counts[1] += 1
            if x.sum() < -1:
                return None
            return x * 2

        f = compile(f)
        return [f(twofold.tensor([v])) for v in (2.0, -3.0, 0.5, 3.0)], counts

    agree(program)


def backward_where_finite(m, o, x):
    o.zero_grad()
    loss = m(x).pow(2).mean()
    if twofold.isfinite(loss):
        loss.backward()
        o.step()
    return loss


def one_of_two_losses(m, o, x):
    o.zero_grad()
    loss = m(x).pow(2).mean()
    if loss > 0.5:
        loss.backward()
    else:
        (loss * 2).backward()
    o.step()
    return loss


def step_every_second(m, o, x):
    loss = m(x).pow(2).mean() / 2
    loss.backward()
    m.count.add_(1)
    if m.count % 2 == 0:
        o.step()
        o.zero_grad()
    return loss


def kinds_of_results(m, o, x):
    loss = m(x).pow(2).mean()
    if loss > 0.5:
        kind, more = "large", [loss]
    else:
        kind, more = "small", {"loss": loss * 2}
    m.last = kind
    return kind, more, m.last


@pytest.mark.parametrize(
    "function", [backward_where_finite, one_of_two_losses, step_every_second, kinds_of_results]
)
@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_choices_with_effects(function, kind):
    def program(compile):
        model = nn.Linear(3, 1)
        model.register_buffer("count", twofold.tensor(0))
        optimizer = kind(model.parameters(), lr=0.1)
        step = compile(lambda x: function(model, optimizer, x))
        broken = xs(4, 3)
        broken[0, 0] = float("nan")
        x = xs(4, 3)
        losses = [step(y) for y in (x, broken, x * 0.1, x * 3, x, x)]
        return losses, model.state_dict(), list(model.parameters()), optimizer.state_dict()

    agree(program)


def test_a_recursion_on_values():
    def halve(x):
        return halve(x / 2) if x.sum() > 1 else x

    def program(compile):
        f = compile(halve)
        return [f(twofold.ones(n)) for n in (3, 1, 9, 3)]

    agree(program)


def test_explain_lists_what_is_computed_before():
    compiled = twofold.compile(lambda x: x[x > 0])
    compiled(xs(3))
    report = twofold.explain(compiled)
    assert "test_asked.py" in report.asked[0]
    assert "values that decide, computed before each call:" in str(report)
    with pytest.raises(CaptureError, match="decided by values"):
        twofold.export(lambda x: x[x > 0], xs(3), path="nowhere")


def test_targets_of_ctc_come_one_after_the_other():
    def program(compile):
        def f(x, targets, steps, sizes):
            return F.ctc_loss(x.log_softmax(-1), targets, steps, sizes, reduction="none")

        g, made = compile(f), []
        for t, sizes in ((8, [2, 3]), (8, [3, 3]), (9, [1, 2, 0])):
            x = twofold.randn(t, len(sizes), 5)
            targets = twofold.arange(sum(sizes)) % 4 + 1
            steps = twofold.full((len(sizes),), t)
            made.append(g(x, targets, steps, twofold.tensor(sizes)))
        return made

    agree(program)
    f = twofold.compile(F.ctc_loss)
    x, steps = twofold.zeros(8, 2, 5), twofold.tensor([8, 8])
    with pytest.raises(ValueError, match="targets are shorter than told"):
        f(x, twofold.ones(4, dtype=twofold.int64), steps, twofold.tensor([2, 3]))


def test_different_elements_are_found():
    def f(x):
        values, places, counts = twofold.unique(x, return_inverse=True, return_counts=True)
        runs = twofold.unique_consecutive(x, return_inverse=True, return_counts=True)
        return values, places, counts, runs, x.unique().numel()

    def program(compile):
        g = compile(f)
        whole = [[3, 1, 1, 2], [1, 1], [5, 4, 3, 2, 1], [7]]
        floats = [[[0.0, -0.0], [1, -1]], [[math.nan, 1], [1, math.nan]], [[-0.0, 0.0], [2, 2]]]
        return [g(twofold.tensor(x)) for x in (*whole, *floats)]

    agree(program)


def test_different_slices_are_found():
    def f(x):
        rows = twofold.unique(x, dim=0, return_inverse=True, return_counts=True)
        columns = x.unique(dim=-1)
        return (
            rows,
            columns,
            twofold.unique_consecutive(x, True, True, 1),
            x.unique_consecutive(dim=0),
        )

    def program(compile):
        g = compile(f)
        whole = [[[3, 1, 1], [3, 1, 1], [0, 9, 9]], [[1, 0], [0, 1], [1, 0], [1, 0]], [[7]]]
        return [g(twofold.tensor(x)) for x in whole]

    agree(program)


def test_counts_of_repeats_are_those_of_each_run():
    def f(x, counts):
        rows = x.repeat_interleave(counts, 0)
        return rows, rows.sin().sum(), twofold.repeat_interleave(counts)

    def program(compile):
        g, h = compile(f), compile(lambda x, n: x.repeat_interleave(n, 0, output_size=6))
        made = []
        for counts in ([1, 2, 3], [6, 0, 0], [0, 1, 5, 0]):
            x = xs(len(counts), 2).requires_grad_()
            n = twofold.tensor(counts)
            made += [*g(x, n), twofold.autograd.grad(g(x, n)[1], x), h(x, n)]
        for wrong in ([1, 2, 4], [-1, 3, 4]):
            with pytest.raises(ValueError, match=r"repeat_interleave: (output_size is|repeats do)"):
                h(xs(3, 2), twofold.tensor(wrong))
        return made

    agree(program)


def test_ranges_and_gaps_of_a_run():
    def f(x, z):
        spectrum = twofold.stft(x, 8, window=z, return_complex=True)
        counts, edges = twofold.histogram(x, 4)
        line = twofold.linspace(x[0], 3, 5)
        again = twofold.istft(spectrum, 8, window=z)
        return spectrum, counts, edges, line, again, twofold.nonzero(x[0]), twofold.argwhere(x[0])

    def program(compile):
        g = compile(f)
        made = [g(xs(n), twofold.ones(8)) for n in (32, 40)]
        with pytest.raises(ValueError, match="the windows leave a gap"):
            g(xs(32), twofold.zeros(8))
        return made

    agree(program)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, i: x[i],
        lambda x, i: x[:, 0].gather(0, i),
        lambda x, i: F.cross_entropy(x, i),
        lambda x, i: F.embedding(i, x),
    ],
)
def test_errors_of_a_run_tell_its_sizes(function):
    compiled = twofold.compile(function)
    compiled(xs(5, 5), twofold.tensor([0, 1, 2, 3, 4]))
    texts = []
    for f in (function, compiled):
        with pytest.raises(IndexError) as told:
            f(xs(4, 4), twofold.tensor([1, 2, 0, 9]))
        texts.append(str(told.value))
    assert texts[0] == texts[1]


def test_counts_of_values_are_as_many_as_the_largest_asks_for():
    @twofold.compile
    def counts(x, w):
        return twofold.bincount(x), twofold.bincount(x, minlength=5), twofold.bincount(x, w)

    twofold.manual_seed(1)
    for most, size in ((4, 9), (12, 40), (2, 7), (30, 3)):
        x, w = twofold.randint(0, most, (size,)), twofold.randn(size)
        for made, plain in zip(counts(x, w), counts.function(x, w), strict=True):
            assert made.dtype is plain.dtype
            assert made.numpy().tobytes() == plain.numpy().tobytes()
    assert twofold.explain(counts).compiles == 1
    with pytest.raises(twofold.base.errors.ArgumentError, match="a value is negative"):
        counts(twofold.tensor([1, -1, 0]), twofold.ones(3))


def test_classes_are_as_many_as_a_tensor_says():
    @twofold.compile
    def f(x, y):
        i = x.argmax(-1)
        kept = F.one_hot(i, max(i.max() + 1, 3))[..., :3]
        return kept, F.one_hot(y)

    for size, most in ((5, 3), (2, 8), (7, 4)):
        x, y = twofold.randn(4, size), twofold.arange(most)
        for made, plain in zip(f(x, y), f.function(x, y), strict=True):
            assert made.tolist() == plain.tolist()


def test_a_number_that_a_run_computes_breaks_its_guard_without_arguments():
    state = {"x": twofold.arange(4.0)}

    def step():
        place = int(state["x"].argmax())
        return twofold.roll(state["x"], -place, -1) * 2

    compiled = twofold.compile(step)
    for shift in (0, 0, 1, 2, 0):
        state["x"].copy_(twofold.arange(4.0).roll(shift))
        assert compiled().equal(step())
