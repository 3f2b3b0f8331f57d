"""Constructors and conversions, against PyTorch; what shares memory; what is refused."""

import copy
import pickle

import numpy as np
import pytest
from twins import cases, compare_all, torch

import twofold
from twofold.base.errors import ArgumentError

MAKING = """
T.tensor([1, 2])  T.tensor([1., 2.])  T.tensor([[1, 2], [3, 4.5]])  T.tensor([True, False])
T.tensor([True, 2])  T.tensor([True, 2.5])  T.tensor(3)  T.tensor(2.5)  T.tensor(1j)
T.tensor([1, 2j])  T.tensor([])  T.tensor([[]])  T.tensor([[], []])  T.tensor([[1, 2], [3]])
T.tensor('a')  T.tensor(['a'])  T.tensor(None)  T.tensor([None])  T.tensor((1, 2))
T.tensor(((1,), (2,)))  T.tensor(range(3))  T.tensor([1, 2], dtype=T.float64)
T.tensor([1.7, -1.7], dtype=T.int32)  T.tensor([0, 2], dtype=T.bool)  T.tensor(np.float64(2.5))
T.tensor(np.float32(2.5))  T.tensor(np.int32(3))  T.tensor(np.array([1.5]))
T.tensor(np.array([1], np.int16))  T.tensor(np.array([[True]]))  T.tensor([np.float64(1), 2])
T.tensor([np.array([1., 2.]), np.array([3., 4.])])  T.tensor(np.array(2.5))
T.tensor([1, 2], dtype=T.float16)  T.tensor([1.5], dtype=T.bfloat16)  T.tensor(f)
T.tensor([s, s])  T.tensor([s, 2])  T.tensor([T.tensor(1), T.tensor(2.)])
T.tensor([1.], requires_grad=True).requires_grad  T.tensor([1], requires_grad=True)
T.tensor(2**40)  T.tensor(2**70)  T.tensor([300], dtype=T.uint8)  T.tensor([1., 2.], device='cpu')
T.tensor([1.], device='cuda')  T.tensor([1.], device='gpu')  T.tensor(float('nan'))
T.tensor([1e400])  T.tensor([[1, 2.], [True, 3]])  T.tensor(bytearray(b'ab'))  T.as_tensor([1, 2])
T.as_tensor(np.array([1.5]))  T.as_tensor(2)  T.as_tensor([1], dtype=T.float32)
T.as_tensor(f) is f  T.as_tensor(f, dtype=T.float64)  T.asarray([1, 2])  T.asarray(np.zeros(2))
T.from_numpy(np.zeros(3))  T.from_numpy(np.zeros((2, 3), np.int32))  T.from_numpy([1])
T.from_numpy(np.array(['a']))  T.from_numpy(np.array(1.5))  T.from_numpy(np.arange(6)[::2])
T.scalar_tensor(3)  T.scalar_tensor(2, dtype=T.int64)  T.zeros(3)  T.zeros(2, 3)  T.zeros((2, 3))
T.zeros([2])  T.zeros(0)  T.zeros(())  T.zeros(2, dtype=T.int64)  T.zeros(2, dtype=T.bfloat16)
T.zeros(2, requires_grad=True).requires_grad  T.zeros(T.Size([2, 1]))  T.zeros(-1)  T.zeros(2.5)
T.zeros('a')  T.ones(3)  T.ones(2, 3, dtype=T.bool)  T.ones((2,), dtype=T.complex64)
T.full((2, 3), 5)  T.full((2,), 1.5)  T.full((2,), True)  T.full((2,), 5, dtype=T.float64)
T.full([], 3)  T.full((2,), 1j)  T.full((2,), inf)  T.full(3, 1.)  T.empty(2, 3).shape
T.empty((0, 2)).dtype  T.empty(2, dtype=T.int8).dtype  T.empty_like(f).shape  T.zeros_like(f)
T.ones_like(i)  T.full_like(f, 3)  T.full_like(i, 2)  T.zeros_like(f, dtype=T.int64)
T.ones_like(f.half())  T.full_like(i, 2.5)  f.new_zeros(2)  f.new_zeros((2, 3), dtype=T.int32)
i.new_ones(3)  f.new_full((2,), 7)  f.new_empty(2, 2).shape  f.new_tensor([1, 2])
i.new_tensor([1.5])  h.new_zeros(2)  f.new_tensor([1, 2], dtype=T.int64)  i.new_full((2,), 1.5)
T.arange(5)  T.arange(1, 5)  T.arange(1, 10, 2)  T.arange(5.)  T.arange(0, 1, 0.3)
T.arange(5, 1, -1)  T.arange(0)  T.arange(1, 2.5)  T.arange(5, dtype=T.float32)  T.arange(1, 5, 0)
T.arange(5, 1)  T.arange(-3)  T.arange(3, dtype=T.uint8)  T.arange(0, 1, 0.1)  T.arange(end=4)
T.arange(start=1, end=4)  T.arange(0, 5, step=2)  T.arange(n)  T.arange(1., 4., dtype=T.int64)
T.arange(0.5, 3.5)  T.arange(10000000, 10000003, dtype=T.float32)  T.arange(nan)
T.arange(0, 2, 2/3)  T.arange(-1, 1, 0.25)  T.linspace(0, 1, 5)  T.linspace(0, 1, 1)
T.linspace(0, 1, 0)  T.linspace(-3, 7, 11)  T.linspace(0, 10, 4, dtype=T.float64)
T.linspace(0, 10, 5, dtype=T.int64)  T.linspace(1, 1, 3)  T.linspace(0, 1, 7)  T.linspace(5, 1, 4)
T.linspace(0, 1, steps=3)  T.logspace(0, 2, 3)  T.logspace(0, 3, 4, base=2)
T.logspace(-1, 1, 5, dtype=T.float64)  T.eye(3)  T.eye(2, 3)  T.eye(3, 2, dtype=T.int64)  T.eye(0)
T.eye(-1)  T.complex(f, g)  T.complex(f, d)  T.complex(f, i)  T.polar(g, f)  T.complex(d, d)
T.view_as_complex(x[..., :2])  T.view_as_real(z)  T.view_as_complex(f)  T.view_as_real(f)
T.is_tensor(f)  T.is_tensor(3)  T.numel(f)  T.is_floating_point(f)  T.is_complex(z)
T.is_floating_point(i)  f.is_floating_point()  z.is_complex()  f.is_signed()  u.is_signed()
T.get_default_dtype()  T.finfo(T.float32).eps  T.finfo(T.float16).max  T.iinfo(T.int32).max
T.iinfo(T.uint8).min  T.finfo(T.float64).tiny  T.finfo(T.bfloat16).eps  T.finfo(T.float32).bits
T.iinfo(T.int64).bits  T.finfo(T.bfloat16).max  T.finfo(T.float32).min
T.finfo(T.float64).smallest_normal
"""
CONVERTING = """
f.double()  f.half()  f.bfloat16()  f.int()  f.long()  f.short()  f.char()  g.byte()  f.bool()
f.float()  f.float() is f  f.cfloat()  f.cdouble()  i.float()  i.double()  b.int()  b.float()
z.cdouble()  i.bool()  u.char()  o.bool()  z.float()  f.to(T.float64)  f.to(T.float32) is f
f.to('cpu') is f  f.to('cpu')  f.to(dtype=T.int64)  f.to(T.device('cpu'), T.float64)
f.to('cpu', T.int32)  f.to(i)  f.to(d)  f.to(T.float32, copy=True) is f  f.to(copy=True) is f
f.to('cuda')  f.to(T.float64, non_blocking=True)  f.cpu() is f  f.cuda()  f.type(T.float64)
f.type_as(i)  f.type_as(f) is f  f.to(device='cpu') is f  f.device  f.device.type  T.device('cpu')
str(f.device)  T.device('cpu') == f.device  T.device('cpu:0').index  f.is_cuda  T.device('banana')
f.to('cpu:0').device.type  s.item()  n.item()  T.tensor(True).item()  T.tensor([[2.5]]).item()
f.item()  e.item()  bf[0, 0].item()  h[0, 0].item()  T.tensor(1j).item()  type(n.item())
type(s.item())  f.tolist()  i.tolist()  s.tolist()  b.tolist()  e.tolist()  bf.tolist()
z.tolist()  T.zeros(2, 0).tolist()  float(s)  int(s)  int(n)  bool(s)  bool(T.tensor(0))
bool(T.tensor([0]))  bool(T.tensor([]))  bool(f)  complex(s)  float(f)  int(T.tensor(2.7))
[1, 2, 3, 4][n]  [1, 2][s]  range(n)  float(T.tensor([3.5]))  int(T.tensor([[7]]))  float(z[0, 0])
'%d' % n  round(float(s))  len(f)  len(v)  len(s)  len(e)  list(v)  list(f)[1]  list(s)  list(e)
[float(a) for a in v]  sum(v)  max(v)  2 in T.tensor([1, 2])  5 in T.tensor([1, 2])  2. in f
s in f  'a' in f  min(list(v))  sorted(T.tensor([3, 1, 2]))  a, b2 = f[0, :2]; a
dict(enumerate(v))[2]  f.numpy()  f.T.numpy()  i.numpy().dtype  b.numpy().dtype  z.numpy()
h.numpy()  np.asarray(f)  np.array(f)  np.array(f, np.float64)  np.asarray(f, dtype=np.float64)
np.sum(f.numpy())  f.numpy(force=True)  np.array(s)  np.asarray(n)  f.size()  f.size(0)
f.size(-1)  f.size(5)  f.shape  f.shape[0]  f.shape == (3, 4)  f.shape.numel()  f.ndim  f.dim()
f.numel()  f.nelement()  f.ndimension()  len(f.shape)  f.element_size()  d.itemsize  f.nbytes
tuple(f.shape)  f.shape[1:]  f.shape + (2,)  e.numel()  s.dim()  f.is_contiguous()  f.is_leaf
f.requires_grad  f.grad  f.grad_fn  f.layout  f.data  f.data is f  f.detach().requires_grad
f.dtype  f.dtype == T.float32  f.dtype.is_floating_point  i.dtype.is_signed  z.dtype.is_complex
f.dtype.itemsize  T.float32 is T.float  T.long is T.int64  f.clone().dtype  f.is_same_size(g)
f.is_same_size(v)  T.can_cast(T.float32, T.int32)  T.can_cast(T.int32, T.float32)
T.promote_types(T.uint8, T.int8)  T.promote_types(T.float16, T.bfloat16)
T.promote_types(T.int64, T.float16)  T.result_type(i, 2.5)  T.from_dlpack(f)
T.from_dlpack(T.arange(3))
T.utils.dlpack.from_dlpack(f) if T.__name__ == 'torch' else T.from_dlpack(f)
f.__dlpack_device__()[0]
"""
EXCEPT = """
T.tensor([1e400])  T.full(3, 1.)  f.layout  f.shape[1:]  f.shape + (2,)
"""
EXCEPT = set(cases(EXCEPT))
LINES = [line for text in (MAKING, CONVERTING) for line in text.splitlines() if line]


