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
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.order import PEAK, SUM
from twofold.lower.row_plan import plan_rows
from twofold.lower.rows import Let, Names, Phase, Pick, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, Plan, schedule
from twofold.lower.softmax import exp_below

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
