"""Steps that are differentiated: meta-learning through optimizers, against PyTorch."""

import numpy as np
import pytest

import twofold
from twofold import nn, optim
from twofold.base.errors import ArgumentError, GradientError

CASES = [
    ("SGD", {"lr": 0.01}, ()),
    ("SGD", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}, ()),
    ("SGD", {"lr": 0.01, "weight_decay": 0.1}, ("lr", "weight_decay")),
    ("Adam", {"lr": 0.01}, ()),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1, "betas": (0.4, 0.9)}, ()),
    ("Adam", {"lr": 0.01, "weight_decay": 0.1}, ("lr", "weight_decay")),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}, ()),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}, ("lr",)),
    ("NAdam", {"lr": 0.01, "weight_decay": 0.1}, ()),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1}, ()),
    ("RAdam", {"lr": 0.01}, ("lr",)),
    ("Adagrad", {"lr": 0.01, "lr_decay": 0.1}, ()),
    ("Adadelta", {"lr": 0.5, "weight_decay": 0.1}, ()),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9}, ()),
    ("ASGD", {"lr": 0.01, "weight_decay": 0.1, "t0": 1}, ()),
    ("Adamax", {"lr": 0.01}, ()),
    ("Rprop", {"lr": 0.01}, ()),
    ("RMSprop", {"lr": 0.01, "centered": True}, ()),
    ("Adam", {"lr": 0.01, "amsgrad": True}, ()),
]
# PyTorch's own gradient refuses its second step: it has overwritten what that needs
ONE_STEP = {11 + i for i in range(4, 8)}


def trained(torch, name, options, hyper, steps, start=None, to_numbers=True):
    """What the loss after some recorded steps is, and its gradients by where they began and by
    the options named in `hyper`.
    """
    rng = np.random.default_rng(0)
    theta = rng.standard_normal((3, 2)) if start is None else start
    theta = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
    options = dict(options)
    for key in hyper:
        options[key] = torch.tensor(options[key], dtype=torch.float64, requires_grad=True)
    p = theta.clone()
    p.retain_grad()
    optimizer = getattr(torch.optim, name)([p], differentiable=True, **options)
    x = torch.tensor(np.random.default_rng(1).standard_normal((5, 3)), dtype=torch.float64)
    for _ in range(steps):
        q = p.clone()
        loss = ((x @ q) ** 2).sum() + (q.sin() * q).sum()
        (p.grad,) = torch.autograd.grad(loss, [p], create_graph=True)
        optimizer.step()
    loss = (x @ p.clone()).cos().sum()
    wanted = [theta, *(options[key] for key in hyper)]
    grads = torch.autograd.grad(loss, wanted)
    return loss.item(), [g.detach().numpy() for g in grads]


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{i}-{CASES[i][0]}")
def test_gradients_through_steps_are_those_of_pytorch(case):
    torch = pytest.importorskip("torch")
    name, options, hyper = CASES[case]
    steps = 1 if case in ONE_STEP else 8 if name == "RAdam" else 3
    wanted, by_torch = trained(torch, name, options, hyper, steps)
    found, ours = trained(twofold, name, options, hyper, steps)
    # PyTorch counts these steps in float32, and corrects by powers of that
    tolerance = 1e-4 if name in ("Adam", "AdamW", "NAdam", "ASGD") else 1e-9
    assert found == pytest.approx(wanted, rel=tolerance)
    for a, b in zip(ours, by_torch, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"lr": 0.01, "momentum": 0.9, "nesterov": True}),
        ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.1}),
        ("Adam", {"lr": 0.01, "amsgrad": True}),
        ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True}),
        ("Adamax", {"lr": 0.01}),
    ],
)
def test_gradients_through_steps_are_finite_differences(name, options):
    start = np.random.default_rng(0).standard_normal((3, 2))
    _, (grad,) = trained(twofold, name, options, (), 3, start)
    for at in [(0, 0), (2, 1)]:
        ends = []
        for side in (-1, 1):
            moved = start.copy()
            moved[at] += side * 1e-5
            ends.append(trained(twofold, name, options, (), 3, moved)[0])
        assert grad[at] == pytest.approx((ends[1] - ends[0]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "NAdam", "Rprop", "ASGD", "Lion"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_a_recorded_step_gives_the_bits_of_another(name, dtype):
    first = twofold.tensor([0.3, -0.7, 1.1]).to(getattr(twofold, dtype))
    grad = twofold.tensor([0.5, 0.1, -2.0]).to(getattr(twofold, dtype))

    def run(**more):
        p = first.clone()
        optimizer = getattr(optim, name)([p], lr=0.05, **more)
        for _ in range(3):
            p.grad = grad
            optimizer.step()
        return p.tolist()

    assert run(differentiable=True) == run()


def test_a_compiled_function_learns_how_to_learn():
    def run(theta, x):
        p = theta.clone()
        p.retain_grad()
        optimizer = optim.SGD([p], lr=0.1, momentum=0.9, differentiable=True)
        for _ in range(3):
            loss = ((p.clone() - x) ** 2).sum()
            (p.grad,) = twofold.autograd.grad(loss, [p], create_graph=True)
            optimizer.step()
        return twofold.autograd.grad((p.clone() ** 2).sum(), [theta])[0]

    compiled = twofold.compile(run)
    for i in range(3):
        theta = twofold.tensor([1.0, float(i)], requires_grad=True)
        x = twofold.tensor([1.0, 2.0])
        assert compiled(theta, x).tolist() == run(theta, x).tolist()


def test_leaves_are_not_written_by_recorded_steps():
    p = nn.Parameter(twofold.ones(2))
    optimizer = optim.SGD([p], lr=0.1, differentiable=True)
    p.sum().backward()
    with pytest.raises(GradientError, match=r"theta\.clone\(\)"):
        optimizer.step()


def test_what_has_a_history_needs_recorded_steps():
    p = twofold.ones(2, requires_grad=True) * 2
    with pytest.raises(ArgumentError, match="differentiable=True"):
        optim.Adam([p])
    with pytest.raises(ArgumentError, match="fused"):
        optim.Adam([p], differentiable=True, fused=True)
    optim.Adam([p], differentiable=True)
    p.retain_grad()
    optim.Adam([p])
