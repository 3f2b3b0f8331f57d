"""The files by whose names programs import parts of PyTorch, and processes that are alone."""

import importlib

import numpy as np
import pytest

import twofold
from twofold import nn
from twofold.base.errors import ArgumentError, DeviceError, DTypeError

NAMES = """
nn.parameter.is_lazy  cuda.amp.custom_fwd
nn.modules.batchnorm._BatchNorm  nn.modules.utils._pair  nn.modules.loss._Loss
nn.modules.conv._ConvNd  nn.modules.module.Module  nn.modules.Linear  nn.modules.rnn.LSTM
nn.modules.transformer.TransformerEncoderLayer  nn.modules.container.ModuleList
nn.modules.linear.Linear  nn.modules.activation.ReLU  nn.common_types._size_2_t
nn.parallel.DataParallel  nn.utils.clip_grad.clip_grad_norm_
nn.utils.convert_parameters.parameters_to_vector  distributions.normal.Normal
distributions.categorical.Categorical  distributions.multivariate_normal.MultivariateNormal
distributions.transformed_distribution.TransformedDistribution
distributions.relaxed_categorical.RelaxedOneHotCategorical  distributions.kl.kl_divergence
distributions.utils.broadcast_all  utils._pytree.tree_map  utils.hooks.RemovableHandle
nn.init._calculate_fan_in_and_fan_out  nn.RNNBase  optim.optimizer.required  types.Number
autograd.function.FunctionCtx  jit._script_if_tracing  jit.annotations.List
functional.einsum  functional.F  serialization.add_safe_globals
jit.annotations.BroadcastingList2
nn.parallel.distributed.DistributedDataParallel  nn.modules.module._IncompatibleKeys
nn.parallel.scatter_gather.scatter  onnx.symbolic_helper.parse_args  ao.quantization.QuantStub
utils.data._utils.collate.default_collate  fx.experimental.proxy_tensor.get_proxy_mode
_subclasses.fake_tensor.is_fake  _dynamo.utils.is_compile_supported  amp.grad_scaler.OptState
nn.modules.padding._ConstantPadNd  nn.modules.transformer._get_activation_fn
 _C.DispatchKeySet  serialization.DEFAULT_PROTOCOL  distributions.transforms._clipped_sigmoid
distributed._tensor.experimental.implicit_replication  distributed._composable.fsdp.FSDPModule
utils._foreach_utils._group_tensors_by_device_and_dtype
cuda.amp.common.amp_definitely_not_available
utils._python_dispatch.TorchDispatchMode  _C._functorch.is_batchedtensor
utils.weak.WeakIdKeyDictionary
_functorch.vmap.tree_flatten  utils.data._utils.worker._generate_state  optim.adagrad.Adagrad
utils.data.dataloader._collate_fn_t  ao.quantization.ObserverBase  jit.interface
quantization.QuantStub
utils.data._utils.collate.np_str_obj_array_pattern  distributions.constraints.__all__
futures.Future  distributed.optim.ZeroRedundancyOptimizer
utils._pytree.SUPPORTED_NODES  autograd.profiler.EventList  hub.load_state_dict_from_url
autograd.grad_mode.no_grad  autograd.grad_mode.set_multithreading_enabled
nn.attention.bias.causal_lower_right  utils.checkpoint.noop_context_fn
utils.data.distributed.DistributedSampler  multiprocessing.Queue  distributed.is_available
"""


@pytest.mark.parametrize("name", NAMES.split())
def test_parts_are_found_by_their_files(name):
    file, part = name.rsplit(".", 1)
    found = getattr(importlib.import_module(f"twofold.{file}"), part)
    made = twofold
    for step in name.split("."):
        made = getattr(made, step)
    assert made is found


