"""Convolution with pixels as the rows of a tile, read in place, filters as columns. Floor 6.

The same chains as conv_packed, turned: fma(a, b, c) = fma(b, a, c). Either the filters are packed
before, once, by conv_lanes, and the work is shared by blocks of tiles; or it is shared by panels of
filters, and each chunk packs its own.
"""

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.values import Value, Var
from twofold.lower.conv_pack import define_inner, define_lane_panel
from twofold.lower.conv_put import define_put
from twofold.lower.conv_tile import Format, call_tile, declare_tiles, want_tiles
from twofold.lower.task import Task
from twofold.lower.tile import heights_of

# Tiles whose results wait on the stack until their chains are complete.
TILE_BLOCK = 16

TURNED = "source:ptr source_rows:ptr source_steps:ptr unit_step group_step "
TURNED += "unit_planes height width out_height out_width top left buffer:ptr buffer_size "
TURNED += "weights:ptr weight_group bias:ptr finish place:ptr out:ptr out_unit out_group out_row "
TURNED += "pixels filters depth depth_block tile_blocks groups items "
TURNED += "follows:ptr"

BY_FILTERS = "source:ptr source_rows:ptr source_steps:ptr unit_step group_step "
BY_FILTERS += "unit_planes height width out_height out_width top left planes_size "
BY_FILTERS += "weights:ptr weight_group outer outer_step buffer:ptr buffer_size bias:ptr finish "
BY_FILTERS += "place:ptr out:ptr out_unit out_group out_row "
BY_FILTERS += "pixels filters depth depth_block tile_blocks units fetches others items "
BY_FILTERS += "follows:ptr"


def turned_code(fmt: Format, pixels: int) -> Code:
    """The module that is given packed filters, with tiles for so many pixels."""
    return _wanting(load(f"conv/turned/{fmt.key}", lambda: _build_turned(fmt)), fmt, pixels)


def by_filters_code(fmt: Format, pixels: int) -> Code:
    """The module that packs them itself."""
    return _wanting(load(f"conv/by_filters/{fmt.key}", lambda: _build_by_filters(fmt)), fmt, pixels)


def _wanting(code: Code, fmt: Format, pixels: int) -> Code:
    want_tiles(code, fmt, set(heights_of([pixels], fmt.rows)) - {0}, fetches=True)
    return code


def _build_turned(fmt: Format) -> Module:
    m = Module(f"conv_turned_{fmt.element}")
    declare_tiles(m, fmt, fetches=True)
    define_inner(m, fmt)
    define_put(m, fmt)
    _define_turned(m, fmt)
    return m


def _build_by_filters(fmt: Format) -> Module:
    m = Module(f"conv_by_filters_{fmt.element}")
    declare_tiles(m, fmt, fetches=True)
    define_inner(m, fmt)
    define_lane_panel(m, fmt)
    define_put(m, fmt)
    _define_by_filters(m, fmt)
    return m


def _define_turned(m: Module, fmt: Format) -> None:
    """All filters for some blocks of tiles: the filters have been packed before."""
    t = Task(m, "conv_turned", TURNED)
    f = t.f
    waiting = _waiting(t, fmt)
    buffer = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    f.memset(buffer, 0, t.buffer_size * fmt.itemsize)
    ready = f.var("i64", -1)
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        pair = item // t.tile_blocks
        unit, group = pair // t.groups, pair % t.groups
        _give_border(t, fmt, unit, ready, buffer)
        local = t.buffer_size.cmp("ne", 0)
        planes = local.select(buffer, t.source.at(unit * t.unit_step, fmt.element))
        weights = t.weights.at(group * t.weight_group, fmt.element)
        with f.loop(0, t.filters, fmt.columns) as filter:
            panel = weights.at(filter * t.depth, fmt.element)
            place = _Place(unit, group, item % t.tile_blocks, filter, panel, f.const("i64", 0))
            _compute(t, fmt, place, planes, panel, waiting)


