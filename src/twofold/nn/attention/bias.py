"""Causal masks of queries and keys of unequal number, as torch.nn.attention.bias. Floor 10."""

from __future__ import annotations

import enum
from typing import Any

from twofold.base.errors import ArgumentError
from twofold.ops.creation import ones
from twofold.ops.tensor import Tensor

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(enum.IntEnum):
    """Which corner the diagonal begins in, or ends in."""

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


def CausalBias(variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> Tensor:
    """The mask bool[seq_len_q, seq_len_kv] for `attn_mask`. Raises ArgumentError."""
    if variant not in tuple(CausalVariant):
        hint = "CausalVariant.UPPER_LEFT"
        raise ArgumentError("CausalBias", f"variant={variant!r} is not known", hint=hint)
    later = seq_len_kv - seq_len_q if variant == CausalVariant.LOWER_RIGHT else 0
    whole: Any = ones(seq_len_q, seq_len_kv, dtype=bool)
    return whole.tril(later)  # type: ignore[no-any-return]


def _of_sizes(name: str, size: tuple[Any, ...]) -> tuple[int, int]:
    if len(size) != 2:
        raise ArgumentError(name, f"{len(size)} sizes", hint=f"{name}(queries, keys)")
    return size


def causal_upper_left(*size: Any) -> Tensor:
    """bool[q, k], true where key <= query, counted from the first ones: what is_causal=True is."""
    return CausalBias(CausalVariant.UPPER_LEFT, *_of_sizes("causal_upper_left", size))


def causal_lower_right(*size: Any) -> Tensor:
    """bool[q, k], true where key <= query, counted from the last ones, as queries that continue a
    cache want it.
    """
    return CausalBias(CausalVariant.LOWER_RIGHT, *_of_sizes("causal_lower_right", size))
