"""Batch normalisation by the batch's own moments, one kernel each way. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.elementwise import mul
from twofold.ops.normalize import normalised, normalised_vjp
from twofold.ops.op import FLOAT, Sample, define
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
    gy = g[0]
    if mode.grad:
        axes = _axes(x.array.ndim)
        xhat, rstd = normalised(x, axes, eps)
        gx = normalised_vjp(mul(gy, _wide(weight, x.array.ndim)), xhat, rstd, axes)
        return gx, sum_(mul(gy, xhat), axes), sum_(gy, axes)
    return bind(BACKWARD, (gy, x, weight, out[1], out[2]), (eps,))


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
)
BATCH_NORM = define(
    "batch_norm",
    inputs="x weight bias",
    attrs=("eps",),
    doc="Each channel of x[N, C, ...] with mean 0 and variance 1, times weight, plus bias; and the moments.",
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
