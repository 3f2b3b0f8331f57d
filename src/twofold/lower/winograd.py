"""Convolution of 3 x 3 taps by Winograd's F(2x2, 3x3): 16 products where there were 36. Floor 6.

Of a 4 x 4 patch d of a channel and its filter g, the 2 x 2 results are the sum over the channels of

    A' [(G g G') * (B' d B)] A      (* element by element)

(Winograd 1980; Lavin and Gray 2016, arXiv:1509.09308, section 4.1). The sums over the channels are
16 matrix products, one for each place of the patch, over all patches. They are other sums than
those of N4, so that only a graph that was compiled with fast_math has them; but they too depend on
the image and the filters alone: not on threads, nor on the batch.

    winograd_filters   weights -> [place][tile of filters][channel][filter]
    winograd           planes with a border -> results, block by block: a block is some rows of
                       patches, whose transforms stay in the second cache
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twofold.base.records import NamedTuple
from twofold.codegen.compile import Code, load
from twofold.ir.build import Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.conv_product import divide
from twofold.lower.conv_steps import Steps
from twofold.lower.conv_tables import Geometry
from twofold.lower.conv_then import THEN, Then, call_then
from twofold.lower.conv_tile import ADD_BIAS, RELU, Format
from twofold.lower.planes import copy_line
from twofold.lower.schedule import In, Out, Word
from twofold.lower.shared_tiles import declare, ready, symbol
from twofold.lower.task import Task
from twofold.lower.tile import kinds_for, transpose_square

PLACES = 16  # of a 4 x 4 patch
TAPS = 9

FILTERS = "weights:ptr out:ptr apart rows depth row_step depth_step turned tall items"

MAIN = "source:ptr tall_in wide_in top left weights:ptr out:ptr bias:ptr finish buffer:ptr "
MAIN += "buffer_size pitch apart sums_apart weights_apart group depth depth_block rows tall tiles "
MAIN += "down across lines together blocks shares items height width out_row" + THEN

# The transforms of a block of patches, of which each tile of filters reads all: they stay in the
# second cache.
BLOCK_BYTES = 1024 * 1024
# Tiles of filters that are multiplied with the patches of a place, before the next place.
GROUP = 8
# The depth that is added at a time: a tile of filters and a panel of patches stay in the first.
DEPTH_BLOCK = 256
# More filters than this are not read by every thread, if one block has all patches.
SHARED_BYTES = 2 * 1024 * 1024
# More filters than this are written and read again from far away. Frozen ones are only read, which
# takes so many multiply-adds for each number (measured on a Zen 4).
FILTER_BYTES = 8 * 1024 * 1024
FAR = 8
# In multiply-adds of the common way, measured on a Zen 5: one of a place's products; to transform
# a filter of a channel, and a patch of a channel; and what must be gained.
PRODUCT, FILTER, PATCH, GAIN = 1.2, 800, 60, 1.1


def winograd_code(fmt: Format, lanes: int) -> Code:
    """The kernels; patches are transformed in vectors of so many lanes."""
    ready(fmt.tile, ())
    return load(f"conv/winograd/{fmt.key}/{lanes}", lambda: build_winograd(fmt, lanes))


def build_winograd(fmt: Format, lanes: int) -> Module:
    m = Module(f"winograd_{fmt.element}")
    declare(m, fmt.tile, "block")
    _define_filters(m, fmt)
    _define_patches(m, fmt, lanes)
    _define_results(m, fmt, lanes)
    _define_main(m, fmt)
    return m


# ---- transforms ----------------------------------------------------------------------------------

Four = Sequence[Value]


def _patch(d: Four) -> list[Value]:
    """B' d, of four rows or of four columns."""
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _result(m: Four) -> list[Value]:
    """A' m."""
    return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]


def _filter(g: Sequence[Value]) -> list[Value]:
    """G g, of three."""
    ends = g[0] + g[2]
    return [g[0], (ends + g[1]) * 0.5, (ends - g[1]) * 0.5, g[2]]


def _both(grid: list[list[Value]], one: Callable[[Four], list[Value]]) -> list[list[Value]]:
    """The transform of the columns, then of the rows of what that makes."""
    made = zip(*[one(column) for column in zip(*grid, strict=True)], strict=True)
    return [one(row) for row in made]


