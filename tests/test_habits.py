"""Lines that PyTorch programs are full of run here, and mean what they mean there."""

import inspect
import warnings

import numpy as np
import pytest
from twins import torch

import twofold
from twofold.base.errors import ArgumentError, DeviceError, DTypeError

# Each line gives the same as PyTorch's on a machine without a GPU.
SAME = """
T.device("cpu").type
str((T.device("cuda").type, T.device("cuda:1").index, T.device("mps").type))
str(T.device("cuda:1"))
T.device("cpu") == T.device("cuda"), T.ones(2).device == T.device("cpu"), T.device("cuda") == "cpu"
T.ones(2).to("cpu").device.type
T.ones(2).get_device()
T.ones(2).pin_memory is not None
T.ones(2).is_cuda
T.ones(2).is_cpu
T.ones(2).is_sparse
T.ones(2).element_size()
T.ones(2).is_pinned()
T.ones(2).type()
T.ones(2, dtype=T.int64).type()
T.ones(2).type(T.LongTensor).dtype.itemsize
T.ones(2).type("torch.DoubleTensor").type()
T.FloatTensor([1, 2]).tolist()
tuple(T.Tensor(T.ones(2, 3).size()).shape)
tuple(T.Tensor(T.ones(2, 3).shape[:1]).shape)
T.Tensor(T.Size([])).dim(), T.Tensor([2, 3]).dim()
T.ones(2, 3, 4).shape[1:].numel(), T.ones(2, 3).shape[0]
(T.ones(2, 3).shape + (4,)).numel(), ((1,) + T.ones(2, 3).shape).numel(), (2 * T.Size([3])).numel()
isinstance(T.ones(2, 3).size()[:-1], T.Size), isinstance(T.ones(2, 3).shape + T.Size([1]), T.Size)
T.Size([]).numel(), T.ones(()).shape.numel()
T.arange(3)[T.ByteTensor([1, 0, 1])].tolist()
T.eye(3)[:, T.ByteTensor([1, 0, 1])].tolist()
T.arange(2)[T.tensor(1, dtype=T.uint8)].tolist()
T.zeros(3).index_put_((T.tensor([0]),), T.ones(1)).tolist()
T.where(T.ByteTensor([1, 0]), T.ones(2), T.zeros(2)).tolist()
isinstance(T.nn.Linear(1, 1), T.jit.ScriptModule)
T.FloatTensor(2, 3).shape[1]
T.LongTensor([1, 2]).tolist()
T.BoolTensor([True]).tolist()
T.ByteTensor([7]).dtype.itemsize
T.LongTensor().shape[0]
isinstance(T.ones(2), T.FloatTensor)
isinstance(T.ones(2), T.LongTensor)
len((T.LongTensor | None).__args__), len((int | T.BoolTensor | T.FloatTensor).__args__)
T.ones(3).new([1, 2]).tolist()
T.ones(3, dtype=T.int32).new(2).dtype.itemsize
T.ones(3).untyped_storage().nbytes()
T.ones(2, layout=T.strided, pin_memory=False).tolist()
T.ones(1, 2, 2, 2).to(memory_format=T.channels_last).tolist()
T.ones(2).clone(memory_format=T.preserve_format).tolist()
T.zeros_like(T.ones(2), memory_format=T.legacy_contiguous_format).tolist()
T.cuda.is_available()
T.cuda.device_count()
T.cuda.is_initialized()
T.cuda.is_bf16_supported() if T.cuda.is_available() else None
T.cuda.manual_seed(0)
T.cuda.manual_seed_all(0)
T.cuda.empty_cache()
T.cuda.memory_allocated()
T.cuda.max_memory_allocated()
T.backends.mps.is_available()
T.backends.cudnn.is_available()
T.backends.cudnn.version()
T.backends.cuda.is_built()
T.xpu.is_available()
T.accelerator.is_available()
T.accelerator.device_count()
T.is_autocast_enabled()
T.set_default_device("cpu")
T.get_default_device().type
T.set_default_tensor_type(T.FloatTensor)
T.get_num_interop_threads() > 0
T.pi, T.e, T.inf
T.newaxis
T.set_float32_matmul_precision("highest")
T.get_float32_matmul_precision()
T.use_deterministic_algorithms(False)
T.are_deterministic_algorithms_enabled()
T.get_deterministic_debug_mode()
T.typename(T.ones(2))
T.is_storage(3)
T.compiler.is_compiling()
T.jit.is_scripting()
T.version.cuda
T.autograd.Variable(T.ones(2), requires_grad=True).requires_grad
isinstance(T.ones(2), T.autograd.Variable)
len(T.utils.data.TensorDataset(T.ones(3)))
T.utils.checkpoint.checkpoint_sequential([T.sin, T.cos], 2, T.zeros(2), use_reentrant=False)
T.utils.dlpack.from_dlpack(T.ones(2)).tolist()
T.ones(2).add_(0.5, T.ones(2) * 3), T.add(T.ones(2), -1, T.ones(2)), T.ones(2).sub(2, T.ones(2))
T.ones(2).addcmul_(0.5, T.ones(2) * 3, T.ones(2)), T.addcdiv(T.ones(2), -0.5, T.ones(2), T.ones(2))
T.detach(T.ones(2, requires_grad=True)).requires_grad, T.cuda._initialized
len(T.utils.checkpoint.get_device_states(T.ones(2)))
T.utils._pytree.tree_leaves({"a": [T.ones(1).item(), (2, 3)]})
T.testing.assert_close(T.ones(2), T.ones(2) + 1e-7)
T.nn.parameter.Parameter(T.ones(2)).requires_grad
T.autocast("cpu", enabled=False).__enter__() is None
T.amp.GradScaler("cpu", enabled=False).get_scale()
""".strip().splitlines()


