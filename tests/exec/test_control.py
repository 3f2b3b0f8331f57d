"""Loops and branches inside of the program: the bits of Python's own statements, and no Python."""

import signal
import threading

import numpy as np
import pytest

import twofold
from twofold.base.errors import GradientError, IndexRangeError


def flat(made):
    return [x for part in made for x in flat(part)] if isinstance(made, tuple | list) else [made]


def bits(made):
    arrays = [twofold.as_tensor(x).detach().numpy() for x in flat(made)]
    return [(a.shape, a.dtype, a.tobytes()) for a in arrays]


def check(f, *argument_sets, python=()):
    """The same bits compiled, by one program, which calls back for these operations only."""
    compiled = twofold.compile(f)
    for args in argument_sets:
        for _ in range(2):
            assert bits(f(*args)) == bits(compiled(*args))
    assert len(compiled.all_programs()) == 1
    assert twofold.explain(compiled).unsupported == python
    return compiled


def check_gradients(f, leaves, *argument_sets):
    compiled = twofold.compile(f)
    for args in argument_sets:
        found = []
        for g in (f, compiled):
            for leaf in leaves:
                leaf.grad = None
            outs = flat(g(*args))
            sum((x * x).sum() for x in outs if x.tracked).backward()
            found.append([*outs, *(leaf.grad for leaf in leaves)])
        for plain, made in zip(*found, strict=True):
            if plain is None:  # of no turn at all there is no gradient, and by a program zeros
                assert made is None or not made.any()
            else:
                assert bits(plain) == bits(made)
    assert len(compiled.all_programs()) == 1
    assert any(leaf.grad.abs().sum() > 0 for leaf in leaves)


@pytest.fixture(autouse=True)
def seeded():
    twofold.manual_seed(1)


def randn(*shape, **options):
    return twofold.randn(*shape, **options)


def test_what_is_carried_changes_places():
    def fibonacci(n, a, b):
        i = twofold.tensor(0)
        while i < n:
            a, b = b, a + b
            i = i + 1
        return a, b

    one = twofold.tensor([1.0, 2.0])
    check(fibonacci, *((twofold.tensor(n), one, one * 3) for n in (0, 1, 2, 7, 30)))


def test_carries_that_are_kept_or_copied():
    def f(x, n):
        return twofold.while_loop(
            lambda i, a, b, c: i < n,
            lambda i, a, b, c: (i + 1, a, a, b + c),
            (twofold.tensor(0), x, x * 2, x * 3),
        )

    check(f, *((randn(3), twofold.tensor(n)) for n in (0, 1, 2, 5)))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_over_every_layout(reverse):
    def f(x, y, h):
        return twofold.scan(
            lambda c, s: ((c + s[0]).tanh(), (c * s[1], c, s[0][::2])), h, (x, y), reverse=reverse
        )

    def arguments(n):
        x = randn(4, n).transpose(0, 1)
        return x, randn(2 * n, 4)[::2], randn(8)[::2]

    check(f, *(arguments(n) for n in (1, 2, 5, 8)))


def test_zero_turns():
    def f(x, h):
        return twofold.scan(lambda c, s: (c + s, c * 2), h, x)

    compiled = check(f, (randn(3, 2), randn(2)))
    h = randn(2)
    carry, ys = compiled(twofold.zeros(0, 2), h)
    assert bits(carry) == bits(h)
    assert ys.shape == (0, 2)


def test_loops_in_loops():
    def f(x, w):
        total = x[0] * 0
        for i in range(x.shape[0]):
            row = x[i] * 0
            for j in range(x.shape[1]):
                row = (row * 0.5 + x[i, j] @ w).tanh()
                k = twofold.tensor(0)
                while k < i + j:
                    row = row * 0.9 + k
                    k = k + 2
            total = total + row
        return total

    check(f, *((randn(n, m, 3), randn(3, 3)) for n, m in ((1, 1), (4, 3), (3, 6))))


def test_branches_in_loops_and_loops_in_branches():
    def f(x, n):
        i = twofold.tensor(0)
        while i < n:
            if x.sum() > 0:
                j = twofold.tensor(0)
                while j < i:
                    x = x * 0.5 - 1
                    j = j + 1
            else:
                x = -x + i
            i = i + 1
        return x

    check(f, *((randn(5), twofold.tensor(n)) for n in (0, 1, 6, 25)))


