"""A group of one process: scripts that are written for several run as they are."""

import numpy as np
import pytest

import twofold
import twofold.distributed as dist
from twofold import nn
from twofold.base.errors import ArgumentError, DeviceError


@pytest.fixture
def group(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    dist.init_process_group("gloo", init_method="env://")
    yield
    dist.destroy_process_group()
    assert not dist.is_initialized()


def test_what_is_sent_to_all_comes_back(group):
    assert dist.is_initialized() and dist.get_backend() == "gloo"
    x, y = twofold.arange(3.0), twofold.zeros(3)
    assert dist.all_reduce(x, op=dist.ReduceOp.AVG) is None
    assert dist.all_reduce(x, async_op=True).wait()
    dist.broadcast(x, src=0), dist.reduce(x, 0), dist.barrier()
    assert x.tolist() == [0, 1, 2]
    for send in (
        lambda: dist.all_gather([y], x),
        lambda: dist.gather(x, [y]),
        lambda: dist.scatter(y, [x]),
        lambda: dist.reduce_scatter(y, [x]),
        lambda: dist.all_to_all([y], [x]),
        lambda: dist.all_gather_into_tensor(y[None], x),
        lambda: dist.reduce_scatter_tensor(y, x),
    ):
        y.zero_()
        send()
        assert y.tolist() == [0, 1, 2]
    found = [None]
    dist.all_gather_object(found, {"rank": dist.get_rank()})
    assert found == [{"rank": 0}]


def test_a_model_of_the_group_trains_as_alone(group):
    from twofold.nn.parallel import DistributedDataParallel as DDP
    from twofold.utils.data.distributed import DistributedSampler

    net = nn.Linear(3, 2)
    model = DDP(net, find_unused_parameters=True)
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    x = twofold.randn(4, 3)
    with model.no_sync():
        model(x).sum().backward()
    np.testing.assert_array_equal(model(x).detach().numpy(), net(x).detach().numpy())
    assert net.bias.grad.tolist() == [4, 4]
    assert list(DistributedSampler(range(3), shuffle=False)) == [0, 1, 2]
    with pytest.raises(DeviceError, match="no devices"):
        DDP(net, device_ids=[0])


def test_what_a_group_of_one_cannot_do(group):
    with pytest.raises(ArgumentError, match="there is a group already"):
        dist.init_process_group("gloo")
    with pytest.raises(ArgumentError, match="no other process"):
        dist.send(twofold.ones(1), 1)
    with pytest.raises(ArgumentError, match="2 places in a group of one"):
        dist.all_gather([twofold.ones(1)] * 2, twofold.ones(1))


def test_larger_groups_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ArgumentError, match="world_size = 4"):
        dist.init_process_group("nccl")
    with pytest.raises(ArgumentError, match="no group of processes"):
        nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
