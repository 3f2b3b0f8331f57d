"""Matrices of which few elements are not zero, as PyTorch's COO tensors. Floor 11.

    adjacency = sparse_coo_tensor(edges, weights, (nodes, nodes))
    h = adjacency @ x                                # a tensor, with gradients by weights and x

A SparseTensor is two tensors, places and values, and no Tensor itself: it multiplies, adds, sums
and turns into a tensor (`to_dense`). A product reads the rows of x that are named, and adds them
up in the order of the places, by the kernels of index_select and index_add.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.devices import Device
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, IndexRangeError, ShapeError
from twofold.base.layouts import Layout
from twofold.on_values import OnValues
from twofold.ops.creation import arange, as_tensor, zeros
from twofold.ops.joining import cat, stack
from twofold.ops.linalg import Factor
from twofold.ops.selecting import index_add, index_select
from twofold.ops.tensor import Size, Tensor, type_of
from twofold.ops.typed import OLD_NAMES

__all__ = [
    "SparseTensor",
    "addmm",
    "from_dense",
    "log_softmax",
    "mm",
    "smm",
    "softmax",
    "sparse_coo",
    "sparse_coo_tensor",
    "spmm",
    "sum",
]

sparse_coo = Layout("sparse_coo")


@final
class SparseTensor(OnValues, Factor):
    """Values at places: `indices` int64 [d, n], `values` [n, ...], of a tensor of `shape`.

    The first d axes are sparse, those of the values behind the first are not. A place may be named
    more than once: its values are added up, by `coalesce` and in every result.
    """

    __slots__ = ("_coalesced", "_numbers", "_places", "shape")
    is_sparse = True
    layout = sparse_coo

    def __init__(
        self, indices: Tensor, values: Tensor, shape: Sequence[int], coalesced: bool = False
    ) -> None:
        self._places, self._numbers = indices, values
        self.shape = Size(shape)
        self._coalesced = coalesced

    # ---- facts

    def numel(self) -> int:
        return prod(self.shape)

    def sparse_dim(self) -> int:
        return int(self._places.shape[0])

    def dense_dim(self) -> int:
        return self.ndim - self.sparse_dim()

    def _nnz(self) -> int:
        return int(self._places.shape[1])

    def _indices(self) -> Tensor:
        """The places, as they were given."""
        return self._places

    def _values(self) -> Tensor:
        """The values, as they were given."""
        return self._numbers

    def is_coalesced(self) -> bool:
        """Whether every place is named once, and in order."""
        return self._coalesced

    def indices(self) -> Tensor:
        """The places. Raises ArgumentError where some may be named twice."""
        self._check_coalesced("indices")
        return self._places

    def values(self) -> Tensor:
        """The values. Raises ArgumentError where some places may be named twice."""
        self._check_coalesced("values")
        return self._numbers

    def _check_coalesced(self, asked: str) -> None:
        if not self._coalesced:
            raise ArgumentError(
                asked, "places may be named twice", hint=f"x.coalesce().{asked}(), or x._{asked}()"
            )

    def __repr__(self) -> str:
        parts = [f"indices={self._places}", f"values={self._numbers}"]
        parts += [f"size={tuple(self.shape)}", f"nnz={self._nnz()}", "layout=twofold.sparse_coo"]
        return f"tensor({', '.join(parts)})"

    # ---- other forms of the same

    def _with(self, values: Tensor) -> SparseTensor:
        return SparseTensor(self._places, values, self.shape, self._coalesced)

    def _flat(self) -> Tensor:
        """The places as numbers, those of the sparse axes in C order."""
        places = self._places[0] if self.sparse_dim() else zeros(self._nnz(), dtype=dtypes.int64)
        for axis in range(1, self.sparse_dim()):
            places = places * self.shape[axis] + self._places[axis]
        return places

    def coalesce(self) -> SparseTensor:
        """Every place once, in order, with the sum of its values."""
        if self._coalesced:
            return self
        sparse = self.shape[: self.sparse_dim()]
        found, member = np.unique(self._flat().numpy(), return_inverse=True)
        indices = as_tensor(np.stack(np.unravel_index(found, sparse)).astype(np.int64))
        rest = tuple(self._numbers.shape[1:])
        start = zeros((len(found), *rest), dtype=self.dtype)
        values = index_add(start, 0, as_tensor(member.astype(np.int64)), self._numbers)
        return SparseTensor(indices, values, self.shape, True)

    def to_dense(self) -> Tensor:
        """The tensor, zeros among the rest."""
        sparse = self.shape[: self.sparse_dim()]
        rest = tuple(self._numbers.shape[1:])
        flat = index_add(
            zeros((prod(sparse), *rest), dtype=self.dtype), 0, self._flat(), self._numbers
        )
        return flat.reshape(self.shape)

    def to_sparse(self, *_: Any) -> SparseTensor:
        return self

    def to_sparse_csr(self) -> Any:
        """The matrix by rows (sparse_rows.py). Raises ShapeError for another number of axes."""
        return sys.modules["twofold"].sparse_csr_tensor.of(self)  # type: ignore[attr-defined]

    def t(self) -> SparseTensor:
        """The transposed matrix."""
        return self.transpose(0, 1)

    def transpose(self, dim0: int, dim1: int) -> SparseTensor:
        """Two sparse axes change places. Raises ArgumentError for an axis of the values."""
        order = list(range(self.sparse_dim()))
        for axis in (dim0, dim1):
            if not -len(order) <= axis < len(order):
                raise ArgumentError("transpose", f"axis {axis} of a sparse tensor is not sparse")
        order[dim0], order[dim1] = order[dim1], order[dim0]
        shape = [self.shape[axis] for axis in order] + list(self.shape[len(order) :])
        return SparseTensor(self._places[order], self._numbers, shape)

    # ---- arithmetic

    def matmul(self, other: Any) -> Tensor:
        """f[n, k] x f[k, m] -> f[n, m], or a vector f[k] -> f[n]. Raises ShapeError."""
        if isinstance(other, SparseTensor):
            other = other.to_dense()
        wide = other.reshape(-1, 1) if other.ndim == 1 else other
        if self.ndim != 2 or self.sparse_dim() != 2 or wide.ndim != 2:
            problem = "a sparse matrix multiplies a matrix or a vector"
            raise ShapeError("matmul", problem, sparse=self.shape, other=type_of(other))
        if self.shape[1] != wide.shape[0]:
            problem = f"the inner sizes {self.shape[1]} and {wide.shape[0]} differ"
            raise ShapeError("matmul", problem, sparse=self.shape, other=type_of(other))
        if self.dtype is not wide.dtype:
            problem = "a sparse matrix and its operand have one type"
            hint = "x.to(other.dtype)"
            raise DTypeError(
                "matmul", problem, hint=hint, sparse=self.dtype.name, other=type_of(other)
            )
        rows, columns = self._places[0], self._places[1]
        parts = index_select(wide, 0, columns) * self._numbers.unsqueeze(1)
        made = index_add(zeros((self.shape[0], wide.shape[1]), dtype=self.dtype), 0, rows, parts)
        return made[:, 0] if other.ndim == 1 else made

    mm = mv = matmul

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, SparseTensor):
            return self.to_dense() + other
        if self.shape != other.shape:
            raise ShapeError("add", "the shapes differ", x=self.shape, y=other.shape)
        indices = cat([self._places, other._places], 1)
        return SparseTensor(indices, cat([self._numbers, other._numbers]), self.shape)

    __radd__ = add = __add__

    def __neg__(self) -> SparseTensor:
        return self._with(-self._numbers)

    def __sub__(self, other: Any) -> Any:
        return self + (-other)

    def __mul__(self, other: Any) -> SparseTensor:
        """With a number, or with the elements of a tensor of the same shape."""
        if isinstance(other, SparseTensor):
            other = other.to_dense()
        if not isinstance(other, Tensor) or other.ndim == 0:
            return self._with(self._numbers * other)
        if tuple(other.shape) != tuple(self.shape):
            raise ShapeError("mul", "the shapes differ", x=self.shape, y=type_of(other))
        one = self.coalesce()
        return one._with(one._numbers * other[tuple(one._places)])

    __rmul__ = mul = __mul__

    def __truediv__(self, other: Any) -> SparseTensor:
        return self._with(self._numbers / other)

    def sum(self, dim: Any = None) -> Any:
        """Of everything, or over some sparse axes: what is left is sparse."""
        return sum(self, dim)


# ---- making them ---------------------------------------------------------------------------------


def sparse_coo_tensor(
    indices: Any,
    values: Any = None,
    size: Sequence[int] | None = None,
    *,
    dtype: DType | None = None,
    device: Device | str | None = None,
    requires_grad: bool = False,
    check_invariants: bool | None = None,
    is_coalesced: bool = False,
    pin_memory: bool = False,
) -> SparseTensor:
    """Values f[n, ...] at the places int64[d, n], in a tensor of `size`, or of the least that fits.

    Places named twice count with the sum of their values. Raises ShapeError where the numbers of
    places and values differ, IndexRangeError for a place outside of `size`.
    """
    op = "sparse_coo_tensor"
    if values is None:  # sparse_coo_tensor(size): nothing but zeros
        shape = tuple(int(n) for n in indices)
        places = zeros((len(shape), 0), dtype=dtypes.int64)
        return SparseTensor(places, zeros(0, dtype=dtype, device=device), shape, True)
    places, given = as_tensor(indices), as_tensor(values, dtype=dtype, device=device)
    if places.dtype.kind not in "iu":
        raise DTypeError(
            op, "places are whole numbers", hint="indices.long()", indices=type_of(places)
        )
    if places.ndim != 2 or given.ndim == 0 or given.shape[0] != places.shape[1]:
        problem = "there is one value for each column of indices"
        raise ShapeError(op, problem, indices=type_of(places), values=type_of(given))
    places = places.long()
    unknown = not isinstance(places.array, np.ndarray)  # inside of transforms and captured programs
    least = None if unknown and size is not None else _least(places)
    shape = (*(least or ()), *given.shape[1:]) if size is None else tuple(int(n) for n in size)
    axes = int(places.shape[0])
    if len(shape) != axes + given.ndim - 1 or shape[axes:] != tuple(given.shape[1:]):
        problem = f"size {shape} does not fit"
        raise ShapeError(op, problem, indices=type_of(places), values=type_of(given))
    if unknown and size is not None:
        places = stack([index_select(arange(n), 0, places[i]) for i, n in enumerate(shape[:axes])])
    elif least and any(n > s for n, s in zip(least, shape, strict=False)):
        raise IndexRangeError(op, f"a place lies outside of size {shape}", indices=type_of(places))
    if requires_grad:
        given = given.detach().requires_grad_()
    return SparseTensor(places, given, shape, is_coalesced)


def _least(places: Tensor) -> tuple[int, ...]:
    """The least sizes that have all places. Raises IndexRangeError for a negative one."""
    numbers = places.numpy()
    if not numbers.size:
        return (0,) * len(numbers)
    if numbers.min() < 0:
        problem = "a place is negative"
        raise IndexRangeError("sparse_coo_tensor", problem, indices=type_of(places))
    return tuple(int(n) + 1 for n in numbers.max(axis=1))


def from_dense(x: Tensor, sparse_dim: int | None = None) -> SparseTensor:
    """The elements of x that are not zero; the last axes stay whole with a smaller `sparse_dim`."""
    axes = x.ndim if sparse_dim is None else sparse_dim
    if not 0 < axes <= x.ndim:
        raise ArgumentError("to_sparse", f"sparse_dim={axes}", hint=f"1 to {x.ndim}", x=type_of(x))
    array = x.detach().numpy()
    filled = (array != 0).any(axis=tuple(range(axes, x.ndim))) if axes < x.ndim else array != 0
    found = np.nonzero(filled)
    indices = as_tensor(np.stack(found).astype(np.int64))
    return SparseTensor(indices, x[tuple(indices)], x.shape, True)


def _older(dtype: DType) -> Any:
    def make(*given: Any) -> SparseTensor:
        if len(given) == 1 or all(isinstance(n, int) for n in given):
            return sparse_coo_tensor(given[0] if len(given) == 1 else given, dtype=dtype)
        return sparse_coo_tensor(*given, dtype=dtype)

    make.__doc__ = "sparse_coo_tensor of this type."
    return make


for _name, _dtype in OLD_NAMES.items():
    globals()[_name] = _older(_dtype)


# ---- functions -----------------------------------------------------------------------------------


def mm(mat1: SparseTensor, mat2: Any) -> Tensor:
    """A sparse matrix f[n, k] with a matrix f[k, m]: f[n, m]. Raises ShapeError."""
    return mat1.matmul(mat2)


spmm = smm = mm


def addmm(
    input: Tensor, mat1: SparseTensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta input + alpha mat1 mat2, where mat1 is sparse."""
    return beta * input + alpha * mat1.matmul(mat2)


