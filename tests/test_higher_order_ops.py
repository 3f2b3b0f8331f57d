"""Scans of associative functions."""

import pytest

import twofold
from twofold._higher_order_ops.associative_scan import associative_scan
from twofold.base.errors import ArgumentError, ShapeError


@pytest.mark.parametrize("size", [1, 2, 5, 8])
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_and_products_of_pairs(size, reverse):
    x = twofold.rand(size, 3, dtype=twofold.float64) + 0.5
    flip = (lambda y: y.flip(0)) if reverse else (lambda y: y)
    made = associative_scan(lambda a, b: a + b, x, 0, reverse=reverse)
    assert made.allclose(flip(flip(x).cumsum(0)))
    pairs = associative_scan(
        lambda a, b: {"a": a["a"] * b["a"], "b": b["a"] * a["b"] + b["b"]}, {"a": x, "b": x}, 0
    )
    state, states = twofold.zeros(3, dtype=twofold.float64), []
    for row in x:
        state = row * state + row
        states.append(state)
    assert pairs["b"].allclose(twofold.stack(states)) and pairs["a"].allclose(x.cumprod(0))


def test_gradients_and_refusals():
    x = twofold.rand(6, dtype=twofold.float64, requires_grad=True)
    assert twofold.autograd.gradcheck(lambda x: associative_scan(lambda a, b: a * b, x, 0), (x,))
    with pytest.raises(ArgumentError, match="no tensors"):
        associative_scan(max, {}, 0)
    with pytest.raises(ShapeError, match="lengths"):
        associative_scan(max, (x, x[:2]), 0)
