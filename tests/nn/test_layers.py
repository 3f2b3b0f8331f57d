"""Linear, embedding, dropout and layers that only reshape, against PyTorch."""

import numpy as np
import pytest
from layers import Case, compare

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, IndexRangeError, ShapeError

NUMBERS = np.array([[1, 0, 4], [4, 4, 2]])

CASES = [
    Case("nn.Linear(5, 3)", ((4, 5),)),
    Case("nn.Linear(5, 3)", ((5,),)),
    Case("nn.Linear(5, 3)", ((2, 3, 4, 5),)),
    Case("nn.Linear(5, 3)", ((0, 5),)),
    Case("nn.Linear(5, 3)", ((1, 5),)),
    Case("nn.Linear(5, 3, bias=False)", ((4, 5),)),
    Case("nn.Linear(5, 3, dtype=T.float64)", ((4, 5),), dtype="float64"),
    Case("nn.Linear(1, 1)", ((7, 1),)),
    Case("nn.Linear(300, 70)", ((33, 300),)),
    Case("nn.Bilinear(4, 5, 3)", ((6, 4), (6, 5))),
    Case("nn.Bilinear(4, 5, 3, bias=False)", ((2, 6, 4), (2, 6, 5))),
    Case("nn.Embedding(5, 3)", (NUMBERS,)),
    Case("nn.Embedding(5, 3)", (NUMBERS.astype(np.int32),)),
    Case("nn.Embedding(5, 3)", (np.zeros((0, 2), np.int64),)),
    Case("nn.Embedding(5, 3)", (np.array(3),)),
    Case("nn.Embedding(5, 3, padding_idx=4)", (NUMBERS,)),
    Case("nn.Embedding(5, 3, padding_idx=-1)", (NUMBERS,)),
    Case("nn.Identity(54, unused=1)", ((2, 3),)),
    Case("nn.Flatten()", ((2, 3, 4, 5),)),
    Case("nn.Flatten(0, 1)", ((2, 3, 4),)),
    Case("nn.Flatten()", ((0, 3, 4),)),
    Case("nn.Unflatten(1, (2, 3))", ((4, 6),)),
    Case("nn.Unflatten(1, (2, -1))", ((4, 6, 2),)),
    Case("nn.Dropout(0.3)", ((4, 5),), train=False),
    Case("nn.Dropout(0.0)", ((4, 5),)),
    Case("nn.Dropout(1.0)", ((4, 5),)),
    Case("nn.Dropout(0.3, inplace=True)", ((4, 5),), train=False),
    Case("nn.Dropout1d(0.3)", ((4, 5, 6),), train=False),
    Case("nn.Dropout2d()", ((4, 5, 6, 7),), train=False),
    Case("nn.Dropout3d()", ((4, 5, 6, 7, 2),), train=False),
    Case("nn.AlphaDropout(0.1)", ((4, 5),), train=False),
    Case("nn.PixelShuffle(2)", ((2, 8, 3, 4),)),
    Case("nn.PixelUnshuffle(2)", ((2, 2, 6, 4),)),
    Case("nn.ChannelShuffle(2)", ((2, 4, 3, 3),)),
    Case("nn.CosineSimilarity(dim=1)", ((4, 5), (4, 5))),
    Case("nn.PairwiseDistance()", ((4, 5), (4, 5))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_in_pytorch(case):
    compare(case)


# ---- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_p_and_scales_the_rest(p):
    twofold.manual_seed(0)
    x = twofold.ones(100, 100, requires_grad=True)
    y = nn.Dropout(p)(x)
    kept = y.detach().numpy()
    assert abs((kept == 0).mean() - p) < 0.02
    np.testing.assert_allclose(kept[kept != 0], 1 / (1 - p), rtol=1e-6)
    y.sum().backward()
    assert (x.grad.numpy() == kept).all()


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (nn.Dropout1d, (50, 40, 3), (2,)),
        (nn.Dropout2d, (50, 40, 3, 2), (2, 3)),
        (nn.Dropout3d, (50, 40, 3, 2, 2), (2, 3, 4)),
        (nn.Dropout2d, (40, 30, 4), (2,)),
    ],
)
def test_whole_channels_are_dropped(layer, shape, axes):
    twofold.manual_seed(0)
    y = layer(0.5)(twofold.ones(shape)).numpy()
    assert (y.min(axis=axes) == y.max(axis=axes)).all()
    assert 0.3 < (y == 0).mean() < 0.7