def test_layers_are_of_the_private_classes_that_programs_ask_for():
    private = nn.modules
    assert isinstance(nn.BatchNorm2d(3), private.batchnorm._BatchNorm)
    assert isinstance(nn.InstanceNorm1d(3), private.instancenorm._InstanceNorm)
    assert isinstance(nn.Conv1d(1, 1, 1), private.conv._ConvNd)
    assert isinstance(nn.ConvTranspose2d(1, 1, 1), private.conv._ConvTransposeNd)
    assert isinstance(nn.CrossEntropyLoss(), private.loss._WeightedLoss)
    assert private.utils._pair(3) == (3, 3) and private.utils._triple([1, 2, 3]) == (1, 2, 3)


def test_collectives_can_be_named_and_say_that_there_is_no_group():
    from twofold.distributed import all_reduce
    from twofold.distributed import nn as collectives

    assert not twofold.distributed.is_nccl_available()
    for call in (all_reduce, twofold.distributed.barrier, collectives.all_gather):
        with pytest.raises(ArgumentError, match="no group of processes"):
            call(twofold.ones(1))
    with pytest.raises(AttributeError, match="barier"):
        _ = twofold.distributed.barier


def test_a_module_on_all_devices_is_the_module():
    net = nn.Linear(3, 2)
    both = nn.DataParallel(net)
    x = twofold.randn(4, 3)
    np.testing.assert_array_equal(both(x).detach().numpy(), net(x).detach().numpy())
    assert list(both.state_dict()) == ["weight", "bias"] == [n for n, _ in both.named_parameters()]
    both.load_state_dict({"module.weight": twofold.ones(2, 3), "module.bias": twofold.zeros(2)})
    assert net.weight.detach().sum() == 6
    with pytest.raises(DeviceError, match="no devices"):
        nn.DataParallel(net, device_ids=[0, 1])


def test_batch_norms_become_synchronised_ones_with_their_state():
    net = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3))
    x = twofold.randn(5, 1, 4, 4)
    net(x)
    state = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    made = nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert type(made[1]) is nn.SyncBatchNorm
    for name, value in made.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])
    assert made(x).shape == (5, 3, 4, 4)


def test_a_process_is_alone():
    alone = twofold.distributed
    assert not alone.is_available() and not alone.is_initialized()
    assert (alone.get_rank(), alone.get_world_size()) == (0, 1)
    with pytest.raises(ArgumentError, match="cannot be grouped"):
        alone.init_process_group("gloo", world_size=2, rank=0)
    with pytest.raises(AttributeError, match="all_reduced"):
        alone.all_reduced(twofold.ones(2))


def shares(size, count, **options):
    from twofold.utils.data.distributed import DistributedSampler

    made = [DistributedSampler(range(size), count, rank, **options) for rank in range(count)]
    for sampler in made:
        sampler.set_epoch(options.pop("epoch", 0))
    parts = [list(sampler) for sampler in made]
    assert [len(part) for part in parts] == [len(sampler) for sampler in made]
    return parts


def test_processes_share_all_indices():
    parts = shares(10, 3)
    assert {len(part) for part in parts} == {4}
    assert sorted({i for part in parts for i in part}) == list(range(10))
    assert shares(10, 3) == parts
    short = shares(10, 3, drop_last=True)
    flat = [i for part in short for i in part]
    assert {len(part) for part in short} == {3} and len(set(flat)) == 9
    assert shares(5, 2, shuffle=False) == [[0, 2, 4], [1, 3, 0]]
    with pytest.raises(ArgumentError, match="rank 3 of 3"):
        twofold.utils.data.distributed.DistributedSampler(range(4), 3, 3)


def test_epochs_have_orders_of_their_own():
    from twofold.utils.data.distributed import DistributedSampler

    sampler = DistributedSampler(range(100))
    first = list(sampler)
    sampler.set_epoch(1)
    assert sorted(first) == sorted(sampler) and list(sampler) != first


def square(number, path):
    (path / str(number)).write_text(str(float((twofold.arange(3.0) * number).sum())))


def fail(number):
    if number:
        raise ValueError("as planned")


def test_processes_are_spawned(tmp_path):
    twofold.multiprocessing.spawn(square, (tmp_path,), nprocs=2)
    assert [(tmp_path / str(n)).read_text() for n in range(2)] == ["0.0", "3.0"]
    with pytest.raises(twofold.multiprocessing.ProcessRaisedException, match="process 1"):
        twofold.multiprocessing.spawn(fail, nprocs=2)


