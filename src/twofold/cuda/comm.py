"""Tensors sent from device to device: there are none to send to. Floor 13."""

from __future__ import annotations

from typing import Any, NoReturn

from twofold.base.errors import DeviceError

__all__ = [
    "broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter",
]  # fmt: skip


def broadcast(*tensors: Any, **options: Any) -> NoReturn:
    """Raises DeviceError: there are no CUDA devices here."""
    hint = "if twofold.cuda.device_count() > 1: ..."
    raise DeviceError("cuda.comm", "there is no CUDA device here", hint=hint)


broadcast_coalesced = gather = reduce_add = reduce_add_coalesced = scatter = broadcast
