"""cond, while_loop and scan: the same bits and gradients in a graph as Python's own statements."""

import pytest

import twofold
from twofold import nn
from twofold.base.errors import ShapeError


def results(f, args, leaves):
    for leaf in leaves:
        leaf.grad = None
    made = f(*args)
    outs = made if isinstance(made, list | tuple) else [made]
    found = [x.detach().numpy().tobytes() for x in outs]
    total = sum(x.sum() for x in outs if x.dtype is twofold.float32)
    total.backward()
    return found + [leaf.grad.numpy().tobytes() for leaf in leaves]


def inputs():
    twofold.manual_seed(3)
    x = twofold.randn(5, 3, requires_grad=True)
    w = twofold.randn(3, 3, requires_grad=True)
    return x, w, twofold.randn(3, requires_grad=True)


def check(f, args, leaves):
    compiled = twofold.compile(f)
    assert results(f, args, leaves) == results(compiled, args, leaves)
    return compiled


@pytest.mark.parametrize("limit", [-100.0, 100.0])
def test_cond(limit):
    x, w, _ = inputs()

    def f(x):
        return twofold.cond(x.sum() > limit, lambda x: x @ w, lambda x: x * 2 - w.sum(), x)

    check(f, (x,), (x, w))


def test_while_loop():
    x, w, _ = inputs()

    def f(x):
        return twofold.while_loop(
            lambda i, x: (x * x).sum() < 1e4,
            lambda i, x: (i + 1, (x @ w).tanh() * 3 + x * 1.5),
            (twofold.tensor(0), x),
        )

    compiled = check(f, (x,), (x, w))
    count, _ = compiled(x * 100)
    assert count.item() == 0
    assert len(compiled.all_programs()) == 1


@pytest.mark.parametrize("reverse", [False, True])
def test_scan(reverse):
    x, w, h = inputs()

    def f(x, h):
        return twofold.scan(lambda c, x: ((c @ w + x).tanh(), c * x), h, x, reverse=reverse)

    check(f, (x, h), (x, w, h))


def test_scan_is_one_program_for_all_lengths():
    _, w, h = inputs()
    f = twofold.compile(lambda x, h: twofold.scan(lambda c, x: ((c @ w + x).tanh(), c), h, x)[1])
    for length in (1, 4, 9):
        x = twofold.randn(length, 3)
        assert f(x, h).detach().tolist() == f.function(x, h).detach().tolist()
    assert len(f.all_programs()) == 1


def test_loops_inside_of_a_training_step():
    def train(compiled):
        twofold.manual_seed(0)
        w = twofold.nn.Parameter(twofold.randn(3, 3))
        opt = twofold.optim.Adam([w], lr=0.1)

        def step(x):
            opt.zero_grad()
            _, ys = twofold.scan(lambda c, x: ((c @ w + x).tanh(), c), twofold.zeros(3), x)
            ys.square().sum().backward()
            opt.step()
            return w.detach() * 1

        run = twofold.compile(step) if compiled else step
        return [run(twofold.ones(n, 3)).tolist() for n in (4, 4, 6)]

    assert train(True) == train(False)


def test_a_carry_keeps_its_shape():
    turn = lambda c, x: (c.sum(), x)  # noqa: E731
    f = twofold.compile(lambda x: twofold.scan(turn, x[0], x), fullgraph=True)
    with pytest.raises(ShapeError, match="carry 0 changes its type"):
        f(twofold.randn(3, 2))


def turned(x):
    """A loop whose turns a value counts."""
    made, _ = twofold.while_loop(
        lambda x, n: n < 3, lambda x, n: (x * x + x.sin(), n + 1), (x, twofold.tensor(0))
    )
    return made


