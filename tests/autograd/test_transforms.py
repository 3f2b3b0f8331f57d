"""Functional transforms against torch.func: results, structures, nesting, what is refused."""

import collections
import itertools

import numpy as np
import pytest

import twofold
from twofold import func
from twofold.base.errors import ArgumentError, DTypeError, GradientError, ShapeError
from twofold.nn import functional as F

torch = pytest.importorskip("torch")
# PyTorch's own forward mode loads code that it has deprecated itself
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:Attempted to insert a get_attr"
)
RNG = np.random.default_rng(0)
X, W, T = RNG.normal(size=3), RNG.normal(size=(3, 3)), RNG.normal(size=3)


def tensors(torch_side):
    return [(torch if torch_side else twofold).tensor(a) for a in (X, W, T)]


def leaves(tree):
    if isinstance(tree, dict):
        return [x for key in tree for x in leaves(tree[key])]
    if isinstance(tree, tuple | list):
        return [x for part in tree for x in leaves(part)]
    return [tree]


def same(ours, theirs, rtol=1e-9):
    if isinstance(theirs, tuple | list | dict):
        assert type(ours) is type(theirs) or isinstance(ours, tuple)
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol, rtol)


def both(program):
    """A program of (framework, its func, tensors...) on both sides."""
    same(program(twofold, func, *tensors(False)), program(torch, torch.func, *tensors(True)))


def field(M, w):
    return lambda x: M.tanh(w @ x) * x.sin()


