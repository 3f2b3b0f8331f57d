"""Adam for tables of which few rows are read in a step: the others stay as they are. Floor 11."""

from __future__ import annotations

import math
from typing import Any, final

from twofold.base.errors import ArgumentError
from twofold.ops.compare import ne, where
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.tensor import Tensor
from twofold.optim.fused import Advance, numbers_of
from twofold.optim.optimizer import Group, Optimizer, check_range
from twofold.optim.ruled import pair_of


@final
class SparseAdam(Optimizer):
    """Adam (Kingma, Ba 2014) whose moments and weights of a row (an index of the first axis) change
    only where its gradient is not zero: for `nn.Embedding` with large vocabularies.

    In PyTorch a gradient is a sparse tensor and names the rows; here it is a plain one, and a row
    that was read counts as not read if its gradient is zero throughout. Raises ArgumentError for
    numbers out of range.
    """

    takes_complex = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        check_range("SparseAdam", lr=lr)
        if not eps > 0:
            raise ArgumentError("SparseAdam", f"eps = {eps}", hint="eps > 0")
        options = {"lr": lr, "betas": pair_of("SparseAdam", "betas", betas), "eps": eps}
        super().__init__(params, options | {"maximize": maximize})

    def update(self, group: Group, params: list[Tensor]) -> None:
        for x in params:
            state = self.state[x]
            if not state:
                zeros = (self.filled(x.array.shape, 0.0, x.array.dtype) for _ in range(2))
                state.update(step=0, **dict(zip(("exp_avg", "exp_avg_sq"), zeros, strict=True)))
            numbers: Any = numbers_of("SparseAdam", Advance(group, [state]), 1, _rate)
            _descend(x, state, cast(numbers[0], x.dtype), group)


def _rate(options: dict[str, Any]) -> list[float]:
    """The rate of this step, with the bias of the moments taken out."""
    first, second = (1.0 - beta ** options["step"] for beta in options["betas"])
    return [float(options["lr"]) * math.sqrt(second) / first]


def _descend(x: Any, state: dict[str, Any], rate: Any, group: Group) -> None:
    g: Any = -x.grad if group["maximize"] else x.grad
    read = ne(g, 0)
    axes = tuple(range(1, g.ndim))
    read = read.any(axes, keepdim=True) if axes else read  # type: ignore[attr-defined]
    for name, now, beta in zip(("exp_avg", "exp_avg_sq"), (g, g * g), group["betas"], strict=True):
        kept = state[name]
        kept.copy_(where(read, kept + (now - kept) * (1 - beta), kept))
    step: Any = rate * state["exp_avg"] / (state["exp_avg_sq"].sqrt() + group["eps"])
    x.copy_(where(read, x - step, x))


guard(globals())
