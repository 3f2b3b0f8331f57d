"""Plans of matrix products: matmul and linear, in every floating type. Floor 6.

    matmul  x[..., m, k], w[..., k, n]           -> [..., m, n]     leading axes are broadcast
    linear  x[..., k], w[n, k], bias[n] or none  -> [..., n]

The attribute `activation` of either names an operation that is applied to the result. What is a
vector goes to gemv.py, a few rows with weights (N, K) to few_rows.py, the rest to gemm.py; operands
are read at any strides as long as one of their two axes is contiguous. float16 and bfloat16 are
widened to float32, multiplied, and rounded once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import gcd, prod

from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.lower import few_rows, gemm, gemv
from twofold.lower.batch import Product, axis_words, contiguous, product_of
from twofold.lower.caches import cache_sizes
from twofold.lower.epilogue import load_epilogue
from twofold.lower.gemm import ACROSS, ALONG, DIRECT
from twofold.lower.half import HALVES, convert_step
from twofold.lower.kept_panels import can_keep, panels_bytes, panels_step, read_kept
from twofold.lower.schedule import (
    Arg,
    Frozen,
    In,
    Out,
    Plan,
    Pointer,
    Scratch,
    Step,
    Word,
    larger,
    schedule,
    smaller,
)
from twofold.lower.shared_tiles import want
from twofold.lower.task import arrange
from twofold.lower.tile import TILES, Tile, heights_of
from twofold.lower.whole_product import plan_whole

SERIAL = 60_000  # multiplications below which one thread does all
UNIT = 100_000  # multiplications that are worth a unit of their own
UNITS = 4  # for each thread, so that none waits long for the last
FEW_PANELS = 3  # of B, up to which A is read in place
SOME_PANELS = 8  # the same where k is contiguous: then the tile reads it nearly as fast
FEW_TILES = 5  # that use a panel of B, which is read in place if it stays in the second cache
SMALL_B = 8192  # bytes up to which B is read in place, from the first-level cache
MOST_K = 768  # of a block; more gains nothing
TALL = 14  # rows of a tile from which on a panel of B need not stay in the first-level cache
HELD_ROWS = 128  # of it at a time, as each may be on a page of its own
SKIMMED_TILES = 3  # the same if it does not stay there, by so many of its rows at a time:
SKIMMED_ROWS = 36
TURNED_PANELS = 4  # of A^T, up to which C^T is computed where B is stored (N, K)
TURNED_ROWS = 1024  # of C^T in a unit: they stay in the second-level cache
MOST_ROWS = 2048  # of a unit whose k is cut, as each block of k reads C again
PANELS = 4  # of B that are packed together, at least
FEW_PAGES = 64  # of C and of A, a row each, that are used together: more miss the nearest TLB,
MORE_PAGES = 98  # which is larger in CPUs that have such tall tiles
KEPT_PAGES = 256  # the same where each block of rows reads all of B from where it is kept
MOST_SPREAD = 48  # columns up to which A is read whose numbers are not contiguous on any axis
LINE = 64
SETS_BYTES = 4096  # bytes after which the sets of a first-level cache come again,
WAYS = 8  # and the lines that there is room for in each


class Operands(NamedTuple):
    """Where the operands of a product are, and what follows it. B may be `kept` as panels."""

    a: Word
    b: Word
    c: Word
    bias: Word | None
    activation: str | None
    kept: bool = False


def up(value: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-value // unit) * unit


def divide(total: int, most: int) -> int:
    """The size of equal parts of `total`, of which as few as `most` allows."""
    return -(-total // larger(-(-total // most), 1))


def even(total: int, most: int, unit: int) -> int:
    """The size of equal parts of `total` in whole units, of which as few as `most` allows."""
    parts = -(-total // larger(most, unit))
    return larger(up(-(-total // larger(parts, 1)), unit), unit)


# ---- what is asked for ---------------------------------------------------------------------------


@schedule("matmul")
def plan_matmul(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, object], threads: int
) -> Plan | None:
    """x w. None for types that have no kernel."""
    if outs[0].dtype.is_integer:
        return plan_whole(args[0], args[1], outs[0], threads)
    return _plan(args, outs[0], attrs, threads, turned=False)


@schedule("linear")
def plan_linear(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, object], threads: int
) -> Plan | None:
    """x w^T, plus a bias. None for types that have no kernel."""
    return _plan(args, outs[0], attrs, threads, turned=True)


def _plan(
    args: Sequence[Arg], out: Type, attrs: Mapping[str, object], threads: int, turned: bool
) -> Plan | None:
    if out.dtype.name not in TILES and out.dtype.name not in HALVES:
        return None
    if 0 in out.shape:
        return Plan(())
    args, product, copies = _settle(list(args), turned)
    given = attrs.get("activation")
    activation = None if given is None else str(given)
    if out.dtype.name in HALVES:
        return _plan_half(args, product, out, activation, threads, copies)
    bias = In(2) if len(args) > 2 else None
    operands = Operands(In(0), In(1), Out(0), bias, activation)
    tile, kept = TILES[out.dtype.name], 0
    before: tuple[Step, ...] = ()
    if args[1].frozen and 1 not in copies and _keeps(tile, product):
        before = (panels_step(tile, product, operands.b, threads),)
        operands, kept = operands._replace(b=Frozen(), kept=True), panels_bytes(tile, product)
    steps, scratch = product_steps(tile, product, operands, threads)
    return Plan((*before, *steps), scratch, copies, frozen=kept)


def _settle(args: list[Arg], turned: bool) -> tuple[list[Arg], Product, tuple[int, ...]]:
    """The arguments after copies, their product, and which are copied."""
    product = _product(args, turned)
    copies = [i for i, arg in enumerate(args) if not _is_readable(i, arg, product)]
    for i in copies:
        args[i] = contiguous(args[i])
    return args, _product(args, turned) if copies else product, tuple(copies)


def _product(args: Sequence[Arg], turned: bool) -> Product:
    x, w = args[:2]
    if len(x.shape) == 1:
        x = Arg((1, *x.shape), x.dtype, (0, *x.strides))
    if turned:
        w = Arg(w.shape[::-1], w.dtype, w.strides[::-1])
    return product_of(x, w)


def _is_readable(place: int, arg: Arg, p: Product) -> bool:
    """Whether the kernels can read x, w or the bias as it lies."""
    if arg.dtype.name in HALVES and not _is_dense(arg):
        return False
    if place == 0:
        return p.a_step == 1 or (p.m > 1 and (p.a_row == 1 or 1 < p.n <= MOST_SPREAD))
    if place == 1:
        return p.b_step == 1 or (p.n > 1 and p.b_column == 1)
    return arg.contiguous


# ---- float32 and float64, and the halves through float32 -----------------------------------------


def _plan_half(
    args: Sequence[Arg],
    product: Product,
    out: Type,
    activation: str | None,
    threads: int,
    copies: tuple[int, ...],
) -> Plan:
    """The widened product, rounded once. Frozen weights are widened once."""
    kind = out.dtype.name
    frozen = args[1].frozen and 1 not in copies
    sizes = [up(4 * _stored(arg), LINE) for arg in args] + [up(4 * out.size, LINE)]
    kept = sizes[1] if frozen else 0
    sizes[1] -= kept
    places: list[Pointer] = [Scratch(sum(sizes[:i])) for i in range(len(sizes) + 1)]
    if frozen:
        places[1] = Frozen()
    before = [
        convert_step("widen", kind, In(i), places[i], _stored(arg), threads)
        for i, arg in enumerate(args)
    ]
    a, b, *bias, c, _ = places
    operands = Operands(a, b, c, bias[0] if bias else None, activation)
    steps, scratch = product_steps(TILES["float32"], product, operands, threads, sum(sizes))
    after = convert_step("narrow", kind, c, Out(0), out.size, threads)
    return Plan((*before, *steps, after), scratch, copies, frozen=kept)


def _stored(arg: Arg) -> int:
    """How many elements of an argument there are in memory: those of broadcast axes once."""
    return prod(n for n, stride in zip(arg.shape, arg.strides, strict=True) if stride)


def _is_dense(arg: Arg) -> bool:
    """Whether the elements fill a piece of memory, in whatever order of the axes."""
    axes = [(s, n) for n, s in zip(arg.shape, arg.strides, strict=True) if s and n != 1]
    expected = 1
    for stride, size in sorted(axes):
        if stride != expected:
            return False
        expected *= size
    return True


# ---- one product ---------------------------------------------------------------------------------


def product_steps(
    tile: Tile, product: Product, operands: Operands, threads: int, scratch: int = 0
) -> tuple[tuple[Step, ...], int]:
    """The steps of a product, and the scratch memory in all if `scratch` bytes are in use."""
    threads = threads if product.work >= SERIAL else 1
    finish = load_epilogue(tile, operands.bias is not None, operands.activation)
    bias = operands.bias or 0
    words: dict[str, Word] = {"c": operands.c, "bias": bias, "finish": finish}
    words.update(batches=product.batches, rank=len(product.axes))
    if product.m == 1 or product.n == 1:
        given = (tile, product, operands.a, operands.b, words, threads, operands.kept)
        return gemv.plan_gemv(*given), scratch
    if not operands.kept and few_rows.serves(tile, product):
        a, b = operands.a, operands.b
        return few_rows.plan_few(tile, product, a, b, words, threads), scratch
    return _plan_gemm(tile, product, operands, words, threads, scratch)


def _plan_gemm(
    tile: Tile,
    p: Product,
    operands: Operands,
    words: dict[str, Word],
    threads: int,
    scratch: int,
) -> tuple[tuple[Step, ...], int]:
    a, b, kept = operands.a, operands.b, operands.kept
    turned = not kept and _prefers_turned(tile, p)
    if turned:
        p, a, b = p.turned, b, a
    cut = _cut(tile, p, threads, turned, kept)
    if kept:
        p = read_kept(tile, p)
    down = -(-p.m // cut.rows)
    units = p.batches * down * -(-p.n // cut.columns)
    chunks = smaller(threads, units)
    area_b, area_c, area = _areas(tile, cut, turned)
    counter = Scratch(scratch)
    words.update(a=a, b=b, m=p.m, n=p.n, k=p.k, counter=counter, turned=int(turned))
    words.update(a_row=p.a_row, a_step=p.a_step, b_step=p.b_step, b_column=p.b_column)
    words.update(apart=p.k if kept else 1)
    words.update(areas=Scratch(scratch + LINE), area_size=area, area_b=area_b, area_c=area_c)
    words.update(units=units, down=down, pack_a=cut.pack_a, pack_b=cut.pack_b, tall=cut.tall)
    words.update(unit_rows=cut.rows, unit_columns=cut.columns, block_k=cut.block_k)
    words.update(block_rows=cut.block_rows, block_columns=cut.block_columns)
    heights = heights_of(heights_of(heights_of([p.m], cut.rows), cut.block_rows), cut.tall)
    want(tile, heights, p.n, p.work)
    code = load(f"gemm/{tile.key}", lambda: gemm.build_gemm(tile))
    step = Step(code.address("gemm"), arrange(gemm.JOB, words) + axis_words(p.axes), chunks)
    reset = (Step(code.address("reset"), (counter,)),) if chunks > 1 else ()
    return (*reset, step), scratch + LINE + chunks * area


# ---- how a product is cut ------------------------------------------------------------------------


class Cut(NamedTuple):
    """The sizes of a unit and of the blocks inside it, and how a unit reads A and B."""

    rows: int
    columns: int
    block_rows: int
    block_columns: int
    block_k: int
    tall: int  # rows of a tile
    pack_a: int
    pack_b: int


def _cut(tile: Tile, p: Product, threads: int, turned: bool, kept: bool) -> Cut:
    caches, size = cache_sizes(), tile.itemsize
    pack_b, block_k = _reading_b(tile, p)
    pack_b = DIRECT if kept else pack_b
    rows, columns = _unit(tile, p, threads, block_k, caches.third, turned)
    tall = divide(smaller(rows, p.m), tile.rows)
    most = caches.second // (2 if kept else 3) // (block_k * size)
    pages = KEPT_PAGES if kept else MORE_PAGES if tile.rows >= TALL else FEW_PAGES
    block_rows = smaller(even(rows, smaller(most, pages), tall), rows)
    together = larger(caches.second // 2 // (block_k * size), PANELS * tile.columns)
    block_columns = smaller(up(together, tile.columns), columns)
    pack_a = _reading_a(tile, p, columns)
    return Cut(rows, columns, block_rows, block_columns, block_k, tall, pack_a, pack_b)


def _areas(tile: Tile, cut: Cut, turned: bool) -> tuple[int, int, int]:
    """Where in a chunk's area packed B and the turned C begin, and the area's bytes. Each has room
    behind it for what packing writes too much."""
    panels = -(-cut.block_rows // cut.tall) * tile.rows if cut.pack_a else 0
    held = cut.columns if cut.pack_b else tile.columns
    counts = (panels * cut.block_k, held * cut.block_k, cut.rows * cut.columns * turned)
    first, second, third = (up(count * tile.itemsize, LINE) + LINE for count in counts)
    return first, first + second, first + second + third


def _keeps(tile: Tile, p: Product) -> bool:
    """Whether weights that stay are kept as panels: where they would be packed at every call, or
    turned in registers for one row."""
    if p.m == 1:
        return can_keep(p) and p.b_step == 1 and p.b_column != 1
    return can_keep(p) and not _prefers_turned(tile, p) and _reading_b(tile, p)[0] != DIRECT


def _prefers_turned(tile: Tile, p: Product) -> bool:
    """Whether C^T = B^T A^T is computed, and turned at the end. Where B is stored (N, K) and A has
    few rows, to turn C costs less than to pack all of B: a layer's weights are read in place."""
    few = tile.rows < p.m <= TURNED_PANELS * tile.columns and 1 in (p.a_row, p.a_step)
    return few and p.b_step == 1 and p.b_column != 1 and p.n > 1


