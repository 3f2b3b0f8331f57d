"""PyTorch's classes of what is spread over processes: programs ask if a value is one. Floor 13.

It is `twofold.distributed.fsdp` and `twofold.distributed.tensor` too, the files of PyTorch.
"""

from __future__ import annotations

from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.nn.module import Module

__all__ = ["DTensor", "FullyShardedDataParallel"]


@final
class FullyShardedDataParallel(Module):
    """Raises ArgumentError when it is made: there is one process."""

    def __init__(self, module: Any, *args: Any, **kwargs: Any) -> None:
        problem = "processes cannot be grouped yet"
        raise ArgumentError("FullyShardedDataParallel", problem, hint="use the module itself")


@final
class DTensor:
    """A tensor of which each process has a part; nothing is one."""
