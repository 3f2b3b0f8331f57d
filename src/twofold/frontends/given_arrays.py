"""Arrays of NumPy's among the arguments of a captured function. Floor 9.

They are what they are: `from_numpy`, `tensor` and operations with tensors take them, and what NumPy
itself does with them is Python's.
"""

from __future__ import annotations

from typing import Any, NoReturn, final

import numpy as np

from twofold.frontends.exchanged import python_only
from twofold.ops.tensor import Tensor

REFLECTED = {
    **{f"__{name}__": f"__r{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv")},
    **{f"__{name}__": f"__r{name}__" for name in ("mod", "pow", "matmul", "and", "or", "xor")},
    **{"__lt__": "__gt__", "__gt__": "__lt__", "__le__": "__ge__", "__ge__": "__le__"},
    **{"__eq__": "__eq__", "__ne__": "__ne__"},
}  # of operators between an array and a tensor: the tensor's method


@final
class GivenArray:
    """Stands for an array that the function is given; `stand_in` is a tensor of its elements."""

    __slots__ = ("stand_in",)
    __hash__ = None  # type: ignore[assignment]
    of_sizes = True  # what takes an array of sizes takes this one, by `as_array`

    def __init__(self, stand_in: Tensor) -> None:
        self.stand_in = stand_in

    @property  # type: ignore[misc]  # isinstance(x, np.ndarray) holds
    def __class__(self) -> type:
        return np.ndarray

    def as_array(self, shares: bool = False) -> Any:
        """The array of a tensor of its elements; shares: which has its memory, as from_numpy."""
        array: Any = self.stand_in.array
        return array if shares else array.copy()

    @property
    def shape(self) -> tuple[Any, ...]:
        return tuple(self.stand_in.array.shape)

    @property
    def dtype(self) -> Any:
        return self.stand_in.array.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Any:
        return self.stand_in.array.size

    def __len__(self) -> Any:
        return self.shape[0].__index__()

    def refuse(self, *_: Any, **__: Any) -> NoReturn:
        """Raise: NumPy is to do something with it."""
        python_only(
            "NumPy computes with an array among the arguments",
            "twofold.from_numpy(x) first, or give a tensor",
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
        return NotImplemented if any(isinstance(x, Tensor) for x in given) else self.refuse()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"'numpy.ndarray' object has no attribute {name!r}")
        self.refuse()

    __array__ = __array_function__ = __getitem__ = __setitem__ = __iter__ = refuse
    __bool__ = __int__ = __float__ = __index__ = __contains__ = __repr__ = __str__ = refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = refuse
    __rmatmul__ = __rand__ = __ror__ = __rxor__ = __neg__ = __pos__ = __abs__ = refuse
    __invert__ = __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = refuse


def _with_tensors(reflected: str) -> Any:
    def operator(self: GivenArray, other: Any) -> Any:
        return getattr(other, reflected)(self) if isinstance(other, Tensor) else self.refuse()

    return operator


for _name, _reflected in REFLECTED.items():
    setattr(GivenArray, _name, _with_tensors(_reflected))
