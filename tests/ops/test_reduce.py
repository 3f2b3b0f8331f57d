"""Reductions: values, places, overloads, gradients, refusals, against PyTorch; their order."""

import numpy as np
import pytest
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold.ops.order import reduce_in_order

NAMES = cases("""
sum  mean  prod  amax  amin  var  std  any  all  nansum  nanmean  logsumexp  norm  count_nonzero
""")
WAYS = cases("""
1  0  -1  (0, 1)  dim=1  dim=(0,)  dim=[0, 1]  5  (0, 0)  0.5  'a'  1, keepdim=True
dim=(0, 1), keepdim=True  axis=1  0, True  None  ()
""")
DTYPES = cases("f  d  i  u  b  h  bf  o  e  s  z")
MORE = """
f.sum(dtype=T.float64)  i.sum(dtype=T.float32)  i.sum(0, dtype=T.int32)  b.sum()  u.sum(0)
T.sum(f)  T.sum(f, 1, True)  f.sum(1, keepdims=True)  f.mean(dtype=T.float64)  i.mean()
i.mean(dtype=T.float32)  i.float().mean(())  T.mean(f, (0, 1))  x.sum((0, 2))
x.mean((1, 2), True)  x.amax((0, 1))  x.var((0, 2))  x.prod(1)  i.prod()  i.prod(0)
k.prod(1, dtype=T.float64)  T.prod(f, dtype=T.float64)  (f * 0).prod()  f.max()  f.max(1)
f.max(0, True)  f.max(dim=1, keepdim=True)  f.max(g)  T.max(f)  T.max(f, 1)  T.max(f, g)
T.max(f, dim=0)  i.max()  b.max()  b.max(0)  u.min(1)  f.min()  T.min(f, 0)  f.min(g)  o.max(1)
o.min()  f.max(1).values  f.max(1).indices  f.max(1)[0]  e.max()  e.max(0)  e.max(1)  s.max()
s.max(0)  e.amax(0)  e.amax()  e.amax(1)  e.argmax()  e.argmax(0)  e.argmax(1)  f.argmax()
f.argmax(1)  f.argmax(0, True)  f.argmax(keepdim=True)  f.argmin(-1)  i.argmax(1)  b.argmax()
o.argmax(1)  o.argmin(1)  s.argmax()  s.argmax(0)  T.argmax(f, dim=1)  T.argmin(i)
f.argmax((0, 1))  z.amax()  z.sum()  z.mean(0)  z.prod()  z.prod(0)  z.var()  z.std(1)  z.norm()
z.any()  z.max()  f.var(unbiased=False)  f.var(0, False)  f.var(0, True, True)
f.var(correction=0)  f.var(1, correction=2)  f.std(False)  f.std(1, unbiased=True)
f.var(dim=(0, 1), correction=0, keepdim=True)  T.var(f, 1)  T.std(f, dim=0)  s.var()  s.std()
v[:1].var()  v[:1].std(correction=0)  i.var()  e.var()  e.std(0)  T.var_mean(f)  T.var_mean(f, 1)
T.var_mean(f, 0, keepdim=True)  T.var_mean(f, unbiased=False)  T.std_mean(f, (0, 1))
T.std_mean(f, 1, correction=0)  f.median()  f.median(1)  f.median(0, True)  o.median()
o.median(1)  i.median()  i.median(0)  s.median()  s.median(0)  v.median()  e.median()
f.nanmedian()  o.nanmedian()  o.nanmedian(1)  T.median(f, dim=1, keepdim=True)  x.median(1)
e.median(0)  f.quantile(0.3)  f.quantile(0.5, 1)  T.quantile(f, T.tensor([0.1, 0.9]))
T.quantile(f, T.tensor([0.1, 0.9]), dim=1)  f.quantile(0.5, dim=0, keepdim=True)
T.quantile(f, T.tensor([0.0, 1.0]), dim=0, keepdim=True)  f.quantile(1.5)  o.quantile(0.5, 1)
T.quantile(v, 0.25, keepdim=True)  f.norm()  f.norm(1)  f.norm(2, 1)  f.norm(inf)  f.norm(-inf)
f.norm(0)  f.norm(3)  f.norm(-1)  f.norm(0.5)  f.norm('fro')  f.norm(p=2, dim=(0, 1))
f.norm(2, 1, True)  f.norm(dim=0, p=1)  T.norm(f)  T.norm(f, 'fro', 1)  T.norm(f, dtype=T.float64)
i.norm()  f.norm('nuc')  (f * 0).norm()  f.norm(p=inf, dim=1)  e.norm()  e.norm(1, 0)  e.norm(inf)
x.norm(dim=(0, 2))  (f * 0).norm(1)  (f * 0).norm(3)  (f * 0).std()  T.tensor([1., 1., 1.]).std()
T.logsumexp(f, 1)  T.logsumexp(f, (0, 1))  T.logsumexp(x, (0, 2))  T.logsumexp(x, (0, 2), True)
f.logsumexp(dim=0, keepdim=True)  T.logsumexp(i, 1)  o[:, 1:3].logsumexp(1)  T.logsumexp(e, 0)
T.logsumexp(f * 1000, 1)  T.logsumexp(T.tensor([-inf, -inf]), 0)
T.logsumexp(T.tensor([inf, 1.]), 0)  T.logsumexp(f)  T.aminmax(f)  T.aminmax(f, dim=1)
T.aminmax(f, dim=0, keepdim=True)  f.aminmax().max  T.aminmax(f, dim=1).min  T.count_nonzero(f)
T.count_nonzero(i, dim=1)  T.count_nonzero(b, (0, 1))  T.any(f)  T.all(f, 1)  f.any(0)
b.all(1, keepdim=True)  e.any()  e.all()  e.any(0)  i.any((0, 1))  T.nansum(o)  o.nansum(1)
o.nanmean(0)  T.nansum(i)  T.nanmean(o, dim=1, keepdim=True)  o.nansum(dtype=T.float64)
i.nanmean()  f.cumsum(0)  f.cumsum(1)  i.cumsum(1)  b.cumsum(0)  f.cumsum(1, dtype=T.float64)
f.cumprod(0)  i.cumprod(1)  T.cumsum(f, dim=-1)  s.cumsum(0)  e.cumsum(0)  f.cumsum(2)
f.cummax(1)  f.cummin(0)  T.cummax(f, dim=1)  o.cummax(1)  T.logcumsumexp(f, 1)  f.diff()
f.diff(dim=0)  T.diff(f, n=2)  T.trace(q)  q.trace()  f.trace()  f.sort()  f.sort(0)
f.sort(1, True)  f.sort(descending=True)  f.argsort()  f.argsort(0, descending=True)  f.topk(2)
f.topk(2, 0)  f.topk(1, 1, False)  f.topk(9)  v.kthvalue(2)  v.kthvalue(9)  f.kthvalue(2, 1, True)
T.sort(i.flatten().unique())  T.unique(i)  T.unique(i, return_counts=True)
T.unique(i, return_inverse=True)  T.bincount(k.flatten())  T.searchsorted(r, k)
T.bucketize(f, v.sort()[0])  r.flip(0).sort()
"""
# Where PyTorch refuses or gives something else, and what is so here.
EXCEPT = """
T.any(u, 0)  T.all(u, 0)  u.any(0)  u.all(0)  bytes count as bool  f.any(())  f.all(())
f.logsumexp(())  f.logsumexp(None)  no axes mean all of them  f.prod(())  f.prod(None)
f.prod((0, 1))  f.prod(dim=(0,))  several axes are taken  f.prod(dim=[0, 1])
f.prod(dim=(0, 1), keepdim=True)  f.argmax((0, 1))  T.nansum(z, 0)  z.nansum(0)  T.nanmean(z, 0)
z.nanmean(0)  complex numbers are taken  f.count_nonzero(0, True)  f.norm(axis=1)
True is no axis; axis is taken  f.norm('nuc')  o.quantile(0.5, 1)  not here; no gradient at NaN
"""
EXCEPT = set(cases(EXCEPT))
LINES = [line for line in MORE.splitlines() if line]


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    texts = [f"f.{name}()", *(f"f.{name}({way})" for way in WAYS)]
    texts += [f"T.{name}({x}, 0)" for x in DTYPES] + [f"{x}.{name}(0)" for x in DTYPES]
    compare_all([text for text in texts if text not in EXCEPT])


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_names(name):
    ways = ["", "1", "(0, 1)", "0, keepdim=True", "-1"]
    tensors = ["f", "d", "x", "f * 0", "g.round()", "s"]
    compare_all_gradients([f"({x}).{name}({way})" for x in tensors for way in ways])


