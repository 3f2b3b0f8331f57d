"""Layers of volumes, resizing, folds, bags and rarer pools against PyTorch."""

import numpy as np
import pytest
from layers import Case, compare, torch

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError

VOLUME = (2, 3, 5, 6, 7)
LAYERS = [
    ("nn.Conv3d(3, 4, 2)", VOLUME),
    ("nn.Conv3d(3, 4, (2, 3, 1), stride=(1, 2, 1), padding=(1, 0, 1))", VOLUME[1:]),
    ("nn.Conv3d(4, 6, 3, groups=2, padding='same', dilation=2, bias=False)", (1, 4, 6, 5, 7)),
    ("nn.Conv3d(3, 4, 3, padding=1, padding_mode='replicate')", VOLUME),
    ("nn.ConvTranspose3d(3, 4, 2)", VOLUME),
    ("nn.ConvTranspose3d(4, 6, 3, 2, 1, 1, groups=2, dilation=(1, 2, 1))", (1, 4, 3, 4, 2)),
    ("nn.ConvTranspose3d(3, 4, (1, 2, 3), bias=False)", (3, 2, 3, 4)),
    ("nn.MaxPool3d(2)", VOLUME),
    ("nn.MaxPool3d((3, 2, 2), stride=2, padding=1, return_indices=True)", VOLUME),
    ("nn.AvgPool3d(2)", VOLUME),
    ("nn.AvgPool3d(3, 2, 1, count_include_pad=False)", VOLUME),
    ("nn.AvgPool3d(2, divisor_override=3)", VOLUME),
    ("nn.AdaptiveAvgPool3d((2, 3, None))", VOLUME),
    ("nn.AdaptiveMaxPool3d((2, 3, 4), return_indices=True)", VOLUME),
    ("nn.ZeroPad3d(1)", VOLUME),
    ("nn.ReflectionPad3d((1, 2, 0, 1, 2, 1))", VOLUME),
    ("nn.ReplicationPad3d(2)", VOLUME),
    ("nn.CircularPad3d((1, 0, 2, 1, 0, 1))", VOLUME),
    ("nn.ConstantPad3d((1, 0, 2, 1, 0, 1), 1.5)", VOLUME),
    ("nn.Upsample(scale_factor=2)", (2, 3, 4, 5)),
    ("nn.Upsample((7, 3), mode='bilinear', align_corners=True)", (2, 3, 4, 5)),
    ("nn.Upsample(scale_factor=(1.5, 2), mode='bicubic')", (2, 3, 4, 5)),
    ("nn.UpsamplingNearest2d(scale_factor=2)", (2, 3, 4, 5)),
    ("nn.UpsamplingBilinear2d(size=(7, 9))", (2, 3, 4, 5)),
    ("nn.Unfold((2, 3), padding=1, stride=2)", (2, 3, 6, 5)),
    ("nn.Fold((6, 5), (2, 3), padding=1, stride=2)", (2, 18, 12)),
    ("nn.LPPool1d(2, 3)", (2, 3, 9)),
    ("nn.LPPool2d(2, (2, 3), stride=1)", (2, 3, 6, 5)),
    ("nn.LPPool3d(2, 2)", VOLUME),
    ("nn.BatchNorm3d(3)", VOLUME),
    ("nn.InstanceNorm3d(3, affine=True)", VOLUME),
]
NUMBERS = np.array([[0, 2, 4], [3, 3, 1]])
CASES = [Case(layer, (shape,)) for layer, shape in LAYERS] + [
    Case("nn.EmbeddingBag(5, 3)", (NUMBERS,)),
    Case("nn.EmbeddingBag(5, 3, mode='max', padding_idx=1)", (NUMBERS,)),
    Case("nn.EmbeddingBag(5, 3, mode='sum', norm_type=1.5)", (NUMBERS[0], np.array([0, 2]))),
    Case(
        "nn.EmbeddingBag(5, 3, mode='sum', include_last_offset=True)",
        (NUMBERS.ravel(), np.array([0, 2, 2, 6])),
    ),
    Case(
        "nn.MaxUnpool2d(2)",
        ((1, 2, 2, 3), np.array([[[[0, 2, 4], [14, 16, 18]]] * 2]).reshape(1, 2, 2, 3)),
    ),
    Case("nn.TripletMarginWithDistanceLoss(swap=True)", ((3, 4), (3, 4), (3, 4))),
    Case("nn.MultiMarginLoss(2, 0.5)", ((3, 4), np.array([0, 3, 1]))),
    Case("nn.MultiLabelMarginLoss()", ((2, 4), np.array([[3, 0, -1, 1], [1, -1, 0, 0]]))),
    Case("nn.MultiLabelSoftMarginLoss()", ((2, 3), np.array([[1.0, 0, 1], [0, 1, 0]], np.float32))),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_in_pytorch(case):
    compare(case)


def test_ctc_layer_is_its_function():
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 2, 4)).astype(np.float32)
    rest = ([[1, 2, 3], [2, 2, 0]], [6, 5], [3, 2])
    losses = []
    for t in (twofold, torch):
        tensors = [t.tensor(part) for part in rest]
        losses.append(t.nn.CTCLoss(reduction="sum")(t.tensor(x).log_softmax(-1), *tensors).item())
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_windows_at_random_distances_differ_and_cover_both_ends():
    x = twofold.arange(100.0).reshape(1, 1, 10, 10)
    layer = nn.FractionalMaxPool2d(2, output_size=6, return_indices=True)
    made = {tuple(layer(x)[1].flatten().tolist()) for _ in range(20)}
    assert len(made) > 1
    assert all(places[-1] == 99 and places[0] == 11 for places in made)


def test_a_table_of_given_values_is_not_trained():
    bag = nn.EmbeddingBag.from_pretrained(twofold.ones(3, 2))
    assert not bag.weight.requires_grad
    with pytest.raises(ArgumentError, match="mode is 'min'"):
        nn.EmbeddingBag(3, 2, mode="min")(twofold.tensor([[1]]))
