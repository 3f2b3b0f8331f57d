"""Matrices by rows: sparse_csr_tensor."""

import numpy as np
import pytest

import twofold

DENSE = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0], [0.0, 3.0, 4.0], [5.0, 0.0, 0.0]])


def made(**options):
    rows, columns = twofold.tensor([0, 2, 2, 4, 5]), twofold.tensor([0, 2, 1, 2, 0])
    values = twofold.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    return twofold.sparse_csr_tensor(rows, columns, values, (4, 3), **options)


def test_forms():
    a = made()
    assert a.to_dense().tolist() == DENSE.tolist()
    for again in (twofold.tensor(DENSE).to_sparse_csr(), a.to_sparse().to_sparse_csr()):
        assert again.crow_indices().tolist() == [0, 2, 2, 4, 5]
        assert again.col_indices().tolist() == [0, 2, 1, 2, 0]
        assert again.values().tolist() == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert a.layout is twofold.sparse_csr and a.is_sparse_csr and a._nnz() == 5
    assert a.shape == (4, 3) and a.size(1) == 3 and a.ndim == a.dim() == 2 and a.numel() == 12
    assert a.t().to_dense().tolist() == a.transpose(0, 1).to_dense().tolist() == DENSE.T.tolist()
    assert a.double().dtype is twofold.float64 and a.to_sparse_csr() is a
    assert "crow_indices" in repr(a) and "nnz=5" in repr(a)
    empty = twofold.sparse_csr_tensor([0, 0], np.zeros(0, np.int64), np.zeros(0), (1, 2))
    assert empty.to_dense().tolist() == [[0.0, 0.0]]


def test_arithmetic():
    a, x = made(), twofold.randn(3, 2)
    assert np.allclose((a @ x).numpy(), DENSE @ x.numpy(), rtol=1e-6)
    assert np.allclose((a @ x[:, 0]).numpy(), DENSE @ x[:, 0].numpy(), rtol=1e-6)
    assert (a @ a.t()).tolist() == (DENSE @ DENSE.T).tolist()
    assert (a * 2 + a).to_dense().tolist() == (3 * DENSE).tolist()
    assert (-a / 2 - a).to_dense().tolist() == (-1.5 * DENSE).tolist()
    assert (a * twofold.full((4, 3), 2.0)).to_dense().tolist() == (2 * DENSE).tolist()
    assert (a + twofold.ones(4, 3)).tolist() == (DENSE + 1).tolist() and a.sum().item() == 15.0


def test_gradients():
    a, x = made(requires_grad=True), twofold.randn(3, 2, requires_grad=True)
    weights = twofold.randn(4, 2)
    ((a @ x) * weights).sum().backward()
    full = weights.numpy() @ x.detach().numpy().T
    places = a.to_sparse()._indices().numpy()
    assert np.allclose(a.grad.values().numpy(), full[tuple(places)], rtol=1e-5)
    assert np.allclose(x.grad.numpy(), DENSE.T @ weights.numpy(), rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_agrees_with_pytorch():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    dense = random.normal(size=(6, 5)) * (random.random((6, 5)) < 0.4)
    theirs, ours = torch.from_numpy(dense).to_sparse_csr(), twofold.tensor(dense).to_sparse_csr()
    for name in ("crow_indices", "col_indices", "values"):
        assert getattr(theirs, name)().tolist() == getattr(ours, name)().tolist()
    x = random.normal(size=(5, 3))
    wanted = (theirs @ torch.from_numpy(x)).numpy()
    assert np.allclose((ours @ twofold.tensor(x)).numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("starts", "columns", "values", "size", "says"),
    [
        ([0, 1], [0.5], [1.0], None, "whole numbers"),
        ([0, 1], [0, 1], [1.0], None, "one column and one value"),
        ([0, 2, 1], [0], [1.0], None, "do not follow each other"),
        ([0, 1], [3], [1.0], (1, 3), "outside of size"),
        ([0, 1], [0], [1.0], (2, 3), "does not have 1 rows"),
    ],
)
def test_errors(starts, columns, values, size, says):
    with pytest.raises(twofold.TwofoldError, match=says):
        twofold.sparse_csr_tensor(starts, columns, values, size)


def test_only_matrices_are_by_rows():
    with pytest.raises(twofold.TwofoldError, match="two sparse axes"):
        twofold.ones(2, 2, 2).to_sparse_csr()
