"""layer_norm and rms_norm, forwards and backwards, as row programs. Floor 6.

Two-pass: mean = sum(x) / n, var = sum((x - mean) * (x - mean)) / n, both in the order of order.py;
rstd = 1 / sqrt(var + eps), y = (x - mean) * rstd * weight + bias from left to right, no fma: the
bits of the same formula in single operations. The gradients by weight and bias are sums over the
rows, in the same order, down the columns.
"""

from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

from twofold.base.types import Type
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.layout import Layout
from twofold.lower.order import SUM
from twofold.lower.partial import Reduction
from twofold.lower.reduce import Workspace, reduction_steps
from twofold.lower.row_plan import plan_rows, row_axes, split_shape
from twofold.lower.rows import Let, Names, Phase, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, In, Out, Plan, schedule

Attrs = Mapping[str, Any]
Args = tuple[Arg, ...]
Outs = tuple[Type, ...]
AFFINE = ("weight", "bias")


def affine(f: Function, v: Names, value: Value, names: tuple[str, ...]) -> Value:
    """value * weight + bias, as far as they are there."""
    if names:
        value = value * v.weight
    return value + v.bias if len(names) > 1 else value


# ---- layer_norm ----------------------------------------------------------------------------------


def _square_distance(f: Function, v: Names) -> tuple[Value]:
    distance = v.x - v.mean_here
    return (distance * distance,)


MOMENTS: tuple[Phase, ...] = (
    Reduce(("total",), (SUM,), lambda f, v: (v.x,)),
    Let("mean_here", lambda f, v: v.total / v.n),
    Reduce(("squares",), (SUM,), _square_distance),
    Let("rstd_here", lambda f, v: 1.0 / f.sqrt(v.squares / v.n + v.eps)),
)


@cache
def layer_norm_program(lane: str, count: int) -> RowProgram:
    """Outputs y, mean, rstd. `count` tells how many of weight and bias there are."""
    names = AFFINE[:count]

    def normalised(f: Function, v: Names) -> Value:
        return affine(f, v, (v.x - v.mean_here) * v.rstd_here, names)

    return RowProgram(
        f"layer_norm/{lane}/{count}",
        lane,
        {"x": lane},
        (
            *MOMENTS,
            Store("y", normalised),
            Save("mean", lambda f, v: v.mean_here),
            Save("rstd", lambda f, v: v.rstd_here),
        ),
        places=dict.fromkeys(names, lane),
        numbers={"eps": "f64"},
        outs=("y",),
        saves=("mean", "rstd"),
    )


@cache
def layer_norm_backward_program(lane: str, weighted: bool) -> RowProgram:
    """rstd * (gy - mean(gy) - xhat * mean(gy * xhat)) with gy = g * weight."""

    def scaled(v: Names) -> Value:
        return v.g * v.weight if weighted else v.g

    def xhat(v: Names) -> Value:
        return (v.x - v.mean) * v.rstd

    def both(f: Function, v: Names) -> tuple[Value, Value]:
        gy = scaled(v)
        return gy, gy * xhat(v)

    def gradient(f: Function, v: Names) -> Value:
        return v.rstd * (scaled(v) - v.g_mean - xhat(v) * v.gx_mean)

    return RowProgram(
        f"layer_norm_backward/{lane}/{int(weighted)}",
        lane,
        {"g": lane, "x": lane},
        (
            Reduce(("g_sum", "gx_sum"), (SUM, SUM), both),
            Let("g_mean", lambda f, v: v.g_sum / v.n),
            Let("gx_mean", lambda f, v: v.gx_sum / v.n),
            Store("dx", gradient),
        ),
        places={"weight": lane} if weighted else {},
        each={"mean": lane, "rstd": lane},
        outs=("dx",),
    )


@cache
def layer_norm_sums(lane: str) -> Reduction:
    """sum(g * xhat) and sum(g) over the rows: the gradients by weight and bias."""

    def values(f: Function, v: SimpleNamespace) -> tuple[Value, Value]:
        return v.g * ((v.x - v.mean) * v.rstd), v.g

    return Reduction(
        f"layer_norm_sums/{lane}",
        {"g": lane, "x": lane},
        lane,
        (SUM, SUM),
        values,
        (lane, lane),
        reduced={"mean": lane, "rstd": lane},
    )