def _define_filters(m: Module, fmt: Format) -> None:
    """Of each tile of filters and each channel: `tall` filters in the lanes of a vector."""
    t = Task(m, "winograd_filters", FILTERS)
    f, element = t.f, fmt.element
    low, high = t.share(t.items)
    numbers = f.iota(vector("i64", fmt.width))
    wanted = numbers.cmp("slt", t.tall.splat(fmt.width))
    # Of taps in turned order, the transform is the same with its ends exchanged.
    ends = t.turned.cmp("ne", 0).select(f.const("i64", PLACES - 4), 0)
    place = [ends, f.const("i64", 4), f.const("i64", 8), PLACES - 4 - ends]
    with f.loop(low, high) as item:
        tile, channel = item // t.depth, item % t.depth
        last = t.rows - 1
        rows = [f.min(tile * t.tall + lane, last) for lane in range(fmt.width)]
        start = t.weights.at(channel * t.depth_step, element)
        starts = [start.at(row * t.row_step, element) for row in rows]
        taps: list[Value] = []
        for first in range(0, TAPS, fmt.width):
            mask = numbers.cmp("slt", TAPS - first)
            lines = [line.at(first, element) for line in starts]
            taps += transpose_square(f, [f.masked_load(line, mask, fmt.vector) for line in lines])
        made = _both([taps[i : i + 3] for i in range(0, TAPS, 3)], _filter)
        out = t.out.at((tile * t.depth + channel) * t.tall, element)
        for i, row in enumerate(made):
            for j, value in enumerate(row):
                there = (place[i] + place[j].lshr(2)) * t.apart
                f.masked_store(value, out.at(there, element), wanted)


PATCH_PARAMS = [("source", "ptr"), ("width", "i64"), ("across", "i64"), ("out", "ptr")]
PATCH_PARAMS += [("apart", "i64")]


def _define_patches(m: Module, fmt: Format, lanes: int) -> None:
    """patches(source, width, across, out, apart): a row of patches of one channel.

    A vector is written whole: what it writes behind the row, the next row writes over.
    """
    f = m.function("patches", PATCH_PARAMS, internal=True, inline="never")
    source, width, across, out, apart = f.args
    kind, element = vector(fmt.element, lanes), fmt.element
    halves = [range(0, 2 * lanes, 2), range(1, 2 * lanes, 2)]
    with f.loop(0, across, lanes) as j:
        first = source.at(j * 2, element)
        lines = [first.at(width * i, element) if i else first for i in range(4)]
        parts = [0, lanes, 2, lanes + 2]
        loaded = [[line.at(at, element).load(kind) for at in parts] for line in lines]
        mixed = zip(*[_patch(column) for column in zip(*loaded, strict=True)], strict=True)
        place = out.at(j, element)
        for number, (a, b, c, d) in enumerate(mixed):
            columns = [f.shuffle(u, v, half) for u, v in ((a, b), (c, d)) for half in halves]
            for at, value in enumerate(_patch(columns)):
                place.at(apart * (4 * number + at), element).store(value)


RESULT_PARAMS = [("source", "ptr"), ("apart", "i64"), ("across", "i64"), ("out", "ptr")]
RESULT_PARAMS += [("width", "i64"), ("rows", "i64"), ("finish", "i64")]


