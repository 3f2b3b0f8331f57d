"""Reductions and normalisations of the elements that a mask names, as in torch.masked. Floor 9.

The mask is bool and broadcasts to the input; what it leaves out takes no part. Without a mask these
are the plain operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops import normalize as rows
from twofold.ops import quantiles, reduce, statistics
from twofold.ops.compare import clamp_min, isfinite, isnan, logical_not, maximum, where
from twofold.ops.creation import ones
from twofold.ops.elementwise import cast, conj, mul, neg, sqrt, sub, true_divide
from twofold.ops.matrix import vector_norm
from twofold.ops.movement import expand, reshape
from twofold.ops.ranges import require
from twofold.ops.rules import axes_of, axis_of, axis_too, broadcasts
from twofold.ops.sorting import cumprod as running_product
from twofold.ops.sorting import cumsum as running_sum
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import exp, log

__all__ = ["amax", "amin", "argmax", "argmin", "cumprod", "cumsum", "log_softmax", "logaddexp"]
__all__ += ["logsumexp", "mean", "median", "norm", "normalize", "prod", "softmax", "softmin"]
__all__ += ["std", "sum", "var"]


def _wide(op: str, x: Tensor, mask: Tensor) -> Tensor:
    """The mask in x's shape."""
    if mask.dtype is not dtypes.bool_:
        raise DTypeError(op, f"mask is {mask.dtype.name}", hint="mask.bool()", mask=type_of(mask))
    if not broadcasts(mask.array.shape, x.array.shape):
        facts = {"input": type_of(x), "mask": type_of(mask)}
        raise ShapeError(op, "the mask does not broadcast to the input", **facts)
    return expand(mask, x.array.shape)


def _filled(op: str, x: Tensor, mask: Tensor | None, value: Any) -> Tensor:
    """x with a number where the mask leaves it out."""
    return x if mask is None else where(_wide(op, x, mask), x, value)


def _lowest(dtype: DType) -> Any:
    return -math.inf if dtype.kind in "fc" else int(np.iinfo(dtype.numpy).min)


def _highest(dtype: DType) -> Any:
    return math.inf if dtype.kind in "fc" else int(np.iinfo(dtype.numpy).max)


def _extreme(op: str, x: Tensor) -> None:
    if x.dtype is dtypes.bool_:
        raise DTypeError(op, "bool is not taken", hint="x.any() or x.all()", input=type_of(x))


Dims = Any


