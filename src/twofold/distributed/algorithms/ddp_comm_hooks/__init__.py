"""How gradients are sent between processes: there is nobody to send them to. Floor 13."""

from __future__ import annotations

import enum
from typing import Any

from twofold.distributed.algorithms.ddp_comm_hooks import default_hooks as default_hooks

__all__ = ["DDPCommHookType", "register_ddp_comm_hook"]


class DDPCommHookType(enum.Enum):
    """PyTorch's ways to send gradients, by name."""

    ALLREDUCE = 1
    FP16_COMPRESS = 2
    BF16_COMPRESS = 3
    QUANTIZE_PER_TENSOR = 4
    QUANTIZE_PER_CHANNEL = 5
    POWER_SGD = 6
    NOOP = 7


def register_ddp_comm_hook(comm_hook_type: Any, model: Any, state: Any = None) -> None:
    """Nothing is sent, so that there is nothing to choose."""
