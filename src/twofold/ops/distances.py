"""Distances between vectors, spreads of many of them, and areas under them. Floor 4."""

from __future__ import annotations

from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.ops import compare
from twofold.ops.bind import bind, mode
from twofold.ops.compare import where
from twofold.ops.elementwise import add, cast, conj, mul, real_part, square, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, reshape, transpose
from twofold.ops.reduce import mean
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import as_tensor, axis_of, axis_too, broadcast, operands
from twofold.ops.sorting import cumsum
from twofold.ops.stand_in import numbers_of
from twofold.ops.statistics import ROOT, norm
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.triangles import diag, triu_indices
from twofold.ops.views import narrow, unsqueeze

__all__ = ["cdist", "corrcoef", "cov", "cumulative_trapezoid", "dist", "pdist", "renorm"]
__all__ += ["trapezoid", "trapz"]

MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = MODES[0]) -> Tensor:
    """The p-norm distance of each row of f[..., n, k] to each of f[..., m, k]: f[..., n, m].

    Euclidean distances of more than 25 rows are taken by a matrix product, as PyTorch takes them;
    compute_mode chooses otherwise. Raises ShapeError.
    """
    if compute_mode not in MODES:
        raise ArgumentError("cdist", f"compute_mode is {compute_mode!r}", hint=", ".join(MODES))
    x, y = operands("cdist", x1, x2)
    if not x.dtype.is_floating_point:
        raise DTypeError("cdist", f"{x.dtype.name} is not taken", x1=type_of(x), x2=type_of(y))
    if min(x.array.ndim, y.array.ndim) < 2 or x.array.shape[-1] != y.array.shape[-1]:
        problem = "rows of one length are wanted"
        raise ShapeError("cdist", problem, x1=type_of(x), x2=type_of(y))
    if p < 0:
        raise ArgumentError("cdist", f"p is {p}", hint="p >= 0")
    broadcast(
        "cdist",
        x1=type_of(x).with_shape(x.array.shape[:-2]),
        x2=type_of(y).with_shape(y.array.shape[:-2]),
    )
    many = max(x.array.shape[-2], y.array.shape[-2]) > 25
    if p == 2 and (compute_mode == MODES[1] or (compute_mode == MODES[0] and many)):
        return _by_product(x, y)
    away = sub(unsqueeze(x, -2), unsqueeze(y, -3))
    return norm(away, p, -1)


def _by_product(x: Tensor, y: Tensor) -> Tensor:
    """|x|^2 - 2 x y + |y|^2, which loses digits where x and y are close."""
    size_x, size_y = sum_(square(x), -1, True), sum_(square(y), -1, True)
    both = add(size_x, transpose(size_y, -1, -2))
    squares = sub(both, mul(matmul(x, transpose(y, -1, -2)), 2))
    return bind(ROOT, (compare.clamp_min(squares, 0),))  # type: ignore[no-any-return]


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norm distances of the pairs of rows of f[n, k], i < j: f[n (n - 1) / 2]."""
    if input.array.ndim != 2:
        raise ShapeError("pdist", "a matrix is wanted", input=type_of(input))
    size = input.array.shape[0]
    pairs: Any = triu_indices(size, size, 1)
    away = sub(input[pairs[0]], input[pairs[1]])  # type: ignore[index]
    return norm(away, p, -1)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of input - other."""
    return norm(sub(input, other), p)


def _check_weights(name: str, weights: Tensor, x: Tensor) -> None:
    """Refuse weights that are not one number for each observation."""
    facts: Any = {"input": type_of(x), name: type_of(weights)}
    if weights.array.shape != x.array.shape[1:]:
        raise ShapeError("cov", f"{name} is not one number for each observation", **facts)
    if (weights.dtype.kind in "ui") != (name == "fweights"):
        kind = "whole numbers" if name == "fweights" else "floating numbers"
        raise DTypeError("cov", f"{name} are {kind}", **facts)
    if mode.capture is None and (numbers_of(weights) < 0).any():
        raise ArgumentError("cov", f"{name} has a negative number", **facts)


