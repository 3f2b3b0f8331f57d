"""Recompute instead of remember, under PyTorch's names. Floor 13."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from twofold.autograd.checkpoint import checkpoint
from twofold.base.errors import ArgumentError
from twofold.ops.tensor import Tensor

__all__ = [
    "CheckpointError", "DefaultDeviceType", "check_backward_validity", "checkpoint",
    "checkpoint_sequential", "detach_variable", "get_device_states", "noop_context_fn",
    "set_checkpoint_debug_enabled", "set_checkpoint_early_stop", "set_device_states",
]  # fmt: skip


class CheckpointError(RuntimeError):
    """PyTorch's error of a second run that differs from the first; here it cannot."""


class DefaultDeviceType:
    """The kind of device whose generator is restored beside the CPU's: kept, and without effect."""

    _kind = "cuda"

    @staticmethod
    def set_device_type(device: str = "cuda") -> None:
        DefaultDeviceType._kind = device

    @staticmethod
    def get_device_type() -> str:
        return DefaultDeviceType._kind


def noop_context_fn() -> tuple[Any, Any]:
    """Two blocks without effect, for the first run and the second."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def detach_variable(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs, of which tensors are leaves that require gradients as before."""
    return tuple(
        x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) else x for x in inputs
    )


def check_backward_validity(inputs: Iterable[Any]) -> None:
    """Warn where no input requires a gradient."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True", stacklevel=2)


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None) -> Iterator[None]:
    """Changes nothing: the second run has the bits of the first."""
    yield


def checkpoint_sequential(
    functions: Iterable[Any], segments: int, input: Any, use_reentrant: Any = None, **options: Any
) -> Any:
    """A chain of functions in `segments` pieces, of which only the inputs are kept."""
    chain = list(functions)
    if not 1 <= segments <= max(len(chain), 1):
        raise ArgumentError(
            "checkpoint_sequential", "segments is not between 1 and the number of functions",
            segments=segments, functions=len(chain),
        )  # fmt: skip
    size = len(chain) // segments
    for number in range(segments):
        last = number == segments - 1
        piece = chain[number * size : None if last else (number + 1) * size]
        input = _run(piece, input) if last else checkpoint(_run, piece, input, **options)
    return input


def _run(piece: list[Any], value: Any) -> Any:
    for function in piece:
        value = function(value)
    return value


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Changes nothing: what is recomputed is what the gradient asks for."""
    yield


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """The generators of the arguments' accelerators: none, as every tensor is the CPU's."""
    return [], []


def set_device_states(devices: Iterable[int], states: Iterable[Any], **_: Any) -> None:
    """Put back what get_device_states gave."""
