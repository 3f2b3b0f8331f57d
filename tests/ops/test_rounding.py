"""Divisions that round: slopes by the quotient that the remainder was taken with."""

import math

import numpy as np

import twofold as T


def test_the_slope_of_a_remainder_is_its_own_quotient():
    # 0.25 / 0.001 is rounded to 250, but 250 * 0.001 is a little more than 0.25
    for x, y in ((-0.25, -0.001), (0.25, 0.001), (7.0, 2.0), (-7.0, 2.0), (3.0, -0.1)):
        other = T.tensor(y, dtype=T.float64, requires_grad=True)
        for function, rest in ((T.remainder, x - y * math.floor(x / y)), (T.fmod, math.fmod(x, y))):
            made = function(T.tensor(x, dtype=T.float64), other)
            quotient = round((x - made.item()) / y)
            assert T.autograd.grad(made, other)[0].item() == -quotient
            assert abs(made.item() - rest) < 1e-9 or abs(abs(made.item() - rest) - abs(y)) < 1e-9


def test_the_slope_of_x_log_y_has_the_sign_of_zero():
    y = T.tensor([0.0, -0.0], requires_grad=True)
    (by,) = T.autograd.grad(T.xlogy(T.tensor(2.0), y).sum(), y)
    np.testing.assert_array_equal(by.numpy(), [np.inf, -np.inf])


def test_the_next_number_moves_with_its_first():
    x, y = T.tensor([1.0, 2.0, 4.0], requires_grad=True), T.tensor([3.0, 0.0, 4.0])
    (by,) = T.autograd.grad((T.nextafter(x, y) * T.tensor([2.0, 5.0, 7.0])).sum(), x)
    assert by.tolist() == [2.0, 5.0, 0.0]
