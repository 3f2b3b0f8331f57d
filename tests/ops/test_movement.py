"""Views, joins, repeats, padding: shapes, shared memory and gradients, against PyTorch."""

import pytest
from twins import cases, compare_all, compare_all_gradients

import twofold
from twofold.base.errors import DTypeError
from twofold.ops.bind import bind
from twofold.ops.indexing import VIEW, Slice

VIEWS = """
f.reshape(4, 3)  f.reshape((2, 6))  f.reshape(-1)  f.reshape(2, -1)  f.reshape(5, 2)
f.reshape(-1, -1)  f.reshape(())  s.reshape(1)  s.reshape(())  e.reshape(4, 0)  e.reshape(0)
e.reshape(-1)  T.reshape(f, (12,))  f.T.reshape(12)  f.T.reshape(3, 4)  f.view(12)  f.view(2, -1)
f.t().view(12)  f.view(-1, 6)  f.view((3, 2, 2))  x.transpose(0, 1).view(12, 2)
x.transpose(0, 2).view(24)  x[:, 1].view(8)  x[:, 1].view(2, 4)  f.view(T.int32)  f.view(5)
f.reshape_as(q[:3])  f.view_as(x[0])  f.reshape(x.shape[1], x.shape[2])  f.reshape(T.Size([2, 6]))
f.flatten()  x.flatten(1)  x.flatten(0, 1)  x.flatten(-2)  x.flatten(2, 1)  s.flatten()
T.flatten(x, start_dim=1)  x.unflatten(2, (2, 2))  x.unflatten(-1, (-1, 2))
x.unflatten(1, (2, 2))  f.ravel()  T.ravel(x)  x.squeeze()  x[:1].squeeze()  x[:1].squeeze(0)
x.squeeze(0)  x[:1].squeeze((0, 1))  x[:1].squeeze(-3)  x.squeeze(5)  f.unsqueeze(0)
f.unsqueeze(1)  f.unsqueeze(-1)  f.unsqueeze(2)  f.unsqueeze(3)  s.unsqueeze(0)
T.unsqueeze(f, dim=-2)  x.permute(2, 0, 1)  x.permute((1, 0, 2))  x.permute(0, 1)
x.permute(0, 0, 1)  T.permute(x, (2, 1, 0))  x.permute(-1, 0, 1)  x.transpose(0, 2)
x.transpose(-1, -2)  x.transpose(0, 3)  T.transpose(f, 0, 1)  x.swapaxes(0, 1)  x.swapdims(0, 2)
f.t()  v.t()  s.t()  x.t()  f.T  f.mT  x.mT  v.mT  T.t(f)  x.movedim(0, 2)
x.movedim((0, 1), (1, 2))  x.moveaxis(-1, 0)  x.movedim((0, 0), (1, 2))  T.movedim(x, 1, 0)
f.expand(2, 3, 4)  v.expand(3, 4)  v.expand(3, -1)  f.expand(3, 5)  f[:, :1].expand(3, 6)
f[:, :1].expand(-1, 6)  s.expand(2, 2)  f.expand_as(x)  f.expand(4)  f.broadcast_to((2, 3, 4))
T.broadcast_to(v, (2, 4))  T.broadcast_tensors(f, v)  T.broadcast_tensors(f, x[:, :1])
T.broadcast_tensors(f, v[:3])  f.narrow(1, 1, 2)  f.narrow(0, -2, 2)  f.narrow(1, 3, 2)
f.narrow(0, 0, 0)  T.narrow(f, 1, 0, 4)  f.narrow(1, 5, 1)  f.select(0, 1)  f.select(1, -1)
f.select(0, 3)  T.select(x, 1, 2)  s.select(0, 0)  f.split(2)  f.split(2, 1)  f.split(3, dim=1)
f.split([1, 2])  f.split([1, 1])  f.split((1, 3), 1)  T.split(x, 2, -1)  f.split(5)  e.split(2)
f.split(0)  f.chunk(2)  f.chunk(3, 1)  f.chunk(5)  T.chunk(x, 2, dim=2)  f.chunk(0)  e.chunk(2)
r.chunk(4)  f.tensor_split(2)  f.tensor_split(3, 1)  T.tensor_split(r, (1, 4))
T.tensor_split(r, [4, 1])  r.tensor_split(4)  r.tensor_split((-2,))  f.unbind()  f.unbind(1)
T.unbind(x, dim=-1)  e.unbind()  e.unbind(1)  s.unbind()  f.hsplit(2)  f.vsplit(3)  x.dsplit(2)
r.unfold(0, 3, 1)  r.unfold(0, 2, 2)  f.unfold(1, 2, 1)  r.unfold(0, 7, 1)  x.unfold(1, 2, 1)
s.unfold(0, 1, 1)  f.diagonal()  f.diagonal(1)  f.diagonal(-1)  x.diagonal(0, 1, 2)
x.diagonal(dim1=-2, dim2=-1)  f.diagonal(9)  T.diagonal(x, 1, 0, 2)  v.diagonal()
f.diagonal(0, 0, 0)  T.diag(v)  T.diag(f)  T.diag(v, 1)  T.diag(f, -1)  T.diag(x)  T.diag_embed(f)
T.diag_embed(v, 1)  T.diagflat(f)  T.diagflat(v, -1)  r.as_strided((2, 3), (3, 1))
r.as_strided((3, 2), (1, 2))  f.as_strided((2, 2), (4, 1), 1)  f.contiguous()  f.T.contiguous()
f.T.is_contiguous()  f.contiguous() is f  f.stride()  f.T.stride()  f.stride(1)
f.storage_offset()  f[1:].storage_offset()  f.clone()  f.T.clone()  f.T.clone().stride()
T.clone(f)  f.is_contiguous()  e.is_contiguous()  x.size()  x.size(-1)  x.shape
"""
JOINS = """
T.cat([f, g])  T.cat((f, g), 1)  T.cat([f, g], dim=-1)  T.cat([f, i])  T.cat([f, v])
T.cat([s, s])  T.cat([])  T.cat([f, e])  T.cat([v, T.zeros(0)])  T.cat([f, d])  T.cat([b, i])
T.cat([x, x[:, :1]], 1)  T.cat([x, f])  T.cat(f)  T.concat([f, g])  T.concatenate([f, g], 1)
T.cat([h, bf])  T.cat([i, u], 1)  T.stack([f, g])  T.stack((f, g), 1)  T.stack([f, g], -1)
T.stack([f, v])  T.stack([s, s])  T.stack([])  T.stack([f, d], dim=2)  T.stack([f, g], 5)
T.stack([i, f])  T.hstack([f, g])  T.hstack([v, v])  T.vstack([f, g])  T.vstack([v, v])
T.dstack([f, g])  T.dstack([v, v])  T.hstack([s, s])  T.row_stack([f, v])  T.column_stack([v, v])
T.column_stack([v, q])  T.atleast_1d(s)  T.atleast_2d(v)  T.atleast_3d(f)  T.atleast_1d(s, v)
T.atleast_2d([s, v])  T.atleast_3d(v)  T.atleast_3d(s)  f.flip(0)  f.flip(0, 1)  f.flip((1,))
T.flip(x, [0, 2])  f.flip(2)  f.flip((0, 0))  f.fliplr()  T.flipud(f)  f.roll(1)  f.roll(1, 0)
f.roll((1, 2), (0, 1))  T.roll(x, -3, 2)  f.roll(1, (0, 1))  s.roll(1)  f.rot90()  T.rot90(f, 2)
T.rot90(x, -1, (1, 2))  f.rot90(1, (0, 0))  f.rot90(5)  f.repeat(2, 1)  f.repeat(2, 3, 1)
f.repeat(2)  v.repeat(3)  s.repeat(2)  f.repeat(0, 1)  f.tile(2)  f.tile((2, 1, 3))
T.tile(v, (2,))  f.tile()  v.repeat((2, 2))  f.repeat_interleave(2)  f.repeat_interleave(2, 1)
T.repeat_interleave(v, T.tensor([1, 0, 2, 3]))  T.repeat_interleave(f, T.tensor([2, 1, 0]), dim=0)
T.repeat_interleave(T.tensor([1, 2]))  f.tril()  f.triu()  f.tril(1)  f.triu(-1)
T.tril(x, diagonal=1)  x.triu()  v.tril()  i.tril()  b.triu(1)  T.triu(q, 9)  e.tril()
T.meshgrid(v, r)  T.meshgrid(v, r, indexing='xy')  T.meshgrid([v, r], indexing='ij')
T.meshgrid(v, f)  T.meshgrid(r)  T.cartesian_prod(v, r)  T.cartesian_prod(v)
T.take_along_dim(f, f.argsort(1), 1)  T.take_along_dim(f, T.tensor([[5]]))  T.tril_indices(3, 4)
T.triu_indices(3, 3, 1)  T.combinations(r[:3])  T.block_diag(f, v)  T.swapaxes(x, 0, 1)
T.moveaxis(x, 0, -1)  T.unflatten(x, 1, (3, 1))  T.adjoint(z)  z.H  z.mH  z.conj()  T.squeeze(x)
T.expand_copy(v, (2, 4))
"""
PADS = """
F.pad(f, (1, 2))  F.pad(f, (1, 2, 0, 3))  F.pad(f, (1, 1), value=2.5)  F.pad(f, (-1, 0))
F.pad(f, (-1, -2, 1, 0))  F.pad(x, (0, 1, 2, 3, 1, 0))  F.pad(f, (1,))
F.pad(f, (1, 2, 3, 4, 5, 6))  F.pad(x, (1, 2), mode='reflect')  F.pad(x, (1, 2), mode='replicate')
F.pad(x, (1, 2), mode='circular')  F.pad(x, (4, 0), mode='reflect')  F.pad(x, (3, 3), 'reflect')
F.pad(x, (5, 2), 'replicate')  F.pad(x[None], (1, 1, 2, 1), 'reflect')
F.pad(x[None], (1, 1, 2, 1), 'replicate')  F.pad(x[None], (1, 1, 2, 1), 'circular')
F.pad(x[None], (1, 1, 3, 1), 'reflect')  F.pad(x, (1, 2), 'mirror')  F.pad(i, (1, 1), value=7)
F.pad(b, (1, 0))  F.pad(e, (0, 0, 1, 1))  F.pad(x[None, None], (1, 0, 1, 0, 1, 1), 'replicate')
F.pad(x[None], (-1, 1, 0, 1), 'replicate')  F.pad(x[None], (-1, 1, 0, 1), 'reflect')
F.pad(x[None], (-1, 1, 0, 1), 'circular')
"""
EXCEPT = {
    "f.view(T.int32)": "reinterpreting bits is not offered",
    "f.T.clone().stride()": "a clone is in row-major order",
    "f.tile()": "no number is taken for no repetition",
}
LINES = [line for text in (VIEWS, JOINS, PADS) for line in text.splitlines() if line]


