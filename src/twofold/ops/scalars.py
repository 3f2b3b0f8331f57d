"""Recipes that serve floats, whole numbers and truth values alike. Floor 4.

A recipe is told the element type by its values: "f32x8", "i64", "i1x16". Unsigned numbers come in
the next wider signed type and truth values as i1 (lower/elements.py), so that what is said here of
signed numbers holds for them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Recipe = Callable[..., Any]

# The predicates of the loop language, for floats and for whole numbers.
ORDER = {
    "eq": ("oeq", "eq"),
    "ne": ("une", "ne"),
    "lt": ("olt", "slt"),
    "le": ("ole", "sle"),
    "gt": ("ogt", "sgt"),
    "ge": ("oge", "sge"),
}


def is_truth(x: Any) -> bool:
    """Whether a value of the loop language is a truth value, or a vector of them."""
    return bool(x.type.partition("x")[0] == "i1")


def is_whole(x: Any) -> bool:
    """Whether it is a whole number or a truth value."""
    return bool(x.type[0] == "i")


def bits_of(x: Any) -> int:
    """The bits of one element."""
    return int(x.type.partition("x")[0][1:])


def alike(x: Any, element: str) -> str:
    """The type of as many lanes of another element as `x` has."""
    _, times, lanes = x.type.partition("x")
    return f"{element}{times}{lanes}"


def number(x: Any) -> Any:
    """A truth value as 0 or 1; numbers as they are."""
    return x.cast("zext", alike(x, "i8")) if is_truth(x) else x


def truth(x: Any) -> Any:
    """Whether an element is not zero."""
    return x if is_truth(x) else x.cmp("ne" if is_whole(x) else "une", 0)


def always(x: Any, answer: bool) -> Any:
    """The same answer for each element."""
    bit = x.type[0] == "i"
    equal, unequal = ("eq", "ne") if bit else ("ueq", "one")
    return x.cmp(equal if answer else unequal, x)


def compare(name: str, x: Any, y: Any) -> Any:
    """x < y and its kin: `name` is eq, ne, lt, le, gt or ge; y may be a Python number."""
    floating, whole = ORDER[name]
    if not is_whole(x):
        return x.cmp(floating, y)
    if not hasattr(y, "type"):
        return _with_number(name, number(x), y)
    return number(x).cmp(whole, number(y))


def _with_number(name: str, x: Any, y: float) -> Any:
    """A whole number against any number: against the next whole one that gives the same answer."""
    limit = 2 ** (bits_of(x) - 1)
    if y != y:
        return always(x, name == "ne")
    if not -limit <= y < limit:
        return always(x, name == "ne" or ((name in ("lt", "le")) == (y > 0) and name != "eq"))
    if name in ("eq", "ne") and y != math.floor(y):
        return always(x, name == "ne")
    bound = math.ceil(y) if name in ("lt", "ge") else math.floor(y)
    return x.cmp(ORDER[name][1], bound)


def choose(f: Any, condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y; one of them may be a Python number."""
    known = x if hasattr(x, "type") else y
    if is_whole(known):
        x, y = (v if hasattr(v, "type") else int(v) for v in (x, y))
    return condition.select(x, y)


def add(f: Any, x: Any, y: Any) -> Any:
    return x | y if is_truth(x) else x + y


def mul(f: Any, x: Any, y: Any) -> Any:
    return x & y if is_truth(x) else x * y


def kept(recipe: Recipe) -> Recipe:
    """A recipe for floats that leaves whole numbers as they are."""
    return lambda f, x: x if is_whole(x) else recipe(f, x)


def split(floating: Recipe, whole: Recipe) -> Recipe:
    """One recipe for floats, another for whole numbers."""
    return lambda f, *xs: (whole if is_whole(xs[0]) else floating)(f, *xs)


# ---- the parts of floats -------------------------------------------------------------------------


def signbit(f: Any, x: Any) -> Any:
    if is_whole(x):
        return always(x, False) if is_truth(x) else x.cmp("slt", 0)
    return x.cast("bitcast", alike(x, f"i{bits_of(x)}")).cmp("slt", 0)


def frexp(f: Any, x: Any) -> Any:
    """A mantissa from 0.5 to 1, and the exponent, by the bits."""
    bits = bits_of(x)
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)
    whole = alike(x, f"i{bits}")
    special = x.cmp("oeq", 0.0) | x.cmp("uno", x) | f.abs(x).cmp("oeq", float("inf"))
    tiny = f.abs(x).cmp("olt", 2.0 ** (1 - bias))
    scaled = tiny.select(x * 2.0**60, x)
    raw = scaled.cast("bitcast", whole)
    field = raw.lshr(mantissa) & (2 * bias + 1)
    exponent = field - tiny.select(f.const(whole, bias - 1 + 60), bias - 1)
    kept_bits = raw & ~((2 * bias + 1) << mantissa)
    made = (kept_bits | ((bias - 1) << mantissa)).cast("bitcast", x.type)
    exponent = special.select(0, exponent)
    exponent = exponent if bits == 32 else exponent.cast("trunc", alike(x, "i32"))
    return special.select(x, made), exponent


def nextafter(f: Any, x: Any, y: Any) -> Any:
    """One step of the bits up or down; from 0 to the least number of the direction."""
    whole = alike(x, f"i{bits_of(x)}")
    raw = x.cast("bitcast", whole)
    away = x.cmp("olt", y) ^ raw.cmp("slt", 0)
    stepped = (raw + away.select(f.const(whole, 1), -1)).cast("bitcast", x.type)
    least = f.copysign(f.const(whole, 1).cast("bitcast", x.type), y)
    made = x.cmp("oeq", 0.0).select(least, stepped)
    made = x.cmp("oeq", y).select(y, made)
    return x.cmp("uno", y).select(x + y, made)
