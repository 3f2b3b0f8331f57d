"""Random numbers in a graph: fresh draws at each run, seeds that are set, and draws that are drawn
again. Floor 9.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import StateError
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.frontends.arrays import Unknown
from twofold.frontends.noted import NeedsStream, Stream
from twofold.ops.bind import bind
from twofold.ops.draws import NEXT_DRAW
from twofold.ops.generators import current_generator
from twofold.ops.tensor import Tensor, wrap

if TYPE_CHECKING:  # a capture draws: an import that runs would be a ring
    from twofold.frontends.capture import Capture


class Drawn(NamedTuple):
    """One draw: its state, and where the program counts them, of which stream and what follows."""

    array: Unknown
    key: int | None = None
    after: Tensor | None = None


class Again(NamedTuple):
    """What a block has drawn, and the states of the streams before it."""

    drawn: list[Drawn]
    streams: dict[int, Tensor]


def draw(capture: Capture, generator: Any, fresh: Callable[[], Any]) -> Unknown:
    """The state of a fresh draw, or of the next one that is repeated: u64[3]."""
    if capture.repeated:
        drawn = _next(capture)
    else:
        drawn = _fresh(capture, generator, fresh)
    for noted in capture.noted:
        noted.append(drawn)
    return drawn.array


def _next(capture: Capture) -> Drawn:
    drawn: Drawn | None = next(capture.repeated[-1], None)
    if drawn is None:
        raise StateError(
            "checkpoint",
            "the function draws more random numbers the second time than the first",
            hint="a function that does the same every time",
        )
    if drawn.key is not None and drawn.after is not None:
        capture.streams[drawn.key] = drawn.after
    return drawn


def _fresh(capture: Capture, generator: Any, fresh: Callable[[], Any]) -> Drawn:
    source = generator or current_generator()
    key = id(source)
    if _counted(capture, key):
        state = capture.stream(Stream(key, generator))
        after = capture.streams[key] = bind(NEXT_DRAW, (state,))
        return Drawn(state.array, key, after)  # type: ignore[arg-type]

    def drawn() -> Any:
        return fresh()

    drawn.plain = lambda: {  # type: ignore[attr-defined]
        "kind": "draw",
        "seed": int(source.words[0]),
        "stream": source.stream,
        "draw": source.draw,
    }

    def undo() -> None:
        source.draw -= 1

    number = capture.host(drawn, "draw", undo, Type((3,), dtypes.uint64))
    return Drawn(capture.host_value(number, None, (3,), dtypes.uint64))


def _counted(capture: Capture, key: int) -> bool:
    """Whether the program counts the draws of a stream, and not Python before it."""
    return key in capture.streams or capture.outer is not None or capture.probing


def reseed(capture: Capture, generator: Any, state: tuple[int, int, int]) -> None:
    """Let a generator start again from a state, at each run."""
    key = id(generator)
    if _counted(capture, key):
        capture.stream(Stream(key, generator))
        capture.streams[key] = wrap(np.array(state, np.uint64))
        return
    before: list[tuple[int, int, int]] = []

    def run() -> None:
        before[:] = [(int(generator.words[0]), generator.stream, generator.draw)]
        generator.go_on(*state)

    capture.host(run, "seed", lambda: generator.go_on(*before[0]))


@contextlib.contextmanager
def noting(capture: Capture) -> Iterator[Again]:
    """In the block, what is drawn is kept."""
    again = Again([], dict(capture.streams))
    capture.noted.append(again.drawn)
    try:
        yield again
    finally:
        capture.noted.pop()


@contextlib.contextmanager
def repeating(capture: Capture, again: Again) -> Iterator[None]:
    """In the block, what another one has drawn is drawn; streams go on afterwards as before."""
    now = dict(capture.streams)
    first = capture.first_streams
    begin = {key: again.streams.get(key, first.get(key, x)) for key, x in now.items()}
    capture.streams |= begin
    capture.repeated.append(iter(again.drawn))
    try:
        yield
    finally:
        capture.repeated.pop()
        capture.streams |= now


def state_of(capture: Capture, stream: Stream) -> Tensor:
    """The state of a stream so far: u64[3]."""
    found = capture.streams.get(stream.key)
    if found is not None:
        return found
    if capture.outer is not None:
        raise NeedsStream(stream)
    if capture.probing:
        return wrap(capture.filled((3,), 0, dtypes.uint64))
    if not capture.keeps_streams:
        return _own_stream(capture, stream)
    holder = capture.found_streams[stream.key] = []

    def now() -> Any:
        source = stream.generator or current_generator()
        holder[:] = [source]
        return np.array([int(source.words[0]), source.stream, source.draw], np.uint64)

    number = capture.host(now, "draw", like=Type((3,), dtypes.uint64))
    made = wrap(capture.host_value(number, None, (3,), dtypes.uint64))
    capture.first_streams[stream.key] = capture.streams[stream.key] = made
    return made


def _own_stream(capture: Capture, stream: Stream) -> Tensor:
    """The first state of a branch's or a loop's own stream: at each run another one, which the next
    draw of the generator decides. Nothing goes on from it, as parts of a graph run alone.
    """

    def now() -> Any:
        source = stream.generator or current_generator()
        own = np.random.SeedSequence([int(source.words[0]), source.stream, source.draw])
        source.draw += 1
        return np.array([int(source.words[0]), own.generate_state(1, np.uint64)[0], 0], np.uint64)

    number = capture.host(now, "draw", like=Type((3,), dtypes.uint64))
    return wrap(capture.host_value(number, None, (3,), dtypes.uint64))
