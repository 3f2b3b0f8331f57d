"""Multi-head attention and the Transformer encoder layer. Floor 10."""

from __future__ import annotations

import copy
import math
from typing import Any

from twofold.base import dtypes
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.container import ModuleList
from twofold.nn.layers import Dropout, Linear
from twofold.nn.module import Module
from twofold.nn.norm import LayerNorm
from twofold.ops.compare import where
from twofold.ops.creation import empty, zeros
from twofold.ops.elementwise import add, mul
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.movement import reshape, transpose
from twofold.ops.rules import constant
from twofold.ops.source import filled
from twofold.ops.splitting import chunk
from twofold.ops.tensor import Parameter, Tensor, type_of, wrap
from twofold.ops.triangles import triu


class NonDynamicallyQuantizableLinear(Linear):
    """A linear layer whose weight another layer uses as well: programs that replace every layer of
    the class Linear itself leave it as it is, as in PyTorch.
    """


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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name = "MultiheadAttention"
        if num_heads < 1 or embed_dim % num_heads:
            raise ArgumentError(
                name,
                f"embed_dim = {embed_dim} does not split into {num_heads} heads",
                hint="a number of heads that divides embed_dim",
            )
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self._qkv_same_embed_dim = self.kdim == embed_dim == self.vdim
        options = {"dtype": dtype, "device": device}
        widths = {
            "q_proj_weight": embed_dim,
            "k_proj_weight": self.kdim,
            "v_proj_weight": self.vdim,
        }
        if self._qkv_same_embed_dim:
            self.in_proj_weight = Parameter(empty(3 * embed_dim, embed_dim, **options))
        else:
            for key, width in widths.items():
                self.register_parameter(key, Parameter(empty(embed_dim, width, **options)))
        shift = Parameter(zeros(3 * embed_dim, **options)) if bias else None
        self.register_parameter("in_proj_bias", shift)
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **options)
        for key in ("bias_k", "bias_v"):
            one = Parameter(empty(1, 1, embed_dim, **options)) if add_bias_kv else None
            self.register_parameter(key, one)
        self.add_zero_attn = add_zero_attn
        self._reset()

    def _reset(self) -> None:
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("weight"):
                init.xavier_uniform_(parameter)
        if self.out_proj.bias is not None:
            init.zeros_(self.out_proj.bias)
        for one in (self.bias_k, self.bias_v):
            if one is not None:
                init.xavier_normal_(one)

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
        self._check(query, key, value)
        if self.bias_k is not None or self.add_zero_attn:
            masks = (key_padding_mask, need_weights, attn_mask)
            return self._with_extra_keys(query, key, value, masks, average_attn_weights)
        batch_axis = 0 if self.batch_first else 1
        if alone:
            query, key, value = (x.unsqueeze(batch_axis) for x in (query, key, value))  # type: ignore[attr-defined]
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))  # type: ignore[attr-defined]
        q, k, v = (self._split(x) for x in self._project(query, key, value))
        written_out = is_causal and (need_weights or key_padding_mask is not None)
        if written_out and attn_mask is None:
            attn_mask = _causal(q, k)
        causal = is_causal and not written_out
        mask = None if causal else self._mask(q, k, key_padding_mask, attn_mask)
        drop = self.dropout if self.training else 0.0
        if need_weights:
            mixed, weights = self._with_weights(q, k, v, mask, drop)
        else:
            mixed, weights = F.scaled_dot_product_attention(q, k, v, mask, drop, causal), None
        made = self.out_proj(mixed.transpose(1, 2).reshape(*query.shape[:2], self.embed_dim))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not self.batch_first:
            made = made.transpose(0, 1)
        if alone:
            made = made.squeeze(batch_axis)
            weights = None if weights is None else weights.squeeze(0)
        return made, weights

    def _with_extra_keys(
        self, query: Any, key: Any, value: Any, masks: Any, average: bool
    ) -> tuple[Tensor, Tensor | None]:
        padding, need_weights, mask = masks
        turned = self.batch_first and query.ndim == 3
        if turned:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        separate = not self._qkv_same_embed_dim
        weights = self._parameters
        made, found = F.multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            weights.get("in_proj_weight"),
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            self.training,
            padding,
            need_weights,
            mask,
            separate,
            weights.get("q_proj_weight"),
            weights.get("k_proj_weight"),
            weights.get("v_proj_weight"),
            average_attn_weights=average,
        )
        return made.transpose(0, 1) if turned else made, found  # type: ignore[attr-defined]

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        wanted = {"query": (query, self.embed_dim), "key": (key, self.kdim)}
        wanted["value"] = (value, self.vdim)
        for name, (x, width) in wanted.items():
            if x.array.ndim not in (2, 3) or x.array.shape[-1] != width:
                raise ShapeError(
                    "MultiheadAttention",
                    f"{name} must have 2 or 3 axes, the last of size {width}",
                    hint="[batch, steps, size]" if self.batch_first else "[steps, batch, size]",
                    **{n: type_of(t) for n, (t, _) in wanted.items()},
                )
        batch = 0 if self.batch_first else 1
        sizes = [x.array.shape for x in (query, key, value)]
        ranks = {len(shape) for shape in sizes}
        alike = len(ranks) == 1 and sizes[1][:-1] == sizes[2][:-1]
        if not alike or (3 in ranks and sizes[0][batch] != sizes[1][batch]):
            raise ShapeError(
                "MultiheadAttention",
                "the batches are not of one size, or there is not a value for each key",
                hint="query [N, L, E], key [N, S, ...], value [N, S, ...]",
                **{n: type_of(t) for n, (t, _) in wanted.items()},
            )

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        if self._qkv_same_embed_dim and query is key is value:
            return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)  # type: ignore
        if self._qkv_same_embed_dim:
            weights = chunk(self.in_proj_weight, 3, 0)
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
        made = None
        if attn_mask is not None:
            made = _additive(attn_mask, q.dtype)
            size = (q.array.shape[-2], k.array.shape[-2])
            full = (q.array.shape[0] * self.num_heads, *size)
            if made.array.shape not in (size, full):
                raise ShapeError(
                    "MultiheadAttention",
                    "attn_mask is of another shape",
                    hint="[L, S] or [N * heads, L, S]",
                    attn_mask=type_of(attn_mask),
                    query=type_of(q),
                    key=type_of(k),
                )
            if made.array.ndim == 3:
                made = reshape(made, (-1, self.num_heads, *made.array.shape[1:]))
        if padding is None:
            return made
        size = (k.array.shape[0], k.array.shape[-2])
        if padding.array.shape not in (size, size[1:] if size[0] == 1 else size):
            raise ShapeError(
                "MultiheadAttention",
                "key_padding_mask is of another shape",
                hint=f"[N, S] = {list(size)}, and True for the keys that are left out",
                key_padding_mask=type_of(padding),
            )
        columns = reshape(_additive(padding, q.dtype), (-1, 1, 1, k.array.shape[-2]))
        return columns if made is None else add(made, columns)

    def _with_weights(self, q: Tensor, k: Tensor, v: Tensor, mask: Any, drop: float) -> Any:
        scores = mul(matmul(q, transpose(k, -1, -2)), self.head_dim**-0.5)
        weights = F.softmax(scores if mask is None else add(scores, mask), -1)
        dropped = F.dropout(weights, drop) if drop else weights
        return matmul(dropped, v), weights


