"""Muon: momentum made orthogonal, for the matrices of a network (Jordan et al. 2024). Floor 11."""

from __future__ import annotations

import math
from typing import Any, final

from twofold.base.dtypes import bfloat16
from twofold.base.errors import ArgumentError, ShapeError
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.tensor import Tensor, type_of
from twofold.optim.fused import Advance, update_all
from twofold.optim.optimizer import Group, Optimizer, check_range

Coefficients = tuple[float, float, float]
ADJUSTMENTS = (None, "original", "match_rms_adamw")


@final
class Muon(Optimizer):
    """p -= lr * orthogonal(momentum): all singular values of a step are near 1. Matrices only.

    `ns_steps` turns of a fifth-degree Newton-Schulz iteration, in bfloat16, take the place of a
    decomposition. Biases, embeddings and heads are for another optimizer, such as AdamW.
    """

    saves_step = False

    takes_complex = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: Coefficients = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        check_range("Muon", lr=lr, weight_decay=weight_decay, momentum=momentum, eps=eps)
        if adjust_lr_fn not in ADJUSTMENTS:
            what = f"adjust_lr_fn = {adjust_lr_fn!r}"
            raise ArgumentError("Muon", what, hint="one of 'original', 'match_rms_adamw'")
        options = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, options)

    def _check(self, x: Any) -> None:
        super()._check(x)
        if x.array.ndim != 2:
            what = "only matrices have a step here"
            raise ShapeError("Muon", what, param=type_of(x), hint="AdamW for all others")

    def update(self, group: Group, params: list[Tensor]) -> None:
        states = [self.state_of(x, ("momentum_buffer",)) for x in params]
        rows = []
        for x, state in zip(params, states, strict=True):
            grad: Any = x.grad
            rows.append([state["momentum_buffer"], grad, grad * 0.0])
        update_all("ahead", rows, Advance(group, states))
        by_ratio: dict[float, list[tuple[Tensor, Tensor, dict[str, Any]]]] = {}
        for x, row, state in zip(params, rows, states, strict=True):
            step = orthogonal(row[2], group["ns_coefficients"], group["ns_steps"], group["eps"])
            ratio = ratio_of(x.array.shape, group["adjust_lr_fn"])
            by_ratio.setdefault(ratio, []).append((x, cast(step, x.dtype), state))
        for ratio, alike in by_ratio.items():
            advance = Advance(group, [], step=0, ratio=ratio)
            update_all("orthogonal", [[x, step] for x, step, _ in alike], advance)


def orthogonal(x: Tensor, coefficients: Coefficients, steps: int, eps: float) -> Tensor:
    """A matrix with x's singular vectors, and singular values near 1; bfloat16."""
    a, b, c = coefficients
    tall = x.array.shape[0] > x.array.shape[1]
    y: Any = cast(x, bfloat16)
    y = y.mT if tall else y
    y = y / y.norm().clamp(min=eps)
    for _ in range(steps):
        gram: Any = matmul(y, y.mT)
        fourth: Any = matmul(gram, gram)
        y = a * y + matmul(b * gram + c * fourth, y)
    return y.mT if tall else y  # type: ignore[no-any-return]


def ratio_of(shape: tuple[int, ...], adjustment: str | None) -> float:
    """How a matrix's rate is adjusted to its shape."""
    rows, columns = shape
    if adjustment == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


guard(globals())
