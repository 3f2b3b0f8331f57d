"""The rows of attention's blocks: scores to weights, and to their gradient. Floor 6.

A block has 64 keys, in eight vectors of eight, and some queries. `limit` of its keys can be seen
by a row, the rest count as -inf. The sum of a row's weights is that of order.py over 64 elements:
lane i is w[i] + w[i + 32], then the tree.
"""

from __future__ import annotations

from twofold.ir.build import Function, Module
from twofold.ir.loops import vector
from twofold.ir.values import Value
from twofold.lower.order import PEAK, SUM, Combine
from twofold.lower.softmax import exp_below

KEYS = 64
WIDTH = 8
STEP = 2 * WIDTH  # keys that are done together; what no row of a step sees costs nothing
NEVER = float("-inf")

ROWS = [("scores", "ptr"), ("rows", "i64"), ("keys", "i64"), ("reach", "i64"), ("slope", "i64")]


def limit_of(f: Function, row: Value) -> Value:
    """How many keys of the block a row sees: all there are, or (slope 1) row + reach of them."""
    keys, reach, slope = f.args[2:5]
    return f.min(keys, reach + row * slope)


def seen(f: Function, start: int, limit: Value) -> Value:
    """Which of the eight keys from `start` on a row sees."""
    numbers = f.iota("i32x8") + start
    return numbers.cmp("slt", limit.cast("trunc", "i32").splat(WIDTH))


def across(f: Function, combine: Combine, v: Value) -> Value:
    """Eight lanes to one, halves first: u[e] = t[e] + t[e + 4], and so on."""
    width = WIDTH
    while width > 1:
        width //= 2
        low, high = f.shuffle(v, None, range(width)), f.shuffle(v, None, range(width, 2 * width))
        v = combine.merge(f, low, high)
    return f.extract(v, 0)


def define_add_mask(m: Module, e: str) -> None:
    """add_mask(block, scale, mask, row, step): scores = scores * scale + mask."""
    params = [*ROWS, ("scale", e), ("mask", "ptr"), ("mask_row", "i64"), ("step", "i64")]
    f = m.function("add_mask", params, internal=True, inline="never")
    scores, rows, _, _, _, scale, mask, mask_row, step = f.args
    kind = vector(e, WIDTH)
    with f.loop(0, rows) as r:
        limit = limit_of(f, r)
        line, bias = scores.at(r * KEYS, e), mask.at(r * mask_row, e)
        with f.loop(0, f.max(limit, 0), WIDTH) as j:
            there = seen(f, 0, limit - j)
            more = f.var(kind)
            with f.if_(step.cmp("eq", 0)) as branch:
                more.set(bias.load(e).splat(WIDTH))
                branch.otherwise()
                more.set(f.masked_load(bias.at(j, e), there, kind))
            place = line.at(j, e)
            place.store(place.load(kind) * scale.splat(WIDTH) + more.get())


def define_weigh(m: Module, e: str) -> None:
    """weigh(block, factor, tops, sums, out, width, goes_on): scores become weights.

    For each row: top = max of the old top and the scores, w = exp(score - top),
    sum = sum * exp(old top - top) + (w summed), and what is in `out` times exp(old top - top).
    """
    params = [*ROWS, ("factor", e), ("tops", "ptr"), ("sums", "ptr"), ("out", "ptr")]
    params += [("width", "i64"), ("goes_on", "i64")]
    f = m.function("weigh", params, internal=True, inline="never")
    scores, rows, _, _, _, factor, tops, sums, out, width, goes_on = f.args
    kind = vector(e, WIDTH)
    with f.loop(0, rows) as r:
        limit, line = limit_of(f, r), scores.at(r * KEYS, e)
        rounds = seen_steps(limit)
        peak = f.var(kind, NEVER)
        with f.loop(0, rounds, STEP) as start:
            for place, there in _places(f, e, line, start, limit):
                x = there.select(place.load(kind) * factor.splat(WIDTH), NEVER)
                place.store(x)
                peak.set(PEAK.merge(f, peak.get(), x))
        old = tops.at(r, e).load(e)
        top = PEAK.merge(f, old, across(f, PEAK, peak.get()))
        tops.at(r, e).store(top)
        base = top.cmp("oeq", NEVER).select(0.0, top)
        with f.loop(0, rounds, STEP) as start:
            for place, _ in _places(f, e, line, start, limit):
                place.store(exp_below(f, place.load(kind) - base.splat(WIDTH)))
        with f.loop(rounds, KEYS, STEP) as start:
            for place, _ in _places(f, e, line, start, limit):
                place.store(f.const(kind, 0.0))
        weights = [line.at(j, e).load(kind) for j in range(0, KEYS, WIDTH)]
        shrink = exp_below(f, old - base)
        place = sums.at(r, e)
        place.store(f.fma(place.load(e), shrink, _sum(f, weights)))
        with f.if_(goes_on.cmp("ne", 0) & shrink.cmp("une", 1.0)):
            _scale_row(f, e, out.at(r * width, e), width, shrink)


