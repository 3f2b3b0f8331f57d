"""A module on several devices, of which there is one here: the module itself. Floor 10."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ArgumentError, DeviceError
from twofold.nn.module import Module


class DataParallel(Module):
    """Calls `module`. A batch is not split: one CPU's threads work on it together already."""

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


class DistributedDataParallel(Module):
    """Needs a group of processes, which `twofold.distributed` does not start yet."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        hint = "call the module itself; ask twofold.distributed.is_initialized() first"
        raise ArgumentError("DistributedDataParallel", "no group of processes runs", hint=hint)