@pytest.mark.parametrize("line", LINES)
def test_values(line):
    compare_all([text for text in cases(line) if text not in EXCEPT])


@pytest.mark.parametrize("line", LINES)
def test_gradients(line):
    compare_all_gradients([text for text in cases(line) if text not in EXCEPT])


# Each is a view, and each is written through.
SHARING = cases("""
f.view(12)  f.reshape(12)  f.T  f[1]  f[:, 1:3]  f[None]  f[..., 0]  f.narrow(0, 1, 1)
f.unsqueeze(0)  f.flatten()  x.permute(2, 0, 1)  x.movedim(0, 2)  f.select(1, 2)  f.diagonal()
f.unfold(1, 2, 1)  f.expand(2, 3, 4)  f.split(2)[1]  f.chunk(2, 1)[0]  f.unbind()[2]
f.unbind(1)[0]  f.tensor_split(2)[0]  z.real  z.imag  T.view_as_real(z)  f.detach()
f.as_strided((2, 2), (4, 1), 1)  T.view_as_complex(f.view(3, 2, 2))  f.squeeze()  f.view_as(f)
f.expand_as(f)  f.swapaxes(0, 1)  f.t()[1:].t()[0]  f.unflatten(1, (2, 2))  f.contiguous()
x[0].view(-1)[::2]  x[:, 1, ::3]  f.real
""")


