"""PyTorch's hooks below its operations, by name: what is seen here is functions. Floor 13."""

from __future__ import annotations

from typing import Any, NoReturn

from twofold.base.errors import ArgumentError

__all__ = ["TorchDispatchMode", "is_traceable_wrapper_subclass"]


class TorchDispatchMode:
    """A block in which PyTorch tells of each operation of its own set.

    Raises ArgumentError when it is entered: operations have other names here.
    """

    def __enter__(self) -> NoReturn:
        hint = "overrides.TorchFunctionMode sees functions, utils.flop_counter counts their work"
        problem = "PyTorch's own set of operations is not what runs here"
        raise ArgumentError("TorchDispatchMode", problem, hint=hint)

    def __exit__(self, *_: object) -> None:
        """It was not entered."""


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """False: no class of tensors takes itself apart for a compiler (`__tensor_flatten__`)."""
    return False