@pytest.mark.parametrize("line", LINES)
def test_values(line):
    compare_all([text for text in cases(line) if text not in EXCEPT])


def test_from_numpy_shares_and_tensor_copies():
    array = np.zeros(3)
    shared, copied, same = (
        twofold.from_numpy(array),
        twofold.tensor(array),
        twofold.as_tensor(array),
    )
    array[0] = 7
    assert shared.tolist() == same.tolist() == [7, 0, 0]
    assert copied.tolist() == [0, 0, 0]
    shared[1] = 5
    assert array.tolist() == [7, 5, 0]
    assert shared.dtype is twofold.float64  # NumPy's types are kept


def test_numpy_shares_until_a_gradient_is_wanted():
    x = twofold.zeros(3)
    x.numpy()[0] = 4
    assert x.tolist() == [4, 0, 0]
    with pytest.raises(RuntimeError, match="requires a gradient"):
        x.requires_grad_().numpy()
    assert x.detach().numpy() is not None


def test_numpy_functions_take_tensors():
    x = twofold.tensor([1.0, 4.0])
    assert np.sqrt(np.asarray(x)).tolist() == [1, 2]
    assert np.array(x, copy=True) is not x.numpy()
    array = np.ones(2)
    array += np.asarray(x)
    assert array.tolist() == [2, 5]


