"""Numbers as they come back from a few bits, and the gradient that passes straight through."""

import numpy as np
import pytest
from twice import compare

import twofold
from twofold.base.errors import ArgumentError, ShapeError

X = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32) * 3


def quantized(torch):
    x = torch.tensor(X, requires_grad=True)
    scales, zeros = torch.tensor([0.1, 0.02, 0.03, 0.5]), torch.tensor([0, 1, 2, -3])
    one = torch.tensor([0.1]), torch.tensor([2], dtype=torch.int32)
    made = [
        torch.fake_quantize_per_tensor_affine(x, 0.05, 3, -128, 127),
        torch.fake_quantize_per_tensor_affine(x, *one, 0, 255),
        torch.fake_quantize_per_channel_affine(x, scales, zeros.to(torch.int32), 0, -8, 7),
    ]
    sum((part * part).sum() for part in made).backward()
    return [*(part.detach().numpy() for part in made), x.grad.numpy()]


def test_as_pytorch():
    torch = pytest.importorskip("torch")
    for found, wanted in zip(quantized(twofold), quantized(torch), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_values_and_gradient():
    x = twofold.tensor([0.26, -0.5, 9.0, -9.0, 0.05], requires_grad=True)
    made = twofold.fake_quantize_per_tensor_affine(x, 0.1, 1, -8, 7)
    made.sum().backward()
    assert made.tolist() == pytest.approx([0.3, -0.5, 0.6, -0.9, 0.0])
    assert x.grad.tolist() == [1.0, 1.0, 0.0, 0.0, 1.0]


def test_compiled():
    def step(x):
        return twofold.fake_quantize_per_tensor_affine(x, x.abs().max() / 127, 0, -128, 127)

    compare(step, [lambda: (twofold.tensor(X),)])


def test_refusals():
    x = twofold.tensor(X)
    with pytest.raises(ArgumentError, match="the range is 3 to 2"):
        twofold.fake_quantize_per_tensor_affine(x, 0.1, 0, 3, 2)
    with pytest.raises(ShapeError, match="one scale for each slice"):
        few = twofold.ones(3), twofold.zeros(3, dtype=twofold.int32)
        twofold.fake_quantize_per_channel_affine(x, *few, 0, -8, 7)


def test_older_names():
    assert twofold.sparse.torch.eye(2).tolist() == [[1.0, 0.0], [0.0, 1.0]]

    def copied(x):
        return twofold.LongTensor(x) * 2, twofold.tensor(x)

    compare(copied, [lambda: (twofold.arange(4),)])
