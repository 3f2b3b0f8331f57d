"""Positions of what is not zero, as many as a graph is told."""

import numpy as np
import pytest

import twofold as T


@pytest.mark.parametrize("shape", [(3, 4), (7,), (2, 3, 2), (0, 3), ()])
def test_positions_of_a_fixed_number(shape):
    x = np.random.default_rng(1).integers(0, 2, shape)
    found = np.argwhere(x) if shape else np.zeros((int(x), 0), np.int64)
    compiled = T.compile(lambda x: T.nonzero_static(x, size=5, fill_value=-7))
    for size, fill in ((0, -1), (2, -1), (5, -7), (20, 3)):
        wanted = np.full((size, len(shape)), fill)
        wanted[: len(found)] = found[:size]
        made = T.nonzero_static(T.from_numpy(x), size=size, fill_value=fill)
        np.testing.assert_array_equal(made.numpy(), wanted)
        if size == 5:
            np.testing.assert_array_equal(compiled(T.from_numpy(x)).numpy(), wanted)
    with pytest.raises(ValueError, match="size is -1"):
        T.nonzero_static(T.from_numpy(x), size=-1)


def test_unique_rows_of_bfloat16_are_in_order():
    rows = [[-1.0, 2.0], [3.0, 1.0], [-1.0, 2.0], [0.5, 0.0], [-3.0, 1.0]]
    found, inverse, counts = (
        T.tensor(rows).bfloat16().unique(dim=0, return_inverse=True, return_counts=True)
    )
    assert found.dtype is T.bfloat16
    assert found.float().tolist() == [[-3.0, 1.0], [-1.0, 2.0], [0.5, 0.0], [3.0, 1.0]]
    assert inverse.tolist() == [1, 3, 1, 2, 0] and counts.tolist() == [1, 2, 1, 1]
    values = T.tensor([3.0, -2.0, 3.0, 0.5]).bfloat16().unique()
    assert values.float().tolist() == [-2.0, 0.5, 3.0]


@pytest.mark.parametrize("dtype", [T.int64, T.uint8, T.bool, T.int16, T.float32, T.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (50,), (6, 7)])
def test_unique_with_and_without_places_and_counts(dtype, shape):
    x = T.tensor(np.random.default_rng(2).integers(0, 9, shape)).to(dtype)
    wanted = np.unique(x.numpy(), return_inverse=True, return_counts=True)
    for inverse in (False, True):
        for counts in (False, True):
            made = x.unique(return_inverse=inverse, return_counts=counts)
            parts = made if isinstance(made, tuple) else (made,)
            asked = [wanted[0], *wanted[1:2] * inverse, *wanted[2:] * counts]
            assert len(parts) == len(asked) and parts[0].dtype is dtype
            assert all(part.dtype is T.int64 for part in parts[1:])
            for part, want in zip(parts, asked, strict=True):
                assert part.flatten().tolist() == want.reshape(-1).tolist()
            assert not inverse or parts[1].shape == x.shape


def test_the_first_of_equal_zeros_stands_for_both():
    for zeros in ([0.0, -0.0], [-0.0, 0.0]):
        assert np.signbit(T.tensor([1.0, *zeros]).unique().numpy()[0]) == np.signbit(zeros[0])


@pytest.mark.parametrize("dim", [0, 1])
def test_logcumsumexp_of_complex_numbers_as_torch(dim):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x, w = [random.normal(size=(4, 6)) + 1j * random.normal(size=(4, 6)) for _ in range(2)]
    made = []
    for t in (T, torch):
        given = t.tensor(x * 3, requires_grad=True)
        out = given.logcumsumexp(dim)
        (out * t.tensor(w)).sum().real.backward()
        made.append((out.detach().numpy(), given.grad.resolve_conj().numpy()))
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


def test_logcumsumexp_of_complex_numbers_that_are_far_apart():
    x = np.array([complex(-np.inf, 0), 1 + 2j, -800 + 1j, 900 - 9j])
    for given in (x, x[::-1].copy()):
        out = T.tensor(given).logcumsumexp(0).numpy()
        assert out[-1] == 900 - 9j
