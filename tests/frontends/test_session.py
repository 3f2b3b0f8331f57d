"""Graphs and sessions: say first, run later."""

import numpy as np
import pytest

import twofold
import twofold.nn.functional as F
from twofold.base.errors import ArgumentError, ShapeError
from twofold.frontends import session as S


def test_the_gradient_of_a_square():
    with twofold.Graph() as g:
        x = twofold.placeholder(twofold.float32, shape=())
        y = x * x
        dy = twofold.gradients(y, x)
        second = twofold.gradients(dy, x)
    with twofold.Session(g) as s:
        assert s.run(dy, {x: 2.0}) == 4.0
        assert s.run([y, (dy, {"second": second})], {x: 3.0}) == [9.0, (6.0, {"second": 2.0})]


def linear():
    with twofold.Graph() as g:
        x = twofold.placeholder(twofold.float32, shape=(None, 4), name="x")
        t = twofold.placeholder(twofold.float32, shape=(None, 1), name="t")
        w, b = twofold.Variable(twofold.zeros(4, 1)), twofold.Variable(0.5)
        loss = ((x @ w + b - t) ** 2).mean()
    return g, x, t, w, b, loss


def data(rows):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return x, x @ np.array([[1], [2], [3], [4]], np.float32) + 0.5


def test_variables_learn_by_assignment_whatever_the_batch():
    g, x, t, w, b, loss = linear()
    with g:
        gw, gb = twofold.gradients(loss, [w, b])
        train = S.group(w.assign_sub(0.1 * gw), b.assign_sub(0.1 * gb))
        init = S.global_variables_initializer()
    with twofold.Session(g) as s:
        s.run(init)
        for turn in range(100):
            rows, targets = data(40 + turn % 10)
            assert s.run(train, {x: rows, t: targets}) is None
        assert np.allclose(s.run(w).ravel(), [1, 2, 3, 4], atol=1e-3)
        assert len(s.parts) == 3


def test_an_optimizer_steps_when_it_is_fetched():
    g, x, t, w, b, loss = linear()
    optimizer = twofold.optim.Adam([w, b], lr=0.1)
    with g:
        train = S.minimize(optimizer, loss)
        init = S.global_variables_initializer()
    rows, targets = data(20)
    with twofold.Session(g) as s:
        s.run(init)
        before = s.run(loss, {x: rows, t: targets})
        assert s.run(loss, {x: rows, t: targets}) == before
        for _ in range(50):
            s.run(train, {x: rows, t: targets})
        assert s.run(loss, {x: rows, t: targets}) < before / 20


def test_the_bits_are_those_of_eager_training():
    def loss_of(x, y, w):
        return F.cross_entropy(x @ w, y)

    start = twofold.randn(5, 3)
    w = start.clone().requires_grad_()
    eager = twofold.optim.SGD([w], lr=0.5, momentum=0.9)
    x, y = twofold.randn(8, 5), twofold.randint(0, 3, (8,))
    for _ in range(4):
        eager.zero_grad()
        loss_of(x, y, w).backward()
        eager.step()
    with twofold.Graph() as g:
        px = twofold.placeholder(twofold.float32, (None, 5))
        py = twofold.placeholder(twofold.int64, (None,))
        v = twofold.Variable(start.numpy())
        loss = loss_of(px, py, v)
        optimizer = twofold.optim.SGD([v], lr=0.5, momentum=0.9)
        train = S.minimize(optimizer, loss)
    with twofold.Session(g) as s:
        s.run(v.initializer)
        for _ in range(4):
            s.run(train, {px: x.numpy(), py: y.numpy()})
        assert s.run(v).tobytes() == w.detach().numpy().tobytes()


def test_only_what_is_needed_runs():
    with twofold.Graph() as g:
        x = twofold.placeholder(twofold.float32, (None,))
        other = twofold.placeholder(twofold.float32, (None,))
        y, z = x + 1.0, other * 2.0
    with twofold.Session(g) as s:
        assert s.run(y, {x: [1.0]}).tolist() == [2.0]
        (part,) = s.parts.values()
        assert [c.op.name for c in part.runner.graph.calls if c.op.name != "full"] == ["add"]
        with pytest.raises(ArgumentError, match="placeholder1 has no value"):
            s.run(z)
        assert s.run(z, {z: [7.0]}).tolist() == [7.0]


def test_a_value_of_another_shape_is_refused():
    g, x, t, *_, loss = linear()
    with twofold.Session(g) as s:
        with pytest.raises(ShapeError, match="the value of x has another shape"):
            s.run(loss, {x: np.zeros((3, 5)), t: np.zeros((3, 1))})
        with pytest.raises(ShapeError):
            s.run(loss, {x: np.zeros((3, 4)), t: np.zeros((2, 1))})


def test_control_dependencies_run_first():
    with twofold.Graph() as g:
        n = twofold.Variable(np.int64(0), trainable=False)
        with S.control_dependencies([n.assign_add(10)]):
            after = n * 1
        now = n * 1
    with twofold.Session(g) as s:
        assert [s.run(f) for f in (now, after, now, after)] == [0, 10, 10, 20]


def test_the_text_of_a_graph(golden):
    golden("graphs/linear", linear()[0].as_text())
