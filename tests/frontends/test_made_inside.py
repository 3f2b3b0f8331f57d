"""Copies, optimizers and schedules that a compiled function makes: each run makes them anew."""

import copy

import pytest
from programs import agree, xs

import twofold
import twofold.nn.functional as F
from twofold import nn, optim

OPTIMIZERS = {
    "sgd": lambda ps: optim.SGD(ps, 0.1),
    "momentum": lambda ps: optim.SGD(ps, 0.1, momentum=0.9),
    "adam": lambda ps: optim.Adam(ps, 0.1),
    "rmsprop": lambda ps: optim.RMSprop(ps, 0.1),
    "nadam": lambda ps: optim.NAdam(ps, 0.1),
    "adafactor": lambda ps: optim.Adafactor(ps, 0.1),
}


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))


def train(model, optimizer, x, y, turns=2):
    """The losses of some steps."""
    losses = []
    for _ in range(turns):
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def data():
    return [(xs(5, 3), xs(5, 1)) for _ in range(4)]


def test_a_deep_copy_has_the_values_of_the_run():
    def program(compile):
        weight, model, kept = xs(3), net(), {"a": xs(2)}

        def step(x):
            copies = copy.deepcopy((weight, kept, model.state_dict(), model))
            with twofold.no_grad():
                weight.add_(x)
                kept["a"] += 1
                for p in model.parameters():
                    p.mul_(0.5)
            made, other, state, twin = copies
            return made, other["a"], state["0.weight"], [p * 1 for p in twin.parameters()], weight

        step = compile(step)
        return [step(xs(3)) for _ in range(3)]

    agree(program, most=1)


def test_interpolated_weights():
    """Reptile (Nichol et al. 2018): a copy of the state, and a part of the way."""

    def program(compile):
        model, count = net(), [0]

        def step(x, y):
            before = copy.deepcopy(model.state_dict())
            for _ in range(2):
                model.zero_grad()
                F.mse_loss(model(x), y).backward()
                for p in model.parameters():
                    p.data -= 0.02 * p.grad.data
            after, rate = model.state_dict(), 0.1 * (1 - count[0] / 10)
            count[0] += 1
            model.load_state_dict({k: before[k] + (after[k] - before[k]) * rate for k in before})

        step = compile(step)
        for x, y in data():
            step(x, y)
        return model.state_dict()

    agree(program, most=1)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("copied", [False, True])
def test_an_optimizer_begins_anew_at_each_run(name, copied):
    def program(compile):
        model = net()

        def step(x, y):
            learner = copy.deepcopy(model) if copied else model
            return train(learner, OPTIMIZERS[name](learner.parameters()), x, y)

        step = compile(step)
        return [step(x, y) for x, y in data()], model.state_dict()

    agree(program, most=1)


def test_a_rate_that_the_function_sets():
    def program(compile):
        model = net()

        def step(x, y):
            optimizer = optim.Adam(model.parameters(), 0.1)
            for _ in range(3):
                train(model, optimizer, x, y, 1)
                optimizer.param_groups[0]["lr"] *= 0.5

        step = compile(step)
        for x, y in data():
            step(x, y)
        return model.state_dict()

    agree(program, most=1)


def test_a_computed_rate_and_a_schedule_are_for_python():
    def rate(compile):
        model = net()

        def step(x, y):
            return train(model, optim.Adam(model.parameters(), float(x.abs().mean())), x, y)

        step = compile(step)
        return [step(x, y) for x, y in data()], model.state_dict()

    def schedule(compile):
        model = net()

        def step(x, y):
            optimizer = optim.SGD(model.parameters(), 0.1)
            rates = optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            for _ in range(3):
                train(model, optimizer, x, y, 1)
                rates.step()

        step = compile(step)
        for x, y in data():
            step(x, y)
        return model.state_dict()

    for program in (rate, schedule):
        wanted, found = [], []
        for kept, compile in ((wanted, lambda f: f), (found, twofold.compile)):
            twofold.manual_seed(0)
            kept.append(program(compile))
        assert str(wanted) == str(found)


@pytest.mark.parametrize("anew", [False, True])
def test_an_optimizer_that_is_kept_goes_on(anew):
    def program(compile):
        model, kept = net(), {}

        def step(x, y):
            if anew or "optimizer" not in kept:
                kept["optimizer"] = optim.Adam(model.parameters(), 0.1)
            return train(model, kept["optimizer"], x, y, 1)

        step = compile(step)
        losses = [step(x, y) for x, y in data()]
        return losses, model.state_dict(), kept["optimizer"].state_dict()

    agree(program, most=4 if anew else 2)


