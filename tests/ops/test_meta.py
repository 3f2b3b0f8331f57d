"""Tensors on the "meta" device: what operations make of shapes, and what has no answer."""

import numpy as np
import pytest
from records import RECORDS, samples_of, several

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DeviceError, ShapeError, StateError
from twofold.nn import functional as F
from twofold.ops import meta
from twofold.ops.bind import bind
from twofold.ops.op import OPS
from twofold.ops.tensor import wrap

HUGE = 10**6  # squared, more than any machine holds


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_operations_give_the_shapes_types_and_views_that_they_give_with_data(name):
    op = OPS[name]
    for _, arrays, attrs in samples_of(op):
        if not arrays:
            continue
        real = several(bind(op, tuple(wrap(a.copy()) for a in arrays), attrs))
        made = several(bind(op, tuple(meta.of(wrap(a.copy())) for a in arrays), attrs))
        assert len(made) == len(real)
        for x, y in zip(made, real, strict=True):
            assert x.is_meta
            assert (x.shape, x.dtype) == (y.shape, y.dtype)
            if op.view is True:
                assert x.stride() == y.stride()


def test_nothing_is_computed_and_no_memory_is_taken():
    x = twofold.empty(HUGE, HUGE, device="meta")
    assert (x @ x.t()).softmax(-1).sum().shape == ()
    assert F.dropout(x, 0.5).shape == x.shape
    assert twofold.zeros_like(x).add_(1).uniform_()[0].shape == (HUGE,)
    assert nn.init.kaiming_uniform_(twofold.empty(HUGE, HUGE, device="meta")).is_meta
    for make in (twofold.ones, twofold.randn, twofold.rand, twofold.zeros):
        assert make(HUGE, HUGE, device="meta").nbytes == 4 * HUGE**2
    assert twofold.full((HUGE, HUGE), 1.5, device="meta").dtype is twofold.float32
    assert twofold.eye(HUGE, device="meta").shape == (HUGE, HUGE)
    assert twofold.arange(HUGE**2, device="meta").dtype is twofold.int64


def test_views_have_strides():
    x = twofold.empty(3, 4, 5, device="meta")
    assert x.stride() == (20, 5, 1)
    assert x.transpose(0, 2)[1:, ::2].stride() == (1, 10, 20)
    assert not x.transpose(0, 1).is_contiguous()
    assert x.transpose(0, 1).contiguous().stride() == (15, 5, 1)
    assert x.expand(2, 3, 4, 5).stride() == (0, 20, 5, 1)
    assert x.reshape(-1)._base is x
    with pytest.raises(ShapeError):
        x.transpose(0, 1).view(60)


def test_shapes_that_do_not_fit_are_refused_as_ever():
    with pytest.raises(ShapeError, match="inner sizes differ"):
        twofold.empty(2, 3, device="meta") @ twofold.empty(4, 5, device="meta")


def test_what_is_made_in_a_block_is_there_unless_told_otherwise():
    with twofold.device("meta"):
        net = nn.Sequential(nn.Linear(HUGE, HUGE), nn.BatchNorm1d(HUGE))
        assert twofold.tensor([1, 2]).device == twofold.as_tensor([1.0]).device == "meta"
        assert twofold.zeros(2, device="cpu").tolist() == [0, 0]
        with twofold.device("cpu"):
            assert twofold.ones(2).tolist() == [1, 1]
        assert twofold.randperm(3).is_meta
    assert all(x.is_meta for x in net.state_dict().values())
    assert twofold.zeros(1).is_cpu
    assert net(twofold.empty(4, HUGE, device="meta")).shape == (4, HUGE)


def test_the_default_device():
    twofold.set_default_device("meta")
    try:
        assert twofold.zeros(2).device == twofold.get_default_device() == "meta"
    finally:
        twofold.set_default_device("cpu")
    assert twofold.zeros(2).device == twofold.get_default_device() == "cpu"


def test_gradients_have_shapes_too():
    net = nn.TransformerEncoderLayer(8, 2, batch_first=True, device="meta")
    net(twofold.empty(2, 5, 8, device="meta")).sum().backward()
    for p in net.parameters():
        assert p.grad.is_meta
        assert p.grad.shape == p.shape


def test_to_and_from_the_device():
    x = twofold.ones(2, 3, requires_grad=True)
    there = x.to("meta")
    assert (there.device, there.shape, there.data_ptr()) == ("meta", (2, 3), 0)
    assert there.to("meta") is there
    assert x.to("cpu") is x
    assert twofold.zeros_like(there, device="cpu").tolist() == [[0, 0, 0], [0, 0, 0]]
    assert twofold.rand_like(there).is_meta
    assert there.new_ones(3).is_meta
    assert repr(there) == "tensor(..., device='meta', size=(2, 3))"
    assert there.untyped_storage().nbytes() == 24


ASKED = {
    "item": lambda x: x.sum().item(),
    "bool": lambda x: bool(x[0, 0] > 0),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "asarray": lambda x: np.asarray(x),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: x.nonzero(),
    "copy": lambda x: twofold.zeros(2, 3).copy_(x),
    "float": lambda x: float(x.mean()),
    "equal": lambda x: twofold.equal(x, x),
}


@pytest.mark.parametrize("name", ASKED)
def test_who_asks_for_data_hears_what_to_do(name):
    with pytest.raises(DeviceError, match="to_empty"):
        ASKED[name](twofold.empty(2, 3, device="meta"))


def test_a_module_without_memory_is_not_saved(tmp_path):
    with pytest.raises(DeviceError, match="it is saved"):
        twofold.save(nn.Linear(2, 3, device="meta").state_dict(), tmp_path / "x")


def test_a_module_gets_memory_or_the_tensors_of_a_state():
    state = nn.Linear(3, 2).state_dict()
    net = nn.Linear(3, 2, device="meta")
    with pytest.raises(StateError, match="assign=True"):
        net.load_state_dict(state)
    with pytest.raises(DeviceError, match="to_empty"):
        net.to("cpu")
    weight = net.weight
    net.load_state_dict(state, assign=True)
    assert net.weight is weight
    assert twofold.equal(net.weight, state["weight"])
    net(twofold.ones(1, 3)).sum().backward()
    assert net.weight.grad.shape == (2, 3)
    other = nn.Linear(3, 2, device="meta").to_empty(device="cpu")
    other.load_state_dict(state)
    assert twofold.equal(other.weight, state["weight"])


def test_parameters_that_are_assigned_go_through_register_parameter():
    class Watching(nn.Module):
        def register_parameter(self, name, param):
            super().register_parameter(name, param)
            self._parameters[name] = nn.Parameter(param.to("meta"))

    net = Watching()
    net.weight = nn.Parameter(twofold.ones(3))
    assert net.weight.is_meta


def test_other_devices_stay_names():
    for make in (lambda: twofold.zeros(2, device="cuda"), lambda: twofold.ones(2).to("cuda")):
        with pytest.raises(DeviceError, match="no device 'cuda' here"):
            make()
    with pytest.raises(DeviceError, match="meta"):
        twofold.Generator(device="meta")


def test_random_arguments_are_checked_where_there_is_data():
    with pytest.raises(ArgumentError):
        twofold.zeros(2).uniform_(1, 0)
