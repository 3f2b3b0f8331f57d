"""Transforms are made of operations: compiled, they give the same bits, for other sizes too."""

import numpy as np
import pytest

import twofold
from twofold import GradientTape, func, nn
from twofold.base.trees import leaves_of
from twofold.nn import functional as F

RNG = np.random.default_rng(0)


def data(rows):
    x = twofold.tensor(RNG.normal(size=(rows, 6)).astype(np.float32))
    return x, twofold.tensor(RNG.integers(0, 3, rows))


def per_sample(net):
    def loss(state, x, y):
        return F.cross_entropy(func.functional_call(net, state, (x[None],)), y[None])

    return func.vmap(func.grad(loss), (None, 0, 0))


def curve(x):
    return (x.sin() * x.sum()).sum()


def taped(x):
    with GradientTape() as tape:
        tape.watch(x)
        y = curve(x)
    return tape.gradient(y, x)


FUNCTIONS = {
    "grad": func.grad(curve),
    "jvp": lambda x: func.jvp(lambda x: x.tanh() * x, (x,), (x.cos(),)),
    "vjp": lambda x: func.vjp(lambda x: x.tanh() * x, x)[1](x)[0],
    "jacrev": func.jacrev(lambda x: x.sin() * x.sum()),
    "jacfwd": func.jacfwd(lambda x: x.sin() * x.sum()),
    "hessian": func.hessian(curve),
    "hvp": lambda x: func.hvp(curve, (x,), (x,)),
    "vmap": func.vmap(lambda r: r * r.exp()),
    "tape": taped,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_is_eager(name):
    function = FUNCTIONS[name]
    compiled = twofold.compile(function)
    for size in (5, 3):
        x = twofold.tensor(RNG.normal(size=size).astype(np.float32))
        for ours, want in zip(leaves_of(compiled(x)), leaves_of(function(x)), strict=True):
            assert np.array_equal(ours.numpy(), want.numpy())


def test_per_sample_gradients_compiled():
    net = nn.Sequential(nn.Linear(6, 17), nn.Tanh(), nn.Linear(17, 3))
    state = {name: p.detach() for name, p in net.named_parameters()}
    function = per_sample(net)
    compiled = twofold.compile(function)
    for rows in (8, 5):
        x, y = data(rows)
        ours, want = compiled(state, x, y), function(state, x, y)
        for name in state:
            assert np.array_equal(ours[name].numpy(), want[name].numpy()), name


# ---- loops under transforms ----------------------------------------------------------------------

func = twofold.func


def last(w, x):
    h, _ = twofold.scan(lambda c, s: ((c @ w + s).tanh(), None), x[0], x)
    return h.square().sum()


def turned(w, x):
    def turn(i, h):
        return i + 1, (h @ w).tanh()

    return twofold.while_loop(lambda i, h: i < 3, turn, (twofold.tensor(0), x[0]))[1].square().sum()


def chosen(w, x):
    return twofold.cond(x.sum() > 0, lambda: (x @ w).sum(), lambda: (x @ w).square().sum())


@pytest.mark.filterwarnings("ignore:vmap runs")
@pytest.mark.parametrize("function", [last, turned, chosen])
def test_a_gradient_in_each_lane(function):
    twofold.manual_seed(2)
    w, xs = twofold.randn(3, 3), twofold.randn(5, 4, 3)
    slope = func.grad(function)
    wanted = twofold.stack([slope(w, x) for x in xs])
    over = func.vmap(slope, (None, 0))
    assert twofold.allclose(over(w, xs), wanted, atol=1e-6)
    assert twofold.allclose(twofold.compile(over)(w, xs), wanted, atol=1e-6)


def over_rows(w, xs):
    return func.vmap(last, (None, 0))(w, xs)


DERIVATIVES = {
    "jacrev of vmap": lambda w, xs: func.jacrev(over_rows)(w, xs),
    "jacfwd of vmap": lambda w, xs: func.jacfwd(over_rows)(w, xs),
    "hessian": lambda w, xs: func.hessian(last)(w, xs[0]),
    "jacrev of jacrev": lambda w, xs: func.jacrev(func.jacrev(last))(w, xs[0]),
    "grad of jacrev": lambda w, xs: func.grad(lambda w: func.jacrev(last)(w, xs[0]).square().sum())(
        w
    ),
    "jacrev of grad": lambda w, xs: func.jacrev(func.grad(last))(w, xs[0]),
}


@pytest.mark.filterwarnings("ignore:vmap runs")
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_a_scan(name):
    twofold.manual_seed(3)
    w, xs = twofold.randn(3, 3) * 0.5, twofold.randn(5, 4, 3)
    plain = DERIVATIVES[name](w, xs)
    assert plain.abs().max() > 0.01
    made = twofold.compile(DERIVATIVES[name])(w, xs)
    assert twofold.allclose(made, plain, rtol=1e-4, atol=1e-5)


def _entropy(x):
    return F.cross_entropy(x * x, twofold.arange(4) % 3)


def _normed(x):
    return (F.layer_norm(x, (3,)) * F.rms_norm(x, (3,))).pow(3).sum()


def _two(x):
    first, second = x.exp().sum(), F.layer_norm(x.sin(), (3,)).pow(3)
    return first, second


@pytest.mark.parametrize("function", [_entropy, _normed, _two])
def test_operations_that_keep_more_than_their_result_have_second_derivatives(function):
    found = []
    for f in (twofold.compile(function), function):
        twofold.manual_seed(0)
        w = twofold.randn(4, 3, requires_grad=True)
        made = f(w * 1.5)
        total = made[0] + made[1].sum() if isinstance(made, tuple) else made
        (first,) = twofold.autograd.grad(total, w, create_graph=True)
        (second,) = twofold.autograd.grad(first.pow(2).sum(), w, create_graph=True)
        (third,) = twofold.autograd.grad(second.sum(), w)
        found.append((first, second, third))
    for x, y in zip(*found, strict=True):
        assert np.allclose(x.detach().numpy(), y.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_a_branch_with_such_an_operation_is_walked_inside():
    w = twofold.randn(4, 3, requires_grad=True)

    def f(x, y, chosen):
        z = x @ w
        loss = F.cross_entropy(z[chosen], y[chosen]) if chosen.any() else z.sum() * 0
        loss.backward()
        return loss.detach()

    compiled = twofold.compile(f, fullgraph=True)
    for n, least in ((4, 1), (5, 9), (6, 2)):
        given = twofold.randn(n, 4), twofold.arange(n) % 3, twofold.arange(n) > least
        w.grad = None
        found, gradient, w.grad = compiled(*given), w.grad, None
        assert found.item() == f(*given).item()
        assert twofold.equal(gradient, w.grad)
