"""Run one operation now: find or make its plan, and run that on arrays. Floor 7.

For an operation with one set of attributes there is one entry (runtime/program.py): a callable on
arrays that keeps plans for the layouts it has met. Where no kernel is made for a layout, the
operation's NumPy reference computes, with the same result.
"""

from __future__ import annotations

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import BFLOAT16, DType
from twofold.base.flags import flags
from twofold.base.types import Type
from twofold.codegen.compile import together
from twofold.codegen.native import core
from twofold.exec.planners import FACTORING, HALVES, NOTES, has_pattern, pattern_for, planner
from twofold.lower.schedule import Arg, Plan
from twofold.ops.bind import install
from twofold.ops.op import Op
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Array
from twofold.runtime import faults, program
from twofold.runtime.threads import get_num_threads

Run = Callable[..., Any]
FURTHER = "twofold.exec.further"  # imported once so many plans were made
_few = iter(range(1, 50))
MOST_PLANS = 512  # that one operation keeps; beyond that it starts again


@final
class Planned:
    """What the operation `op` with `attrs` does for each layout of its inputs."""

    __slots__ = (
        *("again", "attrs", "entry", "further", "keywords", "layouts", "new", "op", "patterns"),
        *("planner", "without"),
    )

    def __init__(self, op: Op, attrs: tuple[Any, ...]) -> None:
        self.op = op
        self.attrs = attrs
        self.keywords = op.keywords(attrs)
        self.layouts: dict[Any, tuple[Plan, tuple[Type, ...]] | None] = {}
        self.patterns: set[Any] = set()
        self.without: set[Any] = set()  # complex types and shapes that no kernel reads
        self.new: list[Any] = []  # patterns that the entry is not taught yet
        self.planner: Any = None
        self.entry: Any = None  # which asks here, where it is machine code
        self.again = False  # whether it was taught, and is asked again
        self.further: Any = None

    def reference(self, *arrays: Array) -> Any:
        """The meaning in NumPy, after the types were checked once for each layout."""
        key = tuple([(a.dtype, a.shape) for a in arrays])
        if key not in self.layouts:
            self.types(arrays)
            self.remember(key, None)
        return run_reference(self.op, arrays, self.keywords)

    def miss(self, entry: Any, *arrays: Array) -> Any:
        """Answer arrays that the entry has no plan for, and teach it."""
        again = self.again or self.entry is None
        if not again and self.foreseen(entry, arrays):
            return self.ask_again(arrays)
        known = tuple([(a.dtype, a.shape) for a in arrays])
        if known in self.without:
            return run_reference(self.op, arrays, self.keywords)
        plain = tuple(map(_plain, arrays))  # whose layouts plans are for: copies have others
        found = self.find(plain)
        while self.new:
            program.add_pattern(entry, self.new.pop())
        if found is None:
            if any([a.dtype.kind == "c" for a in arrays]) and len(self.without) < MOST_PLANS:
                self.without.add(known)  # whatever the strides are
            return run_reference(self.op, arrays, self.keywords)
        plan, outs = found
        if program.add_plan(entry, plain, outs, plan) and not again:
            return self.ask_again(plain)
        return program.run_plan(plan, outs, plain)

    def foreseen(self, entry: Any, arrays: tuple[Array, ...]) -> bool:
        """Whether the entry was taught without the planner, once a program has met many sizes."""
        if self.further is None:
            if next(_few, 0):
                return False
            further = importlib.import_module(FURTHER)
            self.further = further.further_of(self.op, self.keywords)
        taught: bool = self.further.teach(self, entry, arrays)
        return taught

    def ask_again(self, arrays: tuple[Array, ...]) -> Any:
        """What the entry gives, once it was taught."""
        self.again = True
        try:
            return self.entry(*arrays)
        finally:
            self.again = False

    def find(self, arrays: tuple[Array, ...]) -> tuple[Plan, tuple[Type, ...]] | None:
        """The plan for arrays of these layouts, and the types of its results; None where the
        reference must serve.
        """
        key = (get_num_threads(), *[(a.dtype, a.shape, a.strides) for a in arrays])
        if key in self.layouts:
            return self.layouts[key]
        types, outs = self.types(arrays)
        plan = self.plan(arrays, types, outs)
        found = None if plan is None else (plan, outs)
        self.remember(key, found)
        return found

    def remember(self, key: Any, found: Any) -> None:
        if len(self.layouts) >= MOST_PLANS:
            self.layouts.clear()
        self.layouts[key] = found

    def types(self, arrays: tuple[Array, ...]) -> tuple[tuple[Type, ...], tuple[Type, ...]]:
        """The inputs' and outputs' types. Raises the operation's own error where they do not
        fit.
        """
        types = tuple(Type(a.shape, dtypes.of(a.dtype)) for a in arrays)
        made = self.op.infer(*types, **self.keywords)
        return types, made if isinstance(made, tuple) and not isinstance(made, Type) else (made,)

    def plan_with(self, args: Any, outs: Any, keywords: Any, threads: int) -> Plan | None:
        """The planner's answer."""
        if self.planner is None:
            self.planner = planner(self.op)
        made: Plan | None = self.planner(args, outs, keywords, threads)
        return made

    def plan(self, arrays: Any, types: tuple[Type, ...], outs: tuple[Type, ...]) -> Plan | None:
        """Kernels for layouts that kernels can read, or None where the reference must serve."""
        if any(out is None for out in outs):
            return None
        args = tuple(map(arg_of, arrays, types))
        ranks = [len(t.shape) for t in types]
        kinds = tuple([(t.dtype, t.shape == () and any(ranks)) for t in types])
        new = has_pattern(self.op) and kinds != () and kinds not in self.patterns
        with together():
            pattern = pattern_for(self.op, types, outs, self.keywords) if new else None
            plan = self.plan_with(args, outs, self.keywords, get_num_threads())
        if new:
            self.patterns.add(kinds)
        if pattern is not None:
            self.new.append(pattern)
        return plan


