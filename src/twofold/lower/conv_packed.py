"""Convolution with filters as the rows of a tile; pixels are packed by blocks of k. Floor 6.

Serves the forward pass and the gradient by the input, see conv_product. The work is shared by
items: some panels of one unit and group, against some tiles of rows. Where rows have to be shared
too, conv_pack packs every panel beforehand, so that no chunk packs for itself what others pack.
"""

from functools import partial

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value
from twofold.lower.conv_pack import call_run, define_runs, run_codes
from twofold.lower.conv_then import THEN, call_then
from twofold.lower.conv_tile import Format, call_tile, declare_tiles, entry
from twofold.lower.task import Task

PACK = "source:ptr steps:ptr unit_step group_step groups panels run_index:ptr runs:ptr "
PACK += "depth packed:ptr items"

PACKED = "weights:ptr weight_rows:ptr weight_steps:ptr weight_group bias:ptr finish "
PACKED += "source:ptr steps:ptr unit_step group_step run_index:ptr runs:ptr "
PACKED += "place:ptr span_index:ptr spans:ptr out:ptr out_unit out_group out_row out_step "
PACKED += "tiles:ptr tile_count row_blocks panels panel_block panel_blocks depth depth_block "
PACKED += "pixels groups items buffer:ptr buffer_size waiting_rows packed:ptr is_packed scattered"
PACKED += THEN

# Of so many rows one is fetched: near enough that the lines of the rows between come along.
FETCHED_ROWS = 2


def packed_code(fmt: Format) -> Code:
    return load(f"conv/packed/{fmt.key}", lambda: build_packed(fmt))


def build_packed(fmt: Format) -> Module:
    """The module of one tile. Exports conv_pack and conv_packed."""
    m = Module(f"conv_packed_{fmt.element}")
    declare_tiles(m, fmt)
    define_runs(m, fmt)
    _define_pack(m, fmt)
    _define_fetch(m, fmt)
    _define_packed(m, fmt)
    return m


def _pack_panel(
    t: Task, fmt: Format, panel: Value, source: Value, first: Value, count: Value, out: Value
) -> None:
    """Copy the runs of one panel for `count` values of k from `first` on."""
    f = t.f
    with f.if_((panel + 1).cmp("eq", t.panels)):
        # lanes beyond the last pixel are computed too: let them be numbers
        f.memset(out, 0, count * (fmt.columns * fmt.itemsize))
    begin, end = entry(t.run_index, panel), entry(t.run_index, panel + 1)
    steps = t.steps.at(first, "i64")
    with f.loop(begin, end) as run:
        offset, lane, code = (entry(t.runs, run * 3 + word) for word in range(3))
        start = source.at(offset, fmt.element)
        call_run(f, fmt, code, start, steps, out.at(lane, fmt.element), count)