def sum(input: SparseTensor, dim: Any = None, dtype: DType | None = None) -> Any:
    """The sum of everything, as a 0-d tensor, or over sparse axes: a SparseTensor, or a tensor if
    none is left. Raises ArgumentError for an axis that is not sparse.
    """
    given = input if dtype is None else input.to(dtype)
    if dim is None:
        return given._numbers.sum()
    axes = given.sparse_dim()
    gone = {d + given.ndim if d < 0 else d for d in ([dim] if isinstance(dim, int) else dim)}
    if not all(0 <= d < axes for d in gone):
        raise ArgumentError("sparse.sum", f"dim={dim}", hint=f"sparse axes are 0 to {axes - 1}")
    kept = [axis for axis in range(axes) if axis not in gone]
    shape = [given.shape[axis] for axis in kept] + list(given.shape[axes:])
    if not kept:
        return given._numbers.sum(0)
    return SparseTensor(given._places[kept], given._numbers, shape).coalesce()


def _softmax(op: str, input: SparseTensor, dim: int) -> SparseTensor:
    """Over the named places of a row of the matrix: those that are not named are no zeros."""
    one = input.coalesce()
    if one.ndim != 2 or one.sparse_dim() != 2:
        raise ShapeError(op, "rows and columns of matrices only", x=one.shape)
    line = one._places[1 - dim % 2]
    lines = zeros(one.shape[1 - dim % 2], dtype=one.dtype)
    largest = (lines - np.inf).scatter_reduce(0, line, one._numbers.detach(), "amax")
    moved = one._numbers - largest[line]
    total = index_add(lines, 0, line, moved.exp())
    made = moved - total[line].log()
    return one._with(made if op == "log_softmax" else made.exp())


def softmax(input: SparseTensor, dim: int, *, dtype: DType | None = None) -> SparseTensor:
    """The softmax of each row (dim 1) or column (dim 0) over its named places."""
    return _softmax("softmax", input if dtype is None else input.to(dtype), dim)


def log_softmax(input: SparseTensor, dim: int, *, dtype: DType | None = None) -> SparseTensor:
    """The logarithm of `softmax`."""
    return _softmax("log_softmax", input if dtype is None else input.to(dtype), dim)


def __getattr__(name: str) -> Any:
    # older programs say torch.sparse.torch.eye(10): the module is a name of its own modules
    if name == "torch":
        return sys.modules["twofold"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
