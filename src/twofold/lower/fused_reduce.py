"""Kernels of reductions with elementwise operations before and after them. Floor 6.

The operations before a reduction are computed on each element as it is loaded; what others want of
them is stored on the way. Those after it are computed on its results. The order of a reduction is
that of order.py, by the same tasks (reduce.py): the bits are those of the operations one by one.
Where rows wait for their own sums, as in a softmax, a row program (fused_rows.py) keeps the row
near. What fits neither is done in stages, each one reduction deep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.cache import digest
from twofold.ir.build import Function
from twofold.ir.loops import with_element
from twofold.ir.values import Value
from twofold.lower.bodies import COMBINES, EACH, KEPT, REDUCED, SINGLE, Whole, spread_of
from twofold.lower.caches import cache_sizes
from twofold.lower.columns import widest_stripe
from twofold.lower.copy import contiguous_step
from twofold.lower.elements import HELD
from twofold.lower.fused_rows import plan_fused_rows
from twofold.lower.fused_stages import plan_stages
from twofold.lower.layout import Layout, find_layout
from twofold.lower.order import SUM
from twofold.lower.partial import Reduction
from twofold.lower.reduce import Workspace, divide, lane_of, narrow, reduction_steps
from twofold.lower.schedule import Arg, In, Out, Plan, Pointer, Step, schedule
from twofold.lower.strided import dense_strides, spread_strides

FLOATS = (dtypes.float32, dtypes.float64)
HALVES = (dtypes.float16, dtypes.bfloat16)


@schedule("fused_reduce")
def plan_fused_reduce(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """A plan for one body; `outs` are the values that are wanted of it, by number."""
    whole, results = Whole(args, attrs["body"]), attrs["outs"]
    if not all(t.dtype in HELD for t in whole.types):
        return None
    deep = max(whole.level) > 1 or any(whole.level[i] and not whole.left[i] for i in results)
    plan = None
    if whole.alike and 0 not in whole.shape:
        plan = (plan_fused_rows if deep else plan_one)(whole, results, threads)
    return plan or plan_stages(whole, results, threads, plan_one)


# ---- one reduction deep --------------------------------------------------------------------------


def plan_one(whole: Whole, results: Sequence[int], threads: int) -> Plan | None:
    """A plan of reductions that wait for no other, over elements that are computed on the way."""
    lanes = {lane_of(whole.types[i].dtype) for i in whole.reductions}
    if len(lanes) != 1 or not all(_reducible(whole, i) for i in whole.reductions):
        return None
    if 0 in whole.shape or not whole.alike:
        return None
    stores = [i for i in results if not whole.left[i]]
    if any(whole.types[i].shape != whole.shape or whole.level[i] for i in stores):
        return None  # a number for each row; or made of what is reduced here, where rows have one
    placed = _Placed(whole, stores, threads)
    layout = placed.layout
    if layout is None or (stores and not _storable(layout, whole.types[stores[0]])):
        return None
    if not placed.place(results):
        return None
    left = [i for i in results if whole.left[i]]
    spec = reduction_of(whole, left, stores, placed.kinds)
    pointers = [Out(results.index(i)) for i in left]
    steps = reduction_steps(
        spec,
        layout,
        placed.pointers,
        pointers,
        placed.workspace,
        threads,
        whole.n,
        placed.strides,
    )
    return Plan((*placed.steps, *steps), placed.workspace.size)


def _reducible(whole: Whole, reduction: int) -> bool:
    """Whether the tasks reduce a value of this type: kept in the type that lanes have."""
    source = whole.types[whole.operand(reduction)].dtype
    if source in FLOATS:
        return True
    return COMBINES[whole.step(reduction).op.name] is SUM and source is not dtypes.uint64


def _storable(layout: Layout, made: Type) -> bool:
    """Whether elements are stored on the way. Wide columns of more than a cache holds are not: the
    rows of one lane lie far apart, and each would be another stream to memory.
    """
    wide = layout.inner > widest_stripe(made.dtype.loops)
    large = made.size * made.dtype.itemsize > cache_sizes().second
    return layout.kind == "rows" or (layout.kind == "columns" and not (wide and large))


class _Placed:
    """Where the inputs and what is stored lie, as a reduction's tasks walk them."""

    def __init__(self, whole: Whole, stores: Sequence[int], threads: int) -> None:
        self.whole, self.stores, self.threads = whole, stores, threads
        self.workspace = Workspace()
        self.steps: list[Step] = []
        self.kinds: dict[int, str] = {}
        self.pointers: dict[str, Pointer] = {}
        self.strides: dict[str, tuple[int, int]] = {}
        self.layout = self._layout()

    def _layout(self) -> Layout | None:
        """That of the first input which has an element each, or that of C order."""
        whole = self.whole
        found = [a.strides for a in whole.args if a.shape == whole.shape]
        strides = dense_strides(whole.shape)
        return find_layout(
            whole.shape, strides if self.stores else (*found, strides)[0], whole.axes
        )

    def place(self, results: Sequence[int]) -> bool:
        """Find places; whether there are any for all inputs that are read."""
        whole = self.whole
        used = whole.needs([*results, *whole.reductions])
        for i in used:
            if i < whole.first and not self._place_input(i, whole.args[i]):
                return False
        for i in self.stores:
            self.pointers[f"s{i}"] = Out(results.index(i))
            assert self.layout is not None  # that of C order, where something is stored
            self.strides[f"s{i}"] = self.layout.steps
        return True

    def _place_input(self, i: int, arg: Arg) -> bool:
        whole, layout = self.whole, self.layout
        assert layout is not None
        kind = spread_of(arg.shape, whole.shape, whole.axes)
        if kind == REDUCED and not (layout.kind == "rows" or layout.outer == 1):
            kind = None
        if layout.kind == "segments" and kind == REDUCED:
            kind = None
        name = f"x{i}"
        self.pointers[name] = In(i)
        if kind == EACH:
            own = find_layout(whole.shape, spread_strides(arg, whole.shape), whole.axes)
            if own is not None and _sizes(own) == _sizes(layout):
                self.strides[name] = own.steps
            else:
                kind = None
        elif kind in (KEPT, REDUCED) and not arg.contiguous:
            dense = self.workspace.take(arg.size * arg.dtype.itemsize)
            self.steps.append(contiguous_step(arg, In(i), dense, self.threads))
            self.pointers[name] = dense
        if kind is None:
            own = find_layout(whole.shape, dense_strides(whole.shape), whole.axes)
            if own is None or _sizes(own) != _sizes(layout):
                return False
            spread = Arg(whole.shape, arg.dtype, spread_strides(arg, whole.shape))
            dense = self.workspace.take(spread.size * arg.dtype.itemsize)
            self.steps.append(contiguous_step(spread, In(i), dense, self.threads))
            self.pointers[name], self.strides[name], kind = dense, own.steps, EACH
        self.kinds[i] = kind
        return True


