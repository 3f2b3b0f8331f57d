"""Seeds for the passes over the data, drawn from a generator. Floor 11."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from typing import Any, final

import numpy as np

from twofold.ops.draws import random_words
from twofold.ops.generators import Generator, current_generator, drawing_from


def draw_seed(generator: Generator | None) -> int:
    """A seed below 2^62 from a draw of the generator, or of the default one for None."""
    chosen = current_generator() if generator is None else generator
    high, low = random_words(2, *chosen.next_draw()).tolist()
    seed: int = (high << 32 | low) >> 2
    return seed


def state_of(generator: Generator | None) -> Any:
    return None if generator is None else generator.get_state()


def load_state(generator: Generator | None, state: Any) -> None:
    if generator is not None and state is not None:
        generator.set_state(state)


def seeded(seed: int, number: int) -> AbstractContextManager[None]:
    """In the block, this thread draws from the stream `number` of the pass with that seed.

    So what a dataset draws while a batch is made does not depend on which worker makes it, or when.
    """
    return drawing_from(Generator(seed=seed, stream=number + 1))


def _generate_state(base_seed: int, worker_id: int) -> list[int]:
    """Four words of 32 bits for NumPy's older generator, others for each worker."""
    return [int(word) for word in np.random.SeedSequence((worker_id, base_seed)).generate_state(4)]


def reseed(seed: int, number: int) -> None:
    """Let `random` and `numpy.random` start anew for that batch of the pass with that seed.

    For processes of our own: copies of the program's states would draw the same in all of them.
    """
    random.seed(seed << 64 | number)
    words = (seed, seed >> 32, number, number >> 32)
    np.random.seed([word & 0xFFFFFFFF for word in words])


@final
class Seeded:
    """A source whose random numbers depend on the batch and not on the worker."""

    def __init__(self, source: Any, seed: int) -> None:
        self.source = source
        self.seed = seed

    def claim(self, number: int, task: Any) -> Any:
        with seeded(self.seed, 2 * number):
            return self.source.claim(number, task)

    def finish(self, number: int, claimed: Any) -> Any:
        with seeded(self.seed, 2 * number + 1):
            return self.source.finish(number, claimed)