def test_kernels_of_one_and_sparse_columns():
    w = nn.init.dirac_(twofold.empty(4, 2, 3, 3), groups=2)
    x = twofold.randn(1, 4, 5, 5)
    y = nn.functional.conv2d(x, w, padding=1, groups=2)
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    thin = nn.init.sparse_(twofold.empty(10, 30), 0.25, std=2.0).numpy()
    assert ((thin == 0).sum(0) == 3).all() and 1.5 < thin[thin != 0].std() < 2.5


def test_an_option_without_a_default_must_be_given():
    required = twofold.optim.optimizer.required

    class Plain(twofold.optim.Optimizer):
        def __init__(self, params, lr=required):
            super().__init__(params, {"lr": lr})

        def __setstate__(self, state):
            super().__setstate__(state)
            self.param_groups[0].setdefault("late", 1)

    w = nn.Parameter(twofold.ones(1))
    with pytest.raises(ArgumentError, match="lr must be given"):
        Plain([w])
    made = Plain([{"params": [w], "lr": 0.5}])
    made.__setstate__(made.__getstate__())
    assert made.param_groups[0]["late"] == 1


def test_checks_are_functions_of_values_and_of_what_is_computed():
    def f(x):
        twofold._assert(x.sum() > 0, "sums are positive")
        twofold._check_value(x.shape[0] == 2, lambda: f"not {x.shape[0]} rows")
        return x * 2

    for function in (f, twofold.compile(f)):
        assert function(twofold.ones(2)).tolist() == [2, 2]
        with pytest.raises(AssertionError, match="sums are positive"):
            function(-twofold.ones(2))
        with pytest.raises(ValueError, match=r"not .* rows"):
            function(twofold.ones(3))
    with pytest.raises(RuntimeError, match="all"):
        twofold._check_tensor_all(twofold.tensor([True, False]), lambda: "all")


def test_probabilities_and_triangles_of_distributions():
    utils = twofold.distributions.utils
    logits = twofold.tensor([0.5, -1.0])
    again = utils.probs_to_logits(utils.logits_to_probs(logits, True), True)
    np.testing.assert_allclose(again, logits, rtol=1e-5)
    m = twofold.arange(9.0).reshape(3, 3)
    for diag in (-1, 0, 1):
        made = utils.vec_to_tril_matrix(utils.tril_matrix_to_vec(m, diag), diag)
        n = made.shape[0]
        assert n == 3 and made.tolist() == m.tril(diag).tolist()
    with pytest.raises(ValueError, match="no matrix"):
        utils.vec_to_tril_matrix(twofold.ones(4))


def test_trees_have_their_older_names():
    tree = twofold.utils._pytree
    leaves, form = tree.tree_flatten({"a": [1, (2,)]})
    assert leaves == [1, 2]
    for given in ((leaves, form), (form, leaves)):
        assert tree.tree_unflatten(*given) == {"a": [1, (2,)]}
    assert tree.tree_map_only(int, str, [1, "b"]) == ["1", "b"]


def test_the_insides_that_libraries_ask_about():
    from twofold.distributed.fsdp import FullyShardedDataParallel
    from twofold.distributed.tensor import DTensor

    import twofold._dynamo as dynamo
    from twofold import _C, fx

    x = twofold.ones(2)
    assert not isinstance(x, fx.Proxy) and not isinstance(twofold.nn.Linear(1, 1), fx.GraphModule)
    assert not isinstance(x, DTensor)
    assert _C._get_tracing_state() is None and _C.Size is twofold.Size
    dynamo.mark_static_address(x)
    dynamo.config.suppress_errors = True
    with pytest.raises(ArgumentError, match="no group of processes runs"):
        FullyShardedDataParallel(twofold.nn.Linear(1, 1))


