"""Batch normalisation of (N, C, ...), forwards, backwards and with given moments. Floor 6.

Moments of a channel are over N and all later axes as one extent, two-pass, in the order of
order.py: mean, then var = sum((x - mean) * (x - mean)) / count. With rstd = 1 / sqrt(var + eps) and
xhat = (x - mean) * rstd,

    y  = (x - mean) * (rstd * weight) + bias          then the larger of it and 0, if `relu`
    gw = sum(g * xhat), gb = sum(g)
    dx = (g - gb / count - xhat * (gw / count)) * (rstd * weight)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

from twofold.base.types import Type
from twofold.ir.build import Function
from twofold.ir.values import Value
from twofold.lower.caches import cache_sizes
from twofold.lower.layout import Layout, find_layout
from twofold.lower.order import SUM
from twofold.lower.partial import Reduction
from twofold.lower.reduce import SHORT_PIECE, Workspace, arithmetic, reduction_steps, spread_about
from twofold.lower.row_pieces import pieces_step
from twofold.lower.row_plan import Sizes, row_step
from twofold.lower.rows import Let, Names, Reduce, RowProgram, Save, Store
from twofold.lower.schedule import Arg, In, Out, Plan, Pointer, Step, schedule

Attrs = Mapping[str, Any]
Args = tuple[Arg, ...]
Outs = tuple[Type, ...]


# ---- numbers of the channels: one row of C places ------------------------------------------------


def _channel_program(name: str, lane: str, inputs: tuple[str, ...], stores: Any) -> RowProgram:
    return RowProgram(
        f"batch_norm_{name}/{lane}",
        lane,
        dict.fromkeys(inputs, lane),
        tuple(Store(out, value) for out, value in stores.items()),
        numbers={"eps": "f64", "count": "f64"},
        outs=tuple(stores),
    )


def _rstd(f: Function, v: Names) -> Value:
    return 1.0 / f.sqrt(v.var + v.eps)


@cache
def scale_program(lane: str) -> RowProgram:
    stores = {"scale": lambda f, v: _rstd(f, v) * v.weight}
    return _channel_program("scale", lane, ("var", "weight"), stores)


@cache
def rstd_program(lane: str) -> RowProgram:
    return _channel_program("rstd", lane, ("var",), {"rstd": _rstd})


@cache
def backward_numbers_program(lane: str) -> RowProgram:
    stores = {
        "g_mean": lambda f, v: v.gb / v.count,
        "gx_mean": lambda f, v: v.gw / v.count,
        "scale": lambda f, v: v.rstd * v.weight,
    }
    return _channel_program("numbers", lane, ("gb", "gw", "rstd", "weight"), stores)


# ---- what is done to every element ---------------------------------------------------------------
#
# A row is H*W elements of one sample and channel, whose numbers are cyclic; or, where there is
# nothing after C, one sample of C elements, whose numbers stand at their places.


def _element_program(
    name: str, lane: str, flat: bool, rows: tuple[str, ...], channels: tuple[str, ...], store: Store
) -> RowProgram:
    numbers = dict.fromkeys(channels, lane)
    return RowProgram(
        f"batch_norm_{name}/{lane}/{'flat' if flat else 'deep'}",
        lane,
        dict.fromkeys(rows, lane),
        (store,),
        places=numbers if flat else {},
        cyclic={} if flat else numbers,
        outs=(store.out,),
    )


@cache
def apply_program(lane: str, flat: bool, relu: bool) -> RowProgram:
    def value(f: Function, v: Names) -> Value:
        return _larger_than_zero((v.x - v.mean) * v.scale + v.bias, relu)

    name = "apply_relu" if relu else "apply"
    return _element_program(name, lane, flat, ("x",), ("mean", "scale", "bias"), Store("y", value))


def _larger_than_zero(y: Value, relu: bool) -> Value:
    """The larger of y and 0 if `relu`, written so that a NaN stays."""
    return y.cmp("olt", 0.0).select(0.0, y) if relu else y


def _gradient(f: Function, v: Names) -> Value:
    xhat = (v.x - v.mean) * v.rstd
    return (v.g - v.g_mean - xhat * v.gx_mean) * v.scale


@cache
def gradient_program(lane: str, flat: bool) -> RowProgram:
    channels = ("mean", "rstd", "g_mean", "gx_mean", "scale")
    return _element_program("gradient", lane, flat, ("g", "x"), channels, Store("dx", _gradient))


def _gradient_sums(f: Function, v: Any) -> tuple[Value, Value]:
    return v.g * ((v.x - v.mean) * v.rstd), v.g


@cache
def gradient_sums(lane: str) -> Reduction:
    """sum(g * xhat) and sum(g) of each channel."""
    return Reduction(
        f"batch_norm_sums/{lane}",
        {"g": lane, "x": lane},
        lane,
        (SUM, SUM),
        _gradient_sums,
        (lane, lane),
        kept={"mean": lane, "rstd": lane},
    )


# ---- a channel at a time -------------------------------------------------------------------------
#
# A channel stays in the second level of cache from its sums to its elements.


@cache
def channel_program(lane: str, relu: bool) -> RowProgram:
    """Outputs y, mean, var."""

    def value(f: Function, v: Names) -> Value:
        return _larger_than_zero((v.x - v.mean_here) * v.scale + v.bias, relu)

    return RowProgram(
        f"batch_norm_channel/{lane}/{int(relu)}",
        lane,
        {"x": lane},
        (
            Reduce(("total",), (SUM,), lambda f, v: (v.x,)),
            Let("mean_here", lambda f, v: v.total / v.n),
            Reduce(("squares",), (SUM,), _square_distance),
            Let("var_here", lambda f, v: v.squares / v.n),
            Let("scale", lambda f, v: 1.0 / f.sqrt(v.var_here + v.eps) * v.weight),
            Store("y", value),
            Save("mean", lambda f, v: v.mean_here),
            Save("var", lambda f, v: v.var_here),
        ),
        each={"weight": lane, "bias": lane},
        numbers={"eps": "f64"},
        outs=("y",),
        saves=("mean", "var"),
    )


def _square_distance(f: Function, v: Names) -> tuple[Value]:
    distance = v.x - v.mean_here
    return (distance * distance,)


@cache
def channel_backward_program(lane: str) -> RowProgram:
    """Outputs dx, gw, gb."""
    return RowProgram(
        f"batch_norm_channel_backward/{lane}",
        lane,
        {"g": lane, "x": lane},
        (
            Let("rstd", _rstd),
            Reduce(("gw_sum", "gb_sum"), (SUM, SUM), _gradient_sums),
            Let("g_mean", lambda f, v: v.gb_sum / v.n),
            Let("gx_mean", lambda f, v: v.gw_sum / v.n),
            Let("scale", lambda f, v: v.rstd * v.weight),
            Store("dx", _gradient),
            Save("gw", lambda f, v: v.gw_sum),
            Save("gb", lambda f, v: v.gb_sum),
        ),
        each={"weight": lane, "mean": lane, "var": lane},
        numbers={"eps": "f64"},
        outs=("dx",),
        saves=("gw", "gb"),
    )


# ---- planners ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """A plan for (N, C, ...) while it is made."""

    arg: Arg
    threads: int
    workspace: Workspace
    steps: list[Step]

    @property
    def lane(self) -> str:
        return self.arg.dtype.loops

    @property
    def channels(self) -> int:
        return self.arg.shape[1]

    @property
    def count(self) -> int:
        return self.arg.shape[0] * prod(self.arg.shape[2:])

    @property
    def flat(self) -> bool:
        return prod(self.arg.shape[2:]) == 1

    def layout(self) -> Layout:
        """The loops of a reduction over everything but the channels, of a contiguous array."""
        n, c, *rest = self.arg.shape
        size = prod(rest)
        found = find_layout((n, c, size), (c * size, size, 1), (0, 2)) if self.arg.size else None
        return found or Layout("rows", c, self.count)

    def by_channel(self, inputs: int) -> bool:
        """Whether a channel goes through everything before the next.

        That is where each thread has some, where a channel stays in the second level of cache, and
        where it saves something: reads of memory, or the gathering of short pieces.
        """
        caches = cache_sizes()
        whole = inputs * self.count * self.arg.dtype.itemsize
        everything = (inputs + 1) * self.arg.size * self.arg.dtype.itemsize
        short = prod(self.arg.shape[2:]) < SHORT_PIECE
        if not self.arg.size or self.flat:
            return False
        enough = self.channels >= 2 * self.threads and whole <= caches.second
        return enough and (short or everything > caches.third)

    def on_channel(self, program: RowProgram, places: dict[str, Pointer], eps: float) -> None:
        n, c, *rest = self.arg.shape
        self.steps.append(
            pieces_step(program, c, n, prod(rest), places, self.threads, {"eps": eps})
        )

    def numbers(self) -> Pointer:
        """Scratch for one number a channel."""
        return self.workspace.take(self.channels * self.arg.dtype.itemsize)

    def reduce(
        self, spec: Reduction, places: dict[str, Pointer], outs: tuple[Pointer, ...]
    ) -> None:
        self.steps.extend(
            reduction_steps(
                spec, self.layout(), places, outs, self.workspace, self.threads, self.count
            )
        )

    def on_channels(self, program: RowProgram, places: dict[str, Pointer], eps: float) -> None:
        sizes = Sizes(1 if self.channels else 0, self.channels)
        numbers = {"eps": eps, "count": self.count}
        self.steps.extend(row_step(program, sizes, places, 1, numbers))

    def on_elements(self, program: RowProgram, places: dict[str, Pointer]) -> None:
        n, c = self.arg.shape[:2]
        sizes = Sizes(n, c) if self.flat else Sizes(n * c, prod(self.arg.shape[2:]), period=c)
        self.steps.extend(row_step(program, sizes, places, self.threads))

    def plan(self, args: Args) -> Plan:
        copies = tuple(place for place, arg in enumerate(args) if not arg.contiguous)
        return Plan(tuple(self.steps), self.workspace.size, copies)


def begin(arg: Arg, threads: int) -> Batch:
    return Batch(arg, threads, Workspace(), [])


def _apply(batch: Batch, relu: bool, eps: float, places: dict[str, Pointer]) -> None:
    """y from x, mean, var, weight and bias."""
    scale = batch.numbers()
    names = ("var", "weight")
    inputs = {name: places[name] for name in names}
    batch.on_channels(scale_program(batch.lane), {**inputs, "scale": scale}, eps)
    inputs = {name: places[name] for name in ("x", "mean", "bias", "y")}
    program = apply_program(batch.lane, batch.flat, relu)
    batch.on_elements(program, {**inputs, "scale": scale})


@schedule("batch_norm")
def plan_batch_norm(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs x, weight, bias; attrs eps, relu (False); outputs y, mean, var (biased)."""
    batch = begin(args[0], threads)
    dtype = args[0].dtype
    mean, var = Out(1), Out(2)
    if batch.by_channel(1):
        channel: dict[str, Pointer] = {"x": In(0), "weight": In(1), "bias": In(2)}
        channel |= {"y": Out(0), "mean": mean, "var": var}
        program = channel_program(batch.lane, bool(attrs.get("relu")))
        batch.on_channel(program, channel, attrs["eps"])
        return batch.plan(args)
    batch.reduce(arithmetic("mean", dtype, dtype), {"x": In(0)}, (mean,))
    batch.reduce(spread_about(dtype, dtype), {"x": In(0), "mean": mean}, (var,))
    places: dict[str, Pointer] = {"x": In(0), "weight": In(1), "bias": In(2)}
    places |= {"mean": mean, "var": var, "y": Out(0)}
    _apply(batch, bool(attrs.get("relu")), attrs["eps"], places)
    return batch.plan(args)


