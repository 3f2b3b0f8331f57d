"""Calls at the edges of what operations take: zeros, no axes, doubled places, clipped windows."""

import pytest
from twins import cases, compare_all, compare_all_gradients

import twofold

TEXT = """
T.linspace(4.3, 1, 7, dtype=T.int64)  T.linspace(-3.7, 50.9, 9, dtype=T.int32)  T.arange(0, 0.5, 2)
T.logspace(1, 4.3, 4, dtype=T.int64)  T.arange(0.1, -7.9, -4.0, dtype=T.int64)
T.arange(2.1, -2.9, -1.0, dtype=T.int64)  T.arange(3.1, dtype=T.int64)  T.arange(inf)
T.arange(0, 2, 0.5, dtype=T.int64)  T.histogram(T.tensor([0.1, 0.7, 0.30000001]), 3)
T.histogram(f * 7, 1)  T.histogram(f / 3, 4)  T.histogram(f / 3, 2, weight=g, density=True)
f.diff(0, 0, prepend=g)  f.diff(-1)  T.cov(f[:1])  T.corrcoef(f[:1])  T.cov(f, fweights=g[0])
T.cov(f, aweights=k[0])  T.cov(f, aweights=g)  T.cov(f, aweights=-g[0])
T.linalg.vander(s, N=3)  T.logsumexp(z + 99, 1)  T.logsumexp(z - 500, (0, 1), True)
T.logsumexp(z[:0], 0)  T.special.polygamma(2, T.tensor([0., -1., 2.]))  T.polygamma(3, s * 0)
T.bincount(k[0], k[1])  T.bincount(k[0], g[0])  T.bincount(k[0], i[1].int())
F.cosine_similarity(f[None], x, dim=-2)  F.cosine_similarity(f[:, None], f[None], dim=2)
T.gather(s, 0, T.tensor([0, 0]))  s.index_select(0, T.tensor([0]))  s.index_fill(0, n * 0, 2.)
s.index_add(0, T.tensor([0]), s, alpha=-1)  s.index_copy(0, T.tensor([0]), s * 2)
s.index_reduce(0, T.tensor([0]), s * 2, 'prod')  s.scatter(0, T.tensor([0]), s[None] * 2)
s.scatter_reduce(0, n * 0, s * 2, 'mean')  T.kthvalue(s, 1)  s.kthvalue(2)  s.cummax(0)  s.cummin(0)
f.index_add(0, T.tensor([0, 1]), v)  f.index_copy(0, T.tensor([0, 1]), v)
i.scatter_reduce(1, k % 4, i, 'amin', include_self=False)
i.scatter_reduce(1, k % 4, i, 'amax', include_self=False)
(i + 9).scatter_reduce(1, k % 4, k, 'mean')
i.index_reduce(0, k[0] % 3, i.new_full((4, 4), 7), 'mean')
T.lerp(z, w, 0.3)  T.lerp(z, w, 0.8 - 0.1j)  T.lerp(z, w, w * 0.2)  F.linear(i, k)  F.linear(z, w)
T.addr(b, b[:, 0], b[0])  F.avg_pool2d(x, 3, 2, 1, True, divisor_override=5)
F.avg_pool2d(x, (2, 3), divisor_override=2)  F.avg_pool2d(x, 2, divisor_override=0)
F.avg_pool3d(x[None], 2, 3, 1, True, divisor_override=5)
F.avg_pool3d(x[None], 2, divisor_override=0)
F.adaptive_avg_pool1d(x, ())  F.adaptive_avg_pool2d(f, 2)  F.adaptive_avg_pool3d(x[None], (1, 2))
F.adaptive_max_pool2d(x, (-1, 1))  F.adaptive_max_pool2d(x, (0, 2))  F.adaptive_avg_pool1d(x, 0)
T.linalg.solve_ex(T.stack([q, q.T]), f[:2])  T.linalg.solve_ex(q, v)
T.linalg.lu_solve(*T.linalg.lu_factor(q[:0, :0]), q[:0])  T.linalg.lu_factor(z[:, :3] * 1j)
T.linalg.lu_factor(T.complex(q, -q.T))
F.conv_transpose1d(x, T.ones(3, 2, 3) * s, None, 2, 1, 3, 1, 4)
F.conv_transpose2d(x, T.ones(2, 1, 2, 2) * s, None, (3, 2), (1, 2), (2, 3), 1, 4)
T.linalg.matrix_rank(T.stack([q, q * 0]), atol=T.tensor([.1, 0.]))
T.linalg.matrix_rank(x, rtol=s / 3)  T.linalg.matrix_rank(x[:0], rtol=T.zeros(0))
T.linalg.pinv(x, rtol=T.tensor([.1, .9]))  T.linalg.pinv(q, atol=s)
F.cosine_embedding_loss(i, k, T.tensor([1, -1, 1]))
T.special.i1(s * 0)  T.special.i1e(f * T.tensor([1., 0., 1., 1.]))
T.index_reduce(f * (f > 0), 0, T.tensor([0, 0, 1]), (g * (f > 0)).flip(0), 'prod')
T.atan2(f * (f > 0), g * (f > 0))  T.logaddexp(z, w)
f.index_fill(1, T.tensor([1, 1, 2]), s)  T.linalg.eigh(q @ q.T, 'U')[0]
T.linalg.eigh(q @ q.T + T.eye(4), 'U')[1].abs()  T.linalg.eigh(q @ q.T + T.eye(4))[1].abs()
"""
VALUES = """
T.histogramdd(f, 3)  T.histogramdd(x, [2, 3, 1, 2], density=True)  T.histogramdd(v, 2)
T.histogramdd(f[:, :2], [v.sort()[0], g[0].cumsum(0) - 2], weight=v[:3])  T.histogramdd(f, [2, 3])
T.histogramdd(f[:, :2], 4, range=(-1., 1., 0., 0.5))  T.geqrf(f)  T.geqrf(f.T)  x.geqrf()
T.linalg.lu_factor_ex(q)  T.linalg.lu_factor_ex(x)  T.linalg.lu_factor_ex(T.ones(3, 3))  q.lu()
T.linalg.lu_factor_ex(T.ones(3, 3), check_errors=True)  T.empty_strided((2, 3), (1, 4)).stride()
T.empty_permuted((2, 3, 4), (2, 0, 1)).stride()  T.empty_permuted((2, 3), (0, 0))
T.empty_strided((2, 3), (1,))  T.as_strided_scatter(f, v[:3], (3,), (2,), 1)  T.eye(-1)
T.grid_sampler(x[None], f.reshape(1, 2, 3, 2), 0, 1, False)  T.constant_pad_nd(i, (1, -1), 7)
T.grid_sampler_2d(x[None], f.reshape(1, 2, 3, 2), 1, 0, True)  T.constant_pad_nd(z, (1,), 2 + 0j)
F.adaptive_avg_pool1d(x.bfloat16(), 3)  F.adaptive_avg_pool2d(x.half(), (2, 3))  bf.norm(3)
F.interpolate(x.bfloat16(), 5, mode='area')  (h * 20).norm(4)  F.adaptive_avg_pool1d(i, 3)
T.arange(2.1, -2.9, -1.0, dtype=T.int32)  T.arange(0.5, 9, 2.5, dtype=T.uint8)
F.cross_entropy(f.bfloat16(), g.bfloat16())  F.interpolate(i[None, None], 5, mode='bilinear')
T.conj_physical(z)  z.clone().conj_physical_()  T.flipud(s)  f.diagonal(0, 1, 1)
f.exponential_(0)  f.cauchy_(0, 0)  f.log_normal_(0, 0)  T.isclose(f, g, rtol=-1)  T.complex(2, f)
T.gradient(f, spacing=None)  f.clone().as_strided_((2, 2), (1, 2), storage_offset=1)
F.hardtanh(f, 0.5, -0.5)  T.geqrf(z)
T.hstack(())  T.linalg.cross(f[:, :3], f[:, :1])
"""
LINES = [line for line in TEXT.splitlines() if line]


