"""Images read at places between their pixels (ops/grid.py): kernels and planners. Floor 6.

A vector holds neighbouring places. Where their pixels are, and with which weights, is found once
for all channels. Sums over a place's pixels go in the order of the pixels, sums into a pixel in the
order of the places, and sums over channels ascend: whatever the vectors and the chunks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.target import host
from twofold.ir.build import Module
from twofold.ir.loops import TYPES, vector
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, In, Out, Plan, Step, Word, chunks_for, schedule, turned
from twofold.lower.task import Task
from twofold.ops.grid import CUBIC

WORDS = "x:ptr grid:ptr g:ptr out:ptr images channels points plane size0 size1 size2"
Attrs = Mapping[str, Any]


class Look(NamedTuple):
    """How images are looked at: what a kernel is made for."""

    element: str
    rank: int
    how: str
    padding: str
    corners: bool
    whole: str  # the numbers of pixels: i32 where they fit

    @property
    def width(self) -> int:
        return host().vector_bytes // TYPES[self.element].size

    @property
    def taps(self) -> int:
        along = {"nearest": 1, "bilinear": 2, "bicubic": 4}[self.how]
        return math.prod([along] * self.rank)


class Tap(NamedTuple):
    """Along one axis: the number of a pixel, whether there is one, its weight, and the slope of the
    weight by the given place."""

    number: Value
    valid: Value
    weight: Value
    slope: Value


class Corner(NamedTuple):
    """A pixel near a place: its number in the plane, whether there is one, its weight, and the
    slopes of that by each axis of the image."""

    number: Value
    valid: Value
    weight: Value
    slopes: list[Value]


# ---- where the pixels are ------------------------------------------------------------------------


class _Near:
    """Finds the pixels near the places of one vector."""

    def __init__(self, t: Task, look: Look) -> None:
        self.t, self.f, self.look = t, t.f, look
        self.kind = vector(look.element, look.width)
        self.lanes = self.f.iota(vector("i64", look.width))

    def mask(self, first: Value) -> Value:
        """The lanes in which there is a place."""
        left = (self.t.points - first).splat(self.look.width)
        return self.lanes.cmp("slt", left)

    def corners(self, image: Value, first: Value, mask: Value) -> list[Corner]:
        look, t = self.look, self.t
        base = t.grid.at((image * t.points + first) * look.rank, look.element)
        steps = self.lanes * look.rank
        sizes = [t.size0, t.size1, t.size2][: look.rank]
        each = []
        for axis, size in enumerate(sizes):
            start = base.at(look.rank - 1 - axis, look.element)
            line = self.f.gather(start, steps, self.kind, mask)
            each.append(self._axis(line, size))
        made = []
        for chosen in itertools.product(*each):
            index, valid = chosen[0].number, chosen[0].valid
            for tap, size in zip(chosen[1:], sizes[1:], strict=True):
                index = index * self._whole(size) + tap.number
                valid = valid & tap.valid
            slopes = [self._product(chosen, k) for k in range(look.rank)]
            made.append(Corner(index, valid & mask, self._product(chosen), slopes))
        return made

    def _product(self, taps: tuple[Tap, ...], by: int = -1) -> Value:
        parts = [tap.slope if k == by else tap.weight for k, tap in enumerate(taps)]
        total = parts[0]
        for part in parts[1:]:
            total = total * part
        return total

    def _whole(self, size: Value) -> Value:
        number = size if self.look.whole == "i64" else size.cast("trunc", self.look.whole)
        return number.splat(self.look.width)

    def _const(self, number: float) -> Value:
        return self.f.const(self.kind, number)

    def _axis(self, line: Value, size: Value) -> list[Tap]:
        f, look = self.f, self.look
        whole = size.cast("sitofp", look.element)
        n, last = whole.splat(look.width), (whole - 1.0).splat(look.width)
        at = (line + 1.0) / 2.0 * last if look.corners else ((line + 1.0) * n - 1.0) / 2.0
        step = (last if look.corners else n) / 2.0
        if look.how == "bicubic":
            low = f.floor(at)
            pairs = enumerate(cubic_weights(at - low))
            return [
                self._tap(self._inside(low + float(k - 1), n, last)[0], last, w, s * step)
                for k, (w, s) in pairs
            ]
        at, turn = self._inside(at, n, last)
        if look.how == "nearest":
            return [self._tap(f.rint(at), last, self._const(1.0), self._const(0.0))]
        low = f.floor(at)
        share, slope = at - low, turn * step
        zero = self._const(0.0)
        return [
            self._tap(low, last, 1.0 - share, zero - slope),
            self._tap(low + 1.0, last, share, slope),
        ]

    def _tap(self, at: Value, last: Value, weight: Value, slope: Value) -> Tap:
        valid = at.cmp("oge", 0.0) & at.cmp("ole", last)
        index = valid.select(at, 0.0).cast("fptosi", vector(self.look.whole, self.look.width))
        return Tap(index, valid, weight, slope)

    def _inside(self, at: Value, n: Value, last: Value) -> tuple[Value, Value]:
        """Places brought into the image, and how they move with those given."""
        turn = self._const(1.0)
        if self.look.padding == "zeros":
            return at, turn
        if self.look.padding == "reflection":
            at, turn = self._reflected(at, n, last)
        within = at.cmp("ogt", 0.0) & at.cmp("olt", last)
        low = at.cmp("ole", 0.0).select(0.0, at)
        return low.cmp("oge", last).select(last, low), within.select(turn, 0.0)

    def _reflected(self, at: Value, n: Value, last: Value) -> tuple[Value, Value]:
        f = self.f
        low, span = (0.0, last) if self.look.corners else (-0.5, n)
        signs = at.cmp("olt", low).select(self._const(-1.0), 1.0)
        away = (at - low) * signs
        flips = f.floor(away / span)
        extra = away - flips * span
        odd = (flips - f.floor(flips / 2.0) * 2.0).cmp("oeq", 1.0)
        made = odd.select(span - extra, extra) + low
        none = span.cmp("oeq", 0.0)
        turn = odd.select(self._const(0.0) - signs, signs)
        return none.select(at * 0.0, made), none.select(0.0, turn)


def cubic_weights(t: Value) -> list[tuple[Value, Value]]:
    """Weights of the four pixels around a place, t behind the second, and their slopes by t."""
    a = CUBIC

    def near(d: Value) -> Value:
        return (d * (a + 2) - (a + 3)) * d * d + 1.0

    def far(d: Value) -> Value:
        return ((d * a - 5 * a) * d + 8 * a) * d - 4 * a

    def near_slope(d: Value) -> Value:
        return (d * (3 * (a + 2)) - 2 * (a + 3)) * d

    def far_slope(d: Value) -> Value:
        return (d * (3 * a) - 10 * a) * d + 8 * a

    left, right = t + 1.0, 1.0 - t
    return [
        (far(left), far_slope(left)),
        (near(t), near_slope(t)),
        (near(right), near_slope(right) * -1.0),
        (far(right + 1.0), far_slope(right + 1.0) * -1.0),
    ]


# ---- kernels -------------------------------------------------------------------------------------


def _each_group(t: Task, look: Look, body: Callable[[Value, Value], None]) -> None:
    """Call body(image, first place) for this chunk's vectors of places."""
    groups = (t.points + (look.width - 1)) // look.width
    low, high = t.share(t.images * groups)
    with t.f.loop(low, high) as unit:
        body(unit // groups, (unit % groups) * look.width)


def build_sample(look: Look) -> Module:
    """Task `grid`: each place's sum over its pixels."""
    m = Module("grid_sample")
    t = Task(m, "grid", WORDS)
    f, near = t.f, _Near(t, look)

    def body(image: Value, first: Value) -> None:
        mask = near.mask(first)
        corners = near.corners(image, first, mask)
        with f.loop(0, t.channels) as c:
            row = image * t.channels + c
            plane = t.x.at(row * t.plane, look.element)
            total = f.const(near.kind, 0.0)
            for corner in corners:
                pixel = f.gather(plane, corner.number, near.kind, corner.valid)
                total = total + pixel * corner.weight
            f.masked_store(total, t.out.at(row * t.points + first, look.element), mask)

    _each_group(t, look, body)
    return m


def build_by_grid(look: Look) -> Module:
    """Task `grid`: the gradient by the places."""
    m = Module("grid_sample_by_grid")
    t = Task(m, "grid", WORDS)
    f, near = t.f, _Near(t, look)
    buffers = [f.array(look.element, look.width, 64) for _ in range(look.rank)]

    def body(image: Value, first: Value) -> None:
        mask = near.mask(first)
        corners = near.corners(image, first, mask)
        dots = [f.var(near.kind, 0.0) for _ in corners]
        with f.loop(0, t.channels) as c:
            row = image * t.channels + c
            plane = t.x.at(row * t.plane, look.element)
            g = f.masked_load(t.g.at(row * t.points + first, look.element), mask, near.kind)
            for corner, dot in zip(corners, dots, strict=True):
                pixel = f.gather(plane, corner.number, near.kind, corner.valid)
                dot.set(dot.get() + g * pixel)
        for axis, buffer in enumerate(buffers):
            total = f.const(near.kind, 0.0)
            for corner, dot in zip(corners, dots, strict=True):
                total = total + dot.get() * corner.slopes[axis]
            buffer.store(total)
        place = t.out.at((image * t.points + first) * look.rank, look.element)
        with f.loop(0, f.min(t.points - first, look.width)) as lane:
            for axis, buffer in enumerate(buffers):
                number = buffer.at(lane, look.element).load(look.element)
                place.at(lane * look.rank + (look.rank - 1 - axis), look.element).store(number)

    _each_group(t, look, body)
    return m


def build_by_input(look: Look) -> Module:
    """Task `grid`: g times its weights, added to the pixels near each place. A chunk has planes of
    its own."""
    m = Module("grid_sample_by_input")
    t = Task(m, "grid", WORDS)
    f, near = t.f, _Near(t, look)
    indices = f.array(look.whole, look.width * look.taps, 64)
    weights = f.array(look.element, look.width * look.taps, 64)
    low, high = t.share(t.images * t.channels)
    f.memset(t.out.at(low * t.plane, look.element), 0, (high - low) * t.plane * _size(look))
    row = f.var("i64", low)
    with f.while_():
        start = row.get()
        f.break_if(start.cmp("sge", high))
        image = start // t.channels
        stop = f.min((image + 1) * t.channels, high)
        with f.loop(0, t.points, look.width) as first:
            mask = near.mask(first)
            for k, corner in enumerate(near.corners(image, first, mask)):
                none = f.const(corner.number.type, -1)
                indices.at(k * look.width, look.whole).store(
                    corner.valid.select(corner.number, none)
                )
                weights.at(k * look.width, look.element).store(corner.weight)
            count = f.min(t.points - first, look.width)
            with f.loop(start, stop) as plane, f.loop(0, count) as lane:
                g = t.g.at(plane * t.points + first + lane, look.element).load(look.element)
                out = t.out.at(plane * t.plane, look.element)
                for k in range(look.taps):
                    index = indices.at(lane + k * look.width, look.whole).load(look.whole)
                    weight = weights.at(lane + k * look.width, look.element).load(look.element)
                    with f.if_(index.cmp("sge", 0)):
                        far = index if look.whole == "i64" else index.cast("sext", "i64")
                        place = out.at(far, look.element)
                        place.store(place.load(look.element) + g * weight)
        row.set(stop)
    return m


def _size(look: Look) -> int:
    return TYPES[look.element].size


# ---- planners ------------------------------------------------------------------------------------

BUILD: dict[str, Callable[[Look], Module]] = {
    "sample": build_sample,
    "by_input": build_by_input,
    "by_grid": build_by_grid,
}


def _plan(
    kind: str, args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Attrs, threads: int
) -> Plan:
    """Inputs x, grid; g, grid; or g, x, grid. All in C order, of one type."""
    grid, dtype = args[-1], args[0].dtype
    image = outs[0].shape if kind == "by_input" else args[kind == "by_grid"].shape
    sizes, points = image[2:], math.prod(grid.shape[1:-1])
    if outs[0].size == 0:
        return Plan(())
    names = attrs["how"], attrs["padding"], bool(attrs["corners"])
    whole = "i32" if math.prod(sizes) < 2**31 and dtype.itemsize == 4 else "i64"
    look = Look(dtype.loops, len(sizes), *names, whole)
    name = f"grid/{kind}/{'/'.join(map(str, look))}/{look.width}"
    code = load(name, partial(BUILD[kind], look))
    sources: dict[str, tuple[Word, ...]] = {
        "sample": (In(0), In(1), 0),
        "by_input": (0, In(1), In(0)),
        "by_grid": (In(1), In(2), In(0)),
    }
    lengths = (*sizes, *(1,) * (3 - len(sizes)))
    job = (*sources[kind], Out(0), *image[:2], points, math.prod(sizes), *lengths)
    units = math.prod(image[:2]) if kind == "by_input" else image[0] * -(-points // look.width)
    work = math.prod(image[:2]) * points * look.taps
    chunks = max(1, min(units, chunks_for(work, threads)))
    step = Step(code.address("grid"), job, chunks)
    return Plan((step,), contiguous=turned(args))


schedule("grid_sample")(partial(_plan, "sample"))
schedule("grid_sample_by_input")(partial(_plan, "by_input"))
schedule("grid_sample_by_grid")(partial(_plan, "by_grid"))
