"""Sums, products, means and spreads over axes. Floor 4. Their order is the contract's (DESIGN.md, N3)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.compare import where
from twofold.ops.elementwise import abs, cast, conj, mul, real_part, sqrt, square, sub, true_divide
from twofold.ops.movement import expand, reshape
from twofold.ops.op import INEXACT, NUMBER, Sample, define
from twofold.ops.rules import admit, as_tensor, axes_of, reduced
from twofold.ops.tensor import Tensor, wrap
from twofold.ops.transcendental import pow

__all__ = ["count_nonzero", "mean", "nanmean", "nansum", "norm", "prod", "std", "std_mean", "sum", "var", "var_mean"]


def reduce_samples(random: Any) -> list[Sample]:
    """(x, axes, keepdim) over every kind of axis set, sizes 0 and 1 included."""
    cases = [((3, 4), (0, 1), False), ((3, 4), (1,), True), ((2, 3, 4), (0, 2), False), ((5,), (0,), False)]
    cases += [((), (), False), ((3, 0), (0,), False), ((1, 4), (0,), True), ((40, 70), (0,), False)]
    return [Sample((random.normal(size=shape), axes, keepdim)) for shape, axes, keepdim in cases]


def restore(g: Tensor, x: Any, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """A gradient of a reduction's result, repeated back to the shape of its input."""
    return expand(g if keepdim else reshape(g, reduced(x.shape, dim, True)), x.shape)


def extent(x: Any, dim: tuple[int, ...]) -> int:
    """How many elements are reduced to one."""
    return math.prod(x.shape[d] for d in dim)


SUM = define(
    "sum",
    attrs=("dim", "keepdim"),
    doc="The sum over axes.",
    accepts=NUMBER,
    infer=lambda x, *, dim, keepdim: Type(reduced(x.shape, dim, keepdim), x.dtype),
    ref=lambda x, *, dim, keepdim: np.sum(x, axis=dim, keepdims=keepdim, dtype=x.dtype),
    vjp=lambda g, out, x, *, dim, keepdim: (restore(g, x, dim, keepdim),),
    lower="sum",
    samples=reduce_samples,
    torch=lambda x, dim, keepdim: x.sum(dim, keepdim, dtype=x.dtype) if dim else x.clone(),
)


def _countable(op: str, input: Any, dtype: Any) -> Tensor:
    """Integers and bools are added up in i64, as in PyTorch, unless a type is asked for."""
    x = as_tensor(input, op)
    if dtype is not None:
        return cast(x, dtypes.as_dtype(dtype))
    return cast(x, dtypes.int64) if x.dtype.kind in "bui" else x


def sum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over the axes `dim` (all, if None). Integers and bools sum in i64, as in PyTorch."""
    x = _countable("sum", input, dtype)
    return bind(SUM, (x,), (axes_of("sum", dim, x), bool(keepdim)))


def _prod_vjp(g: Tensor, out: Tensor, x: Tensor, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    wide = restore(g, x, dim, keepdim)
    if (x.array == 0).any():
        return (mul(wide, conj(_others(x, dim))),)
    return (mul(wide, conj(true_divide(restore(out, x, dim, keepdim), x))),)


def _others(x: Tensor, dim: tuple[int, ...]) -> Tensor:
    """For each element the product of the others along the axes: right where some are 0 too."""
    rest = tuple(d for d in range(x.array.ndim) if d not in dim)
    flat = reshape(x.permute((*rest, *dim)), (-1, extent(x, dim)))  # type: ignore[attr-defined]
    count = flat.array.shape[1]
    eye = wrap(np.eye(count, dtype=np.bool_))
    many = expand(reshape(flat, (-1, 1, count)), (flat.array.shape[0], count, count))
    made = bind(PROD, (where(eye, wrap(np.ones((), x.array.dtype)), many),), ((2,), False))
    shape = tuple(x.array.shape[d] for d in (*rest, *dim))
    back = np.argsort((*rest, *dim)).tolist()
    return reshape(made, shape).permute(back)  # type: ignore[attr-defined, no-any-return]


PROD = define(
    "prod",
    attrs=("dim", "keepdim"),
    doc="The product over axes.",
    accepts=NUMBER,
    infer=lambda x, *, dim, keepdim: Type(reduced(x.shape, dim, keepdim), x.dtype),
    ref=lambda x, *, dim, keepdim: np.prod(x, axis=dim, keepdims=keepdim, dtype=x.dtype),
    vjp=_prod_vjp,
    saves="x out",
    lower="prod",
    samples=lambda r: [
        Sample((r.uniform(0.5, 1.5, (3, 4)), (1,), False)),
        Sample((np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 1.0]]), (1,), True)),
        Sample((r.uniform(0.5, 1.5, (2, 3)), (0, 1), False)),
        Sample((r.normal(size=(3, 0)), (1,), False)),
    ],
    torch=False,
)


def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over `dim` (all axes, if None). Integers and bools multiply in i64."""
    x = _countable("prod", input, dtype)
    return bind(PROD, (x,), (axes_of("prod", dim, x), bool(keepdim)))


def _mean_vjp(g: Tensor, out: Any, x: Any, *, dim: tuple[int, ...], keepdim: bool) -> Any:
    return (restore(true_divide(g, float(extent(x, dim))), x, dim, keepdim),)


MEAN = define(
    "mean",
    attrs=("dim", "keepdim"),
    doc="The mean over axes: the sum, divided once.",
    accepts=INEXACT,
    infer=lambda x, *, dim, keepdim: Type(reduced(x.shape, dim, keepdim), x.dtype),
    ref=lambda x, *, dim, keepdim: _mean(x, dim, keepdim),
    vjp=_mean_vjp,
    lower="mean",
    samples=reduce_samples,
    torch=lambda x, dim, keepdim: x.mean(dim, keepdim) if dim else x.clone(),
)


