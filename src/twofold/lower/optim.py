"""Optimizer updates of many parameters in one call, in place. Floor 6.

    update("adamw", [(p, g, exp_avg, exp_avg_sq), ...], {"lr": 1e-3, "step": 7, ...})

The rules are in optim_rules.py. All tensors stand in one table, and chunks split their elements,
not the tensors.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.optim_rules import RULES, Options, Rule
from twofold.lower.order import WIDTH
from twofold.lower.schedule import Arg, In, Plan, Step, Word, chunks_for, schedule
from twofold.lower.strided import dense_strides
from twofold.lower.task import Task
from twofold.runtime.program import add_plan, make_entry, run_plan
from twofold.runtime.threads import get_num_threads

Array = npt.NDArray[Any]

GRAIN = 64  # elements: chunks begin at multiples of it
FLOATS = {"float32": "f32", "float64": "f64"}


# ---- the kernel ----------------------------------------------------------------------------------
#
# Job: numbers, count, total, then for each row (its slots' addresses, its length, its first element
# among all). The numbers are float64, in the order of Rule.numbers.


def build_update(rule: Rule, variant: frozenset[str], lane: str) -> Module:
    """Task `update` over a table of rows."""
    m = Module(rule.name)
    task = Task(m, "update", "numbers:ptr count total")
    f = task.f
    slots = rule.slots_of(variant)
    table = task.job.at(3, "i64")
    numbers = {name: _number(f, task.numbers, i, lane) for i, name in enumerate(rule.names)}
    first, last = task.share((task.total + (GRAIN - 1)) // GRAIN)
    lo, hi = first * GRAIN, f.min(last * GRAIN, task.total)
    with f.loop(0, task.count) as index:
        row = table.at(index * (len(slots) + 2), "i64")
        length = row.at(len(slots), "i64").load("i64")
        start = row.at(len(slots) + 1, "i64").load("i64")
        begin = f.max(lo - start, f.const("i64", 0))
        end = f.min(hi - start, length)
        with f.if_(begin.cmp("slt", end)):
            bases = {slot: row.at(i, "i64").load("ptr") for i, slot in enumerate(slots)}
            _update_range(f, rule, variant, bases, numbers, (begin, end), lane)
    f.ret()
    return m


def _number(f: Function, numbers: Value, index: int, lane: str) -> Value:
    value = numbers.at(index, "f64").load("f64")
    return value if lane == "f64" else value.cast("fptrunc", lane)


def _update_range(
    f: Function,
    rule: Rule,
    variant: frozenset[str],
    bases: Mapping[str, Value],
    numbers: Mapping[str, Value],
    span: tuple[Value, Value],
    lane: str,
) -> None:
    lo, hi = span
    wide = {name: value.splat(WIDTH) for name, value in numbers.items()}

    def update(i: Value, kind: str, known: Mapping[str, Value]) -> None:
        loaded = {slot: base.at(i, lane).load(kind) for slot, base in bases.items()}
        made = rule.recipe(f, SimpleNamespace(**known, **loaded), variant)
        for slot, value in made.items():
            bases[slot].at(i, lane).store(value)

    whole = lo + ((hi - lo) & -WIDTH)
    with f.loop(lo, whole, WIDTH) as i:
        update(i, vector(lane, WIDTH), wide)
    with f.loop(whole, hi) as i:
        update(i, lane, numbers)


# ---- plans ---------------------------------------------------------------------------------------


def flat_length(row: Sequence[Arg]) -> int | None:
    """The number of elements if all tensors of a row lie densely and alike, else None."""
    first = row[0]
    order = sorted(range(len(first.shape)), key=lambda axis: -first.strides[axis])
    shape = tuple(first.shape[axis] for axis in order)
    turned = Arg(shape, first.dtype, tuple(first.strides[axis] for axis in order))
    alike = all(
        other.shape == first.shape
        and other.dtype is first.dtype
        and (other.strides == first.strides or (other.contiguous and first.contiguous))
        for other in row
    )
    return first.size if alike and turned.contiguous else None


def plan_update(rule: Rule, variant: frozenset[str], args: Sequence[Arg], threads: int) -> Plan:
    """The plan for (numbers, then the slots of every row). Raises UnlikeLayouts."""
    width = len(rule.slots_of(variant))
    rows = [args[at : at + width] for at in range(1, len(args), width)]
    if not rows:
        return Plan(())
    lane = FLOATS[rows[0][0].dtype.name]
    key = f"optim/{rule.name}/{'-'.join(sorted(variant))}/{lane}"
    task = load(key, partial(build_update, rule, variant, lane)).address("update")
    words: list[Word] = []
    total = 0
    for index, row in enumerate(rows):
        length = flat_length(row)
        if length is None or row[0].dtype is not rows[0][0].dtype:
            raise UnlikeLayouts(f"{rule.name}: the tensors of row {index} do not lie alike: {row}")
        words += [In(1 + index * width + slot) for slot in range(width)]
        words += [length, total]
        total += length
    job = (In(0), len(rows), total, *words)
    chunks = min(-(-total // GRAIN), chunks_for(total, threads)) if total else 1
    return Plan((Step(task, job, chunks),))


@schedule("update")
def plan_update_call(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """The plan of ops/update.py's operation; its outputs lie in its inputs.

    A gradient that lies unlike its parameter (one number everywhere, say) is copied in order.
    """
    rule: Any = RULES[attrs["rule"]]
    variant: Any = frozenset(attrs["variant"])
    width, place = len(rule.slots_of(variant)), rule.slots_of(variant).index("g")
    rows = range(1, len(args), width)
    turned = [at + place for at in rows if flat_length(args[at : at + width]) is None]
    lying = [
        a._replace(strides=dense_strides(a.shape)) if i in turned else a for i, a in enumerate(args)
    ]
    plan = plan_update(rule, variant, lying, threads)
    return Plan(plan.steps, plan.scratch, tuple(turned), plan.keep)


def written_slots(rule: str, variant: frozenset[str]) -> tuple[int, ...]:
    """Which tensors of a row the rule writes: all but the gradient."""
    slots = RULES[rule].slots_of(variant)
    return tuple([i for i, slot in enumerate(slots) if slot != "g"])


# ---- running -------------------------------------------------------------------------------------

_entries: dict[tuple[str, frozenset[str]], Any] = {}


def update(rule: str, rows: Sequence[Sequence[Array]], options: Options) -> None:
    """Update the tensors of every row in place. A row is (p, g, states...), float32 or float64.

    rule     "sgd" (p, g, buffer if there is momentum), "adam", "adamw" (p, g, m, v, and the largest
             v if amsgrad), "scale" (p)
    options  PyTorch's, and `step` for Adam (from 1), or `first` for SGD's first step with
             momentum (its buffer must be zero), `scale` for "scale"
    """
    record = RULES[rule]
    variant = record.variant(options)
    numbers = record.numbers(options)
    values = np.array([numbers[name] for name in record.names])
    entry = _entry(record, variant)
    for dtype in {row[0].dtype for row in rows}:
        flat = [array for row in rows if row[0].dtype == dtype for array in row]
        try:
            entry(values, *flat)
        except UnlikeLayouts:
            _update_copies(entry, values, flat)


class UnlikeLayouts(ValueError):
    """The tensors of a row cannot be walked together."""


def _entry(rule: Rule, variant: frozenset[str]) -> Any:
    found = _entries.get((rule.name, variant))
    if found is None:

        def miss(entry: Any, *arrays: Array) -> Any:
            plan = plan_update(rule, variant, [*map(arg_of, arrays)], get_num_threads())
            add_plan(entry, arrays, (), plan)
            return run_plan(plan, (), arrays)

        found = _entries[rule.name, variant] = make_entry(miss)
    return found


def arg_of(array: Array) -> Arg:
    size = array.itemsize
    return Arg(array.shape, dtypes.of(array.dtype), tuple(s // size for s in array.strides))


def _update_copies(entry: Any, values: Array, flat: Sequence[Array]) -> None:
    copies = [np.ascontiguousarray(array) for array in flat]
    entry(values, *copies)
    for array, copy in zip(flat, copies, strict=True):
        if copy is not array and array.flags.writeable:
            array[...] = copy
