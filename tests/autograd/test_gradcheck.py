"""gradcheck finds wrong gradients, and only those."""

import pytest

import twofold
from twofold.autograd import Function, gradcheck, gradgradcheck
from twofold.base.errors import ArgumentError, GradientError


def tracked(*shape, dtype=twofold.float64):
    return twofold.randn(*shape, dtype=dtype).requires_grad_()


def test_right_gradients():
    assert gradcheck(lambda x, y: (x * y, x.sin() + y), (tracked(3), tracked(2, 3)))
    assert gradgradcheck(lambda x, y: (x * y, x.sin() + y), (tracked(3), tracked(2, 3)))
    assert gradcheck(lambda x: x.exp(), tracked(2))


def test_complex_gradients():
    z = twofold.tensor([1 + 2j, -0.3j], dtype=twofold.complex128, requires_grad=True)
    assert gradcheck(lambda z: z * z.conj() * z, z)
    assert gradgradcheck(lambda z: z.exp().abs(), z)


class Cube(Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return ctx.factor * g * x * x, None


def test_a_wrong_gradient_is_found_and_placed():
    x = twofold.tensor([1.0, 2.0], dtype=twofold.float64, requires_grad=True)
    assert gradcheck(Cube.apply, (x, 3))
    with pytest.raises(GradientError, match=r"output 0 by input 0 is wrong at \(0,\)") as caught:
        gradcheck(Cube.apply, (x, 2))
    assert "finite_difference" in str(caught.value)
    assert gradcheck(Cube.apply, (x, 2), raise_exception=False) is False


def test_a_wrong_second_gradient_is_found():
    class Blind(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * g * x.detach() ** 2

    x = tracked(3)
    assert gradcheck(Blind.apply, x)
    assert not gradgradcheck(Blind.apply, x, raise_exception=False)


def test_a_lost_history_is_found():
    with pytest.raises(GradientError, match="output 0"):
        gradcheck(lambda x: x.detach() * 2, tracked(2))


@pytest.mark.parametrize("dtype", [twofold.float32, twofold.float16])
def test_narrow_types_are_refused(dtype):
    with pytest.raises(ArgumentError, match="float64"):
        gradcheck(lambda x: x * 2, tracked(2, dtype=dtype))


def test_nothing_to_check_is_refused():
    with pytest.raises(ArgumentError, match="no input requires a gradient"):
        gradcheck(lambda x: x * 2, twofold.ones(2, dtype=twofold.float64))
