"""Sparse matrices agree with dense ones, and with PyTorch's."""

import copy

import numpy as np
import pytest

import twofold
from twofold import nn, sparse
from twofold.base.errors import (
    ArgumentError,
    DTypeError,
    GradientError,
    IndexRangeError,
    ShapeError,
    StateError,
)

PLACES = [[0, 2, 2, 0, 1], [1, 0, 0, 2, 1]]
VALUES = [1.0, 2.0, 3.0, 4.0, 5.0]
DENSE = np.array([[0, 1, 4], [0, 5, 0], [5, 0, 0]], np.float32)


def matrix(**options):
    return twofold.sparse_coo_tensor(PLACES, VALUES, (3, 3), **options)


def test_places_named_twice_add_up():
    x = matrix()
    assert x.is_sparse and x._nnz() == 5 and not x.is_coalesced()
    np.testing.assert_array_equal(x.to_dense().numpy(), DENSE)
    one = x.coalesce()
    assert one.is_coalesced() and one._nnz() == 4
    assert one.indices().tolist() == [[0, 0, 1, 2], [1, 2, 1, 0]]
    assert one.values().tolist() == [1.0, 4.0, 5.0, 5.0]
    with pytest.raises(ArgumentError, match="coalesce"):
        x.values()


def test_the_least_size_that_fits():
    assert tuple(sparse.sparse_coo_tensor([[0, 4], [1, 2]], [1.0, 1.0]).shape) == (5, 3)
    assert tuple(sparse.sparse_coo_tensor([[3]], [[1.0, 2.0]]).shape) == (4, 2)
    assert sparse.sparse_coo_tensor((2, 3)).to_dense().tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize(
    "product",
    [
        lambda a, x: a @ x,
        lambda a, x: twofold.mm(a, x),
        lambda a, x: twofold.matmul(a, x),
        lambda a, x: twofold.spmm(a, x),
        lambda a, x: sparse.mm(a, x),
        lambda a, x: a.mm(x),
    ],
)
def test_products(product):
    x = twofold.randn(3, 4)
    np.testing.assert_allclose(product(matrix(), x).numpy(), DENSE @ x.numpy(), rtol=1e-6)


def test_vectors_transposes_sums_and_scalings():
    a, v = matrix(), twofold.tensor([1.0, 2.0, 3.0])
    assert (a @ v).tolist() == (DENSE @ v.numpy()).tolist()
    assert (a.t() @ v).tolist() == (DENSE.T @ v.numpy()).tolist()
    assert (2 * a - a / 2).to_dense().tolist() == (DENSE * 1.5).tolist()
    assert (a + twofold.ones(3, 3)).tolist() == (DENSE + 1).tolist()
    assert (a * twofold.full((3, 3), 3.0)).to_dense().tolist() == (DENSE * 3).tolist()
    assert a.sum().item() == DENSE.sum()
    assert sparse.sum(a, dim=1).to_dense().tolist() == DENSE.sum(1).tolist()
    assert sparse.sum(a, dim=(0, 1)).item() == DENSE.sum()
    made = sparse.addmm(twofold.ones(3, 3), a, twofold.eye(3), beta=2, alpha=3)
    assert made.tolist() == (2 + 3 * DENSE).tolist()


def test_gradients_by_values_and_by_the_other():
    a, x = matrix(requires_grad=True), twofold.randn(3, 2, requires_grad=True)
    dense, y = twofold.tensor(DENSE, requires_grad=True), x.detach().clone().requires_grad_()
    g = twofold.randn(3, 2)
    (a @ x).backward(g)
    (dense @ y).backward(g)
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-6)
    np.testing.assert_allclose(
        a.grad._values().numpy(), dense.grad[PLACES[0], PLACES[1]].numpy(), rtol=1e-5
    )
    values = twofold.tensor(VALUES, dtype=twofold.float64, requires_grad=True)

    def f(values, x):
        return sparse.sparse_coo_tensor(PLACES, values, (3, 3)) @ x

    assert twofold.autograd.gradcheck(f, (values, x.detach().double().requires_grad_()))


