"""Modules that programs import under PyTorch's names, beside layers and operations."""

import importlib
from datetime import datetime, timedelta

import numpy as np
import pytest

import twofold
import twofold.utils.backend_registration
import twofold.utils.collect_env
import twofold.utils.mobile_optimizer
import twofold.utils.module_tracker
import twofold.utils.throughput_benchmark
from twofold import monitor, nn
from twofold.base.errors import ArgumentError, DeviceError, StateError
from twofold.torch_version import TorchVersion

MODULES = """
_dynamo.config _inductor.config accelerator autograd.anomaly_mode backends.cpu backends.mkl
backends.mkldnn backends.mps backends.nnpack backends.openmp backends.opt_einsum
backends.quantized backends.xnnpack cuda.comm cuda.graphs cuda.memory cuda.nvtx cuda.random
cuda.streams distributed.algorithms distributed.algorithms._checkpoint.checkpoint_wrapper
distributed.algorithms.ddp_comm_hooks.default_hooks distributed.algorithms.join export monitor
mps mtia package return_types storage torch_version utils.backend_registration
utils.collect_env utils.cpp_extension utils.deterministic utils.mobile_optimizer
utils.module_tracker utils.throughput_benchmark xpu
"""


@pytest.mark.parametrize("name", MODULES.split())
def test_modules_are_imported_by_their_names(name):
    found = importlib.import_module(f"twofold.{name}")
    place = twofold
    for part in name.split("."):
        place = getattr(place, part)
    assert place is found


def test_accelerators_answer_that_they_are_not_there():
    for kind in (twofold.xpu, twofold.mps, twofold.mtia, twofold.accelerator, twofold.backends.mps):
        assert not kind.is_available()
    assert twofold.accelerator.current_accelerator() is None and twofold.xpu.device_count() == 0
    twofold.xpu.set_rng_state_all(twofold.xpu.get_rng_state_all())
    with twofold.accelerator.device_index(None):
        pass
    with pytest.raises(DeviceError, match="mps"):
        twofold.mps.synchronize()
    with pytest.raises(DeviceError, match=r"cuda\.comm"):
        twofold.cuda.comm.broadcast(twofold.ones(2), [0, 1])
    with twofold.backends.nnpack.flags(enabled=True), twofold.cuda.nvtx.range("step"):
        assert twofold.cuda.nvtx.range_push("a") == twofold.cuda.nvtx.range_pop() == 0


def test_what_needs_a_compiler_says_so_when_it_is_called():
    extension = importlib.import_module("twofold.utils.cpp_extension")
    for use in (extension.load, extension.CUDAExtension):
        with pytest.raises(ArgumentError, match=r"twofold\.compile"):
            use("mine", sources=["mine.cpp"])
    assert extension.include_paths() == [] and extension.BuildExtension.with_options()
    with pytest.raises(ArgumentError, match="state_dict"):
        twofold.package.PackageExporter("a.zip")
    with pytest.raises(DeviceError, match="mine"):
        twofold.utils.backend_registration.rename_privateuse1_backend("mine")


def test_results_have_a_class_for_each_function():
    kinds = twofold.return_types
    x = twofold.tensor([[3.0, 1.0], [2.0, 4.0]])
    assert type(x.max(0)) is kinds.max and type(x.min(0)) is kinds.min is not kinds.max
    assert type(x.sort()) is kinds.sort and type(twofold.linalg.eigh(x)) is kinds.linalg_eigh
    assert repr(x[0].topk(1)) == (
        "twofold.return_types.topk(\nvalues=tensor([3.]),\nindices=tensor([0]))"
    )
    values, indices = x.cummax(1)
    assert kinds.cummax in kinds.all_return_types and indices.shape == values.shape
    assert twofold.compile(lambda x: x.max(0))(x).indices.tolist() == [0, 1]


def test_versions_are_compared_as_versions():
    version = TorchVersion("2.13.0+cpu")
    assert version >= "2.9" and version > (2, 4) and version < "2.14" and version == "2.13"
    assert version.startswith("2.13") and hash(version) == hash("2.13.0+cpu")


