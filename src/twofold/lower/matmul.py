"""Plans of matrix products: matmul and linear, in every floating type. Floor 6.

    matmul  x[..., m, k], w[..., k, n]           -> [..., m, n]     leading axes are broadcast
    linear  x[..., k], w[n, k], bias[n] or none  -> [..., n]

The attribute `activation` of either names an operation that is applied to the result. What is a
vector goes to gemv.py, the rest to gemm.py; operands are read at any strides as long as one of
their two axes is contiguous. float16 and bfloat16 are widened to float32, multiplied, and rounded
once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.lower import gemm, gemv
from twofold.lower.batch import Product, axis_words, contiguous, product_of
from twofold.lower.caches import cache_sizes
from twofold.lower.epilogue import load_epilogue
from twofold.lower.gemm import ACROSS, ALONG, DIRECT
from twofold.lower.half import HALVES, convert_step
from twofold.lower.schedule import Arg, In, Out, Plan, Scratch, Step, Word, schedule
from twofold.lower.task import arrange
from twofold.lower.tile import TILES, Tile

SERIAL = 60_000  # multiplications below which one thread does all
UNIT = 100_000  # multiplications that are worth a unit of their own
UNITS = 4  # for each thread, so that none waits long for the last
FEW_COLUMNS = 48  # up to here A is read in place: few panels use it
SOME_COLUMNS = 128  # the same where k is contiguous: then the tile reads it nearly as fast
FEW_ROWS = 12  # up to here B is read in place: at most two tiles use a panel
SMALL_B = 8192  # bytes up to which B is read in place, from the first-level cache
MOST_ROWS = 1536  # of a unit whose k is cut, as each block of k reads C again
PANELS = 4  # of B that are packed together
LINE = 64


class Operands(NamedTuple):
    """Where the operands of a product are, and what follows it."""

    a: Word
    b: Word
    c: Word
    bias: Word | None
    activation: str | None


def up(value: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-value // unit) * unit


def even(total: int, most: int, unit: int) -> int:
    """The size of equal parts of `total` in whole units, of which as few as `most` allows."""
    parts = -(-total // max(most, unit))
    return max(up(-(-total // max(parts, 1)), unit), unit)


# ---- what is asked for ---------------------------------------------------------------------------


@schedule("matmul")
def plan_matmul(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, object], threads: int
) -> Plan | None:
    """x w. None for types that have no kernel."""
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
    plan_type = _plan_half if out.dtype.name in HALVES else _plan_full
    steps, scratch = plan_type(args, product, out, activation, threads)
    return Plan(steps, scratch, copies)


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
        return p.a_step == 1 or (p.m > 1 and (p.a_row == 1 or 1 < p.n <= FEW_COLUMNS))
    if place == 1:
        return p.b_step == 1 or (p.n > 1 and p.b_column == 1)
    return arg.contiguous


# ---- float32 and float64, and the halves through float32 -----------------------------------------


def _plan_full(
    args: Sequence[Arg], product: Product, out: Type, activation: str | None, threads: int
) -> tuple[tuple[Step, ...], int]:
    bias = In(2) if len(args) > 2 else None
    operands = Operands(In(0), In(1), Out(0), bias, activation)
    return product_steps(TILES[out.dtype.name], product, operands, threads)


def _plan_half(
    args: Sequence[Arg], product: Product, out: Type, activation: str | None, threads: int
) -> tuple[tuple[Step, ...], int]:
    kind = out.dtype.name
    sizes = [_stored(arg) for arg in args] + [out.size]
    places = [Scratch(sum(up(4 * size, LINE) for size in sizes[:i])) for i in range(len(sizes) + 1)]
    before = [
        convert_step("widen", kind, In(i), places[i], size, threads)
        for i, size in enumerate(sizes[:-1])
    ]
    a, b, *bias, c, end = places
    operands = Operands(a, b, c, bias[0] if bias else None, activation)
    steps, scratch = product_steps(TILES["float32"], product, operands, threads, end.offset)
    after = convert_step("narrow", kind, c, Out(0), out.size, threads)
    return (*before, *steps, after), scratch


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
        return gemv.plan_gemv(tile, product, operands.a, operands.b, words, threads), scratch
    return _plan_gemm(tile, product, operands, words, threads, scratch)


def _plan_gemm(
    tile: Tile,
    p: Product,
    operands: Operands,
    words: dict[str, Word],
    threads: int,
    scratch: int,
) -> tuple[tuple[Step, ...], int]:
    caches, size = cache_sizes(), tile.itemsize
    block_k = even(p.k, min(512, caches.first * 3 // 4 // (tile.columns * size)), 8)
    block_rows = even(p.m, caches.second // 3 // (block_k * size), tile.rows)
    rows, columns = _unit(tile, p, threads, block_k, caches.third)
    pack_a, pack_b = _packing(tile, p, columns)
    down = -(-p.m // rows)
    units = p.batches * down * -(-p.n // columns)
    chunks = min(threads, units)
    area_b = up(min(block_rows, rows) * block_k * size, LINE) + LINE if pack_a else 0
    held = columns if pack_b else tile.columns
    area = area_b + up(held * block_k * size, LINE) + LINE
    counter = Scratch(scratch)
    words.update(a=operands.a, b=operands.b, m=p.m, n=p.n, k=p.k, counter=counter)
    words.update(a_row=p.a_row, a_step=p.a_step, b_step=p.b_step, b_column=p.b_column)
    words.update(areas=Scratch(scratch + LINE), area_size=area, area_b=area_b)
    words.update(units=units, down=down, pack_a=pack_a, pack_b=pack_b, block_k=block_k)
    words.update(unit_rows=rows, unit_columns=columns, block_rows=min(block_rows, rows))
    words.update(block_columns=min(PANELS * tile.columns, columns))
    code = load(f"gemm/{tile.key}", lambda: gemm.build_gemm(tile))
    step = Step(code.address("gemm"), arrange(gemm.JOB, words) + axis_words(p.axes), chunks)
    reset = (Step(code.address("reset"), (counter,)),) if chunks > 1 else ()
    return (*reset, step), scratch + LINE + chunks * area


def _packing(tile: Tile, p: Product, columns: int) -> tuple[int, int]:
    """How A and B are read by a unit. Packing pays where what is packed is used often."""
    pack_a = ACROSS if p.a_step == 1 else ALONG
    if p.n <= FEW_COLUMNS or (pack_a == ACROSS and columns <= SOME_COLUMNS):
        pack_a = DIRECT
    pack_b = ACROSS if p.b_step == 1 and (p.b_column != 1 or p.n == 1) else ALONG
    if pack_b == ALONG and (p.m <= FEW_ROWS or p.k * p.n * tile.itemsize <= SMALL_B):
        pack_b = DIRECT
    return pack_a, pack_b


def _unit(tile: Tile, p: Product, threads: int, block_k: int, cache: int) -> tuple[int, int]:
    """Rows and columns of a unit: packed parts fit the caches, and every thread gets some."""
    rows = even(p.m, MOST_ROWS if p.k > block_k else p.m, tile.rows)
    most = min(max(cache // (4 * threads), 256 << 10), 1 << 20) // (block_k * tile.itemsize)
    columns = even(p.n, max(most, 4 * tile.columns), tile.columns)
    wanted = min(UNITS * threads, p.work // UNIT) if threads > 1 else 1
    while p.batches * -(-p.m // rows) * -(-p.n // columns) < wanted:
        if columns > tile.columns and (columns >= rows or rows == tile.rows):
            columns = up(columns // 2, tile.columns)
        elif rows > tile.rows:
            rows = up(rows // 2, tile.rows)
        else:
            break
    return rows, columns
