"""In-place methods and augmented operators: values, types and gradients, against PyTorch."""

import numpy as np
import pytest
from twins import cases, compare_all, compare_all_gradients, evaluate

import twofold
from twofold.base.errors import ArgumentError, GradientError, ShapeError

UNARY = """abs acos acosh asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp
exp2 expm1 floor frac lgamma log log10 log1p log2 logical_not logit nan_to_num neg
rad2deg reciprocal relu round rsqrt sigmoid sign sgn sin sinc sinh sqrt square tan tanh
tril triu trunc absolute negative fix arccos arcsin arctan zero t"""
BINARY = """add sub mul div true_divide floor_divide fmod remainder pow atan2 hypot copysign eq ne
lt le gt ge logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor
bitwise_left_shift bitwise_right_shift xlogy lcm gcd clamp_min clamp_max subtract
multiply divide greater less fill copy nextafter heaviside arctan2 not_equal"""
SIGNS = "+= -= *= /= //= %= **= &= |= ^= <<= >>="
MORE = """
f.clamp_(0, 1)  f.clamp_(min=0)  f.clamp_(max=g)  f.clamp_(0.1)  i.clamp_(0, 2)  i.clamp_(0.5)
f.clip_(-1, 1)  f.lerp_(g, 0.3)  f.lerp_(g, p)  f.addcmul_(g, p)  f.addcmul_(g, p, value=2)
f.addcdiv_(g, p, value=-1)  f.add_(g, alpha=2)  f.sub_(g, alpha=0.5)  f.add_(1)  f.add_(v)
v.add_(f)  s.add_(f)  f.mul_(i)  i.mul_(f)  i.add_(1.5)  i.mul_(2)  i.div_(2)
i.div_(2, rounding_mode='floor')  b.add_(1)  b.mul_(2)  b.add_(True)  u.add_(1)  u.sub_(i)
h.add_(f)  f.add_(d)  f.add_(z)  z.add_(f)  f.copy_(g)  f.copy_(v)  f.copy_(i)  i.copy_(f)
b.copy_(f)  f.copy_(x)  f.copy_(s)  v.copy_(f)  f.copy_(z)  bf.copy_(g)  h.copy_(d)  f.fill_(3)
i.fill_(2.7)  b.fill_(2)  f.fill_(s)  f.fill_(v)  i.fill_(nan)  f.zero_()  i.zero_()
q.fill_diagonal_(5)  f.fill_diagonal_(1)  f.masked_fill_(b, 0)  f.masked_fill_(b, s)
i.masked_fill_(b, 7)  f.masked_fill_(b, v)  f.masked_fill_(v > 0, 9)  f.masked_fill(b, -inf)
f.masked_fill_(i, 0)  f.pow_(2)  g.pow_(0.5)  i.pow_(2)  i.pow_(0.5)  f.round_(decimals=1)
f.tril_(1)  f.triu_(-1)  f.cumsum_(1)  f.cumprod_(0)  f.index_fill_(0, T.tensor([0, 2]), 5.)
f.index_add_(0, T.tensor([0, 2]), g[:2])  f.index_add_(0, T.tensor([0, 0]), g[:2], alpha=2)
f.index_copy_(1, T.tensor([3]), g[:, :1])  f.scatter_(1, T.tensor([[0], [1]]), 9.)
f.scatter_(1, T.tensor([[0], [1]]), g)  f.scatter_add_(1, T.tensor([[0, 0], [1, 3]]), g[:2, :2])
f.masked_scatter_(b, g)  f.index_put_((T.tensor([0, 1]), T.tensor([1, 1])), T.tensor([5., 6.]))
f.index_put_((T.tensor([0, 0]),), s, accumulate=True)  f.unsqueeze_(0)  f.squeeze_()  f.t_()
f.transpose_(0, 1)  x.swapaxes_(0, 2)  f.requires_grad_().requires_grad  f.detach_()
x.squeeze_(0)  f.set_(g) if 0 else f  f.logit_(0.1)  p.logit_()  f.xlogy_(g)
f.digamma_()  f.eq_(g)  i.lt_(2)  f.logical_not_()  i.bitwise_not_()  b.logical_and_(c)
i.bitwise_and_(3)  f.nan_to_num_(0.)  o.nan_to_num_(1.)  f.sort_() if 0 else f  f.exp_().sum()
f.sigmoid_() is f  (f.add_(1) is f)  f.relu_()  f.mul_(f)  f.add_(f.T[:3, :3].sum())  q.add_(q.T)
q.mul_(q.t())  f[0].add_(f[1])  f[:, 0].zero_(); f  f[1:].add_(f[:-1])  q.sub_(q.T.clone())
f.T.add_(1); f  f.view(-1)[::2].mul_(0); f  x[:, 1].fill_(3); x  f[0] = 5; f  f[0, 0] = s; f
f[:, 1] = v[:3]; f  f[b] = 0; f  f[[0, 2]] = g[:2]; f  f[0] = v; f  f[...] = 1; f  f[None] = 2; f
f[0] = i[0]; f  i[0] = 2.7; i  f[5] = 0; f  f[0] = x; f  f[b] = T.arange(4.); f  f[0] += 1; f
f[b] *= 2; f  f[:, 1:3] -= 1; f  f[0, [1, 2]] = T.tensor([7., 8.]); f  f[T.tensor([0, 0])] += 1; f
f[::2, ::2] = 0; f  f[-1] = f[0]; f  x[0, :, 1] = T.zeros(3); x  f[1] = True; f  b[0] = False; b
b[0] = 3; b  z[0] = 1; z  f[0] = 1j; f  f.real = 1; f  z.real.zero_(); z  z.imag.mul_(2); z
T.view_as_real(z)[..., 0].fill_(1); z  f.data.fill_(2); f  f.data = g; f  f.T.data.zero_(); f
"""
LINES = [line for line in MORE.splitlines() if line]
# Where PyTorch refuses, and what is so here.
EXCEPT = """
f[1:].add_(f[:-1])  q.add_(q.T)  q.mul_(q.t())      the result is there before it is written
z.abs_(); z  z.absolute_(); z                       sizes are complex numbers too
"""
EXCEPT = set(cases(EXCEPT))


