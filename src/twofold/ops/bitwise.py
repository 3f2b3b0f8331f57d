"""Operations on bits, and the arithmetic that only whole numbers have. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.records import NamedTuple
from twofold.ops import scalars
from twofold.ops.bind import bind
from twofold.ops.compare import ne, where
from twofold.ops.elementwise import mul
from twofold.ops.formula import WHOLE, vector
from twofold.ops.guarding import guard
from twofold.ops.op import INTEGER, INTEGRAL, Failure, Op, define, same
from twofold.ops.rules import (
    admit,
    as_tensor,
    binary,
    elementwise_type,
    unary,
)
from twofold.ops.samples import integer_pairs, integers, pairs, singles
from twofold.ops.tensor import Tensor, returned
from twofold.ops.transcendental import pow

__all__ = ["bitwise_and", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift"]
__all__ += ["bitwise_xor", "frexp", "gcd", "lcm", "ldexp", "nextafter"]


def _wrong_type(random: Any) -> list[Failure]:
    return [Failure((np.ones(2), np.ones(2)), {}, TypeError, "float64 is not taken")]


def _bits(
    name: str,
    word: str,
    ref: Callable[..., Any],
    lower: Callable[..., Any],
    accepts: str = INTEGRAL,
) -> Op:
    return define(
        name,
        inputs="input other",
        doc=f"{word}.",
        accepts=accepts,
        infer=elementwise_type(name),
        ref=ref,
        lower=lower,
        samples=integer_pairs,
        errors=_wrong_type,
    )


def _shift(function: Callable[..., Any], emptied: Callable[[Any], Any]) -> Callable[..., Any]:
    """A shift that is defined for every distance: past the width nothing is left but the sign."""

    def ref(x: Any, y: Any) -> Any:
        width = 8 * x.dtype.itemsize
        wide = (y < 0) | (y >= width)
        made = function(x, np.where(wide, 0, y).astype(x.dtype))
        return np.where(wide, emptied(x), made).astype(x.dtype)

    return ref


AND = _bits("bitwise_and", "The bits that are set in both", np.bitwise_and, lambda f, x, y: x & y)
OR = _bits(
    "bitwise_or", "The bits that are set in one of both", np.bitwise_or, lambda f, x, y: x | y
)
XOR = _bits("bitwise_xor", "The bits that differ", np.bitwise_xor, lambda f, x, y: x ^ y)
LEFT = _bits(
    "bitwise_left_shift",
    "The bits of input moved up by other places",
    _shift(np.left_shift, np.zeros_like),
    vector("shift_left", WHOLE),
    INTEGER,
)
RIGHT = _bits(
    "bitwise_right_shift",
    "The bits of input moved down by other places, filled with the sign",
    _shift(np.right_shift, lambda x: np.where(x < 0, -1, 0).astype(x.dtype)),
    vector("shift_right", WHOLE),
    INTEGER,
)
bitwise_and, bitwise_or, bitwise_xor = map(binary, (AND, OR, XOR))
bitwise_left_shift, bitwise_right_shift = map(binary, (LEFT, RIGHT))
NOT = define(
    "bitwise_not",
    inputs="input",
    doc="Every bit turned over; for bools, logical not.",
    accepts=INTEGRAL,
    infer=same,
    ref=np.invert,
    lower=lambda f, x: ~x,
    samples=integers,
)
bitwise_not = unary(NOT, to_float=False)

GCD = _bits("gcd", "The greatest common divisor", np.gcd, vector("gcd", WHOLE), INTEGER)
LCM = _bits("lcm", "The least common multiple", np.lcm, vector("lcm", WHOLE), INTEGER)
gcd, lcm = binary(GCD), binary(LCM)


# ---- the parts of floating numbers


def _frexp(x: Any) -> tuple[Any, Any]:
    mantissa, exponent = np.frexp(x)
    return mantissa, exponent.astype(np.int32)


FREXP = define(
    "frexp",
    inputs="input",
    doc="The mantissa, from 0.5 to 1, and the exponent (i32) of each number.",
    accepts="f",
    infer=lambda x: (x, x.with_dtype(dtypes.int32)),
    ref=_frexp,
    lower=scalars.frexp,
    outputs=2,
    vjp=lambda g, out, x: (None if g[0] is None else ldexp(g[0], mul(out[1], -1)),),
    saves="out1",
    samples=singles,
)


class Frexp(NamedTuple):
    """What frexp gives."""

    mantissa: Tensor
    exponent: Tensor


_Frexp = returned(Frexp, "frexp")


def frexp(input: Tensor) -> Frexp:
    """(mantissa, exponent) with input = mantissa * 2 ** exponent and 0.5 <= |mantissa| < 1."""
    return _Frexp(*bind(FREXP, (admit(FREXP, as_tensor(input, "frexp")),)))


def ldexp(input: Any, other: Any) -> Tensor:
    """input * 2 ** other."""
    return mul(input, pow(2.0, other))


NEXTAFTER = define(
    "nextafter",
    inputs="input other",
    doc="The next number after input towards other.",
    accepts="f",
    infer=elementwise_type("nextafter"),
    ref=np.nextafter,
    vjp=lambda g, out, x, y: (where(ne(x, y), g, 0), None),
    saves="input other",
    lower=scalars.nextafter,
    samples=pairs,
)
nextafter = binary(NEXTAFTER)


guard(globals())
