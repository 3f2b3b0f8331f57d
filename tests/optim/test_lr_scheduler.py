"""Every schedule against PyTorch's, and what is saved of it."""

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, StateError

CASES = {
    "step": lambda o, s: s.StepLR(o, 3, 0.5),
    "multistep": lambda o, s: s.MultiStepLR(o, [2, 5, 5, 9], 0.5),
    "constant": lambda o, s: s.ConstantLR(o, 0.25, 4),
    "linear": lambda o, s: s.LinearLR(o, 0.2, 0.9, 6),
    "exponential": lambda o, s: s.ExponentialLR(o, 0.9),
    "polynomial": lambda o, s: s.PolynomialLR(o, 7, 2.0),
    "cosine": lambda o, s: s.CosineAnnealingLR(o, 5, 0.01),
    "restarts": lambda o, s: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "restarts_alike": lambda o, s: s.CosineAnnealingWarmRestarts(o, 4),
    "lambda": lambda o, s: s.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (1 + e)]),
    "multiplicative": lambda o, s: s.MultiplicativeLR(o, lambda e: 0.95 + 0.01 * e),
    "cyclic": lambda o, s: s.CyclicLR(o, 0.01, [0.1, 0.3], 3, 4),
    "cyclic2": lambda o, s: s.CyclicLR(o, 0.01, 0.1, 2, mode="triangular2"),
    "cyclic_exp": lambda o, s: s.CyclicLR(o, 0.01, 0.1, 2, mode="exp_range", gamma=0.9),
    "cyclic_own": lambda o, s: s.CyclicLR(
        o, 0.01, 0.1, 2, scale_fn=lambda x: 1 / x, cycle_momentum=False
    ),
    "one_cycle": lambda o, s: s.OneCycleLR(o, [0.1, 0.5], 20),
    "one_cycle_three": lambda o, s: s.OneCycleLR(
        o, 0.1, epochs=4, steps_per_epoch=5, three_phase=True, anneal_strategy="linear"
    ),
    "chained": lambda o, s: s.ChainedScheduler(
        [s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9), s.CosineAnnealingLR(o, 6, 0.001)]
    ),
    "sequential": lambda o, s: s.SequentialLR(
        o,
        [s.LinearLR(o, 0.1, 1.0, 3), s.CosineAnnealingLR(o, 6), s.ExponentialLR(o, 0.5)],
        [3, 9],
    ),
}


def optimizer_of(library, kind="SGD"):
    xs = [library.nn.Parameter(library.ones(2)) for _ in range(2)]
    groups = [{"params": [xs[0]]}, {"params": [xs[1]], "lr": 0.4}]
    return getattr(library.optim, kind)(groups, lr=0.2, **KINDS[kind])


KINDS = {"SGD": {"momentum": 0.9}, "Adam": {}}


def rates(optimizer, schedule, steps):
    found = []
    for _ in range(steps):
        groups = optimizer.param_groups
        momenta = [g.get("momentum", g.get("betas")) for g in groups]
        found.append([*(g["lr"] for g in groups), *np.ravel(momenta), *schedule.get_last_lr()])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_rates_agree_with_torch(case, kind):
    torch = pytest.importorskip("torch")
    made = []
    for library in (twofold, torch):
        optimizer = optimizer_of(library, kind)
        made.append(rates(optimizer, CASES[case](optimizer, library.optim.lr_scheduler), 18))
    np.testing.assert_allclose(*made, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_rates_that_a_user_changes_go_on_as_in_torch(case):
    torch = pytest.importorskip("torch")
    made = []
    for library in (twofold, torch):
        optimizer = optimizer_of(library)
        schedule = CASES[case](optimizer, library.optim.lr_scheduler)
        first = rates(optimizer, schedule, 2)
        optimizer.param_groups[0]["lr"] *= 0.5
        made.append(first + rates(optimizer, schedule, 2))
    np.testing.assert_allclose(*made, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_a_saved_schedule_goes_on(case, tmp_path):
    scheduler = twofold.optim.lr_scheduler
    optimizer = optimizer_of(twofold)
    schedule = CASES[case](optimizer, scheduler)
    rates(optimizer, schedule, 4)
    twofold.save([optimizer.state_dict(), schedule.state_dict()], tmp_path / "x")
    wanted = rates(optimizer, schedule, 8)
    again = optimizer_of(twofold)
    other = CASES[case](again, scheduler)
    saved = twofold.load(tmp_path / "x")
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    assert rates(again, other, 8) == wanted


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"mode": "max", "factor": 0.5, "patience": 0, "threshold": 0.2, "threshold_mode": "abs"},
        {"patience": 0, "cooldown": 2, "min_lr": [0.05, 0.0]},
    ],
)
def test_plateaus_agree_with_torch(options):
    torch = pytest.importorskip("torch")
    measures = [3.0, 2.0, 2.0, 2.1, 2.2, 1.9, 1.9, 1.9, 1.89999, 1.5, 1.6, 1.7, 1.5, 1.5, 1.4]
    made = []
    for library in (twofold, torch):
        optimizer = optimizer_of(library)
        schedule = library.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        found = []
        for measure in measures:
            schedule.step(library.tensor(measure))
            found.append([*(g["lr"] for g in optimizer.param_groups), schedule.num_bad_epochs])
        made.append(found)
    np.testing.assert_allclose(*made, rtol=1e-12)


