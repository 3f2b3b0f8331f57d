"""vmap of public functions: axes, structures, randomness, nesting, and what is refused."""

import warnings

import numpy as np
import pytest

import twofold
from twofold import func
from twofold.autograd import vmap as vmaps
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, TwofoldError
from twofold.nn import functional as F
from twofold.ops.bind import bind
from twofold.ops.op import OPS, Op, same
from twofold.ops.tensor import wrap

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3, 5))


def t(array):
    return twofold.tensor(array)


def check(function, *arrays, in_dims=0, out_dims=0):
    """vmap is the loop, bit for bit."""
    axes = in_dims if isinstance(in_dims, tuple) else (in_dims,) * len(arrays)
    found = twofold.vmap(function, in_dims, out_dims)(*map(t, arrays))
    size = next(a.shape[d] for a, d in zip(arrays, axes, strict=True) if d is not None)
    lanes = [
        function(
            *(t(a if d is None else np.take(a, i, d)) for a, d in zip(arrays, axes, strict=True))
        )
        for i in range(size)
    ]
    want = np.stack([lane.numpy() for lane in lanes], out_dims)
    np.testing.assert_array_equal(found.numpy(), want)


FUNCTIONS = {
    "reductions": lambda x: x.sum(0) + x.mean(-2) * x.amax(0) - x.std(0),
    "all axes": lambda x: x.sum() + x.prod(),
    "views": lambda x: x.T.reshape(-1)[2:7].unflatten(0, (5, 1)).flip(0),
    "negative index": lambda x: x[-1, ::2],
    "ellipsis": lambda x: x[..., None, 1:3],
    "index by a list": lambda x: x[[0, 2, 1], [1, 1, 4]],
    "index around a slice": lambda x: x[None][[0, 0], :, [1, 3]],
    "split": lambda x: twofold.cat([p * i for i, p in enumerate(x.split(2, 1))], 1),
    "chunk": lambda x: x.chunk(2, -1)[1],
    "unbind": lambda x: x.unbind(1)[2],
    "stack": lambda x: twofold.stack([x, x * 2], 1),
    "where": lambda x: twofold.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x > 0, -1),
    "sort": lambda x: x.sort(1, descending=True)[0],
    "argsort": lambda x: x.argsort(0),
    "topk": lambda x: x.topk(2, 1).values,
    "argmax": lambda x: x.argmax(1),
    "cumsum": lambda x: x.cumsum(0),
    "einsum": lambda x: twofold.einsum("ij,kj->ik", x, x),
    "norm": lambda x: x.norm(dim=1),
    "softmax": lambda x: F.softmax(x, 0) + F.log_softmax(x, -1),
    "layer_norm": lambda x: F.layer_norm(x, (5,)),
    "pad": lambda x: F.pad(x, (1, 2), value=3.0),
    "gather": lambda x: x.gather(1, x.argsort(1)),
    "scatter": lambda x: twofold.zeros_like(x).scatter_add(1, x.argsort(1), x),
    "one_hot": lambda x: F.one_hot(x.argmax(1), 5),
    "linear": lambda x: F.linear(x, x, x[:, 0]),
    "attention": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]),
    "masked attention": lambda x: F.scaled_dot_product_attention(
        x[None], x[None], x[None], attn_mask=x @ x.T > -1
    ),
    "conv1d": lambda x: F.conv1d(x, x[None, :, :2]),
    "pooling": lambda x: F.max_pool1d(x, 2) + F.avg_pool1d(x, 2),
    "cross_entropy": lambda x: F.cross_entropy(x, x.argmax(1)),
    "ignored labels": lambda x: F.cross_entropy(x, x.argmax(1), ignore_index=2),
    "nll_loss": lambda x: F.nll_loss(x, x.argmax(1), ignore_index=1),
    "embedding": lambda x: F.embedding(x.argsort(1)[0] % 3, x),
    "tril": lambda x: x[:, :3].tril() + x[:, :3].triu(1),
    "diagonal": lambda x: x.diagonal(1) + twofold.diag_embed(x[0])[0, :3],
    "roll": lambda x: x.roll(1, 0).roll((1, 2), (0, 1)),
    "unfold": lambda x: x.unfold(1, 2, 2),
    "constants of its own": lambda x: x + twofold.ones(3, 1) * twofold.arange(5),
    "written parts": lambda x: _written(x),
    "lists of results": lambda x: x.tolist if False else x * 1,
    "solve": lambda x: twofold.linalg.solve(x[:, :3] + 5 * twofold.eye(3, dtype=x.dtype), x),
    "fft": lambda x: twofold.fft.rfft(x).abs(),
    "index by a batched number": lambda x: x[x[:, 0].argmax()],
}


