"""Parameters and buffers, where PyTorch has them. Floor 10."""

from typing import Any

from twofold.nn.buffer import Buffer
from twofold.nn.lazy import (
    UninitializedBuffer,
    UninitializedParameter,
    UninitializedTensorMixin,
)
from twofold.ops.tensor import Parameter

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]


def is_lazy(param: Any) -> bool:
    """Whether the shape of a parameter or a buffer is not known yet."""
    return isinstance(param, UninitializedTensorMixin)