@pytest.mark.parametrize("text", SHARING)
def test_views_share_memory(text):
    if "expand" in text:
        compare_all([f"a = {text}; f.fill_(7); a", f"a = {text}; f.add_(1); a"])
        return
    source = "x" if text.startswith("x") else "z" if "z" in text else "f"
    compare_all([f"a = {text}; a.fill_(7); ({source}, a)", f"a = {text}; {source}.mul_(2); a"])


COPYING = cases("""
f.clone()  f.T.reshape(12)  f + 0  f.flip(0)  f.roll(1)  f.repeat(1, 1)  T.cat([f])
f.T.contiguous()  f[[0, 1, 2]]  f[b]  f.double()  f.tril()  T.stack([f])  f.tile(1, 1)
f.repeat_interleave(1, 0)
""")


@pytest.mark.parametrize("text", COPYING)
def test_copies_do_not(text):
    compare_all([f"a = {text}; a.fill_(7); (f, a)"])


def test_places_are_whole_numbers_and_what_fails_is_forgotten() -> None:
    """1.0 equals 1: what is remembered of a call that failed would be found by later ones."""
    x = twofold.randn(43, 5)
    for wrong in (
        lambda: x.narrow(1, 1.0, 1),
        lambda: x.narrow(1, 1, 2.0),
        lambda: x.split([1.0, 4.0], 1),
        lambda: x[:, 1.0:2.0],
    ):
        with pytest.raises(DTypeError, match="integer"):
            wrong()
    with pytest.raises(TypeError):
        bind(VIEW, (x,), ((Slice(37.0, 41.0, None),),))
    assert x[37:41].shape == (4, 5) and x.narrow(1, 1, 1).shape == (43, 1)
    assert [y.shape[1] for y in x.split([1, 4], 1)] == [1, 4]
