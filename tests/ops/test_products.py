"""Products of matrices and tensors, einsum, counts: values, gradients, refusals, as in PyTorch."""

import numpy as np
import pytest
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold.base.errors import ArgumentError, ShapeError

PRODUCTS = """
T.mm(f, g.T)  f.mm(q)  T.mm(f, f)  T.mm(f, v)  T.mm(i, k.T)  T.mm(x, q)  T.mm(e, q)  T.mm(f, d.T)
T.bmm(x, x.mT)  x.bmm(x.mT)  T.bmm(x, x)  T.bmm(f, q)  T.bmm(x, x[:1].mT)  T.mv(f, v)  f.mv(v)
T.mv(v, f)  T.mv(f, f)  f.mv(v[:2])  T.dot(v, v)  v.dot(f[0])  T.dot(v, f)  T.dot(r, r)
T.dot(v, v[:2])  T.dot(v[:0], v[:0])  T.dot(z[0], w[1])  T.vdot(z[0], w[1])  z[0].vdot(w[1])
T.vdot(v, v)  T.inner(v, v)  T.inner(f, v)  T.inner(f, g)  T.inner(x, f)  T.inner(s, f)
f.inner(g)  T.inner(f, v[:2])  T.inner(z, w)  T.outer(v, f[0])  v.outer(r.float())  T.outer(f, v)
T.ger(v, v)  v.ger(v)  T.outer(r, r)  T.outer(z[0], w[0])  T.outer(v, i[0])
T.addmm(q[:3], f, q)  T.addmm(v, f, q)  T.addmm(s, f, q)  T.addmm(q, f, q)  f.addmm(f, q)
T.addmm(v, f, q, beta=0.5, alpha=2)  T.addmm(v * nan, f, q, beta=0)  f.clone().addmm_(f, q)
f.clone().addmm_(f, q, beta=2, alpha=0.5)  T.addmm(i, i, i.T)  T.addmm(i[:, :3], i, k.T, alpha=2)
T.addmm(i[:, :3], i, k.T, alpha=0.5)  T.addmm(z[:, :3], z, w.T, alpha=1j)  T.addmm(v, x, q)
T.addmm(x, f, q)  T.addmv(v[:3], f, v)  v[:3].addmv(f, v, beta=2, alpha=3)  T.addmv(s, f, v)
T.addmv(v, f, v)  v[:3].clone().addmv_(f, v)  T.addr(f, v[:3], v)
f.addr(v[:3], v, beta=0.5, alpha=2)
f.clone().addr_(v[:3], v)  T.addr(f, v, v)  T.addr(s, v, v)  T.baddbmm(x[:, :, :3], x, x.mT)
T.baddbmm(s, x, x.mT, beta=2, alpha=0.5)  T.baddbmm(f[:, :3], x, x.mT)  T.baddbmm(x, x, x.mT)
x[:, :, :3].baddbmm(x, x.mT, beta=0)  x[:, :, :3].clone().baddbmm_(x, x.mT)
T.addbmm(f[:, :3], x, x.mT)  T.addbmm(s, x, x.mT, beta=2, alpha=0.5)  f[:, :3].addbmm(x, x.mT)
f[:, :3].clone().addbmm_(x, x.mT, alpha=3)  T.addbmm(f, x, x.mT)
T.chain_matmul(f, q, g.T)  T.chain_matmul(f, q, q, g.T)  T.chain_matmul(f)  T.chain_matmul(f, v)
T.tensordot(f, q)  T.tensordot(f, g)  T.tensordot(f, q, 1)  T.tensordot(x, f, dims=2)
T.tensordot(x, x, dims=([0, 2], [0, 2]))  T.tensordot(x, f, ([1], [0]))  T.tensordot(f, g, 0)
T.tensordot(f, v, dims=([-1], [0]))  T.tensordot(f, q, ([0], [0]))  T.tensordot(f, f, 3)
T.tensordot(x, f, ([1, 2], [0, 1]))  T.tensordot(i, k, ([1], [1]))  T.tensordot(f, g, -1)
T.kron(f, q)  T.kron(v, f)  f.kron(v)  T.kron(s, f)  T.kron(x, f)  T.kron(i, k)  T.kron(f, i)
T.cross(f[:, :3], g[:, :3])  f.cross(g)  T.cross(f, g, dim=0)  T.cross(f, g, 1)  T.cross(v, v)
T.cross(x, x.flip(0))  T.cross(f[:, :3], v[:3], dim=1)  T.cross(f, g, dim=-2)  T.cross(i, k)
T.cross(z, w)  T.mm(f, q, out=T.zeros(3, 4))  T.outer(v, v, out=T.zeros(4, 4))
T.addmm(v, f, q, out=T.empty(3, 4))  T.dot(v, v, out=T.zeros(()))
"""
# Two spaces part the expressions, so there is one inside.
EINSUM = """
T.einsum('ij,jk->ik', f, q)  T.einsum('ij,jk', f, q)  T.einsum('ij->ji', f)  T.einsum('ij', f)
T.einsum('ji', f)  T.einsum('ij->', f)  T.einsum('ij->i', f)  T.einsum('ii->i', q)
T.einsum('ii', q)  T.einsum('ii->', q)  T.einsum('i,i', v, v)  T.einsum('i,j->ij', v, v)
T.einsum('i,j', v, v)  T.einsum('bij,bkj->bik', x, x)  T.einsum('bij,kj->bik', x, f)
T.einsum('...ij,...kj->...ik', x, x)  T.einsum('...ij,kj->...ik', x, f)  T.einsum('...ij->...ji', x)
T.einsum('...,...->...', f, x)  T.einsum('i...->...', x)  T.einsum('...i', x)  T.einsum('...', x)
T.einsum('i...,i...->i', x, x)  T.einsum('bij,jk,kl->bil', x, q, q)  T.einsum('ij,ij->ij', f, g)
T.einsum('ij,ij->i', f, g)  T.einsum('ij,ij', f, g)  T.einsum('ij,jk,kl,lm->im', f, q, q, q)
T.einsum('abc,cd,bd->ad', x, q, f)  T.einsum('ab,cd->abcd', f, q)  T.einsum('ab,cd->', f, q)
T.einsum('ab , cd -> a c', f, q)  T.einsum('ij,j->i', f, v)  T.einsum('ij,i', f, v[:3])
T.einsum('iij->j', x[:, :2])  T.einsum('iji->j', x[:, :, :2])
T.einsum('ijj,j->i', x[:, :, :3], v[:3])
T.einsum('Ab,bC->CA', f, q)  T.einsum('bA,Ac', f, q)  T.einsum('ij,jk->ik', [f, q])
T.einsum('ij,jk->ik', i, k.T)  T.einsum('ij,jk->ik', z, w.T)  T.einsum('i,->i', v, s)
T.einsum('->', s)  T.einsum(',->', s, s)  T.einsum('ij,kj->ik', f[:, :1], g)
T.einsum('ij,ij->ij', f[:1], g)  T.einsum('bij,bij->b', x[:1], x)  T.einsum('ij,jk->ik', e, q)
T.einsum('ij,ik->jk', e, e)  T.einsum(f, [0, 1], q, [1, 2], [0, 2])  T.einsum(f, [0, 1], q, [1, 2])
T.einsum(x, [..., 0, 1], [..., 1, 0])  T.einsum('ij,jk', f, f)  T.einsum('ijk', f)
T.einsum('ij->ijk', f)  T.einsum('ij->ii', f)  T.einsum('i1->i', f)  T.einsum('ij,jk->ik', f)
T.einsum('ii->i', f)  T.einsum('...i->i', v)  T.einsum('nhid,nhjd->nhij', x[None], x[None])
T.einsum('bhwc,hkc->bhwk', x[None], x)  T.einsum('...i,...i->...', x, f)
T.einsum('a...b,b...c->a...c', x, x.mT[..., 0, 0][:, None, None].expand(2, 3, 4).mT)
T.einsum('bn,anm,bm->ba', f[:2], x.mT, f[:2, :3])  T.einsum('ij,kl,jl->ik', f, g, q)
"""
COUNTS = """
T.histc(f)  f.histc(4)  T.histc(f, bins=4, min=-1, max=1)  T.histc(f, 5, 2, 1)  T.histc(f, 0)
T.histc(d, 3)  T.histc(x, 6, 0, 0)  T.histc(e, 3)  T.histc(i, 3)  T.histc(f * 0 + 2, 3)
T.isin(i, k)  T.isin(i, 3)  T.isin(3, i)  T.isin(i, k, invert=True)  T.isin(f, f[0])
T.isin(o, o)  T.isin(i, k[:0])  T.isin(i, f)  T.isin(i, k, assume_unique=True)
T.unique_consecutive(i // 4)  (i // 4).flatten().unique_consecutive(return_counts=True)
T.unique_consecutive(i // 4, return_inverse=True)  T.unique_consecutive(i // 9, dim=0)
T.unique_consecutive(b, True, True)  T.unique_consecutive(b, True, True, 1)
T.unique_consecutive(f[:, 0] * 0, return_counts=True)  T.unique_consecutive(r[:0])
T.unravel_index(r, (2, 3))  T.unravel_index(r, 7)  T.unravel_index(k, (3, 2, 4))
T.unravel_index(n, (2, 2))  T.unravel_index(f, (2, 2))  T.unravel_index(r, (2, -3))
"""
LINES = [x for text in (PRODUCTS, EINSUM, COUNTS) for x in text.splitlines() if x]
EXCEPT = {
    "T.addmm(v * nan, f, q, beta=0)": "its gradient is None here, NaN in PyTorch",
    "T.addmm(i[:, :3], i, k.T, alpha=0.5)": "PyTorch cuts the factor to a whole number",
}


