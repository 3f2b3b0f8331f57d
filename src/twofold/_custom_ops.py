"""PyTorch's older `_custom_ops`, as libraries import it; `library` has what it did. Floor 12."""

from __future__ import annotations

from typing import NoReturn

from twofold.base.errors import ArgumentError

__all__ = ["get_ctx"]


def get_ctx() -> NoReturn:
    """Raises ArgumentError: no function is run for its shapes alone."""
    raise ArgumentError("get_ctx", "no sizes that values decide are traced", hint="nonzero_static")
