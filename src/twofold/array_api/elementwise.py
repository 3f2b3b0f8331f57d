"""Functions of each element alone, by the standard's names and arguments. Floor 13.

They are the functions of twofold.ops, which are looked up when they are called: machine code may
stand in front of them by then.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from types import ModuleType
from typing import Any

from twofold.array_api.info import together
from twofold.ops import (
    bitwise,
    compare,
    complexes,
    composite,
    counting,
    elementwise,
    joining,
    more_special,
    movement,
    reduce,
    rounding,
    transcendental,
    views,
)
from twofold.ops.guarding import guard
from twofold.ops.rules import operands
from twofold.ops.tensor import Tensor


def of_one(module: ModuleType, name: str, called: str = "") -> Callable[[Tensor], Any]:
    """A function of one array, which takes it by position."""

    def function(x: Tensor, /) -> Any:
        return getattr(module, name)(x)

    return _described(function, module, name, called)


def of_two(module: ModuleType, name: str, called: str = "") -> Callable[[Any, Any], Tensor]:
    """A function of two arrays, which takes them by position, in their common type."""

    def function(x1: Any, x2: Any, /) -> Tensor:
        return getattr(module, name)(*together(x1, x2))  # type: ignore[no-any-return]

    return _described(function, module, name, called)


def _described(function: Any, module: ModuleType, name: str, called: str) -> Any:
    function.__name__ = function.__qualname__ = called or name
    function.__doc__ = getattr(module, name).__doc__
    return function


abs = of_one(elementwise, "abs")
conj = of_one(elementwise, "conj")
negative = of_one(elementwise, "negative")
reciprocal = of_one(elementwise, "reciprocal")
sqrt = of_one(elementwise, "sqrt")
square = of_one(elementwise, "square")
real = of_one(complexes, "real")
imag = of_one(complexes, "imag")
acos = of_one(transcendental, "acos")
acosh = of_one(transcendental, "acosh")
asin = of_one(transcendental, "asin")
asinh = of_one(transcendental, "asinh")
atan = of_one(transcendental, "atan")
atanh = of_one(transcendental, "atanh")
cos = of_one(transcendental, "cos")
cosh = of_one(transcendental, "cosh")
exp = of_one(transcendental, "exp")
expm1 = of_one(more_special, "expm1")
log = of_one(transcendental, "log")
log10 = of_one(transcendental, "log10")
log1p = of_one(more_special, "log1p")
log2 = of_one(transcendental, "log2")
sin = of_one(transcendental, "sin")
sinh = of_one(transcendental, "sinh")
tan = of_one(transcendental, "tan")
tanh = of_one(composite, "tanh")
ceil = of_one(rounding, "ceil")
floor = of_one(rounding, "floor")
trunc = of_one(rounding, "trunc")
isfinite = of_one(compare, "isfinite")
isinf = of_one(compare, "isinf")
isnan = of_one(compare, "isnan")
logical_not = of_one(compare, "logical_not")
signbit = of_one(compare, "signbit")
bitwise_invert = of_one(bitwise, "bitwise_not", "bitwise_invert")

add = of_two(elementwise, "add")
subtract = of_two(elementwise, "subtract")
multiply = of_two(elementwise, "multiply")
divide = of_two(elementwise, "true_divide", "divide")
floor_divide = of_two(rounding, "floor_divide")
remainder = of_two(rounding, "remainder")
copysign = of_two(rounding, "copysign")
atan2 = of_two(transcendental, "atan2")
hypot = of_two(transcendental, "hypot")
logaddexp = of_two(transcendental, "logaddexp")
nextafter = of_two(bitwise, "nextafter")
bitwise_and = of_two(bitwise, "bitwise_and")
bitwise_or = of_two(bitwise, "bitwise_or")
bitwise_xor = of_two(bitwise, "bitwise_xor")
bitwise_left_shift = of_two(bitwise, "bitwise_left_shift")
bitwise_right_shift = of_two(bitwise, "bitwise_right_shift")
equal = of_two(compare, "eq", "equal")
not_equal = of_two(compare, "not_equal")
greater = of_two(compare, "greater")
greater_equal = of_two(compare, "greater_equal")
less = of_two(compare, "less")
less_equal = of_two(compare, "less_equal")
logical_and = of_two(compare, "logical_and")
logical_or = of_two(compare, "logical_or")
logical_xor = of_two(compare, "logical_xor")
maximum = of_two(compare, "maximum")
minimum = of_two(compare, "minimum")


def positive(x: Tensor, /) -> Tensor:
    """The same values, in an array of their own."""
    return joining.clone(elementwise.positive(x))


def sign(x: Tensor, /) -> Tensor:
    """-1, 0 or 1, or the number of size 1 in a complex one's direction; NaN of what is not one."""
    made = elementwise.sgn(x)
    return made if x.dtype.kind not in "fc" else compare.where(compare.isnan(x), x * nan, made)


def round(x: Tensor, /) -> Tensor:
    """The nearest whole number, the even one of two; of a complex number, both parts."""
    if not x.dtype.is_complex:
        return more_special.round(x)
    parts = more_special.round(complexes.real(x)), more_special.round(complexes.imag(x))
    return complexes.complex(*parts)


def pow(x1: Any, x2: Any, /) -> Tensor:
    """x1 ** x2. A root is one of all numbers: of -0.0 it is 0.0, of -inf inf."""
    roots = isinstance(x2, float) and x2 in (0.5, -0.5)
    return transcendental.pow(*(operands("pow", x1, x2) if roots else together(x1, x2)))


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Whether each element of x1 is one of x2 (NaN never is), or none."""
    if not any(isinstance(x, Tensor) and x.dtype.is_complex for x in (x1, x2)):
        return counting.isin(*together(x1, x2), invert=invert)
    one, other = operands("isin", *together(x1, x2))
    pairs = compare.eq(views.unsqueeze(one, -1), movement.reshape(other, (-1,)))
    found = reduce.any(pairs, -1)
    return compare.logical_not(found) if invert else found


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """Each element, or the bound that it is beyond; x itself where there is no bound."""
    return joining.clone(x) if min is None and max is None else compare.clip(x, min, max)


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """x1 where the condition holds, else x2."""
    return compare.where(condition, *together(x1, x2))  # type: ignore[no-any-return]


guard(globals())
