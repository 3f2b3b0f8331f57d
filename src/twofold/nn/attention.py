"""Multi-head attention and the Transformer encoder layer. Floor 10."""

from __future__ import annotations

import copy
from typing import Any, final

import numpy as np

from twofold.base.errors import ArgumentError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.container import ModuleList
from twofold.nn.layers import Dropout, Linear
from twofold.nn.module import Module
from twofold.nn.norm import LayerNorm
from twofold.ops.creation import empty, zeros
from twofold.ops.tensor import Parameter, Tensor, wrap


@final
class MultiheadAttention(Module):
    """Attention of several heads over projected queries, keys and values (Vaswani et al. 2017).

    query f[L, N, E], key f[S, N, kdim], value f[S, N, vdim] (batch first: N before L and S) ->
    (f[L, N, E],
    averaged weights f[N, L, S] or None).
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ArgumentError(
                "MultiheadAttention", f"{embed_dim} does not split into {num_heads} heads"
            )
        if add_bias_kv or add_zero_attn:
            raise ArgumentError(
                "MultiheadAttention", "add_bias_kv and add_zero_attn are not supported"
            )
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = (
            embed_dim,
            num_heads,
            dropout,
            batch_first,
        )
        self.head_dim = embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self._qkv_same_embed_dim = self.kdim == embed_dim == self.vdim
        if self._qkv_same_embed_dim:
            self.in_proj_weight = Parameter(empty(3 * embed_dim, embed_dim))
        else:
            self.q_proj_weight = Parameter(empty(embed_dim, embed_dim))
            self.k_proj_weight = Parameter(empty(embed_dim, self.kdim))
            self.v_proj_weight = Parameter(empty(embed_dim, self.vdim))
        self.register_parameter("in_proj_bias", Parameter(zeros(3 * embed_dim)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias)
        self._reset()

    def _reset(self) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("weight"):
                init.xavier_uniform_(parameter)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        alone = query.array.ndim == 2
        batch_axis = 0 if self.batch_first else 1
        if alone:
            query, key, value = (x.unsqueeze(batch_axis) for x in (query, key, value))  # type: ignore[attr-defined]
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))  # type: ignore[attr-defined]
        q, k, v = (self._split(x) for x in self._project(query, key, value))
        mask = self._mask(q, k, key_padding_mask, attn_mask)
        drop = self.dropout if self.training else 0.0
        if need_weights:
            mixed, weights = self._with_weights(q, k, v, mask, is_causal and mask is None, drop)
        else:
            causal = is_causal and key_padding_mask is None
            mixed = F.scaled_dot_product_attention(q, k, v, None if causal else mask, drop, causal)
            weights = None
        made = self.out_proj(mixed.transpose(1, 2).reshape(query.shape[0], -1, self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not self.batch_first:
            made = made.transpose(0, 1)
        if alone:
            made = made.squeeze(batch_axis)
            weights = None if weights is None else weights.squeeze(0)
        return made, weights

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        if self._qkv_same_embed_dim and query is key is value:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)  # type: ignore
        if self._qkv_same_embed_dim:
            weights = self.in_proj_weight.chunk(3, 0)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3, 0)
        return [
            F.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True)
        ]

    def _split(self, x: Tensor) -> Tensor:
        shape = (x.array.shape[0], x.array.shape[1], self.num_heads, self.head_dim)
        return x.reshape(shape).transpose(1, 2)  # type: ignore[attr-defined, no-any-return]

    def _mask(
        self, q: Tensor, k: Tensor, padding: Tensor | None, attn_mask: Tensor | None
    ) -> Tensor | None:
        """One additive mask; in bool masks True is left out, as this layer has it in PyTorch."""
        kind = q.array.dtype
        made = None
        if attn_mask is not None:
            made = _additive(attn_mask, kind)
            if made.array.ndim == 3:
                made = made.reshape(-1, self.num_heads, *made.array.shape[1:])  # type: ignore[attr-defined]
        if padding is not None:
            columns = _additive(padding, kind).reshape(-1, 1, 1, k.array.shape[-2])  # type: ignore[attr-defined]
            made = columns if made is None else made + columns  # type: ignore[operator]
        return made

    def _with_weights(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Any, causal: bool, drop: float
    ) -> Any:
        scores = q @ k.transpose(-1, -2) * self.head_dim**-0.5  # type: ignore
        if causal:
            size = q.array.shape[-2]
            mask = wrap(np.triu(np.full((size, k.array.shape[-2]), -np.inf, q.array.dtype), 1))
        weights = F.softmax(scores if mask is None else scores + mask, -1)
        dropped = F.dropout(weights, drop) if drop else weights
        return dropped @ v, weights  # type: ignore[operator]


def _additive(mask: Tensor, kind: Any) -> Tensor:
    if mask.array.dtype != np.bool_:
        return mask
    return wrap(np.where(mask.array, kind.type(-np.inf), kind.type(0)))


@final
class TransformerEncoderLayer(Module):
    """Self-attention and a feed-forward net, each with a residual and a normalisation (Vaswani et
    al. 2017).

    src f[L, N, d_model] (batch_first: f[N, L, d_model]) -> the same shape.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = (
            {"relu": F.relu, "gelu": F.gelu}[activation]
            if isinstance(activation, str)
            else activation
        )

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        rest = (src_mask, src_key_padding_mask, is_causal)
        if self.norm_first:
            src = src + self._attend(self.norm1(src), *rest)
            return src + self._feed(self.norm2(src))  # type: ignore[operator, no-any-return]
        src = self.norm1(src + self._attend(src, *rest))
        return self.norm2(src + self._feed(src))  # type: ignore[operator, no-any-return]

    def _attend(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, causal: bool) -> Any:
        made, _ = self.self_attn(x, x, x, padding, False, mask, is_causal=causal)
        return self.dropout1(made)

    def _feed(self, x: Tensor) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


@final
class TransformerEncoder(Module):
    """`num_layers` copies of an encoder layer, then an optional normalisation."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)  # type: ignore[no-any-return]
