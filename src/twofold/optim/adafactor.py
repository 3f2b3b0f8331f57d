"""Adafactor: second moments of matrices as a row and a column. Floor 11."""

from __future__ import annotations

import math
from typing import Any, final

from twofold.base import dtypes
from twofold.base.errors import ArgumentError
from twofold.base.limits import finfo
from twofold.ops.elementwise import cast
from twofold.ops.guarding import guard
from twofold.ops.linalg import matmul
from twofold.ops.tensor import Tensor
from twofold.optim.fused import Advance, numbers_of
from twofold.optim.optimizer import Group, Optimizer, check_range
from twofold.optim.ruled import pair_of


@final
class Adafactor(Optimizer):
    """p -= a * g / sqrt(v), where v is (row means) x (column means) / (their mean) for matrices
    (Shazeer, Stern 2018).

    The step's root mean square is at most d, and a is relative to the parameter's own: max(eps[1],
    rms(p)) * min(lr, 1 / sqrt(step)).
    """

    unshaped = ("row_var", "col_var")

    takes_complex = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        first, second = pair_of("Adafactor", "eps", eps)
        check_range("Adafactor", lr=lr, weight_decay=weight_decay, eps2=second)
        check_range("Adafactor", eps1=0.0 if first is None else first)
        if beta2_decay > 0:
            raise ArgumentError("Adafactor", f"beta2_decay = {beta2_decay}", hint="0 or less")
        if d < 1:
            raise ArgumentError("Adafactor", f"d = {d}", hint="1 or more")
        options = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def update(self, group: Group, params: list[Tensor]) -> None:
        by_step: dict[int, list[tuple[Tensor, dict[str, Any]]]] = {}
        for x in params:
            state = self.state[x]
            if not state:
                state.update(self._first_state(x))
            by_step.setdefault(state["step"], []).append((x, state))
        for alike in by_step.values():
            advance = Advance(group, [state for _, state in alike])
            numbers = numbers_of("Adafactor", advance, 3, _numbers)
            for x, state in alike:
                _descend(x, state, numbers, group)

    def _first_state(self, x: Tensor) -> dict[str, Any]:
        shape = x.array.shape
        if len(shape) < 2:
            return {"step": 0, "variance": self.filled(shape, 0.0, x.array.dtype)}
        row, column = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
        made = {"row_var": row, "col_var": column}
        zeros = {name: self.filled(size, 0.0, x.array.dtype) for name, size in made.items()}
        return {"step": 0, **zeros}


def _numbers(options: dict[str, Any]) -> list[float]:
    """How much of the second moment is new, the relative rate, and what decay leaves."""
    step, lr = options["step"], float(options["lr"])
    left = 1.0 - lr * float(options["weight_decay"])
    return [step ** options["beta2_decay"], min(lr, 1.0 / math.sqrt(step)), left]


def _descend(x: Any, state: dict[str, Any], numbers: Any, group: Group) -> None:
    """One step of one parameter; float16 and bfloat16 are computed in float32."""
    wide = x.dtype if x.dtype is dtypes.float64 else dtypes.float32
    new, rate, left = (cast(numbers[i], wide) for i in range(3))
    least = finfo(x.dtype).eps if group["eps"][0] is None else group["eps"][0]
    p: Any = cast(x, wide)
    g: Any = cast(x.grad, wide)
    g = -g if group["maximize"] else g
    own: Any = _rms(p).clamp(min=group["eps"][1]) * rate
    square: Any = g * g
    if square.ndim > 1:
        rows = _moved(state["row_var"], square.mean(-1, keepdim=True), new)
        columns = _moved(state["col_var"], square.mean(-2, keepdim=True), new)
        spread: Any = matmul(rows, columns) / rows.mean(-2, keepdim=True).clamp(min=least)
    else:
        spread = _moved(state["variance"], square, new)
    step = spread.clamp(min=least * least).rsqrt() * g
    share = own / (_rms(step) / group["d"]).clamp(min=1.0)
    x.copy_(p * left - step * share)


def _rms(x: Any) -> Any:
    return (x * x).mean().sqrt()


def _moved(kept: Any, now: Any, share: Any) -> Any:
    """The moment, moved towards what it is now, and kept."""
    made = cast(kept, now.dtype).lerp(now, share)  # type: ignore[attr-defined]
    kept.copy_(made)
    return made


guard(globals())