def test_early_exit():
    def f(x, limit):
        total = x[0].sum() * 0
        for row in x:
            if row.max() > limit:
                break
            if row.min() < -limit:
                continue
            total = total + row.sum()
        return total

    check(f, *((randn(n, 3), twofold.tensor(limit)) for n in (1, 8) for limit in (0.0, 0.8, 9.0)))


def test_a_body_that_uses_all_threads():
    w = randn(256, 256) * 0.05

    def f(x):
        return twofold.scan(lambda c, s: ((c @ w + s).tanh(), c.sum()), x[0], x)

    x = randn(4, 300, 256)
    made = bits(twofold.compile(f)(x))
    assert made == bits(f(x))
    threads = twofold.get_num_threads()
    try:
        twofold.set_num_threads(1)
        assert bits(twofold.compile(f)(x)) == made
    finally:
        twofold.set_num_threads(threads)


@pytest.mark.parametrize("dtype", [twofold.bfloat16, twofold.float16, twofold.float64])
def test_other_types(dtype):
    def f(x, h):
        return twofold.scan(lambda c, s: ((c * 0.5 + s).exp() * 0.1, c.sum(0)), h, x)

    check(f, (randn(5, 3).to(dtype), randn(3).to(dtype)))


def test_empty_values_are_carried():
    def f(x, h):
        return twofold.scan(lambda c, s: (c * 2, s.sum()), h, x)

    check(f, (randn(3, 2), twofold.zeros(0, 4)), (randn(4, 0), twofold.zeros(2, 0)))


# ---- gradients


def test_gradients_of_a_loop_of_many_turns():
    """The record of what was carried grows, and moves."""
    w = randn(40, requires_grad=True)

    def f(x, n):
        i = twofold.tensor(0)
        while i < n:
            x = (x * w).tanh() + 0.1
            i = i + 1
        return x

    x = randn(9, 40, requires_grad=True)
    check_gradients(f, (w, x), *((x, twofold.tensor(n)) for n in (0, 1, 2, 3, 44, 45, 46, 700)))


def test_gradients_of_loops_in_loops():
    w = randn(3, 3, requires_grad=True)

    def f(x, n):
        h = x[0] * 0
        for row in x:
            h = h + row
            i = twofold.tensor(0)
            while i < n:
                h = (h @ w).tanh()
                if h.sum() > 0:
                    h = h * w[0]
                i = i + 1
        return h

    x = randn(4, 3, requires_grad=True)
    check_gradients(f, (w, x), *((x, twofold.tensor(n)) for n in (0, 1, 5)))


def test_gradients_of_a_while_loop_in_a_while_loop():
    w = randn(3, requires_grad=True)

    def f(x, n):
        i = twofold.tensor(0)
        while i < n:
            j = twofold.tensor(0)
            while j < i:
                x = (x * w).tanh() + 0.2
                j = j + 1
            x = x * 1.1
            i = i + 1
        return x

    x = randn(3, requires_grad=True)
    check_gradients(f, (w, x), *((x, twofold.tensor(n)) for n in (0, 1, 2, 6)))


def test_second_derivatives_of_a_scan():
    w = randn(3, 3, requires_grad=True)

    def f(x):
        h, _ = twofold.scan(lambda c, s: ((c @ w + s).tanh(), None), x[0], x)
        (g,) = twofold.autograd.grad(h.square().sum(), w, create_graph=True)
        (gg,) = twofold.autograd.grad(g.square().sum(), w)
        return h.detach(), g.detach(), gg

    compiled = twofold.compile(f)
    for x in (randn(3, 3), randn(6, 3)):
        *first, second = f(x)
        *same, near = compiled(x)
        assert bits(first) == bits(same)
        # its terms are added in another order: those of a turn come together
        np.testing.assert_allclose(near.numpy(), second.numpy(), 1e-5, 1e-6)
    assert len(compiled.all_programs()) == 1


@pytest.mark.filterwarnings("ignore:vmap runs")
def test_forward_mode_and_hessians():
    func = twofold.func

    def last(w, x):
        h, _ = twofold.scan(lambda c, s: ((c @ w + s).tanh(), None), x[0], x)
        return h

    def slope(w, x):
        return func.jvp(lambda w: last(w, x), (w,), (x[:3],))[1]

    def hessian(w, x):
        return func.hessian(lambda w: last(w, x).square().sum())(w)

    for f in (slope, hessian):
        compiled = twofold.compile(f)
        for _ in range(3):
            args = randn(3, 3), randn(4, 3)
            plain, made = f(*args), compiled(*args)
            assert not made.requires_grad
            np.testing.assert_allclose(made.numpy(), plain.numpy(), 1e-4, 1e-5)

    @twofold.compile
    def counted(x):
        double = lambda x: twofold.while_loop(lambda x: x.sum() < 9, lambda x: x * 2, (x,))  # noqa: E731
        return func.jvp(double, (x,), (x,))[1]

    assert counted(twofold.ones(3))[0].tolist() == [4.0, 4.0, 4.0]


