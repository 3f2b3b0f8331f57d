"""Names of PyTorch's inner module that programs write in annotations and questions. Floor 12."""

from __future__ import annotations

import sys
from typing import Any, final

from twofold.base.devices import Device as device
from twofold.base.dtypes import DType as dtype
from twofold.ops.random import Generator
from twofold.ops.tensor import Size

__all__ = ["Generator", "Graph", "Node", "ScriptModule", "Size", "Value", "device", "dtype"]


@final
class Graph:
    """A graph of PyTorch's script; nothing here is one."""


@final
class Node:
    """A node of such a graph."""


@final
class Value:
    """A value of such a graph."""


@final
class ScriptModule:
    """A module of PyTorch's script; nothing here is one."""


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
