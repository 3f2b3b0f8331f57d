"""A user's own operations: found by name, with gradients, the same when compiled."""

import numpy as np
import pytest

import twofold
from twofold import library
from twofold.base.errors import ArgumentError, StateError
from twofold.library import custom_op, register_autograd, register_fake, register_kernel


@custom_op("tests::cube", mutates_args=())
def cube(x: twofold.Tensor, scale: float = 1.0) -> twofold.Tensor:
    return x.detach() ** 3 * scale


def setup(ctx, inputs, output):
    x, ctx.scale = inputs
    ctx.save_for_backward(x)


def backward(ctx, g):
    (x,) = ctx.saved_tensors
    return 3 * x**2 * g * ctx.scale, None


cube.register_autograd(backward, setup_context=setup)


def test_it_runs_under_both_names_with_its_gradient():
    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    for call in (cube, twofold.ops.tests.cube, twofold.ops.tests.cube.default):
        x.grad = None
        y = call(x, scale=2.0)
        y.sum().backward()
        assert y.tolist() == [2.0, 16.0] and x.grad.tolist() == [6.0, 24.0]
    x.grad = None
    cube(x).sum().backward()  # what is not given has its default in setup_context too
    assert x.grad.tolist() == [3.0, 12.0]
    assert not cube(x.detach()).requires_grad


def test_compiled_it_is_part_of_the_program():
    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    f = twofold.compile(lambda x: cube(x, 3.0).sum())
    assert f(x).item() == 27.0
    (g,) = twofold.autograd.grad(f(x), x)
    assert g.tolist() == [9.0, 36.0]


def test_it_may_be_told_more_by_its_name():
    made = custom_op("tests::twice", lambda x: x.detach() * 2)
    register_autograd("tests::twice", lambda ctx, g: g * 2)
    register_fake("tests::twice")(lambda x: x)
    x = twofold.tensor(3.0, requires_grad=True)
    made(x).backward()
    assert x.grad.item() == 2.0
    register_kernel(made, "cuda")(lambda x: x * 5)
    assert made(twofold.tensor(1.0)).item() == 2.0
    register_kernel(made, "cpu")(lambda x: x + x)
    assert made(twofold.tensor(1.0)).item() == 2.0


def test_names_are_checked():
    with pytest.raises(ArgumentError, match="is not a name"):
        custom_op("cube")
    with pytest.raises(ArgumentError, match="no operation 'tests::none'"):
        register_fake("tests::none", lambda x: x)


def test_in_a_graph_a_function_that_needs_values_is_called_with_its_fake_s_types():
    calls = []

    @custom_op("tests::sine", mutates_args=())
    def sine(x):
        calls.append(1)
        return twofold.from_numpy(np.sin(x.detach().numpy()))

    sine.register_fake(lambda x: twofold.empty_like(x))
    sine.register_autograd(
        lambda ctx, g: g * ctx.saved_tensors[0].cos(),
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
    )
    f = twofold.compile(lambda x: sine(x * 2) + 1)
    for size in (3, 3, 5):
        x = twofold.randn(size)
        assert f(x).tolist() == (sine(x * 2) + 1).tolist()
    x = twofold.tensor([0.5], requires_grad=True)
    f(x).sum().backward()
    assert x.grad.item() == pytest.approx(2 * np.cos(1.0))
    assert library.opcheck(sine, (twofold.ones(2),))["test_faketensor"] == "SUCCESS"
    sine.register_fake(lambda x: x[:1])
    with pytest.raises(ArgumentError, match="its fake"):
        library.opcheck("tests::sine", (twofold.ones(2),))


def test_operations_by_schemas():
    mine = library.Library("schemas", "DEF")
    assert mine.define("scaled(Tensor x, int k=2, *, bool neg=False) -> Tensor") == "scaled"
    mine.impl("scaled", lambda x, k, neg: (-x if neg else x) * k, "CPU")
    mine.impl("scaled", lambda x, k, neg: None, "CUDA")
    scaled = twofold.ops.schemas.scaled
    x = twofold.ones(2)
    assert scaled(x).tolist() == [2.0, 2.0] and scaled(x, 3, neg=True).tolist() == [-3.0, -3.0]
    library.define("schemas::neg", "(Tensor x) -> Tensor")
    library.register_fake("schemas::neg")(lambda x: twofold.empty_like(x))
    library.impl("schemas::neg", "cpu")(lambda x: -x)
    assert twofold.ops.schemas.neg.default(x).tolist() == [-1.0, -1.0]
    assert library.opcheck("schemas::neg", (x,))
    with pytest.raises(StateError, match="not defined"):
        library.impl("schemas::none", "cpu", lambda x: x)
    with pytest.raises(ArgumentError, match="no schema"):
        mine.define("scaled")
    with pytest.raises(ArgumentError, match="kind"):
        library.Library("schemas", "MORE")
