"""A linear layer and the cross entropy of its outputs, whole and in pieces."""

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, ShapeError

F = nn.functional


def operands(classes=7, rows=10):
    r = np.random.default_rng(0)
    x = twofold.tensor(r.normal(size=(rows, 4))).requires_grad_()
    w = twofold.tensor(r.normal(size=(classes, 4))).requires_grad_()
    b = twofold.tensor(r.normal(size=classes)).requires_grad_()
    target = twofold.tensor(r.integers(0, classes, rows))
    target[3] = -100
    return x, w, b, target


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", [{"batch_chunk_size": 3}, {"chunking_method": "aspect_ratio:2"}])
def test_pieces_give_what_the_whole_gives(reduction, weighted, method):
    options = nn.LinearCrossEntropyOptions(**method)
    assert options.rows(10, 4, 7) in (3, 4)
    found = []
    for given in (None, options):
        x, w, b, target = operands()
        weight = twofold.linspace(0.5, 2, 7).double() if weighted else None
        rest = {"weight": weight, "reduction": reduction, "options": given}
        loss = F.linear_cross_entropy(x, w, target, linear_bias=b, **rest)
        (loss * twofold.arange(1, 11) if loss.ndim else loss).sum().backward()
        found.append([loss, x.grad, w.grad, b.grad])
    for whole, cut in zip(*found, strict=True):
        np.testing.assert_allclose(cut.detach(), whole.detach(), 1e-12, 1e-14)


def test_the_module():
    layer = nn.LinearCrossEntropyLoss(4, 3, out_features=(2,), bias=True)
    assert layer.linear.weight.shape == (6, 4)
    assert list(layer.state_dict()) == ["linear.weight", "linear.bias"]
    x, target = twofold.randn(5, 4), twofold.randint(0, 3, (5, 2))
    logits = layer.linear(x).reshape(5, 3, 2)
    np.testing.assert_array_equal(layer(x, target).item(), F.cross_entropy(logits, target).item())


def test_what_does_not_fit():
    x, w, b, target = operands()
    with pytest.raises(ShapeError, match="the sizes do not fit"):
        F.linear_cross_entropy(x, w.T, target)
    with pytest.raises(ShapeError, match="the bias"):
        F.linear_cross_entropy(x, w, target, linear_bias=b[1:])
    with pytest.raises(ArgumentError, match="ignore_index"):
        F.linear_cross_entropy(x, w, twofold.rand(10, 7), ignore_index=1)
    with pytest.raises(ArgumentError, match="label_smoothing"):
        nn.LinearCrossEntropyLoss(4, 3, label_smoothing=2.0)
    with pytest.raises(ShapeError, match="3 class weights"):
        nn.LinearCrossEntropyLoss(4, 3, weight=twofold.ones(4))
    both = nn.LinearCrossEntropyOptions(batch_chunk_size=3, chunking_method="aspect_ratio")
    with pytest.raises(ArgumentError, match="gives 8"):
        F.linear_cross_entropy(x, w, target, options=both)


def test_as_in_pytorch():
    torch = pytest.importorskip("torch", reason="the answers come from PyTorch")
    theirs = torch.nn.functional
    if not hasattr(theirs, "linear_cross_entropy"):
        pytest.skip("this PyTorch has no linear_cross_entropy")
    x, w, b, target = operands()
    for reduction in ("mean", "sum", "none"):
        ours = F.linear_cross_entropy(x, w, target, linear_bias=b, reduction=reduction)
        given = [torch.from_numpy(v.detach().numpy()) for v in (x, w, target, b)]
        rest = {"linear_bias": given[3], "reduction": reduction}
        np.testing.assert_allclose(
            ours.detach(), theirs.linear_cross_entropy(*given[:3], **rest), 1e-12
        )
