"""Symmetric matrices as L D L^T: ldl_factor, ldl_solve."""

import numpy as np
import pytest

import twofold
from twofold import linalg

KINDS = [(False, False), (True, False), (True, True)]


def matrix(r, shape, complex_, hermitian):
    x = r.normal(size=shape) + (1j * r.normal(size=shape) if complex_ else 0)
    turned = np.swapaxes(x, -1, -2)
    return x + (turned.conj() if hermitian else turned)


@pytest.mark.parametrize(("complex_", "hermitian"), KINDS)
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_solves_what_was_factored(complex_, hermitian, size):
    r = np.random.default_rng(size)
    for _ in range(5):
        a = matrix(r, (2, size, size), complex_, hermitian)
        b = r.normal(size=(2, size, 3)).astype(a.dtype)
        factors = linalg.ldl_factor(twofold.tensor(a), hermitian=hermitian)
        made = linalg.ldl_solve(*factors, twofold.tensor(b), hermitian=hermitian).numpy()
        assert np.allclose(a @ made, b, atol=1e-9)
        assert factors.pivots.dtype is twofold.int32


def test_blocks_of_two():
    a = twofold.tensor([[0.0, 1, 2], [1, 0, 3], [2, 3, 0.5]])
    ld, pivots, info = linalg.ldl_factor_ex(a)
    assert pivots.tolist() == [-3, -3, 3] and info.item() == 0
    assert np.allclose(ld.numpy(), [[0, 0, 0], [2, 0.5, 0], [1.375, 0.5, -2.875]])


@pytest.mark.parametrize(("complex_", "hermitian"), KINDS)
def test_agrees_with_pytorch(complex_, hermitian):
    torch = pytest.importorskip("torch")
    r = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        a = matrix(r, (3, size, size), complex_, hermitian)
        theirs = torch.linalg.ldl_factor(torch.from_numpy(a), hermitian=hermitian)
        ours = linalg.ldl_factor(twofold.tensor(a), hermitian=hermitian)
        assert theirs.pivots.tolist() == ours.pivots.tolist()
        assert np.allclose(np.tril(theirs.LD.numpy()), ours.LD.numpy(), atol=1e-9)


@pytest.mark.parametrize(("complex_", "hermitian"), KINDS)
def test_gradients_by_the_right_side(complex_, hermitian):
    r = np.random.default_rng(1)
    a = twofold.tensor(matrix(r, (4, 4), complex_, hermitian))
    b = twofold.tensor(r.normal(size=(4, 2)).astype(a.numpy().dtype)).requires_grad_()
    factors = linalg.ldl_factor(a, hermitian=hermitian)

    def solve(b):
        return linalg.ldl_solve(*factors, b, hermitian=hermitian)

    assert twofold.autograd.gradcheck(solve, (b,))
    assert twofold.autograd.gradgradcheck(solve, (b,))


def test_batches_and_nothing():
    a = twofold.eye(3) * 2
    made = linalg.ldl_solve(*linalg.ldl_factor(a), twofold.ones(2, 3, 1))
    assert made.shape == (2, 3, 1) and (made == 0.5).all()
    assert linalg.ldl_factor(twofold.ones(0, 2, 2)).pivots.shape == (0, 2)
    assert linalg.ldl_factor_ex(twofold.zeros(2, 2)).info.item() == 1


def test_errors():
    a = twofold.eye(2)
    factors = linalg.ldl_factor(a)
    wrong = [
        (lambda: linalg.ldl_factor(twofold.ones(2, 3)), "square"),
        (lambda: linalg.ldl_factor(twofold.zeros(2, 2)), "D has a 0"),
        (lambda: linalg.ldl_factor(a.clone().requires_grad_()), "no gradient"),
        (lambda: linalg.ldl_solve(*factors, twofold.ones(3, 1)), "sizes do not fit"),
        (lambda: linalg.ldl_solve(*factors, twofold.ones(2, 1).double()), "one type"),
    ]
    for call, says in wrong:
        with pytest.raises(twofold.TwofoldError, match=says):
            call()
