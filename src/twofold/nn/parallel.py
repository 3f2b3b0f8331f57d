"""A module on several devices, of which there is one here: the module itself. Floor 10."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from twofold.base import processes
from twofold.base.errors import ArgumentError, DeviceError
from twofold.base.files import also_as
from twofold.nn.module import Module
from twofold.ops.guarding import guard
from twofold.ops.tensor import Parameter, Tensor


class DataParallel(Module):
    """Calls `module`. A batch is not split: one CPU's threads work on it together already.

    The state's names are the module's own. States with PyTorch's prefix `module.` can be loaded.
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        if device_ids:
            hint = "nn.DataParallel(module)"
            raise DeviceError("DataParallel", f"there are no devices {device_ids}", hint=hint)
        self.module = module
        self.dim = dim

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Parameter]]:
        return self.module.named_parameters(*args, **kwargs)

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Tensor]]:
        return self.module.named_buffers(*args, **kwargs)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        own = {name.removeprefix("module."): value for name, value in state_dict.items()}
        return self.module.load_state_dict(own, *args, **kwargs)


class DistributedDataParallel(Module):
    """Calls `module`, whose gradients are those of the group: it is of one process.

    As in PyTorch the state's names begin with `module.`. Raises ArgumentError where no group has
    been started (twofold.distributed.init_process_group), and DeviceError for `device_ids`.
    """

    def __init__(self, module: Module, device_ids: Any = None, *args: Any, **options: Any) -> None:
        super().__init__()
        if not processes.backends:
            hint = "init_process_group(world_size=1, rank=0) first, or call the module itself"
            raise ArgumentError("DistributedDataParallel", "no group of processes runs", hint=hint)
        if device_ids:
            hint = "DistributedDataParallel(module)"
            problem = f"there are no devices {device_ids}"
            raise DeviceError("DistributedDataParallel", problem, hint=hint)
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    def no_sync(self) -> AbstractContextManager[None]:
        """A block in which gradients are only added up, as they always are for one process."""
        return nullcontext()

    def join(self, *args: Any, **options: Any) -> AbstractContextManager[None]:
        """A block in which processes may have unequal numbers of batches."""
        return nullcontext()


def scatter(inputs: Any, target_gpus: Any, dim: int = 0) -> Any:
    """Raises DeviceError: there are no devices to spread a batch over."""
    problem = f"there are no devices {target_gpus}"
    raise DeviceError("scatter", problem, hint="call the module with the whole batch")


also_as(__name__, "data_parallel distributed scatter_gather")


guard(globals())