def _define_by_filters(m: Module, fmt: Format) -> None:
    """All pixels for some panels of filters: a chunk packs its own. While one is computed with, the
    filters of the next one are fetched, which may be far away. An `outer` of 0 tells that all are
    packed. Planes with a border are copied by each chunk for itself: what another thread has
    written comes nearer all at once.
    """
    t = Task(m, "conv_by_filters", BY_FILTERS)
    f = t.f
    waiting = _waiting(t, fmt)
    panels = (t.filters + (fmt.columns - 1)) // fmt.columns
    room = t.buffer.at(t.buffer_size * t.chunk, fmt.element)
    copies = room.at(t.buffer_size - t.planes_size, fmt.element)
    local = t.planes_size.cmp("ne", 0)
    with f.if_(local):
        f.memset(copies, 0, t.planes_size * fmt.itemsize)
        sizes = (t.height, t.width, t.out_height, t.out_width, t.top, t.left)
        f.call("void", "pad_inner", t.source, copies, t.units * t.unit_planes, *sizes)
    given = local.select(copies, t.source)
    tiles = (t.pixels + (fmt.rows - 1)) // fmt.rows
    size = fmt.columns * fmt.itemsize  # of a panel, for every k
    together = tiles * t.units
    pace = t.fetches.cmp("ne", 0).select((size + together - 1) // together, 0)
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        group, filter = item // panels, (item % panels) * fmt.columns
        weights = t.weights.at(group * t.weight_group, fmt.element)
        packed = t.outer.cmp("eq", 0)
        panel = packed.select(weights.at(filter * t.depth, fmt.element), room)
        with f.if_(t.outer.cmp("ne", 0)):
            shape = (t.filters, t.outer, t.outer_step, t.depth // t.outer)
            f.call("void", "lane_panel", weights, panel, filter, *shape)
        # behind the last one of a chunk comes whatever the others have not taken
        last = (item + 1).cmp("eq", high)
        after = last.select(f.min(high + t.others, t.items - 1), item + 1)
        start = (after // panels) * t.weight_group + (after % panels) * fmt.columns * t.depth
        later = t.weights.at(start, fmt.element)
        with f.loop(0, t.units) as unit, f.loop(0, t.tile_blocks) as block:
            planes = given.at(unit * t.unit_step, fmt.element)
            fetched = later.at(unit * tiles * t.depth * pace, "i8")
            place = _Place(unit, group, block, filter, fetched, pace)
            _compute(t, fmt, place, planes, panel, waiting)


class _Place(NamedTuple):
    """What is computed at a time: a block of tiles of a unit, against a panel of a group; and what
    is fetched meanwhile, for every k of every tile `pace` bytes."""

    unit: Value
    group: Value
    block: Value
    filter: Value
    later: Value
    pace: Value


def _waiting(t: Task, fmt: Format) -> Value:
    """Room for the tiles of a block."""
    return t.f.array(fmt.element, TILE_BLOCK * fmt.rows * fmt.columns, 64)


def _compute(t: Task, fmt: Format, at: _Place, planes: Value, panel: Value, waiting: Value) -> None:
    f = t.f
    tiles = (t.pixels + (fmt.rows - 1)) // fmt.rows
    begin, end = (tiles * (at.block + i) // t.tile_blocks for i in (0, 1))
    source = planes.at(at.group * t.group_step, fmt.element)
    with f.if_(t.depth_block.cmp("sge", t.depth)) as branch:
        with f.loop(begin, end) as tile:
            _tile(t, fmt, at, source, panel, waiting, tile, f.const("i64", 0))
            _put(t, fmt, at, tile, waiting)
        branch.otherwise()
        with f.loop(0, t.depth, t.depth_block) as first, f.loop(begin, end) as tile:
            results = waiting.at((tile - begin) * (fmt.rows * fmt.columns), fmt.element)
            _tile(t, fmt, at, source, panel, results, tile, first)
        with f.loop(begin, end) as tile:
            results = waiting.at((tile - begin) * (fmt.rows * fmt.columns), fmt.element)
            _put(t, fmt, at, tile, results)


def _give_border(t: Task, fmt: Format, unit: Value, ready: Var, buffer: Value) -> None:
    """Copy the planes of a unit into the buffer, where they have a border, if there is one."""
    f = t.f
    with f.if_(t.buffer_size.cmp("ne", 0) & unit.cmp("ne", ready.get())):
        source = t.source.at(unit * t.unit_planes * t.height * t.width, fmt.element)
        sizes = (t.height, t.width, t.out_height, t.out_width, t.top, t.left)
        f.call("void", "pad_inner", source, buffer, t.unit_planes, *sizes)
        ready.set(unit)


def _tile(
    t: Task,
    fmt: Format,
    at: _Place,
    source: Value,
    panel: Value,
    out: Value,
    tile: Value,
    first: Value,
) -> None:
    """One tile for a block of k from `first` on."""
    f = t.f
    count = f.min(t.depth_block, t.depth - first)
    fresh = first.cmp("eq", 0).cast("zext", "i64")
    steps = t.source_steps.at(first, "i64")
    part = panel.at(first * fmt.columns, fmt.element)
    pixel = tile * fmt.rows
    rows = f.min(t.pixels - pixel, fmt.rows)
    starts = t.source_rows.at(pixel, "i64")
    given = (source, starts, steps, part, out, fmt.columns, count, fresh, 0, source)
    later = at.later.at((tile * t.depth + first) * at.pace, "i8")
    call_tile(f, rows, *given, later, at.pace)


def _put(t: Task, fmt: Format, at: _Place, tile: Value, results: Value) -> None:
    """Write the results of a tile."""
    f = t.f
    pixel = tile * fmt.rows
    rows = f.min(t.pixels - pixel, fmt.rows)
    columns = f.min(t.filters - at.filter, fmt.columns)
    channel = at.group * t.filters + at.filter
    offset = at.unit * t.out_unit + at.group * t.out_group + at.filter * t.out_row
    out, bias = t.out.at(offset, fmt.element), t.bias.at(channel, fmt.element)
    words = t.job.at(len(t.words), "i64")
    given = (results, t.place.at(pixel, "i64"), rows, out, t.out_row, columns, t.finish, bias)
    with f.if_(t.follows.cast("ptrtoint", "i64").cmp("ne", 0)) as branch:
        f.call("void", t.follows, *given, words, offset, channel)
        branch.otherwise()
        f.call("void", "put", *given, words, offset, channel)
