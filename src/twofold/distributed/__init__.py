"""PyTorch's questions about processes that train together, answered for one alone. Floor 13.

A group of one process can be started, and its collective operations give back what they are given
(alone.py). Training on several machines is not part of Twofold yet: starting a larger group raises.
"""

from __future__ import annotations

import sys
from typing import Any

from twofold.base.errors import ArgumentError, MissingNameError
from twofold.distributed import mesh, spread
from twofold.distributed.alone import COLLECTIVES
from twofold.distributed.alone import Work as Work
from twofold.distributed.alone import destroy_process_group as destroy_process_group
from twofold.distributed.alone import init_process_group as init_process_group
from twofold.distributed.alone import is_initialized as is_initialized
from twofold.distributed.mesh import DeviceMesh as DeviceMesh
from twofold.distributed.mesh import init_device_mesh as init_device_mesh
from twofold.distributed.spread import Backend as Backend
from twofold.distributed.spread import GroupMember as GroupMember
from twofold.distributed.spread import ProcessGroup as ProcessGroup
from twofold.distributed.spread import ReduceOp as ReduceOp
from twofold.distributed.spread import group as group

tensor = _tensor = _composable = optim = spread
fsdp = device_mesh = mesh
_FILES = "_composable _tensor _tensor.experimental optim tensor"
for _name in _FILES.split():
    sys.modules[f"{__name__}.{_name}"] = spread
_FILES = (
    "_composable.fsdp device_mesh fsdp fsdp.api fsdp.fully_sharded_data_parallel "
    "fsdp._fully_shard fsdp.wrap"
)
for _name in _FILES.split():
    sys.modules[f"{__name__}.{_name}"] = mesh


def is_available() -> bool:
    """False: no group of several processes can be started."""
    return False


def is_torchelastic_launched() -> bool:
    return False


def get_rank(group: Any = None) -> int:
    """0: this process is alone."""
    return 0


def get_world_size(group: Any = None) -> int:
    return 1


def is_gloo_available() -> bool:
    return False


is_mpi_available = is_nccl_available = is_gloo_available


def _needs_group(name: str) -> Any:
    """What does something in a group of one process, and raises ArgumentError outside of one."""

    def collective(*args: Any, **options: Any) -> Any:
        if name in COLLECTIVES and is_initialized():
            return COLLECTIVES[name](*args, **options)
        if is_initialized():
            raise ArgumentError(name, "there is no other process", hint="get_world_size() is 1")
        hint = "if twofold.distributed.is_initialized(): ..."
        raise ArgumentError(name, "no group of processes has been started", hint=hint)

    collective.__name__ = collective.__qualname__ = name
    return collective


# What only makes sense among processes.
NEEDS_GROUP = (*COLLECTIVES, "irecv", "isend", "recv", "send")


def __getattr__(name: str) -> Any:
    if name in NEEDS_GROUP:
        return _needs_group(name)
    raise MissingNameError("twofold.distributed", name, lambda: [*globals(), *NEEDS_GROUP])
