"""Lists, dicts and objects that a branch of a graph finds: it may not change them. Floor 9.

Both branches are run while a graph is captured, and one of them when it runs: what each appends to
a list, or sets in a dict or in an object, would be there always.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twofold.frontends.arrays import CaptureError
from twofold.frontends.collected import Collected
from twofold.frontends.places import vars_of
from twofold.ops.bind import mode

DEPTH = 3  # how far containers in containers are looked into
MOST = 256  # items of one that is


class ChangesByValue(CaptureError):
    """A branch in a loop changes a container: how it grows values decide, turn by turn."""


def unchanging(block: Callable[..., Any], values: tuple[Any, ...]) -> Callable[..., Any]:
    """The block, which raises CaptureError where it changes a container that it was given or closes
    over; that is as it was then.
    """
    cells = [x for cell in getattr(block, "__closure__", None) or () for x in _content(cell)]

    def run(*given: Any) -> Any:
        held: dict[int, tuple[Any, Any]] = {}
        for x in (*values, *cells):
            _note(x, held, DEPTH)
        changed: list[Any] = []
        try:
            made = block(*given)
        finally:
            for x, before in held.values():
                if not _same(_state(x), before):
                    changed.append(x)
                    _restore(x, before)
        if changed:
            raise _refusal(changed[0])
        return made

    return run


def _refusal(x: Any) -> CaptureError:
    inside = mode.capture.outer is not None or mode.capture.probing
    kind = ChangesByValue if inside else CaptureError
    what = "list" if isinstance(x, Collected) else type(x).__name__
    return kind(
        "compile",
        f"a branch on a tensor changes a {what} that lies outside of it",
        hint="append in both branches' place: x = a if test else b; xs.append(x)",
    )


def _content(cell: Any) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _note(x: Any, held: dict[int, tuple[Any, Any]], depth: int) -> None:
    """Keep what a container holds, and those in it."""
    if not depth or id(x) in held:
        return
    state = _state(x)
    if state is None or len(state) > MOST:
        return
    held[id(x)] = x, state
    for part in state.values() if type(state) is dict else state:
        _note(part, held, depth - 1)


def _state(x: Any) -> Any:
    """What a container holds, or the attributes of an object; None for what is neither."""
    kind = type(x)
    if kind is Collected:
        return [x.added, len(x.added), x.given, len(x.given), x.front, x.numbers]
    if kind in (list, set, deque) or (isinstance(x, dict) and not hasattr(x, "param_groups")):
        return dict(x) if isinstance(x, dict) else list(x)
    if hasattr(kind, "_parameters") or hasattr(kind, "forward"):
        return None  # a module: what it holds is looked at with all that lies outside
    own = vars_of(x)
    return dict(own) if own is getattr(x, "__dict__", None) else None


def _same(now: Any, before: Any) -> bool:
    if type(now) is dict:
        return list(now) == list(before) and all(now[key] is before[key] for key in now)
    return len(now) == len(before) and all(
        x is y or (type(x) is int and x == y) for x, y in zip(now, before, strict=True)
    )


def _restore(x: Any, before: Any) -> None:
    kind = type(x)
    if kind is Collected:
        x.added, count, x.given, given, x.front, x.numbers = before
        del x.added[count:], x.given[given:]
    elif kind is list:
        x[:] = before
    elif kind is set or kind is deque:
        x.clear()
        (x.update if kind is set else x.extend)(before)
    else:
        own = x if isinstance(x, dict) else x.__dict__
        own.clear()
        own.update(before)