def test_settings_are_kept():
    config = importlib.import_module("twofold._dynamo.config")
    before = config.suppress_errors
    with config.patch(suppress_errors=True), config.patch("verbose", True):
        assert config.suppress_errors and config.verbose
    assert config.suppress_errors is before and twofold._inductor.config.triton.cudagraphs is False


def test_what_a_program_runs_on():
    text = twofold.utils.collect_env.get_pretty_env_info()
    assert "numpy==" in text and twofold.__version__ in text


def test_events_and_windows():
    told = []
    handle = monitor.register_event_handler(told.append)
    kinds = [monitor.Aggregation.MEAN, monitor.Aggregation.MAX, monitor.Aggregation.COUNT]
    stat = monitor.Stat("loss", kinds, timedelta(seconds=0), 10)
    stat.add(1.0)
    stat.window = 1e9
    stat.add(3.0)
    assert stat.count == 2 and list(stat.get().values()) == [2.0, 3.0, 2.0]
    stat.window = 0.0
    stat.add(5.0)
    assert told[-1].data == {"loss.mean": 2.0, "loss.max": 3.0, "loss.count": 2.0}
    monitor.unregister_event_handler(handle)
    monitor.log_event(monitor.Event("more", datetime.now(), {}))
    assert told[-1].name == monitor.STAT_EVENT
    with pytest.raises(StateError, match="not registered"):
        monitor.unregister_event_handler(handle)


def test_modules_are_followed():
    inside = []

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            inside.append(set(tracker.parents))
            return self.linear(x)

    with twofold.utils.module_tracker.ModuleTracker() as tracker:
        Block()(twofold.ones(1, 2)).sum().backward()
    assert inside == [{"Global", "Block"}] and tracker.parents == {"Global"}


def test_checkpointed_modules_have_the_gradients_and_names_of_plain_ones():
    wrapper = importlib.import_module(
        "twofold.distributed.algorithms._checkpoint.checkpoint_wrapper"
    )
    nets = [nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    wrapper.apply_activation_checkpointing(nets[1], check_fn=lambda m: isinstance(m, nn.Linear))
    assert isinstance(nets[1][0], wrapper.CheckpointWrapper) and nets[1][0].in_features == 2
    assert list(nets[1].state_dict()) == list(nets[0].state_dict())
    nets[1].load_state_dict(nets[0].state_dict())
    x = twofold.randn(4, 2)
    for net in nets:
        net(x).sum().backward()
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), q.grad.numpy())
    offloaded = wrapper.offload_wrapper(nets[0])
    np.testing.assert_array_equal(offloaded(x).detach().numpy(), nets[1](x).detach().numpy())


def test_tensors_change_places():
    a, b = nn.Parameter(twofold.ones(2)), nn.Parameter(twofold.zeros(3))
    a.grad, a.note = twofold.ones(2), "mine"
    twofold.utils.swap_tensors(a, b)
    assert a.tolist() == [0.0] * 3 and b.tolist() == [1.0] * 2 and a.grad is None
    assert b.grad.tolist() == [1.0, 1.0] and b.note == "mine" and not hasattr(a, "note")
    with pytest.raises(ArgumentError, match="no leaf"):
        twofold.utils.swap_tensors(twofold.ones(3)[:2], twofold.ones(2))
    with pytest.raises(ArgumentError, match="cannot change places"):
        twofold.utils.swap_tensors(a, twofold.ones(2))


def test_a_module_for_phones_and_how_many_calls_it_takes():
    net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    mobile = twofold.utils.mobile_optimizer
    assert [row["name"] for row in mobile.generate_mobile_module_lints(net)][-1] == "DROPOUT"
    made, x = mobile.optimize_for_mobile(net), twofold.randn(5, 2)
    np.testing.assert_array_equal(made(x).detach().numpy(), net(x).detach().numpy())
    bench = twofold.utils.throughput_benchmark.ThroughputBenchmark(net)
    bench.add_input(x)
    stats = bench.benchmark(num_calling_threads=2, num_warmup_iters=1, num_iters=6)
    assert stats.num_iters == 6 and "iterations: 6" in repr(stats)
