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
