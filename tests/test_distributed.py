"""A group of one process: scripts that are written for several run as they are."""

import numpy as np
import pytest

import twofold
import twofold.distributed as dist
from twofold import nn
from twofold.base.errors import ArgumentError, DeviceError, StateError


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


def test_what_scripts_for_several_processes_use_in_a_group_of_one(tmp_path):
    from twofold.distributed.optim import ZeroRedundancyOptimizer

    from twofold.distributed import checkpoint
    from twofold.distributed.checkpoint import state_dict as states
    from twofold.distributed.elastic.multiprocessing.errors import record

    with pytest.raises(ArgumentError, match="no group"):
        ZeroRedundancyOptimizer([], twofold.optim.SGD, lr=1.0)
    dist.init_process_group(world_size=1, rank=0)
    try:
        net = twofold.nn.parallel.DistributedDataParallel(twofold.nn.Linear(2, 2))
        adam = ZeroRedundancyOptimizer(net.parameters(), optimizer_class=twofold.optim.Adam, lr=0.1)
        net(twofold.ones(1, 2)).sum().backward()
        adam.step()
        places = [None]
        dist.gather_object({"a": 1}, places)
        assert places == [{"a": 1}]
        dist.scatter_object_list(places, [3])
        assert places == [3] and record(lambda: 5)() == 5
        own, optimizer = states.get_state_dict(net, adam)
        assert list(own) == ["weight", "bias"]
        checkpoint.save({"net": own, "adam": optimizer, "step": 4}, checkpoint_id=tmp_path / "a")
        before = net.module.weight.tolist()
        with twofold.no_grad():
            net.module.weight.zero_()
        into = {"net": states.get_model_state_dict(net), "adam": adam, "step": 0}
        checkpoint.load(into, checkpoint_id=tmp_path / "a")
        assert net.module.weight.tolist() == before and into["step"] == 4
        assert not states.set_model_state_dict(net, own).missing_keys
        with pytest.raises(StateError, match="no 'more'"):
            checkpoint.load({"more": 1}, checkpoint_id=tmp_path / "a")
    finally:
        dist.destroy_process_group()


def test_a_mesh_of_one_device(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    mesh = dist.init_device_mesh("cpu", (1, 1), mesh_dim_names=("dp", "tp"))
    try:
        assert dist.is_initialized() and mesh.shape == (1, 1) and mesh.ndim == 2
        assert mesh["tp"].mesh_dim_names == ("tp",) and mesh["tp"].size() == 1
        assert mesh.get_local_rank("dp") == 0 and mesh.get_coordinate() == [0, 0]
        with pytest.raises(ArgumentError, match="no axis is called 'pp'"):
            mesh["pp"]
        with pytest.raises(ArgumentError, match="several cannot be grouped"):
            dist.init_device_mesh("cpu", (2,))
    finally:
        dist.destroy_process_group()


def test_modules_are_whole_in_a_group_of_one(group):
    from twofold.distributed.fsdp import (
        FSDPModule,
        FullyShardedDataParallel,
        MixedPrecision,
        StateDictType,
        fully_shard,
    )
    from twofold.distributed.fsdp.wrap import transformer_auto_wrap_policy, wrap

    inner, x = nn.Linear(3, 2), twofold.ones(1, 3)
    policy = transformer_auto_wrap_policy(transformer_layer_cls={nn.Linear})
    model = FullyShardedDataParallel(inner, auto_wrap_policy=policy, use_orig_params=True)
    assert [name for name, _ in model.named_parameters()] == ["weight", "bias"]
    assert model.in_features == 3 and wrap(inner) is inner
    with FullyShardedDataParallel.state_dict_type(model, StateDictType.FULL_STATE_DICT):
        state = model.state_dict()
    model.load_state_dict(state)
    optimizer = twofold.optim.SGD(model.parameters(), 0.1)
    model(x).sum().backward()
    assert float(model.clip_grad_norm_(1.0)) == pytest.approx(8**0.5)
    before = inner.bias.detach().clone()
    optimizer.step()
    assert not inner.bias.equal(before)
    with pytest.raises(ArgumentError, match="parameters keep types"):
        FullyShardedDataParallel(inner, mixed_precision=MixedPrecision(twofold.bfloat16))
    assert not isinstance(inner, FSDPModule)
    assert fully_shard(inner) is inner and isinstance(inner, FSDPModule)
    inner.set_requires_gradient_sync(False)
    inner.unshard().wait()
