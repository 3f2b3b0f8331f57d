"""What libraries ask of PyTorch's overriding of functions: nothing is overridden here. Floor 11."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor

__all__ = ["TorchFunctionMode", "has_torch_function", "is_tensor_like"]


class TorchFunctionMode:
    """Raises ArgumentError where it is entered: functions cannot be taken over."""

    def __enter__(self) -> Any:
        problem = "functions cannot be taken over"
        hint = "a wrapper around the function, or a hook of the module"
        raise ArgumentError(type(self).__name__, problem, hint=hint)

    def __exit__(self, *_: object) -> None:
        """It is never entered."""


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """False: `__torch_function__` of classes is not asked."""
    return False


has_torch_function_unary = has_torch_function_variadic = has_torch_function


def is_tensor_like(inp: Any) -> bool:
    """Whether it is a tensor."""
    return isinstance(inp, Tensor)
