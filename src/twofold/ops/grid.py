"""Images read at places between their pixels, with gradients by the images and the places. Floor 4.

A place is a number for each axis, -1 and 1 the edges of the image (with `corners` the centres of
its outermost pixels). Its value is a sum over taps: pixels nearby, each with a weight that is a
product over the axes. `taps` writes them once, for NumPy and for tensors; kernels are in
lower/grid.py. Cubic weights are Keys' (1981), padding as in spatial transformers (Jaderberg et al.
2015).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import where
from twofold.ops.elementwise import cast
from twofold.ops.gather import GATHER
from twofold.ops.guarding import guard
from twofold.ops.joining import stack
from twofold.ops.movement import expand, reshape
from twofold.ops.op import FLOAT, Sample, define, wanted
from twofold.ops.rounding import floor, round
from twofold.ops.source import zeros_of
from twofold.ops.tensor import Tensor

CUBIC = -0.75
ATTRS = ("how", "padding", "corners")


class Tap(NamedTuple):
    """A pixel near a place along one axis: where it is, its weight, and the weight's slope."""

    at: Any
    weight: Any
    slope: Any


# ---- the taps of an axis -------------------------------------------------------------------------


def scaled(line: Any, size: int, corners: bool) -> Any:
    """Places from -1 to 1 as places among pixels."""
    return (line + 1) / 2 * (size - 1) if corners else ((line + 1) * size - 1) / 2


def inside(lib: Any, at: Any, size: int, padding: str, corners: bool) -> tuple[Any, Any]:
    """Places brought into the image by the padding mode, and how they move with those given."""
    if padding == "zeros":
        return at, 1.0
    turn: Any = 1.0
    if padding == "reflection":
        at, turn = _reflected(lib, at, size, corners)
    within = (at > 0) & (at < size - 1)  # at a border itself the slope is 0, as outside
    low = lib.where(at <= 0, 0.0, at)
    held = lib.where(low >= size - 1, float(size - 1), low)
    return held, lib.where(within, turn, 0.0)


def _reflected(lib: Any, at: Any, size: int, corners: bool) -> tuple[Any, Any]:
    low, span = (0.0, float(size - 1)) if corners else (-0.5, float(size))
    if span == 0:
        return at * 0, 0.0
    signs = lib.where(at < low, -1.0, 1.0)
    away = (at - low) * signs
    flips = lib.floor(away / span)
    extra = away - flips * span
    odd = flips - lib.floor(flips / 2) * 2 == 1
    return lib.where(odd, span - extra, extra) + low, lib.where(odd, -signs, signs)


def _taps(lib: Any, line: Any, size: int, how: str, padding: str, corners: bool) -> list[Tap]:
    """The taps of one axis; slopes are those by the place that was given, from -1 to 1."""
    step = (size - 1) / 2 if corners else size / 2
    at = scaled(line, size, corners)
    if how == "bicubic":
        low = lib.floor(at)
        return [
            Tap(inside(lib, low + (k - 1), size, padding, corners)[0], weight, slope * step)
            for k, (weight, slope) in enumerate(cubic(at - low))
        ]
    at, turn = inside(lib, at, size, padding, corners)
    if how == "nearest":
        return [Tap(lib.round(at), 1.0, 0.0)]
    low = lib.floor(at)
    share = at - low
    slope = turn * step
    return [Tap(low, 1 - share, -slope), Tap(low + 1, share, slope)]


def cubic(t: Any) -> list[tuple[Any, Any]]:
    """Weights of the four pixels around a place, t behind the second, and their slopes by t."""
    a = CUBIC

    def near(d: Any) -> Any:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Any) -> Any:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    def near_slope(d: Any) -> Any:
        return (3 * (a + 2) * d - 2 * (a + 3)) * d

    def far_slope(d: Any) -> Any:
        return (3 * a * d - 10 * a) * d + 8 * a

    left, right = t + 1, 1 - t
    return [
        (far(left), far_slope(left)),
        (near(t), near_slope(t)),
        (near(right), -near_slope(right)),
        (far(right + 1), -far_slope(right + 1)),
    ]


# ---- all axes, for NumPy and for tensors ---------------------------------------------------------


class _Numpy:
    """What the formulas need, of arrays; operators do the rest."""

    floor, round = np.floor, np.rint

    @staticmethod
    def where(condition: Any, yes: Any, no: Any) -> Any:
        kind = next((v.dtype for v in (yes, no) if isinstance(v, np.ndarray)), None)
        return np.where(condition, *(np.asarray(v, kind) for v in (yes, no)))

    @staticmethod
    def whole(at: Any) -> Any:
        return at.astype(np.int64)

    @staticmethod
    def pick(planes: Any, index: Any, valid: Any) -> Any:
        full = np.broadcast_to(index[:, None], (*planes.shape[:2], index.shape[-1]))
        found = np.take_along_axis(planes, full, 2)
        return np.where(valid[:, None], found, planes.dtype.type(0))


