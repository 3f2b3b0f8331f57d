"""What a function leaves in the world besides its result, and what a program does instead. Floor 9.

While a function is captured its assignments to attributes, global names, cells and containers are
made, and taken back after it; the program makes them at each run. A number that the function
changes, and a tensor that it exchanges, are read at each call as if they were arguments: their
places are `moving`, and stand-ins lie in them while the function is captured. A list that it
appends to may not be read by it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NoReturn, final

from twofold.base.errors import in_python
from twofold.base.records import NamedTuple
from twofold.base.symbols import is_symbol
from twofold.base.trees import is_node, leaves_of, unflatten
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.capture import Capture
from twofold.frontends.later import is_later
from twofold.frontends.places import MISSING, Place, Places, copies, part_name
from twofold.ops.tensor import Tensor


def _of_sizes(key: Any) -> bool:
    """Whether a key is a size, or a tuple of some."""
    return is_symbol(key) or (isinstance(key, tuple) and any(map(_of_sizes, key)))


class Moves(BaseException):
    """Places whose values the function changes: they must be found at each call."""

    def __init__(self, places: list[Place]) -> None:
        super().__init__(places)
        self.places = places


SET, ADDED, FILLED = range(3)


class Change(NamedTuple):
    """What a place holds afterwards (SET); of a place that holds a list, what that has more (ADDED)
    or has in place of all that was in it (FILLED).
    """

    place: Place
    value: Any
    how: int = SET


def _reads(name: str) -> Any:
    """A method of lists that reads what was there before, where that is known."""
    plain = getattr(list, name)

    def method(self: Growing, *given: Any, **named: Any) -> Any:
        if not self.emptied:
            self.refuse()
        return plain(self, *given, **named)

    return method


@final
class Growing(list[Any]):
    """What stands for a list from outside that the function appends to.

    emptied   whether the function emptied it: from then on all that is in it is known
    """

    emptied = False

    def refuse(self, *_: Any) -> NoReturn:
        error = CaptureError(
            "compile",
            "the function reads a list from outside, to which it appends",
            hint="empty it before, give what is appended back, or carry tensors",
        )
        in_python(error)
        raise error

    def clear(self) -> None:
        self.emptied = True
        list.clear(self)

    def __delitem__(self, at: Any) -> None:
        if at != slice(None):
            _reads("__delitem__")(self, at)
        self.clear()

    def __setitem__(self, at: Any, value: Any) -> None:
        if at == slice(None):
            self.clear()
        _reads("__setitem__")(self, at, value)

    def __getitem__(self, at: Any) -> Any:
        own = type(at) is int and -list.__len__(self) <= at < 0  # counted from the end
        return list.__getitem__(self, at) if own else _reads("__getitem__")(self, at)

    __iter__ = _reads("__iter__")
    __len__ = _reads("__len__")
    __contains__ = _reads("__contains__")
    __add__ = _reads("__add__")
    __reversed__ = _reads("__reversed__")
    pop = _reads("pop")
    insert = _reads("insert")
    remove = _reads("remove")
    sort = _reads("sort")
    index = _reads("index")

    def __bool__(self) -> bool:
        return len(self) > 0

    def added(self) -> list[Any]:
        return list(list.__iter__(self))


@final
class World:
    """The places of a function before a capture, and afterwards.

    moving   places whose values are found at each call, and what stands for them
    """

    def __init__(self, function: Any, moving: Sequence[Place], leaves: Sequence[Any] = ()) -> None:
        self.places = Places(function, leaves)
        self.moving = list(moving)
        self.stands: list[Any] = []
        self.growing: list[tuple[Place, list[Any], Growing]] = []
        self.before = [place.read() for place in self.moving]

    def enter(self, stand_ins: Sequence[Any], capture: Capture) -> None:
        """Put what stands for them into the moving places."""
        capture.watched |= self.places.dicts.keys()
        capture.set_inside = self.set_inside
        capture.state = self.state
        found = (place.before for place in self.places)
        capture.outside = {id(x.array): x for x in found if isinstance(x, Tensor)}
        capture.unread.hide(self.places)
        rest = iter(stand_ins)
        self.stands = [unflatten(rest, place.flat_now()[1]) for place in self.moving]
        for place, before, stand_in in zip(self.moving, self.before, self.stands, strict=True):
            if place.grows:
                stand = Growing()
                self.growing.append((place, before, stand))
                place.write(stand)
            else:
                place.write(stand_in)

    def state(self) -> list[Any]:
        """What the places hold now, to see whether a part of the function changes it."""
        found = [id(place.read()) for place in (*self.places, *self.moving)]
        sizes = [len(grown.added()) for _, _, grown in self.growing]
        sizes += [len(holder) for holder, _, _ in self.places.dicts.values()]
        sizes += [len(holder) for holder, _, _ in self.places.lists.values()]
        return found + sizes

    def set_inside(self, holder: Any, key: Any) -> bool:
        """Whether the function has set a key of a dict so far."""
        place = self.places.found.get((id(holder), key))
        return place is not None and place.read() is not place.before

    def changes(self, capture: Capture) -> list[Change]:
        """What the function has changed. Raises Moves for places that are new among the moving."""
        capture.unread.show()
        known = {(id(x.holder), x.key) for x in self.moving}
        found, moves = [], []
        for place in (*self.places, *self.appeared()):
            at = id(place.holder), place.key
            now = place.read()
            if at in known or now is place.before or place.kind == "size":
                continue
            # an option of a group is found by Python: only what comes of it must be, too
            free = self.is_free(place, capture) and not is_later(now)
            if _moves(place.before, now) and not free:
                moves.append(place)
            found.append(Change(place, now))
        for x, before, at_place in self.places.lists.values():
            if len(x) == len(before):
                continue
            if at_place is None:
                self.refuse(at_place, "changes a list from outside")
            at_place.grows = True
            moves.append(at_place)
        for x, before, name in self.places.others:
            if not _alike(x, before):
                what = f"changes {name}, a {type(x).__name__} from outside"
                self.refuse(None, what, "give back what is put into it, and do that outside")
        for tensor, name in self.places.bare:
            if tensor.__dict__:
                self.refuse(None, f"gives {name}, a tensor from outside, an attribute")
        if moves:
            raise Moves(moves)
        for place, stand_in in zip(self.moving, self.stands, strict=True):
            now = place.read()
            if now is not stand_in and type(now) is not Growing:
                found.append(Change(place, now))
        for place, _, grown in self.growing:
            if place.read() is grown:
                found.append(Change(place, grown.added(), FILLED if grown.emptied else ADDED))
        return [self.checked(change) for change in found]

    def is_free(self, place: Place, capture: Capture) -> bool:
        """Whether a place is an option of an optimizer that the function itself did not read."""
        at = id(place.holder), place.key
        return at in self.places.free and (at not in capture.options_read or place.key == "params")

    def appeared(self) -> list[Place]:
        """The keys and attributes that were not there, or are set and not named."""
        found = []
        for holder, before, name in self.places.dicts.values():
            for key in [key for key in holder if key not in before]:
                if is_symbol(key):
                    self.refuse(None, f"puts a size into {name} as a key")
                value = holder.pop(key)
                place = Place("dict", holder, key, part_name(name, key))
                holder[key] = value
                found.append(place)
            for key in self.unnamed(holder, before):
                if key not in holder:
                    self.refuse(None, f"deletes {part_name(name, key)}")
                value, holder[key] = dict.get(holder, key), before[key]
                found.append(Place("dict", holder, key, part_name(name, key)))
                holder[key] = value
        return found

    def unnamed(self, holder: Any, before: dict[Any, Any]) -> list[Any]:
        """The keys whose values are others than before, and that no code names."""
        found = self.places.found
        changed = [key for key in before if dict.get(holder, key, MISSING) is not before[key]]
        return [key for key in changed if (id(holder), key) not in found]

    def checked(self, change: Change) -> Change:
        if change.value is MISSING:
            self.refuse(change.place, "deletes what lies outside")
        return change

    def refuse(
        self, place: Place | None, what: str, hint: str = "do it outside of the function"
    ) -> NoReturn:
        names = {} if place is None else {"place": place.name}
        error = CaptureError("compile", f"the function {what}", hint=hint, **names)
        in_python(error)
        raise error

    def restore(self) -> None:
        """Let everything be as it was before the capture."""
        for tensor, _ in self.places.bare:
            tensor.__dict__.clear()
        for holder, before, _ in self.places.dicts.values():
            if holder.keys() != before.keys():
                more = [key for key in holder if key not in before]
                if any(map(_of_sizes, more)):  # they lie there as users' keys do
                    holder.clear()
                    holder.update(before)
                    more = []
                for key in more:
                    del holder[key]
            for key in self.unnamed(holder, before):
                holder[key] = before[key]
        for place in self.places:
            if place.kind not in ("item", "size") and place.read() is not place.before:
                place.write(place.before)
        for x, items, _ in self.places.lists.values():
            if len(x) != len(items) or any(a is not b for a, b in zip(x, items, strict=True)):
                x[:] = items
        for other, items, _ in self.places.others:
            if not _alike(other, items):
                other.clear()
                (other.extend if isinstance(other, deque) else other.update)(items)
        for place, value in zip(self.moving, self.before, strict=True):
            place.write(value)

    def held(self, capture: Capture, changes: Sequence[Change]) -> list[Place]:
        """The places that must hold what they held."""
        used = capture.tensors
        for change in changes:
            if change.how == SET and copies(change.value, change.place.before):
                change.place.after = change.value
        moving = {(id(x.holder), x.key) for x in self.moving}
        made = [change.place for change in changes if change.place.before is MISSING]
        grown = {id(before) for _, before, _ in self.growing} | {id(x.holder) for x in made}
        found = [
            place
            for place in self.places
            if (id(place.holder), place.key) not in moving
            and not capture.unread.spares(place.holder, place.key)
            and not self.is_free(place, capture)
            and not (place.kind in ("size", "item") and id(place.holder) in grown)
            and (not isinstance(place.before, Tensor) or id(place.before) in used)
        ]
        found += capture.fixed
        return found + [
            x
            for x in made
            if (id(x.holder), x.key) not in self.places.found
            and not capture.unread.spares(x.holder, x.key)
        ]


def _alike(x: Any, items: list[Any]) -> bool:
    return len(x) == len(items) and all(a is b for a, b in zip(x, items, strict=True))


def _moves(before: Any, now: Any) -> bool:
    """Whether a place must be read at each call, from how it was changed: a tensor, a number, or a
    container of tensors, that is another one after each call.
    """
    numbers = (int, float)
    if is_node(before) and is_node(now):
        held = any(isinstance(x, Tensor) for x in leaves_of(before))
        return held and any(isinstance(x, Tensor) and is_unknown(x.array) for x in leaves_of(now))
    if isinstance(before, Tensor):
        return isinstance(now, Tensor) and is_unknown(now.array)
    return type(before) in numbers and isinstance(now, numbers) and not isinstance(now, bool)
