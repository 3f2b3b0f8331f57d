"""Blocks that are decorators too, under PyTorch's name. Floor 13."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from typing import Any

__all__ = ["_DecoratorContextManager"]


class _DecoratorContextManager(contextlib.ContextDecorator, ABC):
    """What a subclass enters and leaves, around a block or around each call of a function.

    A subclass whose constructor takes arguments defines `clone`, which makes another one like it.
    """

    def clone(self) -> Any:
        """Another one like it: each call enters one of its own."""
        return type(self)()

    def _recreate_cm(self) -> Any:
        return self.clone()

    @abstractmethod
    def __enter__(self) -> None:
        """What happens before."""

    @abstractmethod
    def __exit__(self, *_: object) -> Any:
        """What happens after; true where an error ends here."""


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One without arguments: also `@name`, without parentheses."""

    def __new__(cls, orig_func: Any = None) -> Any:
        made = super().__new__(cls)
        return made if orig_func is None else made(orig_func)
