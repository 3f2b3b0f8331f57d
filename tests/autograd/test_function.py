"""Functions with a gradient of the user's own, each as in PyTorch."""

import gc
import weakref

import numpy as np
import pytest

import twofold
from twofold.autograd import Function
from twofold.autograd.function import once_differentiable
from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexRangeError,
    ShapeError,
)

try:
    import torch
except ImportError:
    torch = None

NAMESPACES = [twofold] + ([torch] if torch else [])


def functions(t):
    """The same functions over either namespace."""
    base = t.autograd.Function

    class Exp(base):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    class Product(base):
        @staticmethod
        def forward(ctx, x, power, y):
            ctx.save_for_backward(x, y)
            ctx.power = power
            return x**power * y

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            gx = g * ctx.power * x ** (ctx.power - 1) * y if ctx.needs_input_grad[0] else None
            return gx, None, g * x**ctx.power

    class Parts(base):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin(), x.cos(), 3

        @staticmethod
        def backward(ctx, gs, gc, nothing):
            (x,) = ctx.saved_tensors
            return gs * x.cos() - gc * x.sin()

    class Late(base):
        @staticmethod
        def forward(x, y):
            return x * y, x + y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs, output[0])

        @staticmethod
        def backward(ctx, a, b):
            x, y, product = ctx.saved_tensors
            return a * y + b, a * x + b + 0 * product

    class Ranks(base):
        @staticmethod
        def forward(ctx, x):
            order = x.argsort()
            ctx.mark_non_differentiable(order)
            ctx.save_for_backward(order)
            return x[order], order

        @staticmethod
        def backward(ctx, g, nothing):
            (order,) = ctx.saved_tensors
            return t.zeros_like(g).index_add(0, order, g)

    class Rectify(base):
        @staticmethod
        def forward(ctx, x):
            x.clamp_(min=0)
            ctx.mark_dirty(x)
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (x > 0)

    class Reverse(base):
        @staticmethod
        def forward(ctx, x):
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            return -g

    class Unused(base):
        @staticmethod
        def forward(ctx, x, keep):
            ctx.set_materialize_grads(not keep)
            ctx.keep = keep
            return x * 2, x * 3

        @staticmethod
        def backward(ctx, a, b):
            assert (b is None) == ctx.keep
            return a * 2 + (0 if b is None else b * 3), None

    return {k: v for k, v in locals().items() if isinstance(v, type) and v is not base}


PROGRAMS = {
    "one": lambda f, x, y: f["Exp"].apply(x) * y,
    "several arguments": lambda f, x, y: f["Product"].apply(x, 3, y),
    "one argument tracked": lambda f, x, y: f["Product"].apply(x.detach(), 2, y),
    "several outputs": lambda f, x, y: f["Parts"].apply(x)[0] * y + f["Parts"].apply(x)[1],
    "one output of several": lambda f, x, y: f["Parts"].apply(x)[1] * y,
    "setup_context": lambda f, x, y: f["Late"].apply(x, y)[0] * f["Late"].apply(y, x)[1],
    "an output without gradient": lambda f, x, y: f["Ranks"].apply(x)[0] * y,
    "in place": lambda f, x, y: f["Rectify"].apply(x - 1) * y,
    "in place through a view": lambda f, x, y: _rectified_part(f, x) * y,
    "a view": lambda f, x, y: f["Reverse"].apply(x) * x * y,
    "zeros for unused outputs": lambda f, x, y: f["Unused"].apply(x, False)[0] * y,
    "None for unused outputs": lambda f, x, y: f["Unused"].apply(x, True)[0] * y,
    "nested": lambda f, x, y: f["Exp"].apply(f["Product"].apply(x, 2, y)),
}
TWICE = [n for n in PROGRAMS if n not in ("an output without gradient",)]


def _rectified_part(f, x):
    h = x - 1
    f["Rectify"].apply(h[1:])
    return h


