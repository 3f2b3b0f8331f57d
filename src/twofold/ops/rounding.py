"""Rounding, and the divisions that round. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, DivisionError
from twofold.ops import scalars
from twofold.ops.bind import bind
from twofold.ops.complexes import view_as_complex, view_as_real
from twofold.ops.elementwise import mul, true_divide
from twofold.ops.formula import WHOLE, primitive, vector
from twofold.ops.guarding import guard
from twofold.ops.op import Failure, Op, Sample
from twofold.ops.rules import admit, as_tensor, binary, constant, deliver, unary
from twofold.ops.samples import hard_pairs, hard_singles, pairs
from twofold.ops.tensor import Tensor, type_of

__all__ = ["ceil", "copysign", "div", "divide", "fix", "floor", "floor_divide", "fmod", "frac"]
__all__ += ["remainder", "round", "trunc"]


def _flat(m: Any, g: Any) -> Any:
    return m.zeros_like(g)


def _whole(function: Callable[..., Any]) -> Callable[..., Any]:
    """NumPy's function on floats; whole numbers are left as they are."""
    return lambda x: function(x) if x.dtype.kind == "f" else x.copy()


def _rounding(name: str, doc: str, ref: Callable[..., Any], lower: Callable[..., Any]) -> Op:
    return primitive(
        name,
        accepts="uif",
        ref=_whole(ref),
        lower=scalars.kept(lower),
        slopes=(_flat,),
        doc=doc,
        samples=hard_singles,
    )


FLOOR = _rounding("floor", "The next whole number below.", np.floor, lambda f, x: f.floor(x))
CEIL = _rounding("ceil", "The next whole number above.", np.ceil, lambda f, x: f.ceil(x))
TRUNC = _rounding("trunc", "The next whole number towards 0.", np.trunc, lambda f, x: f.trunc(x))
ROUND = _rounding(
    "round", "The nearest whole number, halves to the even one.", np.rint, lambda f, x: f.rint(x)
)
floor, ceil, trunc = (unary(op, to_float=False) for op in (FLOOR, CEIL, TRUNC))
fix = trunc