PROGRAMS = {
    "grad": lambda M, f, x, w, t: f.grad(lambda x: (x**3).sum())(x),
    "argnums": lambda M, f, x, w, t: f.grad(lambda x, w: (w @ x).tanh().sum(), (0, 1))(x, w),
    "negative argnums": lambda M, f, x, w, t: f.grad(lambda x, w: (w @ x).sin().sum(), -1)(x, w),
    "one-tuple": lambda M, f, x, w, t: f.grad(lambda x: x.sum(), (0,))(x),
    "dict argument": lambda M, f, x, w, t: f.grad(lambda p: (p["w"] @ p["x"]).exp().sum())(
        {"w": w, "x": x}
    ),
    "aux": lambda M, f, x, w, t: f.grad(lambda x: ((x * t).sum(), {"y": x * 2}), has_aux=True)(x),
    "grad_and_value": lambda M, f, x, w, t: f.grad_and_value(lambda x: (x * t).exp().sum())(x),
    "value with aux": lambda M, f, x, w, t: f.grad_and_value(
        lambda x: (x.exp().sum(), x), has_aux=True
    )(x),
    "keywords": lambda M, f, x, w, t: f.grad(lambda x, *, s: (x * s).sin().sum())(x, s=t),
    "unused": lambda M, f, x, w, t: f.grad(lambda x, w: x.sum(), (0, 1))(x, w),
    "vjp": lambda M, f, x, w, t: f.vjp(field(M, w), x)[1](t),
    "vjp of several": lambda M, f, x, w, t: f.vjp(lambda x, w: (w @ x, x.sin()), x, w)[1]((t, x)),
    "vjp of a dict": lambda M, f, x, w, t: f.vjp(lambda x: {"a": x * x, "b": x.cos()}, x)[1](
        {"a": t, "b": x}
    ),
    "vjp result": lambda M, f, x, w, t: f.vjp(field(M, w), x)[0],
    "jvp": lambda M, f, x, w, t: f.jvp(field(M, w), (x,), (t,)),
    "jvp of several": lambda M, f, x, w, t: f.jvp(lambda x, w: (w @ x).tanh(), (x, w), (t, w)),
    "jvp aux": lambda M, f, x, w, t: f.jvp(lambda x: (x.sin(), x * 3), (x,), (t,), has_aux=True),
    "linearize": lambda M, f, x, w, t: f.linearize(field(M, w), x)[1](t),
    "jacrev": lambda M, f, x, w, t: f.jacrev(field(M, w))(x),
    "jacfwd": lambda M, f, x, w, t: f.jacfwd(field(M, w))(x),
    "jacrev argnums": lambda M, f, x, w, t: f.jacrev(lambda x, w: w @ x.tanh(), (0, 1))(x, w),
    "jacfwd argnums": lambda M, f, x, w, t: f.jacfwd(lambda x, w: w @ x.tanh(), (0, 1))(x, w),
    "jacrev chunked": lambda M, f, x, w, t: f.jacrev(field(M, w), chunk_size=2)(x),
    "jacrev several results": lambda M, f, x, w, t: f.jacrev(lambda x: (x.sin(), w * x.sum()))(x),
    "jacfwd several results": lambda M, f, x, w, t: f.jacfwd(lambda x: (x.sin(), w * x.sum()))(x),
    "jacrev aux": lambda M, f, x, w, t: f.jacrev(lambda x: (x.sin(), x), has_aux=True)(x),
    "jacfwd aux": lambda M, f, x, w, t: f.jacfwd(lambda x: (x.sin(), x), has_aux=True)(x),
    "hessian": lambda M, f, x, w, t: f.hessian(lambda x: field(M, w)(x).square().sum())(x),
    "hessian argnums": lambda M, f, x, w, t: f.hessian(
        lambda x, w: (w @ x).tanh().sum(), argnums=(0, 1)
    )(x, w),
    "jvp of grad": lambda M, f, x, w, t: f.jvp(f.grad(lambda x: field(M, w)(x).sum()), (x,), (t,)),
    "grad of jvp": lambda M, f, x, w, t: f.grad(lambda x: f.jvp(field(M, w), (x,), (t,))[1].sum())(
        x
    ),
    "grad of vjp by its cotangent": lambda M, f, x, w, t: f.grad(
        lambda t: f.vjp(field(M, w), x)[1](t)[0].square().sum()
    )(t),
    "vmap of grad": lambda M, f, x, w, t: f.vmap(f.grad(lambda x: field(M, w)(x).square().sum()))(
        w
    ),
    "grad of vmap of grad": lambda M, f, x, w, t: f.grad(
        lambda x: f.vmap(f.grad(lambda r: (r * x).sin().prod()))(w).sum()
    )(x),
    "vmap of vjp": lambda M, f, x, w, t: f.vmap(lambda r: f.vjp(field(M, w), x)[1](r)[0])(w),
    "vmap of jvp": lambda M, f, x, w, t: f.vmap(lambda r: f.jvp(field(M, w), (x,), (r,))[1])(w),
    "jvp of vmap": lambda M, f, x, w, t: f.jvp(f.vmap(lambda r: (r * x).exp().sum()), (w,), (w,)),
    "perturbation": lambda M, f, x, w, t: f.grad(lambda a: a * f.grad(lambda b: a + b)(t[0]))(x[0]),
    "forward perturbation": lambda M, f, x, w, t: f.jvp(
        lambda a: a * f.jvp(lambda b: a + b, (t[0],), (t[1],))[1], (x[0],), (t[0],)
    ),
    "closure": lambda M, f, x, w, t: f.grad(
        lambda a: f.grad(lambda b: (a * b).sum() ** 3)(t).sum()
    )(x),
    "in place": lambda M, f, x, w, t: f.grad(lambda x: (x.clone().mul_(2).exp_() * t).sum())(x),
    "in place views": lambda M, f, x, w, t: f.jvp(lambda x: _written(x.clone(), x), (x,), (t,)),
    "in place views under vmap": lambda M, f, x, w, t: f.vmap(
        lambda x: _written(x.clone(), x.sin())
    )(w),
    "in place with gradient under vmap": lambda M, f, x, w, t: f.vmap(
        f.grad(lambda x: _written(x.clone(), x.sin()).square().sum())
    )(w),
    "jvp of complex to real": lambda M, f, x, w, t: f.jvp(
        lambda z: (M.abs(z), M.linalg.norm(z), M.angle(z), z / (1 + z.abs())),
        (M.complex(x, t),),
        (M.complex(t, x),),
    ),
    "jvp into places named twice": lambda M, f, x, w, t: f.jvp(
        lambda x, w: (
            w.index_fill(0, M.tensor([1, 1]), x[0]),
            w.scatter(1, M.tensor([[0], [2], [0]]), x.reshape(3, 1)),
            w.scatter_add(1, M.tensor([[0, 0]]), x[None, :2]),
            M.nn.functional.max_unpool1d(x.reshape(1, 3), M.tensor([[1, 1, 0]]), 1, 1),
        ),
        (x, w),
        (t, w),
    ),
    "a choice under jvp": lambda M, f, x, w, t: f.jvp(
        lambda x: x.sin() if x.sum() > float(x[0]) else x.cos(), (x,), (t,)
    ),
    "jvp past checks": lambda M, f, x, w, t: f.jvp(
        lambda x, w: (M.cov(w, aweights=x.abs()), M.linalg.lstsq(w, w, driver="gelsd")[0]),
        (x, w),
        (t, w),
    ),
    "jvp of istft": lambda M, f, x, w, t: f.jvp(
        lambda w: M.istft(M.complex(w, w), 4, window=x.abs()[[0, 1, 1, 0]] + 1), (w,), (w,)
    ),
    "jvp past running moments": lambda M, f, x, w, t: f.jvp(
        lambda w: M.nn.functional.instance_norm(w[None], x.clone(), x.abs()), (w,), (w,)
    ),
    "no_grad inside": lambda M, f, x, w, t: f.grad(lambda x: (x * _constant(M, x)).sum())(x),
}


