"""Losses of numbers, vectors and margins as functions. Floor 10.

A prediction is never broadcast against its target: a wrong shape raises instead of training on the
wrong loss. PyTorch's older options `size_average` and `reduce` are taken, with a warning.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from twofold.base import dtypes
from twofold.base.errors import ArgumentError, DTypeError, ShapeError
from twofold.nn.distance_functions import cosine_similarity, pairwise_distance
from twofold.ops import pointwise_loss
from twofold.ops.bind import bind
from twofold.ops.compare import clamp, eq, ge, gt, le, logical_and, minimum, ne, where
from twofold.ops.composite import softplus
from twofold.ops.elementwise import abs, add, cast, mul, neg, square, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.op import Op
from twofold.ops.ranges import require
from twofold.ops.reduce import all as all_of
from twofold.ops.reduce import mean, sum
from twofold.ops.rules import admit, as_tensor, operands
from twofold.ops.tensor import Tensor, type_of
from twofold.ops.transcendental import exp, log, xlogy

REDUCTIONS = ("mean", "sum", "none")


def same_shape(op: str, **tensors: Any) -> None:
    """Raise ShapeError where shapes differ: broadcasting would give a wrong loss without a word."""
    types = {name: type_of(as_tensor(x, op, name)) for name, x in tensors.items()}
    first, *others = types.values()
    for other in others:
        if other.shape != first.shape:
            alike = other.size == first.size
            raise ShapeError(
                op,
                f"{' and '.join(tensors)} have different shapes, and losses never broadcast",
                hint="target.reshape(input.shape)" if alike else "equal shapes",
                **types,
            )


def reduce_loss(
    op: str,
    loss: Tensor,
    reduction: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
) -> Tensor:
    """The mean or the sum of a loss, or itself. Raises ArgumentError for another word."""
    reduction = check_reduction(op, reduction, size_average, reduce)
    if reduction == "mean" and loss.array.dtype.kind in "bui":
        raise DTypeError(
            op, f"{loss.dtype.name} has no mean", hint="input.float()", loss=type_of(loss)
        )
    return {"mean": mean, "sum": sum, "none": lambda x: x}[reduction](loss)  # type: ignore[no-any-return]


def asked_reduction(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The word for what PyTorch's older options ask, with a warning; without them the word that is
    given.
    """
    if size_average is None and reduce is None:
        return reduction
    summed = "sum" if size_average is False else "mean"
    word = "none" if reduce is False else summed
    message = f"size_average and reduce are PyTorch's older options: reduction={word!r} says it"
    warnings.warn(message, stacklevel=3)
    return word


def check_reduction(
    op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None
) -> str:
    """The reduction that is asked for. Refuses words that are not known."""
    reduction = asked_reduction(reduction, size_average, reduce)
    if reduction not in REDUCTIONS:
        raise ArgumentError(
            op, f"reduction={reduction!r} is not known", hint="'mean', 'sum' or 'none'"
        )
    return reduction