PAIRS = """
f g  f v  v f  i k  f i  i f  b c  u k  f 2  i 2  i 1.5  b 2  f s  s f  h f  f d  z w  f z  z f
"""
PAIRS = [pair.split() for pair in cases(PAIRS)]


def check(texts):
    compare_all([text for text in texts if text not in EXCEPT])


@pytest.mark.parametrize("name", UNARY.split())
def test_methods_of_one_operand(name):
    check([f"{x}.{name}_(); {x}" for x in "fpibzhsde"])
    if name not in ("t", "tril", "triu"):
        check([f"f.T.{name}_(); f", f"f[1].{name}_(); f", f"f[:, ::2].{name}_(); f"])


@pytest.mark.parametrize("name", BINARY.split())
def test_methods_of_two_operands(name):
    check([f"{x}.{name}_({y}); {x}" for x, y in PAIRS])
    check([f"f[1].{name}_(v); f", f"f.T.{name}_(g.T); f"])


@pytest.mark.parametrize("sign", SIGNS.split())
def test_augmented_operators(sign):
    check([f"{x} {sign} {y}; {x}" for x, y in PAIRS])
    check([f"a = f; a {sign} 2; (f, a is f)", f"f[1] {sign} 2; f"])
    check([f"i[:, 1] {sign} 2; i", f"f.T[1] {sign} 3; f"])


@pytest.mark.parametrize("line", LINES)
def test_more(line):
    check(cases(line))


