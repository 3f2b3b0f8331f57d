"""Collective operations with gradients under PyTorch's names: none without a group. Floor 13."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import MissingNameError
from twofold.distributed import _needs_group

NAMES = ("all_gather", "all_reduce", "all_to_all", "broadcast", "gather", "reduce", "scatter")


def __getattr__(name: str) -> Any:
    if name in NAMES:
        return _needs_group(name)
    raise MissingNameError("twofold.distributed.nn", name, lambda: NAMES)
