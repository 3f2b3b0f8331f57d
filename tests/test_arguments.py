"""Calls as PyTorch's programs write them: keywords, orders of arguments, `out=`."""

import numpy as np
import pytest

import twofold
import twofold.fft
import twofold.linalg

torch = pytest.importorskip("torch")

CALLS = """
x.permute(dims=(1, 0))
x.flip(dims=[0])
T.flip(x, dims=(1,))
x.repeat(repeats=(2, 1))
T.tile(x, dims=(2,))
x.view(size=(4, 3))
x.view(4, 3)
x.reshape(shape=(4, 3))
T.reshape(x, shape=(-1,))
x.expand(size=(2, 3, 4))
x.new_zeros(size=(2, 3))
T.zeros(size=(2, 3))
T.ones(size=(2,))
T.cat((x, x), axis=1)
T.stack((x, x), axis=1)
x.split(split_size=2, dim=1)[1]
T.split(x, split_size_or_sections=[1, 2])[1]
x[range(2), range(1, 3)]
x[range(2)]
T.quantile(x, T.tensor([0.2, 0.5]).double(), dim=1, interpolation="lower")
T.quantile(x, 0.4, interpolation="higher")
T.quantile(x, 0.4, dim=0, keepdim=True, interpolation="nearest")
x.quantile(0.4, interpolation="midpoint")
x.index_reduce(0, T.tensor([0, 0]), x[1:], "amax")
T.index_reduce(x, 1, T.tensor([0, 3, 0]), x[:, :3], "mean", include_self=False)
x.clone().index_reduce_(0, T.tensor([2, 0]), x[:2], "prod")
T.index_fill(x, 0, T.tensor([1]), 2.0)
T.lu_solve(x, *T.linalg.lu_factor(x[:, :3]))
T.linalg.lu_solve(*T.linalg.lu_factor(x[:, :3]), x, adjoint=True)
T.linalg.lu_solve(*T.linalg.lu_factor(x[:, :3]), x.T, left=False)
T.linalg.lu_factor(x)[0]
T.linalg.lu_factor(x.T)[0]
T.linalg.lu_factor(x.expand(2, 3, 4))[1]
T.lu_unpack(*T.linalg.lu_factor(x))[0]
T.lu_unpack(*T.linalg.lu_factor(x.T))[1]
T.lu_unpack(*T.linalg.lu_factor(x.expand(2, 3, 4)))[2]
T.nn.MSELoss()(input=x, target=2 * x)
T.nn.CrossEntropyLoss()(x, target=T.tensor([0, 1, 3]))
T.nn.TripletMarginLoss()(anchor=x, positive=2 * x, negative=-x)
""".strip().splitlines()


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's, of what is new or old
@pytest.mark.parametrize("call", CALLS)
def test_a_call_gives_the_same_as_in_pytorch(call):
    values = np.random.default_rng(0).standard_normal((3, 4))
    ours = eval(call, {"T": twofold, "x": twofold.from_numpy(values)})
    theirs = eval(call, {"T": torch, "x": torch.from_numpy(values)})
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-15)


BY_AXIS = """
argsort cummax cummin cumprod cumsum logcumsumexp diff log_softmax softmax mode sort unbind squeeze
unsqueeze index_select(index=j) index_add(index=j,source=x[:2]) index_copy(index=j,source=x[:2])
index_fill(index=j,value=1.0) gather(index=i) scatter(index=i,src=x) scatter_add(index=i,src=x)
scatter_reduce(index=i,src=x,reduce="sum") index_reduce(index=j,source=x[:2],reduce="amax")
select(index=1) narrow(start=1,length=2) chunk(chunks=2) kthvalue(k=1) topk(k=1)
take_along_dim(indices=i) repeat_interleave(repeats=2) renorm(p=2,maxnorm=1.0)
T.unflatten(sizes=(3,1)) T.trapezoid T.cumulative_trapezoid T.gradient T.slice_scatter(src=x)
T.select_scatter(src=x[0],index=1) T.linalg.cross(other=x) T.cross(other=x) T.linalg.vecdot(y=x)
T.fft.fft T.fft.ifft T.fft.rfft T.fft.irfft T.fft.hfft T.fft.ihfft T.fft.fftshift T.fft.ifftshift
T.fft.fftn T.fft.ifftn T.fft.rfftn T.fft.irfftn
kthvalue(k=1,keepdims=True) mode(keepdims=True)
"""


