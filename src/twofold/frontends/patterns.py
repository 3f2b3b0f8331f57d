"""What the arguments of a compiled call must be, as rows for codegen/native/taken.py. Floor 9."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Container, Iterator, Sequence
from typing import Any, final

import numpy as np

from twofold.base.polynomials import symbols_of
from twofold.base.trees import is_node, items_of
from twofold.codegen.native.facts import (
    FLOATING,
    TAKE_AGAIN,
    TAKE_ARRAY,
    TAKE_DICT,
    TAKE_EXACT,
    TAKE_KEY,
    TAKE_LIST,
    TAKE_NUMBER,
    TAKE_PARTS,
    TAKE_ROOT,
    TAKE_SAME,
    TAKE_TENSOR,
    TAKE_TUPLE,
    WHOLE,
)
from twofold.frontends.given import NUMBERS, Given
from twofold.frontends.places import Place
from twofold.frontends.program import Program
from twofold.ops.tensor import Parameter, Tensor

Row = tuple[int, ...]
SMALLEST, LARGEST = -(2**63), 2**63


@final
class Moved:
    """Reads what lies in the places that are found at each call: the leaves, or None where they
    have another form than they had before a call. `known` tells whether that call looked at them.
    """

    __slots__ = ("forms", "known", "leaves", "places")

    def __init__(self, places: Sequence[Place], given: Given) -> None:
        _, *forms = given.key[0]
        self.places = list(places)
        self.forms = forms
        self.leaves = tuple(given.leaves[given.form.leaf_count() :])
        self.known = len(forms) == len(places)

    def __call__(self) -> tuple[Any, ...] | None:
        found: list[Any] = []
        for place, form in zip(self.places, self.forms, strict=True):
            leaves, now = place.flat_now()
            if now != form:
                return None
            found += leaves
        return tuple(found)


@final
class Pattern:
    """What a call's arguments must be for a program, and what they were.

    names    of the arguments that are given by name, in the order of the call
    rows     one after the other, for machine code; None where it cannot take such arguments
    leaves   the arguments' leaves, followed by what lies in the places that are moving
    exact    the leaves that are numbers, and must have these values
    plain    whether all arguments of these types are alike, given by position
    moved    finds what lies in these places
    """

    __slots__ = (
        *("count", "exact", "holds", "leaves", "moved", "names", "others", "plain", "roots"),
        *("rows", "themselves"),
    )

    def __init__(
        self,
        program: Program,
        signature: inspect.Signature | None,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        moved: Moved | None = None,
    ) -> None:
        self.names = tuple(kwargs)
        self.count = len(args)
        self.exact = exact_leaves(program)
        self.leaves: list[Any] = []
        self.holds: list[Any] = [self.names]
        self.themselves = program.fit.themselves
        self.others = program.fit.table.ctypes.data
        self.rows: list[Row] | None = []
        given = [*args, *kwargs.values()]
        order = _order(signature, len(args), self.names)
        self.roots = len(order)
        found = list(self._roots(given, order))
        self.moved = moved
        if moved is not None:
            found.append((TAKE_TUPLE, id(tuple), len(moved.leaves)))
            found += map(self._leaf, moved.leaves)
        self.rows = None if None in found else [row for row in found if row is not None]
        kinds = {row[0] for row in self.rows or ()}
        self.plain = not self.names and kinds <= {TAKE_ROOT, TAKE_TENSOR}

    def same(self, other: Pattern) -> bool:
        """Whether calls of the one kind are those of the other."""
        return (self.names, self.count, self.rows) == (other.names, other.count, other.rows)

    def _roots(self, given: Sequence[Any], order: Sequence[int]) -> Iterator[Row | None]:
        for place in order:
            yield TAKE_ROOT, place, 0
            yield from self._of(given[place])

    def _of(self, thing: Any) -> Iterator[Row | None]:
        if not is_node(thing):
            yield self._leaf(thing)
            return
        keys, children = items_of(thing)
        kind: Any = type(thing)
        count = len(children)
        if kind is dict:
            yield TAKE_DICT, id(kind), count
        elif issubclass(kind, tuple):
            yield TAKE_TUPLE, id(kind), count
        elif kind is list:
            yield TAKE_LIST, id(kind), count
        else:
            how = (kind, keys)
            self.holds.append(how)
            yield TAKE_PARTS, id(how), count
            yield TAKE_TUPLE, id(tuple), count
        self.holds += [kind, keys]
        for number, child in enumerate(children):
            if kind is dict and keys is not None:
                yield TAKE_KEY, id(keys[number]), 0
            yield from self._of(child)

    def _leaf(self, x: Any) -> Row | None:
        number = len(self.leaves)
        again = next((k for k, y in enumerate(self.leaves) if y is x), None)
        self.leaves.append(x)
        if type(x) is np.ndarray:
            return TAKE_ARRAY, id(np.ndarray), 0
        if number in self.themselves:
            self.holds.append(x)
            return TAKE_SAME, id(x), 0
        if isinstance(x, Tensor):
            if type(x) not in (Tensor, Parameter):
                return None
            if again is not None:
                return TAKE_AGAIN, again, 0
            # (of what requires no gradient a write alone would tell, and that is looked at)
            return TAKE_TENSOR, int(x.tracked), self.others if x.tracked else 0
        if type(x) not in NUMBERS:
            self.holds.append(x)
            return TAKE_SAME, id(x), 0
        if number not in self.exact:
            return TAKE_NUMBER, id(type(x)), 0
        if type(x) is float:
            bits = ctypes.c_int64.from_buffer(ctypes.c_double(x)).value
            return TAKE_EXACT, FLOATING, bits
        return (TAKE_EXACT, WHOLE, x) if SMALLEST <= x < LARGEST else None


def exact_leaves(program: Program) -> set[int]:
    """The leaves whose values decide how a program runs: numbers that stand for sizes."""
    return _numbers(program, program.runner.loose)


def asked_leaves(program: Program) -> set[int]:
    """The leaves whose values decide whether a program holds: numbers that are asked about."""
    guards = [expr for guard in program.guards for expr in (guard.left, guard.right)]
    return _numbers(program, {atom[1] for expr in guards for atom in symbols_of(expr)})


def _numbers(program: Program, symbols: Container[int]) -> set[int]:
    return {key for n, (key, axis) in enumerate(program.symbols) if axis is None and n in symbols}


def _order(
    signature: inspect.Signature | None, count: int, names: tuple[str, ...]
) -> Sequence[int]:
    """Which argument of a call, by position and then by name, each of the function's is."""
    if signature is None or not names:
        return range(count + len(names))
    bound = signature.bind(*range(count), **{n: count + k for k, n in enumerate(names)})
    return [*bound.args, *bound.kwargs.values()]


def parts(thing: Any, how: tuple[type, tuple[Any, ...]]) -> tuple[Any, ...] | None:
    """What a dataclass or a dict of this class holds, where it has these fields or keys."""
    if type(thing) is not how[0] or not is_node(thing):
        return None
    keys, children = items_of(thing)
    return children if keys == how[1] else None
