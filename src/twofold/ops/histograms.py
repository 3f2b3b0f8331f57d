"""Histograms of points on grids. Floor 4."""

from __future__ import annotations

from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.records import NamedTuple
from twofold.ops.compare import logical_and
from twofold.ops.counting import bins_of, counted, edges_of
from twofold.ops.elementwise import add, mul
from twofold.ops.guarding import guard
from twofold.ops.movement import reshape
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.views import narrow


class Histograms(NamedTuple):
    hist: Tensor
    bin_edges: tuple[Tensor, ...]


_Histograms = returned(Histograms, "histogramdd")


def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histograms:
    """How many points f[..., n] fall into each cell of a grid; the last bins are closed.

    bins     a number of bins of equal width for all axes or for each, or the edges f[k + 1] of each
    range    2 n numbers, the ends of each axis in turn
    weight   what each point counts; density makes the histogram's volume 1
    """
    if input.array.ndim < 2:
        raise ShapeError("histogramdd", "points f[..., n] are wanted", input=type_of(input))
    axes = input.array.shape[-1]
    listed = (bins,) * axes if isinstance(bins, int) else tuple(bins)
    ends = () if range is None else tuple(range)
    if len(listed) != axes or len(ends) not in (0, 2 * axes):
        problem = f"{len(listed)} bins and {len(ends)} ends for points of {axes} numbers"
        raise ArgumentError("histogramdd", problem, input=type_of(input))
    points = reshape(input, (-1, axes))
    edges, places, inside = [], None, None
    for axis, given in enumerate(listed):
        x = reshape(narrow(points, 1, axis, 1), (-1,))
        span = (ends[2 * axis], ends[2 * axis + 1]) if ends else None
        edges.append(edges_of("histogramdd", x, given, span))
        place, within = bins_of(x, edges[-1])
        size = edges[-1].array.shape[0] - 1
        places = place if places is None else add(mul(places, size), place)
        inside = within if inside is None else logical_and(inside, within)
    if places is None or inside is None:
        raise ShapeError("histogramdd", "points of no numbers", input=type_of(input))
    made, sizes = counted(points, edges, places, inside, weight, density)
    return _Histograms(reshape(made, sizes), tuple(edges))


guard(globals())
