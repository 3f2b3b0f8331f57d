"""Streams of random numbers: what a draw starts from, seeds and states. Floor 4.

Every call that draws advances its generator by one draw; in a graph, at each run.
"""

from __future__ import annotations

import contextlib
import operator
import os
import struct
import threading
from collections.abc import Iterator
from typing import Any, final

import numpy as np

from twofold.base.devices import CPU, Device, check_device
from twofold.base.errors import ArgumentError, DTypeError, StateError, in_python, kind_of
from twofold.base.flags import flags
from twofold.ops.bind import mode, remark
from twofold.ops.guarding import guard
from twofold.ops.rules import also_named
from twofold.ops.tensor import Array, Tensor, type_of, wrap

__all__ = [
    "Generator",
    "default_generator",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

ONE = np.uint64(1)


@final
class Generator:
    """A stream of draws: (seed, stream, draw). Copies of its state give the same numbers again."""

    def __init__(self, device: Any = "cpu", *, seed: int | None = None, stream: int = 0) -> None:
        check_device(device)
        self.words = np.array(
            (0, stream, 0, 0), np.uint64
        )  # seed, stream, draw: machine code's too
        self.manual_seed(_fresh_seed() if seed is None else seed)

    @property
    def stream(self) -> int:
        return int(self.words[1])

    @property
    def draw(self) -> int:
        return int(self.words[2])

    @draw.setter
    def draw(self, number: int) -> None:
        self.words[2] = number

    @property
    def device(self) -> Device:
        return CPU

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed` (any integer; its low 64 bits count)."""
        try:
            number = operator.index(seed)
        except TypeError:
            problem = f"the seed {seed!r} is not a whole number"
            raise DTypeError("manual_seed", problem, hint="manual_seed(0)") from None
        return self._start(number & 0xFFFFFFFFFFFFFFFF, self.stream, 0)

    def _start(self, seed: int, stream: int, draw: int) -> Generator:
        """Begin at a state; in a graph, at each of its runs."""
        if mode.capture is None:
            self.go_on(seed, stream, draw)
        else:
            mode.capture.reseed(self, (seed, stream, draw))
        return self

    def go_on(self, seed: int, stream: int, draw: int) -> None:
        self.words[:3] = seed, stream, draw

    def seed(self) -> int:
        """Start again from a seed of the system's, and tell it."""
        _refuse_in_graph("seed")
        self.manual_seed(_fresh_seed())
        return self.initial_seed()

    def initial_seed(self) -> int:
        _refuse_in_graph("initial_seed")
        return int(self.words[0])

    def next_draw(self) -> tuple[int, int, int]:
        """(seed, stream, draw) of a fresh draw."""
        seed, stream, draw = map(int, self.fresh())
        return seed, stream, draw

    def fresh(self) -> Array:
        """The same as u64[3]."""
        state: Array = self.words[:3].copy()
        self.words[2] += ONE
        return state

    def get_state(self) -> Tensor:
        """The whole state, as u8[24]."""
        _refuse_in_graph("get_state")
        return wrap(self.words[:3].astype("<u8").view(np.uint8))

    def clone_state(self) -> Generator:
        """Another generator in the same state."""
        _refuse_in_graph("clone_state")
        made = Generator(seed=0, stream=self.stream)
        made.words[:] = self.words
        return made

    def graphsafe_get_state(self) -> Generator:
        """Another generator in the same state."""
        return self.clone_state()

    def set_state(self, state: Tensor) -> Generator:
        """Go on where `get_state` was called."""
        _refuse_in_graph("set_state")
        if state.array.dtype != np.uint8 or state.array.shape != (24,):
            raise ArgumentError(
                "set_state", "not a state that get_state gave", state=type_of(state)
            )
        return self._start(*struct.unpack("<3Q", state.array.tobytes()))

    def __repr__(self) -> str:
        return f"Generator(seed={int(self.words[0])}, stream={self.stream}, draw={self.draw})"


def _refuse_in_graph(op: str) -> None:
    """Raise StateError in a graph: it would keep the state of the call that it is captured with."""
    if mode.capture is not None:
        hint = "generators of one's own, and manual_seed"
        error = StateError(op, "a graph does not know the state of a generator", hint=hint)
        in_python(error)
        raise error


def _fresh_seed() -> int:
    return int(flags.seed) if flags.seed else int.from_bytes(os.urandom(8), "little")


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default stream again from `seed`."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    return default_generator.seed()


def initial_seed() -> int:
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The state of the default stream."""
    return default_generator.get_state()


@also_named(new_state="state")
def set_rng_state(state: Tensor) -> None:
    default_generator.set_state(state)


_own = threading.local()


def current_generator() -> Generator:
    """What a call without a generator draws from: the thread's own one in `drawing_from`, else the
    default.
    """
    return getattr(_own, "generator", None) or default_generator


@contextlib.contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """In the block, what this thread draws without naming a generator comes from this one."""
    before = getattr(_own, "generator", None)
    _own.generator = generator
    default_generator.words[3] += ONE  # machine code draws from the default stream alone
    try:
        yield
    finally:
        default_generator.words[3] -= ONE
        _own.generator = before


def fresh_state(generator: Any) -> Tensor:
    """The state of a fresh draw; in a graph, of a fresh one at each run."""

    if mode.capture is not None:
        fresh = lambda: (generator or current_generator()).fresh()  # noqa: E731
        return wrap(mode.capture.draw(generator, fresh))
    if generator is not None and not isinstance(generator, Generator):
        problem = f"generator is {kind_of(generator)}"
        raise DTypeError("random", problem, hint="twofold.Generator().manual_seed(0)")
    source = generator or current_generator()
    state = wrap(source.fresh())
    if source is generator or source is default_generator:
        remark("draw", state, source.words)
    else:
        remark("once")
    return state


guard(globals())
