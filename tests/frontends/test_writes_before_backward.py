"""What is written between a compiled function's call and the walk back through it."""

import pytest
from twice import bits

import twofold
from twofold.base.errors import GradientError


def leaves():
    return [twofold.tensor([1.0, 2.0, 3.0], requires_grad=True) for _ in range(2)]


def warmed(function, warm):
    compiled = twofold.compile(function)
    for _ in range(warm):
        compiled(*leaves())
    return compiled


def scaled(y):
    y.mul_(2)
    return y


def partly(y):
    y[0] = 0
    return y


def behind_the_tape(y):
    with twofold.no_grad():
        y.zero_()
    return y


@pytest.mark.parametrize("warm", [0, 150])
@pytest.mark.parametrize("write", [scaled, partly, behind_the_tape])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: (x * w).exp(),
        lambda x, w: ((x * w).sigmoid(), (x * w).exp()),
    ],
)
def test_results_that_are_written_have_the_gradients_of_eager(function, write, warm):
    found = []
    for called in (function, warmed(function, warm)):
        xs = leaves()
        made = called(*xs)
        made = [write(y) for y in (made if isinstance(made, tuple) else (made,))]
        sum(y.sum() for y in made).backward()
        found.append([bits(x.grad) for x in xs])
    assert found[0] == found[1]


@pytest.mark.parametrize("warm", [0, 150])
def test_data_that_is_written_is_told(warm):
    compiled = twofold.compile(lambda x, w: (x * w).sum())
    for _ in range(warm):
        compiled(twofold.ones(3), leaves()[0])
    x, w = twofold.ones(3), leaves()[0]
    y = compiled(x, w)
    x.zero_()
    with pytest.raises(GradientError, match="overwritten in place"):
        y.backward()
    compiled(x, w).backward()
    assert w.grad.tolist() == [0, 0, 0]


def test_a_tensor_from_outside_that_is_written_is_told():
    scale, w = twofold.ones(3), leaves()[0]
    y = twofold.compile(lambda w: (w * scale).sum())(w)
    scale.zero_()
    with pytest.raises(GradientError, match="overwritten in place"):
        y.backward()