def test_dense_tensors_become_sparse_and_come_back():
    x = twofold.tensor(DENSE)
    assert x.to_sparse()._nnz() == 4 and not x.is_sparse
    assert x.to_sparse().to_dense().equal(x)
    rows = x.to_sparse(1)
    assert rows.sparse_dim() == 1 and rows.dense_dim() == 1 and rows.to_dense().equal(x)
    with pytest.raises(ArgumentError, match="sparse_dim"):
        x.to_sparse(3)


def test_softmax_over_named_places():
    a = matrix()
    made = sparse.softmax(a, 1).to_dense().numpy()
    assert made[0, 0] == 0 and made[1, 1] == 1 and made[2, 0] == 1
    np.testing.assert_allclose(made[0, 1:], np.exp([1, 4]) / np.exp([1, 4]).sum(), rtol=1e-6)
    np.testing.assert_allclose(
        sparse.log_softmax(a, 0).to_dense().numpy()[:2, 1],
        np.log(np.exp([1, 5]) / np.exp([1, 5]).sum()),
        rtol=1e-5,
    )


def test_a_graph_convolution_compiles_to_the_same_bits():
    a, w = matrix(), twofold.randn(4, 2, requires_grad=True)

    def f(x):
        return (a @ (x @ w)).relu().sum(0)

    x = twofold.randn(3, 4)
    assert twofold.compile(f)(x).equal(f(x))


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: sparse.sparse_coo_tensor([[0], [5]], [1.0], (3, 3)), IndexRangeError, "outside"),
        (lambda: sparse.sparse_coo_tensor([[0, 1], [1, 1]], [1.0]), ShapeError, "one value"),
        (lambda: sparse.sparse_coo_tensor([[0.5]], [1.0]), DTypeError, "whole numbers"),
        (lambda: sparse.sparse_coo_tensor([[0], [0]], [1.0], (3,)), ShapeError, "does not fit"),
        (lambda: matrix() @ twofold.ones(4, 2), ShapeError, "inner sizes 3 and 4"),
        (lambda: matrix() @ twofold.ones(3, 2).double(), DTypeError, "one type"),
        (lambda: matrix() + sparse.sparse_coo_tensor((2, 2)), ShapeError, "shapes differ"),
        (lambda: sparse.sum(matrix(), 2), ArgumentError, "dim=2"),
    ],
)
def test_what_is_wrong_is_said(call, error, said):
    with pytest.raises(error, match=said):
        call()


def test_the_older_constructors():
    x = sparse.FloatTensor(
        twofold.LongTensor(PLACES), twofold.FloatTensor(VALUES), twofold.Size([3, 3])
    )
    assert x.to_dense().tolist() == DENSE.tolist() and x.dtype is twofold.float32
    assert tuple(sparse.DoubleTensor(2, 3).shape) == (2, 3)


