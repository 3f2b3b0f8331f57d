"""What a program must know before it can run: how many elements a mask picks, and whole numbers
that Python asks for. Floor 9.

Such a number is a symbol, like a size of an argument. Before each run it is computed by a program
of its own: the part of the graph that leads to it, without what is written. The places that a mask
picks come with their number, and are an input of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import user_line
from twofold.base.guards import Guard
from twofold.base.polynomials import evaluate
from twofold.base.records import NamedTuple
from twofold.base.symbols import Symbol, Table
from twofold.base.types import Type
from twofold.exec.runner import GuardBroken, Runner
from twofold.frontends.arrays import CaptureError, Unknown, is_unknown
from twofold.frontends.masked_items import frame_of_statement
from twofold.frontends.noted import Source
from twofold.frontends.places import Place
from twofold.ir.graph import Call, Graph, Value, renamed
from twofold.ops.bind import capturing
from twofold.ops.control import has_effect
from twofold.ops.movement import CLONE
from twofold.ops.tensor import Tensor
from twofold.passes.manager import chosen, optimize

if TYPE_CHECKING:  # a capture asks: an import that runs would be a ring
    from twofold.frontends.capture import Capture

MOST_VALUES = 4096  # of a tensor that a program is made for
ASKED = -1  # in the place of an argument's number: a symbol that is asked for


class Asked(NamedTuple):
    """A number that is computed before each run.

    runner   computes the mask, or the number; None where that is an input
    needs    the inputs that it reads, as values of the program's graph
    symbol   the number of its symbol
    places   the inputs that get the places of a mask's true elements; empty for a number
    where    the user's line
    natural  whether the program takes it for a size, which is not negative
    """

    runner: Runner | None
    needs: tuple[Value, ...]
    symbol: int
    places: tuple[Value, ...]
    where: str
    natural: bool = True

    def answer(self, found: dict[Value, Any], values: list[Any]) -> None:
        """Compute it from the inputs by their values, and note it among the symbols' values."""
        arrays = [found[value] for value in self.needs]
        made = arrays[0] if self.runner is None else self.runner.run(arrays, values)[0]
        values[self.symbol] = number = _told(made, found, self.places)
        if number < 0 and self.natural:
            left = ((("size", self.symbol),), 1)
            raise GuardBroken(Guard((left,), "<", (), False, self.where))


def _told(made: Any, found: dict[Value, Any], places: Sequence[Value]) -> Any:
    """The number in what was computed; the places of a mask are put where they are found."""
    if not places:
        return int(made)
    picked = np.nonzero(made)
    found.update(zip(places, picked, strict=True))
    return len(picked[0])


def places_of(capture: Capture, mask: Unknown, what: str, hint: str) -> tuple[Unknown, ...]:
    """The places of a mask's true elements, one i64[n] for each axis; n is a symbol.

    Raises CaptureError where no program of its own can compute the mask.
    """
    known = capture.asked_for.get(mask.value)
    if known is None:
        if capture.outer is not None or capture.found_now is None or not mask.shape:
            mask.needed(what, hint)
        frame = frame_of_statement()
        if frame is not None:  # it need not be asked for, once the statement is rewritten
            capture.on_asking(frame)
        runner, needs, made = _computed(capture, mask.value)
        count = int(np.count_nonzero(made))
        symbol = _symbol(capture, f"n{len(capture.asked)}", count, "size")
        shape: Any = (symbol,)
        inputs = [
            capture.input(
                Type(shape, dtypes.int64), "size", f"{symbol}_{axis}", Source("asked", axis)
            )
            for axis in range(len(mask.shape))
        ]
        values = tuple([storage.value for storage in inputs])
        _note(capture, Asked(runner, needs, len(capture.symbols) - 1, values, user_line()), made)
        known = capture.asked_for[mask.value] = values
    return tuple(map(capture.unknown, known))


def number_of(array: Any) -> Symbol | None:
    """A whole number of the graph as a symbol; None where no program of its own can compute it."""
    if not is_unknown(array):
        return None
    owner = array.capture
    if owner.outer is not None or owner.found_now is None:
        return None
    known = owner.asked_for.get(array.value)
    if known is None:
        owner.on_asking()
        runner, needs, made = _computed(owner, array.value)
        # a size may stand where a program cannot have any number: of a negative one it is another
        kind = "size" if made >= 0 and array.dtype.kind != "b" else "int"
        known = _symbol(owner, f"n{len(owner.asked)}", int(made), kind)
        asked = Asked(runner, needs, len(owner.symbols) - 1, (), user_line(), kind == "size")
        _note(owner, asked, made)
        owner.asked_for[array.value] = known
    return known  # type: ignore[no-any-return]


def unwritten(capture: Capture, array: Any) -> bool:
    """Whether a real array is as it was before the function."""
    if capture.outer is not None:
        return capture.kept_array(array) is None and capture.outer.unwritten(array)
    written = [s.real for s in capture.storages.values() if s.value is not s.origin]
    return not any(np.may_share_memory(array, other) for other in written)