def test_second_derivatives_of_a_choice():
    w = randn(3, requires_grad=True)

    def f(x):
        y = twofold.cond(x.sum() > 0, lambda x: (x * w).tanh(), lambda x: (x * w).exp(), x)
        (g,) = twofold.autograd.grad(y.sum(), w, create_graph=True)
        (gg,) = twofold.autograd.grad(g.square().sum(), w)
        return g.detach(), gg

    check(f, (twofold.ones(3),), (-twofold.ones(3),))


def test_a_loop_has_a_second_derivative_inside_and_says_that_it_has_none_outside():
    w = randn(3, requires_grad=True)

    def loop(x):
        while x.sum() < 10:
            x = x * w * w + 1
        return x

    def inside(x):
        while x.sum() < 10:
            x = x * w * w + 1
        (g,) = twofold.autograd.grad(x.sum(), w, create_graph=True)
        return twofold.autograd.grad(g.sum(), w)[0]

    x = twofold.ones(3)
    made, plain = twofold.compile(inside)(x), inside(x)
    np.testing.assert_allclose(made.numpy(), plain.numpy(), 1e-5)
    (g,) = twofold.autograd.grad(twofold.compile(loop)(twofold.ones(3)).sum(), w)
    assert g.shape == (3,)
    with pytest.raises(GradientError, match="no second derivative outside"):
        twofold.autograd.grad(twofold.compile(loop)(twofold.ones(3)).sum(), w, create_graph=True)


def test_sums_over_turns_go_on_from_what_has_arrived_before():
    """Weights that are used before, in, and after a loop, and several times a turn."""
    w, v = randn(3, 3, requires_grad=True), randn(3, requires_grad=True)

    def f(x, n):
        h = (x[0] @ w).tanh()
        outs = []
        for row in x:
            h = ((h @ w) * v + (row @ w).tanh() * v).tanh() @ w
            outs.append(h * v)
        if h.sum() > 0:
            h = (h @ w) * v + v
        else:
            h = h * v - (h * v).exp()
        i = twofold.tensor(0)
        while i < n:
            h = (h @ w + v).tanh() * v
            i = i + 1
        return (h @ w) * v, twofold.stack(outs) @ w

    check_gradients(f, (w, v), *((randn(m, 3), twofold.tensor(n)) for m, n in ((4, 3), (1, 1))))


def test_negative_zeros_stay():
    w = randn(4, requires_grad=True)

    def f(x):
        h = x[0] * 0
        for row in x:
            h = h * 0.5 + (w * row).relu()
        return -h

    x = twofold.tensor([[-0.0, 1.0, -1.0, 0.0], [-0.0, 1.0, 0.0, -0.0], [0.0, -2.0, 1.0, -0.0]])
    check_gradients(f, (w,), (x,))


def test_explain_looks_into_bodies():
    f = twofold.compile(lambda x: twofold.scan(lambda c, s: ((c + s).tanh(), None), x[0], x)[0])
    f(randn(3, 2))
    assert [k.name for k in twofold.explain(f).kernels] == ["scan", "fused"]
    assert twofold.explain(f).fused == ("[add(#0, #1); tanh(#2)]",)


def test_an_lstm_as_a_python_loop_trains():
    def train(compiled):
        twofold.manual_seed(2)
        cell = twofold.nn.LSTMCell(5, 7)
        head = twofold.nn.Linear(7, 3)
        parameters = [*cell.parameters(), *head.parameters()]
        opt = twofold.optim.Adam(parameters, lr=0.01)

        def step(x, y):
            opt.zero_grad()
            h = c = twofold.zeros(x.shape[0], 7)
            for t in range(x.shape[1]):
                h, c = cell(x[:, t], (h, c))
            loss = twofold.nn.functional.cross_entropy(head(h), y)
            loss.backward()
            opt.step()
            return loss.detach()

        run = twofold.compile(step) if compiled else step
        losses = [
            run(randn(b, n, 5), twofold.randint(0, 3, (b,))) for b, n in ((4, 6), (2, 9), (3, 1))
        ]
        if compiled:
            assert twofold.explain(run).unsupported == ()
            assert len(run.all_programs()) == 1
        return bits(losses) + bits(parameters)

    assert train(True) == train(False)


