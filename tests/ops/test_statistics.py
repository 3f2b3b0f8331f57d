"""Norms, medians and moments at their edges."""

import numpy as np
import pytest

import twofold as T


def test_a_count_of_what_is_not_zero_is_a_norm_whose_gradient_is_zero():
    x = T.tensor([[0.0, -2.0, 3.0], [0.0, 0.0, 1e-40]], requires_grad=True)
    for made, wanted in ((T.norm(x, 0), 3.0), (T.linalg.vector_norm(x, 0, 1), [2.0, 1.0])):
        assert made.tolist() == wanted
        assert T.autograd.grad(made.sum(), x)[0].tolist() == [[0.0] * 3] * 2
    assert T.norm(T.tensor([3j, 0j]), 0).dtype is T.float32


def test_the_nuclear_norm_by_name():
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    wanted = np.linalg.norm(x, "nuc", axis=(1, 2))
    made = T.norm(T.from_numpy(x), "nuc", (1, 2))
    np.testing.assert_allclose(made.numpy(), wanted, 1e-12)
    assert T.norm(T.from_numpy(x), "nuc", (1, 2), keepdim=True).shape == (2, 1, 1)
    with pytest.raises(ValueError, match="p is 'other'"):
        T.norm(T.from_numpy(x), "other")


def test_a_number_is_its_own_median():
    for x in (T.tensor(2.5), T.tensor(7)):
        for made in (x.median(0), x.nanmedian(0), x.nanmedian(-1, keepdim=True)):
            assert made.values.tolist() == x.item() and made.indices.tolist() == 0


def test_slopes_of_sinc_are_right_near_zero():
    x = np.array([0.0, 1e-30, 1e-6, 1e-3, 0.01, 0.2, 0.59, 0.61, 1.0, 3.3, np.inf])
    for sign in (1, -1):
        t = T.from_numpy((sign * x).astype(np.float32)).requires_grad_()
        made = T.autograd.grad(T.sinc(t).sum(), t)[0].numpy()
        wide = (sign * x).astype(np.float32).astype(np.longdouble) * np.longdouble(np.pi)
        with np.errstate(all="ignore"):
            far = (np.cos(wide) - np.sin(wide) / wide) / wide * np.pi
        near = -wide / 3 * (1 - wide**2 / 10 * (1 - wide**2 / 28 * (1 - wide**2 / 54))) * np.pi
        wanted = np.where(np.isinf(wide), 0, np.where(np.abs(wide) < 0.3, near, far))
        np.testing.assert_allclose(made, wanted.astype(float), 3e-6, 1e-7)


def test_the_direction_of_zero_has_no_slope():
    z = T.tensor([0j, 1 + 1j, 3 - 4j], requires_grad=True)
    by = T.autograd.grad(T.sgn(z).real.sum(), z)[0].numpy()
    assert by[0] == 0
    np.testing.assert_allclose(by[1:], [0.5 / 2**0.5 * (1 - 1j), (16 + 12j) / 125], 1e-6)


def test_products_have_the_type_that_is_asked_for():
    x = T.tensor([[1, 2], [3, 0]])
    for dtype, wanted in ((T.int32, [3, 0]), (T.uint8, [3, 0]), (T.bool, [True, False])):
        made = x.prod(0, dtype=dtype)
        assert made.dtype is dtype and made.tolist() == wanted


def test_squeezing_no_axes_changes_nothing():
    x = T.zeros(1, 2, 1)
    assert x.squeeze(()).shape == (1, 2, 1) and x.squeeze().shape == (2,)
    assert T.zeros(()).squeeze(0).shape == ()


@pytest.mark.parametrize("dim", [None, 0, 1])
def test_a_norm_has_the_bits_of_its_three_operations(dim):
    x = T.tensor(np.random.default_rng(0).normal(size=(30, 5000)), dtype=T.float32)
    x.requires_grad_()
    wanted = x.square().sum(dim).sqrt()
    np.testing.assert_array_equal(x.norm(dim=dim).detach().numpy(), wanted.detach().numpy())

    def slope(x):
        y = x.norm(dim=dim)
        return y, T.autograd.grad(y.sum(), x)[0]

    eager, compiled = slope(x), T.compile(slope)(x)
    for one, other in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(one.detach().numpy(), other.detach().numpy())