def _define_pack(m: Module, fmt: Format) -> None:
    """Pack every panel of the whole convolution; shared by panels."""
    t = Task(m, "conv_pack", PACK)
    f = t.f
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        pair = item // t.panels
        offset = (pair // t.groups) * t.unit_step + (pair % t.groups) * t.group_step
        source = t.source.at(offset, fmt.element)
        out = t.packed.at(item * t.depth * fmt.columns, fmt.element)
        _pack_panel(t, fmt, item % t.panels, source, f.const("i64", 0), t.depth, out)


class _Block(NamedTuple):
    """One item of conv_packed: some panels of one unit and group, against some row tiles."""

    first_panel: Value
    last_panel: Value
    first_tile: Value
    last_tile: Value
    first_row: Value
    last_row: Value
    source: Value
    packed: Value
    weights: Value
    bias: Value
    out: Value
    place: Value
    channel: Value
    buffer: Value
    waiting: Value


def _block(t: Task, fmt: Format, item: Value) -> _Block:
    blocks = t.items // t.row_blocks
    row_block, rest = item // blocks, item % blocks
    pair = rest // t.panel_blocks
    unit, group = pair // t.groups, pair % t.groups
    first_panel = (rest % t.panel_blocks) * t.panel_block
    first_tile = (t.tile_count * row_block) // t.row_blocks
    last_tile = (t.tile_count * (row_block + 1)) // t.row_blocks
    rows = entry(t.tiles, t.tile_count)
    element = fmt.element
    panel_size = t.depth * fmt.columns
    buffer = t.buffer.at(t.buffer_size * t.chunk, element)
    place = unit * t.out_unit + group * t.out_group
    return _Block(
        first_panel,
        t.f.min(first_panel + t.panel_block, t.panels),
        first_tile,
        last_tile,
        entry(t.tiles, first_tile),
        entry(t.tiles, last_tile),
        t.source.at(unit * t.unit_step + group * t.group_step, element),
        t.packed.at((pair * t.panels + first_panel) * panel_size, element),
        t.weights.at(group * t.weight_group, element),
        t.bias.at(group * rows, element),
        t.out.at(place, element),
        place,
        group * rows,
        buffer,
        buffer.at(t.depth_block * t.panel_block * fmt.columns, element),
    )


def _define_fetch(m: Module, fmt: Format) -> None:
    """Have the weights of a tile brought into the cache, where no CPU guesses what comes next."""
    params = [("weights", "ptr"), ("rows", "ptr"), ("last", "i64"), ("steps", "ptr")]
    f = m.function("fetch", [*params, ("count", "i64")], internal=True, inline="never")
    weights, rows, last, steps, count = f.args
    places = [f.min(last, row) for row in range(0, fmt.rows, FETCHED_ROWS)]
    starts = [weights.at(entry(rows, place), fmt.element) for place in places]
    with f.loop(0, count) as k:
        for start in starts:
            f.prefetch(start.at(entry(steps, k), fmt.element))


def _define_packed(m: Module, fmt: Format) -> None:
    t = Task(m, "conv_packed", PACKED)
    f = t.f
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        block = _block(t, fmt, item)
        with f.loop(0, f.max(t.depth, 1), t.depth_block) as first:
            _multiply(t, fmt, block, first)
        with f.loop(block.first_panel, block.last_panel) as panel:
            _spread(t, fmt, block, panel)
        first = block.first_row
        place = block.place + first * t.out_row
        low, high = block.first_panel * fmt.columns, block.last_panel * fmt.columns
        pixels = (low, f.min(high, t.pixels))
        call_then(t, place, pixels, block.channel + first, block.last_row - first)


def _multiply(t: Task, fmt: Format, block: _Block, first: Value) -> None:
    """All tiles of a block for the k from `first` on: the panels stay in L2, a row tile in L1."""
    f = t.f
    count = f.min(t.depth_block, t.depth - first)
    apart = t.is_packed.cmp("eq", 0)
    pitch = apart.select(t.depth_block, t.depth) * fmt.columns
    with f.if_(apart), f.loop(block.first_panel, block.last_panel) as panel:
        out = block.buffer.at((panel - block.first_panel) * pitch, fmt.element)
        _pack_panel(t, fmt, panel, block.source, first, count, out)
    ready = block.packed.at(first * fmt.columns, fmt.element)
    panels = apart.select(block.buffer, ready)
    fresh = first.cmp("eq", 0).cast("zext", "i64")
    finish = (first + t.depth_block).cmp("sge", t.depth).select(t.finish, 0)
    with f.loop(block.first_tile, block.last_tile) as tile:
        row = entry(t.tiles, tile)
        rows = entry(t.tiles, tile + 1) - row
        with f.if_(t.scattered.cmp("ne", 0) & (tile + 1).cmp("slt", block.last_tile)):
            last, steps = (
                entry(t.tiles, tile + 2) - (row + rows + 1),
                t.weight_steps.at(first, "i64"),
            )
            later = t.weight_rows.at(row + rows, "i64")
            f.call("void", "fetch", block.weights, later, last, steps, count)
        with f.loop(block.first_panel, block.last_panel) as panel:
            ahead = panel - block.first_panel
            place = entry(t.place, panel)
            direct = place.cmp("sge", 0)
            waits = (ahead * t.waiting_rows + (row - block.first_row)) * fmt.columns
            there = block.out.at(place + row * t.out_row, fmt.element)
            out = direct.select(there, block.waiting.at(waits, fmt.element))
            call_tile(
                f,
                rows,
                block.weights,
                t.weight_rows.at(row, "i64"),
                t.weight_steps.at(first, "i64"),
                panels.at(ahead * pitch, fmt.element),
                out,
                direct.select(t.out_row, fmt.columns),
                count,
                fresh,
                finish,
                block.bias.at(row, fmt.element),
            )


def _spread(t: Task, fmt: Format, block: _Block, panel: Value) -> None:
    """Write the results of a panel that crosses images, or whose pixels are not adjacent."""
    f = t.f
    f.continue_if(entry(t.place, panel).cmp("sge", 0))
    rows = block.last_row - block.first_row
    first = (panel - block.first_panel) * t.waiting_rows * fmt.columns
    waiting = block.waiting.at(first, fmt.element)
    out = block.out.at(block.first_row * t.out_row, fmt.element)
    with f.loop(entry(t.span_index, panel), entry(t.span_index, panel + 1)) as span:
        offset, lane, code = (entry(t.spans, span * 3 + word) for word in range(3))
        source, place = waiting.at(lane, fmt.element), out.at(offset, fmt.element)

        def copy(width: int, strided: bool) -> None:
            with f.loop(0, rows) as row:
                line = source.at(row * fmt.columns, fmt.element)
                target = place.at(row * t.out_row, fmt.element)
                _copy_span(t, fmt, width, strided, line, target)

        codes = run_codes(fmt).items()
        f.switch(
            code, {number: partial(copy, *kind) for kind, number in codes if kind[0] <= fmt.width}
        )


def _copy_span(t: Task, fmt: Format, width: int, strided: bool, line: Value, target: Value) -> None:
    kind = f"{fmt.element}x{width}" if width > 1 else fmt.element
    value = line.load(kind)
    if not strided:
        target.store(value)
        return
    for index in range(width):
        target.at(t.out_step * index, fmt.element).store(t.f.extract(value, index))
