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


def test_float32_is_checked_with_a_wide_step():
    x = tracked(2, dtype=twofold.float32)
    assert gradcheck(lambda x: x * 2, x, eps=1e-2, atol=1e-2)
    assert not gradcheck(lambda x: x.detach() * x, x, eps=1e-2, atol=1e-2, raise_exception=False)


def test_nothing_to_check_is_refused():
    with pytest.raises(ArgumentError, match="no input requires a gradient"):
        gradcheck(lambda x: x * 2, twofold.ones(2, dtype=twofold.float64))


def test_forward_mode_is_checked_too():
    x, y = tracked(3, 2), tracked(2)
    options = {"check_forward_ad": True, "fast_mode": True, "nondet_tol": 1e-5}
    assert gradcheck(lambda a, b, n: (a.sin() * b, a @ b * n), (x, y, 3), **options)
    with pytest.raises(TypeError, match="check_nothing"):
        gradcheck(twofold.sin, x, check_nothing=True)

    class Bent(twofold.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

        @staticmethod
        def jvp(ctx, t):
            return t * 3

    assert gradcheck(Bent.apply, x)
    assert not gradcheck(Bent.apply, x, check_forward_ad=True, raise_exception=False)
