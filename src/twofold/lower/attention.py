"""Attention without a matrix of scores: the order of its sums, and its plans. Floor 6.

For each query i, whatever the batch, the threads or the other queries:

    s[j]    = (chain over d of fma(q[i, d], k[j, d]) from +0.0) * scale, then + mask[i, j]
    blocks  of 64 keys, ascending; keys that are not there, or come after i if causal, are -inf
    top     = max(top, s[j] of the block); shrink = exp(old top - top); w[j] = exp(s[j] - top)
    sum     = fma(sum, shrink, the block's w in the order of order.py)
    o[d]    = o[d] * shrink, then the chain of fma(w[j], v[j, d]) over the block, ascending
    out     = o / sum, lse = top + log(sum)

Backward, w[i, j] = exp(s[i, j] - lse[i]), delta[i] = chain over d of fma(g[i, d], out[i, d]):

    ds[i, j] = (w[i, j] * ((chain over d of fma(g[i, d], v[j, d])) - delta[i])) * scale
    dv[j]    = chain over i of fma(w[i, j], g[i]);  dk[j] = chain over i of fma(ds[i, j], q[i])
    dq[i]    = chain over j of fma(ds[i, j], k[j])

A query that sees no key gives 0, with gradient 0, as PyTorch 2.13 does (lse is -inf). Scores that
are NaN give NaN, and so do infinite ones, since inf - inf is.

    attention           q[..., L, E], k[..., S, E], v[..., S, V], mask[..., L, S] or none
                        -> out[..., L, V], lse[..., L]
    attention_backward  g[..., L, V], q, k, v, out, lse, mask or none -> dq, dk, dv
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.lower import attention_kernels as kernels
from twofold.lower.attention_rows import KEYS
from twofold.lower.batch import axis_words, contiguous, join_axes
from twofold.lower.gemv import gemv_code
from twofold.lower.schedule import (
    Arg,
    In,
    Out,
    Plan,
    Scratch,
    Step,
    Word,
    chunks_for,
    float_word,
    larger,
    schedule,
    smaller,
)
from twofold.lower.shared_tiles import want
from twofold.lower.task import arrange
from twofold.lower.tile import TILES, Tile, heights_of

SERIAL = 60_000  # multiplications below which one thread does all
SOME_KEYS = 32  # below them a query alone is a tile of one row, with no code of its own
MOST_QUERIES = 96  # of a block: its scores stay in the second-level cache
CHUNKS = 4  # a thread
LINE = 64

Args = Sequence[Arg]
Outs = tuple[Type, ...]
Attrs = Mapping[str, object]


@schedule("attention")
def plan_attention(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan | None:
    """out and lse. None for types that have no kernel."""
    tile = TILES.get(outs[0].dtype.name)
    if tile is None:
        return None
    args, copies = _readable(args)
    q, k, v, *mask = args
    sizes = _Sizes(q, k, v)
    if sizes.batches * sizes.queries == 0:
        return Plan(())
    block = _block(sizes.queries)
    units = sizes.batches * -(-sizes.queries // block)
    chunks = _chunks(units, sizes.work, threads)
    places, area = _places(
        tile,
        at_k=block * KEYS,
        at_v=KEYS * sizes.depth,
        at_top=KEYS * _up(sizes.width, tile.columns),
        at_sum=block,
        end=block,
    )
    words = _common(tile, sizes, args, attrs) | places
    words |= {"q": In(0), "k": In(1), "v": In(2), "mask": In(3) if mask else 0}
    words |= {"out": Out(0), "lse": Out(1), "areas": Scratch(0), "area_size": area}
    words |= {"block": block, "units": units} | _mask_words(mask)
    axes = _axes(sizes.batch, [q, k, v, mask[0] if mask else None])
    words |= {"rank": len(axes)}
    rows = heights_of([sizes.queries], block)
    _want(tile, rows, (tile.columns, sizes.width), sizes.work)
    alone = sizes.keys >= SOME_KEYS and 1 in rows
    words |= {"dots": gemv_code(tile, "across").address("dots") if alone else 0}
    words |= {"sums": gemv_code(tile, "along").address("sums") if alone else 0}
    code = load(f"attention/{tile.key}", lambda: kernels.build_forward(tile))
    job = arrange(kernels.FORWARD.format(e=tile.element), words) + axis_words(axes)
    return Plan((Step(code.address("attend"), job, chunks),), chunks * area, copies)


@schedule("attention_backward")
def plan_attention_backward(args: Args, outs: Outs, attrs: Attrs, threads: int) -> Plan | None:
    """dq, dk and dv. None for types that have no kernel."""
    tile = TILES.get(outs[0].dtype.name)
    if tile is None:
        return None
    args, copies = _readable(args, whole=(4, 5))
    g, q, k, v, _, _, *mask = args
    sizes = _Sizes(q, k, v)
    if 0 in (sizes.batches, sizes.queries + sizes.keys):
        return Plan(())
    block = _block(sizes.queries)
    places, area = _places(
        tile,
        at_slope=block * KEYS,
        at_kt=block * KEYS,
        at_vt=KEYS * sizes.depth,
        at_k=KEYS * sizes.width,
        at_q=KEYS * _up(sizes.depth, tile.columns),
        at_g=block * _up(sizes.depth, tile.columns),
        end=block * _up(sizes.width, tile.columns),
    )
    delta = _up(sizes.batches * sizes.queries * tile.itemsize, LINE)
    words = _common(tile, sizes, args[1:], attrs) | places | _mask_words(mask)
    words |= {"g": In(0), "q": In(1), "k": In(2), "v": In(3), "mask": In(6) if mask else 0}
    words |= {"lse": In(5), "delta": Scratch(0), "dq": Out(0), "dk": Out(1), "dv": Out(2)}
    words |= {"g_row": g.strides[-2], "areas": Scratch(delta), "area_size": area, "block": block}
    axes = _axes(sizes.batch, [q, k, v, mask[0] if mask else None, g])
    words |= {"rank": len(axes)}
    rows, keys = heights_of([sizes.queries], block), heights_of([sizes.keys], KEYS)
    _want(tile, rows, (tile.columns, sizes.depth), sizes.work)
    _want(tile, keys, (sizes.width, sizes.depth), sizes.work)
    code = load(f"attention_backward/{tile.key}", lambda: kernels.build_backward(tile))
    form, most = kernels.BACKWARD.format(e=tile.element), 1
    steps = [_delta_step(code.address("drop"), sizes, g, threads)]
    for part, units in _parts(sizes, block, threads):
        chunks = _chunks(units, sizes.work, threads)
        most = max(most, chunks)
        job = arrange(form, words | {"part": part, "units": units}) + axis_words(axes)
        steps.append(Step(code.address("descend"), job, chunks))
    return Plan(tuple(steps), delta + most * area, copies)


def _want(tile: Tile, rows: Sequence[int], columns: Sequence[int], work: int) -> None:
    """Have the tiles of products of so many rows and columns, see `product` of the kernels."""
    talls = [-(-n // larger(-(-n // tile.rows), 1)) for n in rows]
    pairs = zip(rows, talls, strict=True)
    heights = [height for n, tall in pairs for height in heights_of([n], tall)]
    for width in columns:
        want(tile, heights, width, work)


def _delta_step(task: int, sizes: _Sizes, g: Arg, threads: int) -> Step:
    axes = _axes(sizes.batch, [g])
    words: dict[str, Word] = {"g": In(0), "out": In(4), "delta": Scratch(0)}
    words |= {"width": sizes.width}
    words |= {"g_row": g.strides[-2], "queries": sizes.queries, "batches": sizes.batches}
    job = arrange(kernels.DELTA, words | {"rank": len(axes)}) + axis_words(axes)
    return Step(task, job, chunks_for(sizes.batches * sizes.queries * sizes.width, threads))


def _parts(sizes: _Sizes, block: int, threads: int) -> list[tuple[int, int]]:
    """What the units are and how many. Whole matrices share the scores of dq with those of dk and
    dv; where they are too few for the threads, the two are computed apart, with the same bits."""
    if threads == 1 or sizes.work < SERIAL or sizes.batches >= 2 * threads:
        return [(kernels.HEAD, sizes.batches)]
    queries, keys = -(-sizes.queries // block), -(-sizes.keys // KEYS)
    parts = [(kernels.QUERIES, queries), (kernels.KEYS_OF_HEAD, keys)]
    return [(part, sizes.batches * count) for part, count in parts if count]


# ---- sizes and layouts ---------------------------------------------------------------------------


class _Sizes:
    """What attention is of: `queries` against `keys` of `depth` numbers, values of `width`."""

    def __init__(self, q: Arg, k: Arg, v: Arg) -> None:
        self.batch = q.shape[:-2]
        self.batches = prod(self.batch)
        self.queries, self.depth = q.shape[-2:]
        self.keys, self.width = v.shape[-2:]
        self.work = self.batches * self.queries * self.keys * (self.depth + self.width)


def _readable(args: Args, whole: Sequence[int] = ()) -> tuple[list[Arg], tuple[int, ...]]:
    """The arguments after copies, and which are copied: those whose rows are not contiguous, of a
    mask those whose rows are neither that nor one number, and of `whole` those that have gaps."""
    made, copies = list(args), []
    masks = 6 if whole else 3
    for place, arg in enumerate(args):
        steps = (0, 1) if place >= masks else (1,)
        bad = arg.shape[-1] > 1 and arg.strides[-1] not in steps
        if not arg.contiguous if place in whole else bad:
            made[place] = contiguous(arg)
            copies.append(place)
    return made, tuple(copies)


def _axes(batch: tuple[int, ...], args: Sequence[Arg | None]) -> tuple[tuple[int, ...], ...]:
    """The batch axes with the strides of each argument; one that is not there has strides 0."""
    none = (0,) * len(batch)
    strides = [none if arg is None else arg.strides[: len(batch)] for arg in args]
    return join_axes([(size, *step) for size, *step in zip(batch, *strides, strict=True)])


def _common(tile: Tile, sizes: _Sizes, args: Args, attrs: Attrs) -> dict[str, Word]:
    q, k, v = args[:3]
    scale = float_word(float(str(attrs["scale"])), tile.element)
    words: dict[str, Word] = {"scale": scale, "causal": int(bool(attrs["causal"]))}
    words |= {"queries": sizes.queries, "keys": sizes.keys, "depth": sizes.depth}
    words |= {"width": sizes.width, "batches": sizes.batches}
    words |= {"q_row": q.strides[-2], "k_row": k.strides[-2], "v_row": v.strides[-2]}
    return words


def _mask_words(mask: Sequence[Arg]) -> dict[str, Word]:
    if not mask:
        return {"mask_row": 0, "mask_step": 0}
    row, step = mask[0].strides[-2:]
    return {"mask_row": row, "mask_step": step if mask[0].shape[-1] > 1 else 0}


def _block(queries: int) -> int:
    """Queries in a block: equal blocks of whole tiles."""
    count = -(-queries // MOST_QUERIES)
    return _up(-(-queries // larger(count, 1)), TILES["float32"].rows)


def _places(tile: Tile, **counts: int) -> tuple[dict[str, Word], int]:
    """Where the parts of an area begin (each name after the count of elements before it), and the
    area's bytes. Between them is room for what packing writes too much, and rows read in eights."""
    places: dict[str, Word] = {}
    here = 0
    for name, count in counts.items():
        here += _up(count + LINE // tile.itemsize, LINE // tile.itemsize)
        places[name] = here
    del places["end"]
    return places, here * tile.itemsize


def _chunks(units: int, work: int, threads: int) -> int:
    return 1 if threads == 1 or work < SERIAL else smaller(CHUNKS * threads, units)


def _up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
