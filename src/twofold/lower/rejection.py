"""Numbers drawn by rejection and by inversion, eight elements at a time: gamma, Poisson, binomial.
Floor 6.

Round r of element i takes the Philox block (i, r), so that an element depends on (seed, stream,
draw, i) and its own parameters alone (DESIGN.md, N5). A group goes on until its last element has
its number; those that have theirs keep it. All is computed in float64. ops/sampling.py says the
same in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.core import NAN, any_lane, at_least, float_of
from twofold.codegen.vmath.exponential import exp
from twofold.codegen.vmath.gamma import lgamma
from twofold.codegen.vmath.logarithm import log, log1p
from twofold.codegen.vmath.trigonometry import cos
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.random import LANES, WIDE, philox, write_keys
from twofold.lower.schedule import Arg, Out, Plan, Step, Word, chunks_for, schedule
from twofold.lower.splice import Builder
from twofold.lower.task import Task, arrange

FLOATS = f"f64x{LANES}"
ROUNDS = 64  # far more than any element takes
SMALL = 10.0  # means below which inversion is quicker than rejection
NORMAL = {"f32": 2.0**-126, "f64": 2.0**-1022}  # the smallest normal number

Draw = Callable[[int | Value], list[Value]]  # the words of a round


def unit(word: Value) -> Value:
    """(word + 1/2) / 2^32, within (0, 1): float64s from the low halves of i64 lanes."""
    lifted = float_of(word | 0x4330000000000000)  # 2^52 + word
    return ((lifted - 2.0**52) + 0.5) * 2.0**-32


def fine(high: Value, low: Value) -> Value:
    """53 bits of two words, in [0, 1)."""
    top = float_of(high.lshr(5) | 0x4330000000000000) - 2.0**52
    rest = float_of(low.lshr(6) | 0x4330000000000000) - 2.0**52
    return (top * 2.0**26 + rest) * 2.0**-53


def gamma(f: Function, draw: Draw, left: Value, a: Value, element: str) -> Value:
    """Marsaglia and Tsang (2000), "A simple method for generating gamma variables"."""
    made = f.var(FLOATS, NAN)
    low = a.cmp("olt", 1.0)
    d = low.select(a + 1.0, a) - 1.0 / 3.0
    c = 1.0 / f.sqrt(d * 9.0)
    open_ = f.var(f"i1x{LANES}", left & a.cmp("ogt", 0.0))
    with rounds(f, open_) as turn:
        u, v, w, boost = map(unit, draw(turn))
        z = f.sqrt(log(f, u) * -2.0) * cos(f, v * (2 * math.pi))
        cube = c * z + 1.0
        cube = cube * cube * cube
        square = z * z
        positive = cube.cmp("ogt", 0.0)
        # a bound of the test below (section 4 of the paper), which spares most of them
        good = f.var(f"i1x{LANES}", positive & w.cmp("olt", 1.0 - square * square * 0.0331))
        with f.if_(any_lane(f, open_.get() & positive & ~good.get())):
            safe = positive.select(cube, 1.0)
            limit = square * 0.5 + d * (1.0 - safe + log(f, safe))
            good.set(good.get() | (positive & log(f, w).cmp("olt", limit)))
        value = f.var(FLOATS, d * cube)
        with f.if_(any_lane(f, low)):
            power = exp(f, log(f, boost) / a)
            value.set(low.select(value.get() * power, value.get()))
        settle(open_, made, good.get(), value.get())
    return at_least(f, made.get(), NORMAL[element])


def poisson(f: Function, draw: Draw, left: Value, rate: Value, element: str) -> Value:
    """By inversion for small rates; else Hoermann (1993), "The transformed rejection method for
    generating Poisson random variables", algorithm PTRS.
    """
    made = f.var(FLOATS, rate)
    small = rate.cmp("olt", SMALL)
    with f.if_(any_lane(f, small & left)):
        few = small.select(rate, 0.0)
        first = exp(f, -few)
        number = inverted(f, draw, left, first, lambda k: few / k)
        made.set(small.select(number, made.get()))
    large = left & ~small
    with f.if_(any_lane(f, large)):
        mean = small.select(SMALL, rate)
        b = f.sqrt(mean) * 2.53 + 0.931
        a = b * 0.02483 - 0.059
        shape = 1.1328 / (b - 3.4) + 1.1239
        height = 0.9277 - 3.6224 / (b - 2.0)
        slope = log(f, mean)

        def density(k: Value) -> Value:
            return k * slope - mean - lgamma(f, k + 1.0)

        hats = (a, b, mean + 0.43, shape, height)
        transformed(f, draw, large, made, hats, density, lambda k: k.cmp("oge", 0.0))
    return made.get()


def binomial(
    f: Function, draw: Draw, left: Value, count: Value, prob: Value, element: str
) -> Value:
    """Counted from the likelier side: by inversion for small means, else Hoermann (1993), "The
    generation of binomial random variates", algorithm BTRS.
    """
    turned = prob.cmp("ogt", 0.5)
    p = turned.select(1.0 - prob, prob)
    usual = p.cmp("ogt", 0.0) & count.cmp("ogt", 0.0)
    p, n = usual.select(p, 0.5), usual.select(count, 1.0)
    mean = n * p
    small = mean.cmp("olt", SMALL)
    odds = p / (1.0 - p)
    made = f.var(FLOATS, 0.0)
    with f.if_(any_lane(f, left & small)):
        first = exp(f, small.select(n, 0.0) * log1p(f, -p))
        number = inverted(f, draw, left & small, first, lambda k: (n - k + 1.0) / k * odds)
        made.set(small.select(number, made.get()))
    large = left & ~small
    with f.if_(any_lane(f, large)):
        m_n, m_p = small.select(20.0, n), small.select(0.5, p)
        spread = f.sqrt(m_n * m_p * (1.0 - m_p))
        b = spread * 2.53 + 1.15
        a = b * 0.0248 - 0.0873 + m_p * 0.01
        shape = (5.1 / b + 2.83) * spread
        slope = log(f, odds)
        mode = f.floor((m_n + 1.0) * m_p)
        top = lgamma(f, mode + 1.0) + lgamma(f, m_n - mode + 1.0)

        def density(k: Value) -> Value:
            ways = top - lgamma(f, k + 1.0) - lgamma(f, m_n - k + 1.0)
            return ways + (k - mode) * slope

        hats = (a, b, m_n * m_p + 0.5, shape, 0.92 - 4.2 / b)
        inside = lambda k: k.cmp("oge", 0.0) & k.cmp("ole", m_n)  # noqa: E731
        transformed(f, draw, large, made, hats, density, inside)
    number = turned.select(n - made.get(), made.get())
    # nothing to draw: no trials, or a probability of 0 or 1; what is no number stays none
    sure = prob.cmp("oge", 1.0).select(at_least(f, count, 0.0), 0.0)
    bad = count.cmp("uno", prob)
    return bad.select(NAN, usual.select(number, sure))


def inverted(
    f: Function, draw: Draw, left: Value, first: Value, ratio: Callable[[Value], Value]
) -> Value:
    """How many of the terms first, first * ratio(1), ... add up to less than a uniform number."""
    words = draw(0)
    u = fine(words[0], words[1])
    k, term, below = f.var(FLOATS, 0.0), f.var(FLOATS, first), f.var(FLOATS, first)
    with f.while_():
        more = left & u.cmp("ogt", below.get())
        f.break_if(~any_lane(f, more))
        number = k.get() + 1.0
        now = term.get() * ratio(number)
        # where rounding keeps the sum below u, the terms come to nothing
        more = more & now.cmp("ogt", 0.0)
        f.break_if(~any_lane(f, more))
        k.set(more.select(number, k.get()))
        term.set(more.select(now, term.get()))
        below.set(more.select(below.get() + now, below.get()))
    return k.get()


def transformed(
    f: Function,
    draw: Draw,
    wanted: Value,
    made: Any,
    hats: tuple[Value, Value, Value, Value, Value],
    density: Callable[[Value], Value],
    inside: Callable[[Value], Value],
) -> None:
    """Hoermann's transformed rejection with squeeze: (a, b, centre, shape, height) tell the hat;
    `density` is the logarithm of the probability of k, over that of the mode for binomials.
    """
    a, b, centre, shape, height = hats
    open_ = f.var(f"i1x{LANES}", wanted)
    with rounds(f, open_) as turn:
        words = draw(turn)
        u, v = fine(words[0], words[1]) - 0.5, unit(words[2])
        away = at_least(f, 0.5 - f.abs(u), 2.0**-54)
        k = f.floor((a * 2.0 / away + b) * u + centre)
        good = f.var(f"i1x{LANES}", away.cmp("oge", 0.07) & v.cmp("ole", height))
        rest = inside(k) & ~(away.cmp("olt", 0.013) & v.cmp("ogt", away))
        with f.if_(any_lane(f, open_.get() & rest & ~good.get())):
            safe = rest.select(k, 0.0)
            hat = log(f, v * shape / (a / (away * away) + b))
            good.set(good.get() | (rest & hat.cmp("ole", density(safe))))
        settle(open_, made, good.get(), k)


def settle(open_: Any, made: Any, good: Value, value: Value) -> None:
    """Give those elements their number that wait for one and have found a good one."""
    taken = open_.get() & good
    made.set(taken.select(value, made.get()))
    open_.set(open_.get() & ~taken)


@contextmanager
def rounds(f: Function, open_: Any) -> Iterator[Value]:
    """A loop over rounds, while some element is open."""
    with f.loop(0, ROUNDS) as turn:
        f.break_if(~any_lane(f, open_.get()))
        yield turn


def build(name: str, element: str, parameters: int) -> Module:
    """A module with the task `draw`: parameters -> numbers, contiguous ones of an element type."""
    m = Module(f"{name}_{element}")
    t = Task(m, "draw", words_of(parameters))
    f = t.f
    seed, stream, draw = (t.state.at(i, "i64").load("i64") for i in range(3))
    keys = write_keys(f, seed)
    lo, hi = t.share((t.n + (LANES - 1)) // LANES)
    with f.loop(lo, hi) as g:
        start = g * LANES
        index = start.splat(LANES) + f.iota(WIDE)
        left = index.cmp("slt", t.n.splat(LANES))
        places = [t.words[f"x{i}"].at(start, element) for i in range(parameters)]
        given = [f.masked_load(p, left, f"{element}x{LANES}") for p in places]
        given = [x if element == "f64" else x.cast("fpext", FLOATS) for x in given]

        def words(turn: int | Value, index: Value = index) -> list[Value]:
            if isinstance(turn, Value):
                index = index | (turn << 32).splat(LANES)
            return philox(f, index, keys, stream, draw)

        made = DRAWS[name](f, words, left, *given, element=element)
        made = made if element == "f64" else made.cast("fptrunc", f"f32x{LANES}")
        f.masked_store(made, t.out.at(start, element), left)
    f.ret()
    return m


def words_of(parameters: int) -> str:
    return "state:ptr out:ptr n" + "".join(f" x{i}:ptr" for i in range(parameters))


def _planner(name: str, args: tuple[Arg, ...], outs: tuple[Type, ...], threads: int) -> Plan | None:
    dtype, n = outs[0].dtype, outs[0].size
    if dtype not in (dtypes.float32, dtypes.float64):
        return None
    made = Builder(threads)
    if n == 0:
        return made.plan()
    element, count = dtype.loops, len(args) - 1
    code = load(f"rejection/{name}/{element}", lambda: build(name, element, count))
    words: dict[str, Word] = {"state": made.dense(args[0], 0), "out": Out(0), "n": n}
    words |= {f"x{i}": made.dense(arg, i + 1) for i, arg in enumerate(args[1:])}
    job = arrange(words_of(count), words)
    made.add(Step(code.address("draw"), job, chunks_for(64 * n, threads)))
    return made.plan()


DRAWS: Mapping[str, Callable[..., Value]] = {
    "random_gamma": gamma,
    "random_poisson": poisson,
    "random_binomial": binomial,
}
for _name in DRAWS:

    @schedule(_name)
    def _plan(
        args: tuple[Arg, ...],
        outs: tuple[Type, ...],
        attrs: Mapping[str, Any],
        threads: int,
        name: str = _name,
    ) -> Plan | None:
        """state u64[3], parameters f[...] -> numbers of their shape."""
        return _planner(name, args, outs, threads)
