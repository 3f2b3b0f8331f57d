"""Lengths, distances and products of vectors as functions. Floor 10."""

from __future__ import annotations

from twofold.base.errors import ShapeError
from twofold.ops.elementwise import add, mul, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.reduce import sum
from twofold.ops.rules import axis_too, deliver
from twofold.ops.statistics import norm
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import broadcast_tensors


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input1 f[..., a], weight f[o, a, b], input2 f[..., b] -> f[..., o]."""
    sizes = (input1.array.shape, input2.array.shape)
    if sizes[0][:-1] != sizes[1][:-1] or weight.array.shape[1:] != (sizes[0][-1], sizes[1][-1]):
        raise ShapeError(
            "bilinear",
            "the sizes do not fit",
            hint="input1 f[N, a], input2 f[N, b], weight f[o, a, b]",
            input1=type_of(input1),
            input2=type_of(input2),
            weight=type_of(weight),
        )
    middle = input1.unsqueeze(-2).unsqueeze(-2) @ weight  # type: ignore[attr-defined]
    made = (middle.squeeze(-2) * input2.unsqueeze(-2)).sum(-1)  # type: ignore[attr-defined]
    made = made.to(middle.dtype)  # of whole numbers, whose sums are i64
    return made if bias is None else made + bias  # type: ignore[no-any-return]


@axis_too
def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """input / max(norm(input, p, dim), eps)."""
    length = norm(input, p, dim, True).clamp(min=eps)  # type: ignore[attr-defined]
    made = true_divide(input, length)
    return made if out is None else deliver(made, out, "normalize")


@axis_too
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x1 . x2 / (|x1| |x2|) along dim, each length held at eps at the least."""
    if x1.array.shape != x2.array.shape:
        x1, x2 = broadcast_tensors(x1, x2)
    a, b = normalize(x1, 2, dim, eps), normalize(x2, 2, dim, eps)
    return sum(mul(a, b), dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last axis."""
    return norm(add(sub(x1, x2), eps), p, -1, keepdim)


guard(globals())