def test_a_schedule_in_a_program_steps_at_each_run():
    layer = nn.Linear(2, 1)
    optimizer = twofold.optim.SGD(layer.parameters(), lr=0.1)
    scheduler = twofold.optim.lr_scheduler
    schedule = scheduler.ChainedScheduler(
        [scheduler.ExponentialLR(optimizer, 0.5), scheduler.ConstantLR(optimizer, 0.5, 2)]
    )

    @twofold.compile
    def step(x):
        optimizer.zero_grad()
        layer(x).sum().backward()
        optimizer.step()
        schedule.step()

    found = []
    for _ in range(4):
        found.append(optimizer.param_groups[0]["lr"])
        step(twofold.ones(3, 2))
    np.testing.assert_allclose(found, [0.05, 0.025, 0.025, 0.0125])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("options", [{"anneal_epochs": 4}, {"anneal_strategy": "linear"}])
def test_swalr_agrees_with_torch(options):
    torch = pytest.importorskip("torch")
    made = []
    for library in (twofold, torch):
        optimizer = optimizer_of(library)
        swa = __import__(f"{library.__name__}.optim.swa_utils", fromlist=["SWALR"])
        made.append(rates(optimizer, swa.SWALR(optimizer, swa_lr=0.01, **options), 14))
    np.testing.assert_allclose(*made, rtol=1e-9)


