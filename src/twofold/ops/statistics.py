"""Products, extremes with their places, moments and norms. Floor 4."""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError, kind_of
from twofold.base.records import NamedTuple
from twofold.base.types import Type
from twofold.ops import compare
from twofold.ops.bind import bind, mode
from twofold.ops.compare import eq, ne, where
from twofold.ops.complexes import real
from twofold.ops.elementwise import SQUARE, abs, add, cast, conj, mul, square, sub, true_divide
from twofold.ops.formula import pointwise
from twofold.ops.gather import GATHER
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.movement import expand, permute, reshape
from twofold.ops.op import FLOAT, INEXACT, Sample, define
from twofold.ops.order import reduce_in_order
from twofold.ops.reduce import (
    ATTRS,
    amax,
    amin,
    check_extent,
    countable,
    extent,
    floating,
    mean,
    reduce_samples,
    restore,
    shape_rule,
    sum,
)
from twofold.ops.rules import (
    NUMBERS,
    as_tensor,
    axes_of,
    axis_of,
    axis_too,
    constant,
    deliver,
    reduced,
)
from twofold.ops.samples import hard_singles, within
from twofold.ops.sorting import cumprod
from twofold.ops.tensor import Tensor, returned, type_of
from twofold.ops.transcendental import exp, log, pow

__all__ = [
    "aminmax",
    "diff",
    "logsumexp",
    "max",
    "min",
    "norm",
    "prod",
]
__all__ += ["std", "std_mean", "trace", "var", "var_mean"]


class Chosen(NamedTuple):
    """Extreme (or middle) elements along an axis, and where they stood (i64)."""

    values: Tensor
    indices: Tensor


class Range(NamedTuple):
    """The smallest and the largest elements."""

    min: Tensor
    max: Tensor


_Range = returned(Range, "aminmax")
_KINDS = {name: returned(Chosen, name) for name in ("max", "min")}


# ---- products


def _prod(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    if x.dtype.kind in "bui":
        return np.prod(x, axis=dim, keepdims=keepdim, dtype=np.int64)
    return reduce_in_order(x, dim, keepdim, np.multiply, 1).astype(x.dtype, copy=False)


def _prod_vjp(g: Tensor, out: Tensor, x: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    wide, out, x = restore(g, x, dim, keepdim), conj(out), conj(x)
    if mode.grad:
        return (mul(wide, _others(x, dim)),)
    # without zeros out / x; one zero takes it all; of two, none gets any
    zero = eq(x, 0)
    filled = where(zero, 1, x)
    rest = restore(bind(PROD, (filled,), (dim, keepdim)), x, dim, keepdim)
    count = restore(sum(zero, dim, keepdim), x, dim, keepdim)
    alone = where(zero, eq(count, 1), eq(count, 0))
    return (where(alone, mul(wide, true_divide(rest, filled)), 0),)


def _others(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """For each element the product of the others, without a division: differentiable at zeros."""
    kept = [axis for axis in range(x.array.ndim) if axis not in dim]
    order = (*kept, *dim)
    turned = x.permute(order)  # type: ignore[attr-defined]
    shape = turned.array.shape
    rows = reshape(turned, (*shape[: len(kept)], extent(x.array, dim)))
    after = cumprod(_shifted(rows.flip(-1)), -1).flip(-1)  # type: ignore[attr-defined]
    both = mul(cumprod(_shifted(rows), -1), after)
    return reshape(both, shape).permute(tuple(np.argsort(order).tolist()))  # type: ignore[attr-defined, no-any-return]


def _shifted(rows: Tensor) -> Tensor:
    """A one, and the rows without their last elements."""
    size = rows.array.shape[-1]
    if not size:
        return rows
    one = expand(constant(1, rows.dtype), (*rows.array.shape[:-1], 1))
    return cat([one, rows.narrow(-1, 0, size - 1)], -1)  # type: ignore[attr-defined]


def _factors(random: Any) -> list[Sample]:
    return [
        s._replace(args=(s.args[0] * 0.3 + 1, *s.args[1:]))
        for s in reduce_samples(random)
        if s.args[0].size < 1000
    ] + [
        Sample((np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0], [1.0, 2.0, 3.0]]), (1,), False)),
    ]


