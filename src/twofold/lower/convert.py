"""Conversions between element types. Floor 6.

Exact where they can be, else rounded once to nearest, ties to even; floats become integers by
truncation, and what does not fit becomes what x86 makes of it, on every CPU: the smallest number of
32 bits (64 for wider targets), of which a narrower target keeps its low bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.pair import Pair
from twofold.ir.build import Function
from twofold.ir.loops import TYPES, with_element
from twofold.ir.values import Value
from twofold.lower.elements import HELD
from twofold.lower.elementwise import pattern_elementwise, plan_elementwise
from twofold.lower.schedule import Arg, Plan, schedule
from twofold.runtime.program import Pattern

HALVES = (dtypes.float16, dtypes.bfloat16)


@schedule("cast")
def plan_cast(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """A plan for one conversion, or None where no kernel is made (uint64)."""
    source, target = args[0].dtype, outs[0].dtype
    if source not in HELD or target not in HELD:
        return None
    recipe = partial(convert, source=source, target=target)
    return plan_elementwise("cast", recipe, args, outs, {}, threads)


def pattern_cast(types: tuple[Type, ...], outs: tuple[Type, ...]) -> Pattern | None:
    """The same for contiguous inputs of any shape."""
    recipe = partial(convert, source=types[0].dtype, target=outs[0].dtype)
    return pattern_elementwise("cast", recipe, types, outs, {})


def convert(f: Function, x: Any, source: DType, target: DType) -> Any:
    """x, held as its type is, as the target's type is held (see elements.py)."""
    if source is target:
        return x
    if source.is_complex and target is dtypes.bool_:
        return x.real.cmp("une", 0.0) | x.imag.cmp("une", 0.0)
    if source.is_complex and target.is_complex:
        parts = source.to_real(), target.to_real()
        return Pair(convert(f, x.real, *parts), convert(f, x.imag, *parts))
    if source.is_complex:
        return convert(f, x.real, source.to_real(), target)
    if target.is_complex:
        real = convert(f, x, source, target.to_real())
        return Pair(real, f.const(real.type, 0.0))
    to = with_element(x.type, HELD[target].computed)
    if target is dtypes.bool_:
        return x.cmp("une" if TYPES[x.type].is_float else "ne", 0)
    if source is dtypes.bool_:
        return x.cast("uitofp" if target.is_floating_point else "zext", to)
    if source.is_floating_point:
        return _from_float(f, x, target, to)
    return _from_integer(f, x, target, to)


def _from_float(f: Function, x: Value, target: DType, to: str) -> Value:
    if target in HALVES and TYPES[x.type].element == "f64":
        return narrow_to_odd(f, x)
    if target.is_floating_point:
        return x if x.type == to else x.cast(_widening(x.type, to, "fpext", "fptrunc"), to)
    through = "i64" if TYPES[to].size == 8 else "i32"
    whole = truncate(f, x, through)
    return whole if whole.type == to else whole.cast("trunc", to)


def _from_integer(f: Function, x: Value, target: DType, to: str) -> Value:
    if target in HALVES:
        return narrow_to_odd(f, x.cast("sitofp", with_element(x.type, "f64")))
    if target.is_floating_point:
        return x.cast("sitofp", to)
    return x if x.type == to else x.cast(_widening(x.type, to, "sext", "trunc"), to)


def _widening(source: str, target: str, wider: str, narrower: str) -> str:
    return wider if TYPES[target].bits > TYPES[source].bits else narrower


def truncate(f: Function, x: Value, integer: str) -> Value:
    """x toward zero, as an integer; the smallest one where x does not fit or is NaN."""
    limit = 2.0 ** (TYPES[integer].bits - 1)
    # between -limit - 1 and -limit it would fit, to the same result
    fits = x.cmp("oge", -limit) & x.cmp("olt", limit)
    whole = fits.select(x, 0.0).cast("fptosi", with_element(x.type, integer))
    return fits.select(whole, -(1 << TYPES[integer].bits - 1))


def narrow_to_odd(f: Function, x: Value) -> Value:
    """float64 to float32 so that rounding once more, to 16 bits, is right.

    Rounded toward zero, with the last bit set where something was lost (Boldo and Melquiond 2008).
    """
    near = x.cast("fptrunc", with_element(x.type, "f32"))
    back = near.cast("fpext", x.type)
    integer = with_element(x.type, "i32")
    beyond = f.abs(back).cmp("ogt", f.abs(x)).cast("zext", integer)
    lost = back.cmp("one", x).cast("zext", integer)
    return ((near.cast("bitcast", integer) - beyond) | lost).cast("bitcast", near.type)
