"""What tensors of other layouts have in common: their numbers are the values of one tensor.
Floor 10.

Sparse matrices (sparse.py, sparse_rows.py) and sequences of unequal lengths (nested.py) are no
Tensors; they say where the numbers of one belong.
"""

from __future__ import annotations

from typing import Any, Self

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.ops.tensor import Tensor


class OnValues:
    """`_values` holds the numbers, `shape` the sizes; `_with` gives other numbers at the same
    places.
    """

    __slots__ = ()
    _values: Tensor
    shape: Any

    def _with(self, values: Tensor) -> Self:
        raise TypeError(f"{type(self).__name__} does not define _with")

    @property
    def dtype(self) -> DType:
        return self._values.dtype

    @property
    def device(self) -> Any:
        return self._values.device

    @property
    def requires_grad(self) -> bool:
        return self._values.requires_grad

    @property
    def grad(self) -> Self | None:
        """The gradient by the values, at the same places."""
        found = self._values.grad
        return None if found is None else self._with(found)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def to(self, *args: Any, **options: Any) -> Self:
        return self._with(self._values.to(*args, **options))

    def float(self) -> Self:
        return self.to(dtypes.float32)

    def double(self) -> Self:
        return self.to(dtypes.float64)

    def cpu(self) -> Self:
        return self

    def detach(self) -> Self:
        return self._with(self._values.detach())

    def clone(self) -> Self:
        return self._with(self._values.clone())

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        self._values.requires_grad_(requires_grad)
        return self
