"""Normalisation layers against PyTorch: training, evaluation, odd shapes."""

import numpy as np
import pytest
from layers import Case, compare, torch

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, ShapeError

BATCH = [
    ("nn.BatchNorm1d(5)", (6, 5)),
    ("nn.BatchNorm1d(5)", (2, 5)),
    ("nn.BatchNorm1d(5)", (3, 5, 4)),
    ("nn.BatchNorm1d(5)", (1, 5, 4)),
    ("nn.BatchNorm1d(5, affine=False)", (6, 5)),
    ("nn.BatchNorm1d(5, bias=False)", (6, 5)),
    ("nn.BatchNorm1d(5, momentum=None)", (6, 5)),
    ("nn.BatchNorm1d(5, momentum=0.5, eps=0.1)", (6, 5)),
    ("nn.BatchNorm1d(5, track_running_stats=False)", (6, 5)),
    ("nn.BatchNorm2d(3)", (4, 3, 5, 6)),
    ("nn.BatchNorm2d(3)", (1, 3, 2, 1)),
    ("nn.BatchNorm2d(70)", (2, 70, 3, 3)),
    ("nn.BatchNorm3d(3)", (2, 3, 2, 3, 4)),
    ("nn.InstanceNorm1d(5)", (3, 5, 4)),
    ("nn.InstanceNorm1d(5)", (5, 4)),
    ("nn.InstanceNorm2d(5, affine=True)", (3, 5, 4, 2)),
    ("nn.InstanceNorm2d(5, affine=True, track_running_stats=True)", (3, 5, 4, 2)),
    ("nn.InstanceNorm2d(5)", (5, 4, 2)),
    ("nn.InstanceNorm3d(2, affine=True)", (2, 2, 3, 2, 2)),
]
OTHERS = [
    ("nn.LayerNorm(5)", (6, 5)),
    ("nn.LayerNorm(5)", (5,)),
    ("nn.LayerNorm(5)", (2, 3, 4, 5)),
    ("nn.LayerNorm((4, 5))", (2, 3, 4, 5)),
    ("nn.LayerNorm([4, 5], eps=0.1)", (4, 5)),
    ("nn.LayerNorm(5, bias=False)", (6, 5)),
    ("nn.LayerNorm(5, elementwise_affine=False)", (6, 5)),
    ("nn.LayerNorm(300)", (33, 300)),
    ("nn.LayerNorm(5)", (0, 5)),
    ("nn.LayerNorm(2)", (3, 2)),
    ("nn.RMSNorm(5)", (6, 5)),
    ("nn.RMSNorm(5)", (5,)),
    ("nn.RMSNorm((4, 5), eps=1e-3)", (2, 3, 4, 5)),
    ("nn.RMSNorm(5, elementwise_affine=False)", (6, 5)),
    ("nn.RMSNorm(5)", (0, 5)),
    ("nn.RMSNorm(300)", (3, 300)),
    ("nn.GroupNorm(2, 6)", (4, 6, 3, 2)),
    ("nn.GroupNorm(1, 6)", (4, 6)),
    ("nn.GroupNorm(6, 6)", (1, 6, 5)),
    ("nn.GroupNorm(3, 6, affine=False, eps=0.1)", (4, 6, 3)),
    ("nn.GroupNorm(3, 6, bias=False)", (4, 6, 3)),
    ("nn.GroupNorm(2, 6)", (0, 6, 3)),
    ("nn.LocalResponseNorm(3)", (2, 7, 3, 4)),
    ("nn.LocalResponseNorm(4, alpha=0.3, beta=0.5, k=2.0)", (2, 7, 5)),
]
CASES = [Case(layer, (shape,), train=train) for layer, shape in BATCH for train in (True, False)]
CASES += [Case(layer, (shape,)) for layer, shape in OTHERS]
CASES += [
    Case("nn.BatchNorm2d(3)", ((4, 3, 5, 6),), dtype="float64", rtol=1e-9),
    Case("nn.LayerNorm(5)", ((4, 5),), dtype="float64", rtol=1e-9),
    Case("nn.BatchNorm1d(5)", ((0, 5),), train=False),
    Case("nn.BatchNorm1d(5)", ((1, 5),), train=False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_in_pytorch(case):
    compare(case)


def test_running_moments_over_several_batches():
    ours, theirs = nn.BatchNorm2d(3, momentum=None), torch.nn.BatchNorm2d(3, momentum=None)
    random = np.random.default_rng(0)
    for _ in range(4):
        x = random.normal(2, 3, (5, 3, 4, 4)).astype(np.float32)
        ours(twofold.tensor(x)), theirs(torch.tensor(x))
    for name, value in theirs.named_buffers():
        np.testing.assert_allclose(ours.get_buffer(name).numpy(), value.numpy(), rtol=1e-5)
    ours.reset_running_stats()
    assert ours.running_mean.tolist() == [0, 0, 0] and ours.num_batches_tracked.item() == 0


def test_running_moments_are_counted_as_written():
    layer = nn.BatchNorm1d(2)
    before = layer.running_mean._version
    layer(twofold.randn(4, 2))
    assert layer.running_mean._version > before


@pytest.mark.parametrize(
    "layer", ["BatchNorm1d(3)", "LayerNorm(3)", "RMSNorm(3)", "GroupNorm(1, 3)"]
)
@pytest.mark.parametrize("dtype", [twofold.bfloat16, twofold.float16])
def test_half_types(layer, dtype):
    twofold.manual_seed(0)  # rows of three that lie close together lose all digits of a half type
    wide = eval(f"nn.{layer}")
    half = eval(f"nn.{layer}").to(dtype)
    x = twofold.randn(8, 3)
    y = half(x.to(dtype))
    assert y.dtype is dtype
    y.float().sum().backward()
    np.testing.assert_allclose(y.detach().float().numpy(), wide(x).detach().numpy(), atol=0.05)


def test_one_value_per_channel_has_no_variance():
    with pytest.raises(ShapeError, match="no variance"):
        nn.BatchNorm1d(5)(twofold.ones(1, 5))
    with pytest.raises(ShapeError, match="no variance"):
        nn.InstanceNorm2d(5)(twofold.ones(2, 5, 1, 1))


def test_the_rank_is_checked():
    with pytest.raises(ShapeError, match="4 axes are wanted, not 3"):
        nn.BatchNorm2d(5)(twofold.ones(2, 5, 3))


def test_the_channels_are_checked():
    with pytest.raises(ShapeError, match="the input has 4 channels"):
        nn.BatchNorm1d(5)(twofold.ones(3, 4))
    with pytest.raises(ShapeError, match="the last sizes are not"):
        nn.LayerNorm(5)(twofold.ones(3, 4))
    with pytest.raises(ArgumentError, match="do not split"):
        nn.GroupNorm(4, 6)


@pytest.mark.parametrize("shape", [(2, 10, 0), (0, 10, 3), (0, 10)])
@pytest.mark.parametrize("compiled", [False, True])
def test_batch_norm_of_nothing_leaves_the_running_moments(shape, compiled):
    layer = nn.BatchNorm1d(10)
    x = twofold.zeros(*shape).requires_grad_()
    made = (twofold.compile(layer) if compiled else layer)(x)
    made.sum().backward()
    assert made.shape == x.grad.shape == shape
    assert (layer.running_mean == 0).all() and (layer.running_var == 1).all()
    assert layer.eval()(x).shape == shape


def test_whole_numbers_are_refused_by_their_type():
    x = twofold.ones(2, 3, dtype=twofold.int64)
    with pytest.raises(TypeError, match="int64 is not taken"):
        nn.functional.batch_norm(x, twofold.zeros(3), twofold.ones(3))