def _define_results(m: Module, fmt: Format, lanes: int) -> None:
    """results(source, apart, across, out, width, rows, finish, shift): two rows of results (or one)
    of a filter.
    """
    params = [*RESULT_PARAMS, ("shift", fmt.element)]
    f = m.function("results", params, internal=True, inline="never")
    source, apart, across, out, width, rows, finish, shift = f.args
    kind, element = vector(fmt.element, lanes), fmt.element
    floor = (finish & RELU).cmp("ne", 0).select(f.const(kind, 0.0), float("-inf"))
    bias = shift.splat(lanes)
    low = [lane // 2 + lane % 2 * lanes for lane in range(lanes)]
    high = [lane + lanes // 2 for lane in low]
    numbers = f.iota(vector("i64", lanes))
    with f.loop(0, across, lanes) as j:
        place = source.at(j, element)
        grid = [
            [place.at(apart * (4 * i + k), element).load(kind) for k in range(4)] for i in range(4)
        ]
        pairs = _both(grid, _result)
        made = [[value + bias for value in pair] for pair in pairs]
        made = [[v.cmp("ole", floor).select(floor, v) for v in pair] for pair in made]
        for number, pair in enumerate(made):
            with f.if_(rows.cmp("sgt", number)):
                line = out.at(width * number + j * 2, element)
                values = [f.shuffle(pair[0], pair[1], mask) for mask in (low, high)]
                with f.if_((j * 2 + 2 * lanes).cmp("sle", width)) as branch:
                    for i, value in enumerate(values):
                        line.at(i * lanes, element).store(value)
                    branch.otherwise()
                    for i, value in enumerate(values):
                        left = (width - j * 2 - i * lanes).splat(lanes)
                        f.masked_store(value, line.at(i * lanes, element), numbers.cmp("slt", left))


# ---- the convolution -----------------------------------------------------------------------------


def _define_main(m: Module, fmt: Format) -> None:
    t = Task(m, "winograd", MAIN)
    f, element = t.f, fmt.element
    patches = t.buffer.at(t.buffer_size * t.chunk, element)
    sums = patches.at(t.apart * PLACES, element)
    border = sums.at(t.sums_apart * PLACES, element)
    f.memset(border, 0, (t.across * 2 + 2) * (4 * fmt.itemsize))
    low, high = t.share(t.items)
    with f.loop(low, high) as item:
        block, share = item % t.blocks, item // t.blocks
        first = block * t.together
        last = f.min(first + t.together, t.lines)
        _transform(t, fmt, first, last, patches, border)
        begin, end = t.tiles * share // t.shares, t.tiles * (share + 1) // t.shares
        with f.loop(begin, end, t.group) as some:
            stop = f.min(some + t.group, end)
            _multiply(t, fmt, (some, stop), (last - first) * t.across, patches, sums)
            with f.loop(some, stop) as tile:
                there = sums.at((tile - some) * t.tall * t.pitch, element)
                _write(t, fmt, tile, first, last, there)


def _transform(
    t: Task, fmt: Format, first: Value, last: Value, patches: Value, border: Value
) -> None:
    """The patches of some rows, for every channel. `border` has room for the four lines of a row,
    with zeros where these leave the image at its sides."""
    f, element = t.f, fmt.element
    width = t.across * 2 + 2
    with f.loop(0, t.depth) as channel, f.loop(first, last) as line:
        image, row = line // t.down, line % t.down
        plane = t.source.at((image * t.depth + channel) * (t.tall_in * t.wide_in), element)
        for i in range(4):
            y = row * 2 + (i - t.top)
            here = border.at(width * i + t.left, element)
            with f.if_(y.cmp("ult", t.tall_in)) as branch:
                copy_line(fmt, plane.at(y * t.wide_in, element), here, t.wide_in)
                branch.otherwise()
                f.memset(here, 0, t.wide_in * fmt.itemsize)
        out = patches.at(channel * t.pitch + (line - first) * t.across, element)
        f.call("void", "patches", border, width, t.across, out, t.apart)


def _multiply(
    t: Task,
    fmt: Format,
    group: tuple[Value, Value],
    count: Value,
    patches: Value,
    sums: Value,
) -> None:
    """The products of some tiles of filters with all patches of a block, place by place."""
    f, element, wide = t.f, fmt.element, fmt.columns
    with (
        f.loop(0, PLACES) as place,
        f.loop(0, t.depth, t.depth_block) as k,
        f.loop(*group) as tile,
    ):
        height = f.min(t.tall, t.rows - tile * t.tall)
        depth = f.min(t.depth_block, t.depth - k)
        a = t.weights.at(place * t.weights_apart + (tile * t.depth + k) * t.tall, element)
        b = patches.at(place * t.apart + k * t.pitch, element)
        first = (tile - group[0]) * t.tall * t.pitch
        c = sums.at(place * t.sums_apart + first, element)
        resume = k.cmp("ne", 0).cast("zext", "i64")
        with f.loop(0, count, wide) as j:
            vectors = (f.min(count - j, wide) + (fmt.width - 1)) // fmt.width * fmt.width
            given = (a, 0, 1, t.tall, b.at(j, element), t.pitch, c.at(j, element), t.pitch)
            sizes = (t.tall, height, vectors, depth, resume)
            f.call("void", symbol(fmt.tile, "block"), *given, *sizes)


def _write(t: Task, fmt: Format, tile: Value, first: Value, last: Value, sums: Value) -> None:
    """The results of a tile of filters, and what follows on them."""
    f, element = t.f, fmt.element
    start = tile * t.tall
    height = f.min(t.tall, t.rows - start)
    biased = (t.finish & ADD_BIAS).cmp("ne", 0)
    with f.loop(0, height) as row:
        # -0.0 is what may be added without a change
        shift = f.var(element, -0.0)
        with f.if_(biased):
            shift.set(t.bias.at(start + row, element).load(element))
        with f.loop(first, last) as line:
            image, at = line // t.down, line % t.down * 2
            out = ((image * t.rows + start + row) * t.height + at) * t.width
            source = sums.at(row * t.pitch + (line - first) * t.across, element)
            given = (source, t.sums_apart, t.across, t.out.at(out, element), t.width)
            f.call("void", "results", *given, t.height - at, t.finish, shift.get())
    ends = [
        line // t.down * t.image + f.min(line % t.down * 2, t.height) * t.width
        for line in (first, last)
    ]
    call_then(t, start * t.image, (ends[0], ends[1]), start, height)


# ---- the plan ------------------------------------------------------------------------------------


class Winograd(NamedTuple):
    """A convolution of 3 x 3 taps, one step apart: In(0) of `depth` channels, In(1) the filters.

    `row_step` and `depth_step` lie between the taps of two filters and of two channels; whether
    these are to be turned by half a turn is `turned`.
    """

    batch: int
    depth: int
    rows: int
    size: tuple[int, int]  # of an image, and of its results
    padding: tuple[int, int]
    out: tuple[int, int]
    row_step: int
    depth_step: int
    turned: bool = False

    @property
    def down(self) -> int:
        return -(-self.out[0] // 2)

    @property
    def across(self) -> int:
        return -(-self.out[1] // 2)

    @property
    def lines(self) -> int:
        """Rows of patches."""
        return self.batch * self.down

    @property
    def patches(self) -> int:
        return self.lines * self.across


def of_forward(fmt: Format, g: Geometry, frozen: bool = False) -> Winograd | None:
    """A convolution in this way; None where the common one takes less time."""
    (height, width), (top, left), out = _sizes(g)
    step = g.channels * TAPS
    found = Winograd(g.batch, g.channels, g.filters, (height, width), (top, left), out, step, TAPS)
    return found if possible(fmt, g) and pays(found, frozen) else None


def of_input_gradient(fmt: Format, g: Geometry, frozen: bool = False) -> Winograd | None:
    """The gradient by the input: the convolution of gy with the filters turned by half a turn."""
    size, (top, left), out = _sizes(g)
    padding, step = (2 - top, 2 - left), g.channels * TAPS
    found = Winograd(g.batch, g.filters, g.channels, out, padding, size, TAPS, step, True)
    return found if min(padding) >= 0 and possible(fmt, g) and pays(found, frozen) else None


def _sizes(g: Geometry) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Of an image, of its border, and of the results."""
    rows, columns = g.rows, g.columns
    padding = (rows.padding, columns.padding)
    return (rows.size, columns.size), padding, (rows.out, columns.out)


def possible(fmt: Format, g: Geometry) -> bool:
    """Whether it is 3 x 3 taps, one step apart, of float32."""
    plain = all((a.kernel, a.stride, a.dilation) == (3, 1, 1) for a in (g.rows, g.columns))
    return plain and g.groups == 1 and fmt.itemsize == 4


def pays(p: Winograd, frozen: bool = False) -> bool:
    """Whether the transforms take less time than they save; those of frozen filters take none."""
    pairs = p.depth * p.rows
    far = 4 * PLACES * pairs > FILTER_BYTES
    if far and not frozen:
        return False
    common = TAPS * p.batch * p.out[0] * p.out[1] * pairs
    filters = (FAR * PLACES if far else 0) if frozen else FILTER
    products = (PRODUCT * PLACES * p.patches + filters) * pairs
    transforms = PATCH * p.patches * (p.depth + p.rows)
    return GAIN * (products + transforms) < common


def add_winograd(
    steps: Steps, fmt: Format, p: Winograd, bias: Word, finish: int, then: Then | None
) -> None:
    """Out(0) = the convolution, and what follows."""
    lanes = min(fmt.width, max(4, 1 << (p.across - 1).bit_length()))
    code = winograd_code(fmt, lanes)
    tall = divide(p.rows, fmt.rows)
    tiles = -(-p.rows // tall)
    # Never a multiple of 4096 bytes apart: these share one set of the first cache.
    weights_apart = tiles * p.depth * tall + 16
    filters: dict[str, Word] = {
        "apart": weights_apart,
        "rows": p.rows,
        "depth": p.depth,
        "row_step": p.row_step,
        "depth_step": p.depth_step,
        "turned": int(p.turned),
        "tall": tall,
        "items": tiles * p.depth,
    }
    weights = steps.weights(PLACES * weights_apart)
    chunks = steps.chunks(tiles * p.depth, elements=PLACES * weights_apart)
    kernel = code.address("winograd_filters")
    steps.add(kernel, FILTERS, chunks, weights=In(1), out=weights, **filters)

    together = block_lines(steps, fmt, p)
    blocks = -(-p.lines // together)
    chunks = min(2 * steps.threads, steps.chunks(1 << 20, p.patches * p.depth * p.rows * PLACES))
    shares = min(tiles, max(1, (steps.threads if chunks > 1 else 1) // blocks))
    chunks = min(chunks, blocks * shares)
    last = p.lines - (blocks - 1) * together
    for height in {tall, p.rows - (tiles - 1) * tall}:
        for lines in {together, last}:
            columns = -(-lines * p.across // fmt.width) * fmt.width
            ready(fmt.tile, kinds_for(fmt.tile, {height}, columns))
    pitch = (-(-(together * p.across + lanes) // 16) | 1) * 16
    group = min(GROUP, tiles)
    apart, sums_apart = p.depth * pitch + 16, group * tall * pitch + 16
    # behind the four lines of a row of patches, a vector is read
    buffer_size = PLACES * (apart + sums_apart) + -(-4 * (2 * p.across + 2) // 16) * 16 + 4 * lanes
    pixels = p.out[0] * p.out[1]
    steps.add(
        code.address("winograd"),
        MAIN,
        chunks,
        () if then is None else then.words,
        source=In(0),
        tall_in=p.size[0],
        wide_in=p.size[1],
        top=p.padding[0],
        left=p.padding[1],
        weights=weights,
        out=Out(0),
        bias=bias,
        finish=finish,
        buffer=steps.scratch(buffer_size * chunks),
        buffer_size=buffer_size,
        pitch=pitch,
        apart=apart,
        sums_apart=sums_apart,
        weights_apart=weights_apart,
        group=group,
        depth=p.depth,
        depth_block=divide(p.depth, DEPTH_BLOCK),
        rows=p.rows,
        tall=tall,
        tiles=tiles,
        down=p.down,
        across=p.across,
        lines=p.lines,
        together=together,
        blocks=blocks,
        shares=shares,
        items=blocks * shares,
        height=p.out[0],
        width=p.out[1],
        out_row=pixels,
        then=0 if then is None else then.code.address("then"),
        image=pixels,
        image_step=p.rows * pixels,
    )


def block_lines(steps: Steps, fmt: Format, p: Winograd) -> int:
    """The rows of patches of a block: such that no thread waits long for another's last block. Many
    filters are read from far away, so that each thread had better read some, and all patches.
    """
    most = BLOCK_BYTES // (PLACES * p.depth * p.across * fmt.itemsize)
    if p.lines <= most and PLACES * p.depth * p.rows * fmt.itemsize > SHARED_BYTES:
        return p.lines

    def cost(lines: int) -> float:
        blocks = -(-p.lines // lines)
        rounds = -(-blocks // steps.threads)
        return rounds * (lines * p.across + 16)

    return min(range(1, max(1, min(most, p.lines)) + 1), key=cost)
