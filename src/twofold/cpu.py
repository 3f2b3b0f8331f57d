"""PyTorch's questions about the CPU as a device among others. Floor 13."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from twofold import amp

__all__ = [
    "amp", "current_device", "current_stream", "device_count", "is_available", "is_initialized",
    "set_device", "stream", "synchronize",
]  # fmt: skip


class Stream:
    """Work on the CPU is done when its call returns: there is nothing to wait for."""

    def __init__(self, priority: int = -1) -> None:
        self.priority = priority

    def wait_stream(self, stream: Any) -> None:
        """Nothing."""

    synchronize = record_event = wait_event = lambda self, *_: None


def is_available() -> bool:
    return True


def is_initialized() -> bool:
    return True


def device_count() -> int:
    """1, however many cores it has."""
    return 1


def current_device() -> str:
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing: there is one."""


def synchronize(device: Any = None) -> None:
    """Nothing: what was called is done."""


def current_stream(device: Any = None) -> Stream:
    return Stream()


@contextlib.contextmanager
def stream(stream: Any) -> Iterator[None]:
    """A block like any other."""
    yield
