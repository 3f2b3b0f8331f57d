"""Scaled dot-product attention as a primitive: one blocked kernel, no matrix of scores. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.symbols import alike, is_symbol, of_math, same_shape
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import where
from twofold.ops.elementwise import add, mul
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, transpose
from twofold.ops.normalize import SOFTMAX_BACKWARD, softmax
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.random import dropout_mask
from twofold.ops.rules import broadcast, constant, operands
from twofold.ops.stand_in import device_of
from twofold.ops.tensor import Tensor, type_of, wrap

ATTRS = ("causal", "scale")


def causal_bias(rows: int, columns: int, dtype: Any) -> Any:
    """0 where a query may look (keys up to its own position), -inf elsewhere."""
    seen = np.tril(np.ones((rows, columns), np.bool_))
    values = np.where(seen, np.float32(0), np.float32(-np.inf))
    return dtypes.convert(values, dtypes.of(dtype))


def _scores(q: Any, k: Any, mask: Any, causal: bool, scale: float) -> Any:
    s = np.matmul(q, np.swapaxes(k, -1, -2)) * q.dtype.type(scale)
    if causal:
        s = s + causal_bias(q.shape[-2], k.shape[-2], q.dtype)
    return s + mask[0] if mask else s


def _ref(q: Any, k: Any, v: Any, *mask: Any, causal: bool, scale: float) -> Any:
    s = _scores(q, k, mask, causal, scale)
    top = s.max(axis=-1, keepdims=True, initial=-np.inf)
    e = np.exp(s - np.where(np.isfinite(top), top, 0))
    total = e.sum(axis=-1, keepdims=True, dtype=q.dtype)
    lse = np.where(np.isfinite(top), top, 0) + np.log(total)
    return np.matmul(e / total, v), lse[..., 0].astype(q.dtype)


def _type(q: Type, k: Type, v: Type, *mask: Type, causal: bool, scale: float) -> Any:
    if (
        q.shape[-1] != k.shape[-1]
        or k.shape[-2] != v.shape[-2]
        or q.shape[:-2] != k.shape[:-2] != v.shape[:-2]
    ):
        raise ShapeError(
            "scaled_dot_product_attention",
            "sizes do not fit",
            hint="query [..., L, E], key [..., S, E], value [..., S, V]",
            query=q,
            key=k,
            value=v,
        )
    return Type((*q.shape[:-1], v.shape[-1]), q.dtype), Type(q.shape[:-1], q.dtype)


def _vjp(
    g: Tensor,
    saved: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *mask: Tensor,
    causal: bool,
    scale: float,
) -> Any:
    if not mode.grad and not (mask and mask[0].tracked):
        out, lse = saved
        grads = bind(BACKWARD, (g, q, k, v, out, lse, *mask), (causal, scale))
        return (*grads, None)[: 3 + len(mask)]
    p = _probabilities(q, k, mask, causal, scale)
    gv = matmul(transpose(p, -1, -2), g)
    gp = matmul(g, transpose(v, -1, -2))
    gs = bind(SOFTMAX_BACKWARD, (gp, p), (p.array.ndim - 1,))
    gq = mul(matmul(gs, k), scale)
    gk = mul(matmul(transpose(gs, -1, -2), q), scale)
    return (gq, gk, gv, gs)[: 3 + len(mask)]


def _probabilities(
    q: Tensor, k: Tensor, mask: tuple[Tensor, ...], causal: bool, scale: float
) -> Tensor:
    s = mul(matmul(q, transpose(k, -1, -2)), scale)
    if causal:
        s = add(s, wrap(causal_bias(q.array.shape[-2], k.array.shape[-2], q.array.dtype)))
    return softmax(add(s, mask[0]) if mask else s, -1)


def _backward(
    g: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, *mask: Any, causal: bool, scale: float
) -> Any:
    p = np.exp(_scores(q, k, mask, causal, scale) - lse[..., None])
    gv = np.matmul(np.swapaxes(p, -1, -2), g)
    gp = np.matmul(g, np.swapaxes(v, -1, -2))
    gs = p * (gp - (g * out).sum(axis=-1, keepdims=True, dtype=g.dtype)) * q.dtype.type(scale)
    return np.matmul(gs, k), np.matmul(np.swapaxes(gs, -1, -2), q), gv


BACKWARD = define(
    "attention_backward",
    inputs="g q k v out lse *mask",
    attrs=ATTRS,
    doc="The gradients of attention by query, key and value.",
    accepts=FLOAT,
    infer=lambda g, q, k, v, out, lse, *mask, causal, scale: (q, k, v),
    ref=_backward,
    outputs=3,
    lower="attention_backward",
    samples=lambda r: [_backward_sample(s) for s in _samples(r)],
    torch=False,
)


def _backward_sample(sample: Sample) -> Sample:
    """The sample of attention with its results, and the result as its own gradient."""
    *inputs, causal, scale = sample.args
    out, lse = _ref(*inputs, causal=causal, scale=scale)
    return Sample((out, *inputs[:3], out, lse, *inputs[3:], causal, scale))


def _samples(random: Any) -> list[Sample]:
    def make(*shapes: Any, attrs: Any = (False, 0.5)) -> Sample:
        return Sample((*(random.normal(size=s) for s in shapes), *attrs))

    return [
        make((2, 3, 4), (2, 5, 4), (2, 5, 6)),
        make((1, 2, 5, 4), (1, 2, 5, 4), (1, 2, 5, 4), attrs=(True, 0.3)),
        make((2, 3, 4), (2, 5, 4), (2, 5, 6), (2, 3, 5)),
    ]


ATTENTION = define(
    "attention",
    inputs="q k v *mask",
    attrs=ATTRS,
    doc="softmax(q k.T * scale + mask) v, with keys after a query's position left out if causal.",
    accepts=FLOAT,
    infer=_type,
    ref=_ref,
    vjp=_vjp,
    saves="q k v mask out",
    residuals=1,
    lower="attention",
    samples=_samples,
    torch=False,
)


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value (Vaswani et al. 2017).

    query f[..., L, E], key f[..., S, E], value f[..., S, V] -> f[..., L, V]. attn_mask, broadcast
    to [..., L, S]:
    bool (True may be seen) or added to the scores. scale: 1 / sqrt(E) if None. enable_gqa: fewer
    key heads than
    query heads, each used by as many in a row.
    """
    if is_causal and attn_mask is not None:
        raise ArgumentError(
            "scaled_dot_product_attention", "is_causal and attn_mask exclude each other"
        )
    q, k, v = operands("scaled_dot_product_attention", query, key, value)
    if enable_gqa:
        k, v = _repeat_heads(q, k), _repeat_heads(q, v)
    if scale is None:
        width = q.array.shape[-1]
        empty = type(width) is int and width == 0
        scale = math.inf if empty else 1 / of_math(math.sqrt, width)
    factor = scale if is_symbol(scale) else float(scale)
    fronts = {
        name: Type(x.array.shape[:-2], x.dtype) for name, x in zip("qkv", (q, k, v), strict=True)
    }
    batch = broadcast("scaled_dot_product_attention", **fronts)
    q, k, v = (
        x if same_shape(x.array.shape[:-2], batch) else expand(x, (*batch, *x.array.shape[-2:]))
        for x in (q, k, v)
    )
    mask = () if attn_mask is None else (_additive(attn_mask, q, k),)
    if dropout_p:
        p = _probabilities(q, k, mask, is_causal, factor)
        kept = dropout_mask(p.array.shape, p.dtype, dropout_p, device=device_of(p))
        return matmul(mul(p, kept), v)
    return bind(ATTENTION, (q, k, v, *mask), (bool(is_causal), factor))  # type: ignore[no-any-return]


def _repeat_heads(q: Tensor, x: Tensor) -> Tensor:
    times = q.array.shape[-3] // x.array.shape[-3]
    return x.repeat_interleave(times, -3)  # type: ignore[attr-defined, no-any-return]


def _additive(mask: Tensor, q: Tensor, k: Tensor) -> Tensor:
    if mask.array.dtype == np.bool_:
        mask = where(mask, constant(0.0, q.dtype), constant(-math.inf, q.dtype))
    wanted = (*q.array.shape[:-1], k.array.shape[-2])
    try:
        return mask if alike(mask.array.shape, wanted) else expand(mask, wanted)
    except ShapeError:
        raise ShapeError(
            "scaled_dot_product_attention",
            f"the mask does not broadcast to {list(wanted)}",
            mask=type_of(mask),
        ) from None


guard(globals())
