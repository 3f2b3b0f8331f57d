"""Training steps as programs: optimizers, schedules, clipping, accumulation, hooks, derivatives.

Each case is a function that makes a state and gives a step and the tensors to look at. The step is
run several times eagerly and, on another state made alike, compiled; every bit must agree.
"""

import pytest
from twice import bits, same

import twofold
from twofold import nn
from twofold.base.trees import leaves_of

F = nn.functional
STEPS = 4
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def network():
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def data(number):
    random = twofold.Generator(seed=number)
    return twofold.randn(6 + number, 5, generator=random), twofold.randint(
        0, 3, (6 + number,), generator=random
    )


def run(make, compiled):
    twofold.manual_seed(3)
    step, state = make()
    if compiled and hasattr(step, "compile"):  # a part of it is compiled
        step.compile()
    elif compiled:
        step = twofold.compile(step)
    found = []
    twofold.manual_seed(4)
    for number in range(STEPS):
        made = step(*data(number))
        found += [bits(x) for x in leaves_of(made)]
        found += [bits(x) for y in state() for x in (y, y.grad)]
    return found


def training(optimizer, clip=None, schedule=None, model=network):
    """The usual step with an optimizer of the parameters."""

    def make():
        net = model()
        opt = optimizer(net.parameters())
        plan = schedule(opt) if schedule else None

        def step(x, y):
            opt.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            if clip:
                clip(net.parameters())
            opt.step()
            if plan is not None:
                plan.step()
            return loss

        return step, lambda: [*net.parameters(), *net.buffers()]

    return make


OPTIMIZERS = {
    "sgd": lambda p: twofold.optim.SGD(p, 0.1),
    "momentum": lambda p: twofold.optim.SGD(p, 0.1, momentum=0.9, weight_decay=1e-2),
    "nesterov": lambda p: twofold.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "damped": lambda p: twofold.optim.SGD(p, 0.1, momentum=0.9, dampening=0.3),
    "maximize": lambda p: twofold.optim.SGD(p, 0.1, maximize=True),
    "adam": lambda p: twofold.optim.Adam(p, 1e-2),
    "amsgrad": lambda p: twofold.optim.Adam(p, 1e-2, amsgrad=True, weight_decay=0.1),
    "adamw": lambda p: twofold.optim.AdamW(p, 1e-2, betas=(0.8, 0.99)),
}
S = twofold.optim.lr_scheduler
SCHEDULES = {
    "step": lambda o: S.StepLR(o, 2),
    "exponential": lambda o: S.ExponentialLR(o, 0.9),
    "cosine": lambda o: S.CosineAnnealingLR(o, 10),
    "lambda": lambda o: S.LambdaLR(o, lambda n: 1 / (n + 1)),
    "linear": lambda o: S.LinearLR(o),
    "milestones": lambda o: S.MultiStepLR(o, [1, 3]),
    "constant": lambda o: S.ConstantLR(o),
}
for _name, _optimizer in OPTIMIZERS.items():
    CASES[_name] = training(_optimizer)
for _name, _schedule in SCHEDULES.items():
    CASES[f"schedule {_name}"] = training(OPTIMIZERS["momentum"], schedule=_schedule)
for _name in ("norm", "inf", "value"):
    clips = {
        "norm": lambda p: nn.utils.clip_grad_norm_(p, 0.1),
        "inf": lambda p: nn.utils.clip_grad_norm_(p, 0.01, float("inf")),
        "value": lambda p: nn.utils.clip_grad_value_(p, 0.01),
    }
    CASES[f"clip {_name}"] = training(OPTIMIZERS["sgd"], clip=clips[_name])
CASES["batch norm"] = training(
    OPTIMIZERS["adam"], model=lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU())
)
CASES["dropout"] = training(
    OPTIMIZERS["sgd"], model=lambda: nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.4))
)
CASES["half"] = training(
    OPTIMIZERS["momentum"],
    model=lambda: nn.Sequential(Cast(twofold.bfloat16), nn.Linear(5, 4).bfloat16(), Cast()),
)


class Cast(nn.Module):
    def __init__(self, dtype=twofold.float32):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return x.to(self.dtype)


@case
def groups():
    net = network()
    opt = twofold.optim.SGD(
        [
            {"params": net[0].parameters(), "lr": 0.01, "momentum": 0.9},
            {"params": net[2].parameters()},
        ],
        lr=0.1,
    )

    def step(x, y):
        opt.zero_grad()
        F.cross_entropy(net(x), y).backward()
        opt.step()

    return step, lambda: list(net.parameters())


