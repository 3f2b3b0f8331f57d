"""The same bytes as elements of another type."""

import numpy as np
import pytest

import twofold
from twofold.base.errors import DTypeError, ShapeError


def test_bytes_seen_as_another_type():
    x = twofold.tensor([[1.0, 2.0], [3.0, 4.0]])
    bits = x.view(twofold.int32)
    np.testing.assert_array_equal(bits.numpy(), x.numpy().view(np.int32))
    bits[0, 0] = 0
    assert x[0, 0] == 0, "the memory is shared"
    assert bits.view(dtype=twofold.float32).equal(x)
    assert x.view(twofold.uint8).shape == (2, 8) and x.view(twofold.float64).shape == (2, 1)
    assert x.t().view(twofold.int32).shape == (2, 2)
    for wrong in (x.t(), x[:, :1], twofold.tensor(1.0)):
        with pytest.raises(ShapeError, match="last axis"):
            wrong.view(twofold.float64)
    with pytest.raises(DTypeError, match="no gradient"):
        x.requires_grad_().view(twofold.int32)


def test_compiled_for_any_size_with_the_same_bits():
    f = twofold.compile(lambda x: (x.view(twofold.int32) + 1).view(twofold.float32))
    for n in (3, 5, 0):
        x = twofold.rand(n)
        assert f(x).equal((x.view(twofold.int32) + 1).view(twofold.float32))
    assert twofold.explain(f).compiles == 1