DLPACK = ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool", "complex64"]


@pytest.mark.parametrize("dtype", DLPACK)
def test_dlpack_both_ways(dtype):
    ours = twofold.ones(2, 3, dtype=getattr(twofold, dtype))
    theirs = torch.from_dlpack(ours)
    assert str(theirs.dtype) == f"torch.{dtype}"
    theirs.zero_()
    assert not ours.any()
    back = twofold.from_dlpack(torch.ones(2, 3, dtype=getattr(torch, dtype)))
    assert back.dtype.name == dtype
    assert back.all()


def test_bfloat16_goes_through_dlpack_as_it_is():
    ours = twofold.randn(4, 4).bfloat16()
    for options in ({}, {"max_version": (1, 0)}, {"copy": True}):
        ours.__dlpack__(**options)  # nobody takes it: it is freed
    part = twofold.from_dlpack(ours[::2, 1])
    assert part.dtype is twofold.bfloat16 and part.stride() == (8,)
    part[1] = 3.0
    assert float(ours[2, 1]) == 3.0
    theirs = torch.arange(6).bfloat16().reshape(2, 3)
    assert twofold.from_dlpack(theirs.T).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert torch.from_dlpack(twofold.zeros(0, 3).bfloat16()).shape == (0, 3)
    with pytest.raises(ArgumentError, match="dtype"):
        twofold.from_dlpack(torch.zeros(2, dtype=torch.float8_e4m3fn))


def test_deepcopy_copies_leaves_only():
    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.is_leaf
    y.data[0] = 9
    assert x.tolist() == [1, 2]
    assert y.grad.tolist() == [2, 4] and y.grad is not x.grad
    with pytest.raises(RuntimeError, match="leaf"):
        copy.deepcopy(x * 2)
    assert copy.copy(x).tolist() == [1, 2]