def plain(value):
    return value.tolist() if hasattr(value, "tolist") else value


@pytest.mark.parametrize("line", SAME)
def test_lines_mean_what_they_mean_in_pytorch(line):
    found = plain(eval(line, {"T": twofold}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = plain(eval(line, {"T": torch}))
        torch.set_default_device(None)  # with one, PyTorch's l1_loss forgets its weights
    if line.startswith("T.autocast"):
        assert found == (wanted is not None) or found == wanted
    elif isinstance(wanted, list | tuple):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    else:
        assert found == wanted


MODULES = (
    "accelerators amp autograd backends.cuda backends.cudnn compiler cuda cuda.amp jit "
    "nn.functional nn.parameter nn.utils.rnn optim.lr_scheduler random testing utils.checkpoint "
    "utils.data utils.data.dataloader utils.data.dataset utils.data.sampler utils.dlpack version"
)


@pytest.mark.parametrize("name", MODULES.split())
def test_modules_are_imported_by_the_names_that_programs_use(name):
    made = __import__(f"twofold.{name}")
    for part in name.split("."):
        made = getattr(made, part)
    assert made.__name__ == f"twofold.{name}"


def test_switches_of_libraries_can_be_set():
    cudnn = twofold.backends.cudnn
    cudnn.benchmark = True
    assert cudnn.benchmark
    with cudnn.flags(benchmark=False, deterministic=False):
        assert not cudnn.benchmark
    assert cudnn.benchmark
    cudnn.benchmark = False
    twofold.backends.cuda.matmul.allow_tf32 = True
    assert twofold.backends.cuda.matmul.allow_tf32
    with twofold.backends.cuda.sdp_kernel(enable_flash=False):
        assert not twofold.backends.cuda.flash_sdp_enabled()
    assert twofold.backends.cuda.flash_sdp_enabled()


NEEDS_A_DEVICE = """
twofold.device("cuda").__enter__()
twofold.zeros(2, device=twofold.device("mps:0"))
twofold.ones(2).to(twofold.device("cuda"))
twofold.ones(2).cuda()
twofold.ones(2).to("cuda:0")
twofold.ones(2, device="cuda")
twofold.nn.Linear(2, 2).cuda()
twofold.cuda.synchronize()
twofold.cuda.get_device_name(0)
twofold.cuda.Stream()
twofold.cuda.FloatTensor([1])
twofold.accelerator.synchronize()
twofold.set_default_device("cuda")
twofold.cuda.set_rng_state_all([1])
""".strip().splitlines()


@pytest.mark.parametrize("line", NEEDS_A_DEVICE)
def test_what_needs_a_device_says_what_to_write_instead(line):
    with pytest.raises(DeviceError) as error:
        eval(line)
    assert "is_available()" in str(error.value)
    assert "at " in str(error.value)


def test_a_name_that_cuda_lacks_is_an_attribute_error():
    assert not hasattr(twofold.cuda, "no_such_name")
    with pytest.raises(AttributeError, match="is_available"):
        twofold.cuda.is_availabel  # noqa: B018


def test_old_constructors_refuse_what_they_do_not_know():
    with pytest.raises(DTypeError, match="no type of tensors"):
        twofold.ones(2).type("torch.WordTensor")
    with pytest.raises(DTypeError):
        twofold.set_default_tensor_type("torch.LongTensor")


def test_fork_rng_gives_the_stream_back():
    twofold.manual_seed(3)
    wanted = twofold.rand(4).tolist()
    twofold.manual_seed(3)
    with twofold.random.fork_rng():
        twofold.rand(10)
        twofold.manual_seed(9)
    assert twofold.rand(4).tolist() == wanted
    twofold.manual_seed(3)
    with twofold.random.fork_rng(enabled=False):
        twofold.rand(10)
    assert twofold.rand(4).tolist() != wanted


def test_storage_tells_who_shares_memory():
    x = twofold.ones(4, 4)
    assert x[1:].untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert x.clone().untyped_storage().data_ptr() != x.untyped_storage().data_ptr()
    assert x[1:].untyped_storage().nbytes() == 64


# ---- autocast ------------------------------------------------------------------------------------


def test_autocast_narrows_products_and_widens_losses():
    layer, x = twofold.nn.Linear(8, 4), twofold.randn(3, 8)
    with twofold.autocast("cpu"):
        assert twofold.is_autocast_enabled()
        assert twofold.get_autocast_dtype("cpu") is twofold.bfloat16
        y = layer(x)
        assert y.dtype is twofold.bfloat16
        assert (x + 1).dtype is twofold.float32
        assert (x @ x.T).dtype is twofold.bfloat16
        assert (x.double() @ x.double().T).dtype is twofold.float64
        loss = twofold.nn.functional.cross_entropy(y, twofold.tensor([0, 1, 2]))
        assert loss.dtype is twofold.float32
        with twofold.autocast("cpu", enabled=False):
            assert layer(x).dtype is twofold.float32
            assert not twofold.is_autocast_enabled()
        assert layer(x).dtype is twofold.bfloat16
    assert layer(x).dtype is twofold.float32
    loss.backward()
    assert layer.weight.grad.dtype is twofold.float32
    narrow = x.bfloat16() @ layer.weight.bfloat16().T + 0
    assert twofold.allclose(y.float(), (narrow.float() + layer.bias), atol=0.05)


def test_autocast_agrees_with_pytorch_in_kind_and_nearly_in_value():
    weights = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    values = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)

    def step(T):
        w = T.tensor(weights, requires_grad=True)
        with T.autocast("cpu", dtype=T.bfloat16):
            y = T.nn.functional.linear(T.tensor(values), w)
        y.float().sum().backward()
        return str(y.dtype).split(".")[1], y.float().detach().numpy(), w.grad.numpy()

    found, wanted = step(twofold), step(torch)
    assert found[0] == wanted[0]
    np.testing.assert_allclose(found[1], wanted[1], rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(found[2], wanted[2], rtol=1e-2, atol=1e-2)


def test_autocast_in_a_compiled_function_and_around_it():
    x, w = twofold.randn(4, 8), twofold.randn(8, 2)

    def inside(x, w):
        with twofold.autocast("cpu"):
            return x @ w

    wanted = inside(x, w)
    compiled = twofold.compile(inside)(x, w)
    assert compiled.dtype is twofold.bfloat16
    assert compiled.tolist() == wanted.tolist()
    with twofold.autocast("cpu"):
        around = twofold.compile(lambda x, w: x @ w)(x, w)
    assert around.tolist() == wanted.tolist()


def test_autocast_as_a_decorator_and_under_vmap():
    x, w = twofold.randn(4, 8), twofold.randn(8, 2)
    product = twofold.autocast("cpu")(lambda x: x @ w)
    assert product(x).dtype is twofold.bfloat16
    each = twofold.vmap(product)(x)
    assert each.dtype is twofold.bfloat16
    assert twofold.allclose(each.float(), product(x).float(), atol=0.1)
    with twofold.autocast("cpu"):
        assert twofold.vmap(lambda v: v @ w)(x).dtype is twofold.bfloat16


def test_random_numbers_in_autocast_are_those_outside():
    twofold.manual_seed(0)
    wanted = twofold.rand(3).tolist()
    twofold.manual_seed(0)
    with twofold.autocast("cpu"):
        assert twofold.rand(3).tolist() == wanted


def test_autocast_refuses_and_warns():
    with pytest.raises(DTypeError, match="no narrower type"):
        twofold.autocast("cpu", dtype=twofold.float64)
    with pytest.raises(DeviceError, match="no device 'tpux'"):
        twofold.autocast("tpux")
    with pytest.warns(UserWarning, match="no cuda device"), twofold.cuda.amp.autocast():
        assert (twofold.ones(2, 2) @ twofold.ones(2, 2)).dtype is twofold.float32
    with twofold.autocast("cuda", enabled=False):
        assert not twofold.is_autocast_enabled()


def test_grad_scaler_trains_as_without_it_and_skips_what_is_not_finite():
    def train(scaler):
        w = twofold.nn.Parameter(twofold.tensor([1.0, -2.0]))
        sgd = twofold.optim.SGD([w], lr=0.25)
        for _ in range(4):
            sgd.zero_grad()
            loss = (w * w).sum()
            if scaler is None:
                loss.backward()
                sgd.step()
            else:
                scaler.scale(loss).backward()
                scaler.step(sgd)
                scaler.update()
        return w.tolist()

    scaler = twofold.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2)
    assert train(scaler) == train(None)
    assert scaler.get_scale() == 32.0
    w = twofold.nn.Parameter(twofold.tensor([1.0]))
    sgd = twofold.optim.SGD([w], lr=1.0)
    w.grad = twofold.tensor([float("inf")])
    assert scaler.step(sgd) is None
    assert w.item() == 1.0
    scaler.update()
    assert scaler.get_scale() == 16.0
    other = twofold.amp.GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert other.get_scale() == 16.0


def test_grad_scaler_refuses_what_it_cannot_mean():
    with pytest.raises(ArgumentError, match="grow"):
        twofold.amp.GradScaler("cpu", growth_factor=0.5)
    with pytest.warns(UserWarning, match="it is off"):
        off = twofold.cuda.amp.GradScaler()
    loss = twofold.ones(1)
    assert off.scale(loss) is loss
    on = twofold.amp.GradScaler("cpu")
    w = twofold.nn.Parameter(twofold.ones(1))
    w.grad = twofold.ones(1)
    sgd = twofold.optim.SGD([w], lr=1.0)
    on.unscale_(sgd)
    with pytest.raises(ArgumentError, match="already"):
        on.unscale_(sgd)


# ---- testing -------------------------------------------------------------------------------------


def test_assert_close_says_what_differs():
    close = twofold.testing.assert_close
    close({"a": [1.0, twofold.ones(2)]}, {"a": [1.0, twofold.ones(2)]})
    with pytest.raises(AssertionError, match=r"(?s)1 / 2 \(50.0%\).*item \['a'\]\[1\]"):
        close({"a": [1, twofold.ones(2)]}, {"a": [1, twofold.tensor([1.0, 2.0])]})
    with pytest.raises(AssertionError, match="'dtype'"):
        close(twofold.ones(2), twofold.ones(2, dtype=twofold.float64))
    with pytest.raises(AssertionError, match="'shape'"):
        close(twofold.ones(2), twofold.ones(3))
    with pytest.raises(AssertionError):
        close(float("nan"), float("nan"))
    close(float("nan"), float("nan"), equal_nan=True)
    close(2**60, 2**60)
    with pytest.raises(AssertionError):
        close(2**60, 2**60 + 1)
    with pytest.raises(ArgumentError):
        close(1.0, 1.0, rtol=1.0)


# ---- out= ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "T.zeros(2, out=o)",
        "T.ones(2, out=o)",
        "T.full((2,), 3.0, out=o)",
        "T.arange(2, out=o)",
        "T.linspace(0, 1, 2, out=o)",
        "T.eye(2, out=o)",
    ],
)
def test_constructors_write_into_out(line):
    found, wanted = twofold.full((2,), 7.0), torch.full((2,), 7.0)
    if "eye" in line:
        found, wanted = twofold.full((2, 2), 7.0), torch.full((2, 2), 7.0)
    memory = found.data_ptr()
    assert eval(line, {"T": twofold, "o": found}) is found
    eval(line, {"T": torch, "o": wanted})
    assert found.tolist() == wanted.tolist()
    assert found.data_ptr() == memory


