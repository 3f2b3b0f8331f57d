"""What programs tell the inside of PyTorch's compiler: marks and settings. Floor 12.

Every size is symbolic from the first call and nothing is fixed, so that marks change nothing.
"""

from __future__ import annotations

from typing import Any

from twofold.base.files import also_as
from twofold.base.settings import Settings
from twofold.compiler import (
    allow_in_graph,
    assume_constant_result,
    disable,
    is_compiling,
    list_backends,
    reset,
    set_stance,
)
from twofold.nn.module import Module

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "config",
    "disable",
    "is_compiling",
    "list_backends",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "reset",
    "set_stance",
]

# Settings that programs write; none of them is read.
config: Any = Settings(
    f"{__name__}.config",
    suppress_errors=False,
    cache_size_limit=8,
    recompile_limit=8,
    accumulated_cache_size_limit=256,
    capture_scalar_outputs=True,
    capture_dynamic_output_shape_ops=True,
    assume_static_by_default=False,
    automatic_dynamic_shapes=True,
    dynamic_shapes=True,
    optimize_ddp=True,
    guard_nn_modules=True,
    verbose=False,
)


def mark_dynamic(t: Any, index: Any, *, min: int | None = None, max: int | None = None) -> None:
    """Every size may change anyway."""


maybe_mark_dynamic = mark_dynamic


def mark_static(t: Any, index: Any = None) -> None:
    """A program serves every size; it is no faster for one."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """A program takes addresses anew at each call."""


class OptimizedModule(Module):
    """What torch.compile makes of a module; `twofold.compile` gives a module of the same class."""


class TransformGetItemToIndex:
    """In the block, tensors index tensors within vmap, as they do outside of it."""

    def __enter__(self) -> None:
        """There is nothing to change."""

    def __exit__(self, *_: object) -> None:
        """Nor to change back."""


def is_compile_supported(device_type: Any) -> bool:
    """Whether functions on tensors of a device are compiled: those of the CPU."""
    return str(device_type) == "cpu"


also_as(__name__, "_trace_wrapped_higher_order_op eval_frame utils")
