"""Attention whose scores and mask are functions of the user's: torch.nn.attention.flex_attention.
Floor 10.

The functions are given all scores at once: a tensor f[B, H, L, S], and the indices of batch, head,
query and key as tensors that broadcast to it. That is what a function of one score means, as long
as it is made of operations on elements and of indexing (`bias[head, query - key]`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, final

from twofold.base.errors import ArgumentError, ShapeError
from twofold.base.records import NamedTuple
from twofold.ops.bitwise import bitwise_and, bitwise_or
from twofold.ops.compare import ge, where
from twofold.ops.creation import arange, zeros
from twofold.ops.linalg import matmul
from twofold.ops.movement import expand, reshape
from twofold.ops.normalize import softmax
from twofold.ops.rules import constant
from twofold.ops.tensor import Tensor, type_of

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "and_masks", "create_block_mask", "create_mask",
    "flex_attention", "noop_mask", "or_masks",
]  # fmt: skip

Mask = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Score = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
BLOCK_SIZE = _DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What flex_attention is to give besides its result: the logarithm of the sum of exponentials,
    and the largest score, of each query."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What was asked for by an AuxRequest; None what was not."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


@final
class BlockMask:
    """Which keys each query sees, as the function that says so, for B batches and H heads (1: the
    same for all) of Q_LEN queries and KV_LEN keys.
    """

    def __init__(self, mask_mod: Mask, shape: tuple[int, int, int, int], block: Any) -> None:
        self.mask_mod = mask_mod
        self.shape = shape
        self.BLOCK_SIZE = block if isinstance(block, tuple) else (block, block)
        self.seq_lengths = shape[2:]

    def to_dense(self) -> Tensor:
        """The mask of all scores: bool[B, H, Q_LEN, KV_LEN]."""
        return create_mask(self.mask_mod, *self.shape)

    def sparsity(self) -> float:
        """How many of the scores are left out, in percent."""
        dense = self.to_dense()
        return 100.0 - 100.0 * float(dense.sum().item()) / max(dense.array.size, 1)  # type: ignore[attr-defined]

    def to(self, *_: Any, **__: Any) -> BlockMask:
        return self

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, BLOCK_SIZE={self.BLOCK_SIZE})"


def noop_mask(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Every query sees every key."""
    return ge(query, 0)


def and_masks(*masks: Mask) -> Mask:
    """The function of a mask where all of these hold."""
    return _together(masks, bitwise_and)


def or_masks(*masks: Mask) -> Mask:
    """The function of a mask where one of these holds."""
    return _together(masks, bitwise_or)


def _together(masks: tuple[Mask, ...], join: Callable[[Tensor, Tensor], Tensor]) -> Mask:
    def mask(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return functools.reduce(join, [one(batch, head, query, key) for one in masks])

    return mask


def _places(batches: int, heads: int, queries: int, keys: int) -> list[Tensor]:
    """The indices of batch, head, query and key, which broadcast to all scores."""
    shapes = ((batches, 1, 1, 1), (heads, 1, 1), (queries, 1), (keys,))
    return [reshape(arange(shape[0]), shape) for shape in shapes]


def create_mask(
    mod_fn: Any, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None
) -> Tensor:
    """What a function of a mask gives for all scores: bool[B, H, Q_LEN, KV_LEN]; or one of scores,
    for scores of 0: f[...].
    """
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    places = _places(*shape)
    scored = _arguments(mod_fn) == 5
    made = mod_fn(zeros(*shape), *places) if scored else mod_fn(*places)
    return expand(made, shape)


def _arguments(function: Any) -> int:
    code = getattr(function, "__code__", None)
    if code is None or code.co_flags & 0x04:  # *args
        return 4
    return code.co_argcount - (1 if hasattr(function, "__self__") else 0)  # type: ignore[no-any-return]


def create_block_mask(
    mask_mod: Mask,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = BLOCK_SIZE,
    _compile: bool = False,
    **_: Any,
) -> BlockMask:
    """A mask for flex_attention: mask_mod(batch, head, query, key) tells if a query sees a key.

    B and H of None stand for 1: the same mask for all batches or heads.
    """
    return BlockMask(mask_mod, (B or 1, H or 1, Q_LEN, KV_LEN), BLOCK_SIZE)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Score | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """softmax(score_mod(query key^T scale)) value, over the keys that the mask lets a query see.

    query f[B, H, L, E], key f[B, H, S, E], value f[B, H, S, Ev] -> f[B, H, L, Ev], and with
    return_lse the logarithm of the sum of exponentials f[B, H, L] (or with return_aux what that
    asks for). enable_gqa: key and value have
    fewer heads, each for as many neighbouring heads of query. A query that sees no key gives zeros.
    Raises ShapeError for shapes that do not fit.
    """
    _check(query, key, value, block_mask, enable_gqa)
    heads = query.array.shape[1]
    if key.array.shape[1] != heads:
        times = heads // key.array.shape[1]
        key, value = (x.repeat_interleave(times, 1) for x in (key, value))  # type: ignore[attr-defined]
    factor = 1.0 / math.sqrt(query.array.shape[-1]) if scale is None else scale
    scores: Any = matmul(query, key.transpose(-2, -1)) * factor  # type: ignore[attr-defined, operator]
    places = _places(*scores.array.shape)
    if score_mod is not None:
        scores = score_mod(scores, *places)
    seen = None
    if block_mask is not None:
        seen = block_mask.mask_mod(*places)
        scores = where(seen, scores, constant(-math.inf, scores.dtype))
    weights = softmax(scores, -1)
    if seen is not None:
        some = expand(seen, scores.array.shape).any(-1, True)  # type: ignore[attr-defined]
        weights = where(some, weights, constant(0.0, weights.dtype))
    made = matmul(weights, value)
    if return_aux is not None:
        lse = scores.logsumexp(-1) if return_aux.lse else None
        return made, AuxOutput(lse, scores.amax(-1) if return_aux.max_scores else None)
    return (made, scores.logsumexp(-1)) if return_lse else made


def _check(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask | None, grouped: bool
) -> None:
    facts: Any = {"query": type_of(query), "key": type_of(key), "value": type_of(value)}
    op = "flex_attention"
    if any(x.array.ndim != 4 for x in (query, key, value)):
        hint = "[batch, heads, steps, size]"
        raise ShapeError(op, "query, key and value have 4 axes", hint=hint, **facts)
    if key.array.shape[2] != value.array.shape[2] or key.array.shape[1] != value.array.shape[1]:
        raise ShapeError(op, "key and value have different heads or lengths", **facts)
    heads, others = query.array.shape[1], key.array.shape[1]
    if heads != others and not (grouped and heads % others == 0):
        hint = "enable_gqa=True, for a number of heads that key's divides"
        raise ShapeError(op, f"{heads} heads of query, {others} of key", hint=hint, **facts)
    lengths = (query.array.shape[2], key.array.shape[2])
    if mask is not None and mask.seq_lengths != lengths:
        problem = f"block_mask is for lengths {mask.seq_lengths[0]} and {mask.seq_lengths[1]}"
        raise ArgumentError(op, problem, hint=f"create_block_mask(..., {lengths[0]}, {lengths[1]})")