def _pointwise(op: Op, input: Any, target: Any, *attrs: Any) -> Tensor:
    x, t = operands(op.name, input, target)
    return bind(op, (admit(op, x), t), attrs)  # type: ignore[no-any-return]


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2. Raises ShapeError unless the shapes are equal."""
    same_shape("mse_loss", input=input, target=target)
    if input.dtype.kind == "f":
        loss = _pointwise(pointwise_loss.SQUARED, input, target)
    else:
        loss = square(sub(input, target))
    return _weighted_mean("mse_loss", loss, weight, reduction, size_average, reduce)


def _weighted_mean(
    op: str,
    loss: Tensor,
    weight: Tensor | None,
    reduction: str,
    size_average: bool | None,
    reduce: bool | None,
) -> Tensor:
    """With weights, a mean divides by their sum."""
    if weight is None:
        return reduce_loss(op, loss, reduction, size_average, reduce)
    reduction = check_reduction(op, reduction, size_average, reduce)
    same_shape(op, input=loss, weight=weight)
    total = reduce_loss(op, mul(loss, weight), "sum" if reduction == "mean" else reduction)
    return true_divide(total, sum(weight)) if reduction == "mean" else total


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|."""
    same_shape("l1_loss", input=input, target=target)
    loss = abs(sub(input, target))
    return _weighted_mean("l1_loss", loss, weight, reduction, size_average, reduce)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Quadratic below beta, linear above (Girshick 2015)."""
    same_shape("smooth_l1_loss", input=input, target=target)
    if beta < 0:
        raise ArgumentError("smooth_l1_loss", f"beta = {beta}", hint="beta >= 0")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    loss = _pointwise(pointwise_loss.SMOOTH_L1, input, target, float(beta))
    return reduce_loss("smooth_l1_loss", loss, reduction, size_average, reduce)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Quadratic below delta, linear above (Huber 1964)."""
    same_shape("huber_loss", input=input, target=target)
    if not hasattr(delta, "__float__"):
        raise DTypeError("huber_loss", f"delta = {delta!r} is no number", hint="delta=1.0")
    if delta <= 0:
        raise ArgumentError("huber_loss", f"delta = {delta}", hint="delta > 0")
    loss = _pointwise(pointwise_loss.HUBER, input, target, float(delta))
    if weight is not None:
        same_shape("huber_loss", input=input, weight=weight)
        loss = mul(loss, weight)
    return reduce_loss("huber_loss", loss, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))), without overflow for large |x|.

    pos_weight: the factor of t, for each class; weight: of each element. Both are broadcast.
    """
    op = "binary_cross_entropy_with_logits"
    same_shape(op, input=input, target=target)
    if pos_weight is None:
        loss = _pointwise(pointwise_loss.BCE_LOGITS, input, target)
    else:
        factor = add(mul(sub(pos_weight, 1), target), 1)
        loss = add(mul(sub(1, target), input), mul(factor, softplus(neg(input))))
    loss = loss if weight is None else mul(loss, weight)
    return reduce_loss(op, loss, reduction, size_average, reduce)


def _no_probabilities(x: Tensor) -> Exception:
    return ArgumentError(
        "binary_cross_entropy",
        "probabilities must lie in 0 to 1",
        hint="binary_cross_entropy_with_logits for scores",
        input=type_of(x),
    )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)); logarithms are held at -100 at the least, as in PyTorch."""
    same_shape("binary_cross_entropy", input=input, target=target)
    within = all_of(logical_and(ge(input, 0), le(input, 1)))
    require(within, lambda: _no_probabilities(input))
    loss = _pointwise(pointwise_loss.BCE, input, target)
    loss = loss if weight is None else mul(loss, weight)
    return reduce_loss("binary_cross_entropy", loss, reduction, size_average, reduce)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target * (log target - input), input being log-probabilities; 'batchmean' divides by the
    batch.
    """
    same_shape("kl_div", input=input, target=target)
    reduction = asked_reduction(reduction, size_average, reduce)
    if log_target:
        loss = mul(exp(target), sub(target, input))
    else:
        loss = sub(xlogy(target, target), mul(target, input))
    if reduction != "batchmean":
        return reduce_loss("kl_div", loss, reduction)
    return true_divide(sum(loss), input.array.shape[0] if input.array.ndim else 1)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-log Poisson(target; rate): rate = exp(input), or input; full adds Stirling's terms."""
    same_shape("poisson_nll_loss", input=input, target=target)
    if log_input:
        loss = sub(exp(input), mul(target, input))
    else:
        loss = sub(input, mul(target, log(add(input, eps))))
    if full:
        stirling = target * log(target) - target + 0.5 * log(2 * math.pi * target)  # type: ignore[operator]
        loss = add(loss, where(gt(target, 1), stirling, 0.0))
    return reduce_loss("poisson_nll_loss", loss, reduction, size_average, reduce)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """-log Normal(target; mean input, variance var), var of its shape, or with one axis of size 1
    (the last one may be left out).
    """
    op = "gaussian_nll_loss"
    same_shape(op, input=input, target=target)
    spread = as_tensor(var, op, "var")
    shape = input.array.shape
    ones = [(*shape[:i], 1, *shape[i + 1 :]) for i in range(len(shape))]
    if spread.array.shape not in (shape, shape[:-1], *ones, ()):
        raise ShapeError(
            op,
            "var does not fit",
            hint="the input's shape",
            var=type_of(spread),
            input=type_of(input),
        )
    require(
        all_of(ge(spread, 0)),
        lambda: ArgumentError(op, "var has negative entries", hint="variances of 0 or more"),
    )
    if spread.array.ndim and spread.array.shape == shape[:-1] != shape:
        spread = spread.unsqueeze(-1)  # type: ignore[attr-defined]
    # The gradient does not see the bound, as in PyTorch.
    held = add(spread, sub(clamp(spread, min=eps), spread).detach())  # type: ignore[attr-defined]
    loss = mul(add(log(held), true_divide(square(sub(input, target)), held)), 0.5)
    loss = add(loss, 0.5 * math.log(2 * math.pi)) if full else loss
    return reduce_loss(op, loss, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * input)) for targets of 1 and -1."""
    same_shape("soft_margin_loss", input=input, target=target)
    loss = softplus(neg(mul(target, input)))
    return reduce_loss("soft_margin_loss", loss, reduction, size_average, reduce)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1."""
    same_shape("hinge_embedding_loss", input=input, target=target)
    far = clamp(sub(margin, input), min=0)
    loss = add(where(ne(target, 1), far, 0.0), where(ne(target, -1), input, 0.0))
    return reduce_loss("hinge_embedding_loss", loss, reduction, size_average, reduce)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target * (input1 - input2) + margin)."""
    same_shape("margin_ranking_loss", input1=input1, input2=input2, target=target)
    loss = clamp(add(neg(mul(target, sub(input1, input2))), margin), min=0)
    return reduce_loss("margin_ranking_loss", loss, reduction, size_average, reduce)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) where target is 1, max(0, cos - margin) where it is -1."""
    op = "cosine_embedding_loss"
    same_shape(op, input1=input1, input2=input2)
    rows = input1.array.shape[:-1]
    if target.array.shape != rows:
        raise ShapeError(
            op, "a target for each row is wanted", hint=f"a target of shape {list(rows)}",
            input1=type_of(input1), target=type_of(target),
        )  # fmt: skip
    if input1.dtype.kind in "bui":
        input1, input2 = (cast(x, dtypes.default_dtype()) for x in (input1, input2))
    near = cosine_similarity(input1, input2, -1)
    far = clamp(sub(near, margin), min=0)
    loss = add(where(eq(target, 1), sub(1, near), 0.0), where(eq(target, -1), far, 0.0))
    return reduce_loss(op, loss, reduction, size_average, reduce)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin) of rows."""
    op = "triplet_margin_loss"
    if margin <= 0:
        raise ArgumentError(op, f"margin is {margin}", hint="margin > 0")
    same_shape(op, anchor=anchor, positive=positive, negative=negative)
    near, far = (
        pairwise_distance(anchor, positive, p, eps),
        pairwise_distance(anchor, negative, p, eps),
    )
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduce_loss(
        op, clamp(add(sub(near, far), margin), min=0), reduction, size_average, reduce
    )


guard(globals())
