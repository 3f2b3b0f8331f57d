"""Layers that learn their input's size: they become what they would have been."""

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import StateError

CASES = [
    ("LazyLinear(4)", "Linear(3, 4)", (5, 3)),
    ("LazyLinear(4, bias=False)", "Linear(3, 4, bias=False)", (2, 5, 3)),
    ("LazyConv1d(4, 2)", "Conv1d(3, 4, 2)", (2, 3, 6)),
    ("LazyConv2d(4, 2, stride=2)", "Conv2d(3, 4, 2, stride=2)", (3, 6, 5)),
    ("LazyConv2d(4, 2, groups=2)", "Conv2d(6, 4, 2, groups=2)", (1, 6, 6, 5)),
    ("LazyConv3d(4, 2)", "Conv3d(3, 4, 2)", (2, 3, 4, 4, 4)),
    ("LazyConvTranspose2d(4, 2)", "ConvTranspose2d(3, 4, 2)", (2, 3, 4, 4)),
    ("LazyBatchNorm2d()", "BatchNorm2d(3)", (2, 3, 4, 4)),
    ("LazyBatchNorm1d(affine=False)", "BatchNorm1d(3, affine=False)", (5, 3)),
    ("LazyInstanceNorm2d(affine=True)", "InstanceNorm2d(3, affine=True)", (2, 3, 4, 4)),
]


@pytest.mark.parametrize(("lazy", "plain", "shape"), CASES)
def test_a_lazy_layer_becomes_a_plain_one(lazy, plain, shape):
    layer = eval(f"nn.{lazy}", {"nn": nn})
    wanted = eval(f"nn.{plain}", {"nn": nn})
    parameters = list(layer.parameters())
    assert "<UninitializedParameter>" in map(repr, parameters) or not parameters
    x = twofold.from_numpy(np.random.default_rng(1).normal(size=shape).astype(np.float32))
    layer(x)
    assert type(layer) is type(wanted) and repr(layer) == repr(wanted)
    # the optimizer that holds them keeps them
    assert all(a is b for a, b in zip(parameters, layer.parameters(), strict=True))
    assert [type(p) for p in layer.parameters()] == [nn.Parameter] * len(parameters)
    wanted.load_state_dict(layer.state_dict())
    layer.eval(), wanted.eval()
    np.testing.assert_array_equal(layer(x).detach().numpy(), wanted(x).detach().numpy())


def test_parameters_start_as_those_of_the_plain_layer():
    layer = nn.LazyLinear(50)
    layer(twofold.ones(2, 100))
    weight = layer.weight.detach().numpy()
    assert np.abs(weight).max() <= 0.1 and weight.std() > 0.04


LOADED = [case for case in CASES if "InstanceNorm" not in case[0]]


@pytest.mark.parametrize(("lazy", "plain", "shape"), LOADED)
def test_a_state_gives_a_lazy_layer_its_shapes(lazy, plain, shape):
    layer, wanted = (eval(f"nn.{text}", {"nn": nn}) for text in (lazy, plain))
    net = nn.Sequential(layer)
    state = nn.Sequential(wanted).state_dict()
    assert list(net.state_dict()) == list(state)
    assert layer.has_uninitialized_params()
    for value in state.values():
        if value.dtype.is_floating_point:
            value.uniform_(0.5, 1.5)
    net.load_state_dict(state)
    assert not layer.has_uninitialized_params() and type(layer).__name__.startswith("Lazy")
    x = twofold.from_numpy(np.random.default_rng(1).normal(size=shape).astype(np.float32))
    np.testing.assert_array_equal(net.eval()(x).detach().numpy(), wanted.eval()(x).detach().numpy())
    assert type(layer) is type(wanted) and repr(layer) == repr(wanted)


def test_states_without_shapes():
    layer, other = nn.LazyBatchNorm1d(), nn.LazyBatchNorm1d()
    assert isinstance(layer.running_mean, nn.UninitializedBuffer)
    assert nn.parameter.is_lazy(layer.state_dict()["running_var"])
    other.load_state_dict(layer.state_dict())
    assert other.has_uninitialized_params()
    with pytest.raises(StateError, match="does not fit"):
        nn.LazyLinear(4).load_state_dict({})
    linear = nn.LazyLinear(4)
    with pytest.raises(StateError, match="does not fit"):
        linear.load_state_dict({"weight": twofold.ones(4, 3), "bias": twofold.ones(5, 5), "c": 1})
    assert linear.has_uninitialized_params()  # nothing was loaded
    assert nn.LazyLinear.cls_to_become is nn.Linear
