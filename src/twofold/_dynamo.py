"""What programs tell the inside of PyTorch's compiler: marks and settings. Floor 12.

Every size is symbolic from the first call and nothing is fixed, so that marks change nothing.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twofold.compiler import allow_in_graph, disable, is_compiling, reset

__all__ = [
    "allow_in_graph",
    "config",
    "disable",
    "is_compiling",
    "mark_dynamic",
    "mark_static",
    "mark_static_address",
    "maybe_mark_dynamic",
    "reset",
]

# Settings that programs write; none of them is read.
config = SimpleNamespace(
    suppress_errors=False, cache_size_limit=8, recompile_limit=8, verbose=False
)


def mark_dynamic(t: Any, index: Any, *, min: int | None = None, max: int | None = None) -> None:
    """Every size may change anyway."""


maybe_mark_dynamic = mark_dynamic


def mark_static(t: Any, index: Any = None) -> None:
    """A program serves every size; it is no faster for one."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """A program takes addresses anew at each call."""
