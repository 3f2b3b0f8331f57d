"""Every optimizer against PyTorch's, compiled against eager, and what is saved."""

import functools

import numpy as np
import pytest

import twofold
from twofold import nn, optim
from twofold.base.errors import ArgumentError, DTypeError

BOTH = {"lr": 0.05, "weight_decay": 0.1}
CASES = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    ("Adam", BOTH),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"maximize": True}),
    ("Adamax", {}),
    ("Adamax", BOTH | {"maximize": True, "betas": (0.4, 0.9)}),
    ("NAdam", {}),
    ("NAdam", BOTH | {"decoupled_weight_decay": True, "momentum_decay": 0.1}),
    ("NAdam", BOTH | {"maximize": True}),
    ("RAdam", {}),
    ("RAdam", BOTH | {"maximize": True, "betas": (0.8, 0.99)}),
    ("RAdam", BOTH | {"decoupled_weight_decay": True}),
    ("Adagrad", {}),
    ("Adagrad", BOTH | {"lr_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ("Adadelta", {}),
    ("Adadelta", BOTH | {"rho": 0.5, "maximize": True}),
    ("RMSprop", {}),
    ("RMSprop", BOTH | {"momentum": 0.9, "centered": True}),
    ("RMSprop", BOTH | {"centered": True, "alpha": 0.4, "maximize": True}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.3, 1.5), "step_sizes": (0.005, 0.02), "maximize": True}),
    ("ASGD", {}),
    ("ASGD", BOTH | {"lambd": 0.1, "t0": 4.0, "maximize": True}),
    ("Muon", {}),
    ("Muon", BOTH | {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "momentum": 0.3}),
]
NAMES = [f"{name}-{'-'.join(options)}" for name, options in CASES]
SHAPES = [(5, 3), (2, 7)]


def start(dtype="float32"):
    random = np.random.default_rng(3)
    return [random.standard_normal(shape).astype(dtype) for shape in SHAPES]


def targets(dtype="float32"):
    random = np.random.default_rng(5)
    return [[random.standard_normal(s).astype(dtype) for s in SHAPES] for _ in range(10)]


def train(library, name, options, steps, optimizer=None, params=None, begin=0, dtype="float32"):
    """Steps of a problem whose gradients change sign now and then."""
    if params is None:
        params = [library.tensor(x, requires_grad=True) for x in start(dtype)]
    if optimizer is None:
        optimizer = getattr(library.optim, name)(params, **options)
    for step in range(begin, begin + steps):
        optimizer.zero_grad()
        pairs = zip(params, targets(dtype)[step], strict=True)
        loss = sum(((x - library.tensor(t)) ** 2).sum() for x, t in pairs)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * 0.95
        optimizer.step()
    return optimizer, params


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_ten_steps_agree_with_torch(name, options, dtype):
    torch = pytest.importorskip("torch")
    _, ours = train(twofold, name, options, 10, dtype=dtype)
    _, theirs = train(torch, name, options, 10, dtype=dtype)
    tolerance = 2e-5 if dtype == "float32" else 1e-6  # numbers of a state are float32 there
    if name == "Muon":
        tolerance = 0.02  # its iteration is in bfloat16
    for x, t in zip(ours, theirs, strict=True):
        moved = np.abs(t.detach().numpy() - start(dtype)[0 if t.shape == (5, 3) else 1]).max()
        np.testing.assert_allclose(
            x.detach().numpy(), t.detach().numpy(), rtol=0, atol=tolerance * max(1, moved)
        )


@pytest.mark.parametrize(("name", "options"), CASES, ids=NAMES)
def test_state_and_groups_are_laid_out_as_in_torch(name, options):
    torch = pytest.importorskip("torch")
    ours = train(twofold, name, options, 2)[0].state_dict()
    theirs = train(torch, name, options, 2)[0].state_dict()
    for mine, other in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert set(mine) == set(other)
        assert {k: v for k, v in mine.items() if k != "lr"} == {
            k: v for k, v in other.items() if k != "lr"
        }
    for number, state in theirs["state"].items():
        # all optimizers count their steps here
        uncounted = name in ("SGD", "Muon")
        assert [k for k in ours["state"][number] if not uncounted or k != "step"] == list(state)
        for key, value in state.items():
            mine = ours["state"][number][key]
            np.testing.assert_allclose(np.asarray(mine), value.numpy(), rtol=0.02, atol=1e-3)


