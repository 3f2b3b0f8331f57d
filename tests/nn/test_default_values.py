"""What parameters of layers are when they are made: the distributions that PyTorch documents."""

import math

import pytest

import twofold
from twofold import nn

# layer, its parameters, and the bound of the uniform distribution that they are drawn from
UNIFORM = [
    (lambda: nn.Linear(200, 300), "weight bias", 1 / math.sqrt(200)),
    (lambda: nn.Bilinear(30, 20, 50), "weight bias", 1 / math.sqrt(30)),
    (lambda: nn.Conv1d(40, 60, 3), "weight bias", 1 / math.sqrt(40 * 3)),
    (lambda: nn.Conv2d(40, 60, 3, groups=4), "weight bias", 1 / math.sqrt(10 * 9)),
    (lambda: nn.Conv3d(10, 30, 3), "weight bias", 1 / math.sqrt(10 * 27)),
    (lambda: nn.ConvTranspose1d(40, 60, 3), "weight bias", 1 / math.sqrt(60 * 3)),
    (lambda: nn.ConvTranspose2d(40, 60, 3, groups=2), "weight bias", 1 / math.sqrt(30 * 9)),
    (lambda: nn.ConvTranspose3d(10, 30, 3), "weight bias", 1 / math.sqrt(30 * 27)),
    (lambda: nn.RNN(50, 80), "weight_ih_l0 weight_hh_l0 bias_ih_l0", 1 / math.sqrt(80)),
    (lambda: nn.LSTM(50, 80, proj_size=9), "weight_hh_l0 weight_hr_l0", 1 / math.sqrt(80)),
    (lambda: nn.GRU(50, 80, 2), "weight_ih_l1 bias_hh_l1", 1 / math.sqrt(80)),
    (lambda: nn.LSTMCell(50, 80), "weight_ih bias_hh", 1 / math.sqrt(80)),
    (lambda: nn.GRUCell(50, 80), "weight_hh bias_ih", 1 / math.sqrt(80)),
    (lambda: nn.MultiheadAttention(64, 4), "in_proj_weight", math.sqrt(6 / (64 + 192))),
    (lambda: nn.MultiheadAttention(64, 4, kdim=32), "k_proj_weight", math.sqrt(6 / (64 + 32))),
    (lambda: nn.MultiheadAttention(64, 4).out_proj, "weight", 1 / math.sqrt(64)),
    (
        lambda: nn.Transformer(64, 4, 1, 1, 96),
        "encoder.layers.0.linear1.weight",
        math.sqrt(6 / 160),
    ),
]
CONSTANT = [
    (lambda: nn.BatchNorm2d(3), {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 1}),
    (lambda: nn.InstanceNorm2d(3, affine=True), {"weight": 1, "bias": 0}),
    (lambda: nn.GroupNorm(1, 3), {"weight": 1, "bias": 0}),
    (lambda: nn.LayerNorm(3), {"weight": 1, "bias": 0}),
    (lambda: nn.RMSNorm(3), {"weight": 1}),
    (lambda: nn.PReLU(3), {"weight": 0.25}),
    (lambda: nn.MultiheadAttention(8, 2), {"in_proj_bias": 0, "out_proj.bias": 0}),
]


@pytest.mark.parametrize("case", range(len(UNIFORM)))
def test_uniform_up_to_a_bound(case):
    make, names, bound = UNIFORM[case]
    twofold.manual_seed(case)
    state = make().state_dict()
    for name in names.split():
        x = state[name]
        count = x.numel()
        assert x.abs().max() <= bound * (1 + 1e-6)
        assert x.abs().max() >= bound * (1 - 12 / count)  # (1 - 12/n)**n: one in 160,000
        assert abs(x.mean()) < 5 * bound / math.sqrt(3 * count)
        assert abs((x / bound).square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / count)


@pytest.mark.parametrize("make", [nn.Embedding, nn.EmbeddingBag])
def test_rows_of_embeddings_are_normal(make):
    twofold.manual_seed(0)
    x = make(200, 100, padding_idx=7).weight.detach()
    assert x[7].abs().max() == 0
    rest = twofold.cat([x[:7], x[8:]])
    count = rest.numel()
    assert abs(rest.mean()) < 5 / math.sqrt(count)
    assert abs(rest.var() - 1) < 5 * math.sqrt(2 / count) and 3 < rest.abs().max() < 6


@pytest.mark.parametrize("case", range(len(CONSTANT)))
def test_constants(case):
    make, values = CONSTANT[case]
    state = make().state_dict()
    for name, value in values.items():
        assert (state[name] == value).all()
