"""Loops and branches that write into tensors from outside, and step optimizers."""

import pytest
from twice import bits, compare, same, seen

import twofold
from twofold import nn, optim

F = nn.functional


def vectors(*sizes):
    return [lambda n=n: (twofold.arange(n) * 0.3 - n % 2,) for n in sizes]


def one_program(function, *sizes):
    assert len(compare(function, vectors(*(sizes or (4, 1, 3)))).all_programs()) == 1


def test_places_rows_and_whole_tensors():
    def f(x):
        out, total, some = twofold.zeros_like(x), twofold.zeros(()), twofold.zeros(4)
        for i in range(x.shape[0]):
            out[i] = x[i] * i
            total += out[i]
            some[1:3] += x[i]
        return out, total, some

    one_program(f)


def test_what_was_written_is_read_in_the_next_turn():
    def f(x):
        y = x.clone()
        for i in range(1, x.shape[0]):
            y[i] = y[i - 1] * 0.5 + x[i]
        return y

    one_program(f)


def test_views_and_other_names_see_it():
    def f(x):
        whole = twofold.zeros(4)
        part, alias = whole[1:3], whole.detach()
        for i in range(x.shape[0]):
            part[0] += x[i]
            whole[0] = part.sum() * 2
            alias[3] = i
        return whole, part, alias

    one_program(f)


def test_loops_in_loops_and_whiles():
    def f(x):
        out, n = twofold.zeros(8, 8), 0
        for i in range(x.shape[0]):
            for j in range(i):
                out[i, j] = x[i] * x[j] + out[i, j - 1]
        while out.sum() < 5:
            out[7] += 1
            n += 1
        return out, n

    one_program(f)


def test_branches():
    def f(x):
        seen = twofold.zeros(3)
        if x.sum() > 0:
            seen[0] = 1
        else:
            seen.add_(x.sum())
        return seen

    one_program(f)


def test_arguments_and_buffers():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", twofold.zeros(2))

        def forward(self, x):
            if x.sum() > 1:
                self.seen[0] += 1
            for row in x:
                self.seen[1] += row
            return x * self.seen.sum()

    layers = [Counting(), Counting()]
    compiled = twofold.compile(lambda x, y: (layers[1](x), y.add_(1) if x.sum() > 0 else y))
    for n in (4, 1, 3):
        x = twofold.arange(n) * 0.5
        a, b = twofold.zeros(2), twofold.zeros(2)
        wanted = layers[0](x), a.add_(1) if x.sum() > 0 else a
        found = compiled(x, b)
        same(seen(found, b, [layers[1].seen]), seen(wanted, a, [layers[0].seen]))
    assert len(compiled.all_programs()) == 1


@pytest.mark.parametrize(
    "make", [lambda p: optim.SGD(p, 0.1, momentum=0.9), lambda p: optim.Adam(p, 0.1)]
)
def test_a_step_that_is_taken_where_the_loss_is_finite(make):
    found = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        layer = nn.Linear(2, 2)
        optimizer = make(layer.parameters())

        def step(x, scale, layer=layer, optimizer=optimizer):
            optimizer.zero_grad()
            loss = layer(x).square().mean() * scale
            loss.backward()
            if twofold.isfinite(loss):
                optimizer.step()
            return loss

        run = twofold.compile(step) if compiled else step
        rows = []
        for n, scale in ((2, 1.0), (1, float("nan")), (3, 2.0), (2, float("inf")), (1, 1.0)):
            made = run(twofold.ones(n, 2), twofold.tensor(scale))
            rows += seen(made, (), layer.parameters())
            rows += [state.get("step") for state in optimizer.state.values()]
        found.append(rows)
    same(found[1], found[0])
    assert len(run.all_programs()) <= 2


def test_errors_that_a_branch_raises():
    def f(x):
        y = x * 2
        if y.max() > 1:
            raise ValueError(f"too much for {x.ndim}")
        return y

    compiled = twofold.compile(f)
    assert compiled(twofold.zeros(3)).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="too much for 1"):
        compiled(twofold.ones(2))
    assert compiled(twofold.zeros(1)).tolist() == [0]
    assert len(compiled.all_programs()) == 1


def test_items_side_by_side_are_loops_of_the_graph():
    def f(x):
        total, out = 0.0, []
        for i, (a, b) in enumerate(zip(x, x * 2, strict=False)):
            total = total + a * b * (i / 3)
        for a in x.unbind():
            out.append(a * total)
        for i in reversed(range(x.shape[0])):
            total = total * 0.5 + x[i]
        return total, twofold.stack(out)

    one_program(f)


def test_items_that_are_changed_in_place():
    def f(x):
        y, counts = x.clone(), twofold.zeros(4, dtype=twofold.int64)
        y[y.argmax()] += 1
        for i in range(x.shape[0]):
            counts[i % 3] += 2
            y[i] *= 3
        return y, counts

    one_program(f)

    def under_another_name(x):
        part = x[x.argmax()]
        part += 1
        return x

    with pytest.raises(twofold.TwofoldError, match="written under another name"):
        twofold.compile(under_another_name, fullgraph=True)(twofold.zeros(3))


def test_scaled_gradients_and_rates():
    found = []
    for compiled in (False, True):
        twofold.manual_seed(0)
        layer = nn.Linear(2, 2)
        optimizer = optim.Adam(layer.parameters(), 0.1)
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        scaler = twofold.amp.GradScaler("cpu", growth_interval=2)

        def step(x, scale, layer=layer, optimizer=optimizer, schedule=schedule, scaler=scaler):
            optimizer.zero_grad()
            loss = layer(x).square().mean() * scale
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            schedule.step()
            return loss, schedule.get_last_lr()[0]

        run = twofold.compile(step) if compiled else step
        rows = []
        for n, scale in ((2, 1.0), (1, float("inf")), (3, 2.0), (2, 1.0), (1, 1.0)):
            made = run(twofold.ones(n, 2), twofold.tensor(scale))
            rows += seen(made, (), layer.parameters())
            rows += [state.get("step") for state in optimizer.state.values()]
            rows += [scaler.get_scale()]
        found.append(rows)
    same(found[1], found[0])
    assert len(run.all_programs()) == 1


def test_rows_that_gradients_go_through_are_written_by_one_program():
    weight = twofold.tensor([0.5, -0.3], requires_grad=True)

    def rows(x):
        out = twofold.empty(x.shape[0], 2)
        h = twofold.zeros(2)
        for i in range(x.shape[0]):
            h = h * weight + x[i]
            out[i] = h
        return out

    def state_and_rows(x, state):
        out, best = twofold.zeros(2, x.shape[0]), state
        for i in range(x.shape[0]):
            state = twofold.exp(state * weight) - x[i]
            best = twofold.maximum(best, state)
            out[:, i] = best / (1 + state * state)
        return out * weight[:, None], state

    def back(x):
        weight.grad = None
        made, state = state_and_rows(rows(x).sum(1), twofold.ones(2))
        (made.square().sum() + state.sum()).backward()
        return made.detach(), weight.grad.clone()

    assert len(compare(rows, vectors(4, 1, 3)).all_programs()) == 1
    compiled = twofold.compile(back)
    for n in (4, 2, 7):
        x = twofold.arange(n) * 0.3
        same([bits(y) for y in compiled(x)], [bits(y) for y in back(x)])
    assert len(compiled.all_programs()) <= 2  # before the leaf has a gradient, and after
