"""`out=`: results in tensors that are given, of the same type and of others."""

import pytest

import twofold
from twofold.base.errors import DTypeError
from twofold.nn import functional as F

X = twofold.linspace(-2, 3, 16).reshape(4, 4)
PARTS = twofold.linalg.lu_factor(X + 3 * twofold.eye(4))
CALLS = {
    "gelu": lambda **o: F.gelu(X, **o),
    "gelu_tanh": lambda **o: F.gelu(X, approximate="tanh", **o),
    "softplus": lambda **o: F.softplus(X, 2.0, **o),
    "softshrink": lambda **o: F.softshrink(X, 0.1, **o),
    "hardshrink": lambda **o: F.hardshrink(X, 0.1, **o),
    "linear": lambda **o: F.linear(X, X, X[0], **o),
    "avg_pool2d": lambda **o: F.avg_pool2d(X[None], 2, **o),
    "avg_pool3d": lambda **o: F.avg_pool3d(X[None, None], (1, 2, 2), **o),
    "cat": lambda **o: twofold.cat([X, X], 1, **o),
    "lu_solve": lambda **o: twofold.lu_solve(X, *PARTS, **o),
}
SEVERAL = {
    "lu": lambda **o: twofold.lu(X + 3 * twofold.eye(4), **o),
    "lu_unpack": lambda **o: twofold.lu_unpack(*PARTS, **o),
    "geqrf": lambda **o: twofold.geqrf(X, **o),
    "histogram": lambda **o: twofold.histogram(X, 3, **o),
    "triangular_solve": lambda **o: twofold.triangular_solve(X, X + 3, **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_results_lie_in_what_is_given(name):
    wanted = CALLS[name]()
    out = twofold.empty(0)
    assert CALLS[name](out=out) is out
    assert out.tolist() == wanted.tolist()
    wide = twofold.empty(wanted.shape, dtype=twofold.float64)
    CALLS[name](out=wide)
    assert wide.dtype is twofold.float64
    assert wide.tolist() == wanted.tolist()
    with pytest.raises(DTypeError, match=name.removesuffix("_tanh")):
        CALLS[name](out=twofold.empty(0, dtype=twofold.int64))


@pytest.mark.parametrize("name", SEVERAL)
def test_several_results_lie_in_what_is_given(name):
    wanted = SEVERAL[name]()
    out = tuple(twofold.empty(0, dtype=x.dtype) for x in wanted)
    SEVERAL[name](out=out)
    assert [x.tolist() for x in out] == [x.tolist() for x in wanted]


def test_cat_writes_into_the_memory_that_is_given():
    whole = twofold.zeros(2, 8)
    twofold.cat([twofold.ones(1, 4), twofold.ones(1, 4)], out=whole[:, ::2])
    assert whole.tolist() == [[1.0, 0.0] * 4] * 2


def test_places_do_not_wrap_around_in_narrow_types():
    with pytest.raises(DTypeError, match="uint8 does not hold every number of an int64 result"):
        twofold.argmax(twofold.arange(300), out=twofold.empty((), dtype=twofold.uint8))
    whole = twofold.ones(2, 2, dtype=twofold.int64)
    with pytest.raises(DTypeError, match="int32 does not hold"):
        twofold.mm(whole, whole, out=twofold.empty(2, 2, dtype=twofold.int32))
    made = twofold.argmax(twofold.arange(300), out=twofold.empty((), dtype=twofold.float64))
    assert made.item() == 299.0
