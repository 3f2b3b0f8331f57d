"""Saving and loading where PyTorch's `serialization` has them. Floor 11.

Nothing in a file is run when it is loaded, so there are no classes to allow.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, TypeAlias

from twofold.base.devices import Device
from twofold.saving.files import load, save

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals"]
__all__ += ["save"]

DEFAULT_PROTOCOL = 2  # `save` takes a protocol of pickle, and uses none
FILE_LIKE: TypeAlias = str | os.PathLike[str] | IO[bytes]
MAP_LOCATION: TypeAlias = Callable[..., Any] | Device | str | dict[str, str] | None


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