def _written(y, x):
    y[1:] = x[:2] * 3
    view = y[:2]
    y.add_(x)
    view.mul_(2)
    return y * view.sum()


def _constant(M, x):
    with M.no_grad():
        return x.exp()


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name):
    both(PROGRAMS[name])


@pytest.mark.parametrize("order", list(itertools.product(("jacrev", "jacfwd"), repeat=3)))
def test_third_derivatives_in_any_mode(order):
    def program(M, f, x, w, t):
        made = lambda x: field(M, w)(x).square().sum()  # noqa: E731
        for name in order:
            made = getattr(f, name)(made)
        return made(x)

    both(program)


def test_gradients_flow_to_what_is_read_from_around():
    w = twofold.tensor(T, requires_grad=True)
    made = func.grad(lambda x: (x * x * w).sum())(twofold.tensor(X))
    assert made.requires_grad
    made.sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), 2 * X)


def test_results_have_no_history_of_their_own():
    x = twofold.tensor(X)
    made, value = func.grad_and_value(lambda x: (x**3).sum())(x)
    assert not made.requires_grad and not value.requires_grad
    out, back = func.vjp(lambda x: x.sin(), x)
    assert not out.requires_grad and not back(x)[0].requires_grad
    assert not func.hessian(lambda x: (x**3).sum())(x).requires_grad


def test_gradients_flow_through_tracked_arguments():
    x = twofold.tensor(X, requires_grad=True)
    func.grad(lambda x: (x**3).sum())(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * X)


def test_no_grad_around_a_transform_ends_its_history_only():
    x = twofold.tensor(X, requires_grad=True)
    with twofold.no_grad():
        made = func.grad(lambda x: (x**3).sum())(x)
    assert not made.requires_grad
    np.testing.assert_allclose(made.numpy(), 3 * X * X)


def test_no_grad_is_not_lost_below_other_levels():
    """The tape of the outer gradient goes on while an inner walk is not recorded."""
    both(
        lambda M, f, x, w, t: f.grad(
            lambda x: f.jacfwd(f.grad(lambda y: (x * y).sin().sum()))(t).sum()
        )(x)
    )


def test_one_pass_of_value_and_grad():
    calls = []

    def loss(x):
        calls.append(1)
        return (x * x).sum()

    value, made = func.value_and_grad(loss)(twofold.tensor([3.0]))
    assert value.item() == 9 and made.tolist() == [6] and len(calls) == 1
    (value, aux), _ = func.value_and_grad(lambda x: (x.sum(), "aux"), has_aux=True)(
        twofold.tensor([3.0])
    )
    assert aux == "aux" and value.item() == 3


