"""The rows of attention's blocks: scores to weights, and to their gradient. Floor 6.

A block has 64 keys and some queries; a row is held in registers. `limit` of its keys can be seen
by a row, the rest count as -inf. The sum of a row's weights is that of order.py over 64 elements:
lane i is w[i] + w[i + 32], then the tree.
"""

from __future__ import annotations

from collections.abc import Callable

from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.order import PEAK, SUM, Combine
from twofold.lower.softmax import exp_below
from twofold.lower.tile import Tile, lanes_of

KEYS = 64
EIGHT = 8  # lanes that the tree of a sum begins with
NEVER = float("-inf")

ROWS = [("scores", "ptr"), ("rows", "i64"), ("keys", "i64"), ("reach", "i64"), ("slope", "i64")]


def width_of(tile: Tile) -> int:
    """The keys in a vector."""
    return max(tile.lanes, EIGHT)


def limit_of(f: Function, row: Value) -> Value:
    """How many keys of the block a row sees: all there are, or (slope 1) row + reach of them."""
    keys, reach, slope = f.args[2:5]
    return f.min(keys, reach + row * slope)


def below(f: Function, start: int, limit: Value, width: int) -> Value:
    """Which of the elements from `start` on, so many as are in a vector, are below the limit."""
    numbers = f.iota(f"i32x{width}") + start
    return numbers.cmp("slt", limit.cast("trunc", "i32").splat(width))


def halves(f: Function, v: Value) -> list[Value]:
    width = lanes_of(v)
    return [f.shuffle(v, None, range(low, low + width // 2)) for low in (0, width // 2)]


def across(f: Function, combine: Combine, v: Value) -> Value:
    """All lanes to one, halves first: u[e] = t[e] + t[e + 4], and so on."""
    while lanes_of(v) > 2:
        v = combine.merge(f, *halves(f, v))
    return combine.merge(f, f.extract(v, 0), f.extract(v, 1))


def along_row(f: Function, tile: Tile, width: Value, turn: Callable[..., None]) -> None:
    """turn(j, mask) for the vectors of a row of `width` elements, the last one under a mask."""
    lanes = width_of(tile)
    whole = width // lanes * lanes
    with f.loop(0, whole, lanes) as j:
        turn(j, None)
    with f.if_(whole.cmp("ne", width)):
        turn(whole, below(f, 0, width - whole, lanes))


def change(
    f: Function, kind: str, place: Value, mask: Value | None, made: Callable[[Value], Value]
) -> None:
    """place = made(place), of a whole vector or under a mask."""
    if mask is None:
        place.store(made(place.load(kind)))
    else:
        f.masked_store(made(f.masked_load(place, mask, kind)), place, mask)


def define_add_mask(m: Module, tile: Tile) -> None:
    """add_mask(block, scale, mask, row, step): scores = scores * scale + mask."""
    e, width = tile.element, width_of(tile)
    params = [*ROWS, ("scale", e), ("mask", "ptr"), ("mask_row", "i64"), ("step", "i64")]
    f = m.function("add_mask", params, internal=True, inline="never")
    scores, rows, _, _, _, scale, mask, mask_row, step = f.args
    kind = vector(e, width)
    with f.loop(0, rows) as r:
        limit = limit_of(f, r)
        line, bias = scores.at(r * KEYS, e), mask.at(r * mask_row, e)
        with f.loop(0, f.max(limit, 0), width) as j:
            there = below(f, 0, limit - j, width)
            more = f.var(kind)
            with f.if_(step.cmp("eq", 0)) as branch:
                more.set(bias.load(e).splat(width))
                branch.otherwise()
                more.set(f.masked_load(bias.at(j, e), there, kind))
            place = line.at(j, e)
            place.store(place.load(kind) * scale.splat(width) + more.get())


def define_weigh(m: Module, tile: Tile) -> None:
    """weigh(block, factor, tops, sums, out, width, goes_on): scores become weights.

    For each row: top = max of the old top and the scores, w = exp(score - top),
    sum = sum * exp(old top - top) + (w summed), and what is in `out` times exp(old top - top).
    """
    e, width = tile.element, width_of(tile)
    params = [*ROWS, ("factor", e), ("tops", "ptr"), ("sums", "ptr"), ("out", "ptr")]
    params += [("width", "i64"), ("goes_on", "i64")]
    f = m.function("weigh", params, internal=True, inline="never")
    scores, rows, _, _, _, factor, tops, sums, out, size, goes_on = f.args
    kind = vector(e, width)
    with f.loop(0, rows) as r:
        limit, line = limit_of(f, r), scores.at(r * KEYS, e)
        peak, seen = f.const(kind, NEVER), []
        for j in range(0, KEYS, width):
            x = line.at(j, e).load(kind) * factor.splat(width)
            seen.append(below(f, j, limit, width).select(x, NEVER))
            peak = PEAK.merge(f, peak, seen[-1])
        old = tops.at(r, e).load(e)
        top = PEAK.merge(f, old, across(f, PEAK, peak))
        tops.at(r, e).store(top)
        base = top.cmp("oeq", NEVER).select(0.0, top)
        weights = [exp_below(f, x - base.splat(width)) for x in seen]
        for j, weight in enumerate(weights):
            line.at(j * width, e).store(weight)
        shrink = exp_below(f, old - base)
        place = sums.at(r, e)
        place.store(f.fma(place.load(e), shrink, _sum(f, weights)))
        with f.if_(goes_on.cmp("ne", 0) & shrink.cmp("une", 1.0)):
            row, spread = out.at(r * size, e), shrink.splat(width)

            def scale(j: Value, mask: Value | None, row: Value = row, by: Value = spread) -> None:
                change(f, kind, row.at(j, e), mask, lambda x: x * by)

            along_row(f, tile, size, scale)


def _sum(f: Function, weights: list[Value]) -> Value:
    """The sum of 64 weights in the order of order.py."""
    half = len(weights) // 2
    lanes = [early + late for early, late in zip(weights[:half], weights[half:], strict=True)]
    while lanes_of(lanes[0]) > EIGHT:
        lanes = [part for lane in lanes for part in halves(f, lane)]
    return across(f, SUM, (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))


def define_steepen(m: Module, tile: Tile) -> None:
    """steepen(block, factor, scale, slopes, lse, delta): weights, and the scores' gradient.

    w = exp(score - lse), which replaces the score, and w * (slope - delta) * scale, which replaces
    the weight's gradient in `slopes`.
    """
    e, width = tile.element, width_of(tile)
    params = [*ROWS, ("factor", e), ("scale", e), ("slopes", "ptr"), ("lse", "ptr")]
    params += [("delta", "ptr")]
    f = m.function("steepen", params, internal=True, inline="never")
    scores, rows, _, _, _, factor, scale, slopes, lse, delta = f.args
    kind = vector(e, width)
    with f.loop(0, rows) as r:
        limit = limit_of(f, r)
        base = lse.at(r, e).load(e)
        base = base.cmp("oeq", NEVER).select(-NEVER, base)  # a row that sees nothing: all weights 0
        drop = delta.at(r, e).load(e).splat(width)
        line, slope = scores.at(r * KEYS, e), slopes.at(r * KEYS, e)
        for j in range(0, KEYS, width):
            there = below(f, j, limit, width)
            place, target = line.at(j, e), slope.at(j, e)
            x = there.select(place.load(kind) * factor.splat(width), NEVER)
            w = there.select(exp_below(f, x - base.splat(width)), 0.0)
            place.store(w)
            g = w * (target.load(kind) - drop) * scale.splat(width)
            target.store(there.select(g, 0.0))