@axis_too
def sum(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The sum of the elements that the mask names; 0 of none."""
    return reduce.sum(_filled("sum", input, mask, 0), dim, keepdim, dtype=dtype)


@axis_too
def prod(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The product of the elements that the mask names; 1 of none."""
    return statistics.prod(_filled("prod", input, mask, 1), dim, keepdim, dtype=dtype)


def cumsum(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Running sums of the elements that the mask names."""
    kept = input.dtype if dtype is None else dtype
    return running_sum(_filled("cumsum", input, mask, 0), dim, dtype=kept)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
    """Running products of the elements that the mask names."""
    kept = input.dtype if dtype is None else dtype
    return running_product(_filled("cumprod", input, mask, 1), dim, dtype=kept)


def _converted(x: Tensor, dtype: Any, input: Tensor) -> Tensor:
    return cast(x, input.dtype if dtype is None else dtypes.as_dtype(dtype))


@axis_too
def amax(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The largest of the elements that the mask names; the least number of the type, of none."""
    _extreme("amax", input)
    x = _filled("amax", input, mask, _lowest(input.dtype))
    return _converted(reduce.amax(x, () if dim is None else dim, keepdim), dtype, input)


@axis_too
def amin(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The smallest of the elements that the mask names; the largest number of the type, of none."""
    _extreme("amin", input)
    x = _filled("amin", input, mask, _highest(input.dtype))
    return _converted(reduce.amin(x, () if dim is None else dim, keepdim), dtype, input)


@axis_too
def argmax(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Where the largest of the elements that the mask names stands; in input's type, as PyTorch."""
    _extreme("argmax", input)
    x = _filled("argmax", input, mask, _lowest(input.dtype))
    return _converted(reduce.argmax(x, dim, keepdim), dtype, input)


@axis_too
def argmin(
    input: Tensor,
    dim: int | None = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Where the smallest of the elements that the mask names stands; in input's type, as
    PyTorch.
    """
    _extreme("argmin", input)
    x = _filled("argmin", input, mask, _highest(input.dtype))
    return _converted(reduce.argmin(x, dim, keepdim), dtype, input)


def _count(op: str, x: Tensor, mask: Tensor | None, dim: Dims, keepdim: bool) -> Tensor:
    named = ones(x.array.shape, dtype=dtypes.bool_) if mask is None else _wide(op, x, mask)
    return reduce.sum(named, dim, keepdim)


@axis_too
def mean(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The mean of the elements that the mask names; NaN of none."""
    kind = input.dtype if dtype is None else dtypes.as_dtype(dtype)
    if kind.kind not in "fc":
        raise DTypeError("mean", f"{kind.name} is not taken", hint="dtype=twofold.float32")
    total = sum(input, dim, keepdim=keepdim, dtype=kind, mask=mask)
    return true_divide(total, _count("mean", input, mask, dim, keepdim))


@axis_too
def median(
    input: Tensor,
    dim: int = -1,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The lower median of the elements that the mask names; NaN of none, which is an error where
    the type has no NaN.
    """
    x = input if input.dtype.is_floating_point else cast(input, dtypes.float32)
    made: Tensor = quantiles.nanmedian(_filled("median", x, mask, math.nan), dim, keepdim).values
    if input.dtype.is_floating_point:
        return made
    problem = "the mask leaves nothing of a row, and there is no NaN among whole numbers"
    error = ArgumentError("median", problem, hint="input.float()", input=type_of(input))
    require(reduce.all(logical_not(isnan(made))), lambda: error)
    return _converted(made, dtype, input)


@axis_too
def logsumexp(
    input: Tensor,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """log(sum(exp(x))) of the elements that the mask names; -inf of none."""
    x = _filled("logsumexp", input, mask, _lowest(input.dtype))
    return _converted(statistics.logsumexp(x, dim, keepdim), dtype, input)


def logaddexp(
    input: Tensor,
    other: Tensor,
    *,
    dtype: Any = None,
    input_mask: Tensor | None = None,
    other_mask: Tensor | None = None,
) -> Tensor:
    """log(exp(input) + exp(other)), where an operand that its mask leaves out adds nothing."""
    if input.array.shape != other.array.shape:
        facts = {"input": type_of(input), "other": type_of(other)}
        raise ShapeError("logaddexp", "the operands have different shapes", **facts)
    x = _filled("logaddexp", input, input_mask, -math.inf)
    y = _filled("logaddexp", other, other_mask, -math.inf)
    highest = maximum(x, y).detach()  # type: ignore[attr-defined]
    highest = where(isfinite(highest), highest, 0.0)
    total = log(exp(sub(x, highest)) + exp(sub(y, highest)))
    return _converted(total + highest, dtype, input)


@axis_too
def norm(
    input: Tensor,
    ord: float | None = 2.0,
    dim: Dims = None,
    *,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The vector norm of the elements that the mask names."""
    order = 2.0 if ord is None else float(ord)
    x = _filled("norm", input, mask, math.inf if order == -math.inf else 0)
    return vector_norm(x, order, dim, keepdim, dtype=dtype)


def _spread(
    op: str,
    x: Tensor,
    dim: Dims,
    unbiased: bool | None,
    correction: float | None,
    keepdim: bool,
    dtype: Any,
    mask: Tensor | None,
) -> Tensor:
    if unbiased is not None and correction is not None:
        raise ArgumentError(op, "unbiased and correction say the same", hint="correction alone")
    least = float(correction if correction is not None else unbiased is not False)
    kind = x.dtype if dtype is None else dtypes.as_dtype(dtype)
    kind = kind if kind.kind in "fc" else dtypes.float32
    axes = axes_of(op, dim, x)
    count = _count(op, x, mask, axes, True)
    middle = true_divide(sum(x, axes, keepdim=True, dtype=kind, mask=mask), count)
    away = sub(cast(x, kind), middle)
    total = sum(mul(away, conj(away)), axes, keepdim=keepdim, mask=mask)
    count = reshape(clamp_min(sub(cast(count, kind.to_real()), least), 0.0), total.array.shape)
    return true_divide(total, count)


@axis_too
def var(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The variance of the elements that the mask names."""
    return _spread("var", input, dim, unbiased, correction, keepdim, dtype, mask)


@axis_too
def std(
    input: Tensor,
    dim: Dims = None,
    unbiased: bool | None = None,
    *,
    correction: float | None = None,
    keepdim: bool = False,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The standard deviation of the elements that the mask names."""
    return sqrt(_spread("std", input, dim, unbiased, correction, keepdim, dtype, mask))


def _rowwise(name: str, function: Callable[..., Tensor], sign: int, doc: str) -> Any:
    def along(input: Tensor, dim: int, *, dtype: Any = None, mask: Tensor | None = None) -> Tensor:
        if input.dtype.kind not in "f" and dtype is None:
            raise DTypeError(name, f"{input.dtype.name} is not taken", hint="dtype=twofold.float32")
        x = input if dtype is None else cast(input, dtypes.as_dtype(dtype))
        x = _filled(name, x if sign > 0 else neg(x), mask, -math.inf)
        return function(x, axis_of(name, dim, x))

    along.__name__ = along.__qualname__ = name
    along.__doc__ = doc
    return along


SHARES = "among the elements that the mask names along `dim`; NaN where it names none."
softmax = _rowwise("softmax", rows.softmax, 1, f"Probabilities {SHARES}")
softmin = _rowwise("softmin", rows.softmax, -1, f"Probabilities of -input {SHARES}")
log_softmax = _rowwise("log_softmax", rows.log_softmax, 1, f"Log-probabilities {SHARES}")


def normalize(
    input: Tensor,
    ord: float,
    dim: int,
    *,
    eps: float = 1e-12,
    dtype: Any = None,
    mask: Tensor | None = None,
) -> Tensor:
    """The elements that the mask names (0 the others), divided by their norm along `dim`."""
    size = norm(input, ord, dim, keepdim=True, dtype=dtype, mask=mask)
    return true_divide(_filled("normalize", input, mask, 0), clamp_min(size, eps))
