"""The register tile of matrix products, and the packing that feeds it. Floor 6.

A tile is `rows` x `columns` elements of C kept in vector registers, each lane one ascending chain
of fma over k. It reads A by rows of numbers at any strides and B by panels: `columns` adjacent
elements of B for every k. Packing lays out A as panels of `rows` numbers per k and B as panels of
`columns` per k, so that the tile reads both from front to back; it moves numbers and computes none.

Matrix products, attention and recurrent layers share one module of these (shared_tiles.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twofold.base.records import NamedTuple
from twofold.codegen.target import Target, host
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value, Var
from twofold.lower.schedule import larger, smaller
from twofold.lower.variants import declare_table, variant

LINE = 64
WIDTHS = {"f32": 4, "f64": 8}  # bytes of an element
LANE_BYTES = 16  # shuffles are cheap inside 16 bytes, whatever the vector


class Tile(NamedTuple):
    """The shape of a register tile: `rows` of so many vectors."""

    element: str
    itemsize: int
    rows: int
    vectors: int
    vector_bytes: int

    @property
    def key(self) -> str:
        """What a module that is made for this tile depends on."""
        return f"{self.element}/{self.rows}x{self.vectors}x{self.vector_bytes}"

    @property
    def lanes(self) -> int:
        return self.vector_bytes // self.itemsize

    @property
    def columns(self) -> int:
        return self.lanes * self.vectors

    @property
    def vector(self) -> str:
        return vector(self.element, self.lanes)


# Rows and vectors by the number of registers, of which each k takes some for numbers of A and B.
SHAPES = {16: (6, 2), 32: (14, 2)}


def tiles_for(target: Target) -> dict[str, Tile]:
    """The tiles of a target by the name of the element type."""
    shape = (*SHAPES[target.registers], target.vector_bytes)
    return {"float32": Tile("f32", 4, *shape), "float64": Tile("f64", 8, *shape)}


TILES = tiles_for(host())


def round_up(value: Value, unit: int) -> Value:
    return (value + (unit - 1)) // unit * unit


# ---- the tile ------------------------------------------------------------------------------------

TILE_PARAMS = [("a", "ptr"), ("a_row", "i64"), ("a_step", "i64"), ("b", "ptr"), ("b_step", "i64")]
TILE_PARAMS += [("c", "ptr"), ("c_row", "i64"), ("count", "i64"), ("resume", "i64")]
KIND_PARAMS = [("kind", "i64"), *TILE_PARAMS]


def define_tiles(m: Module, tile: Tile) -> None:
    """tile(kind, ...): the tile of a number of rows and of vectors, see `kind_of`. It calls the
    code of that kind (variants.py), or `single`, which computes one row at a time.
    """
    declare_table(m, kinds_of(tile) + 1)
    counts = range(1, tile.vectors + 1)
    for wide in counts:
        _define_tile(m, tile, f"row{wide}", 1, wide, internal=True)
    f = m.function("single", KIND_PARAMS, inline="never")
    kind, a, a_row, a_step, b, b_step, c, c_row, count, resume = f.args
    rows = (kind - 1) % tile.rows + 1
    vectors = (kind - 1) // tile.rows + 1
    with f.loop(0, rows) as i:
        places = a.at(i * a_row, tile.element), c.at(i * c_row, tile.element)

        def call(v: int) -> Callable[[], None]:
            given = (kind, places[0], a_row, a_step, b, b_step, places[1], c_row, count, resume)
            return lambda: f.call("void", f"row{v}", *given)

        f.switch(vectors, {v: call(v) for v in counts})
    f = m.function("tile", KIND_PARAMS, inline="never")
    f.call("void", variant(f, f.args[0]), *f.args)


def define_kind(m: Module, tile: Tile, kind: int) -> None:
    """tile(kind, ...) for one kind."""
    vectors, rows = divmod(kind - 1, tile.rows)
    _define_tile(m, tile, "tile", rows + 1, vectors + 1)


def kinds_of(tile: Tile) -> int:
    """How many kinds there are, from 1 on."""
    return tile.rows * tile.vectors


def kinds_for(tile: Tile, heights: Iterable[int], columns: int) -> set[int]:
    """The kinds of tiles of these heights that write so many columns, panel by panel."""
    rest = columns % tile.columns
    widths = [tile.columns] * (columns >= tile.columns) + [rest] * (rest > 0)
    starts = {(width - 1) // tile.lanes * tile.rows for width in widths}
    return {start + height for start in starts for height in heights if height}


def heights_of(rows: Iterable[int], tall: int) -> list[int]:
    """The heights of tiles of at most `tall` rows that cover so many (each of several numbers of)
    rows, from the first on; some may be 0.
    """
    return [height for n in rows for height in (smaller(n, tall), n % larger(tall, 1))]


def kind_of(tile: Tile, rows: Value, columns: Value) -> Value:
    """Which tile writes so many rows and columns: no more vectors than it takes."""
    return rows + (columns - 1) // tile.lanes * tile.rows


def _define_tile(
    m: Module, tile: Tile, name: str, rows: int, vectors: int, internal: bool = False
) -> None:
    """C[i, j] = chain over k < count of fma(a[i, k], b[k, j]), from 0 or (resume) from C itself."""
    tile = tile._replace(vectors=vectors)
    f = m.function(name, KIND_PARAMS, internal=internal, inline="never")
    _, a, a_row, a_step, b, b_step, c, c_row, count, resume = f.args
    places = [c.at(c_row * i, tile.element) if i else c for i in range(rows)]
    for place in places:
        for ahead in range(0, tile.columns * tile.itemsize, LINE):
            f.prefetch(place.at(ahead, "i8"))
    chains = [[f.var(tile.vector, 0.0) for _ in range(tile.vectors)] for _ in range(rows)]
    with f.if_(resume.cmp("ne", 0)):
        for place, row in zip(places, chains, strict=True):
            for v, chain in enumerate(row):
                chain.set(place.at(v * tile.lanes, tile.element).load(tile.vector))
    # A pointer for every third row of A: one alone would be moved for all, and wait for itself.
    starts = [f.var("ptr", a.at(a_row * i, tile.element)) for i in range(0, rows, 3)]
    line = f.var("ptr", b)
    with f.loop(0, count):
        numbers = [starts[i // 3].get().at(a_row * (i % 3), tile.element) for i in range(rows)]
        _add_products(f, tile, numbers, line.get(), chains)
        for start in starts:
            start.set(start.get().at(a_step, tile.element))
        line.set(line.get().at(b_step, tile.element))
    for place, row in zip(places, chains, strict=True):
        for v, chain in enumerate(row):
            place.at(v * tile.lanes, tile.element).store(chain.get())


def _add_products(
    f: Function, tile: Tile, a: Sequence[Value], b: Value, chains: Sequence[Sequence[Var]]
) -> None:
    """One k for all elements of the tile."""
    line = [b.at(v * tile.lanes, tile.element).load(tile.vector) for v in range(tile.vectors)]
    for place, row in zip(a, chains, strict=True):
        x = place.load(tile.element).splat(tile.lanes)
        for y, chain in zip(line, row, strict=True):
            chain.set(f.fma(x, y, chain.get()))


# ---- packing -------------------------------------------------------------------------------------


def load_columns(f: Function, tile: Tile, rows: Sequence[Value]) -> list[Value]:
    """From the addresses of `lanes` rows: 16 bytes of k, vector k holding those of every row."""
    width = LANE_BYTES // tile.itemsize
    parts = [row.load(vector(tile.element, width)) for row in rows]
    return transpose_inside(f, [_join(f, parts[i::width]) for i in range(width)], width)


def next_columns(f: Function, tile: Tile, rows: Sequence[Value], count: int) -> list[Value]:
    """The next k of each row, or the next 16 bytes of them."""
    return [gather_column(f, tile, rows)] if count == 1 else load_columns(f, tile, rows)


def gather_column(f: Function, tile: Tile, rows: Sequence[Value]) -> Value:
    """One number of each row."""
    column = f.const(tile.vector, 0.0)
    for r, row in enumerate(rows):
        column = f.insert(column, row.load(tile.element), r)
    return column


def _join(f: Function, parts: list[Value]) -> Value:
    """Vectors of 16 bytes, one behind the other."""
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=True)
        parts = [f.shuffle(a, b, range(2 * lanes_of(a))) for a, b in pairs]
    return parts[0]


def lanes_of(value: Value) -> int:
    return int(value.type.partition("x")[2])


def transpose_inside(f: Function, rows: Sequence[Value], width: int) -> list[Value]:
    """Transpose width x width elements inside each 16 bytes of `width` vectors."""
    if width == 2:
        return [_interleave(f, rows, width, 1, half) for half in (0, 1)]
    pairs = rows[:2], rows[2:]
    low, high = ([_interleave(f, pair, width, 1, half) for pair in pairs] for half in (0, 1))
    return [_interleave(f, pair, width, 2, half) for pair in (low, high) for half in (0, 1)]


def transpose_square(f: Function, rows: Sequence[Value]) -> list[Value]:
    """Transpose as many vectors as each has lanes: inside of 16 bytes, then 16 bytes at a time.

    Shuffles by patterns that an instruction holds take half the time of those by a register.
    """
    width = LANE_BYTES // WIDTHS[rows[0].type.partition("x")[0]]
    groups = [transpose_inside(f, rows[i : i + width], width) for i in range(0, len(rows), width)]
    columns = [_transpose_parts(f, list(parts), width) for parts in zip(*groups, strict=True)]
    return [column for part in zip(*columns, strict=True) for column in part]


def _transpose_parts(f: Function, vectors: list[Value], width: int) -> list[Value]:
    """Transpose the parts of `width` lanes of as many vectors as each has parts."""
    if len(vectors) == 1:
        return vectors
    pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
    starts = range(0, 2 * lanes_of(vectors[0]), 2 * width)
    halves = []
    for odd in (0, width):
        mask = [start + odd + lane for start in starts for lane in range(width)]
        halves.append(_transpose_parts(f, [f.shuffle(a, b, mask) for a, b in pairs], width))
    return [vector for pair in zip(*halves, strict=True) for vector in pair]


def _interleave(f: Function, pair: Sequence[Value], width: int, unit: int, half: int) -> Value:
    """In each group of `width` lanes, the units of one half of two vectors in turn."""
    a, b = pair
    lanes = lanes_of(a)
    mask = []
    for group in range(0, lanes, width):
        for start in range(half * width // 2, (half + 1) * width // 2, unit):
            for source in (0, lanes):
                mask += [source + group + start + i for i in range(unit)]
    return f.shuffle(a, b, mask)


PACK_PARAMS = [
    ("source", "ptr"),
    ("out", "ptr"),
    ("width", "i64"),
    ("count", "i64"),
    ("row", "i64"),
]


def define_pack_across(m: Module, tile: Tile, name: str, width: int, internal: bool = True) -> None:
    """name(source, out, width, count, row): one panel of `width` rows whose k are adjacent.

    out[k, r] = source[r, k]: A as stored, or B stored (N, K). Panels are always `width` wide in
    memory; where fewer rows are wanted the last one is repeated. Stores are whole vectors: what
    they write behind a k the next k overwrites; up to a vector behind the panel is lost.
    """
    f = m.function(name, PACK_PARAMS, internal=internal, inline="never")
    source, out, wanted, count, row = f.args
    last, lanes = wanted - 1, tile.lanes
    step = LANE_BYTES // tile.itemsize
    whole = count // step * step

    def pack(first: int | Value, size: int, out: Value) -> None:
        """`size` rows from `first` on."""
        rows = [source.at(f.min(last, first + r) * row, tile.element) for r in range(size)]
        groups = [rows[g : g + lanes] for g in range(0, size, lanes)]
        groups[-1] += [rows[-1]] * (lanes - len(groups[-1]))
        squares = f.const("i64", 0)
        if len(groups) == 1:  # two have no room in registers
            squares = count // lanes * lanes
            with f.loop(0, squares, lanes) as k:
                square = [r.at(k, tile.element).load(tile.vector) for r in groups[0]]
                for v, column in enumerate(transpose_square(f, square)):
                    out.at((k + v) * width, tile.element).store(column)
        with f.loop(squares, whole, step) as k:
            here = [[r.at(k, tile.element) for r in wide] for wide in groups]
            columns = [load_columns(f, tile, wide) for wide in here]
            for v, parts in enumerate(zip(*columns, strict=True)):
                line = out.at((k + v) * width, tile.element)
                for g, part in enumerate(parts):
                    line.at(g * lanes, tile.element).store(part)
        with f.loop(whole, count) as k:
            for r in range(size):
                place = out.at(k * width + r, tile.element)
                place.store(rows[r].at(k, tile.element).load(tile.element))

    if width % lanes == 0 and width > lanes:  # group by group, by one and the same code
        with f.loop(0, width, lanes) as first:
            pack(first, lanes, out.at(first, tile.element))
    else:
        pack(0, width, out)


ALONG_PARAMS = [*PACK_PARAMS, ("apart", "i64")]


def define_pack_along(m: Module, tile: Tile, name: str, width: int, internal: bool = True) -> None:
    """name(source, out, width, count, row, apart): panels of `width` columns, side by side.

    out[panel, k, j] = source[k, panel, j]: B as stored, or A stored (K, M). `width` here is the
    number of columns in all; the last panel is filled with zeros. Up to a vector behind it is lost.
    Panels begin at multiples of `apart`, so that they may overlap.
    """
    f = m.function(name, ALONG_PARAMS, internal=internal, inline="never")
    source, out, total, count, row, apart = f.args
    wide = -(-width // tile.lanes) * tile.lanes
    whole, fours, size = f.max(total - (wide - 1), 0), count // 4 * 4, count * width

    def copy(k: Value, j: Value, panel: Value, rows: int) -> None:
        """Whole vectors: what they write behind a k the next k overwrites, or the next panel."""
        for u in range(rows):
            line = source.at((k + u) * row + j, tile.element)
            place = panel.at((k + u) * width, tile.element)
            for start in range(0, wide, tile.lanes):
                part = line.at(start, tile.element).load(tile.vector)
                place.at(start, tile.element).store(part)

    def copy_lines(k: Value, rows: int) -> None:
        panel = f.var("ptr", out)
        with f.loop(0, whole, apart) as j:
            copy(k, j, panel.get(), rows)
            panel.set(panel.get().at(size, tile.element))

    if wide == width:  # then rows can be read from end to end
        with f.loop(0, fours, 4) as k:
            copy_lines(k, 4)
        with f.loop(fours, count) as k:
            copy_lines(k, 1)
    else:
        panel = f.var("ptr", out)
        with f.loop(0, whole, apart) as j:
            with f.loop(0, fours, 4) as k:
                copy(k, j, panel.get(), 4)
            with f.loop(fours, count) as k:
                copy(k, j, panel.get(), 1)
            panel.set(panel.get().at(size, tile.element))
    full = (whole + (apart - 1)) // apart
    panel = f.var("ptr", out.at(full * size, tile.element))
    with f.loop(full * apart, total, apart) as j:
        _pack_rest(f, tile, width, j, panel.get())
        panel.set(panel.get().at(size, tile.element))


def _pack_rest(f: Function, tile: Tile, width: int, start: Value, panel: Value) -> None:
    """A panel of define_pack_along that ends before `width` columns do."""
    source, _, total, count, row = f.args[:5]
    groups = range(0, width, tile.lanes)
    numbers = f.iota(vector("i64", tile.lanes))
    masks = [(numbers + g).cmp("slt", (total - start).splat(tile.lanes)) for g in groups]
    with f.loop(0, count) as k:
        line = source.at(k * row + start, tile.element)
        place = panel.at(k * width, tile.element)
        for g, mask in zip(groups, masks, strict=True):
            some = f.masked_load(line.at(g, tile.element), mask, tile.vector)
            place.at(g, tile.element).store(some)


# ---- blocks of tiles -----------------------------------------------------------------------------

MOVE_PARAMS = [("to", "ptr"), ("to_row", "i64"), ("source", "ptr"), ("row", "i64")]
MOVE_PARAMS += [("rows", "i64"), ("columns", "i64")]


def define_move(m: Module, tile: Tile) -> None:
    """move(to, to_row, from, row, rows, columns): copy a block narrower than a tile."""
    f = m.function("move", MOVE_PARAMS, inline="never")
    to, to_row, source, row, rows, columns = f.args
    with f.loop(0, rows) as i:
        target, line = (
            f.var("ptr", p.at(i * r, tile.element)) for p, r in ((to, to_row), (source, row))
        )
        size = tile.columns // 2
        while size:
            kinds = _pieces(tile, size)
            with f.if_((columns & size).cmp("ne", 0)):
                for start, kind in kinds:
                    piece = line.get().at(start, tile.element).load(kind)
                    target.get().at(start, tile.element).store(piece)
                line.set(line.get().at(size, tile.element))
                target.set(target.get().at(size, tile.element))
            size //= 2


def _pieces(tile: Tile, size: int) -> list[tuple[int, str]]:
    if size == 1:
        return [(0, tile.element)]
    lanes = min(size, tile.lanes)
    return [(start, vector(tile.element, lanes)) for start in range(0, size, lanes)]


BLOCK_PARAMS = [("a", "ptr"), ("a_panel", "i64"), ("a_row", "i64"), ("a_step", "i64")]
BLOCK_PARAMS += [("b", "ptr"), ("b_step", "i64"), ("c", "ptr"), ("c_row", "i64"), ("tall", "i64")]
BLOCK_PARAMS += [("rows", "i64"), ("columns", "i64"), ("count", "i64"), ("resume", "i64")]


def define_block(m: Module, tile: Tile) -> None:
    """block(...): `rows` rows of C, one panel of B wide, in tiles of `tall` rows. Calls move.

    From tile to tile A moves by a_panel, from row to row inside of one by a_row.
    """
    f = m.function("block", BLOCK_PARAMS, inline="never")
    a, a_panel, a_row, a_step, b, b_step, c, c_row, tall, rows, columns, count, resume = f.args
    edge = f.array(tile.element, tile.rows * tile.columns, LINE)
    wide = (columns & (tile.lanes - 1)).cmp("eq", 0)
    start = f.var("ptr", a)
    with f.loop(0, rows, tall) as i:
        height = f.min(rows - i, tall)
        place, kind = c.at(i * c_row, tile.element), kind_of(tile, height, columns)
        given = (start.get(), a_row, a_step, b, b_step)
        with f.if_(wide) as branch:
            f.call("void", variant(f, kind), kind, *given, place, c_row, count, resume)
            branch.otherwise()
            with f.if_(resume.cmp("ne", 0)):
                f.call("void", "move", edge, tile.columns, place, c_row, height, columns)
            f.call("void", variant(f, kind), kind, *given, edge, tile.columns, count, resume)
            f.call("void", "move", place, c_row, edge, tile.columns, height, columns)
        start.set(start.get().at(a_panel, tile.element))


def define_turn(m: Module, tile: Tile) -> None:
    """turn(source, row, out, out_row, rows, columns): out[j, i] = source[i, j].

    Rows of the source may be read up to the next multiple of a panel.
    """
    params = [("source", "ptr"), ("row", "i64"), ("out", "ptr"), ("out_row", "i64")]
    params += [("rows", "i64"), ("columns", "i64")]
    f = m.function("turn", params, internal=True, inline="never")
    source, row, out, out_row, rows, columns = f.args
    width = LANE_BYTES // tile.itemsize
    with f.if_(rows.cmp("slt", tile.lanes)) as branch:
        with f.loop(0, columns) as j:
            line, place = (
                f.var("ptr", source.at(j, tile.element)),
                out.at(j * out_row, tile.element),
            )
            with f.loop(0, rows) as i:
                place.at(i, tile.element).store(line.get().load(tile.element))
                line.set(line.get().at(row, tile.element))
        branch.otherwise()
        last = rows - tile.lanes
        with f.loop(0, rows, tile.lanes) as step:
            i = f.min(step, last)  # the last rows are written twice
            here, there = source.at(i * row, tile.element), out.at(i, tile.element)
            starts = [here.at(row * r, tile.element) for r in range(0, tile.lanes, 4)]
            with f.loop(0, columns, width) as j:
                places = [start.at(j, tile.element) for start in starts]
                lines = [places[r // 4].at(row * (r % 4), tile.element) for r in range(tile.lanes)]
                for u, column in enumerate(load_columns(f, tile, lines)):
                    with f.if_((j + u).cmp("slt", columns)):
                        there.at((j + u) * out_row, tile.element).store(column)