# Each works on a = f * 1, which is no leaf, or on parts of it, and gives what is differentiated.
GRADIENTS = """
a.add_(g); a  a.mul_(g); a  a.mul_(a); a  a.exp_(); a  a.sigmoid_(); a  a.tanh_().mul_(g); a
a.pow_(2); a  a.div_(g); a  a.sub_(g, alpha=2); a  a.clamp_(-1, 1); a  a.relu_(); a  a.neg_(); a
a[0].add_(g[0]); a  a[0].mul_(2); a  a[0] = v; a  a[:, 1] = 0; a  a[0].mul_(a[1]); a
a[0].exp_(); a  a.T.mul_(g.T); a  a.view(-1)[::2].mul_(3); a  a[0][1:3].fill_(7); a
a[0][1:3].copy_(g[0, :2]); a  a[b] = 0; a  a[b] = s; a  a[T.tensor([0, 2])] = g[:2]; a
a[0] += g[1]; a  a[0] *= v; a  a[:, :2] -= g[:, :2]; a  a += a; a  a *= g; a  a /= g; a
a **= 2; a  a -= a[0]; a  a[0, 1] = a[1, 1] * 2; a  c2 = a[0]; c2.mul_(2); a
c2 = a[0]; a.mul_(2); c2  c2 = a[0]; a[0].mul_(3); c2  c2 = a.view(4, 3); c2[0].mul_(2); a
c2 = a[0]; a.mul_(2); c2.mul_(3); a  c2 = a.T; a[1] = v; c2  c2, e2 = a[0], a[1]; c2.mul_(e2); a
c2 = a.unbind(); a  c2 = a.detach(); c2  c2 = a.clone(); a.mul_(2); c2 + a
c2 = a * 2; a.add_(1); c2 + a  c2 = a[0]; c3 = c2[1:]; c3.mul_(2); (a, c2)  a.zero_(); a + f
a.fill_(2); a * f  a.copy_(g); a  a.copy_(v); a  a.masked_fill_(b, 0); a  a.masked_fill_(b, s); a
a.lerp_(g, 0.3); a  a.addcmul_(g, p); a  a.addcdiv_(g, p, value=2); a
a.index_fill_(0, T.tensor([1]), 3.); a  a.index_add_(0, T.tensor([0, 0]), g[:2]); a
a.scatter_add_(1, T.tensor([[0, 1]]), g[:1, :2]); a  a.tril_(); a  a.cumsum_(1); a  a.t_(); a
a.unsqueeze_(0); a  a.squeeze_(); a  a.transpose_(0, 1).mul_(2); a
x2 = x * 1; x2[0].add_(x2[1]); x2  x2 = x * 1; x2[:, 0, :].mul_(x2[:, 1, :]); x2
x2 = x * 1; x2.select(1, 2).zero_(); x2  x2 = x * 1; x2.permute(2, 0, 1)[0].mul_(4); x2
x2 = x * 1; x2[0] = f; x2[1] = f * g; x2  t2 = T.zeros(3, 4); t2[0] = v; t2
t2 = T.zeros(3, 4); t2 += f; t2  t2 = T.zeros(3, 4); t2[:, 1] = f[:, 0] * 2; t2.mul_(g); t2
t2 = T.ones(4); t2.mul_(v).add_(v); t2  t2 = T.zeros(12); t2.view(3, 4).copy_(f); t2
z2 = z * 1; z2.mul_(w); z2  z2 = z * 1; z2.real.mul_(2); z2  z2 = z * 1; z2[0] = 1j; z2
a.diagonal().mul_(2); a  a.diagonal().fill_(1); a  a.split(2)[0].mul_(2) if 0 else a
a.narrow(1, 1, 2).mul_(g[:, :2]); a  a.unfold(1, 2, 2).mul_(2); a  a.exp_().log_(); a
c2 = a.exp(); c2.add_(0); c2  c2 = a.sigmoid(); c2 *= 2; c2
c2 = a + 1; c2.mul_(2); c2.mul_(a); c2  c2 = a.expand(2, 3, 4); a.mul_(2); c2
c2 = a.reshape(12); a.mul_(2); c2  c2 = a.T.reshape(12); c2.mul_(2); a.sum() + c2.sum()
"""


@pytest.mark.parametrize("line", [line for line in GRADIENTS.splitlines() if line])
def test_gradients_through_writes(line):
    compare_all_gradients([f"a = f * 1; {text}" for text in cases(line)])


REFUSED = """
f.add_(1)  f[0] = 1; f  f.mul_(g); f  f.T.mul_(2); f  f.view(-1).zero_()  f += 1; f  v.zero_()
f[0].fill_(1)  f.copy_(g)
"""


@pytest.mark.parametrize("text", cases(REFUSED))
def test_leaves_are_not_written_while_recording(text):
    for torch_side in (True, False):
        made, _ = evaluate(text, torch_side, tracked=True)
        assert isinstance(made, RuntimeError), made


def test_resize_keeps_what_it_had():
    x = twofold.arange(6.0)
    kept = x
    assert x.resize_(2, 2) is kept and x.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert x.resize_((3, 2)).tolist() == [[0.0, 1.0], [2.0, 3.0], [0.0, 0.0]]
    assert twofold.resize_as_(x, twofold.zeros(1)).tolist() == [0.0]
    with pytest.raises(RuntimeError, match="keeps its size"):
        twofold.zeros(3, requires_grad=True).resize_(2)
    with pytest.raises(ValueError, match="not a shape"):
        x.resize_(-1)


DIRECT = """a.add_(b)  a.add_(2.5)  a.add_(b, alpha=-0.5)  a.sub_(b)  a.sub_(b, alpha=2)  a.mul_(b)
a.mul_(3)  a.div_(b)  a.add_(a)  a.mul_(a)  a.exp_()  a.sigmoid_()  a.relu_()  a.round_()
a.clamp_(-0.5, 0.5)  a.clamp_(b, 0.7)  a.lerp_(b, 0.3)  a.addcmul_(b, b, value=0.5)
a.addcdiv_(b, a)  a.sign_()  a.sqrt_()  a.zero_()  a.fill_(2)  a.copy_(b)"""


