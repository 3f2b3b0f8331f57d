"""Bags of embeddings, and losses of sequences without an alignment. Floor 10."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, IndexRangeError, ShapeError
from twofold.base.symbols import is_symbol, maximum, same_size
from twofold.nn.embedding_functions import embedding
from twofold.ops.bind import bind
from twofold.ops.compare import clamp_max, clamp_min, lt, where
from twofold.ops.creation import arange, tensor, zeros
from twofold.ops.ctc import CTC
from twofold.ops.elementwise import add, cast, sub
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.movement import reshape
from twofold.ops.ranges import in_range
from twofold.ops.rules import as_tensor, known_size
from twofold.ops.sorting import cumsum, searchsorted
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import unsqueeze


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of bags of rows of weight f[num, dim]: f[bags, dim].

    input i64[bags, n], or i64[numbers] with the place where each bag begins in `offsets`. An empty
    bag gives 0. Rows of number padding_idx do not count. per_sample_weights (mode="sum") multiply
    the rows.
    """
    numbers: Any = as_tensor(input, "embedding_bag")
    if mode not in ("sum", "mean", "max"):
        raise ArgumentError("embedding_bag", f"mode is {mode!r}", hint="sum, mean or max")
    if per_sample_weights is not None and mode != "sum":
        raise ArgumentError("embedding_bag", "per_sample_weights go with mode='sum'")
    count, bag = _bags(numbers, offsets, include_last_offset)
    flat = numbers.reshape(-1)
    rows: Any = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    kept = None
    if padding_idx is not None:
        row = padding_idx if padding_idx >= 0 else padding_idx + weight.array.shape[0]
        kept = flat != row
    place = bag.unsqueeze(1).expand(rows.shape)
    empty: Any = zeros(count, weight.array.shape[1], dtype=weight.dtype)
    if mode == "max":
        if kept is not None:
            rows = rows.masked_fill(~kept.unsqueeze(1), -np.inf)
        made = (empty - np.inf).scatter_reduce(0, place, rows, "amax")
        return made.masked_fill(made == -np.inf, 0)  # type: ignore[no-any-return]
    if per_sample_weights is not None:
        if per_sample_weights.array.shape != numbers.array.shape:
            facts: Any = {
                "input": type_of(numbers),
                "per_sample_weights": type_of(per_sample_weights),
            }
            raise ShapeError("embedding_bag", "a weight for each number is wanted", **facts)
        rows = rows * per_sample_weights.reshape(-1, 1)  # type: ignore[attr-defined]
    if kept is not None:
        rows = rows.masked_fill(~kept.unsqueeze(1), 0)
    made = empty.scatter_add(0, place, rows)
    if mode == "sum":
        return made  # type: ignore[no-any-return]
    ones = (bag * 0 + 1) if kept is None else kept.long()
    size = zeros(count, dtype=bag.dtype).scatter_add(0, bag, ones)  # type: ignore[attr-defined]
    return made / size.clamp(min=1).to(made.dtype).unsqueeze(1)  # type: ignore[no-any-return]


