"""A user's function with rules of its own for vmap and jvp: what it does is hidden from both."""

import numpy as np
import pytest

import twofold
from twofold.base.errors import ArgumentError, GradientError
from twofold.func import grad, jacfwd, jacrev, jvp, vmap

SEEN = []


class NumPyCube(twofold.autograd.Function):
    """x ** 3 and its slope, of which no transform sees anything."""

    @staticmethod
    def forward(x):
        values = x.detach().numpy()
        return twofold.tensor(values**3), twofold.tensor(3 * values**2)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(inputs[0], output[1])
        ctx.save_for_forward(inputs[0], output[1])

    @staticmethod
    def backward(ctx, g, _):
        _, slope = ctx.saved_tensors
        return g * slope

    @staticmethod
    def jvp(ctx, t):
        _, slope = ctx.saved_tensors
        return t * slope, None

    @staticmethod
    def vmap(info, in_dims, x):
        SEEN.append((info.batch_size, info.randomness, in_dims))
        return NumPyCube.apply(x), (in_dims[0], in_dims[0])


def cube(x):
    return NumPyCube.apply(x)[0]


@pytest.fixture
def x():
    return twofold.arange(6.0).reshape(3, 2)


def test_lanes_are_what_the_rule_of_vmap_gives(x):
    SEEN.clear()
    assert vmap(cube)(x).tolist() == (x**3).tolist()
    assert SEEN == [(3, "error", (0,))]
    assert vmap(cube, in_dims=1, out_dims=1)(x).tolist() == (x**3).tolist()
    assert vmap(vmap(cube))(x).tolist() == (x**3).tolist()


def test_slopes_are_what_the_rule_of_jvp_gives(x):
    value, slope = jvp(cube, (x,), (twofold.full((3, 2), 2.0),))
    assert value.tolist() == (x**3).tolist() and slope.tolist() == (6 * x**2).tolist()
    point = twofold.tensor([1.0, 2.0])
    assert jacfwd(cube)(point).tolist() == [[3.0, 0.0], [0.0, 12.0]]
    assert jacrev(cube)(point).tolist() == [[3.0, 0.0], [0.0, 12.0]]


def test_rules_and_gradients_go_together(x):
    leaf = x.clone().requires_grad_()
    vmap(cube)(leaf).sum().backward()
    assert leaf.grad.tolist() == (3 * x**2).tolist()
    assert vmap(grad(lambda v: cube(v).sum()))(x).tolist() == (3 * x**2).tolist()
    ones = twofold.ones(2)
    slopes = vmap(lambda v: jvp(cube, (v,), (ones,))[1])(x)
    assert slopes.tolist() == (3 * x**2).tolist()


class Scaled(twofold.autograd.Function):
    """x * k for a k that has no slope."""

    @staticmethod
    def forward(ctx, x, k, factor):
        ctx.k, ctx.factor = k, factor
        return x * k * factor

    @staticmethod
    def backward(ctx, g):
        return g * ctx.k * ctx.factor, None, None

    @staticmethod
    def jvp(ctx, t, tk, factor):
        assert factor is None
        assert tk is not None and not tk.any()  # zeros where nothing changes
        return t * ctx.k * ctx.factor


def test_slopes_that_are_not_there_arrive_as_zeros(x):
    k = twofold.tensor([2.0, 3.0])
    value, slope = jvp(lambda v: Scaled.apply(v, k, 2), (x,), (twofold.ones(3, 2),))
    assert slope.tolist() == [[4.0, 6.0]] * 3 and value.tolist() == (x * k * 2).tolist()


def test_without_a_rule_slopes_would_pass_by_backward(x):
    class Twice(twofold.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * 2)
        backward = staticmethod(lambda ctx, g: g * 2)

    with pytest.raises(GradientError, match="a rule of its own"):
        jvp(Twice.apply, (x,), (x,))
    assert vmap(Twice.apply)(x).tolist() == (x * 2).tolist()  # lanes of what forward does


def test_mistakes_are_named(x):
    class Kept(twofold.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * 2)
        backward = staticmethod(lambda ctx, g: g * 2)
        vmap = staticmethod(lambda info, in_dims, x: (x * 2, 0))

    with pytest.raises(GradientError, match="setup_context"):
        vmap(grad(lambda v: Kept.apply(v).sum()))(x)

    class Wrong(Kept):
        vmap = staticmethod(lambda info, in_dims, x: (x * 2, (0, 0)))
        jvp = staticmethod(lambda ctx, t: (t, t))

    with pytest.raises(ArgumentError, match="out_dims"):
        vmap(Wrong.apply)(x)
    with pytest.raises(ArgumentError, match="2 slopes for 1 result"):
        jvp(Wrong.apply, (x,), (x,))


def test_custom_operations_have_lanes_of_their_own(x):
    @twofold.library.custom_op("rules::square", mutates_args=())
    def square(x: twofold.Tensor, k: float) -> twofold.Tensor:
        return twofold.from_numpy(np.square(x.numpy()) * np.float32(k))

    with pytest.raises(ArgumentError, match="not known inside vmap"):
        vmap(lambda v: square(v, 2.0))(x)

    @twofold.library.register_vmap("rules::square")
    def _(info, in_dims, x, k):
        assert in_dims[1] is None and info.batch_size == x.shape[in_dims[0]]
        return square(x, k), in_dims[0]

    found = vmap(lambda v: square(v, 2.0), in_dims=1, out_dims=1)(x)
    assert found.tolist() == (2 * x**2).tolist()
