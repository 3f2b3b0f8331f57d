"""Compiled functions in machine code: which calls, and what it must know of a program. Floor 9.

`codegen/native/front.py` answers a call of a compiled function without Python while the Tensor tier
is installed. Here are the words that it reads. A program has them if its arguments are tensors, and
what comes of it are tensors, gradients of leaves, and one result at most that is differentiated
outside.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.flags import Flags, flags
from twofold.base.trees import LEAF
from twofold.codegen.compile import Code
from twofold.codegen.native.facts import (
    COMPILED,
    FROM_ARRAY,
    FROM_GRADIENT,
    FROM_PYTHON,
    FROM_TENSOR,
    FRONT,
    FRONT_TABLES,
    GIVE_ARGUMENT,
    GIVE_OBJECT,
    GIVE_RESULT,
    GIVE_TRACKED,
    GIVE_WALKED,
    MOST_ARGUMENTS,
    MOST_SOURCES,
)
from twofold.exec import tensors
from twofold.frontends.places import MISSING
from twofold.frontends.program import PYTHON, Program
from twofold.ops.bind import mode
from twofold.ops.movement import CLONE
from twofold.ops.tensor import Leaves, Parameter, Tensor
from twofold.runtime import faults, native
from twofold.runtime.entries import NativeEntry

Row = tuple[int, ...]
PATIENCE = 100  # calls in Python until the tier is asked for
NOW = native.forever("now")
ATTRIBUTE = native.forever("training")
GIVEN = {
    "result": GIVE_RESULT,
    "walked": GIVE_WALKED,
    "argument": GIVE_ARGUMENT,
    "object": GIVE_OBJECT,
}


class Front:
    """The words about one program, and what they point to."""

    __slots__ = ("holds", "words")

    def __init__(self, words: bytes, holds: Any) -> None:
        self.words = words
        self.holds = holds


def front_of(program: Program, leaves: Sequence[Any]) -> Front | None:
    """What machine code must know to answer calls like this one; None where it cannot."""
    entry = getattr(program.runner.entry, "__self__", None)
    plain = all(type(x) in (Tensor, Parameter) for x in leaves) and len(leaves) <= MOST_ARGUMENTS
    found = native.slot_places(Flags).get("eager")
    if not isinstance(entry, NativeEntry) or not plain or found is None or flags.eager:
        return None
    if not _simple(program):
        return None
    cell, eager, derivative = dtypes.default_cell(), flags.eager, program.derivative
    prepare = _preparation(program)
    templates = [_template(program, place) for place in range(len(program.sources))]
    modules = [(vars(module), training) for module, training in program.modules]
    entries = [
        (id(p.holder), id(p.key), 0 if p.before is MISSING else id(p.before))
        for p in program.outside
        if p.kind == "dict"
    ]
    entries += [(id(group), id(key), id(before)) for group, key, before in program.options]
    entries.append((id(Leaves.state), id(NOW), id(Leaves.state["now"])))
    behind = derivative.joint.leaves if derivative is not None else ()
    nones = (None,) * len(behind)
    tables: dict[str, list[Row]] = {
        "inputs": _inputs(program, templates),
        "modules": [*[(id(state), id(ATTRIBUTE), id(on)) for state, on in modules], *entries],
        "cells": [(id(p.holder), id(p.before)) for p in program.outside if p.kind == "cell"],
        "items": [_item(p) for p in program.outside if p.kind in ("item", "size")],
        "held": [(_target(leaf), int(held)) for leaf, held in program.grads],
        "checks": [(number,) for number in program.answer.checks],
        "written": [(_target(x),) for x in (*program.roots, *program.written)],
        "overwritten": [(place,) for place in program.overwritten],
        "effects": [
            (_target(leaf), number if isinstance(number, int) else -1)
            for leaf, number in program.answer.effects
        ],
        "behind": [(_target(x), int(_recorded(x, leaves))) for x in behind],
        "kept": [(number,) for number in (derivative.made if derivative is not None else ())],
        "leaves": _leaves(program),
    }
    check, resume = program.check, program.resume
    facts = {
        "entry": id(entry),
        "args": len(leaves),
        "grad": int(mode.grad),
        "cell": id(cell),
        "default": id(cell[0]),
        "eager_at": id(flags) + found,
        "eager": id(eager),
        "tracked": sum([x.tracked << place for place, x in enumerate(leaves)]),
        "outputs": len(program.graph.results),
        "single": int(program.answer.form == LEAF),
        "program": id(program),
        "errors": id(program.runner.errors),
        "faults": faults.address(),
        "prepare": 0 if prepare is None else id(prepare),
        "resume": id(resume),
        "check": id(check),
        "op": 0 if derivative is None else id(derivative.op),
        "nones": id(nones),
        "differentiated": 0 if derivative is None else derivative.outputs[0],
        "clone": id(CLONE),
    }
    words = _words([facts[name] for name in FRONT], tables)
    held = (
        Leaves.state["now"],
        program,
        cell[0],
        eager,
        modules,
        prepare,
        templates,
        nones,
        check,
        resume,
    )
    return Front(words, held)


def _words(facts: list[int], tables: dict[str, list[Row]]) -> bytes:
    """The facts, where each table is and how many rows it has, and the tables."""
    at = len(facts) + 2 * len(tables)
    places: list[int] = []
    rows: list[int] = []
    for name in FRONT_TABLES:
        places += [at + len(rows), len(tables[name])]
        rows += [word for row in tables[name] for word in row]
    words = [*facts, *places, *rows]
    return struct.pack(f"<{len(words)}q", *words)


def _simple(program: Program) -> bool:
    """Whether all that comes of it can be made by machine code."""
    answer, derivative = program.answer, program.derivative
    flat = all(child == LEAF for child in answer.form.children)
    if not flat or answer.form.kind not in (None, tuple):
        return False
    if (
        program.frozen is not None
        or program.flags
        or program.asked
        or program.now is not None
        or program.runner.loose
    ):
        return False
    if any(place.kind == "values" for place in program.outside):
        return False
    if answer.attributes or answer.sets or answer.streams or program.absent or program.runner.many:
        return False
    if any(isinstance(made, Tensor) for _, made in answer.effects):
        return False
    kinds = {source.kind for source in program.sources}
    if not kinds <= {"argument", "state", "grad", *PYTHON} or len(program.sources) > MOST_SOURCES:
        return False
    results = [leaf.what for leaf in answer.leaves if leaf.kind in ("result", "walked")]
    if len(set(results)) < len(results) or not all(leaf.kind in GIVEN for leaf in answer.leaves):
        return False
    return derivative is None or (len(derivative.outputs) == 1 and derivative.sizes is not None)


def _item(place: Any) -> tuple[int, int, int]:
    """The item of a list that must be there, or how many it, or a dict, has (-1)."""
    before = place.before if place.kind == "size" else id(place.before)
    return id(place.holder), place.key, before


def _recorded(leaf: Any, leaves: Sequence[Any]) -> bool:
    """Whether a leaf of the derivative, an argument by its number, requires a gradient."""
    return bool((leaves[leaf] if type(leaf) is int else leaf).tracked)


def _target(leaf: Any) -> int:
    return leaf if type(leaf) is int else id(leaf)


def _template(program: Program, place: int) -> Any:
    """An array like those that Python will give for this input; None for other inputs."""
    if program.sources[place].kind not in PYTHON:
        return None
    value = program.graph.inputs[place].value
    return np.zeros(value.shape, value.dtype.numpy)


def _inputs(program: Program, templates: list[Any]) -> list[Row]:
    """Where the inputs are found."""
    rows: list[Row] = []
    for (kind, key), template in zip(program.sources, templates, strict=True):
        if template is not None:
            before = sum(row[0] == FROM_PYTHON for row in rows)
            rows.append((FROM_PYTHON, before, id(template)))
        elif kind == "grad":
            rows.append((FROM_GRADIENT, _target(key), 0))
        elif kind == "state" and not isinstance(key, Tensor):
            rows.append((FROM_ARRAY, id(key), 0))
        else:
            rows.append((FROM_TENSOR, _target(key), 0))
    return rows


def _leaves(program: Program) -> list[Row]:
    """What is given back."""
    rows: list[Row] = []
    outputs = program.derivative.outputs if program.derivative is not None else ()
    for kind, what in program.answer.leaves:
        if kind == "object":
            rows.append((GIVE_OBJECT, id(what), 0))
        elif kind == "result" and what in outputs:
            rows.append((GIVE_TRACKED, what, 0))
        else:
            where = id(program.places[what]) if kind == "walked" else 0
            rows.append((GIVEN[kind], what, where))
    return rows


def _preparation(program: Program) -> Callable[..., tuple[Any, ...]] | None:
    """The program's Python before a run, as a function of its arguments; None for none."""
    sources = [source for source in program.sources if source.kind in PYTHON]
    if not sources and not program.hosts:
        return None
    numbers = any(source.kind == "number" for source in sources)

    def prepare(*leaves: Any) -> tuple[Any, ...]:
        values = program.values(leaves) if numbers else []
        hosted = [host.run() for host in program.hosts]
        return tuple([program.find(source, leaves, values, hosted) for source in sources])

    return prepare


def tell(errors: list[BaseException]) -> None:
    """Raise what a run left to be told."""
    if errors:
        raise errors.pop()
    faults.check()


class Door:
    """The class of compiled functions, whose `__call__` is in Python or in machine code."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.python = owner.__call__
        self.patience = PATIENCE
        tensors.watchers.append(self.connect)
        if tensors.installed():
            self.connect(tensors.code())

    def connect(self, code: Code | None) -> None:
        slot = native.slot_places(self.owner).get("front")
        self.owner.__call__ = self.python
        if code is None or slot is None:
            return
        facts = {"slot": slot, "python": id(self.python), "tell": id(native.forever(tell))}
        words = (ctypes.c_int64 * len(COMPILED)).from_address(code.address("compiled_words"))
        words[:] = [facts[name] for name in COMPILED]
        address = code.address("compiled_call")
        doc = self.python.__doc__ or ""
        self.owner.__call__ = native.method(self.owner, "__call__", address, tensors.FLAGS, doc)

    def knock(self) -> None:
        """Count a call in Python that machine code could answer."""
        self.patience -= 1
        if self.patience <= 0 and flags.tier in (0, 3):
            self.patience = PATIENCE
            tensors.want()
