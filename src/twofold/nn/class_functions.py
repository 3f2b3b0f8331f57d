"""Losses of classes as functions: cross entropy and negative log-likelihood. Floor 10."""

from __future__ import annotations

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.loss_functions import asked_reduction, reduce_loss, same_shape
from twofold.ops.bind import bind, mode
from twofold.ops.compare import ne, where
from twofold.ops.elementwise import add, cast, mul, neg, true_divide
from twofold.ops.gather import GATHER, gather
from twofold.ops.guarding import guard
from twofold.ops.loss import CROSS_ENTROPY, check_labels, mean_of_rows
from twofold.ops.movement import reshape
from twofold.ops.normalize import log_softmax
from twofold.ops.reduce import sum
from twofold.ops.rules import as_tensor
from twofold.ops.stand_in import stands_in
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.views import movedim, squeeze, unsqueeze


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative log-likelihood of labels under softmax(input).

    input f[N, C], f[N, C, ...] or f[C]; target i64[N], i64[N, ...] or i64[] of class numbers, or
    probabilities of the input's shape. weight f[C]. Raises ShapeError (nothing is broadcast),
    IndexRangeError for a label out of range.
    """
    op = "cross_entropy"
    if type(input) is not Tensor or type(target) is not Tensor:
        input, target = as_tensor(input, op), as_tensor(target, op, "target")
    if weight is None and reduction == "mean" and size_average is None and reduce is None:
        found = mean_of_rows(input, target, int(ignore_index), float(label_smoothing))
        if found is not None:
            return found
    reduction = asked_reduction(reduction, size_average, reduce)
    if input.array.ndim == 1:
        _check_single(op, input, target)
        made = cross_entropy(
            unsqueeze(input, 0),
            unsqueeze(target, 0),
            weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
        )
        return reshape(made, ()) if reduction == "none" else made
    _check_weight(op, input, weight)
    if not 0.0 <= label_smoothing <= 1.0:
        what = f"label_smoothing = {label_smoothing}"
        raise ArgumentError(op, what, hint="0 <= label_smoothing <= 1")
    if target.dtype.is_floating_point:
        if ignore_index >= 0:
            what = f"ignore_index = {ignore_index} goes with class numbers, not with probabilities"
            raise ArgumentError(op, what, hint="no ignore_index", target=type_of(target))
        loss = _soft(input, target, weight, label_smoothing)
        rows = loss.array.size
        if reduction == "mean":
            return true_divide(sum(loss), float(rows) if rows else float("nan"))
        return reduce_loss(op, loss, reduction)
    target = check_labels(op, input, target, ignore_index)
    if weight is not None and weight.tracked:
        # its own gradient too, which the kernels do not give
        return _weighted(input, target, weight, ignore_index, reduction, label_smoothing)
    logits, labels = _as_rows(input), reshape(target, (-1,))
    weights = () if weight is None else (cast(weight, input.dtype),)
    attrs = (int(ignore_index), float(label_smoothing))
    loss = bind(CROSS_ENTROPY, (logits, labels, *weights), attrs)
    if reduction == "mean" and weights:
        return true_divide(sum(loss), sum(_row_weights(weights[0], target, ignore_index)))
    if reduction == "mean" and _leaves_out(target, ignore_index):
        return _mean_of(loss, sum(ne(target, ignore_index)))
    loss = loss if reduction == "mean" else reshape(loss, target.array.shape)
    return reduce_loss(op, loss, reduction)


def _mean_of(loss: Tensor, count: Tensor) -> Tensor:
    """The mean of `count` rows, rounded once, as that of all rows is."""
    wide = dtypes.float32 if loss.dtype.itemsize < 4 else loss.dtype
    return cast(true_divide(sum(cast(loss, wide)), cast(count, wide)), loss.dtype)


def _leaves_out(target: Tensor, ignore: int) -> bool:
    """Whether rows are left out; who cannot know (a graph, a transform) counts them every time."""
    unknown = mode.capture is not None or stands_in(target.array)
    return unknown or bool((target.array == ignore).any())


def _as_rows(x: Tensor) -> Tensor:
    """f[N, C, ...] -> f[N ..., C]."""
    if x.array.ndim == 2:
        return x
    return reshape(movedim(x, 1, -1), (-1, x.array.shape[1])) if x.array.size else _no_rows(x)


def _no_rows(x: Tensor) -> Tensor:
    count = int(np.prod(x.array.shape[:1] + x.array.shape[2:]))
    return reshape(movedim(x, 1, -1), (count, x.array.shape[1]))


def _check_single(op: str, x: Tensor, target: Tensor) -> None:
    """One row of logits has one label, or probabilities of its own shape."""
    wanted = x.array.shape if target.dtype.is_floating_point else ()
    if target.array.shape != wanted:
        turned = x.dtype.is_integer and target.dtype.is_floating_point
        raise ShapeError(
            op,
            "logits and labels do not fit",
            hint="the logits first, then the labels"
            if turned
            else "logits [C] with a label [], or logits [N, C] with labels [N]",
            input=type_of(x),
            target=type_of(target),
        )


def _check_weight(op: str, x: Tensor, weight: Tensor | None) -> None:
    if weight is not None and weight.array.shape != x.array.shape[1:2]:
        raise ShapeError(
            op,
            "weight is not one number for each class",
            hint=f"a weight of shape [{x.array.shape[1]}]",
            input=type_of(x),
            weight=type_of(weight),
        )


def _wide(weight: Tensor, x: Tensor) -> Tensor:
    """Class weights in the rank of f[N, C, ...]."""
    return reshape(weight, (1, -1, *(1,) * (x.array.ndim - 2)))


def _soft(x: Tensor, target: Tensor, weight: Tensor | None, smoothing: float) -> Tensor:
    same_shape("cross_entropy", input=x, target=target)
    if smoothing:
        target = add(mul(target, 1 - smoothing), smoothing / x.array.shape[1])
    logs = log_softmax(x, 1)
    logs = logs if weight is None else mul(logs, _wide(weight, x))
    return neg(sum(mul(logs, target), 1))


def _weighted(
    x: Tensor, target: Tensor, weight: Tensor, ignore: int, reduction: str, smoothing: float
) -> Tensor:
    logs = log_softmax(x, 1)
    if not smoothing:
        return nll_loss(logs, target, weight, ignore_index=ignore, reduction=reduction)
    hard = nll_loss(logs, target, weight, ignore_index=ignore, reduction="none")
    used = ne(target, ignore)
    smooth = where(used, neg(sum(mul(logs, _wide(weight, x)), 1)), 0.0)
    loss = add(mul(hard, 1 - smoothing), mul(smooth, smoothing / x.array.shape[1]))
    if reduction != "mean":
        return reduce_loss("cross_entropy", loss, reduction)
    return true_divide(sum(loss), sum(_row_weights(weight, target, ignore)))


def _labels(target: Tensor, ignore: int) -> Tensor:
    """The labels, and 0 where a row is left out."""
    return where(ne(target, ignore), target, 0)  # type: ignore[no-any-return]


def _row_weights(weight: Tensor, target: Tensor, ignore: int) -> Tensor:
    """The weight of each row's class, 0 where it is left out."""
    picked = weight[_labels(target, ignore)]  # type: ignore[index]
    return where(ne(target, ignore), picked, 0.0)  # type: ignore[no-any-return]


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[n, target[n]] for log-probabilities f[N, C, ...] and labels i64[N, ...]."""
    op = "nll_loss"
    reduction = asked_reduction(reduction, size_average, reduce)
    if input.array.ndim == 1:
        _check_single(op, input, target)
        rows, labels = unsqueeze(input, 0), unsqueeze(target, 0)
        made = nll_loss(rows, labels, weight, ignore_index=ignore_index, reduction=reduction)
        return reshape(made, ())
    target = check_labels(op, input, target, ignore_index)
    _check_weight(op, input, weight)
    if weight is None and not _leaves_out(target, ignore_index):
        loss = neg(squeeze(bind(GATHER, (input, unsqueeze(target, 1)), (1,)), 1))
        return reduce_loss(op, loss, reduction)
    used = ne(target, ignore_index)
    picked = squeeze(gather(input, 1, unsqueeze(_labels(target, ignore_index), 1)), 1)
    loss = where(used, neg(picked), 0.0)
    if weight is None and reduction == "mean":
        return _mean_of(loss, sum(used))
    if weight is not None:
        weights = _row_weights(weight, target, ignore_index)
        loss = mul(loss, weights)
        if reduction == "mean":
            return true_divide(sum(loss), sum(weights))
    return reduce_loss(op, loss, reduction)


guard(globals())
