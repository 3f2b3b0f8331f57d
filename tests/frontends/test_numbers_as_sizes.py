"""Numbers of the user's that stand where sizes do, and sizes that fractions of sizes give."""

import math

import numpy as np
import pytest
from twice import bits

import twofold
import twofold.nn.functional as F
from twofold.base.errors import TwofoldError

NUMBERS = (3, 4, 6, 0, 1, 2, 7, 5)
SIZES = (16, 25, 9, 13, 30)


def vector(n=12):
    return twofold.tensor(np.random.RandomState(n).randn(n).astype(np.float32))


def loop(x, k):
    for i in range(k):
        x = x * 1.5 + i
    return x


def written(x, k):
    x = x.clone()
    x[:k] = 0.0
    return x


@pytest.mark.parametrize(
    ("function", "most"),
    [
        (lambda x, k: x[:k] * 2, 3),
        (lambda x, k: x[k:] * 2, 3),
        (lambda x, k: x[k : k + 2] * 2, 2),
        (lambda x, k: twofold.zeros(k) + x[0], 2),
        (lambda x, k: twofold.arange(k) * x[1], 2),
        (lambda x, k: x.narrow(0, 1, k) * 2, 2),
        (lambda x, k: x.repeat(k), 2),
        (lambda x, k: x[None].expand(k, -1) * 2, 2),
        (lambda x, k: F.pad(x, (k, 0)), 3),
        (lambda x, k: twofold.ones(k, k).triu(1), 2),
        (loop, 3),
        (written, 3),
    ],
)
def test_a_number_that_is_a_size_compiles_once_more_and_never_again(function, most):
    compiled = twofold.compile(function)
    for k in NUMBERS:
        assert bits(compiled(vector(), k)) == bits(function(vector(), k))
    assert len(compiled.made) <= most


def test_a_negative_number_is_no_size():
    head = lambda x, k: x[:k] * 2  # noqa: E731
    compiled = twofold.compile(head)
    for k in (3, 4, -1, 5, -3):
        assert bits(compiled(vector(), k)) == bits(head(vector(), k))
    zeros = twofold.compile(lambda k: twofold.zeros(k))
    assert [zeros(k).shape[0] for k in (3, 4, 5)] == [3, 4, 5]
    with pytest.raises(TwofoldError, match="not a shape"):
        zeros(-2)


def test_a_cache_of_keys_is_read_as_far_as_it_is_filled():
    cache = twofold.zeros(2, 32, 4)

    def attend(x, start):
        cache[:, start : start + x.shape[1]] = x
        keys = cache[:, : start + x.shape[1]]
        return (x @ keys.transpose(1, 2)).softmax(-1) @ keys

    compiled = twofold.compile(attend)
    for start in range(12):
        x = twofold.tensor(np.random.RandomState(start).randn(2, 1, 4).astype(np.float32))
        found = bits(compiled(x, start))
        assert found == bits(attend(x, start))
    assert len(compiled.made) == 2


@pytest.mark.parametrize("exponents", [(5, 3, 2, 1, 0, -1, -2), (0.3, 0.5, -0.5, 2.0, 3.0, -2.0)])
def test_powers_of_numbers_have_the_bits_of_eager_ones(exponents):
    power = lambda x, k: x.abs() ** k  # noqa: E731
    compiled = twofold.compile(power)
    for k in exponents:
        assert bits(compiled(vector(), k)) == bits(power(vector(), k))


def square(x):
    n = int(math.sqrt(x.shape[0]))
    return x[: n * n].reshape(n, n).sum(0)