@schedule("batch_norm_inference")
def plan_batch_norm_inference(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs x, mean, var, weight, bias; attrs eps, relu (False); output y."""
    batch = begin(args[0], threads)
    names = ("x", "mean", "var", "weight", "bias")
    places: dict[str, Pointer] = {name: In(place) for place, name in enumerate(names)}
    _apply(batch, bool(attrs.get("relu")), attrs["eps"], {**places, "y": Out(0)})
    return batch.plan(args)


@schedule("batch_norm_backward")
def plan_batch_norm_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan:
    """Inputs g, x, weight, mean, var; attr eps; outputs dx, gw, gb."""
    batch = begin(args[1], threads)
    lane = batch.lane
    dx, gw, gb = Out(0), Out(1), Out(2)
    if batch.by_channel(2):
        names = ("g", "x", "weight", "mean", "var")
        channel: dict[str, Pointer] = {name: In(place) for place, name in enumerate(names)}
        channel |= {"dx": dx, "gw": gw, "gb": gb}
        batch.on_channel(channel_backward_program(lane), channel, attrs["eps"])
        return batch.plan(args)
    rstd, g_mean, gx_mean, scale = (batch.numbers() for _ in range(4))
    batch.on_channels(rstd_program(lane), {"var": In(4), "rstd": rstd}, attrs["eps"])
    elements: dict[str, Pointer] = {"g": In(0), "x": In(1), "mean": In(3), "rstd": rstd}
    batch.reduce(gradient_sums(lane), elements, (gw, gb))
    places: dict[str, Pointer] = {"gb": gb, "gw": gw, "rstd": rstd, "weight": In(2)}
    made: dict[str, Pointer] = {"g_mean": g_mean, "gx_mean": gx_mean, "scale": scale}
    batch.on_channels(backward_numbers_program(lane), {**places, **made}, 0.0)
    batch.on_elements(gradient_program(lane, batch.flat), {**elements, **made, "dx": dx})
    return batch.plan(args)