class _Tensors:
    """What the formulas need, of tensors. Floors have no gradient."""

    where = staticmethod(where)

    @staticmethod
    def floor(x: Any) -> Any:
        return floor(x.detach())

    @staticmethod
    def round(x: Any) -> Any:
        return round(x.detach())

    @staticmethod
    def whole(at: Any) -> Any:
        return cast(at, dtypes.int64)

    @staticmethod
    def pick(planes: Any, index: Any, valid: Any) -> Any:
        shape = (*planes.array.shape[:2], index.array.shape[-1])
        full = expand(reshape(index, (shape[0], 1, shape[2])), shape)
        return where(valid.unsqueeze(1), bind(GATHER, (planes, full), (2,)), 0.0)


class Corner(NamedTuple):
    """A pixel near a place, [N, points]: its number in the plane, whether there is one, its weight
    and the weight's slope by each axis of the image."""

    index: Any
    valid: Any
    weight: Any
    slopes: list[Any]


def corners_of(
    lib: Any, grid: Any, sizes: tuple[int, ...], how: str, padding: str, corners: bool
) -> Iterator[Corner]:
    """The pixels that the places grid[N, points, axes] of (x, y, ...) are made of."""
    rank = len(sizes)
    lines = [grid[:, :, rank - 1 - axis] for axis in range(rank)]
    each = [
        _taps(lib, line, size, how, padding, corners)
        for line, size in zip(lines, sizes, strict=True)
    ]
    for chosen in itertools.product(*each):
        index: Any = 0
        valid: Any = None
        for tap, size in zip(chosen, sizes, strict=True):
            there = (tap.at >= 0) & (tap.at <= size - 1)
            valid = there if valid is None else valid & there
            # a place that is not a number counts as the first
            index = index * size + lib.whole(lib.where(there, tap.at, 0.0))
        yield Corner(index, valid, _product(chosen), [_product(chosen, k) for k in range(rank)])


def _product(taps: tuple[Tap, ...], by: int = -1) -> Any:
    parts = [tap.slope if k == by else tap.weight for k, tap in enumerate(taps)]
    total = parts[0]
    for part in parts[1:]:
        total = total * part
    return total


def _flat(x: Any, grid: Any) -> tuple[Any, Any]:
    """Planes as rows and places as a list: x[N, C, pixels], grid[N, points, axes]."""
    n, c = x.shape[:2]
    planes = x.reshape(n, c, _count(x.shape[2:]))
    return planes, grid.reshape(n, _count(grid.shape[1:-1]), grid.shape[-1])


def _count(sizes: Any) -> Any:
    total: Any = 1
    for size in sizes:
        total = total * size
    return total


def _sample(x: Any, grid: Any, **attrs: Any) -> Any:
    planes, places = _flat(x, grid)
    total = np.zeros((*planes.shape[:2], places.shape[1]), x.dtype)
    for corner in corners_of(_Numpy, places, x.shape[2:], **attrs):
        weight = np.broadcast_to(corner.weight, corner.valid.shape)[:, None]
        total = total + _Numpy.pick(planes, corner.index, corner.valid) * weight
    return total.reshape(*x.shape[:2], *grid.shape[1:-1]).astype(x.dtype, copy=False)


def _by_input(g: Any, grid: Any, *, size: Any, **attrs: Any) -> Any:
    made = np.zeros((*g.shape[:2], *size), g.dtype)
    planes, places = _flat(made, grid)
    flat = g.reshape(*g.shape[:2], places.shape[1])
    images, channels = np.ix_(*map(np.arange, g.shape[:2]))
    for corner in corners_of(_Numpy, places, size, **attrs):
        weight = np.broadcast_to(np.where(corner.valid, corner.weight, 0), corner.valid.shape)
        part = np.where(corner.valid[:, None], flat * weight[:, None], 0)
        np.add.at(planes, (images[..., None], channels[..., None], corner.index[:, None]), part)
    return made


def _by_grid(lib: Any, g: Any, x: Any, grid: Any, **attrs: Any) -> list[Any]:
    """The gradient by each axis of the image, [N, points]."""
    planes, places = _flat(x, grid)
    flat = g.reshape(*planes.shape[:2], places.shape[1])
    sums: list[Any] = [0.0] * (len(x.shape) - 2)
    for corner in corners_of(lib, places, tuple(x.shape[2:]), **attrs):
        dot = (flat * lib.pick(planes, corner.index, corner.valid)).sum(1)
        sums = [total + dot * slope for total, slope in zip(sums, corner.slopes, strict=True)]
    return sums