def _written(x):
    y = x.clone()
    y[0] = y[1] * 2
    y[:, 1:3] += 1
    y.view(-1)[3:5].mul_(10)
    return y


@pytest.mark.parametrize("name", FUNCTIONS)
def test_is_the_loop(name):
    check(FUNCTIONS[name], X)
    check(FUNCTIONS[name], X.transpose(1, 0, 2).copy(), in_dims=1)
    check(FUNCTIONS[name], X.astype(np.float32))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_the_loop(name):
    def total(x):
        made = FUNCTIONS[name](x)
        return (made.to(x.dtype) * 1.5).sum()

    found = func.vmap(func.grad(total))(t(X))
    for row, lane in enumerate(X):
        want = func.grad(total)(t(lane))
        np.testing.assert_allclose(found[row].numpy(), want.numpy(), 1e-12, 1e-13)


def test_axes_of_arguments_and_results():
    a, b = RNG.normal(size=(2, 5)), RNG.normal(size=(5, 3))
    check(lambda x, y: x[:, None] * y, a, b, in_dims=(1, 0))
    check(lambda x, y: x[:, None] * y[0], a, b, in_dims=(1, None))
    check(lambda x, y: x[:, None] * y, a, b, in_dims=(-1, 0), out_dims=1)
    check(lambda x, y: x[:, None] * y, a, b, in_dims=(1, 0), out_dims=2)
    check(lambda x, y: x @ y, a, b, in_dims=(0, None))


def test_trees_of_arguments_and_results():
    p = {"w": t(X[:, 0]), "b": [t(X[0, 0])]}
    axes = ({"w": 0, "b": [None]}, 1)
    made = twofold.vmap(lambda p, x: {"y": p["w"] * x + p["b"][0], "z": (x,)}, axes, 0)(
        p, t(X[:, 1].T)
    )
    np.testing.assert_array_equal(made["y"].numpy(), X[:, 0] * X[:, 1] + X[0, 0])
    np.testing.assert_array_equal(made["z"][0].numpy(), X[:, 1])
    first, second = twofold.vmap(lambda x: (x * 2, x.sum()), out_dims=(1, 0))(t(X[0]))
    assert tuple(first.shape) == (5, 3) and tuple(second.shape) == (3,)


def test_keywords_go_over_their_first_axis():
    made = twofold.vmap(lambda x, *, y: x * y)(t(X), y=t(X))
    np.testing.assert_array_equal(made.numpy(), X * X)


def test_results_that_no_lane_differs_in():
    made = twofold.vmap(lambda x: twofold.ones(2))(t(X))
    assert tuple(made.shape) == (4, 2)
    one = twofold.vmap(lambda x: (x, twofold.ones(2)), out_dims=(0, None))(t(X))[1]
    assert tuple(one.shape) == (2,)


def test_nested():
    a, b = t(X[0, 0]), t(X[0, 1])
    outer = twofold.vmap(lambda x: twofold.vmap(lambda y: x * y + y)(b))(a)
    np.testing.assert_array_equal(outer.numpy(), X[0, 0][:, None] * X[0, 1] + X[0, 1])
    three = twofold.vmap(twofold.vmap(twofold.vmap(lambda x: x.sin())))(t(X))
    np.testing.assert_array_equal(three.numpy(), t(X).sin().numpy())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_chunks_are_the_whole(size):
    f = lambda x: (x @ x.T, x.sum())  # noqa: E731
    whole, parts = twofold.vmap(f)(t(X)), twofold.vmap(f, chunk_size=size)(t(X))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_no_lanes():
    made = twofold.vmap(lambda x: (x * 2).sum(0))(twofold.zeros(0, 3, 5))
    assert tuple(made.shape) == (0, 5)


