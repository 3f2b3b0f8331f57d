"""Functional transforms, the tape and stateful modules inside of compiled functions."""

import twofold
import twofold.nn.functional as F
from twofold import func, nn


def same(f, *args):
    compiled = twofold.compile(f)
    wanted, got = f(*args), compiled(*args)
    for a, b in zip(func_leaves(wanted), func_leaves(got), strict=True):
        assert a.shape == b.shape
        assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
    return compiled


def func_leaves(x):
    if isinstance(x, twofold.Tensor):
        return [x]
    values = x.values() if isinstance(x, dict) else x
    return [leaf for part in values for leaf in func_leaves(part)]


def loss(w, x, y):
    return ((x @ w).tanh() - y).square().mean()


def inputs():
    twofold.manual_seed(0)
    return twofold.randn(3, 2), twofold.randn(5, 3), twofold.randn(5, 2)


def test_grad_and_value():
    w, x, y = inputs()
    same(lambda w, x, y: func.grad_and_value(loss)(w, x, y), w, x, y)


def test_vjp_and_jvp():
    w, x, y = inputs()
    same(lambda w, x: func.vjp(lambda w: x @ w, w)[1](y)[0], w, x)
    same(lambda w, x: func.jvp(lambda w: (x @ w).sin(), (w,), (w * 2,)), w, x)


def test_per_sample_gradients():
    w, x, y = inputs()
    one = func.grad(lambda w, x, y: loss(w, x[None], y[None]))
    compiled = same(lambda w, x, y: func.vmap(one, (None, 0, 0))(w, x, y), w, x, y)
    more = twofold.randn(9, 3), twofold.randn(9, 2)
    found = compiled(w, *more)
    for i in range(9):
        wanted = one(w, more[0][i], more[1][i])
        assert twofold.allclose(found[i], wanted, rtol=1e-5, atol=1e-6)


def test_hessians_and_jacobians():
    w, x, _ = inputs()
    same(lambda x: func.hessian(lambda x: (x.sin() * x).sum())(x), x[0])
    same(lambda w, x: func.jacrev(lambda w: (x @ w).tanh())(w), w, x)
    same(lambda w, x: func.jacfwd(lambda w: (x @ w).tanh())(w), w, x)


def test_third_derivatives():
    third = func.grad(func.grad(func.grad(lambda x: (x**4 + x.sin()).sum())))
    same(lambda x: third(x), twofold.tensor(0.7, dtype=twofold.float64))


def test_the_tape_inside():
    def f(x):
        with twofold.GradientTape() as outer:
            outer.watch(x)
            with twofold.GradientTape() as inner:
                inner.watch(x)
                y = (x**3).sum()
            g = inner.gradient(y, x)
        return g, outer.gradient(g, x)

    same(f, twofold.tensor([1.0, 2.0]))


def test_per_sample_gradients_of_a_stateful_module():
    twofold.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).eval()
    params = {k: v.detach() for k, v in net.named_parameters()}
    x, y = twofold.randn(5, 4), twofold.randint(0, 3, (5,))

    def one(params, x, y):
        return F.cross_entropy(func.functional_call(net, params, (x[None],)), y[None])

    def all_of(params, x, y):
        return func.vmap(func.grad(one), (None, 0, 0))(params, x, y)

    same(all_of, params, x, y)