def test_a_pullback_is_called_again():
    _, back = func.vjp(lambda x: x.exp(), twofold.tensor(X))
    first, second = back(twofold.tensor(T))[0], back(twofold.tensor(T))[0]
    np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_named_tuples_come_back():
    Point = collections.namedtuple("Point", "x y")
    p = Point(twofold.tensor(2.0), twofold.tensor(3.0))
    made = func.grad(lambda p: p.x * p.y)(p)
    assert isinstance(made, Point) and made.x.item() == 3 and made.y.item() == 2


def test_half_types():
    x = twofold.tensor([1.0, 2.0], dtype=twofold.bfloat16)
    assert func.grad(lambda x: (x * x).sum())(x).float().tolist() == [2, 4]
    assert func.jacrev(lambda x: x * x)(x).float().tolist() == [[2, 0], [0, 4]]


def test_complex_numbers_as_torch():
    z = RNG.normal(size=3) + 1j * RNG.normal(size=3)

    def program(M, f):
        x = M.tensor(z)
        g = f.grad(lambda x: ((x * x).exp().abs() ** 2).sum())(x)
        _, s = f.jvp(lambda x: x.sin() * x.conj(), (x,), (M.tensor(z[::-1].copy()),))
        return g, s

    same(program(twofold, func), program(torch, torch.func))


def losses(M, N):
    y = M.tensor(np.array([1, 0, 3, 2]))
    return {
        "cross_entropy": lambda x: N.cross_entropy(N.layer_norm(x.tanh(), (5,)), y),
        "smoothing": lambda x: N.cross_entropy(x, y, label_smoothing=0.1),
        "softmax": lambda x: (N.softmax(x, 1) ** 2).sum(),
        "log_softmax": lambda x: (N.log_softmax(x, 0) ** 2).sum(),
        "attention": lambda x: (
            N.scaled_dot_product_attention(x[None], x[None] * 2, x[None]).sum() ** 2
        ),
        "gelu": lambda x: (N.gelu(x) ** 2).sum(),
        "max_pool": lambda x: (N.max_pool2d(x[None, None].sin(), 2) ** 2).sum(),
        "avg_pool": lambda x: (N.avg_pool2d(x[None, None].sin(), 2) ** 2).sum(),
        "conv": lambda x: (N.conv2d(x[None, None], x[None, None, :3, :3]) ** 2).sum(),
        "batch_norm": lambda x: (N.batch_norm(x, None, None, training=True) ** 3).sum(),
        "sort": lambda x: (x.sort(1)[0] * x).sum(),
        "index": lambda x: (x[y] ** 3).sum(),
        "gather": lambda x: (x.gather(1, y[:, None]) ** 3).sum(),
        "cumsum": lambda x: (x.cumsum(1) ** 3).sum(),
        "cumprod": lambda x: (x.cumprod(1) ** 2).sum(),
        "logsumexp": lambda x: (x.logsumexp(1) ** 2).sum(),
        "norm": lambda x: x.norm() ** 3,
        "var": lambda x: x.var(0).prod(),
        "std": lambda x: x.std(1).sum() ** 2,
    }


@pytest.mark.parametrize("name", losses(twofold, F))
def test_hessians_of_layers_and_losses(name):
    x = RNG.normal(size=(4, 5))
    ours = func.hessian(losses(twofold, F)[name])(twofold.tensor(x))
    again = func.jacrev(func.jacrev(losses(twofold, F)[name]))(twofold.tensor(x))
    theirs = torch.func.hessian(losses(torch, torch.nn.functional)[name])(torch.tensor(x))
    same(ours, theirs, 1e-7)
    same(again, theirs, 1e-7)


def test_hvp_is_the_hessian_times_a_vector():
    x, t = twofold.tensor(X), twofold.tensor(T)
    f = lambda x: field(twofold, twofold.tensor(W))(x).square().sum()  # noqa: E731
    gradient, product = func.hvp(f, (x,), (t,))
    same(product, func.hessian(f)(x) @ t)
    same(gradient, func.grad(f)(x))