# ---- in place


def test_a_batched_argument_is_written_as_without_vmap():
    x = t(X[0])
    twofold.vmap(lambda r: r.mul_(2))(x)
    np.testing.assert_array_equal(x.numpy(), X[0] * 2)


def test_a_shared_tensor_cannot_be_written():
    shared = twofold.zeros(5, dtype=twofold.float64)
    with pytest.raises(ArgumentError, match="from outside of vmap is written in place"):
        twofold.vmap(lambda r: shared.add_(r))(t(X[0]))
    assert shared.sum().item() == 0
    for make in (lambda r: r.new_zeros(5), twofold.zeros_like):
        found = twofold.vmap(lambda r, make=make: make(r).add_(r))(t(X[0]))
        np.testing.assert_array_equal(found.numpy(), X[0])
        two = twofold.vmap(twofold.vmap(lambda r, make=make: make(r).add_(r)))(t(X))
        np.testing.assert_array_equal(two.numpy(), X)


# ---- random numbers


def test_random_numbers_must_be_chosen():
    with pytest.raises(ArgumentError, match="rand draws random numbers"):
        twofold.vmap(lambda x: x + twofold.rand(3))(t(X[:, :, 0]))
    with pytest.raises(ArgumentError, match="dropout_mask draws"):
        twofold.vmap(lambda x: F.dropout(x, 0.5))(t(X))


def test_each_lane_draws_its_own():
    twofold.manual_seed(0)
    found = twofold.vmap(lambda x: twofold.randn(3) + x * 0, randomness="different")(t(X[:, :, 0]))
    twofold.manual_seed(0)
    want = [twofold.randn(3).numpy() for _ in range(4)]
    np.testing.assert_allclose(found.numpy(), np.stack(want))


def test_all_lanes_draw_the_same():
    twofold.manual_seed(0)
    found = twofold.vmap(lambda x: twofold.rand(3) + x * 0, randomness="same")(t(X[:, :, 0]))
    twofold.manual_seed(0)
    np.testing.assert_allclose(found.numpy(), np.tile(twofold.rand(3).numpy(), (4, 1)))


def test_probabilities_of_each_lane():
    chance = twofold.tensor([[0.0, 1.0], [1.0, 0.0]])
    found = twofold.vmap(twofold.bernoulli, randomness="different")(chance)
    assert found.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ArgumentError, match="differs from lane to lane"):
        twofold.vmap(twofold.bernoulli, randomness="same")(chance)
    dropped = twofold.vmap(lambda x: F.dropout(x, 0.5), randomness="different")(twofold.ones(8, 64))
    assert len({tuple(row) for row in dropped.tolist()}) == 8


def test_numbers_that_are_drawn_by_place():
    from twofold.ops.sampling import gamma_like, poisson

    rates = twofold.ones(4, 3) * 7
    for draw in (gamma_like, poisson):
        twofold.manual_seed(1)
        whole = draw(rates)
        twofold.manual_seed(1)
        lanes = func.vmap(draw, randomness="different")(rates)
        np.testing.assert_array_equal(lanes.numpy(), whole.numpy())
        shared = func.vmap(lambda x, draw=draw: draw(rates[0]) + x * 0, randomness="different")
        assert len(set(shared(rates[:, 0]).flatten().tolist())) > 3
        same = func.vmap(lambda x, draw=draw: draw(rates[0]) + x * 0, randomness="same")
        assert len({tuple(row) for row in same(rates[:, 0]).tolist()}) == 1
        with pytest.raises(ArgumentError, match="draws random numbers"):
            func.vmap(draw)(rates)
        with pytest.raises(ArgumentError, match="differs from lane to lane"):
            func.vmap(draw, randomness="same")(rates)
    slope = func.vmap(func.grad(lambda x: gamma_like(x).sum()), randomness="different")(rates)
    assert tuple(slope.shape) == (4, 3) and len(set(slope.flatten().tolist())) == 12


