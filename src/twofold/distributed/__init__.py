"""PyTorch's questions about processes that train together, answered for one alone. Floor 13.

Programs ask `is_available()` before they start a group. Starting one raises: training on several
machines is not part of Twofold yet.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from twofold.base.errors import ArgumentError, MissingNameError
from twofold.distributed import spread
from twofold.distributed.spread import ProcessGroup as ProcessGroup

fsdp = tensor = device_mesh = spread
for _name in ("fsdp", "tensor", "device_mesh"):
    sys.modules[f"{__name__}.{_name}"] = spread


def is_available() -> bool:
    """False: no group of processes can be started."""
    return False


def is_initialized() -> bool:
    return False


def is_torchelastic_launched() -> bool:
    return False


def get_rank(group: Any = None) -> int:
    """0: this process is alone."""
    return 0


def get_world_size(group: Any = None) -> int:
    return 1


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    hint = "train in one process: if twofold.distributed.is_available(): ..."
    raise ArgumentError("init_process_group", "processes cannot be grouped yet", hint=hint)


def destroy_process_group(group: Any = None) -> None:
    """There is none."""


def __getattr__(name: str) -> Any:
    raise MissingNameError("twofold.distributed", name, lambda: globals())
