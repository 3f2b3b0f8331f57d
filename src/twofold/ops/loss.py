"""Cross entropy as one kernel each way. Floor 4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twofold.base import dtypes
from twofold.base.errors import DTypeError, IndexRangeError, ShapeError
from twofold.base.types import Type
from twofold.ops.bind import bind, mode, watched
from twofold.ops.compare import eq, ne, where
from twofold.ops.elementwise import add, cast, mul, sub, true_divide
from twofold.ops.guarding import guard
from twofold.ops.movement import expand, reshape
from twofold.ops.normalize import softmax
from twofold.ops.op import FLOAT, Sample, define
from twofold.ops.order import reduce_in_order
from twofold.ops.ranges import in_range
from twofold.ops.reduce import sum as sum_
from twofold.ops.source import ARANGE, made
from twofold.ops.tensor import Tensor, type_of, wrap

ATTRS = ("ignore_index", "smoothing")
INT64 = np.dtype(np.int64)


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
    each = where(used, reshape(g, (-1, 1)), 0.0)  # the mean of no rows has an infinite one
    return where(used, mul(each, part), 0.0), *none


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


def _mean(x: Any, target: Any, *, ignore_index: int, smoothing: float) -> Any:
    classes, used = x.shape[1], target != ignore_index
    bad = ((target < 0) | (target >= classes)) & used
    losses, lse = _rows(
        x, np.where(bad, ignore_index, target), ignore_index=ignore_index, smoothing=smoothing
    )
    count = np.asarray(used.sum(), x.dtype)
    total = reduce_in_order(losses, (0,), False, np.add, 0)
    return np.where(bad.any(), np.nan, total / count).astype(x.dtype), lse, count


def _mean_vjp(
    g: Tensor, saved: Any, x: Tensor, target: Tensor, *, ignore_index: int, smoothing: float
) -> Any:
    rows = target.array.shape
    if mode.grad:
        count = cast(sum_(ne(target, ignore_index)), x.dtype)
        each = expand(true_divide(g, count), rows)
        return _vjp(each, None, x, target, ignore_index=ignore_index, smoothing=smoothing)
    each = expand(true_divide(g, saved[1]), rows)
    return bind(BACKWARD, (each, x, target, saved[0]), (ignore_index, smoothing)), None


MEAN = define(
    "cross_entropy_mean",
    inputs="x target",
    attrs=ATTRS,
    doc="The mean of cross_entropy over the rows whose target is not ignore_index; NaN where a"
    " target is neither that nor a class.",
    accepts=FLOAT,
    infer=lambda x, target, **_: (
        Type((), x.dtype),
        Type(target.shape, x.dtype),
        Type((), x.dtype),
    ),
    ref=_mean,
    vjp=_mean_vjp,
    saves="x target",
    residuals=2,
    lower="cross_entropy_mean",
    samples=lambda r: [
        Sample((r.normal(size=(4, 5)), np.array([0, 4, 2, 2]), -100, 0.0)),
        Sample((r.normal(size=(3, 7)), np.array([1, -100, 6]), -100, 0.1)),
        Sample((r.normal(size=(2, 3)), np.array([1, 3]), -100, 0.0), grad=(), smooth=False),
    ],
    torch=False,
)


def mean_of_rows(x: Tensor, target: Tensor, ignore_index: int, smoothing: float) -> Tensor | None:
    """The mean loss of x f[N, C] with labels i64[N], in one operation. Labels are checked.

    None where it is not as plain as that: other shapes or types, a graph, a transform.
    """
    a, labels = x.array, target.array
    seen = watched()
    if (mode.interpreter is not None and not seen) or mode.capture is not None:
        return None
    plain = type(a) is np.ndarray and type(labels) is np.ndarray and labels.dtype is INT64
    plain = plain and 0.0 <= smoothing <= 1.0
    if not plain or a.dtype.char not in "fd" or a.ndim != 2 or labels.shape != a.shape[:1]:
        return None
    if seen:  # machine code looks at the labels of each call like this one first
        target = check_labels("cross_entropy", x, target, ignore_index)
    made: Tensor = bind(MEAN, (x, target), (ignore_index, smoothing))
    value = made.array.item()
    if value != value and not seen:
        check_labels("cross_entropy", x, target, ignore_index)
    return made


def _fitting(logits: tuple[int, ...], labels: tuple[int, ...]) -> str:
    """What makes labels of a wrong shape fit, where that can be told from the shapes."""
    if labels == logits:
        return "target.argmax(1) for one-hot labels, or target.float() for probabilities"
    if len(logits) > 2 and labels == logits[:-1]:
        return "input.movedim(-1, 1), since classes are axis 1: logits [N, C, ...], labels [N, ...]"
    if len(logits) == 2 and math.prod(labels) == logits[0]:
        return "target.reshape(-1): logits [N, C] with labels [N]"
    return "logits [N, C] with labels [N]: losses never broadcast"


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
            hint=_fitting(x.array.shape, target.array.shape),
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


guard(globals())