def round(input: Any, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """The nearest number with so many decimals, the even one of two; complex ones part by part."""
    x = as_tensor(input, "round")
    if x.dtype.is_complex and decimals == 0:
        made = view_as_complex(round(view_as_real(x)))
        return made if out is None else deliver(made, out, "round")
    x = admit(ROUND, x)
    if decimals == 0:
        made = bind(ROUND, (x,))
    elif x.dtype.kind != "f":
        raise ArgumentError("round", f"decimals={decimals} for {x.dtype.name}", input=type_of(x))
    else:
        scale = constant(10.0 ** abs(decimals), x.dtype)
        there, back = (mul, true_divide) if decimals > 0 else (true_divide, mul)
        made = back(bind(ROUND, (there(x, scale),)), scale)
    return made if out is None else deliver(made, out, "round")


FRAC = primitive(
    "frac",
    ref=lambda x: x - np.trunc(x),
    lower=lambda f, x: x - f.trunc(x),
    slopes=(lambda m, g: g,),
    doc="What is left of a number without its whole part, with its sign.",
    samples=hard_singles,
)
frac = unary(FRAC, to_float=False)


def _refuse_zero(op: str, y: Any) -> None:
    if y.dtype.kind != "f" and not y.all():
        raise DivisionError(op, "a whole number is divided by 0", hint="true_divide gives inf")


def _whole_division(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def ref(x: Any, y: Any) -> Any:
        _refuse_zero(name, y)
        return function(x, y)

    return ref


def _trunc_divide(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.trunc(x / y).astype(x.dtype, copy=False)
    return np.floor_divide(x - np.fmod(x, y), y)


def _division_errors(random: Any) -> list[Failure]:
    wrong = (np.array([1, 2]), np.array([1, 0]))
    return [Failure(wrong, {}, ZeroDivisionError, "a whole number is divided by 0")]


def _remainder(random: Any) -> list[Sample]:
    # the quotients are far from whole numbers, where a remainder jumps
    x = random.choice([0.3, 1.4, -2.6, 3.5, -0.7], (3, 4))
    return [
        Sample((x, np.array([1.0, 1.1, -1.0, -0.9]))),
        *(s._replace(smooth=False) for s in hard_pairs(random)),
    ]


FLOOR_DIVIDE = primitive(
    "floor_divide",
    inputs="input other",
    accepts="uif",
    ref=_whole_division("floor_divide", np.floor_divide),
    lower=scalars.split(vector("floor_divide"), vector("whole_floor_divide", WHOLE)),
    slopes=(_flat, _flat),
    doc="The largest whole number not above input / other.",
    samples=pairs,
    errors=_division_errors,
)
TRUNC_DIVIDE = primitive(
    "trunc_divide",
    inputs="input other",
    accepts="uif",
    ref=_whole_division("div", _trunc_divide),
    lower=scalars.split(lambda f, x, y: f.trunc(x / y), vector("whole_trunc_divide", WHOLE)),
    slopes=(_flat, _flat),
    doc="input / other, rounded towards 0.",
    samples=pairs,
    torch=lambda x, y: x.div(y, rounding_mode="trunc"),
)


def _fmod_slope(m: Any, g: Any, x: Any, y: Any) -> Any:
    # of x / y, which may be rounded to the next whole number, the one that fmod took
    return -g * m.round((x - m.fmod(x, y)) / y)


FMOD = primitive(
    "fmod",
    inputs="input other",
    accepts="uif",
    ref=_whole_division("fmod", np.fmod),
    lower=scalars.split(vector("fmod"), vector("whole_fmod", WHOLE)),
    saves="input other",
    slopes=(lambda m, g, x, y: g, _fmod_slope),
    doc="The remainder of a division rounded towards 0: it has the sign of input.",
    samples=_remainder,
    errors=_division_errors,
)
REMAINDER = primitive(
    "remainder",
    inputs="input other",
    accepts="uif",
    ref=_whole_division("remainder", np.remainder),
    lower=scalars.split(vector("remainder"), vector("whole_remainder", WHOLE)),
    saves="input other",
    slopes=(lambda m, g, x, y: g, lambda m, g, x, y: -g * m.floor_divide(x, y)),
    doc="The remainder of a division rounded down: it has the sign of other.",
    samples=_remainder,
    errors=_division_errors,
)
floor_divide, fmod, remainder = map(binary, (FLOOR_DIVIDE, FMOD, REMAINDER))
trunc_divide = binary(TRUNC_DIVIDE)
ROUNDED = {None: true_divide, "trunc": trunc_divide, "floor": floor_divide}


def div(
    input: Any, other: Any, *, rounding_mode: str | None = None, out: Tensor | None = None
) -> Tensor:
    """input / other; with rounding_mode "trunc" or "floor" rounded, in the operands' type."""
    if rounding_mode not in ROUNDED:
        known = "None, 'trunc' or 'floor'"
        raise ArgumentError("div", f"rounding_mode is {rounding_mode!r}", hint=known)
    return ROUNDED[rounding_mode](input, other, out=out)


divide = div


def _copysign_slope(m: Any, g: Any, x: Any, out: Any) -> Any:
    return m.where(m.eq(x, 0.0), 0.0, g * (out / x))


COPYSIGN = primitive(
    "copysign",
    inputs="input other",
    ref=np.copysign,
    lower=lambda f, x, y: f.copysign(x, y),
    saves="input out",
    slopes=(_copysign_slope, lambda m, g, x, out: m.zeros_like(g)),
    doc="The size of input with the sign of other.",
    samples=pairs,
)
copysign = binary(COPYSIGN, to_float=True)


guard(globals())
