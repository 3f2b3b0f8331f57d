"""Parametrizations that are kept in a block or carried over; modules without starting values."""

import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DTypeError
from twofold.nn.utils import parametrize


class Symmetric(nn.Module):
    def __init__(self):
        super().__init__()
        self.count = 0

    def forward(self, x):
        self.count += 1
        return x.triu() + x.triu(1).mT

    def right_inverse(self, x):
        return x.triu()


def symmetric_layer():
    layer, function = nn.Linear(3, 3), Symmetric()
    parametrize.register_parametrization(layer, "weight", function)
    function.count = 0
    return layer, function


def test_values_are_computed_once_in_a_block():
    layer, function = symmetric_layer()
    with parametrize.cached():
        first = layer.weight
        with parametrize.cached():
            assert layer.weight is first
        layer.weight = twofold.eye(3)
        assert layer.weight is not first and (layer.weight == twofold.eye(3)).all()
        assert function.count == 2
    assert layer.weight is not layer.weight and function.count == 4


def test_a_block_around_a_program_has_its_values_only_inside():
    layer, _ = symmetric_layer()
    run, x = twofold.compile(lambda x: layer(x) + layer(2 * x)), twofold.randn(2, 3)
    wanted = layer(x) + layer(2 * x)
    with parametrize.cached():
        assert twofold.equal(run(x), wanted)
        assert twofold.equal(layer(x) + layer(2 * x), wanted)


def test_parametrizations_are_carried_over():
    layer, _ = symmetric_layer()
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert parametrize.type_before_parametrizations(nn.ReLU()) is nn.ReLU
    other, empty = nn.Linear(3, 3), nn.Module()
    for module in (other, empty):
        made = parametrize.transfer_parametrizations_and_params(layer, module, "weight")
        assert made is module and (module.weight == layer.weight).all()
        original = module.parametrizations.weight.original
        assert original is layer.parametrizations.weight.original
    plain = nn.Linear(3, 3)
    assert parametrize.transfer_parametrizations_and_params(nn.Linear(3, 3), plain) is plain


def test_modules_without_starting_values():
    layer = nn.utils.skip_init(nn.Linear, 4, 2, dtype=twofold.float64)
    assert layer.weight.shape == (2, 4) and layer.weight.dtype is twofold.float64
    assert layer.weight.device.type == "cpu" and layer.weight.requires_grad
    with pytest.raises(DTypeError, match="no class of modules"):
        nn.utils.skip_init(nn.Linear(1, 1))
    with pytest.raises(ArgumentError, match="takes no device"):
        nn.utils.skip_init(nn.ReLU)


def test_other_names_of_utils():
    weight, bias = nn.utils.fuse_linear_bn_weights(
        twofold.ones(2, 3),
        None,
        twofold.tensor([1.0, 2.0]),
        twofold.tensor([4.0, 9.0]),
        0.0,
        twofold.tensor([2.0, 3.0]),
        twofold.tensor([0.5, 0.25]),
    )
    assert weight.tolist() == [[1, 1, 1], [1, 1, 1]] and bias.tolist() == [-0.5, -1.75]
    layer = nn.Conv2d(1, 1, 1)
    assert nn.utils.convert_conv2d_weight_memory_format(layer, twofold.channels_last) is layer
    assert nn.utils.stateless.functional_call is twofold.func.functional_call