def _plain(array: Array) -> Array:
    """The array where kernels can read it, else an aligned copy."""
    if array.flags.aligned and all(s % array.itemsize == 0 for s in array.strides):
        return array
    return np.array(array, order="C")


def arg_of(array: Array, type_: Type) -> Arg:
    """How an array lies, as planners are told."""
    size = array.dtype.itemsize
    return Arg(array.shape, type_.dtype, tuple([s // size for s in array.strides]))


def run_reference(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> Any:
    """The operation's meaning, in NumPy. Halves are computed in float32 and rounded once.

    float16 is left to NumPy in elementwise operations, whose references do the same themselves.
    """
    if any([a.itemsize == 2 for a in arrays]):
        halves = (BFLOAT16, np.float16) if isinstance(op.lower, str) else (BFLOAT16,)
        if any(a.dtype in halves for a in arrays):
            return _through_float32(op, arrays, keywords)
    with np.errstate(all="ignore"):
        made = op.ref(*arrays, **keywords)
    if op.outputs != 1 or op.residuals or isinstance(made, tuple):
        return tuple(map(np.asarray, made))
    return np.asarray(made)


def _through_float32(op: Op, arrays: tuple[Array, ...], keywords: dict[str, Any]) -> Any:
    types = tuple(Type(a.shape, dtypes.of(a.dtype)) for a in arrays)
    made = op.infer(*types, **keywords)
    several = isinstance(made, tuple) and not isinstance(made, Type)
    half = next(t.dtype for t in types if t.dtype in HALVES)
    wide = tuple(
        dtypes.convert(a, dtypes.float32) if t.dtype in HALVES else a
        for a, t in zip(arrays, types, strict=True)
    )
    with np.errstate(all="ignore"):
        results = op.ref(*wide, **keywords)
    if several:
        return tuple(_narrow(r, m.dtype, half) for r, m in zip(results, made, strict=True))
    return _narrow(results, made.dtype if made is not None else None, half)


def _narrow(values: Any, dtype: DType | None, half: DType) -> Array:
    array: Array = np.asarray(values)
    if dtype in HALVES or (dtype is None and array.dtype == np.float32):
        return dtypes.convert(array, dtype or half)
    return array


def make_entry(op: Op, attrs: tuple[Any, ...], arrays: Sequence[Array]) -> Run:
    """The callable that runs an operation with these attributes on arrays, such as these."""
    if op.view:
        # NumPy makes the view; its sizes were checked by the public function
        return functools.partial(op.ref, **op.keywords(attrs)) if attrs else op.ref
    planned = Planned(op, attrs)
    if op.lower is None:
        return planned.reference
    if not core.started():  # kernels, and what runs them, may both have to be compiled
        core.begin()
        planned.find(tuple(map(_plain, arrays)))
        core.start()
    entry = program.make_entry(planned.miss)
    if type(entry) is not program.PlainEntry:
        planned.entry = entry
    if op.name in NOTES or op.name in FACTORING:
        return Guarded(entry)
    if flags.check >= 3:
        return Checked(entry, planned)
    return entry  # type: ignore[no-any-return]


@final
class Guarded:
    """An entry whose kernels may note a fault, which is raised after the call."""

    __slots__ = ("entry",)

    def __init__(self, entry: Run) -> None:
        self.entry = entry

    def __call__(self, *arrays: Array) -> Any:
        made = self.entry(*arrays)
        faults.check()
        return made


@final
class Checked:
    """An entry that compares every kernel's result with the reference: `TWOFOLD_CHECK=3`."""

    def __init__(self, entry: Run, planned: Planned) -> None:
        self.entry = entry
        self.planned = planned

    def __call__(self, *arrays: Array) -> Any:
        made = self.entry(*arrays)
        wanted = run_reference(self.planned.op, arrays, self.planned.keywords)
        for found, right in zip(
            *(x if isinstance(x, tuple) else (x,) for x in (made, wanted)), strict=True
        ):
            if not close(found, right):
                call = f"{self.planned.op.name}{self.planned.attrs}"
                raise AssertionError(f"{call}: the kernel differs from its reference")
        return made


def close(found: Array, right: Array) -> bool:
    """Whether a kernel's result is near its reference's."""
    if found.shape != right.shape or found.dtype != right.dtype:
        return False
    if found.dtype == BFLOAT16:
        found, right = dtypes.to_float32(found), dtypes.to_float32(right)
    tolerance = 1e-2 if found.dtype.itemsize == 2 else 1e-4 if found.dtype == np.float32 else 1e-10
    scale = (
        float(np.nanmax(np.abs(np.where(np.isfinite(right), right, 0)), initial=0))
        if right.size
        else 0.0
    )
    return np.allclose(
        found, right, tolerance, tolerance * max(scale, math.ulp(1.0)), equal_nan=True
    )


def execute(op: Op, arrays: list[Array], attrs: tuple[Any, ...]) -> Any:
    """Run an operation on arrays: an array, or a tuple of them for several outputs."""
    for array in arrays:
        if stands_in(array):
            return array.run(op, arrays, attrs)  # type: ignore[attr-defined]
    key = op.key(attrs) if attrs else attrs
    entry = op.entries.get(key)
    if entry is None:
        if len(op.entries) > MOST_PLANS:
            op.entries.clear()
        entry = make_entry(op, attrs, arrays)
        made = entry(*arrays)
        op.entries[key] = entry  # what has failed is not kept: 1.0 would be found for 1
        return made
    return entry(*arrays)


install(execute)