def _reading_a(tile: Tile, p: Product, columns: int) -> int:
    """How a unit reads A. Packing pays where what is packed is used often."""
    if p.a_step == 1 and p.n > tile.columns and _rows_collide(tile, p):
        return ACROSS
    if p.n <= FEW_PANELS * tile.columns or 1 not in (p.a_row, p.a_step):
        return DIRECT
    if p.a_step != 1:
        return ALONG
    return DIRECT if columns <= SOME_PANELS * tile.columns else ACROSS


def _rows_collide(tile: Tile, p: Product) -> bool:
    """Whether rows of a tile of A begin in the same few sets of the first-level cache, so that one
    drives out the other: those of weights for 3,072 inputs do, read in place they took 1.45 times
    as long."""
    places = SETS_BYTES // gcd(p.a_row * tile.itemsize, SETS_BYTES)
    return tile.rows > WAYS * places


def _reading_b(tile: Tile, p: Product) -> tuple[int, int]:
    """How a unit reads B, and the k that it takes at a time: a panel stays in the first cache, or
    in the second if a tile has many products for each line of it."""
    caches, size = cache_sizes(), p.k * p.n * tile.itemsize
    room = caches.second // (8 if tile.rows >= TALL else 16)
    room = max(room, caches.first * 3 // 4)
    block_k = even(p.k, smaller(MOST_K, room // (tile.columns * tile.itemsize)), 8)
    if p.b_step == 1 and (p.b_column != 1 or p.n == 1):
        return ACROSS, block_k
    held, tall = size <= caches.second // 2, -(-p.m // tile.rows)
    if size <= SMALL_B or (held and tall <= FEW_TILES):
        return DIRECT, even(p.k, smaller(block_k, HELD_ROWS), 8)
    if tall <= SKIMMED_TILES:  # B comes from memory: a few of its rows at a time, to their end
        return DIRECT, even(p.k, SKIMMED_ROWS, 8)
    return ALONG, block_k


def _unit(
    tile: Tile, p: Product, threads: int, block_k: int, cache: int, turned: bool
) -> tuple[int, int]:
    """Rows and columns of a unit: packed parts fit the caches, and every thread gets some."""
    most_rows = TURNED_ROWS if turned else MOST_ROWS if p.k > block_k else p.m
    rows = even(p.m, most_rows, tile.rows)
    most = min(max(cache // (4 * threads), 256 << 10), 2 << 20) // (block_k * tile.itemsize)
    columns = even(p.n, larger(most, 4 * tile.columns), tile.columns)
    wanted = smaller(UNITS * threads, p.work // UNIT) if threads > 1 else 1
    while p.batches * -(-p.m // rows) * -(-p.n // columns) < wanted:
        if columns > tile.columns and not turned and (columns >= rows or rows == tile.rows):
            columns = up(columns // 2, tile.columns)
        elif rows > tile.rows:
            rows = up(rows // 2, tile.rows)
        else:
            break
    return rows, columns
