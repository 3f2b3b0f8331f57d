"""State that the turns of a loop leave in attributes, items of lists, entries of dicts. Floor 9.

`self.memory = f(self.memory, x)` in a turn is found by the next one there, and not in a name. Such
places are looked for where a loop cannot be captured without: one turn is run, and thrown away.
What they hold is carried with the names then: it is put there before a turn and taken after it.
So is a tensor that a turn writes in place, and gives a history by that (`out[t] = h`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from twofold.frontends.arrays import CaptureError
from twofold.frontends.collected import seen
from twofold.frontends.containers import ChangesByValue
from twofold.frontends.noted import Again
from twofold.frontends.places import MISSING, Place, Places
from twofold.frontends.statements import Probe, carried
from twofold.ops.bind import mode

Here = tuple[str, int]
Turn = Callable[..., Any]


def without_places(here: Here, run: Callable[[], Any]) -> Any:
    """run(), a loop that carries names alone; where that fails, it is captured anew."""
    try:
        return run()
    except ChangesByValue:
        raise
    except CaptureError:
        capture = mode.capture
        plain = capture.outer is None and not capture.probing and not capture.unrolls
        if plain and here not in capture.decided.with_places:
            raise Again("with_places", here) from None
        raise


def moved_by(turn: Turn, once: Callable[[Turn], Any]) -> list[Place]:
    """The places that a turn changes; `once` runs it for stand-ins. They hold what they held."""
    places = [p for p in Places(turn) if p.kind in ("dict", "item", "cell", "size")]
    before = [p.read() for p in places]
    try:
        with Probe():
            once(turn)
            written = {id(x) for x, _ in mode.capture.histories}
        after = [p.read() for p in places]
    finally:
        for place, x in zip(places, before, strict=True):
            if place.kind != "size" and place.read() is not x:
                place.write(x)
    found = []
    for place, x, y in zip(places, before, after, strict=True):
        if (x is y and id(x) not in written) or (place.kind == "size" and x == y):
            continue
        if place.kind == "size" or not carried(y) or not (carried(x) or x in (None, MISSING)):
            raise CaptureError(
                "compile",
                f"the turns of a loop on tensors change {place.name}, which is no tensor or number",
                hint="tensors and numbers",
            )
        found.append(place)
    return found


@contextmanager
def _within(places: Sequence[Place], extra: Sequence[Any]) -> Iterator[None]:
    """In the block, the places hold these values."""
    held = [p.read() for p in places]
    try:
        put(places, extra, held)
        yield
    finally:
        for place, x in zip(places, held, strict=True):
            place.write(x)


def put(places: Sequence[Place], values: Sequence[Any], before: Sequence[Any]) -> None:
    """Write values into places; what is None yet, and was not there before, is not there."""
    for place, x, was in zip(places, values, before, strict=True):
        place.write(MISSING if x is None and was is MISSING else x)


def with_places(
    turn: Turn,
    once: Callable[[Turn], Any],
    values: tuple[Any, ...],
    names: tuple[str, ...],
    run: Callable[..., tuple[Any, ...]],
) -> tuple[Any, ...]:
    """run(turn, values, names, look), with the places that a turn changes among the names. What
    turns are given ends with the values, in their order; `look` calls a function of those alone.
    """
    places = moved_by(turn, once)
    count, more = len(values), len(places)
    held = [p.read() for p in places]
    values = (*values, *[None if x is MISSING else x for x in held])  # None: nothing yet
    names = (*names, *[p.name for p in places])

    def extended(*given: Any) -> tuple[Any, ...]:
        end = len(given) - more
        with _within(places, given[end:]):
            made = turn(*given[:end])
            return (*made, *[p.read() for p in places])

    def look(function: Callable[..., Any], given: Sequence[Any]) -> Any:
        with _within(places, given[count:]):
            return function(*given[:count])

    made = run(extended, values, names, look)
    put(places, made[count:], held)
    return made[:count]


def plainly(function: Callable[..., Any], given: Sequence[Any]) -> Any:
    """function(*given): how what a turn is given is looked at where no places are carried."""
    return function(*given)


def as_seen(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as a turn gets them that is thrown away."""
    return tuple([seen(x) if isinstance(x, list) else x for x in values])
