"""Kernels of fused elementwise operations: the recipes of the steps, one after the other.
Floor 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.types import Type
from twofold.codegen.cache import digest
from twofold.codegen.pair import Pair
from twofold.ir.build import Function
from twofold.ir.loops import with_element
from twofold.ir.values import Value
from twofold.lower.convert import convert
from twofold.lower.elements import HELD
from twofold.lower.elementwise import plan_elementwise, recipe_of
from twofold.lower.schedule import Arg, Plan, schedule


@schedule("fused")
def plan_fused(
    args: tuple[Arg, ...], outs: tuple[Type, ...], attrs: Mapping[str, Any], threads: int
) -> Plan | None:
    """A plan for one body. Its kernel's name tells the body, so that equal bodies share one."""
    body, results = attrs["body"], attrs["outs"]
    kinds = [a.dtype for a in args]
    if not all(d in HELD for d in (*kinds, *(step.dtype for step in body))):
        return None

    recipe = body_recipe(body, kinds, results)
    return plan_elementwise(f"fused_{body_key(body, results)}", recipe, args, outs, {}, threads)


def body_key(body: Any, results: Any) -> str:
    """A name for what a body computes."""
    text = f"{body} {[step.dtype.short for step in body]} {results}"
    return digest(text)


def body_recipe(body: Any, kinds: list[DType], results: tuple[int, ...]) -> Any:
    """The recipe of a body's results, for inputs of these element types."""

    def recipe(f: Function, *values: Value) -> tuple[Value, ...]:
        known, types = list(values), list(kinds)
        for step in body:
            known.append(step_value(f, step, known, types, values[0].type))
            types.append(step.dtype)
        return tuple([known[i] for i in results])

    return recipe


def step_value(
    f: Function, step: Any, known: Sequence[Any], types: Sequence[DType], like: str
) -> Any:
    """The result of one step, as its type is held.

    known, types   the values and the element types, by the numbers that steps name
    like           a type of the loop language with as many lanes as the result has
    """
    held = HELD[step.dtype]
    if step.op.name == "full":
        kind = with_element(like, held.computed)
        number = step.attrs[1]
        if step.dtype.is_complex:
            return Pair(f.const(kind, number.real), f.const(kind, number.imag))
        made = f.const(kind, int(number) if step.dtype.kind in "bui" else float(number))
        return held.widen(f, held.narrow(f, made)) if _rounds(step.dtype) else made
    given = [known[a] for a in step.args]
    if step.op.name == "cast":
        made = convert(f, given[0], types[step.args[0]], step.dtype)
    else:
        recipe = recipe_of(step.op, [types[a] for a in step.args])
        made = recipe(f, *given, **step.op.keywords(step.attrs))
    # what memory would have made of it
    return held.widen(f, held.narrow(f, made)) if _rounds(step.dtype) else made


def _rounds(dtype: DType) -> bool:
    """Whether a value loses digits when it is stored: computed wider than it is kept."""
    held = HELD[dtype]
    return not (dtype is dtypes.bool_ or dtype.is_complex) and held.stored != held.computed
