"""Compiled functions in machine code: which calls, and what it must know of a program. Floor 9.

`codegen/native/front.py` answers a call of a compiled function without Python while the Tensor tier
is installed. Here are the words that it reads about one program and one kind of arguments.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.flags import Flags, flags
from twofold.base.polynomials import symbols_of
from twofold.base.trees import Form, build
from twofold.codegen.compile import Code
from twofold.codegen.native.facts import (
    COMPILED,
    FORM_CALL,
    FORM_DICT,
    FORM_LIST,
    FORM_MADE,
    FORM_TUPLE,
    FROM_ARRAY,
    FROM_GRADIENT,
    FROM_NUMBER,
    FROM_PYTHON,
    FROM_TENSOR,
    FRONT,
    FRONT_TABLES,
    GIVE_ARGUMENT,
    GIVE_DETACHED,
    GIVE_LEAF,
    GIVE_NUMBER,
    GIVE_OBJECT,
    GIVE_PYTHON,
    GIVE_RESULT,
    GIVE_TRACKED,
    GIVE_WALKED,
    MOST_ARGUMENTS,
    MOST_LEAVES,
    MOST_SOURCES,
)
from twofold.exec import tensors
from twofold.frontends.answers import Leaf
from twofold.frontends.patterns import Pattern, asked_leaves, parts
from twofold.frontends.places import MISSING
from twofold.frontends.program import PYTHON, Program
from twofold.ops.bind import ITEM, mode
from twofold.ops.movement import CLONE
from twofold.ops.tensor import Leaves, Tensor
from twofold.runtime import entries, faults, native
from twofold.runtime.entries import NativeEntry

Row = tuple[int, ...]
PATIENCE = 100  # calls in Python until the tier is asked for
NOW = native.forever("now")
ATTRIBUTE = native.forever("training")
GIVEN = {
    "result": GIVE_RESULT,
    "walked": GIVE_WALKED,
    "leaf": GIVE_LEAF,
    "item": GIVE_NUMBER,
    "argument": GIVE_ARGUMENT,
    "object": GIVE_OBJECT,
}


class Front:
    """The words about one program and one kind of arguments; `leaves`: what `Leaves` were."""

    __slots__ = ("holds", "leaves", "pattern", "words")

    def __init__(self, words: bytes, pattern: Pattern, holds: Any) -> None:
        self.words = words
        self.pattern = pattern
        self.holds = holds
        self.leaves = Leaves.state["now"]


def front_of(program: Program, pattern: Pattern) -> Front | None:
    """What machine code must know to answer calls like this one; None where it cannot."""
    entry = _entry(program, pattern.leaves)
    found = native.slot_places(Flags).get("eager")
    if pattern.rows is None or len(pattern.leaves) > MOST_ARGUMENTS:
        return None
    if not isinstance(entry, NativeEntry) or found is None or flags.eager:
        return None
    if not _simple(program):
        return None
    cell, eager, derivative = dtypes.default_cell(), flags.eager, program.derivative
    holds: list[Any] = [program, pattern, pattern.holds, cell[0], eager, entry]

    def keep(thing: Any) -> int:
        """The address of something that lives as long as the front."""
        holds.append(thing)
        return id(thing)

    inputs, numbers = _inputs(program, pattern, keep)
    behind = derivative.joint.leaves if derivative is not None else ()
    outputs = len(derivative.outputs) if derivative is not None else 0
    made, form = _given(program, keep)
    tables: dict[str, list[Row]] = {
        "taken": pattern.rows,
        "inputs": inputs,
        "numbers": numbers,
        "modules": _entries(program, keep),
        "cells": [(id(p.holder), id(p.before)) for p in program.fit.outside if p.kind == "cell"],
        "items": [_item(p) for p in program.fit.outside if p.kind in ("item", "size")],
        "held": [(_target(leaf), int(held)) for leaf, held in program.fit.grads],
        "checks": [(number,) for number in program.answer.checks],
        "written": [
            (_target(x),) for x in (*program.overwritten.states, *program.overwritten.arguments)
        ],
        "overwritten": [(place,) for place in program.overwritten.places],
        "effects": [
            (_target(leaf), number if isinstance(number, int) else -1)
            for leaf, number in program.answer.effects
        ],
        "behind": [(_target(x), int(_recorded(x, pattern.leaves))) for x in behind],
        "kept": [(number,) for number in (derivative.made if derivative is not None else ())],
        "told": [(number,) for number in (derivative.numbers if derivative is not None else ())],
        "made": made,
        "form": form,
    }
    prepared = [place for place, row in enumerate(inputs) if row[0] == FROM_PYTHON]
    prepare = _preparation(program, prepared)
    facts = {
        "entry": id(entry),
        "args": pattern.count,
        "names": id(pattern.names) if pattern.names else 0,
        "roots": pattern.roots,
        "leaves": len(pattern.leaves),
        "moved": 0 if pattern.moved is None else keep(pattern.moved),
        "grad": int(mode.grad),
        "cell": id(cell),
        "default": id(cell[0]),
        "eager_at": id(flags) + found,
        "eager": id(eager),
        "outputs": len(program.graph.results),
        "errors": id(program.runner.errors),
        "faults": faults.address(),
        "tell": keep(program.tell),
        "accept": keep(program.accepts) if program.fit.conditions or asked_leaves(program) else 0,
        "prepare": 0 if prepare is None else keep(prepare),
        "resume": keep(functools.partial(program.resume, prepared)),
        "check": keep(program.check_after),
        "give": 0 if made else keep(program.give_after),
        "op": 0 if derivative is None else id(derivative.op),
        "nones": keep((None,) * len(behind)),
        "differentiated": 0 if derivative is None else derivative.outputs[0],
        "several": keep((None,) * outputs) if outputs > 1 else 0,
        "clone": id(CLONE),
        "item": id(ITEM),
    }
    return Front(_words([facts[name] for name in FRONT], tables), pattern, holds)


def _entry(program: Program, leaves: Sequence[Any]) -> Any:
    """The entry that knows the plans for calls with these leaves."""
    runner = program.runner
    entry = runner.entry
    if runner.loose:
        sizes = {n for n, (_, axis) in enumerate(program.symbols) if axis is not None}
        if program.asked or not sizes.isdisjoint(runner.loose):
            return None  # sizes that no layout of an input tells
        values = program.values(leaves)
        entry = runner.entries.get(tuple([values[number] for number in runner.loose]))
    return getattr(entry, "__self__", None)


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
    """Whether machine code can find what it needs, and tell whether it holds."""
    derivative = program.derivative
    if program.frozen is not None or program.flags or program.asked or program.runner.many:
        return False
    if program.may_fail:
        return False
    if (
        program.fit.absent
        or program.fit.in_order
        or any(place.kind == "values" for place in program.fit.outside)
    ):
        return False
    kinds = {source.kind for source in program.sources}
    if not kinds <= {"argument", "state", "grad", *PYTHON} or len(program.sources) > MOST_SOURCES:
        return False
    return derivative is None or derivative.sizes is not None


def _entries(program: Program, keep: Callable[[Any], int]) -> list[Row]:
    """The entries of dicts that must be as they were."""
    modules = [(vars(module), training) for module, training in program.fit.modules]
    rows = [(keep(state), id(ATTRIBUTE), id(on)) for state, on in modules]
    rows += [
        (id(p.holder), id(p.key), 0 if p.before is MISSING else id(p.before))
        for p in program.fit.outside
        if p.kind == "dict"
    ]
    rows += [(id(group), id(key), id(before)) for group, key, before in program.fit.options]
    return [*rows, (id(Leaves.state), id(NOW), keep(Leaves.state["now"]))]


def _item(place: Any) -> tuple[int, int, int]:
    """The item of a list that must be there, or how many it, or a dict, has (-1)."""
    before = place.before if place.kind == "size" else id(place.before)
    return id(place.holder), place.key, before


def _recorded(leaf: Any, leaves: Sequence[Any]) -> bool:
    """Whether a leaf of the derivative, an argument by its number, requires a gradient."""
    x = leaves[leaf] if type(leaf) is int else leaf
    return isinstance(x, Tensor) and x.tracked  # an array of NumPy's is no leaf


def _target(leaf: Any) -> int:
    return leaf if type(leaf) is int else id(leaf)


def _inputs(
    program: Program, pattern: Pattern, keep: Callable[[Any], int]
) -> tuple[list[Row], list[Row]]:
    """Where the inputs are found, and those that are made of one number among the arguments."""
    rows: list[Row] = []
    numbers: list[Row] = []
    for place, (kind, key) in enumerate(program.sources):
        leaf = _number(program, pattern, key) if kind == "number" else None
        if leaf is not None:
            descr = key[1].numpy
            numbers.append((place, leaf, entries.NUMBERS[descr.str[1:]], id(descr)))
            rows.append((FROM_NUMBER, 0, 0))
        elif kind == "number" and _is_known(program, pattern, key[0]):
            values = program.values(pattern.leaves)
            rows.append((FROM_ARRAY, keep(program.find((kind, key), (), values, [])), 0))
        elif kind in PYTHON:
            value = program.graph.inputs[place].value
            before = sum(row[0] == FROM_PYTHON for row in rows)
            template = np.zeros(value.shape, value.dtype.numpy)
            rows.append((FROM_PYTHON, before, keep(template)))
        elif kind == "grad":
            rows.append((FROM_GRADIENT, _target(key), 0))
        elif kind == "state" and not isinstance(key, Tensor):
            rows.append((FROM_ARRAY, id(key), 0))
        else:
            rows.append((FROM_TENSOR, _target(key), 0))
    return rows, numbers


def _number(program: Program, pattern: Pattern, key: Any) -> int | None:
    """The leaf that an input's number is, where machine code can make an array of it."""
    expr, dtype = key
    found = symbols_of(expr)
    atom = next(iter(found)) if len(found) == 1 else None
    if atom is None or expr not in (atom, (((atom,), 1),)) or dtype is dtypes.bfloat16:
        return None
    leaf, axis = program.symbols[atom[1]]
    if axis is not None or dtype.numpy.str[1:] not in entries.NUMBERS:
        return None
    whole = dtype.numpy.kind == "i"
    return None if whole and type(pattern.leaves[leaf]) is not int else leaf