def _causal(q: Tensor, k: Tensor) -> Tensor:
    """True for the keys after a query's position."""
    shape = (q.array.shape[-2], k.array.shape[-2])
    return triu(wrap(filled(shape, True, dtypes.bool_)), 1)


def _additive(mask: Tensor, dtype: DType) -> Tensor:
    if mask.dtype is not dtypes.bool_:
        return mask
    return where(mask, constant(-math.inf, dtype), constant(0.0, dtype))  # type: ignore[no-any-return]


ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


def activation_of(op: str, activation: Any) -> Any:
    """A function or module, by its name too. Raises ArgumentError for an unknown name."""
    if isinstance(activation, str) and activation not in ACTIVATIONS:
        hint = "'relu', 'gelu', or a function"
        raise ArgumentError(op, f"activation={activation!r} is not known", hint=hint)
    return ACTIVATIONS[activation] if isinstance(activation, str) else activation


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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options = {"dtype": dtype, "device": device}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **options
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation_of("TransformerEncoderLayer", activation)

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
            return src + self._feed(self.norm2(src))  # type: ignore[no-any-return]
        src = self.norm1(src + self._attend(src, *rest))
        return self.norm2(src + self._feed(src))  # type: ignore[no-any-return]

    def _attend(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, causal: bool) -> Any:
        made, _ = self.self_attn(x, x, x, padding, False, mask, is_causal=causal)
        return self.dropout1(made)

    def _feed(self, x: Tensor) -> Any:
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerEncoder(Module):
    """`num_layers` copies of an encoder layer, then an optional normalisation."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
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
        return src if self.norm is None else self.norm(src)


guard(globals())
