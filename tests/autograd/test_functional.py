"""autograd.functional and autograd.forward_ad against PyTorch's."""

import numpy as np
import pytest

import twofold
from twofold.autograd import forward_ad, functional
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
RNG = np.random.default_rng(0)
X, Y, V = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=3)


def leaves(tree):
    return [x for part in tree for x in leaves(part)] if isinstance(tree, tuple | list) else [tree]


def same(ours, theirs):
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-9, 1e-12)


def several(x, y):
    return (x * y).exp(), (x * y).sum()


def number(x, y):
    return (x * y.sin()).exp().sum()


PROGRAMS = {
    "jacobian": lambda A, x, y, v: A.jacobian(lambda x: x.sin() * x.sum(), x),
    "jacobian of several": lambda A, x, y, v: A.jacobian(several, (x, y)),
    "forward jacobian": lambda A, x, y, v: A.jacobian(
        several, (x, y), vectorize=True, strategy="forward-mode"
    ),
    "hessian": lambda A, x, y, v: A.hessian(lambda x: (x**4).sum(), x),
    "hessian of several": lambda A, x, y, v: A.hessian(number, (x, y)),
    "forward hessian": lambda A, x, y, v: A.hessian(
        number, (x, y), vectorize=True, outer_jacobian_strategy="forward-mode"
    ),
    "vjp": lambda A, x, y, v: A.vjp(lambda x: x.sin() * x.sum(), x, v),
    "vjp of several": lambda A, x, y, v: A.vjp(several, (x, y), (v, v.sum())),
    "vjp of a number": lambda A, x, y, v: A.vjp(number, (x, y)),
    "jvp": lambda A, x, y, v: A.jvp(several, (x, y), (v, x)),
    "vhp": lambda A, x, y, v: A.vhp(number, (x, y), (v, x)),
    "hvp": lambda A, x, y, v: A.hvp(number, (x, y), (v, x)),
    "hvp of one": lambda A, x, y, v: A.hvp(lambda x: (x**4).sum(), x, v),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name):
    program = PROGRAMS[name]
    ours = program(functional, *map(twofold.tensor, (X, Y, V)))
    theirs = program(torch.autograd.functional, *map(torch.tensor, (X, Y, V)))
    same(ours, theirs)
    assert not any(x.requires_grad for x in leaves(ours))


def test_create_graph_keeps_the_history():
    x = twofold.tensor(X, requires_grad=True)
    made = functional.jacobian(lambda x: x**3, x, create_graph=True)
    made.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * X)
    assert not functional.jacobian(lambda x: x**3, x).requires_grad


def test_strict_wants_every_result_to_depend_on_every_input():
    x, y = twofold.tensor(X), twofold.tensor(Y)
    for call in (functional.jacobian, functional.vjp, functional.jvp):
        with pytest.raises(GradientError, match="result 0 does not depend on input 1"):
            call(lambda x, y: x.sum(), (x, y), strict=True)
    functional.jacobian(lambda x, y: x * y, (x, y), strict=True)


def test_what_is_refused():
    x = twofold.tensor(X)
    with pytest.raises(ArgumentError, match="strategy"):
        functional.jacobian(lambda x: x, x, strategy="sideways")
    with pytest.raises(ArgumentError, match="v is left out"):
        functional.vjp(lambda x: x, x)
    with pytest.raises(DTypeError, match="holds a float"):
        functional.jacobian(lambda x: x, 3.0)


# ---- forward_ad


def test_duals_as_torch():
    def program(T, F, x, t):
        with F.dual_level():
            dual = F.make_dual(T.tensor(x), T.tensor(t))
            made = F.unpack_dual(T.tanh(dual) * dual.sum())
            plain = F.unpack_dual(T.tensor(x))
        assert plain.tangent is None
        return made.primal, made.tangent

    same(program(twofold, forward_ad, X, V), program(torch, torch.autograd.forward_ad, X, V))


def test_duals_written_in_place():
    with forward_ad.dual_level():
        x = forward_ad.make_dual(twofold.tensor(X), twofold.tensor(V))
        y = twofold.zeros_like(x)
        view = y[1:]
        view.add_(x[1:] * 2)
        made = forward_ad.unpack_dual(y * y)
    want = 8 * X * V
    want[0] = 0
    np.testing.assert_allclose(made.tangent.numpy(), want)


def test_duals_need_a_level():
    x = twofold.tensor(X)
    with pytest.raises(GradientError, match="no dual level"):
        forward_ad.make_dual(x, x)
    value, tangent = forward_ad.unpack_dual(x)
    assert value is x and tangent is None
    with forward_ad.dual_level(), pytest.raises(ShapeError, match="shape of its primal"):
        forward_ad.make_dual(x, x[:2])