@pytest.mark.parametrize("case", cases(DIRECT))
@pytest.mark.parametrize("shape", [(), (5,), (3, 7), (60_000,)])
def test_what_is_written_directly_is_what_is_computed_apart(case, shape):
    results = []
    for direct in (True, False):
        twofold.manual_seed(3)
        a, b = twofold.randn(shape), twofold.randn(shape)
        for _ in range(3):  # the first call may have no plan yet
            target = a.clone()
            seen, version = target.detach(), target._version
            names = {"a": target if direct else target.clone().requires_grad_() * 1, "b": b}
            made = eval(case, names)
        assert made is names["a"]
        if direct:
            assert target._version == seen._version == version + 1
            assert bool((seen == made).logical_or(seen.isnan()).all())
        results.append(made.detach().numpy().tobytes())
    assert results[0] == results[1]


def test_a_write_without_a_tape_keeps_what_the_tape_saved():
    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    z = x.exp()
    kept = z.clone()
    with twofold.no_grad():
        for _ in range(2):
            z.add_(1.0)
    z.sum().backward()
    assert x.grad.tolist() == kept.tolist()


def test_a_direct_write_to_what_the_tape_saved_is_noticed():
    x, factor = twofold.ones(2, requires_grad=True), twofold.ones(2)
    y = x * factor
    factor.mul_(2.0)
    with pytest.raises(RuntimeError, match=r"factor\.mul_"):
        y.sum().backward()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_one_number_everywhere(dtype):
    kind = getattr(twofold, dtype)
    x = twofold.ones(3, 4, dtype=kind)
    part, before = x[1], x._version
    assert part.zero_() is part
    assert x._version == before + 1
    assert x.sum(1).tolist() == [4, 0, 4]
    assert x.fill_(1).sum().item() == 12
    assert x.t().fill_(0).sum().item() == 0
    with pytest.raises(ShapeError, match="one in memory"):
        twofold.ones(3, 1, dtype=kind).expand(3, 4).zero_()


def test_a_number_that_does_not_fit_is_said_so():
    x = twofold.zeros(3)
    assert x.fill_(1e300).tolist() == [float("inf")] * 3
    assert twofold.zeros(2, dtype=twofold.float16).fill_(70000.0).tolist() == [float("inf")] * 2
    with pytest.raises(ArgumentError):
        twofold.zeros(3, dtype=twofold.uint8).fill_(300)


def test_what_a_gradient_saved_survives_zero():
    x = twofold.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    with twofold.no_grad():
        y.zero_()
    with pytest.raises(GradientError):
        x.detach().requires_grad_().fill_(0.0)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([1.0, 2.0]), rtol=1e-6)


CHANGES = [
    lambda x, s, k: x.index_add_(0, k[0], s[: k.shape[1]]),
    lambda x, s, k: x.index_add_(0, k[0], s[: k.shape[1]], alpha=2),
    lambda x, s, k: x.scatter_add_(0, k, s),
    lambda x, s, k: x.scatter_reduce_(0, k, s, "mean", include_self=False),
    lambda x, s, k: x.scatter_reduce_(0, k, s, "amax"),
    lambda x, s, k: x.index_put_((k[0],), s[: k.shape[1]], accumulate=True),
    lambda x, s, k: x.t().index_add_(1, k[0], s[: k.shape[1]].t()),
    lambda x, s, k: x[1:4].index_add_(0, k[0] % 3, s[: k.shape[1]]),
]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_places_are_changed_where_they_are(number, dtype):
    """The same as where a tape sees it, which has a new tensor; again and again."""
    random = np.random.default_rng(number)
    kind = getattr(twofold, dtype)
    x = twofold.tensor(random.normal(size=(6, 5)) * 5).to(kind)
    s = twofold.tensor(random.normal(size=(6, 5)) * 5).to(kind)
    k = twofold.tensor(random.integers(0, 6, (6, 5)))
    seen = x.clone()
    if kind.is_floating_point:
        seen = seen.requires_grad_() * 1
    for _ in range(3):
        before, memory = x._version, x.numpy()
        CHANGES[number](x, s, k)
        CHANGES[number](seen, s, k)
        assert x._version == before + 1
        np.testing.assert_array_equal(x.numpy(), seen.detach().numpy())
        assert np.shares_memory(memory, x.numpy())


def test_nothing_is_written_where_an_index_is_out_of_range():
    x, one = twofold.zeros(4, 3), twofold.ones(1, 3)
    for _ in range(3):
        x.index_add_(0, twofold.tensor([1]), one)
        x.scatter_add_(0, twofold.tensor([[1, 0, 0]]), one)
    before = x.clone()
    with pytest.raises(IndexError):
        x.scatter_add_(0, twofold.tensor([[0, 9, 0]]), one)
    with pytest.raises(IndexError):
        x.index_add_(0, twofold.tensor([7]), one)
    with pytest.raises(IndexError):
        x.index_put_((twofold.tensor([7]),), one, accumulate=True)
    assert x.equal(before)