def test_random_numbers_under_jvp_and_nested_vmaps():
    x = t(X[0, 0])
    twofold.manual_seed(3)
    _, slope = func.jvp(lambda x: x * twofold.rand(5, dtype=x.dtype), (x,), (x * 0 + 1,))
    twofold.manual_seed(3)
    np.testing.assert_array_equal(slope.numpy(), twofold.rand(5, dtype=x.dtype).numpy())
    inner = func.vmap(lambda y: twofold.rand(2) + y * 0, randomness="different")
    made = func.vmap(lambda r: inner(r), randomness="different")(t(X[0]).float())
    assert len(set(made.flatten().tolist())) == 30
    made = func.vmap(lambda r: inner(r), randomness="same")(t(X[0]).float())
    assert len(set(made.flatten().tolist())) == 10


# ---- operations without a rule


@pytest.fixture
def strange():
    op = Op(
        "strange", inputs=("x",), attrs=(), accepts="f", infer=same, ref=lambda x: x * 3, vjp=None,
        lower=None, batch=None, jvp=None, view=False, outputs=1, residuals=0, variadic=False,
        saves_out=False, saved_inputs=(0,), saved_outputs=[], defaults={}, doc="", samples=None,
        errors=None, torch=False,
    )  # fmt: skip
    vmaps._warned.discard("strange")
    return op