@pytest.mark.parametrize("line", LINES)
def test_values(line):
    compare_all([text for text in cases(line) if "gradient" in EXCEPT.get(text, "gradient")])


@pytest.mark.parametrize("line", LINES)
def test_gradients(line):
    compare_all_gradients([text for text in cases(line) if text not in EXCEPT])


def test_products_of_a_chain_are_taken_in_the_cheapest_order():
    thin, wide = twofold.ones(500, 1), twofold.ones(1, 500)
    made = twofold.chain_matmul(wide, thin, wide)
    assert made.shape == (1, 500) and made[0, 3].item() == 500


@pytest.mark.parametrize(
    ("call", "error", "problem"),
    [
        (lambda f: twofold.einsum("ij,jk->ik", f, f), ShapeError, "'j' has sizes 4 and 3"),
        (lambda f: twofold.einsum("ij->ik", f), ArgumentError, "'k' after ->"),
        (lambda f: twofold.einsum("ij,jk", f), ArgumentError, "2 terms"),
        (lambda f: twofold.einsum("i", f), ShapeError, "operand 0"),
        (lambda f: twofold.mm(f, f[0]), ShapeError, "mat2 is not a matrix"),
        (lambda f: twofold.addmm(f[None], f, f.T), ShapeError, "does not expand"),
        (lambda f: twofold.cross(f[:2], f[:2], dim=1), ShapeError, "size 3"),
        (lambda f: twofold.tensordot(f, f, 1), ShapeError, "sizes differ"),
    ],
)
def test_refusals_say_why(call, error, problem):
    with pytest.raises(error) as caught:
        call(twofold.from_numpy(np.ones((3, 4), np.float32)))
    assert problem in str(caught.value)


