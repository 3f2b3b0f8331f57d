"""Names of PyTorch's inner module that programs write in annotations and questions. Floor 12."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, final

from twofold.autograd.levels import Level
from twofold.base.devices import Device
from twofold.base.devices import Device as device
from twofold.base.dtypes import DType as dtype
from twofold.base.errors import ArgumentError
from twofold.jit import ScriptModule
from twofold.ops.bind import mode
from twofold.ops.convert import wanted
from twofold.ops.random import Generator
from twofold.ops.tensor import Size, Tensor

__all__ = ["Generator", "Graph", "Node", "ScriptModule", "Size", "Value", "device", "dtype"]

_TensorMeta = type(Tensor)


@final
class Graph:
    """A graph of PyTorch's script; nothing here is one."""


@final
class Node:
    """A node of such a graph."""


@final
class PyTorchFileReader:
    """PyTorch's reader of archives. Raises ArgumentError when it is made: see `twofold.load`."""

    def __init__(self, *args: Any) -> None:
        problem = "archives are read as a whole"
        raise ArgumentError("PyTorchFileReader", problem, hint="twofold.load(path)")


@final
class Value:
    """A value of such a graph."""


def _parse_to(
    *args: Any,
    device: Any = None,
    dtype: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> tuple[Any, Any, bool, Any]:
    """(device, dtype, non_blocking, memory_format) that the arguments of `to` name."""
    place, kind = wanted(args, device, dtype)
    return None if place is None else Device(place), kind, non_blocking, memory_format


_nn = SimpleNamespace(_parse_to=_parse_to)


def _are_functorch_transforms_active() -> bool:
    """Whether a transform of functions is in force: vmap, jvp, grad."""
    return isinstance(mode.interpreter, Level)


def _get_tracing_state() -> Any:
    """None: no script is traced."""
    return None


def _log_api_usage_once(name: str) -> None:
    """Nothing is counted."""


_OVERRIDES = {
    "DisableTorchFunction",
    "DisableTorchFunctionSubclass",
    "_disabled_torch_function_impl",
}


def __getattr__(name: str) -> Any:
    if name in _OVERRIDES:
        return getattr(sys.modules["twofold"].overrides, name)
    raise AttributeError(f"module 'twofold._C' has no attribute {name!r}")
