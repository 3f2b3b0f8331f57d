"""What numerical programs call now and then: few singular values, slopes of samples. Floor 4."""

from __future__ import annotations

import builtins
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.records import NamedTuple
from twofold.ops.creation import arange
from twofold.ops.decompose import qr
from twofold.ops.decompose import svd as decomposed
from twofold.ops.elementwise import cast, mul, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.linalg import matmul
from twofold.ops.movement import reshape
from twofold.ops.random import randn
from twofold.ops.reduce import mean
from twofold.ops.rules import axes_of, axis_too
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import adjoint, narrow

__all__ = ["gradient", "pca_lowrank", "svd_lowrank"]


class LowRank(NamedTuple):
    """Singular vectors as columns, and the largest singular values."""

    U: Tensor
    S: Tensor
    V: Tensor


def svd_lowrank(A: Tensor, q: int = 6, niter: int = 2, M: Any = None) -> LowRank:
    """About the q largest singular values of A f[..., m, n], with their vectors: A - M if given.

    By random projection and `niter` rounds of subspace iteration (Halko, Martinsson and Tropp 2011,
    algorithms 4.4 and 5.1); the default stream gives the numbers.
    """
    rows, columns = A.array.shape[-2:]
    if not 0 <= q <= builtins.min(rows, columns):
        problem = f"q={q} is not within 0 to {builtins.min(rows, columns)}"
        raise ArgumentError("svd_lowrank", problem, A=type_of(A))
    x = A if M is None else sub(A, M)
    if rows < columns:
        u, s, v = _tall(adjoint(x), q, niter)
        return LowRank(v, s, u)
    return LowRank(*_tall(x, q, niter))


def _tall(x: Tensor, q: int, rounds: int) -> tuple[Tensor, Tensor, Tensor]:
    drawn: Any = randn(x.array.shape[-1], q, dtype=x.dtype)
    basis = qr(matmul(x, drawn)).Q
    for _ in range(rounds):
        basis = qr(matmul(adjoint(x), basis)).Q
        basis = qr(matmul(x, basis)).Q
    u, s, vh = decomposed(matmul(adjoint(basis), x), False)
    return matmul(basis, u), s, adjoint(vh)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> LowRank:
    """`svd_lowrank` of A f[..., m, n] less the means of its columns: V holds the principal
    directions.
    """
    few = builtins.min(6, *A.array.shape[-2:]) if q is None else q
    return svd_lowrank(sub(A, mean(A, -2, True)) if center else A, few, niter)


@axis_too
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """Slopes of samples along axes, by central differences of second order; one result per axis.

    spacing      a number, one for each axis, or coordinates f[n] for each axis
    edge_order   1 or 2, the order of the one-sided differences at both ends
    """
    x, spacing = input, 1 if spacing is None else spacing
    if not (x.dtype.is_floating_point or x.dtype.is_complex):
        x = cast(x, dtypes.default_dtype())
    axes = axes_of("gradient", dim, x)
    if edge_order not in (1, 2):
        raise ArgumentError("gradient", f"edge_order {edge_order}", hint="1 or 2")
    given = list(spacing) if isinstance(spacing, tuple | list) else [spacing] * len(axes)
    if len(given) != len(axes):
        problem = f"{len(given)} spacings for {len(axes)} axes"
        raise ArgumentError("gradient", problem, hint="a number, or one for each axis of dim")
    for axis in axes:
        if x.array.shape[axis] < edge_order + 1:
            problem = f"axis {axis} has fewer than {edge_order + 1} samples"
            raise ShapeError("gradient", problem, input=type_of(input))
    return tuple(_slope(x, axis, step, edge_order) for axis, step in zip(axes, given, strict=True))


def _slope(x: Tensor, axis: int, step: Any, edge_order: int) -> Tensor:
    size = x.array.shape[axis]
    if isinstance(step, Tensor) and step.array.ndim:
        at = cast(step, x.dtype)
    else:
        at = mul(cast(arange(size), x.dtype), step)
    at = reshape(at, [size if i == axis else 1 for i in range(x.array.ndim)])

    def part(values: Tensor, start: int, count: int) -> Tensor:
        return narrow(values, axis, start, count)

    def slope(low: int, high: int) -> Tensor:
        return true_divide(
            sub(part(x, high, 1), part(x, low, 1)), sub(part(at, high, 1), part(at, low, 1))
        )

    first, last = slope(0, 1), slope(size - 2, size - 1)
    if size == 2:
        return cat([first, last], axis)
    left = sub(part(at, 1, size - 2), part(at, 0, size - 2))
    right = sub(part(at, 2, size - 2), part(at, 1, size - 2))
    before = true_divide(sub(part(x, 1, size - 2), part(x, 0, size - 2)), left)
    after = true_divide(sub(part(x, 2, size - 2), part(x, 1, size - 2)), right)
    whole = left + right  # type: ignore[operator]
    middle = (before * right + after * left) / whole  # type: ignore[operator]
    if edge_order == 2:  # the parabola through the three outermost samples
        bend = (part(after, 0, 1) - part(before, 0, 1)) / part(whole, 0, 1)  # type: ignore[operator]
        first = first - bend * part(left, 0, 1)
        end = size - 3
        bend = (part(after, end, 1) - part(before, end, 1)) / part(whole, end, 1)  # type: ignore[operator]
        last = last + bend * part(right, end, 1)
    return cat([first, middle, last], axis)


guard(globals())
