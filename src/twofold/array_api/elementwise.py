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
from twofold.ops.rules import operands
from twofold.ops.tensor import Tensor


def _of_one(module: ModuleType, name: str, called: str = "") -> Callable[[Tensor], Tensor]:
    def function(x: Tensor, /) -> Tensor:
        return getattr(module, name)(x)  # type: ignore[no-any-return]

    return _described(function, module, name, called)


def _of_two(module: ModuleType, name: str, called: str = "") -> Callable[[Any, Any], Tensor]:
    def function(x1: Any, x2: Any, /) -> Tensor:
        return getattr(module, name)(*together(x1, x2))  # type: ignore[no-any-return]

    return _described(function, module, name, called)


def _described(function: Any, module: ModuleType, name: str, called: str) -> Any:
    function.__name__ = function.__qualname__ = called or name
    function.__doc__ = getattr(module, name).__doc__
    return function


abs = _of_one(elementwise, "abs")
conj = _of_one(elementwise, "conj")
negative = _of_one(elementwise, "negative")
reciprocal = _of_one(elementwise, "reciprocal")
sqrt = _of_one(elementwise, "sqrt")
square = _of_one(elementwise, "square")
real = _of_one(complexes, "real")
imag = _of_one(complexes, "imag")
acos = _of_one(transcendental, "acos")
acosh = _of_one(transcendental, "acosh")
asin = _of_one(transcendental, "asin")
asinh = _of_one(transcendental, "asinh")
atan = _of_one(transcendental, "atan")
atanh = _of_one(transcendental, "atanh")
cos = _of_one(transcendental, "cos")
cosh = _of_one(transcendental, "cosh")
exp = _of_one(transcendental, "exp")
expm1 = _of_one(more_special, "expm1")
log = _of_one(transcendental, "log")
log10 = _of_one(transcendental, "log10")
log1p = _of_one(more_special, "log1p")
log2 = _of_one(transcendental, "log2")
sin = _of_one(transcendental, "sin")
sinh = _of_one(transcendental, "sinh")
tan = _of_one(transcendental, "tan")
tanh = _of_one(composite, "tanh")
ceil = _of_one(rounding, "ceil")
floor = _of_one(rounding, "floor")
trunc = _of_one(rounding, "trunc")
isfinite = _of_one(compare, "isfinite")
isinf = _of_one(compare, "isinf")
isnan = _of_one(compare, "isnan")
logical_not = _of_one(compare, "logical_not")
signbit = _of_one(compare, "signbit")
bitwise_invert = _of_one(bitwise, "bitwise_not", "bitwise_invert")

add = _of_two(elementwise, "add")
subtract = _of_two(elementwise, "subtract")
multiply = _of_two(elementwise, "multiply")
divide = _of_two(elementwise, "true_divide", "divide")
floor_divide = _of_two(rounding, "floor_divide")
remainder = _of_two(rounding, "remainder")
copysign = _of_two(rounding, "copysign")
atan2 = _of_two(transcendental, "atan2")
hypot = _of_two(transcendental, "hypot")
logaddexp = _of_two(transcendental, "logaddexp")
nextafter = _of_two(bitwise, "nextafter")
bitwise_and = _of_two(bitwise, "bitwise_and")
bitwise_or = _of_two(bitwise, "bitwise_or")
bitwise_xor = _of_two(bitwise, "bitwise_xor")
bitwise_left_shift = _of_two(bitwise, "bitwise_left_shift")
bitwise_right_shift = _of_two(bitwise, "bitwise_right_shift")
equal = _of_two(compare, "eq", "equal")
not_equal = _of_two(compare, "not_equal")
greater = _of_two(compare, "greater")
greater_equal = _of_two(compare, "greater_equal")
less = _of_two(compare, "less")
less_equal = _of_two(compare, "less_equal")
logical_and = _of_two(compare, "logical_and")
logical_or = _of_two(compare, "logical_or")
logical_xor = _of_two(compare, "logical_xor")
maximum = _of_two(compare, "maximum")
minimum = _of_two(compare, "minimum")


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