SECOND = {
    "gradient of a gradient": lambda x: twofold.func.grad(
        lambda x: twofold.func.grad(lambda x: turned(x).sum())(x).sum()
    )(x),
    "forward": lambda x: twofold.func.jvp(turned, (x,), (x.cos(),)),
    "forward over forward": lambda x: twofold.func.jvp(
        lambda x: twofold.func.jvp(turned, (x,), (x.cos(),))[1], (x,), (x.cos(),)
    ),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_while_loop_has_derivatives_of_any_order(name):
    function = SECOND[name]
    compiled = twofold.compile(function)
    for size in (3, 2):
        x = twofold.randn(size, dtype=twofold.float64) * 0.3
        made, wanted = compiled(x), function(x)
        for a, b in zip(
            made if isinstance(made, tuple) else [made],
            wanted if isinstance(wanted, tuple) else [wanted],
            strict=True,
        ):
            assert twofold.allclose(a, b, rtol=1e-12, atol=1e-12)
    assert twofold.explain(compiled).compiles <= 2


def test_a_penalty_of_a_gradient_through_a_while_statement():
    model = nn.Linear(3, 3)

    def step(x):
        model.zero_grad()
        x = x.detach().requires_grad_()
        y, n = x, twofold.tensor(0)
        while n < 3:
            y, n = twofold.tanh(model(y)), n + 1
        (slope,) = twofold.autograd.grad(y.sum(), x, create_graph=True)
        loss = slope.pow(2).sum()
        loss.backward()
        return loss

    compiled = twofold.compile(step)
    for size in (2, 5):
        x = twofold.randn(size, 3) * 0.3
        loss, found = compiled(x), [p.grad for p in model.parameters()]
        assert twofold.allclose(loss, step(x), rtol=1e-5)
        for a, p in zip(found, model.parameters(), strict=True):
            assert twofold.allclose(a, p.grad, rtol=1e-4, atol=1e-6)
    assert "test_control.py" in twofold.explain(compiled).asked[0]


# ---- under vmap ----------------------------------------------------------------------------------


def chosen(row):
    return twofold.cond(row.sum() > 0, lambda r: r + 1, lambda r: r * 2, row)


def doubled(row):
    turns = twofold.tensor(0)
    return twofold.while_loop(
        lambda r, n: r.sum() < 10, lambda r, n: (r * 2 + 0.1, n + 1), (row, turns)
    )


def summed(row):
    return twofold.scan(lambda c, x: (c * 0.5 + x, c), twofold.zeros(()), row)


@pytest.mark.parametrize("function", [chosen, doubled, summed])
def test_lanes_choose_and_turn_for_themselves(function):
    import warnings

    over_rows = twofold.vmap(function)
    compiled = twofold.compile(over_rows)
    for n in (3, 1, 4):
        x = (twofold.arange(3.0 * n).reshape(n, 3) * 1.7).sin() + 0.3
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # lanes that run one by one are told
            made = [over_rows(x), compiled(x)]
        rows = [function(row) for row in x.unbind()]
        for found in made:
            for place, part in enumerate(found if isinstance(found, tuple) else (found,)):
                wanted = [row[place] if isinstance(row, tuple) else row for row in rows]
                assert twofold.equal(part, twofold.stack(wanted))
    assert len(compiled.all_programs()) == 1


def test_lanes_of_lanes_turn_for_themselves():
    def f(x):
        return twofold.while_loop(lambda r: r < 10, lambda r: (r * 2 + 0.1,), (x,))[0]

    x = twofold.arange(6.0).reshape(2, 3)
    wanted = twofold.stack([f(value) for value in x.flatten().unbind()]).reshape(2, 3)
    over = twofold.vmap(twofold.vmap(f))
    assert twofold.equal(over(x), wanted)
    assert twofold.equal(twofold.compile(over)(x), wanted)


def test_a_gradient_through_lanes_of_a_scan():
    found = []
    for compile in (lambda f: f, twofold.compile):
        weight = twofold.tensor(0.5, requires_grad=True)

        def f(x, weight=weight):
            turn = lambda c, v: (c * weight + v, c)  # noqa: E731
            carry, sums = twofold.vmap(lambda r: twofold.scan(turn, twofold.zeros(()), r))(x)
            return carry.sum() + sums.sum()

        compile(f)(twofold.arange(6.0).reshape(2, 3)).backward()
        found.append(weight.grad.item())
    assert found[0] == found[1]


def test_bodies_go_through_the_passes_that_were_chosen():
    from twofold.passes.manager import PIPELINE, Pass

    seen = []

    def look(graph):
        seen.append(graph.name)
        return graph

    def f(x):
        while x.sum() < 10:
            x = x * 2
        return x

    twofold.compile(f, passes=[Pass("look", look), *PIPELINE])(twofold.ones(2))
    assert {"f", "body", "test"} <= set(seen)


def once(h, x, w):
    return twofold.tanh(x + h @ w), None


def gru(h, x, w):
    h = twofold.tanh(x + h @ w) + h
    return h, [h]


def thrice(h, x, w):
    new = twofold.tanh(x + h @ w) * h + twofold.sin(h)
    return new, [h * 1.3, new]


def before(h, x, w):
    return twofold.tanh(h + h @ w) + h * x, [h]


def twice_stacked(h, x, w):
    h = twofold.tanh(x + h @ w) + h
    return h, [h, h]


def both_sides(h, x, w):
    new = h @ w + twofold.tanh(h @ w @ w) + h
    return new, [h, new, x * new]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("turn", [once, gru, thrice, before, twice_stacked, both_sides])
def test_slopes_of_a_carry_are_added_in_the_order_of_its_uses(turn, reverse):
    _, w, h = inputs()
    xs = twofold.randn(5, 4, 3, requires_grad=True)
    h = (h * twofold.ones(4, 1)).detach().requires_grad_()

    def f(h, xs):
        last, ys = twofold.scan(lambda h, x: turn(h, x, w), h, xs, reverse=reverse)
        return (last * 1.7, (h * h).sum(), *((y * y) @ w for y in ys or ()))

    check(f, (h, xs), [w, h, xs])


def test_slopes_of_carries_that_change_places_are_added_in_the_order_of_their_uses():
    _, w, h = inputs()
    xs = twofold.randn(6, 4, 3, requires_grad=True)
    h = (h * twofold.ones(4, 1)).detach().requires_grad_()

    def turn(carry, x):
        h, c = carry
        h, c = c, twofold.tanh(h @ w + x) + c * h
        return (h, c), [h, h * c]

    def f(h, xs):
        (h, c), (first, second) = twofold.scan(turn, (h, h * 0.3), xs)
        return h * c, (first * first) @ w, second * second

    check(f, (h, xs), [w, h, xs])


def test_slopes_of_a_carry_through_a_loop_inside_of_a_loop_are_added_as_eagerly():
    _, w, h = inputs()
    xs = twofold.randn(4, 3, requires_grad=True)
    ys = twofold.randn(5, 3, requires_grad=True)

    def turn(h, x):
        for y in ys:
            h = twofold.tanh(h @ w + x * y) + h * 0.5
        return h, h

    def f(h, xs):
        last, made = twofold.scan(turn, h, xs)
        return last, made * made

    check(f, (h, xs), [w, h, xs, ys])


def test_appended_states_have_the_gradients_of_plain_python():
    _, w, _ = inputs()
    e = twofold.randn(2, 4, 3, requires_grad=True)

    def f(e):
        h, out = twofold.zeros(2, 3), []
        for i in range(e.shape[1]):
            h = twofold.tanh(e[:, i] + h @ w) + h
            out.append(h)
        return twofold.stack(out, 1).pow(2)

    compiled = check(f, (e,), [w, e])
    check(compiled, (twofold.randn(2, 7, 3, requires_grad=True).detach().requires_grad_(),), [w])
    assert twofold.explain(compiled).compiles == 1


def test_a_loop_of_no_turns_gives_the_gradient_of_its_beginning():
    _, w, h = inputs()

    def f(h, xs):
        last, ys = twofold.scan(lambda h, x: gru(h, x, w), h, xs)
        return last * 2, h * h, ys[0] * 3

    compiled = twofold.compile(f)
    for turns in (3, 0):
        xs = twofold.randn(turns, 3)
        h.grad = None
        last, square, _ = compiled(h, xs)
        (last.sum() + square.sum()).backward()
    assert h.grad.tolist() == (2 + 2 * h).tolist()


def _without_recording(c, r):
    with twofold.no_grad():  # of no meaning to slopes, as in PyTorch
        y = r * 2
    return c * y, c


def _doubled(c, r):
    y = r * r.detach()
    y.mul_(2)
    r.add_(1)
    return c * y + r, c


LOOPS_OF_SLOPES = {
    "scan": lambda x: twofold.scan(lambda c, r: (c * r.detach() + r, c), x.sum(), x)[0],
    "scan without recording": lambda x: twofold.scan(_without_recording, x.sum(), x)[0],
    "scan with a write": lambda x: twofold.scan(_doubled, x.sum(), x * 1)[0],
    "while": lambda x: twofold.while_loop(
        lambda h: h.sum() < 20, lambda h: (h * h.detach(),), (x,)
    )[0],
    "cond": lambda x: twofold.cond(x.sum() > 3, lambda: x.detach() * x, lambda: x * 2),
}


@pytest.mark.parametrize("name", LOOPS_OF_SLOPES)
def test_forward_mode_in_a_graph_leaves_out_what_is_detached(name):
    f = LOOPS_OF_SLOPES[name]
    compiled = twofold.compile(lambda x, v: twofold.func.jvp(f, (x,), (v,)))
    for n in (2, 3, 4):
        x, v = twofold.arange(1.0, n + 1), twofold.ones(n) * 0.5
        found, wanted = compiled(x, v), twofold.func.jvp(f, (x,), (v,))
        assert [y.tolist() for y in found] == [y.tolist() for y in wanted]
    assert len(compiled.all_programs()) == 1
