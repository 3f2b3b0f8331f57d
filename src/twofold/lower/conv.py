"""The planners of convolution: forward, gradient by the input, gradient by the weights. Floor 6.

    conv              x [n, c, (h,) w], weights [o, c / groups, (kh,) kw], bias [o] or none -> y
    conv_input_grad   gy, weights -> gx
    conv_weight_grad  x, gy -> gw

Attributes: stride, padding, dilation (a tuple with a number for each direction), groups, and for
conv `relu`: clip the result at zero, and those of conv_then (ops/fused.py). One direction is two
with a height of 1.
"""

from collections.abc import Mapping
from math import prod
from typing import Any

from twofold.base.types import Type
from twofold.lower.conv_forward import add_forward
from twofold.lower.conv_input import add_input_gradient
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Axis, Geometry
from twofold.lower.conv_then import make_then
from twofold.lower.conv_tile import ADD_BIAS, RELU, TILES, Format
from twofold.lower.conv_weight import add_weight_gradient
from twofold.lower.schedule import Arg, In, Plan, schedule
from twofold.lower.winograd import add_winograd, of_forward, of_input_gradient

Attrs = Mapping[str, Any]
Shape = tuple[int, ...]

# The attributes of each direction, in the order of Axis, and what they are when not given.
PLAIN = {"stride": 1, "padding": 0, "dilation": 1}


def geometry(x: Shape, weights: Shape, y: Shape, attrs: Attrs) -> Geometry:
    """The sizes of a convolution of one or two directions."""
    directions = len(x) - 2
    if directions not in (1, 2):
        raise ValueError(f"conv: {directions} directions are not supported, only 1 and 2")
    settings = [attrs.get(name, (plain,) * directions) for name, plain in PLAIN.items()]
    sizes = zip(x[2:], weights[2:], y[2:], *settings, strict=True)
    axes = [Axis(*axis) for axis in sizes]
    if directions == 1:
        axes.insert(0, Axis(1, 1, 1, 1, 0, 1))
    return Geometry(x[0], x[1], weights[0], int(attrs.get("groups", 1)), *axes)


def _format(args: tuple[Arg, ...]) -> Format:
    return TILES[args[0].dtype.name]


def _begin(args: tuple[Arg, ...], threads: int) -> tuple[Steps, Format]:
    fmt = _format(args)
    return Steps(threads, fmt.itemsize, args[1].frozen), fmt


def _strided(args: tuple[Arg, ...]) -> tuple[int, ...]:
    return tuple(index for index, arg in enumerate(args) if not arg.contiguous)


@schedule("conv")
def plan_conv(args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int) -> Plan:
    """y = x convolved with the weights, plus a bias, clipped at zero; what follows by conv_then."""
    steps, fmt = _begin(args, threads)
    g = geometry(args[0].shape, args[1].shape, outs[0].shape, attrs)
    bias = In(2) if attrs.get("biased", len(args) > 2) else None
    finish = (0 if bias is None else ADD_BIAS) | (RELU if attrs.get("relu") else 0)
    if prod(outs[0].shape):
        quick = of_forward(fmt, g, steps.frozen) if attrs.get("fast") else None
        if quick is None:
            add_forward(
                steps, fmt, g, bias, finish, lambda fit: make_then(steps, fit, g, args, attrs)
            )
        else:
            then = make_then(steps, fmt, g, args, attrs)
            add_winograd(steps, fmt, quick, 0 if bias is None else bias, finish, then)
    return steps.finish(_strided(args))


@schedule("conv_fast")
def plan_conv_fast(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan | None:
    """The same, by other sums where these take less time."""
    return plan_conv(args, outs, {**attrs, "fast": True}, threads)


@schedule("conv_input_grad")
def plan_input_grad(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan:
    """gx from gy and the weights."""
    steps, fmt = _begin(args, threads)
    g = geometry(outs[0].shape, args[1].shape, args[0].shape, attrs)
    if prod(outs[0].shape):
        quick = of_input_gradient(fmt, g, steps.frozen) if attrs.get("fast") else None
        if quick is None:
            add_input_gradient(steps, fmt, g)
        else:
            add_winograd(steps, fmt, quick, 0, 0, None)
    return steps.finish(_strided(args))


@schedule("conv_input_grad_fast")
def plan_input_grad_fast(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan | None:
    """The same, by other sums where these take less time."""
    return plan_input_grad(args, outs, {**attrs, "fast": True}, threads)


@schedule("conv_weight_grad")
def plan_weight_grad(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan:
    """gw from x and gy."""
    fmt = _format(args)
    steps = Steps(threads, fmt.itemsize)
    g = geometry(args[0].shape, outs[0].shape, args[1].shape, attrs)
    if prod(outs[0].shape):
        add_weight_gradient(steps, fmt, g)
    return steps.finish(_strided(args))
