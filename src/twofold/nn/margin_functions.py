"""Losses with margins between classes, labels or distances, as functions. Floor 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, IndexRangeError, ShapeError
from twofold.nn.distance_functions import pairwise_distance
from twofold.nn.loss_functions import check_reduction, reduce_loss, same_shape
from twofold.ops.composite import logsigmoid
from twofold.ops.creation import arange, zeros
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.ranges import in_range
from twofold.ops.tensor import Tensor, type_of


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the other classes of max(0, margin - x[target] + x[class]) ** p.

    input f[N, C] or f[C], target i64[N] or i64[]. p is 1 or 2.
    """
    op = "multi_margin_loss"
    reduction = check_reduction(op, reduction, size_average, reduce)
    if p not in (1, 2):
        raise ArgumentError(op, f"p is {p}", hint="1 or 2")
    x: Any = input
    t: Any = target
    rows, numbers = (x, t) if x.ndim == 2 else (x.reshape(1, -1), t.reshape(1))
    if rows.ndim != 2 or numbers.shape != rows.shape[:1]:
        facts: Any = {"input": type_of(x), "target": type_of(t)}
        raise ShapeError(op, "a class for each row is wanted", **facts)
    classes = rows.shape[1]
    if weight is not None and weight.array.shape != (classes,):
        facts = {"input": type_of(x), "weight": type_of(weight)}
        raise ShapeError(op, f"{classes} class weights are wanted", **facts)
    numbers = _checked(op, numbers, 0, classes)
    own = rows.gather(1, numbers.unsqueeze(1))
    away = (margin - own + rows).clamp(min=0)
    away = away**p if p != 1 else away
    if weight is not None:
        away = away * weight[numbers].unsqueeze(1)  # type: ignore[index]
    others = arange(classes) != numbers.unsqueeze(1)
    made = ((away.masked_fill(~others, 0)).sum(1) / classes).reshape(t.shape)
    return reduce_loss(op, made, reduction)


def _checked(op: str, target: Tensor, low: int, classes: int) -> Any:
    def error(number: Any) -> Exception:
        return IndexRangeError(op, f"a class is not within {low} to {classes - 1}")

    return in_range(cast(target, dtypes.int64), low, classes, error)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum over labels and other classes of max(0, 1 - x[label] + x[class]) / classes.

    target i64[N, C] lists the labels of each row, and ends at the first -1.
    """
    op = "multilabel_margin_loss"
    reduction = check_reduction(op, reduction, size_average, reduce)
    same_shape(op, input=input, target=target)
    x: Any = input
    t: Any = target
    rows, labels = (x, t) if x.ndim == 2 else (x.reshape(1, -1), t.reshape(1, -1))
    classes = rows.shape[1]
    labels = _checked(op, labels, -1, classes)
    used = (labels < 0).long().cumsum(1) == 0
    places = labels.clamp(min=0)
    marked = zeros(*rows.shape).scatter_add(1, places, used.to(zeros(0).dtype)) > 0  # type: ignore[attr-defined]
    own = rows.gather(1, places)
    away = (1 - own.unsqueeze(2) + rows.unsqueeze(1)).clamp(min=0)
    counted = used.unsqueeze(2) & ~marked.unsqueeze(1)
    made = away.masked_fill(~counted, 0).sum((1, 2)) / classes
    made = made if x.ndim == 2 else made.reshape(())
    return reduce_loss(op, made, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over classes of the binary cross entropy of logits with targets of 0 and 1."""
    op = "multilabel_soft_margin_loss"
    same_shape(op, input=input, target=target)
    x: Any = input
    t: Any = target
    made = -(t * logsigmoid(x) + (1 - t) * logsigmoid(-x))
    made = made if weight is None else made * weight
    return reduce_loss(op, made.sum(-1) / x.shape[-1], reduction, size_average, reduce)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[..., Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), for a distance of one's own."""
    op = "triplet_margin_with_distance_loss"
    same_shape(op, anchor=anchor, positive=positive, negative=negative)
    if margin <= 0:
        raise ArgumentError(op, f"margin is {margin}", hint="margin > 0")
    distance: Any = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduce_loss(op, (near - far + margin).clamp(min=0), reduction)


guard(globals())
