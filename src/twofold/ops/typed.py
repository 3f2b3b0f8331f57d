"""The older constructors: `FloatTensor([1, 2])`, `LongTensor(2, 3)`, one for each type. Floor 4."""

from __future__ import annotations

from typing import Any, Union, final

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import DTypeError
from twofold.ops.creation import tensor, zeros
from twofold.ops.tensor import Tensor

OLD_NAMES = {
    "FloatTensor": dtypes.float32,
    "DoubleTensor": dtypes.float64,
    "HalfTensor": dtypes.float16,
    "BFloat16Tensor": dtypes.bfloat16,
    "ByteTensor": dtypes.uint8,
    "CharTensor": dtypes.int8,
    "ShortTensor": dtypes.int16,
    "IntTensor": dtypes.int32,
    "LongTensor": dtypes.int64,
    "BoolTensor": dtypes.bool_,
    "ComplexFloatTensor": dtypes.complex64,
    "ComplexDoubleTensor": dtypes.complex128,
}


@final
class TensorKind:
    """Tensors of one type: `LongTensor([1, 2])` makes one, `isinstance(x, LongTensor)` asks.

    Called with sizes it gives zeros, where PyTorch leaves memory as it is.
    """

    def __init__(self, name: str, dtype: DType) -> None:
        self.__name__ = name
        self.dtype = dtype

    def __call__(self, *data: Any, device: Any = None) -> Tensor:
        sizes = data[0] if len(data) == 1 and type(data[0]).__name__ == "Size" else data
        if all(isinstance(size, int) and not isinstance(size, bool) for size in sizes):
            return zeros(tuple(sizes) if len(sizes) else (0,), dtype=self.dtype)
        return tensor(data[0], dtype=self.dtype, device=device)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Tensor) and instance.dtype is self.dtype

    def __or__(self, other: Any) -> Any:
        """One of several types, in annotations: `LongTensor | None`."""
        return Union.__getitem__((self, other))

    def __ror__(self, other: Any) -> Any:
        return Union.__getitem__((other, self))

    def __repr__(self) -> str:
        return f"<class 'twofold.{self.__name__}'>"

    @staticmethod
    def named(name: str, op: str) -> TensorKind:
        """The constructor called `name`, with or without "torch." or "twofold." before it."""
        found = KINDS.get(name.rpartition(".")[2])
        if found is None:
            raise DTypeError(op, f"{name!r} is no type of tensors", hint="twofold.float32")
        return found


KINDS = {name: TensorKind(name, dtype) for name, dtype in OLD_NAMES.items()}
FloatTensor = KINDS["FloatTensor"]
DoubleTensor = KINDS["DoubleTensor"]
HalfTensor = KINDS["HalfTensor"]
BFloat16Tensor = KINDS["BFloat16Tensor"]
ByteTensor = KINDS["ByteTensor"]
CharTensor = KINDS["CharTensor"]
ShortTensor = KINDS["ShortTensor"]
IntTensor = KINDS["IntTensor"]
LongTensor = KINDS["LongTensor"]
BoolTensor = KINDS["BoolTensor"]


def old_name(dtype: DType) -> str:
    """`torch.FloatTensor` for float32: what PyTorch's `x.type()` says, which programs compare."""
    return next((f"torch.{n}" for n, d in OLD_NAMES.items() if d is dtype), f"torch.{dtype.name}")