def windows(x):
    batch = int(x.shape[0] / (8 * 8 / 4 / 4))  # as Swin transformers find their batch again
    return x[: batch * 4].view(batch, 2, 2).sum((1, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[: int(x.shape[0] * 0.75)] * 2,
        lambda x: x[: int(x.shape[0] * (1 - 0.7))] * 2,
        lambda x: x[: int(x.shape[0] / 2)] * 2,
        lambda x: x[: math.ceil(x.shape[0] / 4)] * 2,
        lambda x: x[: math.floor(x.shape[0] / 3) + 1] * 2,
        lambda x: x[: round(x.shape[0] * 0.3)] * 2,
        lambda x: x[: 2 ** int(math.log2(x.shape[0]))] * 2,
        lambda x: x[int(-x.shape[0] / 2) :] * 2,
        square,
        windows,
    ],
)
def test_whole_numbers_of_fractions_of_sizes_compile_once(function):
    compiled = twofold.compile(function)
    for n in SIZES:
        assert bits(compiled(vector(n))) == bits(function(vector(n)))
    assert len(compiled.made) == 1


def test_programs_with_rounded_sizes_are_exported(tmp_path):
    head = lambda x: x[: int(x.shape[0] * 0.75)] * 2  # noqa: E731
    compiled = twofold.compile(head)
    assert "trunc(x_0 * 0.75)" in str(compiled.graph(vector()))
    path = tmp_path / "head.twofold"
    twofold.export(compiled, vector(), path=path)
    loaded = twofold.load(path)
    for n in SIZES:
        assert bits(loaded(vector(n))) == bits(head(vector(n)))


def test_experts_that_no_token_asks_for_are_no_other_program():
    experts = [twofold.nn.Linear(4, 4, bias=False) for _ in range(3)]

    def mix(x, chosen, weights):
        made = twofold.zeros_like(x)
        for i, expert in enumerate(experts):
            rows, places = twofold.where(chosen == i)
            made[rows] += weights[rows, places, None] * expert(x[rows])
        return made.detach()

    compiled = twofold.compile(mix)
    x, weights = vector(20).reshape(5, 4), vector(10).reshape(5, 2)
    for pair in ([0, 1], [0, 2], [2, 2], [1, 0]):
        chosen = twofold.tensor([pair] * 5)
        assert bits(compiled(x, chosen, weights)) == bits(mix(x, chosen, weights))
    assert len(compiled.made) == 1


def causal(x, start):
    """Scores of tokens behind a cache of `start` others, as decoders mask them."""
    rows = x.shape[0]
    mask = twofold.full((rows, start + rows), float("-inf")).triu_(diagonal=start + 1)
    scores = x @ twofold.ones(x.shape[1], start + rows)
    return twofold.softmax(scores + mask, -1) + twofold.tril(scores, start - 2)


def test_a_causal_mask_behind_a_cache_is_one_program_for_all_places():
    compiled = twofold.compile(causal)
    for start in NUMBERS:
        for rows in (1, 3, 4):
            x = vector(3 * rows).reshape(rows, 3).requires_grad_()
            y = x.detach().clone().requires_grad_()
            wanted, found = causal(x, start), compiled(y, start)
            assert bits(found) == bits(wanted)
            wanted.sum().backward(), found.sum().backward()
            assert bits(x.grad) == bits(y.grad)
    assert len(compiled.made) <= 3


def shifted(x):
    n = x.shape[0]
    return x * ((n << 1) + (n >> 1) + (n & 1) + (n | 1) + (n ^ 5) + ~n + (3 & n) + (1 << n))


def padded_to_a_power_of_two(x):
    n = x.shape[0]
    return twofold.nn.functional.pad(x, (0, (1 << (n - 1).bit_length()) - n))


@pytest.mark.parametrize("function", (shifted, padded_to_a_power_of_two), ids=lambda f: f.__name__)
def test_bits_of_sizes_are_numbers_of_one_program(function, tmp_path):
    compiled = twofold.compile(function)
    twofold.export(function, twofold.zeros(5), path=tmp_path / "f.twofold")
    loaded = twofold.load(tmp_path / "f.twofold")
    for n in (5, 8, 9, 3):
        x = twofold.arange(1.0, n + 1)
        assert twofold.equal(compiled(x), function(x)) and twofold.equal(loaded(x), function(x))
    assert len(compiled.all_programs()) == 1
