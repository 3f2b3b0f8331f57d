"""Seeds for the passes over the data, drawn from a generator. Floor 11."""

from __future__ import annotations

import secrets
from typing import Any


def draw_seed(generator: Any) -> int:
    """A seed from the generator, or from the default one for None."""
    return secrets.randbits(62) if generator is None else generator.draw()


def state_of(generator: Any) -> Any:
    return None if generator is None else generator.get_state()


def load_state(generator: Any, state: Any) -> None:
    if generator is not None:
        generator.set_state(state)
