"""Calls of several steps in machine code: the values, errors, gradients and draws of Python's."""

from typing import Any

import numpy as np
import pytest

import twofold
from twofold.codegen.native import core
from twofold.codegen.native.facts import STEPS
from twofold.exec import recall, tensors
from twofold.ops.tensor import Tensor, root_of

F = twofold.nn.functional
if core.start().tier < 3:
    pytest.skip(f"tier {core.start().tier}: {core.start().doubts}", allow_module_level=True)


@pytest.fixture(autouse=True)
def tier():
    tensors.remove()
    tensors.install()
    yield
    tensors.install()


# `m` and `w` are f32[4, 4], `x` f32[16], `c` f32[2, 3, 4]; `i` i64[5], `j` i64[5] and `k` i64[4, 4]
# are positions from -4 to 3, from 0 to 3 and from 0 to 3; `b` bool[4, 4]; `p` f32[4] probabilities.
READS = """
m[i] | m[i, j] | m[j, j] | m[:, i] | m[None, i] | m[1, j] | m[i.reshape(5, 1), j] | m[[0, -1, 2]]
m[..., i] | x[k] | m.t()[i] | c[:, j[:2]] | c[j[:3] % 2, :, i[:3]] | m.gather(1, k)
m.gather(dim=0, index=k[:2]) | m.t().gather(1, k) | m.gather(1, j[:4, None].expand(4, 3))
t.take_along_dim(m, k, 1) | t.take_along_dim(m, k[:, :1], 1) | m.index_select(0, j) | m.take(k)
m.scatter(1, k, w) | m.scatter(1, k, 2.0) | m.scatter(0, k[:, :2], w) | m.scatter_add(1, k, w)
m.scatter_reduce(1, k, w, "amax") | m.scatter_reduce(0, k, w, "mean") | m.index_add(0, j[:4], w)
m.scatter_reduce(1, k, w, "prod", include_self=False) | m.index_add(1, j[:4], w, alpha=2)
m.index_copy(0, j[:4], w) | m.index_fill(1, j, 3.0) | m.index_put((i,), w[:1]) | F.embedding(k, m)
m.index_put((i, j), x[:5], accumulate=True) | F.one_hot(j, 4) | F.one_hot(j)
m.masked_scatter(b, w) | t.einsum("ij,jk->ik", m, w) | t.einsum("i,j->ij", x, x)
t.einsum("ii", m) | k // 3 | k % 3 | t.einsum("abc,abd->acd", c, c) | k // (k + 1) | t.cat([x, x])
t.stack([m] * 9) | x + k.view(-1) | t.cat([m, w, m], 1) | k / 7 | k & 3 | m.where(b, w)
t.complex(m, w) @ t.complex(w, m) | k << 1 | F.cosine_similarity(m, w) | F.normalize(m)
t.outer(x, x) | t.cat([m[r] for r in range(4)] * 3) | t.masked_select(m, b) | m[b]
t.complex(m, w) * 2.0 | 3 // (k + 1) | 7 % (k + 1)
"""
SEVERAL = """
m.max(1) | m.max(0, keepdim=True).values | m.min(dim=1) | m.topk(2) | m.sort(1, descending=True)
x.sort() | m.median(1) | k.mode(1) | t.std_mean(m) | t.var_mean(m, 1) | m.cummax(1) | m.aminmax()
m.kthvalue(2) | m.t().max(1)[0] | m.max(1)[1] | m.sort(0).indices | x.median() | m.argsort(1)
t.quantile(m, 0.3, 1)
"""
LABELLED = """
F.nll_loss(m, j[:4]) | F.nll_loss(m, j[:4], ignore_index=2) | F.cross_entropy(m, j[:4])
F.cross_entropy(m, j[:4], ignore_index=0) | F.nll_loss(m, j[:4], reduction="none")
F.cross_entropy(m, j[:4], label_smoothing=0.1) | F.nll_loss(m, j[:4], weight=p) | m[:, [-1], None]
m[[0, 1], [2, 3]] | t.searchsorted(x.sort()[0], x) | t.cdist(m, w) | m.view_as(x) | k.type_as(m)
"""
# tables that come of sizes alone, losses that look at their targets, what they are made of
COMPOSED = """
F.adaptive_avg_pool2d(c, 2) | F.adaptive_avg_pool2d(c, (2, 3)) | F.adaptive_max_pool2d(c, (2, 3))
F.adaptive_max_pool1d(m, 3) | F.adaptive_max_pool2d(c, 2, return_indices=True) | F.pdist(m)
F.interpolate(c, 5) | F.interpolate(c, scale_factor=2, mode="linear") | F.lp_pool2d(c, 2, 2)
F.interpolate(c[None], scale_factor=2.0, mode="bilinear") | F.interpolate(c, 7, mode="area")
F.interpolate(c[None], (5, 2), mode="bicubic", align_corners=True) | F.adaptive_avg_pool1d(m, 3)
F.interpolate(c[None], (2, 3), mode="bilinear", antialias=True)
F.interpolate(c, 3, mode="nearest-exact")
F.fold(c.reshape(1, 8, 3), (2, 4), 2) | F.pixel_shuffle(x.view(4, 2, 2), 2) | F.glu(m)
F.pixel_unshuffle(m.view(1, 4, 4), 2) | F.channel_shuffle(x.view(1, 4, 4), 2) | F.prelu(m, p)
F.scaled_dot_product_attention(m, w, m) | F.local_response_norm(c, 2) | F.gaussian_nll_loss(m, w, m)
F.scaled_dot_product_attention(m[None], w[None], m[None], is_causal=True) | F.kl_div(m, w)
F.multi_margin_loss(m, j[:4]) | F.multi_margin_loss(m, j[:4], p=2, weight=p) | F.mse_loss(m, w)
F.multilabel_margin_loss(m, k - 1) | F.multilabel_soft_margin_loss(m, (w > 0).float())
F.hinge_embedding_loss(m, w.sign()) | F.margin_ranking_loss(m, w, m.sign()) | F.l1_loss(m, w)
F.triplet_margin_loss(m, w, m * w) | F.cosine_embedding_loss(m, w, j[:4].sign() * 2 - 1)
F.kl_div(m, w, reduction="batchmean", log_target=True)
F.binary_cross_entropy(m.sigmoid(), w.sigmoid())
F.binary_cross_entropy(p, p) | F.binary_cross_entropy_with_logits(m, w, pos_weight=p)
F.gaussian_nll_loss(m, w, p) | F.poisson_nll_loss(m, w) | F.soft_margin_loss(m, w.sign())
F.cross_entropy(m, j[:4], weight=p) | F.cross_entropy(m, j[:4], reduction="none")
F.cross_entropy(m, j[:4], reduction="sum", ignore_index=1) | F.cross_entropy(m, w.softmax(1))
F.cross_entropy(m[None], k[:1]) | F.cross_entropy(x, k[0, 0]) | t.nn.CrossEntropyLoss()(m, j[:4])
t.nn.MSELoss(reduction="sum")(m, w) | t.nn.NLLLoss()(m, j[:4]) | m.nansum() | t.nanmean(m, 1)
t.logaddexp(m, w) | m.renorm(2, 0, 1.0) | t.diag_embed(m) | m.diagonal_scatter(x[:4])
m.select_scatter(x[:4], 0, 1) | m.slice_scatter(w[:2], 0, 1, 3) | t.rot90(m) | m.msort() | x.diff()
x.repeat_interleave(2) | m.repeat_interleave(j[:4], 0) | m.tile(2, 2) | m.frexp()
x.logcumsumexp(0)
t.isin(k, j) | t.isin(k, 2) | t.isclose(m, w) | m.cov() | m.corrcoef() | t.dist(m, w)
t.linalg.matrix_norm(m) | t.linalg.vector_norm(x) | t.linalg.multi_dot([m, w, m])
t.linalg.matrix_power(m, 3) | t.block_diag(m, w) | F.bilinear(m, w, c.view(1, 6, 4)[:, :4])
t.fft.fft(x) | t.fft.rfft(m, dim=0) | t.fft.ifft(t.fft.fft(c)) | t.fft.irfft(t.complex(m, w)).sum()
t.fft.fft2(m).real | t.nn.Dropout(0.4)(m) | t.nn.AdaptiveMaxPool2d(2)(c) | m * 2j | m[b] + 1
t.nn.MaxPool2d(2)(c) | t.masked_select(m, m > w) | x[x > 0] | (m > 0).nonzero() | x[k[1, 2]] * 1
F.glu(m, 0) * 2 | F.glu(c) | t.var_mean(m) | F.max_pool2d(c, 2, return_indices=True)
t.split(m, 2)[1] + 1 | t.equal(m, w) or m | t.equal(m, m) and m | t.stack(c.unbind(1), 0)
t.combinations(p) | t.histc(x, 4) | k.view(-1).bincount() | k.unique() | b.nonzero() | t.vander(p)
"""
DRAWN = """
t.rand(3, 4) | t.randn(2, 3) | t.rand((3,), dtype=t.float64) | t.randint(0, 9, (3, 2))
t.randperm(7) | t.rand_like(m) | t.randn_like(m) | t.randint_like(k, 9) | t.bernoulli(p)
F.dropout(m, 0.4) | t.normal(m, p) | t.normal(1.0, 2.0, (3,)) | t.multinomial(p, 2)
t.multinomial(p, 5, replacement=True) | F.dropout(m, 0.4, training=False)
t.rand(3, requires_grad=True) | F.dropout2d(c, 0.5)
"""
WRITES = """
m.scatter_(1, k, w) | m.scatter_(1, k, 2.0) | m.scatter_add_(0, k, w) | m.index_add_(0, j[:4], w)
m.index_add_(0, j[:4], w, alpha=-2) | m.index_copy_(1, j[:4], w) | m.index_fill_(0, j, 0.5)
m.__setitem__(i, w[0]) | m.__setitem__(i, 0.5) | m.__setitem__((i, j), 1) | m.__setitem__(b, 2.5)
m.__setitem__((slice(None), i), w[:, :1]) | m.__setitem__([0, 2], w[:2])
m.index_put_((i,), w[0]) | m.__setitem__(b, t.tensor(3.0))
m.index_put_((j, i), x[:5], accumulate=True) | m.normal_() | m.t().__setitem__(i, 0.5)
m[1:].__setitem__(j % 3, 7.0) | m.masked_scatter_(b, w) | m.t().normal_() | m.uniform_(-1, 1)
m.normal_(0, 0.5) | m.bernoulli_(0.3) | m.exponential_() | k.random_(5) | m[1:].uniform_()
m.scatter_(1, k, m) | m.__setitem__(k[0, 0], w[1]) | m.__setitem__(j[2], 2)
x.__setitem__(k[1, 2], w[0, 0]) | t.nn.init.ones_(m.t())
t.nn.init.normal_(m, 0.0, 0.3) | t.nn.init.uniform_(m) | t.nn.init.zeros_(m)
m.__setitem__(b, x[:int(b.sum())]) | m.t().__setitem__(b, x[:int(b.sum())])
m.__setitem__(b, m.view(-1)[:int(b.sum())]) | m.__setitem__(b, k.view(-1)[:int(b.sum())])
m.__setitem__(b, x[:3]) | m.__setitem__(i, m[0]) | m.scatter_reduce_(1, k, w, "sum")
k.__setitem__(k > 2, 0) | m.__setitem__(m > 0, 0) | F.relu(m, inplace=True) | t.relu_(m)
F.relu_(m) | m.cumsum_(0) | m.__setitem__(b, k[0, 0]) | F.dropout(m, 0.3, inplace=True)
"""


