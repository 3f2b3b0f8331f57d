"""Cross entropy of a linear layer's outputs, in pieces of the batch where they are large. Floor 10.

With options a piece's logits are computed where they are needed, forwards and backwards (Chen et
al. 2016), so that f[N, C] never lies in memory as a whole: N rows of a vocabulary of C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from twofold.autograd.checkpoint import checkpoint
from twofold.base.dtypes import DType
from twofold.base.errors import ArgumentError, ShapeError
from twofold.nn.class_functions import cross_entropy
from twofold.nn.layers import Linear
from twofold.nn.module import Module
from twofold.ops.compare import ne
from twofold.ops.guarding import guard
from twofold.ops.joining import cat
from twofold.ops.linear import linear
from twofold.ops.movement import reshape
from twofold.ops.tensor import Tensor, type_of

OP = "linear_cross_entropy"
POLICIES = ("auto", "accurate", "balanced", "compact")


@dataclass
class LinearCrossEntropyOptions:
    """How the batch is cut: into pieces of batch_chunk_size rows, or by chunking_method.

    "aspect_ratio:k" takes as many rows as make a piece's logits as large as the input, divided by
    k; "auto" is "aspect_ratio:2", unless a size is given. The other options choose between
    precisions and memory in PyTorch; here every sum has its input's type and a gradient can be
    asked for again. Raises ArgumentError for unknown words.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: DType | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.acc_policy not in POLICIES:
            hint = " or ".join(POLICIES)
            raise ArgumentError(name, f"acc_policy = {self.acc_policy!r}", hint=hint)
        if self.chunking_method not in (None, "auto"):
            word, _, factor = str(self.chunking_method).partition(":")
            if word != "aspect_ratio" or (factor and not (factor.isdigit() and int(factor))):
                what = f"chunking_method = {self.chunking_method!r}"
                raise ArgumentError(name, what, hint="'auto', 'aspect_ratio:2' or None")
        size = self.batch_chunk_size
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ArgumentError(name, f"batch_chunk_size = {size!r}", hint="1 or more, or None")

    def rows(self, count: int, features: int, classes: int) -> int:
        """How many of `count` rows a piece has. Raises ArgumentError if size and method differ."""
        method, size = self.chunking_method, self.batch_chunk_size
        if method is None or (method == "auto" and size is not None):
            return max(1, min(size or count, count))
        factor = 2 if method == "auto" else int(method.partition(":")[2] or 1)
        wanted = -(-count // -(-classes // features))
        found = max(1, min((1 << max(wanted - 1, 0).bit_length()) // factor, count))
        if size is not None and size != found:
            what = f"batch_chunk_size = {size}, but {method} gives {found}"
            raise ArgumentError(type(self).__name__, what, hint="one of them")
        return found


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """cross_entropy(linear(input, linear_weight, linear_bias), target).

    input f[K] or f[N, K], linear_weight f[C, K] or f[C, ..., K] with linear_bias f[C, ...], target
    i64[N, ...] of class numbers or f[N, C, ...] of probabilities. ignore_index is -100 unless
    given, and goes with class numbers alone. Raises ShapeError, ArgumentError.
    """
    sizes = linear_weight.array.shape
    facts: Any = {"input": type_of(input), "linear_weight": type_of(linear_weight)}
    if input.array.ndim not in (1, 2) or len(sizes) < 2 or input.array.shape[-1] != sizes[-1]:
        hint = "input f[N, K] and linear_weight f[C, K]"
        raise ShapeError(OP, "the sizes do not fit", hint=hint, **facts)
    if linear_bias is not None and linear_bias.array.shape != sizes[:-1]:
        hint = f"linear_bias f{list(sizes[:-1])}"
        facts["linear_bias"] = type_of(linear_bias)
        raise ShapeError(OP, "the bias is of another shape", hint=hint, **facts)
    if len(sizes) > 2 and input.array.ndim == 1:
        raise ShapeError(OP, "several losses a row want a batch", hint="input f[1, K]", **facts)
    shape = (*input.array.shape[:-1], *sizes[:-1])
    if ignore_index is not None and target.array.shape == shape:
        what = "ignore_index does not go with probabilities"
        raise ArgumentError(OP, what, hint="class numbers, or no ignore_index", **facts)
    ignored = -100 if ignore_index is None else ignore_index
    flat = reshape(linear_weight, (-1, sizes[-1]))
    bias = None if linear_bias is None else reshape(linear_bias, (-1,))
    rest = (weight, ignored, label_smoothing)

    def loss(x: Tensor, labels: Tensor, reduction: str) -> Tensor:
        logits = reshape(linear(x, flat, bias), (*x.array.shape[:-1], *sizes[:-1]))
        return _cross_entropy(logits, labels, reduction, *rest)

    count = int(input.array.shape[0]) if options is not None and input.array.ndim == 2 else 0
    rows = options.rows(count, int(sizes[-1]), int(sizes[0])) if options and count else 0
    if not rows or rows >= count or target.dtype.is_floating_point:
        return loss(input, target, reduction)
    pieces = zip(input.split(rows), target.split(rows), strict=True)  # type: ignore[attr-defined]
    losses: Any = cat([checkpoint(loss, x, labels, "none") for x, labels in pieces])
    if reduction != "mean":
        return losses.sum() if reduction == "sum" else losses  # type: ignore[no-any-return]
    counted: Any = ne(target, ignored)
    total = counted.sum() if weight is None else (weight[target * counted] * counted).sum()  # type: ignore[index]
    return losses.sum() / total  # type: ignore[no-any-return]


def _cross_entropy(
    logits: Tensor, target: Tensor, reduction: str, weight: Any, ignored: int, smoothing: float
) -> Tensor:
    return cross_entropy(
        logits,
        target,
        weight,
        ignore_index=ignored,
        reduction=reduction,
        label_smoothing=smoothing,
    )


class LinearCrossEntropyLoss(Module):
    """A linear layer to num_classes (times out_features) and the cross entropy of what it gives."""

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: tuple[int, ...] = (),
        bias: bool = False,
        device: Any = None,
        dtype: Any = None,
        reduction: str = "mean",
        weight: Tensor | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if weight is not None and weight.array.shape != (num_classes,):
            facts: Any = {"weight": type_of(weight)}
            raise ShapeError(name, f"{num_classes} class weights are wanted", **facts)
        if not 0.0 <= label_smoothing <= 1.0:
            what = f"label_smoothing = {label_smoothing}"
            raise ArgumentError(name, what, hint="0 <= label_smoothing <= 1")
        self.register_buffer("weight", weight)
        self.num_classes, self.out_features = num_classes, out_features
        self.reduction, self.ignore_index = reduction, ignore_index
        self.label_smoothing, self.options = label_smoothing, options
        width = math.prod(out_features, start=num_classes)
        self.linear = Linear(in_features, width, bias=bias, device=device, dtype=dtype)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        sizes = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return linear_cross_entropy(
            input,
            reshape(self.linear.weight, (*sizes, self.linear.in_features)),
            target,
            linear_bias=None if bias is None else reshape(bias, sizes),
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
        )

    def extra_repr(self) -> str:
        shown = {
            "in_features": self.linear.in_features,
            "num_classes": self.num_classes,
            "out_features": self.out_features,
            "bias": self.linear.bias is not None,
        }
        names = ("reduction", "ignore_index", "label_smoothing", "options")
        shown |= {name: getattr(self, name) for name in names}
        return ", ".join(f"{name}={value}" for name, value in shown.items())


guard(globals())
