"""Cross entropy as one kernel each way. Floor 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, IndexRangeError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode
from twofold.ops.compare import eq, ne, where
from twofold.ops.elementwise import add, cast, mul, sub
from twofold.ops.movement import reshape
from twofold.ops.normalize import softmax
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.ranges import in_range
from twofold.ops.reduce import sum as sum_
from twofold.ops.source import ARANGE, made
from twofold.ops.tensor import Tensor, type_of, wrap

ATTRS = ("ignore_index", "smoothing")


def _rows(x: Any, target: Any, *weight: Any, ignore_index: int, smoothing: float) -> Any:
    top = x.max(axis=1, keepdims=True) if x.shape[1] else np.zeros((x.shape[0], 1), x.dtype)
    lse = (top[:, 0] + np.log(np.exp(x - top).sum(axis=1, dtype=x.dtype))).astype(x.dtype)
    used = target != ignore_index
    label = np.where(used, target, 0)
    loss = lse - x[np.arange(len(x)), label]
    far = lse[:, None] - x
    if weight:
        loss, far = weight[0][label] * loss, weight[0] * far
    if smoothing:
        loss = (1 - smoothing) * loss + smoothing * far.mean(axis=1, dtype=x.dtype)
    return np.where(used, loss, 0).astype(x.dtype), lse


def _type(x: Type, target: Type, *weight: Type, ignore_index: int, smoothing: float) -> Any:
    return Type(target.shape, x.dtype), Type(target.shape, x.dtype)


def _vjp(
    g: Tensor,
    saved: Any,
    x: Tensor,
    target: Tensor,
    *weight: Tensor,
    ignore_index: int,
    smoothing: float,
) -> Any:
    none = (None,) * (1 + len(weight))
    if not mode.grad:
        gradient = bind(BACKWARD, (g, x, target, saved[0], *weight), (ignore_index, smoothing))
        return gradient, *none
    classes = x.array.shape[1]
    low = smoothing / max(classes, 1)
    labels = wrap(made(ARANGE, (0, 1, classes, dtypes.int64)))
    one_hot = cast(eq(reshape(target, (-1, 1)), labels), x.dtype)
    if weight:
        w = reshape(weight[0], (1, -1))
        hard = mul(sum_(mul(one_hot, w), 1, True), 1 - smoothing)
        slope = add(hard, mul(sum_(w, 1, True), low))
        part = sub(mul(slope, softmax(x, 1)), add(mul(hard, one_hot), mul(w, low)))
    else:
        part = sub(softmax(x, 1), add(mul(one_hot, 1 - smoothing), low))
    used = reshape(ne(target, ignore_index), (-1, 1))
    return where(used, mul(reshape(g, (-1, 1)), part), 0.0), *none


def wanted_rows(target: Any, classes: int, ignore_index: int, smoothing: float, dtype: Any) -> Any:
    """The smoothed one-hot rows; an ignored row is as if its class were 0 (its weight is 0)."""
    made = np.full((len(target), classes), smoothing / max(classes, 1), dtype)
    made[np.arange(len(target)), np.where(target == ignore_index, 0, target)] += dtype.type(
        1 - smoothing
    )
    return made


def _weighted_parts(target: Any, weight: Any, ignore_index: int, smoothing: float) -> Any:
    """(a, b) of a weighted row's gradient by its logits, g * (a * softmax(x) - b); 0 if ignored."""
    used = (target != ignore_index).astype(weight.dtype)[:, None]
    label = np.where(target == ignore_index, 0, target)
    hard = ((1 - smoothing) * weight[label])[:, None]
    soft = smoothing / max(len(weight), 1)
    one_hot = label[:, None] == np.arange(len(weight))
    slope, wanted = hard + soft * weight.sum(), hard * one_hot + soft * weight
    return (used * slope).astype(weight.dtype), (used * wanted).astype(weight.dtype)


def _backward(
    g: Any, x: Any, target: Any, lse: Any, *weight: Any, ignore_index: int, smoothing: float
) -> Any:
    p = np.exp(x - lse[:, None])
    if weight:
        slope, wanted = _weighted_parts(target, weight[0], ignore_index, smoothing)
        return (g[:, None] * (slope * p - wanted)).astype(x.dtype)
    wanted = wanted_rows(target, x.shape[1], ignore_index, smoothing, x.dtype)
    used = np.where(target == ignore_index, 0, g)[:, None]
    return (used * (p - wanted)).astype(x.dtype)


BACKWARD = define(
    "cross_entropy_backward",
    inputs="g x target lse *weight",
    attrs=ATTRS,
    doc="g * (softmax(x) - wanted) for each row: the gradient of cross_entropy by its logits.",
    accepts=FLOAT,
    infer=lambda g, x, target, lse, *weight, ignore_index, smoothing: x,
    ref=_backward,
    lower="cross_entropy_backward",
    samples=lambda r: [
        Sample(
            (
                r.normal(size=3),
                r.normal(size=(3, 5)),
                np.array([0, -100, 4]),
                np.full(3, 2.5),
                -100,
                0.1,
            )
        ),
        Sample(
            (r.normal(size=2), r.normal(size=(2, 3)), np.array([1, 2]), np.full(2, 1.5), -100, 0.0)
        ),
        *(
            Sample(
                (
                    r.normal(size=3),
                    r.normal(size=(3, 5)),
                    np.array([0, -100, 4]),
                    np.full(3, 2.5),
                    r.uniform(0.5, 2, 5),
                    -100,
                    smoothing,
                )
            )
            for smoothing in (0.0, 0.2)
        ),
    ],
    torch=False,
)
CROSS_ENTROPY = define(
    "cross_entropy",
    inputs="x target *weight",
    attrs=ATTRS,
    doc="weight[target] * (logsumexp(x) - x[target]) for each row of logits; 0 where the target is "
    "ignore_index.",
    accepts=FLOAT,
    infer=_type,
    ref=_rows,
    vjp=_vjp,
    saves="x target weight",
    residuals=1,
    lower="cross_entropy",
    samples=lambda r: [
        Sample((r.normal(size=(4, 5)), np.array([0, 4, 2, 2]), -100, 0.0)),
        Sample((r.normal(size=(3, 7)), np.array([1, -100, 6]), -100, 0.1)),
        Sample((r.normal(size=(0, 3)), np.zeros(0, np.int64), -100, 0.0)),
        *(
            Sample(
                (r.normal(size=(3, 7)), np.array([1, -100, 6]), r.uniform(0.5, 2, 7), -100, s),
                grad=(0,),
            )
            for s in (0.0, 0.1)
        ),
    ],
    torch=False,
)


def check_labels(op: str, x: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """The labels as i64. Raises unless they are class numbers of x[N, C, ...], or ignore_index."""
    if target.array.dtype.kind not in "iu":
        raise DTypeError(
            op,
            f"labels are {target.dtype.name}, not integers",
            hint="target.long()",
            target=type_of(target),
        )
    if x.array.shape[:1] + x.array.shape[2:] != target.array.shape:
        raise ShapeError(
            op,
            "logits and labels do not fit",
            hint="logits [N, C] with labels [N]: losses never broadcast",
            input=type_of(x),
            target=type_of(target),
        )

    def error(label: Any) -> Exception:
        return IndexRangeError(
            op,
            f"label {label} is out of range",
            hint=f"labels from 0 to {x.array.shape[1] - 1}, or {ignore_index} to leave a row out",
            input=type_of(x),
            target=type_of(target),
        )

    return in_range(cast(target, dtypes.int64), 0, x.array.shape[1], error, ignore_index)