def values_now(capture: Capture, x: Tensor) -> Any:
    """The values of a tensor from outside, as an array that nobody may write: the program is made
    for them. Raises CaptureError where the function has written it, and for large ones.
    """
    root = capture
    while root.outer is not None:
        root = root.outer
    if not unwritten(capture, x.array) or x.array.size > MOST_VALUES:
        root.unknown(root.lift(x.array).value).needed("Python wants those of a tensor")
    root.on_asking()
    if all(place.holder is not x for place in root.fixed):
        root.fixed.append(Place("values", x, None, f"the value of a tensor, {user_line()},"))
    made = dtypes.to_float32(x.array) if x.dtype is dtypes.bfloat16 else x.array.view()
    made.flags.writeable = False
    return made


def _symbol(capture: Capture, name: str, example: int, kind: str) -> Symbol:
    capture.symbols.append((ASKED, len(capture.asked)))
    return capture.table.new(name, example, kind)


def _note(capture: Capture, asked: Asked, made: Any) -> None:
    capture.asked.append(asked)
    _told(made, capture.asked_now, asked.places)


def _computed(capture: Capture, value: Value) -> tuple[Runner | None, tuple[Value, ...], Any]:
    """What computes a value of the graph, the inputs that this reads, and the value in the call
    that the graph is captured with.
    """
    if any(given.value is value for given in capture.inputs):
        return None, (value,), _arrays_now(capture, (value,))[0]
    calls = _apart(_leading(capture.calls, value))
    read = {v for call in calls for v in call.inputs}
    inputs = tuple([given for given in capture.inputs if given.value in read])
    table = Table()
    table.names, table.examples = list(capture.table.names), list(capture.table.examples)
    table.guards = dict(capture.table.guards)
    name = f"{capture.name}_n{len(capture.asked)}"
    runner = Runner(
        optimize(Graph(name, inputs, calls, (value,), (), table), chosen(capture.passes))
    )
    needs = tuple([given.value for given in inputs])
    made = runner.run(_arrays_now(capture, needs), list(table.examples))[0]
    return runner, needs, made


def _leading(calls: Sequence[Call], value: Value) -> tuple[Call, ...]:
    """The calls that lead to a value. Raises CaptureError where one calls Python."""
    needed, kept = {value}, []
    for call in reversed(calls):
        if not any(out in needed for out in call.outs):
            continue
        if has_effect(call):
            raise CaptureError(
                "compile",
                "a size is decided by what Python gives at each run",
                by=call.op.name,
                hint="call that before the compiled function, and pass what it gives",
            )
        needed.update(call.inputs)
        kept.append(call)
    return tuple(reversed(kept))


def _apart(calls: Sequence[Call]) -> tuple[Call, ...]:
    """The calls with copies of the inputs that they write over: the program itself writes these,
    and this is not its run.
    """
    made = {value for call in calls for value in call.outs}
    names: dict[Value, Value] = {}
    kept = []
    for call in calls:
        call = renamed(call, names)
        for place in call.op.writes(len(call.outs), call.attrs) if call.op.writes else ():
            value = call.inputs[place]
            if value not in made and value not in names:
                names[value] = Value(value.shape, value.dtype)
                kept.append(Call(CLONE, (value,), (), (names[value],)))
        kept.append(renamed(call, names))
    return tuple(kept)


def _arrays_now(capture: Capture, needs: Sequence[Value]) -> list[Any]:
    """The inputs' arrays in the call that the graph is captured with."""
    rows = [i for i, given in enumerate(capture.inputs) if given.value in needs]
    examples = capture.table.examples
    hosted: list[Any] = []
    hosts = [capture.sources[i].key[0] for i in rows if capture.sources[i].kind == "host"]
    if hosts:
        running = capture.hosts[: max(hosts) + 1]
        if capture.now is not None:
            capture.now[:] = examples
        with capturing(None):
            hosted = [host.run() for host in running]
            for host in reversed(running):
                host.undo()
    found = {}
    for i in rows:
        value, (kind, key) = capture.inputs[i].value, capture.sources[i]
        if kind == "asked":
            found[value] = capture.asked_now[value]
        elif kind == "number":
            found[value] = number_array(evaluate(key[0], examples), key[1])
        elif kind == "host":
            found[value] = host_array(hosted, key)
        else:
            real = capture.given[i].real
            find: Callable[[Source], Any] = capture.found_now  # type: ignore[assignment]
            found[value] = find(capture.sources[i]) if real is None else real
    return [found[value] for value in needs]


def host_array(hosted: list[Any], key: Any) -> Any:
    """The array of what Python before a run gave."""
    host, place, dtype = key
    return number_array(hosted[host] if place is None else hosted[host][place], dtype)


def number_array(value: Any, dtype: Any) -> Any:
    """An array of a number, or of numbers, that Python computed."""
    if dtype is dtypes.bfloat16:
        return dtypes.to_bfloat16(np.array(value, np.float32))
    return np.array(value, dtype.numpy)
