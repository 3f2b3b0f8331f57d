"""Random numbers in branches and loops: at each turn new ones, those of plain Python."""

import numpy as np
import pytest

import twofold
from twofold.frontends.arrays import CaptureError
from twofold.nn.functional import dropout

ONES = twofold.ones(3)


def same(f, *argument_sets, leaves=()):
    """The same results, gradients and state of the generator, before and after other draws."""
    found = []
    for g in (f, twofold.compile(f)):
        twofold.manual_seed(3)
        seen = []
        for args in argument_sets * 2:
            for leaf in leaves:
                leaf.grad = None
            made = g(*args)
            outs = made if isinstance(made, tuple) else (made,)
            if leaves:
                outs[0].square().sum().backward()
            arrays = [x.detach().numpy() for x in (*outs, *(leaf.grad for leaf in leaves))]
            seen += [(a.shape, a.tobytes()) for a in arrays]
            seen += [twofold.rand(2).tolist(), twofold.get_rng_state().tolist()]
        found.append(seen)
    assert found[0] == found[1]
    assert len(g.all_programs()) == 1
    assert twofold.explain(g).unsupported == ()


def test_draws_before_in_and_after_a_loop():
    def f(x):
        y = dropout(x, 0.5)
        for _ in range(x.shape[0]):
            y = dropout(y * 1.1, 0.3) + twofold.rand(3)
        return y + dropout(x, 0.1), twofold.randn(())

    same(f, *((twofold.ones(n, 3),) for n in (1, 3, 4)))


def test_how_many_draws_there_are_depends_on_values():
    def f(x):
        i = twofold.tensor(0)
        while i < x.sum():
            if i % 2 == 0:
                x = x - twofold.rand(3) * 0.1
            else:
                x = x - (twofold.randn(3) * 0.1).abs()
                for _ in range(x.shape[0]):
                    x = x + twofold.rand(()) * 0.01
            i = i + 1
        return x, i, twofold.randn(2)

    same(f, (ONES * 2,), (ONES,), (ONES * 0,))


def test_a_branch_that_draws_and_one_that_does_not():
    def f(x):
        y = x * dropout(x, 0.5) if x.sum() > 0 else x + 1
        if x.max() > 2:
            y = y * twofold.rand(3)
        return y, twofold.rand(2)

    same(f, (ONES,), (-ONES,), (ONES * 3,))


def test_gradients_meet_the_same_numbers():
    w = twofold.ones(3, requires_grad=True)

    def rows(x):
        for row in x:
            x = dropout(x * w + row, 0.3)
        return x

    def counted(x, n):
        i = twofold.tensor(0)
        while i < n:
            x = dropout(x * w, 0.3)
            i = i + 1
        return x

    same(rows, (twofold.ones(3, 3),), leaves=[w])
    same(counted, *((ONES, twofold.tensor(n)) for n in (4, 1)), leaves=[w])


def test_generators_are_told_apart():
    mine, other = twofold.Generator(seed=5), twofold.Generator(seed=6)

    def f(x):
        for _ in range(x.shape[0]):
            x = x + twofold.rand(3, generator=mine) - twofold.rand(3, generator=other)
            x = x * twofold.rand(3)
        return x + twofold.rand(3, generator=other)

    compiled = twofold.compile(f)
    found = []
    for g in (f, compiled):
        twofold.manual_seed(1)
        mine.manual_seed(5), other.manual_seed(6)
        found.append([g(twofold.ones(3, 3)).tolist(), mine.draw, other.draw])
    assert found[0] == found[1]
    assert found[0][1:] == [3, 4]


def test_a_test_that_draws_is_refused():
    @twofold.compile
    def f(x):
        while twofold.rand(()) < x.sum():
            x = x * 0.5
        return x

    with pytest.raises(CaptureError, match="test of a loop draws"):
        f(ONES)


def test_numbers_differ_from_turn_to_turn():
    f = twofold.compile(lambda n: twofold.scan(lambda c, x: (c, twofold.rand(4)), n[0], n)[1])
    rows = f(twofold.ones(50)).numpy()
    assert len(np.unique(rows)) == 200
