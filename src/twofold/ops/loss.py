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
from twofold.ops.source import ARANGE, made
from twofold.ops.tensor import Tensor, type_of, wrap

ATTRS = ("ignore_index", "smoothing")


def _rows(x: Any, target: Any, *, ignore_index: int, smoothing: float) -> Any:
    top = x.max(axis=1, keepdims=True) if x.shape[1] else np.zeros((x.shape[0], 1), x.dtype)
    lse = (top[:, 0] + np.log(np.exp(x - top).sum(axis=1, dtype=x.dtype))).astype(x.dtype)
    used = target != ignore_index
    picked = x[np.arange(len(x)), np.where(used, target, 0)]
    loss = lse - picked
    if smoothing:
        loss = (1 - smoothing) * loss + smoothing * (lse - x.mean(axis=1, dtype=x.dtype))
    return np.where(used, loss, 0).astype(x.dtype), lse


def _type(x: Type, target: Type, *, ignore_index: int, smoothing: float) -> Any:
    return Type(target.shape, x.dtype), Type(target.shape, x.dtype)


def _vjp(
    g: Tensor, saved: Any, x: Tensor, target: Tensor, *, ignore_index: int, smoothing: float
) -> Any:
    if mode.grad:
        classes = x.array.shape[1]
        used = reshape(ne(target, ignore_index), (-1, 1))
        here = eq(reshape(target, (-1, 1)), wrap(made(ARANGE, (0, 1, classes, dtypes.int64))))
        low = smoothing / max(classes, 1)
        wanted = add(mul(cast(here, x.dtype), 1 - smoothing), low)
        return where(used, mul(reshape(g, (-1, 1)), sub(softmax(x, 1), wanted)), 0.0), None
    return bind(BACKWARD, (g, x, target, saved[0]), (ignore_index, smoothing)), None


def wanted_rows(target: Any, classes: int, ignore_index: int, smoothing: float, dtype: Any) -> Any:
    """The smoothed one-hot rows; an ignored row is as if its class were 0 (its weight is 0)."""
    made = np.full((len(target), classes), smoothing / max(classes, 1), dtype)
    made[np.arange(len(target)), np.where(target == ignore_index, 0, target)] += dtype.type(
        1 - smoothing
    )
    return made


def _backward(g: Any, x: Any, target: Any, lse: Any, *, ignore_index: int, smoothing: float) -> Any:
    p = np.exp(x - lse[:, None])
    wanted = wanted_rows(target, x.shape[1], ignore_index, smoothing, x.dtype)
    used = np.where(target == ignore_index, 0, g)[:, None]
    return (used * (p - wanted)).astype(x.dtype)


BACKWARD = define(
    "cross_entropy_backward",
    inputs="g x target lse",
    attrs=ATTRS,
    doc="g * (softmax(x) - wanted) for each row: the gradient of cross_entropy by its logits.",
    accepts=FLOAT,
    infer=lambda g, x, target, lse, *, ignore_index, smoothing: x,
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
    ],
    torch=False,
)
CROSS_ENTROPY = define(
    "cross_entropy",
    inputs="x target",
    attrs=ATTRS,
    doc="logsumexp(x) - x[target] for each row of logits; 0 where the target is ignore_index.",
    accepts=FLOAT,
    infer=_type,
    ref=_rows,
    vjp=_vjp,
    saves="x target",
    residuals=1,
    lower="cross_entropy",
    samples=lambda r: [
        Sample((r.normal(size=(4, 5)), np.array([0, 4, 2, 2]), -100, 0.0)),
        Sample((r.normal(size=(3, 7)), np.array([1, -100, 6]), -100, 0.1)),
        Sample((r.normal(size=(0, 3)), np.zeros(0, np.int64), -100, 0.0)),
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