@pytest.mark.parametrize("moving", [False, True])
def test_averaged_models_agree_with_torch(moving):
    torch = pytest.importorskip("torch")
    made = []
    for library in (twofold, torch):
        swa = __import__(f"{library.__name__}.optim.swa_utils", fromlist=["SWALR"])
        model = library.nn.Sequential(library.nn.Linear(3, 2), library.nn.BatchNorm1d(2))
        rule = {"multi_avg_fn": swa.get_ema_multi_avg_fn(0.9)} if moving else {}
        average = swa.AveragedModel(model, use_buffers=moving, **rule)
        for turn in range(4):
            with library.no_grad():
                for index, x in enumerate(model.parameters()):
                    x.fill_(turn * turn + index)
            average.update_parameters(model)
        x = [library.tensor([[1.0, 2, 3], [0, 1, 0]]), library.tensor([[2.0, 0, 1], [1, 1, 5]])]
        swa.update_bn(x, average)
        values = average.state_dict()
        made.append({k: v.float().numpy() for k, v in values.items()})
    assert set(made[0]) == set(made[1])
    for name, value in made[1].items():
        np.testing.assert_allclose(made[0][name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_states_of_schedules_in_pytorchs_form():
    class Halves:
        def __init__(self, base):
            self.base = base

        def __call__(self, step):
            return self.base**step

    def make(base):
        optimizer = twofold.optim.SGD([twofold.nn.Parameter(twofold.ones(2))], lr=1.0)
        return twofold.optim.lr_scheduler.LambdaLR(
            optimizer, Halves(base)
        ), twofold.optim.lr_scheduler.MultiStepLR(optimizer, [2, 2, 5])

    (one, steps), (other, _) = make(0.5), make(0.25)
    assert one.state_dict()["lr_lambdas"] == [{"base": 0.5}]
    other.load_state_dict(one.state_dict())
    assert other.lr_lambdas[0].base == 0.5
    counted = {"milestones": {3: 1, 7: 2}, "lr_lambdas": [None]}
    steps.load_state_dict(steps.state_dict() | counted)
    assert steps.milestones == [3, 7, 7]
    plain = twofold.optim.lr_scheduler.LambdaLR(one.optimizer, lambda step: 0.5)
    plain.load_state_dict(plain.state_dict())
    assert plain.state_dict()["lr_lambdas"] == [None] and callable(plain.lr_lambdas[0])


def test_a_cycle_leaves_the_first_rate_to_the_schedule_before_it():
    optimizer = twofold.optim.SGD([twofold.nn.Parameter(twofold.ones(2))], lr=1.0, momentum=0.9)
    first = twofold.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
    twofold.optim.lr_scheduler.SequentialLR(
        optimizer, [first, twofold.optim.lr_scheduler.CyclicLR(optimizer, 0.01, 0.1, 4)], [20]
    )
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.004)


def test_the_state_of_another_schedule_is_refused():
    schedules = twofold.optim.lr_scheduler
    opt = twofold.optim.SGD([twofold.ones(1, requires_grad=True)], lr=0.1)
    step, cosine = schedules.StepLR(opt, 3), schedules.CosineAnnealingLR(opt, 3)
    both = schedules.SequentialLR(opt, [schedules.LinearLR(opt), schedules.StepLR(opt, 2)], [2])
    for one, other, lost in (
        (step, cosine, "T_max"),
        (cosine, step, "step_size"),
        (both, step, "step_size"),
        (step, both, "_schedulers"),
    ):
        with pytest.raises(KeyError, match=f"(?s)another schedule: it has no .*{lost}"):
            other.load_state_dict(one.state_dict())


RESUMED = {
    "step": lambda o, s, e: s.StepLR(o, 3, 0.5, last_epoch=e),
    "multistep": lambda o, s, e: s.MultiStepLR(o, [3, 9], last_epoch=e),
    "exponential": lambda o, s, e: s.ExponentialLR(o, 0.9, last_epoch=e),
    "cosine": lambda o, s, e: s.CosineAnnealingLR(o, 10, last_epoch=e),
    "polynomial": lambda o, s, e: s.PolynomialLR(o, 20, last_epoch=e),
    "multiplicative": lambda o, s, e: s.MultiplicativeLR(o, lambda n: 0.9, last_epoch=e),
    "linear": lambda o, s, e: s.LinearLR(o, total_iters=12, last_epoch=e),
    "restarts": lambda o, s, e: s.CosineAnnealingWarmRestarts(o, 5, last_epoch=e),
    "one_cycle": lambda o, s, e: s.OneCycleLR(o, 0.5, total_steps=50, last_epoch=e),
    "cyclic": lambda o, s, e: s.CyclicLR(o, 0.01, 0.1, 5, last_epoch=e),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", RESUMED)
def test_a_schedule_made_anew_goes_on_from_the_optimizers_rates(case):
    torch = pytest.importorskip("torch")
    sides = []
    for library in (torch, twofold):
        optimizer, make = optimizer_of(library), RESUMED[case]
        rates(optimizer, make(optimizer, library.optim.lr_scheduler, -1), 8)
        sides.append(rates(optimizer, make(optimizer, library.optim.lr_scheduler, 7), 10))
    np.testing.assert_allclose(sides[1], sides[0], 1e-10)
    with pytest.raises((StateError, KeyError)):
        RESUMED[case](optimizer_of(twofold), twofold.optim.lr_scheduler, 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [c for c in CASES if c != "cyclic_own"])
def test_pytorchs_schedules_go_on_here(case):
    torch = pytest.importorskip("torch")
    theirs, ours = optimizer_of(torch), optimizer_of(twofold)
    there = CASES[case](theirs, torch.optim.lr_scheduler)
    here = CASES[case](ours, twofold.optim.lr_scheduler)
    rates(theirs, there, 6)
    here.load_state_dict(there.state_dict())
    for group, saved in zip(ours.param_groups, theirs.param_groups, strict=True):
        group.update({k: v for k, v in saved.items() if k != "params"})
    np.testing.assert_allclose(rates(ours, here, 12), rates(theirs, there, 12), 1e-10)


@pytest.mark.filterwarnings("ignore")
def test_restarts_between_two_steps_as_in_torch():
    torch = pytest.importorskip("torch")
    sides = []
    for library in (torch, twofold):
        optimizer = optimizer_of(library)
        schedule = library.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 5, 2)
        found = []
        for epoch in (0, 0.25, 4.5, 5.75, None, None, 16.5, None, 3, None):
            schedule.step(epoch)
            found.append([schedule.T_cur, schedule.last_epoch, *schedule.get_last_lr()])
        sides.append(found)
    np.testing.assert_allclose(sides[1], sides[0], 1e-10)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda o, s: s.ConstantLR(o, 2.0), "factor = 2.0"),
        (lambda o, s: s.LinearLR(o, 0), "start_factor = 0"),
        (lambda o, s: s.LinearLR(o, 0.5, 1.5), "end_factor = 1.5"),
        (lambda o, s: s.OneCycleLR(o, 0.1, 9, pct_start=2), "pct_start = 2"),
        (lambda o, s: twofold.optim.swa_utils.SWALR(o, 0.1, -1), "anneal_epochs = -1"),
        (lambda o, s: s.CosineAnnealingWarmRestarts(o, 3).step(-1), "epoch = -1"),
    ],
)
def test_options_out_of_range(make, text):
    with pytest.raises(ArgumentError, match=text):
        make(optimizer_of(twofold), twofold.optim.lr_scheduler)


