"""Drawing numbers: what a seed repeats, ranges, distributions, states, and signatures."""

import numpy as np
import pytest

import twofold

SHAPES = """
T.rand(2, 3)  T.rand((2, 3))  T.rand(0)  T.rand(())  T.rand(2, dtype=T.float64)  T.randn(2, 3)
T.randn([4])  T.randn(2, dtype=T.float16)  T.rand(2, dtype=T.int64)  T.randint(5, (2, 3))
T.randint(2, 5, (3,))  T.randint(0, 9, (2,), dtype=T.int32)  T.randint(3, (2,), dtype=T.float32)
T.randint(5, 5, (1,))  T.randint(5, 2, (1,))  T.randperm(5)  T.randperm(0)
T.randperm(3, dtype=T.int32)  T.rand_like(f)  T.randn_like(d)  T.rand_like(i)
T.randn_like(f, dtype=T.float64)  T.randint_like(f, 5)  T.randint_like(i, 2, 4)
T.normal(0., 1., (2, 3))  T.normal(f, g)  T.normal(f, 2.)  T.normal(0., g)
T.normal(mean=0., std=1., size=(2,))  T.normal(d, g.double())  T.normal(f, -g)  T.bernoulli(p)
T.bernoulli(f)  T.bernoulli(p.double())  p.bernoulli()  T.bernoulli(p, 0.5)  T.multinomial(g, 2)
T.multinomial(g[0], 3)  T.multinomial(g, 9)  T.multinomial(g, 9, replacement=True)
T.multinomial(f, 1)  T.multinomial(g * 0, 1)  g.multinomial(1)  f.uniform_()  f.uniform_(2, 5)
f.normal_(0, 2)  f.exponential_()  f.bernoulli_()  f.bernoulli_(p)  i.random_(5)  i.random_(2, 9)
f.random_()  i.uniform_()  f.log_normal_() if 0 else f  f.normal_(std=-1)  f.uniform_(5, 2)
f.bernoulli_(1.5)  T.poisson(g) if 0 else f  f.geometric_(0.5) if 0 else f
f.cauchy_() if 0 else f  T.rand(2, requires_grad=True)  T.rand(2, device='cpu')
T.rand(2, generator=T.Generator().manual_seed(1))  T.randperm(4, generator=T.Generator())
T.manual_seed(3).initial_seed()  T.initial_seed() * 0  T.rand(-1)  T.randperm(-1)
T.rand(2, 3, names=None) if 0 else f
"""


def test_signatures_are_pytorchs():
    twins = pytest.importorskip("twins")
    wrong = []
    for text in twins.cases(SHAPES):
        theirs, ours = (twins.evaluate(text, side)[0] for side in (True, False))
        if isinstance(theirs, Exception) or isinstance(ours, Exception):
            if isinstance(theirs, Exception) != isinstance(ours, Exception):
                wrong.append(f"{text}: {theirs!r:.150} and here {ours!r:.150}")
        elif isinstance(theirs, twins.torch.Tensor):
            described = [(tuple(x.shape), str(x.dtype).split(".")[1]) for x in (theirs, ours)]
            if described[0] != described[1] or theirs.requires_grad != ours.requires_grad:
                wrong.append(f"{text}: {described}")
        elif theirs != ours:
            wrong.append(f"{text}: {theirs}, here {ours}")
    assert not wrong, "\n".join(["", *wrong])


