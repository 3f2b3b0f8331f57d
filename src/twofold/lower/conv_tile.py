"""The register tile under every convolution: rows of vectors, one chain of fma each. Floor 6.

    out[row, column] = chain over k, ascending:
                       fma(values[rows[row] + steps[k]], panel[k, column], .)

A row reads one number and spreads it over the lanes; the panel holds one group of `columns` numbers
for every k. `rows` and `steps` are tables of offsets, so padding, stride, dilation and layout stay
outside. A chain that is cut continues from what is in `out` (`fresh` = 0): cutting changes no bit.

The lane-wise tile reads a vector for every row and k, so that the lanes are channels of their own:
that is the depthwise convolution.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from twofold.codegen.compile import Code
from twofold.codegen.target import Target, host
from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value, Var
from twofold.lower.schedule import Word
from twofold.lower.tile import Tile
from twofold.lower.variants import Variants, declare_table, variant

# What happens to a finished chain, as bits of the job word `finish`.
ADD_BIAS = 1
RELU = 2


@dataclass(frozen=True)
class Format:
    """An element type, the vectors it is computed in, and the tile: `rows` of so many vectors.

    `masked`: storing some lanes of a vector is one instruction.
    """

    element: str
    width: int
    itemsize: int
    rows: int = 6
    vectors: int = 2
    masked: bool = False

    @property
    def key(self) -> str:
        """What a module that is made for this tile depends on."""
        return f"{self.element}/{self.rows}x{self.vectors}x{self.width}"

    @property
    def vector(self) -> str:
        return vector(self.element, self.width)

    @property
    def columns(self) -> int:
        return self.vectors * self.width

    @property
    def tile(self) -> Tile:
        """The same for the functions of tile.py."""
        size = self.width * self.itemsize
        return Tile(self.element, self.itemsize, self.rows, self.vectors, size)

    @property
    def starts(self) -> range:
        """Where the vectors of a row begin."""
        return range(0, self.columns, self.width)


def narrow(fmt: Format) -> Format:
    """Tiles of one vector, and as many rows as the registers hold: for few columns."""
    return replace(fmt, vectors=1, rows=fmt.rows * fmt.vectors)


# Vectors of 32 bytes, for what is bound by memory.
FORMATS = {"float32": Format("f32", 8, 4), "float64": Format("f64", 4, 8)}

# Rows and vectors of a tile, by the number of registers.
SHAPES = {16: (6, 2), 32: (14, 2)}


def formats_for(target: Target) -> dict[str, Format]:
    """The tiles of a target by the name of the element type."""
    size, shape = target.vector_bytes, SHAPES[target.registers]
    masked = size == 64
    return {
        "float32": Format("f32", size // 4, 4, *shape, masked),
        "float64": Format("f64", size // 8, 8, *shape, masked),
    }


TILES = formats_for(host())

Emit = Callable[[], object]


def arrange(layout: str, **values: Word) -> tuple[Word, ...]:
    """The job words in the order of a Task's layout: arrange("x:ptr n", n=3, x=In(0))."""
    names = [word.partition(":")[0] for word in layout.split()]
    if set(names) != set(values):
        raise ValueError(f"job words: {sorted(set(names) ^ set(values))} given or wanted alone")
    return tuple(values[name] for name in names)


def entry(table: Value, index: Value | int) -> Value:
    """table[index] of 64-bit numbers."""
    return table.at(index, "i64").load("i64")


def declare_tiles(m: Module, fmt: Format, lanewise: bool = False, fetches: bool = False) -> None:
    """Tiles by their number of rows (variants.py), and `single`, which computes row by row.

    Those that fetch have two further parameters: memory that will be read later is brought nearer,
    `pace` bytes for every k.
    """
    declare_table(m, fmt.rows + 1)
    _define_tile(m, fmt, "tile1", 1, lanewise, fetches)
    f = m.function("single", TILE_PARAMS + FETCH_PARAMS * fetches, inline="never")
    number, values, offsets, steps, panel, out, pitch, count, fresh, finish, bias, *fetch = f.args
    with f.loop(0, number) as i:
        given = (number, values, offsets.at(i, "i64"), steps, panel)
        more = (pitch, count, fresh, finish, bias.at(i, fmt.element), *fetch)
        f.call("void", "tile1", *given, out.at(pitch * i, fmt.element), *more)


def want_tiles(
    code: Code, fmt: Format, heights: Iterable[int], lanewise: bool = False, fetches: bool = False
) -> None:
    """Let the module of this code call tiles of these heights."""
    variants = _wanted.get(code)
    if variants is None:
        kind = "tile-lanewise" if lanewise else "tile-fetching" if fetches else "tile"
        key = f"conv/{kind}/{fmt.key}"
        build = partial(build_tile, fmt, lanewise=lanewise, fetches=fetches)
        variants = _wanted[code] = Variants(code, fmt.rows + 1, key, "tile", build)
    variants.want(heights)


