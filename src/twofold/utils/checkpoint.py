"""Recompute instead of remember, under PyTorch's names. Floor 13."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from twofold.autograd.checkpoint import checkpoint
from twofold.base.errors import ArgumentError

__all__ = [
    "checkpoint", "checkpoint_sequential", "get_device_states", "set_checkpoint_early_stop",
    "set_device_states",
]  # fmt: skip


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
