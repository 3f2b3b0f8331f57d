"""Seeds for the passes over the data, drawn from a generator. Floor 11."""

from __future__ import annotations

from typing import Any

from twofold.ops.random import Generator, default_generator, random_words


def draw_seed(generator: Generator | None) -> int:
    """A seed below 2^62 from a draw of the generator, or of the default one for None."""
    chosen = default_generator if generator is None else generator
    high, low = random_words(2, *chosen.next_draw()).tolist()
    return (high << 32 | low) >> 2


def state_of(generator: Generator | None) -> Any:
    return None if generator is None else generator.get_state()


def load_state(generator: Generator | None, state: Any) -> None:
    if generator is not None and state is not None:
        generator.set_state(state)