def test_what_is_not_here_is_refused_where_it_is_used():
    from twofold.distributed.device_mesh import init_device_mesh

    from twofold.utils import _pytree

    assert twofold.Generator().device == "cpu"
    values, keys = _pytree._dict_flatten({"a": 1, "b": 2})
    assert _pytree._dict_unflatten(values, keys) == {"a": 1, "b": 2}
    with pytest.raises(ArgumentError, match="grouped"):
        init_device_mesh("cpu", (2,))
    for refused in (twofold.Stream, twofold.Event, lambda: twofold.Generator("cuda")):
        with pytest.raises(DeviceError):
            refused()
    assert isinstance(twofold.cuda.Stream, type), "programs write it in annotations"
    assert twofold.finfo(twofold.float8_e4m3fn).max == 448
    with pytest.raises(DTypeError, match="float8_e5m2"):
        twofold.ones(2, dtype=twofold.float8_e5m2)


def test_what_libraries_name_of_processes_devices_and_scripts():
    from twofold import _C
    from twofold.distributed import Backend, ReduceOp, group
    from twofold.utils.data import DataLoader
    from twofold.utils.data.dataloader import _BaseDataLoaderIter, _MultiProcessingDataLoaderIter

    assert isinstance(iter(DataLoader([1, 2])), _BaseDataLoaderIter)
    assert not isinstance(iter(DataLoader([1, 2])), _MultiProcessingDataLoaderIter)
    assert group.WORLD is None and ReduceOp.SUM.name == "SUM" and Backend.GLOO == "gloo"
    assert _C.ScriptModule is twofold.ScriptModule
    assert _C._nn._parse_to("cpu", twofold.float64)[:2] == ("cpu", twofold.float64)
    with pytest.raises(OSError, match=r"C\+\+"):
        twofold.ops.load_library("_C.so")
    with pytest.raises(DeviceError):
        twofold.autograd.profiler.emit_nvtx()


def test_whether_a_profile_runs():
    assert not twofold.autograd._profiler_enabled()
    with twofold.autograd.profiler.profile():
        assert twofold.autograd._profiler_enabled()
    assert not twofold.autograd._profiler_enabled()


def test_what_vision_libraries_import():
    from twofold import _custom_ops, _subclasses, ao, onnx
    from twofold._utils import _flatten_dense_tensors, _unflatten_dense_tensors
    from twofold.utils.model_zoo import tqdm

    x = twofold.randn(2, 3)
    stubs = nn.Sequential(ao.quantization.QuantStub(), nn.ReLU(), ao.quantization.DeQuantStub())
    assert twofold.equal(stubs(x), x.relu())
    with pytest.raises(ArgumentError, match="not quantized"):
        ao.quantization.prepare(stubs)
    with pytest.raises(ArgumentError, match="ONNX"):
        onnx.export(stubs, x, "net.onnx")
    with pytest.raises(ArgumentError):
        _custom_ops.get_ctx()
    assert not onnx.is_in_onnx_export() and not _subclasses.is_fake(x)
    assert isinstance(nn.ReflectionPad2d(1), nn.modules.padding._ReflectionPadNd)
    assert twofold._dynamo.utils.is_compile_supported("cpu")
    flat = _flatten_dense_tensors([x, x[0]])
    parts = _unflatten_dense_tensors(flat, [x, x[0]])
    assert twofold.equal(parts[0], x) and twofold.equal(parts[1], x[0])
    bar = tqdm([1, 2, 3])
    assert list(bar) == [1, 2, 3] and bar.n == 3


def test_a_rule_for_shapes_of_an_operation_in_cpp_is_not_asked():
    def rule(x):
        return x

    assert twofold.library.register_fake("elsewhere::nms")(rule) is rule


def test_symbols_of_a_captured_function_are_found_by_their_class():
    seen = []

    @twofold.compile
    def twice(x):
        seen.append(isinstance(x.shape[0], twofold.SymInt))
        return x * 2

    twice(twofold.ones(3))
    assert seen == [True] and not isinstance(3, twofold.SymInt)


