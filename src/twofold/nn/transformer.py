"""The Transformer and its decoder (Vaswani et al. 2017). Floor 10."""

from __future__ import annotations

import copy
import math
from typing import Any

from twofold.base.errors import ShapeError
from twofold.nn import functional as F
from twofold.nn import init
from twofold.nn.container import ModuleList
from twofold.nn.layers import Dropout, Linear
from twofold.nn.module import Module
from twofold.nn.multihead import (
    MultiheadAttention,
    TransformerEncoder,
    TransformerEncoderLayer,
    activation_of,
)
from twofold.nn.norm import LayerNorm
from twofold.ops.creation import full
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.triangles import triu

__all__ = ["Transformer", "TransformerDecoder", "TransformerDecoderLayer"]


class TransformerDecoderLayer(Module):
    """Self-attention, attention to an encoder's memory, and a feed-forward net, each with a
    residual and a normalisation.

    tgt f[T, N, d_model], memory f[S, N, d_model] (batch_first: N before T and S) -> like tgt.
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
        heads = (d_model, nhead, dropout, bias)
        self.self_attn = MultiheadAttention(*heads, batch_first=batch_first, **options)
        self.multihead_attn = MultiheadAttention(*heads, batch_first=batch_first, **options)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **options)
        self.dropout1, self.dropout2 = Dropout(dropout), Dropout(dropout)
        self.dropout3 = Dropout(dropout)
        self.activation = activation_of("TransformerDecoderLayer", activation)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        own = (tgt_key_padding_mask, tgt_mask, tgt_is_causal)
        other = (memory_key_padding_mask, memory_mask, memory_is_causal)
        x: Any = tgt
        if self.norm_first:
            normed = self.norm1(x)
            x = x + self.dropout1(_attended(self.self_attn, normed, normed, *own))
            normed = self.norm2(x)
            x = x + self.dropout2(_attended(self.multihead_attn, normed, memory, *other))
            return x + self._feed(self.norm3(x))  # type: ignore[no-any-return]
        x = self.norm1(x + self.dropout1(_attended(self.self_attn, x, x, *own)))
        x = self.norm2(x + self.dropout2(_attended(self.multihead_attn, x, memory, *other)))
        return self.norm3(x + self._feed(x))  # type: ignore[no-any-return]

    def _feed(self, x: Tensor) -> Any:
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


def _attended(attention: Module, x: Any, memory: Any, padding: Any, mask: Any, causal: bool) -> Any:
    made, _ = attention(x, memory, memory, padding, False, mask, is_causal=causal)
    return made


class TransformerDecoder(Module):
    """`num_layers` copies of a decoder layer, then an optional normalisation."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder: src f[S, N, E], tgt f[T, N, E] -> f[T, N, E]."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = F.relu,
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options = {"dtype": dtype, "device": device}
        layer = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps)
        layer += (batch_first, norm_first, bias)  # type: ignore[assignment]
        last = {"eps": layer_norm_eps, "bias": bias} | options
        if custom_encoder is not None:
            self.encoder = custom_encoder
        else:
            encoder = TransformerEncoderLayer(*layer, **options)
            norm = LayerNorm(d_model, **last)
            self.encoder = TransformerEncoder(encoder, num_encoder_layers, norm)
        if custom_decoder is not None:
            self.decoder = custom_decoder
        else:
            decoder = TransformerDecoderLayer(*layer, **options)
            norm = LayerNorm(d_model, **last)
            self.decoder = TransformerDecoder(decoder, num_decoder_layers, norm)
        for parameter in self.parameters():
            if parameter.array.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        shapes = src.array.shape, tgt.array.shape
        axis = 0 if self.batch_first else 1
        if len(shapes[0]) == 3 and shapes[0][axis] != shapes[1][axis]:
            facts: Any = {"src": type_of(src), "tgt": type_of(tgt)}
            raise ShapeError("Transformer", "the batches differ", **facts)
        if shapes[0][-1] != self.d_model or shapes[1][-1] != self.d_model:
            problem = f"the last axes must have size d_model = {self.d_model}"
            raise ShapeError("Transformer", problem, src=type_of(src), tgt=type_of(tgt))
        memory = self.encoder(src, src_mask, src_key_padding_mask, bool(src_is_causal))
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        return self.decoder(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)  # type: ignore[no-any-return]

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """f[sz, sz]: -inf where a step would see a later one, else 0."""
        return triu(full((sz, sz), -math.inf, dtype=dtype), 1)


guard(globals())
