"""Comparisons, truth values, and choosing between elements. Floor 4."""

from __future__ import annotations

from collections.abc import Callable
from operator import and_, or_, xor
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError
from twofold.base.types import Type
from twofold.ops import scalars
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import abs, add, cast, mul, sub
from twofold.ops.formula import PAIRS, pointwise, vector
from twofold.ops.guarding import guard
from twofold.ops.op import ANY, REAL, Failure, Op, Sample, define
from twofold.ops.rules import (
    EXACT,
    admit,
    also_named,
    as_tensor,
    binary,
    broadcast,
    comparable,
    comparison_type,
    constant,
    deliver,
    named,
    operands,
)
from twofold.ops.samples import hard_pairs, hard_singles, pairs, ties, values
from twofold.ops.tensor import Tensor, type_of

__all__ = ["allclose", "clamp", "clamp_max", "clamp_min", "clip", "eq", "equal", "fmax", "fmin"]
__all__ += ["ge", "greater", "greater_equal", "gt", "heaviside", "isclose", "isfinite", "isinf"]
__all__ += ["isnan", "isneginf", "isposinf", "isreal", "le", "less", "less_equal", "logical_and"]
__all__ += ["logical_not", "logical_or", "logical_xor", "lt", "maximum", "minimum", "nan_to_num"]
__all__ += ["ne", "not_equal", "signbit", "where"]

Compared = Callable[..., Tensor]


def _comparison(
    name: str, sign: str, ref: Any, accepts: str = REAL, lower_complex: Any = None
) -> Op:
    return define(
        name,
        inputs="input other",
        doc=f"input {sign} other, as bool; a NaN is unequal to everything.",
        accepts=accepts,
        infer=comparison_type(name),
        ref=ref,
        lower=lambda f, x, y: scalars.compare(name, x, y),
        lower_complex=lower_complex,
        samples=ties,
    )


EQ = _comparison("eq", "==", np.equal, ANY, vector("equal", PAIRS))
NE = _comparison("ne", "!=", np.not_equal, ANY, vector("differ", PAIRS))
LT = _comparison("lt", "<", np.less)
LE = _comparison("le", "<=", np.less_equal)
GT = _comparison("gt", ">", np.greater)
GE = _comparison("ge", ">=", np.greater_equal)


def _compared(op: Op) -> Compared:
    """As other functions of two operands, but a number too large for the type is compared too."""

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        try:
            x, y = comparable(op.name, input, other)
        except ArgumentError:
            x, y = operands(op.name, input, other, dtype=dtypes.int64)
        if x.dtype.kind not in op.accepts:
            admit(op, x)
        made = bind(op, (x, y))
        return made if out is None else deliver(made, out, op.name)

    return named(function, op)


eq, ne, lt, le, gt, ge = map(_compared, (EQ, NE, LT, LE, GT, GE))
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


def _test(name: str, doc: str, ref: Any, lower: Any = None, accepts: str = ANY) -> Op:
    return define(
        name,
        inputs="input",
        doc=doc,
        accepts=accepts,
        infer=lambda x: x.with_dtype(dtypes.bool_),
        ref=ref,
        lower=lower,
        samples=hard_singles,
    )


def _inexact(recipe: Any, whole: bool) -> Any:
    """A recipe for floats; whole numbers all have the same answer."""
    return scalars.split(recipe, lambda f, x: scalars.always(x, whole))


def _infinite(f: Any, x: Any) -> Any:
    return f.abs(x).cmp("oeq", float("inf"))