def seen_steps(limit: Value) -> Value:
    """The first keys in whole steps, of which a row sees some."""
    return (limit.cmp("sgt", 0).select(limit, 0) + (STEP - 1)) // STEP * STEP


def _places(
    f: Function, e: str, line: Value, start: Value, limit: Value
) -> list[tuple[Value, Value]]:
    """The vectors of one step of a row, each with which of its keys are seen."""
    rest = limit - start
    return [(line.at(start + j, e), seen(f, j, rest)) for j in range(0, STEP, WIDTH)]


def _sum(f: Function, weights: list[Value]) -> Value:
    """The sum of 64 weights in the order of order.py."""
    lanes = [weights[i] + weights[i + 4] for i in range(4)]
    return across(f, SUM, (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]))


def _scale_row(f: Function, e: str, row: Value, width: Value, factor: Value) -> None:
    kind, whole = vector(e, WIDTH), width // WIDTH * WIDTH
    with f.loop(0, whole, WIDTH) as j:
        place = row.at(j, e)
        place.store(place.load(kind) * factor.splat(WIDTH))
    with f.loop(whole, width) as j:
        place = row.at(j, e)
        place.store(place.load(e) * factor)


def define_steepen(m: Module, e: str) -> None:
    """steepen(block, factor, scale, slopes, lse, delta): weights, and the scores' gradient.

    w = exp(score - lse), which replaces the score, and w * (slope - delta) * scale, which replaces
    the weight's gradient in `slopes`.
    """
    params = [*ROWS, ("factor", e), ("scale", e), ("slopes", "ptr"), ("lse", "ptr")]
    params += [("delta", "ptr")]
    f = m.function("steepen", params, internal=True, inline="never")
    scores, rows, _, _, _, factor, scale, slopes, lse, delta = f.args
    kind = vector(e, WIDTH)
    with f.loop(0, rows) as r:
        limit = limit_of(f, r)
        base = lse.at(r, e).load(e)
        base = base.cmp("oeq", NEVER).select(-NEVER, base)  # a row that sees nothing: all weights 0
        drop = delta.at(r, e).load(e).splat(WIDTH)
        line, slope = scores.at(r * KEYS, e), slopes.at(r * KEYS, e)
        rounds = seen_steps(limit)
        with f.loop(0, rounds, STEP) as start:
            for j in range(0, STEP, WIDTH):
                there = seen(f, j, limit - start)
                place, target = line.at(start + j, e), slope.at(start + j, e)
                x = there.select(place.load(kind) * factor.splat(WIDTH), NEVER)
                w = there.select(exp_below(f, x - base.splat(WIDTH)), 0.0)
                place.store(w)
                g = w * (target.load(kind) - drop) * scale.splat(WIDTH)
                target.store(there.select(g, 0.0))
        with f.loop(rounds, KEYS, WIDTH) as start:
            for row in (line, slope):
                row.at(start, e).store(f.const(kind, 0.0))
