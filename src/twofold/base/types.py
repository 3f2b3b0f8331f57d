"""The type of a tensor: its shape and its element type. Floor 0."""

from __future__ import annotations

import math

from twofold.base.dtypes import DType
from twofold.base.records import NamedTuple


class Type(NamedTuple):
    """What is known of a tensor without its values. Prints as `f32[32, 784]`."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def with_shape(self, shape: tuple[int, ...]) -> Type:
        return Type(tuple(shape), self.dtype)

    def with_dtype(self, dtype: DType) -> Type:
        return Type(self.shape, dtype)

    def __str__(self) -> str:
        return f"{self.dtype.short}[{', '.join(map(str, self.shape))}]"
