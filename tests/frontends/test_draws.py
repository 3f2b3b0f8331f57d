"""Random numbers in branches and loops: at each turn new ones, those of plain Python."""

import numpy as np
import pytest
from twice import compare

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
    @twofold.compile(fullgraph=True)
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


def test_a_checkpoint_draws_the_same_numbers_again():
    layer, drop = twofold.nn.Linear(4, 4), twofold.nn.Dropout(0.5)

    def step(x, n):
        def segment(h):
            h = drop(layer(h))
            for _ in range(n):
                h = drop(h) * 2
            return h + twofold.randn_like(h)

        made = twofold.utils.checkpoint.checkpoint(segment, x, use_reentrant=False)
        return twofold.autograd.grad(made.sum(), [layer.weight, layer.bias])

    compare(step, [lambda n=n: (twofold.ones(n, 4), n) for n in (3, 1, 2)])


def test_seeds_that_are_set_inside_are_set_at_each_run():
    own = twofold.Generator()

    def draws(x):
        twofold.manual_seed(5)
        a = twofold.randn(x.shape)
        own.manual_seed(2)
        b = twofold.rand(2, generator=own)
        for _ in range(x.shape[0]):
            a = a + twofold.rand(x.shape)
        twofold.manual_seed(6)
        return a, b, twofold.rand(3)

    compare(draws, [lambda n=n: (twofold.ones(n),) for n in (3, 3, 1)])
    twofold.manual_seed(7)
    before = twofold.get_rng_state()
    twofold.compile(draws).graph(twofold.ones(2))
    assert twofold.equal(before, twofold.get_rng_state())
