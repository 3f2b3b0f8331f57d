"""What programs ask of PyTorch's compiler, under its names. Floor 11."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

from twofold.codegen.compile import JOBS
from twofold.exec import tensors
from twofold.frontends.backends import list_backends
from twofold.frontends.decorator import compile
from twofold.ops.bind import mode

__all__ = [
    "compile",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "list_backends",
    "reset",
    "settle",
]


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """The function as it is; called while another one is captured, it becomes part of that one.

    It changes nothing: there is one answer, captured or not. What must run in Python at each call
    is a `twofold.callback`.
    """
    return (lambda given: given) if fn is None else fn


def is_compiling() -> bool:
    """Whether operations are captured now rather than run."""
    return mode.capture is not None


is_dynamo_compiling = is_exporting = is_compiling


def reset() -> None:
    """Programs belong to their functions, and go with them."""


def settle() -> None:
    """Have at once what is compiled beside a program while it runs: the machine code behind
    `Tensor`, and code for the next process. For benchmarks, and before kernels are shipped.
    """
    tensors.prepare()
    if JOBS in sys.modules:
        jobs = sys.modules[JOBS]
        jobs.finish(jobs.LAST)
    tensors.want()


def cudagraph_mark_step_begin() -> None:
    """There are no CUDA graphs here."""


def allow_in_graph(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


def assume_constant_result(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called once for each list of arguments."""
    return functools.cache(fn)


class set_stance:
    """Captured or not, the answers are the same: called, or as a block, it changes nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """There is nothing to set."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *_: object) -> None:
        """Nothing."""

    def __call__(self, function: Any) -> Any:
        return function
