"""PyTorch's questions about processes that train together, answered for one alone. Floor 13.

Programs ask `is_available()` before they start a group. Starting one raises: training on several
machines is not part of Twofold yet.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from twofold.base.errors import ArgumentError, MissingNameError
from twofold.distributed import spread
from twofold.distributed.spread import Backend as Backend
from twofold.distributed.spread import GroupMember as GroupMember
from twofold.distributed.spread import ProcessGroup as ProcessGroup
from twofold.distributed.spread import ReduceOp as ReduceOp
from twofold.distributed.spread import group as group

fsdp = tensor = _tensor = _composable = device_mesh = optim = spread
_FILES = "_composable _composable.fsdp _tensor _tensor.experimental device_mesh fsdp optim tensor"
for _name in _FILES.split():
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


def is_gloo_available() -> bool:
    return False


is_mpi_available = is_nccl_available = is_gloo_available


def _needs_group(name: str) -> Any:
    def refused(*args: Any, **options: Any) -> NoReturn:
        hint = "if twofold.distributed.is_initialized(): ..."
        raise ArgumentError(name, "no group of processes has been started", hint=hint)

    refused.__name__ = refused.__qualname__ = name
    refused.__doc__ = "Raises ArgumentError: no group of processes has been started."
    return refused


# What only makes sense among processes.
NEEDS_GROUP = (
    "all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce", "all_to_all",
    "barrier", "broadcast", "broadcast_object_list", "gather", "get_backend", "irecv", "isend",
    "monitored_barrier", "new_group", "recv", "reduce", "reduce_scatter", "scatter", "send",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in NEEDS_GROUP:
        return _needs_group(name)
    raise MissingNameError("twofold.distributed", name, lambda: [*globals(), *NEEDS_GROUP])