def _grid_ref(g: Any, x: Any, grid: Any, **attrs: Any) -> Any:
    parts = _by_grid(_Numpy, g, x, grid, **attrs)[::-1]
    return np.stack(parts, -1).reshape(grid.shape).astype(grid.dtype)


# ---- the operations ------------------------------------------------------------------------------


def _made(x: Type, grid: Type, **_: Any) -> Type:
    return Type((*x.shape[:2], *grid.shape[1:-1]), x.dtype)


def _sample_vjp(g: Tensor, out: Any, x: Any, grid: Any, **attrs: Any) -> Any:
    values = tuple(attrs[name] for name in ATTRS)
    by_x = by_grid = None
    if wanted(x):
        by_x = bind(GRID_SAMPLE_BY_INPUT, (g, grid), (*values, tuple(x.shape[2:])))
    if wanted(grid):
        by_grid = _slope(g, x, grid, values)
    return by_x, by_grid


def _slope(g: Any, x: Any, grid: Any, values: tuple[Any, ...]) -> Any:
    """The gradient by the grid; as tensor operations where it is differentiated in turn."""
    if values[0] == "nearest":
        return zeros_of(grid.array.shape, grid.array.dtype)
    if not mode.grad:
        return bind(GRID_SAMPLE_BY_GRID, (g, x, grid), values)
    parts = _by_grid(_Tensors, g, x, grid, **dict(zip(ATTRS, values, strict=True)))
    return reshape(stack(parts[::-1], -1), grid.array.shape)


def _by_input_vjp(h: Tensor, out: Any, g: Any, grid: Any, *, size: Any, **attrs: Any) -> Any:
    values = tuple(attrs[name] for name in ATTRS)
    by_g = bind(GRID_SAMPLE, (h, grid), values) if wanted(g) else None
    return by_g, _slope(g, h, grid, values) if wanted(grid) else None


def _samples(r: Any, first: Any) -> list[Sample]:
    grid = r.uniform(-1.3, 1.3, size=(2, 3, 2, 2))
    volume = r.uniform(-1.2, 1.2, size=(1, 5, 3))
    calls = [("bilinear", "zeros", False), ("bilinear", "border", True)]
    calls += [("bilinear", "reflection", False), ("bicubic", "zeros", True)]
    calls += [("nearest", "reflection", True), ("bicubic", "reflection", False)]
    made = [first(r, (2, 3, 4, 5), grid, call) for call in calls]
    solid = volume.reshape(1, 5, 1, 1, 3)
    return [*made, first(r, (1, 2, 3, 4, 2), solid, ("bilinear", "zeros", True))]


GRID_SAMPLE = define(
    "grid_sample",
    inputs="x grid",
    attrs=ATTRS,
    doc="Images x[N, C, ...] at the places grid[N, ..., axes].",
    accepts=FLOAT,
    infer=_made,
    lower="grid_sample",
    ref=_sample,
    vjp=_sample_vjp,
    saves="x:grid grid",
    samples=lambda r: _samples(
        r, lambda r, size, grid, call: Sample((r.normal(size=size), grid, *call))
    ),
    torch=False,
)
GRID_SAMPLE_BY_INPUT = define(
    "grid_sample_by_input",
    inputs="g grid",
    attrs=(*ATTRS, "size"),
    doc="The gradient of grid_sample by its images: g added to the pixels near each place.",
    accepts=FLOAT,
    infer=lambda g, grid, *, size, **_: Type((*g.shape[:2], *size), g.dtype),
    lower="grid_sample_by_input",
    ref=_by_input,
    vjp=_by_input_vjp,
    saves="g:grid grid",
    samples=lambda r: _samples(
        r,
        lambda r, size, grid, call: Sample(
            (r.normal(size=(*size[:2], *grid.shape[1:-1])), grid, *call, size[2:])
        ),
    ),
    torch=False,
)
GRID_SAMPLE_BY_GRID = define(
    "grid_sample_by_grid",
    inputs="g x grid",
    attrs=ATTRS,
    doc="The gradient of grid_sample by the places.",
    accepts=FLOAT,
    infer=lambda g, x, grid, **_: grid,
    lower="grid_sample_by_grid",
    ref=lambda g, x, grid, **attrs: _grid_ref(g, x, grid, **attrs),
    samples=lambda r: _samples(
        r,
        lambda r, size, grid, call: Sample(
            (r.normal(size=(*size[:2], *grid.shape[1:-1])), r.normal(size=size), grid, *call)
        ),
    ),
    torch=False,
)


guard(globals())
