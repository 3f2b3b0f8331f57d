"""Batch normalisation by the batch's own moments, or by given ones. Floor 4."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import add, mul, neg, rsqrt, sub
from twofold.ops.movement import expand
from twofold.ops.normalize import normalised, normalised_vjp
from twofold.ops.op import FLOAT, Sample, define, wanted
from twofold.ops.reduce import mean
from twofold.ops.reduce import sum as sum_
from twofold.ops.tensor import Tensor


def _axes(ndim: int) -> tuple[int, ...]:
    return (0, *range(2, ndim))


def _wide(value: Any, ndim: int) -> Any:
    return value.reshape(1, -1, *(1,) * (ndim - 2))


def _ref(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    axes = _axes(x.ndim)
    mean = x.mean(axis=axes, dtype=x.dtype)
    centred = x - _wide(mean, x.ndim)
    var = (centred * centred).mean(axis=axes, dtype=x.dtype)
    rstd = (1 / np.sqrt(var + x.dtype.type(eps))).astype(x.dtype)
    return centred * _wide(rstd * weight, x.ndim) + _wide(bias, x.ndim), mean, var


def _type(x: Type, weight: Type, bias: Type, *, eps: float) -> Any:
    moments = Type((x.shape[1],), x.dtype)
    return x, moments, moments


def _vjp(g: Any, out: Any, x: Tensor, weight: Tensor, bias: Any, *, eps: float) -> Any:
    moments_used = g[1] is not None or g[2] is not None
    if mode.grad or moments_used:
        return _open_vjp(g, x, weight, eps)
    return bind(BACKWARD, (g[0], x, weight, out[1], out[2]), (eps,))


def _open_vjp(g: Any, x: Tensor, weight: Tensor, eps: float) -> Any:
    """In simple operations, which can be differentiated again, and by the moments too."""
    axes = _axes(x.array.ndim)
    count = x.array.size // max(x.array.shape[1], 1)
    parts = []
    if g[1] is not None:
        parts.append(expand(_wide(g[1], x.array.ndim) / count, x.array.shape))
    if g[2] is not None:
        centred = sub(x, mean(x, axes, True))
        parts.append(mul(_wide(g[2], x.array.ndim), centred) * (2 / count))
    gw = gb = None
    if g[0] is not None:
        xhat, rstd = normalised(x, axes, eps)
        scaled = mul(g[0], _wide(weight, x.array.ndim))
        parts.append(normalised_vjp(scaled, xhat, rstd, axes))
        gw, gb = sum_(mul(g[0], xhat), axes), sum_(g[0], axes)
    return functools.reduce(add, parts), gw, gb


def _backward(g: Any, x: Any, weight: Any, mean: Any, var: Any, *, eps: float) -> Any:
    axes = _axes(x.ndim)
    rstd = (1 / np.sqrt(var + x.dtype.type(eps))).astype(x.dtype)
    xhat = (x - _wide(mean, x.ndim)) * _wide(rstd, x.ndim)
    gw = (g * xhat).sum(axis=axes, dtype=x.dtype)
    gb = g.sum(axis=axes, dtype=x.dtype)
    count = x.dtype.type(max(x.size // max(x.shape[1], 1), 1))
    inner = g - _wide(gb / count, x.ndim) - xhat * _wide(gw / count, x.ndim)
    return inner * _wide(rstd * weight, x.ndim), gw, gb


BACKWARD = define(
    "batch_norm_backward",
    inputs="g x weight mean var",
    attrs=("eps",),
    doc="The gradients of batch_norm by input, weight and bias.",
    accepts=FLOAT,
    infer=lambda g, x, weight, mean, var, *, eps: (x, weight, weight),
    ref=_backward,
    outputs=3,
    lower="batch_norm_backward",
    samples=lambda r: [
        Sample(
            (*(r.normal(size=s) for s in ((4, 3, 5), (4, 3, 5), 3, 3)), r.uniform(0.5, 2, 3), 1e-5)
        ),
        Sample((*(r.normal(size=s) for s in ((6, 2), (6, 2), 2, 2)), r.uniform(0.5, 2, 2), 1e-5)),
    ],
    torch=False,
)
BATCH_NORM = define(
    "batch_norm",
    inputs="x weight bias",
    attrs=("eps",),
    doc="Each channel of x[N, C, ...] normalised, times weight, plus bias; and the moments.",
    accepts=FLOAT,
    infer=_type,
    ref=_ref,
    vjp=_vjp,
    saves="x weight out1 out2",
    outputs=3,
    lower="batch_norm",
    samples=lambda r: [
        Sample((r.normal(size=(4, 3, 5)), r.normal(size=3), r.normal(size=3), 1e-5)),
        Sample((r.normal(size=(2, 3, 4, 4)), r.normal(size=3), r.normal(size=3), 1e-5)),
        Sample((r.normal(size=(6, 2)), r.normal(size=2), r.normal(size=2), 1e-5)),
    ],
    torch=False,
)


def _with_moments(x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    rstd = (1 / np.sqrt(var + x.dtype.type(eps))).astype(x.dtype)
    centred = x - _wide(mean, x.ndim)
    return centred * _wide(rstd * weight, x.ndim) + _wide(bias, x.ndim)


def _with_moments_vjp(
    g: Tensor, out: Any, x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float
) -> Any:
    axes, ndim = _axes(g.array.ndim), g.array.ndim
    rstd = rsqrt(add(var, eps))
    gx = mul(g, _wide(mul(rstd, weight), ndim)) if wanted(x) else None
    total = sum_(g, axes)
    if not (wanted(weight) or wanted(mean) or wanted(var)):
        return gx, None, None, None, total
    spread = sum_(mul(g, sub(x, _wide(mean, ndim))), axes)
    gm = neg(mul(total, mul(rstd, weight)))
    gv = mul(mul(spread, mul(weight, -0.5)), mul(rstd, mul(rstd, rstd)))
    return gx, gm, gv, mul(spread, rstd), total


def _with_moments_sample(r: Any, shape: tuple[int, ...]) -> Sample:
    x, mean = r.normal(size=shape), r.normal(size=shape[1])
    var = r.uniform(0.5, 2, shape[1])
    return Sample((x, mean, var, r.normal(size=shape[1]), r.normal(size=shape[1]), 1e-5))


WITH_MOMENTS = define(
    "batch_norm_inference",
    inputs="x mean var weight bias",
    attrs=("eps",),
    doc="(x - mean) / sqrt(var + eps) * weight + bias for each channel of x[N, C, ...].",
    accepts=FLOAT,
    infer=lambda x, *rest, eps: x,
    ref=_with_moments,
    vjp=_with_moments_vjp,
    saves="x:mean x:var x:weight mean:weight mean:var mean:mean var weight",
    lower="batch_norm_inference",
    samples=lambda r: [_with_moments_sample(r, (4, 3, 5)), _with_moments_sample(r, (6, 2))],
    torch=False,
)
