"""Losses over many classes of which some are drawn: NCE and sampled softmax. Floor 13.

Classes are drawn log-uniformly, with replacement: class c with the chance
(log(c + 2) - log(c + 1)) / log(classes + 1), as words are that are sorted by how often they come.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from twofold.base.dtypes import float32, int64
from twofold.base.errors import ShapeError
from twofold.frontends import session
from twofold.ops import compare, generators, random, rounding, transcendental
from twofold.ops.tensor import Tensor, type_of
from twofold.v1 import functions
from twofold.v1.arrays import (
    cast,
    concat,
    gather,
    log,
    matmul,
    ones_like,
    reduce_sum,
    reshape,
    where,
    zeros_like,
)
from twofold.v1.state import given


class Sampled(NamedTuple):
    """Classes that were drawn, and how often each of the true ones, and of these, is expected."""

    candidates: Tensor
    true_expected_count: Tensor
    sampled_expected_count: Tensor


def log_uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Sampled:
    """`num_sampled` classes below `range_max`, with replacement, whatever `unique`."""
    session.current_graph("log_uniform_candidate_sampler")
    source = None if seed is None else generators.Generator(seed=seed)
    drawn = random.rand((num_sampled,), dtype=float32, generator=source)
    numbers = rounding.floor(transcendental.exp(drawn * math.log(range_max + 1))) - 1
    numbers = cast(compare.minimum(numbers, given(float(range_max - 1))), int64)

    def expected(classes: Any) -> Tensor:
        c = cast(classes, float32)
        chance = (log(c + 2) - log(c + 1)) / math.log(range_max + 1)
        return chance * num_sampled

    return Sampled(numbers, expected(given(true_classes)), expected(numbers))


def _logits(
    op: str,
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int,
    sampled: Any,
    remove_hits: bool,
) -> tuple[Tensor, Tensor]:
    """Scores and labels of the true classes, and of the drawn ones behind them."""
    x, right = given(inputs), cast(given(labels), int64)
    right = reshape(right, (-1, num_true)) if right.array.ndim != 2 else right
    if right.array.shape[1] != num_true:
        raise ShapeError(op, f"labels are not {num_true} for each row", labels=type_of(right))
    found = sampled or log_uniform_candidate_sampler(
        right, num_true, num_sampled, True, num_classes
    )
    drawn = found[0]
    flat = reshape(right, (-1,))
    width = x.array.shape[1]
    rows = reshape(gather(weights, flat), (-1, num_true, width))
    true = reduce_sum(rows * x.unsqueeze(1), 2)
    true = true + reshape(gather(biases, flat), (-1, num_true)) - log(found[1])
    others = matmul(x, gather(weights, drawn), transpose_b=True) + gather(biases, drawn)
    others = others - log(found[2])
    if remove_hits:
        hits = (right.unsqueeze(2) == drawn.reshape((1, 1, -1))).any(1)
        others = where(hits, others - 1e37, others)
    wanted = concat([ones_like(true) / num_true, zeros_like(others)], 1)
    return concat([true, others], 1), wanted


def nce_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = False,
    partition_strategy: str = "mod",
    name: str | None = None,
) -> Tensor:
    """Noise-contrastive estimation (Gutmann, Hyvärinen 2010): for each row, whether a class is the
    true one or was drawn, as independent choices.
    """
    options = (num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits)
    logits, wanted = _logits("nce_loss", weights, biases, labels, inputs, *options)
    each = functions.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
    return reduce_sum(each, 1)


def sampled_softmax_loss(
    weights: Any,
    biases: Any,
    labels: Any,
    inputs: Any,
    num_sampled: int,
    num_classes: int,
    num_true: int = 1,
    sampled_values: Any = None,
    remove_accidental_hits: bool = True,
    partition_strategy: str = "mod",
    name: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """Cross entropy of the true class among it and the drawn ones (Jean et al. 2014,
    arXiv:1412.2007), a number for each row.
    """
    options = (num_sampled, num_classes, num_true, sampled_values, remove_accidental_hits)
    logits, wanted = _logits("sampled_softmax_loss", weights, biases, labels, inputs, *options)
    return functions.softmax_cross_entropy_with_logits(labels=wanted, logits=logits)