@pytest.mark.parametrize(("name", "options"), [*CASES, ("Lion", BOTH)], ids=[*NAMES, "Lion"])
def test_compiled_steps_have_the_same_bits(name, options):
    found = []
    for wrap in (lambda f: f, twofold.compile):
        params = [nn.Parameter(twofold.tensor(x)) for x in start()]
        optimizer = getattr(optim, name)(params, **options)

        @wrap
        def step(first, second, params=params, optimizer=optimizer):
            optimizer.zero_grad()
            loss = ((params[0] - first) ** 2).sum() + ((params[1] - second) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss

        for turn, pair in enumerate(targets()):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 / (turn + 2)
            step(*map(twofold.tensor, pair))
        found.append([x.detach().numpy() for x in params])
    for eager, compiled in zip(*found, strict=True):
        assert eager.tobytes() == compiled.tobytes()


@pytest.mark.parametrize(("name", "options"), [*CASES, ("Lion", BOTH)], ids=[*NAMES, "Lion"])
def test_a_saved_state_goes_on(name, options, tmp_path):
    _, wanted = train(twofold, name, options, 6)
    optimizer, params = train(twofold, name, options, 3)
    twofold.save({"params": params, "optimizer": optimizer.state_dict()}, tmp_path / "x")
    saved = twofold.load(tmp_path / "x")
    params = [x.detach().requires_grad_() for x in saved["params"]]
    optimizer = getattr(optim, name)(params, **options)
    optimizer.load_state_dict(saved["optimizer"])
    _, found = train(twofold, name, options, 3, optimizer, params, begin=3)
    for x, y in zip(found, wanted, strict=True):
        assert x.detach().numpy().tobytes() == y.detach().numpy().tobytes()


def test_lion_is_its_definition():
    _, (ours, _) = train(twofold, "Lion", {"lr": 0.1, "weight_decay": 0.2}, 10)
    x = start()[0].astype(np.float64)
    m = np.zeros_like(x)
    lr = 0.1
    for turn in targets():
        lr *= 0.95
        g = 2 * (x - turn[0])
        x = x * (1 - lr * 0.2) - lr * np.sign(0.9 * m + 0.1 * g)
        m = 0.99 * m + 0.01 * g
    np.testing.assert_allclose(ours.detach().numpy(), x, atol=1e-5)


def test_groups_have_their_own_options():
    first, second = (nn.Parameter(twofold.ones(3)) for _ in range(2))
    optimizer = optim.RMSprop([{"params": [first], "lr": 0.0}, {"params": [second]}], lr=0.1)
    (first.sum() + second.sum()).backward()
    optimizer.step()
    assert first.tolist() == [1.0] * 3 and max(second.tolist()) < 1.0
    optimizer.add_param_group({"params": [nn.Parameter(twofold.ones(2))], "momentum": 0.5})
    assert [g["momentum"] for g in optimizer.param_groups] == [0.0, 0.0, 0.5]


def test_parameters_without_gradient_stay_and_join_later():
    a, b = (nn.Parameter(twofold.ones(2)) for _ in range(2))
    optimizer = optim.NAdam([a, b])
    a.sum().backward()
    optimizer.step()
    assert b.tolist() == [1.0, 1.0] and b not in optimizer.state
    optimizer.zero_grad()
    (a.sum() + b.sum()).backward()
    optimizer.step()
    assert [optimizer.state[x]["step"] for x in (a, b)] == [2, 1]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda p: optim.RMSprop([p], lr=-1.0), "lr = -1.0"),
        (lambda p: optim.NAdam([p], betas=0.9), "betas = 0.9"),
        (lambda p: optim.Adamax([p], betas=(0.9, 1.0)), "beta2 = 1.0"),
        (lambda p: optim.Rprop([p], etas=(1.2, 0.5)), "etas ="),
        (lambda p: optim.Muon([p]), "only matrices"),
        (lambda p: optim.LBFGS([p], line_search_fn="wolfe"), "line_search_fn = 'wolfe'"),
        (lambda p: optim.LBFGS([p]).step(), "there is no closure"),
    ],
)
def test_what_makes_no_sense_is_refused(make, text):
    with pytest.raises(twofold.TwofoldError, match=text):
        make(nn.Parameter(twofold.ones(3)))


def rosenbrock(library, **options):
    xs = [library.tensor([-1.2, 1.0, 0.5, -0.3], dtype=library.float64, requires_grad=True)]
    xs.append(library.tensor([0.7, 0.9], dtype=library.float64, requires_grad=True))
    optimizer = library.optim.LBFGS(xs, **options)

    def closure():
        optimizer.zero_grad()
        x = library.cat(xs)
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(6)]
    return losses, [x.detach().numpy() for x in xs], optimizer.state_dict()["state"][0]


@pytest.mark.parametrize(
    "options",
    [
        {"line_search_fn": "strong_wolfe"},
        {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7, "lr": 0.5},
        {"lr": 0.001, "history_size": 4},
    ],
)
def test_lbfgs_agrees_with_torch(options):
    torch = pytest.importorskip("torch")
    ours, xs, state = rosenbrock(twofold, **options)
    theirs, ys, other = rosenbrock(torch, **options)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-12)
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-9)
    assert (state["func_evals"], state["n_iter"]) == (other["func_evals"], other["n_iter"])
    assert set(state) >= set(other) - {"al"}