DRAWS = {
    "rand": lambda: twofold.rand(3, 5),
    "randn": lambda: twofold.randn(7),
    "randint": lambda: twofold.randint(-3, 9, (40,)),
    "randperm": lambda: twofold.randperm(20),
    "normal": lambda: twofold.normal(1.0, 2.0, (6,)),
    "bernoulli": lambda: twofold.bernoulli(twofold.full((30,), 0.4)),
    "multinomial": lambda: twofold.multinomial(twofold.ones(9), 4),
    "uniform_": lambda: twofold.zeros(5).uniform_(-1, 1),
    "exponential_": lambda: twofold.zeros(5).exponential_(2),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_seed_repeats(name):
    draw = DRAWS[name]
    twofold.manual_seed(11)
    first, second = draw(), draw()
    twofold.manual_seed(11)
    assert twofold.equal(draw(), first) and twofold.equal(draw(), second)
    assert not twofold.equal(first, second)
    twofold.manual_seed(12)
    assert not twofold.equal(draw(), first)


@pytest.mark.parametrize("name", DRAWS)
def test_a_state_goes_on_where_it_was_taken(name):
    draw = DRAWS[name]
    twofold.manual_seed(5)
    draw()
    state = twofold.get_rng_state()
    wanted = draw()
    draw()
    twofold.set_rng_state(state)
    assert twofold.equal(draw(), wanted)


def test_an_element_depends_on_its_place_alone():
    def drawn(*shape):
        twofold.manual_seed(3)
        return twofold.rand(*shape).reshape(-1)

    long = drawn(1000)
    assert twofold.equal(drawn(10, 7), long[:70])
    assert twofold.equal(drawn(3), long[:3])


def test_generators_are_streams_of_their_own():
    a, b = twofold.Generator().manual_seed(1), twofold.Generator().manual_seed(1)
    twofold.manual_seed(9)
    default = twofold.rand(4)
    twofold.manual_seed(9)
    first = twofold.rand(4, generator=a)
    assert twofold.equal(first, twofold.rand(4, generator=b))
    assert twofold.equal(twofold.rand(4), default)
    state = a.get_state()
    then = twofold.randn(3, generator=a)
    assert twofold.equal(twofold.randn(3, generator=a.set_state(state)), then)
    with pytest.raises(ValueError, match="state"):
        a.set_state(twofold.zeros(3, dtype=twofold.uint8))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_uniform_numbers_lie_below_one(dtype):
    twofold.manual_seed(0)
    x = twofold.rand(200_000, dtype=getattr(twofold, dtype)).double().numpy()
    assert x.min() >= 0 and x.max() < 1
    assert abs(x.mean() - 0.5) < 0.01 and abs(x.var() - 1 / 12) < 0.005
    counts = np.histogram(x, 16, (0, 1))[0]
    assert (abs(counts - 12_500) < 600).all()


def test_distributions():
    twofold.manual_seed(1)
    z = twofold.randn(100_000).numpy()
    assert abs(z.mean()) < 0.015 and abs(z.std() - 1) < 0.015
    assert abs((z**3).mean()) < 0.05 and abs((z**4).mean() - 3) < 0.15
    n = twofold.normal(3.0, 0.5, (50_000,)).numpy()
    assert abs(n.mean() - 3) < 0.02 and abs(n.std() - 0.5) < 0.02
    e = twofold.zeros(100_000).exponential_(2.0).numpy()
    assert e.min() >= 0 and abs(e.mean() - 0.5) < 0.01
    b = twofold.bernoulli(twofold.full((50_000,), 0.3)).numpy()
    assert set(np.unique(b)) == {0.0, 1.0} and abs(b.mean() - 0.3) < 0.01
    k = twofold.randint(2, 7, (50_000,)).numpy()
    assert set(k) == {2, 3, 4, 5, 6}
    assert (abs(np.bincount(k)[2:] - 10_000) < 500).all()
    p = twofold.randperm(1000)
    assert sorted(p.tolist()) == list(range(1000)) and p.tolist() != list(range(1000))
    u = twofold.zeros(50_000).uniform_(-2, 6).numpy()
    assert u.min() >= -2 and u.max() <= 6 and abs(u.mean() - 2) < 0.05


def test_large_ranges_of_integers():
    twofold.manual_seed(2)
    wide = twofold.randint(-(2**62), 2**62, (2000,)).numpy()
    assert wide.min() < -(2**60) and wide.max() > 2**60
    big = twofold.randint(0, 2**40, (2000,)).numpy()
    assert big.min() >= 0 and big.max() < 2**40 and abs(big.mean() / 2**39 - 1) < 0.1


def test_multinomial_follows_the_weights():
    twofold.manual_seed(4)
    weights = twofold.tensor([[1.0, 0.0, 3.0], [0.0, 2.0, 2.0]])
    many = twofold.multinomial(weights, 20_000, replacement=True).numpy()
    shares = [np.bincount(row, minlength=3) / 20_000 for row in many]
    assert np.allclose(shares, [[0.25, 0, 0.75], [0, 0.5, 0.5]], atol=0.02)
    few = twofold.multinomial(twofold.ones(500, 6), 6).numpy()
    assert (np.sort(few, 1) == np.arange(6)).all()
    firsts = twofold.multinomial(weights.expand(20_000, 2, 3)[:, 0], 1).numpy()
    assert abs((firsts == 2).mean() - 0.75) < 0.02


def test_threads_do_not_change_a_bit():
    before = twofold.get_num_threads()
    made = []
    for threads in (1, 2, 3):
        twofold.set_num_threads(threads)
        twofold.manual_seed(8)
        made.append(twofold.randn(100_003))
    twofold.set_num_threads(before)
    assert twofold.equal(made[0], made[1]) and twofold.equal(made[0], made[2])


def test_filling_in_place_is_seen_by_gradients_and_views():
    x = twofold.zeros(4, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x.uniform_()
    with twofold.no_grad():
        x.normal_()
    base = twofold.zeros(2, 3)
    base[1].uniform_(1, 2)
    assert base[0].sum() == 0 and base[1].min() >= 1
    saved = twofold.ones(3, requires_grad=True) * 1
    made = (saved * saved).sum()
    saved.uniform_()
    with pytest.raises(RuntimeError, match="overwritten"):
        made.backward()


def test_few_words_are_those_of_many():
    from twofold.ops.draws import random_words

    random = np.random.default_rng(0)
    for _ in range(20):
        seed, stream = int(random.integers(0, 2**63)), int(random.integers(0, 2**32))
        draw = int(random.integers(0, 2**40))
        many = random_words(100, seed, stream, draw)
        for count in range(18):
            few = random_words(count, seed, stream, draw)
            assert few.dtype == many.dtype
            assert few.tolist() == many[:count].tolist()


def test_a_generator_s_copy_goes_on_alike():
    first = twofold.Generator().manual_seed(3)
    twofold.rand(2, generator=first)
    second = first.clone_state()
    assert twofold.rand(3, generator=first).tolist() == twofold.rand(3, generator=second).tolist()
    with pytest.raises(TypeError, match="generator"):
        twofold.rand(2, generator=5)