def run(t, name, order):
    f = functions(t)
    x = t.tensor([0.5, 1.7, 0.9], dtype=t.float64, requires_grad=True)
    y = t.tensor([1.0, -2.0, 0.3], dtype=t.float64, requires_grad=True)
    out = PROGRAMS[name](f, x, y)
    found = [out]
    for step in range(order):
        create = step + 1 < order
        made = t.autograd.grad((out * out).sum(), (x, y), create_graph=create, allow_unused=True)
        made = [g for g in made if g is not None]
        found += made
        out = sum((g * g).sum() for g in made)
    return [np.array(f.detach().numpy()) for f in found]


@pytest.mark.skipif(torch is None, reason="needs PyTorch")
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", TWICE)
def test_as_in_pytorch(name, order):
    ours, theirs = run(twofold, name, order), run(torch, name, order)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_an_output_without_gradient():
    x = twofold.tensor([3.0, 1.0, 2.0], requires_grad=True)
    ordered, order = functions(twofold)["Ranks"].apply(x)
    assert not order.requires_grad
    (ordered * twofold.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.tolist() == [100.0, 1.0, 10.0]


def test_nothing_is_recorded_in_forward_or_without_grad():
    seen = []

    class Look(Function):
        @staticmethod
        def forward(ctx, x):
            seen.append((twofold.is_grad_enabled(), (x * 2).requires_grad, ctx.needs_input_grad))
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = twofold.ones(1, requires_grad=True)
    with twofold.no_grad():
        assert not Look.apply(x).requires_grad
    assert Look.apply(x).requires_grad
    assert not Look.apply(x.detach()).requires_grad
    assert seen == [(False, False, (True,))] * 2 + [(False, False, (False,))]


def test_the_node_has_the_functions_name():
    x = twofold.ones(1, requires_grad=True)
    assert functions(twofold)["Exp"].apply(x).grad_fn.name() == "ExpBackward"


class Twice(Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * y, g * x


def test_a_saved_input_that_was_overwritten():
    x = twofold.ones(2, requires_grad=True)
    h = x * 2
    out = Twice.apply(h, x)
    h.add_(1)
    with pytest.raises(GradientError, match="overwritten") as caught:
        out.sum().backward()
    assert "h.add_(1)" in str(caught.value) and "ctx.save_for_backward" not in str(caught.value)


def test_a_saved_output_that_was_overwritten():
    x = twofold.ones(2, requires_grad=True)
    out = functions(twofold)["Exp"].apply(x)
    out.add_(1)
    with pytest.raises(GradientError, match="overwritten"):
        out.sum().backward()


def test_walked_once():
    x = twofold.ones(2, requires_grad=True)
    out = Twice.apply(x, x).sum()
    out.backward()
    with pytest.raises(GradientError, match="walked before"):
        out.backward()


def test_saved_tensors_are_freed_by_the_walk():
    x = twofold.ones(2, requires_grad=True)
    h = x * 2
    saved = weakref.ref(h)
    gc.disable()
    try:
        out = Twice.apply(h, h).sum()
        del h
        assert saved() is not None
        out.backward()
        assert saved() is None
    finally:
        gc.enable()


def backward_gives(made):
    class Odd(Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return made(g)

    x = twofold.ones(2, requires_grad=True)
    Odd.apply(x, 2.0).sum().backward()
    return x.grad.tolist()


def test_what_backward_may_give():
    assert backward_gives(lambda g: (g, None)) == [1.0, 1.0]
    assert backward_gives(lambda g: (g, None, None)) == [1.0, 1.0]
    with pytest.raises(ArgumentError, match="1 gradients for 2 arguments"):
        backward_gives(lambda g: g)
    with pytest.raises(ArgumentError, match="3 gradients for 2 arguments"):
        backward_gives(lambda g: (g, None, g))
    with pytest.raises(DTypeError, match="gradient 0 is a float"):
        backward_gives(lambda g: (1.0, None))
    with pytest.raises(ShapeError, match="gradient 0 does not have its argument's shape"):
        backward_gives(lambda g: (g[:1], None))


def test_only_tensors_are_saved():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3)
            return x

    with pytest.raises(DTypeError, match="a int is not a tensor"):
        Bad.apply(twofold.ones(1, requires_grad=True))


def test_a_leaf_is_not_marked_dirty():
    x = twofold.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="leaf"):
        functions(twofold)["Rectify"].apply(x)


def test_attributes_of_the_context_are_the_users():
    names = ("name", "place", "dirty", "materialize", "node", "types", "saved", "gradients")

    class Own(Function):
        @staticmethod
        def forward(ctx, x):
            for name in names:
                setattr(ctx, name, name)
            ctx.save_for_backward(x)
            return x * 1

        @staticmethod
        def backward(ctx, g):
            assert [getattr(ctx, name) for name in names] == list(names)
            assert ctx.saved_tensors[0] is x
            return g

    x = twofold.ones(2, requires_grad=True)
    Own.apply(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_once_differentiable():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return twofold.tensor(g.numpy() * np.cos(x.detach().numpy()))

    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    (g,) = twofold.autograd.grad(Sine.apply(x).sum(), x)
    np.testing.assert_allclose(g.numpy(), np.cos([1.0, 2.0]), rtol=1e-6)
    (g,) = twofold.autograd.grad(Sine.apply(x).sum(), x, create_graph=True)
    with pytest.raises(GradientError, match="once_differentiable"):
        g.sum().backward()


def test_gradcheck_takes_functions():
    x = twofold.tensor([0.3, 0.7], dtype=twofold.float64, requires_grad=True)
    assert twofold.autograd.gradcheck(functions(twofold)["Exp"].apply, x)
    assert twofold.autograd.gradgradcheck(functions(twofold)["Exp"].apply, x)


class Gathered(Function):
    """Rows of x; its backward reads rows of the gradient by the same indices."""

    @staticmethod
    def forward(ctx, x, index):
        ctx.save_for_backward(index)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        (index,) = ctx.saved_tensors
        return g.index_select(0, index), None


def test_indices_in_the_backward_of_a_compiled_function():
    run = twofold.compile(lambda x, index: Gathered.apply(x, index))
    x = twofold.ones(3, requires_grad=True)
    weights = twofold.tensor([1.0, 2.0, 3.0])
    (run(x, twofold.tensor([2, 0, 0])) * weights).sum().backward()
    assert x.grad.tolist() == [3.0, 1.0, 1.0]
    with pytest.raises(IndexRangeError):
        (run(x, twofold.tensor([2, 0, 3])) * weights).sum().backward()


def test_machine_code_records_as_python_does():
    """The node of one tensor that forward made, with the user's line; nothing is left behind."""
    from twofold.exec import tensors

    product, exp = functions(twofold)["Product"], functions(twofold)["Exp"]

    def run():
        x = twofold.tensor([1.0, 2.0], requires_grad=True)
        y = product.apply(x, 2, x * 3)
        z = exp.apply(y)
        facts = []
        for out in (y, z):
            node = out.node
            edges = [type(edge).__name__ for edge in node.inputs]
            facts.append((node.op is (product if out is y else exp).operation, node.attrs, edges))
            facts.append((node.versions, node.shape, node.storage, node.where[0].co_name))
            facts.append((type(out), out.tracked, out.base, out.version, out.is_leaf))
        z.sum().backward()
        return facts, x.grad.tolist()

    installed = tensors.installed()
    tensors.remove()
    wanted = run()
    assert wanted[0][1][-1] == "run"
    try:
        if not tensors.install():
            pytest.skip("no machine code here")
        for _ in range(5):
            assert run() == wanted
        ghost = weakref.ref(product.apply(twofold.ones(2, requires_grad=True), 2, twofold.ones(2)))
        assert ghost() is None
        gc.collect()
        before = len([x for x in gc.get_objects() if type(x).__name__ in ("Node", "Context")])
        for _ in range(100):
            run()
        gc.collect()
        after = len([x for x in gc.get_objects() if type(x).__name__ in ("Node", "Context")])
        assert after <= before + 5
    finally:
        if not installed:
            tensors.remove()
