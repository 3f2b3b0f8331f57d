"""Modules without starting values, and weights in another order of memory. Floor 10."""

from __future__ import annotations

import inspect
from typing import Any

from twofold.base.errors import ArgumentError, DTypeError, kind_of
from twofold.nn.module import Module

__all__ = [
    "convert_conv2d_weight_memory_format",
    "convert_conv3d_weight_memory_format",
    "skip_init",
]


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters and buffers hold whatever their memory does: for values that come
    from elsewhere. Raises DTypeError for what is no class of modules, ArgumentError for one that
    has no `device`, on which it is made first.
    """
    if not isinstance(module_cls, type) or not issubclass(module_cls, Module):
        raise DTypeError("skip_init", f"{kind_of(module_cls)} is no class of modules")
    if "device" not in inspect.signature(module_cls).parameters:
        what = f"{module_cls.__name__} takes no device"
        raise ArgumentError("skip_init", what, hint="an __init__(..., device=None) of it")
    device = kwargs.pop("device", None) or "cpu"
    return module_cls(*args, **kwargs, device="meta").to_empty(device=device)


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """The module: weights have one order of memory here, and kernels read images of any."""
    return module


convert_conv3d_weight_memory_format = convert_conv2d_weight_memory_format
