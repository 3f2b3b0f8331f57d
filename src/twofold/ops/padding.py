"""Padding: one value, or a tensor's own elements, around its axes. Floor 4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import maximum, minimum, whole
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.guarding import guard
from twofold.ops.indexing import VIEW, Slice
from twofold.ops.joining import ALL, cat, flip
from twofold.ops.movement import expand
from twofold.ops.op import INEXACT, Sample, define
from twofold.ops.tensor import Tensor, type_of

__all__ = [
    "constant_pad_nd",
    "pad",
]


def _pad(x: Any, *, sides: Any, value: Any) -> Any:
    shape = tuple(n + a + b for n, (a, b) in zip(x.shape, sides, strict=True))
    made = np.full(shape, value if x.dtype.kind != "V" else (0,), x.dtype)
    inside = tuple(
        slice(max(a, 0), max(a, 0) + n + min(a, 0) + min(b, 0))
        for n, (a, b) in zip(x.shape, sides, strict=True)
    )
    part = tuple(
        slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, sides, strict=True)
    )
    made[inside] = x[part]
    return made


PAD = define(
    "pad",
    attrs=("sides", "value"),
    doc="x with one value added (or, for negative numbers, elements taken away) around each axis.",
    infer=lambda x, *, sides, value: Type(
        tuple(n + a + b for n, (a, b) in zip(x.shape, sides, strict=True)), x.dtype
    ),
    lower="pad",
    ref=_pad,
    vjp=lambda g, out, x, *, sides, value: (
        bind(PAD, (g,), (tuple((-a, -b) for a, b in sides), 0.0)),  # type: ignore[has-type]
    ),
    samples=lambda r: [
        Sample((r.normal(size=(2, 3)), ((0, 1), (2, 0)), 0.0)),
        Sample((r.normal(size=(4, 3)), ((-1, 1), (0, -1)), 1.5)),
    ],
    torch=False,
)


AROUND = ("reflect", "replicate", "circular")
IN_NUMPY = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
MOST_AXES = 3  # the last ones, that one kernel pads


def places_around(size: int, side: tuple[int, int], how: str) -> Any:
    """Of which element of an axis each one of the padded axis is a copy, i64."""
    return np.pad(np.arange(size), side, IN_NUMPY[how])  # type: ignore[call-overload]


def _grid_around(size: Any, sides: Any, how: str) -> Any:
    lines = [places_around(n, side, how) for n, side in zip(size, sides, strict=True)]
    return np.ix_(*lines)


def _around(x: Any, *, sides: Any, how: str) -> Any:
    return x[(..., *_grid_around(x.shape[x.ndim - len(sides) :], sides, how))]


def _around_sum(g: Any, *, sides: Any, how: str, size: Any) -> Any:
    made = np.zeros((*g.shape[: g.ndim - len(sides)], *size), g.dtype)
    np.add.at(made, (..., *_grid_around(size, sides, how)), g)
    return made


def _padded_type(x: Type, *, sides: Any, how: str) -> Type:
    rest = len(x.shape) - len(sides)
    grown = [n + a + b for n, (a, b) in zip(x.shape[rest:], sides, strict=True)]
    return x.with_shape((*x.shape[:rest], *grown))


def _around_vjp(g: Tensor, out: Any, x: Any, *, sides: Any, how: str) -> Any:
    size = tuple(x.shape[len(x.shape) - len(sides) :])
    return (bind(PAD_AROUND_SUM, (g,), (sides, how, size)),)


PAD_AROUND = define(
    "pad_around",
    attrs=("sides", "how"),
    doc="x whose last axes go on around it: reflected, replicated or from the other end.",
    infer=_padded_type,
    lower="pad_around",
    ref=_around,
    vjp=_around_vjp,
    samples=lambda r: [
        Sample((r.normal(size=(2, 3, 4)), ((1, 2), (3, 0)), "reflect")),
        Sample((r.normal(size=(2, 3, 4)), ((2, 1), (0, 5)), "replicate")),
        Sample((r.normal(size=(2, 2, 3, 4)), ((2, 1), (3, 0), (1, 4)), "circular")),
        Sample((r.normal(size=(5,)), ((2, 4),), "reflect")),
    ],
    torch=False,
)
PAD_AROUND_SUM = define(
    "pad_around_sum",
    inputs="g",
    attrs=("sides", "how", "size"),
    doc="The gradient of pad_around: each element the sum over its copies, in their order.",
    accepts=INEXACT,
    infer=lambda g, *, sides, how, size: g.with_shape(
        (*g.shape[: len(g.shape) - len(sides)], *size)
    ),
    lower="pad_around_sum",
    ref=_around_sum,
    vjp=lambda h, out, g, *, sides, how, size: (bind(PAD_AROUND, (h,), (sides, how)),),
    samples=lambda r: [
        Sample((r.normal(size=(2, 6, 7)), ((1, 2), (3, 0)), "reflect", (3, 4))),
        Sample((r.normal(size=(6, 9)), ((2, 1), (0, 5)), "replicate", (3, 4))),
        Sample((r.normal(size=(5, 6, 9)), ((2, 1), (3, 0), (1, 4)), "circular", (2, 3, 4))),
    ],
    torch=False,
)


def pad(
    input: Tensor, pad: Sequence[int], mode: str = "constant", value: complex | None = None
) -> Tensor:
    """`input` padded by pairs (before, after) of the last axis, the last but one, and so on.

    mode: constant, reflect, replicate or circular. Raises ShapeError.
    """
    amounts = [whole(n) for n in pad]
    ndim = input.array.ndim
    if len(amounts) % 2 or len(amounts) > 2 * ndim:
        raise ShapeError(
            "pad",
            f"{len(amounts)} numbers for {ndim} axes",
            hint="two for each padded axis",
            input=type_of(input),
        )
    pairs = [(amounts[i], amounts[i + 1]) for i in range(0, len(amounts), 2)]
    sides = ((0, 0),) * (ndim - len(pairs)) + tuple(reversed(pairs))
    if any(n + a + b < 0 for n, (a, b) in zip(input.array.shape, sides, strict=True)):
        raise ShapeError("pad", f"{amounts} takes away more than there is", input=type_of(input))
    if isinstance(value, complex):
        if value.imag:
            raise ArgumentError("pad", f"value {value} is not real", hint="a real number")
        value = value.real
    if mode == "constant":
        return bind(PAD, (input,), (sides, 0.0 if value is None else float(value)))  # type: ignore[no-any-return]
    if mode not in AROUND:
        raise ArgumentError(
            "pad", f"mode={mode!r} is not known", hint="constant, reflect, replicate or circular"
        )
    first = next((axis for axis, side in enumerate(sides) if side != (0, 0)), ndim)
    if first < ndim <= first + MOST_AXES and all(n >= 0 for side in sides for n in side):
        for axis, (before, after) in enumerate(sides):
            _check_enough(input, axis, maximum(before, after), mode)
        made: Tensor = bind(PAD_AROUND, (input,), (sides[first:], mode))
        return made
    made = input
    for axis, (before, after) in enumerate(sides):
        if before or after:
            made = _pad_around(made, axis, before, after, mode)
    return made


padded = pad


def constant_pad_nd(input: Tensor, pad: Sequence[int], value: complex = 0) -> Tensor:
    """`pad` with a number."""
    return padded(input, pad, "constant", value)


def _pad_around(x: Tensor, axis: int, before: int, after: int, mode: str) -> Tensor:
    """One axis padded with its own elements, and cut where an amount is negative.

    PyTorch cuts before it goes round, and after it reflects or repeats.
    """
    if mode == "circular" and (before < 0 or after < 0):
        length = x.array.shape[axis] + minimum(before, 0) + minimum(after, 0)
        x = x.narrow(axis, maximum(-before, 0), length)  # type: ignore[attr-defined]
        before, after = maximum(before, 0), maximum(after, 0)
    grown = (maximum(before, 0), maximum(after, 0))
    _check_enough(x, axis, maximum(*grown), mode)
    sides = _sides(x, axis, *grown, mode)
    made = cat([part for part in (sides[0], x, sides[1]) if part is not None], axis)
    first, last = maximum(-before, 0), maximum(-after, 0)
    return _piece(made, axis, first, made.array.shape[axis] - last) if first or last else made


def _check_enough(x: Tensor, axis: int, most: Any, mode: str) -> None:
    size = x.array.shape[axis]
    enough = size > 0 if mode == "replicate" else most <= size - (mode == "reflect")
    if most > 0 and not enough:
        problem = f"axis {axis} has too few elements to {mode} {most}"
        raise ShapeError("pad", problem, input=type_of(x))


def _piece(x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    made: Tensor = bind(VIEW, (x,), ((ALL,) * axis + (Slice(start, stop, None),),))
    return made


def _sides(x: Tensor, axis: int, before: int, after: int, mode: str) -> list[Tensor | None]:
    """What stands before and behind the elements of an axis."""
    size = x.array.shape[axis]
    if mode == "circular":
        parts = [(size - before, size), (0, after)]
    elif mode == "reflect":
        parts = [(1, before + 1), (size - 1 - after, size - 1)]
    else:
        parts = [(0, 1), (size - 1, size)]
    made: list[Tensor | None] = []
    for count, (start, stop) in zip((before, after), parts, strict=True):
        if not count:
            made.append(None)
            continue
        part = _piece(x, axis, start, stop)
        if mode == "reflect":
            part = flip(part, axis)
        elif mode == "replicate":
            shape = part.array.shape
            part = expand(part, (*shape[:axis], count, *shape[axis + 1 :]))
        made.append(part)
    return made


guard(globals())