ISNAN = _test(
    "isnan",
    "Where elements are NaN.",
    np.isnan,
    _inexact(lambda f, x: x.cmp("uno", x), False),
)
ISINF = _test("isinf", "Where elements are infinite.", np.isinf, _inexact(_infinite, False))
ISFINITE = _test(
    "isfinite",
    "Where elements are neither NaN nor infinite.",
    np.isfinite,
    _inexact(lambda f, x: f.abs(x).cmp("olt", float("inf")), True),
)
ISPOSINF = _test(
    "isposinf",
    "Where elements are +inf.",
    lambda x: x == np.inf,
    _inexact(lambda f, x: x.cmp("oeq", float("inf")), False),
    REAL,
)
ISNEGINF = _test(
    "isneginf",
    "Where elements are -inf.",
    lambda x: x == -np.inf,
    _inexact(lambda f, x: x.cmp("oeq", float("-inf")), False),
    REAL,
)
SIGNBIT = _test(
    "signbit",
    "Where the sign bit is set, -0.0 included.",
    lambda x: np.signbit(x) if x.dtype.kind == "f" else x < 0,
    scalars.signbit,
    REAL,
)
ISREAL = _test(
    "isreal",
    "Where the imaginary part is 0.",
    np.isreal,
    lambda f, x: scalars.always(x, True),
)


def _predicate(op: Op) -> Compared:
    def function(input: Any) -> Tensor:
        x = input if type(input) in EXACT else as_tensor(input, op.name)
        return bind(op, (admit(op, x),))  # type: ignore[no-any-return]

    return named(function, op)


isnan, isinf, isfinite, isposinf = map(_predicate, (ISNAN, ISINF, ISFINITE, ISPOSINF))
isneginf, signbit, isreal = map(_predicate, (ISNEGINF, SIGNBIT, ISREAL))


def _truth(name: str, word: str, ref: Any, join: Any) -> Compared:
    op = define(
        name,
        inputs="input other",
        doc=f"input {word} other as truth values: what is not zero is true.",
        infer=comparison_type(name),
        ref=ref,
        lower=lambda f, x, y: join(scalars.truth(x), scalars.truth(y)),
        samples=ties,
    )

    def function(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        made = bind(op, operands(name, input, other))
        return made if out is None else deliver(made, out, name)

    return named(function, op)


logical_and = _truth("logical_and", "and", np.logical_and, and_)
logical_or = _truth("logical_or", "or", np.logical_or, or_)
logical_xor = _truth("logical_xor", "xor", np.logical_xor, xor)
LOGICAL_NOT = _test(
    "logical_not",
    "Where elements are zero.",
    np.logical_not,
    lambda f, x: scalars.truth(x) ^ 1,
)
logical_not = _predicate(LOGICAL_NOT)


def _where_type(condition: Type, x: Type, y: Type) -> Type:
    return Type(broadcast("where", condition=condition, input=x, other=y), x.dtype)


def _where_vjp(g: Tensor, out: Any, condition: Tensor, x: Any, y: Any) -> Any:
    zero = constant(0, g.dtype)
    gx = None if x is None else bind(WHERE, (condition, g, zero))
    return None, gx, None if y is None else bind(WHERE, (condition, zero, g))


def _choices(random: Any) -> list[Sample]:
    shapes = [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ()), ((0,), (1,), ()), ((), (2, 3), (3,))]
    return [
        Sample((random.random(c) < 0.5, values(random, x), values(random, y))) for c, x, y in shapes
    ]


WHERE = define(
    "where",
    inputs="condition input other",
    doc="Elements of input where the condition is true, of other elsewhere.",
    infer=_where_type,
    ref=np.where,
    vjp=_where_vjp,
    saves="condition",
    lower=scalars.choose,
    lower_complex=vector("choose", PAIRS),
    samples=_choices,
    errors=lambda random: [
        Failure((np.ones(2), np.ones(2), 1), {}, TypeError, "condition is f64[2], not bool"),
    ],
)


def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """Elements of `input` where `condition` (bool) is true, of `other` elsewhere, all broadcast.

    A uint8 condition, as masks were before there was bool, is true where it is not 0. With the
    condition alone: its true positions, a tuple of i64 tensors.
    """
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    if condition.dtype is dtypes.uint8:
        condition = cast(condition, dtypes.bool_)
    if condition.dtype is not dtypes.bool_:
        problem = f"condition is {type_of(condition)}, not bool"
        raise DTypeError("where", problem, hint="condition != 0")
    x, y = operands("where", input, other)
    return bind(WHERE, (condition, x, y))


# ---- the larger and the smaller