def test_losses_of_ones_own_are_made_as_in_pytorch():
    class Dice(nn.modules.loss._Loss):
        def __init__(self, smooth):
            super().__init__()
            self.smooth = smooth

        def forward(self, x, y):
            return (x * y).sum() + self.smooth

    class Focal(nn.modules.loss._WeightedLoss):
        def __init__(self, weight=None, reduction="mean"):
            super().__init__(weight, reduction=reduction)

        def forward(self, x, y):
            return nn.functional.nll_loss(x, y, self.weight, reduction=self.reduction)

    dice = Dice(1.0)
    assert dice.reduction == "mean" and dice(twofold.ones(2), twofold.ones(2)).item() == 3
    focal = Focal(twofold.tensor([1.0, 3.0]), "sum")
    assert list(focal.state_dict()) == ["weight"]
    assert focal(twofold.ones(2, 2), twofold.tensor([0, 1])).item() == -4
    assert Focal().weight is None
    assert isinstance(nn.NLLLoss(), nn.modules.loss._WeightedLoss)
    assert not isinstance(nn.MSELoss(), nn.modules.loss._WeightedLoss)


def test_whether_a_transform_is_in_force():
    seen = []

    def double(x):
        seen.append(twofold._C._are_functorch_transforms_active())
        return x * 2

    twofold.vmap(double)(twofold.ones(3))
    double(twofold.ones(3))
    assert seen == [True, False]


def test_devices_are_modules_with_questions():
    assert twofold.get_device_module("cpu:0") is twofold.get_device_module() is twofold.cpu
    assert twofold.get_device_module(twofold.device("cpu")).is_available()
    assert twofold.cpu.device_count() == 1 and twofold.cpu.current_device() == "cpu"
    with twofold.cpu.stream(twofold.cpu.current_stream()), twofold.cuda.nvtx.range("step"):
        assert twofold.cuda.nvtx.range_push("part") == twofold.cuda.nvtx.range_pop() == 0
    assert twofold.cuda.memory_snapshot() == [] and twofold.mps.get_rng_state_all() == []
    with pytest.raises(DeviceError, match="no kind 'tpu'"):
        twofold.get_device_module("tpu")


def test_watching_for_nan_is_set_and_asked():
    assert not twofold.is_anomaly_enabled()
    twofold.set_anomaly_enabled(True)
    assert twofold.is_anomaly_enabled()
    twofold.set_anomaly_enabled(False)
    with twofold.autograd.set_multithreading_enabled(False):
        assert not twofold.is_anomaly_enabled()


def test_lists_of_tensors_are_sorted_by_type():
    from twofold.utils._foreach_utils import _group_tensors_by_device_and_dtype as sort

    a, b, c = twofold.ones(2), twofold.ones(3).double(), twofold.ones(1)
    found = sort([[a, b, c], [1, 2, None], []], with_indices=True)
    (lists, places), (others, _) = found[a.device, a.dtype], found[b.device, b.dtype]
    assert places == [0, 2] and lists[0][0] is a and lists[0][1] is c
    assert lists[1:] == [[1, None], []] and others[1] == [2]
    with pytest.raises(ValueError, match="equal lengths"):
        sort([[a, b], [1]])


def test_dictionaries_forget_keys_that_nobody_holds():
    from twofold.utils.weak import WeakIdKeyDictionary

    kept, gone = twofold.ones(2), twofold.ones(2)
    found = WeakIdKeyDictionary({kept: 1, gone: 2})
    assert found[gone] == 2 and len(found) == 2
    del gone
    assert list(found) == [kept] and twofold.ones(2) not in found
    del found[kept]
    assert not found


def test_libraries_put_the_axis_of_lanes_on_and_take_it_off():
    from twofold._C import _functorch as inside

    def per_lane(x):
        assert inside.is_batchedtensor(x) and inside.get_unwrapped(x).shape == (3, 2)
        other = inside._add_batch_dim(y, 1, 1)
        assert other.shape == (2,)
        seen.append(inside._remove_batch_dim(x * other, 1, 3, 1))
        return x

    seen = []
    x, y = twofold.randn(3, 2), twofold.randn(2, 3)
    twofold.vmap(per_lane)(x)
    np.testing.assert_array_equal(seen[0].numpy(), (x.T * y).numpy())
    assert not inside.is_batchedtensor(x) and inside.get_unwrapped(x) is x
    with pytest.raises(ArgumentError, match="no vmap is in force"):
        inside._add_batch_dim(x, 0, 1)