def test_an_operation_without_a_rule_runs_lane_by_lane(strange):
    with pytest.warns(UserWarning, match="vmap runs strange once for each of 4 lanes"):
        found = func.vmap(lambda x: bind(strange, (x,)))(t(X))
    np.testing.assert_array_equal(found.numpy(), X * 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it says so once
        func.vmap(lambda x: bind(strange, (x,)))(t(X))


def test_a_rule_of_the_record_goes_first(strange):
    strange.batch = lambda op, lanes, on, xs, attrs: xs[0] * 7
    found = func.vmap(lambda x: bind(strange, (x,)))(t(X))
    np.testing.assert_array_equal(found.numpy(), X * 7)


# ---- what is refused

REFUSED = [
    (lambda x: func.vmap(lambda x: x.item())(x[0, 0]), ArgumentError, "not known inside vmap"),
    (lambda x: func.vmap(lambda x: 1 if x > 0 else 2)(x[0, 0]), ArgumentError, "not known inside"),
    (lambda x: func.vmap(lambda x: float(x))(x[0, 0]), ArgumentError, "not known inside"),
    (lambda x: func.vmap(lambda x: x.numpy())(x), ArgumentError, "not known inside"),
    (lambda x: func.vmap(lambda x: x[x > 0])(x), ArgumentError, "not known inside"),
    (lambda x: func.vmap(lambda x: x.nonzero())(x), ArgumentError, "not known inside"),
    (lambda x: func.vmap(lambda x: x, None)(x), ArgumentError, "in_dims=None"),
    (lambda x: func.vmap(lambda x: x, (None,))(x), ArgumentError, "no argument to go over"),
    (lambda x: func.vmap(lambda x: x, (0, 0))(x), ArgumentError, "1 positional arguments"),
    (lambda x: func.vmap(lambda x: x, 3)(x), ShapeError, "in_dims 3 is not an axis"),
    (lambda x: func.vmap(lambda x: x, (1.0,))(x), DTypeError, "in_dims holds 1.0"),
    (lambda x: func.vmap(lambda x, y: x)(x, 2.0), DTypeError, "is a float, which has no axis 0"),
    (lambda x: func.vmap(lambda x, y: x)(x, x[:2]), ShapeError, "the sizes \\[4, 2\\]"),
    (lambda x: func.vmap(lambda x: 1.0)(x), DTypeError, "gives a float"),
    (lambda x: func.vmap(lambda x: x, out_dims=None)(x), ArgumentError, "out_dims is None"),
    (lambda x: func.vmap(lambda x: x, out_dims=7)(x), ShapeError, "out_dims 7"),
    (lambda x: func.vmap(lambda x: x, out_dims=(0, 0))(x), ArgumentError, "not nested as"),
    (lambda x: func.vmap(lambda x: x, randomness="no")(x), ArgumentError, "randomness='no'"),
    (lambda x: func.vmap(lambda x: x, chunk_size=0)(x), ArgumentError, "chunk_size=0"),
    (lambda x: func.vmap(lambda x: F.one_hot(x.argmax(), 2))(x[0]), IndexError, "not within"),
    (lambda x: func.vmap(lambda x: x.normal_())(x), ArgumentError, "random numbers"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(t(X))


def test_labels_of_all_lanes_are_checked():
    labels = twofold.tensor([0, 1, 7, 2])
    with pytest.raises(IndexError, match="label 7 is out of range"):
        func.vmap(lambda x, y: F.cross_entropy(x[None], y[None]))(t(X[:, 0]), labels)
    with pytest.raises(IndexError, match="out of range"):
        func.vmap(lambda x, i: x[i])(t(X[:, 0]), labels)


def test_a_tensor_that_outlives_its_vmap_is_refused():
    kept = []
    func.vmap(lambda x: kept.append(x) or x)(t(X))
    for use in (lambda x: x + 1, lambda x: x.sum(), lambda x: x @ x.T, lambda x: x[0]):
        with pytest.raises(TwofoldError):
            use(kept[0])
    assert repr(kept[0]) == "tensor(Lanes([3, 5], 4 of them), dtype=twofold.float64)"


def test_every_rule_names_a_record_or_a_late_one():
    from twofold.ops import batch_rules, forward_rules

    assert set(batch_rules.RULES) <= set(OPS)
    assert set(forward_rules.RULES) <= set(OPS)
    assert wrap(X) is not None


def test_linspace_between_lanes():
    starts, ends = twofold.tensor([0.0, 1.5]), twofold.tensor([1.0, -4.5])
    made = twofold.vmap(lambda a, b: twofold.linspace(a, b, 7))(starts, ends)
    each = [twofold.linspace(a, b, 7).tolist() for a, b in zip(starts, ends, strict=True)]
    np.testing.assert_allclose(made.numpy(), each, rtol=1e-6)
    alone = twofold.vmap(lambda a: twofold.linspace(a, 3, 1))(starts)
    assert alone.tolist() == [[0.0], [1.5]]


def test_embedding_with_max_norm_shortens_the_rows_of_each_lane():
    weight = twofold.randn(4, 3, 2) * 3
    numbers = twofold.tensor([[0, 2], [1, 1], [2, 0], [0, 0]])
    look = lambda w, i: twofold.nn.functional.embedding(i, w, max_norm=1.0)  # noqa: E731
    lanes, copies = weight.clone(), weight.clone()
    made = twofold.vmap(look)(lanes, numbers)
    each = twofold.stack([look(w, i) for w, i in zip(copies, numbers, strict=True)])
    np.testing.assert_allclose(made.numpy(), each.numpy(), rtol=1e-6)
    np.testing.assert_allclose(lanes.numpy(), copies.numpy(), rtol=1e-6)


def until_large(x):
    while x.norm() < 10:
        x = x * x + 1.1 * x
    return x.sum()


def test_python_decides_by_what_all_lanes_share():
    """As in the forward mode of a Jacobian: lanes are directions at one place."""
    x = twofold.tensor([1.0, 2.0], dtype=twofold.float64)
    slopes = func.jacfwd(until_large)(x)
    assert np.allclose(slopes.numpy(), [16.43, 68.85], rtol=1e-12)
    twice = func.jacrev(func.jacrev(until_large))(x)
    assert np.allclose(func.hessian(until_large)(x).numpy(), twice.numpy(), rtol=1e-12)
    assert np.allclose(twice.numpy(), [[29.82, 0], [0, 79.02]], rtol=1e-12)

    def shared(x, scale):
        return x * 2 if scale > 0 else x * scale.item()

    rows = twofold.ones(3, 2)
    for scale in (1.0, -4.0):
        made = func.vmap(shared, in_dims=(0, None))(rows, twofold.tensor(scale))
        assert made.tolist() == [[2.0 if scale > 0 else scale] * 2] * 3


def test_compiled_hessians_of_loops_that_values_end():
    f = twofold.compile(func.hessian(until_large))
    for x in ([1.0, 2.0], [0.5, 1.0], [7.0, 9.0]):
        x = twofold.tensor(x, dtype=twofold.float64)
        assert f(x).numpy().tobytes() == func.hessian(until_large)(x).numpy().tobytes()