def _is_known(program: Program, pattern: Pattern, expr: Any) -> bool:
    """Whether an expression has the same value in all calls that fit the pattern."""
    symbols = [program.symbols[atom[1]] for atom in symbols_of(expr)]
    return all(axis is None and leaf in pattern.exact for leaf, axis in symbols)


# ---- what is given back


def _given(program: Program, keep: Callable[[Any], int]) -> tuple[list[Row], list[Row]]:
    """What is given back, and its form; nothing where Python gives it."""
    answer = program.answer
    if answer.attributes or answer.sets or answer.streams:
        return [], []
    if any(isinstance(made, Leaf | Tensor) for _, made in answer.effects):
        return [], []
    rows: dict[Any, tuple[int, Row]] = {}
    places = []
    for leaf in answer.leaves:
        place = _leaf_row(program, leaf, rows, keep)
        if place is None:
            return [], []
        places.append(place)
    form = list(_form(answer.form, iter(places), keep))
    if len(rows) >= MOST_LEAVES or len(form) >= MOST_LEAVES:
        return [], []
    # (a call that gives back an empty container makes no leaf)
    made = [row for _, row in rows.values()] or [(GIVE_OBJECT, id(None), 0)]
    return made, form


def _leaf_row(
    program: Program, leaf: Leaf, rows: dict[Any, tuple[int, Row]], keep: Callable[[Any], int]
) -> int | None:
    """The number of the row that makes a leaf, which is made where it is new; None for a leaf that
    machine code cannot make.
    """
    kind, what = leaf
    key = (kind, id(what)) if kind == "object" or type(what) is not int else (kind, what)
    if key in rows:
        return rows[key][0]
    outputs = program.derivative.outputs if program.derivative is not None else []
    if kind == "detached":
        whole = _leaf_row(program, Leaf("result", what), rows, keep)
        row: Row = (GIVE_DETACHED, whole or 0, 0)
    elif kind == "result" and what in outputs:
        last = max(k for k, number in enumerate(outputs) if number == what)
        number = keep((last,)) if len(outputs) > 1 else 0
        row = (GIVE_TRACKED, what, number)
    elif kind == "walked":
        row = (GIVE_WALKED, what, id(program.places[what]))
    elif kind == "object":
        row = (GIVE_OBJECT, keep(what), 0)
    elif kind in GIVEN:
        row = (GIVEN[kind], what, 0)
    elif kind in ("part", "seen") or (
        kind == "view" and program.source_of[what.input].kind not in ("argument", "state")
    ):
        return None
    else:
        row = (GIVE_PYTHON, keep(functools.partial(program.leaf_after, leaf)), 0)
    rows[key] = len(rows), row
    return rows[key][0]