def _extreme(name: str, word: str, worse: str, ordered: bool) -> Op:
    """maximum, minimum: a NaN wins; fmax, fmin (ordered): a number wins."""

    better = {"lt": "ge", "gt": "le"}[worse]

    def body(m: Any, x: Any, y: Any) -> Any:
        lost = getattr(m, worse)(x, y)
        if ordered:
            return m.where(lost, y, m.where(m.ne(x, x), y, x))
        # a comparison with NaN is false: x stays where x is NaN, y is put in where y is
        return m.where(lost, y, m.where(m.ne(y, y), m.where(m.ne(x, x), x, y), x))

    def share(m: Any, g: Any, x: Any, y: Any) -> Any:
        return m.where(getattr(m, worse)(x, y), 0.0, m.where(m.eq(x, y), g * 0.5, g))

    def won(m: Any, x: Any, y: Any, yes: Any, no: Any) -> Any:
        return m.where(getattr(m, better)(x, y), yes, m.where(m.ne(y, y), yes, no))

    slopes: tuple[Any, ...] = (share, lambda m, g, x, y: share(m, g, y, x))
    if ordered:
        slopes = (
            lambda m, g, x, y: won(m, x, y, g, m.zeros_like(g)),
            lambda m, g, x, y: won(m, x, y, m.zeros_like(g), g),
        )
    return pointwise(
        name,
        body,
        inputs="input other",
        doc=f"The {word} of input and other{', NaN ignored' if ordered else '; NaN wins'}.",
        accepts=REAL,
        saves="input other",
        slopes=slopes,
        samples=hard_pairs,
    )


MAXIMUM, MINIMUM = (
    _extreme("maximum", "larger", "lt", False),
    _extreme("minimum", "smaller", "gt", False),
)
FMAX, FMIN = _extreme("fmax", "larger", "lt", True), _extreme("fmin", "smaller", "gt", True)
maximum, minimum, fmax, fmin = map(binary, (MAXIMUM, MINIMUM, FMAX, FMIN))


def _at_least(m: Any, x: Any, low: Any) -> Any:
    return m.where(m.lt(x, low), low, m.where(m.ne(low, low), low, x))


def _at_most(m: Any, x: Any, high: Any) -> Any:
    return m.where(m.gt(x, high), high, m.where(m.ne(high, high), high, x))


def _kept(m: Any, g: Any, x: Any, low: Any = None, high: Any = None) -> Any:
    """g where x lies within the bounds, the bounds included; none for NaN."""
    if high is not None:
        g = m.where(m.le(x, high), g, m.zeros_like(g))
    return g if low is None else m.where(m.ge(x, low), g, m.zeros_like(g))


def _to_low(m: Any, g: Any, x: Any, low: Any, high: Any) -> Any:
    return m.where(m.lt(low, high), m.where(m.lt(x, low), g, m.zeros_like(g)), m.zeros_like(g))


def _to_high(m: Any, g: Any, x: Any, low: Any, high: Any) -> Any:
    return m.where(m.gt(x, high), g, m.where(m.lt(high, low), g, m.zeros_like(g)))


CLAMP_MIN = pointwise(
    "clamp_min",
    _at_least,
    inputs="input min",
    saves="input min",
    slopes=(_kept, lambda m, g, x, low: m.where(m.lt(x, low), g, m.zeros_like(g))),
    doc="input, but at least min; the gradient goes to input where they are equal.",
    accepts=REAL,
    samples=pairs,
)
CLAMP_MAX = pointwise(
    "clamp_max",
    _at_most,
    inputs="input max",
    saves="input max",
    slopes=(
        lambda m, g, x, high: _kept(m, g, x, None, high),
        lambda m, g, x, high: m.where(m.gt(x, high), g, m.zeros_like(g)),
    ),
    doc="input, but at most max; the gradient goes to input where they are equal.",
    accepts=REAL,
    samples=pairs,
)
CLAMP = pointwise(
    "clamp",
    lambda m, x, low, high: _at_most(m, _at_least(m, x, low), high),
    inputs="input min max",
    saves="input min max",
    slopes=(_kept, _to_low, _to_high),
    doc="input, but at least min, and then at most max.",
    accepts=REAL,
    samples=lambda random: [Sample((*s.args, np.array(0.9))) for s in pairs(random)],
)


