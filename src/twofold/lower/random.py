"""Random numbers of one draw, by Philox4x32-10 in vectors. Floor 6.

Element i is a function of (seed, stream, draw, i) alone (DESIGN.md, N5); ops/random.py says which
words of which
block it is made of. Eight blocks are computed at a time; chunks split them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from twofold.base import dtypes
from twofold.base.types import Type
from twofold.codegen.compile import load
from twofold.codegen.vmath.logarithm import log1p
from twofold.codegen.vmath.trigonometry import cos
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.schedule import Arg, In, Out, Plan, Step, chunks_for, schedule, turned
from twofold.lower.sort import sort_step
from twofold.lower.splice import Builder
from twofold.lower.task import Task, arrange

WORDS = "state:ptr out:ptr n"
LANES = 8
WIDE, SHORT = f"i64x{LANES}", f"i32x{LANES}"
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
LOW = 0xFFFFFFFF
ROUNDS = 10


def write_keys(f: Function, seed: Value) -> Value:
    """Two words for each round: the seed's, each a step further."""
    keys = f.array("i64", 2 * ROUNDS, align=64)
    now = [f.var("i64", seed & LOW), f.var("i64", seed.lshr(32))]
    with f.loop(0, ROUNDS) as turn:
        for i, (key, step) in enumerate(zip(now, WEYL, strict=True)):
            keys.at(2 * turn + i, "i64").store(key.get())
            key.set((key.get() + step) & LOW)
    return keys


def philox(f: Function, block: Value, keys: Value, stream: Value, draw: Value) -> list[Value]:
    """The four words, each in the low half of an i64 lane, of the blocks `block` i64x8.

    The rounds are a loop: written out they would take ten times as long to compile.
    """
    starts = (block & LOW, block.lshr(32), (draw & LOW).splat(LANES), stream.splat(LANES))
    words = [f.var(WIDE, start) for start in starts]
    with f.loop(0, ROUNDS) as turn:
        a, b, c, d = (word.get() for word in words)
        key = [keys.at(2 * turn + i, "i64").load("i64").splat(LANES) for i in (0, 1)]
        # the masks say that products of 32 by 32 bits are all that is wanted
        first, second = (a & LOW) * MULTIPLIERS[0], (c & LOW) * MULTIPLIERS[1]
        a, c = second.lshr(32) ^ b ^ key[0], first.lshr(32) ^ d ^ key[1]
        for word, value in zip(words, (a, second & LOW, c, first & LOW), strict=True):
            word.set(value)
    return [word.get() for word in words]


def _unit(f: Function, word: Value, element: str) -> Value:
    """(word >> 8) * 2^-24, exactly."""
    bits = word.lshr(8).cast("trunc", SHORT)
    return bits.cast("sitofp", f"{element}x{LANES}") * 2.0**-24


def uniform(f: Function, words: list[Value], element: str) -> list[Value]:
    if element == "f32":
        return [_unit(f, word, element) for word in words]
    pairs = zip(words[0::2], words[1::2], strict=True)
    kind = f"{element}x{LANES}"
    return [
        ((high.lshr(5) << 26) | low.lshr(6)).cast("sitofp", kind) * 2.0**-53 for high, low in pairs
    ]


def normal(f: Function, words: list[Value], element: str) -> list[Value]:
    """Box and Muller (1958): sqrt(-2 log(1 - u)) cos(2 pi v)."""
    made = []
    for first, second in zip(words[0::2], words[1::2], strict=True):
        u, v = _unit(f, first, element), _unit(f, second, element)
        length = f.sqrt(log1p(f, -u) * -2.0)
        made.append(length * cos(f, v * (2 * math.pi)))
    return made


def integers(f: Function, words: list[Value], low: Value, span: Value) -> list[Value]:
    """low + the high half of 64 bits times a span of at most 2^32."""
    made = []
    for high, rest in zip(words[0::2], words[1::2], strict=True):
        wide = high * span + (rest * span).lshr(32)
        made.append(wide.lshr(32) + low)
    return made


def wide_integers(f: Function, words: list[Value], low: Value, span: Value) -> list[Value]:
    """low + what 64 bits leave when they are divided by a span beyond 2^32."""
    pairs = zip(words[0::2], words[1::2], strict=True)
    return [((high << 32) | rest) % span + low for high, rest in pairs]


def ranks(f: Function, words: list[Value], element: str) -> list[Value]:
    """64 bits each, as whole numbers with a sign in the order of those without one."""
    pairs = zip(words[0::2], words[1::2], strict=True)
    return [((high << 32) | low) ^ -(1 << 63) for high, low in pairs]