def test_it_agrees_with_pytorch():
    torch = pytest.importorskip("torch", reason="compared with PyTorch")
    rng = np.random.default_rng(0)
    places, values = rng.integers(0, 5, (2, 12)), rng.standard_normal(12)
    x = rng.standard_normal((5, 3))
    made = []
    for T in (twofold, torch):
        v = T.tensor(values, requires_grad=True)
        a = T.sparse_coo_tensor(T.tensor(places), v, (5, 5), check_invariants=True)
        y = T.sparse.mm(a, T.tensor(x))
        (y * y).sum().backward()
        one = a.detach().coalesce()
        parts = (
            y.detach(),
            v.grad,
            one.indices(),
            one.values(),
            T.sparse.softmax(one, 1).to_dense(),
        )
        made.append([part.numpy() for part in parts])
    for ours, theirs in zip(*made, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


# ---- parts of modules and of custom functions


def net_with_buffers():
    net = nn.Linear(3, 3)
    net.register_buffer("adjacency", matrix())
    net.register_buffer("heads", twofold.tensor([[True, False]]).to_sparse(), persistent=False)
    return net


def test_buffers_may_be_sparse():
    net = net_with_buffers()
    assert list(net.state_dict()) == ["weight", "bias", "adjacency"]
    assert [name for name, _ in net.named_buffers()] == ["adjacency", "heads"]
    assert "Linear" in repr(net) and "parameters" in str(nn.summary(net))
    net.double()
    assert net.adjacency.dtype is twofold.float64 and net.heads.dtype is twofold.bool
    twin = copy.deepcopy(net)
    twin.load_state_dict(net.state_dict() | {"adjacency": matrix() * 2})
    assert twin.adjacency.to_dense().tolist() == (DENSE * 2).tolist()
    assert net.adjacency.to_dense().tolist() == DENSE.tolist()
    assert twin.adjacency.dtype is twofold.float64
    net.adjacency = twofold.eye(3).to_sparse()
    assert net._buffers["adjacency"]._nnz() == 3


def test_states_of_another_layout_or_shape_are_refused():
    net = net_with_buffers()
    for wrong in (twofold.zeros(3, 3), twofold.eye(2).to_sparse(), twofold.eye(3).to_sparse_csr()):
        with pytest.raises(StateError, match="adjacency: saved"):
            net.load_state_dict(net.state_dict() | {"adjacency": wrong})
    with pytest.raises(ShapeError, match="layouts or shapes differ"):
        net.adjacency.copy_(twofold.eye(2).to_sparse())


def test_buffers_of_rows_and_sequences():
    net = nn.Linear(1, 1)
    net.register_buffer("rows", twofold.eye(2).to_sparse_csr())
    net.register_buffer("words", twofold.nested.nested_tensor([[1.0], [2.0, 3.0]]))
    twin = copy.deepcopy(net)
    doubled = {"rows": (twofold.eye(2) * 2).to_sparse_csr(), "words": net.words * 2}
    twin.load_state_dict(net.state_dict() | doubled)
    assert twin.rows.to_dense().tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert [x.tolist() for x in twin.words.unbind()] == [[2.0], [4.0, 6.0]]


class SparseProduct(twofold.autograd.Function):
    """A sparse matrix times a dense one; by the values, only where there are some."""

    @staticmethod
    def forward(ctx, places, values, size, x):
        a = twofold.sparse_coo_tensor(places, values, size)
        ctx.save_for_backward(a, x)
        return a @ x

    @staticmethod
    def backward(ctx, g):
        a, x = ctx.saved_tensors
        rows, columns = a._indices()
        wide = (g @ x.t()).view(-1)
        return None, wide[rows * a.shape[1] + columns], None, a.t().matmul(g)


def attention(x, adjacency, w, product):
    """Attention over the edges of a graph, as the sparse layers of graph networks have it."""
    edges = adjacency.nonzero().t()
    scores = (x @ w)[edges[0]].sum(1).tanh().exp()
    size = tuple(adjacency.shape)
    return product(edges, scores, size, x) / product(edges, scores, size, twofold.ones(4, 1))


def test_functions_save_sparse_tensors():
    adjacency = twofold.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 1], [0, 0, 0, 1.0]])
    made = []
    for product in (
        SparseProduct.apply,
        lambda i, v, size, x: twofold.sparse_coo_tensor(i, v, size) @ x,
    ):
        for run in (attention, twofold.compile(attention)):
            twofold.manual_seed(0)
            x, w = twofold.randn(4, 3, requires_grad=True), twofold.randn(3, 2, requires_grad=True)
            out = run(x, adjacency, w, product)
            (out * twofold.arange(3)).square().sum().backward()
            made.append((out.detach().numpy(), x.grad.numpy(), w.grad.numpy()))
    for other in made[1:]:
        for one, two in zip(made[0], other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    for one, two in zip(made[0], made[1], strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_saved_sparse_tensor_that_was_written():
    class Keep(twofold.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            a = twofold.sparse_coo_tensor([[0, 1]], values, (2,))
            ctx.save_for_backward(a)
            return values * 2

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]._values()

    given = twofold.ones(2, requires_grad=True)
    values = given * 1
    out = Keep.apply(values)
    values.mul_(3)
    with pytest.raises(GradientError, match="overwritten in place"):
        out.sum().backward()


def test_places_outside_in_a_compiled_function():
    @twofold.compile
    def dense(places):
        return twofold.sparse_coo_tensor(places, twofold.ones(2), (2, 3)).to_dense()

    assert dense(twofold.tensor([[0, 1], [2, 0]])).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.raises(IndexRangeError):
        dense(twofold.tensor([[0, 1], [3, 0]]))