@pytest.mark.parametrize("line", LINES)
def test_values(line):
    compare_all([text for text in cases(line) if text not in EXCEPT])


@pytest.mark.parametrize("line", LINES)
def test_gradients(line):
    compare_all_gradients([text for text in cases(line) if text not in EXCEPT])


@pytest.mark.parametrize("size", [0, 1, 5, 31, 33, 100, 4095, 4096, 4097, 12289])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_in_the_order_of_the_contract(size, dtype):
    random = np.random.default_rng(size)
    x = (random.normal(size=(3, size)) * 10.0 ** random.integers(-6, 6, (3, size))).astype(dtype)
    wanted = reduce_in_order(x, (1,), False, np.add, 0)
    for array in (x, np.asfortranarray(x), np.repeat(x, 2, 1)[:, ::2]):
        np.testing.assert_array_equal(twofold.from_numpy(array).sum(1).numpy(), wanted)
    np.testing.assert_array_equal(twofold.from_numpy(x[1]).sum().numpy(), wanted[1])
    np.testing.assert_array_equal(twofold.from_numpy(x.T.copy()).sum(0).numpy(), wanted)
    products = reduce_in_order(np.abs(x) ** 0.01, (1,), False, np.multiply, 1)
    made = twofold.from_numpy(np.abs(x) ** 0.01).prod(1).numpy()
    np.testing.assert_array_equal(made, products)


def test_a_short_sum_written_out():
    x = np.arange(1, 36, dtype=np.float32) / 7
    lanes = np.zeros(32, np.float32)
    for i, value in enumerate(x):
        lanes[i % 32] += value
    t = [(lanes[e] + lanes[e + 8]) + (lanes[e + 16] + lanes[e + 24]) for e in range(8)]
    u = [t[e] + t[e + 4] for e in range(4)]
    total = (u[0] + u[2]) + (u[1] + u[3])
    assert twofold.from_numpy(x).sum().item() == total


def test_truth_of_bytes_stays_bytes():
    x = twofold.tensor([0, 5], dtype=twofold.uint8)
    for _ in range(3):  # the first call, and remembered ones
        for made in (x.any(), twofold.all(x, 0), x.any(dim=0, keepdim=True)):
            assert made.dtype is twofold.uint8 and made.max().item() in (0, 1)
        assert (x > 0).any().dtype is twofold.bool
