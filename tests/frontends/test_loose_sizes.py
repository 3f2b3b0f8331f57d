"""Sizes that a program needs and that no input of it has; and what else random programs found."""

import numpy as np
import pytest
from twice import compare, fresh

import twofold
import twofold.nn.functional as F
from twofold.base.errors import IndexRangeError, TwofoldError
from twofold.saving import openers

SIZES = (12, 8, 5, 12)


def vector(n, tracked=False):
    return fresh(np.arange(n, dtype=np.float32) + 1, tracked)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum(),
        lambda x: x.mean(),
        lambda x: x[:4] * 2,
        lambda x: x[0] * x[-1],
        lambda x: (x[:, None] * twofold.ones(3)).sum(0),
    ],
)
def test_a_gradient_outside_has_the_sizes_of_its_own_call(function):
    compiled = twofold.compile(function)
    for n in SIZES:
        x, y = vector(n, True), vector(n, True)
        function(x).sum().backward()
        compiled(y).sum().backward()
        assert np.array_equal(x.grad.numpy(), y.grad.numpy())
    assert len(compiled.made) == 1


def test_gradients_of_several_sizes_are_taken_later():
    compiled = twofold.compile(lambda x: x.sum())
    xs = [vector(n, True) for n in SIZES]
    made = [compiled(x) for x in xs]
    for x, y in zip(xs, made, strict=True):
        y.backward()
        assert x.grad.shape == x.shape


def test_a_session_feeds_other_sizes_to_what_only_asks_for_sizes():
    with twofold.Graph() as g:
        x = twofold.placeholder(twofold.float32, (None,))
        slope, twice = twofold.gradients(x.sum(), x), twofold.zeros(x.shape[0] * 2)
    with twofold.Session(g) as s:
        for n in SIZES:
            fed = {x: np.ones(n, np.float32)}
            assert [a.shape for a in s.run([slope, twice], fed)] == [(n,), (2 * n,)]
            assert s.run(twice, fed).shape == (2 * n,)


def dead(x):
    x[twofold.tensor([0, 1])]
    return x * 2


@pytest.mark.parametrize("function", [lambda x: x[twofold.tensor([0, 1])], dead])
def test_constant_indices_are_held_against_the_sizes_of_each_call(function, tmp_path):
    compiled, path = twofold.compile(function), tmp_path / "f.twofold"
    twofold.export(function, vector(3), path=path)
    for called in (function, compiled, twofold.load(path)):
        called(vector(3))
        with pytest.raises(IndexRangeError, match="index 1 is out of range"):
            called(vector(1))


def test_an_archive_whose_indices_nobody_looks_at_is_refused(tmp_path):
    path = tmp_path / "f.twofold"
    twofold.export(lambda x: x[twofold.tensor([0, 1])], vector(3), path=path)
    saved = _plain(path)
    saved["text"] = saved["text"].replace("return %2, %1", "return %2")
    saved["checks"] = []
    twofold.save(saved, path)
    with pytest.raises(TwofoldError, match="an index is not checked"):
        twofold.load(path)


def _plain(path):
    """What an archive holds, unopened."""
    found = openers.OPENERS.pop("twofold.graph")
    try:
        return twofold.load(path)
    finally:
        openers.OPENERS["twofold.graph"] = found


def test_inputs_that_are_named_by_numbers_can_be_read_again(tmp_path):
    path = tmp_path / "f.twofold"
    twofold.export(lambda x, _v0: x * (2 * x.numel()) + _v0, vector(3), vector(3), path=path)
    assert twofold.load(path)(vector(5), vector(5)).tolist() == [11, 22, 33, 44, 55]


def test_a_mask_without_axes_writes_in_a_program():
    def function(x):
        x[x.sum() > 3] = 0
        return x

    compare(function, [lambda n=n: (vector(n),) for n in (1, 2, 3)])


def test_numbers_fill_bools_and_integers_as_they_do_eagerly():
    def function(x):
        return twofold.full_like(x > 2, 2) & (x > 1), twofold.full_like(x.long(), 2.5), x.sum()

    compare(function, [lambda: (vector(3),)])


def test_a_single_number_is_sorted_in_a_program():
    compare(lambda x: twofold.argsort(x.sum()), [lambda: (vector(3),)])


def test_reductions_of_reductions_over_one_element():
    """A row of one: what a reduction leaves has the shape of what it takes."""

    def function(x):
        v = F.linear(F.scaled_dot_product_attention(x, x, x), x)
        low = F.normalize(twofold.amin(F.hardtanh(x), dim=-1, keepdim=True), dim=1)
        return twofold.einsum("...i,...i->...", low, v)

    compare(function, [lambda n=n: (fresh(np.full((n, 1), 0.3), True),) for n in (1, 4)])


def test_a_result_without_a_history_beside_the_same_with_one():
    def function(x):
        y = x * 2
        return y.detach(), y, (y * y).sum(), y.detach()

    compiled = twofold.compile(function)
    for _ in range(3):
        x = vector(3, True)
        left, y, loss, right = compiled(x)
        assert [a.requires_grad for a in (left, y, loss, right)] == [False, True, True, False]
        (loss + (left * right).sum()).backward()
        assert x.grad.tolist() == [8, 16, 24]


@pytest.mark.parametrize("dtype", [twofold.bfloat16, twofold.float16, twofold.float32])
def test_means_of_losses_in_halves_are_rounded_once(dtype):
    def function(x):
        x = x.to(dtype)
        loss = F.cross_entropy(x, x.argmax(1)), F.nll_loss(x, x.argmin(1))
        sum(loss).backward()
        return loss

    def logits(n):
        values = np.random.default_rng(n).normal(size=(7, 5)) * 2
        return fresh(values.astype(np.float32), tracked=True)

    compare(function, [lambda n=n: (logits(n),) for n in range(30)])


def test_numbers_that_only_guards_ask_for_need_no_further_plan():
    """A count of steps that picks from a list: it was planned anew at each step."""
    state = {"steps": 0}

    def step(x):
        state["steps"] += 1
        return x * [1.0, 2.0, 3.0][int(state["steps"] % 3)]

    compiled = twofold.compile(step)
    for count in range(1, 40):
        for _ in range(2):
            state["steps"] = count - 1
            found = compiled(vector(4)).numpy()
            assert np.array_equal(found, vector(4).numpy() * (1 + count % 3))
    planned = [len(program.runner.planned) for program in compiled.made]
    assert len(planned) <= 4 and max(planned) == 1


def test_a_count_beside_a_branch_is_no_reason_to_plan_anew():
    p, state = twofold.ones(3), {"step": 0}

    def step():
        state["step"] += 1
        total = p.sum()
        rate = 1.0 if total == 0 else 1 / total
        p.add_(0.1 * rate)

    compiled = twofold.compile(step)
    for _ in range(6):
        compiled()
    assert state["step"] == 6
    assert twofold.explain(compiled).layouts == 1