def test_searching_in_order():
    compare_all(
        cases("""
T.searchsorted(r, k)  T.searchsorted(r, k, right=True)  T.searchsorted(r, k, side='right')
T.searchsorted(r.float(), f, out_int32=True)  T.searchsorted(r, 3)  T.searchsorted(r, n)
T.searchsorted(f.sort()[0], g)  T.searchsorted(f, g, sorter=f.argsort())
T.searchsorted(f.sort()[0], g[:2])  T.searchsorted(r, k, side='up')  T.bucketize(f, v.sort()[0])
T.searchsorted(r, k, right=True, side='left')  T.bucketize(f, v.sort()[0], right=True)
""")
    )


def test_a_row_of_a_complex_product_is_that_row_alone():
    random = np.random.default_rng(5)

    def c(*shape):
        return twofold.from_numpy(random.normal(size=shape) + 1j * random.normal(size=shape))

    x, w = c(37, 61), c(61, 23)
    whole = (x @ w).numpy()
    np.testing.assert_allclose(whole, x.numpy() @ w.numpy(), 1e-12, 1e-12)
    np.testing.assert_array_equal((x[7:8] @ w).numpy(), whole[7:8])
    np.testing.assert_array_equal((x @ w.T.contiguous().T).numpy(), whole)
    np.testing.assert_array_equal(twofold.compile(twofold.matmul)(x, w).numpy(), whole)
    x.requires_grad_()
    compiled = twofold.compile(lambda x, w: twofold.autograd.grad((x @ w).abs().sum(), x)[0])
    by = twofold.autograd.grad((x @ w).abs().sum(), x)[0]
    np.testing.assert_array_equal(compiled(x, w).numpy(), by.numpy())
    with pytest.raises(ValueError, match="inner sizes differ"):
        c(2, 3) @ c(2, 3)
