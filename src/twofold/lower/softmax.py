"""Softmax, log_softmax and logsumexp, forwards and backwards, as row programs. Floor 6.

softmax: m = max of the row (NaN ignored: it shows up in e), e = exp(x - m), s = sum of e in the
order of order.py, y = e * (1 / s). The reciprocal costs one rounding more than e / s and saves a
division of every element. Measured over rows of 1000, x - m exact: at most 4.9 ulp, 0.8 on average
(PyTorch: 10.4 and 1.3). A row of -inf gives NaN, as in PyTorch.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from twofold.base.types import Type
from twofold.codegen.target import host
from twofold.codegen.vmath.core import at_least, element, format_of, polynomial
from twofold.codegen.vmath.exponential import EXP, LOW, exp_lifted, reduce
from twofold.codegen.vmath.logarithm import log
from twofold.ir.build import Function
from twofold.ir.loops import TYPES
from twofold.ir.values import Value
from twofold.lower.order import PEAK, SUM
from twofold.lower.row_plan import plan_rows, row_axes
from twofold.lower.rows import Let, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, Plan, schedule

Attrs = Mapping[str, Any]
Args = tuple[Arg, ...]
Outs = tuple[Type, ...]


def exp_below(f: Function, x: Value) -> Value:
    """exp(x) for x that are not above 40, with the bits of vmath's exp.

    Where the result is 0, as for masked scores, exp(0) is computed instead: CPUs take 150 cycles to
    underflow. A CPU that scales by powers of two in one instruction scales under a mask.
    """
    name = element(x)
    if host().scale and TYPES[x.type].is_vector:
        near = x.cmp("uge", LOW[name])
        r, rounded = reduce(f, at_least(f, x, LOW[name]))
        p = f.fma(polynomial(f, r, EXP[name]), r * r, r) + 1.0
        return near.select(f.scale(p, rounded - format_of(x).magic), 0.0)
    far = x.cmp("olt", LOW[name])
    return far.select(0.0, exp_lifted(f, far.select(0.0, x)))


def lane_of(arg: Arg) -> str:
    """The type in which rows of this element type are computed."""
    return arg.dtype.loops


# ---- softmax -------------------------------------------------------------------------------------


@cache
def softmax_program(lane: str) -> RowProgram:
    return RowProgram(
        f"softmax/{lane}",
        lane,
        {"x": lane},
        (
            Reduce(("top",), (PEAK,), lambda f, v: (v.x,)),
            Reduce(("total",), (SUM,), lambda f, v: (exp_below(f, v.x - v.top),), keep="y"),
            Let("scale", lambda f, v: 1.0 / v.total),
            Store("y", lambda f, v: v.y * v.scale),
        ),
        outs=("y",),
    )


@cache
def softmax_backward_program(lane: str) -> RowProgram:
    """y * (g - sum(g * y))"""
    return RowProgram(
        f"softmax_backward/{lane}",
        lane,
        {"g": lane, "y": lane},
        (
            Reduce(("total",), (SUM,), lambda f, v: (v.g * v.y,)),
            Store("dx", lambda f, v: v.y * (v.g - v.total)),
        ),
        outs=("dx",),
    )


@cache
def log_softmax_program(lane: str) -> RowProgram:
    return RowProgram(
        f"log_softmax/{lane}",
        lane,
        {"x": lane},
        (
            Reduce(("top",), (PEAK,), lambda f, v: (v.x,)),
            Reduce(("total",), (SUM,), lambda f, v: (exp_below(f, v.x - v.top),)),
            Let("log_total", lambda f, v: log(f, v.total)),
            Store("y", lambda f, v: (v.x - v.top) - v.log_total),
        ),
        outs=("y",),
    )


@cache
def log_softmax_backward_program(lane: str) -> RowProgram:
    """g - exp(y) * sum(g)"""
    return RowProgram(
        f"log_softmax_backward/{lane}",
        lane,
        {"g": lane, "y": lane},
        (
            Reduce(("total",), (SUM,), lambda f, v: (v.g,)),
            Store("dx", lambda f, v: v.g - exp_below(f, v.y) * v.total),
        ),
        outs=("dx",),
    )


def finite_or_zero(f: Function, x: Value) -> Value:
    """x, or 0 where it is infinite: what can be subtracted from an infinity without a NaN."""
    return f.abs(x).cmp("oeq", float("inf")).select(0.0, x)


@cache
def logsumexp_program(lane: str) -> RowProgram:
    """log(sum(exp(x - m))) + m; rows of -inf give -inf, a +inf gives +inf."""
    return RowProgram(
        f"logsumexp/{lane}",
        lane,
        {"x": lane},
        (
            Reduce(("peak",), (PEAK,), lambda f, v: (v.x,)),
            Let("top", lambda f, v: finite_or_zero(f, v.peak)),
            # where the peak is +inf the sum is +inf by the element itself, which exp_below misses
            Reduce(("total",), (SUM,), lambda f, v: (_exp_or_infinity(f, v.x - v.top),)),
            Save("y", lambda f, v: log(f, v.total) + v.top),
        ),
        saves=("y",),
    )


def _exp_or_infinity(f: Function, x: Value) -> Value:
    infinity = float("inf")
    return x.cmp("oeq", infinity).select(infinity, exp_below(f, x))


def _plan_simple(program: Any, names: Sequence[str], name: str) -> None:
    """Register a program whose inputs all are rows."""

    @schedule(name)
    def plan(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
        axes = row_axes(attrs, len(args[0].shape))
        inputs = dict(zip(names, args, strict=True))
        return plan_rows(program(lane_of(args[0])), inputs, axes, threads)


_plan_simple(softmax_program, ("x",), "softmax")
_plan_simple(softmax_backward_program, ("g", "y"), "softmax_backward")
_plan_simple(log_softmax_program, ("x",), "log_softmax")
_plan_simple(log_softmax_backward_program, ("g", "y"), "log_softmax_backward")
_plan_simple(logsumexp_program, ("x",), "logsumexp")