PROD = define(
    "prod",
    attrs=ATTRS,
    doc="The product over axes; bools and whole numbers are multiplied in int64.",
    infer=shape_rule(countable),
    ref=_prod,
    vjp=_prod_vjp,
    saves="x out",
    lower="prod",
    samples=_factors,
    torch=lambda x, dim, keepdim: _torch_prod(x, dim, keepdim),
)


def _torch_prod(x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    """The same in PyTorch, axis by axis, for the tests."""
    made = x
    for axis in reversed(dim):
        made = made.prod(axis, keepdim)
    return made if dim else x.prod()


@axis_too
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over the axes `dim` (all, if None)."""
    x = as_tensor(input, "prod")
    if dtype is not None:
        x = cast(x, dtypes.as_dtype(dtype))
    made: Tensor = bind(PROD, (x,), (axes_of("prod", dim, x), bool(keepdim)))
    return made if dtype is None else cast(made, x.dtype)


# ---- extremes with their places


def _ranked(name: str, all_of: Any, place_of: str, larger: Any, word: str) -> Callable[..., Any]:
    kind = _KINDS[name]

    def extreme(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
        if other is None and isinstance(dim, Tensor):
            dim, other = None, dim
        if other is not None:
            return larger(input, other)
        if not isinstance(input, Tensor) and isinstance(input, NUMBERS):
            hint = f"builtins.{name} of numbers, or twofold.tensor(...)"
            raise DTypeError(name, f"input is {kind_of(input)}, not a tensor", hint=hint)
        x = as_tensor(input, name)
        if dim is None:
            return all_of(x, None, keepdim)
        axis = axis_of(name, dim, x)
        if not x.array.ndim:
            return kind(x.clone(), constant(0, dtypes.int64))  # type: ignore[attr-defined]
        plain = cast(x, dtypes.uint8) if x.dtype is dtypes.bool_ else x
        places = getattr(plain, place_of)(axis, True)  # the method is machine code, if there is any
        return chosen_at(kind, x, axis, places, keepdim)

    extreme.__name__ = extreme.__qualname__ = name
    extreme.__doc__ = f"""The {word} element of all; with `dim` (values, indices) along it.

    With another tensor the {word} of both, element by element."""
    return axis_too(extreme)


def chosen_at(kind: type[Chosen], x: Tensor, axis: int, places: Tensor, keepdim: bool) -> Chosen:
    values = bind(GATHER, (x, places), (axis,))
    if keepdim:
        return kind(values, places)
    shape = places.array.shape[:axis] + places.array.shape[axis + 1 :]
    return kind(reshape(values, shape), reshape(places, shape))


max = _ranked("max", amax, "argmax", compare.maximum, "largest")
min = _ranked("min", amin, "argmin", compare.minimum, "smallest")


@axis_too
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Range:
    """(min, max) over all elements or along `dim`."""
    return _Range(amin(input, dim, keepdim), amax(input, dim, keepdim))


# ---- moments


def _moments(x: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> tuple[Any, Any]:
    """Two passes: the mean, then the mean square distance from it; in float32 for half types."""
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    count = extent(x, dim)
    mean = reduce_in_order(wide, dim, True, np.add, 0) / wide.dtype.type(count)
    away = wide - mean
    squares = (away * away.conj()).real
    total = reduce_in_order(squares, dim, keepdim, np.add, 0)
    largest = total.dtype.type(builtins.max(0, count - correction))
    return np.asarray(total / largest), mean.reshape(total.shape).astype(x.dtype, copy=False)


def _real(x: Type) -> dtypes.DType:
    return x.dtype.to_real()


def _var(x: Any, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    made = _moments(x, dim, keepdim, correction)[0]
    return made.astype(np.float16) if x.dtype == np.float16 else made


def _var_slope(
    g: Tensor, x: Tensor, dim: tuple[int, ...], keepdim: bool, correction: float
) -> Tensor:
    count = extent(x, dim)
    away = sub(x, mean(x, dim, True) if dim else x)
    factor = true_divide(g, builtins.max(0, count - correction) / 2)
    return mul(restore(factor, x, dim, keepdim), away)


def _var_samples(random: Any) -> list[Sample]:
    made = [s for s in reduce_samples(random) if s.args[0].size]
    counts = [extent(s.args[0], s.args[1]) for s in made]
    return [
        Sample((*s.args, c), smooth=n > c)
        for c in (1, 0, 1.5)
        for s, n in zip(made, counts, strict=True)
    ]


VAR = define(
    "var",
    attrs=(*ATTRS, "correction"),
    doc="The mean square distance from the mean over axes, divided by n - correction.",
    accepts=INEXACT,
    infer=shape_rule(_real),
    ref=_var,
    vjp=lambda g, out, x, *, dim, keepdim, correction: (
        _var_slope(g, x, dim, keepdim, correction),
    ),
    saves="x",
    lower="var",
    samples=_var_samples,
    torch=lambda x, dim, keepdim, c: _quiet_var(x.var, dim, keepdim, c),
)


def _quiet_var(method: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    """The same in PyTorch without its warning on too few elements, for the tests."""
    with warnings.catch_warnings(action="ignore"):
        return method(dim, correction=correction, keepdim=keepdim)


def _var_mean(x: Any, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    var, middle = _moments(x, dim, keepdim, correction)
    return var.astype(x.real.dtype, copy=False), middle


def _var_mean_vjp(
    g: Any, out: Any, x: Tensor, *, dim: tuple[int, ...], keepdim: bool, correction: float
) -> Any:
    by_var = None if g[0] is None else _var_slope(g[0], x, dim, keepdim, correction)
    if g[1] is None:
        return (by_var,)
    by_mean = restore(true_divide(g[1], extent(x, dim)), x, dim, keepdim)
    return (by_mean if by_var is None else add(by_var, by_mean),)


def _both_types(x: Type, *, dim: Any, keepdim: bool, correction: float) -> tuple[Type, Type]:
    shape = reduced(x.shape, dim, keepdim)
    return Type(shape, x.dtype.to_real()), Type(shape, x.dtype)


VAR_MEAN = define(
    "var_mean",
    attrs=(*ATTRS, "correction"),
    doc="The variance over axes, and the mean.",
    accepts=INEXACT,
    infer=_both_types,
    ref=_var_mean,
    vjp=_var_mean_vjp,
    saves="x",
    outputs=2,
    lower="var_mean",
    samples=_var_samples,
    torch=False,
)


def _spread(
    name: str, input: Any, dim: Any, unbiased: Any, keepdim: bool, correction: Any
) -> tuple[Tensor, tuple[Any, ...]]:
    """The operand and attributes of var and std, in any of PyTorch's ways to call them."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    x = floating(name, input)
    return x, (axes_of(name, dim, x), bool(keepdim), correction)


def _moment(
    name: str, doc: str, finish: Callable[[Tensor, tuple[Any, ...]], Any]
) -> Callable[..., Any]:
    def moment(
        input: Any,
        dim: Any = None,
        unbiased: bool | None = None,
        keepdim: bool = False,
        *,
        correction: float | None = None,
    ) -> Any:
        x, attrs = _spread(name, input, dim, unbiased, keepdim, correction)
        return finish(x, attrs)

    moment.__name__ = moment.__qualname__ = name
    moment.__doc__ = f"""{doc} over the axes `dim` (all, if None), divided by n - correction.

    correction is 1 unless given; unbiased=False is PyTorch's older word for 0."""
    return axis_too(moment)


def _root_slope(m: Any, g: Any, y: Any) -> Any:
    return m.where(m.eq(y, 0.0), 0.0, g / (y + y))


# Where a spread or a norm is 0 it has no slope; 0 serves better than NaN there.
ROOT = pointwise(
    "root",
    lambda m, x: m.sqrt(x),
    saves="out",
    slopes=(_root_slope,),
    doc="The square root, whose gradient at 0 is 0.",
    samples=within(0.3, 3),
    torch="sqrt",
)


def _std(x: Tensor, attrs: tuple[Any, ...]) -> Tensor:
    return bind(ROOT, (bind(VAR, (x,), attrs),))  # type: ignore[no-any-return]


def _std_and_mean(x: Tensor, attrs: tuple[Any, ...]) -> tuple[Tensor, Tensor]:
    var, middle = bind(VAR_MEAN, (x,), attrs)
    return bind(ROOT, (var,)), middle


var = _moment("var", "The mean square distance from the mean", lambda x, a: bind(VAR, (x,), a))
std = _moment("std", "The square root of the variance", _std)
var_mean = _moment("var_mean", "(variance, mean)", lambda x, a: bind(VAR_MEAN, (x,), a))
std_mean = _moment("std_mean", "(standard deviation, mean)", _std_and_mean)


# ---- norms


def _safe_power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent, with no gradient where x is 0."""
    zero = eq(x, 0)
    there = 0 if exponent > 0 else math.inf
    return where(zero, there, pow(where(zero, 1, x), exponent))  # type: ignore[no-any-return]


PRESENT = pointwise(
    "present",
    lambda m, x: m.where(m.eq(x, 0.0), m.zeros_like(x), m.zeros_like(x) + 1.0),
    saves="",
    slopes=(lambda m, g: m.zeros_like(g),),
    doc="1 where input is not zero, else 0; the gradient is 0.",
    samples=hard_singles,
    torch=lambda x: (x != 0).to(x.dtype),
)


def _power_norm(x: Tensor, p: float, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    size = abs(x)
    return _safe_power(sum(_safe_power(size, p) if p < 1 else pow(size, p), dim, keepdim), 1 / p)


def _euclidean(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    return np.sqrt(reduce_in_order(np.square(x), dim, keepdim, np.add, 0)).astype(x.dtype)


def _euclidean_vjp(
    g: Tensor, out: Tensor, x: Tensor, *, dim: tuple[int, ...], keepdim: bool
) -> Any:
    """By the rules of the three operations that it is: the same bits."""
    slope: Any = ROOT.vjp
    by_square: Any = SQUARE.vjp
    spread = restore(slope(g, out, x)[0], x, dim, keepdim)
    return by_square(spread, None, x)


EUCLIDEAN = define(
    "euclidean_norm",
    attrs=ATTRS,
    doc="The square root of the sum of squares over axes: root(sum(square(x))), bit for bit.",
    accepts=FLOAT,
    infer=shape_rule(lambda x: x.dtype),
    ref=_euclidean,
    vjp=_euclidean_vjp,
    saves="x out",
    lower="euclidean_norm",
    samples=lambda r: [s for s in reduce_samples(r) if s.args[0].size],
    torch=lambda x, dim, keepdim: x.square().sum(dim, keepdim).sqrt(),
)


def _square_norm(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    if mode.capture is None and x.dtype in (dtypes.float32, dtypes.float64):
        # a graph has the three, which are fused with what comes before and after
        return bind(EUCLIDEAN, (x,), (dim, keepdim))  # type: ignore[no-any-return]
    squares = square(x) if x.dtype.kind != "c" else square(abs(x))
    return bind(ROOT, (sum(squares, dim, keepdim),))  # type: ignore[no-any-return]


NORMS: dict[float, Callable[..., Tensor]] = {
    2.0: _square_norm,
    1.0: lambda x, dim, keepdim: sum(abs(x), dim, keepdim),
    0.0: lambda x, dim, keepdim: sum(bind(PRESENT, (abs(x),)), dim, keepdim),
    math.inf: lambda x, dim, keepdim: amax(abs(x), dim, keepdim),
    -math.inf: lambda x, dim, keepdim: amin(abs(x), dim, keepdim),
}


# By name, (x, two axes, keepdim) -> norm: those that need decompositions, entered by matrix.py.
MATRIX_NORMS: dict[str, Callable[..., Tensor]] = {}


@axis_too
def norm(
    input: Tensor,
    p: Any = "fro",
    dim: Any = None,
    keepdim: bool = False,
    out: Any = None,
    dtype: Any = None,
) -> Tensor:
    """(sum |input|**p) ** (1 / p) over the axes `dim` (all, if None); "fro" is p = 2.

    "nuc" is the sum of a matrix's singular values; p = inf and -inf are the largest and the
    smallest size, p = 0 counts what is not zero.
    """
    x = floating("norm", input, dtype)
    if p is None or p == "fro":
        p = 2.0
    axes = axes_of("norm", dim, x)
    if isinstance(p, str):
        if p not in MATRIX_NORMS:
            hint = "a number, 'fro' or 'nuc'; linalg.matrix_norm"
            raise ArgumentError("norm", f"p is {p!r}", hint=hint)
        made = MATRIX_NORMS[p](x, axes if dim is None else dim, keepdim)
        return made if out is None else deliver(made, out, "norm")
    if type(p) in (int, float) and p < 0:
        check_extent("norm", x, axes)  # the smallest of nothing
    if p in NORMS:
        made = NORMS[p](x, axes, keepdim)
    elif x.dtype in (dtypes.float16, dtypes.bfloat16):  # whose powers are soon too large for them
        made = cast(_power_norm(cast(x, dtypes.float32), p, axes, keepdim), x.dtype)
    else:
        made = _power_norm(x, p, axes, keepdim)
    return made if out is None else deliver(made, out, "norm")


# ---- log of a sum of exponentials


def neighbours(axes: tuple[int, ...]) -> bool:
    """Whether axes, in ascending order, have no other between them."""
    return not axes or axes[-1] - axes[0] == len(axes) - 1


def _logsumexp(x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    top = np.max(wide, axis=dim, keepdims=True, initial=-np.inf)
    top = np.where(np.isinf(top), 0, top).astype(wide.dtype)
    total = reduce_in_order(np.exp(wide - top), dim, True, np.add, 0)
    made = (np.log(total) + top).astype(x.dtype)
    return made.reshape(reduced(x.shape, dim, keepdim))


def _logsumexp_vjp(
    g: Tensor, out: Tensor, x: Tensor, *, dim: tuple[int, ...], keepdim: bool
) -> Any:
    below = restore(where(eq(out, -math.inf), 0, out), x, dim, keepdim)
    return (mul(restore(g, x, dim, keepdim), exp(sub(x, below))),)


LOGSUMEXP = define(
    "logsumexp",
    attrs=ATTRS,
    doc="log(sum(exp(x))) over axes, without overflow.",
    accepts="f",
    infer=shape_rule(lambda x: x.dtype),
    ref=_logsumexp,
    vjp=_logsumexp_vjp,
    saves="x out",
    lower="logsumexp",
    samples=lambda random: [
        *(s for s in reduce_samples(random) if neighbours(s.args[1])),
        Sample((np.array([[-np.inf, -np.inf], [np.inf, 1.0]]), (1,), False), smooth=False),
    ],
    torch=lambda x, dim, keepdim: x.logsumexp(dim, keepdim) if dim else x.clone(),
)


@axis_too
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over the axes `dim`, without overflow."""
    x = as_tensor(input, "logsumexp")
    if x.dtype.kind in "bui":
        x = cast(x, dtypes.default_dtype())
    if x.dtype.is_complex:
        if not x.array.size:
            return log(sum(exp(x), dim, keepdim))
        highest = amax(real(x).detach(), dim, True)  # type: ignore[attr-defined]
        highest = where(eq(abs(highest), math.inf), 0.0, highest)
        made = log(sum(exp(sub(x, highest)), dim, keepdim))
        return add(made, highest if keepdim else reshape(highest, made.array.shape))
    axes = axes_of("logsumexp", dim, x)
    if neighbours(axes):
        return bind(LOGSUMEXP, (x,), (axes, bool(keepdim)))  # type: ignore[no-any-return]
    kept = [axis for axis in range(x.array.ndim) if axis not in axes]
    turned = permute(x, (*kept, *axes))
    made = bind(LOGSUMEXP, (turned,), (tuple(range(len(kept), x.array.ndim)), False))
    return reshape(made, reduced(x.array.shape, axes, keepdim))


# ---- along a diagonal, and between neighbours


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal."""
    if input.array.ndim != 2:
        raise ShapeError("trace", "a matrix is wanted", input=type_of(input))
    return sum(input.diagonal())  # type: ignore[attr-defined]


@axis_too
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None
) -> Tensor:
    """The differences of neighbours along `dim`, n times over; of bools, where they change."""
    axis = axis_of("diff", dim, input)
    if n < 0:
        raise ArgumentError("diff", f"{n} times", hint="n >= 0", input=type_of(input))
    if n == 0:
        return input.clone()  # type: ignore[attr-defined, no-any-return]
    x = cat([part for part in (prepend, input, append) if part is not None], axis)
    for _ in range(n):
        size = builtins.max(x.array.shape[axis] - 1, 0)
        before = x.narrow(axis, 0, size)  # type: ignore[attr-defined]
        after = x.narrow(axis, x.array.shape[axis] - size, size)  # type: ignore[attr-defined]
        x = ne(after, before) if x.dtype is dtypes.bool_ else sub(after, before)
    return x


guard(globals())
