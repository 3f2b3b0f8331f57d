"""Parameters and buffers, where PyTorch has them. Floor 10."""

from typing import Any

from twofold.nn.buffer import Buffer
from twofold.nn.lazy import UninitializedParameter
from twofold.ops.tensor import Parameter

__all__ = ["Buffer", "Parameter", "UninitializedParameter", "is_lazy"]


def is_lazy(param: Any) -> bool:
    """Whether a parameter's shape is not known yet."""
    return isinstance(param, UninitializedParameter)
