"""Plans of whole graphs: where values lie, and for how long."""

import pytest

import twofold
from twofold.exec.graphs import Planner
from twofold.frontends.compiled import Compiled


def planned(f: Compiled):
    (program,) = f.all_programs()
    return next(iter(program.runner.planned.values()))


def test_a_copy_lives_as_long_as_the_views_of_its_views():
    def f(x):
        turned = x.transpose(0, 1).reshape(12).reshape(4, 3)[1:]  # a copy, a view, a view
        a = x.exp()
        b = (a @ a.T).exp() @ a
        return b.sum() + turned.sum(), turned @ b.T

    compiled = twofold.compile(f)
    for _ in range(3):
        x = twofold.randn(4, 3)
        for made, wanted in zip(compiled(x), f(x), strict=True):
            assert made.numpy().tobytes() == wanted.numpy().tobytes()


def test_buffers_that_are_alive_together_do_not_overlap(monkeypatch):
    seen = []
    arrange = Planner.arrange

    def watched(self):
        offsets, top = arrange(self)
        seen.append((self.buffers, offsets, top))
        return offsets, top

    monkeypatch.setattr(Planner, "arrange", watched)

    def f(x):
        rows = [(x[i:].exp() @ x[: 9 - i].T).tanh().sum(0, keepdim=True) for i in range(8)]
        return sum(r.sum() for r in rows) + sum((r * r).mean() for r in rows)

    x = twofold.randn(9, 9)
    assert twofold.compile(f)(x).numpy().tobytes() == f(x).numpy().tobytes()
    (buffers, offsets, top), *_ = seen
    places = [(at, at + b.size, b) for at, b in zip(offsets, buffers, strict=True) if b.size]
    assert len(places) > 10
    assert max(end for _, end, _ in places) <= top < sum(b.size for _, _, b in places)
    for i, (low, high, a) in enumerate(places):
        for start, end, b in places[:i]:
            if a.first <= b.last and b.first <= a.last:
                assert high <= start or end <= low


def test_calls_that_are_alike_are_planned_once(monkeypatch):
    f = twofold.compile(lambda x: (x.cumsum(0) + 1).cumsum(0).exp().cumsum(0))
    for n in (3, 5):
        x = twofold.randn(n, 2)
        assert f(x).shape == (n, 2)
    (program,) = f.all_programs()
    kinds = [key[0][0] for key in program.runner.structure.found]
    assert kinds.count("cumsum") == 2  # one a size


@pytest.fixture
def taken(monkeypatch):
    """For each result of an elementwise call whether it takes an operand's place."""
    found = []
    over = Planner.over

    def watched(self, number, *rest):
        place = over(self, number, *rest)
        found.append((self.graph.calls[number].op.name, place is not None))
        return place

    monkeypatch.setattr(Planner, "over", watched)
    return found


def same_bits(f, *inputs):
    for made, wanted in zip(twofold.compile(f)(*inputs), f(*inputs), strict=True):
        assert made.numpy().tobytes() == wanted.numpy().tobytes()


def test_a_result_takes_the_place_of_an_operand_that_nobody_reads_any_more(taken):
    def f(x, w):
        a, b = x @ w, x @ w.t()
        c = (a * b).sin()
        d = c - a
        return (c @ w) @ (d @ w), ((w @ x).cos() * x).round() @ w

    same_bits(f, twofold.randn(64, 64), twofold.randn(64, 64))
    assert taken == [("fused", True), ("fused", True), ("fused", True)]


def test_memory_that_is_read_again_is_not_written_over(taken):
    def f(x, w):
        h = x @ w
        k = (h + h.t()) @ w  # the same memory in another order
        a = x @ k
        b, c = a.exp() @ w, a @ w  # a is read later
        first, second = (x @ b).split(32)
        row = (x @ c)[0]
        return (first * 2.0) @ w, second.exp() @ w, (row * x) @ w

    same_bits(f, twofold.randn(64, 64), twofold.randn(64, 64))
    assert len(taken) == 5 and not any(over for _, over in taken)
