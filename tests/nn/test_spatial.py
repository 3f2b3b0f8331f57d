"""Convolution, pooling and padding layers against PyTorch, with odd shapes."""

import numpy as np
import pytest
from layers import Case, compare, torch

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, ShapeError

CONVOLUTIONS = [
    ("nn.Conv1d(3, 4, 3)", (2, 3, 9)),
    ("nn.Conv1d(3, 4, 3)", (3, 9)),
    ("nn.Conv1d(3, 4, 1)", (2, 3, 1)),
    ("nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)", (2, 4, 11)),
    ("nn.Conv1d(3, 4, 4, padding='same')", (2, 3, 9)),
    ("nn.Conv1d(3, 4, 3, padding='valid', bias=False)", (2, 3, 9)),
    ("nn.Conv1d(3, 4, 3, padding=2, padding_mode='circular')", (2, 3, 9)),
    ("nn.Conv2d(3, 4, 3)", (2, 3, 8, 7)),
    ("nn.Conv2d(3, 4, 3)", (3, 8, 7)),
    ("nn.Conv2d(3, 4, 3)", (1, 3, 3, 3)),
    ("nn.Conv2d(3, 4, 3)", (0, 3, 8, 7)),
    ("nn.Conv2d(1, 6, 5, padding=2)", (4, 1, 28, 28)),
    ("nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2))", (2, 3, 8, 7)),
    ("nn.Conv2d(4, 6, 3, groups=2, bias=False)", (2, 4, 8, 7)),
    ("nn.Conv2d(4, 4, 3, groups=4, padding=1)", (2, 4, 8, 7)),
    ("nn.Conv2d(4, 8, 3, groups=4, stride=2)", (2, 4, 9, 9)),
    ("nn.Conv2d(16, 8, 1)", (2, 16, 5, 5)),
    ("nn.Conv2d(16, 8, 1, stride=2)", (2, 16, 5, 5)),
    ("nn.Conv2d(3, 4, 4, padding='same')", (2, 3, 8, 7)),
    ("nn.Conv2d(3, 4, 3, padding=1, padding_mode='reflect')", (2, 3, 8, 7)),
    ("nn.Conv2d(3, 4, 3, padding=1, padding_mode='replicate')", (2, 3, 8, 7)),
    ("nn.Conv2d(3, 4, 2, padding='same', padding_mode='circular')", (2, 3, 8, 7)),
    ("nn.Conv2d(3, 64, 7, stride=2, padding=3)", (1, 3, 33, 30)),
    ("nn.ConvTranspose1d(3, 4, 3)", (2, 3, 5)),
    ("nn.ConvTranspose1d(3, 4, 3, stride=2, padding=1, output_padding=1)", (3, 5)),
    ("nn.ConvTranspose2d(3, 4, 3)", (2, 3, 5, 6)),
    ("nn.ConvTranspose2d(3, 4, 3, bias=False)", (3, 5, 6)),
    ("nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), groups=2)", (2, 4, 5, 6)),
    ("nn.ConvTranspose2d(3, 4, 3, stride=2, output_padding=1, dilation=2)", (2, 3, 5, 6)),
    ("nn.ConvTranspose2d(3, 4, 2, stride=2)", (0, 3, 5, 6)),
]
POOLS = [
    ("nn.MaxPool1d(3)", (2, 3, 10)),
    ("nn.MaxPool1d(3, stride=2, padding=1, dilation=2)", (3, 11)),
    ("nn.MaxPool1d(3, 2, ceil_mode=True, return_indices=True)", (2, 3, 10)),
    ("nn.MaxPool2d(2)", (2, 3, 8, 7)),
    ("nn.MaxPool2d(2)", (3, 8, 7)),
    ("nn.MaxPool2d(2)", (0, 3, 8, 7)),
    ("nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0))", (2, 3, 8, 7)),
    ("nn.MaxPool2d(3, 2, 1, 2, True, True)", (2, 3, 9, 11)),
    ("nn.AvgPool1d(3)", (2, 3, 10)),
    ("nn.AvgPool1d(3, 2, 1, True, False)", (2, 3, 10)),
    ("nn.AvgPool2d(2)", (2, 3, 8, 7)),
    ("nn.AvgPool2d(2)", (3, 8, 7)),
    ("nn.AvgPool2d((3, 2), stride=(2, 1), padding=(1, 0))", (2, 3, 8, 7)),
    ("nn.AvgPool2d(3, 2, 1, count_include_pad=False)", (2, 3, 9, 11)),
    ("nn.AvgPool2d(3, 2, 1, ceil_mode=True)", (2, 3, 8, 10)),
    ("nn.AvgPool2d(3, 2, 1, divisor_override=5)", (2, 3, 9, 11)),
    ("nn.AdaptiveAvgPool1d(4)", (2, 3, 8)),
    ("nn.AdaptiveAvgPool1d(3)", (3, 8)),
    ("nn.AdaptiveAvgPool2d(1)", (2, 3, 8, 7)),
    ("nn.AdaptiveAvgPool2d((4, 7))", (2, 3, 8, 7)),
    ("nn.AdaptiveAvgPool2d((3, None))", (2, 3, 8, 7)),
    ("nn.AdaptiveAvgPool2d((5, 3))", (3, 8, 7)),
    ("nn.AdaptiveAvgPool2d((10, 9))", (2, 3, 8, 7)),
    ("nn.AdaptiveMaxPool1d(4)", (2, 3, 8)),
    ("nn.AdaptiveMaxPool2d(2, return_indices=True)", (2, 3, 8, 4)),
    ("nn.AdaptiveMaxPool2d((5, 3))", (2, 3, 8, 7)),
    ("nn.AdaptiveMaxPool2d((None, 3))", (3, 8, 7)),
]
PADS = [
    ("nn.ZeroPad1d(2)", (2, 3, 4)),
    ("nn.ZeroPad2d((1, 2, 0, 3))", (2, 3, 4, 5)),
    ("nn.ConstantPad1d((1, 2), 3.5)", (2, 3, 4)),
    ("nn.ConstantPad2d(1, 3.5)", (2, 3, 4, 5)),
    ("nn.ReflectionPad1d(2)", (2, 3, 4)),
    ("nn.ReflectionPad2d((1, 2, 0, 3))", (2, 3, 4, 5)),
    ("nn.ReplicationPad1d((3, 1))", (2, 3, 4)),
    ("nn.ReplicationPad2d(2)", (3, 4, 5)),
    ("nn.CircularPad1d((3, 1))", (2, 3, 4)),
    ("nn.CircularPad2d(2)", (2, 3, 4, 5)),
]
CASES = [Case(layer, (shape,)) for layer, shape in CONVOLUTIONS + POOLS + PADS]
CASES += [
    Case("nn.Conv2d(3, 4, 3, padding=1)", ((2, 3, 5, 5),), dtype="float64", rtol=1e-9),
    Case("nn.MaxPool2d(2)", ((2, 3, 5, 5),), dtype="float64", rtol=1e-9),
    Case("nn.ConvTranspose2d(3, 4, 3, stride=2)", ((2, 3, 5, 5),), {"output_size": [12, 11]}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_in_pytorch(case):
    compare(case)


def test_max_pool_takes_the_first_of_equals_and_the_last_nan():
    x = np.array([[1.0, 1.0, np.nan, 0.0], [1.0, 1.0, 2.0, np.nan]], np.float32)[None, None]
    ours = nn.functional.max_pool2d(twofold.tensor(x), 2, return_indices=True)
    theirs = torch.nn.functional.max_pool2d(torch.tensor(x), 2, return_indices=True)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "do not split into 2 groups"),
        (lambda: nn.Conv2d(3, 4, 3, padding_mode="mirror"), "padding_mode='mirror'"),
        (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="same"), "stride 1"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "only zeros"),
        (lambda: nn.Conv2d(3, 4, (3, 3, 3)), "kernel_size"),
    ],
)
def test_layers_that_cannot_be(make, problem):
    with pytest.raises(ArgumentError, match=problem):
        make()(twofold.ones(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("layer", "shape", "problem"),
    [
        (nn.Conv2d(3, 4, 3), (2, 4, 8, 8), "the input has 4 channels"),
        (nn.Conv2d(3, 4, 9), (2, 3, 8, 8), "larger than the padded input"),
        (nn.Conv2d(3, 4, 3), (8, 8), "axes"),
        (nn.Conv1d(3, 4, 3), (2, 3, 8, 8), "axes"),
        (nn.ConvTranspose2d(3, 4, 3), (2, 4, 8, 8), "the input has 4 channels"),
        (nn.MaxPool2d(9), (2, 3, 8, 8), "larger than the padded input"),
        (nn.MaxPool2d(2, padding=2), (2, 3, 8, 8), "more than half"),
        (nn.AvgPool2d(2), (8, 8), "axes"),
    ],
)
def test_inputs_that_do_not_fit(layer, shape, problem):
    with pytest.raises(ShapeError, match=problem) as caught:
        layer(twofold.ones(shape))
    assert caught.value.path == (type(layer).__name__,)