@pytest.mark.parametrize("line", LINES)
def test_values(line):
    compare_all(cases(line))


@pytest.mark.parametrize("line", [line for line in VALUES.splitlines() if line])
def test_values_alone(line):
    compare_all(cases(line))


@pytest.mark.parametrize("line", LINES)
def test_gradients(line):
    compare_all_gradients(cases(line))


def test_the_inverse_transform_of_a_whole_spectrum_reads_its_first_half():
    compare_all(
        [
            "T.istft(T.complex(T.cat([f, f, q]), T.cat([g, g, q])), 10, window=T.ones(10))",
            "T.istft(T.complex(q, q.T), 4, window=T.ones(4), return_complex=True)",
            "T.istft(T.complex(f, g), 4, window=T.ones(4), return_complex=True)",
        ]
    )


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_a_product_of_scattered_factors_with_zeros_has_the_slope_of_the_others(zeros):
    factors = [5.0, 3.0, 2.0]
    factors[:zeros] = [0.0] * zeros
    x = twofold.tensor(factors[:1], requires_grad=True)
    rest = twofold.tensor(factors[1:], requires_grad=True)
    made = x.scatter_reduce(0, twofold.tensor([0, 0]), rest, "prod")
    made.sum().backward()
    a, b, c = factors
    assert [*x.grad.tolist(), *rest.grad.tolist()] == [b * c, a * c, a * b]


