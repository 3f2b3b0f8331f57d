"""Rates that Python reads, schedules and measures, in compiled steps."""

import pytest
from programs import agree

import twofold
from twofold import nn, optim
from twofold.base.errors import ArgumentError


def training(make, after):
    """A program whose step ends with `after(optimizer, schedule, loss)`."""

    def program(compile):
        model = nn.Linear(3, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = make(optimizer)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss, after(optimizer, schedule, loss)

        step = compile(step)
        x = twofold.randn(8, 3)
        found = [step(x * (1 + i)) for i in range(8)]
        kept = {k: v for k, v in schedule.state_dict().items() if not callable(v)}
        return found, model.state_dict(), optimizer.state_dict(), kept

    return program


def stepped(optimizer, schedule, loss):
    schedule.step()
    return optimizer.param_groups[0]["lr"], schedule.last_epoch, schedule.get_last_lr()


def read_before(optimizer, schedule, loss):
    rate = optimizer.param_groups[0]["lr"]
    schedule.step()
    return rate, schedule.last_epoch


def computed(optimizer, schedule, loss):
    schedule.step()
    rate = optimizer.param_groups[0].get("lr")
    return loss * rate, rate * 2, rate < 0.03


def decided(optimizer, schedule, loss):
    schedule.step()
    if optimizer.param_groups[0]["lr"] < 0.03:
        loss = loss * 2
    return loss


def changed(optimizer, schedule, loss):
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    return optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize("after", [stepped, read_before, computed, decided, changed])
@pytest.mark.parametrize(
    "make",
    [
        lambda o: optim.lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: optim.lr_scheduler.CosineAnnealingLR(o, 10),
        lambda o: optim.lr_scheduler.LambdaLR(o, lambda n: 0.9**n),
    ],
    ids=["step", "cosine", "lambda"],
)
def test_the_rate_is_that_of_each_run(make, after):
    agree(training(make, after), most=3)


def counted(group):
    group["count"] = group.get("count", 0) + 1
    return group["count"]


def every_third(group):
    """Lookahead's habit: what stands in the group decides."""
    scale = 2.0 if group["count"] == 0 else 1.0
    group["count"] = (group["count"] + 1) % 3
    return scale


def decaying(group):
    group["weight_decay"] = group["weight_decay"] * 0.9
    return group["weight_decay"]


def reading(group):
    return group["momentum"] * group["scale"]


@pytest.mark.parametrize("touch", [counted, every_third, decaying, reading])
def test_options_of_a_group_are_those_of_each_run(touch):
    """Options of the user's own, and PyTorch's that the function reads."""

    def program(compile):
        model = nn.Linear(3, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.5, weight_decay=0.1)
        group = optimizer.param_groups[0]
        group["count"], group["scale"] = 0, 1.5

        def step(x):
            (scale,) = (touch(g) for g in optimizer.param_groups)
            loss = model(x).pow(2).mean() * scale
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = compile(step)
        found = []
        for i in range(7):
            found += [step(twofold.full((2, 3), float(i))), group["count"], group["weight_decay"]]
            if i == 3:
                group["scale"], group["momentum"] = 2.5, 0.25
        return found, model.state_dict()

    agree(program, most=4)


def measured(optimizer, schedule, loss):
    schedule.step(loss)
    return optimizer.param_groups[0]["lr"]


def measured_item(optimizer, schedule, loss):
    schedule.step(loss.item())


@pytest.mark.parametrize("after", [measured, measured_item])
def test_a_rate_that_follows_a_measure(after):
    make = lambda o: optim.lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5)  # noqa: E731
    agree(training(make, after), most=2)


def test_a_step_after_its_measure_runs_as_python():
    """The rate that the step takes is known only after the loss is: explain says so."""

    def run(wrap):
        twofold.manual_seed(1)
        model = nn.Linear(3, 1)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)

        def step(x):
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            schedule.step(loss)
            optimizer.step()
            return loss

        step = wrap(step)
        losses = [step(twofold.full((2, 3), float(i))).item() for i in range(5)]
        return losses, model.weight.tolist(), optimizer.param_groups[0]["lr"], step

    *plain, _ = run(lambda f: f)
    *made, step = run(twofold.compile)
    assert made == plain and plain[-1] < 0.1
    (told,) = twofold.explain(step).as_python
    assert "a measure of this run" in told and "test_rates.py" in told
    with pytest.raises(ArgumentError, match="a measure of this run"):
        run(twofold.compile(fullgraph=True))


def test_a_failed_run_takes_the_measure_back():
    model = nn.Linear(3, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)

    @twofold.compile
    def step(x, i):
        loss = model(x).pow(2).mean()
        schedule.step(loss)
        return x[i]

    step(twofold.ones(2, 3), twofold.tensor([1]))
    before = schedule.state_dict(), optimizer.param_groups[0]["lr"]
    with pytest.raises(IndexError):
        step(twofold.ones(2, 3) * 9, twofold.tensor([7]))
    assert (schedule.state_dict(), optimizer.param_groups[0]["lr"]) == before


def test_lbfgs_takes_a_compiled_closure():
    def program(compile):
        model = nn.Linear(3, 1)
        optimizer = optim.LBFGS(model.parameters(), lr=0.5)
        x = twofold.randn(8, 3)

        def closure():
            optimizer.zero_grad()
            loss = model(x).pow(2).mean()
            loss.backward()
            return loss

        closure = compile(closure)
        return [optimizer.step(closure) for _ in range(3)], model.state_dict()

    agree(program)


@pytest.mark.parametrize(
    "make, name",
    [
        (lambda p: optim.SGD(p, lr=0.1), "weight_decay"),
        (lambda p: optim.SGD(p, lr=0.1), "momentum"),
        (lambda p: optim.AdamW(p, lr=0.1), "weight_decay"),
        (lambda p: optim.Adafactor(p, lr=0.1), "weight_decay"),
    ],
)
def test_options_that_become_zero_between_calls_of_a_loop_of_steps(make, name):
    def program(compile):
        model = nn.Linear(3, 1)
        optimizer = make(model.parameters())

        def steps(x):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            for _ in range(x.size(0)):
                optimizer.step()

        steps = compile(steps)
        for value in (0.5, 0, 0.25, 0.25, 0):
            optimizer.param_groups[0][name] = value
            steps(twofold.randn(4, 3))
        return model.state_dict(), optimizer.state_dict()

    agree(program, most=2)


def test_options_that_the_function_sets_hold_for_every_optimizer():
    def program(compile):
        model = nn.Linear(3, 1)
        optimizer = optim.Adafactor(model.parameters(), lr=0.1)

        def step(x, decay):
            for group in optimizer.param_groups:
                group["weight_decay"] = decay
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()

        step = compile(step)
        for decay in (0.5, 0.0, 0.25):
            step(twofold.randn(4, 3), decay)
        return model.state_dict()

    agree(program)