@schedule("layer_norm")
def plan_layer_norm(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs x, weight or none, bias or none; attrs rank, eps; outputs y, mean, rstd."""
    program = layer_norm_program(args[0].dtype.loops, len(args) - 1)
    inputs = dict(zip(("x", *AFFINE), args, strict=False))
    axes = row_axes(attrs, len(args[0].shape))
    return plan_rows(program, inputs, axes, threads, {"eps": attrs["eps"]})


@schedule("layer_norm_backward")
def plan_layer_norm_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs g, x, mean, rstd, weight or none; attr rank; output dx."""
    program = layer_norm_backward_program(args[1].dtype.loops, len(args) == 5)
    inputs = dict(zip(("g", "x", "mean", "rstd", "weight"), args, strict=False))
    return plan_rows(program, inputs, row_axes(attrs, len(args[1].shape)), threads)


@schedule("layer_norm_affine_backward")
def plan_layer_norm_affine_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs g, x, mean, rstd; attr rank; outputs the gradients by weight and bias."""
    spec = layer_norm_sums(args[1].dtype.loops)
    return _plan_sums(spec, ("g", "x", "mean", "rstd"), args, attrs, threads)


def _plan_sums(
    spec: Reduction, names: tuple[str, ...], args: Args, attrs: Attrs, threads: int
) -> Plan:
    """Sums over rows of contiguous matrices, with numbers of the rows beside them."""
    shape = args[names.index("x")].shape
    rows, n, _ = split_shape(shape, row_axes(attrs, len(shape)))
    layout = Layout("columns", 1, rows, n, steps=(0, n))
    places = {name: In(place) for place, name in enumerate(names)}
    results = [Out(place) for place in range(len(spec.outs))]
    workspace = Workspace()
    steps = reduction_steps(spec, layout, places, results, workspace, threads)
    copies = tuple(place for place, arg in enumerate(args) if not arg.contiguous)
    return Plan(tuple(steps), workspace.size, copies)


# ---- rms_norm ------------------------------------------------------------------------------------


@cache
def rms_norm_program(lane: str, weighted: bool) -> RowProgram:
    """x * rstd * weight with rstd = 1 / sqrt(mean(x * x) + eps); outputs y, rstd."""

    def normalised(f: Function, v: Names) -> Value:
        return affine(f, v, v.x * v.rstd_here, AFFINE[: int(weighted)])

    return RowProgram(
        f"rms_norm/{lane}/{int(weighted)}",
        lane,
        {"x": lane},
        (
            Reduce(("squares",), (SUM,), lambda f, v: (v.x * v.x,)),
            Let("rstd_here", lambda f, v: 1.0 / f.sqrt(v.squares / v.n + v.eps)),
            Store("y", normalised),
            Save("rstd", lambda f, v: v.rstd_here),
        ),
        places={"weight": lane} if weighted else {},
        numbers={"eps": "f64"},
        outs=("y",),
        saves=("rstd",),
    )


@cache
def rms_norm_backward_program(lane: str, weighted: bool) -> RowProgram:
    """rstd * (gy - xhat * mean(gy * xhat)) with gy = g * weight, xhat = x * rstd."""

    def scaled(v: Names) -> Value:
        return v.g * v.weight if weighted else v.g

    return RowProgram(
        f"rms_norm_backward/{lane}/{int(weighted)}",
        lane,
        {"g": lane, "x": lane},
        (
            Reduce(("gx_sum",), (SUM,), lambda f, v: (scaled(v) * (v.x * v.rstd),)),
            Let("gx_mean", lambda f, v: v.gx_sum / v.n),
            Store("dx", lambda f, v: v.rstd * (scaled(v) - (v.x * v.rstd) * v.gx_mean)),
        ),
        places={"weight": lane} if weighted else {},
        each={"rstd": lane},
        outs=("dx",),
    )


@cache
def rms_norm_sums(lane: str) -> Reduction:
    """sum(g * xhat) over the rows: the gradient by weight."""
    return Reduction(
        f"rms_norm_sums/{lane}",
        {"g": lane, "x": lane},
        lane,
        (SUM,),
        lambda f, v: (v.g * (v.x * v.rstd),),
        (lane,),
        reduced={"rstd": lane},
    )


@schedule("rms_norm")
def plan_rms_norm(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs x, weight or none; attrs rank, eps; outputs y, rstd."""
    program = rms_norm_program(args[0].dtype.loops, len(args) == 2)
    inputs = dict(zip(("x", "weight"), args, strict=False))
    axes = row_axes(attrs, len(args[0].shape))
    return plan_rows(program, inputs, axes, threads, {"eps": attrs["eps"]})


@schedule("rms_norm_backward")
def plan_rms_norm_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs g, x, rstd, weight or none; attr rank; output dx."""
    program = rms_norm_backward_program(args[1].dtype.loops, len(args) == 4)
    inputs = dict(zip(("g", "x", "rstd", "weight"), args, strict=False))
    return plan_rows(program, inputs, row_axes(attrs, len(args[1].shape)), threads)


@schedule("rms_norm_weight_backward")
def plan_rms_norm_weight_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs g, x, rstd; attr rank; output the gradient by weight."""
    return _plan_sums(rms_norm_sums(args[1].dtype.loops), ("g", "x", "rstd"), args, attrs, threads)