def test_what_is_replaced_has_no_gradient():
    x = twofold.arange(4.0, requires_grad=True)
    part = twofold.tensor([9.0], requires_grad=True)
    made = twofold.as_strided_scatter(x, part, (1,), (1,), 1)
    made.sum().backward()
    assert made.tolist() == [0.0, 9.0, 2.0, 3.0]
    assert (x.grad.tolist(), part.grad.tolist()) == ([1.0, 0.0, 1.0, 1.0], [1.0])


def test_a_product_of_reflections_is_orthogonal_and_undoes_what_they_did():
    compare_all_gradients(
        [
            "T.linalg.householder_product(f.T, v[:3])",
            "T.linalg.householder_product(T.complex(d, d.flip(0)).mT, T.complex(d, d)[0, :2])",
            "T.orgqr(x.mT.double(), x[:, :, 0].double())",
        ]
    )
    compare_all(["T.linalg.householder_product(f, v[:3])", "T.orgqr(*T.geqrf(f.T.contiguous()))"])
    x = twofold.linspace(-1, 1, 12).reshape(4, 3).double() ** 2
    packed, tau = twofold.geqrf(x)
    q = twofold.linalg.householder_product(packed, tau)
    assert twofold.allclose(q.mT @ q, twofold.eye(3).double())
    assert twofold.allclose(q @ packed[:3].triu(), x)


def test_the_slopes_of_running_logarithms_keep_their_digits():
    random = twofold.Generator().manual_seed(0)
    x = twofold.randn(40, generator=random) * 3000
    weights = twofold.randn(40, generator=random)
    made = []
    for kind in (twofold.float32, twofold.float64):
        given = x.to(kind).requires_grad_()
        out = twofold.logcumsumexp(given, 0)
        made.append(twofold.autograd.grad(out, given, weights.to(kind))[0])
    assert twofold.allclose(made[0].double(), made[1], rtol=1e-3, atol=1e-4)
    ends = twofold.tensor([-twofold.inf, 1.0, twofold.inf, 2.0], requires_grad=True)
    twofold.logcumsumexp(ends, 0)[1:].sum().backward()
    assert ends.grad.tolist() == [0.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_pictures_of_bytes_are_resized_as_their_numbers_are(mode):
    x = (twofold.arange(96).reshape(1, 2, 6, 8) * 37 % 256).to(twofold.uint8)
    made = twofold.nn.functional.interpolate(x, (9, 5), mode=mode)
    wide = twofold.nn.functional.interpolate(x.float(), (9, 5), mode=mode)
    assert made.dtype is twofold.uint8
    # PyTorch's weights of 16 bits round after each axis, and cut what overshoots
    assert (made.float() - wide.clamp(0, 255)).abs().max() < (1 if mode == "bilinear" else 3)
    assert made.float().std() > 30
