"""Losses that are collected, as tf.losses. Floor 13.

Each is a number: the sum of the elements' losses times their weights, over how many weights are
not 0 (SUM_BY_NONZERO_WEIGHTS). It is added to the collection "losses".
"""

from __future__ import annotations

from typing import Any, final

from twofold.ops import compare, elementwise
from twofold.ops.tensor import Tensor
from twofold.v1 import functions
from twofold.v1.arrays import add_n, cast, log, reduce_mean, reduce_sum, reshape, square, where
from twofold.v1.state import add_to_collection, get_collection, given

LOSSES = "losses"


@final
class Reduction:
    """How the losses of elements become one."""

    NONE: str = "none"
    SUM: str = "weighted_sum"
    MEAN: str = "weighted_mean"
    SUM_OVER_BATCH_SIZE: str = "weighted_sum_over_batch_size"
    SUM_OVER_NONZERO_WEIGHTS: str = "weighted_sum_by_nonzero_weights"
    SUM_BY_NONZERO_WEIGHTS: str = "weighted_sum_by_nonzero_weights"


def compute_weighted_loss(
    losses: Any,
    weights: Any = 1.0,
    scope: str | None = None,
    loss_collection: str | None = LOSSES,
    reduction: str = Reduction.SUM_BY_NONZERO_WEIGHTS,
) -> Tensor:
    """The losses of elements as one number, in the collection."""
    losses = given(losses)
    each = cast(given(weights), losses.dtype).expand(tuple(losses.array.shape))
    made = losses * each
    if reduction != Reduction.NONE:
        made = reduce_sum(made)
        if reduction == Reduction.MEAN:
            made = _over(made, reduce_sum(each))
        elif reduction == Reduction.SUM_OVER_BATCH_SIZE:
            made = made / losses.array.size
        elif reduction == Reduction.SUM_BY_NONZERO_WEIGHTS:
            made = _over(made, reduce_sum(cast(each != 0, losses.dtype)))
    if loss_collection:
        add_to_collection(loss_collection, made)
    return made


def _over(total: Tensor, count: Tensor) -> Tensor:
    """total / count, and 0 over 0."""
    none = count == 0
    return where(none, 0.0 * total, total / where(none, count + 1, count))


def get_losses(scope: str | None = None, loss_collection: str = LOSSES) -> list[Any]:
    return get_collection(loss_collection, scope)


def get_regularization_losses(scope: str | None = None) -> list[Any]:
    return get_collection("regularization_losses", scope)


def get_regularization_loss(scope: str | None = None, name: str | None = None) -> Tensor:
    found = get_regularization_losses(scope)
    return add_n(found) if found else given(0.0)


def get_total_loss(
    add_regularization_losses: bool = True, name: str = "total_loss", scope: str | None = None
) -> Tensor:
    """The sum of the losses that were collected, and of the weights' regularizers."""
    found = get_losses(scope)
    if add_regularization_losses:
        found = found + get_regularization_losses(scope)
    return add_n(found) if found else given(0.0)


def add_loss(loss: Any, loss_collection: str = LOSSES) -> None:
    add_to_collection(loss_collection, loss)


# ---- regression ----------------------------------------------------------------------------------


def _both(labels: Any, predictions: Any) -> tuple[Tensor, Tensor]:
    found = given(predictions)
    labels = cast(given(labels), found.dtype)
    functions.same_shape("losses", labels, found)
    return labels, found


def mean_squared_error(labels: Any, predictions: Any, weights: Any = 1.0, **given_: Any) -> Tensor:
    """(labels - predictions) ** 2"""
    labels, found = _both(labels, predictions)
    return compute_weighted_loss(square(found - labels), weights, **given_)


def absolute_difference(labels: Any, predictions: Any, weights: Any = 1.0, **given_: Any) -> Tensor:
    """|labels - predictions|"""
    labels, found = _both(labels, predictions)
    return compute_weighted_loss(elementwise.abs(found - labels), weights, **given_)


def huber_loss(
    labels: Any, predictions: Any, weights: Any = 1.0, delta: float = 1.0, **given_: Any
) -> Tensor:
    """Half the square of the difference d up to `delta`, and delta * (|d| - delta / 2) beyond."""
    labels, found = _both(labels, predictions)
    far = elementwise.abs(found - labels)
    near = compare.minimum(far, given(delta, far.dtype))
    return compute_weighted_loss(near * near * 0.5 + (far - near) * delta, weights, **given_)


def log_loss(
    labels: Any, predictions: Any, weights: Any = 1.0, epsilon: float = 1e-7, **given_: Any
) -> Tensor:
    """-labels log(predictions) - (1 - labels) log(1 - predictions)"""
    labels, found = _both(labels, predictions)
    each = -labels * log(found + epsilon) - (1 - labels) * log(1 - found + epsilon)
    return compute_weighted_loss(each, weights, **given_)


def hinge_loss(labels: Any, logits: Any, weights: Any = 1.0, **given_: Any) -> Tensor:
    """max(0, 1 - s * logits), s = -1 and 1 for labels 0 and 1."""
    labels, found = _both(labels, logits)
    each = compare.maximum(1 - (2 * labels - 1) * found, given(0.0, found.dtype))
    return compute_weighted_loss(each, weights, **given_)


def cosine_distance(
    labels: Any, predictions: Any, axis: int = -1, weights: Any = 1.0, **given_: Any
) -> Tensor:
    """1 - the product of vectors, which have length 1 already."""
    labels, found = _both(labels, predictions)
    each = 1 - reduce_sum(labels * found, axis, keepdims=True)
    return compute_weighted_loss(each, weights, **given_)


# ---- classes -------------------------------------------------------------------------------------


def softmax_cross_entropy(
    onehot_labels: Any, logits: Any, weights: Any = 1.0, label_smoothing: float = 0, **given_: Any
) -> Tensor:
    """Cross entropy with the chances of the classes."""
    logits = given(logits)
    labels = cast(given(onehot_labels), logits.dtype)
    if label_smoothing:
        classes = labels.array.shape[-1]
        labels = labels * (1 - label_smoothing) + label_smoothing / classes
    each = functions.softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return compute_weighted_loss(each, weights, **given_)


def sparse_softmax_cross_entropy(
    labels: Any, logits: Any, weights: Any = 1.0, **given_: Any
) -> Tensor:
    """Cross entropy with the numbers of the classes; labels may have a last axis of size 1."""
    logits, labels = given(logits), given(labels)
    if labels.array.ndim == logits.array.ndim:
        labels = reshape(labels, (-1,))
    each = functions.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    return compute_weighted_loss(each, weights, **given_)


def sigmoid_cross_entropy(
    multi_class_labels: Any,
    logits: Any,
    weights: Any = 1.0,
    label_smoothing: float = 0,
    **given_: Any,
) -> Tensor:
    """Cross entropy of each class with its own chance."""
    logits = given(logits)
    labels = cast(given(multi_class_labels), logits.dtype)
    if label_smoothing:
        labels = labels * (1 - label_smoothing) + label_smoothing / 2
    each = functions.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits)
    return compute_weighted_loss(each, weights, **given_)


def mean_pairwise_squared_error(labels: Any, predictions: Any, **given_: Any) -> Tensor:
    """For each row, the mean square of the differences between pairs of its errors."""
    labels, found = _both(labels, predictions)
    errors = reshape(found - labels, (found.array.shape[0], -1))
    count = errors.array.shape[1]
    mean = reduce_mean(errors, 1, keepdims=True)
    each = reduce_sum(square(errors - mean), 1) * (2 / (count - 1)) if count > 1 else 0.0 * mean
    return compute_weighted_loss(each, **given_)