def _form(form: Form, places: Any, keep: Callable[[Any], int]) -> Any:
    """The rows that put leaves, by their places, together."""
    if form.kind is None:
        yield FORM_MADE, next(places), 0
        return
    for child in form.children:
        yield from _form(child, places, keep)
    count = len(form.children)
    if form.kind is tuple or form.kind is list:
        yield FORM_TUPLE if form.kind is tuple else FORM_LIST, 0, count
    elif form.kind is dict:
        yield FORM_DICT, keep(form.keys), count
    else:
        named = issubclass(form.kind, tuple) if isinstance(form.kind, type) else False
        yield FORM_CALL, keep(form.kind if named else functools.partial(build, form)), count


# ---- Python before a run


def _preparation(program: Program, places: Sequence[int]) -> Callable[..., tuple[Any, ...]] | None:
    """The program's Python before a run, which gives these inputs, as a function of the leaves;
    None for none.
    """
    if not places and not program.hosts:
        return None
    sources = [program.sources[place] for place in places]
    valued = program.now is not None or any(source.kind == "number" for source in sources)

    def prepare(*leaves: Any) -> tuple[Any, ...]:
        values = program.values(leaves) if valued else []
        if program.now is not None:
            program.now[:] = values
        hosted = [host.run() for host in program.hosts]
        return tuple([program.find(source, leaves, values, hosted) for source in sources])

    return prepare


def detach(x: Any) -> Any:
    return x.detach()


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
        functions = {"parts": parts, "detach": detach, "number": np.ndarray.item}
        facts = {"slot": slot, "python": id(self.python)}
        facts |= {name: id(native.forever(function)) for name, function in functions.items()}
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