def by_axis(T, call, values):
    """`x.call(axis=0)` and `T.call(x, axis=0)`, or only the latter, as arrays."""
    name, _, rest = call.partition("(")
    made = torch.from_numpy(values) if T is torch else twofold.from_numpy(values)
    scope = {"T": T, "x": made, "i": T.tensor([[0, 1, 2], [2, 1, 0]]), "j": T.tensor([0, 2])}
    axis = "axis=(0,)" if name.endswith("fftn") else "axis=0"
    keywords = ", ".join(word for word in (axis, rest.rstrip(")") + ")" * rest.count("(")) if word)
    calls = [f"{name if name[:2] == 'T.' else 'T.' + name}(x, {keywords})"]
    calls += [] if name[:2] == "T." else [f"x.{name}({keywords})"]
    for each in calls:
        found = eval(each, scope)
        yield [
            one.resolve_conj().numpy()
            for one in ([found] if isinstance(found, T.Tensor) else found)
        ]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("call", BY_AXIS.split())
def test_axis_is_dim_as_in_pytorch(call):
    values = np.random.default_rng(0).standard_normal((3, 3))
    for ours, theirs in zip(*(by_axis(T, call, values) for T in (twofold, torch)), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_swapaxes_and_asarray_take_their_own_names():
    x = twofold.zeros(2, 3)
    assert twofold.swapaxes(x, axis0=0, axis1=1).shape == (3, 2)
    memory = np.arange(3.0)
    for T in (twofold, torch):
        assert T.asarray(obj=[1, 2]).tolist() == [1, 2]
        assert T.asarray(memory, copy=True).numpy().base is not memory
        assert np.may_share_memory(T.asarray(memory, copy=False).numpy(), memory)
        with pytest.raises(ValueError):
            T.asarray(memory, dtype=T.float32, copy=False)
        tracked = T.asarray([1.0], requires_grad=True)
        assert tracked.requires_grad and T.asarray(tracked, copy=True).grad_fn is not None
        assert not T.asarray(tracked, requires_grad=False).requires_grad


WRITTEN = """
T.matmul(x, x.T, out=o)
T.stack((x, x), out=o)
T.max(x, dim=1, out=(o, i))
T.sort(x, descending=True, out=(o, i))
T.topk(x, 2, out=(o, i))
T.cummax(x, 0, out=(o, i))
T.kthvalue(x, 2, out=(o, i))
T.aminmax(x, dim=0, out=(o, p))
T.any(x > 0, dim=1, out=b)
T.all(x > -9, dim=0, out=b)
T.gather(x, 1, T.tensor([[1], [0], [2]]), out=o)
T.logsumexp(x, 1, out=o)
T.amax(x, 1, out=o)
T.std(x, 1, out=o)
T.quantile(x, 0.25, 1, out=o)
T.masked_select(x, x > 0, out=o)
T.nonzero(x > 0, out=i)
T.where(x > 0, x, -x, out=o)
T.take_along_dim(x, x.argsort(1), 1, out=o)
T.clamp_min(x, 0.1, out=o)
T.diff(x, out=o)
T.searchsorted(x.sort(1)[0], x, out=i)
T.linalg.inv(x[:, :3], out=o)
T.linalg.qr(x, out=(o, p))
T.linalg.solve(x[:, :3], x, out=o)
T.linalg.norm(x, out=o)
""".strip().splitlines()


@pytest.mark.parametrize("call", WRITTEN)
def test_out_is_written_and_given_back(call):
    values = np.random.default_rng(0).standard_normal((3, 4))
    made = []
    for T in (twofold, torch):
        x = T.from_numpy(values)
        o, p = T.empty(0, dtype=T.float64), T.empty(0, dtype=T.float64)
        i, b = T.empty(0, dtype=T.int64), T.empty(0, dtype=T.bool)
        given = eval(call, {"T": T, "x": x, "o": o, "p": p, "i": i, "b": b})
        parts = given if isinstance(given, tuple) else (given,)
        assert all(any(part is a for a in (o, p, i, b)) for part in parts)
        made.append([part.numpy() for part in parts])
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_out_of_another_number_or_type_is_refused():
    x = twofold.randn(3, 4)
    with pytest.raises(twofold.TwofoldError, match="out= is not 2 tensors"):
        twofold.sort(x, out=twofold.empty(0))
    with pytest.raises(twofold.TwofoldError, match="does not fit out"):
        twofold.amax(x, 1, out=twofold.empty(0, dtype=twofold.int64))
    with pytest.raises(twofold.TwofoldError, match="does not carry gradients"):
        twofold.stack((x.requires_grad_(), x), out=twofold.empty(0))


def test_random_integers_and_strided_memory_take_requires_grad():
    assert not twofold.randint(5, (2,), requires_grad=False).requires_grad
    made = twofold.randint(0, 5, (2,), dtype=twofold.float32, requires_grad=True)
    assert made.requires_grad and made.is_leaf
    assert twofold.empty_strided((2, 2), (2, 1), requires_grad=True).requires_grad


def test_batches_of_output_gradients():
    x = np.random.default_rng(0).standard_normal(4)
    rows = []
    for T in (twofold, torch):
        point = T.tensor(x, requires_grad=True)
        (found,) = T.autograd.grad(
            point.sin() * point.sum(), point, T.eye(4, dtype=T.float64), is_grads_batched=True
        )
        rows.append(found.numpy())
    np.testing.assert_allclose(*rows, rtol=1e-12)


def test_hooks_after_accumulation_see_the_gradient():
    """An optimizer's step for each parameter inside of backward, as PyTorch's tutorial has it."""
    ends = []
    for T in (twofold, torch):
        w = T.tensor([1.0, 2.0], requires_grad=True)
        opt = T.optim.SGD([w], lr=0.1)

        def step(leaf, opt=opt):
            assert leaf.grad is not None
            opt.step()
            opt.zero_grad()

        handle = w.register_post_accumulate_grad_hook(step)
        for _ in range(3):
            (w * w).sum().backward()
        assert w.grad is None
        handle.remove()
        (w * w).sum().backward()
        ends.append([w.detach().numpy(), w.grad.numpy()])
    np.testing.assert_array_equal(*ends)


class Halving:
    """Mixed into a schedule of each library."""

    def get_lr(self):
        return [base * 0.5**self.last_epoch for base in self.base_lrs]


def test_schedules_and_optimizers_of_the_users_own():
    """A schedule that defines get_lr, and an optimizer that defines step and uses its state."""
    ends = []
    for T in (twofold, torch):

        class Momentum(T.optim.Optimizer):
            def __init__(self, params, lr):
                super().__init__(params, {"lr": lr, "momentum": 0.9})

            def step(self, closure=None):
                for group in self.param_groups:
                    for p in group["params"]:
                        state = self.state[p]
                        if len(state) == 0:
                            state["speed"] = p.grad * 0
                        state["speed"].mul_(group["momentum"]).add_(p.grad)
                        p.data.add_(state["speed"], alpha=-group["lr"])

        class Schedule(Halving, T.optim.lr_scheduler.LRScheduler):
            pass

        w = T.tensor([1.0, 2.0], requires_grad=True)
        opt = Momentum([w], 0.1)
        schedule = Schedule(opt)
        rates = []
        for _ in range(3):
            opt.zero_grad()
            (w * w).sum().backward()
            opt.step()
            schedule.step()
            rates += schedule.get_last_lr()
        loaded = Momentum([w], 0.1)
        loaded.load_state_dict(opt.state_dict())
        ends.append([*w.tolist(), *loaded.state[w]["speed"].tolist(), *rates])
    np.testing.assert_allclose(*ends, rtol=1e-6)


@pytest.mark.parametrize("T", [twofold, torch], ids=["twofold", "torch"])
def test_hooks_around_steps(T):
    seen = []
    w = T.ones(2, requires_grad=True)
    opt = T.optim.SGD([w], lr=1.0)
    before = opt.register_step_pre_hook(lambda o, a, k: seen.append(w.tolist()))
    opt.register_step_post_hook(lambda o, a, k: seen.append(w.tolist()))
    for _ in range(2):
        opt.zero_grad()
        w.sum().backward()
        opt.step()
        before.remove()
    assert seen == [[1.0, 1.0], [0.0, 0.0], [-1.0, -1.0]]


@pytest.mark.parametrize("cast_inputs", ["float32", None])
def test_functions_of_the_users_own_in_autocast(cast_inputs):
    found = []
    for T in (twofold, torch):
        kind = cast_inputs and getattr(T, cast_inputs)

        class Product(T.autograd.Function):
            @staticmethod
            @T.amp.custom_fwd(device_type="cpu", cast_inputs=kind)
            def forward(ctx, x, w):
                ctx.save_for_backward(x, w)
                return x @ w

            @staticmethod
            @T.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                x, w = ctx.saved_tensors
                return g @ w.t(), x.t() @ g

        values = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
        w = T.from_numpy(values.copy()).requires_grad_()
        with T.autocast("cpu", dtype=T.bfloat16):
            made = Product.apply(T.from_numpy(values), w)
        made.float().sum().backward()
        found.append([made.float().detach().numpy(), w.grad.float().numpy(), str(w.grad.dtype)])
    for ours, theirs in zip(*found, strict=True):
        if isinstance(ours, str):
            assert ours.rpartition(".")[2] == theirs.rpartition(".")[2]
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-2)


