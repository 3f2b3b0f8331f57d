"""Small agreements with PyTorch that its own samples of operations ask for."""

import numpy as np
import pytest

import twofold
from twofold import masked
from twofold.nn import functional


def test_unsigned_numbers_are_subtracted_by_a_multiple():
    x, y = (twofold.tensor([n], dtype=twofold.uint8) for n in (9, 2))
    assert twofold.sub(x, y, alpha=2).tolist() == [5]
    assert twofold.rsub(x, y, alpha=2).tolist() == [240], "modulo 256"
    with pytest.raises(twofold.TwofoldError, match="alpha is a float32 number"):
        twofold.sub(x, y, alpha=0.5)


def test_types_of_results():
    x = twofold.tensor([1, 2, 3], dtype=twofold.int32)
    assert twofold.ones((), dtype=twofold.int8).sum_to_size(()).dtype is twofold.int64
    assert x.sum_to_size(3).dtype is twofold.int32
    assert [p.dtype for p in twofold.unravel_index(x, (4, 5))] == [twofold.int64] * 2
    assert twofold.unravel_index(x.to(twofold.uint8), (4, 2**30))[1].tolist() == [1, 2, 3]
    mask = x > 1
    assert masked.cumsum(x, 0, mask=mask).dtype is twofold.int32
    assert masked.cumprod(x, 0, mask=mask).tolist() == [1, 2, 6]
    assert masked.cumprod(x, 0, mask=mask, dtype=twofold.int64).dtype is twofold.int64


def test_weights_of_covariances_are_not_narrowed():
    rows = np.random.default_rng(0).normal(size=(2, 5))
    weights = twofold.rand(5, dtype=twofold.float64)
    x = twofold.tensor(rows, dtype=twofold.float32)
    made = twofold.cov(x, aweights=weights)
    assert made.dtype is twofold.float64
    wanted = np.cov(rows.astype("f4").astype("f8"), aweights=weights.numpy())
    assert np.allclose(made.numpy(), wanted, rtol=1e-6)
    assert twofold.cov(x.bfloat16(), aweights=weights.float()).dtype is twofold.float32


def test_gradients_of_rows_are_divided_by_their_count():
    table = twofold.ones(4, 2, requires_grad=True)
    read = twofold.tensor([[0, 1], [0, 0]])
    functional.embedding(read, table, scale_grad_by_freq=True).sum().backward()
    assert table.grad.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_rms_norm_of_complex_numbers():
    random = np.random.default_rng(0)
    x, w = (random.normal(size=s) + 1j * random.normal(size=s) for s in ((3, 4), 4))
    made = functional.rms_norm(twofold.tensor(x), (4,), twofold.tensor(w), eps=0.5)
    assert np.allclose(made.numpy(), x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.5) * w)
    start = twofold.tensor(x).requires_grad_()
    assert twofold.autograd.gradcheck(lambda t: functional.rms_norm(t, (4,)), (start,))


def test_classes_are_drawn_by_floating_weights():
    with pytest.raises(twofold.TwofoldError, match="weights are floating"):
        twofold.multinomial(twofold.tensor([1, 2]), 1)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places_are_written_into_out(name):
    x = twofold.tensor([[3.0, 1.0], [2.0, 5.0]])
    target = twofold.zeros(2, dtype=twofold.int64)
    assert getattr(twofold, name)(x, 1, out=target) is target
    assert target.tolist() == getattr(x, name)(1).tolist()


def test_out_of_functions_of_indices():
    x, at = twofold.zeros(3), twofold.tensor([1])
    for name, rest in (("index_add", ()), ("index_copy", ()), ("index_reduce", ("amax",))):
        target = twofold.empty(3)
        made = getattr(twofold, name)(x, 0, at, twofold.ones(1), *rest, out=target)
        assert made is target and target.tolist() == [0.0, 1.0, 0.0]
    target = twofold.empty(3, dtype=twofold.bool)
    assert twofold.isin(x, twofold.zeros(1), out=target) is target and bool(target.all())


@pytest.mark.parametrize(
    ("name", "slope", "points"),
    [
        ("asin", lambda y: 1 / np.cos(y), (complex(2, 0.0), complex(2, -0.0), complex(-2, 0.0))),
        ("acos", lambda y: -1 / np.sin(y), (complex(2, 0.0), complex(2, -0.0), complex(-2, -0.0))),
        ("asinh", lambda y: 1 / np.cosh(y), (complex(0.0, 2), complex(-0.0, 2), complex(0.0, -2))),
        (
            "acosh",
            lambda y: 1 / np.sinh(y),
            (complex(-2, 0.0), complex(-2, -0.0), complex(0.5, 0.0)),
        ),
    ],
)
def test_slopes_on_branch_cuts_are_of_the_side_that_the_value_is_of(name, slope, points):
    x = twofold.tensor(np.array(points)).requires_grad_()
    y = getattr(twofold, name)(x)
    y.real.sum().backward()
    assert np.allclose(x.grad.numpy(), np.conj(slope(y.detach().numpy())), atol=1e-12)
    if name in ("asin", "acos"):
        edge = twofold.tensor([-1.0, 1.0], requires_grad=True)
        getattr(twofold, name)(edge).sum().backward()
        assert edge.grad.abs().isinf().all() and (edge.grad.sign() == edge.grad.sign()[0]).all()
