"""The wrapper of PyTorch that spreads a model over processes: programs ask whether a module is one.
Floor 13.
"""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.nn.module import Module

__all__ = ["FullyShardedDataParallel"]


@final
class FullyShardedDataParallel(Module):
    """Raises ArgumentError when it is made: there is one process."""

    def __init__(self, module: Any, *args: Any, **kwargs: Any) -> None:
        raise ArgumentError(
            "FullyShardedDataParallel",
            "processes cannot be grouped yet",
            hint="use the module itself",
        )