# ---- Python inside of a body, and what goes wrong


def test_what_has_no_kernel_is_called_back_from_inside_and_told():
    def f(x, h):
        return twofold.scan(lambda c, s: (c + twofold.linalg.det(s.reshape(2, 2)), c), h, x)

    check(f, (randn(4, 4), randn(3)), python=("det",))


def test_callbacks_run_at_every_turn():
    seen = []

    def f(x):
        i = twofold.tensor(0)
        while i < x.sum():
            twofold.callback(lambda n: seen.append(n.item()), i)
            i = i + 1
        return i

    compiled = twofold.compile(f)
    assert compiled(twofold.ones(3)).item() == 3
    assert seen == [0, 1, 2]


def test_an_error_in_python_ends_every_loop_around_it():
    def fail(n):
        if n.item() == 2:
            raise KeyError("two")
        return n

    def f(x):
        i = twofold.tensor(0)
        while i >= 0:  # for ever
            j = twofold.tensor(0)
            while j >= 0:
                j = j + 1 + 0 * twofold.callback(fail, j, like=j)
            i = i + j
        return i

    compiled = twofold.compile(f)
    for _ in range(2):
        with pytest.raises(KeyError, match="two"):
            compiled(twofold.ones(3))


def test_an_index_out_of_range_ends_the_loop_and_is_told():
    def f(x, n):
        i = twofold.tensor(0)
        total = x[0] * 0
        while i < n:
            total = total + x[i]
            i = i + 1
        return total

    compiled = check(f, (randn(4, 2), twofold.tensor(3)))
    with pytest.raises(IndexRangeError, match="out of range"):
        compiled(randn(4, 2), twofold.tensor(1 << 50))
    with pytest.raises(IndexRangeError, match="out of range"):
        twofold.compile(lambda x, i: twofold.scan(lambda c, j: (c + x[j], c), x[0], i))(
            randn(3, 2), twofold.tensor([0, 2, 3, 1])
        )


def test_an_assertion_in_a_branch_of_a_loop():
    @twofold.compile
    def f(x, limit):
        for row in x:
            if row.sum() > 0:
                assert row.max() < limit, "too large"
        return x * 2

    x = twofold.tensor([[-100.0, 1.0], [1.0, 2.0]])
    assert f(x, twofold.tensor(3.0)).tolist() == (x * 2).tolist()
    with pytest.raises(AssertionError, match="too large"):
        f(x, twofold.tensor(2.0))


@pytest.fixture
def interrupts():
    """The user's interrupt is an error, though whoever began this process ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_loop_without_end_can_be_interrupted(interrupts):
    p = twofold.nn.Parameter(twofold.ones(2))
    opt = twofold.optim.SGD([p], lr=1.0)

    def f(x):
        i = twofold.tensor(0)
        while i >= 0:
            j = twofold.tensor(0)
            while j >= 0:
                j = j * 0 + x.sum().long()
            i = i * 0
        opt.zero_grad()
        (p * i).sum().backward()
        opt.step()
        return i

    compiled = twofold.compile(f)
    for _ in range(2):
        timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            compiled(twofold.ones(3))
        timer.join()
        assert p.tolist() == [1.0, 1.0]


def test_a_program_may_run_in_two_threads_at_once():
    from concurrent.futures import ThreadPoolExecutor

    @twofold.compile
    def f(x):
        h, ys = twofold.scan(lambda c, s: ((c * 0.9 + s).tanh(), c), x[0], x)
        return h.sum() + ys.sum()

    xs = [randn(200, 64) for _ in range(8)]
    wanted = bits([f(x) for x in xs])
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert bits(list(pool.map(f, xs))) == wanted


def test_kernels_inside_of_loops_are_compared_with_their_references(monkeypatch):
    monkeypatch.setattr(twofold.flags, "check", 3)
    w = randn(3, 3, requires_grad=True)

    def f(x):
        while x.square().sum() < 50:
            x = (x @ w).tanh() + x * 1.5
        return x

    check_gradients(f, (w,), (twofold.ones(2, 3),))


def test_peak_memory_does_not_grow_with_the_turns():
    @twofold.compile
    def f(x):
        return twofold.scan(lambda c, s: ((c * 2 + s).exp().cumsum(0).tanh(), None), x[0], x)[0]

    few, many = (f.memory(randn(n, 500)).bytes for n in (2, 200))
    assert few == many
    assert np.isfinite(f(randn(200, 500)).numpy()).all()
