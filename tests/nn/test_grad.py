"""Gradients of convolutions by name, means of whole numbers, and older names of layers."""

import pytest

import twofold
from twofold import func, nn, testing
from twofold.nn import functional as F


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_gradients_of_convolutions(rank):
    conv = getattr(F, f"conv{rank}d")
    x = twofold.randn(2, 4, *(7,) * rank, requires_grad=True)
    w = twofold.randn(6, 2, *(3,) * rank, requires_grad=True)
    options = {"stride": 2, "padding": 1, "dilation": 1, "groups": 2}
    y = conv(x, w, None, **options)
    g = twofold.randn(*y.shape)
    wanted = twofold.autograd.grad(y, (x, w), g)
    by_input = getattr(nn.grad, f"conv{rank}d_input")(x.shape, w.detach(), g, **options)
    by_weight = getattr(nn.grad, f"conv{rank}d_weight")(x.detach(), w.shape, g, **options)
    assert by_input.equal(wanted[0]) and by_weight.equal(wanted[1])


def test_means_of_whole_numbers_are_cut_towards_zero():
    x = twofold.arange(-20, 61).reshape(1, 1, 9, 9)
    assert F.avg_pool1d(x[0, :, 0], 2).tolist() == [[-19, -17, -15, -13]]
    made = F.avg_pool2d(x, 3, 2, 1)
    assert made.dtype is twofold.int64 and made[0, 0, 0].tolist() == [-6, -9, -7, -6, -3]
    assert F.avg_pool2d(x, 2, divisor_override=3).sum().item() == 318
    assert F.avg_pool3d(x[None], (1, 3, 3), (1, 2, 2), (0, 1, 1)).equal(made[None])
    with pytest.raises(TypeError, match="int32 is not taken"):
        F.avg_pool2d(x.int(), 2)


def test_older_names_of_layers():
    x = twofold.randn(2, 6, 3, 3)
    layer = nn.CrossMapLRN2d(3, k=2)
    assert layer(x).equal(F.local_response_norm(x, 3, k=2)) and "size" not in repr(layer)
    assert issubclass(nn.NLLLoss2d, nn.NLLLoss)


def test_functionalize_is_the_function():
    def add_one(x):
        return x.clone().add_(1)

    assert func.functionalize(add_one)(twofold.ones(2)).tolist() == [2, 2]
    with pytest.raises(twofold.TwofoldError, match="remove='views' is not known"):
        func.functionalize(add_one, remove="views")


def test_make_tensor_draws_within_bounds():
    x = testing.make_tensor(3, 40, dtype=twofold.float32, device="cpu", low=-1, requires_grad=True)
    assert x.shape == (3, 40) and x.requires_grad and x.min() >= -1 and 1 < x.max() <= 9
    n = testing.make_tensor((200,), dtype=twofold.int64, high=2, low=0, exclude_zero=True)
    assert set(n.tolist()) == {1}
    assert set(testing.make_tensor((50,), dtype=twofold.bool).tolist()) == {False, True}
    z = testing.make_tensor((4, 2), dtype=twofold.complex64, noncontiguous=True)
    assert z.shape == (4, 2) and z.dtype is twofold.complex64 and not z.is_contiguous()
    with pytest.raises(twofold.TwofoldError, match="low 2 is not below high 1"):
        testing.make_tensor((2,), dtype=twofold.float32, low=2, high=1)
