"""Multi-head attention as a function of all its weights. Floor 10."""

from __future__ import annotations

import math
from typing import Any

from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.dropout_functions import dropout
from twofold.ops.attention import scaled_dot_product_attention
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.linear import linear
from twofold.ops.tensor import Tensor, type_of


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Attention of several heads: (f[L, N, E], averaged weights f[N, L, S] or None).

    query f[L, N, E], key and value f[S, N, E] (or without N); is_causal says that attn_mask, which
    must be given, is the causal one. Masks: bool (True is left out) or added to the scores.
    """
    q: Any = query
    k: Any = key
    v: Any = value
    op = "multi_head_attention_forward"
    if is_causal and attn_mask is None:
        raise ArgumentError(op, "is_causal is a hint about attn_mask", hint="attn_mask=...")
    alone = q.ndim == 2
    if alone:
        q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)  # type: ignore[attr-defined]
    steps, count, width = q.shape
    if width != embed_dim_to_check or width % num_heads:
        problem = f"{embed_dim_to_check} numbers in {num_heads} heads are wanted"
        raise ShapeError(op, problem, query=type_of(query))
    size = width // num_heads
    if use_separate_proj_weight:
        weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        weights = in_proj_weight.chunk(3)  # type: ignore[union-attr]
    biases = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)  # type: ignore[attr-defined]
    q, k, v = (linear(x, w, b) for x, w, b in zip((q, k, v), weights, biases, strict=True))
    masks = _masks(op, attn_mask, key_padding_mask, q, count, num_heads)
    if bias_k is not None and bias_v is not None:
        k = cat([k, bias_k.expand(1, count, width)])  # type: ignore[attr-defined]
        v = cat([v, bias_v.expand(1, count, width)])  # type: ignore[attr-defined]
        masks = [m.pad((0, 1)) for m in masks]

    def heads(x: Any) -> Any:
        return x.reshape(x.shape[0], count, num_heads, size).permute(1, 2, 0, 3)

    q, k, v = heads(q), heads(k), heads(v)
    if static_k is not None:
        k = static_k.reshape(count, num_heads, -1, size)  # type: ignore[attr-defined]
    if static_v is not None:
        v = static_v.reshape(count, num_heads, -1, size)  # type: ignore[attr-defined]
    if add_zero_attn:
        k, v = k.pad((0, 0, 0, 1)), v.pad((0, 0, 0, 1))
        masks = [m.pad((0, 1)) for m in masks]
    mask = sum(masks[1:], masks[0]) if masks else None
    drop = dropout_p if training else 0.0
    found: Any = None
    if need_weights:
        mixed, found = _with_weights(q, k, v, mask, drop)
        found = found.mean(1) if average_attn_weights else found
        found = found.squeeze(0) if alone else found
    else:
        mixed = scaled_dot_product_attention(q, k, v, mask, drop)
    made: Any = mixed.permute(2, 0, 1, 3).reshape(steps, count, width)
    made = linear(made, out_proj_weight, out_proj_bias)
    return made.squeeze(1) if alone else made, found


def _with_weights(q: Any, k: Any, v: Any, mask: Any, drop: float) -> tuple[Any, Any]:
    """(mixed values, weights f[N, heads, L, S]) of heads f[N, heads, L or S, size]."""
    scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2)
    weights = (scores if mask is None else scores + mask).softmax(-1)
    weights = dropout(weights, drop) if drop else weights
    return weights @ v, weights


def _masks(op: str, mask: Any, padding: Any, q: Any, count: int, num_heads: int) -> list[Any]:
    """The masks as numbers to add to scores [N, heads, L, S]."""
    made = []
    if mask is not None:
        if mask.ndim == 3:
            mask = mask.reshape(count, num_heads, *mask.shape[1:])
        elif mask.ndim != 2:
            raise ShapeError(op, "a mask [L, S] or [N heads, L, S] is wanted", mask=type_of(mask))
        made.append(_added(mask, q))
    if padding is not None:
        made.append(_added(padding.reshape(count, 1, 1, -1), q))
    return made


def _added(mask: Any, like: Any) -> Any:
    if mask.dtype.kind != "b":
        return mask.to(like.dtype)
    return like.new_zeros(mask.shape).masked_fill(mask, -math.inf)


guard(globals())