def small(*shapes):
    r = np.random.default_rng(0)
    return [twofold.nn.Parameter(twofold.tensor(np.asarray(r.normal(size=s)))) for s in shapes]


def descend(optimizer, params, steps):
    for i in range(steps):

        def closure(i=i):
            optimizer.zero_grad()
            loss = sum(((p - 0.3 * (i + 1)) ** 2).sum() + p.sin().sum() for p in params)
            loss.backward()
            return loss

        optimizer.step(closure)


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_goes_on_as_if_it_had_never_stopped(line_search):
    make = functools.partial(twofold.optim.LBFGS, line_search_fn=line_search, max_iter=3)
    params = small((4, 3), (5,), ())
    optimizer = make(params)
    descend(optimizer, params, 3)
    copies = [twofold.nn.Parameter(p.detach().clone()) for p in params]
    resumed = make(copies)
    resumed.load_state_dict(optimizer.state_dict())
    descend(optimizer, params, 3)
    descend(resumed, copies, 3)
    assert all((a == b).all() for a, b in zip(params, copies, strict=True))


@pytest.mark.parametrize("name", ["Muon", "SGD", "LBFGS", "Adafactor", "AdamW"])
def test_checkpoints_of_pytorch_go_on(name):
    torch = pytest.importorskip("torch", reason="the checkpoint is PyTorch's")
    options = {"momentum": 0.9} if name == "SGD" else {}
    ours = small((4, 3), (2, 2))
    theirs = [torch.nn.Parameter(torch.tensor(p.detach().numpy())) for p in ours]
    last = getattr(torch.optim, name)(theirs, **options)
    descend(last, theirs, 3)
    ours = [twofold.nn.Parameter(twofold.tensor(p.detach().numpy().copy())) for p in theirs]
    optimizer = getattr(twofold.optim, name)(ours, **options)
    optimizer.load_state_dict(values(last.state_dict(), torch))
    descend(optimizer, ours, 3)
    descend(last, theirs, 3)
    loose = 1e-2 if name == "Muon" else 1e-6  # Muon turns matrices in bfloat16
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), loose, loose)
    keys = {k: set(v) for k, v in last.state_dict()["state"].items()}
    if name != "LBFGS":
        assert {k: set(v) for k, v in optimizer.state_dict()["state"].items()} == keys
    assert repr(optimizer) == repr(last)


def values(x, torch):
    if isinstance(x, torch.Tensor):
        return twofold.tensor(x.detach().numpy().copy())
    if isinstance(x, dict):
        return {k: values(v, torch) for k, v in x.items()}
    return [values(v, torch) for v in x] if isinstance(x, list) else x


@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1, "lr": 0.05}, {"maximize": True, "d": 1.5}]
)
def test_adafactor_compiled_and_as_in_pytorch(options):
    def train(params, optimizer, x):
        optimizer.zero_grad()
        loss = sum(((p - 0.3) ** 2).sum() * x for p in params)
        loss.backward()
        optimizer.step()

    shapes = ((4, 3), (5,), (), (2, 3, 2))
    eager, compiled = small(*shapes), small(*shapes)
    make = functools.partial(twofold.optim.Adafactor, **options)
    first, second = make(eager), make(compiled)
    step = twofold.compile(lambda x: train(compiled, second, x))
    for i in range(4):
        x = twofold.tensor(1.0 + i).double()
        train(eager, first, x)
        step(x)
    assert all((a == b).all() for a, b in zip(eager, compiled, strict=True))
    assert first.state_dict()["state"][0]["row_var"].shape == (4, 1)
    torch = pytest.importorskip("torch", reason="the answers come from PyTorch")
    theirs = [torch.nn.Parameter(torch.tensor(p.detach().numpy())) for p in small(*shapes)]
    other = torch.optim.Adafactor(theirs, **options)
    for i in range(4):
        train(theirs, other, 1.0 + i)
    for a, b in zip(eager, theirs, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach().numpy(), 1e-12)


def test_adafactor_refuses():
    for options in ({"beta2_decay": 0.1}, {"d": 0.5}, {"eps": (-1.0, 0.1)}, {"lr": -1.0}):
        with pytest.raises(ArgumentError):
            twofold.optim.Adafactor(small((2, 2)), **options)


def test_hooks_around_steps_and_states():
    seen = []
    params = small((2,))
    optimizer = twofold.optim.SGD(params, lr=0.1, momentum=0.9)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", args[0] is o)))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("saving"))
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.register_load_state_dict_pre_hook(lambda o, state: seen.append(state["more"]))
    every = twofold.optim.optimizer.register_optimizer_step_post_hook(
        lambda o, args, kwargs: seen.append("every")
    )
    params[0].grad = params[0].detach() * 0
    optimizer.step()
    every.remove()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    assert seen == [("pre", True), "every", ("pre", True), "saving", 1, "loaded"]