def interleave(f: Function, parts: list[Value], element: str) -> list[Value]:
    """The lanes of k vectors in turn, as k vectors: a0 b0 a1 b1 ... for two."""
    if len(parts) == 2:
        a, b = parts
        low = [i // 2 + (i % 2) * LANES for i in range(LANES)]
        return [f.shuffle(a, b, low), f.shuffle(a, b, [i + LANES // 2 for i in low])]
    even, odd = interleave(f, parts[0::2], element), interleave(f, parts[1::2], element)
    # even holds a0 c0 a1 c1 ..., odd b0 d0 b1 d1 ...: their lanes in turn are a0 b0 c0 d0 ...
    return [v for e, o in zip(even, odd, strict=True) for v in interleave(f, [e, o], element)]


def build(name: str, make: Callable[..., list[Value]], element: str) -> Module:
    """A module with `draw`; integers are told their range by two words more."""
    m = Module(f"random_{name}_{element}")
    t = Task(m, "draw", WORDS + " low span" * ("integers" in name))
    f = t.f
    more = [t.low.splat(LANES), t.span.splat(LANES)] if "integers" in name else [element]
    seed, stream, draw = (t.state.at(i, "i64").load("i64") for i in range(3))
    keys = write_keys(f, seed)
    per_block = 4 if name == "uniform" and element == "f32" else 2
    group = per_block * LANES
    lo, hi = t.share((t.n + (group - 1)) // group)
    spare = f.array(element, group, align=64)
    size = 4 if element == "f32" else 8
    with f.loop(lo, hi) as g:
        block = (g * LANES).splat(LANES) + f.iota(WIDE)
        vectors = interleave(f, make(f, philox(f, block, keys, stream, draw), *more), element)
        for index, vector in enumerate(vectors):
            spare.at(index * LANES, element).store(vector)
        start = g * group
        f.memcpy(t.out.at(start, element), spare, f.min(t.n - start, f.const("i64", group)) * size)
    f.ret()
    return m


def _planner(name: str, make: Callable[..., list[Value]]) -> None:
    @schedule(f"random_{name}")
    def plan(
        args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
    ) -> Plan | None:
        """state u64[3] -> numbers; attrs: shape, dtype."""
        dtype = outs[0].dtype
        if dtype not in (dtypes.float32, dtypes.float64):
            return None
        element = dtype.loops
        task = load(f"random/{name}/{element}", lambda: build(name, make, element)).address("draw")
        n = outs[0].size
        job = arrange(WORDS, {"state": In(0), "out": Out(0), "n": n})
        return Plan((Step(task, job, chunks_for(8 * n, threads)),), contiguous=turned(args))


@schedule("random_integers")
def plan_integers(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan:
    """state u64[3] -> i64; attrs: shape, low, high."""
    low, n = attrs["low"], outs[0].size
    span = attrs["high"] - low
    name, make = ("integers", integers) if span <= 1 << 32 else ("wide_integers", wide_integers)
    task = load(f"random/{name}", lambda: build(name, make, "i64")).address("draw")
    words = {"state": In(0), "out": Out(0), "n": n, "low": low, "span": span}
    job = arrange(WORDS + " low span", words)
    return Plan((Step(task, job, chunks_for(8 * n, threads)),), contiguous=turned(args))


@schedule("random_permutation")
def plan_permutation(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan:
    """state u64[3] -> i64[count]: where the numbers of the draw stand in their order."""
    n = outs[0].size
    made = Builder(threads)
    if n == 0:
        return made.plan()
    drawn, ordered = made.scratch(n, 8), made.scratch(n, 8)
    task = load("random/ranks", lambda: build("ranks", ranks, "i64")).address("draw")
    job = arrange(WORDS, {"state": made.dense(args[0], 0), "out": drawn, "n": n})
    made.add(Step(task, job, chunks_for(8 * n, threads)))
    sort_step(made, dtypes.int64, drawn, ordered, Out(0), 1, n, n, False)
    return made.plan()


@schedule("next_draw")
def plan_next(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """state u64[3] -> that of the draw after it."""
    task = load("random/next", _build_next).address("next")
    return Plan((Step(task, (In(0), Out(0))),), contiguous=turned(args))


def _build_next() -> Module:
    m = Module("random_next")
    t = Task(m, "next", "state:ptr out:ptr")
    seed, stream, draw = (t.state.at(i, "i64").load("i64") for i in range(3))
    for i, word in enumerate((seed, stream, draw + 1)):
        t.out.at(i, "i64").store(word)
    return m


_planner("uniform", uniform)
_planner("normal", normal)
