"""What tensors of other layouts have in common: their numbers are the values of one tensor.
Floor 10.

Sparse matrices (sparse.py, sparse_rows.py) and sequences of unequal lengths (nested.py) are no
Tensors; they say where the numbers of one belong.
"""

from __future__ import annotations

from typing import Any, Self

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ShapeError
from twofold.ops.tensor import OtherLayout, Tensor


class OnValues(OtherLayout):
    """`_numbers` holds the numbers, `shape` the sizes; `_with` gives other numbers at the same
    places.
    """

    __slots__ = ()

    def _with(self, values: Tensor) -> Self:
        raise TypeError(f"{type(self).__name__} does not define _with")

    @property
    def dtype(self) -> DType:
        return self._numbers.dtype

    @property
    def device(self) -> Any:
        return self._numbers.device

    @property
    def requires_grad(self) -> bool:
        return self._numbers.requires_grad

    @property
    def grad(self) -> Self | None:
        """The gradient by the values, at the same places."""
        found = self._numbers.grad
        return None if found is None else self._with(found)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of the numbers, without those of the places."""
        return self._numbers.array.nbytes

    def dim(self) -> int:
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    def to(self, *args: Any, **options: Any) -> Self:
        return self._with(self._numbers.to(*args, **options))

    def float(self) -> Self:
        return self.to(dtypes.float32)

    def double(self) -> Self:
        return self.to(dtypes.float64)

    def cpu(self) -> Self:
        return self

    def detach(self) -> Self:
        return self._with(self._numbers.detach())

    def clone(self) -> Self:
        return self._with(self._numbers.clone())

    def copy_(self, src: Self, non_blocking: bool = False) -> Self:
        """Take the numbers and the places of another one of the same shape and layout, in the type
        that is here. Raises ShapeError.
        """
        if type(src) is not type(self) or tuple(src.shape) != tuple(self.shape):
            problem = "layouts or shapes differ"
            raise ShapeError("copy_", problem, here=_described(self), source=_described(src))
        taken = src.detach().clone().to(self.dtype)
        for name in getattr(self, "__dict__", type(self).__slots__):
            setattr(self, name, getattr(taken, name))
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        self._numbers.requires_grad_(requires_grad)
        return self


def _described(x: Any) -> str:
    return f"{type(x).__name__}{list(getattr(x, 'shape', ()))}"