def build_tile(fmt: Format, rows: int, lanewise: bool = False, fetches: bool = False) -> Module:
    """The module of one tile. Exports tile."""
    m = Module(f"conv_tile_{fmt.element}")
    _define_tile(m, fmt, "tile", rows, lanewise, fetches, internal=False)
    return m


_wanted: dict[Code, Variants] = {}

TILE_PARAMS = [
    ("number", "i64"),
    ("values", "ptr"),
    ("rows", "ptr"),
    ("steps", "ptr"),
    ("panel", "ptr"),
]
TILE_PARAMS += [("out", "ptr"), ("pitch", "i64"), ("count", "i64"), ("fresh", "i64")]
TILE_PARAMS += [("finish", "i64"), ("bias", "ptr")]


FETCH_PARAMS = [("later", "ptr"), ("pace", "i64")]
# The k between which is fetched, and the bytes that come together.
FETCH_STEP = 16
LINE = 64

# Offsets of rows that stay in registers; more of them are read again for each k, or vectors would
# be spilled.
HELD = 6


def _define_tile(
    m: Module,
    fmt: Format,
    name: str,
    rows: int,
    lanewise: bool,
    fetches: bool,
    internal: bool = True,
) -> None:
    params = TILE_PARAMS + FETCH_PARAMS * fetches
    f = m.function(name, params, internal=internal, inline="never")
    _, values, offsets, steps, panel, out, pitch, count, fresh, finish, bias, *fetch = f.args
    held = [entry(offsets, i) for i in range(min(rows, HELD))]
    places = [out.at(pitch * i, fmt.element) if i else out for i in range(rows)]
    chains = [[f.var(fmt.vector, 0.0) for _ in fmt.starts] for _ in range(rows)]
    with f.if_(fresh.cmp("eq", 0)):
        for place, row in zip(places, chains, strict=True):
            for at, chain in zip(fmt.starts, row, strict=True):
                chain.set(place.at(at, fmt.element).load(fmt.vector))

    def multiply(first: Value | int, last: Value) -> None:
        with f.loop(first, last) as k:
            line = panel.at(k * fmt.columns, fmt.element)
            columns = [line.at(at, fmt.element).load(fmt.vector, 32) for at in fmt.starts]
            here = values.at(entry(steps, k), fmt.element)
            for i, row in enumerate(chains):
                offset = held[i] if i < HELD else entry(offsets, i)
                given = _row_values(here.at(offset, fmt.element), fmt, lanewise)
                for chain, value, column in zip(row, given, columns, strict=True):
                    chain.set(f.fma(value, column, chain.get()))

    if fetch:
        later, pace = fetch
        with f.loop(0, count, FETCH_STEP) as first:
            last = f.min(first + FETCH_STEP, count)
            with f.loop(first * pace, last * pace, LINE) as ahead:
                f.prefetch(later.at(ahead, "i8"), locality=2)
            multiply(first, last)
    else:
        multiply(0, count)
    _finish_rows(f, fmt, chains, finish, bias)
    for place, row in zip(places, chains, strict=True):
        for at, chain in zip(fmt.starts, row, strict=True):
            place.at(at, fmt.element).store(chain.get())


def _row_values(start: Value, fmt: Format, lanewise: bool) -> list[Value]:
    """What one row multiplies the column vectors with."""
    if lanewise:
        return [start.at(at, fmt.element).load(fmt.vector) for at in fmt.starts]
    return [start.load(fmt.element).splat(fmt.width)] * fmt.vectors


def _finish_rows(
    f: Function, fmt: Format, chains: list[list[Var]], finish: Value, bias: Value
) -> None:
    with f.if_((finish & ADD_BIAS).cmp("ne", 0)):
        for row, pair in enumerate(chains):
            shift = bias.at(row, fmt.element).load(fmt.element).splat(fmt.width)
            for chain in pair:
                chain.set(chain.get() + shift)
    with f.if_((finish & RELU).cmp("ne", 0)):
        for pair in chains:
            for chain in pair:
                chain.set(relu(chain.get()))


def relu(x: Value) -> Value:
    """max(x, 0); NaN stays NaN."""
    return x.cmp("ole", 0.0).select(x.function.const(x.type, 0.0), x)


def call_tile(f: Function, rows: Value, *args: Value | int) -> None:
    """Call the tile of this many rows."""
    f.call("void", variant(f, rows), rows, *args)


def calling(f: Function, name: str, *args: Value | int) -> Emit:
    """A case of a switch: call this function."""
    return lambda: f.call("void", name, *args)


def quads(fmt: Format) -> int:
    """Lanes of 16 bytes: transpositions are done in squares of so many rows and columns."""
    return 16 // fmt.itemsize
