"""Reductions with what stands before and after them: fewer passes over memory, the same bits."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from twice import compare, fresh

import twofold
import twofold.nn.functional as F
from twofold.base.flags import flags
from twofold.lower import fused_reduce

ROWS = [(8, 5), (3, 40), (100, 700), (2, 9000), (1, 1), (1, 6), (6, 1), (300, 33), (40, 2)]


def squares(x, y):
    return ((x - y) ** 2).mean()


def softmax(x, y):
    e = (x - x.amax(-1, keepdim=True)).exp()
    return e / e.sum(-1, keepdim=True)


def layer_norm(x, y):
    d = x - x.mean(-1, keepdim=True)
    variance = (d * d).mean(-1, keepdim=True)
    return d / (variance + 1e-5).sqrt() * y[0] + y[0].exp()


def log_softmax(x, y):
    shifted = x - x.amax(-1, keepdim=True)
    return shifted - shifted.exp().sum(-1, keepdim=True).log()


def softmax_gradient(x, y):
    return y * (x - (x * y).sum(-1, keepdim=True))


def root_mean_square(x, y):
    return (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()


def kept_for_others(x, y):
    g = (x * y).relu()
    return g, g.sum(0), g.mean(0) * 0.5


def columns(x, y):
    return (x * y + 1.0).sum(0, keepdim=True), (x - y).amax(0), (x - y).abs().amin(0)


def whole_numbers(x, y):
    return (x > y).sum(), (x.int() * 3).sum(1), ((x * 10).long() + 1).sum(0)


def turned(x, y):
    return (x.t() * y.t()).sum(0), (x.t() - y.t()).square().sum(1)


def middle(x, y):
    z = x.reshape(1, *x.shape, 1) * twofold.arange(6.0).to(x.dtype).reshape(3, 1, 1, 2)
    return (z * 2.0).sum(1), (z + y[0, 0]).mean((0, 2)), (z.exp() - 1).sum((1, 2, 3))


def three_deep(x, y):
    a = x - x.mean(-1, keepdim=True)
    b = (a.exp() * a.exp().sum(-1, keepdim=True)).tanh()
    return b - b.amax(-1, keepdim=True), a


def rows_and_numbers(x, y):
    e = x.exp()
    scaled = e * (e + y).sum(-1, keepdim=True).sqrt()
    return scaled, scaled.mean(-1), e, scaled.amax(-1, keepdim=True) + 1.0


PROGRAMS = (
    rows_and_numbers,
    squares,
    softmax,
    layer_norm,
    log_softmax,
    softmax_gradient,
    root_mean_square,
)
PROGRAMS += (kept_for_others, columns, whole_numbers, turned, middle, three_deep)


def several(made):
    return made if isinstance(made, tuple) else (made,)


def same(program, compiled, *inputs):
    with np.errstate(all="ignore"):
        wanted, found = several(program(*inputs)), several(compiled(*inputs))
    for a, b in zip(wanted, found, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.numpy().tobytes() == b.numpy().tobytes()


def made(compiled):
    return [c.op.name for c in compiled.all_programs()[0].graph.calls]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_size_has_the_bits_of_eager(program):
    compiled = twofold.compile(program)
    with flags.override(check=1):
        for shape in ROWS:
            same(program, compiled, twofold.randn(*shape), twofold.randn(*shape))
    assert "fused_reduce" in made(compiled)


@pytest.mark.parametrize("program", [squares, kept_for_others, softmax_gradient, whole_numbers])
def test_nothing_to_reduce(program):
    compiled = twofold.compile(program)
    for shape in ((0, 4), (5, 0), (2, 3)):
        same(program, compiled, twofold.randn(*shape), twofold.randn(*shape))


@pytest.mark.parametrize("dtype", [twofold.float64, twofold.float16, twofold.bfloat16])
@pytest.mark.parametrize("program", PROGRAMS)
def test_every_float(program, dtype):
    if (
        program in (softmax, log_softmax, three_deep, columns, rows_and_numbers)
        and dtype is not twofold.float64
    ):
        pytest.skip("extremes of halves are not part of groups")
    compiled = twofold.compile(program)
    for shape in ((9, 70), (3, 5)):
        same(program, compiled, *(twofold.randn(*shape).to(dtype) for _ in range(2)))


def test_special_numbers():
    x = twofold.tensor([[0.0, -0.0], [float("nan"), 1.0], [float("inf"), -1.0], [-0.0, -0.0]])
    for program in PROGRAMS:
        same(program, twofold.compile(program), x, x.flip(0))
        same(program, twofold.compile(program), x[:, 1:], x[:, :1])


def test_strides_and_threads_change_no_bit():
    wide, other = twofold.randn(60, 1400), twofold.randn(700, 60)
    for program in PROGRAMS:
        compiled = twofold.compile(program)
        x, y = wide[:, ::2], other.t()
        before = twofold.get_num_threads()
        try:
            for threads in (1, 2):
                twofold.set_num_threads(threads)
                same(program, compiled, x, y)
                same(program, compiled, y, x.contiguous())
        finally:
            twofold.set_num_threads(before)


def test_gradients_by_hand():
    def train(run):
        twofold.manual_seed(1)
        w, b = (twofold.nn.Parameter(twofold.randn(12)) for _ in range(2))

        def step(x, y):
            w.grad = b.grad = None
            h = layer_norm(x * w, y) + b
            loss = ((softmax(h, y) - y) ** 2).mean() + softmax(h * w, y).square().sum(1).mean()
            loss.backward()
            return loss, w.grad, b.grad

        step = run(step)
        made = [step(twofold.randn(n, 12), twofold.randn(n, 12)) for n in (7, 1, 30)]
        return [t.detach().numpy().tobytes() for one in made for t in one]

    assert train(twofold.compile) == train(lambda f: f)


# ---- how a group is computed


WAYS = {
    "plan_one": [(squares, (9, 40)), (kept_for_others, (50, 300)), (root_mean_square, (9, 40))],
    "plan_fused_rows": [(softmax, (9, 40)), (layer_norm, (64, 64)), (softmax_gradient, (9, 40))],
    "plan_stages": [(softmax, (1, 40000)), (three_deep, (1, 40000))],
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_taken(way, monkeypatch):
    plan, plans = getattr(fused_reduce, way), []

    def watched(*args):
        plans.append(plan(*args))
        return plans[-1]

    monkeypatch.setattr(fused_reduce, way, watched)
    for program, shape in WAYS[way]:
        plans.clear()
        same(program, twofold.compile(program), twofold.randn(*shape), twofold.randn(*shape))
        assert any(found is not None for found in plans), program.__name__


def test_a_sum_of_squares_needs_no_memory():
    compiled = twofold.compile(squares)
    x = twofold.randn(300, 500)
    same(squares, compiled, x, x + 1)
    assert made(compiled) == ["fused_reduce"]
    assert twofold.explain(compiled).peak_bytes < 4096
    assert any("mean" in body for body in twofold.explain(compiled).fused)


def test_groups(golden):
    x, y = twofold.randn(4, 6), twofold.randn(4, 6)
    texts = []
    for program in PROGRAMS:
        without = [p for p in twofold.passes.manager.PIPELINE if p.name != "reductions"]
        before = twofold.compile(program, passes=without).graph(x, y)
        texts += [str(before), "becomes", str(twofold.compile(program).graph(x, y)), ""]
    golden("graphs/reductions", "\n".join(texts))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ("exp", "tanh", "relu", "square", "add", "sub", "mul", "sum1", "mean1", "amax1", "sum0")
            + ("mean0", "mask", "half", "root")
        ),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    min_size=3,
    max_size=14,
)


def run(program, x, y):
    """Random steps; reductions keep their axes, so that everything broadcasts."""
    known = [x, y]
    for name, i, j in program:
        p, q = known[i % len(known)], known[j % len(known)]
        if name[-1] in "01":
            known.append(getattr(p, name[:-1])(int(name[-1]), keepdim=True))
        elif name in ("exp", "tanh", "relu", "square"):
            known.append(getattr(p, name)())
        elif name in ("add", "sub", "mul"):
            known.append({"add": p + q, "sub": p - q, "mul": p * q}[name])
        else:
            known.append(
                {
                    "mask": lambda p, q: twofold.where(p > q, p, q),
                    "half": lambda p, q: p * 0.5 + 1.25,
                    "root": lambda p, q: (p.abs() + 1e-3).sqrt(),
                }[name](p, q)
            )
    return known[-1], known[len(known) // 2] * 1.0, known[-2].sum(), known[-1].mean(-1)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(1, 12), st.integers(1, 70), st.sampled_from((1, 2)))
def test_random_programs_keep_their_bits(program, rows, columns, threads):
    before = twofold.get_num_threads()
    twofold.set_num_threads(threads)
    try:
        x, y = twofold.randn(rows, columns), twofold.randn(rows, columns)
        with flags.override(check=2):
            wanted = twofold.compile(lambda x, y: run(program, x, y))
            same(lambda x, y: run(program, x, y), wanted, x, y)
    finally:
        twofold.set_num_threads(before)


BY_ROW = {
    "columns times sums of rows": lambda x: (x * x.sum(1)).sum(1),
    "by a row as well": lambda x: (x * (x.sum(1) * x[0])).sum(1),
    "a table of sums": lambda x: x.sum(1) * x.sum(1, keepdim=True),
    "a table of extremes": lambda x: (x.amax(1) - x.amin(1, keepdim=True)).sum(1),
    "in line": lambda x: (x * x.sum(1, keepdim=True)).sum(1),
    "columns": lambda x: (x * x.sum(0)).sum(1),
}


@pytest.mark.parametrize("name", BY_ROW)
def test_sums_of_rows_of_a_square_are_broadcast_along_the_last_axis(name):
    def square(n):
        return twofold.tensor(np.random.default_rng(n).uniform(0.5, 2, (n, n)).astype(np.float32))

    compare(BY_ROW[name], [lambda n=n: (square(n),) for n in (3, 1, 5, 40)])


def test_no_element_of_a_fused_kernel():
    def function(x, y):
        made = twofold.where(x.to(twofold.int8) > 0, x, y)
        return F.batch_norm(made, None, None, training=True)

    calls = [lambda n=n: (twofold.ones(3, n), twofold.ones(1, n)) for n in (4, 0)]
    compare(function, calls)


def test_numbers_alone_beside_a_reduction():
    def function(x):
        half = twofold.chunk(x.to(twofold.bfloat16), 2, 0)[0]
        made = twofold.maximum(half > -1.5, half)
        outs = twofold.nansum(made, dim=-1), twofold.cumsum(made, -1)
        sum((y * y).sum().float() * 0.5 for y in outs).backward()
        return outs

    compare(function, [lambda: (fresh(np.ones(7, np.float32), tracked=True),)])


def test_a_number_as_a_vector_of_one_is_summed():
    weight = fresh(np.arange(4, dtype=np.float32), tracked=True)

    def function(x):
        weight.grad = None
        a, b, c = twofold.zeros(1), twofold.zeros(1), twofold.zeros(1)
        for i, balance in enumerate((4.0, 1.0)):
            y = weight * x[i]
            a += (1 - y).mean()
            b += y.square().mean() * balance
            c += y.exp().mean()
        ((a * 0.05 + b + c * 0.5) * x.shape[0]).backward()
        return twofold.cat((a, b, c)).detach(), weight.grad.clone()

    compare(function, [lambda: (fresh(np.ones((2, 4), np.float32)),)])
