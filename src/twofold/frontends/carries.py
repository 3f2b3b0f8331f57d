"""What a loop of a graph carries from turn to turn, also where a turn writes it in place. Floor 9.

A turn is captured once, for stand-ins of what is carried. `h += x` writes the memory of `h`: of the
tensor that was there before the loop, too, which may have other names. Where a turn does so, it is
given a copy to write, and what the loop has made of it is written into that tensor behind the loop.
Other names that would see the writes meanwhile are refused; the loop is unrolled then.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, final

from twofold.base.records import NamedTuple
from twofold.base.trees import flatten, is_node, items_of, leaves_of, unflatten
from twofold.frontends.arrays import CaptureError, is_unknown
from twofold.frontends.either import written_back
from twofold.frontends.later import TYPES, Later, number_of, type_of_number
from twofold.frontends.statements import Probe, carried, refuse
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import cast
from twofold.ops.movement import CLONE
from twofold.ops.rules import as_tensor
from twofold.ops.tensor import Tensor, root_of, wrap
from twofold.ops.writing import write


class Slot(NamedTuple):
    """One name that a loop carries.

    kind    int, float or bool where it is a Python number; None for a tensor
    start   its value before the loop
    """

    place: int
    name: str
    kind: Any
    start: Tensor

    def kept(self, x: Any, before: Tensor) -> Tensor:
        """The value after a turn, of the type that it had before."""
        if self.kind is not None and not isinstance(x, Tensor):
            return cast(number_of(x), before.dtype)
        made: Any = as_tensor(x, "loop", self.name)
        return made if made.dtype is before.dtype else made.to(before.dtype)  # type: ignore[no-any-return]


class _WrittenInPlace(Exception):
    """A turn writes what it is given: it must be given copies."""


@final
class Carries:
    """The names that a loop carries, with their values before it.

    copied   whether turns are given copies, as they write in place
    written  the slots whose memory every turn writes: the names keep their tensors
    """

    def __init__(self, values: Sequence[Any], slots: Sequence[Slot]) -> None:
        self.values = values
        self.slots = slots
        self.copied = False
        self.written: list[Slot] = []

    @property
    def start(self) -> tuple[Tensor, ...]:
        return tuple(slot.start for slot in self.slots)

    def turn(
        self, carry: Sequence[Tensor], run: Callable[[tuple[Any, ...]], tuple[Any, list[Any]]]
    ) -> tuple[tuple[Tensor, ...], list[Any]]:
        """What is carried after a turn, and what it has appended to lists."""
        given = [self.given(slot, x) for slot, x in zip(self.slots, carry, strict=True)]
        before = [_writes(x) for x in given]
        results, appended = run(whole(self.values, self.slots, given))
        places = {slot.place for slot in self.slots}
        for place, (x, y) in enumerate(zip(self.values, results, strict=True)):
            if x is None and carried(y) and place not in places:
                raise CaptureError(
                    "compile",
                    "a loop on tensors gives a tensor or a number to a name that was None",
                    hint="a value of the same kind before the loop",
                )
        pairs = zip(self.slots, given, before, strict=True)
        written = [(slot, x) for slot, x, count in pairs if _writes(x) != count]
        if written and not self.copied:
            raise _WrittenInPlace
        self.written = [slot for slot, _ in written]
        for slot, x in written:
            self.check(slot, x, results, appended)
        after = [
            slot.kept(results[slot.place], x) for slot, x in zip(self.slots, given, strict=True)
        ]
        return tuple(after), appended

    def given(self, slot: Slot, x: Tensor) -> Tensor:
        if not self.copied or slot.kind is not None:
            return x
        return bind(CLONE, (x,))  # type: ignore[no-any-return]

    def check(self, slot: Slot, x: Tensor, results: Sequence[Any], appended: list[Any]) -> None:
        """Raise CaptureError where another name sees what a turn writes."""
        own = results[slot.place]
        others = [r for i, r in enumerate(results) if i != slot.place]
        made = _storage(own)
        seen = [y for y in leaves_of((others, appended)) if isinstance(y, Tensor)]
        shared = made is not None and any(_storage(y) is made for y in seen)
        outside = isinstance(self.values[slot.place], Tensor)
        lost = outside and own is not x
        if outside:
            root = root_of(slot.start)
            shared = shared or any(root_of(f.tensor) is root for f in mode.capture.found)
        if shared or lost:
            raise refuse(
                "a loop on tensors writes in place what has another name",
                slot.name,
                "a new tensor at each turn: h = h + x",
            )

    def build(self, make: Callable[[], Any]) -> Any:
        """make(), which captures turns; again with copies where they write in place."""
        try:
            return make()
        except _WrittenInPlace:
            self.copied = True
        except CaptureError:
            if not any(slot.kind is None for slot in self.slots):
                raise
            self.copied = True
            try:
                return make()
            except CaptureError:
                if not self.written:
                    self.copied = False
                raise
        return make()

    def done(self, found: Sequence[Tensor]) -> list[Any]:
        """All values after the loop."""
        for slot, x in zip(self.slots, found, strict=True):
            if slot in self.written and isinstance(self.values[slot.place], Tensor):
                with written_back(slot.start):
                    write(slot.start, x, slot.name)
        made = list(whole(self.values, self.slots, found))
        for slot in self.written:
            if isinstance(self.values[slot.place], Tensor):
                made[slot.place] = slot.start
        return made


def is_group(x: Any) -> bool:
    """Whether a value is a tuple of what can be carried, as an LSTM's state is; or a dict, or a
    dataclass, that each turn puts a new one in the place of.
    """
    if isinstance(x, list) or not is_node(x):
        return False
    parts = items_of(x)[1]
    return bool(parts) and all(carried(y) or is_group(y) for y in parts)


def grouped(
    turn: Callable[..., Any],
    values: tuple[Any, ...],
    names: tuple[str, ...],
    run: Callable[..., tuple[Any, ...]],
) -> tuple[Any, ...]:
    """run(turn, values, names, whole) with the parts of tuples in their places; `whole` makes the
    values of the parts. What turns are given ends with the values, in their order.
    """
    leaves, forms = [], []
    for x in values:
        parts, form = flatten(x) if is_group(x) else ([x], None)
        leaves.append(parts)
        forms.append(form)
    flat = tuple([x for parts in leaves for x in parts])
    called = tuple([name for name, parts in zip(names, leaves, strict=True) for _ in parts])

    def whole_of(given: Sequence[Any]) -> tuple[Any, ...]:
        rest, made = iter(given), []
        for parts, form in zip(leaves, forms, strict=True):
            own = [next(rest) for _ in parts]
            made.append(own[0] if form is None else unflatten(own, form))
        return tuple(made)

    def turned(*given: Any) -> tuple[Any, ...]:
        first = len(given) - len(flat)
        after = []
        own = whole_of(given[first:])
        held = [[] if form is None else flatten(x)[0] for x, form in zip(own, forms, strict=True)]
        made = turn(*given[:first], *own)
        for x, before, parts, form, name in zip(made, own, held, forms, names, strict=True):
            if parts and not isinstance(before, tuple):
                same = all(map(operator.is_, flatten(before)[0], parts))
                if x is before or not same:  # other names of it would see that
                    raise refuse("a loop on tensors changes a container", name, "a new one")
            parts, found = ([x], None) if form is None else flatten(x)
            if found != form:
                raise refuse("a loop on tensors changes the structure of a tuple", name, "the same")
            after += parts
        return tuple(after)

    return whole_of(run(turned, flat, called, whole_of))


def _writes(x: Tensor) -> int:
    return x.array.storage.writes if is_unknown(x.array) else 0  # type: ignore[attr-defined]


def _storage(x: Any) -> Any:
    return x.array.storage if isinstance(x, Tensor) and is_unknown(x.array) else None  # type: ignore[attr-defined]


def whole(values: Sequence[Any], slots: Sequence[Slot], carry: Any) -> tuple[Any, ...]:
    """The values with what a loop carries in its places."""
    made = list(values)
    for slot, x in zip(slots, carry, strict=True):
        made[slot.place] = x if slot.kind is None else Later(slot.kind, x)
    return tuple(made)


def slots_of(
    values: tuple[Any, ...], places: list[int], names: tuple[str, ...], turn: Callable[[Any], Any]
) -> list[Slot]:
    """What a loop carries. A number is as wide as what a turn makes of it, or a tensor."""
    slots = [_slot(values[p], p, names[p], None) for p in places]
    for _ in range(3):
        if all(slot.kind is None for slot in slots):
            break
        with Probe():
            made = turn(whole(values, slots, [slot.start for slot in slots]))
        wider = [
            _slot(values[s.place], s.place, s.name, made[s.place]) if s.kind is not None else s
            for s in slots
        ]
        same = all(a.kind is b.kind for a, b in zip(slots, wider, strict=True))
        slots = wider
        if same:
            break
    return slots


def _slot(x: Any, place: int, name: str, after: Any) -> Slot:
    if isinstance(x, Tensor):
        return Slot(place, name, None, x)
    if isinstance(after, Tensor):
        shape, dtype = after.array.shape, after.dtype
        return Slot(place, name, None, wrap(mode.capture.filled(tuple(shape), x, dtype)))
    kinds = [type_of_number(n) for n in (x, after) if n is not None and carried(n)]
    kind = max(kinds, key=(bool, int, float).index)
    return Slot(place, name, kind, cast(number_of(x), TYPES[kind]))