def clamp(input: Any, min: Any = None, max: Any = None, *, out: Tensor | None = None) -> Tensor:
    """input, but at least `min` and at most `max`: numbers or tensors, one may be left out.

    Where min > max the result is max. Raises ArgumentError when neither is given.
    """
    if min is None and max is None:
        raise ArgumentError("clamp", "neither min nor max is given", hint="x.clamp(min=0)")
    op = CLAMP_MAX if min is None else CLAMP_MIN if max is None else CLAMP
    xs = operands("clamp", input, *(bound for bound in (min, max) if bound is not None))
    admit(op, xs[0])
    made = bind(op, xs)
    return made if out is None else deliver(made, out, "clamp")


clip = clamp


def clamp_min(input: Any, min: Any) -> Tensor:
    """input, but at least `min`."""
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Tensor:
    """input, but at most `max`."""
    return clamp(input, max=max)


# ---- whole comparisons


def isclose(
    input: Tensor, other: Any, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """Where |input - other| <= atol + rtol * |other|, or both are equal."""
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise ArgumentError("isclose", f"{name} is {value}", hint=f"{name} >= 0")
    x, y = operands("isclose", input, other)
    near = eq(x, y)
    if equal_nan and x.dtype.kind in "fc":
        near = logical_or(near, logical_and(ne(x, x), ne(y, y)))
    if x.dtype is dtypes.bool_:
        return near
    allowed = add(mul(abs(y), rtol), atol)
    distance = abs(sub(x, y))
    return logical_or(near, logical_and(isfinite(distance), le(distance, allowed)))


def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether `isclose` holds everywhere."""
    return _everywhere(isclose(input, other, rtol, atol, equal_nan))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    return input.array.shape == other.array.shape and _everywhere(eq(input, other))


def _everywhere(x: Tensor) -> bool:
    """Whether all elements are true; in a graph, a bool that a run knows."""
    plain = type(x.array) is np.ndarray and mode.interpreter is None
    if mode.capture is None and not plain:
        return bool(x.array.all())
    return x.all().item()  # type: ignore[attr-defined, no-any-return]


def _nan_to_num(m: Any, x: Any, *, nan: float, posinf: float, neginf: float) -> Any:
    finite = m.where(m.eq(x, -np.inf), neginf, m.where(m.ne(x, x), nan, x))
    return m.where(m.eq(x, np.inf), posinf, finite)


NAN_TO_NUM = pointwise(
    "nan_to_num",
    _nan_to_num,
    attrs=("nan", "posinf", "neginf"),
    doc="input with NaN and the infinities replaced.",
    samples=lambda random: [
        s._replace(args=(*s.args, 0.5, 9.0, -9.0)) for s in hard_singles(random)
    ],
)


def nan_to_num(
    input: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """input with NaN replaced, and infinities by what is given or the largest finite numbers."""
    if input.dtype.kind in "bui":
        return input.clone()  # type: ignore[attr-defined, no-any-return]
    largest = largest_of(input.dtype)
    low = -largest if neginf is None else neginf
    return bind(NAN_TO_NUM, (input,), (nan, largest if posinf is None else posinf, low))  # type: ignore[no-any-return]


def largest_of(dtype: dtypes.DType) -> float:
    """The largest finite number of a floating type."""
    if dtype is dtypes.bfloat16:
        return 3.3895313892515355e38
    return float(np.finfo(dtype.to_real().numpy).max)


HEAVISIDE = define(
    "heaviside",
    inputs="input values",
    doc="0 below 0 and for NaN, 1 above, and values at 0.",
    accepts=REAL,
    infer=lambda x, y: Type(broadcast("heaviside", input=x, values=y), x.dtype),
    ref=lambda x, y: np.where(x == 0, y, x > 0).astype(x.dtype),
    lower=lambda f, x, y: scalars.compare("eq", x, 0).select(
        y, scalars.compare("gt", x, 0).select(f.const(x.type, 1), 0)
    ),
    samples=ties,
)
heaviside = also_named(values="other")(binary(HEAVISIDE))


guard(globals())