def test_groups_that_are_not_as_meant():
    x, y = small((2,), (3,))
    with pytest.warns(UserWarning, match="twice in one group"):
        twofold.optim.SGD([x, x])
    optimizer = twofold.optim.SGD([("x", x)])
    with pytest.raises(ArgumentError, match="some groups have names"):
        optimizer.add_param_group({"params": [y]})
    optimizer.add_param_group({"params": [("y", y)]})
    assert repr(optimizer).count("\n\nParameter Group 1") == 1


@pytest.mark.parametrize(
    ("saved", "here", "lost"),
    [
        ("SGD", "Adam", "betas, eps"),
        ("Adam", "SGD", "dampening, momentum"),
        ("RMSprop", "AdamW", "betas"),
        ("Adam", "RMSprop", "alpha, momentum"),
    ],
)
def test_the_state_of_another_optimizer_is_refused(saved, here, lost):
    p = twofold.ones(2, requires_grad=True)
    state = getattr(twofold.optim, saved)([p], lr=0.1).state_dict()
    with pytest.raises(KeyError, match=f"of another optimizer: it has no {lost}"):
        getattr(twofold.optim, here)([p], lr=0.1).load_state_dict(state)


COMPLEX = [
    ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}),
    ("Adam", {"amsgrad": True, "weight_decay": 0.1, "maximize": True}),
    ("AdamW", {}),
    ("Adamax", {}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adagrad", {"initial_accumulator_value": 0.5}),
    ("Adadelta", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Rprop", {}),
    ("ASGD", {}),
    ("LBFGS", {"max_iter": 4}),
    ("LBFGS", {"max_iter": 4, "line_search_fn": "strong_wolfe"}),
]


def complex_steps(library, name, options, decorate=lambda step: step):
    """Parameters and states after steps of a problem in complex numbers."""
    random = np.random.default_rng(0)
    parts = random.normal(size=(3, 4, 2)), random.normal(size=(3, 2))
    params = [library.tensor(p[..., 0] + 1j * p[..., 1]).requires_grad_() for p in parts]
    goal = library.tensor(random.normal(size=(3, 4)) + 1j)
    optimizer = getattr(library.optim, name)(params, **options)

    def closure():
        optimizer.zero_grad()
        loss = ((params[0] - goal).abs() ** 2).sum() + (params[1].abs() ** 3).sum()
        loss.backward()
        return loss

    def step():
        closure()
        optimizer.step()

    step = decorate(step)
    for _ in range(2 if name == "LBFGS" else 5):
        optimizer.step(closure) if name == "LBFGS" else step()
    states = optimizer.state_dict()["state"].values()
    kept = [v for state in states for v in state.values() if isinstance(v, library.Tensor)]
    return [x.detach().numpy() for x in (*params, *kept) if x.ndim]


@pytest.mark.parametrize(("name", "options"), COMPLEX)
def test_complex_parameters_as_in_pytorch_and_compiled(name, options):
    torch = pytest.importorskip("torch")
    ours = complex_steps(twofold, name, options)
    count = 2 if name == "LBFGS" else len(ours)
    for mine, other in zip(ours[:count], complex_steps(torch, name, options), strict=False):
        assert mine.dtype == other.dtype
        np.testing.assert_allclose(mine, other, 1e-7, 1e-9)
    if name != "LBFGS":
        made = complex_steps(twofold, name, options, twofold.compile)
        assert all((a == b).all() for a, b in zip(ours, made, strict=True))


@pytest.mark.parametrize("name", ["Adafactor", "SparseAdam", "Muon"])
def test_complex_parameters_that_have_no_step(name):
    x = twofold.zeros(2, 2, dtype=twofold.complex64, requires_grad=True)
    with pytest.raises(DTypeError, match="complex parameters"):
        getattr(optim, name)([x])


def test_names_for_some_parameters_are_refused():
    layer = nn.Linear(2, 2)
    with pytest.raises(ArgumentError, match="some parameters of a group have names"):
        optim.SGD([("weight", layer.weight), layer.bias])
    groups = optim.SGD(layer.parameters()).param_groups
    assert list(groups[0])[:2] == ["params", "lr"]


def test_hooks_of_a_class_of_one_s_own():
    class Plain(twofold.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.5, "power": 1})

        def step(self, closure=None):
            said.append("step")

    said, x = [], twofold.nn.Parameter(twofold.ones(1))
    optimizer = Plain([x])
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: said.append(args[0] is o))
    optimizer.register_step_post_hook(lambda o, args, kwargs: said.append("after"))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert said == [True, "step", "after", "step", "after"]
    assert list(optimizer.state_dict()["param_groups"][0]) == ["lr", "power", "params"]
