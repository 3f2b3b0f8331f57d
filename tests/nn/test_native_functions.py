"""Normalisations with their moments: results of the plain ones, moments in NumPy."""

import numpy as np
import pytest

import twofold as T

F = T.nn.functional
R = np.random.default_rng(4)


def f(*shape):
    return T.from_numpy(R.normal(size=shape))


def moments(array, axes, eps):
    return array.mean(axes), 1 / np.sqrt(array.var(axes) + eps)


def same(made, wanted):
    np.testing.assert_allclose(made.detach().numpy(), wanted, 1e-10, 1e-12)


def test_layer_norm():
    x, w, b = f(2, 3, 4, 5), f(4, 5), f(4, 5)
    made, mean, rstd = T.native_layer_norm(x, (4, 5), w, b, 1e-3)
    same(made, F.layer_norm(x, (4, 5), w, b, 1e-3).numpy())
    for part, wanted in zip((mean, rstd), moments(x.numpy(), (2, 3), 1e-3), strict=True):
        assert part.shape == (2, 3, 1, 1)
        same(part[..., 0, 0], wanted)


def test_group_norm():
    x, w, b = f(2, 6, 5), f(6), f(6)
    made, mean, rstd = T.native_group_norm(x, w, b, 2, 6, 5, 3, 1e-3)
    same(made, F.group_norm(x, 3, w, b, 1e-3).numpy())
    for part, wanted in zip(
        (mean, rstd), moments(x.numpy().reshape(2, 3, 10), 2, 1e-3), strict=True
    ):
        same(part, wanted)
    with pytest.raises(ValueError, match="not the number of elements"):
        T.native_group_norm(x, w, b, 2, 6, 4, 3, 1e-3)


def test_batch_norm():
    x, w, b = f(7, 3, 2).requires_grad_(), f(3), f(3)
    running = f(3), f(3).abs()
    again = tuple(r.clone() for r in running)
    made, mean, rstd = T.native_batch_norm(x, w, b, *running, True, 0.1, 1e-3)
    same(made, F.batch_norm(x, *again, w, b, True, 0.1, 1e-3).detach().numpy())
    for part, wanted in zip((mean, rstd), moments(x.detach().numpy(), (0, 2), 1e-3), strict=True):
        same(part, wanted)
    assert T.autograd.grad((mean * rstd).sum(), x)[0].abs().sum() > 0
    for before, after in zip(again, running, strict=True):
        same(after, before.numpy())
    _, empty, none = T.native_batch_norm(x, w, b, *running, False, 0.1, 1e-3)
    assert empty.shape == none.shape == (0,)


def test_dropout_tells_what_it_kept():
    x = T.ones(1000)
    made, mask = T.native_dropout(x, 0.25, True)
    assert mask.dtype is T.bool and 650 < mask.sum().item() < 850
    np.testing.assert_allclose(made.numpy(), mask.numpy() / 0.75, 1e-6)
    made, mask = T.native_dropout(x, 0.25, False)
    assert mask.all() and made.sum().item() == 1000
    with pytest.raises(ValueError, match="p is 1"):
        T.native_dropout(x, 1.5, True)
