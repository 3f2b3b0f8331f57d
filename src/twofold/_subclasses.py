"""PyTorch's tensors that pretend, by name; those without data are "meta" ones. Floor 12."""

from __future__ import annotations

from typing import Any, final

from twofold.base.files import also_as

__all__ = ["FakeTensor", "is_fake"]


@final
class FakeTensor:
    """A tensor without data on a device that it names; nothing is one."""


def is_fake(x: Any) -> bool:
    """False: no tensor pretends."""
    return False


also_as(__name__, "fake_tensor")