@case
def changed_rate():
    net = network()
    opt = twofold.optim.Adam(net.parameters(), 0.1)
    calls = []

    def step(x, y):
        opt.zero_grad()
        F.cross_entropy(net(x), y).backward()
        opt.step()

    def outside(x, y):
        calls.append(1)
        opt.param_groups[0]["lr"] = 0.1 / len(calls)
        return inner[0](x, y)

    inner = [step]
    outside.compile = lambda: inner.__setitem__(0, twofold.compile(step))
    return outside, lambda: list(net.parameters())


@case
def accumulation():
    net = network()

    def step(x, y):
        F.cross_entropy(net(x), y).backward()

    return step, lambda: list(net.parameters())


@case
def accumulation_then_step():
    net = network()
    opt = twofold.optim.SGD(net.parameters(), 0.1)

    def step(x, y):
        for part, labels in zip(x[:4].chunk(2), y[:4].chunk(2), strict=True):
            F.cross_entropy(net(part), labels).backward()
        opt.step()
        opt.zero_grad()

    return step, lambda: list(net.parameters())


@case
def zero_grad_to_zeros():
    net = network()
    opt = twofold.optim.SGD(net.parameters(), 0.1)

    def step(x, y):
        opt.zero_grad(set_to_none=False)
        F.cross_entropy(net(x), y).backward()
        opt.step()

    return step, lambda: list(net.parameters())


@case
def backward_twice():
    net = network()

    def step(x, y):
        loss = F.cross_entropy(net(x), y)
        loss.backward(retain_graph=True)
        loss.backward()

    return step, lambda: list(net.parameters())


@case
def step_of_gradients_from_outside():
    net = network()
    opt = twofold.optim.SGD(net.parameters(), 0.1)

    def step(x, y):
        for p in net.parameters():
            p.grad = p.detach() * 0.25 + x.sum() * 0
        return update[0]()

    update = [lambda: opt.step()]
    step.compile = lambda: update.__setitem__(0, twofold.compile(lambda: opt.step()))
    return step, lambda: list(net.parameters())


def by_hand(change):
    """Descent without an optimizer; `change` is what becomes of old gradients."""

    def make():
        w = twofold.randn(5).requires_grad_()

        def step(x, y):
            change(w)
            ((x @ w) ** 2).mean().backward()
            w.grad.mul_(0.5)
            with twofold.no_grad():
                w.sub_(0.1 * w.grad)

        return step, lambda: [w]

    return make


def forget(w):
    w.grad = None


def clear(w):
    if w.grad is not None:
        w.grad.zero_()


CASES["gradients forgotten by hand"] = by_hand(forget)
CASES["gradients cleared by hand"] = by_hand(clear)


@case
def gradients_read_elsewhere():
    w = twofold.randn(5).requires_grad_()

    def step(x, y):
        w.grad = None
        ((x @ w) ** 2).mean().backward()
        return update[0]()

    def descend():
        with twofold.no_grad():
            w.sub_(0.1 * w.grad)
        return (w.grad**2).sum()

    update = [descend]
    step.compile = lambda: update.__setitem__(0, twofold.compile(descend))
    return step, lambda: [w]


@case
def second_derivatives():
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))

    def step(x, y):
        x = x.requires_grad_()
        out = net(x).sum()
        (g,) = twofold.autograd.grad(out, x, create_graph=True)
        ((g.norm(dim=1) - 1) ** 2).mean().backward()
        return g

    return step, lambda: list(net.parameters())


@case
def third_derivatives():
    w = twofold.randn(5).requires_grad_()

    def step(x, y):
        z = (x * w).sin().sum()
        for _ in range(3):
            (z,) = twofold.autograd.grad(z, w, create_graph=True)
            z = (z * z).sum()
        return z

    return step, lambda: [w]


@case
def hooks():
    net = network()
    seen = []
    net[0].weight.register_hook(lambda g: g * 2)
    net[2].register_full_backward_hook(lambda m, gi, go: None)
    net[1].register_forward_hook(lambda m, args, out: out * 1.5)

    def step(x, y):
        hidden = net[0](x)
        hidden.register_hook(lambda g: g.clamp(-0.01, 0.01))
        hidden.retain_grad()
        F.cross_entropy(net[2](net[1](hidden)), y).backward()
        seen.append(1)
        return hidden.grad

    return step, lambda: list(net.parameters())


@case
def checkpointed():
    net = network()

    def step(x, y):
        x = x.requires_grad_()
        hidden = twofold.autograd.checkpoint(net[:2], x)
        F.cross_entropy(net[2](hidden), y).backward()
        return x.grad

    return step, lambda: list(net.parameters())


