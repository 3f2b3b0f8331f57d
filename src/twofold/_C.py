"""Names of PyTorch's inner module that programs write in annotations and questions. Floor 12."""

from __future__ import annotations

import contextlib
import enum
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, final

from twofold import _functorch
from twofold.autograd.levels import Level
from twofold.base.devices import Device
from twofold.base.devices import Device as device
from twofold.base.dtypes import DType as dtype
from twofold.base.errors import ArgumentError
from twofold.jit import ScriptModule
from twofold.ops.bind import mode
from twofold.ops.convert import wanted
from twofold.ops.generators import Generator
from twofold.ops.tensor import Size, Tensor

__all__ = ["Generator", "Graph", "Node", "ScriptModule", "Size", "Value", "device", "dtype"]

_TensorMeta = type(Tensor)
sys.modules[f"{__name__}._functorch"] = _functorch


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


class DispatchKey(enum.Enum):
    """What PyTorch looks implementations up by: names, for arguments. Operations have one here."""

    CPU = 1
    CUDA = 2
    XPU = 3
    Meta = 4
    Autograd = 5
    AutogradCPU = 6
    AutogradCUDA = 7
    AutocastCPU = 8
    AutocastCUDA = 9
    AutocastXPU = 10
    Functionalize = 11
    Python = 12
    BackendSelect = 13
    CompositeExplicitAutograd = 14
    CompositeImplicitAutograd = 15


@final
class DispatchKeySet:
    """A set of such names."""

    def __init__(self, *keys: DispatchKey) -> None:
        self.keys = frozenset(keys)

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(*self.keys, *other.keys)

    def __sub__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(*(self.keys - other.keys))

    def has(self, key: DispatchKey) -> bool:
        """Whether the name is in the set."""
        return key in self.keys


@contextlib.contextmanager
def _ExcludeDispatchKeyGuard(keys: DispatchKeySet) -> Iterator[None]:
    """Changes nothing in the block: nothing is looked up by these names."""
    yield


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


def _get_privateuse1_backend_name() -> str:
    """What a device of somebody's own is called, as long as nobody gave it another name."""
    return "privateuseone"


def __getattr__(name: str) -> Any:
    if name in _OVERRIDES:
        return getattr(sys.modules["twofold"].overrides, name)
    raise AttributeError(f"module 'twofold._C' has no attribute {name!r}")
