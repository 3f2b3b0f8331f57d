"""Cross entropy of rows of logits, forwards and backwards, as row programs. Floor 6.

Logits x are (N, C, ...) and labels (N, ...): a row lies along axis 1. For each row

    lse  = m + log(sum(exp(x - m)))
    loss = lse - x[label],  with smoothing s:  (1 - s) * (lse - x[label]) + s * (lse - mean(x))

With class weights w the two terms are w[label] * (lse - x[label]) and mean(w * (lse - x)), so that
the sum over rows divided by the sum of w[label] is PyTorch's mean. A row whose label is
ignore_index, or no class at all, is never read at its label; its loss and gradient are 0.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower import reduce  # noqa: F401  (registers the planner of sums)
from twofold.lower.order import PEAK, SUM
from twofold.lower.row_plan import plan_rows
from twofold.lower.rows import Let, Names, Phase, Pick, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, In, Out, Plan, Scratch, Step, Word, find_planner, schedule
from twofold.lower.softmax import exp_below
from twofold.lower.task import Task, arrange

NUMBERS = {"ignored": "i64", "rest": "f64", "smoothing": "f64"}


def _used(f: Function, v: Names) -> Value:
    inside = v.target.cmp("sge", 0) & v.target.cmp("slt", v.length)
    return inside & v.target.cmp("ne", v.ignored)


# Which labels count, and the place at which a row may be read.
LABEL: tuple[Phase, ...] = (
    Let("used", _used),
    Let("label", lambda f, v: v.used.select(v.target, 0)),
)


# ---- forwards ------------------------------------------------------------------------------------


def _hard(f: Function, v: Names) -> Value:
    return v.lse_here - v.picked


def _hard_weighted(f: Function, v: Names) -> Value:
    return v.weight_here * (v.lse_here - v.picked)


def _distance_weighted(f: Function, v: Names) -> Sequence[Value]:
    return (v.weight * (v.lse_here - v.x),)


def _mixed(f: Function, v: Names) -> Value:
    return v.rest * v.hard + v.smoothing * v.soft


SOFT: tuple[Phase, ...] = (
    Reduce(("far",), (SUM,), lambda f, v: (v.x,)),
    Let("soft", lambda f, v: v.lse_here - v.far / v.n),
    Let("cost", _mixed),
)
SOFT_WEIGHTED: tuple[Phase, ...] = (
    Reduce(("far",), (SUM,), _distance_weighted),
    Let("soft", lambda f, v: v.far / v.n),
    Let("cost", _mixed),
)


@cache
def cross_entropy_program(lane: str, smooth: bool, weighted: bool) -> RowProgram:
    """Outputs: the loss of each row, and its lse."""
    phases: list[Phase] = [
        *LABEL,
        Pick("picked", "x", lambda f, v: v.label),
        Reduce(("top",), (PEAK,), lambda f, v: (v.x,)),
        Reduce(("total",), (SUM,), lambda f, v: (exp_below(f, v.x - v.top),)),
        Let("lse_here", lambda f, v: v.top + log(f, v.total)),
    ]
    if weighted:
        phases.append(Pick("weight_here", "weight", lambda f, v: v.label))
    phases.append(Let("hard", _hard_weighted if weighted else _hard))
    if smooth:
        phases += SOFT_WEIGHTED if weighted else SOFT
    else:
        phases.append(Let("cost", lambda f, v: v.hard))
    phases += [
        Save("loss", lambda f, v: v.used.select(v.cost, 0.0)),
        Save("lse", lambda f, v: v.lse_here),
    ]
    return RowProgram(
        f"cross_entropy/{lane}/{'smooth' * smooth}/{'weighted' * weighted}",
        lane,
        {"x": lane},
        tuple(phases),
        places={"weight": lane} if weighted else {},
        each={"target": "i64"},
        numbers=NUMBERS,
        saves=("loss", "lse"),
    )


# ---- backwards -----------------------------------------------------------------------------------


def _is_label(v: Names) -> Value:
    return v.index.cmp("eq", v.label.cast("trunc", v.index.type))


def _gradient(f: Function, v: Names) -> Value:
    p = exp_below(f, v.x - v.lse)
    wanted = _is_label(v).select(v.base + v.rest, v.base)
    return v.used.select(v.g * (p - wanted), 0.0)


def _gradient_weighted(f: Function, v: Names) -> Value:
    p = exp_below(f, v.x - v.lse)
    hard = v.weight_here * _is_label(v).select(p - 1.0, p)
    soft = v.base * (p * v.weights - v.weight)
    return v.used.select(v.g * (v.rest * hard + soft), 0.0)


@cache
def cross_entropy_backward_program(lane: str, weighted: bool) -> RowProgram:
    """g * (softmax(x) - wanted), where wanted is the one-hot row, smoothed."""
    phases: list[Phase] = [*LABEL, Let("base", lambda f, v: v.smoothing / v.n)]
    if weighted:
        phases += [
            Pick("weight_here", "weight", lambda f, v: v.label),
            Reduce(("weights",), (SUM,), lambda f, v: (v.weight,)),
        ]
    phases.append(Store("dx", _gradient_weighted if weighted else _gradient))
    return RowProgram(
        f"cross_entropy_backward/{lane}/{'weighted' * weighted}",
        lane,
        {"x": lane},
        tuple(phases),
        places={"weight": lane} if weighted else {},
        each={"g": lane, "target": "i64", "lse": lane},
        numbers=NUMBERS,
        outs=("dx",),
    )


# ---- planners ------------------------------------------------------------------------------------


def _numbers(attrs: Mapping[str, Any]) -> dict[str, int | float]:
    smoothing = float(attrs.get("smoothing", 0.0))
    ignored = int(attrs.get("ignore_index", -100))
    return {"ignored": ignored, "rest": 1.0 - smoothing, "smoothing": smoothing}


@schedule("cross_entropy")
def plan_cross_entropy(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan:
    """Inputs x, target (i64), weight or none; attrs ignore_index, smoothing; outputs loss, lse."""
    numbers = _numbers(attrs)
    weighted = len(args) == 3
    program = cross_entropy_program(args[0].dtype.loops, numbers["smoothing"] != 0, weighted)
    inputs = dict(zip(("x", "target", "weight"), args, strict=False))
    return plan_rows(program, inputs, (1,), threads, numbers)


@schedule("cross_entropy_backward")
def plan_cross_entropy_backward(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan:
    """Inputs g and lse (one a row), x, target, weight or none: (g, x, target, lse[, weight])."""
    program = cross_entropy_backward_program(args[1].dtype.loops, len(args) == 5)
    inputs = dict(zip(("g", "x", "target", "lse", "weight"), args, strict=False))
    return plan_rows(program, inputs, (1,), threads, _numbers(attrs))


# ---- the mean over rows --------------------------------------------------------------------------

MEAN = "target:ptr loss:ptr count:ptr rows classes ignored"


def build_mean(element: str) -> Module:
    """mean: loss and count: from the sum of the rows' losses to their mean, NaN for a bad label."""
    m = Module(f"cross_entropy_mean_{element}")
    t = Task(m, "mean", MEAN)
    f = t.f
    counted, bad = f.var("i64", 0), f.var("i64", 0)
    with f.loop(0, t.rows) as i:
        label = t.target.at(i, "i64").load("i64")
        used = label.cmp("ne", t.ignored)
        wrong = (label.cmp("slt", 0) | label.cmp("sge", t.classes)) & used
        counted.set(counted.get() + used.cast("zext", "i64"))
        bad.set(bad.get() | wrong.cast("zext", "i64"))
    count = counted.get().cast("sitofp", element)
    total = t.loss.load(element)
    t.count.store(count)
    t.loss.store(bad.get().cmp("ne", 0).select(f.const(element, float("nan")), total / count))
    f.ret()
    return m


