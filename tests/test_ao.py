"""Weights of a byte each: quantize_dynamic."""

import io

import numpy as np
import pytest

import twofold
from twofold import ao, nn
from twofold.base.errors import ArgumentError


@pytest.fixture
def model():
    twofold.manual_seed(0)
    inner = nn.Sequential(nn.Linear(64, 32), nn.ReLU())
    return nn.Sequential(inner, nn.Linear(32, 10, bias=False)).eval()


def test_linear_layers_keep_a_byte_for_each_weight(model):
    x = twofold.randn(16, 64)
    made = ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=twofold.qint8)
    assert type(model[1]) is nn.Linear, "a copy is made"
    assert [type(m) for m in (made[0][0], made[1])] == [ao.DynamicQuantizedLinear] * 2
    wanted, found = model(x), made(x)
    assert not found.requires_grad
    assert float((wanted - found).abs().max() / wanted.abs().max()) < 0.03
    assert made[1].int_weight.dtype is twofold.int8 and made[1].bias is None
    error = (made[1].weight() - model[1].weight).abs().max()
    assert float(error) <= 0.5001 * float(made[1].weight_scale)
    file = io.BytesIO()
    twofold.save(made.state_dict(), file)
    file.seek(0)
    other = ao.quantization.quantize_dynamic(
        nn.Sequential(nn.Sequential(*model[0]), nn.Linear(32, 10, bias=False))
    )
    other.load_state_dict(twofold.load(file))
    assert other(x).equal(found)


def test_a_row_is_what_it_is_alone_and_compiled(model):
    made = ao.quantization.quantize_dynamic(model)
    x = twofold.randn(5, 3, 64) * twofold.tensor([1.0, 100.0, 1e-3])[:, None]
    x[0, 0] = 0
    found = made(x)
    assert made(x[2:3, 1:2]).equal(found[2:3, 1:2])
    assert twofold.compile(made)(x).equal(found)
    bits = made[0][0](x)[0, 0].numpy()
    assert np.array_equal(bits, made[0][0].bias.numpy())


def test_names_of_layers_and_in_place(model):
    made = ao.quantization.quantize_dynamic(model, {"0"}, inplace=True)
    assert made is model
    assert type(model[0][0]) is ao.DynamicQuantizedLinear and type(model[1]) is nn.Linear
    alone = twofold.quantization.quantize_dynamic(nn.Linear(3, 2))
    assert "in_features=3" in repr(alone)


def test_what_cannot_be_quantized_is_refused(model):
    with pytest.raises(ArgumentError, match="LSTM layers cannot be quantized"):
        ao.quantization.quantize_dynamic(model, {nn.LSTM, nn.Linear})
    with pytest.raises(ArgumentError, match="cannot be"):
        ao.quantization.quantize_dynamic(model, dtype=twofold.float16)
    with pytest.raises(ArgumentError, match=r"not quantized[\s\S]*quantize_dynamic"):
        ao.quantization.prepare(model)
