"""Plans for reductions: sum, prod, max, min, any, all, mean, var, var_mean. Floor 6.

The order is that of order.py, whatever the axes, strides and number of threads. A mean is the sum
divided by n. A variance is two-pass: the sum of (x - mean) * (x - mean) in the same order, divided
by n - correction. float16 and bfloat16 are reduced in float32 and rounded once, at the end.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from math import prod
from types import SimpleNamespace
from typing import Any

from twofold.base.dtypes import DType, float32, float64
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.ir.build import Function, Module
from twofold.ir.loops import TYPES, with_element
from twofold.ir.values import Value
from twofold.lower.columns import FEW, define_columns, define_few, stripe_for
from twofold.lower.copy import contiguous_step
from twofold.lower.half import HALVES
from twofold.lower.layout import Layout, copied_layout, find_layout
from twofold.lower.order import BLOCK, LANES, MAX, MIN, PROD, SUM, WIDTH, Combine
from twofold.lower.partial import (
    STEPS,
    Reduction,
    define_folds,
    define_gathered,
    define_narrow,
    define_rows,
    define_segments,
    spread,
)
from twofold.lower.schedule import (
    Arg,
    In,
    Out,
    Plan,
    Pointer,
    Scratch,
    Step,
    Word,
    chunks_for,
    find_planner,
    float_word,
    schedule,
)
from twofold.lower.task import arrange

ALIGN = 64
NARROWEST = 64  # a stripe is not made narrower than this many columns
SHORT_PIECE = 512  # pieces below this are gathered


# ---- tasks ---------------------------------------------------------------------------------------


DEFINE = {
    "rows": define_rows,
    "narrow": define_narrow,
    "segments": define_segments,
    "gathered": define_gathered,
    "columns": define_columns,
    "few": define_few,
    "fold": define_folds,
}


def build_reduction(spec: Reduction, task: str) -> Module:
    m = Module(task)
    DEFINE[task](m, spec)
    return m


def load_reduction(spec: Reduction, task: str) -> int:
    """The address of a task of a reduction, compiled when it is first needed."""
    key = f"reduction/{spec.name}/{task}"
    return load(key, partial(build_reduction, spec, task)).address(task)


class Workspace:
    """Scratch memory of a plan while it is made."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, size: int) -> Scratch:
        """The place of `size` bytes more."""
        place = Scratch(self.size)
        self.size += -(-size // ALIGN) * ALIGN
        return place


def reduction_steps(
    spec: Reduction,
    layout: Layout,
    places: Mapping[str, Pointer],
    outs: Sequence[Pointer],
    workspace: Workspace,
    threads: int,
    divisor: float = 1.0,
    strides: Mapping[str, tuple[int, int]] | None = None,
) -> list[Step]:
    """The steps that reduce the inputs, all of one layout, into `outs`.

    strides   for inputs and stores that lie otherwise: their own `Layout.steps`
    """
    results = layout.outer * layout.inner
    if results == 0:
        return []
    blocks = max(1, -(-layout.n // BLOCK))
    parts: list[Word] = [0] * len(spec.combines)
    if blocks > 1:
        size = results * blocks * TYPES[spec.lane].size
        parts = [workspace.take(size) for _ in parts]
    pointers: dict[str, Word] = dict(places)
    pointers |= {f"part{i}": part for i, part in enumerate(parts)}
    pointers |= {f"out{i}": out for i, out in enumerate(outs)}
    sizes: dict[str, Word] = {
        "outer": layout.outer,
        "n": layout.n,
        "blocks": blocks,
        "divisor": float_word(divisor),
    }
    steps = [_main_step(spec, layout, {**pointers, **sizes}, threads, strides or {})]
    if blocks > 1:
        names = ["outer", "inner", "blocks", "divisor"]
        names += [f"part{i}" for i in range(len(parts))]
        names += [f"out{i}" for i in range(len(outs))]
        values = {**pointers, **sizes, "inner": layout.inner}
        job = arrange(spec.words("fold"), {name: values[name] for name in names})
        chunks = min(results, chunks_for(results * blocks, threads))
        steps.append(Step(load_reduction(spec, "fold"), job, chunks))
    return steps


def _main_step(
    spec: Reduction,
    layout: Layout,
    values: dict[str, Word],
    threads: int,
    strides: Mapping[str, tuple[int, int]],
) -> Step:
    work = layout.outer * layout.n * layout.inner
    chunks = chunks_for(work, threads)
    units = layout.outer * max(1, -(-layout.n // BLOCK))
    kind = layout.kind
    if kind == "rows" and layout.n <= LANES and layout.outer >= WIDTH and not spec.stores:
        kind, units = "narrow", -(-layout.outer // WIDTH)
    if kind == "columns":
        dense = all(strides.get(name, layout.steps)[1] == layout.inner for name in spec.elements)
        stripe, packed = stripe_for(spec, layout.inner, dense)
        while not packed and units * -(-layout.inner // stripe) < chunks and stripe > NARROWEST:
            stripe //= 2
        units *= -(-layout.inner // stripe)
        values |= {"inner": layout.inner, "stripe": stripe, "packed": packed}
    if kind == "segments":
        values |= {"length": layout.length}
    for name in spec.elements:
        outer, step = strides.get(name, layout.steps)
        values |= {f"{name}_outer": outer, f"{name}_{STEPS[kind]}": step}
    job = arrange(spec.words(kind), values)
    if kind == "segments" and layout.length < SHORT_PIECE:
        kind = "gathered"
    if kind == "columns" and 0 < layout.n <= FEW and not spec.stores:
        kind = "few"
    return Step(load_reduction(spec, kind), job, min(units, chunks))


# ---- what is reduced -----------------------------------------------------------------------------

WIDE = {"f32": float32, "f64": float64}
Change = Callable[[Function, Value], Value]


def lane_of(dtype: DType) -> str:
    """The type in which partial results of this element type are held."""
    return "f32" if dtype.name in HALVES else dtype.loops


def same_kind(like: str, element: str) -> str:
    """`element` with as many lanes as `like` has."""
    return with_element(like, element)


def widen(f: Function, x: Value, source: DType, target: str) -> Value:
    """A loaded value in the lanes' type, exactly."""
    wide = same_kind(x.type, target)
    if x.type == wide:
        return x
    if source.name in HALVES:
        return HALVES[source.name].widen(f, x)
    return x.cast("sext" if source.kind == "i" else "zext", wide)


def narrow(f: Function, x: Value, target: DType) -> Value:
    """A result in the type that is stored, rounded to nearest with ties to even."""
    wanted = same_kind(x.type, target.loops)
    if x.type == wanted:
        return x
    if target.name in HALVES:
        return HALVES[target.name].narrow(f, x)
    return x.cast("trunc", wanted)


def divide(f: Function, x: Value, divisor: Value) -> Value:
    """x / divisor, truly divided; the divisor is an f64 scalar."""
    facts = TYPES[x.type]
    by = divisor if facts.element == "f64" else divisor.cast("fptrunc", facts.element)
    return x / spread(by, facts.lanes)


def _any(f: Function, a: Value, b: Value) -> Value:
    return a | b


def _all(f: Function, a: Value, b: Value) -> Value:
    return a & b


def _whole_max(f: Function, a: Value, b: Value) -> Value:
    return f.max(a, b)


def _whole_min(f: Function, a: Value, b: Value) -> Value:
    return f.min(a, b)


def _unsigned_max(f: Function, a: Value, b: Value) -> Value:
    return a.cmp("ugt", b).select(a, b)


def _unsigned_min(f: Function, a: Value, b: Value) -> Value:
    return a.cmp("ult", b).select(a, b)


def _combine(name: str, dtype: DType) -> Combine:
    """How two values of an element type are reduced by max and min of whole numbers."""
    lowest, highest = limits(dtype)
    signed = dtype.kind == "i"
    if name == "max":
        return Combine("max", lowest, _whole_max if signed else _unsigned_max)
    return Combine("min", highest, _whole_min if signed else _unsigned_min)


def limits(dtype: DType) -> tuple[int, int]:
    """The smallest and largest whole number of an element type."""
    if dtype.kind == "b":
        return 0, 1
    bits = dtype.itemsize * 8
    if dtype.kind == "u":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _is_not_zero(x: Value) -> Value:
    return x.cmp("une", 0.0) if TYPES[x.type].is_float else x.cmp("ne", 0)


@cache
def arithmetic(name: str, x: DType, out: DType) -> Reduction:
    """sum, prod, max, min, ...: values reduced in `lane_of(out)` and stored as `out`."""
    combine = {"prod": PROD, "max": MAX, "min": MIN}.get(name, SUM)
    if name in ("max", "min") and not x.is_floating_point:
        combine = _combine(name, x)
    lane = lane_of(out)

    def values(f: Function, v: SimpleNamespace) -> Sequence[Value]:
        value = widen(f, v.x, x, lane)
        return (value * value if name == "euclidean_norm" else value,)

    def finish(f: Function, results: Sequence[Value], divisor: Value) -> Sequence[Value]:
        (result,) = results
        if name == "mean":
            result = divide(f, result, divisor)
        elif name == "euclidean_norm":
            result = f.sqrt(result)
        return (narrow(f, result, out),)

    key = f"{name}/{x.name}/{out.name}"
    return Reduction(key, {"x": x.loops}, lane, (combine,), values, (out.loops,), finish)


@cache
def logical(name: str, x: DType) -> Reduction:
    """any and all: lanes are masks as wide as the elements."""
    combine = {"any": Combine("any", 0, _any), "all": Combine("all", -1, _all)}[name]
    lane = f"i{8 * x.itemsize}"

    def values(f: Function, v: SimpleNamespace) -> Sequence[Value]:
        # bfloat16 and float16 lie in integers; without the sign, zero has no bits
        number = v.x & 0x7FFF if x.name == "bfloat16" else v.x
        return (_is_not_zero(number).cast("sext", same_kind(v.x.type, lane)),)

    def finish(f: Function, results: Sequence[Value], divisor: Value) -> Sequence[Value]:
        (result,) = results
        return (
            ((result & 1).cast("trunc", same_kind(result.type, "i8")),)
            if lane != "i8"
            else (result & 1,)
        )

    return Reduction(f"{name}/{x.name}", {"x": x.loops}, lane, (combine,), values, ("i8",), finish)


@cache
def spread_about(x: DType, out: DType) -> Reduction:
    """The variance about a given mean, which has the lanes' type."""
    lane = lane_of(out)

    def values(f: Function, v: SimpleNamespace) -> Sequence[Value]:
        distance = widen(f, v.x, x, lane) - v.mean
        return (distance * distance,)

    def finish(f: Function, results: Sequence[Value], divisor: Value) -> Sequence[Value]:
        return (narrow(f, divide(f, results[0], divisor), out),)

    return Reduction(
        f"var/{x.name}",
        {"x": x.loops},
        lane,
        (SUM,),
        values,
        (out.loops,),
        finish,
        kept={"mean": lane},
    )


# ---- planners ------------------------------------------------------------------------------------


class Planning:
    """One input and the axes to reduce, ready for any number of reductions over it."""

    def __init__(
        self,
        arg: Arg,
        attrs: Mapping[str, object],
        threads: int,
        kinds: tuple[str, ...] = ("rows", "segments", "columns"),
    ) -> None:
        self.arg = arg
        self.kinds = kinds
        self.threads = threads
        self.workspace = Workspace()
        self.steps: list[Step] = []
        self.place: Pointer = In(0)
        axes = axes_from(attrs, len(arg.shape))
        self.n = prod(arg.shape[axis] for axis in axes)
        self.layout = self._layout(axes)

    def _layout(self, axes: tuple[int, ...]) -> Layout:
        arg = self.arg
        if arg.size == 0:
            return copied_layout(arg.shape, axes)
        layout = find_layout(arg.shape, arg.strides, axes)
        if layout is not None and layout.kind in self.kinds:
            return layout
        kept = [axis for axis in range(len(arg.shape)) if axis not in axes]
        self.place = self.workspace.take(arg.size * arg.dtype.itemsize)
        order = [*kept, *axes]
        shape = tuple(arg.shape[axis] for axis in order)
        turned = Arg(shape, arg.dtype, tuple(arg.strides[axis] for axis in order))
        self.steps.append(contiguous_step(turned, In(0), self.place, self.threads))
        return copied_layout(arg.shape, axes)

    def reduce(self, spec: Reduction, out: Pointer, divisor: float = 1.0, **kept: Pointer) -> None:
        places = {"x": self.place, **kept}
        self.steps += reduction_steps(
            spec, self.layout, places, (out,), self.workspace, self.threads, divisor
        )

    def plan(self) -> Plan:
        return Plan(tuple(self.steps), self.workspace.size)


def axes_from(attrs: Mapping[str, object], ndim: int) -> tuple[int, ...]:
    """The axes of the attribute `dim`: None is all, a number is one; ascending."""
    dim = attrs.get("dim")
    if dim is None:
        return tuple(range(ndim))
    chosen = (dim,) if isinstance(dim, int) else tuple(dim)  # type: ignore[arg-type]
    return tuple(sorted(axis % max(ndim, 1) for axis in chosen))


def _plan_arithmetic(
    name: str,
    args: tuple[Arg, ...],
    outs: tuple[Type, ...],
    attrs: Mapping[str, object],
    threads: int,
) -> Plan:
    work = Planning(args[0], attrs, threads)
    work.reduce(arithmetic(name, args[0].dtype, outs[0].dtype), Out(0), work.n)
    return work.plan()


def _plan_logical(
    name: str,
    args: tuple[Arg, ...],
    outs: tuple[Type, ...],
    attrs: Mapping[str, object],
    threads: int,
) -> Plan:
    work = Planning(args[0], attrs, threads)
    work.reduce(logical(name, args[0].dtype), Out(0))
    return work.plan()


for _name in ("sum", "prod", "max", "min", "mean", "euclidean_norm"):
    schedule(_name)(partial(_plan_arithmetic, _name))
for _name in ("any", "all"):
    schedule(_name)(partial(_plan_logical, _name))


@schedule("sum_to_one")
def _plan_sum_to_one(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """A sum that keeps its axes; a copy where all of them have size 1."""
    (arg,) = args
    if not arg.size or any(arg.shape[axis] != 1 for axis in attrs["dim"]):
        return find_planner("sum")(args, outs, {"dim": attrs["dim"], "keepdim": True}, threads)
    return Plan((contiguous_step(arg, In(0), Out(0), threads),))


@schedule("var")
def plan_var(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, object], threads: int
) -> Plan:
    """attrs: dim, correction (1 if not given)."""
    return _plan_moments(args, attrs, threads, outs[0].dtype, Out(0), None)


@schedule("var_mean")
def plan_var_mean(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, object], threads: int
) -> Plan:
    """Outputs: variance, mean."""
    return _plan_moments(args, attrs, threads, outs[0].dtype, Out(0), Out(1))


def _plan_moments(
    args: tuple[Arg, ...],
    attrs: Mapping[str, object],
    threads: int,
    dtype: DType,
    var: Pointer,
    mean: Pointer | None,
) -> Plan:
    work = Planning(args[0], attrs, threads)
    x = args[0].dtype
    wide = WIDE[lane_of(dtype)]
    if mean is not None and dtype is not wide:
        work.reduce(arithmetic("mean", x, dtype), mean, work.n)
        mean = None
    if mean is None:
        results = work.layout.outer * work.layout.inner
        mean = work.workspace.take(results * wide.itemsize)
    work.reduce(arithmetic("mean", x, wide), mean, work.n)
    correction = float(attrs.get("correction", 1))  # type: ignore[arg-type]
    divisor = max(0.0, work.n - correction)
    work.reduce(spread_about(x, dtype), var, divisor, mean=mean)
    return work.plan()
