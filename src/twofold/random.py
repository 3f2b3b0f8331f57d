"""The generator under `random`: seeds, states, and blocks whose draws do not count. Floor 9."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from twofold.ops.generators import (
    current_generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__all__ = [
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


@contextlib.contextmanager
def fork_rng(
    devices: Any = None, enabled: bool = True, device_type: str = "cuda", **_: Any
) -> Iterator[None]:
    """After the block, the generator stands where it stood before it."""
    generator = current_generator()
    state = generator.get_state() if enabled else None
    try:
        yield
    finally:
        if state is not None:
            generator.set_state(state)
