"""What a compiled function does not record is not recorded in its gradients either: in branches and
loops, and where a gradient is differentiated outside of the function.
"""

import pytest
from twice import bits

import twofold
from twofold import autograd


class Cube(autograd.Function):
    """A square whose user says that it has another derivative."""

    @staticmethod
    def forward(ctx, x):
        y = x**2
        ctx.save_for_backward(x, y)
        ctx.factor = 3
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * ctx.factor * y * x


class Halves(autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y, x + y

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return g * y.sin() + h, g * x.cos() * h


WEIGHT = twofold.tensor([0.5, -1.0, 2.0, 0.25], requires_grad=True)


def without_grad(x):
    with twofold.no_grad():
        y = x * 3
    return y * x**2


def detached(x):
    return (x * 3).detach() * x**2 + x.detach() * x**3


def rounded(x):
    return x**2 + (x.round() - x).detach() * x.sin()


def with_rule(x):
    return Cube.apply(Cube.apply(x.sin()) * x)


def with_two_results(x):
    first, second = Halves.apply(x.sin(), WEIGHT)
    return first * second


def hooked(x):
    y = x * x
    y.register_hook(lambda g: g * 2)
    return y * x


def branch_without_grad(x):
    if x.sum() > 0:
        with twofold.no_grad():
            y = x * 3
        return x * y * y
    return x * 2


def branch_with_rule(x):
    return Cube.apply(x) * WEIGHT if x.sum() > 0 else x * 2


def straight_through(x):
    if x.sum() > 0:
        x = x**2 + (x.round() - x).detach()
    return x


def loop_with_detached(x):
    h = twofold.zeros(())
    for value in x:
        h = Cube.apply((h * value).detach() * value + value)
    return h


def while_with_rule(x):
    while x.abs().max() > 0.1:
        x = Cube.apply(x * 0.5) + x.detach() * 0.1
    return x


def nested(x):
    h = twofold.zeros(())
    for value in x:
        if value > 0.3:
            with twofold.no_grad():
                k = value * 2
            h = h + Cube.apply(value) * k + (WEIGHT * value).sum()
        else:
            for other in x:
                h = h * other.detach() + value * other
    return h + Halves.apply(x, WEIGHT)[0].sum()


PLAIN = [without_grad, detached, rounded, with_rule, with_two_results, hooked]
CONTROL = [
    *(branch_without_grad, branch_with_rule, straight_through),
    *(loop_with_detached, while_with_rule, nested),
]


def first(function):
    return lambda x: twofold.autograd.grad(function(x).sum(), [x, WEIGHT], allow_unused=True)


def second(function):
    def run(x):
        (g,) = twofold.autograd.grad(function(x).sum(), [x], create_graph=True)
        loss = (g * g).sum() + (x * 0.0).sum()
        return g, *twofold.autograd.grad(loss, [x, WEIGHT], allow_unused=True)

    return run


def zero_or(x):
    return twofold.zeros(()) if x is None else x


@pytest.fixture
def x():
    twofold.manual_seed(0)
    return twofold.rand(4).requires_grad_()


@pytest.mark.parametrize("function", [*PLAIN, *CONTROL], ids=lambda f: f.__name__)
def test_gradients_are_those_of_the_plain_function(function, x):
    wanted = [bits(zero_or(g)) for g in first(function)(x)]
    for compiled in (first(twofold.compile(function)), twofold.compile(first(function))):
        assert [bits(zero_or(g)) for g in compiled(x)] == wanted


@pytest.mark.parametrize("function", PLAIN, ids=lambda f: f.__name__)
def test_gradients_of_gradients_taken_outside(function, x):
    wanted = [bits(zero_or(g)) for g in second(function)(x)]
    compiled = twofold.compile(function)
    for _ in range(2):
        assert [bits(zero_or(g)) for g in second(compiled)(x)] == wanted


@pytest.mark.parametrize("function", CONTROL, ids=lambda f: f.__name__)
def test_gradients_of_gradients_of_branches_and_loops(function, x):
    pairs = zip(twofold.compile(second(function))(x), second(function)(x), strict=True)
    for found, wanted in pairs:
        twofold.testing.assert_close(zero_or(found), zero_or(wanted), rtol=1e-4, atol=1e-6)
