"""Matrix products. Floor 4. Each element is one ascending chain of fma over k (DESIGN.md, N4)."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind
from twofold.ops.complexes import complex, imag, real, view_as_complex, view_as_real
from twofold.ops.elementwise import conj, neg
from twofold.ops.guarding import guard
from twofold.ops.joining import stack
from twofold.ops.movement import reshape, transpose
from twofold.ops.op import NUMBER, Sample, define, wanted
from twofold.ops.rules import broadcast, operands
from twofold.ops.tensor import Tensor, type_of

__all__ = [
    "matmul",
]


class Factor:
    """What is no tensor and multiplies one: `matmul(x, w)` asks it for the product. It holds its
    numbers in a way of its own.
    """

    __slots__ = ()

    def matmul(self, other: Any) -> Any:
        """The product with a tensor."""
        raise TypeError(f"{type(self).__name__} does not define matmul")

    def __matmul__(self, other: Any) -> Any:
        return self.matmul(other)


def _matmul_type(x: Type, w: Type) -> Type:
    if x.shape[-1] != w.shape[-2]:
        raise ShapeError(
            "matmul",
            "inner sizes differ",
            hint=_matmul_hint(x, w),
            x=f"{x}   ({x.shape[-1]} on axis {x.ndim - 1})",
            w=f"{w}   ({w.shape[-2]} on axis {w.ndim - 2})",
        )
    try:
        batch = broadcast("matmul", x=x.with_shape(x.shape[:-2]), w=w.with_shape(w.shape[:-2]))
    except ShapeError:
        raise ShapeError(
            "matmul",
            f"batches {list(x.shape[:-2])} and {list(w.shape[:-2])} do not broadcast",
            hint="leading sizes that are equal, or 1",
            x=x,
            w=w,
        ) from None
    return Type((*batch, x.shape[-2], w.shape[-1]), x.dtype)


def _matmul_hint(x: Type, w: Type) -> str:
    if x.shape[-1] == w.shape[-1]:
        return "x @ w.T"
    if x.shape[-2] == w.shape[-2]:
        return "x.T @ w"
    return f"a w of shape [{x.shape[-1]}, ...]"


def _matmul_vjp(g: Tensor, out: Any, x: Tensor, w: Tensor) -> Any:
    gx = bind(MATMUL, (g, conj(transpose(w, -1, -2)))) if wanted(x) else None
    gw = bind(MATMUL, (conj(transpose(x, -1, -2)), g)) if wanted(w) else None
    return gx, gw


def _products(random: Any) -> list[Sample]:
    shapes = [((3, 4), (4, 5)), ((1, 4), (4, 1)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (5, 4, 2))]
    shapes += [((3, 0), (0, 2)), ((0, 4), (4, 5)), ((17, 33), (33, 9))]
    return [Sample((random.normal(size=a), random.normal(size=b))) for a, b in shapes]


MATMUL = define(
    "matmul",
    inputs="x w",
    doc="The product of matrices, with broadcast leading axes.",
    accepts=NUMBER,
    infer=_matmul_type,
    ref=np.matmul,
    vjp=_matmul_vjp,
    saves="x:w w:x",
    lower="matmul",
    samples=_products,
)


def _complex_matmul(x: Tensor, w: Tensor) -> Tensor:
    """The product of complex matrices as one of real ones, so that its order is ours too.

    A row of x is seen as (re, im, re, im, ...); w has below each row the same row turned by 1j. An
    element is so one chain over k of re re, -im im (re im, im re) in turn.
    """
    _matmul_type(type_of(x), type_of(w))
    turned = complex(neg(imag(w)), real(w))
    both = stack([w, turned], -2)
    *lead, k, m = w.array.shape
    tall = reshape(view_as_real(reshape(both, (*lead, 2 * k, m))), (*lead, 2 * k, 2 * m))
    wide = reshape(view_as_real(x), (*x.array.shape[:-1], 2 * k))
    made = bind(MATMUL, (wide, tall))
    return view_as_complex(reshape(made, (*made.array.shape[:-1], m, 2)))


def matmul(input: Any, other: Any) -> Tensor:
    """The product of two matrices, vectors, or batches of matrices with broadcast leading axes.

    input f32[..., n, k], other f32[..., k, m] -> f32[..., n, m]; a vector counts as one row or one
    column, and its axis is dropped from the result. Raises ShapeError when the inner sizes differ
    or an operand has no axes. A Factor (a sparse matrix) multiplies in its own way.
    """
    if isinstance(input, Factor):
        return input.matmul(other)  # type: ignore[no-any-return]
    x, w = operands("matmul", input, other)
    if not (x.array.ndim and w.array.ndim):
        raise ShapeError(
            "matmul", "a 0-d tensor is not a matrix", hint="x * w", x=type_of(x), w=type_of(w)
        )
    row, column = x.array.ndim == 1, w.array.ndim == 1
    if row:
        x = reshape(x, (1, x.array.shape[0]))
    if column:
        w = reshape(w, (w.array.shape[0], 1))
    out: Tensor = _complex_matmul(x, w) if x.dtype.is_complex else bind(MATMUL, (x, w))
    if row or column:
        shape = out.array.shape
        out = reshape(out, shape[:-2] + shape[-2 + row : len(shape) - column])
    return out


guard(globals())
