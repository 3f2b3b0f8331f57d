"""PyTorch's classes of what is spread over processes: programs ask if a value is one. Floor 13.

It is the modules `tensor`, `_tensor`, `_composable` and `optim` of `twofold.distributed`.
"""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Iterator
from typing import Any, ClassVar, final

from twofold.base.errors import ArgumentError
from twofold.base.processes import backends
from twofold.distributed import mesh as fsdp
from twofold.distributed.mesh import DeviceMesh, fully_shard, init_device_mesh

__all__ = [
    "DTensor",
    "DeviceMesh",
    "ProcessGroup",
    "fsdp",
    "fully_shard",
    "init_device_mesh",
]


@final
class ZeroRedundancyOptimizer:
    """An optimizer whose state is spread over the group: of one process it is the optimizer itself.

    Raises ArgumentError where no group has been started.
    """

    def __new__(cls, params: Any, optimizer_class: Any, **options: Any) -> Any:
        if not backends:
            hint = "optimizer_class(params), or init_process_group(world_size=1, rank=0) first"
            raise ArgumentError("ZeroRedundancyOptimizer", "no group of processes runs", hint=hint)
        for name in ("process_group", "parameters_as_bucket_view", "overlap_with_ddp"):
            options.pop(name, None)
        return optimizer_class(params, **options)


@final
class ProcessGroup:
    """Processes that work together; there are none."""


class group:
    """The group of all processes, of which there is none."""

    WORLD = None


class GroupMember(group):
    """What PyTorch says of a process that is in no group."""

    NON_GROUP_MEMBER = -100


class Backend:
    """What processes talk by: names."""

    GLOO = "gloo"
    MPI = "mpi"
    NCCL = "nccl"
    UNDEFINED = "undefined"
    default_device_backend_map: ClassVar[dict[str, str]] = {"cpu": "gloo"}


class ReduceOp(enum.Enum):
    """How processes put their values together: names, for arguments of what needs a group."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7
    PREMUL_SUM = 8


@final
class DTensor:
    """A tensor of which each process has a part; nothing is one."""


experimental = sys.modules[__name__]


@contextlib.contextmanager
def implicit_replication() -> Iterator[None]:
    """Changes nothing in the block: no tensor is spread."""
    yield


@final
class Shard:
    """Where a tensor would be cut, a part for each process: along axis `dim`."""

    def __init__(self, dim: int) -> None:
        self.dim = dim


@final
class Replicate:
    """That each process would have all of a tensor."""
