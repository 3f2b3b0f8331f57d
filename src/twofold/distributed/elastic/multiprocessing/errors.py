"""What is told of a process that fails: its exception, as in any program. Floor 13."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base.errors import TwofoldError

__all__ = ["ChildFailedError", "record"]


class ChildFailedError(TwofoldError):
    """PyTorch's error of a launcher whose process has failed."""


def record(fn: Callable[..., Any], error_handler: Any = None) -> Callable[..., Any]:
    """The function as it is: its exception reaches the terminal with its traceback."""
    return fn
