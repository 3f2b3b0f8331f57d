"""Plan the common form of a convolution and of its gradient by the input. Floor 6.

    out[row, pixel] = chain over k of fma(weights[row, k], source[k, pixel], .)

for every unit (some images) and every group. conv_packed or conv_turned, by size: the same bits.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from twofold.lower.caches import cache_sizes
from twofold.lower.conv_pack import Planes, add_lanes, add_pad, each_task, flat
from twofold.lower.conv_packed import PACK, PACKED, packed_code
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Panels, Table, heights_in, tile_starts
from twofold.lower.conv_then import Then
from twofold.lower.conv_tile import Format, narrow, want_tiles
from twofold.lower.conv_turned import (
    BY_FILTERS,
    TILE_BLOCK,
    TURNED,
    by_filters_code,
    turned_code,
)
from twofold.lower.schedule import Pointer, Word

# The k that a row tile and a panel take at a time: both stay in the nearest cache.
DEPTH_BLOCK = 288
# The same for conv_turned, whose panels are few and stay in the second cache.
TURNED_DEPTH_BLOCK = 1024
# What packing takes, in the time of as many multiply-adds of a number.
PACK_FILTER = 10
PACK_PIXEL = 16
# Of this many times the second cache, pixels are read again and again.
NEAR = 4
# Blocks of tiles for a thread, from which on the work is shared by them.
MANY_BLOCKS = 8
# Panels that are used together stay in the second cache.
PANEL_BYTES = 128 * 1024
# Weights beyond this are read once for many panels, or the reading is what takes the time.
WEIGHT_BYTES = 256 * 1024
# Of the second cache, the planes of a unit that a chunk gives a border for itself.
UNIT_SHARE = 1
# Chunks have buffers, so that they must not be many.
MOST_CHUNKS = 16
# Packing all panels beforehand must not need more than this.
PACKED_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Lanes:
    """How conv_lanes finds the weights as [outer][row][size]."""

    outer: int
    size: int
    group_step: int
    outer_step: int


@dataclass(frozen=True, slots=True)
class Product:
    """What lies where. Offsets and steps count elements, those of the source with its border.

    `scattered` weights are read in an order that caches do not foresee. `image` are the pixels of
    an image, from one of which to the next there are `image_step` elements: `then` is told of them.
    """

    rows: int
    depth: int
    units: int
    groups: int
    weights: Pointer
    weight_rows: Table
    weight_steps: Table
    weight_group: int
    bias: Word
    finish: int
    source: Pointer
    planes: Planes
    unit_planes: int
    source_pixels: Table
    source_steps: Table
    source_unit: int
    source_group: int
    out: Pointer
    out_pixels: Table
    out_unit: int
    out_group: int
    out_row: int
    out_step: int
    panels: Callable[[], Panels]
    lanes: Lanes | None
    scattered: bool = False
    then: Then | None = None
    image: int = 1
    image_step: int = 0

    @property
    def then_words(self) -> dict[str, Word]:
        then = 0 if self.then is None else self.then.code.address("then")
        return {"then": then, "image": self.image, "image_step": self.image_step}

    @property
    def follows(self) -> int:
        return 0 if self.then is None else self.then.code.address("put")

    @property
    def more_words(self) -> tuple[Word, ...]:
        return () if self.then is None else self.then.words

    @property
    def pairs(self) -> int:
        return self.units * self.groups

    @property
    def pixels(self) -> int:
        return len(self.source_pixels)

    @property
    def fma(self) -> int:
        return self.pairs * self.rows * self.depth * self.pixels

    def weight_bytes(self, fmt: Format) -> int:
        """The weights of one group."""
        return self.rows * self.depth * fmt.itemsize


def divide(total: int, most: int) -> int:
    """The size of equal parts of `total`, none above `most`."""
    parts = -(-total // max(most, 1))
    return -(-total // max(parts, 1)) or 1


def add_products(steps: Steps, fmt: Format, products: Sequence[Product]) -> None:
    """All products, which read the same planes and write different places."""
    turned = [product for product in products if prefers_turned(product, fmt, steps.frozen)]
    rest = [product for product in products if not prefers_turned(product, fmt, steps.frozen)]
    local = all(_pads_itself(steps, fmt, product) for product in turned)
    one, source = products[0], products[0].source
    if one.planes.bordered and (rest or not local):
        by_filters = all(_by_filters(steps, fmt, product) for product in turned) and not rest
        bands = 0 if by_filters else one.units
        source = add_pad(steps, fmt, source, one.units * one.unit_planes, one.planes, bands)
    for product in turned:
        add_turned(steps, fmt, product, source)
    if rest:
        add_packed(steps, fmt, rest, source)


def prefers_turned(product: Product, fmt: Format, frozen: bool = False) -> bool:
    """Whether to pack the filters, which takes longer the fewer pixels there are, and no time where
    they are frozen; or the pixels, which takes longer the fewer filters there are. Either computes
    panels that are not full.
    """
    pixels, lanes = product.pixels * product.units, fmt.columns
    if product.lanes is None or product.out_step != 1 or product.rows < 16 or product.depth < 64:
        return False
    empty = product.units * -(-product.pixels // lanes) * lanes / max(pixels, 1) - 1
    idle = -(-product.rows // lanes) * lanes / product.rows - 1
    packing = 0 if frozen else PACK_FILTER / max(pixels, 1)
    return packing + idle < PACK_PIXEL / product.rows + empty


def fitting(
    make: Callable[[Format], Product], fmt: Format, frozen: bool = False
) -> tuple[Format, Product]:
    """The product by the tile that suits it: of one vector, where there are no more filters."""
    slim = narrow(fmt)
    product = make(slim)
    if product.rows <= slim.columns and prefers_turned(product, slim, frozen):
        return slim, product
    return fmt, make(fmt)


@dataclass(frozen=True, slots=True)
class Cut:
    """How the work of conv_packed is cut."""

    tiles: Table
    row_blocks: int
    panels: Panels
    panel_block: int
    depth_block: int
    items: int

    @property
    def tile_count(self) -> int:
        return len(self.tiles) - 1

    @property
    def waiting_rows(self) -> int:
        """The rows of the largest block of tiles."""
        edges = [self.tile_count * n // self.row_blocks for n in range(self.row_blocks + 1)]
        return int(np.diff(self.tiles[edges]).max(initial=0))

    @property
    def buffer_panels(self) -> int:
        """Rows of a panel that a chunk needs room for."""
        return (self.depth_block + self.waiting_rows) * self.panel_block


def add_packed(steps: Steps, fmt: Format, products: Sequence[Product], source: Pointer) -> None:
    code = packed_code(fmt)
    fma = sum(product.fma for product in products)
    wanted = steps.chunks(MOST_CHUNKS, fma)
    if len(products) > 1:
        # the products of a chunk share its rows of weights: let these stay in the second cache
        shares = sum(product.weight_bytes(fmt) for product in products) // WEIGHT_BYTES
        wanted = max(wanted, min(MOST_CHUNKS, shares))
    cuts = [_cut(product, fmt, wanted) for product in products]
    chunks = min(wanted, max(cut.items for cut in cuts))
    buffer_size = max(cut.buffer_panels for cut in cuts) * fmt.columns + 16
    buffer = steps.scratch(buffer_size * chunks)
    shared: dict[str, Word] = {"buffer": buffer, "buffer_size": buffer_size}
    packs: list[dict[str, Word]] = []
    jobs: list[dict[str, Word]] = []
    items = 1
    for product, cut in zip(products, cuts, strict=True):
        pixels = _pixel_words(steps, product, cut) | {"source": source}
        packed: Word = 0
        if cut.row_blocks > 1:
            count = product.pairs * cut.panels.total
            packed = steps.scratch(count * product.depth * fmt.columns)
            packs.append(pixels | {"packed": packed, "items": count})
            items = max(items, count)
        jobs.append(pixels | _tile_words(steps, product, cut) | shared | {"packed": packed})
    want_tiles(code, fmt, {height for cut in cuts for height in heights_in(cut.tiles)})
    share = steps.chunks(items, fma)
    steps.add_each(each_task(fmt), code.address("conv_pack"), PACK, share, packs)
    more, kernel = products[0].more_words, code.address("conv_packed")
    steps.add_each(each_task(fmt), kernel, PACKED, chunks, jobs, more)


def _cut(p: Product, fmt: Format, wanted: int) -> Cut:
    """Panels in a block, and blocks of rows: enough items for every chunk."""
    panels = p.panels()
    tiles = tile_starts(p.rows, fmt.rows)
    depth_block = divide(p.depth, DEPTH_BLOCK)
    panel_block = min(panels.total, PANEL_BYTES // (depth_block * fmt.columns * fmt.itemsize))
    packed_bytes = p.pairs * panels.total * p.depth * fmt.columns * fmt.itemsize
    if p.weight_bytes(fmt) <= WEIGHT_BYTES or packed_bytes > PACKED_BYTES:
        panel_block = min(panel_block, p.pairs * panels.total // wanted)
    panel_block = divide(panels.total, panel_block)
    found = p.pairs * -(-panels.total // panel_block)
    row_blocks = min(len(tiles) - 1, -(-wanted // found))
    return Cut(tiles, row_blocks, panels, panel_block, depth_block, found * row_blocks)


def _pixel_words(steps: Steps, p: Product, cut: Cut) -> dict[str, Word]:
    """What conv_pack and conv_packed both are told."""
    return {
        "steps": steps.table(p.source_steps),
        "unit_step": p.source_unit,
        "group_step": p.source_group,
        "groups": p.groups,
        "panels": cut.panels.total,
        "run_index": steps.table(cut.panels.run_index),
        "runs": steps.table(cut.panels.runs),
        "depth": p.depth,
    }


def _tile_words(steps: Steps, p: Product, cut: Cut) -> dict[str, Word]:
    return {
        "weights": p.weights,
        "weight_rows": steps.table(p.weight_rows),
        "weight_steps": steps.table(p.weight_steps),
        "weight_group": p.weight_group,
        "bias": p.bias,
        "finish": p.finish,
        "place": steps.table(cut.panels.place),
        "span_index": steps.table(cut.panels.span_index),
        "spans": steps.table(cut.panels.spans),
        "out": p.out,
        "out_unit": p.out_unit,
        "out_group": p.out_group,
        "out_row": p.out_row,
        "out_step": p.out_step,
        "tiles": steps.table(cut.tiles),
        "tile_count": cut.tile_count,
        "row_blocks": cut.row_blocks,
        "panel_block": cut.panel_block,
        "panel_blocks": -(-cut.panels.total // cut.panel_block),
        "depth_block": cut.depth_block,
        "items": cut.items,
        "waiting_rows": cut.waiting_rows,
        "pixels": p.pixels,
        "is_packed": int(cut.row_blocks > 1),
        "scattered": int(p.scattered),
        **p.then_words,
    }


def _tile_blocks(fmt: Format, p: Product) -> int:
    """Blocks of tiles of pixels that are computed together, for a unit and a group."""
    return -(-p.pixels // (fmt.rows * TILE_BLOCK))


def _turned_items(fmt: Format, p: Product) -> int:
    return p.pairs * _tile_blocks(fmt, p)


def _even_blocks(steps: Steps, fmt: Format, p: Product) -> int:
    """As many blocks, or some more, of which every chunk gets equally many."""
    tiles, least = -(-p.pixels // fmt.rows), _tile_blocks(fmt, p)
    chunks = steps.chunks(p.pairs * least, p.fma)
    share = chunks // math.gcd(chunks, p.pairs)
    return min(-(-least // share) * share, tiles)


def _pads_itself(steps: Steps, fmt: Format, p: Product) -> bool:
    """Whether every chunk makes the borders of the units that it reads: they stay in the second
    cache.
    """
    size = p.unit_planes * p.planes.out_size * fmt.itemsize
    near = UNIT_SHARE * cache_sizes().second
    if not p.planes.bordered:
        return False
    if _by_filters(steps, fmt, p):
        return p.units * size <= near
    return size <= near and p.units >= steps.chunks(_turned_items(fmt, p), p.fma)


def add_turned(steps: Steps, fmt: Format, p: Product, source: Pointer) -> None:
    assert p.lanes is not None
    words: dict[str, Word] = {
        "source": source,
        "source_rows": steps.table(p.source_pixels),
        "source_steps": steps.table(p.source_steps),
        "unit_step": p.source_unit,
        "group_step": p.source_group,
        "bias": p.bias,
        "finish": p.finish,
        "place": steps.table(p.out_pixels),
        "out": p.out,
        "out_unit": p.out_unit,
        "out_group": p.out_group,
        "out_row": p.out_row,
        "pixels": p.pixels,
        "filters": p.rows,
        "depth": p.depth,
        "depth_block": divide(p.depth, TURNED_DEPTH_BLOCK),
        "tile_blocks": _tile_blocks(fmt, p),
        "follows": p.follows,
    }
    if _by_filters(steps, fmt, p):
        _add_by_filters(steps, fmt, p, words)
    else:
        _add_by_tiles(steps, fmt, p, words, p.lanes)


def _by_filters(steps: Steps, fmt: Format, p: Product) -> bool:
    """Whether the work is shared by panels of filters: where there are few blocks of tiles, and the
    pixels, which every panel is multiplied with, are not read from far away.
    """
    blocks, panels = _turned_items(fmt, p), p.groups * -(-p.rows // fmt.columns)
    size = p.units * p.unit_planes * p.planes.out_size * fmt.itemsize
    few = blocks < MANY_BLOCKS * steps.threads and panels >= 2 * steps.threads
    return p.depth > 0 and few and size <= NEAR * cache_sizes().second


def _add_by_filters(steps: Steps, fmt: Format, p: Product, words: dict[str, Word]) -> None:
    assert p.lanes is not None
    items = p.groups * -(-p.rows // fmt.columns)
    local = words["source"] == p.source and p.planes.bordered
    chunks = steps.chunks(items, p.fma)
    if local:
        chunks = min(chunks, steps.threads)
    planes_size = -(-p.units * p.unit_planes * p.planes.out_size // 16) * 16 if local else 0
    size = p.depth * fmt.columns + planes_size
    weights, weight_group, outer = p.weights, p.lanes.group_step, p.lanes.outer
    if steps.frozen:
        weights, weight_group, outer = _pack_all(steps, fmt, p, p.lanes), _panels_of(fmt, p), 0
    steps.add(
        by_filters_code(fmt, p.pixels).address("conv_by_filters"),
        BY_FILTERS,
        chunks,
        p.more_words,
        weights=weights,
        weight_group=weight_group,
        outer=outer,
        outer_step=p.lanes.outer_step,
        buffer=steps.scratch(size * chunks),
        buffer_size=size,
        planes_size=planes_size,
        unit_planes=p.unit_planes,
        **p.planes.words,
        units=p.units,
        fetches=int(outer <= 1),
        others=(steps.threads - 1) * items // chunks,
        items=items,
        **words,
    )


def _add_by_tiles(
    steps: Steps, fmt: Format, p: Product, words: dict[str, Word], lanes: Lanes
) -> None:
    local = words["source"] == p.source and p.planes.bordered
    weights = _pack_all(steps, fmt, p, lanes)
    blocks = _tile_blocks(fmt, p) if local else _even_blocks(steps, fmt, p)
    items = p.pairs * blocks
    chunks = steps.chunks(items, p.fma)
    buffer_size = -(-p.unit_planes * p.planes.out_size // 16) * 16 if local else 0
    steps.add(
        turned_code(fmt, p.pixels).address("conv_turned"),
        TURNED,
        chunks,
        p.more_words,
        unit_planes=p.unit_planes,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        **p.planes.words,
        weights=weights,
        weight_group=_panels_of(fmt, p),
        groups=p.groups,
        items=items,
        **words | {"tile_blocks": blocks},
    )


def _pack_all(steps: Steps, fmt: Format, p: Product, lanes: Lanes) -> Pointer:
    """The filters, as panels."""
    shape, moves = (p.groups, lanes.outer, p.rows), (lanes.group_step, lanes.outer_step)
    return add_lanes(steps, fmt, p.weights, shape, flat(lanes.size), moves)


def _panels_of(fmt: Format, p: Product) -> int:
    """The elements of a group's panels."""
    return -(-p.rows // fmt.columns) * p.depth * fmt.columns
