"""Which steps a call takes that is more than one operation: `x[i, j]`, `rand`. Floor 7.

Steps are operations, views, draws, and looks at numbers: that positions lie in a range, or that a
condition holds. A look is a step because its answer may be another one at each call; where it
fails, Python does the call and raises what it raises. A write is the last step. What the steps are
depends on layouts and plain arguments alone, so that exec/recall.py may remember them for machine
code (codegen/native/steps.py).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.codegen.native.facts import (
    CONSTANTS,
    DRAW,
    HOLDS,
    ITEM,
    MADE_IN_PLACE,
    MOST_STEPS,
    NOTHING,
    PART,
    PLAN,
    RANGE,
    RUN,
    STEP,
    TOGETHER,
    WRITE,
)
from twofold.exec import recall
from twofold.exec.chosen import is_simple
from twofold.exec.recalled_writes import joined, overlaps
from twofold.ops import assigning, bind
from twofold.ops.compare import WHERE
from twofold.ops.gather import SCATTER
from twofold.ops.indexing import PUT
from twofold.ops.op import Op
from twofold.ops.tensor import Tensor
from twofold.runtime.entries import MOST_OUTPUTS

MOST_LOOKED_AT = 1 << 16  # positions: more are looked at by kernels, on all threads
ONTO = (PUT, SCATTER)  # give their first input with some elements changed, also where it lies
STATE = np.zeros(3, np.uint64)  # of a draw, to be copied
Steps = tuple[list[int], dict[str, list[int]], dict[str, int], tuple[Any, ...]]


def find_steps(
    call: recall.Call, recorder: recall.Recorder, info: Callable[[Op], int]
) -> Steps | None:
    """The places of a call's tensors, the records of its steps, what the call's own record tells,
    and what must be kept; None where machine code could not take these steps.
    """
    written = _is_written(call)
    several = isinstance(call.made, tuple) and all(type(x) is Tensor for x in call.made)
    if not written and not several and type(call.made) is not Tensor:
        return None
    finder = _Finder(call, recorder, info, written)
    if not finder.find():
        return None
    places = list(finder.given)
    tracked = [x.tracked and bind.mode.grad for x in finder.given.values()]
    if written and any(tracked):
        return None
    facts = {"inputs": len(places), "size": len(finder.records), "given": 0}
    facts["taped"] = sum(flag << k for k, flag in enumerate(tracked))
    parts = {"parts_at": [ctypes.addressof(r) for r in finder.records]}
    given = call.made if several else (call.made,)
    if written:
        facts["given"] = NOTHING if call.made is None else MADE_IN_PLACE
    elif any(x.tracked and x.node is None for x in given):
        return None
    elif several:
        facts |= {"given": TOGETHER, "entry": id(type(call.made)), "nd": len(given)}
        parts["dims_at"] = [finder.places[id(x)] - STEP for x in given]
    else:
        facts["result"] = finder.places[id(call.made)] - STEP
    return places, parts, facts, (type(call.made), *finder.held)


def _is_written(call: recall.Call) -> bool:
    """Whether a call wrote into its first argument."""
    if call.python is assigning.setitem:
        return True
    return bool(call.args) and call.made is call.args[0] and isinstance(call.made, Tensor)


class _Finder:
    """The steps of one call.

    given    the tensors among its arguments, by their places
    places   where what has a name stands, by identity
    records  what machine code reads, for each step
    """

    def __init__(
        self, call: recall.Call, recorder: recall.Recorder, info: Callable[[Op], int], written: bool
    ) -> None:
        again = recall.again_in(call.args)
        self.call, self.recorder, self.info = call, recorder, info
        self.given = {k: x for k, x in recall.tensors_in(call.args) if k not in again}
        self.target = call.args[0] if written else None
        self.places = {id(x): place for place, x in self.given.items()}
        self.used: set[int] = {0} if written else set()
        self.records: list[Any] = []
        self.held: list[Any] = []
        for _, what, facts in recorder.notes:
            if what == "known":
                self.keep(facts[0])

    def find(self) -> bool:
        """Whether all steps were found."""
        notes = list(self.recorder.notes)
        if max(self.given, default=0) >= STEP:
            return False
        for number, (op, inputs, attrs) in enumerate(self.recorder.seen):
            while notes and notes[0][0] <= number:
                if not self.note(*notes.pop(0)[1:]):
                    return False
            if not self.operation(number, op, inputs, attrs):
                return False
        if not all(self.note(*rest[1:]) for rest in notes if rest[1] != "known"):
            return False
        made = self.call.made if isinstance(self.call.made, tuple) else (self.call.made,)
        ends = [self.places.get(id(x), CONSTANTS) for x in made]
        done = self.target is not None or all(STEP <= place < CONSTANTS for place in ends)
        # of a tensor that another one is made like, nothing but the layout matters
        like = self.call.python.__name__.endswith(("_like", "_as"))
        enough = self.given.keys() == self.used or like
        enough = enough and 0 < len(self.records) <= MOST_STEPS
        # what was written meanwhile is not what it was when it was known
        enough = enough and not any(x.version for x in self.held if type(x) is Tensor)
        return done and enough

    # ---- where things stand

    def place(self, x: Tensor) -> int | None:
        """Where an input stands; None for one that is not known."""
        at = self.places.get(id(x))
        if at is None and self.target is not None and x.array is self.target.array:
            at = 0  # a snapshot of what is written
        if at is None and recall.is_number(x) and not self.is_shared(x):
            at = self.keep(x)
        if at is not None and at < STEP:
            self.used.add(at)
        return at

    def is_shared(self, x: Tensor) -> bool:
        return any(np.shares_memory(x.array, given.array) for given in self.given.values())

    def keep(self, x: Tensor) -> int:
        """The place of a tensor that is the same at every call."""
        self.held.append(x)
        self.places[id(x)] = id(x)
        return id(x)

    def add(self, facts: dict[str, int], places: list[int], made: Any, **parts: list[int]) -> None:
        """One more step."""
        words = recall.encode({"inputs_at": places} | parts, facts | {"inputs": len(places)}, made)
        record = (ctypes.c_int64 * len(words))(*words)
        if made is not None:
            self.places[id(made)] = STEP + len(self.records)
        self.records.append(record)
        self.held.append(record)

    # ---- what is not an operation

    def note(self, what: str, facts: tuple[Any, ...]) -> bool:
        if what in ("known", "once", "values"):
            return what == "known"
        x = facts[0]
        if what == "draw":
            words = facts[1]
            self.held.append(words)
            self.add({"kind": DRAW, "entry": id(STATE), "offset": words.ctypes.data}, [], x)
            return True
        place = self.place(x)
        if place is None or type(x.array) is not np.ndarray:
            return False
        if place >= CONSTANTS:
            return True  # it was looked at, and stays
        if what == "holds":
            self.add({"kind": HOLDS}, [place], None)
            return x.array.dtype == np.bool_ and x.array.size == 1
        _, low, high = facts
        self.add({"kind": RANGE, "low": low, "high": high}, [place], None)
        return x.array.dtype == np.int64 and x.array.size <= MOST_LOOKED_AT

    # ---- operations

    def operation(
        self, number: int, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]
    ) -> bool:
        made = self.recorder.results[number]
        found = [self.place(x) for x in inputs]
        places = [place for place in found if place is not None]
        if len(places) < len(found):
            return False
        if type(made) is tuple:
            return self.outputs(number, op, inputs, attrs, places)
        last = number == len(self.recorder.seen) - 1
        into = self.target if last else None
        if into is None and all(place >= CONSTANTS for place in places):
            self.keep(made)
            return True
        facts = self.facts(number, op, inputs, attrs)
        if facts is None:
            return False
        if into is not None:
            return self.write(into, op, inputs, facts, places, made)
        self.add(facts, places, made)
        return True

    def outputs(
        self,
        number: int,
        op: Op,
        inputs: tuple[Tensor, ...],
        attrs: tuple[Any, ...],
        places: list[int],
    ) -> bool:
        """An operation with several outputs."""
        made = self.recorder.results[number]
        plan = recall.plan_of(op, attrs, made[0]) if made and len(made) <= MOST_OUTPUTS else None
        views = op.view and places[0] < CONSTANTS
        found = recall.views_of(op, inputs, attrs, made, self.info(op)) if views else None
        self.held += [attrs, op.entries.get(op.key(attrs)), found]
        facts = plan if plan is not None and is_simple(op) else {"kind": RUN}
        facts |= {"info": self.info(op), "attrs": id(attrs)}
        parts = {}
        if found is not None:
            facts, parts = found[0], {"parts_at": found[1]}
        if self.target is not None or not self.tapes_alike(number, inputs, facts):
            return False
        self.add(facts, places, made, **parts)
        for index, x in enumerate(made):
            self.add({"kind": ITEM, "result": index}, [self.places[id(made)]], x)
        return True

    def facts(
        self, number: int, op: Op, inputs: tuple[Tensor, ...], attrs: tuple[Any, ...]
    ) -> dict[str, int] | None:
        """What the record of an operation tells; None where it ran inside of enable_grad."""
        made, x = self.recorder.results[number], self.target
        old = [x if x is not None and given.array is x.array else given for given in inputs]
        facts = recall.result_of(op, tuple(old), attrs, made) or {"kind": RUN}
        link, entry = ((op, attrs),), op.entries.get(op.key(attrs))
        shape = tuple(made.array.shape)
        facts |= {"info": self.info(op), "attrs": id(attrs), "link": id(link), "shape": id(shape)}
        self.held += [attrs, link, entry, shape]
        return facts if self.tapes_alike(number, inputs, facts) else None

    def tapes_alike(self, number: int, inputs: tuple[Tensor, ...], facts: dict[str, int]) -> bool:
        """Whether machine code can have the tape on or off as it was; noted where it was off for an
        operation alone.
        """
        if bind.mode.grad != self.recorder.grads[number]:
            if not bind.mode.grad or (facts["kind"] == RUN and any(x.tracked for x in inputs)):
                return False
            facts["untaped"] = 1
        return True

    def write(
        self,
        x: Tensor,
        op: Op,
        inputs: tuple[Tensor, ...],
        facts: dict[str, int],
        places: list[int],
        made: Tensor,
    ) -> bool:
        """The last operation, whose result goes into the memory of x, the first argument."""
        array = x.array
        if made.array.dtype is not array.dtype or made.array.shape != array.shape:
            return False
        reads = [k for k, given in enumerate(inputs) if given.array is array]
        onto = op in ONTO and reads == [0]
        if self.call.python is assigning.setitem and not (onto or (op is WHERE and reads)):
            return False
        others = [given.array for given in inputs if given.array is not array]
        apart = not any(np.shares_memory(other, array) for other in others)
        fits = not reads or callable(op.lower) or onto
        if facts["kind"] == PLAN and fits and apart and not facts.get("faults"):
            self.add(facts | {"kind": WRITE, "alone": int(onto)}, places, None)
            return True
        self.add(facts, places, made)
        dims, to, by = joined(array.shape, array.strides, made.array.strides)
        sizes = {"kind": PART, "nd": len(dims), "size": array.itemsize}
        place = self.places[id(made)]
        self.add(sizes, [place], None, dims_at=dims, strides_at=to, from_at=by)
        return not overlaps(array)