@pytest.mark.parametrize(
    "line",
    [
        "T.tril(x, out=o)",
        "T.triu(x, 1, out=o)",
        "T.cumsum(x, 0, out=o)",
        "T.cumprod(x, 1, out=o)",
        "T.index_select(x, 0, T.tensor([1, 0]), out=o)",
    ],
)
def test_functions_write_into_out(line):
    values = [[1.0, 2.0], [3.0, 4.0]]
    found, wanted = twofold.zeros(2, 2), torch.zeros(2, 2)
    if "out" not in str(inspect.signature(getattr(twofold, line[2:].partition("(")[0]))):
        pytest.fail("the function takes no out=")
    assert eval(line, {"T": twofold, "o": found, "x": twofold.tensor(values)}) is found
    eval(line, {"T": torch, "o": wanted, "x": torch.tensor(values)})
    assert found.tolist() == wanted.tolist()


@pytest.mark.parametrize(
    "pair",
    [
        "T.tensor([1.0, 2.0]), T.tensor([1.0, 2.1])",
        "T.ones(2), T.ones(3)",
        "T.ones(2), T.ones(2, dtype=T.float64)",
        "1, 2",
        "1.5, 2.5",
        "[1, T.ones(1)], [1, T.zeros(1)]",
        "{'a': 1}, {'b': 1}",
        "[1, 2], [1]",
        "T.tensor([1, 2]), T.tensor([1, 3])",
        "T.tensor([[1.0, 5.0]]), T.tensor([[1.0, 0.0]])",
        "T.tensor([True]), T.tensor([False])",
        "T.tensor(float('nan')), T.tensor(float('nan'))",
    ],
)
def test_assert_close_says_what_pytorch_says(pair):
    texts = []
    for T in (twofold, torch):
        with pytest.raises(AssertionError) as told:
            T.testing.assert_close(*eval(pair, {"T": T}))
        texts.append(str(told.value).strip().replace("twofold.", "torch."))
    assert texts[0] == texts[1]
    twofold.testing.assert_close(None, None)


def test_compile_s_and_the_compiler_s_switches():
    def f(x):
        return x + 1

    assert twofold.compile(f, disable=True) is f and twofold.compile(disable=True)(f) is f
    with twofold.compiler.set_stance("force_eager"):
        assert "inductor" in twofold._dynamo.list_backends()
    assert twofold.compiler.set_stance("default")(f) is f
