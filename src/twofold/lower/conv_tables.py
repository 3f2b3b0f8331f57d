"""What is known of a convolution before its numbers are: sizes, and tables of offsets. Floor 6.

All offsets count elements. Tables are made with NumPy once per shape and kept.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from twofold.base.records import NamedTuple

Table = npt.NDArray[np.int64]

# Enough pixels that the empty lanes of a unit's last panel do not matter; when all are full.
UNIT_PIXELS = 384
FULL_UNIT_PIXELS = 256
CACHED = 512


class Axis(NamedTuple):
    """One direction of a convolution."""

    size: int
    kernel: int
    out: int
    stride: int
    padding: int
    dilation: int

    @property
    def padded(self) -> int:
        """How far the windows reach, or the whole padded size if that is more."""
        reach = (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
        return max(self.size + 2 * self.padding, reach)


class Phase(NamedTuple):
    """The inputs first, first + stride, ... of an axis: the taps that meet them, where in gy."""

    first: int
    size: int
    taps: tuple[int, ...]
    shifts: tuple[int, ...]


@lru_cache(CACHED)
def axis_phases(axis: Axis) -> tuple[Phase, ...]:
    """The inputs of an axis by the taps that meet them."""
    phases = []
    for first in range(min(axis.stride, axis.size)):
        start = first + axis.padding
        reached = [(k, start - k * axis.dilation) for k in range(axis.kernel)]
        met = [(k, at // axis.stride) for k, at in reached if at % axis.stride == 0]
        size = -(-(axis.size - first) // axis.stride)
        phases.append(Phase(first, size, tuple(k for k, _ in met), tuple(s for _, s in met)))
    return tuple(phases)


@lru_cache(CACHED)
def border(axis: Axis) -> tuple[int, int, int]:
    """(size of gy, zeros before it, size with zeros), so that every shifted place is inside."""
    phases = axis_phases(axis)
    before = [-shift for phase in phases for shift in phase.shifts]
    after = [shift + p.size - axis.out for p in phases for shift in p.shifts]
    low, high = max(0, *before, 0), max(0, *after, 0)
    return axis.out, low, low + axis.out + high


class Geometry(NamedTuple):
    """The sizes of a convolution: x [batch, channels, ...], w [filters, channels / groups, ...]."""

    batch: int
    channels: int
    filters: int
    groups: int
    rows: Axis
    columns: Axis

    @property
    def group_channels(self) -> int:
        return self.channels // self.groups

    @property
    def group_filters(self) -> int:
        return self.filters // self.groups

    @property
    def taps(self) -> int:
        return self.rows.kernel * self.columns.kernel

    @property
    def pixels(self) -> int:
        """Outputs of one channel of one image."""
        return self.rows.out * self.columns.out

    @property
    def plane(self) -> int:
        """Inputs of one channel of one image."""
        return self.rows.size * self.columns.size

    @property
    def padded_plane(self) -> int:
        return self.rows.padded * self.columns.padded

    @property
    def borders(self) -> bool:
        """Whether the windows leave the image."""
        return self.padded_plane != self.plane


class Panels(NamedTuple):
    """Pixels in panels: where their numbers come from, and where their results go.

    run_index   the runs of panel p are run_index[p] to run_index[p + 1]
    runs        [offset in the source, lane, code]
    place       the offset of a panel whose results are adjacent, else -1
    span_index  likewise for the other panels: spans of results
    spans       [offset in the result, lane, code]
    """

    total: int
    run_index: Table
    runs: Table
    place: Table
    span_index: Table
    spans: Table


def table(values: npt.ArrayLike) -> Table:
    return np.ascontiguousarray(values, np.int64).reshape(-1)


def address(values: Table) -> int:
    return values.ctypes.data


def unit_images(batch: int, pixels: int, lanes: int) -> int:
    """How many images make a unit: tables describe one unit, all others are the same, moved."""
    for images in range(1, batch):
        if batch % images:
            continue
        found = images * pixels
        if found >= (FULL_UNIT_PIXELS if found % lanes == 0 else UNIT_PIXELS):
            return images
    return max(batch, 1)


def grid(*axes: tuple[int, int]) -> Table:
    """Offsets of a box of points: grid((count, step), ...), the last axis fastest."""
    total = np.zeros(1, np.int64)
    for count, step in axes:
        total = (total[:, None] + np.arange(count, dtype=np.int64) * step).reshape(-1)
    return total


@lru_cache(CACHED)
def arange(count: int) -> Table:
    return np.arange(count, dtype=np.int64)


@lru_cache(CACHED)
def tile_starts(rows: int, most: int) -> Table:
    """Cut rows into tiles of almost equal height, at most `most` each: for 6, 32 is four times 5
    and two times 6, never 2."""
    tiles = -(-rows // most)
    return table(np.arange(tiles + 1) * rows // max(tiles, 1))


def heights_in(starts: Table) -> set[int]:
    """The rows of tiles that begin so."""
    return set(np.diff(starts).tolist())


def cover(
    offsets: Table, step: int, lanes: int, widest: int
) -> tuple[Table, npt.NDArray[np.int64]]:
    """Cut offsets into panels of lanes, and the panels into runs whose offsets are `step` apart.

    A run is covered by one or two copies of a power of two of elements, which may overlap.
    Gives rows [offset, lane, log2(elements)] and the index of each panel's first row.
    """
    count = len(offsets)
    lane = np.arange(count) % lanes
    begins = lane == 0
    begins[1:] |= (np.diff(offsets) != step) if widest > 1 else True
    start = np.flatnonzero(begins)
    length = np.diff(np.append(start, count))
    power = np.minimum(np.frexp(length)[1] - 1, widest.bit_length() - 1).astype(np.int64)
    again = start + length - (1 << power)
    copies = np.stack([start, again], 1)
    kept = np.stack([np.ones(len(start), bool), again != start], 1)
    first = copies[kept]
    rows = np.stack([offsets[first], lane[first], np.repeat(power, 2).reshape(-1, 2)[kept]], 1)
    panels = -(-count // lanes)
    index = np.searchsorted(first // lanes, np.arange(panels + 1))
    return rows, index


def make_panels(
    source: Table, result: Table, source_step: int, result_step: int, lanes: int
) -> Panels:
    """Panels of pixels by the offsets of their source and of their result, lane after lane.

    Codes are those of conv_pack.run_codes: log2(elements), and beyond them the strided ones.
    """
    widths = lanes.bit_length()
    widest = {1: lanes, 2: lanes // 2}.get(source_step, 1)
    runs, run_index = cover(source, source_step, lanes, widest)
    if source_step == 2:
        runs[:, 2] += np.where(runs[:, 2] > 0, widths - 1, 0)
    count = -(-len(source) // lanes)
    last = np.minimum(np.arange(1, count + 1) * lanes, len(source)) - 1
    first = np.arange(count) * lanes
    whole = (result_step == 1) & (last - first == lanes - 1)
    whole = whole & (result[last] - result[first] == lanes - 1)
    spans, span_index = cover(result, result_step, lanes, lanes // 2)
    if result_step != 1:
        spans[:, 2] += np.where(spans[:, 2] > 0, widths - 1, 0)
    place = np.where(whole, result[first], -1)
    parts = (run_index, runs, place, span_index, spans)
    return Panels(count, *map(table, parts))