def test_annotations_of_losses_can_be_evaluated_anywhere():
    import typing

    from twofold.utils.data import DataLoader

    assert DataLoader[int] is DataLoader
    loss = nn.CrossEntropyLoss()
    assert "options" in typing.get_type_hints(type(loss), globalns={}, localns={})


def test_sets_of_keys_of_a_dispatcher():
    key = twofold._C.DispatchKey
    keys = twofold._C.DispatchKeySet(key.AutocastCPU) | twofold._C.DispatchKeySet(key.CPU)
    assert keys.has(key.CPU) and not (keys - twofold._C.DispatchKeySet(key.CPU)).has(key.CPU)


def test_blocks_are_decorators_too():
    from twofold.utils import _contextlib

    entered = []

    class Block(_contextlib._NoParamDecoratorContextManager):
        def __enter__(self):
            entered.append(self)

        def __exit__(self, *_):
            pass

    @Block
    def twice(x):
        return 2 * x

    @Block()
    def thrice(x):
        return 3 * x

    assert twice(2) == 4 and thrice(2) == 6 and thrice(1) == 3
    assert len({id(block) for block in entered}) == 3


def test_lists_are_taken_apart_with_places():
    from twofold.utils import _pytree

    pairs, context = _pytree._list_flatten_with_keys([5, 7])
    assert [(key.idx, x) for key, x in pairs] == [(0, 5), (1, 7)] and context is None
    assert _pytree._list_unflatten(*_pytree._list_flatten([5, 7])) == [5, 7]


def test_a_parameter_may_have_the_name_of_a_property_without_a_value_yet():
    class Ball(nn.Module):
        @property
        def k(self):
            return -self.c

        @property
        def size(self):
            return 3

    ball = Ball()
    ball.k = nn.Parameter(twofold.ones(1))
    assert list(dict(ball.named_parameters())) == ["k"]
    with pytest.raises(ArgumentError, match="an attribute size already"):
        ball.size = nn.Parameter(twofold.ones(1))


def test_loaders_of_libraries_pass_over_what_looks_like_one():
    from types import SimpleNamespace

    from twofold.utils.data import dataloader

    class Odd:
        def __iter__(self):
            return iter(range(5))

    kind = dataloader._DatasetKind
    given = {"collate_fn": sum, "drop_last": False, "_auto_collation": True}
    looks = SimpleNamespace(
        dataset=Odd(), _dataset_kind=kind.Iterable, _index_sampler=[[0, 0]] * 9, **given
    )
    made = dataloader._SingleProcessDataLoaderIter(looks)
    assert isinstance(made, dataloader._BaseDataLoaderIter) and list(made) == [1, 5, 4]
    looks.drop_last = True
    assert list(dataloader._SingleProcessDataLoaderIter(looks)) == [1, 5]
    vars(looks).update(dataset=[7, 8, 9], _dataset_kind=kind.Map, _index_sampler=[2, 0])
    vars(looks).update(collate_fn=str, _auto_collation=False)
    assert list(dataloader._SingleProcessDataLoaderIter(looks)) == ["9", "7"]


def test_errors_are_made_anew_from_one_text():
    error = ArgumentError("add", "shapes differ")
    assert "add: shapes differ\nmore" in str(type(error)("add: shapes differ\nmore"))


def test_parameters_whose_constraint_depends_on_others_are_not_checked():
    from twofold import distributions as D

    class Point(D.Distribution):
        arg_constraints = {"v": D.constraints.dependent}  # noqa: RUF012

        def __init__(self, v):
            self.v = v
            super().__init__(v.shape, validate_args=True)

    assert Point(twofold.ones(2)).batch_shape == (2,)