def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariances of the rows of f[variables, observations].

    fweights: how often each observation counts; aweights: how much.
    """
    if input.array.ndim > 2:
        raise ShapeError("cov", "at most two axes are wanted", input=type_of(input))
    x = input if input.array.ndim == 2 else reshape(input, (1, -1))
    x = cast(x, dtypes.default_dtype()) if x.dtype.kind in "bui" else x
    weights = None
    for name, part in (("fweights", fweights), ("aweights", aweights)):
        if part is not None:
            _check_weights(name, part, x)
            weights = part if weights is None else mul(weights, part)
    if weights is None:
        middle = mean(x, 1, True)
        left = away = sub(x, middle)
        count: Any = max(x.array.shape[1] - correction, 0)
    else:
        total = sum_(weights)
        middle = true_divide(sum_(mul(x, weights), 1, True), total)
        away = sub(x, middle)
        left = mul(away, weights)
        if aweights is None or correction == 0:
            count = sub(total, correction)
        else:
            own = sum_(mul(weights, cast(aweights, total.dtype)))
            count = sub(total, mul(true_divide(own, total), correction))
        count = compare.clamp_min(count, 0)
    made = true_divide(matmul(left, conj(transpose(away, 0, 1))), count)
    return reshape(made, ()) if made.array.shape == (1, 1) else made


def corrcoef(input: Tensor) -> Tensor:
    """The correlations of the rows of f[variables, observations], each within -1 to 1."""
    made = cov(input)
    if not made.array.ndim:
        return true_divide(made, made)
    spread = bind(ROOT, (real_part(diag(made)),))
    scaled = true_divide(true_divide(made, unsqueeze(spread, 1)), unsqueeze(spread, 0))
    return scaled if scaled.dtype.is_complex else compare.clamp(scaled, -1, 1)


@axis_too
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """Each slice along `dim` shortened to the p-norm `maxnorm` where it is longer."""
    if input.array.ndim < 2:
        raise ShapeError("renorm", "slices need two axes or more", input=type_of(input))
    axis = axis_of("renorm", dim, input)
    others = tuple(i for i in range(input.array.ndim) if i != axis)
    sizes = norm(input, p, others, True)
    factor = where(compare.gt(sizes, maxnorm), true_divide(maxnorm, add(sizes, 1e-7)), 1.0)
    return mul(input, cast(factor, input.dtype))


def _strips(op: str, y: Tensor, x: Any, dx: float, dim: int) -> tuple[Tensor, int]:
    """The areas of the strips between neighbours along an axis."""
    axis = axis_of(op, dim, y)
    count = max(y.array.shape[axis] - 1, 0)
    both = add(narrow(y, axis, y.array.shape[axis] - count, count), narrow(y, axis, 0, count))
    if x is None:
        return mul(both, dx / 2), axis
    x = as_tensor(x, op, "x")
    if x.array.ndim == 1:
        x = reshape(x, (-1, *(1,) * (y.array.ndim - 1 - axis)))
    x = expand(x, y.array.shape)
    widths = sub(narrow(x, axis, x.array.shape[axis] - count, count), narrow(x, axis, 0, count))
    return mul(mul(both, widths), 0.5), axis


@axis_too
def trapezoid(y: Tensor, x: Any = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The area under y along `dim` by trapezoids, over places `x` or steps of `dx`."""
    strips, axis = _strips("trapezoid", y, x, dx, dim)
    return sum_(strips, axis)


trapz = trapezoid


@axis_too
def cumulative_trapezoid(y: Tensor, x: Any = None, *, dx: float = 1, dim: int = -1) -> Tensor:
    """The running area under y along `dim`."""
    strips, axis = _strips("cumulative_trapezoid", y, x, dx, dim)
    return cumsum(strips, axis)


guard(globals())