class Doubled(twofold.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * scale

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 3 * ctx.scale, None


@case
def own_function():
    w = twofold.randn(5).requires_grad_()

    def step(x, y):
        Doubled.apply(x * w, 0.5).sum().backward()

    return step, lambda: [w]


@case
def in_place():
    w = twofold.randn(5).requires_grad_()
    buffer = twofold.zeros(3, 5)

    def step(x, y):
        z = x * w
        z[:2] *= 3
        z[:, 1:3].add_(1)
        z.t()[0].mul_(z[:, 4].clone())
        z[:, 0] = y.float()
        z.clamp_(-1, 1)
        with twofold.no_grad():
            buffer.mul_(0.5).add_(z[:3])
            buffer[1] = 7
            buffer[:, 2:] += buffer[:, :3]
        z.exp_().sum().backward()
        return z, z.view(-1)[:3], buffer[0]

    return step, lambda: [w, buffer]


@case
def masks():
    w = twofold.randn(5).requires_grad_()

    def step(x, y):
        z = x * w
        z[z > 0.5] = 0.25
        z = z.masked_fill(x < -1, -2.0)
        z = twofold.where(z > 0, z, z * 0.1)
        z[y == 1] = 0.5
        z.sum().backward()
        return z, (z > 0).sum(), z.argmax(1), x[twofold.arange(x.shape[0]), y]

    return step, lambda: [w]


@case
def draws():
    g = twofold.Generator(seed=9)

    def step(x, y):
        weights = twofold.rand(3, 4) + 0.1
        return [
            twofold.rand(2, 3),
            twofold.randn(x.shape[0], 2),
            twofold.randn_like(x),
            twofold.randint(0, 10, (x.shape[0],)),
            twofold.randint(3, 10, (5,), generator=g),
            twofold.randperm(x.shape[0]),
            twofold.bernoulli(twofold.full((4,), 0.5)),
            twofold.multinomial(weights, 2),
            twofold.multinomial(weights, 5, replacement=True),
            twofold.normal(0.0, twofold.ones(3)),
            twofold.normal(1.0, 2.0, (3,)),
            twofold.empty(3).uniform_(2, 5),
            twofold.zeros(3).normal_(1, 2),
            twofold.zeros(3).exponential_(2.0),
            twofold.zeros(3).bernoulli_(0.3),
            twofold.rand(4, dtype=twofold.float64),
            twofold.rand(4, dtype=twofold.bfloat16),
            F.dropout(x, 0.3),
            F.dropout2d(x.reshape(1, -1, 5, 1), 0.3),
            F.gumbel_softmax(x),
            F.rrelu(x, training=True),
        ]

    return step, lambda: [g.get_state()]


@case
def values_and_quantiles():
    def step(x, y):
        return [
            x.quantile(0.3),
            x.median(),
            x.median(0),
            x.sort(1),
            x.topk(2),
            x.cumsum(0),
            x.cumprod(0),
            x.std(),
            x.var(1),
            twofold.searchsorted(x[0].sort().values, x),
            F.one_hot(y, 3),
            F.pad(x, (1, 2)),
            F.pad(x[None], (1, 2), mode="reflect"),
            x.repeat_interleave(2, 0),
            x.roll(1, 0),
            x.gather(1, y[:, None]),
            twofold.zeros(x.shape[0], 3).scatter(1, y[:, None], 1.0),
            x.scatter_add(1, y[:, None], x),
            twofold.einsum("ij,kj->ik", x, x),
            twofold.cdist(x, x),
            x.norm(),
            x.diagonal(),
            x.tril(),
            twofold.linspace(0, 1, x.shape[0]),
            x.logsumexp(0),
            x.as_strided((2, 3), (5, 1), 1),
        ]

    return step, lambda: []


@pytest.mark.parametrize("name", CASES)
def test_a_program_does_what_eager_does(name):
    make = CASES[name]
    same(run(make, True), run(make, False), name)


def test_a_schedule_goes_on_with_each_run():
    net = network()
    opt = twofold.optim.SGD(net.parameters(), 1.0)
    plan = S.ExponentialLR(opt, 0.5)

    @twofold.compile
    def step(x):
        opt.zero_grad()
        net(x).sum().backward()
        opt.step()
        plan.step()

    x, _ = data(0)
    for expected in (0.5, 0.25, 0.125):
        step(x)
        assert opt.param_groups[0]["lr"] == expected
    assert len(step.all_programs()) == 1
