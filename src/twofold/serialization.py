"""Saving and loading where PyTorch's `serialization` has them. Floor 11.

Nothing in a file is run when it is loaded, so there are no classes to allow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from twofold.saving.files import load, save

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals"]
__all__ += ["save"]


def add_safe_globals(safe_globals: Sequence[Any]) -> None:
    """Changes nothing: files hold tensors and plain values, whoever wrote them."""


def get_safe_globals() -> list[Any]:
    """The classes that files may make: none."""
    return []


def clear_safe_globals() -> None:
    """Changes nothing."""


@contextlib.contextmanager
def safe_globals(safe_globals: Sequence[Any]) -> Iterator[None]:
    """Changes nothing in the block."""
    yield