@schedule("cross_entropy_mean")
def plan_cross_entropy_mean(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """Inputs x[N, C], target i64[N]; outputs the mean loss, lse[N], the number of rows used."""
    x, target = args
    rows = x.shape[0]
    if not x.size:
        return None
    losses = Type((rows,), x.dtype)
    per_row = plan_cross_entropy(args, (losses, losses), attrs, threads)
    sizes = {"dim": (0,), "keepdim": False}
    total = find_planner("sum")((Arg((rows,), x.dtype, (1,)),), outs[:1], sizes, threads)
    if per_row is None or total is None:
        return None
    start = -(-rows * x.dtype.itemsize // 64) * 64  # the rows' losses lie before what a sum needs
    first = [_moved(step, Out, start) for step in per_row.steps]
    second = [_moved(step, In, start) for step in total.steps]
    element = x.dtype.loops
    task = load(f"cross_entropy_mean/{element}", lambda: build_mean(element)).address("mean")
    words: dict[str, Word] = {"target": In(1), "loss": Out(0), "count": Out(2), "rows": rows}
    words |= {"classes": x.shape[1], "ignored": int(attrs["ignore_index"])}
    last = Step(task, arrange(MEAN, words))
    copies = per_row.contiguous if target.contiguous else (*{*per_row.contiguous, 1},)
    scratch = start + max(per_row.scratch, total.scratch)
    return Plan((*first, *second, last), scratch, copies, (*per_row.keep, *total.keep))


def _moved(step: Step, which: type[In] | type[Out], start: int) -> Step:
    """The step with its first input or output in the scratch memory, and its own behind `start`."""

    def word(old: Word) -> Word:
        if isinstance(old, Scratch):
            return Scratch(old.offset + start)
        return Scratch(old.offset) if isinstance(old, which) and old.index == 0 else old

    return Step(step.task, tuple(map(word, step.job)), step.chunks)
