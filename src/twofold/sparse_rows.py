"""Matrices by rows of the elements that are not zero, as PyTorch's CSR tensors. Floor 12.

    a = sparse_csr_tensor([0, 2, 3], [0, 2, 1], [1.0, 2.0, 3.0], (2, 3))
    a @ x                                            # a tensor, with gradients by values and x

A SparseCsrTensor is three tensors: where each row begins among the elements, the column of each
element, its value. What it computes, it computes as the matrix of places that it stands for
(sparse.py), in the same order, with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from twofold.base.devices import Device
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from twofold.base.layouts import Layout
from twofold.on_values import OnValues
from twofold.ops.creation import as_tensor
from twofold.ops.joining import stack
from twofold.ops.linalg import Factor
from twofold.ops.tensor import Size, Tensor, type_of
from twofold.sparse import SparseTensor

__all__ = ["SparseCsrTensor", "sparse_csr", "sparse_csr_tensor"]

sparse_csr = Layout("sparse_csr")
OP = "sparse_csr_tensor"


@final
class SparseCsrTensor(OnValues, Factor):
    """A matrix of `shape` (rows, columns): crow_indices [rows + 1], col_indices and values [n].

    Row i has the elements crow_indices[i] to crow_indices[i + 1].
    """

    __slots__ = ("_columns", "_numbers", "_starts", "shape")
    is_sparse = False  # as in PyTorch, where the word means places
    is_sparse_csr = True
    layout = sparse_csr

    def __init__(self, starts: Tensor, columns: Tensor, values: Tensor, shape: Any) -> None:
        self._starts, self._columns, self._numbers = starts, columns, values
        self.shape = Size(shape)

    # ---- facts

    def numel(self) -> int:
        return self.shape.numel()

    def _nnz(self) -> int:
        return int(self._numbers.shape[0])

    def crow_indices(self) -> Tensor:
        """Where each row begins, and the number of all elements."""
        return self._starts

    def col_indices(self) -> Tensor:
        """The column of each element."""
        return self._columns

    def values(self) -> Tensor:
        """The elements, row by row."""
        return self._numbers

    def __repr__(self) -> str:
        parts = [f"crow_indices={self._starts}", f"col_indices={self._columns}"]
        parts += [f"values={self._numbers}", f"size={tuple(self.shape)}", f"nnz={self._nnz()}"]
        return f"tensor({', '.join(parts)}, layout=twofold.sparse_csr)"

    # ---- other forms of the same

    def _with(self, values: Tensor) -> SparseCsrTensor:
        return SparseCsrTensor(self._starts, self._columns, values, self.shape)

    def to_sparse(self, *_: Any) -> SparseTensor:
        """The matrix by places."""
        counts = np.diff(self._starts.numpy())
        rows = as_tensor(np.repeat(np.arange(self.shape[0]), counts))
        places = stack([rows, self._columns.long()])
        return SparseTensor(places, self._numbers, self.shape, True)

    to_sparse_coo = to_sparse

    def to_sparse_csr(self) -> SparseCsrTensor:
        return self

    def to_dense(self) -> Tensor:
        """The matrix, zeros among the rest."""
        return self.to_sparse().to_dense()

    def t(self) -> SparseCsrTensor:
        """The transposed matrix."""
        return of(self.to_sparse().t())

    def transpose(self, dim0: int, dim1: int) -> SparseCsrTensor:
        """The transposed matrix, or the matrix where both axes are the same."""
        return self if dim0 % 2 == dim1 % 2 else self.t()

    # ---- arithmetic

    def matmul(self, other: Any) -> Tensor:
        """f[n, k] x f[k, m] -> f[n, m], or a vector f[k] -> f[n]. Raises ShapeError, DTypeError."""
        if isinstance(other, SparseCsrTensor):
            other = other.to_dense()
        return self.to_sparse().matmul(other)

    mm = mv = matmul

    def __add__(self, other: Any) -> Any:
        if isinstance(other, SparseCsrTensor):
            return of(self.to_sparse() + other.to_sparse())
        return self.to_sparse() + other

    __radd__ = add = __add__

    def __neg__(self) -> SparseCsrTensor:
        return self._with(-self._numbers)

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __mul__(self, other: Any) -> SparseCsrTensor:
        """With a number, or with the elements of a matrix of the same shape."""
        if isinstance(other, SparseCsrTensor):
            other = other.to_dense()
        return self._with((self.to_sparse() * other)._numbers)

    __rmul__ = mul = __mul__

    def __truediv__(self, other: Any) -> SparseCsrTensor:
        return self._with(self._numbers / other)

    def sum(self) -> Tensor:
        """Of everything."""
        return self._numbers.sum()


def of(matrix: SparseTensor) -> SparseCsrTensor:
    """The matrix of places, by rows. Raises ShapeError unless it has two sparse axes."""
    if matrix.ndim != 2 or matrix.sparse_dim() != 2:
        raise ShapeError("to_sparse_csr", "a matrix has two sparse axes", sparse=matrix.shape)
    one = matrix.coalesce()
    rows, columns = one._places[0].numpy(), one._places[1]
    counts = np.bincount(rows, minlength=one.shape[0])
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return SparseCsrTensor(as_tensor(starts), columns, one._numbers, one.shape)


def sparse_csr_tensor(
    crow_indices: Any,
    col_indices: Any,
    values: Any,
    size: Sequence[int] | None = None,
    *,
    dtype: DType | None = None,
    device: Device | str | None = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
) -> SparseCsrTensor:
    """A matrix of `size`, or of the least that fits, from where rows begin i64[rows + 1], and the
    columns i64[n] and values f[n] of its elements.

    Raises DTypeError for places that are no whole numbers, ShapeError where the numbers of elements
    differ, ArgumentError where rows do not follow each other, IndexRangeError for a column outside.
    """
    starts, columns = as_tensor(crow_indices), as_tensor(col_indices)
    given = as_tensor(values, dtype=dtype, device=device)
    facts = {"crow_indices": type_of(starts), "col_indices": type_of(columns)}
    if starts.dtype.kind not in "iu" or columns.dtype.kind not in "iu":
        raise DTypeError(OP, "places are whole numbers", hint=".long()", **facts)
    if starts.ndim != 1 or columns.ndim != 1 or given.shape != columns.shape or not len(starts):
        problem = "there is one column and one value for each element"
        raise ShapeError(OP, problem, values=type_of(given), **facts)
    begins, places = starts.numpy(), columns.numpy()
    if begins[0] != 0 or begins[-1] != len(places) or (np.diff(begins) < 0).any():
        hint = "0 first, then never less, the number of elements last"
        raise ArgumentError(OP, "rows do not follow each other", hint=hint, **facts)
    least = int(places.max()) + 1 if len(places) else 0
    shape = (len(begins) - 1, least) if size is None else tuple(int(n) for n in size)
    if len(shape) != 2 or shape[0] != len(begins) - 1:
        raise ShapeError(OP, f"size {shape} does not have {len(begins) - 1} rows", **facts)
    if len(places) and (places.min() < 0 or least > shape[1]):
        raise IndexRangeError(OP, f"a column lies outside of size {shape}", **facts)
    if requires_grad:
        given = given.detach().requires_grad_()
    return SparseCsrTensor(starts, columns, given, shape)


sparse_csr_tensor.of = of  # type: ignore[attr-defined]
