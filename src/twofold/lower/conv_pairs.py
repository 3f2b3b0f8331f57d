"""The tile of a gradient by weights where lanes are filters of small groups. Floor 6.

    out[member, tap, lane] = chain over k, ascending:
        fma(values[taps[tap] + steps[k], the member of the lane's group], panel[k, lane], .)

A vector of values holds some whole groups of channels. Every tap reads it once for a pair of
members, and moves each member to all lanes of its group: nothing is spread in memory, where it
would take `group` times the room. Tiles are variants (variants.py) by pair and number of taps.
"""

from collections.abc import Iterable
from functools import partial

from twofold.codegen.compile import Code
from twofold.ir.build import Function, Module
from twofold.ir.values import Value
from twofold.lower.conv_tile import TILE_PARAMS, Format, calling, entry
from twofold.lower.variants import Variants, declare_table, variant

# A tile's number is pair * NUMBER + taps.
NUMBER = 32


def most_taps(fmt: Format) -> int:
    """Two vectors for each tap, and some for what they are made from."""
    return (fmt.rows - 4) // 2


def declare_pairs(m: Module, fmt: Format, group: int) -> None:
    """Room for the tiles, and `single`, which computes tap by tap."""
    pairs = range(group // 2)
    declare_table(m, len(pairs) * NUMBER)
    for pair in pairs:
        _define_pair(m, fmt, group, f"pair{pair}", pair * NUMBER + 1)
    f = m.function("single", TILE_PARAMS, inline="never")
    number, values, taps, steps, panel, out, *rest = f.args
    with f.loop(0, number % NUMBER) as tap:
        given = (number, values, taps.at(tap, "i64"), steps, panel)
        place = out.at(tap * fmt.width, fmt.element)
        cases = {pair: calling(f, f"pair{pair}", *given, place, *rest) for pair in pairs}
        f.switch(number // NUMBER, cases)


def call_pair(f: Function, pair: Value, taps: Value, *args: Value | int) -> None:
    """Call the tile of this pair of members and this many taps."""
    number = pair * NUMBER + taps
    f.call("void", variant(f, number), number, *args)


def want_pairs(code: Code, fmt: Format, group: int, heights: Iterable[int]) -> None:
    """Let the module of this code call tiles of so many taps, for every pair."""
    variants = _wanted.get(code)
    if variants is None:
        key = f"conv/pairs/{fmt.key}/{group}"
        build = partial(_build, fmt, group)
        count = group // 2 * NUMBER
        variants = _wanted[code] = Variants(code, count, key, "tile", build)
    variants.want([pair * NUMBER + taps for pair in range(group // 2) for taps in heights])


_wanted: dict[Code, Variants] = {}


def _build(fmt: Format, group: int, number: int) -> Module:
    m = Module(f"conv_pairs_{fmt.element}")
    _define_pair(m, fmt, group, "tile", number, internal=False)
    return m


def _define_pair(
    m: Module, fmt: Format, group: int, name: str, number: int, internal: bool = True
) -> None:
    """`pitch` leads from a member's results to the next one's; taps lie side by side."""
    f = m.function(name, TILE_PARAMS, internal=internal, inline="never")
    _, values, offsets, steps, panel, out, pitch, count, fresh, *_ = f.args
    pair, taps = divmod(number, NUMBER)
    starts = [entry(offsets, tap) for tap in range(taps)]
    groups = [lane // group * group for lane in range(fmt.width)]
    spread = [[start + pair * 2 + member for start in groups] for member in (0, 1)]
    places = [
        [out.at(pitch * member + tap * fmt.width, fmt.element) for member in (0, 1)]
        for tap in range(taps)
    ]
    chains = [[f.var(fmt.vector, 0.0) for _ in spread] for _ in range(taps)]
    with f.if_(fresh.cmp("eq", 0)):
        for line, row in zip(places, chains, strict=True):
            for place, chain in zip(line, row, strict=True):
                chain.set(place.load(fmt.vector))
    with f.loop(0, count) as k:
        column = panel.at(k * fmt.width, fmt.element).load(fmt.vector)
        here = values.at(entry(steps, k), fmt.element)
        for start, row in zip(starts, chains, strict=True):
            value = here.at(start, fmt.element).load(fmt.vector)
            for lanes, chain in zip(spread, row, strict=True):
                chain.set(f.fma(f.shuffle(value, None, lanes), column, chain.get()))
    for line, row in zip(places, chains, strict=True):
        for place, chain in zip(line, row, strict=True):
            place.store(chain.get())
