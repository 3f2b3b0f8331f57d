"""The register tile under every convolution: 6 rows of 2 vectors, one chain of fma each. Floor 6.

    out[row, column] = chain over k, ascending:
                       fma(values[rows[row] + steps[k]], panel[k, column], .)

A row reads one number and spreads it over the lanes; the panel holds one group of `columns` numbers
for every k. `rows` and `steps` are tables of offsets, so padding, stride, dilation and layout stay
outside. A chain that is cut continues from what is in `out` (`fresh` = 0): cutting changes no bit.

The lane-wise tile reads a vector for every row and k, so that the lanes are channels of their own:
that is the depthwise convolution.
"""

from collections.abc import Callable
from dataclasses import dataclass

from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value, Var
from twofold.lower.schedule import Word

ROWS = 6

# What happens to a finished chain, as bits of the job word `finish`.
ADD_BIAS = 1
RELU = 2


@dataclass(frozen=True)
class Format:
    """An element type and the vectors it is computed in: 32 bytes, whatever the machine has."""

    element: str
    width: int
    itemsize: int

    @property
    def vector(self) -> str:
        return vector(self.element, self.width)

    @property
    def columns(self) -> int:
        return 2 * self.width


FORMATS = {"float32": Format("f32", 8, 4), "float64": Format("f64", 4, 8)}

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


def define_tiles(m: Module, fmt: Format, lanewise: bool = False) -> None:
    """The functions tile1 .. tile6, by their number of rows."""
    for rows in range(1, ROWS + 1):
        _define_tile(m, fmt, rows, lanewise)


TILE_PARAMS = [("values", "ptr"), ("rows", "ptr"), ("steps", "ptr"), ("panel", "ptr")]
TILE_PARAMS += [("out", "ptr"), ("pitch", "i64"), ("count", "i64"), ("fresh", "i64")]
TILE_PARAMS += [("finish", "i64"), ("bias", "ptr")]


def _define_tile(m: Module, fmt: Format, rows: int, lanewise: bool) -> None:
    f = m.function(f"tile{rows}", TILE_PARAMS, internal=True, inline="never")
    values, offsets, steps, panel, out, pitch, count, fresh, finish, bias = f.args
    starts = [values.at(entry(offsets, i), fmt.element) for i in range(rows)]
    places = [out.at(pitch * i, fmt.element) if i else out for i in range(rows)]
    chains = [[f.var(fmt.vector, 0.0) for _ in range(2)] for _ in range(rows)]
    with f.if_(fresh.cmp("eq", 0)):
        for place, pair in zip(places, chains, strict=True):
            for half, chain in enumerate(pair):
                chain.set(place.at(half * fmt.width, fmt.element).load(fmt.vector))

    with f.loop(0, count) as k:
        line = panel.at(k * fmt.columns, fmt.element)
        columns = [line.at(half * fmt.width, fmt.element).load(fmt.vector, 32) for half in (0, 1)]
        offset = entry(steps, k)
        for start, pair in zip(starts, chains, strict=True):
            given = _row_values(start.at(offset, fmt.element), fmt, lanewise)
            for chain, value, column in zip(pair, given, columns, strict=True):
                chain.set(f.fma(value, column, chain.get()))
    _finish_rows(f, fmt, chains, finish, bias)
    for place, pair in zip(places, chains, strict=True):
        for half, chain in enumerate(pair):
            place.at(half * fmt.width, fmt.element).store(chain.get())


def _row_values(start: Value, fmt: Format, lanewise: bool) -> list[Value]:
    """What one row multiplies the two column vectors with."""
    if lanewise:
        return [start.at(half * fmt.width, fmt.element).load(fmt.vector) for half in (0, 1)]
    return [start.load(fmt.element).splat(fmt.width)] * 2


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
    """Call the tile of this many rows (1 to 6)."""
    counts = range(ROWS, 0, -1)
    f.switch(rows, {n: calling(f, f"tile{n}", *args) for n in counts})


def calling(f: Function, name: str, *args: Value | int) -> Emit:
    """A case of a switch: call this function."""
    return lambda: f.call("void", name, *args)


def quads(fmt: Format) -> int:
    """Lanes of 16 bytes: transpositions are done in squares of so many rows and columns."""
    return fmt.width // 2


def transpose(f: Function, rows: list[Value]) -> list[Value]:
    """The columns of a square of numbers given as vectors of 16 bytes."""
    if len(rows) == 2:
        return [f.shuffle(rows[0], rows[1], [lane, 2 + lane]) for lane in (0, 1)]
    pairs = [_interleave(f, rows[i], rows[i + 1]) for i in (0, 2)]
    low_high = zip(*pairs, strict=True)
    return [
        f.shuffle(upper, lower, mask)
        for upper, lower in low_high
        for mask in ([0, 1, 4, 5], [2, 3, 6, 7])
    ]


def _interleave(f: Function, a: Value, b: Value) -> tuple[Value, Value]:
    """Four lanes and four lanes, taken in turns."""
    return f.shuffle(a, b, [0, 4, 1, 5]), f.shuffle(a, b, [2, 6, 3, 7])


def put_turned(f: Function, fmt: Format, tile: Value, out: Value, pitch: Value) -> None:
    """Write a full tile turned: out[column * pitch + row] = tile[row][column]."""
    side = quads(fmt)
    kind = vector(fmt.element, side)
    for first in range(0, fmt.columns, side):
        places = [out.at(pitch * (first + lane), fmt.element) for lane in range(side)]
        lines = [tile.at(row * fmt.columns + first, fmt.element).load(kind) for row in range(ROWS)]
        for row in range(0, ROWS, side):
            part = lines[row : row + side]
            columns = transpose(f, part) if len(part) == side else _halves(f, part)
            for place, column in zip(places, columns, strict=True):
                place.at(row, fmt.element).store(column)


def _halves(f: Function, rows: list[Value]) -> list[Value]:
    """The columns of two rows of four lanes, as pairs."""
    return [
        f.shuffle(pairs, None, half)
        for pairs in _interleave(f, rows[0], rows[1])
        for half in ([0, 1], [2, 3])
    ]