def test_no_steps_end_nothing():
    for make, rate in (
        (lambda o, s: s.LinearLR(o, 0.5, 1.0, 0), 0.1),
        (lambda o, s: s.ConstantLR(o, 0.5, 0), 0.1),
        (lambda o, s: s.PolynomialLR(o, 0), 0.2),
    ):
        optimizer = optimizer_of(twofold)
        schedule = make(optimizer, twofold.optim.lr_scheduler)
        assert [row[0] for row in rates(optimizer, schedule, 3)] == [rate] * 3
    chained = twofold.optim.lr_scheduler.ChainedScheduler([schedule])
    assert not hasattr(chained, "last_epoch")


def _rates_with_a_group_that_joins(torch, schedule):
    """The rates of five steps, before the third of which another group joins."""
    first, second = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    optimizer = torch.optim.SGD([first], lr=1.0, momentum=0.9)
    made, rates = schedule(optimizer, torch.optim.lr_scheduler), []
    for step in range(5):
        if step == 2:
            optimizer.add_param_group({"params": [second], "lr": 0.2})
        optimizer.step()
        made.step(*([1.0] if type(made).__name__ == "ReduceLROnPlateau" else []))
        rates.append([float(group["lr"]) for group in optimizer.param_groups])
    return rates


JOINED = ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine"]


@pytest.mark.parametrize("case", [*JOINED, "plateau"])
def test_groups_that_join_later_have_rates(case):
    torch = pytest.importorskip("torch")

    def plateau(optimizer, schedules):
        return schedules.ReduceLROnPlateau(optimizer, patience=0)

    schedule = CASES.get(case, plateau)
    found = _rates_with_a_group_that_joins(twofold, schedule)
    wanted = _rates_with_a_group_that_joins(torch, schedule)
    assert [len(rates) for rates in found] == [1, 1, 2, 2, 2]
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(wanted), rtol=1e-12)


@pytest.mark.parametrize("case", ["cyclic2", "one_cycle_three", "multiplicative"])
def test_groups_that_join_later_need_what_each_group_was_given(case):
    with pytest.raises(ArgumentError, match=r"2 groups, and .* for 1 of them"):
        _rates_with_a_group_that_joins(twofold, CASES[case])