def _sizes(layout: Layout) -> tuple[Any, ...]:
    """What inputs that are walked side by side have in common."""
    return layout.kind, layout.outer, layout.n, layout.inner, layout.length


def reduction_of(
    whole: Whole, left: Sequence[int], stores: Sequence[int], kinds: Mapping[int, str]
) -> Reduction:
    """What is reduced, and what becomes of it, as data."""
    reductions = whole.reductions
    lane = lane_of(whole.types[reductions[0]].dtype)
    operands = [whole.operand(i) for i in reductions]

    def values(f: Function, names: SimpleNamespace) -> Sequence[Value]:
        made = whole.evaluate(f, [*operands, *stores], whole.loaded(f, names, kinds))
        count = len(operands)
        reduced = [in_lane(f, x, whole, i, lane) for x, i in zip(made, operands, strict=False)]
        stored = zip(made[count:], stores, strict=True)
        return [*reduced, *(HELD[whole.types[i].dtype].narrow(f, x) for x, i in stored)]

    def finish(f: Function, results: Sequence[Value], divisor: Value) -> Sequence[Value]:
        known = {
            i: finished(f, x, whole, i, divisor) for x, i in zip(results, reductions, strict=True)
        }
        made = whole.evaluate(f, left, known)
        return [HELD[whole.types[i].dtype].narrow(f, x) for x, i in zip(made, left, strict=True)]

    def named(kind: str) -> dict[str, str]:
        chosen = [i for i in kinds if kinds[i] == kind]
        return {f"x{i}": HELD[whole.types[i].dtype].stored for i in chosen}

    text = f"{whole.text()} {left} {stores} {sorted(kinds.items())}"
    return Reduction(
        f"fused_{digest(text)}",
        named(EACH),
        lane,
        tuple([COMBINES[whole.step(i).op.name] for i in reductions]),
        values,
        tuple([HELD[whole.types[i].dtype].stored for i in left]),
        finish,
        named(KEPT),
        named(REDUCED),
        named(SINGLE),
        {f"s{i}": HELD[whole.types[i].dtype].stored for i in stores},
    )


def in_lane(f: Function, x: Value, whole: Whole, value: int, lane: str) -> Value:
    """A value as it is held, in the type that it is reduced in."""
    dtype = whole.types[value].dtype
    wide = with_element(x.type, lane)
    if dtype.kind not in "bui" or x.type == wide:
        return x  # halves are held in float32
    return x.cast("zext" if dtype is dtypes.bool_ else "sext", wide)


def finished(f: Function, x: Value, whole: Whole, reduction: int, divisor: Value) -> Value:
    """A reduction's result, rounded to its type, as that is held."""
    dtype = whole.types[reduction].dtype
    if whole.step(reduction).op.name == "mean":
        x = divide(f, x, divisor)
    return HELD[dtype].widen(f, narrow(f, x, dtype)) if dtype in HALVES else x
