"""Weights that stay orthogonal: the parametrization `orthogonal`. Floor 10."""

from __future__ import annotations

from typing import Any, final

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.module import Module
from twofold.nn.utils.parametrize import register_parametrization
from twofold.ops.bind import recording
from twofold.ops.compare import eq, where
from twofold.ops.creation import eye
from twofold.ops.decompose import qr
from twofold.ops.elementwise import add, cast, mul, sgn, square, sub, true_divide
from twofold.ops.joining import cat
from twofold.ops.linalg import matmul
from twofold.ops.matrix import matrix_exp
from twofold.ops.movement import expand
from twofold.ops.padding import pad
from twofold.ops.random import randn
from twofold.ops.reduce import sum
from twofold.ops.solve import solve
from twofold.ops.splitting import unbind
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.triangles import tril
from twofold.ops.views import adjoint, diagonal, narrow, unsqueeze

MAPS = ("matrix_exp", "cayley", "householder")


@final
class Orthogonal(Module):
    """A matrix (or a batch of them) with orthonormal columns, or rows where they are fewer.

    matrix_exp and cayley: exp(A), or (I - A / 2)^-1 (I + A / 2), of the skew-symmetric A = X - X^H
    of the lower triangle; householder: the product of reflections. With `use_trivialization` the
    map goes on from `base`, the matrix that was assigned last (Lezcano-Casado 2019).
    """

    base: Any

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        if weight.dtype.is_complex and orthogonal_map == "householder":
            hint = "matrix_exp or cayley"
            raise ArgumentError("orthogonal", "householder takes no complex weights", hint=hint)
        self.shape = weight.array.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Tensor) -> Tensor:
        wide = X.array.shape[-2] < X.array.shape[-1]
        x = adjoint(X) if wide else X
        made = _reflections(x) if self.orthogonal_map == "householder" else self._turned(x)
        if self.use_trivialization:
            made = matmul(self.base, made)
        return adjoint(made) if wide else made

    def _turned(self, x: Tensor) -> Tensor:
        size, count = x.array.shape[-2:]
        below = pad(tril(x), (0, size - count))
        skew = sub(below, adjoint(below))
        if self.orthogonal_map == "matrix_exp":
            return narrow(matrix_exp(skew), -1, 0, count)
        one, half = eye(size, dtype=x.dtype), mul(skew, 0.5)
        return narrow(solve(sub(one, half), add(one, half)), -1, 0, count)

    def right_inverse(self, Q: Tensor) -> Tensor:
        """What `forward` starts from, so that it gives Q (made orthogonal where it is not).

        Raises ArgumentError without trivialization: the maps are not inverted.
        """
        if Q.array.shape != self.shape:
            raise ShapeError("orthogonal", f"the weight has shape {list(self.shape)}", Q=type_of(Q))
        if not self.use_trivialization:
            problem = f"{self.orthogonal_map} is not inverted"
            raise ArgumentError("orthogonal", problem, hint="use_trivialization=True")
        with recording(False):
            wide = Q.array.shape[-2] < Q.array.shape[-1]
            self.base = _completed(adjoint(Q) if wide else Q)
            rows, columns = Q.array.shape[-2:]
            return mul(expand(eye(rows, columns, dtype=Q.dtype), Q.array.shape), -1)


def _reflections(x: Tensor) -> Tensor:
    """The first columns of H_0 H_1 ..., H_j = I - tau v v^T with v = e_j + x[:, j] below row j;
    each times the sign on x's diagonal.
    """
    size, count = x.array.shape[-2:]
    one = eye(size, count, dtype=x.dtype)
    below = tril(x, -1)
    tau = true_divide(2.0, add(sum(square(below), -2), 1.0))
    arrows, factors = unbind(add(below, one), -1), unbind(tau, -1)
    made = expand(one, x.array.shape)
    for v, factor in zip(reversed(arrows), reversed(factors), strict=True):
        column = unsqueeze(v, -1)
        scaled = mul(column, unsqueeze(unsqueeze(factor, -1), -1))
        made = sub(made, matmul(scaled, matmul(adjoint(column), made)))
    signs = cast(cast(diagonal(x, 0, -2, -1).detach(), dtypes.int32), x.dtype)  # type: ignore[attr-defined]
    return mul(made, unsqueeze(signs, -2))


def _completed(Q: Tensor) -> Tensor:
    """A square orthogonal matrix whose first columns are Q's, orthonormalised."""
    *lead, rows, columns = Q.array.shape
    more = randn(*lead, rows, rows - columns, dtype=Q.dtype)
    q, r = qr(cat([Q, more], -1))
    signs = sgn(diagonal(r, 0, -2, -1))
    return mul(q, unsqueeze(where(eq(signs, 0), 1, signs), -2))


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep a parameter orthogonal while it is trained: its columns, or rows where they are fewer.

    orthogonal_map: matrix_exp, cayley or householder; unless given, matrix_exp for square and
    complex weights and householder for others. Raises ArgumentError, and ShapeError for vectors.

    >>> layer = orthogonal(nn.Linear(20, 40))
    """
    weight: Any = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ArgumentError(type(module).__name__, f"there is no parameter {name}")
    if weight.array.ndim < 2:
        facts: Any = {name: type_of(weight)}
        raise ShapeError(
            "orthogonal", "a matrix is wanted", hint="a weight of 2 axes or more", **facts
        )
    if orthogonal_map is None:
        rows, columns = weight.array.shape[-2:]
        plain = rows == columns or weight.dtype.is_complex
        orthogonal_map = "matrix_exp" if plain else "householder"
    if orthogonal_map not in MAPS:
        problem = f"the map {orthogonal_map!r} is not known"
        raise ArgumentError("orthogonal", problem, hint=", ".join(MAPS))
    made = Orthogonal(weight, orthogonal_map, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