def test_dropout_in_place():
    x = twofold.ones(30, 30) * 1
    y = nn.Dropout(0.5, inplace=True)(x)
    assert y is x and (x == 0).any()


def test_alpha_dropout_keeps_mean_and_variance():
    twofold.manual_seed(0)
    y = nn.AlphaDropout(0.3)(twofold.randn(300, 300))
    assert abs(y.mean().item()) < 0.02 and abs(y.std().item() - 1) < 0.02


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_a_probability_is_one(p):
    for make in (nn.Dropout, nn.Dropout2d):
        with pytest.raises(ArgumentError, match="probability"):
            make(p)


# ---- embedding


def test_the_padding_row_is_zero_and_stays():
    layer = nn.Embedding(4, 3, padding_idx=1)
    assert layer.weight[1].tolist() == [0, 0, 0]
    layer(twofold.tensor([1, 2, 1])).sum().backward()
    assert layer.weight.grad.tolist() == [[0] * 3, [0] * 3, [1] * 3, [0] * 3]


def test_from_pretrained():
    table = twofold.arange(6.0).reshape(3, 2)
    layer = nn.Embedding.from_pretrained(table)
    assert not layer.weight.requires_grad
    assert layer(twofold.tensor([2, 0])).tolist() == [[4, 5], [0, 1]]
    assert nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_max_norm_is_applied_to_the_rows_that_are_read():
    layer = nn.Embedding(
        3, 2, max_norm=1.0, _weight=twofold.tensor([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])
    )
    layer(twofold.tensor([0, 1]))
    np.testing.assert_allclose(
        layer.weight.detach().numpy(), [[0.6, 0.8], [0.3, 0.4], [6.0, 8.0]], rtol=1e-5
    )


@pytest.mark.parametrize("number", [5, -1])
def test_a_number_out_of_range(number):
    with pytest.raises(IndexRangeError, match=f"{number} is out of range"):
        nn.Embedding(5, 3)(twofold.tensor([0, number]))


def test_numbers_are_integers():
    with pytest.raises(TypeError, match="float32"):
        nn.Embedding(5, 3)(twofold.ones(2))


def test_sizes_that_do_not_fit():
    with pytest.raises(ShapeError, match="inner sizes differ"):
        nn.Linear(5, 3)(twofold.ones(4, 6))


def test_nothing_is_broadcast_that_is_not_meant_to_be():
    f = twofold.zeros
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    for call in (
        lambda: nn.Bilinear(2, 3, 4)(f(1, 2), f(8, 3)),
        lambda: nn.Bilinear(2, 3, 4)(f(2), f(8, 3)),
        lambda: nn.InstanceNorm1d(3, track_running_stats=True)(f(4, 1, 15)),
        lambda: nn.MultiMarginLoss(weight=f(10))(f(5, 9), f(5).long()),
        lambda: attention(f(2, 3, 4), f(1, 3, 4), f(1, 3, 4)),
        lambda: attention(f(2, 3, 4), f(2, 3, 4), f(2, 1, 4)),
        lambda: attention(f(2, 3, 4), f(2, 3, 4), f(2, 3, 4), attn_mask=f(1, 3)),
        lambda: nn.TransformerDecoderLayer(4, 2, 8, batch_first=True)(f(2, 3, 4), f(1, 3, 4)),
    ):
        with pytest.raises(ShapeError):
            call()
    made, index = nn.MaxPool3d(2, return_indices=True)(f(0, 3, 4, 4, 4))
    assert made.shape == index.shape == (0, 3, 2, 2, 2)