REFUSED = [
    (lambda x: func.grad(lambda x: x)(x), ShapeError, "does not give one number"),
    (lambda x: func.grad(lambda x: 1.0)(x), DTypeError, "gives a float"),
    (lambda x: func.grad(lambda x: x.sum())(3.0), DTypeError, "holds a float, not a tensor"),
    (lambda x: func.grad(lambda x: x.sum())(x.long()), DTypeError, "no derivative"),
    (lambda x: func.grad(lambda x: x.sum(), 1)(x), ArgumentError, "argnums 1 does not name"),
    (lambda x: func.grad(lambda x: x.sum(), (0, 0))(x), ArgumentError, "twice"),
    (lambda x: func.grad(lambda x: x.sum(), "a")(x), DTypeError, "argnums is 'a'"),
    (lambda x: func.grad(lambda x: x.sum(), has_aux=True)(x), ArgumentError, "further data"),
    (lambda x: func.vjp(lambda x: x, x)[1](x[:2]), ShapeError, "shape of its result"),
    (lambda x: func.vjp(lambda x: (x, x), x)[1](x), ArgumentError, "structure"),
    (lambda x: func.vjp(lambda x: 1.0, x), DTypeError, "gives a float"),
    (lambda x: func.jvp(lambda x: x, x, x), ArgumentError, "not a tuple"),
    (lambda x: func.jvp(lambda x: x, (x,), (x[:2],)), ShapeError, "shape of its primal"),
    (lambda x: func.jvp(lambda x: x, (x,), (x.float(),)), DTypeError, "type of its primal"),
    (lambda x: func.jvp(lambda x: x[0].item(), (x,), (x,)), DTypeError, "gives a float"),
    (
        lambda x: func.jvp(lambda y: x.detach().add_(y), (x,), (x,)),
        ArgumentError,
        "from outside of jvp",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(twofold.tensor(X))


def test_a_pullback_does_not_outlive_its_vmap():
    kept = []

    def leak(x):
        kept.append(func.vjp(lambda y: y.sin(), x)[1])
        return x

    func.vmap(leak)(twofold.tensor(W))
    with pytest.raises((GradientError, ArgumentError)):
        kept[0](twofold.tensor(X))


class Cube(twofold.autograd.Function):
    """x ** 3 with a gradient that tells that it was asked."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * x * 30


def test_functions_with_their_own_backward():
    x = twofold.tensor(X)
    total = lambda x: Cube.apply(x).sum()  # noqa: E731
    same(func.grad(total)(x), x * x * 30)
    same(func.vmap(func.grad(total))(x[:, None]), (x * x * 30)[:, None])
    same(func.vmap(Cube.apply)(x), x**3)
    same(func.jacrev(func.jacrev(total))(x), twofold.diag(x * 60))
    for call in (
        lambda: func.grad(lambda x: func.vmap(Cube.apply)(x).sum())(x),
        lambda: func.jvp(Cube.apply, (x,), (x,)),
    ):
        with pytest.raises(GradientError, match="differentiated from outside"):
            call()


def test_checkpoints():
    x, w = twofold.tensor(X), twofold.tensor(W)
    plain = lambda x: field(twofold, w)(x).square().sum()  # noqa: E731
    kept = lambda x: twofold.autograd.checkpoint(field(twofold, w), x).square().sum()  # noqa: E731
    same(func.grad(kept)(x), func.grad(plain)(x))
    same(func.vmap(func.grad(kept))(w), func.vmap(func.grad(plain))(w))


def test_a_failing_function_leaves_nothing_in_force():
    x = twofold.tensor(X)
    for call in (
        lambda f: func.grad(f)(x),
        lambda f: func.vmap(f)(x),
        lambda f: func.jvp(f, (x,), (x,)),
    ):
        with pytest.raises(ZeroDivisionError):
            call(lambda x: 1 / 0)
    assert twofold.ops.bind.mode.interpreter is None
    assert twofold.is_grad_enabled()
    assert func.grad(lambda x: x.sum())(x).tolist() == [1, 1, 1]