def _mean(x: Any, dim: tuple[int, ...], keepdim: bool) -> Any:
    total = np.sum(x, axis=dim, keepdims=keepdim, dtype=x.dtype)
    return (total / np.asarray(extent(x, dim), x.real.dtype)).astype(x.dtype)


def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean over `dim` (all axes, if None). Raises DTypeError for integers: say x.float().mean()."""
    x = as_tensor(input, "mean")
    x = admit(MEAN, x if dtype is None else cast(x, dtypes.as_dtype(dtype)))
    return bind(MEAN, (x,), (axes_of("mean", dim, x), bool(keepdim)))


def _var(x: Any, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    centre = x - np.mean(x, axis=dim, keepdims=True, dtype=x.dtype)
    total = np.sum((centre * centre.conj()).real, axis=dim, keepdims=keepdim)
    divisor = np.asarray(max(extent(x, dim) - correction, 0), total.dtype)
    return total / divisor


def _var_vjp(g: Tensor, out: Any, x: Tensor, *, dim: tuple[int, ...], keepdim: bool, correction: float) -> Any:
    centre = sub(x, mean(x, dim, True)) if dim else sub(x, x)
    count = extent(x, dim)
    factor = 2.0 / (count - correction) if count > correction else math.nan
    return (mul(mul(restore(g, x, dim, keepdim), centre), factor),)


VAR = define(
    "var",
    attrs=("dim", "keepdim", "correction"),
    doc="The mean squared distance from the mean, divided by n - correction; two passes.",
    accepts=INEXACT,
    infer=lambda x, *, dim, keepdim, correction: Type(reduced(x.shape, dim, keepdim), x.dtype.to_real()),
    ref=lambda x, *, dim, keepdim, correction: _var(x, dim, keepdim, correction),
    vjp=_var_vjp,
    saves="x",
    lower="var",
    samples=lambda r: [
        Sample((r.normal(size=(3, 4)), (1,), False, 1.0)),
        Sample((r.normal(size=(3, 4)), (0, 1), True, 0.0)),
        Sample((r.normal(size=(5, 6, 2)), (0, 2), False, 1.0)),
    ],
    torch=lambda x, dim, keepdim, correction: x.var(dim, correction=correction, keepdim=keepdim),
)


def _spread_options(dim: Any, unbiased: Any, correction: Any) -> tuple[Any, float]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None:
        return dim, 1.0 if unbiased else 0.0
    return dim, 1.0 if correction is None else float(correction)


def var(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """The variance over `dim`; divided by n - correction (1 if not given)."""
    x = admit(VAR, as_tensor(input, "var"))
    dim, by = _spread_options(dim, unbiased, correction)
    return bind(VAR, (x,), (axes_of("var", dim, x), bool(keepdim), by))


def std(input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None) -> Tensor:
    """The standard deviation over `dim`: the root of `var`."""
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over `dim`."""
    axes = None if isinstance(dim, bool) else dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, axes, keepdim)


def std_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over `dim`."""
    spread, middle = var_mean(input, dim, unbiased, keepdim, correction=correction)
    return sqrt(spread), middle


def norm(input: Any, p: Any = 2.0, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The p-norm over `dim` (all axes, if None): sum(|x|^p)^(1/p); inf, -inf, 0 and "fro" have their meanings."""
    x = as_tensor(input, "norm")
    x = admit(MEAN, x if dtype is None else cast(x, dtypes.as_dtype(dtype)))
    if p == "fro" or p is None:
        p = 2.0
    if isinstance(p, str):
        raise ArgumentError("norm", f"p={p!r} is not known", hint="a number, or 'fro'")
    size = abs(x)
    if p == math.inf:
        return size.amax(dim, keepdim)  # type: ignore[attr-defined, no-any-return]
    if p == -math.inf:
        return size.amin(dim, keepdim)  # type: ignore[attr-defined, no-any-return]
    if p == 0:
        return sum(cast(size != 0, size.dtype), dim, keepdim)  # type: ignore[arg-type]
    if p == 1:
        return sum(size, dim, keepdim)
    if p == 2:
        squares = square(x) if x.dtype.kind == "f" else real_part(mul(x, conj(x)))
        return _root(sum(squares, dim, keepdim))
    return pow(sum(pow(size, p), dim, keepdim), 1.0 / p)


ROOT = define(
    "norm_root",
    doc="The square root, whose gradient at 0 is taken as 0: a norm has a subgradient there.",
    accepts=INEXACT,
    infer=lambda x: x,
    ref=np.sqrt,
    vjp=lambda g, out, x: (where(out == 0, mul(g, 0.0), true_divide(mul(g, 0.5), out)),),
    saves="out",
    lower=lambda f, x: f.sqrt(x),
    samples=lambda r: [Sample((r.uniform(0.5, 2, (3, 4)),))],
    torch=lambda x: x.sqrt(),
)


def _root(x: Tensor) -> Tensor:
    return bind(ROOT, (x,))


def nansum(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum of the elements that are not NaN."""
    x = as_tensor(input, "nansum")
    return sum(where(x != x, 0, x), dim, keepdim, dtype=dtype)


def nanmean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of the elements that are not NaN."""
    x = as_tensor(input, "nanmean")
    count = sum(cast(x == x, x.dtype), dim, keepdim)  # type: ignore[arg-type]
    return true_divide(nansum(x, dim, keepdim, dtype=dtype), count)


def count_nonzero(input: Any, dim: Any = None) -> Tensor:
    """How many elements are not 0."""
    x = as_tensor(input, "count_nonzero")
    return sum(cast(x, dtypes.bool_), dim)
