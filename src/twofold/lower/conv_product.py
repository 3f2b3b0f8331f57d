"""Plan the common form of a convolution and of its gradient by the input. Floor 6.

    out[row, pixel] = chain over k of fma(weights[row, k], source[k, pixel], .)

for every unit (some images) and every group. conv_packed or conv_turned, by size: the same bits.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twofold.lower.conv_pack import LANES, copy_code
from twofold.lower.conv_packed import PACK, PACKED, packed_code
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Panels, Table, tile_starts
from twofold.lower.conv_tile import ROWS, Format
from twofold.lower.conv_turned import TILE_BLOCK, TURNED, turned_code
from twofold.lower.schedule import Pointer, Word

# The k that a row tile and a panel take at a time: both stay in the nearest cache.
DEPTH_BLOCK = 288
# The same for conv_turned, whose panels are few and stay in the second cache.
TURNED_DEPTH_BLOCK = 512
# Panels that are used together stay in the second cache.
PANEL_BYTES = 128 * 1024
# Weights beyond this are read once for many panels, or the reading is what takes the time.
WEIGHT_BYTES = 256 * 1024
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
    """What lies where. Offsets and steps count elements."""

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

    @property
    def pixels(self) -> int:
        return len(self.source_pixels)

    @property
    def fma(self) -> int:
        return self.units * self.groups * self.rows * self.depth * self.pixels


def divide(total: int, most: int) -> int:
    """The size of equal parts of `total`, none above `most`."""
    parts = -(-total // max(most, 1))
    return -(-total // max(parts, 1)) or 1


def add_product(steps: Steps, fmt: Format, product: Product) -> None:
    if prefers_turned(product):
        add_turned(steps, fmt, product)
    else:
        add_packed(steps, fmt, product)


def prefers_turned(product: Product) -> bool:
    """Packing the filters is cheaper than packing the pixels where pixels are many."""
    pixels = product.pixels * product.units
    if product.lanes is None or product.out_step != 1:
        return False
    return pixels >= 4 * product.rows and product.rows >= 16 and product.depth >= 128


def add_packed(steps: Steps, fmt: Format, product: Product) -> None:
    p = product
    panels = p.panels()
    depth_block = divide(p.depth, DEPTH_BLOCK)
    pairs = p.units * p.groups
    tiles = tile_starts(p.rows)
    tile_count = len(tiles) - 1
    wanted = steps.chunks(pairs * panels.total * tile_count, p.fma)
    panel_block, row_blocks = _blocks(p, fmt, panels.total, depth_block, tile_count, wanted)
    panel_blocks = -(-panels.total // panel_block)
    items = pairs * panel_blocks * row_blocks
    chunks = min(items, wanted)
    is_packed = row_blocks > 1
    packed: Pointer = p.source
    words = {
        "source": p.source,
        "steps": steps.table(p.source_steps),
        "unit_step": p.source_unit,
        "group_step": p.source_group,
        "groups": p.groups,
        "panels": panels.total,
        "run_index": steps.table(panels.run_index),
        "runs": steps.table(panels.runs),
        "depth": p.depth,
    }
    code = packed_code(fmt)
    if is_packed:
        count = pairs * panels.total
        size = count * p.depth * fmt.columns
        packed = steps.scratch(size)
        task = code.address("conv_pack")
        share = steps.chunks(count, elements=size)
        steps.add(task, PACK, share, packed=packed, items=count, **words)
    waiting_rows = max(
        int(tiles[tile_count * (block + 1) // row_blocks] - tiles[tile_count * block // row_blocks])
        for block in range(row_blocks)
    )
    buffer_size = (depth_block + waiting_rows) * panel_block * fmt.columns + 16
    steps.add(
        code.address("conv_packed"),
        PACKED,
        chunks,
        **words,
        weights=p.weights,
        weight_rows=steps.table(p.weight_rows),
        weight_steps=steps.table(p.weight_steps),
        weight_group=p.weight_group,
        bias=p.bias,
        finish=p.finish,
        place=steps.table(panels.place),
        span_index=steps.table(panels.span_index),
        spans=steps.table(panels.spans),
        out=p.out,
        out_unit=p.out_unit,
        out_group=p.out_group,
        out_row=p.out_row,
        out_step=p.out_step,
        tiles=steps.table(tiles),
        tile_count=tile_count,
        row_blocks=row_blocks,
        panel_block=panel_block,
        panel_blocks=panel_blocks,
        depth_block=depth_block,
        items=items,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        waiting_rows=waiting_rows,
        packed=packed,
        is_packed=int(is_packed),
    )


def _blocks(
    p: Product, fmt: Format, panels: int, depth_block: int, tile_count: int, wanted: int
) -> tuple[int, int]:
    """Panels in a block, and blocks of rows: enough items for every chunk."""
    pairs = p.units * p.groups
    panel_block = min(panels, PANEL_BYTES // (depth_block * fmt.columns * fmt.itemsize))
    panel_bytes = p.depth * fmt.columns * fmt.itemsize
    heavy = p.rows * p.depth * fmt.itemsize > WEIGHT_BYTES
    if not heavy or pairs * panels * panel_bytes > PACKED_BYTES:
        panel_block = min(panel_block, pairs * panels // wanted)
    panel_block = divide(panels, panel_block)
    found = pairs * -(-panels // panel_block)
    row_blocks = min(tile_count, -(-wanted // found))
    return panel_block, row_blocks


def add_turned(steps: Steps, fmt: Format, product: Product) -> None:
    p = product
    assert p.lanes is not None
    panels = -(-p.rows // fmt.columns)
    size = panels * p.depth * fmt.columns
    weights = steps.scratch(size * p.groups)
    items = p.groups * panels * p.lanes.outer
    steps.add(
        copy_code(fmt).address("conv_lanes"),
        LANES,
        steps.chunks(items, elements=size * p.groups),
        source=p.weights,
        out=weights,
        outer=p.lanes.outer,
        channels=p.rows,
        size=p.lanes.size,
        source_group=p.lanes.group_step,
        source_outer=p.lanes.outer_step,
        panels=panels,
        items=items,
    )
    tile_blocks = -(-p.pixels // (ROWS * TILE_BLOCK))
    items = p.units * p.groups * tile_blocks
    steps.add(
        turned_code(fmt).address("conv_turned"),
        TURNED,
        steps.chunks(items, p.fma),
        source=p.source,
        source_rows=steps.table(p.source_pixels),
        source_steps=steps.table(p.source_steps),
        unit_step=p.source_unit,
        group_step=p.source_group,
        weights=weights,
        weight_group=size,
        bias=p.bias,
        finish=p.finish,
        place=steps.table(p.out_pixels),
        out=p.out,
        out_unit=p.out_unit,
        out_group=p.out_group,
        out_row=p.out_row,
        pixels=p.pixels,
        filters=p.rows,
        depth=p.depth,
        depth_block=divide(p.depth, TURNED_DEPTH_BLOCK),
        tile_blocks=tile_blocks,
        groups=p.groups,
        items=items,
    )
