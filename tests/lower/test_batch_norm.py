"""Batch normalisation: its formulas in the contract's order, and PyTorch's."""

import numpy as np
import pytest

from twofold.lower import batch_norm

SHAPES = [(6, 3, 4, 5), (64, 5), (2, 3, 40, 50), (9, 2, 7, 7), (1, 4, 6), (5, 1, 3), (33, 7, 1, 1)]
EPS = 1e-5


def numbers(shape, dtype="float32", seed=0):
    return np.asarray(np.random.default_rng(seed).standard_normal(shape) * 2 + 1, dtype)


def like(x):
    return (x.shape, x.dtype.name)


def wide(value, x):
    return value.reshape(1, -1, *(1,) * (x.ndim - 2))


def channels_last(x):
    """One row for each channel, in the order of the reduced extent."""
    return np.ascontiguousarray(np.moveaxis(x, 1, 0)).reshape(x.shape[1], -1)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_forward_is_its_definition(run, model, same_bits, dtype, relu):
    kind = np.dtype(dtype).type
    for shape in SHAPES:
        c = shape[1]
        x, weight, bias = numbers(shape, dtype), numbers(c, dtype, 1), numbers(c, dtype, 2)
        rows = channels_last(x)
        count = kind(rows.shape[1])
        mean = model(rows) / count
        apart = rows - mean[:, None]
        var = model(apart * apart) / count
        scale = kind(1) / np.sqrt(var + kind(EPS)) * weight
        want = (x - wide(mean, x)) * wide(scale, x) + wide(bias, x)
        want = np.where(want < 0, kind(0), want) if relu else want
        outs = [like(x), like(weight), like(weight)]
        for chunks in (1, 2, 3, 8):
            y, *moments = run("batch_norm", [x, weight, bias], outs, chunks, eps=EPS, relu=relu)
            assert same_bits(moments[0], mean) and same_bits(moments[1], var), shape
            assert same_bits(y, want), shape
            inputs = [x, mean, var, weight, bias]
            (again,) = run("batch_norm_inference", inputs, outs[:1], chunks, eps=EPS, relu=relu)
            assert same_bits(again, want), shape


def test_backward_is_its_definition(run, model, same_bits):
    one = np.float32(1)
    for shape in SHAPES:
        c = shape[1]
        x, g, weight = numbers(shape), numbers(shape, seed=3), numbers(c, seed=1)
        mean, var = numbers(c, seed=4), np.abs(numbers(c, seed=5))
        rstd = one / np.sqrt(var + np.float32(EPS))
        xhat = (x - wide(mean, x)) * wide(rstd, x)
        gw, gb = model(channels_last(g * xhat)), model(channels_last(g))
        count = np.float32(x.size // c)
        want = (g - wide(gb / count, x) - xhat * wide(gw / count, x)) * wide(rstd * weight, x)
        outs = [like(x), like(weight), like(weight)]
        for chunks in (1, 3):
            made = run("batch_norm_backward", [g, x, weight, mean, var], outs, chunks, eps=EPS)
            assert same_bits(made[1], gw) and same_bits(made[2], gb), shape
            assert same_bits(made[0], want), shape


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_channel_by_channel_gives_the_same(run, same_bits, monkeypatch, dtype):
    """One channel after the other, or each sum and each formula over the whole array."""
    shapes = [(9, 8, 7, 7), (3, 4, 30, 45), (1, 4, 70, 70), (70, 5, 3), (2, 1, 1, 4097)]

    def results(whole):
        monkeypatch.setattr(batch_norm.Batch, "by_channel", lambda self, inputs: whole)
        for shape in shapes:
            c = shape[1]
            x, g, weight, bias = (numbers(s, dtype, i) for i, s in enumerate((shape, shape, c, c)))
            outs = [like(x), like(weight), like(weight)]
            for chunks in (1, 2, 3):
                y, mean, var = run("batch_norm", [x, weight, bias], outs, chunks, eps=EPS)
                given = [g, x, weight, mean, var]
                yield from (y, mean, var)
                yield from run("batch_norm_backward", given, outs, chunks, eps=EPS)

    for one, other in zip(list(results(True)), list(results(False)), strict=True):
        assert same_bits(one, other)


def test_against_torch(run):
    torch = pytest.importorskip("torch")
    for shape in SHAPES:
        c = shape[1]
        x, g = numbers(shape, "float64"), numbers(shape, "float64", 3)
        weight, bias = numbers(c, "float64", 1), numbers(c, "float64", 2)
        t, w, b = (torch.from_numpy(a).requires_grad_() for a in (x, weight, bias))
        want = torch.nn.functional.batch_norm(t, None, None, w, b, training=True)
        grads = torch.autograd.grad(want, (t, w, b), torch.from_numpy(g))
        outs = [like(x), like(weight), like(weight)]
        y, mean, var = run("batch_norm", [x, weight, bias], outs, eps=EPS)
        np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-9, atol=1e-10)
        made = run("batch_norm_backward", [g, x, weight, mean, var], outs, eps=EPS)
        for got, expected in zip(made, grads, strict=True):
            np.testing.assert_allclose(got, expected.numpy(), rtol=1e-7, atol=1e-9)


def test_strided_and_empty(run, same_bits):
    x, weight, bias = numbers((4, 3, 5, 6)), numbers(3, seed=1), numbers(3, seed=2)
    outs = [like(x), like(weight), like(weight)]
    want = run("batch_norm", [x, weight, bias], outs, eps=EPS)
    got = run("batch_norm", [np.asfortranarray(x), weight, bias], outs, eps=EPS)
    assert all(map(same_bits, got, want))
    none = np.zeros((0, 3, 2), np.float32)
    y, mean, _ = run("batch_norm", [none, weight, bias], [like(none), *outs[1:]], eps=EPS)
    assert y.shape == none.shape and np.isnan(mean).all()
    none = np.zeros((2, 0, 2), np.float32)
    empty = np.zeros(0, np.float32)
    outs = [like(none), like(empty), like(empty)]
    assert run("batch_norm", [none, empty, empty], outs, eps=EPS)[0].shape == none.shape
