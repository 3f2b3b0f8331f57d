"""cuDNN's switches, for programs that set them: `cudnn.benchmark = True` is kept. Floor 13."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

enabled = False
benchmark = False
benchmark_limit = 10
deterministic = True
allow_tf32 = False


def is_available() -> bool:
    return False


def version() -> None:
    """None: there is no such library here."""


def is_acceptable(tensor: Any) -> bool:
    return False


@contextlib.contextmanager
def flags(**switches: Any) -> Iterator[None]:
    """In the block, the switches are those; they change nothing here."""
    before = {name: globals()[name] for name in switches if name in globals()}
    globals().update(switches)
    try:
        yield
    finally:
        globals().update(before)