def cases(text: str) -> list[str]:
    return [case.strip() for case in text.replace("\n", "|").split("|") if case.strip()]


CASES = [
    case for text in (READS, SEVERAL, LABELLED, COMPOSED, DRAWN, WRITES) for case in cases(text)
]


def operands(turn: int, tracked: bool, outside: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(turn)
    floats = {"m": (4, 4), "w": (4, 4), "x": (16,), "c": (2, 3, 4)}
    made: dict[str, Any] = {"t": twofold, "F": twofold.nn.functional}
    for name, shape in floats.items():
        made[name] = twofold.tensor(random.normal(size=shape).astype("f4"), requires_grad=tracked)
    i, j, k = (random.integers(low, 4, n) for low, n in ((-4, 5), (0, 5), (0, (4, 4))))
    i[2], j[2], k[1, 2] = (n + outside for n in (i[2], j[2], k[1, 2]))
    made |= {name: twofold.tensor(n) for name, n in (("i", i), ("j", j), ("k", k))}
    made["b"] = twofold.tensor(random.random((4, 4)) < 0.5)
    made["p"] = twofold.tensor(random.random(4).astype("f4") - (outside > 0))
    return made


def told(code: Any, turn: int, tracked: bool, outside: int = 0) -> list[Any]:
    """What a case leaves behind."""
    names = operands(turn, tracked, outside)
    tensors_in = {name: x for name, x in names.items() if isinstance(x, Tensor)}
    arrays = {name: x.array for name, x in tensors_in.items()}
    twofold.manual_seed(turn)
    found: list[Any] = []
    try:
        made = eval(code, names)
        found.append(type(made))
        for part in made if isinstance(made, tuple) else () if made is None else (made,):
            found += [part.array.dtype, part.array.shape, part.array.tobytes(), part.tracked]
            found += [part.version, part.base is None, [part is x for x in tensors_in.values()]]
            found += [part.node and (part.node.op.name, part.node.versions, part.node.shape)]
            if tracked and part.node is not None:
                (part * part.detach()).real.sum().backward()
    except Exception as error:
        found += [type(error), str(error)]
    for name, x in tensors_in.items():
        found += [x.array.tobytes(), x.version, x.array is arrays[name], root_of(x) is x]
        found += [None if x.grad is None else x.grad.array.tobytes()]
    return [*found, twofold.get_rng_state().tolist()]


def check(case: str, tracked: bool, turns: list[tuple[int, int]]) -> None:
    code = compile(case, "the_user.py", "eval")
    for grad in (True, False):
        with twofold.set_grad_enabled(grad):
            tensors.remove()
            wanted = [told(code, turn, tracked, outside) for turn, outside in turns]
            tensors.install()
            for _ in range(2):
                for (turn, outside), right in zip(turns, wanted, strict=True):
                    assert told(code, turn, tracked, outside) == right, (case, turn, outside, grad)


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_as_python_does(case: str, tracked: bool) -> None:
    """Positions, masks and values are others in every turn; then one is out of range."""
    check(case, tracked, [(0, 0), (1, 0), (2, 0), (3, 9), (4, 0), (5, 9)])


REMEMBERED = """
m[i] | m[i, j] | m[j, j] | m.gather(1, k) | m.index_add_(0, j[:4], w) | t.randn(2, 3)
m.normal_() | m.__setitem__(i, 0.5) | m.__setitem__(b, 0.5) | t.einsum("ij,jk->ik", m, w)
F.dropout(m, 0.5) | t.stack([m] * 9) | m.topk(2) | m.max(1) | F.nll_loss(m, j[:4]) | m[:, [-1]]
t.rand_like(m) | t.multinomial(p, 2) | k // 7 | F.one_hot(j, 4) | k / 7
F.adaptive_avg_pool2d(c, 2)
F.adaptive_max_pool2d(c, (2, 3)) | F.interpolate(c, 5) | F.multi_margin_loss(m, j[:4])
F.interpolate(c[None], scale_factor=2.0, mode="bilinear") | F.cross_entropy(m, j[:4])
F.cross_entropy(m, j[:4], reduction="none") | F.cross_entropy(m, j[:4], weight=p)
F.triplet_margin_loss(m, w, m * w) | F.kl_div(m, w) | t.nn.CrossEntropyLoss()(m, j[:4])
"""


@pytest.mark.parametrize("case", cases(REMEMBERED))
def test_they_are_remembered(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    learn, count = recall.Memory.learn, [0]

    def counted(self: Any, *args: Any) -> Any:
        count[0] += 1
        return learn(self, *args)

    monkeypatch.setattr(recall.Memory, "learn", counted)
    code = compile(case, "the_user.py", "eval")
    for turn in range(3):
        eval(code, operands(turn, False))
    count[0] = 0
    names = operands(4, False)
    eval(code, names)
    assert not count[0]


def test_what_depends_on_values_is_not() -> None:
    one_hot = twofold.nn.functional.one_hot
    for numbers in ([0, 1], [0, 4], [1, 0], [0, 2]):
        classes = twofold.tensor(numbers)
        assert one_hot(classes).tolist() == np.eye(max(numbers) + 1)[numbers].tolist()


def test_draws_of_a_call_that_fails_are_taken_back() -> None:
    twofold.manual_seed(3)
    wanted = [twofold.rand(2).tolist() for _ in range(4)]
    twofold.manual_seed(3)
    x = twofold.zeros(2)
    found = [twofold.rand(2).tolist()]
    found.append(x.uniform_().tolist())
    frozen = np.zeros(2, np.float32)
    frozen.flags.writeable = False
    y = twofold.from_numpy(np.zeros(2, np.float32))
    y.array.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        y.uniform_()
    found.append(twofold.rand(2).tolist())
    assert found[:2] == wanted[:2]
    assert found[2] == wanted[3]  # the refused call drew, as it does in Python


def test_streams_of_ones_own() -> None:
    from twofold.ops.generators import Generator, drawing_from

    def drawn(seed: int) -> list[Any]:
        own = Generator(seed=seed)
        with drawing_from(own):
            return [twofold.rand(3).tolist(), twofold.zeros(3).normal_().tolist()]

    twofold.manual_seed(0)
    state = twofold.get_rng_state().tolist()
    wanted = drawn(1), drawn(2)
    assert twofold.get_rng_state().tolist() == state
    for _ in range(3):
        twofold.rand(3), twofold.zeros(3).normal_()
        assert (drawn(1), drawn(2)) == wanted
    state = twofold.get_rng_state()
    first = twofold.rand(3).tolist()
    twofold.set_rng_state(state)
    assert twofold.rand(3).tolist() == first
    own = twofold.Generator().manual_seed(4)
    assert twofold.rand(3, generator=own).tolist() != twofold.rand(3, generator=own).tolist()


def test_the_default_type_is_followed() -> None:
    for _ in range(2):
        assert twofold.rand(3).dtype is twofold.float32
        twofold.set_default_dtype(twofold.float64)
        try:
            assert twofold.rand(3).dtype is twofold.float64
        finally:
            twofold.set_default_dtype(twofold.float32)


def test_divisors_that_are_zero() -> None:
    x = twofold.tensor([7, -7])
    for turn in range(4):
        y = twofold.tensor([2, turn % 2])
        if turn % 2:
            assert (x // y).tolist() == [3, -7]
            assert (x % y).tolist() == [1, 0]
        else:
            for call in (lambda y=y: x // y, lambda y=y: x % y):
                with pytest.raises(ZeroDivisionError):
                    call()


def test_a_list_with_the_same_tensor_twice() -> None:
    for _ in range(3):
        x, y = twofold.tensor([1.0]), twofold.tensor([2.0])
        assert twofold.cat([x, x]).tolist() == [1.0, 1.0]
        assert twofold.cat([x, y]).tolist() == [1.0, 2.0]
        assert twofold.cat([x, y, x]).tolist() == [1.0, 2.0, 1.0]


class Marked(Tensor):
    """A class of a user's own."""


ALIKE = {
    "cross_entropy": lambda x: F.cross_entropy(x, twofold.tensor([0, 2, 1, 3])),
    "pool": lambda x: F.adaptive_max_pool1d(x, 3),
    "means": lambda x: F.adaptive_avg_pool1d(x, 3),
    "interpolate": lambda x: F.interpolate(x[None], 7, mode="linear"),
    "glu": lambda x: F.glu(x),
    "var_mean": lambda x: twofold.var_mean(x, 1)[0],
    "module": twofold.nn.Softplus(),
    "kl_div": lambda x: F.kl_div(x, x.softmax(1), reduction="sum"),
    "fft": lambda x: twofold.fft.rfft(x).abs(),
    "scaled": lambda x: x * 2j,
    "detach": lambda x: x * x.detach(),
}


@pytest.mark.parametrize("name", ALIKE)
def test_what_is_remembered_is_for_its_kind_alone(name: str) -> None:
    """After plain calls: tracked tensors, transforms, classes, tensors without data, graphs."""
    call, data = ALIKE[name], np.random.default_rng(0).normal(size=(4, 4)).astype("f4")
    wanted = call(twofold.tensor(data)).numpy()
    for _ in range(3):
        assert call(twofold.tensor(data)).numpy().tobytes() == wanted.tobytes()
    x = twofold.tensor(data, requires_grad=True)
    made = call(x)
    assert made.tracked
    assert made.detach().numpy().tobytes() == wanted.tobytes()
    made.real.sum().backward()
    slope = twofold.func.grad(lambda v: call(v).real.sum())(twofold.tensor(data))
    np.testing.assert_allclose(slope.numpy(), x.grad.numpy(), 1e-6, 1e-7)
    with twofold.no_grad():
        assert not call(x).tracked
    batched = twofold.vmap(call)(twofold.tensor(np.stack([data, data])))
    np.testing.assert_allclose(batched[1].numpy(), wanted, 1e-6, 1e-7)
    assert call(twofold.tensor(data)).numpy().tobytes() == wanted.tobytes()
    assert type(call(twofold.tensor(data).as_subclass(Marked))) is Marked
    empty = call(twofold.tensor(data).to("meta"))
    assert empty.shape == wanted.shape
    assert empty.device.type == "meta"
    compiled = twofold.compile(call)(twofold.tensor(data))
    np.testing.assert_array_equal(compiled.numpy(), wanted)
    double = call(twofold.tensor(data.astype("f8")))
    assert double.dtype.itemsize == 2 * call(twofold.tensor(data)).dtype.itemsize
    assert call(twofold.tensor(data)).numpy().tobytes() == wanted.tobytes()


def test_numbers_of_other_kinds_give_other_types() -> None:
    i = twofold.tensor([1, 2])
    whole, real, pair = twofold.int64, twofold.float32, twofold.complex64
    kinds = [(1, whole), (1.0, real), (True, whole), (1 + 0j, pair)]
    for _ in range(3):
        for number, kind in kinds:
            assert (i * number).dtype is kind
            assert twofold.isin(i, 1).tolist() == [True, False]
        assert F.interpolate(twofold.ones(1, 1, 2), scale_factor=2).shape == (1, 1, 4)
        assert F.interpolate(twofold.ones(1, 1, 2), scale_factor=2.5).shape == (1, 1, 5)
        assert F.adaptive_max_pool1d(twofold.ones(1, 4), True).shape == (1, 1)
        assert F.adaptive_max_pool1d(twofold.ones(1, 4), 2).shape == (1, 2)


def test_a_table_that_is_written_is_not_remembered() -> None:
    """What a function made from sizes and then changed by values is Python's."""
    from twofold.exec.recalled_steps import find_steps
    from twofold.ops import bind

    def counted(x: Tensor) -> Tensor:
        table = twofold.zeros(3)
        table[0] = float(x.array.sum())
        return x + table

    x = twofold.tensor([1.0, 2.0, 3.0])
    recorder = recall.Recorder(bind.run_eager)
    with bind.interpreter(recorder):
        made = counted(x)
    call = recall.Call(counted, None, (x,), made)
    assert find_steps(call, recorder, lambda op: 0) is None


def test_draws_from_a_generator_of_ones_own_are_machine_codes() -> None:
    def draws(generator: Any) -> list[Any]:
        made = [twofold.randn(3, generator=generator) for _ in range(3)]
        return [x.tolist() for x in (*made, twofold.randperm(5, generator=generator))]

    own, other = twofold.Generator().manual_seed(5), twofold.Generator().manual_seed(7)
    found = draws(own) + draws(own)
    kept = tensors._tier[0].memory.kept.values()
    assert {one[1].__name__ for one in kept if own in one[4]} == {"randn", "randperm"}
    assert all(one[0][recall.KIND] == STEPS for one in kept if own in one[4])
    assert draws(other) != found[:4]
    assert own.draw == 8
    tensors.remove()
    again = twofold.Generator().manual_seed(5)
    assert draws(again) + draws(again) == found


def test_steps_with_and_without_the_tape_are_remembered_side_by_side() -> None:
    p, w = twofold.randn(5).requires_grad_(), twofold.randn(5, 3)
    plain = p.detach()
    memory = tensors._tier[0].memory

    def turn() -> tuple[Tensor, Tensor]:
        return p @ w, plain @ w

    for _ in range(6):
        turn()
    kept = [one for one in memory.kept.values() if one[1].__name__ == "__matmul__"]
    assert sorted(one[0][recall.TAPED] for one in kept) == [0, 1]
    taped, untaped = turn()
    assert taped.requires_grad and not untaped.requires_grad
    assert twofold.equal(taped.detach(), untaped)
    (g,) = twofold.autograd.grad(taped.sum(), p)
    assert twofold.allclose(g, w.sum(1))