BY_OTHER_NAMES = """
T.det(input=q) T.det(q)
T.inverse(input=q) T.inverse(q)
T.matrix_power(input=q,n=2) q@q
T.slogdet(input=q)[1] T.slogdet(q)[1]
T.mvlgamma(input=p,p=1) T.mvlgamma(p,1)
T.cholesky_solve(input=q,input2=T.eye(3)) q
T.gather(q,0,i,sparse_grad=False) T.gather(q,0,i)
T.from_dlpack(ext_tensor=q) q
T.frombuffer(bytearray(8),dtype=T.float32,requires_grad=True) T.zeros(2)
T.heaviside(q,values=q) T.heaviside(q,q)
T.logspace(0,1,3,requires_grad=True) T.logspace(0,1,3)
T.randint(high=1,size=(2,)) T.zeros(2,dtype=T.int64)
T.randint_like(q,high=1,layout=T.strided,memory_format=T.preserve_format) T.zeros(3,3)
T.rand_like(q,layout=T.strided,memory_format=T.preserve_format)*0 T.zeros(3,3)
T.randn_like(q,pin_memory=False)*0 T.zeros(3,3)
T.randperm(1,requires_grad=False) T.zeros(1,dtype=T.int64)
T.tensor_split(p,indices=(1,))[1] p[1:]
p.tensor_split(sections=2)[0] p[:1]
q.hsplit(sections=3)[1] q[:,1:2]
T.unsafe_split(p,split_size=1)[1] p[1:]
T.zeros(2,2).fill_diagonal_(fill_value=1.0) T.eye(2)
T.zeros(5,2).fill_diagonal_(1.0,wrap=True) T.cat([T.eye(2),T.zeros(1,2),T.eye(2)])
q.type(T.float64,non_blocking=True) q.double()
q.new_full((2,),1.0,requires_grad=True) T.ones(2)
T.hann_window(4,layout=T.strided,pin_memory=False) T.hann_window(4)
T.linalg.svd(q,driver=None)[1] T.linalg.svdvals(q)
q.to_sparse(sparse_dim=1).to_dense() q
""".strip().splitlines()


@pytest.mark.parametrize("line", BY_OTHER_NAMES)
def test_arguments_have_pytorchs_names(line):
    q = twofold.tensor([[4.0, 1, 0], [1, 3, 0.5], [0, 0.5, 2]])
    names = {"T": twofold, "q": q, "p": twofold.tensor([1.5, 2.5])}
    names["i"] = twofold.zeros(3, 3, dtype=twofold.int64)
    got, want = (eval(part, names) for part in line.rsplit(" ", 1))
    assert got.dtype == want.dtype and got.detach().equal(want.detach())


def test_names_of_files_states_and_types(tmp_path):
    path = tmp_path / "x"
    twofold.save(obj=twofold.ones(2), f=path)
    assert twofold.load(f=path).tolist() == [1, 1]
    twofold.set_rng_state(new_state=twofold.get_rng_state())
    assert twofold.promote_types(type1=twofold.int32, type2=twofold.float16) == twofold.float16
