"""Normalisation by the root of the mean square, one kernel each way (Zhang, Sennrich 2019). Floor
4.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import add, cast, mul, rsqrt, sub
from twofold.ops.guarding import guard
from twofold.ops.op import FLOAT, Sample, define, wanted
from twofold.ops.reduce import sum as sum_
from twofold.ops.rules import admit
from twofold.ops.tensor import Tensor, type_of

__all__ = ["rms_norm"]

EPS = {dtypes.float16: 2.0**-10, dtypes.bfloat16: 2.0**-7, dtypes.float32: 2.0**-23}
EPS[dtypes.float64] = 2.0**-52


def _axes(ndim: int, rank: int) -> tuple[int, ...]:
    return tuple(range(ndim - rank, ndim))


def _mean(x: Any, axes: tuple[int, ...]) -> Any:
    count = max(math.prod(x.shape[a] for a in axes), 1)
    return x.sum(axis=axes, keepdims=True, dtype=x.dtype) / x.dtype.type(count)


def _ref(x: Any, *weight: Any, rank: int, eps: float) -> Any:
    rstd = 1 / np.sqrt(_mean(x * x, _axes(x.ndim, rank)) + x.dtype.type(eps))
    rstd = rstd.astype(x.dtype)
    y = x * rstd * weight[0] if weight else x * rstd
    return y, rstd.reshape(x.shape[: x.ndim - rank])


def _type(x: Type, *weight: Type, rank: int, eps: float) -> Any:
    return x, Type(x.shape[: x.ndim - rank], x.dtype)


def _vjp(g: Tensor, saved: Any, x: Tensor, *weight: Any, rank: int, eps: float) -> Any:
    if mode.grad:
        return _open_vjp(g, x, weight, rank, eps)
    gx = bind(BACKWARD, (g, x, saved[0], *weight), (rank,)) if wanted(x) else None
    if not weight:
        return (gx,)
    return gx, bind(WEIGHT_BACKWARD, (g, x, saved[0]), (rank,)) if wanted(weight[0]) else None


def _open_vjp(g: Tensor, x: Tensor, weight: Any, rank: int, eps: float) -> Any:
    """In simple operations, which can be differentiated again."""
    axes = _axes(x.array.ndim, rank)
    scale = 1.0 / max(math.prod(x.array.shape[a] for a in axes), 1)
    rstd = rsqrt(add(mul(sum_(mul(x, x), axes, True), scale), eps))
    xhat = mul(x, rstd)
    gy = mul(g, weight[0]) if weight else g
    gx = mul(rstd, sub(gy, mul(xhat, mul(sum_(mul(gy, xhat), axes, True), scale))))
    if not weight:
        return (gx,)
    rows = tuple(range(x.array.ndim - rank))
    return gx, sum_(mul(g, xhat), rows) if rows else mul(g, xhat)


def _backward(g: Any, x: Any, rstd: Any, *weight: Any, rank: int) -> Any:
    wide = rstd.reshape(rstd.shape + (1,) * rank)
    gy = g * weight[0] if weight else g
    xhat = x * wide
    return wide * (gy - xhat * _mean(gy * xhat, _axes(x.ndim, rank)))


def _rows(random: Any, *rest: Any) -> list[Sample]:
    def made(*shapes: Any) -> list[Any]:
        return [random.normal(size=s) for s in shapes]

    return [
        Sample((*made((3, 5), (3, 5), 3, 5), 1)),
        Sample((*made((2, 3, 4), (2, 3, 4), 2), 2)),
    ]


BACKWARD = define(
    "rms_norm_backward",
    inputs="g x rstd *weight",
    attrs=("rank",),
    doc="The gradient of rms_norm by its input.",
    accepts=FLOAT,
    infer=lambda g, x, *rest, rank: x,
    ref=_backward,
    lower="rms_norm_backward",
    samples=_rows,
    torch=False,
)
WEIGHT_BACKWARD = define(
    "rms_norm_weight_backward",
    inputs="g x rstd",
    attrs=("rank",),
    doc="The gradient of rms_norm by its weight.",
    accepts=FLOAT,
    infer=lambda g, x, rstd, *, rank: Type(x.shape[x.ndim - rank :], x.dtype),
    ref=lambda g, x, rstd, *, rank: (g * (x * rstd.reshape(rstd.shape + (1,) * rank))).sum(
        axis=tuple(range(x.ndim - rank)), dtype=x.dtype
    ),
    lower="rms_norm_weight_backward",
    samples=lambda r: [Sample((*(r.normal(size=s) for s in ((3, 5), (3, 5), 3)), 1))],
    torch=False,
)
RMS_NORM = define(
    "rms_norm",
    inputs="x *weight",
    attrs=("rank", "eps"),
    doc="x / sqrt(mean(x^2) + eps) over the last `rank` axes, times weight.",
    accepts=FLOAT,
    infer=_type,
    ref=_ref,
    vjp=_vjp,
    saves="x weight",
    residuals=1,
    lower="rms_norm",
    samples=lambda r: [
        Sample((r.normal(size=(3, 5)), r.normal(size=5), 1, 1e-5)),
        Sample((r.normal(size=(2, 3, 4)), 2, 1e-5)),
    ],
    torch=False,
)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axes, times weight. eps: the type's own if None.

    Raises ShapeError unless `normalized_shape` names the last sizes.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    x = input if input.dtype.is_complex else admit(RMS_NORM, input)
    if not shape or x.array.shape[-len(shape) :] != shape:
        raise ShapeError(
            "rms_norm",
            f"the last sizes are not {list(shape)}",
            hint="normalized_shape = the last sizes",
            input=type_of(x),
        )
    if weight is not None and weight.array.shape != shape:
        raise ShapeError(
            "rms_norm", f"weight has not the shape {list(shape)}", weight=type_of(weight)
        )
    if x.dtype.is_complex:
        return _complex(x, len(shape), weight, eps)
    affine = () if weight is None else (cast(weight, x.dtype),)
    small = EPS[x.dtype] if eps is None else float(eps)
    return bind(RMS_NORM, (x, *affine), (len(shape), small))  # type: ignore[no-any-return]


def _complex(x: Tensor, rank: int, weight: Tensor | None, eps: float | None) -> Tensor:
    """Of complex numbers: by the mean of their squares, which are no squares of lengths, as
    PyTorch's.
    """
    axes = _axes(x.array.ndim, rank)
    count = max(math.prod(x.array.shape[a] for a in axes), 1)
    small = EPS[x.dtype.to_real()] if eps is None else float(eps)
    made = mul(x, rsqrt(add(mul(sum_(mul(x, x), axes, True), 1 / count), small)))
    return made if weight is None else mul(made, weight)


guard(globals())
