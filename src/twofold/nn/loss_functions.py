"""Losses as functions. Floor 10. A prediction is never broadcast against its target."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops import compare, composite, elementwise, normalize, transcendental
from twofold.ops.gather import gather
from twofold.ops.loss import check_labels, cross_entropy_rows
from twofold.ops.reduce import mean
from twofold.ops.reduce import sum as sum_
from twofold.ops.tensor import Tensor, type_of, wrap


def same_shape(op: str, input: Tensor, target: Tensor) -> None:
    """Raise ShapeError where the two differ: broadcasting would give a wrong loss without a
    word.
    """
    if input.array.shape != target.array.shape:
        hint = (
            "target.reshape(input.shape)"
            if input.array.size == target.array.size
            else "equal shapes"
        )
        raise ShapeError(
            op,
            "prediction and target have different shapes",
            hint=hint,
            input=type_of(input),
            target=type_of(target),
        )


def reduce_loss(op: str, loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum_(loss)
    if reduction == "none":
        return loss
    raise ArgumentError(op, f"reduction={reduction!r} is not known", hint="'mean', 'sum' or 'none'")


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)^2. Raises ShapeError unless the shapes are equal."""
    same_shape("mse_loss", input, target)
    return reduce_loss("mse_loss", elementwise.square(elementwise.sub(input, target)), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|."""
    same_shape("l1_loss", input, target)
    return reduce_loss("l1_loss", elementwise.abs(elementwise.sub(input, target)), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Quadratic below beta, linear above (Girshick 2015)."""
    same_shape("smooth_l1_loss", input, target)
    if beta == 0:
        return l1_loss(input, target, reduction)
    distance = elementwise.abs(elementwise.sub(input, target))
    inner = elementwise.square(distance) * (0.5 / beta)
    loss = compare.where(distance < beta, inner, distance - 0.5 * beta)
    return reduce_loss("smooth_l1_loss", loss, reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Quadratic below delta, linear above (Huber 1964)."""
    same_shape("huber_loss", input, target)
    distance = elementwise.abs(elementwise.sub(input, target))
    loss = compare.where(
        distance < delta, elementwise.square(distance) * 0.5, (distance - 0.5 * delta) * delta
    )
    return reduce_loss("huber_loss", loss, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), without overflow for large |x|."""
    same_shape("binary_cross_entropy_with_logits", input, target)
    positive = composite.softplus(-input)  # type: ignore[operator]
    if pos_weight is None:
        loss = (1 - target) * input + positive  # type: ignore[operator]
    else:
        loss = (1 - target) * input + (1 + (pos_weight - 1) * target) * positive  # type: ignore[operator]
    return reduce_loss(
        "binary_cross_entropy_with_logits", loss if weight is None else loss * weight, reduction
    )


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)); logarithms are held at -100 at the least, as PyTorch
    does.
    """
    same_shape("binary_cross_entropy", input, target)
    if input.array.size and not (np.nanmin(input.array) >= 0 and np.nanmax(input.array) <= 1):
        raise ArgumentError(
            "binary_cross_entropy",
            "probabilities must lie in 0 to 1",
            hint="binary_cross_entropy_with_logits for scores",
            input=type_of(input),
        )
    log_p = compare.clamp(transcendental.log(input), min=-100)
    log_q = compare.clamp(transcendental.log1p(-input), min=-100)  # type: ignore[operator]
    loss = -(target * log_p + (1 - target) * log_q)  # type: ignore[operator]
    return reduce_loss("binary_cross_entropy", loss if weight is None else loss * weight, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative log-likelihood of labels under softmax(input).

    input f[N, C] or f[N, C, ...] (or f[C]), target i64[N] or i64[N, ...] of class numbers, or
    probabilities of
    the input's shape. Raises ShapeError (never broadcasts), IndexRangeError for a label out of
    range.
    """
    if input.array.ndim == 1:
        one = target.reshape(1, -1) if target.array.ndim else target.reshape(1)  # type: ignore[attr-defined]
        made = cross_entropy(
            input.reshape(1, -1),  # type: ignore[attr-defined]
            one,
            weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
        return made.reshape(()) if reduction == "none" else made  # type: ignore[attr-defined, no-any-return]
    if target.array.dtype.kind == "f":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    if weight is not None:
        return _weighted(input, target, weight, ignore_index, reduction, label_smoothing)
    rows, labels = input, target
    if input.array.ndim > 2:
        check_labels("cross_entropy", input, target, ignore_index)
        rows = input.movedim(1, -1).reshape(-1, input.array.shape[1])  # type: ignore[attr-defined]
        labels = target.reshape(-1)  # type: ignore[attr-defined]
    loss = cross_entropy_rows(rows, labels, ignore_index, label_smoothing)
    return _reduced(loss, target, ignore_index, reduction)


def _reduced(loss: Tensor, target: Tensor, ignore_index: int, reduction: str) -> Tensor:
    if reduction == "none":
        return loss.reshape(target.array.shape)  # type: ignore[attr-defined, no-any-return]
    if reduction == "mean" and (target.array == ignore_index).any():
        count = int((target.array != ignore_index).sum())
        return sum_(loss) / (count if count else float("nan"))  # type: ignore[operator]
    return reduce_loss("cross_entropy", loss, reduction)


def _soft_cross_entropy(
    x: Tensor, target: Tensor, weight: Any, reduction: str, smoothing: float
) -> Tensor:
    same_shape("cross_entropy", x, target)
    classes = x.array.shape[1]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes  # type: ignore[operator]
    logs = normalize.log_softmax(x, 1)
    if weight is not None:
        logs = logs * weight.reshape(1, -1, *(1,) * (x.array.ndim - 2))
    loss = -sum_(logs * target, 1)  # type: ignore[operator]
    if reduction == "mean":
        return sum_(loss) / loss.array.size  # type: ignore[operator, no-any-return]
    return reduce_loss("cross_entropy", loss, reduction)


def _weighted(
    x: Tensor, target: Tensor, weight: Tensor, ignore: int, reduction: str, smoothing: float
) -> Tensor:
    logs = normalize.log_softmax(x, 1)
    if not smoothing:
        return nll_loss(logs, target, weight, ignore_index=ignore, reduction=reduction)
    hard = nll_loss(logs, target, weight, ignore_index=ignore, reduction="none")
    used = wrap((target.array != ignore).astype(x.array.dtype))
    wide = weight.reshape(1, -1, *(1,) * (x.array.ndim - 2))  # type: ignore[attr-defined]
    smooth = -sum_(logs * wide, 1) * used  # type: ignore[operator]
    loss = hard * (1 - smoothing) + smooth * (smoothing / x.array.shape[1])
    if reduction != "mean":
        return reduce_loss("cross_entropy", loss, reduction)
    return sum_(loss) / sum_(_row_weights(weight, target, ignore))  # type: ignore[operator]


def _row_weights(weight: Tensor, target: Tensor, ignore: int) -> Tensor:
    used = target.array != ignore
    picked = weight[wrap(np.where(used, target.array, 0))]  # type: ignore[index]
    return picked * wrap(used.astype(weight.array.dtype))  # type: ignore[no-any-return]


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: None = None,
    ignore_index: int = -100,
    reduce: None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[n, target[n]] for log-probabilities f[N, C, ...] and labels i64[N, ...]."""
    if input.array.ndim == 1:
        input, target = input.reshape(1, -1), target.reshape(1)  # type: ignore[attr-defined]
        made = nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
        return made.reshape(())  # type: ignore[attr-defined, no-any-return]
    check_labels("nll_loss", input, target, ignore_index)
    used = target.array != ignore_index
    labels = wrap(np.where(used, target.array, 0).astype(np.int64))
    picked = gather(input, 1, labels.unsqueeze(1)).squeeze(1)  # type: ignore[attr-defined]
    rows = wrap(used.astype(input.array.dtype))
    weights = rows if weight is None else weight[labels] * rows  # type: ignore[index]
    loss = -picked * weights
    return reduced_rows(loss, weights, reduction)


def reduced_rows(loss: Tensor, weights: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return sum_(loss) / sum_(weights)  # type: ignore[operator, no-any-return]
    return reduce_loss("nll_loss", loss, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: None = None,
    reduce: None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log target - input), input being log-probabilities; 'batchmean' divides by the
    batch.
    """
    same_shape("kl_div", input, target)
    if log_target:
        loss = transcendental.exp(target) * (target - input)  # type: ignore[operator]
    else:
        loss = transcendental.xlogy(target, target) - target * input  # type: ignore[operator]
    if reduction == "batchmean":
        return reduce_loss("kl_div", loss, "sum") / input.array.shape[0]  # type: ignore[operator, no-any-return]
    return reduce_loss("kl_div", loss, reduction)