def test_pickling_passes_values_between_processes():
    for x in (twofold.arange(3), twofold.ones(2, requires_grad=True), twofold.zeros(2, 0)):
        y = pickle.loads(pickle.dumps(x))
        assert twofold.equal(x, y) and y.requires_grad == x.requires_grad and y.dtype is x.dtype
    half = twofold.ones(2).bfloat16()
    assert pickle.loads(pickle.dumps(half)).dtype is twofold.bfloat16


def test_hash_is_identity():
    x, y = twofold.ones(2), twofold.ones(2)
    assert {x: 1, y: 2}[x] == 1
    assert x in [x] and hash(x) != hash(y)


def test_strange_arrays():
    big_endian = np.arange(3, dtype=">f4")
    assert twofold.tensor(big_endian).tolist() == [0, 1, 2]
    assert (twofold.as_tensor(big_endian) + 1).tolist() == [1, 2, 3]
    assert (twofold.ones(3) + big_endian).tolist() == [1, 2, 3]
    with pytest.raises(TypeError, match="byte order"):
        twofold.from_numpy(big_endian)
    read_only = np.zeros(3)
    read_only.flags.writeable = False
    x = twofold.from_numpy(read_only)
    assert (x + 1).tolist() == [1, 1, 1]
    with pytest.raises(ValueError):
        x.add_(1)
    misaligned = np.zeros(17, np.uint8)[1:].view(np.float32)
    assert (twofold.from_numpy(misaligned) + 1).tolist() == [1, 1, 1, 1]
    assert twofold.from_numpy(np.arange(6)[::-2]).tolist() == [5, 3, 1]


REFUSALS = [
    ("tensor([[1, 2], [3]])", ValueError, "lists have different lengths"),
    ("tensor('a')", TypeError, "a str is not data"),
    ("tensor([1], device='cuda')", ValueError, "cuda"),
    ("tensor([1], requires_grad=True)", TypeError, "floating"),
    ("from_numpy([1])", TypeError, "not a NumPy array"),
    ("zeros(-1)", ValueError, "zeros"),
    ("arange(1, 5, 0)", ValueError, "steps of 0"),
    ("ones(2).item()", ValueError, "not one number"),
    ("bool(ones(2))", ValueError, "x.any()"),
    ("ones(2).to('banana')", (ValueError, TypeError), "banana"),
]


@pytest.mark.parametrize(("text", "error", "message"), REFUSALS)
def test_refusals(text, error, message):
    with pytest.raises(error) as caught:
        eval(text, {"bool": bool}, vars(twofold) | {"bool": bool})
    assert message in str(caught.value)


def test_functions_of_numpy_give_tensors_and_capsules_are_taken():
    x = twofold.arange(3.0)
    made = np.sin(x)
    assert type(made) is twofold.Tensor and made.dtype is twofold.float32
    assert np.add.reduce(x).item() == 3.0 and (np.greater(x, 1)).dtype is twofold.bool
    assert tuple(np.transpose(twofold.ones(2, 3)).shape) == (3, 2)
    again = twofold.utils.dlpack.from_dlpack(twofold.utils.dlpack.to_dlpack(x))
    again[0] = 5
    assert x[0].item() == 5.0


def test_large_arrays_of_one_number_and_fills_of_them():
    for dtype in (twofold.float32, twofold.float64, twofold.int64, twofold.float16):
        for shape in ((70_000,), (300, 301)):
            made = twofold.full(shape, 2.5 if dtype.is_floating_point else 3, dtype=dtype)
            other = twofold.ones_like(made)
            for _ in range(3):
                other.fill_(2.5 if dtype.is_floating_point else 3)
            np.testing.assert_array_equal(made.numpy(), other.numpy())
            assert made.dtype is dtype and made.shape == shape and made.is_contiguous()
            made[0] += 1
            assert (made.flatten()[-1] == other.flatten()[-1]).item()
    part = twofold.zeros(400, 400)
    part[:, ::2].fill_(1.0)
    part.t()[:3].fill_(7.0)
    assert part.sum().item() == 198 * 400 + 3 * 400 * 7


def test_limits_are_copied_as_they_are():
    for dtype in (twofold.float32, twofold.float64, twofold.float16, twofold.bfloat16):
        limits = twofold.finfo(dtype)
        assert isinstance(limits, twofold.finfo)
        for made in (copy.copy(limits), copy.deepcopy(limits), pickle.loads(pickle.dumps(limits))):
            assert repr(made) == repr(limits) and type(made) is twofold.finfo
            assert made.eps == limits.eps
    assert twofold.finfo().dtype == "float32" and twofold.finfo(twofold.float32).eps == 2.0**-23
    before = twofold.get_default_dtype()
    twofold.set_default_dtype(twofold.float64)
    try:
        assert twofold.finfo().dtype == "float64"
    finally:
        twofold.set_default_dtype(before)