def test_equal_tensors_that_updates_write_stay_apart():
    """Both moments of Adam begin as zeros of one shape: they were one tensor of the graph."""
    parameter = nn.Parameter(twofold.ones(3))

    def step(x):
        optimizer = optim.Adam([parameter], 0.1)
        parameter.grad = x
        optimizer.step()

    twofold.compile(step)(twofold.tensor([1.0, -2.0, 0.5]))
    assert parameter.tolist() == pytest.approx([0.9, 1.1, 0.9], abs=1e-6)


def test_what_is_asked_after_an_update_does_not_update():
    """How many elements a mask picks is computed before a run: steps before it were made twice."""

    def program(compile):
        model = net()
        optimizer = optim.Adam(model.parameters(), 0.1)

        def step(x, y):
            train(model, optimizer, x, y, 1)
            made = model(x)
            return made[made > 0].sum(), made.detach().argmax().tolist()

        step = compile(step)
        return [step(x, y) for x, y in data()], model.state_dict()

    agree(program)


def test_a_history_of_an_earlier_run_is_for_python():
    """The temperature of soft actor-critic programs: it keeps its history from step to step."""

    def program(compile):
        log_alpha = nn.Parameter(twofold.zeros(1))
        model, kept = net(), {"alpha": twofold.tensor([0.2])}
        optimizer, other = optim.Adam(model.parameters(), 0.1), optim.Adam([log_alpha], 0.1)

        def step(x, y):
            loss = (model(x) * kept["alpha"] - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            other.zero_grad()
            (log_alpha * loss.detach()).sum().backward()
            other.step()
            kept["alpha"] = log_alpha.exp()
            return loss.item(), kept["alpha"].item()

        step = compile(step)
        return [step(x, y) for x, y in data()], model.state_dict(), log_alpha

    agree(program)


def test_a_leaf_on_memory_from_outside_is_made_anew_at_each_run():
    held, w = twofold.arange(3.0), twofold.ones(3, requires_grad=True)

    def step(scale):
        x = held.detach().requires_grad_(True)
        y = (x * x * w * scale).sum()
        (g,) = twofold.autograd.grad(y, x, create_graph=True)
        return g.sum(), g

    compiled = twofold.compile(step)
    for scale in (twofold.tensor(1.0), twofold.tensor(2.0), twofold.tensor(3.0)):
        for one, other in zip(step(scale), compiled(scale), strict=True):
            assert one.equal(other)
    assert len(compiled.made) == 1 and not held.requires_grad


def test_a_tensor_from_outside_that_begins_to_require_a_gradient_is_noticed():
    held = twofold.arange(3.0)
    compiled = twofold.compile(lambda: (held.requires_grad_(True) * 2).sum())
    for _ in range(3):
        compiled().backward()
    assert held.requires_grad and held.grad.tolist() == [6.0] * 3
    assert len(compiled.made) == 2


def test_a_group_that_is_added_to_an_optimizer_from_outside_is_for_python():
    def made():
        twofold.manual_seed(0)
        first, last = nn.Linear(3, 4), nn.Linear(4, 2)
        first.requires_grad_(False)
        optimizer, turns, x = optim.Adam(last.parameters(), 0.1), [0], twofold.ones(5, 3)

        def step():
            turns[0] += 1
            if turns[0] == 3:
                first.requires_grad_(True)
                optimizer.add_param_group({"params": first.parameters(), "lr": 0.01})
            loss = last(first(x).relu()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss, len(optimizer.param_groups)

        return step

    plain, compiled = made(), twofold.compile(made())
    for _ in range(6):
        (loss, groups), (other, count) = plain(), compiled()
        assert loss.equal(other) and groups == count


def test_an_optimizer_with_groups_that_is_made_inside():
    def f(w):
        a, b = w.clone().detach().requires_grad_(), w.clone().detach().requires_grad_()
        optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], 0.1)
        (a * b).sum().backward()
        optimizer.step()
        return a.detach() + b.detach()

    compiled = twofold.compile(f, fullgraph=True)
    w = twofold.arange(3.0)
    for _ in range(2):
        assert compiled(w).equal(f(w))
