"""Attributes of modules that a function sets before it reads them: what they held is no matter.
Floor 9.

`self.attention = weights` in a forward finds None there, or nothing, at the first call, and at the
next what that one has left. While the function is captured such an attribute is not there: reading
it asks `Module.__getattr__`, which notes it here. A program need not hold for what nobody read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, final

from twofold.frontends.places import Places

MODULES = "twofold.nn.module"  # where the methods are that attributes are looked up with


class Hidden(NamedTuple):
    """An attribute: of whom, and whether it was None. `own` is the dict of its attributes."""

    own: dict[str, Any]
    none: bool


@final
class Unread:
    """The attributes that a capture watches, by the id of their dict and their name.

    hidden   those that are not there while the function is captured, unless it sets them
    read     those that it has read before it set them
    """

    def __init__(self) -> None:
        self.hidden: dict[tuple[int, str], Hidden] = {}
        self.read: set[tuple[int, str]] = set()

    def hide(self, places: Places) -> None:
        """Watch the attributes that the user's code sets, where they hold None or nothing."""
        if places.inspects:
            return
        for x, _ in places.objects:
            if _asks(type(x)):
                for key in _unset(x, places.stored):
                    self.hidden[id(x.__dict__), key] = Hidden(x.__dict__, key in x.__dict__)
                    x.__dict__.pop(key, None)

    def found_none(self, own: dict[str, Any], key: str) -> bool:
        """Note that an attribute is read that is not there; whether it is None."""
        found = self.hidden.get((id(own), key))
        if found is None:
            return False
        self.read.add((id(own), key))
        return found.none

    def show(self) -> None:
        """Put back what is not there, but was."""
        for (_, key), (own, none) in self.hidden.items():
            if none:
                own.setdefault(key, None)

    def spares(self, holder: Any, key: Any) -> bool:
        """Whether a program holds for all that may lie in this place."""
        at = id(holder), key
        return at in self.hidden and at not in self.read


def _asks(kind: Any) -> bool:
    """Whether reading a missing attribute asks our own `__getattr__`, and nothing else."""
    asked = getattr(getattr(kind, "__getattr__", None), "__module__", None)
    return asked == MODULES and kind.__getattribute__ is object.__getattribute__


def _unset(x: Any, stored: set[str]) -> Iterator[str]:
    own = x.__dict__
    tables = [own.get(name) or {} for name in ("_parameters", "_buffers", "_modules")]
    for key in stored:
        named = any(key in table for table in tables) or hasattr(type(x), key)
        if own.get(key) is None and not named:
            yield key