def _bags(numbers: Any, offsets: Any, last: bool) -> tuple[int, Any]:
    """How many bags there are, and the bag of each number in turn."""
    if numbers.ndim == 2:
        if offsets is not None:
            raise ArgumentError("embedding_bag", "offsets are for input of one axis")
        count, size = numbers.shape
        return count, arange(count * size) // max(size, 1)
    if numbers.ndim != 1 or offsets is None or offsets.ndim != 1:
        hint = "i64[bags, n], or i64[n] with offsets i64[bags]"
        problem = "the bags are not known"
        raise ShapeError("embedding_bag", problem, hint=hint, input=type_of(numbers))
    starts = offsets[:-1] if last else offsets
    bounds = offsets.array
    if (
        isinstance(bounds, np.ndarray)
        and bounds.size
        and (bounds[0] != 0 or bounds.max() > numbers.array.size)
    ):
        raise ArgumentError("embedding_bag", "offsets begin at 0 and end within the input")
    return starts.shape[0], searchsorted(starts, arange(numbers.shape[0]), right=True) - 1  # type: ignore[operator]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Minus the log-probability of each target over all its alignments (Graves et al. 2006).

    log_probs f[T, N, C] (or f[T, C]), targets i64[N, S] or all of them one after the other.
    reduction "mean" divides each loss by its target's length first. zero_infinity: a target that
    does not fit its steps counts as 0.
    """
    x: Any = as_tensor(log_probs, "ctc_loss", "log_probs")
    if reduction not in ("none", "mean", "sum"):
        raise ArgumentError("ctc_loss", f"reduction is {reduction!r}", hint="none, mean or sum")
    alone = x.ndim == 2
    if x.ndim not in (2, 3):
        raise ShapeError("ctc_loss", "[steps, batch, classes] are wanted", log_probs=type_of(x))
    x = x.unsqueeze(1) if alone else x
    steps, count, classes = x.shape
    lengths, sizes = _lengths(input_lengths, count), _lengths(target_lengths, count)
    if not 0 <= blank < classes:
        raise ArgumentError("ctc_loss", f"blank is {blank}", hint=f"0 to {classes - 1}")

    def too_long(number: Any) -> Exception:
        problem = f"an input length of {number} is not one that log_probs has"
        return ArgumentError("ctc_loss", problem, log_probs=type_of(log_probs))

    def unknown(number: Any) -> Exception:
        facts: Any = {"log_probs": type_of(log_probs), "targets": type_of(targets)}
        hint = "numbers from 0 up to log_probs' last axis"
        return IndexRangeError("ctc_loss", f"target {number} is not a class", hint=hint, **facts)

    lengths = in_range(lengths, 0, steps + 1, too_long)
    rows, sizes = _rows(targets, sizes, alone)
    rows = in_range(rows, 0, classes, unknown)
    made: Any = bind(CTC, (x, rows, lengths, sizes), (int(blank),))
    if zero_infinity:
        made = made.masked_fill(made == np.inf, 0.0)
    if reduction == "mean":
        return (made / clamp_min(sizes, 1).to(made.dtype)).mean()  # type: ignore[no-any-return, attr-defined]
    if reduction == "sum":
        return made.sum()  # type: ignore[no-any-return]
    return made.squeeze(0) if alone else made  # type: ignore[no-any-return]


def _lengths(given: Any, count: Any) -> Tensor:
    if isinstance(given, tuple | list) and any(map(is_symbol, given)):
        given = cat([arange(n, n + 1) for n in given], 0)  # numbers that a graph does not know
    values = given if isinstance(given, Tensor) else tensor(given, dtype=dtypes.int64)
    made = cast(reshape(values, (-1,)), dtypes.int64)
    if not same_size(made.array.shape[0], count):
        raise ShapeError("ctc_loss", f"{made.array.shape[0]} lengths for a batch of {count}")
    return made


def _from_one_row(labels: Tensor, sizes: Tensor, longest: Any) -> Tensor:
    """Targets that come one after the other as rows that are as long as the longest."""
    if longest == 0:
        return zeros(sizes.array.shape[0], 0, dtype=dtypes.int64)
    starts = unsqueeze(sub(cumsum(sizes, 0), sizes), 1)
    places = clamp_max(add(starts, arange(longest)), maximum(labels.array.size - 1, 0))
    return labels[places]  # type: ignore[index, no-any-return]


def _rows(targets: Tensor, sizes: Tensor, alone: bool) -> tuple[Tensor, Tensor]:
    """The targets as rows, with zeros behind the shorter ones; and their sizes, checked.

    Rows of targets that come one after the other are as long as the longest, which a program
    computes before each run.
    """
    labels = cast(targets, dtypes.int64)
    if alone and labels.array.ndim == 1:
        labels = unsqueeze(labels, 0)
    count = sizes.array.shape[0]

    def too_short(number: Any = None) -> Exception:
        return ShapeError("ctc_loss", "targets are shorter than told", targets=type_of(targets))

    if labels.array.ndim == 2:
        longest = labels.array.shape[1]
        if not same_size(labels.array.shape[0], count):
            raise too_short()
        sizes = in_range(sizes, 0, longest + 1, too_short)
    elif type(sizes.array) is not np.ndarray:
        sizes = in_range(sizes, 0, labels.array.size + 1, too_short)
        in_range(sizes.sum(), 0, labels.array.size + 1, too_short)  # type: ignore[attr-defined]
        none = zeros(1, dtype=dtypes.int64)
        longest = known_size(cat([sizes, none], 0).max().item())  # type: ignore[attr-defined]
        labels = _from_one_row(labels, sizes, longest)
    else:
        known = np.asarray(sizes.array)
        longest = int(known.max(initial=0))
        if known.min(initial=0) < 0 or labels.array.size < known.sum():
            raise too_short()
        labels = _from_one_row(labels, sizes, longest)
    inside = lt(arange(longest), unsqueeze(sizes, 1))
    return where(inside, labels, 0), sizes


guard(globals())
